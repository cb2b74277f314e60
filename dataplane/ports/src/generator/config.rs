//! What a generator sends, as the configuration says it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Streams of a generator; they share the port evenly.
#[derive(Clone, Debug, Default)]
pub struct GeneratorConfig {
    /// The streams.
    pub streams: Vec<StreamConfig>,
    /// Where random orders start: the same seed gives the same frames.
    pub seed: u64,
}

/// UDP datagrams by a pattern.
///
/// Frame `k` comes from source `k mod sources`, where `sources` is the longest of the source spans, and goes to destination
/// `order(k mod destinations)`. Within each span the number counts modulo the span's own length. So spans of equal length
/// give that many pairs, over and over.
#[derive(Clone, Debug)]
pub struct StreamConfig {
    /// Lengths of the frames.
    pub sizes: Sizes,
    /// Source addresses, unicast.
    pub source_mac: Span<[u8; 6]>,
    /// Destination addresses.
    pub destination_mac: Span<[u8; 6]>,
    /// 802.1Q tag: a VLAN of 0 to 4094.
    pub vlan: Option<u16>,
    /// IP addresses.
    pub addresses: Addresses,
    /// Destinations that follow no pattern, up to 1 048 576 of the version of `addresses`, to take the place of the span there.
    pub destinations: Vec<IpAddr>,
    /// UDP source ports.
    pub source_port: Span<u16>,
    /// UDP destination ports.
    pub destination_port: Span<u16>,
    /// The first bytes of each datagram's payload; a pattern follows them. As many as the shortest frame has room for.
    pub payload: Vec<u8>,
    /// The order of destinations.
    pub order: Order,
    /// Frames per second, 1 to 1 000 000 000; `None`: as many as the worker takes.
    pub rate: Option<u64>,
    /// Frames after which the stream ends.
    pub count: Option<u64>,
}

impl Default for StreamConfig {
    /// 64-byte frames of one flow, endless.
    fn default() -> Self {
        StreamConfig {
            sizes: Sizes::List(vec![64]),
            source_mac: Span::one([2, 0, 0, 0, 0, 1]),
            destination_mac: Span::one([2, 0, 0, 0, 0, 2]),
            vlan: None,
            addresses: Addresses::V4 {
                source: Span::one(Ipv4Addr::new(198, 18, 0, 1)),
                destination: Span::one(Ipv4Addr::new(198, 19, 0, 1)),
            },
            destinations: Vec::new(),
            source_port: Span::one(49152),
            destination_port: Span::one(9),
            payload: Vec::new(),
            order: Order::Sequential,
            rate: None,
            count: None,
        }
    }
}

/// Lengths of frames in bytes, from the destination address to the end of the payload: as in a capture, without the
/// frame check sequence. 42 to 16 000 for UDP over IPv4, 20 more at least over IPv6, 4 more with a tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sizes {
    /// One after the other, and from the start again; 1 to 64 of them.
    List(Vec<usize>),
    /// Simple IMIX: IP packets of 40, 576 and 1500 bytes in the ratio 7 to 4 to 1; frames of 60, 590 and 1514 bytes.
    Imix,
}

impl Sizes {
    /// The lengths of one round.
    pub fn round(&self) -> Vec<usize> {
        match self {
            Sizes::List(list) => list.clone(),
            Sizes::Imix => vec![60, 590, 60, 60, 590, 60, 1514, 60, 590, 60, 590, 60],
        }
    }
}

/// `count` values from `first` on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span<T> {
    /// The first value.
    pub first: T,
    /// How many, 1 to 1 048 576.
    pub count: u32,
}

impl<T> Span<T> {
    /// Always the same value.
    pub const fn one(first: T) -> Self {
        Span { first, count: 1 }
    }

    /// `count` values from `first` on.
    pub const fn new(first: T, count: u32) -> Self {
        Span { first, count }
    }
}

/// IP addresses of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Addresses {
    /// IPv4.
    V4 {
        /// From where.
        source: Span<Ipv4Addr>,
        /// To where.
        destination: Span<Ipv4Addr>,
    },
    /// IPv6; a span counts in the low 64 bits.
    V6 {
        /// From where.
        source: Span<Ipv6Addr>,
        /// To where.
        destination: Span<Ipv6Addr>,
    },
}

/// The order of destinations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// First to last, over and over.
    Sequential,
    /// Each once, in an order drawn once by chance; then the same again.
    Random,
}
