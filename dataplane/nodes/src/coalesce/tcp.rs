//! Segments of TCP, each the next one of its stream, with nothing in their headers that the first one does not say
//! (`tcp_gro_receive`, `inet_gro_receive`).

use paceline_buf::{Packet, VnetHdr};
use paceline_wire::checksum::{Sum, pseudo_v4, pseudo_v6};
use paceline_wire::ethernet::HEADER_LEN;
use paceline_wire::ipv4::{DONT_FRAGMENT, Ipv4Header};
use paceline_wire::ipv6::Ipv6Header;
use paceline_wire::tcp::{self, ACK, FIN, PSH, TcpHeader};

use super::{Kind, Shape};

/// Segments with data and no other flags than ACK, and at the end PSH and FIN. Their checksums are right: what is joined has one for
/// all, which would hide that one was not.
pub struct Tcp;

impl Kind for Tcp {
    const NAME: &'static str = "tcp-coalesce";

    #[inline(always)]
    fn begin(packet: &Packet) -> Option<Shape> {
        if !packet.is_plain() {
            return None;
        }
        let of_data = |segment: &[u8]| {
            TcpHeader::read(segment)
                .filter(|header| header.flags & !(PSH | FIN) == ACK)
                .map(TcpHeader::header_len)
        };
        let mut shape = Shape::of(packet.data(), tcp::PROTOCOL, of_data)?;
        shape.is_open = TcpHeader::read(packet.data().get(shape.l4..)?)?.flags == ACK;
        Some(shape)
    }

    #[inline(always)]
    fn follows(shape: &mut Shape, first: &Packet, packet: &Packet) -> bool {
        is_next(shape, first.data(), packet.data()).is_some_and(|is_next| is_next)
            && (shape.count > 1 || is_right(shape, first.data()) == Some(true))
            && is_right(shape, packet.data()) == Some(true)
            && end(shape, packet.data()).is_some()
    }

    fn finish(shape: &Shape, head: &mut [u8], last: &[u8]) -> Option<VnetHdr> {
        let len = (shape.headers - shape.l4 + shape.payload) as u16;
        let sum = pseudo(shape, head, len)?;
        let flags = TcpHeader::read(last.get(shape.l4..)?)?.flags;
        let header = TcpHeader::read_mut(head.get_mut(shape.l4..)?)?;
        header.flags |= flags & (PSH | FIN);
        header.checksum.set(sum.partial());
        Some(VnetHdr {
            flags: VnetHdr::NEEDS_CSUM,
            gso_type: if shape.is_v4 { VnetHdr::GSO_TCPV4 } else { VnetHdr::GSO_TCPV6 },
            hdr_len: shape.headers as u16,
            gso_size: shape.size as u16,
            csum_start: shape.l4 as u16,
            csum_offset: tcp::CHECKSUM_OFFSET as u16,
        })
    }
}

/// Whether the headers of a frame are the first one's, and go on where the frames so far end.
#[inline(always)]
fn is_next(shape: &Shape, first: &[u8], frame: &[u8]) -> Option<bool> {
    if !shape.is_same_way(first, frame) {
        return Some(false);
    }
    let l3 = HEADER_LEN;
    let (first_ip, ip) = (first.get(l3..)?, frame.get(l3..)?);
    let is_whole = if shape.is_v4 {
        let (first, header) = (Ipv4Header::read(first_ip)?, Ipv4Header::read(ip)?);
        // A packet that nobody may cut needs no identification (RFC 6864 §4.1). Others are numbered, as those are that it is cut into.
        let is_atomic = header.fragment.get() & DONT_FRAGMENT != 0;
        let id = first.id.get().wrapping_add(shape.count as u16);
        usize::from(header.total_len.get()) == ip.len() && (is_atomic || header.id.get() == id)
    } else {
        usize::from(Ipv6Header::read(ip)?.payload_len.get()) + shape.l4 == frame.len()
    };
    let (first_tcp, tcp) = (first.get(shape.l4..shape.headers)?, frame.get(shape.l4..shape.headers)?);
    let (a, b) = (TcpHeader::read(first_tcp)?, TcpHeader::read(tcp)?);
    // Ports; the acknowledgment and the length; window; the urgent pointer and options.
    let is_same = first_tcp[..4] == tcp[..4]
        && first_tcp[8..13] == tcp[8..13]
        && first_tcp[14..16] == tcp[14..16]
        && first_tcp[18..] == tcp[18..];
    let sequence = a.sequence.get().wrapping_add(shape.payload as u32);
    Some(is_whole && is_same && b.sequence.get() == sequence && b.flags & !(PSH | FIN) == ACK)
}

/// Whether the checksums of a frame's segment and of its IP header are right.
#[inline(always)]
fn is_right(shape: &Shape, frame: &[u8]) -> Option<bool> {
    if shape.is_v4 && Sum::of(frame.get(HEADER_LEN..shape.l4)?).finish() != 0 {
        return Some(false);
    }
    let segment = frame.get(shape.l4..)?;
    let mut sum = pseudo(shape, frame, segment.len() as u16)?;
    sum.add(segment);
    Some(sum.finish() == 0)
}

/// Nothing follows a segment that says that the application should have the data, or that there are no more.
#[inline(always)]
fn end(shape: &mut Shape, frame: &[u8]) -> Option<()> {
    shape.is_open = TcpHeader::read(frame.get(shape.l4..)?)?.flags == ACK;
    Some(())
}

/// The sum of the pseudo header of a segment of `len` bytes.
#[inline(always)]
fn pseudo(shape: &Shape, frame: &[u8], len: u16) -> Option<Sum> {
    let ip = frame.get(HEADER_LEN..)?;
    Some(if shape.is_v4 {
        let header = Ipv4Header::read(ip)?;
        pseudo_v4(header.source, header.destination, tcp::PROTOCOL, len)
    } else {
        let header = Ipv6Header::read(ip)?;
        pseudo_v6(&header.source, &header.destination, tcp::PROTOCOL, len.into())
    })
}
