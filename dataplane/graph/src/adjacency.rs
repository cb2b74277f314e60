//! What a route leads to: where a packet leaves, and the Ethernet header that it leaves with.
//!
//! A forwarding table gives the number of an adjacency, and a packet reads one cache line for it. Control writes lines in
//! place while workers read them, without a lock: the words of a line that is in use change one at a time, and each change
//! is whole by itself. A neighbour that gets another MAC address is one store, of the word that holds all six of its bytes.
//! Anything else gets a line of another number, and this one is given away again after a quiet point.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use paceline_wire::ethernet::{ETHERTYPE_IPV4, ETHERTYPE_IPV6, HEADER_LEN, Mac, write_header};

/// What is done with the packets of a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// The line was never written: as if there were no route.
    None,
    /// They leave by an interface for a neighbour whose address is known.
    Forward,
    /// They leave by an interface for a neighbour whose address must be asked for first: the next hop, or, where there is
    /// none, each packet's own destination.
    Resolve,
    /// They are for the switch itself.
    Local,
    /// One of several adjacencies is chosen by their flow.
    Balance,
    /// They are dropped without a word.
    Blackhole,
    /// They are dropped, and the sender is told that the destination cannot be reached.
    Unreachable,
    /// They are dropped, and the sender is told that this is forbidden.
    Prohibit,
    /// They are for an address that inside hosts appear under: what they are for in truth is looked up.
    Translate,
    /// They are for the end of a tunnel, or else for the switch itself.
    Tunnel,
    /// They are for the end of a tunnel, or else as with [`Translate`](Action::Translate).
    TunnelTranslate,
}

impl Action {
    /// By number; a power of two of them, so that any bits are one.
    const ALL: [Action; 16] = [
        Action::None,
        Action::Forward,
        Action::Resolve,
        Action::Local,
        Action::Balance,
        Action::Blackhole,
        Action::Unreachable,
        Action::Prohibit,
        Action::Translate,
        Action::Tunnel,
        Action::TunnelTranslate,
        Action::None,
        Action::None,
        Action::None,
        Action::None,
        Action::None,
    ];
}

/// Version of IP, which decides the type in an Ethernet header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum IpVersion {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

/// Where a neighbour is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Link {
    /// The interface it is behind.
    pub interface: u16,
    /// Largest IP packet that leaves by it, in bytes.
    pub mtu: u16,
    /// The interface's own address.
    pub source: Mac,
    /// Version of the packets.
    pub version: IpVersion,
}

/// One adjacency, in a cache line:
///
/// ```text
///  0  action 8 | - 24 | interface 16 | mtu 16
///  1  bytes 0 to 7 of the Ethernet header, in memory order: destination, and two bytes of the source
///  2  bytes 8 to 13: the rest of the source, and the type
///  of a balancing one, instead: 0  action 8 | - 24 | paths 16 | …   1 to 7  two paths each
/// ```
#[repr(align(64))]
#[derive(Default)]
pub struct Adjacency([AtomicU64; 8]);

/// The parts of an adjacency that decide, read in one load.
#[derive(Clone, Copy)]
pub struct Target(u64);

impl Target {
    const fn new(action: Action, interface: u16, mtu: u16) -> Target {
        Target(action as u64 | (interface as u64) << 32 | (mtu as u64) << 48)
    }

    /// What is to be done.
    #[inline(always)]
    pub fn action(self) -> Action {
        Action::ALL[self.0 as usize & 15]
    }

    /// The interface. Its output arc is the snapshot's to know, which may change at any time.
    #[inline(always)]
    pub fn interface(self) -> u16 {
        (self.0 >> 32) as u16
    }

    /// Largest IP packet that leaves by it, in bytes.
    #[inline(always)]
    pub fn mtu(self) -> u16 {
        (self.0 >> 48) as u16
    }
}

impl Adjacency {
    /// Most paths of one that balances.
    pub const PATHS: usize = 14;

    /// What is to be done with a packet.
    #[inline(always)]
    pub fn target(&self) -> Target {
        Target(self.0[0].load(Acquire))
    }

    /// The Ethernet header, in front of which nothing else comes: two words of which the second holds six bytes.
    #[inline(always)]
    pub fn header(&self) -> ([u8; 8], [u8; 6]) {
        let [rest @ .., _, _] = self.0[2].load(Relaxed).to_ne_bytes();
        (self.0[1].load(Relaxed).to_ne_bytes(), rest)
    }

    /// The adjacency of a flow, of one that balances. Each path gets the same share of all hashes.
    #[inline(always)]
    pub fn path(&self, hash: u32) -> u32 {
        let paths = self.0[0].load(Acquire) >> 32 & 0xffff;
        let path = ((u64::from(hash) * paths) >> 32) as usize;
        let pair = self.0[1 + path / 2 % 7].load(Relaxed);
        (pair >> (path % 2 * 32)) as u32
    }

    /// All adjacencies that one that balances spreads packets over; of any other, none.
    pub fn paths(&self) -> impl Iterator<Item = u32> {
        let target = self.target();
        let count = if target.action() == Action::Balance { usize::from(target.interface()) } else { 0 };
        let pair = |word: &AtomicU64| word.load(Relaxed);
        self.0[1..].iter().map(pair).flat_map(|pair| [pair as u32, (pair >> 32) as u32]).take(count)
    }

    /// Sends packets to a neighbour from now on. On a line in use: only with the link it already has.
    pub fn forward(&self, link: Link, destination: Mac) {
        self.write_header(link, destination);
        let target = Target::new(Action::Forward, link.interface, link.mtu);
        self.0[0].store(target.0, Release);
    }

    /// Has the neighbour asked for from now on. On a line in use: only with the link it already has.
    pub fn resolve(&self, link: Link) {
        let target = Target::new(Action::Resolve, link.interface, link.mtu);
        self.0[0].store(target.0, Release);
    }

    /// Does something that needs no neighbour. Not on a line in use.
    pub fn act(&self, action: Action) {
        self.0[0].store(Target::new(action, u16::MAX, u16::MAX).0, Release);
    }

    /// Spreads packets over paths, up to [`PATHS`](Self::PATHS); what exceeds that is left out. On a line in use: only as many as it
    /// has already. A packet takes one of before or one of now.
    pub fn balance(&self, paths: &[u32]) {
        let paths = &paths[..paths.len().min(Self::PATHS)];
        for (word, pair) in self.0[1..].iter().zip(paths.chunks(2)) {
            let second = pair.get(1).copied().unwrap_or_default();
            word.store(u64::from(pair[0]) | u64::from(second) << 32, Relaxed);
        }
        let target = Target::new(Action::Balance, paths.len() as u16, 0);
        self.0[0].store(target.0, Release);
    }

    /// Does what another line does.
    pub fn copy(&self, other: &Adjacency) {
        for (to, from) in self.0.iter().zip(&other.0).rev() {
            to.store(from.load(Acquire), Release);
        }
    }

    fn write_header(&self, link: Link, destination: Mac) {
        let mut header = [0; HEADER_LEN + 2];
        let ethertype = match link.version {
            IpVersion::V4 => ETHERTYPE_IPV4,
            IpVersion::V6 => ETHERTYPE_IPV6,
        };
        // There is room for it.
        let _ = write_header(&mut header, destination, link.source, ethertype);
        for (word, bytes) in self.0[1..].iter().zip(header.chunks_exact(8)) {
            word.store(bytes.try_into().map_or(0, u64::from_ne_bytes), Relaxed);
        }
    }
}

/// All adjacencies, by number. Number 0 is no route.
pub struct Adjacencies(Box<[Adjacency]>);

impl Adjacencies {
    /// Room for this many, none of them written.
    pub fn new(count: usize) -> Adjacencies {
        Adjacencies((0..count.max(1)).map(|_| Adjacency::default()).collect())
    }

    /// How many there is room for.
    pub fn capacity(&self) -> usize {
        self.0.len()
    }

    /// The adjacency of a number; of one that does not exist, that of no route.
    #[inline(always)]
    pub fn get(&self, number: u32) -> &Adjacency {
        self.0.get(number as usize).unwrap_or(&self.0[0])
    }

    /// Brings an adjacency towards the CPU.
    #[inline(always)]
    pub fn prefetch(&self, number: u32) {
        paceline_sys::cpu::prefetch_read(self.get(number));
    }
}

impl Default for Adjacencies {
    fn default() -> Self {
        Adjacencies::new(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link() -> Link {
        Link { interface: 7, mtu: 1500, source: Mac(0x0200_0000_0001), version: IpVersion::V4 }
    }

    #[test]
    fn a_line_gives_back_what_was_written() {
        let all = Adjacencies::new(4);
        assert_eq!(all.get(0).target().action(), Action::None);
        let line = all.get(2);
        line.resolve(link());
        assert_eq!((line.target().action(), line.target().interface()), (Action::Resolve, 7));
        line.forward(link(), Mac(0x0600_0000_0009));
        let target = line.target();
        assert_eq!((target.action(), target.interface(), target.mtu()), (Action::Forward, 7, 1500));
        let (first, rest) = line.header();
        assert_eq!(first, [6, 0, 0, 0, 0, 9, 2, 0]);
        assert_eq!(rest, [0, 0, 0, 1, 8, 0]);
        for action in Action::ALL {
            all.get(3).act(action);
            assert_eq!(all.get(3).target().action(), action);
        }
        assert_eq!(all.get(99).target().action(), Action::None, "a number that does not exist is no route");
    }

    #[test]
    fn flows_are_spread_evenly_and_stay() {
        let line = Adjacency::default();
        for count in 1..=Adjacency::PATHS as u32 {
            line.balance(&(100..100 + count).collect::<Vec<_>>());
            let mut shares = vec![0_u32; count as usize];
            for step in 0..10_000_u32 {
                let hash = step.wrapping_mul(0x9e37_79b9);
                assert_eq!(line.path(hash), line.path(hash));
                shares[(line.path(hash) - 100) as usize] += 1;
            }
            let fair = 10_000 / count;
            assert!(shares.iter().all(|share| share.abs_diff(fair) < fair / 10 + 10), "{shares:?}");
        }
    }
}
