//! What rules and policies see of a packet's flow.

use paceline_tables::{Address, Tuple};
use paceline_wire::ethernet::ETHERTYPE_IPV4;
use paceline_wire::flow::Kind;
use paceline_wire::{icmpv4, icmpv6};

use crate::nat::{NatFamily, Seen};

/// IP protocol number of IGMP.
const IGMP: u8 = 2;

/// What rules are asked about: the flow of the packet's own headers, with type and code of ICMP in place of ports.
pub(super) fn rule_key<T: Address>(seen: &Seen<T>) -> Tuple<T> {
    let outer = seen.outer;
    if matches!(outer.protocol, icmpv4::PROTOCOL | icmpv6::PROTOCOL) && seen.kind != Kind::LaterPart {
        return Tuple { ports: u32::from(seen.icmp.0) << 16 | u32::from(seen.icmp.1), ..outer };
    }
    outer
}

/// Whether a packet is of a protocol without which the link does not work, and cannot have come from beyond it: neighbour discovery
/// (RFC 4861), listener discovery (RFC 3810), IGMP (RFC 3376).
pub(super) fn is_of_link<F: NatFamily>(ip: &[u8], seen: &Seen<F::Address>) -> bool {
    if seen.part.is_some() {
        return false;
    }
    let is_v4 = F::ETHERTYPE == ETHERTYPE_IPV4.to_be_bytes();
    let ttl = ip.get(if is_v4 { 8 } else { 7 }).copied().unwrap_or_default();
    match (is_v4, seen.outer.protocol, seen.icmp.0) {
        (true, IGMP, _) | (false, icmpv6::PROTOCOL, 130..=132 | 143) => ttl == 1,
        (false, icmpv6::PROTOCOL, 133..=137) => ttl == 255,
        _ => false,
    }
}
