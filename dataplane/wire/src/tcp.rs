//! The TCP header (RFC 9293 §3.1).

use zerocopy::byteorder::big_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// IP protocol number.
pub const PROTOCOL: u8 = 6;
/// Bytes of a header without options.
pub const MIN_LEN: usize = 20;
/// Where the checksum is, in bytes from the start of the header.
pub const CHECKSUM_OFFSET: usize = 16;

/// Flag: no more data from the sender.
pub const FIN: u8 = 0x01;
/// Flag: the first segment of a direction.
pub const SYN: u8 = 0x02;
/// Flag: hand the data to the application.
pub const PSH: u8 = 0x08;
/// Flag: the acknowledgment number counts.
pub const ACK: u8 = 0x10;
/// Flag: the congestion window was reduced (RFC 3168).
pub const CWR: u8 = 0x80;

/// A TCP header, without its options.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct TcpHeader {
    /// Source port.
    pub source: U16,
    /// Destination port.
    pub destination: U16,
    /// Sequence number of the first byte of payload.
    pub sequence: U32,
    /// Acknowledgment number.
    pub acknowledgment: U32,
    data_offset: u8,
    /// FIN to CWR.
    pub flags: u8,
    /// Window, unscaled.
    pub window: U16,
    /// Checksum over pseudo header, header and payload.
    pub checksum: U16,
    /// Urgent pointer.
    pub urgent: U16,
}

impl TcpHeader {
    /// The header at the start of `segment`; `None` if it is not whole, options included.
    #[inline]
    pub fn read(segment: &[u8]) -> Option<&TcpHeader> {
        let (header, _) = TcpHeader::ref_from_prefix(segment).ok()?;
        (MIN_LEN..=segment.len()).contains(&header.header_len()).then_some(header)
    }

    /// As [`read`](Self::read), to be changed.
    #[inline]
    pub fn read_mut(segment: &mut [u8]) -> Option<&mut TcpHeader> {
        let len = segment.len();
        let (header, _) = TcpHeader::mut_from_prefix(segment).ok()?;
        (MIN_LEN..=len).contains(&header.header_len()).then_some(header)
    }

    /// Bytes of the header with its options.
    #[inline(always)]
    pub fn header_len(&self) -> usize {
        (self.data_offset >> 4) as usize * 4
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_must_be_whole() {
        let mut segment = [0; 24];
        segment[12] = 0x60;
        assert_eq!(TcpHeader::read(&segment).map(TcpHeader::header_len), Some(24));
        assert!(TcpHeader::read(&segment[..23]).is_none());
        segment[12] = 0x4f;
        assert!(TcpHeader::read(&segment).is_none(), "shorter than itself");
    }
}
