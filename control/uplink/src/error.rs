//! What can go wrong, in words that say what would be right.

use std::io;
use std::path::PathBuf;

use crate::ports::PortSetError;

/// Why the kernel's side of an uplink is not known, or not as it should be.
#[derive(Debug, thiserror::Error)]
pub enum UplinkError {
    /// The device, its addresses, routes or neighbours.
    #[error(transparent)]
    Link(#[from] paceline_attach::Error),
    /// The list of reserved ports cannot be read.
    #[error("{}: {source}: needs a kernel with IPv4, and /proc", path.display())]
    Read {
        /// The file under `/proc/sys`.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The list of reserved ports is none.
    #[error("{}: {source}", path.display())]
    Format {
        /// The file under `/proc/sys`.
        path: PathBuf,
        /// What is wrong.
        source: PortSetError,
    },
    /// Ports cannot be reserved.
    #[error(
        "{}: cannot set {value}: {source}: the host's own programs may be given ports that the switch translates to",
        path.display()
    )]
    Write {
        /// The file under `/proc/sys`.
        path: PathBuf,
        /// What it was to be.
        value: String,
        /// What the system said.
        source: io::Error,
    },
    /// What is reserved cannot be written down, so nothing was.
    #[error("{}: {source}: ports are reserved only after that is written down here", path.display())]
    Record {
        /// The record.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}
