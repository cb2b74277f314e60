//! What rules and policies see of a packet's flow.

use paceline_tables::{Address, Tuple};
use paceline_wire::flow::Kind;
use paceline_wire::{icmpv4, icmpv6, membership, ndp};

use crate::nat::Seen;

/// What rules are asked about: the flow of the packet's own headers, with type and code of ICMP in place of ports.
pub(super) fn rule_key<T: Address>(seen: &Seen<T>) -> Tuple<T> {
    let outer = seen.outer;
    if matches!(outer.protocol, icmpv4::PROTOCOL | icmpv6::PROTOCOL) && seen.kind != Kind::LaterPart {
        return Tuple { ports: u32::from(seen.icmp.0) << 16 | u32::from(seen.icmp.1), ..outer };
    }
    outer
}

/// Whether a packet is one without which the link does not work, and which goes no further: neighbour discovery (RFC 4861), which
/// routers do not pass on, and what hosts and routers say about groups (RFC 3810, RFC 3376), which is sent to groups alone.
pub(super) fn is_of_link(ip: &[u8]) -> bool {
    ndp::is_of_link(ip) || membership::is_of_link(ip)
}
