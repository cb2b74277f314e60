//! Which port a MAC address lives behind.
//!
//! 64-byte buckets, one cache line each: a word of tags and seven entries of `mac48 | port12 | age4`. A tag is a byte of the
//! address's hash; comparing all seven of a bucket is a handful of instructions on one word, and the one entry that they
//! point at is then compared whole. All workers learn and look up at once, without a lock; control ages in place. A bucket
//! that is full spills into its neighbour (the other half of the 128-byte pair, which the CPU's adjacent-line prefetcher
//! brings along).
//!
//! The entry is the truth, the tag a hint that may be missing for a moment: it is set after its entry and cleared before it.
//! Two workers that learn one new address at the same moment try to claim the same first empty slot, and one of them fails
//! and looks again. If an entry in front of that slot is aged out between the two, the address may for a while stand twice:
//! readers see the first, only the first is refreshed, and the other ages out.

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering::Relaxed};

/// Words of a bucket. The first holds the tags, each in the byte of its entry's number; byte 0 is the spill flag.
const WORDS: usize = 8;
/// Set in the tag word when the bucket has spilled into its neighbour at some time.
const SPILLED: u64 = 1;
/// The lowest bit of every tag byte, and the highest.
const ONES: u64 = 0x0101_0101_0101_0100;
const HIGHS: u64 = 0x8080_8080_8080_8000;
/// Bits of an entry that hold its age.
const AGE: u64 = 0xf;
/// The age of an entry that never ages or moves.
const STATIC: u8 = 15;
/// Ages count modulo this, so that no age is ever [`STATIC`].
const AGES: u8 = 15;
/// 2^64 divided by the golden ratio.
const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;

#[repr(align(64))]
#[derive(Default)]
struct Bucket([AtomicU64; WORDS]);

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
    /// Its bucket and the neighbour are full.
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
pub struct MacTable {
    buckets: Box<[Bucket]>,
    shift: u32,
    seed: u64,
    limit: u32,
    count: AtomicU32,
    now: AtomicU8,
}

impl MacTable {
    /// Ports are numbers below this.
    pub const PORTS: u16 = 1 << 12;
    /// Most ticks that an entry can live without being seen.
    pub const MAX_TICKS: u8 = AGES - 2;

    /// A table for up to `limit` addresses (1 to 1 048 576; values outside are brought inside).
    pub fn new(limit: u32) -> MacTable {
        let limit = limit.clamp(1, 1 << 20);
        let buckets = (limit as usize / 4).next_power_of_two().max(2);
        let mut empty = Vec::with_capacity(buckets);
        paceline_sys::region::advise_huge_pages(empty.spare_capacity_mut());
        empty.resize_with(buckets, Bucket::default);
        MacTable {
            buckets: empty.into(),
            shift: 32 - buckets.trailing_zeros(),
            seed: RandomState::new().hash_one(0_u64),
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
        let key = entry_of(mac, port, now);
        let (home, neighbour) = self.pair(hash);
        loop {
            let found = home.search(mac).map(|hit| (home, hit)).or_else(|| {
                let spilled = home.0[0].load(Relaxed) & SPILLED != 0;
                spilled.then(|| neighbour.search(mac)).flatten().map(|hit| (neighbour, hit))
            });
            let Some((bucket, (way, entry))) = found else {
                if self.count.load(Relaxed) >= self.limit {
                    return Learn::Limit;
                }
                match self.claim(hash, key) {
                    Some(true) => return Learn::New,
                    Some(false) => continue,
                    None => return Learn::Full,
                }
            };
            let (was, is_static) = (port_of(entry), (entry & AGE) as u8 == STATIC);
            if is_static {
                return if was == port { Learn::Known } else { Learn::Static { port: was } };
            }
            if entry == key || bucket.0[way].compare_exchange(entry, key, Relaxed, Relaxed).is_ok() {
                return if was == port { Learn::Known } else { Learn::Moved { from: was } };
            }
        }
    }

    fn pair(&self, hash: u32) -> (&Bucket, &Bucket) {
        let index = (hash >> self.shift) as usize;
        (&self.buckets[index], &self.buckets[index ^ 1])
    }

    /// Writes an entry into the first empty way. `Some(false)`: another worker was faster, look again.
    fn claim(&self, hash: u32, key: u64) -> Option<bool> {
        let (home, neighbour) = self.pair(hash);
        for (bucket, spill) in [(home, false), (neighbour, true)] {
            let Some(way) = (1..WORDS).find(|way| bucket.0[*way].load(Relaxed) == 0) else { continue };
            if spill {
                home.0[0].fetch_or(SPILLED, Relaxed);
            }
            let won = bucket.0[way].compare_exchange(0, key, Relaxed, Relaxed).is_ok();
            if won {
                bucket.0[0].fetch_or(tag_of(hash) << (way * 8), Relaxed);
                self.count.fetch_add(1, Relaxed);
            }
            return Some(won);
        }
        None
    }

    /// Empties a way, unless its entry has changed since it was read.
    fn empty(&self, bucket: &Bucket, way: usize, entry: u64) -> bool {
        let mask = 0xff << (way * 8);
        // The tag first: once the way is empty another worker may fill it, and its tag must stay.
        let tags = bucket.0[0].fetch_and(!mask, Relaxed);
        let done = bucket.0[way].compare_exchange(entry, 0, Relaxed, Relaxed).is_ok();
        if done {
            self.count.fetch_sub(1, Relaxed);
        } else {
            bucket.0[0].fetch_or(tags & mask, Relaxed);
        }
        done
    }

    /// Sets an entry that neither ages nor moves. It counts towards the limit, but is not refused by it.
    ///
    /// Returns whether there was room in its two buckets.
    pub fn insert_static(&self, mac: u64, port: u16) -> bool {
        self.remove(mac);
        loop {
            match self.claim(self.hash(mac), entry_of(mac, port, STATIC)) {
                Some(true) => return true,
                Some(false) => {}
                None => return false,
            }
        }
    }

    /// Removes an address; whether it was there.
    pub fn remove(&self, mac: u64) -> bool {
        let (home, neighbour) = self.pair(self.hash(mac));
        let mut removed = false;
        for bucket in [home, neighbour] {
            while let Some((way, entry)) = bucket.search(mac) {
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

    fn for_each(&self, mut each: impl FnMut(&Bucket, usize, u64, MacEntry)) {
        let now = self.now.load(Relaxed);
        for bucket in &self.buckets {
            for way in 1..WORDS {
                let raw = bucket.0[way].load(Relaxed);
                if raw == 0 {
                    continue;
                }
                let age = (raw & AGE) as u8;
                let is_static = age == STATIC;
                let age = if is_static { 0 } else { (now + AGES - age) % AGES };
                each(bucket, way, raw, MacEntry { mac: raw >> 16, port: port_of(raw), is_static, age });
            }
        }
    }
}

/// A [`MacTable`] for reading.
#[derive(Clone, Copy)]
pub struct MacReader<'a> {
    buckets: &'a [Bucket],
    shift: u32,
    seed: u64,
    /// The tick that ages are measured against.
    pub now: u8,
}

impl MacReader<'_> {
    /// The hash of an address, to be computed and prefetched a vector ahead of the lookup.
    #[inline(always)]
    pub fn hash(&self, mac: u64) -> u32 {
        // A folded multiply (wyhash): both halves of the product, so that neither addresses that count up nor those that
        // differ in their vendor part share buckets. The seed is random, so that nobody outside can make them.
        let product = u128::from(mac ^ self.seed) * u128::from(MULTIPLIER);
        ((product as u64 ^ (product >> 64) as u64) >> 32) as u32
    }

    #[inline(always)]
    fn bucket(&self, hash: u32) -> &Bucket {
        &self.buckets[(hash >> self.shift) as usize]
    }

    /// Brings a bucket towards the CPU.
    #[inline(always)]
    pub fn prefetch(&self, hash: u32) {
        paceline_sys::cpu::prefetch_read(self.bucket(hash));
    }

    /// The port that an address is behind.
    #[inline(always)]
    pub fn lookup(&self, mac: u64, hash: u32) -> Option<u16> {
        let bucket = self.bucket(hash);
        if let Some(entry) = bucket.find(mac, hash) {
            return Some(port_of(entry));
        }
        if bucket.0[0].load(Relaxed) & SPILLED == 0 {
            return None;
        }
        self.lookup_spilled(mac, hash)
    }

    #[cold]
    fn lookup_spilled(&self, mac: u64, hash: u32) -> Option<u16> {
        self.buckets[(hash >> self.shift) as usize ^ 1].find(mac, hash).map(port_of)
    }

    /// Whether an address stands in its own bucket with this port and a fresh age, so that nothing is to be learned.
    #[inline(always)]
    pub fn is_fresh(&self, mac: u64, hash: u32, port: u16) -> bool {
        self.bucket(hash).find(mac, hash).is_some_and(|entry| {
            let age = (entry & AGE) as u8;
            port_of(entry) == port && (age == self.now || age == STATIC)
        })
    }
}

/// An entry. Address 0 is never learned, so an entry is never 0.
#[inline(always)]
fn entry_of(mac: u64, port: u16, age: u8) -> u64 {
    mac << 16 | u64::from(port & (MacTable::PORTS - 1)) << 4 | u64::from(age)
}

/// The port of an entry.
#[inline(always)]
fn port_of(entry: u64) -> u16 {
    entry as u16 >> 4
}

/// The tag of a hash: its lowest byte, which takes no part in the bucket's number, and never 0.
#[inline(always)]
fn tag_of(hash: u32) -> u64 {
    u64::from((hash as u8).max(1))
}

impl Bucket {
    /// The entry of an address, by its tag.
    #[inline(always)]
    fn find(&self, mac: u64, hash: u32) -> Option<u64> {
        let differ = self.0[0].load(Relaxed) ^ ((tag_of(hash) * (ONES >> 8)) << 8);
        // A byte that is zero becomes 0x80 (Mycroft); a byte above one may as well, so the entry decides.
        let mut hits = differ.wrapping_sub(ONES) & !differ & HIGHS;
        while hits != 0 {
            let entry = self.0[hits.trailing_zeros() as usize / 8 % WORDS].load(Relaxed);
            if entry >> 16 == mac {
                return Some(entry);
            }
            hits &= hits - 1;
        }
        None
    }

    /// Way and entry of an address, by looking at all.
    fn search(&self, mac: u64) -> Option<(usize, u64)> {
        let entries = (1..WORDS).map(|way| (way, self.0[way].load(Relaxed)));
        entries.into_iter().find(|(_, e)| *e != 0 && e >> 16 == mac)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    fn learn(table: &MacTable, mac: u64, port: u16) -> Learn {
        let hash = table.hash(mac);
        if table.reader().is_fresh(mac, hash, port) {
            return Learn::Known;
        }
        table.learn(mac, hash, port, table.now())
    }

    fn lookup(table: &MacTable, mac: u64) -> Option<u16> {
        table.reader().lookup(mac, table.hash(mac))
    }

    #[test]
    fn learns_moves_ages_and_keeps_statics() {
        let table = MacTable::new(100);
        assert_eq!(learn(&table, 0x0200_0000_0001, 1), Learn::New);
        assert_eq!(learn(&table, 0x0200_0000_0001, 1), Learn::Known);
        assert_eq!(learn(&table, 0x0200_0000_0001, 2), Learn::Moved { from: 1 });
        assert_eq!(lookup(&table, 0x0200_0000_0001), Some(2));
        assert!(table.insert_static(0x0200_0000_0002, 5));
        assert_eq!(learn(&table, 0x0200_0000_0002, 6), Learn::Static { port: 5 });
        assert_eq!(learn(&table, 0x0200_0000_0002, 5), Learn::Known);
        assert_eq!((table.tick(2), table.tick(2)), (0, 0));
        assert_eq!(learn(&table, 0x0200_0000_0001, 2), Learn::Known, "seen again: fresh");
        assert_eq!((table.tick(2), table.tick(2), table.tick(2)), (0, 0, 1));
        assert_eq!(lookup(&table, 0x0200_0000_0001), None);
        assert_eq!(lookup(&table, 0x0200_0000_0002), Some(5));
        assert_eq!(table.flush_port(5, false), 0);
        assert_eq!(table.flush_port(5, true), 1);
        assert!(table.is_empty());
    }

    #[test]
    fn ticks_wrap_without_ageing_what_is_seen() {
        let table = MacTable::new(10);
        for _ in 0..1000 {
            assert!(matches!(learn(&table, 7, 1), Learn::New | Learn::Known));
            assert_eq!(table.tick(1), 0);
        }
    }

    #[test]
    fn holds_its_limit_and_not_more() {
        for limit in [1, 2, 7, 100, 5000, 16_384, 100_000] {
            let table = MacTable::new(limit);
            let mut refused = 0;
            for i in 0..u64::from(limit) {
                refused += usize::from(learn(&table, 0x0200_0000_0000 + i * 0x1_0001, 3) != Learn::New);
            }
            // Two full neighbours can refuse one address in some thousands at the very limit.
            assert!(refused * 200 <= limit as usize + 199, "{refused} of {limit} did not fit");
            if refused == 0 {
                assert_eq!(learn(&table, 1, 1), Learn::Limit);
            }
        }
    }

    #[test]
    fn workers_that_learn_at_once_agree() {
        let table = MacTable::new(4096);
        std::thread::scope(|scope| {
            for port in 0..4 {
                let table = &table;
                scope.spawn(move || {
                    for round in 0..20_u64 {
                        for mac in 1..=2000_u64 {
                            learn(table, mac * 0x10_0001, (mac % 4) as u16);
                            if round % 5 == 0 && port == 0 && mac % 500 == 0 {
                                table.flush();
                            }
                        }
                    }
                });
            }
        });
        let entries = table.entries();
        assert_eq!(entries.len(), table.len(), "the count is the number of entries");
        assert!(entries.iter().all(|e| u64::from(e.port) == e.mac / 0x10_0001 % 4));
    }

    #[derive(Clone, Debug)]
    enum Op {
        Learn(u64, u16),
        Static(u64, u16),
        Remove(u64),
        FlushPort(u16, bool),
        Flush,
        Tick,
    }

    fn op() -> impl Strategy<Value = Op> {
        let mac = 1..60_u64;
        prop_oneof![
            10 => (mac.clone(), 0..4_u16).prop_map(|(m, p)| Op::Learn(m, p)),
            1 => (mac.clone(), 0..4_u16).prop_map(|(m, p)| Op::Static(m, p)),
            1 => mac.prop_map(Op::Remove),
            1 => (0..4_u16, any::<bool>()).prop_map(|(p, s)| Op::FlushPort(p, s)),
            1 => Just(Op::Flush),
            3 => Just(Op::Tick),
        ]
    }

    proptest! {
        /// The twin: a hash map of (port, static, last seen).
        #[test]
        fn behaves_as_a_map(ops in proptest::collection::vec(op(), 1..400)) {
            let table = MacTable::new(256);
            let mut twin: HashMap<u64, (u16, bool, u32)> = HashMap::new();
            let mut now = 0_u32;
            for op in ops {
                match op {
                    Op::Learn(mac, port) => {
                        let want = match twin.get(&mac) {
                            None => Learn::New,
                            Some((p, ..)) if *p == port => Learn::Known,
                            Some((p, true, _)) => Learn::Static { port: *p },
                            Some((p, ..)) => Learn::Moved { from: *p },
                        };
                        prop_assert_eq!(learn(&table, mac, port), want);
                        let is_static = twin.get(&mac).is_some_and(|e| e.1);
                        if !is_static {
                            twin.insert(mac, (port, false, now));
                        }
                    }
                    Op::Static(mac, port) => {
                        prop_assert!(table.insert_static(mac, port));
                        twin.insert(mac, (port, true, now));
                    }
                    Op::Remove(mac) => prop_assert_eq!(table.remove(mac), twin.remove(&mac).is_some()),
                    Op::FlushPort(port, statics) => {
                        table.flush_port(port, statics);
                        twin.retain(|_, e| e.0 != port || (e.1 && !statics));
                    }
                    Op::Flush => {
                        table.flush();
                        twin.retain(|_, e| e.1);
                    }
                    Op::Tick => {
                        now += 1;
                        table.tick(3);
                        twin.retain(|_, e| e.1 || now - e.2 <= 3);
                    }
                }
                for mac in 1..60 {
                    prop_assert_eq!(lookup(&table, mac), twin.get(&mac).map(|e| e.0));
                }
                prop_assert_eq!(table.len(), twin.len());
            }
        }
    }
}
