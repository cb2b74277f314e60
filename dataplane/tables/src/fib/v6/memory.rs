//! The words of a table.

use crate::fib::RouteError;
use crate::sync::Ordering::{Acquire, Release};
use crate::sync::{AtomicWord, Zeroed};

/// Words that are read together: the bits of a prefix and two more, or four of a node. Half a cache line.
pub(super) type Unit = [AtomicWord; 1 << UNIT];
/// Words of a unit, as a power of two.
pub(super) const UNIT: u32 = 2;
/// Units are numbered below this.
pub(super) const END: u32 = if cfg!(loom) { 1 << 6 } else { 1 << 23 };
/// The first unit, in which the first word of every lookup is. Numbers start here, so that the highest bit of a number tells how
/// far the table has grown.
pub(super) const FIRST: u32 = if cfg!(loom) { 1 << 3 } else { 1 << 8 };
/// Bytes of a cache line.
const LINE: usize = 64;

/// All the memory that a table can have: 256 MiB of addresses, of which those that are touched take room.
///
/// In one piece, because a directory of smaller ones costs each step of a lookup a dozen instructions.
pub(super) struct Memory {
    words: Box<[AtomicWord]>,
    /// The allocator aligns to 16 bytes: words before the first whole line.
    skip: usize,
}

impl Memory {
    /// # Errors
    /// [`RouteError::Memory`].
    pub fn new() -> Result<Memory, RouteError> {
        let len = (END << UNIT) as usize + LINE / size_of::<u64>();
        let refused = RouteError::Memory { bytes: len * size_of::<u64>() };
        let words = AtomicWord::zeroed(len).ok_or(refused)?;
        let skip = (words.as_ptr().addr().wrapping_neg() % LINE) / size_of::<u64>();
        Ok(Memory { words, skip })
    }

    /// All units, for the length of a vector.
    #[inline(always)]
    pub fn units(&self) -> &[Unit] {
        self.words.get(self.skip..).unwrap_or(&[]).as_chunks().0
    }

    /// The word of a number; zero where there is none.
    pub fn load(&self, number: u32) -> u64 {
        let unit = self.units().get((number >> UNIT) as usize);
        unit.map_or(0, |unit| unit[number as usize % unit.len()].load(Acquire))
    }

    /// Makes what was stored before visible to who loads this.
    pub fn store(&self, number: u32, word: u64) {
        if let Some(unit) = self.units().get((number >> UNIT) as usize) {
            unit[number as usize % unit.len()].store(word, Release);
        }
    }

    /// Notes that a table grows by units from a number on, as many again as there are below. Large parts are asked for on huge
    /// pages: a table that comes to need one is going to fill it.
    pub fn grow(&self, start: u32) {
        let units = start as usize..start as usize * 2;
        paceline_sys::region::advise_huge_pages(self.units().get(units).unwrap_or(&[]));
    }
}
