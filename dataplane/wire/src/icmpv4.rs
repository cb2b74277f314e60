//! ICMP (RFC 792, RFC 1122 §3.2.2, RFC 1812 §4.3): answers to echo requests, errors about packets, and what errors quote.

use zerocopy::byteorder::big_endian::U16;
use zerocopy::{FromZeros, IntoBytes};

use crate::checksum::{Sum, update};
use crate::icmp::{HEADER_LEN, IcmpHeader};
use crate::input::{is_host_v4, reach_v4};
use crate::ipv4::{self, DEFAULT_TTL, Ipv4Header, MIN_LEN};

/// IP protocol number.
pub const PROTOCOL: u8 = 1;
/// Most bytes of an error with its IP header (RFC 1812 §4.3.2.3): what every host can take.
pub const MAX_ERROR: usize = 576;

/// Type: answer to an echo request.
pub const ECHO_REPLY: u8 = 0;
/// Type: the packet cannot be delivered.
pub const UNREACHABLE: u8 = 3;
/// Type: send slower. Deprecated by RFC 6633.
pub const SOURCE_QUENCH: u8 = 4;
/// Type: there is a better router.
pub const REDIRECT: u8 = 5;
/// Type: send the same back.
pub const ECHO_REQUEST: u8 = 8;
/// Type: the time to live or that of reassembly is over.
pub const TIME_EXCEEDED: u8 = 11;
/// Type: the header has something wrong.
pub const PARAMETER_PROBLEM: u8 = 12;
/// Type: ask for the time. The answer is 14.
pub const TIMESTAMP_REQUEST: u8 = 13;
/// Type: answer to a request for the mask, the last query.
pub const MASK_REPLY: u8 = 18;
/// Internetwork control in the precedence bits, which errors carry (RFC 1812 §4.3.2.5).
const TOS_OF_ERRORS: u8 = 0xc0;

/// Whether a type is that of an error, redirects included (RFC 1122 §3.2.2).
#[inline(always)]
pub const fn is_error(kind: u8) -> bool {
    matches!(kind, UNREACHABLE | SOURCE_QUENCH | REDIRECT | TIME_EXCEEDED | PARAMETER_PROBLEM)
}

/// Whether a type is that of a request or reply with an identifier.
#[inline(always)]
pub const fn is_query(kind: u8) -> bool {
    matches!(kind, ECHO_REPLY | ECHO_REQUEST | TIMESTAMP_REQUEST..=MASK_REPLY)
}

/// What is wrong with a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Problem {
    /// No route leads to the destination.
    NetUnreachable,
    /// The destination does not answer on its link.
    HostUnreachable,
    /// Nobody here takes the protocol.
    ProtocolUnreachable,
    /// Nobody here listens at the port.
    PortUnreachable,
    /// The packet is too long for the next hop and may not be cut (RFC 1191 §4).
    FragmentationNeeded {
        /// MTU of the next hop in bytes.
        mtu: u16,
    },
    /// A filter forbids it (RFC 1812 §5.2.7.1).
    AdminProhibited,
    /// The time to live is over.
    TtlExceeded,
    /// Parts of the packet did not come in time.
    ReassemblyExceeded,
    /// A field of the header is wrong.
    Parameter {
        /// Where the field is, in bytes from the start of the header.
        pointer: u8,
    },
}

impl Problem {
    const fn header(self) -> IcmpHeader {
        let (kind, code, rest) = match self {
            Problem::NetUnreachable => (UNREACHABLE, 0, [0; 4]),
            Problem::HostUnreachable => (UNREACHABLE, 1, [0; 4]),
            Problem::ProtocolUnreachable => (UNREACHABLE, 2, [0; 4]),
            Problem::PortUnreachable => (UNREACHABLE, 3, [0; 4]),
            Problem::FragmentationNeeded { mtu } => {
                let [high, low] = mtu.to_be_bytes();
                (UNREACHABLE, 4, [0, 0, high, low])
            }
            Problem::AdminProhibited => (UNREACHABLE, 13, [0; 4]),
            Problem::TtlExceeded => (TIME_EXCEEDED, 0, [0; 4]),
            Problem::ReassemblyExceeded => (TIME_EXCEEDED, 1, [0; 4]),
            Problem::Parameter { pointer } => (PARAMETER_PROBLEM, 0, [pointer, 0, 0, 0]),
        };
        IcmpHeader { kind, code, checksum: U16::ZERO, rest }
    }
}

/// Whether an error may be sent about a packet (RFC 1122 §3.2.2, RFC 1812 §4.3.2.7): not about ICMP errors, later parts,
/// packets to groups, or packets whose source is not one host. What a slice does not show is for the caller to know: whether
/// the frame was sent to a group, and whether the destination is the broadcast address of a subnet.
#[inline]
pub fn may_answer(packet: &[u8]) -> bool {
    let Some(header) = Ipv4Header::read(packet) else { return false };
    if header.part().is_some_and(|part| !part.is_first()) || header.destination[0] >= 224 {
        return false;
    }
    if reach_v4(header.source, header.destination).is_err() {
        return false;
    }
    // What cannot be told to be none is taken for an error.
    let is_harmless = |message: &[u8]| message.first().is_some_and(|&kind| is_query(kind));
    header.protocol != PROTOCOL || is_harmless(&packet[header.header_len()..])
}

/// Writes an error about a packet, from its IPv4 header on, and returns its length. `packet` is the offending one as it came,
/// before its time to live was touched; `source` the router's address. Quoted is what `packet`, [`MAX_ERROR`] and `out` hold,
/// without padding. `None` if there [may be no answer](may_answer), or `out` has no room for the least quote: the header and
/// 8 bytes.
pub fn write_error(packet: &[u8], problem: Problem, source: [u8; 4], out: &mut [u8]) -> Option<usize> {
    if !may_answer(packet) {
        return None;
    }
    let offender = Ipv4Header::read(packet)?;
    // A header that lies about the length may be what the error is about.
    let claimed = (offender.total_len.get() as usize).max(offender.header_len());
    let quote = packet.get(..claimed).unwrap_or(packet);
    let room = out.len().min(MAX_ERROR).checked_sub(MIN_LEN + HEADER_LEN)?;
    if room < quote.len().min(offender.header_len() + 8) {
        return None;
    }
    let quote = &quote[..quote.len().min(room)];
    let len = MIN_LEN + HEADER_LEN + quote.len();
    let (network, message) = out.get_mut(..len)?.split_at_mut(MIN_LEN);
    let mut header = Ipv4Header::new(PROTOCOL, source, offender.source, len as u16);
    header.tos = TOS_OF_ERRORS;
    network.copy_from_slice(header.as_bytes());
    ipv4::fill_checksum(network);
    message[..HEADER_LEN].copy_from_slice(problem.header().as_bytes());
    message[HEADER_LEN..].copy_from_slice(quote);
    let checksum = Sum::of(message).finish();
    IcmpHeader::read_mut(message)?.checksum.set(checksum);
    Some(len)
}

/// Makes an echo request into its reply, in place, with a fresh time to live (RFC 1122 §3.2.2.6). `false`, and nothing changed,
/// if it is no whole-packet request from a host to one address. Whether that address is ours is for the caller to know.
///
/// The checksum is updated, not computed: a request that was damaged becomes a reply that is. Options are cleared, so a source
/// route is not taken back.
#[must_use]
pub fn echo_reply(packet: &mut [u8]) -> bool {
    let Some(header) = Ipv4Header::read(packet) else { return false };
    let is_fit = header.protocol == PROTOCOL
        && !header.is_fragment()
        && is_host_v4(header.destination)
        && reach_v4(header.source, header.destination).is_ok();
    let len = header.header_len();
    let (network, message) = packet.split_at_mut(len);
    let Some(request) = IcmpHeader::read_mut(message).filter(|icmp| icmp.first_word() == 0x0800 && is_fit)
    else {
        return false;
    };
    let old = request.first_word();
    request.kind = ECHO_REPLY;
    request.checksum.set(update(request.checksum.get(), old, request.first_word()));
    network[MIN_LEN..].zero();
    if let Some(header) = Ipv4Header::read_mut(network) {
        (header.source, header.destination) = (header.destination, header.source);
        header.ttl = DEFAULT_TTL;
    }
    ipv4::fill_checksum(network);
    true
}

/// Where the ICMP header of an error starts, and the packet that it quotes, in bytes from the start of `packet`, which is the
/// error with its IPv4 header. `None` if it is no error, a fragment, or quotes no whole IPv4 header. Behind that header may be
/// as little as nothing.
#[inline]
pub fn quoted(packet: &[u8]) -> Option<(usize, usize)> {
    let header = Ipv4Header::read(packet).filter(|h| h.protocol == PROTOCOL && !h.is_fragment())?;
    let icmp = header.header_len();
    let message = &packet[icmp..];
    IcmpHeader::read(message).filter(|icmp| is_error(icmp.kind))?;
    Ipv4Header::read(&message[HEADER_LEN..])?;
    Some((icmp, icmp + HEADER_LEN))
}

#[cfg(test)]
#[path = "icmpv4_tests.rs"]
mod tests;
