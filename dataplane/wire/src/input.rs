//! What a router looks at before it forwards a packet: whether the header is sound (RFC 1812 §5.2.2, RFC 8200 §3), and how
//! far its addresses may travel (RFC 1812 §5.3.7, RFC 4291 §2, RFC 6890).

use zerocopy::FromBytes;

use crate::checksum::Sum;
use crate::ipv4::{Ipv4Header, MIN_LEN};
use crate::ipv6::{self, Ipv6Header};

/// Why a header is not sound. Such a packet is dropped without an answer (RFC 1812 §5.2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The packet ends inside its header.
    #[error("the packet ends inside its IP header")]
    Truncated,
    /// The version is not the one that the EtherType promised.
    #[error("the version in the IP header is not that of the EtherType")]
    Version,
    /// The header claims to be shorter than its fixed part.
    #[error("the IPv4 header claims less than 20 bytes for itself")]
    HeaderLength,
    /// The packet claims to be longer than it is, or shorter than its header.
    #[error("the IP header claims more bytes than came, or fewer than it has itself")]
    TotalLength,
    /// The sum over the header is wrong.
    #[error("the checksum of the IPv4 header is wrong")]
    Checksum,
}

/// Checks an IPv4 header. `packet` starts with it and holds all of it, `total` is the bytes of the whole packet, which may go
/// on in other segments and end in padding.
///
/// # Errors
/// The first [`Fault`] that is found.
#[inline(always)]
pub fn check_v4(packet: &[u8], total: usize) -> Result<&Ipv4Header, Fault> {
    let fixed = packet.first_chunk::<MIN_LEN>().ok_or(Fault::Truncated)?;
    let header = Ipv4Header::ref_from_bytes(fixed).map_err(|_| Fault::Truncated)?;
    let is_right =
        if header.is_plain() { sums_up(fixed) } else { sum_of_unusual(packet, header)?.finish() == 0 };
    if header.payload_len(total).is_none() {
        return Err(Fault::TotalLength);
    }
    if !is_right {
        return Err(Fault::Checksum);
    }
    Ok(header)
}

/// Whether the checksum of a header without options is right: five additions, where [`Sum`] is made for long packets.
#[inline(always)]
fn sums_up(header: &[u8; MIN_LEN]) -> bool {
    let (words, _) = header.as_chunks::<4>();
    let sum: u64 = words.iter().map(|word| u64::from(u32::from_ne_bytes(*word))).sum();
    // Three steps fold five words to 16 bits: all ones is a sum of 0 in ones-complement.
    let sum = (sum >> 32) + (sum & 0xffff_ffff);
    let sum = (sum >> 16) + (sum & 0xffff);
    let sum = (sum >> 16) + (sum & 0xffff);
    sum == 0xffff
}

/// The sum over a header with options, or what else is wrong with it.
#[cold]
fn sum_of_unusual(packet: &[u8], header: &Ipv4Header) -> Result<Sum, Fault> {
    if header.version() != 4 {
        return Err(Fault::Version);
    }
    if header.header_len() < MIN_LEN {
        return Err(Fault::HeaderLength);
    }
    packet.get(..header.header_len()).map(Sum::of).ok_or(Fault::Truncated)
}

/// Checks an IPv6 header. `packet` starts with it, `total` is the bytes of the whole packet. Extensions are not looked at.
///
/// # Errors
/// The first [`Fault`] that is found.
#[inline(always)]
pub fn check_v6(packet: &[u8], total: usize) -> Result<&Ipv6Header, Fault> {
    if packet.len() < ipv6::HEADER_LEN {
        return Err(Fault::Truncated);
    }
    let header = Ipv6Header::read(packet).ok_or(Fault::Version)?;
    if header.payload_len(total).is_none() {
        return Err(Fault::TotalLength);
    }
    Ok(header)
}

/// How far a packet may travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// A router may forward it.
    Routed,
    /// It may be for this host, but no router forwards it: one of its addresses means something on its link alone.
    Link,
}

/// Why no host and no router may take a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Martian {
    /// The source is not the address of one host.
    #[error("the source address is not one of a single host")]
    Source,
    /// The destination is an address that is never on a wire.
    #[error("the destination address is one that is never on a wire")]
    Destination,
    /// The source is the destination: a host that answers would answer itself ("land").
    #[error("source and destination are the same address")]
    Land,
}

/// 255.255.255.255, which is everybody on the link (RFC 919 §7).
pub const LIMITED_BROADCAST: [u8; 4] = [255; 4];

/// Whether an IPv4 address can be that of one host: not 0/8, 127/8, multicast or 240/4 (RFC 1122 §3.2.1.3).
#[inline(always)]
pub const fn is_host_v4(address: [u8; 4]) -> bool {
    !matches!(address[0], 0 | 127 | 224..)
}

/// Whether an IPv6 address can be that of one host: not unspecified, loopback, multicast or ::ffff:0:0/96, which stands for an
/// IPv4 address inside programs alone (RFC 4291 §2.5, RFC 6890 §2.2.3).
#[inline(always)]
pub fn is_host_v6(address: &[u8; 16]) -> bool {
    let value = u128::from_be_bytes(*address);
    value > 1 && value >> 32 != 0xffff && !ipv6::is_multicast(address)
}

/// How far an IPv4 packet may travel by its addresses. Networks that are for documents or tests are addresses as others:
/// keeping them out is a matter of policy. So are broadcasts to a subnet, which only a routing table knows.
///
/// # Errors
/// The packet is a [`Martian`].
#[inline(always)]
pub const fn reach_v4(source: [u8; 4], destination: [u8; 4]) -> Result<Reach, Martian> {
    let differ = u32::from_be_bytes(source) != u32::from_be_bytes(destination);
    if is_usual_v4(source[0]) && is_usual_v4(destination[0]) && differ {
        return Ok(Reach::Routed);
    }
    reach_unusual_v4(source, destination)
}

/// Whether an address that begins with this byte is one of a host that can be anywhere, so that nothing else needs a look.
#[inline(always)]
const fn is_usual_v4(first: u8) -> bool {
    first.wrapping_sub(1) < 223 && first != 127 && first != 169
}

#[cold]
const fn reach_unusual_v4(source: [u8; 4], destination: [u8; 4]) -> Result<Reach, Martian> {
    let is_broadcast = u32::from_be_bytes(destination) == u32::MAX;
    if !is_host_v4(source) {
        // A host that asks for its address has none yet (RFC 1122 §3.2.1.3 a).
        let asks = u32::from_be_bytes(source) == 0 && is_broadcast;
        return if asks { Ok(Reach::Link) } else { Err(Martian::Source) };
    }
    if matches!(destination[0], 0 | 127 | 240..) && !is_broadcast {
        return Err(Martian::Destination);
    }
    if u32::from_be_bytes(source) == u32::from_be_bytes(destination) {
        return Err(Martian::Land);
    }
    // Link-local addresses (RFC 3927 §2.7) and the local network control block of groups (RFC 5771 §4).
    let is_local = matches!((source[0], source[1]), (169, 254))
        || matches!(destination, [169, 254, _, _] | [224, 0, 0, _])
        || is_broadcast;
    Ok(if is_local { Reach::Link } else { Reach::Routed })
}

/// How far an IPv6 packet may travel by its addresses.
///
/// # Errors
/// The packet is a [`Martian`].
#[inline(always)]
pub fn reach_v6(source: &[u8; 16], destination: &[u8; 16]) -> Result<Reach, Martian> {
    let has_no_source = *source == ipv6::UNSPECIFIED;
    if !has_no_source && !is_host_v6(source) {
        return Err(Martian::Source);
    }
    let is_group = ipv6::is_multicast(destination);
    let scope = destination[1] & 0xf;
    // Scope 0 is reserved, and what is for the interface of its sender alone does not come from a wire (RFC 4291 §2.7).
    if is_group && scope <= 1 || !is_group && !is_host_v6(destination) {
        return Err(Martian::Destination);
    }
    if source == destination {
        return Err(Martian::Land);
    }
    let is_local = has_no_source
        || ipv6::is_link_local(source)
        || ipv6::is_link_local(destination)
        || is_group && scope == 2;
    Ok(if is_local { Reach::Link } else { Reach::Routed })
}

#[cfg(test)]
#[path = "input_tests.rs"]
mod tests;
