//! Resets of TCP connections (RFC 9293 §3.10.7.1).

use zerocopy::IntoBytes;

use crate::checksum::{Sum, pseudo_v4, pseudo_v6};
use crate::ipv4::{self, Ipv4Header};
use crate::ipv6::{self, Ipv6Header};
use crate::tcp::{self, ACK, FIN, RST, SYN, TcpHeader};
use crate::{icmpv4, icmpv6};

/// What stands for a header of 20 bytes in the byte of the data offset.
const DATA_OFFSET: u8 = 0x50;

/// The segment that resets the connection of another one, for which there is none (RFC 9293 §3.10.7.1), without a checksum. `None` if
/// that one is broken, or a reset itself.
pub fn segment(segment: &[u8]) -> Option<[u8; tcp::MIN_LEN]> {
    let header = TcpHeader::read(segment).filter(|header| header.flags & RST == 0)?;
    let (sequence, acknowledgment, flags) = if header.flags & ACK != 0 {
        (header.acknowledgment.get(), 0, RST)
    } else {
        let marks = u32::from(header.flags & SYN != 0) + u32::from(header.flags & FIN != 0);
        let len = (segment.len() - header.header_len()) as u32 + marks;
        (0, header.sequence.get().wrapping_add(len), RST | ACK)
    };
    let mut reset = [0; tcp::MIN_LEN];
    reset[..2].copy_from_slice(header.destination.as_bytes());
    reset[2..4].copy_from_slice(header.source.as_bytes());
    reset[4..8].copy_from_slice(&sequence.to_be_bytes());
    reset[8..12].copy_from_slice(&acknowledgment.to_be_bytes());
    (reset[12], reset[tcp::FLAGS_OFFSET]) = (DATA_OFFSET, flags);
    Some(reset)
}

/// Writes the packet that resets the connection of an IPv4 packet, as if its receiver had sent it, and returns its length. `None` if it is
/// no TCP, a fragment, a reset, or none that [may be answered](icmpv4::may_answer).
pub fn write_v4(ip: &[u8], out: &mut [u8]) -> Option<usize> {
    let header = Ipv4Header::read(ip).filter(|h| h.protocol == tcp::PROTOCOL && !h.is_fragment())?;
    if !icmpv4::may_answer(ip) {
        return None;
    }
    let len = header.payload_len(ip.len())?;
    let payload = ip.get(header.header_len()..)?;
    let mut reset = segment(payload.get(..len).unwrap_or(payload))?;
    let sum = pseudo_v4(header.destination, header.source, tcp::PROTOCOL, tcp::MIN_LEN as u16);
    seal(&mut reset, sum);
    let total = ipv4::MIN_LEN + reset.len();
    let answer = Ipv4Header::new(tcp::PROTOCOL, header.destination, header.source, total as u16);
    let (network, transport) = out.get_mut(..total)?.split_at_mut(ipv4::MIN_LEN);
    network.copy_from_slice(answer.as_bytes());
    ipv4::fill_checksum(network);
    transport.copy_from_slice(&reset);
    Some(total)
}

/// The same for an IPv6 packet.
pub fn write_v6(ip: &[u8], out: &mut [u8]) -> Option<usize> {
    let header = Ipv6Header::read(ip)?;
    let found =
        ipv6::transport(ip).filter(|found| found.protocol == tcp::PROTOCOL && found.part.is_none())?;
    if found.is_routed || !icmpv6::may_answer(ip, icmpv6::Problem::AdminProhibited) {
        return None;
    }
    let end = ip.len().min(ipv6::HEADER_LEN + header.payload_len(ip.len())?);
    let mut reset = segment(ip.get(found.offset..end)?)?;
    let sum = pseudo_v6(&header.destination, &header.source, tcp::PROTOCOL, tcp::MIN_LEN as u32);
    seal(&mut reset, sum);
    let total = ipv6::HEADER_LEN + reset.len();
    let answer = Ipv6Header::new(tcp::PROTOCOL, header.destination, header.source, tcp::MIN_LEN as u16);
    let (network, transport) = out.get_mut(..total)?.split_at_mut(ipv6::HEADER_LEN);
    network.copy_from_slice(answer.as_bytes());
    transport.copy_from_slice(&reset);
    Some(total)
}

/// Writes the checksum of a segment.
fn seal(segment: &mut [u8; tcp::MIN_LEN], mut sum: Sum) {
    sum.add(segment);
    let at = tcp::CHECKSUM_OFFSET;
    segment[at..at + 2].copy_from_slice(&sum.finish().to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reset_is_what_the_sender_would_believe() {
        let mut segment = [0; 24];
        segment[..8].copy_from_slice(&[0, 1, 0, 2, 0, 0, 0, 10]);
        segment[8..12].copy_from_slice(&[0, 0, 0, 77]);
        (segment[12], segment[13]) = (0x50, SYN);
        let reset_of = |segment: &[u8]| {
            let reset = super::segment(segment)?;
            let header = *TcpHeader::read(&reset)?;
            let ports = (header.source.get(), header.destination.get());
            Some((ports, header.sequence.get(), header.acknowledgment.get(), header.flags))
        };
        assert_eq!(reset_of(&segment), Some(((2, 1), 0, 15, RST | ACK)), "4 bytes and a SYN");
        segment[13] = ACK;
        assert_eq!(reset_of(&segment), Some(((2, 1), 77, 0, RST)));
        segment[13] = RST;
        assert_eq!(reset_of(&segment), None);
        assert_eq!(reset_of(&segment[..19]), None);
    }

    #[test]
    fn a_packet_that_is_reset_has_right_checksums() {
        let mut ip = Ipv4Header::new(tcp::PROTOCOL, [192, 0, 2, 1], [192, 0, 2, 2], 40).as_bytes().to_vec();
        ip.extend([0, 1, 0, 2, 0, 0, 0, 10, 0, 0, 0, 0, 0x50, SYN, 0, 0, 0, 0, 0, 0]);
        let mut out = [0; 60];
        assert_eq!(write_v4(&ip, &mut out), Some(40));
        let header = Ipv4Header::checked_mut(&mut out).expect("a right checksum");
        assert_eq!((header.source, header.destination), ([192, 0, 2, 2], [192, 0, 2, 1]));
        let mut sum = pseudo_v4([192, 0, 2, 2], [192, 0, 2, 1], tcp::PROTOCOL, 20);
        sum.add(&out[20..40]);
        assert_eq!(sum.finish(), 0);
        assert_eq!(write_v4(&ip, &mut out[..39]), None);
        for len in 0..40 {
            assert_eq!(write_v4(&ip[..len], &mut out), None, "{len}");
        }
        let (from, to) = ([0xfd; 16], [0xfc; 16]);
        let mut packet = Ipv6Header::new(tcp::PROTOCOL, from, to, 20).as_bytes().to_vec();
        packet.extend(&ip[20..]);
        assert_eq!(write_v6(&packet, &mut out), Some(60));
        let mut sum = pseudo_v6(&to, &from, tcp::PROTOCOL, 20);
        sum.add(&out[40..60]);
        assert_eq!(sum.finish(), 0);
    }
}
