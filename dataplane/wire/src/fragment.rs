//! Parts of IP packets: telling them, and cutting IPv4 packets that are too long for a link (RFC 791 §3.2).
//!
//! As in [`segment`](crate::segment), a [`Plan`] checks the packet once and then writes the header of any fragment; where
//! payload comes from and goes to is the caller's business. IPv6 packets are cut by their senders alone (RFC 8200 §5).

use std::ops::Range;

use crate::ipv4::{DONT_FRAGMENT, Ipv4Header, MIN_LEN, MORE_FRAGMENTS, OFFSET_MASK, fill_checksum};

/// The least MTU, in bytes, that a link may have for IPv4 (RFC 791 §3.2).
pub const MIN_MTU: usize = 68;
/// Bytes of a header with all the options that fit.
const MAX_HEADER: usize = 60;
/// Bit of an option's type: the option is in every fragment, not only in the first.
const COPIED: u8 = 0x80;

/// Which part of a packet a fragment is. Parts with the same addresses, protocol and `id` belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// Identification: 16 bits in IPv4, 32 in IPv6.
    pub id: u32,
    /// Where the part belongs in the payload, in bytes: a multiple of 8 up to 65528.
    pub offset: u16,
    /// It is not the last part.
    pub more: bool,
}

impl Part {
    /// Whether it starts with the transport header.
    #[inline(always)]
    pub fn is_first(self) -> bool {
        self.offset == 0
    }
}

/// Why a packet cannot be cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// There is no whole IPv4 header, or it claims more than there is.
    #[error("the IPv4 header is not whole, or claims more bytes than came")]
    Header,
    /// Its sender forbade it: it is to be told the MTU (RFC 1191 §4).
    #[error("the packet is longer than the MTU and says don't-fragment")]
    DontFragment,
    /// An option is shorter than itself or longer than the header.
    #[error("the options of the IPv4 header are not well formed")]
    Options,
    /// The MTU is too small for any packet.
    #[error("the MTU is {0}: must be at least {MIN_MTU}")]
    Mtu(usize),
    /// The packet is a fragment that ends behind the longest payload.
    #[error("the packet is a fragment that ends behind byte 65535")]
    Length,
}

/// How to cut one packet.
#[derive(Debug)]
pub struct Plan<'a> {
    header: &'a [u8],
    /// The header of all fragments but the first, of which `later_len` bytes are used.
    later: [u8; MAX_HEADER],
    later_len: usize,
    /// Bytes of the packet without padding.
    total: usize,
    /// Bytes of payload in the first fragment and in those between first and last.
    first: usize,
    next: usize,
    count: usize,
}

impl<'a> Plan<'a> {
    /// Checks a packet. `front` starts with its IPv4 header and holds all of it, `total` is the bytes of the packet, padding
    /// included, `mtu` the most bytes of a fragment with its header. The packet may be a fragment itself.
    ///
    /// A packet that fits has a plan of one, whatever it says about fragments.
    ///
    /// # Errors
    /// The MTU is too small, the packet forbids it, or it has something wrong.
    pub fn new(front: &'a [u8], total: usize, mtu: usize) -> Result<Plan<'a>, Refused> {
        if mtu < MIN_MTU {
            return Err(Refused::Mtu(mtu));
        }
        let view = Ipv4Header::read(front).ok_or(Refused::Header)?;
        let payload = view.payload_len(total).ok_or(Refused::Header)?;
        let header = front.get(..view.header_len()).ok_or(Refused::Header)?;
        let total = header.len() + payload;
        let (mut later, mut later_len, mut first, mut next, mut count) = ([0; MAX_HEADER], 0, payload, 8, 1);
        if total > mtu {
            if view.fragment.get() & DONT_FRAGMENT != 0 {
                return Err(Refused::DontFragment);
            }
            let base = view.part().map_or(0, |part| part.offset as usize);
            if base + payload > u16::MAX as usize {
                return Err(Refused::Length);
            }
            later_len = copy_header(header, &mut later)?;
            // All parts but the last end where an offset can be said. Even a header of 60 bytes leaves room for 8.
            (first, next) = ((mtu - header.len()) & !7, (mtu - later_len) & !7);
            count = 1 + payload.saturating_sub(first).div_ceil(next);
        }
        Ok(Plan { header, later, later_len, total, first, next, count })
    }

    /// Number of fragments: at least 1, at most 8190 where the MTU is the least and the header the longest.
    #[inline]
    pub fn count(&self) -> usize {
        self.count
    }

    /// Bytes of a fragment's header: options that are not copied are in the first alone.
    #[inline]
    pub fn header_len(&self, index: usize) -> usize {
        if index == 0 { self.header.len() } else { self.later_len }
    }

    /// Where a fragment's payload lies in the packet. Empty from [`count`](Self::count) on.
    #[inline]
    pub fn payload_range(&self, index: usize) -> Range<usize> {
        let start = match index.checked_sub(1) {
            None => 0,
            Some(before) => before.saturating_mul(self.next).saturating_add(self.first),
        };
        let size = if index == 0 { self.first } else { self.next };
        let start = start.saturating_add(self.header.len()).min(self.total);
        start..start.saturating_add(size).min(self.total)
    }

    /// Writes a fragment's header, checksum included, and returns its length. `None` if there is no such fragment or `out`
    /// is shorter; what is behind the header stays as it is.
    #[inline]
    pub fn write_header(&self, index: usize, out: &mut [u8]) -> Option<usize> {
        let len = self.header_len(index);
        let out = out.get_mut(..len).filter(|_| index < self.count)?;
        out.copy_from_slice(if index == 0 { self.header } else { self.later.get(..len)? });
        let range = self.payload_range(index);
        let header = Ipv4Header::read_mut(out)?;
        header.total_len.set((len + range.len()) as u16);
        // The whole was checked to end before byte 65536, so offsets fit. A fragment that is cut may not be the last itself.
        let bits = header.fragment.get();
        let offset = (bits & OFFSET_MASK) + ((range.start - self.header.len()) / 8) as u16;
        let more = if index + 1 < self.count { MORE_FRAGMENTS } else { bits & MORE_FRAGMENTS };
        header.fragment.set(bits & !(MORE_FRAGMENTS | OFFSET_MASK) | more | offset);
        fill_checksum(out);
        Some(len)
    }
}

/// Writes the header without the options that only the first fragment has, filled up to 4 bytes; its length.
fn copy_header(header: &[u8], out: &mut [u8; MAX_HEADER]) -> Result<usize, Refused> {
    let (fixed, mut options) = header.split_at_checked(MIN_LEN).ok_or(Refused::Header)?;
    out[..MIN_LEN].copy_from_slice(fixed);
    let mut len = MIN_LEN;
    while let Some((&kind, rest)) = options.split_first() {
        // End of options and no-operation are one byte long, all others say how long they are.
        let size = match kind {
            0 => break,
            1 => 1,
            _ => rest.first().map_or(0, |&size| size as usize),
        };
        let (option, behind) =
            options.split_at_checked(size).filter(|_| kind == 1 || size >= 2).ok_or(Refused::Options)?;
        if kind & COPIED != 0 {
            out.get_mut(len..len + size).ok_or(Refused::Options)?.copy_from_slice(option);
            len += size;
        }
        options = behind;
    }
    len = len.next_multiple_of(4);
    if let Some(view) = Ipv4Header::read_mut(out) {
        view.set_header_len(len);
    }
    Ok(len)
}

#[cfg(test)]
#[path = "fragment_tests.rs"]
mod tests;
