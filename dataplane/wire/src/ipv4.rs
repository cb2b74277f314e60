//! The IPv4 header (RFC 791 §3.1).

use zerocopy::byteorder::big_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::checksum::Sum;

/// Bytes of a header without options.
pub const MIN_LEN: usize = 20;

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

    fn is_whole(&self, room: usize) -> bool {
        self.version_ihl >> 4 == 4 && (MIN_LEN..=room).contains(&self.header_len())
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
        self.fragment.get() & 0x3fff != 0
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
        assert!(Ipv4Header::read(&short).expect("whole").is_fragment());
    }

    #[test]
    fn the_checksum_is_the_known_one() {
        let mut header = HEADER;
        header[10] = 0x77;
        fill_checksum(&mut header);
        assert_eq!(Ipv4Header::read(&header).map(|h| h.checksum.get()), Some(0xb861));
    }
}
