//! Memory that grows and never moves, so that readers need no lock.

use std::sync::OnceLock;

use crate::fib::RouteError;
use crate::sync::{AtomicU32, Zeroed};

/// Up to `COUNT` slabs, each twice as long as the one before; the first has `2^FIRST` words.
///
/// Words are numbered so that the highest bit of a number is the slab and the rest the place in it. So numbers start at
/// `2^FIRST`, and no number below names a word.
pub(super) struct Slabs<const FIRST: u32, const COUNT: usize> {
    slabs: [OnceLock<Box<[AtomicU32]>>; COUNT],
}

impl<const FIRST: u32, const COUNT: usize> Slabs<FIRST, COUNT> {
    pub fn new() -> Self {
        Slabs { slabs: [const { OnceLock::new() }; COUNT] }
    }

    /// The words from a number to the end of its slab; none if there is no such word.
    #[inline(always)]
    pub fn from(&self, number: u32) -> &[AtomicU32] {
        let top = (number | 1).ilog2();
        let slab = self.slabs.get(top.wrapping_sub(FIRST) as usize).and_then(OnceLock::get);
        slab.and_then(|words| words.get((number ^ 1 << top) as usize..)).unwrap_or(&[])
    }

    /// Adds the slab that starts at a number, unless it is there. Large ones are asked for on huge pages: a table that comes to
    /// need one is going to fill it.
    ///
    /// # Errors
    /// [`RouteError::Memory`]; for a number that starts none as well.
    pub fn grow(&self, start: u32) -> Result<(), RouteError> {
        let refused = RouteError::Memory { bytes: start as usize * size_of::<AtomicU32>() };
        let slab = start.checked_ilog2().and_then(|top| self.slabs.get(top.wrapping_sub(FIRST) as usize));
        let slab = slab.ok_or(refused)?;
        if slab.get().is_none() {
            let words = AtomicU32::zeroed(start as usize).ok_or(refused)?;
            paceline_sys::region::advise_huge_pages(&words);
            // Never an error: only the one writer gets here, and the slab was not there a moment ago.
            let _ = slab.set(words);
        }
        Ok(())
    }
}
