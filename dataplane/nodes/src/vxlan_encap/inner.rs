//! What the outer headers of a packet take from the frame inside.

use paceline_wire::ecn::{self, Treatment};
use paceline_wire::ethernet::{ETHERTYPE_IPV4, ETHERTYPE_IPV6, parse};
use paceline_wire::flow::{extract_v4, extract_v6};
use paceline_wire::{tcp, udp};

use super::DEFAULT_TTL;

/// What a frame says.
pub(super) struct Inner {
    /// A hash of its flow, whose upper bits are the best.
    pub hash: u64,
    /// Code point and ECN; 0 of what is not IP.
    pub class: u8,
    /// Time to live.
    pub ttl: u8,
}

/// The only flag that a whole packet may have, as it is in the header.
const DONT_FRAGMENT: u8 = 0x40;
/// The golden ratio as a fraction of 2^64, as in Fibonacci hashing.
const RATIO: u64 = 0x9e37_79b9_7f4a_7c15;

impl Inner {
    /// Reads a frame: one line and a few instructions, if it is like most.
    #[inline(always)]
    pub fn of(frame: &[u8]) -> Inner {
        plain_v4(frame).or_else(|| plain_v6(frame)).unwrap_or_else(|| Inner::of_any(frame))
    }

    #[cold]
    fn of_any(frame: &[u8]) -> Inner {
        let Treatment { class, ttl } =
            ecn::treatment(frame).unwrap_or(Treatment { class: 0, ttl: DEFAULT_TTL });
        Inner { hash: flow(frame).unwrap_or_else(|| stations(frame)), class, ttl }
    }
}

/// TCP or UDP over IPv4 without options and tags, and whole.
#[inline(always)]
fn plain_v4(frame: &[u8]) -> Option<Inner> {
    let head: &[u8; 38] = frame.first_chunk()?;
    let is_plain = u16::from_be_bytes([head[12], head[13]]) == ETHERTYPE_IPV4
        && head[14] == 0x45
        && matches!([head[20], head[21]], [0 | DONT_FRAGMENT, 0])
        && matches!(head[23], tcp::PROTOCOL | udp::PROTOCOL);
    if !is_plain {
        return None;
    }
    let (rest, ports) = head.split_last_chunk::<4>()?;
    let addresses = u64::from_ne_bytes(*rest.last_chunk()?);
    let ports = u32::from_ne_bytes(*ports);
    Some(Inner { hash: hash(addresses, u64::from(ports), head[23]), class: head[15], ttl: head[22] })
}

/// TCP or UDP over IPv6 without extensions and tags.
#[inline(always)]
fn plain_v6(frame: &[u8]) -> Option<Inner> {
    let head: &[u8; 58] = frame.first_chunk()?;
    let is_plain = u16::from_be_bytes([head[12], head[13]]) == ETHERTYPE_IPV6
        && head[14] >> 4 == 6
        && matches!(head[20], tcp::PROTOCOL | udp::PROTOCOL);
    if !is_plain {
        return None;
    }
    let addresses = head[22..54]
        .as_chunks::<8>()
        .0
        .iter()
        .fold(0_u64, |sum, word| (sum ^ u64::from_ne_bytes(*word)).wrapping_mul(RATIO).rotate_left(29));
    let ports = u32::from_ne_bytes([head[54], head[55], head[56], head[57]]);
    let class = head[14] << 4 | head[15] >> 4;
    Some(Inner { hash: hash(addresses, u64::from(ports), head[20]), class, ttl: head[21] })
}

#[inline(always)]
fn hash(addresses: u64, ports: u64, protocol: u8) -> u64 {
    let state = addresses.wrapping_mul(RATIO) ^ ports << 8 ^ u64::from(protocol);
    let product = u128::from(state) * u128::from(RATIO);
    (product >> 64) as u64 ^ product as u64
}

/// The flow of any IP packet in a frame.
fn flow(frame: &[u8]) -> Option<u64> {
    let ethernet = parse(frame)?;
    let ip = frame.get(ethernet.l3..)?;
    // What lies in further segments is none of the headers.
    match ethernet.ethertype {
        ETHERTYPE_IPV4 => Some(extract_v4(ip, usize::MAX).ok()?.path_key().hash64(0)),
        ETHERTYPE_IPV6 => Some(extract_v6(ip, usize::MAX).ok()?.path_key().hash64(0)),
        _ => None,
    }
}

/// A frame that is no IP packet belongs to the flow of its two stations.
fn stations(frame: &[u8]) -> u64 {
    let mut word = [0; 16];
    let front = frame.get(..12).unwrap_or(frame);
    word[..front.len()].copy_from_slice(front);
    let both = u128::from_ne_bytes(word);
    hash(both as u64, (both >> 64) as u64, 0)
}
