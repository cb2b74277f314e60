//! TAP devices with virtio-net headers and offloads (linux/if_tun.h): the switch's end of a link whose other end is an
//! interface of the kernel, in the host's or a container's namespace.
//!
//! [`Tap`] is one queue. Every frame, both ways, is preceded by a 10-byte [`VnetHdr`](paceline_sys::VnetHdr). That size and
//! not 12, as the two bytes more (`num_buffers`) mean nothing on a TAP; 24 bytes, with tunnel offloads, are a later step
//! that [`HEADER`] would name.
//!
//! A persistent device outlives the process with its place in a container, its address and its routes. The next process
//! opens it again by name *from within that namespace*: `/dev/net/tun` looks names up in the namespace of the thread
//! that opened it.

mod ioctl;
mod offloads;
mod tap;

pub use offloads::Offloads;
pub use tap::{HEADER, Options, Tap, TapError, is_gone};
