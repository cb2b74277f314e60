//! The IPv6 header and the chain of its extensions (RFC 8200 §3 and §4).

use zerocopy::byteorder::big_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::fragment::Part;

/// Bytes of the fixed header.
pub const HEADER_LEN: usize = 40;
/// Extension headers that are walked before a packet is given up: RFC 8200 knows 7, each once but one.
pub const MAX_EXTENSIONS: usize = 8;
/// Hop limit of packets that start here (IANA "IP Parameters": the default is 64).
pub const DEFAULT_HOP_LIMIT: u8 = 64;
/// The address that is none (RFC 4291 §2.5.2).
pub const UNSPECIFIED: [u8; 16] = [0; 16];

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
    /// A header for a packet that starts here, of no class and flow. `payload_len` is in bytes.
    pub const fn new(
        next_header: u8,
        source: [u8; 16],
        destination: [u8; 16],
        payload_len: u16,
    ) -> Ipv6Header {
        Ipv6Header {
            version_class_flow: U32::new(6 << 28),
            payload_len: U16::new(payload_len),
            next_header,
            hop_limit: DEFAULT_HOP_LIMIT,
            source,
            destination,
        }
    }

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

    /// Whether the packet may not be forwarded any more: [`decrement_hop_limit`](Self::decrement_hop_limit) would fail.
    pub const fn is_expired(&self) -> bool {
        self.hop_limit <= 1
    }

    /// Takes one from the hop limit. `false`, and nothing changed, if it would become zero: the packet may not be forwarded
    /// (RFC 8200 §3).
    #[inline(always)]
    #[must_use]
    pub fn decrement_hop_limit(&mut self) -> bool {
        if self.is_expired() {
            return false;
        }
        self.hop_limit -= 1;
        true
    }
}

/// Whether an address is one of a group (RFC 4291 §2.7).
#[inline(always)]
pub const fn is_multicast(address: &[u8; 16]) -> bool {
    address[0] == 0xff
}

/// Whether an address is of this link alone: fe80::/10 (RFC 4291 §2.5.6).
#[inline(always)]
pub const fn is_link_local(address: &[u8; 16]) -> bool {
    address[0] == 0xfe && address[1] & 0xc0 == 0x80
}

/// Where the extensions end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transport {
    /// Protocol of what follows them.
    pub protocol: u8,
    /// Where that starts, in bytes from the start of the IPv6 header.
    pub offset: usize,
    /// Which part of a packet this is, if a fragment header was among them (RFC 8200 §4.5). The part may be all of it (RFC
    /// 6946).
    pub part: Option<Part>,
    /// A routing header with segments left was among them: the destination of checksums is not the header's.
    pub is_routed: bool,
}

impl Transport {
    /// Whether there is no transport header, because this is not the first part of a packet.
    #[inline(always)]
    pub fn is_later_part(&self) -> bool {
        self.part.is_some_and(|part| !part.is_first())
    }
}

/// Walks the extensions of a packet; `None` if it is not IPv6, ends inside them, or has more than [`MAX_EXTENSIONS`].
#[inline]
pub fn transport(packet: &[u8]) -> Option<Transport> {
    let mut protocol = Ipv6Header::read(packet)?.next_header;
    let (mut offset, mut part, mut is_routed) = (HEADER_LEN, None, false);
    for _ in 0..=MAX_EXTENSIONS {
        if !matches!(
            protocol,
            HOP_BY_HOP | ROUTING | FRAGMENT | AUTHENTICATION | DESTINATION | MOBILITY | HIP | SHIM6
        ) {
            return Some(Transport { protocol, offset, part, is_routed });
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
        if protocol == FRAGMENT {
            let [_, _, o0, o1, id @ ..] = *extension;
            let bits = u16::from_be_bytes([o0, o1]);
            part = Some(Part { id: u32::from_be_bytes(id), offset: bits & !7, more: bits & 1 != 0 });
        }
        let is_later_part = protocol == FRAGMENT && part.is_some_and(|part| !part.is_first());
        protocol = extension[0];
        if is_later_part {
            // What follows is the middle of something, whatever the number says.
            return Some(Transport { protocol, offset, part, is_routed });
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
        let walked = |p: &[u8]| transport(p).map(|t| (t.protocol, t.offset, t.part.is_some(), t.is_routed));
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
