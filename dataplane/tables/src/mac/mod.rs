//! Which port a MAC address lives behind.
//!
//! 64-byte buckets, one cache line each: a word of tags and seven entries of `mac48 | port12 | age4`. A tag is a byte of the
//! address's hash; comparing all seven of a bucket is a handful of instructions on one word, and the one entry that they
//! point at is then compared whole. All workers learn and look up at once, without a lock; control ages in place. A bucket
//! that is full spills into the others of its group of eight, the other half of its 128-byte pair first (the CPU's
//! adjacent-line prefetcher brings that along). With that half alone, one address in 250 has no place in a table that is at
//! its limit; a group has 56 places for the 32 addresses that it then holds on average.
//!
//! The entry is the truth, changed by compare-and-swap; the tag is a hint that follows it. For a moment an address may be
//! without its tag (its frames are flooded), or a tag without its address (the entry decides). What holds when nobody is in
//! the middle of a change, and what `tests/loom.rs` checks under every interleaving: every entry is found, no address stands
//! twice, and the count is the number of entries.

mod bucket;
mod reader;
#[cfg(all(test, not(loom)))]
mod tests;

use std::hash::{BuildHasher, RandomState};

use crate::sync::Ordering::{Relaxed, SeqCst};
use crate::sync::{AtomicU8, AtomicU32, fence};
use bucket::{Bucket, Entry, STATIC, WORDS};
pub use reader::MacReader;

/// Buckets that spill into each other: a power of two.
const GROUP: usize = if cfg!(loom) { 2 } else { 8 };
/// Ages count modulo this, so that no age is ever [`STATIC`].
const AGES: u8 = 15;

/// What became of a source address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Learn {
    /// Known on this port; its age is fresh now.
    Known,
    /// Learned.
    New,
    /// It was behind another port until now.
    Moved {
        /// The port it was behind.
        from: u16,
    },
    /// A static entry holds it to another port.
    Static {
        /// The port it belongs to.
        port: u16,
    },
    /// The table holds as many addresses as it may.
    Limit,
    /// All buckets of its group are full.
    Full,
}

/// One entry, for `show` and tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MacEntry {
    /// The address, in the low 48 bits, first byte highest.
    pub mac: u64,
    /// The port it is behind.
    pub port: u16,
    /// Whether it was configured, so that it neither ages nor moves.
    pub is_static: bool,
    /// Ticks since it was last seen as a source; 0 for static entries.
    pub age: u8,
}

/// MAC addresses of one bridge domain. About 16 to 32 bytes of memory for each address of the limit.
///
/// Any thread may look up and learn. Everything else that changes it is for one thread, control's.
pub struct MacTable {
    buckets: Box<[Bucket]>,
    shift: u32,
    seed: u64,
    limit: u32,
    /// Entries, and those that are about to be written.
    count: AtomicU32,
    now: AtomicU8,
}

/// Where an address is, or could be.
enum Place<'a> {
    Known(&'a Bucket, usize, Entry),
    Empty(&'a Bucket, usize),
    Full,
}

impl MacTable {
    /// Ports are numbers below this.
    pub const PORTS: u16 = 1 << 12;
    /// Most ticks that an entry can live without being seen.
    pub const MAX_TICKS: u8 = AGES - 2;

    /// A table for up to `limit` addresses (1 to 1 048 576; values outside are brought inside).
    pub fn new(limit: u32) -> MacTable {
        let limit = limit.clamp(1, 1 << 20);
        let buckets = (limit as usize / 4).next_power_of_two().max(GROUP);
        let mut empty = Vec::with_capacity(buckets);
        paceline_sys::region::advise_huge_pages(empty.spare_capacity_mut());
        empty.resize_with(buckets, Bucket::default);
        MacTable {
            buckets: empty.into(),
            shift: 32 - buckets.trailing_zeros(),
            // Loom runs a model again and again, and wants it to do the same each time.
            seed: if cfg!(loom) { 0 } else { RandomState::new().hash_one(0_u64) },
            limit,
            count: AtomicU32::new(0),
            now: AtomicU8::new(0),
        }
    }

    /// Addresses in the table.
    pub fn len(&self) -> usize {
        self.count.load(Relaxed) as usize
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Most addresses it takes.
    pub fn limit(&self) -> u32 {
        self.limit
    }

    /// Bytes of memory.
    pub fn bytes(&self) -> usize {
        size_of_val(&*self.buckets)
    }

    /// The table for reading, for the length of a vector: what lookups need, by value, so that it stays in registers.
    #[inline(always)]
    pub fn reader(&self) -> MacReader<'_> {
        MacReader { buckets: &self.buckets, shift: self.shift, seed: self.seed, now: self.now() }
    }

    /// The hash of an address.
    #[inline(always)]
    pub fn hash(&self, mac: u64) -> u32 {
        self.reader().hash(mac)
    }

    /// The tick that ages are measured against now.
    #[inline(always)]
    pub fn now(&self) -> u8 {
        self.now.load(Relaxed)
    }

    /// Notes that an address was seen as a source on a port.
    #[cold]
    pub fn learn(&self, mac: u64, hash: u32, port: u16, now: u8) -> Learn {
        let key = Entry::new(mac, port, now);
        loop {
            match self.locate(mac, hash) {
                Place::Known(_, _, entry) if entry.is_static() => {
                    let was = entry.port();
                    return if was == port { Learn::Known } else { Learn::Static { port: was } };
                }
                Place::Known(bucket, way, entry) => {
                    if entry == key || bucket.replace(way, entry, key) {
                        let from = entry.port();
                        return if from == port { Learn::Known } else { Learn::Moved { from } };
                    }
                }
                Place::Empty(..) if self.count.load(Relaxed) >= self.limit => return Learn::Limit,
                Place::Empty(bucket, way) => {
                    if self.fill(hash, bucket, way, key) {
                        self.settle(mac, hash);
                        return Learn::New;
                    }
                }
                Place::Full => return Learn::Full,
            }
        }
    }

    /// The buckets where an address may be: its home first.
    fn group(&self, hash: u32) -> impl Iterator<Item = &Bucket> {
        group(&self.buckets, (hash >> self.shift) as usize)
    }

    fn locate(&self, mac: u64, hash: u32) -> Place<'_> {
        let mut empty = None;
        for (number, bucket) in self.group(hash).enumerate() {
            let probe = bucket.probe(mac);
            if let Some((way, entry)) = probe.known {
                return Place::Known(bucket, way, entry);
            }
            empty = empty.or(probe.empty.map(|way| (bucket, way)));
            if number == 0 && empty.is_some() && !bucket.has_spilled() {
                break;
            }
        }
        empty.map_or(Place::Full, |(bucket, way)| Place::Empty(bucket, way))
    }

    /// Writes an entry into an empty way, unless another worker was faster.
    fn fill(&self, hash: u32, bucket: &Bucket, way: usize, entry: Entry) -> bool {
        let home = &self.buckets[(hash >> self.shift) as usize];
        if !std::ptr::eq(home, bucket) {
            home.spill();
        }
        // Counted first: control may take the entry out, and count that, before this thread goes on.
        self.count.fetch_add(1, Relaxed);
        let won = bucket.replace(way, Entry::EMPTY, entry);
        if won {
            bucket.retag(way, |mac| self.hash(mac));
        } else {
            self.count.fetch_sub(1, Relaxed);
        }
        won
    }

    /// Empties a way, unless its entry has changed since it was read.
    fn empty(&self, bucket: &Bucket, way: usize, entry: Entry) -> bool {
        let done = bucket.replace(way, entry, Entry::EMPTY);
        if done {
            bucket.retag(way, |mac| self.hash(mac));
            self.count.fetch_sub(1, Relaxed);
        }
        done
    }

    /// Leaves one entry of an address that was just written: the static one, else the first.
    ///
    /// Two workers that learn an address at one moment may choose different ways if control empties one in between. Of the two
    /// that wrote, one at least sees both entries, and whoever sees both removes the same one.
    fn settle(&self, mac: u64, hash: u32) {
        fence(SeqCst);
        let entries = || self.ways(hash).filter(|(.., entry)| entry.mac() == mac);
        let mut other = entries().any(|(.., entry)| entry.is_static());
        for (bucket, way, entry) in entries().filter(|(.., entry)| !entry.is_static()) {
            if other && !self.empty(bucket, way, entry) {
                return self.settle(mac, hash);
            }
            other = true;
        }
    }

    /// What stands in the buckets of a hash.
    fn ways(&self, hash: u32) -> impl Iterator<Item = (&Bucket, usize, Entry)> {
        let ways = self.group(hash).flat_map(|bucket| (1..WORDS).map(move |way| (bucket, way)));
        ways.map(|(bucket, way)| (bucket, way, bucket.entry(way)))
            .filter(|(.., entry)| *entry != Entry::EMPTY)
    }

    /// Sets an entry that neither ages nor moves. It counts towards the limit, but is not refused by it, and takes the place of
    /// a learned one where its buckets are full.
    ///
    /// Returns whether there was a place: not if those are full of static entries.
    pub fn insert_static(&self, mac: u64, port: u16) -> bool {
        let (hash, key) = (self.hash(mac), Entry::new(mac, port, STATIC));
        loop {
            let done = match self.locate(mac, hash) {
                Place::Known(bucket, way, entry) => bucket.replace(way, entry, key),
                Place::Empty(bucket, way) => self.fill(hash, bucket, way, key),
                Place::Full if self.evict(hash) => false,
                Place::Full => return false,
            };
            if done {
                self.settle(mac, hash);
                return true;
            }
        }
    }

    /// Empties a way of full buckets that has a learned address, if there is one. False if all are static.
    fn evict(&self, hash: u32) -> bool {
        let learned = self.ways(hash).find(|(.., entry)| !entry.is_static());
        // An entry that has changed meanwhile stays: the caller looks again.
        learned.is_some_and(|(bucket, way, entry)| {
            self.empty(bucket, way, entry);
            true
        })
    }

    /// Removes an address; whether it was there.
    pub fn remove(&self, mac: u64) -> bool {
        let mut removed = false;
        for bucket in self.group(self.hash(mac)) {
            while let Some((way, entry)) = bucket.probe(mac).known {
                removed |= self.empty(bucket, way, entry);
            }
        }
        removed
    }

    /// Removes what a port has learned, and with `statics` its static entries too. Returns how many there were.
    pub fn flush_port(&self, port: u16, statics: bool) -> usize {
        self.retain(|entry| entry.port != port || (entry.is_static && !statics))
    }

    /// Removes all learned entries.
    pub fn flush(&self) -> usize {
        self.retain(|entry| entry.is_static)
    }

    /// Lets one tick pass and removes what was not seen for more than `max` ticks (1 to [`MAX_TICKS`](Self::MAX_TICKS)).
    /// Returns how many.
    pub fn tick(&self, max: u8) -> usize {
        let now = (self.now.load(Relaxed) + 1) % AGES;
        self.now.store(now, Relaxed);
        self.retain(|entry| entry.is_static || entry.age <= max.clamp(1, Self::MAX_TICKS))
    }

    /// All entries, in no order; those that come or go meanwhile may be missed.
    pub fn entries(&self) -> Vec<MacEntry> {
        let mut all = Vec::with_capacity(self.len());
        self.for_each(|_, _, _, entry| all.push(entry));
        all
    }

    fn retain(&self, keep: impl Fn(&MacEntry) -> bool) -> usize {
        let mut removed = 0;
        self.for_each(|bucket, way, raw, entry| {
            removed += usize::from(!keep(&entry) && self.empty(bucket, way, raw));
        });
        removed
    }

    fn for_each(&self, mut each: impl FnMut(&Bucket, usize, Entry, MacEntry)) {
        let now = self.now.load(Relaxed);
        for bucket in &self.buckets {
            for way in 1..WORDS {
                let raw = bucket.entry(way);
                if raw == Entry::EMPTY {
                    continue;
                }
                let (mac, port, is_static) = (raw.mac(), raw.port(), raw.is_static());
                let age = if is_static { 0 } else { (now + AGES - raw.age()) % AGES };
                each(bucket, way, raw, MacEntry { mac, port, is_static, age });
            }
        }
    }
}

/// The bucket of this number, and those that it spills into, in the order in which they are filled.
fn group(buckets: &[Bucket], home: usize) -> impl Iterator<Item = &Bucket> {
    (0..GROUP).map(move |number| &buckets[home ^ number])
}
