//! The UDP header (RFC 768).

use zerocopy::byteorder::big_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// IP protocol number.
pub const PROTOCOL: u8 = 17;
/// Bytes of a header.
pub const HEADER_LEN: usize = 8;
/// Where the checksum is, in bytes from the start of the header.
pub const CHECKSUM_OFFSET: usize = 6;

/// A UDP header.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct UdpHeader {
    /// Source port.
    pub source: U16,
    /// Destination port.
    pub destination: U16,
    /// Bytes of header and payload.
    pub len: U16,
    /// Checksum over pseudo header, header and payload; 0 if there is none.
    pub checksum: U16,
}

impl UdpHeader {
    /// The header at the start of `datagram`; `None` if it is not whole.
    #[inline]
    pub fn read(datagram: &[u8]) -> Option<&UdpHeader> {
        UdpHeader::ref_from_prefix(datagram).ok().map(|(header, _)| header)
    }

    /// As [`read`](Self::read), to be changed.
    #[inline]
    pub fn read_mut(datagram: &mut [u8]) -> Option<&mut UdpHeader> {
        UdpHeader::mut_from_prefix(datagram).ok().map(|(header, _)| header)
    }

    /// Bytes of payload in an IP payload of `available` bytes; `None` if the header claims more than that, or less than
    /// itself.
    #[inline]
    pub fn payload_len(&self, available: usize) -> Option<usize> {
        let len = self.len.get() as usize;
        if len > available { None } else { len.checked_sub(HEADER_LEN) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_checked() {
        let datagram = [0, 53, 0, 99, 0, 12, 0, 0, 1, 2, 3, 4];
        let header = UdpHeader::read(&datagram).expect("whole");
        assert_eq!((header.source.get(), header.destination.get()), (53, 99));
        assert_eq!((header.payload_len(12), header.payload_len(11)), (Some(4), None));
        assert!(UdpHeader::read(&datagram[..7]).is_none());
    }
}
