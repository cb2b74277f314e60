//! IPv4: DIR-24-8 (Gupta, Lin, McKeown, "Routing Lookups in Hardware at Memory Access Speeds", INFOCOM 1998).
//!
//! One word for each /24, and for each /24 that has longer prefixes a group of 256 words, one for each address. So a lookup is
//! one load, or two. A short prefix is written into every word that it is the longest for: a /8 into 65 536.

mod entry;
mod slabs;
mod writer;

use super::{NO_ROUTE, RouteError};
use crate::sync::Ordering::{Acquire, Release};
use crate::sync::{AtomicU32, AtomicWord, Zeroed};
use entry::Entry;
use slabs::Slabs;
pub use writer::Writer;

/// Bits of an address that choose a word of the first level, and then one of its group. Loom tries every interleaving, so its
/// addresses end after four bits.
const ROOT_BITS: u32 = if cfg!(loom) { 2 } else { 24 };
const GROUP_BITS: u32 = if cfg!(loom) { 2 } else { 8 };
const ROOT: usize = 1 << ROOT_BITS;
const GROUP: u32 = 1 << GROUP_BITS;
/// Bits of an address behind those.
const REST: u32 = 32 - ROOT_BITS - GROUP_BITS;
/// Groups of the first slab (as a power of two), and slabs: 2 097 136 groups in all, 2 GiB.
const FIRST: u32 = if cfg!(loom) { 0 } else { 4 };
const SLABS: usize = if cfg!(loom) { 3 } else { 17 };
/// Addresses whose lookups are in flight together in [`Fib4::lookup_batch`].
const BATCH: usize = 64;

/// The forwarding table of IPv4 routes. Any thread may look up; [`Rib4`](crate::Rib4) writes.
///
/// Memory is taken as it is touched, in pages of 4 KiB: an empty table has none, a /24 takes one page, a /8 takes 256 KiB, and
/// each /24 with longer prefixes 1 KiB more; the default route is kept apart and takes nothing. From 1024 routes on
/// (see [`Rib::expect`](crate::Rib::expect)) huge pages are asked for, and a table spread over all addresses takes 64 MiB. A page
/// table entry is made when a worker first looks at a page that no route has touched.
pub struct Fib4 {
    root: Box<[AtomicU32; ROOT]>,
    groups: Slabs<{ FIRST + GROUP_BITS }, SLABS>,
    /// The value of /0 in the low half. The high half counts its changes, so that a reader can tell that there was none.
    default: AtomicWord,
}

impl Fib4 {
    fn new() -> Result<Self, RouteError> {
        let refused = RouteError::Memory { bytes: ROOT * size_of::<AtomicU32>() };
        let root = AtomicU32::zeroed(ROOT).and_then(|root| root.try_into().ok()).ok_or(refused)?;
        Ok(Fib4 { root, groups: Slabs::new(), default: AtomicWord::new(0) })
    }

    /// The value of the longest prefix of an address (first byte highest), or [`NO_ROUTE`].
    #[inline(always)]
    pub fn lookup(&self, address: u32) -> u32 {
        self.resolve(address, self.root_entry(address))
    }

    /// Brings the first word that a lookup reads towards the CPU.
    #[inline(always)]
    pub fn prefetch(&self, address: u32) {
        paceline_sys::cpu::prefetch_read(self.root_word(address));
    }

    /// Looks up many addresses; the cache misses of 64 overlap. Writes as many values as both slices have room for.
    pub fn lookup_batch(&self, addresses: &[u32], values: &mut [u32]) {
        for (addresses, values) in addresses.chunks(BATCH).zip(values.chunks_mut(BATCH)) {
            for address in addresses {
                self.prefetch(*address);
            }
            for (address, value) in addresses.iter().zip(&mut *values) {
                let entry = self.root_entry(*address);
                *value = entry.bits();
                if let Some(group) = entry.group() {
                    self.group(group)
                        .get(within(*address))
                        .inspect(|word| paceline_sys::cpu::prefetch_read(*word));
                }
            }
            for (address, value) in addresses.iter().zip(values) {
                *value = self.resolve(*address, Entry::from_bits(*value));
            }
        }
    }

    #[inline(always)]
    fn root_word(&self, address: u32) -> &AtomicU32 {
        &self.root[(address >> (32 - ROOT_BITS)) as usize]
    }

    #[inline(always)]
    fn root_entry(&self, address: u32) -> Entry {
        Entry::load(self.root_word(address))
    }

    /// The words of a group; none if there is no such group.
    #[inline(always)]
    fn group(&self, group: u32) -> &[AtomicU32] {
        self.groups.from(group << GROUP_BITS).get(..GROUP as usize).unwrap_or(&[])
    }

    /// Goes on from the entry of the first level.
    #[inline(always)]
    fn resolve(&self, address: u32, entry: Entry) -> u32 {
        let entry = self.second(address, entry);
        if entry == Entry::NONE { self.lookup_default(address) } else { entry.value() }
    }

    #[inline(always)]
    fn second(&self, address: u32, entry: Entry) -> Entry {
        match entry.group() {
            None => entry,
            Some(group) => self.group(group).get(within(address)).map_or(Entry::NONE, Entry::load),
        }
    }

    /// For an address that had no other route a moment ago. The default route must have been the same before and after it is seen
    /// to have none: else it may have got one, and the default route gone, in between.
    #[inline(never)]
    fn lookup_default(&self, address: u32) -> u32 {
        loop {
            let default = self.default.load(Acquire);
            let entry = self.second(address, self.root_entry(address));
            if entry != Entry::NONE {
                return entry.value();
            }
            if self.default.load(Acquire) == default {
                return default as u32;
            }
        }
    }

    /// For the writer alone.
    fn set_default(&self, value: u32) {
        let changes = self.default.load(Acquire) >> 32;
        self.default.store(changes.wrapping_add(1) << 32 | u64::from(value), Release);
    }
}

const _: () = assert!(NO_ROUTE == 0, "words of no route are zero, as memory is at first");

/// The place of an address in its group.
#[inline(always)]
fn within(address: u32) -> usize {
    (address >> REST & (GROUP - 1)) as usize
}
