//! What Paceline asks of Linux and the CPU, one file per thing:
//!
//! | module | what it is |
//! |---|---|
//! | [`region`] | one shared mapping of a memfd, on huge pages if there are any |
//! | [`cpu`] | time stamp counter and prefetch |
//! | [`netns`] | network namespaces, and a throw-away one for tests |
//! | [`wake`] | eventfd and epoll, how a sleeping worker is woken |
//! | [`link`] | names, indexes, flags and MTU of interfaces |
//! | [`ethtool`] | offloads of interfaces |
//! | [`vnet`] | the virtio-net header that travels with a frame |
//!
//! Everything here is safe to call; the `unsafe` inside is bound to system calls and three CPU instructions.

#[cfg(target_endian = "big")]
compile_error!("AF_PACKET hands over virtio-net headers in host order and Paceline reads them little-endian");

pub mod cpu;
pub mod ethtool;
mod hash;
pub mod link;
pub mod netns;
pub mod region;
pub mod vnet;
pub mod wake;

pub use hash::fnv1a;
pub use link::{IfName, IfNameError};
pub use netns::NetNs;
pub use region::{HugePages, Region, RegionError};
pub use vnet::VnetHdr;
pub use wake::{Epoll, EventFd};
