//! `AF_XDP` sockets and the XDP program that feeds them, without libbpf and without a compiler
//! (Documentation/networking/af_xdp.rst).
//!
//! ```text
//!   Region ── Umem ──┬── XskQueue (device a, queue 0)    a frame received by one goes to the TX ring of the other
//!                    └── XskQueue (device b, queue 0)    by its address: nothing is copied by us
//!   Program ── Attachment (device)   to the socket of this queue, or else to the kernel's stack
//!      └── FilterHandle              … of a device that is shared: what of it is ours
//! ```
//!
//! Frames are named by their address, the offset in the [`Umem`]. This crate moves addresses between rings and never
//! touches a frame: who owns a chunk at which moment is the caller's to track (a chunk is lent to the kernel from
//! [`XskQueue::fill`] to [`XskQueue::rx`] and from [`XskQueue::tx`] to [`XskQueue::complete`]). The kernel writes to a
//! chunk that was filled whenever it likes, so an address must not be filled twice or while it is in use.
//!
//! Everything is for the calling thread's network namespace, and needs `CAP_NET_ADMIN`, `CAP_NET_RAW` and `CAP_BPF`.
//! The program needs Linux 5.11 (5.18 with frags), multi-buffer sockets 6.6.

mod assemble;
mod bpf;
mod error;
mod filter;
mod program;
mod queue;
mod ring;
mod shared;
mod socket;
mod umem;

pub use error::{BadDescriptor, XskError, is_down, is_gone};
pub use filter::{Filter, FilterHandle, Service};
pub use program::{Attachment, Mode, Program};
pub use queue::{Options, Stats, XskQueue};
pub use ring::Desc;
pub use umem::{KERNEL_HEADROOM, Umem};
