//! What readers may still look at.

use std::collections::VecDeque;

/// A moment in the life of a table: what was taken out before it. See [`Rib::mark`](super::Rib::mark).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark(u64);

/// Blocks that were unlinked, oldest first.
pub(super) struct Retired<B> {
    waiting: VecDeque<B>,
    /// How many left the queue.
    freed: u64,
}

impl<B> Retired<B> {
    pub fn new() -> Self {
        Retired { waiting: VecDeque::new(), freed: 0 }
    }

    pub fn push(&mut self, block: B) {
        self.waiting.push_back(block);
    }

    /// The moment behind all that wait now.
    pub fn mark(&self) -> Mark {
        Mark(self.freed + self.waiting.len() as u64)
    }

    /// The next block that was retired before a moment.
    pub fn pop(&mut self, before: Mark) -> Option<B> {
        let block = if self.freed < before.0 { self.waiting.pop_front() } else { None };
        self.freed += u64::from(block.is_some());
        block
    }

    pub fn len(&self) -> usize {
        self.waiting.len()
    }
}
