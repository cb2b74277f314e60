//! What tells one flow from another, in the form that is fast to compare and to hash.

use std::fmt::{self, Debug};
use std::hash::Hash;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use zerocopy::FromZeros;

/// An IP address as a number, its first byte highest: `u32` or `u128`.
pub trait Address: Copy + Eq + Ord + Hash + Default + Debug + Send + Sync + 'static {
    /// A source and a destination in shared memory.
    type Cell: FromZeros + Debug + Send + Sync;

    /// The two addresses of a cell.
    fn load(cell: &Self::Cell) -> (Self, Self);

    /// Stores two addresses, word by word.
    fn store(cell: &Self::Cell, source: Self, destination: Self);

    /// A hash of two addresses and one more word, for an index. A seed that nobody outside knows keeps others from choosing
    /// addresses that fall together. Neighbouring addresses may have some of its bits in common: see [`hash_hosts`](Self::hash_hosts).
    fn hash_pair(seed: u64, word: u64, source: Self, destination: Self) -> u64;

    /// A hash of two addresses by any bits of which one of a few things may be chosen, also for hosts that are numbered one after
    /// the other.
    #[inline]
    fn hash_hosts(seed: u64, source: Self, destination: Self) -> u64 {
        mix(Self::hash_pair(seed, 0, source, destination), GOLDEN)
    }

    /// The ones' complement sum of the address's 16-bit words, of which the upper half is to be folded into the lower.
    fn sum(self) -> u32;

    /// The network that the address is in, for a prefix length in bits. Longer than an address is as long as one.
    #[must_use]
    fn network(self, length: u8) -> Self;

    /// The address in its usual form.
    fn ip(self) -> IpAddr;

    /// The number of an address; `None` of the other version of IP.
    fn from_ip(address: IpAddr) -> Option<Self>;
}

impl Address for u32 {
    type Cell = AtomicU64;

    #[inline(always)]
    fn load(cell: &AtomicU64) -> (u32, u32) {
        let both = cell.load(Relaxed);
        ((both >> 32) as u32, both as u32)
    }

    #[inline(always)]
    fn store(cell: &AtomicU64, source: u32, destination: u32) {
        cell.store(u64::from(source) << 32 | u64::from(destination), Relaxed);
    }

    #[inline(always)]
    fn hash_pair(seed: u64, word: u64, source: u32, destination: u32) -> u64 {
        let addresses = u64::from(source) << 32 | u64::from(destination);
        mix(addresses ^ seed, word ^ seed.rotate_left(32) ^ GOLDEN)
    }

    #[inline(always)]
    fn sum(self) -> u32 {
        (self >> 16) + (self & 0xffff)
    }

    fn network(self, length: u8) -> u32 {
        u32::MAX.checked_shl(32_u32.saturating_sub(length.into())).unwrap_or(0) & self
    }

    fn ip(self) -> IpAddr {
        Ipv4Addr::from(self).into()
    }

    fn from_ip(address: IpAddr) -> Option<u32> {
        match address {
            IpAddr::V4(address) => Some(address.into()),
            IpAddr::V6(_) => None,
        }
    }
}

impl Address for u128 {
    type Cell = [AtomicU64; 4];

    #[inline(always)]
    fn load(cell: &[AtomicU64; 4]) -> (u128, u128) {
        let [a, b, c, d] = cell.each_ref().map(|word| u128::from(word.load(Relaxed)));
        (a << 64 | b, c << 64 | d)
    }

    #[inline(always)]
    fn store(cell: &[AtomicU64; 4], source: u128, destination: u128) {
        let words = [(source >> 64) as u64, source as u64, (destination >> 64) as u64, destination as u64];
        for (place, word) in cell.iter().zip(words) {
            place.store(word, Relaxed);
        }
    }

    #[inline(always)]
    fn hash_pair(seed: u64, word: u64, source: u128, destination: u128) -> u64 {
        let other = seed.rotate_left(32) ^ GOLDEN;
        let source = mix((source >> 64) as u64 ^ seed, source as u64 ^ other);
        let destination = mix((destination >> 64) as u64 ^ other, destination as u64 ^ seed ^ word);
        mix(source ^ seed, destination ^ word ^ other)
    }

    #[inline(always)]
    fn sum(self) -> u32 {
        (0..8).map(|word| (self >> (word * 16)) as u32 & 0xffff).sum()
    }

    fn network(self, length: u8) -> u128 {
        u128::MAX.checked_shl(128_u32.saturating_sub(length.into())).unwrap_or(0) & self
    }

    fn ip(self) -> IpAddr {
        Ipv6Addr::from(self).into()
    }

    fn from_ip(address: IpAddr) -> Option<u128> {
        match address {
            IpAddr::V4(_) => None,
            IpAddr::V6(address) => Some(address.into()),
        }
    }
}

/// Two words become one, and every bit of both reaches every bit of it: the halves of their product, folded together (as
/// wyhash does). A factor of zero would hide the other one, so each is mixed with what nobody outside knows.
#[inline(always)]
const fn mix(one: u64, other: u64) -> u64 {
    let product = one as u128 * other as u128;
    (product >> 64) as u64 ^ product as u64
}

/// What makes two words of one seed: the golden ratio as a fraction of 2^64.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// The flow of a packet: its addresses, ports and protocol.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tuple<T> {
    /// Source address.
    pub source: T,
    /// Destination address.
    pub destination: T,
    /// Source port in the upper 16 bits, destination port in the lower; 0 if there are none.
    pub ports: u32,
    /// IP protocol number.
    pub protocol: u8,
    /// Where the flow is: flows of different scopes are different, whatever else they have in common.
    pub scope: u16,
}

impl<T: Address> Tuple<T> {
    /// The source port.
    #[inline(always)]
    pub const fn source_port(&self) -> u16 {
        (self.ports >> 16) as u16
    }

    /// The destination port.
    #[inline(always)]
    pub const fn destination_port(&self) -> u16 {
        self.ports as u16
    }

    /// Two ports in one word.
    #[inline(always)]
    pub const fn join(source: u16, destination: u16) -> u32 {
        (source as u32) << 16 | destination as u32
    }

    /// The flow of the answers.
    #[inline(always)]
    #[must_use]
    pub const fn reversed(self) -> Self {
        Tuple {
            source: self.destination,
            destination: self.source,
            ports: self.ports.rotate_left(16),
            protocol: self.protocol,
            scope: self.scope,
        }
    }

    /// A hash of which any bits may be used. One product alone makes steps of one width of addresses or ports that follow one another, and
    /// under every twentieth seed these all fall in a few places.
    #[inline(always)]
    pub fn hash(&self, seed: u64) -> u64 {
        let word = u64::from(self.scope) << 40 | u64::from(self.ports) << 8 | u64::from(self.protocol);
        mix(T::hash_pair(seed, word, self.source, self.destination), GOLDEN)
    }
}

impl<T: Address> fmt::Display for Tuple<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (source, destination) = (self.source.ip(), self.destination.ip());
        let (from, to) = (self.source_port(), self.destination_port());
        write!(f, "protocol {} {source} port {from} to {destination} port {to}", self.protocol)
    }
}
