//! The IPv6 header and the chain of its extensions (RFC 8200 §3 and §4).

use zerocopy::byteorder::big_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Bytes of the fixed header.
pub const HEADER_LEN: usize = 40;
/// Extension headers that are walked before a packet is given up: RFC 8200 knows 7, each once but one.
pub const MAX_EXTENSIONS: usize = 8;

/// Extension header numbers (IANA "IPv6 Extension Header Types").
const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const AUTHENTICATION: u8 = 51;
const DESTINATION: u8 = 60;
const MOBILITY: u8 = 135;
const HIP: u8 = 139;
const SHIM6: u8 = 140;

/// The fixed IPv6 header.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct Ipv6Header {
    /// Version (4 bits), traffic class (8) and flow label (20).
    pub version_class_flow: U32,
    /// Bytes behind this header.
    pub payload_len: U16,
    /// Number of the first extension, or protocol of the payload.
    pub next_header: u8,
    /// Hop limit.
    pub hop_limit: u8,
    /// Source address.
    pub source: [u8; 16],
    /// Destination address.
    pub destination: [u8; 16],
}

impl Ipv6Header {
    /// The header at the start of `packet`; `None` if it is of another version or not whole.
    #[inline]
    pub fn read(packet: &[u8]) -> Option<&Ipv6Header> {
        let (header, _) = Ipv6Header::ref_from_prefix(packet).ok()?;
        (header.version_class_flow.get() >> 28 == 6).then_some(header)
    }

    /// As [`read`](Self::read), to be changed.
    #[inline]
    pub fn read_mut(packet: &mut [u8]) -> Option<&mut Ipv6Header> {
        let (header, _) = Ipv6Header::mut_from_prefix(packet).ok()?;
        (header.version_class_flow.get() >> 28 == 6).then_some(header)
    }

    /// Bytes of payload, extensions included, in a frame that has `available` bytes from the start of this header on;
    /// `None` if the header claims more. What the frame has beyond is padding.
    #[inline]
    pub fn payload_len(&self, available: usize) -> Option<usize> {
        let len = self.payload_len.get() as usize;
        (HEADER_LEN + len <= available).then_some(len)
    }
}

/// Where the extensions end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transport {
    /// Protocol of what follows them.
    pub protocol: u8,
    /// Where that starts, in bytes from the start of the IPv6 header.
    pub offset: usize,
    /// A fragment header was among them.
    pub is_fragment: bool,
    /// A routing header with segments left was among them: the destination of checksums is not the header's.
    pub is_routed: bool,
}

/// Walks the extensions of a packet; `None` if it is not IPv6, ends inside them, or has more than [`MAX_EXTENSIONS`].
#[inline]
pub fn transport(packet: &[u8]) -> Option<Transport> {
    let mut protocol = Ipv6Header::read(packet)?.next_header;
    let (mut offset, mut is_fragment, mut is_routed) = (HEADER_LEN, false, false);
    for _ in 0..=MAX_EXTENSIONS {
        if !matches!(
            protocol,
            HOP_BY_HOP | ROUTING | FRAGMENT | AUTHENTICATION | DESTINATION | MOBILITY | HIP | SHIM6
        ) {
            return Some(Transport { protocol, offset, is_fragment, is_routed });
        }
        // Every extension is at least 8 bytes long.
        let extension = packet.get(offset..)?.first_chunk::<8>()?;
        let len = extension[1] as usize;
        offset += match protocol {
            FRAGMENT => 8,
            AUTHENTICATION => (len + 2) * 4,
            _ => (len + 1) * 8,
        };
        if offset > packet.len() {
            return None;
        }
        is_routed |= protocol == ROUTING && extension[3] != 0;
        let is_later_part =
            protocol == FRAGMENT && u16::from_be_bytes([extension[2], extension[3]]) & !7 != 0;
        is_fragment |= protocol == FRAGMENT;
        protocol = extension[0];
        if is_later_part {
            // What follows is the middle of something, whatever the number says.
            return Some(Transport { protocol, offset, is_fragment, is_routed });
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(next: u8, rest: &[&[u8]]) -> Vec<u8> {
        let mut packet = vec![0; HEADER_LEN];
        (packet[0], packet[6]) = (0x60, next);
        packet.extend(rest.concat());
        packet
    }

    #[test]
    fn extensions_are_walked_to_the_transport() {
        let plain = transport(&packet(6, &[]));
        let walked = |p: &[u8]| transport(p).map(|t| (t.protocol, t.offset, t.is_fragment, t.is_routed));
        assert_eq!(plain.map(|t| (t.protocol, t.offset)), Some((6, 40)));
        let hop = [60, 0, 0, 0, 0, 0, 0, 0];
        let destination = [[17, 1, 0, 0, 0, 0, 0, 0], [0; 8]].concat();
        assert_eq!(walked(&packet(0, &[&hop, &destination])), Some((17, 64, false, false)));
        assert_eq!(walked(&packet(43, &[&[6, 0, 4, 1, 0, 0, 0, 0]])), Some((6, 48, false, true)));
        assert_eq!(walked(&packet(43, &[&[6, 0, 4, 0, 0, 0, 0, 0]])), Some((6, 48, false, false)));
        assert_eq!(walked(&packet(44, &[&[0, 0, 0, 8, 0, 0, 0, 1]])), Some((0, 48, true, false)));
        assert_eq!(
            walked(&packet(51, &[&[6, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]])),
            Some((6, 52, false, false))
        );
        assert_eq!(walked(&packet(0, &[&hop[..7]])), None);
        assert_eq!(walked(&packet(60, &[&[6, 200, 0, 0, 0, 0, 0, 0]])), None);
    }

    #[test]
    fn the_walk_is_bounded() {
        let hop = [0, 0, 0, 0, 0, 0, 0, 0];
        let many = |n: usize| packet(0, &[&hop.repeat(n), &[17, 0, 0, 0, 0, 0, 0, 0]]);
        assert_eq!(transport(&many(7)).map(|t| t.offset), Some(40 + 8 * 8));
        assert_eq!(transport(&many(8)), None);
        assert_eq!(transport(&many(1000)), None);
    }

    #[test]
    fn versions_and_lengths_are_checked() {
        let mut bytes = packet(6, &[&[0; 20]]);
        bytes[5] = 20;
        assert_eq!(Ipv6Header::read(&bytes).and_then(|h| h.payload_len(60)), Some(20));
        assert_eq!(Ipv6Header::read(&bytes).and_then(|h| h.payload_len(59)), None);
        assert!(Ipv6Header::read(&bytes[..39]).is_none());
        bytes[0] = 0x45;
        assert!(Ipv6Header::read(&bytes).is_none());
    }
}
