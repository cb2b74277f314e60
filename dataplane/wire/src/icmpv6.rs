//! ICMPv6 (RFC 4443): answers to echo requests, errors about packets, and what errors quote.

use zerocopy::IntoBytes;
use zerocopy::byteorder::big_endian::U16;

use crate::checksum::{Sum, pseudo_v6, update};
use crate::icmp::{HEADER_LEN, IcmpHeader};
use crate::input::{is_host_v6, reach_v6};
use crate::ipv6::{self, DEFAULT_HOP_LIMIT, Ipv6Header};

/// IP protocol number.
pub const PROTOCOL: u8 = 58;
/// Most bytes of an error with its IP header (RFC 4443 §2.4 c): the least MTU of IPv6.
pub const MAX_ERROR: usize = 1280;

/// Type: the packet cannot be delivered.
pub const UNREACHABLE: u8 = 1;
/// Type: the packet is longer than the next hop's MTU.
pub const TOO_BIG: u8 = 2;
/// Type: the hop limit or the time of reassembly is over.
pub const TIME_EXCEEDED: u8 = 3;
/// Type: a header has something wrong.
pub const PARAMETER_PROBLEM: u8 = 4;
/// Type: send the same back.
pub const ECHO_REQUEST: u8 = 128;
/// Type: answer to an echo request.
pub const ECHO_REPLY: u8 = 129;
/// Type: there is a better router or a neighbour (RFC 4861 §4.5).
pub const REDIRECT: u8 = 137;

/// Whether a type is that of an error (RFC 4443 §2.1).
#[inline(always)]
pub const fn is_error(kind: u8) -> bool {
    kind < 128
}

/// What is wrong with a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Problem {
    /// No route leads to the destination.
    NoRoute,
    /// A filter forbids it.
    AdminProhibited,
    /// The source address has no meaning where the packet would go.
    BeyondScope,
    /// The destination does not answer on its link.
    AddressUnreachable,
    /// Nobody here listens at the port.
    PortUnreachable,
    /// The packet is too long for the next hop.
    TooBig {
        /// MTU of the next hop in bytes.
        mtu: u32,
    },
    /// The hop limit is over.
    HopLimitExceeded,
    /// Parts of the packet did not come in time.
    ReassemblyExceeded,
    /// A field of a header is wrong.
    HeaderField {
        /// Where the field is, in bytes from the start of the packet.
        pointer: u32,
    },
    /// A next header is not known here.
    NextHeader {
        /// Where the number is, in bytes from the start of the packet.
        pointer: u32,
    },
    /// An option is not known here and says that this is to be told.
    UnknownOption {
        /// Where the option is, in bytes from the start of the packet.
        pointer: u32,
    },
}

impl Problem {
    const fn header(self) -> IcmpHeader {
        let (kind, code, rest) = match self {
            Problem::NoRoute => (UNREACHABLE, 0, 0),
            Problem::AdminProhibited => (UNREACHABLE, 1, 0),
            Problem::BeyondScope => (UNREACHABLE, 2, 0),
            Problem::AddressUnreachable => (UNREACHABLE, 3, 0),
            Problem::PortUnreachable => (UNREACHABLE, 4, 0),
            Problem::TooBig { mtu } => (TOO_BIG, 0, mtu),
            Problem::HopLimitExceeded => (TIME_EXCEEDED, 0, 0),
            Problem::ReassemblyExceeded => (TIME_EXCEEDED, 1, 0),
            Problem::HeaderField { pointer } => (PARAMETER_PROBLEM, 0, pointer),
            Problem::NextHeader { pointer } => (PARAMETER_PROBLEM, 1, pointer),
            Problem::UnknownOption { pointer } => (PARAMETER_PROBLEM, 2, pointer),
        };
        IcmpHeader { kind, code, checksum: U16::ZERO, rest: rest.to_be_bytes() }
    }

    /// Whether it is told even to those who send to a group: path MTUs are needed there too.
    const fn concerns_groups(self) -> bool {
        matches!(self, Problem::TooBig { .. } | Problem::UnknownOption { .. })
    }
}

/// Whether an error may be sent about a packet (RFC 4443 §2.4 e): not about ICMPv6 errors and redirects, not about packets
/// whose source is not one host, and about packets to groups only if they are too big or have an unknown option. Whether the
/// frame was sent to a group of the link is for the caller to know.
#[inline]
pub fn may_answer(packet: &[u8], problem: Problem) -> bool {
    let Some(header) = Ipv6Header::read(packet) else { return false };
    let Some(found) = ipv6::transport(packet) else { return false };
    if reach_v6(&header.source, &header.destination).is_err() || header.source == ipv6::UNSPECIFIED {
        return false;
    }
    if ipv6::is_multicast(&header.destination) && !problem.concerns_groups() {
        return false;
    }
    // What cannot be told to be none is taken for an error.
    let is_harmless =
        |message: &[u8]| message.first().is_some_and(|&kind| !is_error(kind) && kind != REDIRECT);
    found.protocol != PROTOCOL || !found.is_later_part() && is_harmless(&packet[found.offset..])
}

/// Writes an error about a packet, from its IPv6 header on, and returns its length. `packet` is the offending one as it came,
/// `source` the router's address. Quoted is what `packet`, [`MAX_ERROR`] and `out` hold, without padding. `None` if there
/// [may be no answer](may_answer), or `out` has no room for the least quote: the headers and 8 bytes.
pub fn write_error(packet: &[u8], problem: Problem, source: &[u8; 16], out: &mut [u8]) -> Option<usize> {
    if !may_answer(packet, problem) {
        return None;
    }
    let offender = Ipv6Header::read(packet)?;
    let claimed = ipv6::HEADER_LEN + offender.payload_len.get() as usize;
    let quote = packet.get(..claimed).unwrap_or(packet);
    let room = out.len().min(MAX_ERROR).checked_sub(ipv6::HEADER_LEN + HEADER_LEN)?;
    if room < quote.len().min(ipv6::transport(packet)?.offset + 8) {
        return None;
    }
    let quote = &quote[..quote.len().min(room)];
    let header = Ipv6Header::new(PROTOCOL, *source, offender.source, (HEADER_LEN + quote.len()) as u16);
    write(&header, problem.header(), quote, out)
}

/// Writes a message with its IPv6 header and checksum, and returns the length of all. `None` if `out` has no room. The payload
/// length of `header` is that of the message.
pub(crate) fn write(header: &Ipv6Header, icmp: IcmpHeader, body: &[u8], out: &mut [u8]) -> Option<usize> {
    let len = ipv6::HEADER_LEN + HEADER_LEN + body.len();
    let (network, message) = out.get_mut(..len)?.split_at_mut_checked(ipv6::HEADER_LEN)?;
    network.copy_from_slice(header.as_bytes());
    message[..HEADER_LEN].copy_from_slice(icmp.as_bytes());
    message[HEADER_LEN..].copy_from_slice(body);
    let checksum = sum(header, message).finish();
    IcmpHeader::read_mut(message)?.checksum.set(checksum);
    Some(len)
}

/// The sum over a whole message and its pseudo header: of a message with its checksum in it, the complement is 0.
pub(crate) fn sum(header: &Ipv6Header, message: &[u8]) -> Sum {
    let mut sum = pseudo_v6(&header.source, &header.destination, PROTOCOL, message.len() as u32);
    sum.add(message);
    sum
}

/// Makes an echo request into its reply, in place, with a fresh hop limit (RFC 4443 §4.2). A request to a group is answered from
/// `own`, any other from the address that was asked. `false`, and nothing changed, if it is no whole-packet request from a host.
/// Whether the destination is ours is for the caller to know.
///
/// The checksum is updated, not computed: a request that was damaged becomes a reply that is.
#[must_use]
pub fn echo_reply(packet: &mut [u8], own: &[u8; 16]) -> bool {
    let Some(found) = ipv6::transport(packet).filter(|t| t.protocol == PROTOCOL) else { return false };
    let is_fit = found.part.is_none() && !found.is_routed;
    let (network, message) = packet.split_at_mut(found.offset);
    let (Some(header), Some(request)) = (Ipv6Header::read_mut(network), IcmpHeader::read_mut(message)) else {
        return false;
    };
    if !is_fit
        || request.first_word() != 0x8000
        || !is_host_v6(&header.source)
        || reach_v6(&header.source, &header.destination).is_err()
    {
        return false;
    }
    let (asked, old) = (header.destination, request.first_word());
    let from = if ipv6::is_multicast(&asked) { *own } else { asked };
    request.kind = ECHO_REPLY;
    let checksum = update(request.checksum.get(), old, request.first_word());
    request.checksum.set(update(checksum, Sum::of(&asked).partial(), Sum::of(&from).partial()));
    (header.source, header.destination) = (from, header.source);
    header.hop_limit = DEFAULT_HOP_LIMIT;
    true
}

/// Where the ICMPv6 header of an error starts, and the packet that it quotes, in bytes from the start of `packet`, which is the
/// error with its IPv6 header. `None` if it is no error, a fragment, or quotes no whole IPv6 header.
#[inline]
pub fn quoted(packet: &[u8]) -> Option<(usize, usize)> {
    let found = ipv6::transport(packet).filter(|t| t.protocol == PROTOCOL && t.part.is_none())?;
    let message = &packet[found.offset..];
    IcmpHeader::read(message).filter(|icmp| is_error(icmp.kind))?;
    Ipv6Header::read(&message[HEADER_LEN..])?;
    Some((found.offset, found.offset + HEADER_LEN))
}

#[cfg(test)]
#[path = "icmpv6_tests.rs"]
mod tests;
