//! The side of the table that every packet sees.

use super::Session;
use super::bucket::Bucket;
use super::lists::NONE;
use super::slot::Slot;
use super::tuple::{Address, Tuple};

/// A [`Sessions`](super::Sessions) for looking up in three passes over a vector: hash and prefetch, candidate, check.
pub struct Reader<'a, T: Address> {
    pub(super) buckets: &'a [Bucket],
    pub(super) slots: &'a [Slot<T>],
    pub(super) shift: u32,
    pub(super) seed: u64,
}

impl<'a, T: Address> Reader<'a, T> {
    /// The hash of a flow.
    #[inline(always)]
    pub fn hash(&self, flow: &Tuple<T>) -> u32 {
        (flow.hash(self.seed) >> 32) as u32
    }

    #[inline(always)]
    fn bucket(&self, hash: u32) -> &'a Bucket {
        &self.buckets[(hash >> self.shift) as usize]
    }

    /// Brings a flow's bucket towards the CPU.
    #[inline(always)]
    pub fn prefetch(&self, hash: u32) {
        paceline_sys::cpu::prefetch_read(self.bucket(hash));
    }

    /// The first session that a flow may have, which is brought towards the CPU; to be given to [`check`](Self::check).
    #[inline(always)]
    pub fn candidate(&self, hash: u32) -> u32 {
        let reference = self.bucket(hash).candidate(hash).unwrap_or(NONE);
        if let Some(slot) = self.slots.get((reference >> 1) as usize) {
            paceline_sys::cpu::prefetch_write(slot);
        }
        reference
    }

    /// The candidate, if it is the flow's session. If not, the flow may have one all the same: see
    /// [`Sessions::find`](super::Sessions::find).
    #[inline(always)]
    pub fn check(&self, candidate: u32, flow: &Tuple<T>) -> Option<Session<'a, T>> {
        let slot = self.slots.get((candidate >> 1) as usize)?;
        Some(Session { slot, reference: candidate }).filter(|session| session.is(flow))
    }
}
