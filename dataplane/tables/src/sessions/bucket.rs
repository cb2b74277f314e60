//! One bucket of the index: a cache line of twelve references to sessions and their tags.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

use zerocopy::FromZeros;

/// References in a bucket.
pub(super) const WAYS: usize = 12;
/// The lowest bit of every byte, and the highest.
const ONES: u64 = 0x0101_0101_0101_0101;
const HIGHS: u64 = 0x8080_8080_8080_8080;
/// Of the second word of tags only four bytes are tags.
const SECOND: u64 = 0xffff_ffff;
/// The last byte of the second word counts references that belong here and found no place.
const SPILLED: u32 = 56;

/// One writer, so that plain loads and stores do.
///
/// ```text
///  0  tags of ways 0 to 7
///  1  tags of ways 8 to 11 | - | spilled 8
///  2  twelve references of 32 bits
/// ```
#[repr(C, align(64))]
#[derive(FromZeros)]
pub(super) struct Bucket {
    tags: [AtomicU64; 2],
    refs: [AtomicU32; WAYS],
}

/// Ways of a bucket, a bit each: two bits apart in the order of their tags, so that both words fit into one.
struct Ways(u64);

impl Ways {
    /// Ways whose tag is this one. A byte above one that matches may do so too (Mycroft): the session decides.
    #[inline(always)]
    fn of(words: [u64; 2], tag: u8) -> Ways {
        let hits = words.map(|word| hits(word, tag));
        Ways(hits[0] >> 7 | (hits[1] & SECOND) >> 6)
    }
}

/// The highest bit of each byte of a word that is this one.
#[inline(always)]
fn hits(word: u64, tag: u8) -> u64 {
    let differ = word ^ (u64::from(tag) * ONES);
    differ.wrapping_sub(ONES) & !differ & HIGHS
}

impl Iterator for Ways {
    type Item = usize;

    #[inline(always)]
    fn next(&mut self) -> Option<usize> {
        if self.0 == 0 {
            return None;
        }
        let bit = self.0.trailing_zeros() as usize;
        self.0 &= self.0 - 1;
        Some(bit / 8 + bit % 8 * 8)
    }
}

impl Bucket {
    #[inline(always)]
    fn words(&self) -> [u64; 2] {
        [self.tags[0].load(Relaxed), self.tags[1].load(Relaxed)]
    }

    /// References whose tag is that of the hash.
    #[inline(always)]
    pub fn candidates(&self, hash: u32) -> impl Iterator<Item = u32> {
        Ways::of(self.words(), tag_of(hash)).filter_map(|way| self.refs.get(way)).map(|r| r.load(Relaxed))
    }

    /// The first of them. Ways are filled from the first on, so that the second word of tags is rarely looked at.
    #[inline(always)]
    pub fn candidate(&self, hash: u32) -> Option<u32> {
        let tag = tag_of(hash);
        let mut way = 0;
        let mut found = hits(self.tags[0].load(Relaxed), tag);
        if found == 0 {
            way = 8;
            found = hits(self.tags[1].load(Relaxed), tag) & SECOND;
        }
        let way = way + found.trailing_zeros() as usize / 8;
        self.refs.get(way).filter(|_| found != 0).map(|reference| reference.load(Relaxed))
    }

    /// Writes a reference into an empty way; whether there was one.
    pub fn insert(&self, hash: u32, reference: u32) -> bool {
        // A way that only seems to be empty is above one that is, so the first one is right.
        let Some(way) = Ways::of(self.words(), 0).next() else { return false };
        self.refs[way % WAYS].store(reference, Relaxed);
        self.set_tag(way, tag_of(hash));
        true
    }

    /// Empties the way of a reference; whether it was here.
    pub fn remove(&self, hash: u32, reference: u32) -> bool {
        let tag = tag_of(hash);
        let held = |way: &usize| self.refs[way % WAYS].load(Relaxed) == reference && self.tag(*way) == tag;
        let Some(way) = Ways::of(self.words(), tag).find(held) else { return false };
        self.set_tag(way, 0);
        true
    }

    fn tag(&self, way: usize) -> u8 {
        (self.tags[way / 8 % 2].load(Relaxed) >> (way % 8 * 8)) as u8
    }

    fn set_tag(&self, way: usize, tag: u8) {
        let word = &self.tags[way / 8 % 2];
        let shift = way % 8 * 8;
        word.store(word.load(Relaxed) & !(0xff << shift) | u64::from(tag) << shift, Relaxed);
    }

    /// Whether references that belong here are in its neighbours.
    #[inline(always)]
    pub fn has_spilled(&self) -> bool {
        self.tags[1].load(Relaxed) >> SPILLED != 0
    }

    /// Counts one more of them, or one less.
    pub fn spill(&self, more: bool) {
        let word = self.tags[1].load(Relaxed);
        let one = 1 << SPILLED;
        self.tags[1].store(if more { word.wrapping_add(one) } else { word.wrapping_sub(one) }, Relaxed);
    }
}

/// The tag of a hash: its lowest byte, which takes no part in the bucket's number, and never 0.
#[inline(always)]
fn tag_of(hash: u32) -> u8 {
    (hash as u8).max(1)
}
