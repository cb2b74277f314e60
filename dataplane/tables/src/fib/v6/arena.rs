//! Blocks of words, in powers of two: a buddy allocator (Knowlton 1965). A block is not written again before a quiet point
//! after it was freed.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::memory::{END, FIRST, Memory, UNIT};
use super::reader::Fib6;
use crate::fib::RouteError;
use crate::fib::retired::{Mark, Retired};

/// Some units: the number of the first, and how many as a power of two.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Block {
    pub unit: u32,
    pub order: u32,
}

/// Orders of blocks: the largest is half of all memory.
const ORDERS: usize = END.ilog2() as usize;

pub(super) struct Arena {
    pub fib: Arc<Fib6>,
    free: [BTreeSet<u32>; ORDERS],
    retired: Retired<Block>,
    /// Taken, but not linked yet.
    fresh: Vec<Block>,
    /// The unit up to which the table has grown.
    end: u32,
    /// Units that are not free.
    used: usize,
}

impl Arena {
    /// # Errors
    /// [`RouteError::Memory`].
    pub fn new() -> Result<Arena, RouteError> {
        let fib = Arc::new(Fib6 { memory: Memory::new()? });
        let (free, retired) = ([const { BTreeSet::new() }; ORDERS], Retired::new());
        let mut arena = Arena { fib, free, retired, fresh: Vec::new(), end: FIRST, used: 0 };
        // The first unit of all, which holds the first word.
        arena.take(0)?;
        arena.commit();
        Ok(arena)
    }

    /// A block. It is given back by [`undo`](Arena::undo), unless [`commit`](Arena::commit) is called before.
    ///
    /// # Errors
    /// [`RouteError::Nodes`] and [`RouteError::Memory`].
    pub fn take(&mut self, order: u32) -> Result<u32, RouteError> {
        let fits = loop {
            if let Some(fits) = (order as usize..ORDERS).find(|order| !self.free[*order].is_empty()) {
                break fits;
            }
            self.grow()?;
        };
        let unit = self.free[fits].pop_first().unwrap_or_default();
        // What is too much goes back in halves.
        for half in order as usize..fits {
            self.free[half].insert(unit + (1 << half));
        }
        self.used += 1 << order;
        self.fresh.push(Block { unit, order });
        Ok(unit)
    }

    fn grow(&mut self) -> Result<(), RouteError> {
        if self.end >= END {
            let limit = ((END - FIRST) << UNIT) as usize * size_of::<u64>();
            return Err(RouteError::Nodes { limit, waiting: self.retired.len() });
        }
        self.fib.memory.grow(self.end);
        self.free[self.end.ilog2() as usize].insert(self.end);
        self.end *= 2;
        Ok(())
    }

    /// Notes that all blocks that were taken are linked.
    pub fn commit(&mut self) {
        self.fresh.clear();
    }

    /// Gives all blocks back that were taken and not linked.
    pub fn undo(&mut self) {
        while let Some(block) = self.fresh.pop() {
            self.release(block);
        }
    }

    /// Notes that a block was unlinked.
    pub fn retire(&mut self, unit: u32, order: u32) {
        self.retired.push(Block { unit, order });
    }

    pub fn mark(&self) -> Mark {
        self.retired.mark()
    }

    pub fn quiet(&mut self, before: Mark) {
        while let Some(block) = self.retired.pop(before) {
            self.release(block);
        }
    }

    /// Puts a block to the free ones, together with its other half if that is free, and so on up to what the table grew by
    /// at once.
    fn release(&mut self, Block { mut unit, mut order }: Block) {
        self.used -= 1 << order;
        while order < unit.ilog2() && self.free[order as usize].remove(&(unit ^ 1 << order)) {
            unit &= !(1 << order);
            order += 1;
        }
        self.free[order as usize].insert(unit);
    }

    /// Bytes of all blocks that are not free.
    pub fn bytes(&self) -> usize {
        (self.used << UNIT) * size_of::<u64>()
    }
}
