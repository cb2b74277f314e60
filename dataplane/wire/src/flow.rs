//! What tells one flow of packets from another: addresses, protocol, and ports or their like. For NAT, ECMP and sessions.
//!
//! Everything is generic over the bytes of an address, 4 or 16, so that a key has the size of its family.

use crate::ethernet::half;
use crate::fragment::Part;
use crate::icmp::IcmpHeader;
use crate::ipv4::Ipv4Header;
use crate::ipv6::{self, Ipv6Header};
use crate::{icmpv4, icmpv6, tcp, udp};

/// IP protocol number of DCCP (RFC 4340).
pub const DCCP: u8 = 33;
/// IP protocol number of SCTP (RFC 9260).
pub const SCTP: u8 = 132;
/// IP protocol number of UDP-Lite (RFC 3828).
pub const UDP_LITE: u8 = 136;

/// What tells a flow from others. `N` is the bytes of an address: 4 or 16.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key<const N: usize> {
    /// Source address.
    pub source: [u8; N],
    /// Destination address.
    pub destination: [u8; N],
    /// Source port; the identifier of an ICMP query; 0 if there is neither.
    pub source_port: u16,
    /// Destination port; the identifier of an ICMP query, so that a reply has the reverse key; 0 if there is neither.
    pub destination_port: u16,
    /// IP protocol number.
    pub protocol: u8,
}

impl<const N: usize> Key<N> {
    /// The key of the other direction.
    #[inline]
    #[must_use]
    pub const fn reversed(self) -> Self {
        Key {
            source: self.destination,
            destination: self.source,
            source_port: self.destination_port,
            destination_port: self.source_port,
            protocol: self.protocol,
        }
    }

    /// Whatever both directions have in common: of a key and its reverse, the one with the lower source.
    #[inline]
    #[must_use]
    pub fn ordered(self) -> Self {
        let is_high = (self.source, self.source_port) > (self.destination, self.destination_port);
        if is_high { self.reversed() } else { self }
    }

    /// A hash of the key, of which any bits may be used. A seed that senders do not know keeps them from choosing keys that
    /// fall together. For one hash of both directions, take that of the [`ordered`](Self::ordered) key.
    #[inline]
    pub fn hash64(&self, seed: u64) -> u64 {
        let ports = u64::from(self.source_port) << 16 | u64::from(self.destination_port);
        let mut state = mix(seed ^ ports << 8 ^ u64::from(self.protocol));
        let (sources, destinations) = (self.source.as_chunks::<4>().0, self.destination.as_chunks::<4>().0);
        for (source, destination) in sources.iter().zip(destinations) {
            let both = u64::from(u32::from_ne_bytes(*source)) << 32;
            state = mix(state ^ both ^ u64::from(u32::from_ne_bytes(*destination)));
        }
        state
    }
}

/// One step of the hash: a multiplication whose upper half comes back into the lower, so that every bit reaches every other.
#[inline(always)]
const fn mix(value: u64) -> u64 {
    // The golden ratio as a fraction of 2^64, as in Fibonacci hashing.
    let product = value as u128 * 0x9e37_79b9_7f4a_7c15;
    (product >> 64) as u64 ^ product as u64
}

/// What the first bytes behind the IP headers are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A transport header that starts with two ports: TCP, UDP, UDP-Lite, DCCP or SCTP.
    Ports,
    /// An ICMP request or reply that carries an identifier.
    Query,
    /// An ICMP error: it belongs to the flow of the packet that it quotes.
    Error,
    /// A later part of a packet: its ports were in the first.
    LaterPart,
    /// A protocol without ports, or an ICMP message that is neither of the above.
    Other,
}

/// A packet's flow, and where in the packet it is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flow<const N: usize> {
    /// The key, with ports where the packet has any.
    pub key: Key<N>,
    /// Where the transport header starts, in bytes from the start of the IP header.
    pub l4: usize,
    /// What is there.
    pub kind: Kind,
    /// Which part of a packet this is; `None` if it is the whole.
    pub part: Option<Part>,
}

impl<const N: usize> Flow<N> {
    /// The key by which paths are chosen: that of a fragment has no ports, so that all parts of a packet go one way (RFC
    /// 2991 §2 asks that a flow stays on its path).
    #[inline]
    pub fn path_key(&self) -> Key<N> {
        match self.part {
            None => self.key,
            Some(_) => Key { source_port: 0, destination_port: 0, ..self.key },
        }
    }
}

/// Why a packet's flow is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The IP header is of another version or not whole, or the extensions behind it do not end.
    #[error("the IP headers are not whole, or not of the version that was expected")]
    Header,
    /// The header claims more bytes than there are.
    #[error("the IP header claims more bytes than came")]
    Length,
    /// The packet ends inside the fixed part of its transport header.
    #[error("the packet ends inside its transport header")]
    Transport,
    /// An IPv6 routing header has segments left: the destination is not yet the last.
    #[error("the packet has an IPv6 routing header with segments left")]
    Routed,
}

/// The flow of an IPv4 packet. `packet` starts with its header and holds all headers, `total` is the bytes of the whole.
///
/// # Errors
/// The headers have something wrong or are cut off.
#[inline]
pub fn extract_v4(packet: &[u8], total: usize) -> Result<Flow<4>, Fault> {
    let header = Ipv4Header::read(packet).ok_or(Fault::Header)?;
    let l4 = header.header_len();
    let len = header.payload_len(total).ok_or(Fault::Length)?;
    let transport = &packet[l4..];
    v4(header, &transport[..transport.len().min(len)], true)
}

/// The flow of an IPv4 packet that an ICMP error quotes: of its transport header, 8 bytes are enough (RFC 792).
///
/// # Errors
/// The headers have something wrong or are cut off.
#[inline]
pub fn extract_quoted_v4(quote: &[u8]) -> Result<Flow<4>, Fault> {
    let header = Ipv4Header::read(quote).ok_or(Fault::Header)?;
    v4(header, &quote[header.header_len()..], false)
}

#[inline(always)]
fn v4(header: &Ipv4Header, transport: &[u8], is_whole: bool) -> Result<Flow<4>, Fault> {
    let part = header.part();
    let protocol = header.protocol;
    let (kind, ports) = match part {
        Some(part) if !part.is_first() => (Kind::LaterPart, [0; 2]),
        _ => read(protocol, transport, icmpv4::PROTOCOL, icmp_v4, is_whole)?,
    };
    let [source_port, destination_port] = ports;
    let (source, destination) = (header.source, header.destination);
    let key = Key { source, destination, source_port, destination_port, protocol };
    Ok(Flow { key, l4: header.header_len(), kind, part })
}

/// The flow of an IPv6 packet. `packet` starts with its header and holds all headers, `total` is the bytes of the whole.
///
/// # Errors
/// The headers have something wrong or are cut off.
#[inline]
pub fn extract_v6(packet: &[u8], total: usize) -> Result<Flow<16>, Fault> {
    let header = Ipv6Header::read(packet).ok_or(Fault::Header)?;
    let len = header.payload_len(total).ok_or(Fault::Length)?;
    v6(header, &packet[..packet.len().min(ipv6::HEADER_LEN + len)], true)
}

/// The flow of an IPv6 packet that an ICMPv6 error quotes: of its transport header, 8 bytes are enough.
///
/// # Errors
/// The headers have something wrong or are cut off.
#[inline]
pub fn extract_quoted_v6(quote: &[u8]) -> Result<Flow<16>, Fault> {
    v6(Ipv6Header::read(quote).ok_or(Fault::Header)?, quote, false)
}

#[inline(always)]
fn v6(header: &Ipv6Header, packet: &[u8], is_whole: bool) -> Result<Flow<16>, Fault> {
    let found = ipv6::transport(packet).ok_or(Fault::Header)?;
    if found.is_routed {
        return Err(Fault::Routed);
    }
    let (protocol, l4) = (found.protocol, found.offset);
    let (kind, ports) = if found.is_later_part() {
        (Kind::LaterPart, [0; 2])
    } else {
        read(protocol, &packet[l4..], icmpv6::PROTOCOL, icmp_v6, is_whole)?
    };
    let [source_port, destination_port] = ports;
    let (source, destination) = (header.source, header.destination);
    let key = Key { source, destination, source_port, destination_port, protocol };
    Ok(Flow { key, l4, kind, part: found.part })
}

const fn icmp_v4(kind: u8) -> Kind {
    match kind {
        _ if icmpv4::is_error(kind) => Kind::Error,
        _ if icmpv4::is_query(kind) => Kind::Query,
        _ => Kind::Other,
    }
}

const fn icmp_v6(kind: u8) -> Kind {
    match kind {
        _ if icmpv6::is_error(kind) => Kind::Error,
        icmpv6::ECHO_REQUEST | icmpv6::ECHO_REPLY => Kind::Query,
        _ => Kind::Other,
    }
}

/// What a transport header is, and its ports.
#[inline(always)]
fn read(
    protocol: u8,
    transport: &[u8],
    icmp_protocol: u8,
    icmp_kind: fn(u8) -> Kind,
    is_whole: bool,
) -> Result<(Kind, [u16; 2]), Fault> {
    if protocol == icmp_protocol {
        let header = IcmpHeader::read(transport).ok_or(Fault::Transport)?;
        let kind = icmp_kind(header.kind);
        let id = if kind == Kind::Query { header.id() } else { 0 };
        return Ok((kind, [id; 2]));
    }
    let fixed = match protocol {
        tcp::PROTOCOL if is_whole => tcp::MIN_LEN,
        DCCP | SCTP if is_whole => 12,
        tcp::PROTOCOL | udp::PROTOCOL | UDP_LITE | DCCP | SCTP => udp::HEADER_LEN,
        _ => return Ok((Kind::Other, [0; 2])),
    };
    if transport.len() < fixed {
        return Err(Fault::Transport);
    }
    let port = |at| half(transport, at).ok_or(Fault::Transport);
    Ok((Kind::Ports, [port(0)?, port(2)?]))
}

#[cfg(test)]
#[path = "flow_tests.rs"]
mod tests;
