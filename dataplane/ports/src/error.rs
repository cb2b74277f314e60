//! Why a port could not be opened.

use std::io;
use std::path::PathBuf;

use paceline_packet::PacketError;
use paceline_tap::TapError;
use paceline_xsk::XskError;

/// Why a port could not be opened. Each message names the device or file, what failed, and what would be right.
#[derive(Debug, thiserror::Error)]
pub enum PortError {
    /// The TAP device.
    #[error(transparent)]
    Tap(#[from] TapError),
    /// The packet socket.
    #[error("{device}: {source}")]
    Packet {
        /// The device.
        device: String,
        /// What went wrong.
        source: PacketError,
    },
    /// The AF_XDP socket or its program.
    #[error("{device}: {source}")]
    Xsk {
        /// The device.
        device: String,
        /// What went wrong.
        source: XskError,
    },
    /// There is no such device.
    #[error("{device}: {source}: it must exist in the network namespace that the port is opened in")]
    Device {
        /// The device.
        device: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// A queue count out of range.
    #[error("{device}: queues is {queues}: must lie between 1 and 256")]
    Queues {
        /// The device.
        device: String,
        /// The count asked for.
        queues: usize,
    },
    /// A device shared with the kernel receives by queues that would have no socket.
    #[error(
        "{device}: is shared with the kernel and receives by {has} queues: there must be one for each, not {queues}, or \
         packets that are the switch's would go to the kernel: `ethtool -L {device} combined {queues}`, or more workers"
    )]
    Uncovered {
        /// The device.
        device: String,
        /// Queues that were asked for.
        queues: usize,
        /// Queues that it receives by.
        has: u32,
    },
    /// A socket that could not be made.
    #[error("socket {}: {source}: its directory must exist, and nobody else listen there", .socket.display())]
    Socket {
        /// The socket.
        socket: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A number of a memif port out of range.
    #[error("memif socket {}: {field} is {value}: {want}", .socket.display())]
    Memif {
        /// The port's socket.
        socket: PathBuf,
        /// The field.
        field: &'static str,
        /// Its value.
        value: String,
        /// What would be right.
        want: &'static str,
    },
    /// A capture file could not be opened, read or made.
    #[error("{}: {source}", .file.display())]
    File {
        /// The file.
        file: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A capture file that is damaged, or none.
    #[error("{}: not a readable pcap or pcapng file: {reason} (frame {frame})", .file.display())]
    Format {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        reason: String,
        /// How many frames were read before, plus one.
        frame: usize,
    },
    /// A capture of something else than Ethernet.
    #[error("{}: link type {link}: only Ethernet (1) can be replayed", .file.display())]
    LinkType {
        /// The file.
        file: PathBuf,
        /// Its link type (tcpdump.org/linktypes.html).
        link: u32,
    },
    /// A capture without a frame.
    #[error("{}: holds no frame", .file.display())]
    Empty {
        /// The file.
        file: PathBuf,
    },
    /// A capture that would take too much memory: it is replayed from there.
    #[error(
        "{}: frames of more than {} MiB cannot be replayed, as they are kept in memory: cut it with `editcap -c`",
        .file.display(),
        .limit >> 20
    )]
    TooLarge {
        /// The file.
        file: PathBuf,
        /// Bytes of frames that are taken.
        limit: usize,
    },
    /// A stream of a generator that cannot be.
    #[error("generator: stream {stream}: {field} is {value}: {want}")]
    Stream {
        /// Its number, from 0.
        stream: usize,
        /// The field.
        field: &'static str,
        /// Its value.
        value: String,
        /// What would be right.
        want: &'static str,
    },
}
