//! What is wrong with a queue.

use std::fmt;

/// What a driver did that no driver may do. The queue is of no use any more until it is set up anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The index of available buffers is further ahead than the ring is long.
    IndexJump,
    /// A descriptor that the ring does not have.
    NoDescriptor,
    /// A chain that is longer than the ring, or than any is served.
    ChainTooLong,
    /// A buffer, or a table of indirect descriptors, outside the memory.
    Outside,
    /// A buffer to be read where it is to be written, or the other way round.
    Direction,
    /// A table of indirect descriptors that was not agreed upon, is inside another one, has no whole descriptor, or lies askew.
    Indirect,
    /// The owner of the memory cut it off.
    MemoryGone,
}

impl Fault {
    /// What it is, in words, as a link's state tells it.
    pub const fn name(self) -> &'static str {
        match self {
            Fault::IndexJump => "the guest's ring index jumped",
            Fault::NoDescriptor => "the guest named a descriptor outside its ring",
            Fault::ChainTooLong => "the guest's descriptor chain is too long, or a loop",
            Fault::Outside => "the guest named a buffer outside its memory",
            Fault::Direction => "the guest's buffer is for the other direction",
            Fault::Indirect => "the guest's indirect descriptors make no sense",
            Fault::MemoryGone => "the guest's memory was cut off",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl std::error::Error for Fault {}
