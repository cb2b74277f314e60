//! Lists of slots through the slots themselves, the longest unused first.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use super::slot::Slot;
use super::tuple::Address;

/// No slot.
pub(super) const NONE: u32 = u32::MAX;

/// One list: its first and its last slot.
pub(super) struct List {
    head: AtomicU32,
    tail: AtomicU32,
}

impl Default for List {
    fn default() -> Self {
        List { head: AtomicU32::new(NONE), tail: AtomicU32::new(NONE) }
    }
}

impl List {
    /// The slot that stands here longest.
    pub fn first(&self) -> Option<u32> {
        Some(self.head.load(Relaxed)).filter(|slot| *slot != NONE)
    }

    /// Puts a slot at the end.
    pub fn push<T: Address>(&self, slots: &[Slot<T>], slot: u32) {
        let tail = self.tail.load(Relaxed);
        if let Some(place) = slots.get(slot as usize) {
            place.set_links(tail, NONE);
        }
        match slots.get(tail as usize) {
            Some(last) => last.set_links(last.links().0, slot),
            None => self.head.store(slot, Relaxed),
        }
        self.tail.store(slot, Relaxed);
    }

    /// Takes a slot out, which is in this list.
    pub fn remove<T: Address>(&self, slots: &[Slot<T>], slot: u32) {
        let Some(place) = slots.get(slot as usize) else { return };
        let (previous, next) = place.links();
        match slots.get(previous as usize) {
            Some(other) => other.set_links(other.links().0, next),
            None => self.head.store(next, Relaxed),
        }
        match slots.get(next as usize) {
            Some(other) => other.set_links(previous, other.links().1),
            None => self.tail.store(previous, Relaxed),
        }
    }
}
