//! Frames that a router writes about addresses: ARP and neighbour discovery.

use std::fmt;
use std::net::IpAddr;
use std::ops::Deref;

use paceline_wire::arp::Arp;
use paceline_wire::ethernet::{self, ETHERTYPE_IPV6, HEADER_LEN, Mac};
use paceline_wire::ndp::{self, ALL_NODES, Advertisement, Solicitation};

/// A short Ethernet frame, by value.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Frame {
    len: u8,
    bytes: [u8; Frame::MAX_LEN],
}

impl Frame {
    /// Most bytes of a frame: an Ethernet header and the longest message of neighbour discovery that is written.
    pub const MAX_LEN: usize = HEADER_LEN + ndp::MAX_LEN;

    /// Asks who has `target`, from `mac` with address `source`: all, or only the station that had it (RFC 826, RFC 4861
    /// §7.2.2). `None` if the addresses are of different families.
    pub fn ask(mac: Mac, source: IpAddr, target: IpAddr, only: Option<Mac>) -> Option<Frame> {
        match (source, target) {
            (IpAddr::V4(source), IpAddr::V4(target)) => {
                let ask = Arp::request(mac, source.octets(), target.octets());
                Frame::arp(&ask, only.unwrap_or(Mac::BROADCAST))
            }
            (IpAddr::V6(source), IpAddr::V6(target)) => {
                let mut ask = Solicitation::ask(source.octets(), mac, target.octets());
                if only.is_some() {
                    ask.destination = ask.target;
                }
                Frame::solicitation(mac, only.unwrap_or(Mac::of_group_v6(&ask.destination)), &ask)
            }
            _ => None,
        }
    }

    /// Asks whether `target` is free, without claiming it (RFC 5227 §2.1.1, RFC 4862 §5.4.2).
    pub fn probe(mac: Mac, target: IpAddr) -> Option<Frame> {
        match target {
            IpAddr::V4(target) => Frame::arp(&Arp::probe(mac, target.octets()), Mac::BROADCAST),
            IpAddr::V6(target) => {
                let probe = Solicitation::probe(target.octets());
                Frame::solicitation(mac, Mac::of_group_v6(&probe.destination), &probe)
            }
        }
    }

    /// Tells all that `mac`, a router, has `address` (RFC 5227 §2.3, RFC 4861 §7.2.6).
    pub fn announcement(mac: Mac, address: IpAddr) -> Option<Frame> {
        Frame::announce(mac, address, true)
    }

    /// Tells all that `mac`, a host and no router, has `address`.
    pub fn announcement_of_host(mac: Mac, address: IpAddr) -> Option<Frame> {
        Frame::announce(mac, address, false)
    }

    fn announce(mac: Mac, address: IpAddr, router: bool) -> Option<Frame> {
        match address {
            IpAddr::V4(address) => Frame::arp(&Arp::announcement(mac, address.octets()), Mac::BROADCAST),
            IpAddr::V6(address) => {
                let (source, destination) = (address.octets(), ALL_NODES);
                let link_layer = Some(mac);
                let (solicited, overrides) = (false, true);
                let tell = Advertisement {
                    source,
                    destination,
                    target: source,
                    router,
                    solicited,
                    overrides,
                    link_layer,
                };
                Frame::advertisement(mac, Mac::of_group_v6(&destination), &tell)
            }
        }
    }

    /// A frame with an ARP packet.
    pub(crate) fn arp(arp: &Arp, destination: Mac) -> Option<Frame> {
        Frame::write(|out| arp.write(destination, out))
    }

    /// A frame with an advertisement.
    pub(crate) fn advertisement(source: Mac, destination: Mac, message: &Advertisement) -> Option<Frame> {
        Frame::ipv6(source, destination, |out| message.write(out))
    }

    fn solicitation(source: Mac, destination: Mac, message: &Solicitation) -> Option<Frame> {
        Frame::ipv6(source, destination, |out| message.write(out))
    }

    fn ipv6(source: Mac, destination: Mac, write: impl FnOnce(&mut [u8]) -> Option<usize>) -> Option<Frame> {
        Frame::write(|out| {
            let (header, packet) = out.split_at_mut(HEADER_LEN);
            ethernet::write_header(header, destination, source, ETHERTYPE_IPV6)?;
            Some(HEADER_LEN + write(packet)?)
        })
    }

    fn write(write: impl FnOnce(&mut [u8]) -> Option<usize>) -> Option<Frame> {
        let mut bytes = [0; Frame::MAX_LEN];
        let len = write(&mut bytes)? as u8;
        Some(Frame { len, bytes })
    }
}

impl Deref for Frame {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.bytes.get(..self.len as usize).unwrap_or_default()
    }
}

impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Frame({:02x?})", &**self)
    }
}
