//! Refusals: a reset for TCP, an ICMP error for all else.

use std::net::IpAddr;

use paceline_wire::icmpv4::{self, MAX_ERROR};
use paceline_wire::ipv4::{self, Ipv4Header};
use paceline_wire::ipv6::{self, Ipv6Header};
use paceline_wire::tcp::{self, ACK, FIN, SYN, TcpHeader};
use paceline_wire::{icmpv6, udp};
use zerocopy::IntoBytes;

use super::view::{View, pseudo};

/// A flag of TCP that only refusals use (RFC 9293 §3.1).
const RST: u8 = 0x04;
/// What stands for a header of 20 bytes in the byte of the data offset.
const DATA_OFFSET: u8 = 0x50;
/// The header that says that nothing follows (RFC 8200 §4.7).
const NO_NEXT_HEADER: u8 = 59;

/// Writes the reset that answers a segment for which there is no connection (RFC 9293 §3.10.7.1). `false` if there is none.
pub(super) fn reset(view: &View<'_>, out: &mut Vec<u8>) -> bool {
    let segment = view.payload();
    let Some(header) = TcpHeader::read(segment) else { return false };
    if header.flags & RST != 0 {
        return false;
    }
    let (sequence, acknowledgment, flags) = if header.flags & ACK != 0 {
        (header.acknowledgment.get(), 0, RST)
    } else {
        let marks = u32::from(header.flags & SYN != 0) + u32::from(header.flags & FIN != 0);
        let len = (segment.len() - header.header_len()) as u32 + marks;
        (0, header.sequence.get().wrapping_add(len), RST | ACK)
    };
    let mut reset = [0; tcp::MIN_LEN];
    reset[..2].copy_from_slice(&header.destination.get().to_be_bytes());
    reset[2..4].copy_from_slice(&header.source.get().to_be_bytes());
    reset[4..8].copy_from_slice(&sequence.to_be_bytes());
    reset[8..12].copy_from_slice(&acknowledgment.to_be_bytes());
    (reset[12], reset[13]) = (DATA_OFFSET, flags);
    let mut sum = pseudo(view.destination, view.source, tcp::PROTOCOL, reset.len());
    sum.add(&reset);
    let at = tcp::CHECKSUM_OFFSET;
    reset[at..at + 2].copy_from_slice(&sum.finish().to_be_bytes());
    write(view.destination, view.source, tcp::PROTOCOL, &reset, out)
}

/// Writes the error that answers a packet for which nobody is there: its port for UDP, its protocol for others. `false` if there
/// may be none.
pub(super) fn unreachable(view: &View<'_>, out: &mut Vec<u8>) -> bool {
    out.resize(icmpv6::MAX_ERROR.max(MAX_ERROR), 0);
    let len = match view.destination {
        IpAddr::V4(own) => {
            let problem = match view.protocol {
                udp::PROTOCOL => icmpv4::Problem::PortUnreachable,
                _ => icmpv4::Problem::ProtocolUnreachable,
            };
            icmpv4::write_error(view.packet, problem, own.octets(), out)
        }
        IpAddr::V6(own) => {
            let problem = match view.protocol {
                udp::PROTOCOL => icmpv6::Problem::PortUnreachable,
                // The number of the first header is in the fixed one. Behind extensions it is not looked for.
                NO_NEXT_HEADER => return false,
                _ if view.offset != ipv6::HEADER_LEN => return false,
                _ => icmpv6::Problem::NextHeader { pointer: 6 },
            };
            icmpv6::write_error(view.packet, problem, &own.octets(), out)
        }
    };
    out.truncate(len.unwrap_or_default());
    len.is_some()
}

/// Writes the error about a packet of which only the first part is here. `false` if there may be none.
pub(super) fn too_late(first: &[u8], out: &mut Vec<u8>) -> bool {
    out.resize(icmpv6::MAX_ERROR.max(MAX_ERROR), 0);
    let len = if let Some(header) = Ipv4Header::read(first) {
        icmpv4::write_error(first, icmpv4::Problem::ReassemblyExceeded, header.destination, out)
    } else {
        Ipv6Header::read(first).and_then(|header| {
            icmpv6::write_error(first, icmpv6::Problem::ReassemblyExceeded, &header.destination, out)
        })
    };
    out.truncate(len.unwrap_or_default());
    len.is_some()
}

/// Writes a packet of a payload. `false` if it is too long, or the addresses are of different families.
pub(super) fn write(
    source: IpAddr,
    destination: IpAddr,
    protocol: u8,
    payload: &[u8],
    out: &mut Vec<u8>,
) -> bool {
    out.clear();
    match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            let Ok(len) = u16::try_from(ipv4::MIN_LEN + payload.len()) else { return false };
            let header = Ipv4Header::new(protocol, source.octets(), destination.octets(), len);
            out.extend_from_slice(header.as_bytes());
            ipv4::fill_checksum(out);
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            let Ok(len) = u16::try_from(payload.len()) else { return false };
            let header = Ipv6Header::new(protocol, source.octets(), destination.octets(), len);
            out.extend_from_slice(header.as_bytes());
        }
        _ => return false,
    }
    out.extend_from_slice(payload);
    true
}
