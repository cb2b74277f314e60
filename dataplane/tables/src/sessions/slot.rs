//! One session.

use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicU32, AtomicU64, fence};

use zerocopy::FromZeros;

use super::lists::NONE;
use super::tuple::{Address, Tuple};

/// What changes in a session, in one word.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// When it was last used, in the caller's unit.
    pub seen: u32,
    /// The configuration that it was last held against.
    pub generation: u16,
    /// The list that it is in, 1 to [`CLASSES`](super::CLASSES) - 1.
    pub class: u8,
    /// What the caller keeps track of.
    pub track: u8,
}

impl State {
    #[inline(always)]
    pub(super) const fn word(self) -> u64 {
        self.seen as u64
            | (self.generation as u64) << 32
            | (self.class as u64) << 48
            | (self.track as u64) << 56
    }

    #[inline(always)]
    pub(super) const fn of(word: u64) -> State {
        State {
            seen: word as u32,
            generation: (word >> 32) as u16,
            class: (word >> 48) as u8,
            track: (word >> 56) as u8,
        }
    }

    /// What must be the same for a packet to change nothing but counters.
    #[inline(always)]
    pub const fn stamp(self) -> u64 {
        self.word() & 0xffff_ffff_ffff
    }
}

/// A session's words. 64 bytes for IPv4, 128 for IPv6. One writer; the sequence is odd while it writes the parts that else
/// never change, so that anyone may read a slot and know whether what was read belongs together.
///
/// ```text
///     addresses before and after translation
///     ports before 32 | ports after 32
///     scope before 16 | scope after 16 | protocol 8 | flags 8 | - 16
///     seen 32 | generation 16 | class 8 | track 8
///     previous in the list 32 | next 32
///     sum of addresses 16 | sum of addresses and ports 16
///     sequence 32
///     packets
/// ```
#[repr(C, align(64))]
#[derive(FromZeros)]
pub(super) struct Slot<T: Address> {
    before: T::Cell,
    after: T::Cell,
    ports: AtomicU64,
    fixed: AtomicU64,
    state: AtomicU64,
    links: AtomicU64,
    sums: AtomicU32,
    sequence: AtomicU32,
    packets: AtomicU64,
}

impl<T: Address> Slot<T> {
    #[inline(always)]
    pub fn before(&self) -> Tuple<T> {
        let (source, destination) = T::load(&self.before);
        let (ports, fixed) = ((self.ports.load(Relaxed) >> 32) as u32, self.fixed.load(Relaxed));
        Tuple { source, destination, ports, protocol: (fixed >> 32) as u8, scope: fixed as u16 }
    }

    #[inline(always)]
    pub fn after(&self) -> Tuple<T> {
        let (source, destination) = T::load(&self.after);
        let (ports, fixed) = (self.ports.load(Relaxed) as u32, self.fixed.load(Relaxed));
        Tuple { source, destination, ports, protocol: (fixed >> 32) as u8, scope: (fixed >> 16) as u16 }
    }

    pub fn flags(&self) -> u8 {
        (self.fixed.load(Relaxed) >> 40) as u8
    }

    /// What translation adds to the sums of addresses, and of addresses and ports.
    #[inline(always)]
    pub fn sums(&self) -> (u16, u16) {
        let sums = self.sums.load(Relaxed);
        (sums as u16, (sums >> 16) as u16)
    }

    #[inline(always)]
    pub fn state(&self) -> State {
        State::of(self.state.load(Relaxed))
    }

    pub fn set_state(&self, state: State) {
        self.state.store(state.word(), Relaxed);
    }

    #[inline(always)]
    pub fn count(&self) {
        self.packets.store(self.packets.load(Relaxed).wrapping_add(1), Relaxed);
    }

    pub fn packets(&self) -> u64 {
        self.packets.load(Relaxed)
    }

    pub fn links(&self) -> (u32, u32) {
        let links = self.links.load(Relaxed);
        (links as u32, (links >> 32) as u32)
    }

    pub fn set_links(&self, previous: u32, next: u32) {
        self.links.store(u64::from(previous) | u64::from(next) << 32, Relaxed);
    }

    /// Writes all of it.
    pub fn fill(&self, before: &Tuple<T>, after: &Tuple<T>, flags: u8, state: State) {
        self.change(|slot| {
            T::store(&slot.before, before.source, before.destination);
            T::store(&slot.after, after.source, after.destination);
            slot.ports.store(u64::from(before.ports) << 32 | u64::from(after.ports), Relaxed);
            let (addresses, all) = sums(before, after);
            slot.sums.store(u32::from(addresses) | u32::from(all) << 16, Relaxed);
            let fixed = u64::from(before.scope)
                | u64::from(after.scope) << 16
                | u64::from(before.protocol) << 32
                | u64::from(flags) << 40;
            slot.fixed.store(fixed, Relaxed);
            slot.packets.store(0, Relaxed);
            slot.set_links(NONE, NONE);
            slot.set_state(state);
        });
    }

    /// Makes it no session any more.
    pub fn clear(&self) {
        self.change(|slot| slot.set_state(State::default()));
    }

    fn change(&self, write: impl FnOnce(&Self)) {
        let sequence = self.sequence.load(Relaxed);
        self.sequence.store(sequence.wrapping_add(1), Relaxed);
        fence(Release);
        write(self);
        self.sequence.store(sequence.wrapping_add(2), Release);
    }

    /// Reads from any thread. `None` if the slot was written meanwhile.
    pub fn read<R>(&self, read: impl FnOnce(&Self) -> R) -> Option<R> {
        let sequence = self.sequence.load(Acquire);
        let value = read(self);
        fence(Acquire);
        (sequence.is_multiple_of(2) && self.sequence.load(Relaxed) == sequence).then_some(value)
    }
}

/// What a translation adds to ones' complement sums (RFC 1624): of addresses, and of addresses and ports.
fn sums<T: Address>(before: &Tuple<T>, after: &Tuple<T>) -> (u16, u16) {
    let addresses = |tuple: &Tuple<T>| fold(tuple.source.sum() + tuple.destination.sum());
    let (old, new) = (addresses(before), addresses(after));
    let address = fold(u32::from(!old) + u32::from(new));
    let (old, new) = (fold(before.ports), fold(after.ports));
    (address, fold(u32::from(address) + u32::from(!old) + u32::from(new)))
}

fn fold(sum: u32) -> u16 {
    let sum = (sum >> 16) + (sum & 0xffff);
    ((sum >> 16) + (sum & 0xffff)) as u16
}
