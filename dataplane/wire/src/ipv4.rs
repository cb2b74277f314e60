//! The IPv4 header (RFC 791 §3.1).

use zerocopy::byteorder::big_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::checksum::{Sum, update};
use crate::fragment::Part;

/// Bytes of a header without options.
pub const MIN_LEN: usize = 20;
/// Time to live of packets that start here (IANA "IP Parameters": the default is 64).
pub const DEFAULT_TTL: u8 = 64;

/// Bit of [`Ipv4Header::fragment`]: no router may cut this packet.
pub const DONT_FRAGMENT: u16 = 0x4000;
/// Bit of [`Ipv4Header::fragment`]: this is not the last part of a packet.
pub const MORE_FRAGMENTS: u16 = 0x2000;
/// Bits of [`Ipv4Header::fragment`]: where the part belongs, in units of 8 bytes.
pub const OFFSET_MASK: u16 = 0x1fff;

/// Whether an address means something on its link alone: 169.254.0.0/16 (RFC 3927).
pub const fn is_link_local(address: [u8; 4]) -> bool {
    matches!(address, [169, 254, ..])
}

/// An IPv4 header, without its options.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct Ipv4Header {
    version_ihl: u8,
    /// DSCP and ECN.
    pub tos: u8,
    /// Bytes of header and payload.
    pub total_len: U16,
    /// Identification, for fragments.
    pub id: U16,
    /// Don't-fragment, more-fragments and the offset in units of 8 bytes.
    pub fragment: U16,
    /// Time to live.
    pub ttl: u8,
    /// Protocol of the payload.
    pub protocol: u8,
    /// Checksum of the header.
    pub checksum: U16,
    /// Source address.
    pub source: [u8; 4],
    /// Destination address.
    pub destination: [u8; 4],
}

impl Ipv4Header {
    /// A header without options for a packet that starts here. It may not be cut, and so needs no identification (RFC 6864
    /// §4.1). `total_len` is in bytes; the checksum is left to [`fill_checksum`].
    pub const fn new(protocol: u8, source: [u8; 4], destination: [u8; 4], total_len: u16) -> Ipv4Header {
        Ipv4Header {
            version_ihl: 0x45,
            tos: 0,
            total_len: U16::new(total_len),
            id: U16::ZERO,
            fragment: U16::new(DONT_FRAGMENT),
            ttl: DEFAULT_TTL,
            protocol,
            checksum: U16::ZERO,
            source,
            destination,
        }
    }

    /// The header at the start of `packet`; `None` if it is of another version or not whole, options included.
    #[inline]
    pub fn read(packet: &[u8]) -> Option<&Ipv4Header> {
        let (header, _) = Ipv4Header::ref_from_prefix(packet).ok()?;
        header.is_whole(packet.len()).then_some(header)
    }

    /// As [`read`](Self::read), to be changed.
    #[inline]
    pub fn read_mut(packet: &mut [u8]) -> Option<&mut Ipv4Header> {
        let len = packet.len();
        let (header, _) = Ipv4Header::mut_from_prefix(packet).ok()?;
        header.is_whole(len).then_some(header)
    }

    /// The fixed part of a header that was checked before.
    #[inline(always)]
    pub fn checked_mut(packet: &mut [u8]) -> Option<&mut Ipv4Header> {
        Ipv4Header::mut_from_prefix(packet).ok().map(|(header, _)| header)
    }

    fn is_whole(&self, room: usize) -> bool {
        self.version() == 4 && (MIN_LEN..=room).contains(&self.header_len())
    }

    /// Bytes of the header with its options.
    #[inline(always)]
    pub fn header_len(&self) -> usize {
        (self.version_ihl & 0xf) as usize * 4
    }

    /// Bytes of payload in a frame that has `available` bytes from the start of this header on; `None` if the header claims
    /// more than that, or less than itself. What the frame has beyond is padding.
    #[inline]
    pub fn payload_len(&self, available: usize) -> Option<usize> {
        let total = self.total_len.get() as usize;
        if total > available {
            return None;
        }
        total.checked_sub(self.header_len())
    }

    /// Whether the payload is a part of a packet only.
    #[inline(always)]
    pub fn is_fragment(&self) -> bool {
        self.fragment.get() & (MORE_FRAGMENTS | OFFSET_MASK) != 0
    }

    /// Which part of a packet the payload is; `None` if it is the whole.
    #[inline]
    pub fn part(&self) -> Option<Part> {
        let bits = self.fragment.get();
        self.is_fragment().then(|| Part {
            id: u32::from(self.id.get()),
            offset: (bits & OFFSET_MASK) * 8,
            more: bits & MORE_FRAGMENTS != 0,
        })
    }

    /// Whether the packet may not be forwarded any more: [`decrement_ttl`](Self::decrement_ttl) would fail.
    pub const fn is_expired(&self) -> bool {
        self.ttl <= 1
    }

    /// Takes one from the time to live and keeps the checksum true (RFC 1624). `false`, and nothing changed, if it would
    /// become zero: the packet may not be forwarded (RFC 1812 §5.3.1).
    #[inline(always)]
    #[must_use]
    pub fn decrement_ttl(&mut self) -> bool {
        if self.is_expired() {
            return false;
        }
        let old = u16::from_be_bytes([self.ttl, self.protocol]);
        self.ttl -= 1;
        self.checksum.set(update(self.checksum.get(), old, old - 0x100));
        true
    }

    /// Sets the length of the header in bytes: a multiple of 4 from 20 to 60.
    pub(crate) fn set_header_len(&mut self, len: usize) {
        self.version_ihl = 0x40 | (len / 4) as u8 & 0xf;
    }

    /// Whether the first byte says version 4 and no options, as nearly all packets do.
    #[inline(always)]
    pub(crate) fn is_plain(&self) -> bool {
        self.version_ihl == 0x45
    }

    #[inline(always)]
    pub(crate) fn version(&self) -> u8 {
        self.version_ihl >> 4
    }
}

/// Computes the checksum of a header (all of `header`, options included) and stores it.
#[inline]
pub fn fill_checksum(header: &mut [u8]) {
    let Some(view) = Ipv4Header::read_mut(header) else { return };
    view.checksum.set(0);
    let sum = Sum::of(header).finish();
    if let Some(view) = Ipv4Header::read_mut(header) {
        view.checksum.set(sum);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 1071's Wikipedia article, whose checksum is 0xb861.
    const HEADER: [u8; 20] =
        [0x45, 0, 0, 0x73, 0, 0, 0x40, 0, 0x40, 0x11, 0, 0, 0xc0, 0xa8, 0, 1, 0xc0, 0xa8, 0, 0xc7];

    #[test]
    fn lengths_are_checked_against_the_frame() {
        let header = Ipv4Header::read(&HEADER).expect("whole");
        assert_eq!((header.header_len(), header.total_len.get(), header.protocol), (20, 115, 17));
        assert_eq!(header.payload_len(115), Some(95));
        assert_eq!(header.payload_len(1500), Some(95), "padding");
        assert_eq!(header.payload_len(114), None);
        assert!(!header.is_fragment(), "don't-fragment is none");
        for first in [0x65, 0x44, 0x46, 0x4f, 0] {
            let mut bad = HEADER;
            bad[0] = first;
            assert!(Ipv4Header::read(&bad).is_none(), "{first:#x}");
        }
        assert!(Ipv4Header::read(&HEADER[..19]).is_none());
        let mut short = HEADER;
        short[3] = 19;
        assert_eq!(Ipv4Header::read(&short).expect("whole").payload_len(1000), None);
        short[7] = 1;
        let fragment = Ipv4Header::read(&short).expect("whole");
        assert!(fragment.is_fragment());
        assert_eq!(fragment.part(), Some(Part { id: 0, offset: 8, more: false }));
        assert_eq!(header.part(), None);
    }

    #[test]
    fn the_time_to_live_goes_down_to_one() {
        let mut packet = HEADER;
        fill_checksum(&mut packet);
        for left in (1..64).rev() {
            let header = Ipv4Header::read_mut(&mut packet).expect("whole");
            assert!(header.decrement_ttl());
            assert_eq!(header.ttl, left);
            assert_eq!(Sum::of(&packet).finish(), 0, "{left}");
        }
        for ttl in [1, 0] {
            packet[8] = ttl;
            let before = packet;
            assert!(!Ipv4Header::read_mut(&mut packet).expect("whole").decrement_ttl());
            assert_eq!(packet, before);
        }
    }

    #[test]
    fn the_checksum_is_the_known_one() {
        let mut header = HEADER;
        header[10] = 0x77;
        fill_checksum(&mut header);
        assert_eq!(Ipv4Header::read(&header).map(|h| h.checksum.get()), Some(0xb861));
    }
}
