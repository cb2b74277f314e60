//! Datagrams of tunnels, whose first headers are the same and whose lengths are, as they are pieces of one super-packet.

use paceline_buf::{Packet, VnetHdr};
use paceline_wire::checksum::{pseudo_v4, pseudo_v6};
use paceline_wire::ethernet::HEADER_LEN;
use paceline_wire::ipv4::Ipv4Header;
use paceline_wire::ipv6::Ipv6Header;
use paceline_wire::udp::{self, UdpHeader};

use super::{Kind, Shape};

/// What tunnels of the switch made. Datagrams of others are left as they are: who sent them one by one may have had a reason.
///
/// Their checksum is not looked at: the switch itself made it, or left it out, and the super-packet's is the port's to fill in, as
/// the kernel cuts no other (`__udp_gso_segment`). A receiver takes one where there need be none (RFC 768).
pub struct Tunnelled;

impl Kind for Tunnelled {
    const NAME: &'static str = "udp-coalesce";

    #[inline(always)]
    fn begin(packet: &Packet) -> Option<Shape> {
        if packet.tunnels == 0 || !packet.is_plain() {
            return None;
        }
        let frame = packet.data();
        let is_whole = |datagram: &[u8]| {
            let header = UdpHeader::read(datagram)?;
            (usize::from(header.len.get()) == datagram.len()).then_some(udp::HEADER_LEN)
        };
        Shape::of(frame, udp::PROTOCOL, is_whole)
    }

    #[inline(always)]
    fn follows(shape: &mut Shape, first: &Packet, packet: &Packet) -> bool {
        let (a, b) = (first.data(), packet.data());
        let ports = shape.l4..shape.l4 + 4;
        packet.tunnels > 0
            && shape.is_same_way(a, b)
            && a.get(ports.clone()) == b.get(ports)
            && Tunnelled::begin(packet).is_some()
    }

    fn finish(shape: &Shape, head: &mut [u8], _last: &[u8]) -> Option<VnetHdr> {
        let (network, transport) = head.split_at_mut_checked(shape.l4)?;
        let ip = network.get(HEADER_LEN..)?;
        let len = (udp::HEADER_LEN + shape.payload) as u16;
        let sum = if shape.is_v4 {
            let header = Ipv4Header::read(ip)?;
            pseudo_v4(header.source, header.destination, udp::PROTOCOL, len)
        } else {
            let header = Ipv6Header::read(ip)?;
            pseudo_v6(&header.source, &header.destination, udp::PROTOCOL, len.into())
        };
        let header = UdpHeader::read_mut(transport)?;
        header.len.set(len);
        header.checksum.set(sum.partial());
        Some(VnetHdr {
            flags: VnetHdr::NEEDS_CSUM,
            gso_type: VnetHdr::GSO_UDP_L4,
            hdr_len: shape.headers as u16,
            gso_size: shape.size as u16,
            csum_start: shape.l4 as u16,
            csum_offset: udp::CHECKSUM_OFFSET as u16,
        })
    }
}
