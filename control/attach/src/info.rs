//! What the kernel says of a link.

use paceline_sys::IfName;
use rtnetlink::packet_core::Nla;
use rtnetlink::packet_route::link::{InfoData, InfoKind, LinkAttribute, LinkFlags, LinkInfo, LinkMessage};

use crate::mark::Mark;

/// `IFLA_TUN_MULTI_QUEUE` (linux/if_link.h): one byte, 0 or 1.
const TUN_MULTI_QUEUE: u16 = 7;

/// What a link is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A tap (or tun).
    Tap {
        /// It was made for several queues and is opened only so.
        multi_queue: bool,
    },
    /// One end of a veth.
    Veth,
    /// Another virtual kind, by the kernel's name.
    Other(String),
    /// A device, or the loopback.
    Device,
}

/// The other end of a veth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// Its index in its namespace.
    pub index: u32,
    /// Its namespace, by the number that this link's namespace has for it; `None` when it is the same.
    pub netns: Option<i32>,
}

/// A link as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Index; unique in its namespace, and kept in a move unless taken there.
    pub index: u32,
    /// Present name.
    pub name: IfName,
    /// What it is.
    pub kind: Kind,
    /// Ethernet address; zeros for a link that has none.
    pub mac: [u8; 6],
    /// Bytes, without the Ethernet header.
    pub mtu: u32,
    /// Administratively up (`IFF_UP`).
    pub up: bool,
    /// The other side is there (`IFF_LOWER_UP`): for a tap, a process has it open; for a veth, its peer is up. Only
    /// meaningful while `up`.
    pub carrier: bool,
    /// The other end, of a veth.
    pub peer: Option<Peer>,
    /// Whose it is, if it is ours.
    pub mark: Option<Mark>,
}

impl Link {
    /// Reads a message; `None` for a name that no link of ours can have.
    pub(crate) fn read(message: &LinkMessage, tag: &str) -> Option<Self> {
        let flags = message.header.flags;
        let (mut name, mut kind, mut mac, mut mtu) = (None, Kind::Device, [0; 6], 0);
        let (mut peer, mut netns, mut mark) = (None, None, None);
        for attribute in &message.attributes {
            match attribute {
                LinkAttribute::IfName(text) => name = text.parse().ok(),
                LinkAttribute::Address(bytes) => mac = bytes.as_slice().try_into().unwrap_or_default(),
                LinkAttribute::Mtu(bytes) => mtu = *bytes,
                LinkAttribute::Link(index) => peer = Some(*index),
                LinkAttribute::LinkNetNsId(id) => netns = Some(*id),
                LinkAttribute::IfAlias(alias) => mark = Mark::parse(tag, alias),
                LinkAttribute::LinkInfo(info) => kind = read_kind(info),
                _ => {}
            }
        }
        let peer = peer.filter(|_| kind == Kind::Veth).map(|index| Peer { index, netns });
        let (up, carrier) = (flags.contains(LinkFlags::Up), flags.contains(LinkFlags::LowerUp));
        Some(Self { index: message.header.index, name: name?, kind, mac, mtu, up, carrier, peer, mark })
    }
}

fn read_kind(info: &[LinkInfo]) -> Kind {
    let kind = info.iter().find_map(|part| if let LinkInfo::Kind(kind) = part { Some(kind) } else { None });
    match kind {
        Some(InfoKind::Tun) => Kind::Tap { multi_queue: info.iter().any(is_multi_queue) },
        Some(InfoKind::Veth) => Kind::Veth,
        Some(other) => Kind::Other(other.to_string()),
        None => Kind::Device,
    }
}

fn is_multi_queue(part: &LinkInfo) -> bool {
    let LinkInfo::Data(InfoData::Tun(attributes)) = part else { return false };
    attributes.iter().any(|attribute| {
        let mut value = [0];
        if attribute.kind() == TUN_MULTI_QUEUE && attribute.value_len() == value.len() {
            attribute.emit_value(&mut value);
        }
        value != [0]
    })
}
