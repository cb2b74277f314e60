//! The header that all messages of ICMP and ICMPv6 start with (RFC 792, RFC 4443 §2.1).

use zerocopy::byteorder::big_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Bytes of the header, with the four whose meaning depends on the type.
pub const HEADER_LEN: usize = 8;

/// An ICMP or ICMPv6 header.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct IcmpHeader {
    /// Type.
    pub kind: u8,
    /// Code: a number within the type.
    pub code: u8,
    /// Checksum over the message; with ICMPv6, over a pseudo header too.
    pub checksum: U16,
    /// Identifier and sequence number of a query, MTU or pointer of an error, else zero.
    pub rest: [u8; 4],
}

impl IcmpHeader {
    /// The header at the start of `message`; `None` if it is not whole.
    #[inline]
    pub fn read(message: &[u8]) -> Option<&IcmpHeader> {
        IcmpHeader::ref_from_prefix(message).ok().map(|(header, _)| header)
    }

    /// As [`read`](Self::read), to be changed.
    #[inline]
    pub fn read_mut(message: &mut [u8]) -> Option<&mut IcmpHeader> {
        IcmpHeader::mut_from_prefix(message).ok().map(|(header, _)| header)
    }

    /// The identifier of a query.
    #[inline(always)]
    pub const fn id(&self) -> u16 {
        u16::from_be_bytes([self.rest[0], self.rest[1]])
    }

    /// Type and code as the word that the checksum covers.
    #[inline(always)]
    pub(crate) const fn first_word(self) -> u16 {
        u16::from_be_bytes([self.kind, self.code])
    }
}
