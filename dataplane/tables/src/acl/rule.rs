//! What the classifier looks for: keys, and which of them a rule is for.

use std::ops::RangeInclusive;

use crate::sessions::Address;

/// What a packet is classified by: addresses, then one word of ports, identity and protocol. Two words for IPv4, five for IPv6.
pub type AclKey<const N: usize> = [u64; N];

/// Bits of an identity.
const IDENTITY: u64 = 0xff_ffff;
/// Where in the last word the source port is, and the destination port. The identity is above the protocol.
const SOURCE_PORT: u32 = 48;
const DESTINATION_PORT: u32 = 32;

/// A version of IP as the classifier sees it.
pub trait AclAddress: Address {
    /// A key.
    type Key: Copy;
    /// The address of all ones.
    const ONES: Self;

    /// Two addresses and the last word of a key.
    fn key(source: Self, destination: Self, last: u64) -> Self::Key;
}

impl AclAddress for u32 {
    type Key = AclKey<2>;
    const ONES: u32 = u32::MAX;

    #[inline(always)]
    fn key(source: u32, destination: u32, last: u64) -> AclKey<2> {
        [u64::from(source) << 32 | u64::from(destination), last]
    }
}

impl AclAddress for u128 {
    type Key = AclKey<5>;
    const ONES: u128 = u128::MAX;

    #[inline(always)]
    fn key(source: u128, destination: u128, last: u64) -> AclKey<5> {
        [(source >> 64) as u64, source as u64, (destination >> 64) as u64, destination as u64, last]
    }
}

/// The last word of a key: ports (source in the upper 16 bits), identity (24 bits), protocol.
#[inline(always)]
pub const fn acl_word(ports: u32, identity: u32, protocol: u8) -> u64 {
    (ports as u64) << DESTINATION_PORT | (identity as u64 & IDENTITY) << 8 | protocol as u64
}

/// Which keys a rule is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AclRule<const N: usize> {
    /// The rule's number: of those that match, the lowest wins. Several may have one number.
    pub number: u32,
    /// Whether the caller has to look at more of the packet than is in the key.
    pub more: bool,
    /// The bits that must be as in `value`.
    pub(super) mask: AclKey<N>,
    pub(super) value: AclKey<N>,
    /// The first source port and how many follow it, and the same of destination ports.
    pub(super) ports: [u16; 4],
}

/// The parts of a rule; what is not set may be anything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AclFields<T> {
    /// Source network: address and prefix length.
    pub source: Option<(T, u8)>,
    /// Destination network.
    pub destination: Option<(T, u8)>,
    /// IP protocol number.
    pub protocol: Option<u8>,
    /// Source ports; for ICMP, types.
    pub source_ports: Option<RangeInclusive<u16>>,
    /// Destination ports; for ICMP, codes.
    pub destination_ports: Option<RangeInclusive<u16>>,
    /// Identity of the peer, 24 bits.
    pub identity: Option<u32>,
}

impl<const N: usize> AclRule<N> {
    /// A rule of these parts.
    pub fn new<T: AclAddress<Key = AclKey<N>>>(number: u32, more: bool, fields: &AclFields<T>) -> AclRule<N> {
        let whole = T::ONES;
        let network = |net: Option<(T, u8)>| {
            net.map_or((T::default(), T::default()), |(address, length)| {
                (address.network(length), whole.network(length))
            })
        };
        let (source, source_mask) = network(fields.source);
        let (destination, destination_mask) = network(fields.destination);
        let (from, from_mask, first) = ports(fields.source_ports.as_ref());
        let (to, to_mask, second) = ports(fields.destination_ports.as_ref());
        let join = |from: u16, to: u16| u32::from(from) << 16 | u32::from(to);
        let all = |is_set: bool| if is_set { u32::MAX } else { 0 };
        let last = acl_word(
            join(from, to),
            fields.identity.unwrap_or_default(),
            fields.protocol.unwrap_or_default(),
        );
        let last_mask = acl_word(
            join(from_mask, to_mask),
            all(fields.identity.is_some()),
            all(fields.protocol.is_some()) as u8,
        );
        AclRule {
            number,
            more,
            mask: T::key(source_mask, destination_mask, last_mask),
            value: T::key(source, destination, last),
            ports: [first[0], first[1], second[0], second[1]],
        }
    }

    /// Whether its ports are more than its mask says.
    pub(super) fn has_ranges(&self) -> bool {
        let mask = self.mask.last().copied().unwrap_or_default();
        let is_told = |first: u16, count: u16, mask: u16| first & mask == first && count == !mask;
        let [from, from_count, to, to_count] = self.ports;
        !(is_told(from, from_count, (mask >> SOURCE_PORT) as u16)
            && is_told(to, to_count, (mask >> DESTINATION_PORT) as u16))
    }

    /// Whether a key is one of the rule's.
    #[inline(always)]
    pub fn is(&self, key: &AclKey<N>) -> bool {
        masked(key, &self.mask) == self.value && within(&self.ports, key)
    }
}

/// The ports that a range has in common, as a value and the bits of it that count, and the range itself. So a range is told
/// by as many bits as it can be, and by a comparison at the end.
fn ports(range: Option<&RangeInclusive<u16>>) -> (u16, u16, [u16; 2]) {
    let Some(range) = range else { return (0, 0, [0, u16::MAX]) };
    let (first, last) = (*range.start(), *range.end());
    let mask = u16::MAX.checked_shl(16 - (first ^ last).leading_zeros()).unwrap_or(0);
    (first & mask, mask, [first, last.saturating_sub(first)])
}

/// The bits of a key that a mask lets count.
#[inline(always)]
pub(super) fn masked<const N: usize>(key: &AclKey<N>, mask: &AclKey<N>) -> AclKey<N> {
    std::array::from_fn(|i| key[i] & mask[i])
}

/// Whether the ports of a key are in two ranges.
#[inline(always)]
pub(super) fn within<const N: usize>(ports: &[u16; 4], key: &AclKey<N>) -> bool {
    let last = key.last().copied().unwrap_or_default();
    let (from, to) = ((last >> SOURCE_PORT) as u16, (last >> DESTINATION_PORT) as u16);
    from.wrapping_sub(ports[0]) <= ports[1] && to.wrapping_sub(ports[2]) <= ports[3]
}
