//! Which port a MAC address lives behind. A port is a number of 15 bits.
//!
//! 64-byte buckets, one cache line each: seven entries of `mac48 | port16`, seven age bytes and a flag. All workers learn
//! and look up at once, without a lock; control ages in place. A bucket that is full spills into its neighbour (the other
//! half of the 128-byte pair, which the CPU's adjacent-line prefetcher brings along).
//!
//! Two workers that learn one new address at the same moment try to claim the same first empty slot, and one of them
//! fails and looks again. If an entry in front of that slot is aged out between the two, the address may for a while
//! stand twice: readers see the first, only the first is refreshed, and the other ages out.

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering::Relaxed};

const WAYS: usize = 7;
/// Index of the flag among the age bytes: the bucket has spilled into its neighbour at some time.
const SPILLED: usize = 7;
/// The age of an entry that never ages or moves.
const STATIC: u8 = 255;
/// Ages count modulo this, so that no age is ever [`STATIC`].
const AGES: u8 = 254;
/// Set in the port half of every entry, so that an empty one is equal to none, not even address 0 on port 0.
const VALID: u16 = 0x8000;
/// 2^64 divided by the golden ratio.
const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;

#[repr(align(64))]
#[derive(Default)]
struct Bucket {
    entries: [AtomicU64; WAYS],
    ages: [AtomicU8; 8],
}

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
    /// A table for up to `limit` addresses (1 to 1 048 576; values outside are brought inside).
    pub fn new(limit: u32) -> MacTable {
        let limit = limit.clamp(1, 1 << 20);
        let buckets = (limit as usize / 4).next_power_of_two().max(2);
        MacTable {
            buckets: (0..buckets).map(|_| Bucket::default()).collect(),
            shift: 64 - buckets.trailing_zeros(),
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

    /// The bucket number of an address, to be computed and prefetched a vector ahead of the lookup.
    #[inline(always)]
    pub fn hash(&self, mac: u64) -> u32 {
        // A folded multiply (wyhash): both halves of the product, so that neither addresses that count up nor those that
        // differ in their vendor part share buckets. The seed is random, so that nobody outside can make them.
        let product = u128::from(mac ^ self.seed) * u128::from(MULTIPLIER);
        ((product as u64 ^ (product >> 64) as u64) >> self.shift) as u32
    }

    /// Brings a bucket towards the CPU.
    #[inline(always)]
    pub fn prefetch(&self, hash: u32) {
        if let Some(bucket) = self.buckets.get(hash as usize) {
            paceline_sys::cpu::prefetch_read(bucket);
        }
    }

    /// The tick that ages are measured against now, to be read once a vector.
    #[inline(always)]
    pub fn now(&self) -> u8 {
        self.now.load(Relaxed)
    }

    /// The port that an address is behind.
    #[inline(always)]
    pub fn lookup(&self, mac: u64, hash: u32) -> Option<u16> {
        let bucket = &self.buckets[hash as usize];
        let mut found = 0;
        // All seven without a branch: which way holds the address is as good as random, and a mispredicted exit would
        // cost more than the ways behind it.
        for entry in &bucket.entries {
            let entry = entry.load(Relaxed);
            found = if entry >> 16 == mac { entry } else { found };
        }
        if found != 0 {
            return Some(port_of(found));
        }
        if bucket.ages[SPILLED].load(Relaxed) == 0 {
            return None;
        }
        self.lookup_spilled(mac, hash)
    }

    #[cold]
    fn lookup_spilled(&self, mac: u64, hash: u32) -> Option<u16> {
        let (_, entry) = self.buckets[hash as usize ^ 1].find(mac)?;
        Some(port_of(entry))
    }

    /// Whether an address stands in its own bucket with this port and a fresh age, so that nothing is to be learned.
    #[inline(always)]
    pub fn is_fresh(&self, mac: u64, hash: u32, port: u16, now: u8) -> bool {
        let bucket = &self.buckets[hash as usize];
        let key = key_of(mac, port);
        let mut way = 0;
        for (i, entry) in bucket.entries.iter().enumerate() {
            way |= usize::from(entry.load(Relaxed) == key) << i;
        }
        // No hit gives way 64 & 7 = 0, whose age may be fresh by chance, so the hit is asked for as well.
        let age = bucket.ages[way.trailing_zeros() as usize & 7].load(Relaxed);
        way != 0 && (age == now || age == STATIC)
    }

    /// Notes that an address was seen as a source on a port.
    #[cold]
    pub fn learn(&self, mac: u64, hash: u32, port: u16, now: u8) -> Learn {
        let key = key_of(mac, port);
        let home = &self.buckets[hash as usize];
        let neighbour = &self.buckets[hash as usize ^ 1];
        loop {
            let found = home.find(mac).map(|hit| (home, hit)).or_else(|| {
                let spilled = home.ages[SPILLED].load(Relaxed) != 0;
                spilled.then(|| neighbour.find(mac)).flatten().map(|hit| (neighbour, hit))
            });
            let Some((bucket, (way, entry))) = found else {
                if self.count.load(Relaxed) >= self.limit {
                    return Learn::Limit;
                }
                match self.claim(home, neighbour, key, now) {
                    Some(true) => return Learn::New,
                    Some(false) => continue,
                    None => return Learn::Full,
                }
            };
            let is_static = bucket.ages[way].load(Relaxed) == STATIC;
            if entry == key {
                if !is_static {
                    bucket.ages[way].store(now, Relaxed);
                }
                return Learn::Known;
            }
            if is_static {
                return Learn::Static { port: port_of(entry) };
            }
            bucket.ages[way].store(now, Relaxed);
            if bucket.entries[way].compare_exchange(entry, key, Relaxed, Relaxed).is_ok() {
                return Learn::Moved { from: port_of(entry) };
            }
        }
    }

    /// Writes an entry into the first empty way. `Some(false)`: another worker was faster, look again.
    fn claim(&self, home: &Bucket, neighbour: &Bucket, key: u64, age: u8) -> Option<bool> {
        for (bucket, spill) in [(home, false), (neighbour, true)] {
            let Some(way) = bucket.entries.iter().position(|e| e.load(Relaxed) == 0) else { continue };
            if spill {
                home.ages[SPILLED].store(1, Relaxed);
            }
            // The age first: an entry with the age of its predecessor could be aged out at once.
            bucket.ages[way].store(age, Relaxed);
            let won = bucket.entries[way].compare_exchange(0, key, Relaxed, Relaxed).is_ok();
            if won {
                self.count.fetch_add(1, Relaxed);
            }
            return Some(won);
        }
        None
    }

    /// Sets an entry that neither ages nor moves. It counts towards the limit, but is not refused by it.
    ///
    /// Returns whether there was room in its two buckets.
    pub fn insert_static(&self, mac: u64, port: u16) -> bool {
        let hash = self.hash(mac) as usize;
        let key = key_of(mac, port);
        self.remove(mac);
        loop {
            match self.claim(&self.buckets[hash], &self.buckets[hash ^ 1], key, STATIC) {
                Some(true) => return true,
                Some(false) => {}
                None => return false,
            }
        }
    }

    /// Removes an address; whether it was there.
    pub fn remove(&self, mac: u64) -> bool {
        let hash = self.hash(mac) as usize;
        let mut removed = false;
        for bucket in [&self.buckets[hash], &self.buckets[hash ^ 1]] {
            while let Some((way, entry)) = bucket.find(mac) {
                if bucket.entries[way].compare_exchange(entry, 0, Relaxed, Relaxed).is_ok() {
                    self.count.fetch_sub(1, Relaxed);
                    removed = true;
                }
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

    /// Lets one tick pass and removes what was not seen for more than `max` ticks (1 to 250). Returns how many.
    pub fn tick(&self, max: u8) -> usize {
        let now = (self.now.load(Relaxed) + 1) % AGES;
        self.now.store(now, Relaxed);
        self.retain(|entry| entry.is_static || entry.age <= max.clamp(1, 250))
    }

    /// All entries, in no order; those that come or go meanwhile may be missed.
    pub fn entries(&self) -> Vec<MacEntry> {
        let mut all = Vec::with_capacity(self.len());
        self.for_each(|_, _, entry| all.push(entry));
        all
    }

    fn retain(&self, keep: impl Fn(&MacEntry) -> bool) -> usize {
        let mut removed = 0;
        self.for_each(|slot, raw, entry| {
            // By compare-and-swap, so that an entry that moved to another port since stays.
            if !keep(&entry) && slot.compare_exchange(raw, 0, Relaxed, Relaxed).is_ok() {
                self.count.fetch_sub(1, Relaxed);
                removed += 1;
            }
        });
        removed
    }

    fn for_each(&self, mut each: impl FnMut(&AtomicU64, u64, MacEntry)) {
        let now = self.now.load(Relaxed);
        for bucket in &self.buckets {
            for (slot, age) in bucket.entries.iter().zip(&bucket.ages) {
                let raw = slot.load(Relaxed);
                if raw != 0 {
                    let age = age.load(Relaxed);
                    let is_static = age == STATIC;
                    let since = (u16::from(now) + u16::from(AGES) - u16::from(age % AGES)) % u16::from(AGES);
                    let age = if is_static { 0 } else { since as u8 };
                    each(slot, raw, MacEntry { mac: raw >> 16, port: port_of(raw), is_static, age });
                }
            }
        }
    }
}

/// An entry: the address above, the port below.
#[inline(always)]
fn key_of(mac: u64, port: u16) -> u64 {
    mac << 16 | u64::from(port | VALID)
}

/// The port of an entry.
#[inline(always)]
fn port_of(entry: u64) -> u16 {
    entry as u16 & !VALID
}

impl Bucket {
    fn find(&self, mac: u64) -> Option<(usize, u64)> {
        self.entries.iter().map(|e| e.load(Relaxed)).enumerate().find(|(_, e)| *e != 0 && e >> 16 == mac)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    fn learn(table: &MacTable, mac: u64, port: u16) -> Learn {
        let hash = table.hash(mac);
        if table.is_fresh(mac, hash, port, table.now()) {
            return Learn::Known;
        }
        table.learn(mac, hash, port, table.now())
    }

    fn lookup(table: &MacTable, mac: u64) -> Option<u16> {
        table.lookup(mac, table.hash(mac))
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
        for limit in [1, 2, 7, 100, 5000, 100_000] {
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
