//! Which ports of a bridge domain have asked for an IP multicast group.
//!
//! A place has the group's address in two words, and a bit for each port. A group has 16 places to be in, four cache lines that lie
//! together, chosen by a hash with a random seed. The table has four places for each group of its limit, so that they are
//! next to never all taken; the system gives memory to those that are in use alone.
//!
//! One thread writes, in place, while others read. A place changes its group only while it has no port, and counts how often it
//! did; a reader that finds another count after it has read the ports forgets them.

mod ports;
#[cfg(test)]
mod tests;

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;

use crate::sync::Ordering::{Acquire, Relaxed, Release};
use crate::sync::{AtomicU8, AtomicU32, AtomicU64, Zeroed};
pub use ports::PortSet;
use ports::SharedPorts;

/// Places that a group may be in: a power of two.
const WINDOW: usize = 16;
/// Places for each group of the limit.
const SPARE: usize = 4;
/// What stands in the upper word for an IPv4 group: no IPv6 group begins so.
const IPV4: u64 = 4;

/// How a domain forwards the groups of one version of IP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mode {
    /// Somebody asks who is in which group: what is answered is for routers alone.
    pub is_asked: bool,
    /// All have had the time to answer: groups go where they are wanted.
    pub is_known: bool,
    /// Not all groups found a place: one that is not in the table may be wanted.
    pub is_crowded: bool,
}

impl Mode {
    const fn bits(self) -> u8 {
        self.is_asked as u8 | (self.is_known as u8) << 1 | (self.is_crowded as u8) << 2
    }

    const fn of(bits: u8) -> Mode {
        Mode { is_asked: bits & 1 != 0, is_known: bits & 2 != 0, is_crowded: bits & 4 != 0 }
    }
}

/// The group found no place: the table is at its limit, or all places that it may have are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoPlace;

/// Whose a place is.
#[derive(zerocopy::FromZeros)]
#[repr(C)]
struct Owner {
    /// The group; 0 in the first word: none.
    key: [AtomicU64; 2],
    /// How often the place was freed.
    freed: AtomicU64,
}

impl Owner {
    fn key(&self) -> [u64; 2] {
        self.key.each_ref().map(|word| word.load(Acquire))
    }
}

/// What a domain knows of one version of IP.
#[derive(Default)]
struct Version {
    mode: AtomicU8,
    routers: SharedPorts,
}

/// Groups of one bridge domain, of IPv4 and IPv6. Any thread may read; one writes.
pub struct MulticastTable {
    owners: Box<[Owner]>,
    ports: Box<[SharedPorts]>,
    versions: [Version; 2],
    seed: u64,
    limit: u32,
    count: AtomicU32,
}

impl MulticastTable {
    /// A table for up to `limit` groups (1 to 65 536; values outside are brought inside). `None` where the system has not so much
    /// memory: about 2 KiB of addresses for each group of the limit, of which those of groups in use are filled.
    pub fn new(limit: u32) -> Option<MulticastTable> {
        let limit = limit.clamp(1, 1 << 16);
        let places = (limit as usize * SPARE).next_power_of_two().max(WINDOW);
        Some(MulticastTable {
            owners: Zeroed::zeroed(places)?,
            ports: Zeroed::zeroed(places)?,
            versions: Default::default(),
            seed: RandomState::new().hash_one(0_u64),
            limit,
            count: AtomicU32::new(0),
        })
    }

    /// Groups in the table.
    pub fn len(&self) -> usize {
        self.count.load(Relaxed) as usize
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The ports that what is sent to a group goes to: those that asked for it, and those that lead to routers. False if it is to be
    /// flooded: nobody asks who wants which group, or it may be one that found no place.
    pub fn forward(&self, group: IpAddr, ports: &mut PortSet) -> bool {
        let version = self.version(group.is_ipv6());
        let mode = Mode::of(version.mode.load(Acquire));
        ports.clear();
        if !mode.is_known || !self.find(group, ports) && mode.is_crowded {
            return false;
        }
        version.routers.add_to(ports);
        true
    }

    /// The ports that answers of members go to: those that lead to routers. False if they are to be flooded.
    pub fn answers(&self, is_ipv6: bool, ports: &mut PortSet) -> bool {
        let version = self.version(is_ipv6);
        ports.clear();
        version.routers.add_to(ports);
        Mode::of(version.mode.load(Acquire)).is_asked
    }

    /// Adds the ports of a group; whether it is in the table.
    fn find(&self, group: IpAddr, ports: &mut PortSet) -> bool {
        let key = key(group);
        let freed = |place: usize| self.owners[place].freed.load(Acquire);
        let mut places = self.window(key).map(|place| (place, freed(place)));
        let Some((place, before)) = places.find(|(place, _)| self.owners[*place].key() == key) else {
            return false;
        };
        self.ports[place].add_to(ports);
        let is_still = freed(place) == before;
        if !is_still {
            ports.clear();
        }
        is_still
    }

    /// The place of a group.
    fn place(&self, key: [u64; 2]) -> Option<usize> {
        self.window(key).find(|place| self.owners[*place].key() == key)
    }

    /// The places that a group may be in.
    fn window(&self, [high, low]: [u64; 2]) -> std::ops::Range<usize> {
        let once = (low ^ self.seed ^ high.rotate_left(32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let hash = (once ^ once >> 32 ^ high).wrapping_mul(0xd6e8_feb8_6659_fd93) >> 32;
        let first = hash as usize % (self.owners.len() / WINDOW) * WINDOW;
        first..first + WINDOW
    }

    fn version(&self, is_ipv6: bool) -> &Version {
        &self.versions[usize::from(is_ipv6)]
    }

    /// Lets a port have a group. For the one thread that writes, as all that follows.
    ///
    /// # Errors
    /// The group is not in the table and finds no place.
    pub fn join(&self, group: IpAddr, port: u16) -> Result<(), NoPlace> {
        let key = key(group);
        if let Some(place) = self.place(key) {
            self.ports[place].insert(port);
            return Ok(());
        }
        let mut empty = self.window(key).filter(|place| self.owners[*place].key[0].load(Relaxed) == 0);
        let place = empty.next().filter(|_| self.count.load(Relaxed) < self.limit).ok_or(NoPlace)?;
        let owner = &self.owners[place].key;
        owner[1].store(key[1], Release);
        self.ports[place].insert(port);
        owner[0].store(key[0], Release);
        self.count.fetch_add(1, Relaxed);
        Ok(())
    }

    /// Lets a port have a group no more. The last one's takes the group out.
    pub fn leave(&self, group: IpAddr, port: u16) {
        let key = key(group);
        let Some(place) = self.place(key) else { return };
        if self.ports[place].remove(port) {
            self.owners[place].key[0].store(0, Release);
            self.owners[place].freed.fetch_add(1, Release);
            self.count.fetch_sub(1, Relaxed);
        }
    }

    /// Says whether a port leads to a router.
    pub fn set_router(&self, is_ipv6: bool, port: u16, is_router: bool) {
        let routers = &self.version(is_ipv6).routers;
        if is_router {
            routers.insert(port);
        } else {
            routers.remove(port);
        }
    }

    /// Says how groups of a version are forwarded.
    pub fn set_mode(&self, is_ipv6: bool, mode: Mode) {
        self.version(is_ipv6).mode.store(mode.bits(), Release);
    }
}

/// A group in two words, the first of which is never 0.
fn key(group: IpAddr) -> [u64; 2] {
    match group {
        IpAddr::V4(group) => [IPV4, group.to_bits().into()],
        IpAddr::V6(group) => {
            let bits = group.to_bits();
            [(bits >> 64) as u64, bits as u64]
        }
    }
}
