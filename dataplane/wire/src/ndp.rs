//! Neighbour discovery for IPv6 (RFC 4861): who has an address, and which routers there are.
//!
//! Slices here start at the IPv6 header and hold all of the packet.

use crate::ethernet::Mac;
use crate::icmp::{self, IcmpHeader};
use crate::icmpv6;
use crate::ipv6::{self, Ipv6Header};
use crate::ndp_options::{Options, SOURCE_LINK_LAYER, TARGET_LINK_LAYER, write_link_layer};
pub use crate::ndp_parse::{Fault, parse};

/// Type of a router solicitation.
pub const ROUTER_SOLICITATION: u8 = 133;
/// Type of a router advertisement.
pub const ROUTER_ADVERTISEMENT: u8 = 134;
/// Type of a neighbour solicitation.
pub const NEIGHBOR_SOLICITATION: u8 = 135;
/// Type of a neighbour advertisement.
pub const NEIGHBOR_ADVERTISEMENT: u8 = 136;
/// Type of a redirect, which routers send.
pub const REDIRECT: u8 = 137;
/// The hop limit of all these: a packet that has it came by no router.
pub const HOP_LIMIT: u8 = 255;
/// All hosts and routers of the link (RFC 4291 §2.7.1).
pub const ALL_NODES: [u8; 16] = [0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
/// All routers of the link (RFC 4291 §2.7.1).
pub const ALL_ROUTERS: [u8; 16] = [0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2];
/// Most bytes of a packet that is written here: both headers, target, one option.
pub const MAX_LEN: usize = ipv6::HEADER_LEN + icmp::HEADER_LEN + 16 + 8;

/// Flags of an advertisement, in the first byte behind the checksum (RFC 4861 §4.4).
pub(crate) const ROUTER: u8 = 0x80;
pub(crate) const SOLICITED: u8 = 0x40;
pub(crate) const OVERRIDE: u8 = 0x20;

/// The group that those join who have an address (RFC 4291 §2.7.1): ff02::1:ff00:0/104 and its last 24 bits. Its MAC address is
/// [`Mac::of_group_v6`].
#[inline]
pub const fn solicited_node(address: &[u8; 16]) -> [u8; 16] {
    let [.., a, b, c] = *address;
    [0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, a, b, c]
}

/// Whether an IPv6 packet looks like one of neighbour discovery, and so is not to be routed. What it says is for
/// [`parse`] to check.
pub fn is_discovery(packet: &[u8]) -> bool {
    is_of_link(packet) && packet.get(ipv6::HEADER_LEN) != Some(&REDIRECT)
}

/// The same, with redirects: what is for its link alone (RFC 4861 §3.1).
#[inline]
pub fn is_of_link(packet: &[u8]) -> bool {
    let kind = packet.get(ipv6::HEADER_LEN).copied().unwrap_or_default();
    Ipv6Header::read(packet).is_some_and(|header| {
        header.hop_limit == HOP_LIMIT
            && header.next_header == icmpv6::PROTOCOL
            && (ROUTER_SOLICITATION..=REDIRECT).contains(&kind)
    })
}

/// Asks who has an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Solicitation {
    /// Who asks; unspecified if it asks whether the address is free (RFC 4862 §5.4.2).
    pub source: [u8; 16],
    /// The target's [`solicited_node`] group, or the target if it is asked whether it is still there.
    pub destination: [u8; 16],
    /// The address in question.
    pub target: [u8; 16],
    /// Hardware address of the one who asks, if it tells it.
    pub link_layer: Option<Mac>,
}

/// Tells who has an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Advertisement {
    /// Who tells.
    pub source: [u8; 16],
    /// Who asked, or [`ALL_NODES`].
    pub destination: [u8; 16],
    /// The address.
    pub target: [u8; 16],
    /// The one who tells is a router.
    pub router: bool,
    /// It was asked: the way to it works in both directions.
    pub solicited: bool,
    /// What is known otherwise is to be replaced.
    pub overrides: bool,
    /// Hardware address that has it, if it is told.
    pub link_layer: Option<Mac>,
}

/// Asks for routers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RouterSolicitation {
    /// Who asks; may be unspecified.
    pub source: [u8; 16],
    /// Hardware address of the one who asks, if it tells it.
    pub link_layer: Option<Mac>,
}

/// Tells of a router (RFC 4861 §4.2).
#[derive(Clone, Debug)]
pub struct RouterAdvertisement<'a> {
    /// The router's address on the link.
    pub source: [u8; 16],
    /// Hop limit that hosts are to use; 0 if the router does not say.
    pub hop_limit: u8,
    /// Managed (0x80), other (0x40) and the preference of RFC 4191 (0x18).
    pub flags: u8,
    /// Seconds for which it may be a default router; 0 if it may not.
    pub lifetime: u16,
    /// Milliseconds for which a neighbour counts as reachable; 0 if the router does not say.
    pub reachable: u32,
    /// Milliseconds between solicitations; 0 if the router does not say.
    pub retransmit: u32,
    /// All options, checked to be well formed.
    pub options: Options<'a>,
}

/// What a packet says.
#[derive(Clone, Debug)]
pub enum Message<'a> {
    /// Who has an address?
    Solicitation(Solicitation),
    /// Somebody has an address.
    Advertisement(Advertisement),
    /// Which routers are there?
    RouterSolicitation(RouterSolicitation),
    /// There is a router.
    RouterAdvertisement(RouterAdvertisement<'a>),
}

impl Solicitation {
    /// Asks all who may have `target`.
    pub const fn ask(source: [u8; 16], mac: Mac, target: [u8; 16]) -> Solicitation {
        Solicitation { source, destination: solicited_node(&target), target, link_layer: Some(mac) }
    }

    /// Asks whether `target` is free, without claiming it (RFC 4862 §5.4.2).
    pub const fn probe(target: [u8; 16]) -> Solicitation {
        let destination = solicited_node(&target);
        Solicitation { source: ipv6::UNSPECIFIED, destination, target, link_layer: None }
    }

    /// The answer: `mac` has the target (RFC 4861 §7.2.4). Who asked without an address is answered to all.
    #[must_use]
    pub fn answer(&self, mac: Mac, router: bool) -> Advertisement {
        let solicited = self.source != ipv6::UNSPECIFIED;
        Advertisement {
            source: self.target,
            destination: if solicited { self.source } else { ALL_NODES },
            target: self.target,
            router,
            solicited,
            overrides: true,
            link_layer: Some(mac),
        }
    }

    /// Writes the packet from its IPv6 header on, and returns its length, at most [`MAX_LEN`]. `None` if `out` is shorter.
    pub fn write(&self, out: &mut [u8]) -> Option<usize> {
        let addresses = (self.source, self.destination);
        write(NEIGHBOR_SOLICITATION, 0, addresses, &self.target, (SOURCE_LINK_LAYER, self.link_layer), out)
    }
}

impl Advertisement {
    /// Writes the packet from its IPv6 header on, and returns its length, at most [`MAX_LEN`]. `None` if `out` is shorter.
    pub fn write(&self, out: &mut [u8]) -> Option<usize> {
        let flag = |is_set, flag| if is_set { flag } else { 0 };
        let flags =
            flag(self.router, ROUTER) | flag(self.solicited, SOLICITED) | flag(self.overrides, OVERRIDE);
        let addresses = (self.source, self.destination);
        let option = (TARGET_LINK_LAYER, self.link_layer);
        write(NEIGHBOR_ADVERTISEMENT, flags, addresses, &self.target, option, out)
    }
}

/// Writes a message about a target, with the option that tells a hardware address if there is one.
fn write(
    kind: u8,
    flags: u8,
    (source, destination): ([u8; 16], [u8; 16]),
    target: &[u8; 16],
    (option, mac): (u8, Option<Mac>),
    out: &mut [u8],
) -> Option<usize> {
    let mut body = [0; 24];
    body[..16].copy_from_slice(target);
    let len = match mac {
        None => 16,
        Some(mac) => {
            body[16..].copy_from_slice(&write_link_layer(option, mac));
            24
        }
    };
    let len_of_all = (icmp::HEADER_LEN + len) as u16;
    let mut header = Ipv6Header::new(icmpv6::PROTOCOL, source, destination, len_of_all);
    header.hop_limit = HOP_LIMIT;
    let icmp = IcmpHeader { kind, code: 0, checksum: 0.into(), rest: [flags, 0, 0, 0] };
    icmpv6::write(&header, icmp, &body[..len], out)
}

#[cfg(test)]
#[path = "ndp_tests.rs"]
mod tests;
