//! Atomics: the processor's, or under `--cfg loom` those of the model checker, which tries every order of their effects.

#[cfg(loom)]
pub(crate) use loom::sync::atomic::{AtomicU8, AtomicU32, AtomicU64 as AtomicWord, Ordering, fence};
#[cfg(loom)]
pub(crate) use model::AtomicU64;
#[cfg(not(loom))]
pub(crate) use std::sync::atomic::{
    AtomicU8, AtomicU32, AtomicU64, AtomicU64 as AtomicWord, Ordering, fence,
};

/// Atomics in bulk, all zero. The system zeroes pages when they are touched first, so that what is not used costs nothing.
pub(crate) trait Zeroed: Sized {
    /// `None` where the system has not so much memory.
    fn zeroed(len: usize) -> Option<Box<[Self]>>;
}

#[cfg(not(loom))]
impl<T: zerocopy::FromZeros> Zeroed for T {
    fn zeroed(len: usize) -> Option<Box<[Self]>> {
        <[T] as zerocopy::FromZeros>::new_box_zeroed_with_elems(len).ok()
    }
}

#[cfg(loom)]
impl Zeroed for AtomicU32 {
    fn zeroed(len: usize) -> Option<Box<[Self]>> {
        Some((0..len).map(|_| AtomicU32::new(0)).collect())
    }
}

#[cfg(loom)]
impl Zeroed for AtomicWord {
    fn zeroed(len: usize) -> Option<Box<[Self]>> {
        Some((0..len).map(|_| AtomicWord::new(0)).collect())
    }
}

#[cfg(loom)]
mod model {
    use super::Ordering;

    /// A word whose loads loom takes for changes.
    ///
    /// Loom (0.7) remembers the last access of a word alone when it looks for orders that are still to be tried. A load of a
    /// thread's own so hides what another thread did before it: of two loads beside a load and a compare-and-swap, it tries four
    /// of the six outcomes. With loads that conflict with each other it tries all. What it then does not try, loads of
    /// values that were overwritten long ago, are retries and misses to this table.
    #[derive(Default)]
    pub(crate) struct AtomicU64(loom::sync::atomic::AtomicU64);

    impl AtomicU64 {
        pub(crate) fn load(&self, order: Ordering) -> u64 {
            self.0.fetch_or(0, order)
        }

        pub(crate) fn fetch_or(&self, bits: u64, order: Ordering) -> u64 {
            self.0.fetch_or(bits, order)
        }

        pub(crate) fn compare_exchange(
            &self,
            current: u64,
            new: u64,
            success: Ordering,
            failure: Ordering,
        ) -> Result<u64, u64> {
            self.0.compare_exchange(current, new, success, failure)
        }

        pub(crate) fn fetch_update(
            &self,
            set: Ordering,
            fetch: Ordering,
            f: impl FnMut(u64) -> Option<u64>,
        ) -> Result<u64, u64> {
            self.0.fetch_update(set, fetch, f)
        }
    }
}
