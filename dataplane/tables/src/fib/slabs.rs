//! Memory that grows and never moves, so that readers need no lock.

use std::sync::OnceLock;

use super::RouteError;
use crate::sync::Zeroed;

/// Bytes of a cache line.
const LINE: usize = 64;

/// A run of words. The allocator aligns large blocks to 16 bytes, so the words before the first whole line are left out.
struct Slab<T> {
    words: Box<[T]>,
    skip: usize,
}

/// Up to `COUNT` slabs, each twice as long as the one before; the first has `2^FIRST` words.
///
/// Words are numbered so that the highest bit of a number is the slab and the rest the place in it. So numbers start at
/// `2^FIRST`, a block aligned in the numbers is aligned in memory, and no number below names a word.
pub(super) struct Slabs<T, const FIRST: u32, const COUNT: usize> {
    slabs: [OnceLock<Slab<T>>; COUNT],
}

impl<T: Zeroed, const FIRST: u32, const COUNT: usize> Slabs<T, FIRST, COUNT> {
    /// Numbers of words are below this.
    pub const END: u32 = 1 << (FIRST + COUNT as u32);

    pub fn new() -> Self {
        Slabs { slabs: [const { OnceLock::new() }; COUNT] }
    }

    /// The words from a number to the end of its slab; none if there is no such word.
    #[inline(always)]
    pub fn from(&self, number: u32) -> &[T] {
        let top = (number | 1).ilog2();
        let slab = self.slabs.get(top.wrapping_sub(FIRST) as usize).and_then(OnceLock::get);
        slab.and_then(|slab| slab.words.get(slab.skip + (number ^ 1 << top) as usize..)).unwrap_or(&[])
    }

    /// Adds the slab that starts at a number, unless it is there. Large ones are asked for on huge pages: a table that comes to
    /// need one is going to fill it.
    ///
    /// # Errors
    /// [`RouteError::Memory`]; for a number that starts none as well.
    pub fn grow(&self, start: u32) -> Result<(), RouteError> {
        let words = start as usize;
        let refused = RouteError::Memory { bytes: words * size_of::<T>() };
        let slab = start.checked_ilog2().and_then(|top| self.slabs.get(top.wrapping_sub(FIRST) as usize));
        let slab = slab.ok_or(refused)?;
        if slab.get().is_none() {
            let memory = T::zeroed(words + LINE / size_of::<T>()).ok_or(refused)?;
            paceline_sys::region::advise_huge_pages(&memory);
            let skip = (memory.as_ptr().addr().wrapping_neg() % LINE) / size_of::<T>();
            // Never an error: only the one writer gets here, and the slab was not there a moment ago.
            let _ = slab.set(Slab { words: memory, skip });
        }
        Ok(())
    }
}
