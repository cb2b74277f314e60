//! Counters that one worker writes and anyone reads.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::reason::Reason;

/// A counter with one writer: a plain load and store, no locked instruction.
#[derive(Default, Debug)]
pub struct Count(AtomicU64);

impl Count {
    /// Adds; to be called by the one worker that owns the counter.
    #[inline(always)]
    pub fn add(&self, by: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_add(by), Relaxed);
    }

    /// The count.
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// What one worker counts of one node.
#[derive(Default, Debug)]
pub struct NodeCounters {
    /// Times the node was called with a vector.
    pub vectors: Count,
    /// Packets in those.
    pub packets: Count,
    /// TSC cycles spent in it.
    pub cycles: Count,
    /// Packets it dropped, by [`Reason`].
    pub drops: Drops,
}

/// What one worker counts of one interface. Aligned, so that two workers never write one line.
#[derive(Default, Debug)]
#[repr(align(128))]
pub struct InterfaceCounters {
    /// Frames received.
    pub rx_packets: Count,
    /// Bytes received, from the destination address to the end of the payload.
    pub rx_bytes: Count,
    /// Frames handed to the device.
    pub tx_packets: Count,
    /// Bytes handed to the device.
    pub tx_bytes: Count,
    /// TSC cycles spent receiving.
    pub rx_cycles: Count,
    /// Times that a receive call returned packets.
    pub rx_vectors: Count,
    /// TSC cycles spent sending.
    pub tx_cycles: Count,
    /// Times that a vector was sent.
    pub tx_vectors: Count,
    /// Packets received here, or failing to leave here, that were dropped, by [`Reason`].
    pub drops: Drops,
}

/// Drops by reason.
#[derive(Debug)]
pub struct Drops([Count; Reason::COUNT]);

impl Default for Drops {
    fn default() -> Self {
        Drops([const { Count(AtomicU64::new(0)) }; Reason::COUNT])
    }
}

impl Drops {
    /// Counts drops of a reason.
    #[inline]
    pub fn add(&self, reason: Reason, by: u64) {
        self.0[reason as usize].add(by);
    }

    /// Drops of a reason.
    pub fn get(&self, reason: Reason) -> u64 {
        self.0[reason as usize].get()
    }

    /// All drops.
    pub fn total(&self) -> u64 {
        self.0.iter().map(Count::get).sum()
    }

    /// Reasons that were seen, with their counts.
    pub fn seen(&self) -> impl Iterator<Item = (Reason, u64)> + '_ {
        Reason::ALL.iter().map(|r| (*r, self.get(*r))).filter(|(_, n)| *n > 0)
    }
}
