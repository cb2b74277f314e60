//! Packets that wait until their neighbour is known.

use std::collections::BTreeMap;

use super::table::Key;

/// Packets in the order in which they came, of one neighbour and of all.
pub(super) struct Waiting<P> {
    packets: BTreeMap<(Key, u64), P>,
    order: BTreeMap<u64, Key>,
    next: u64,
}

impl<P> Waiting<P> {
    pub(super) fn new() -> Waiting<P> {
        Waiting { packets: BTreeMap::new(), order: BTreeMap::new(), next: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.packets.len()
    }

    /// How many packets of a neighbour wait: a walk over them.
    pub(super) fn count(&self, key: Key) -> usize {
        self.packets.range((key, 0)..=(key, u64::MAX)).count()
    }

    pub(super) fn push(&mut self, key: Key, packet: P) {
        self.packets.insert((key, self.next), packet);
        self.order.insert(self.next, key);
        self.next += 1;
    }

    /// The oldest packet of a neighbour.
    pub(super) fn pop(&mut self, key: Key) -> Option<P> {
        let ((_, number), _) = self.packets.range((key, 0)..=(key, u64::MAX)).next()?;
        let number = *number;
        self.order.remove(&number);
        self.packets.remove(&(key, number))
    }

    /// The oldest packet of all.
    pub(super) fn pop_oldest(&mut self) -> Option<P> {
        let (number, key) = self.order.pop_first()?;
        self.packets.remove(&(key, number))
    }
}
