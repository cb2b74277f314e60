//! Membership in multicast groups: what hosts say and routers ask, for IPv4 (IGMP: RFC 2236, RFC 3376) and IPv6 (MLD: RFC 2710,
//! RFC 3810).
//!
//! A host here wants all sources of its groups, or none; so reports have records without sources.

#[path = "membership_parse.rs"]
mod parse;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use zerocopy::IntoBytes;

use crate::checksum::{Sum, pseudo_v6};
use crate::ethernet::{self, ETHERTYPE_IPV4, ETHERTYPE_IPV6, HEADER_LEN, Mac, half};
use crate::icmpv6;
use crate::ipv4::{Ipv4Header, MIN_LEN, fill_checksum};
use crate::ipv6::{self, Ipv6Header, UNSPECIFIED};
pub use parse::{Heard, Kind, Records, hear, is_link_group, kind};

/// IP protocol number of IGMP.
pub const IGMP: u8 = 2;
/// Most bytes of a frame that is written here.
pub const MAX_LEN: usize = HEADER_LEN + ipv6::HEADER_LEN + 8 + 8 + RECORD_V6;

/// Bytes of a record with a group and no sources.
const RECORD_V4: usize = 8;
const RECORD_V6: usize = 20;
/// The option that has routers look at a packet that is not for them: of IPv4 (RFC 2113), and in a header of its own, of IPv6 (RFC 2711).
const ROUTER_ALERT_V4: [u8; 4] = [0x94, 4, 0, 0];
const ROUTER_ALERT_V6: [u8; 8] = [icmpv6::PROTOCOL, 0, 5, 2, 0, 0, 1, 0];
/// Of routing protocols, as reports are sent (RFC 3376 §4).
const INTERNETWORK_CONTROL: u8 = 0xc0;

/// Losses of one message that are made good, and seconds between two general questions: the RFCs' defaults.
const ROBUSTNESS: u8 = 2;
const INTERVAL_S: u8 = 125;

/// Message types.
const QUERY_V4: u8 = 0x11;
const REPORT_IGMP_1: u8 = 0x12;
const REPORT_IGMP_2: u8 = 0x16;
const LEAVE_IGMP: u8 = 0x17;
const REPORT_IGMP_3: u8 = 0x22;
const QUERY_V6: u8 = 130;
const REPORT_MLD_1: u8 = 131;
const DONE_MLD: u8 = 132;
const REPORT_MLD_2: u8 = 143;

/// Which words routers on a link understand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dialect {
    /// IGMPv2 and MLDv1.
    Old,
    /// IGMPv3 and MLDv2.
    #[default]
    New,
}

/// What a host says of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Say {
    /// It is in it, which was asked.
    Member,
    /// It came.
    Join,
    /// It left.
    Leave,
}

/// A router's question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Query {
    /// Whether the router knows only the old words.
    pub dialect: Dialect,
    /// The group in question; none: all of them.
    pub group: Option<IpAddr>,
    /// Within what time it wants the answer.
    pub within: Duration,
    /// For how long what is known of members holds, but for the time of an answer: the losses that are made good, times the time between
    /// two general questions (RFC 3376 §8.4). Old words do not say it: as is usual.
    pub holds: Duration,
    /// Whether who does not answer is in the group no more: it asks for one group, whatever the source, and not only for others to
    /// hear (RFC 3376 §6.6.1: the flag S).
    pub is_last: bool,
}

/// Whether a packet, from its IP header on, may be one of these messages. What it says is for [`query`] to check.
pub fn is_membership(packet: &[u8]) -> bool {
    if let Some(header) = Ipv4Header::read(packet) {
        return header.protocol == IGMP;
    }
    let kind = |found: &ipv6::Transport| packet.get(found.offset).copied().unwrap_or_default();
    ipv6::transport(packet).is_some_and(|found| {
        found.protocol == icmpv6::PROTOCOL && matches!(kind(&found), QUERY_V6..=DONE_MLD | REPORT_MLD_2)
    })
}

/// Whether a packet, from its IP header on, is one of these messages as they are sent: whole, to a group, and no further than the link
/// (RFC 3376 §4, RFC 3810 §5).
pub fn is_of_link(packet: &[u8]) -> bool {
    if let Some(header) = Ipv4Header::read(packet) {
        let is_to_group = Ipv4Addr::from(header.destination).is_multicast();
        return header.protocol == IGMP && header.ttl == 1 && header.part().is_none() && is_to_group;
    }
    let Some(header) = Ipv6Header::read(packet) else { return false };
    let is_fine = |source| source == UNSPECIFIED || ipv6::is_link_local(&source);
    header.hop_limit == 1
        && is_fine(header.source)
        && ipv6::is_multicast(&header.destination)
        && ipv6::transport(packet).is_some_and(|found| found.part.is_none())
        && is_membership(packet)
}

/// Reads a question, from its IP header on; `None` of anything else, and of one that is not to be believed (RFC 3376 §4.1, RFC 3810
/// §5.1): its checksum is wrong, it may have come by a router, or it is cut off.
pub fn query(packet: &[u8]) -> Option<Query> {
    let message = parse::message(packet)?;
    parse::query_of(message.source, message.bytes)
}

fn query_v4(message: &[u8]) -> Option<Query> {
    let (fixed, rest) = message.split_first_chunk::<8>()?;
    let [QUERY_V4, code, _, _, group @ ..] = *fixed else { return None };
    // Without a time it is of the first version, which waits ten seconds (RFC 2236 §4).
    let tenths = match (rest.len(), code) {
        (0, 0) => 100,
        (0, code) => code.into(),
        (_, code) => exponent(code.into(), 8),
    };
    let group = Ipv4Addr::from(group);
    Some(Query {
        dialect: if rest.is_empty() { Dialect::Old } else { Dialect::New },
        group: (!group.is_unspecified()).then_some(group.into()),
        within: Duration::from_millis(u64::from(tenths) * 100),
        holds: holds(rest),
        is_last: !group.is_unspecified() && is_last(rest),
    })
}

fn query_v6(message: &[u8]) -> Option<Query> {
    let (fixed, rest) = message.split_first_chunk::<24>()?;
    if fixed[0] != QUERY_V6 {
        return None;
    }
    let code = half(fixed, 4)?;
    let millis = if rest.is_empty() { code.into() } else { exponent(code, 16) };
    let group = Ipv6Addr::from(*fixed.last_chunk::<16>()?);
    Some(Query {
        dialect: if rest.is_empty() { Dialect::Old } else { Dialect::New },
        group: (!group.is_unspecified()).then_some(group.into()),
        within: Duration::from_millis(millis.into()),
        holds: holds(rest),
        is_last: !group.is_unspecified() && is_last(rest),
    })
}

/// Whether a question has neither the flag S nor sources, by what stands behind its group. One in the old words has neither.
fn is_last(rest: &[u8]) -> bool {
    rest.is_empty() || rest[0] & 8 == 0 && half(rest, 2) == Some(0)
}

/// For how long a question's answers hold, by what stands behind its group: flags with the losses that are made good, and seconds (RFC 3376
/// §4.1.6, §4.1.7).
fn holds(rest: &[u8]) -> Duration {
    let [flags, code] = rest.first_chunk().copied().unwrap_or_default();
    let or = |said: u32, usual: u8| if said == 0 { usual.into() } else { said };
    let times = or(u32::from(flags & 7), ROBUSTNESS);
    Duration::from_secs(u64::from(times * or(exponent(code.into(), 8), INTERVAL_S)))
}

/// A time as the newer versions write it: a number, or, with the highest of `bits` set, one with an exponent of three bits (RFC 3376
/// §4.1.1, RFC 3810 §5.1.3).
const fn exponent(code: u16, bits: u32) -> u32 {
    let code = code as u32;
    if code >> (bits - 1) == 0 {
        return code;
    }
    let mantissa_bits = bits - 4;
    let mantissa = code & ((1 << mantissa_bits) - 1);
    (mantissa | 1 << mantissa_bits) << ((code >> mantissa_bits & 7) + 3)
}

/// Writes the frame by which a host with these addresses says something of a group, and returns its length, at most [`MAX_LEN`].
/// `None` if the addresses are of different versions of IP, or `out` is shorter. A source may be unspecified.
pub fn write(
    mac: Mac,
    source: IpAddr,
    group: IpAddr,
    say: Say,
    dialect: Dialect,
    out: &mut [u8],
) -> Option<usize> {
    match (source, group) {
        (IpAddr::V4(source), IpAddr::V4(group)) => write_v4(mac, source, group, say, dialect, out),
        (IpAddr::V6(source), IpAddr::V6(group)) => write_v6(mac, source, group, say, dialect, out),
        _ => None,
    }
}

/// The type of a record.
const fn record(say: Say) -> u8 {
    match say {
        Say::Member => 2,
        Say::Leave => 3,
        Say::Join => 4,
    }
}

fn write_v4(
    mac: Mac,
    source: Ipv4Addr,
    group: Ipv4Addr,
    say: Say,
    dialect: Dialect,
    out: &mut [u8],
) -> Option<usize> {
    let mut message = [0; 8 + RECORD_V4];
    let (to, message) = match dialect {
        Dialect::New => {
            (message[0], message[7], message[8]) = (REPORT_IGMP_3, 1, record(say));
            message[12..].copy_from_slice(&group.octets());
            ([224, 0, 0, 22], &mut message[..])
        }
        Dialect::Old => {
            let (kind, to) = match say {
                Say::Leave => (LEAVE_IGMP, [224, 0, 0, 2]),
                Say::Member | Say::Join => (REPORT_IGMP_2, group.octets()),
            };
            message[0] = kind;
            message[4..8].copy_from_slice(&group.octets());
            (to, &mut message[..8])
        }
    };
    frame_v4(mac, source, to, message, out)
}

/// Writes the frame around a message, whose checksum is filled in.
fn frame_v4(mac: Mac, source: Ipv4Addr, to: [u8; 4], message: &mut [u8], out: &mut [u8]) -> Option<usize> {
    let sum = Sum::of(message).finish();
    message[2..4].copy_from_slice(&sum.to_be_bytes());
    let front = MIN_LEN + ROUTER_ALERT_V4.len();
    let len = HEADER_LEN + front + message.len();
    let out = out.get_mut(..len)?;
    ethernet::write_header(out, Mac::of_group_v4(to), mac, ETHERTYPE_IPV4)?;
    let ip = &mut out[HEADER_LEN..];
    let mut header = Ipv4Header::new(IGMP, source.octets(), to, (len - HEADER_LEN) as u16);
    header.set_header_len(front);
    (header.ttl, header.tos) = (1, INTERNETWORK_CONTROL);
    ip[..MIN_LEN].copy_from_slice(header.as_bytes());
    ip[MIN_LEN..front].copy_from_slice(&ROUTER_ALERT_V4);
    ip[front..].copy_from_slice(message);
    fill_checksum(&mut ip[..front]);
    Some(len)
}

fn write_v6(
    mac: Mac,
    source: Ipv6Addr,
    group: Ipv6Addr,
    say: Say,
    dialect: Dialect,
    out: &mut [u8],
) -> Option<usize> {
    const ROUTERS: [u8; 16] = crate::ndp::ALL_ROUTERS;
    const LISTENERS: [u8; 16] = [0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x16];
    let mut message = [0; 8 + RECORD_V6];
    let (to, message) = match dialect {
        Dialect::New => {
            (message[0], message[7], message[8]) = (REPORT_MLD_2, 1, record(say));
            message[12..].copy_from_slice(&group.octets());
            (LISTENERS, &mut message[..])
        }
        Dialect::Old => {
            let (kind, to) = match say {
                Say::Leave => (DONE_MLD, ROUTERS),
                Say::Member | Say::Join => (REPORT_MLD_1, group.octets()),
            };
            message[0] = kind;
            message[8..24].copy_from_slice(&group.octets());
            (to, &mut message[..24])
        }
    };
    frame_v6(mac, source, to, message, out)
}

/// As [`frame_v4`].
fn frame_v6(mac: Mac, source: Ipv6Addr, to: [u8; 16], message: &mut [u8], out: &mut [u8]) -> Option<usize> {
    let mut sum = pseudo_v6(&source.octets(), &to, icmpv6::PROTOCOL, message.len() as u32);
    sum.add(message);
    message[2..4].copy_from_slice(&sum.finish().to_be_bytes());
    let front = ipv6::HEADER_LEN + ROUTER_ALERT_V6.len();
    let len = HEADER_LEN + front + message.len();
    let out = out.get_mut(..len)?;
    ethernet::write_header(out, Mac::of_group_v6(&to), mac, ETHERTYPE_IPV6)?;
    let ip = &mut out[HEADER_LEN..];
    let mut header = Ipv6Header::new(0, source.octets(), to, (len - HEADER_LEN - ipv6::HEADER_LEN) as u16);
    header.hop_limit = 1;
    ip[..ipv6::HEADER_LEN].copy_from_slice(header.as_bytes());
    ip[ipv6::HEADER_LEN..front].copy_from_slice(&ROUTER_ALERT_V6);
    ip[front..].copy_from_slice(message);
    Some(len)
}

/// Writes the frame by which a switch with these addresses asks who is in a group, or in which ones, in the words of IGMPv3 and MLDv2,
/// and returns its length, at most [`MAX_LEN`]. Its answer is wanted within a time of up to 12.7 s, in tenths of a second. `None`
/// if the addresses are of different versions of IP, or `out` is shorter.
pub fn ask(
    mac: Mac,
    source: IpAddr,
    group: Option<IpAddr>,
    within: Duration,
    out: &mut [u8],
) -> Option<usize> {
    let millis = within.as_millis().min(12_700) as u16;
    match (source, group.unwrap_or(unspecified(source))) {
        (IpAddr::V4(source), IpAddr::V4(group)) => {
            let mut message = [0; 12];
            (message[0], message[1]) = (QUERY_V4, (millis / 100) as u8);
            message[4..8].copy_from_slice(&group.octets());
            (message[8], message[9]) = (ROBUSTNESS, INTERVAL_S);
            let to = if group.is_unspecified() { [224, 0, 0, 1] } else { group.octets() };
            frame_v4(mac, source, to, &mut message, out)
        }
        (IpAddr::V6(source), IpAddr::V6(group)) => {
            let mut message = [0; 28];
            message[0] = QUERY_V6;
            message[4..6].copy_from_slice(&millis.to_be_bytes());
            message[8..24].copy_from_slice(&group.octets());
            (message[24], message[25]) = (ROBUSTNESS, INTERVAL_S);
            let to = if group.is_unspecified() { crate::ndp::ALL_NODES } else { group.octets() };
            frame_v6(mac, source, to, &mut message, out)
        }
        _ => None,
    }
}

/// The address that nothing has yet, of a version.
pub const fn unspecified(version_of: IpAddr) -> IpAddr {
    match version_of {
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::from_bits(u128::from_be_bytes(UNSPECIFIED))),
    }
}

#[cfg(test)]
#[path = "membership_tests.rs"]
mod tests;
