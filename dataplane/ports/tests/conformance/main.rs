//! What every kind of port that moves frames must do, checked on real devices.
//!
//! A kind is added by one more [`bed`](bed::Bed) (how to make the port and its far side) and one line in each table of
//! [`frames`] and [`sockets`].

mod bed;
mod frames;
#[path = "../guest/mod.rs"]
mod guest;
mod memif;
mod opening;
mod sockets;
mod testpmd;
