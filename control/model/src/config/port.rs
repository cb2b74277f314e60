//! `[[port]]`

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{DEFAULT_MTU, Filters, Generator, limits};
use crate::{IfName, MacAddr, PortName};

/// One port.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Port {
    /// Our name of it.
    pub name: PortName,
    /// Largest Ethernet payload, 68 to 65535 bytes.
    pub mtu: u16,
    /// The address of its device; none: left as it is.
    pub mac: Option<MacAddr>,
    /// Receive and transmit queues, 1 to 16.
    pub queues: u8,
    /// What it is made of, and the fields of that.
    #[serde(flatten)]
    pub kind: PortKind,
    /// What it lets in and out.
    #[serde(flatten)]
    pub filters: Filters,
}

/// The fields that every kind of port has. In the file they stand beside those of the kind; they are taken apart before
/// (`parse`), as serde cannot refuse unknown fields of two structures in one table.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Common {
    pub name: PortName,
    #[serde(default = "default_mtu", deserialize_with = "limits::between::<_, _, 68, 65535>")]
    pub mtu: u16,
    pub mac: Option<MacAddr>,
    #[serde(default = "one", deserialize_with = "limits::between::<_, _, 1, 16>")]
    pub queues: u8,
}

impl Common {
    pub const FIELDS: [&str; 4] = ["name", "mtu", "mac", "queues"];
}

fn default_mtu() -> u16 {
    DEFAULT_MTU
}

fn one() -> u8 {
    1
}

/// What a port is made of.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum PortKind {
    /// A TAP device.
    Tap(Tap),
    /// A device that exists, by `AF_PACKET`.
    Packet(Packet),
    /// A device that exists, by `AF_XDP`.
    Afxdp(Afxdp),
    /// A virtual machine, or another process, by vhost-user.
    #[serde(rename = "vhost-user")]
    VhostUser(VhostUser),
    /// Memory shared with another process.
    Memif(Memif),
    /// Capture files.
    Pcap(Pcap),
    /// Packets made here.
    Generator(Generator),
    /// Takes packets and drops them.
    Null,
}

impl PortKind {
    /// As in the file.
    pub const NAMES: [&str; 8] =
        ["tap", "packet", "afxdp", "vhost-user", "memif", "pcap", "generator", "null"];

    /// As in the file.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Tap(_) => "tap",
            Self::Packet(_) => "packet",
            Self::Afxdp(_) => "afxdp",
            Self::VhostUser(_) => "vhost-user",
            Self::Memif(_) => "memif",
            Self::Pcap(_) => "pcap",
            Self::Generator(_) => "generator",
            Self::Null => "null",
        }
    }
}

/// A TAP device, made if there is none.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Tap {
    /// Its name; none: the port's.
    #[serde(with = "crate::text::option")]
    pub device: Option<IfName>,
    /// The network namespace it is in, a name of `ip netns` or a path; none: ours.
    pub netns: Option<String>,
    /// Whether it stays when the switch ends.
    pub persist: bool,
}

/// A device that exists, by `AF_PACKET` with `PACKET_VNET_HDR`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Packet {
    /// Its name.
    #[serde(with = "crate::text")]
    pub device: IfName,
    /// The network namespace it is in, a name of `ip netns` or a path; none: ours.
    pub netns: Option<String>,
}

/// A device that exists, by `AF_XDP`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Afxdp {
    /// Its name.
    #[serde(with = "crate::text")]
    pub device: IfName,
    /// The first of its queues that is ours.
    #[serde(default)]
    pub queue: u16,
    /// The network namespace it is in, a name of `ip netns` or a path; none: ours.
    pub netns: Option<String>,
    /// Where the XDP program runs.
    #[serde(default)]
    pub mode: XdpMode,
    /// Whether to insist on zero copy; otherwise it is used where the driver has it.
    #[serde(default)]
    pub zerocopy: bool,
}

/// Where an XDP program runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum XdpMode {
    /// In the driver, or in the network stack if the driver has no XDP.
    #[default]
    Auto,
    /// In the driver.
    Native,
    /// In the network stack.
    Generic,
}

/// Memory shared with another process: VPP, DPDK's `net_memif`, libmemif.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Memif {
    /// The socket, up to 107 bytes of path; as server, for this port alone.
    pub socket: PathBuf,
    /// Which side the port is.
    pub role: Role,
    /// The number of the interface on the socket.
    #[serde(default)]
    pub id: u32,
    /// Frames that may wait in a queue, a power of two from 2 to 16384; as server, the most that the client may choose.
    #[serde(default = "ring_size", deserialize_with = "limits::between::<_, _, 2, 16_384>")]
    pub ring_size: u32,
    /// As client, bytes of a buffer: a multiple of 64, up to 65472.
    #[serde(default = "buffer_size", deserialize_with = "limits::between::<_, _, 64, 65_472>")]
    pub buffer_size: u32,
    /// What both sides must know, up to 23 bytes; empty: nothing.
    #[serde(default)]
    pub secret: String,
}

fn ring_size() -> u32 {
    1024
}

fn buffer_size() -> u32 {
    2048
}

/// A virtio network device whose driver is in a virtual machine or in another process.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VhostUser {
    /// The Unix socket that both sides meet at, an absolute path of at most 107 bytes.
    pub socket: PathBuf,
    /// Who makes it.
    #[serde(default)]
    pub role: Role,
}

impl VhostUser {
    /// Longest path of a socket, in bytes (unix(7), without the zero at its end).
    pub const MAX_SOCKET: usize = 107;
}

/// Which side of a socket a port is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// It makes the socket, and the peer connects to it: memif's master.
    #[default]
    #[serde(alias = "master")]
    Server,
    /// It connects to the peer's socket, again and again until it is there: memif's slave.
    #[serde(alias = "slave")]
    Client,
}

/// Capture files: one that is played in, one that is written.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Pcap {
    /// The file whose packets come in.
    pub read: Option<PathBuf>,
    /// The file that packets go out to; it is made anew.
    pub write: Option<PathBuf>,
    /// How `read` is played.
    pub replay: Replay,
}

/// How a capture file is played.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Replay {
    /// Once, as fast as it goes.
    #[default]
    Once,
    /// Again and again, as fast as it goes.
    Loop,
    /// Once, with the gaps of the recording.
    Timed,
}
