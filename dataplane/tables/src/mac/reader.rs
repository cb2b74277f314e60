//! The side of the table that every packet sees.

use super::bucket::{Bucket, Entry};

/// Odd numbers with bits in no order: 2^64 divided by the golden ratio, and a multiplier of Pelle Evensen's rrmxmx.
const MULTIPLIERS: [u64; 2] = [0x9e37_79b9_7f4a_7c15, 0xd6e8_feb8_6659_fd93];

/// A [`MacTable`](super::MacTable) for reading.
#[derive(Clone, Copy)]
pub struct MacReader<'a> {
    pub(super) buckets: &'a [Bucket],
    pub(super) shift: u32,
    pub(super) seed: u64,
    /// The tick that ages are measured against.
    pub now: u8,
}

impl MacReader<'_> {
    /// The hash of an address, to be computed and prefetched a vector ahead of the lookup.
    #[inline(always)]
    pub fn hash(&self, mac: u64) -> u32 {
        // Two multiplications with the high half folded onto the low one in between. With one alone, addresses at some equal
        // distances fell into a few buckets for some seeds. The seed is random, so that nobody outside can choose them.
        let once = (mac ^ self.seed).wrapping_mul(MULTIPLIERS[0]);
        ((once ^ once >> 32).wrapping_mul(MULTIPLIERS[1]) >> 32) as u32
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
            return Some(entry.port());
        }
        if !bucket.has_spilled() {
            return None;
        }
        self.lookup_spilled(mac, hash)
    }

    #[cold]
    fn lookup_spilled(&self, mac: u64, hash: u32) -> Option<u16> {
        let group = super::group(self.buckets, (hash >> self.shift) as usize);
        group.skip(1).find_map(|bucket| bucket.find(mac, hash)).map(Entry::port)
    }

    /// Whether an address stands in its own bucket with this port and a fresh age, so that nothing is to be learned.
    #[inline(always)]
    pub fn is_fresh(&self, mac: u64, hash: u32, port: u16) -> bool {
        self.bucket(hash)
            .find(mac, hash)
            .is_some_and(|entry| entry.port() == port && (entry.age() == self.now || entry.is_static()))
    }
}
