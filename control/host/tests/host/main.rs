//! The host's stack as other hosts, containers and the host itself see it, on a real kernel.
#![forbid(unsafe_code)]

mod ports;
mod support;
mod tables;
mod traffic;
