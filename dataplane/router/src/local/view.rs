//! A packet that was checked, in the same words for IPv4 and IPv6.

use std::net::IpAddr;

use paceline_wire::checksum::{Sum, pseudo_v4, pseudo_v6};
use paceline_wire::ipv4::Ipv4Header;
use paceline_wire::ipv6::{self, Ipv6Header};
use paceline_wire::{icmpv4, icmpv6, tcp, udp};

/// A whole packet without padding.
pub(super) struct View<'a> {
    pub(super) packet: &'a [u8],
    pub(super) source: IpAddr,
    pub(super) destination: IpAddr,
    pub(super) protocol: u8,
    /// Where the payload starts, extensions not counted.
    pub(super) offset: usize,
    /// Time to live or hop limit.
    pub(super) ttl: u8,
}

impl<'a> View<'a> {
    pub(super) fn read(packet: &'a [u8]) -> Option<View<'a>> {
        if let Some(header) = Ipv4Header::read(packet) {
            let (offset, len) = (header.header_len(), header.payload_len(packet.len())?);
            let (source, destination) = (header.source.into(), header.destination.into());
            let (protocol, ttl) = (header.protocol, header.ttl);
            return Some(View {
                packet: &packet[..offset + len],
                source,
                destination,
                protocol,
                offset,
                ttl,
            });
        }
        let header = Ipv6Header::read(packet)?;
        let packet = packet.get(..ipv6::HEADER_LEN + header.payload_len(packet.len())?)?;
        // A part inside of what was put together is none that can be read.
        let found = ipv6::transport(packet).filter(|found| found.part.is_none() && !found.is_routed)?;
        let (source, destination) = (header.source.into(), header.destination.into());
        let (protocol, offset, ttl) = (found.protocol, found.offset, header.hop_limit);
        Some(View { packet, source, destination, protocol, offset, ttl })
    }

    pub(super) fn payload(&self) -> &'a [u8] {
        self.packet.get(self.offset..).unwrap_or_default()
    }

    /// Whether the payload is ICMP of the packet's own version.
    pub(super) fn is_icmp(&self) -> bool {
        self.protocol == if self.source.is_ipv4() { icmpv4::PROTOCOL } else { icmpv6::PROTOCOL }
    }

    /// Whether the checksum of what has one is right: an answer to damage may go to anybody.
    pub(super) fn is_true(&self) -> bool {
        let payload = self.payload();
        let mut sum = match self.protocol {
            tcp::PROTOCOL | udp::PROTOCOL => self.pseudo(self.protocol, payload.len()),
            icmpv6::PROTOCOL if self.source.is_ipv6() => self.pseudo(self.protocol, payload.len()),
            icmpv4::PROTOCOL if self.source.is_ipv4() => Sum::default(),
            _ => return true,
        };
        if self.protocol == udp::PROTOCOL {
            let Some(header) = udp::UdpHeader::read(payload) else { return false };
            let Some(len) = header.payload_len(payload.len()) else { return false };
            if header.checksum.get() == 0 {
                return self.source.is_ipv4();
            }
            sum = self.pseudo(self.protocol, udp::HEADER_LEN + len);
            sum.add(&payload[..udp::HEADER_LEN + len]);
        } else {
            sum.add(payload);
        }
        sum.finish() == 0
    }

    /// The sum of the pseudo header.
    fn pseudo(&self, protocol: u8, len: usize) -> Sum {
        pseudo(self.source, self.destination, protocol, len)
    }
}

/// The sum of the pseudo header of a payload of `len` bytes. Addresses of different families are taken for IPv6.
pub(super) fn pseudo(source: IpAddr, destination: IpAddr, protocol: u8, len: usize) -> Sum {
    let octets = |address| match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        IpAddr::V6(address) => address.octets(),
    };
    match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            pseudo_v4(source.octets(), destination.octets(), protocol, len as u16)
        }
        _ => pseudo_v6(&octets(source), &octets(destination), protocol, len as u32),
    }
}
