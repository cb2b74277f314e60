//! `port-guard`: lets only addresses in that may be used behind the interface: as sources, and as what ARP and neighbour discovery
//! claim (port security; dynamic ARP inspection; RFC 6105 for routers, RFC 6620 for hosts).
//!
//! Next: the rest of the input arc.
//!
//! Addresses are looked for behind up to two VLAN tags, of which more are dropped, and messages of neighbour discovery behind extension headers. One that comes in
//! parts is none (RFC 6980).
//!
//! Of link-local addresses of IPv6 one is a host's own without being listed: that which is made of its MAC address (RFC 4291 appendix
//! A), as Linux does unless told otherwise. So none can be claimed that is another host's, or the gateway's.
//!
//! Cost: a look at the source addresses, in a list of MAC addresses and a hash table of hosts.

use std::net::{Ipv4Addr, Ipv6Addr};

use paceline_buf::Vector;
use paceline_graph::filter::Guard;
use paceline_graph::{Context, Node, Reason};
use paceline_wire::arp::Arp;
use paceline_wire::ethernet::{self, ETHERTYPE_ARP, ETHERTYPE_IPV4, ETHERTYPE_IPV6, Mac};
use paceline_wire::ipv4::Ipv4Header;
use paceline_wire::ipv6::{self, Ipv6Header};
use paceline_wire::ndp::{self, Message};
use paceline_wire::{icmpv6, udp, vlan};

use crate::feature::Hops;

/// The port of DHCP servers.
const DHCP: u16 = 67;
/// ICMPv6 types of neighbour discovery, redirects among them.
const DISCOVERY: std::ops::RangeInclusive<u8> = ndp::ROUTER_SOLICITATION..=ndp::REDIRECT;

/// The node.
#[derive(Default)]
pub struct PortGuard {
    hops: Hops,
}

impl Node for PortGuard {
    fn name(&self) -> &'static str {
        "port-guard"
    }

    fn process(&mut self, cx: &mut Context<'_>, vector: &mut Vector) {
        self.hops.walk::<false>(cx, vector, |_, packet, filter| {
            filter.guard.as_deref().map_or(Ok(()), |guard| check(guard, packet.data()))
        });
    }
}

/// Whether a frame may come in.
fn check(guard: &Guard, frame: &[u8]) -> Result<(), Reason> {
    let ethernet = ethernet::parse(frame).ok_or(Reason::Runt)?;
    let (_, source) = ethernet::addresses(frame).ok_or(Reason::Runt)?;
    if !guard.has_mac(source) {
        return Err(Reason::GuardMac);
    }
    let ip = frame.get(ethernet.l3..).ok_or(Reason::Runt)?;
    match ethernet.ethertype {
        ETHERTYPE_ARP => arp(guard, frame, source),
        ETHERTYPE_IPV4 => v4(guard, ip),
        ETHERTYPE_IPV6 => v6(guard, ip, source),
        kind if vlan::is_tpid(kind) => Err(Reason::GuardTags),
        _ => Ok(()),
    }
}

fn arp(guard: &Guard, frame: &[u8], source: Mac) -> Result<(), Reason> {
    let arp = Arp::parse(frame).map_err(|_| Reason::GuardClaim)?;
    // Who only asks whether an address is free wants to have it.
    let claimed = Ipv4Addr::from(if arp.is_probe() { arp.target } else { arp.sender });
    let is_own = arp.sender_mac == source && guard.has_address(claimed.into());
    if is_own { Ok(()) } else { Err(Reason::GuardClaim) }
}

fn v4(guard: &Guard, ip: &[u8]) -> Result<(), Reason> {
    let header = Ipv4Header::read(ip).ok_or(Reason::IpHeader)?;
    let source = Ipv4Addr::from(header.source);
    if guard.has_address(source.into()) {
        return Ok(());
    }
    let to_port = ip.get(header.header_len() + 2..).and_then(<[u8]>::first_chunk::<2>);
    let asks_for_one = source.is_unspecified()
        && header.protocol == udp::PROTOCOL
        && !header.is_fragment()
        && to_port == Some(&DHCP.to_be_bytes());
    if asks_for_one { Ok(()) } else { Err(Reason::GuardAddress) }
}

fn v6(guard: &Guard, ip: &[u8], mac: Mac) -> Result<(), Reason> {
    let header = Ipv6Header::read(ip).ok_or(Reason::IpHeader)?;
    let is_fine = |address: &[u8; 16]| {
        let address = Ipv6Addr::from(*address);
        // The one that a kernel makes by itself. Another one may be the gateway's, or another host's.
        address == mac.link_local() || guard.has_address(address.into())
    };
    let has_source = header.source != ipv6::UNSPECIFIED;
    if has_source && !is_fine(&header.source) {
        return Err(Reason::GuardAddress);
    }
    let found = ipv6::transport(ip).ok_or(Reason::IpHeader)?;
    let kind = ip.get(found.offset).filter(|_| !found.is_later_part()).copied().unwrap_or_default();
    if found.protocol != icmpv6::PROTOCOL || !DISCOVERY.contains(&kind) {
        // Without an address one may ask for one, or listen.
        let may_ask = has_source || matches!(found.protocol, icmpv6::PROTOCOL | udp::PROTOCOL);
        return if may_ask { Ok(()) } else { Err(Reason::GuardAddress) };
    }
    if kind == ndp::REDIRECT {
        return if guard.router { Ok(()) } else { Err(Reason::GuardClaim) };
    }
    let is_own = match ndp::parse(ip).map_err(|_| Reason::GuardClaim)? {
        Message::Solicitation(asks) => {
            let own = asks.link_layer.is_none_or(|told| told == mac);
            own && (has_source || is_fine(&asks.target))
        }
        Message::Advertisement(tells) => {
            tells.link_layer.is_none_or(|told| told == mac) && is_fine(&tells.target)
        }
        Message::RouterSolicitation(asks) => asks.link_layer.is_none_or(|told| told == mac),
        Message::RouterAdvertisement(_) => guard.router,
    };
    if is_own { Ok(()) } else { Err(Reason::GuardClaim) }
}

#[cfg(test)]
#[path = "port_guard_tests.rs"]
mod tests;
