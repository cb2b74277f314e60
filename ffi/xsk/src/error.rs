//! What can go wrong.

use std::io;

/// Why a UMEM, a socket or a program could not be made.
#[derive(Debug, thiserror::Error)]
pub enum XskError {
    /// A chunk size that the kernel does not take in aligned mode.
    #[error("UMEM chunk size {0}: must be 2048 or 4096 bytes")]
    ChunkSize(u32),
    /// Headroom that leaves no place for a frame.
    #[error(
        "UMEM headroom {headroom}: with the kernel's 256 bytes it must leave at least half of the chunk of {chunk} bytes"
    )]
    Headroom {
        /// Bytes asked for.
        headroom: u32,
        /// Bytes in a chunk.
        chunk: u32,
    },
    /// A ring size that the kernel does not take.
    #[error("AF_XDP ring size {0}: must be a power of two between 64 and 32768")]
    RingSize(u32),
    /// Not root.
    #[error("AF_XDP on interface {ifindex}: needs CAP_NET_ADMIN, CAP_NET_RAW and CAP_BPF: run as root")]
    Permission {
        /// The interface's index.
        ifindex: u32,
    },
    /// No interface of that index in the calling thread's namespace.
    #[error("AF_XDP: there is no interface with index {0} in this network namespace")]
    NoInterface(u32),
    /// The device has no queue of that number, or the UMEM does not suit it.
    #[error("AF_XDP on interface {ifindex}: queue {queue} does not exist, or the device takes no such UMEM")]
    NoQueue {
        /// The interface's index.
        ifindex: u32,
        /// The queue asked for.
        queue: u32,
    },
    /// Another socket is bound to the queue.
    #[error("AF_XDP on interface {ifindex}: another socket has queue {queue}; is another instance running?")]
    Busy {
        /// The interface's index.
        ifindex: u32,
        /// The queue asked for.
        queue: u32,
    },
    /// Another XDP program is attached to the interface.
    #[error(
        "interface {0}: another XDP program is attached; detach it with `ip link set dev NAME xdp off` or end its owner"
    )]
    Attached(u32),
    /// A filter names more of something than there is room for.
    #[error("AF_XDP filter: {count} {what}: there must be at most {limit}")]
    Filter {
        /// What there is too much of.
        what: &'static str,
        /// How many are wanted.
        count: usize,
        /// How many can be.
        limit: usize,
    },
    /// Another step was refused.
    #[error("AF_XDP on interface {ifindex}: {step}: {source}")]
    System {
        /// The interface's index; 0 where there is none yet.
        ifindex: u32,
        /// The call that failed.
        step: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
}

/// The kernel named memory that is not in the UMEM, or moved an index further than its ring: nothing in that ring can be
/// believed, and the socket should be closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "AF_XDP: the kernel gave address {addr:#x} with {len} bytes, which is not within a chunk of the UMEM"
)]
pub struct BadDescriptor {
    /// The address.
    pub addr: u64,
    /// Bytes from there.
    pub len: u32,
}

/// The error says that the interface is down.
pub fn is_down(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::ENETDOWN)
}

/// The error says that the interface was deleted and the socket is bound to nothing: no later call will do better.
pub fn is_gone(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::ENXIO)
}
