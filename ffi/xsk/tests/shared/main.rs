//! A device shared with the kernel: what the program takes, on frames made by hand and on real traffic.

mod bed;
mod classes;
mod traffic;
mod twin;
