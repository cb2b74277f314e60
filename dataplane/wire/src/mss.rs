//! Lowering the maximum segment size that a TCP handshake offers to what a path can carry (RFC 879, RFC 6691).

use crate::checksum::{Field, update};
use crate::ethernet::half;
use crate::ipv4::{self, Ipv4Header};
use crate::ipv6;
use crate::tcp::{self, TcpHeader};

/// Kind and length of the option (RFC 9293 §3.2).
const KIND: u8 = 2;
const LEN: usize = 4;

/// The segment size for an MTU, both in bytes, of TCP over IPv4 without options (RFC 6691 §2).
pub const fn of_mtu_v4(mtu: u16) -> u16 {
    mtu.saturating_sub((ipv4::MIN_LEN + tcp::MIN_LEN) as u16)
}

/// The segment size for an MTU, both in bytes, of TCP over IPv6 without extensions.
pub const fn of_mtu_v6(mtu: u16) -> u16 {
    mtu.saturating_sub((ipv6::HEADER_LEN + tcp::MIN_LEN) as u16)
}

/// Lowers the MSS of an IPv4 packet, if it is a TCP SYN that offers more than `most` bytes, and updates the checksum; one that is
/// partial does not cover the option. Whether it did.
#[inline]
pub fn clamp_v4(packet: &mut [u8], most: u16, sum: Field) -> bool {
    let Some(header) = Ipv4Header::read(packet) else { return false };
    if header.protocol != tcp::PROTOCOL || header.part().is_some_and(|part| !part.is_first()) {
        return false;
    }
    let l4 = header.header_len();
    clamp(&mut packet[l4..], most, sum)
}

/// As [`clamp_v4`], of an IPv6 packet.
#[inline]
pub fn clamp_v6(packet: &mut [u8], most: u16, sum: Field) -> bool {
    match ipv6::transport(packet) {
        Some(found) if found.protocol == tcp::PROTOCOL && !found.is_later_part() => {
            clamp(&mut packet[found.offset..], most, sum)
        }
        _ => false,
    }
}

#[inline]
fn clamp(segment: &mut [u8], most: u16, sum: Field) -> bool {
    // Nearly no segment has the flag, and those that have not pay for no more than this.
    match TcpHeader::read(segment) {
        Some(header) if header.flags & tcp::SYN != 0 => clamp_options(segment, most, sum),
        _ => false,
    }
}

/// Walks the options to their end or to one that is not well formed, which a receiver does not read either. Of several MSS
/// options each is lowered, as receivers differ in the one they take.
fn clamp_options(segment: &mut [u8], most: u16, sum: Field) -> bool {
    let Some(end) = TcpHeader::read(segment).map(TcpHeader::header_len) else { return false };
    let (mut at, mut done) = (tcp::MIN_LEN, false);
    while let Some(&[kind, len]) = segment.get(at..end).and_then(<[u8]>::first_chunk) {
        let len = match kind {
            0 => break,
            1 => 1,
            _ if len < 2 || at + len as usize > end => break,
            _ => len as usize,
        };
        if kind == KIND && len == LEN {
            done |= lower(segment, at + 2, most, sum);
        }
        at += len;
    }
    done
}

/// Lowers the 16 bits at a place behind the fixed header.
fn lower(segment: &mut [u8], at: usize, most: u16, sum: Field) -> bool {
    let Some(old) = half(segment, at).filter(|&old| old > most) else { return false };
    segment[at..at + 2].copy_from_slice(&most.to_be_bytes());
    if let Some(header) = TcpHeader::read_mut(segment).filter(|_| sum == Field::Full) {
        // After an odd number of no-operations the value lies across two words of the sum.
        let (old, new) =
            if at.is_multiple_of(2) { (old, most) } else { (old.swap_bytes(), most.swap_bytes()) };
        header.checksum.set(update(header.checksum.get(), old, new));
    }
    true
}

#[cfg(test)]
#[path = "mss_tests.rs"]
mod tests;
