//! Changing the addresses and ports of a packet in place, with every checksum that covers them (RFC 3022 §4, RFC 1624).

use crate::checksum::{Field, Sum, update, update_partial, update_udp};
use crate::ethernet::half;
use crate::flow::{DCCP, Flow, Key, Kind, SCTP, UDP_LITE};
use crate::icmp::IcmpHeader;
use crate::{icmpv4, icmpv6, tcp, udp};

/// Where addresses and checksum are, in bytes from the start of an IP header.
const ADDRESSES_V4: usize = 12;
const ADDRESSES_V6: usize = 8;
const CHECKSUM_V4: usize = 10;

/// Why a packet was not rewritten. Nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The packet is not the one that the flow was read from.
    #[error("the packet is shorter than where its flow was read from")]
    Short,
    /// SCTP's checksum covers ports and all data by a polynomial: it cannot be updated by a part.
    #[error("the ports of SCTP cannot be changed without all of the packet")]
    Protocol,
}

/// Gives an IPv4 packet, whose flow is `from`, the addresses and ports of `to`. The protocol of `to` is not looked at, nor are
/// ports where the packet has none. Of an ICMP query, the source port of `to` becomes the identifier.
///
/// # Errors
/// The packet is not that of the flow, or its ports cannot be changed.
#[inline]
pub fn rewrite_v4(packet: &mut [u8], from: &Flow<4>, to: &Key<4>, sum: Field) -> Result<(), Refused> {
    let sum_at = half(packet, CHECKSUM_V4).ok_or(Refused::Short)?;
    let (old, new) = rewrite(packet, ADDRESSES_V4, from, to, sum)?;
    store(packet, CHECKSUM_V4, update(sum_at, old, new));
    Ok(())
}

/// Gives an IPv6 packet, whose flow is `from`, the addresses and ports of `to`; as [`rewrite_v4`].
///
/// # Errors
/// The packet is not that of the flow, or its ports cannot be changed.
#[inline]
pub fn rewrite_v6(packet: &mut [u8], from: &Flow<16>, to: &Key<16>, sum: Field) -> Result<(), Refused> {
    rewrite(packet, ADDRESSES_V6, from, to, sum).map(|_| ())
}

/// Gives the packet that an ICMP error quotes, whose flow is `from`, the addresses and ports of `to`, with its own checksums
/// and that of the ICMP message (RFC 5508 §4.2). `icmp` is where the ICMP header starts in `packet`, `quote` where the quoted
/// packet starts, see [`icmpv4::quoted`].
///
/// # Errors
/// The packet is not that of the flow, or its ports cannot be changed.
pub fn rewrite_quoted_v4(
    packet: &mut [u8],
    icmp: usize,
    quote: usize,
    from: &Flow<4>,
    to: &Key<4>,
) -> Result<(), Refused> {
    quoted(packet, icmp, quote, from.l4, |inner| rewrite_v4(inner, from, to, Field::Full))
}

/// As [`rewrite_quoted_v4`], of an ICMPv6 error; see [`icmpv6::quoted`].
///
/// # Errors
/// The packet is not that of the flow, or its ports cannot be changed.
pub fn rewrite_quoted_v6(
    packet: &mut [u8],
    icmp: usize,
    quote: usize,
    from: &Flow<16>,
    to: &Key<16>,
) -> Result<(), Refused> {
    quoted(packet, icmp, quote, from.l4, |inner| rewrite_v6(inner, from, to, Field::Full))
}

/// Rewrites a quote and updates the checksum in front of it by all that may have changed: the headers.
fn quoted(
    packet: &mut [u8],
    icmp: usize,
    quote: usize,
    l4: usize,
    rewrite: impl FnOnce(&mut [u8]) -> Result<(), Refused>,
) -> Result<(), Refused> {
    let (outer, inner) = packet.split_at_mut_checked(quote).ok_or(Refused::Short)?;
    let header = outer.get_mut(icmp..).and_then(IcmpHeader::read_mut).ok_or(Refused::Short)?;
    let changed = ..inner.len().min(l4.saturating_add(tcp::MIN_LEN));
    let old = Sum::of(&inner[changed]).partial();
    rewrite(inner)?;
    header.checksum.set(update(header.checksum.get(), old, Sum::of(&inner[changed]).partial()));
    Ok(())
}

/// Changes addresses and transport header; the sums of the old and the new addresses.
#[inline(always)]
fn rewrite<const N: usize>(
    packet: &mut [u8],
    at: usize,
    from: &Flow<N>,
    to: &Key<N>,
    sum: Field,
) -> Result<(u16, u16), Refused> {
    let has_ports = matches!(from.kind, Kind::Ports | Kind::Query);
    let ports = (to.source_port, to.destination_port);
    if from.key.protocol == SCTP && has_ports && ports != (from.key.source_port, from.key.destination_port) {
        return Err(Refused::Protocol);
    }
    // All that may fail is looked at first, so that nothing is changed by half.
    let room = if has_ports { 8 } else { 0 };
    let first = from.l4.checked_add(room).ok_or(Refused::Short)?;
    if packet.len() < first.max(at + 2 * N) {
        return Err(Refused::Short);
    }
    let (network, transport) = packet.split_at_mut_checked(from.l4).ok_or(Refused::Short)?;
    let addresses = network.get_mut(at..at + 2 * N).ok_or(Refused::Short)?;
    let old = Sum::of(addresses).partial();
    let (source, destination) = addresses.split_at_mut(N);
    source.copy_from_slice(&to.source);
    destination.copy_from_slice(&to.destination);
    let new = Sum::of(addresses).partial();
    if from.kind == Kind::LaterPart {
        return Ok((old, new));
    }
    // The pseudo header has the addresses, but ICMP over IPv4 has no pseudo header.
    let field = checksum_field(from.key.protocol).filter(|&at| half(transport, at).is_some());
    if let Some(field) = field.filter(|_| from.key.protocol != icmpv4::PROTOCOL) {
        change(transport, field, from.key.protocol, sum, old, new);
    }
    if has_ports {
        // A query has its identifier right behind the checksum; ports are the first two words.
        let (places, values) = match from.kind {
            Kind::Query => (4..6, [ports.0, 0]),
            _ => (0..4, [ports.0, ports.1]),
        };
        for (at, value) in places.step_by(2).zip(values) {
            let was = half(transport, at).unwrap_or(value);
            if was == value {
                continue;
            }
            store(transport, at, value);
            if let Some(field) = field.filter(|_| sum == Field::Full) {
                change(transport, field, from.key.protocol, sum, was, value);
            }
        }
    }
    Ok((old, new))
}

/// Where the checksum is in a transport header, in bytes.
const fn checksum_field(protocol: u8) -> Option<usize> {
    match protocol {
        tcp::PROTOCOL => Some(tcp::CHECKSUM_OFFSET),
        udp::PROTOCOL | UDP_LITE | DCCP => Some(udp::CHECKSUM_OFFSET),
        icmpv4::PROTOCOL | icmpv6::PROTOCOL => Some(2),
        _ => None,
    }
}

/// Updates a transport checksum for a sum that changed.
#[inline(always)]
fn change(transport: &mut [u8], field: usize, protocol: u8, sum: Field, old: u16, new: u16) {
    let Some(checksum) = half(transport, field) else { return };
    let checksum = match sum {
        Field::Partial => update_partial(checksum, old, new),
        Field::Full if matches!(protocol, udp::PROTOCOL | UDP_LITE) => update_udp(checksum, old, new),
        Field::Full => update(checksum, old, new),
    };
    store(transport, field, checksum);
}

/// Stores 16 bits; nothing if they lie outside.
#[inline(always)]
fn store(bytes: &mut [u8], at: usize, value: u16) {
    if let Some(place) = bytes.get_mut(at..).and_then(<[u8]>::first_chunk_mut) {
        *place = value.to_be_bytes();
    }
}

#[cfg(test)]
#[path = "rewrite_tests.rs"]
mod tests;
