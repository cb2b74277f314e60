//! Flows that are translated: from the flow of a packet to that which it becomes, in both directions.
//!
//! A session is two flows: that of the packet that began it, `before`, and what it becomes, `after`. Answers have the flow
//! `after` with source and destination exchanged, and become `before`, exchanged as well. The index refers to each session
//! from both of these flows. Each has a scope of its own, so that a session leads from one to another.
//!
//! The index is a table of 64-byte buckets with twelve references of 32 bits and a tag of 8 bits for each; a session is one
//! cache line (IPv4) or two (IPv6). A lookup is two lines, which two passes over a vector fetch ahead: one for the
//! [bucket](Reader::prefetch), one for the [session](Reader::candidate). A bucket that is full spills into the others of its
//! group of sixteen, and counts how many it has spilled, so that buckets whose neighbours have nothing of theirs never look there.
//!
//! Sessions stand in lists by class, the longest unused first, so that those that are too old and those that must make way are
//! found at once.
//!
//! **One thread writes**: the worker whose table it is. All words are atomics that it loads and stores without ordering, which
//! costs nothing, so that others may read all sessions meanwhile (see [`Sessions::entries`]).
//!
//! Memory for each session of the limit: 64 bytes and 16 to 32 of index for IPv4 (80 at a limit of a power of two), 128 and as
//! much for IPv6 (144). What is not used is not touched, in units of huge pages.

mod bucket;
mod lists;
mod reader;
mod slot;
#[cfg(test)]
mod tests;
mod tuple;

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use zerocopy::FromZeros;

use crate::fib::RouteError;
use bucket::Bucket;
use lists::{List, NONE};
pub use reader::Reader;
use slot::Slot;
pub use slot::State;
pub use tuple::{Address, Tuple};

/// Lists there are, of which number 0 is none.
pub const CLASSES: u8 = 8;
/// Buckets that spill into each other: a power of two. At the limit they have 192 places for 128 references on average.
const GROUP: usize = 16;

/// Sessions of one worker.
pub struct Sessions<T: Address> {
    buckets: Box<[Bucket]>,
    slots: Box<[Slot<T>]>,
    shift: u32,
    seed: u64,
    lists: [List; CLASSES as usize],
    /// Slots that were used and are free, linked by their next.
    free: AtomicU32,
    /// Slots from here on were never used.
    fresh: AtomicU32,
    count: AtomicU32,
}

/// A session as it was found: which, and in which direction.
#[derive(Clone, Copy)]
pub struct Session<'a, T: Address> {
    slot: &'a Slot<T>,
    reference: u32,
}

/// A session, for `show` and tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionEntry<T> {
    /// The flow of the packet that began it.
    pub before: Tuple<T>,
    /// What it becomes.
    pub after: Tuple<T>,
    /// Its state.
    pub state: State,
    /// Flags that it was made with.
    pub flags: u8,
    /// Packets of both directions.
    pub packets: u64,
}

/// A session was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the session table is full")]
pub struct Full;

impl<T: Address> Session<'_, T> {
    /// The number of its slot.
    #[inline(always)]
    pub fn slot(&self) -> u32 {
        self.reference >> 1
    }

    /// Whether the packet goes against the direction of the first one.
    #[inline(always)]
    pub fn is_reverse(&self) -> bool {
        self.reference & 1 != 0
    }

    /// Whether packets of this flow are found by it.
    #[inline(always)]
    fn is(&self, flow: &Tuple<T>) -> bool {
        let key = if self.is_reverse() { self.slot.after().reversed() } else { self.slot.before() };
        key == *flow
    }

    /// What the flow becomes.
    #[inline(always)]
    pub fn target(&self) -> Tuple<T> {
        if self.is_reverse() { self.slot.before().reversed() } else { self.slot.after() }
    }

    /// What the change adds to the ones' complement sum of the addresses, and to that of addresses and ports.
    #[inline(always)]
    pub fn sums(&self) -> (u16, u16) {
        let (addresses, all) = self.slot.sums();
        if self.is_reverse() { (!addresses, !all) } else { (addresses, all) }
    }

    /// The flow of the packet that began it, and what that becomes.
    pub fn flows(&self) -> (Tuple<T>, Tuple<T>) {
        (self.slot.before(), self.slot.after())
    }

    /// Its state.
    #[inline(always)]
    pub fn state(&self) -> State {
        self.slot.state()
    }

    /// Flags that it was made with.
    pub fn flags(&self) -> u8 {
        self.slot.flags()
    }

    /// Counts a packet.
    #[inline(always)]
    pub fn count(&self) {
        self.slot.count();
    }
}

impl<T: Address> Sessions<T> {
    /// Most sessions of a table.
    pub const MAX: u32 = 1 << 22;

    /// A table for up to `limit` sessions (1 to [`MAX`](Self::MAX); values outside are brought inside).
    ///
    /// # Errors
    /// The system has not so much memory.
    pub fn new(limit: u32) -> Result<Sessions<T>, RouteError> {
        let limit = limit.clamp(1, Self::MAX) as usize;
        // Two references a session: at the limit two thirds of the ways are in use, or less.
        let buckets = (limit / 4).next_power_of_two().max(GROUP);
        let bytes = limit * size_of::<Slot<T>>() + buckets * size_of::<Bucket>();
        let memory = |_| RouteError::Memory { bytes };
        let buckets = <[Bucket]>::new_box_zeroed_with_elems(buckets).map_err(memory)?;
        let slots = <[Slot<T>]>::new_box_zeroed_with_elems(limit).map_err(memory)?;
        paceline_sys::region::advise_huge_pages(&buckets);
        paceline_sys::region::advise_huge_pages(&slots);
        Ok(Sessions {
            shift: 32 - buckets.len().trailing_zeros(),
            buckets,
            slots,
            seed: RandomState::new().hash_one(0_u64),
            lists: Default::default(),
            free: AtomicU32::new(NONE),
            fresh: AtomicU32::new(0),
            count: AtomicU32::new(0),
        })
    }

    /// Sessions in the table.
    #[inline]
    pub fn len(&self) -> usize {
        self.count.load(Relaxed) as usize
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Most sessions it takes.
    pub fn limit(&self) -> usize {
        self.slots.len()
    }

    /// Bytes of memory, if all of it is in use.
    pub fn bytes(&self) -> usize {
        size_of_val(&*self.buckets) + size_of_val(&*self.slots)
    }

    /// The table for looking up, for the length of a vector: what lookups need, by value, so that it stays in registers.
    #[inline(always)]
    pub fn reader(&self) -> Reader<'_, T> {
        Reader { buckets: &self.buckets, slots: &self.slots, shift: self.shift, seed: self.seed }
    }

    fn hash(&self, flow: &Tuple<T>) -> u32 {
        self.reader().hash(flow)
    }

    fn bucket(&self, hash: u32) -> &Bucket {
        &self.buckets[(hash >> self.shift) as usize]
    }

    /// The buckets where a flow may be: its home first.
    fn group(&self, hash: u32) -> impl Iterator<Item = &Bucket> {
        let home = (hash >> self.shift) as usize;
        (0..GROUP).map(move |number| &self.buckets[home ^ number])
    }

    fn session(&self, reference: u32) -> Option<Session<'_, T>> {
        Some(Session { slot: self.slots.get((reference >> 1) as usize)?, reference })
    }

    /// The session of a flow.
    pub fn find(&self, flow: &Tuple<T>) -> Option<Session<'_, T>> {
        let hash = self.hash(flow);
        let reader = self.reader();
        let look = |bucket: &Bucket| bucket.candidates(hash).find_map(|one| reader.check(one, flow));
        let home = self.bucket(hash);
        if let Some(session) = look(home) {
            return Some(session);
        }
        if !home.has_spilled() {
            return None;
        }
        self.group(hash).skip(1).find_map(look)
    }

    /// The session of a slot, in the direction of its first packet; `None` if the slot is free.
    pub fn get(&self, slot: u32) -> Option<Session<'_, T>> {
        self.session(slot << 1).filter(|session| session.state().class != 0)
    }

    /// Makes a session. Neither of its flows may have one already; the class of the state is 1 to [`CLASSES`] - 1.
    ///
    /// # Errors
    /// There are as many as the limit, or the buckets of one of the flows are full (hardly ever, even at the limit).
    pub fn insert(
        &self,
        before: &Tuple<T>,
        after: &Tuple<T>,
        flags: u8,
        state: State,
    ) -> Result<Session<'_, T>, Full> {
        let slot = self.take_slot().ok_or(Full)?;
        let Some(session) = self.session(slot << 1) else { return Err(Full) };
        let there = self.hash(before);
        let back = self.hash(&after.reversed());
        if !self.refer(there, slot << 1) {
            self.give_slot(slot);
            return Err(Full);
        }
        if !self.refer(back, slot << 1 | 1) {
            self.forget(there, slot << 1);
            self.give_slot(slot);
            return Err(Full);
        }
        session.slot.fill(before, after, flags, state);
        self.list(state.class).push(&self.slots, slot);
        self.count.store(self.count.load(Relaxed) + 1, Relaxed);
        Ok(session)
    }

    /// Removes a session, if there is one in the slot.
    pub fn remove(&self, slot: u32) {
        let Some(session) = self.get(slot) else { return };
        let (before, after) = session.flows();
        self.forget(self.hash(&before), slot << 1);
        self.forget(self.hash(&after.reversed()), slot << 1 | 1);
        self.list(session.state().class).remove(&self.slots, slot);
        session.slot.clear();
        self.give_slot(slot);
        self.count.store(self.count.load(Relaxed).saturating_sub(1), Relaxed);
    }

    /// Gives a session another state and puts it at the end of its class's list.
    pub fn update(&self, session: Session<'_, T>, state: State) {
        let was = session.state();
        session.slot.set_state(state);
        if was.class != state.class || was.seen != state.seen {
            self.list(was.class).remove(&self.slots, session.slot());
            self.list(state.class).push(&self.slots, session.slot());
        }
    }

    /// The session of a class that was not used for the longest time.
    pub fn oldest(&self, class: u8) -> Option<Session<'_, T>> {
        self.get(self.list(class).first()?)
    }

    /// Slots that ever were in use: the sessions are among them.
    pub fn used(&self) -> u32 {
        self.fresh.load(Relaxed)
    }

    /// All sessions, from any thread; those that come or go meanwhile may be missed.
    pub fn entries(&self) -> Vec<SessionEntry<T>> {
        let used = &self.slots[..(self.used() as usize).min(self.slots.len())];
        let read = |slot: &Slot<T>| SessionEntry {
            before: slot.before(),
            after: slot.after(),
            state: slot.state(),
            flags: slot.flags(),
            packets: slot.packets(),
        };
        used.iter().filter_map(|slot| slot.read(read)).filter(|entry| entry.state.class != 0).collect()
    }

    fn list(&self, class: u8) -> &List {
        &self.lists[(class % CLASSES) as usize]
    }

    fn take_slot(&self) -> Option<u32> {
        let slot = self.free.load(Relaxed);
        if let Some(place) = self.slots.get(slot as usize) {
            self.free.store(place.links().1, Relaxed);
            return Some(slot);
        }
        let fresh = self.fresh.load(Relaxed);
        if fresh as usize >= self.slots.len() {
            return None;
        }
        self.fresh.store(fresh + 1, Relaxed);
        Some(fresh)
    }

    fn give_slot(&self, slot: u32) {
        if let Some(place) = self.slots.get(slot as usize) {
            place.set_links(NONE, self.free.load(Relaxed));
            self.free.store(slot, Relaxed);
        }
    }

    /// Writes a reference into the buckets of a hash; whether there was a place.
    fn refer(&self, hash: u32, reference: u32) -> bool {
        let home = self.bucket(hash);
        if home.insert(hash, reference) {
            return true;
        }
        let spilled = self.group(hash).skip(1).any(|bucket| bucket.insert(hash, reference));
        if spilled {
            home.spill(true);
        }
        spilled
    }

    /// Takes a reference out of the buckets of a hash.
    fn forget(&self, hash: u32, reference: u32) {
        let home = self.bucket(hash);
        if !home.remove(hash, reference)
            && self.group(hash).skip(1).any(|bucket| bucket.remove(hash, reference))
        {
            home.spill(false);
        }
    }
}
