//! The cutting of IPv6 packets by their sender (RFC 8200 §4.5).

use paceline_wire::ipv6::{HEADER_LEN, Ipv6Header};

/// MTU that every link has for IPv6 (RFC 8200 §5), in bytes.
pub(super) const LEAST_MTU: usize = 1280;
/// Number and bytes of a fragment header.
const FRAGMENT: u8 = 44;
const FRAGMENT_LEN: usize = 8;

/// Hands on a packet: as it is, or, if it is IPv6 and longer than `mtu`, which is at least [`LEAST_MTU`], in parts. It has no
/// extension headers that must be in every part.
pub(super) fn cut(packet: &[u8], mtu: usize, id: u32, mut emit: impl FnMut(&[u8])) {
    let Some(header) = Ipv6Header::read(packet).filter(|_| packet.len() > mtu) else {
        emit(packet);
        return;
    };
    let each = mtu.saturating_sub(HEADER_LEN + FRAGMENT_LEN).max(8) & !7;
    let (front, payload) = packet.split_at(HEADER_LEN);
    let mut part = Vec::with_capacity(HEADER_LEN + FRAGMENT_LEN + each);
    let count = payload.len().div_ceil(each);
    for (index, bytes) in payload.chunks(each).enumerate() {
        part.clear();
        part.extend_from_slice(front);
        let place = (index * each) as u16 | u16::from(index + 1 < count);
        part.extend_from_slice(&[header.next_header, 0]);
        part.extend_from_slice(&place.to_be_bytes());
        part.extend_from_slice(&id.to_be_bytes());
        part.extend_from_slice(bytes);
        if let Some(header) = Ipv6Header::read_mut(&mut part) {
            header.next_header = FRAGMENT;
            header.payload_len.set((FRAGMENT_LEN + bytes.len()) as u16);
        }
        emit(&part);
    }
}
