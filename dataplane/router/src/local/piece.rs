//! One part of a packet, and the joining of all.

use std::net::IpAddr;

use paceline_wire::fragment::Part;
use paceline_wire::ipv4::{self, Ipv4Header};
use paceline_wire::ipv6::{self, Ipv6Header};

/// Number and bytes of a fragment header of IPv6.
const FRAGMENT: u8 = 44;
const FRAGMENT_LEN: usize = 8;
/// What the field of a length can say, in bytes.
pub(super) const MAX_LEN: usize = u16::MAX as usize;

/// Parts with the same key belong together.
pub(super) type Key = (IpAddr, IpAddr, u8, u32);

/// One part, read.
pub(super) struct Piece<'a> {
    pub(super) key: Key,
    pub(super) part: Part,
    pub(super) packet: &'a [u8],
    pub(super) payload: &'a [u8],
    /// Bytes in front of the payload.
    pub(super) header: usize,
    /// What the payload of the whole is.
    pub(super) protocol: u8,
}

impl<'a> Piece<'a> {
    pub(super) fn read(packet: &'a [u8]) -> Option<Piece<'a>> {
        let piece = Self::read_v4(packet).or_else(|| Self::read_v6(packet))?;
        let (len, end) = (piece.payload.len(), piece.part.offset as usize + piece.payload.len());
        let is_even = !piece.part.more || len.is_multiple_of(8);
        // The whole must fit the field of its length, in IPv4 with its header.
        let most = if piece.key.0.is_ipv4() { MAX_LEN - piece.header } else { MAX_LEN };
        (len > 0 && is_even && end <= most).then_some(piece)
    }

    fn read_v4(packet: &'a [u8]) -> Option<Piece<'a>> {
        let view = Ipv4Header::read(packet)?;
        let (header, protocol) = (view.header_len(), view.protocol);
        let packet = &packet[..header + view.payload_len(packet.len())?];
        let part = view.part()?;
        let key = (view.source.into(), view.destination.into(), protocol, part.id);
        Some(Piece { key, part, packet, payload: &packet[header..], header, protocol })
    }

    fn read_v6(packet: &'a [u8]) -> Option<Piece<'a>> {
        let view = Ipv6Header::read(packet)?;
        let packet = packet.get(..ipv6::HEADER_LEN + view.payload_len(packet.len())?)?;
        if view.next_header != FRAGMENT {
            return None;
        }
        let [protocol, _, o0, o1, id @ ..] = *packet[ipv6::HEADER_LEN..].first_chunk::<FRAGMENT_LEN>()?;
        let (bits, id) = (u16::from_be_bytes([o0, o1]), u32::from_be_bytes(id));
        let part = Part { id, offset: bits & !7, more: bits & 1 != 0 };
        // The protocol of later parts means nothing (RFC 8200 §4.5).
        let key = (view.source.into(), view.destination.into(), 0, id);
        let header = ipv6::HEADER_LEN + FRAGMENT_LEN;
        Some(Piece { key, part, packet, payload: &packet[header..], header, protocol })
    }
}

/// A packet with the headers of its first part and all payloads.
pub(super) fn join<'a>(first: &Piece<'_>, payloads: impl Iterator<Item = &'a [u8]>) -> Vec<u8> {
    let is_v4 = first.key.0.is_ipv4();
    let header = if is_v4 { first.header } else { ipv6::HEADER_LEN };
    let mut packet = first.packet[..header].to_vec();
    payloads.for_each(|payload| packet.extend_from_slice(payload));
    let len = packet.len();
    if let Some(view) = Ipv4Header::read_mut(&mut packet) {
        view.total_len.set(len as u16);
        view.fragment.set(0);
        ipv4::fill_checksum(&mut packet[..header]);
    } else if let Some(view) = Ipv6Header::read_mut(&mut packet) {
        view.payload_len.set((len - ipv6::HEADER_LEN) as u16);
        view.next_header = first.protocol;
    }
    packet
}
