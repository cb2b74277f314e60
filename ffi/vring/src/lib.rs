//! The device's side of virtqueues (virtio 1.2 §2.7, §2.8), in memory that another process owns.
//!
//! | module | what it is |
//! |---|---|
//! | [`memory`] | regions of a guest's memory, mapped from descriptors, and its addresses, checked |
//! | [`queue`] | one queue of either format: chains of buffers are taken, read or written, and given back |
//! | [`descriptor`] | a descriptor, and the walk along a chain of them |
//! | `split`, `packed` | the two formats of a ring |
//! | `bus` | memory that its owner cuts off, without the end of this process |
//! | `driver` | the other side, for tests (feature `driver`) |
//!
//! The guest and the process that runs it may write any of that memory at any time. So whatever is read there is read once,
//! checked, and used from the copy; and whatever makes no sense is a [`Fault`], after which a queue is not used any more.
#![allow(clippy::cast_ptr_alignment)] // parts of rings are checked for their alignment when they are found

mod bus;
pub mod descriptor;
#[cfg(feature = "driver")]
pub mod driver;
mod fault;
pub mod memory;
mod packed;
pub mod queue;
mod signal;
mod split;

pub use fault::Fault;
pub use memory::{GuestMemory, MemoryError, RegionSpec};
pub use queue::{Access, Queue, QueueError, QueueSpec};
pub use signal::{Signal, SignalError};
