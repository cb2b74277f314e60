//! How many sessions of a table each of their owners has.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// Sessions by owner: inside hosts of address translation by a hash, interfaces of filters by their number. One thread writes.
pub struct Owners(Box<[AtomicU32]>);

impl Owners {
    /// Room for owners whose numbers differ in the lower bits, of which there are as many as `places`, a power of two, tells apart;
    /// others share theirs. 0: nothing is counted, and nobody has any.
    pub fn new(places: usize) -> Owners {
        debug_assert!(places == 0 || places.is_power_of_two());
        Owners((0..places).map(|_| AtomicU32::new(0)).collect())
    }

    /// Whether nothing is counted.
    pub fn is_off(&self) -> bool {
        self.0.is_empty()
    }

    /// Bytes of memory.
    pub fn bytes(&self) -> usize {
        size_of_val(&*self.0)
    }

    #[inline]
    fn place(&self, owner: u64) -> Option<&AtomicU32> {
        self.0.get(owner as usize & self.0.len().wrapping_sub(1))
    }

    /// How many an owner has.
    #[inline]
    pub fn count(&self, owner: u64) -> u32 {
        self.place(owner).map_or(0, |count| count.load(Relaxed))
    }

    /// An owner has none any more.
    pub fn clear(&self, owner: u64) {
        if let Some(count) = self.place(owner) {
            count.store(0, Relaxed);
        }
    }

    /// One more begins.
    pub fn begin(&self, owner: u64) {
        if let Some(count) = self.place(owner) {
            count.store(count.load(Relaxed).saturating_add(1), Relaxed);
        }
    }

    /// One ends.
    pub fn end(&self, owner: u64) {
        if let Some(count) = self.place(owner) {
            count.store(count.load(Relaxed).saturating_sub(1), Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_owner_has_a_count() {
        let owners = Owners::new(4);
        for owner in [1, 2, 2, 6, 3] {
            owners.begin(owner);
        }
        owners.end(3);
        // 6 is 2 in two bits; what never began does not end.
        owners.end(0);
        assert_eq!([0, 1, 2, 3, 6].map(|owner| owners.count(owner)), [0, 1, 3, 0, 3]);
        owners.clear(2);
        assert_eq!([1, 2].map(|owner| owners.count(owner)), [1, 0]);
        let none = Owners::new(0);
        none.begin(7);
        assert_eq!((none.count(7), none.is_off(), none.bytes()), (0, true, 0));
    }
}
