//! Reading what hosts and routers say of groups, as a bridge that listens does (RFC 4541).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{
    DONE_MLD, IGMP, LEAVE_IGMP, QUERY_V4, QUERY_V6, Query, REPORT_IGMP_1, REPORT_IGMP_2, REPORT_IGMP_3,
    REPORT_MLD_1, REPORT_MLD_2, Say, query_v4, query_v6,
};
use crate::checksum::Sum;
use crate::ethernet::half;
use crate::icmpv6;
use crate::ipv4::Ipv4Header;
use crate::ipv6::{self, Ipv6Header};

/// What a packet to a group is to a bridge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A router asks who is in which group.
    Query,
    /// A host says which it is in.
    Report,
    /// It is for those who are in this group.
    Data(IpAddr),
}

/// What a packet, from its IP header on, is to a bridge. Neither checksums nor what it says are looked at. `None`: it has no whole
/// header, or is for no group.
pub fn kind(packet: &[u8]) -> Option<Kind> {
    if let Some(header) = Ipv4Header::read(packet) {
        let group = Ipv4Addr::from(header.destination);
        let is_message = header.protocol == IGMP && header.part().is_none();
        let kind = packet.get(header.header_len()).copied().filter(|_| is_message);
        return match kind {
            Some(QUERY_V4) => Some(Kind::Query),
            Some(REPORT_IGMP_1 | REPORT_IGMP_2 | REPORT_IGMP_3 | LEAVE_IGMP) => Some(Kind::Report),
            _ => group.is_multicast().then_some(Kind::Data(group.into())),
        };
    }
    let header = Ipv6Header::read(packet)?;
    let found = ipv6::transport(packet);
    let found = found.filter(|found| found.protocol == icmpv6::PROTOCOL && found.part.is_none());
    match found.and_then(|found| packet.get(found.offset)) {
        Some(&QUERY_V6) => Some(Kind::Query),
        Some(&(REPORT_MLD_1 | REPORT_MLD_2 | DONE_MLD)) => Some(Kind::Report),
        _ => {
            let group = Ipv6Addr::from(header.destination);
            group.is_multicast().then_some(Kind::Data(group.into()))
        }
    }
}

/// Whether a group is one that nobody needs to ask for: that of a protocol of the link itself, 224.0.0.0/24 and ff02::/16, those of
/// neighbour discovery among them; and what is below the link.
pub fn is_link_group(group: IpAddr) -> bool {
    match group {
        IpAddr::V4(group) => matches!(group.octets(), [224, 0, 0, _]),
        IpAddr::V6(group) => matches!(group.segments()[0], 0xff00..=0xff02),
    }
}

/// What was heard.
#[derive(Clone, Debug)]
pub enum Heard<'a> {
    /// A router asks.
    Query {
        /// What it asks.
        query: Query,
        /// Its address; an unspecified one is a switch's that stands in for a router.
        source: IpAddr,
    },
    /// A host says which groups it is in, one after the other.
    Report(Records<'a>),
}

/// Reads a message, from the IP header on; `None` of anything else, and of one that is not to be believed (RFC 3376 §4, RFC 3810 §5):
/// its checksum is wrong, it may have come by a router, it is cut off, or it asks the wrong ones.
pub fn hear(packet: &[u8]) -> Option<Heard<'_>> {
    let Message { source, destination, bytes } = message(packet)?;
    if let Some(query) = query_of(source, bytes) {
        // General questions are for all hosts, those about a group for its members (RFC 3376 §4.1.12, RFC 3810 §5.1.15): others do not
        // reach who is to answer.
        let is_fine = destination == all_hosts(source) || query.group == Some(destination);
        return is_fine.then_some(Heard::Query { query, source });
    }
    let records = match source {
        IpAddr::V4(_) => reported_v4(bytes)?,
        // One without an address may report, too (RFC 3590).
        IpAddr::V6(source) if source.is_unspecified() || source.is_unicast_link_local() => {
            reported_v6(bytes)?
        }
        IpAddr::V6(_) => return None,
    };
    Some(Heard::Report(records))
}

const fn all_hosts(version_of: IpAddr) -> IpAddr {
    match version_of {
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::new(224, 0, 0, 1)),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1)),
    }
}

/// A message whose checksum is right, and that no router has passed on.
pub(super) struct Message<'a> {
    pub source: IpAddr,
    pub destination: IpAddr,
    pub bytes: &'a [u8],
}

pub(super) fn message(packet: &[u8]) -> Option<Message<'_>> {
    if let Some(header) = Ipv4Header::read(packet) {
        let len = header.payload_len(packet.len())?;
        let bytes = packet.get(header.header_len()..)?.get(..len)?;
        let is_fine = header.protocol == IGMP && header.part().is_none() && header.ttl == 1;
        let (source, destination) = (Ipv4Addr::from(header.source), Ipv4Addr::from(header.destination));
        let message = Message { source: source.into(), destination: destination.into(), bytes };
        return (is_fine && Sum::of(bytes).finish() == 0).then_some(message);
    }
    let header = Ipv6Header::read(packet)?;
    let len = header.payload_len(packet.len())?;
    let packet = packet.get(..ipv6::HEADER_LEN + len)?;
    let found = ipv6::transport(packet).filter(|found| found.protocol == icmpv6::PROTOCOL)?;
    let bytes = packet.get(found.offset..)?;
    let is_fine = header.hop_limit == 1 && found.part.is_none();
    let (source, destination) = (Ipv6Addr::from(header.source), Ipv6Addr::from(header.destination));
    let message = Message { source: source.into(), destination: destination.into(), bytes };
    (is_fine && icmpv6::sum(header, bytes).finish() == 0).then_some(message)
}

/// The question in a message. That of IPv6 comes from a link-local address.
pub(super) fn query_of(source: IpAddr, bytes: &[u8]) -> Option<Query> {
    match source {
        IpAddr::V4(_) => query_v4(bytes),
        IpAddr::V6(source) if source.is_unicast_link_local() => query_v6(bytes),
        IpAddr::V6(_) => None,
    }
}

fn reported_v4(bytes: &[u8]) -> Option<Records<'_>> {
    let (fixed, rest) = bytes.split_first_chunk::<8>()?;
    let group = Ipv4Addr::from(*fixed.last_chunk::<4>()?).into();
    let say = match fixed[0] {
        REPORT_IGMP_1 | REPORT_IGMP_2 => Say::Member,
        LEAVE_IGMP => Say::Leave,
        REPORT_IGMP_3 => {
            return Some(Records { old: None, left: half(fixed, 6)?, rest, address: 4 });
        }
        _ => return None,
    };
    Some(Records { old: Some((group, say)), left: 0, rest, address: 4 })
}

fn reported_v6(bytes: &[u8]) -> Option<Records<'_>> {
    let (fixed, rest) = bytes.split_first_chunk::<8>()?;
    let say = match fixed[0] {
        REPORT_MLD_1 => Say::Member,
        DONE_MLD => Say::Leave,
        REPORT_MLD_2 => {
            return Some(Records { old: None, left: half(fixed, 6)?, rest, address: 16 });
        }
        _ => return None,
    };
    let (group, rest) = rest.split_first_chunk::<16>()?;
    Some(Records { old: Some((Ipv6Addr::from(*group).into(), say)), left: 0, rest, address: 16 })
}

/// Groups, and whether the host is in each or has left it. Which sources it wants to hear is not told apart: one is enough to be in a
/// group. What leaves open whether it is in one, as which sources it wants no more, is passed over; and so is what is after a
/// record that ends too early.
#[derive(Clone, Debug)]
pub struct Records<'a> {
    old: Option<(IpAddr, Say)>,
    left: u16,
    rest: &'a [u8],
    /// Bytes of an address.
    address: usize,
}

impl Records<'_> {
    /// The next record, whatever it says.
    fn record(&mut self) -> Option<(IpAddr, Option<Say>)> {
        self.left = self.left.checked_sub(1)?;
        let [kind, auxiliary] = *self.rest.first_chunk()?;
        let sources = usize::from(half(self.rest, 2)?);
        let group = self.rest.get(4..4 + self.address)?;
        let group = match (<[u8; 4]>::try_from(group), <[u8; 16]>::try_from(group)) {
            (Ok(group), _) => Ipv4Addr::from(group).into(),
            (_, Ok(group)) => Ipv6Addr::from(group).into(),
            _ => return None,
        };
        self.rest = self.rest.get(4 + self.address * (1 + sources) + usize::from(auxiliary) * 4..)?;
        // RFC 3376 §4.2.12: the state (1, 2) or the new state (3, 4) of the host, or sources that are more (5) or fewer (6).
        let say = match kind {
            1 | 3 if sources == 0 => Some(Say::Leave),
            1..=4 => Some(Say::Member),
            5 if sources > 0 => Some(Say::Member),
            _ => None,
        };
        Some((group, say))
    }
}

impl Iterator for Records<'_> {
    type Item = (IpAddr, Say);

    fn next(&mut self) -> Option<(IpAddr, Say)> {
        loop {
            let (group, say) = match self.old.take() {
                Some((group, say)) => (group, Some(say)),
                None => self.record()?,
            };
            if let Some(say) = say
                && group.is_multicast()
            {
                return Some((group, say));
            }
        }
    }
}
