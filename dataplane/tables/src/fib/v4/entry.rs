//! One word of the table.

use crate::sync::AtomicU32;
use crate::sync::Ordering::{Acquire, Release};

/// The value and length of the longest prefix in 24 and 6 bits, or the number of a group.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry(u32);

/// Set in a word that points at a group.
const EXTENDED: u32 = 1 << 31;
/// Where the length is.
const LENGTH: u32 = 24;

impl Entry {
    /// No route but the default one.
    pub const NONE: Entry = Entry(0);

    pub fn new(value: u32, len: u8) -> Entry {
        Entry(value & crate::MAX_VALUE | u32::from(len) << LENGTH)
    }

    pub fn extended(group: u32) -> Entry {
        Entry(group | EXTENDED)
    }

    #[inline(always)]
    pub fn bits(self) -> u32 {
        self.0
    }

    #[inline(always)]
    pub fn from_bits(bits: u32) -> Entry {
        Entry(bits)
    }

    #[inline(always)]
    pub fn load(word: &AtomicU32) -> Entry {
        Entry(word.load(Acquire))
    }

    /// Makes what was stored before visible to who loads this.
    pub fn store(self, word: &AtomicU32) {
        word.store(self.0, Release);
    }

    #[inline(always)]
    pub fn group(self) -> Option<u32> {
        if self.0 & EXTENDED == 0 { None } else { Some(self.0 & !EXTENDED) }
    }

    #[inline(always)]
    pub fn value(self) -> u32 {
        self.0 & crate::MAX_VALUE
    }

    /// Length of the prefix: 1 to 32, or 0 for [`NONE`](Entry::NONE). Not for a group.
    pub fn len(self) -> u8 {
        (self.0 >> LENGTH) as u8
    }
}
