//! memif: packets through memory that two processes share, as VPP, DPDK (`net_memif`) and libmemif speak it, version 2.0.
//!
//! One side is the *server* (master): it listens on a socket. The other one, the *client* (slave), brings the memory: two rings
//! of descriptors for each queue, and buffers. Frames are copied in and out by each side's own worker; the socket is only for
//! the beginning and the end.
//!
//! | module | what it is |
//! |---|---|
//! | [`message`] | what is said on the socket |
//! | `channel` | the socket, and file descriptors over it |
//! | `session` | how two sides come to share memory |
//! | `memory`, `ring` | regions and rings, mapped |
//! | `receive`, `send` | the ends of a queue |
//! | `signal` | waking the peer |
//!
//! The peer is not trusted. What it wrote is read once, checked and then used; no reference to shared memory is ever made. Its
//! regions must be memfds that cannot shrink. Its eventfds are never read or written by us. All that it can do is to give up
//! the connection: a [`Fault`] says why.

mod channel;
mod fault;
mod memory;
pub mod message;
mod receive;
mod ring;
mod send;
mod session;
mod signal;
#[cfg(test)]
mod tests;

pub use channel::{Channel, Listener};
pub use fault::Fault;
pub use receive::{PIECES, Piece, Receiver};
pub use send::Sender;
pub use session::{Pair, Settings, client_memory, join, serve};
