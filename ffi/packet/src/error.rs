//! What can go wrong.

use std::io;

/// Why a packet socket could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum PacketError {
    /// Not root.
    #[error("packet socket: needs CAP_NET_RAW: run as root")]
    Permission,
    /// No interface of that index in the calling thread's namespace.
    #[error("packet socket: there is no interface with index {0} in this network namespace")]
    NoInterface(u32),
    /// Another step was refused.
    #[error("packet socket on interface {ifindex}: {step}: {source}")]
    System {
        /// The interface's index.
        ifindex: u32,
        /// The call that failed.
        step: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
}

/// The error says that the interface is down: the socket works again by itself when it is up.
pub fn is_down(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::ENETDOWN)
}

/// The error says that the interface was deleted (for a veth, perhaps with the other end's namespace): no later call will
/// do better.
pub fn is_gone(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENODEV | libc::ENXIO))
}
