//! One bucket: a cache line of seven entries and their tags.

use crate::sync::AtomicU64;
use crate::sync::Ordering::{AcqRel, Relaxed};

/// Words of a bucket. The first holds the tags, each in the byte of its entry's number; byte 0 is the spill flag.
/// Loom tries every interleaving, so its buckets have two entries.
pub(super) const WORDS: usize = if cfg!(loom) { 3 } else { 8 };
/// Set in the tag word when the bucket has spilled into its neighbour at some time.
const SPILLED: u64 = 1;
/// The lowest bit of every tag byte, and the highest.
const ONES: u64 = 0x0101_0101_0101_0100;
const HIGHS: u64 = 0x8080_8080_8080_8000;
/// Bits of an entry that hold its age.
const AGE: u64 = 0xf;
/// The age of an entry that never ages or moves.
pub(super) const STATIC: u8 = 15;

/// An address, its port and its age in one word. Address 0 is never learned, so none is ever [`EMPTY`](Entry::EMPTY).
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry(u64);

impl Entry {
    pub const EMPTY: Entry = Entry(0);

    #[inline(always)]
    pub fn new(mac: u64, port: u16, age: u8) -> Entry {
        Entry(mac << 16 | u64::from(port & (super::MacTable::PORTS - 1)) << 4 | u64::from(age))
    }

    #[inline(always)]
    pub fn mac(self) -> u64 {
        self.0 >> 16
    }

    #[inline(always)]
    pub fn port(self) -> u16 {
        self.0 as u16 >> 4
    }

    /// The tick it was seen in, or [`STATIC`].
    #[inline(always)]
    pub fn age(self) -> u8 {
        (self.0 & AGE) as u8
    }

    #[inline(always)]
    pub fn is_static(self) -> bool {
        self.age() == STATIC
    }
}

#[repr(align(64))]
#[derive(Default)]
pub(super) struct Bucket([AtomicU64; WORDS]);

/// What a look through all ways of a bucket found.
pub(super) struct Probe {
    /// The first way of the address.
    pub known: Option<(usize, Entry)>,
    /// The first empty way.
    pub empty: Option<usize>,
}

impl Bucket {
    /// The entry of an address, by its tag.
    #[inline(always)]
    pub fn find(&self, mac: u64, hash: u32) -> Option<Entry> {
        let differ = self.0[0].load(Relaxed) ^ ((tag_of(hash) * (ONES >> 8)) << 8);
        // A byte that is zero becomes 0x80 (Mycroft); a byte above one may as well, so the entry decides.
        let mut hits = differ.wrapping_sub(ONES) & !differ & HIGHS;
        while hits != 0 {
            let entry = self.entry(hits.trailing_zeros() as usize / 8 % WORDS);
            if entry.mac() == mac {
                return Some(entry);
            }
            hits &= hits - 1;
        }
        None
    }

    /// The entry of a way.
    #[inline(always)]
    pub fn entry(&self, way: usize) -> Entry {
        Entry(self.0[way].load(Relaxed))
    }

    /// Looks at every way once. Once only: two workers that look for one new address then either choose the same empty way, or
    /// the second sees the entry of the first.
    pub fn probe(&self, mac: u64) -> Probe {
        let mut probe = Probe { known: None, empty: None };
        for way in 1..WORDS {
            let entry = self.entry(way);
            if entry == Entry::EMPTY {
                probe.empty = probe.empty.or(Some(way));
            } else if entry.mac() == mac {
                probe.known = Some((way, entry));
                break;
            }
        }
        probe
    }

    /// Writes a way, unless its entry has changed since it was read.
    pub fn replace(&self, way: usize, entry: Entry, with: Entry) -> bool {
        self.0[way].compare_exchange(entry.0, with.0, Relaxed, Relaxed).is_ok()
    }

    /// Brings the tag of a way to its entry; to be called after the address in it changed. `hash` hashes an address.
    ///
    /// Whoever writes a tag looks at the entry again afterwards. So when two change a way one after the other, it does not matter
    /// who writes the tag last: if it is the first of them, it sees (acquire and release on the tag word) what the second has
    /// done to the entry, and writes once more.
    pub fn retag(&self, way: usize, hash: impl Fn(u64) -> u32) {
        loop {
            let entry = self.entry(way);
            let tag = if entry == Entry::EMPTY { 0 } else { tag_of(hash(entry.mac())) };
            let write = |tags| Some(tags & !(0xff << (way * 8)) | tag << (way * 8));
            // Never an error: there is always a word to write.
            let _ = self.0[0].fetch_update(AcqRel, Relaxed, write);
            if self.entry(way).mac() == entry.mac() {
                return;
            }
        }
    }

    /// Whether addresses of this bucket may be in its neighbour.
    #[inline(always)]
    pub fn has_spilled(&self) -> bool {
        self.0[0].load(Relaxed) & SPILLED != 0
    }

    /// Notes that they are.
    pub fn spill(&self) {
        self.0[0].fetch_or(SPILLED, AcqRel);
    }
}

/// The tag of a hash: its lowest byte, which takes no part in the bucket's number, and never 0.
#[inline(always)]
fn tag_of(hash: u32) -> u64 {
    u64::from((hash as u8).max(1))
}
