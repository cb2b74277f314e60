//! What is IPv6's own in routing (RFC 8200).

use std::net::{IpAddr, Ipv6Addr};

use paceline_graph::{Hop, Reason, Vrf};
use paceline_wire::flow::extract_v6;
use paceline_wire::input::{check_v6, reach_v6};
use paceline_wire::ipv6::{self, Ipv6Header};
use paceline_wire::membership;
use paceline_wire::ndp;

use super::{Family, fault, routed};
use crate::hop;

/// IPv6.
pub struct Ip6;

impl Family for Ip6 {
    type Address = u128;
    const NAME: &'static str = "ip6-route";
    const HOP: Hop = hop::IP6_ROUTE;
    const ETHERTYPE: [u8; 2] = [0x86, 0xdd];
    const TRANSLATE: Hop = hop::NAT66_OUT2IN;
    const OTHER: Option<([u8; 2], Hop)> = None;

    #[inline(always)]
    fn check(packet: &[u8], total: usize) -> Result<u128, Reason> {
        let header = check_v6(packet, total).map_err(fault)?;
        routed(reach_v6(&header.source, &header.destination))?;
        if header.destination[0] == 0xff {
            return Err(Reason::Multicast);
        }
        Ok(u128::from_be_bytes(header.destination))
    }

    #[inline(always)]
    fn lookup(vrf: &Vrf, addresses: &[u128], values: &mut [u32]) {
        vrf.fib6.lookup_batch(addresses, values);
    }

    #[inline(always)]
    fn pass(packet: &mut [u8]) -> bool {
        Ipv6Header::read_mut(packet).is_some_and(Ipv6Header::decrement_hop_limit)
    }

    #[inline(always)]
    fn is_of_link(packet: &[u8]) -> bool {
        ndp::is_of_link(packet)
    }

    fn is_expired(packet: &[u8]) -> bool {
        Ipv6Header::read(packet).is_none_or(Ipv6Header::is_expired)
    }

    fn address(address: u128) -> IpAddr {
        Ipv6Addr::from(address).into()
    }

    fn is_for_control(packet: &[u8]) -> bool {
        let is_link_local = |header: &Ipv6Header| ipv6::is_link_local(&header.destination);
        ndp::is_discovery(packet)
            || Ipv6Header::read(packet).is_some_and(is_link_local)
            || membership::is_membership(packet)
    }

    /// Only senders cut IPv6 packets (RFC 8200 §4.5).
    fn may_be_cut(_: &[u8]) -> bool {
        false
    }

    fn flow(packet: &[u8], total: usize) -> u32 {
        extract_v6(packet, total).map_or(0, |flow| flow.path_key().hash64(0) as u32)
    }
}
