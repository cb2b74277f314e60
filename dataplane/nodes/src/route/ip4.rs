//! What is IPv4's own in routing (RFC 1812).

use std::net::{IpAddr, Ipv4Addr};

use paceline_graph::{Hop, Reason, Vrf};
use paceline_wire::flow::extract_v4;
use paceline_wire::input::{check_v4, reach_v4};
use paceline_wire::ipv4::{self, DONT_FRAGMENT, Ipv4Header};
use paceline_wire::membership;

use super::{Family, fault, routed};
use crate::hop;

/// IPv4.
pub struct Ip4;

impl Family for Ip4 {
    type Address = u32;
    const NAME: &'static str = "ip4-route";
    const HOP: Hop = hop::IP4_ROUTE;
    const ETHERTYPE: [u8; 2] = [0x08, 0x00];
    const TRANSLATE: Hop = hop::NAT44_OUT2IN;
    const OTHER: Option<([u8; 2], Hop)> = Some((super::Ip6::ETHERTYPE, hop::IP6_ROUTE));

    #[inline(always)]
    fn check(packet: &[u8], total: usize) -> Result<u32, Reason> {
        let header = check_v4(packet, total).map_err(fault)?;
        routed(reach_v4(header.source, header.destination))?;
        if header.destination[0] >= 224 {
            return Err(Reason::Multicast);
        }
        Ok(u32::from_be_bytes(header.destination))
    }

    #[inline(always)]
    fn lookup(vrf: &Vrf, addresses: &[u32], values: &mut [u32]) {
        vrf.fib4.lookup_batch(addresses, values);
    }

    #[inline(always)]
    fn pass(packet: &mut [u8]) -> bool {
        Ipv4Header::checked_mut(packet).is_some_and(Ipv4Header::decrement_ttl)
    }

    #[inline(always)]
    fn is_of_link(_: &[u8]) -> bool {
        false
    }

    fn is_expired(packet: &[u8]) -> bool {
        Ipv4Header::read(packet).is_none_or(Ipv4Header::is_expired)
    }

    fn address(address: u32) -> IpAddr {
        Ipv4Addr::from(address).into()
    }

    fn is_for_control(packet: &[u8]) -> bool {
        let is_wanted = |header: &Ipv4Header| {
            ipv4::is_link_local(header.destination) || header.protocol == membership::IGMP
        };
        Ipv4Header::read(packet).is_some_and(is_wanted)
    }

    fn may_be_cut(packet: &[u8]) -> bool {
        Ipv4Header::read(packet).is_some_and(|header| header.fragment.get() & DONT_FRAGMENT == 0)
    }

    fn flow(packet: &[u8], total: usize) -> u32 {
        extract_v4(packet, total).map_or(0, |flow| flow.path_key().hash64(0) as u32)
    }
}
