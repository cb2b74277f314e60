//! A ring of descriptors in shared memory.
//!
//! ```text
//! 0 cookie, 4 flags, 6 head │ 64 tail │ 128 descriptors of 16 bytes
//! ```
//!
//! Whatever its direction, the client moves the head and the server the tail; both only ever count up. To the server, slots
//! between tail and head are filled; to the client, they are buffers to be filled.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicU32, AtomicU64, Ordering};

use crate::Fault;
use crate::memory::Memory;

/// Bytes before the descriptors.
pub(crate) const HEADER: usize = 128;
/// Bytes of a descriptor.
pub(crate) const DESCRIPTOR: usize = 16;
/// Most slots of a ring, as a power of two.
pub(crate) const MAX_LOG2_SLOTS: u8 = 14;
const COOKIE: u32 = 0x3e3_1f20;
const FLAGS: usize = 4;
const HEAD: usize = 6;
const TAIL: usize = 64;
/// Flag of a ring: its receiver polls, and wants no interrupts.
const MASK_INTERRUPT: u16 = 1;

/// A descriptor, as read once: the peer may change it at any time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Descriptor {
    /// The frame goes on in the next one.
    pub more: bool,
    /// Number of the region.
    pub region: u16,
    /// Bytes.
    pub len: u32,
    /// Where they begin.
    pub offset: u32,
}

impl Descriptor {
    const MORE: u64 = 1;

    fn from_words([first, second]: [u64; 2]) -> Self {
        Self {
            more: first & Self::MORE != 0,
            region: (first >> 16) as u16,
            len: (first >> 32) as u32,
            offset: second as u32,
        }
    }

    fn words(self) -> [u64; 2] {
        let first = u64::from(self.more) | u64::from(self.region) << 16 | u64::from(self.len) << 32;
        [first, u64::from(self.offset)]
    }
}

/// All regions of a connection.
pub(crate) type Memories = Arc<[Memory]>;

/// One ring.
#[derive(Debug)]
pub(crate) struct Ring {
    memories: Memories,
    base: *mut u8,
    slots: u16,
}

// SAFETY: the ring's memory stays mapped as long as `memories` is held, and is only touched through atomics.
unsafe impl Send for Ring {}

impl Ring {
    /// Bytes of a ring.
    pub const fn bytes(log2_slots: u8) -> usize {
        HEADER + (DESCRIPTOR << log2_slots)
    }

    /// Finds a ring in memory, whole and aligned.
    pub fn find(memories: &Memories, region: u16, offset: u32, log2_slots: u8) -> Result<Self, Fault> {
        if !(1..=MAX_LOG2_SLOTS).contains(&log2_slots) {
            return Err(Fault::RingSize);
        }
        let memory = memories.get(usize::from(region)).ok_or(Fault::RingPlace)?;
        let base = memory.at(offset, Self::bytes(log2_slots)).ok_or(Fault::RingPlace)?;
        if !(base as usize).is_multiple_of(DESCRIPTOR) {
            return Err(Fault::RingPlace);
        }
        Ok(Self { memories: Arc::clone(memories), base, slots: 1 << log2_slots })
    }

    /// Slots in it.
    #[inline]
    pub fn slots(&self) -> u16 {
        self.slots
    }

    /// The regions that descriptors point into.
    #[inline]
    pub fn memories(&self) -> &[Memory] {
        &self.memories
    }

    /// Writes what tells that this is a ring.
    pub fn sign(&self) {
        self.word(0).store(COOKIE.to_le(), Ordering::Release);
    }

    /// Whether the peer did.
    pub fn is_signed(&self) -> bool {
        self.word(0).load(Ordering::Acquire) == COOKIE
    }

    #[inline]
    #[allow(clippy::cast_ptr_alignment)] // checked in `find`
    fn word(&self, at: usize) -> &AtomicU32 {
        debug_assert!(at + 4 <= HEADER && at.is_multiple_of(4));
        // SAFETY: `find` checked that the header is mapped and aligned to 16; it is shared with the peer, and only ever used
        // as atomics.
        unsafe { &*self.base.add(at).cast::<AtomicU32>() }
    }

    #[inline]
    #[allow(clippy::cast_ptr_alignment)] // checked in `find`
    fn half(&self, at: usize) -> &AtomicU16 {
        debug_assert!(at + 2 <= HEADER && at.is_multiple_of(2));
        // SAFETY: as in `word`.
        unsafe { &*self.base.add(at).cast::<AtomicU16>() }
    }

    /// The client's index.
    #[inline]
    pub fn head(&self) -> &AtomicU16 {
        self.half(HEAD)
    }

    /// The server's index.
    #[inline]
    pub fn tail(&self) -> &AtomicU16 {
        self.half(TAIL)
    }

    /// The receiver says whether it wants interrupts.
    #[inline]
    pub fn mask_interrupts(&self, mask: bool) {
        self.half(FLAGS).store(if mask { MASK_INTERRUPT } else { 0 }, Ordering::SeqCst);
    }

    /// Whether the receiver wants interrupts.
    #[inline]
    pub fn wants_interrupts(&self) -> bool {
        self.half(FLAGS).load(Ordering::SeqCst) & MASK_INTERRUPT == 0
    }

    #[inline]
    #[allow(clippy::cast_ptr_alignment)] // checked in `find`
    fn words(&self, slot: u16) -> &[AtomicU64; 2] {
        let index = usize::from(slot & (self.slots - 1));
        // SAFETY: the ring has `slots` descriptors, all mapped and aligned to 16, and `index` is below that.
        unsafe { &*self.base.add(HEADER + index * DESCRIPTOR).cast::<[AtomicU64; 2]>() }
    }

    /// The descriptor of a slot.
    #[inline]
    pub fn read(&self, slot: u16) -> Descriptor {
        let words = self.words(slot);
        Descriptor::from_words([words[0].load(Ordering::Relaxed), words[1].load(Ordering::Relaxed)])
    }

    /// Writes the descriptor of a slot.
    #[inline]
    pub fn write(&self, slot: u16, descriptor: Descriptor) {
        let (words, [first, second]) = (self.words(slot), descriptor.words());
        words[0].store(first, Ordering::Relaxed);
        words[1].store(second, Ordering::Relaxed);
    }
}

/// Which side we are, and with that where buffers are.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Side {
    /// Buffers are the peer's, and where its descriptors say.
    Server,
    /// Buffers are ours: one for each slot, in region 0. What descriptors say of their place is not believed.
    Client {
        /// Offset of the first.
        first: u32,
        /// Bytes of each.
        size: u32,
    },
}

impl Side {
    /// The empty buffer of a slot of the client's.
    #[inline]
    pub fn buffer(first: u32, size: u32, slot: u16, slots: u16) -> Descriptor {
        let offset = first + u32::from(slot & (slots - 1)) * size;
        Descriptor { more: false, region: 0, len: size, offset }
    }
}

/// Where the bytes of a descriptor of the peer are.
#[inline]
pub(crate) fn locate(memories: &[Memory], descriptor: Descriptor) -> Result<*mut u8, Fault> {
    let memory = memories.get(usize::from(descriptor.region)).ok_or(Fault::Descriptor)?;
    memory.at(descriptor.offset, descriptor.len as usize).ok_or(Fault::Descriptor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ring_must_lie_in_its_region() {
        let (memory, _file) = Memory::own(4096).unwrap();
        let memories: Memories = [memory].into();
        let find = |region, offset, log2| Ring::find(&memories, region, offset, log2).map(drop);
        assert_eq!(find(0, 0, 7), Ok(()));
        assert_eq!(find(0, 4096 - Ring::bytes(1) as u32, 1), Ok(()));
        for (region, offset, log2) in
            [(1, 0, 7), (0, 4096 - 128, 1), (0, 0, 8), (0, u32::MAX - 15, 1), (0, 8, 1)]
        {
            assert_eq!(find(region, offset, log2), Err(Fault::RingPlace), "{region} {offset} {log2}");
        }
        for log2 in [0, 15, 63, 255] {
            assert_eq!(find(0, 0, log2), Err(Fault::RingSize));
        }
    }

    #[test]
    fn fields_are_where_memif_h_has_them() {
        let (memory, _file) = Memory::own(4096).unwrap();
        let memories: Memories = [memory].into();
        let ring = Ring::find(&memories, 0, 0, 2).unwrap();
        assert!(!ring.is_signed() && ring.wants_interrupts());
        ring.sign();
        ring.mask_interrupts(true);
        ring.head().store(0x1122, Ordering::Relaxed);
        ring.tail().store(0x3344, Ordering::Relaxed);
        let descriptor = Descriptor { more: true, region: 2, len: 3, offset: 4 };
        ring.write(5, descriptor);
        assert_eq!((ring.is_signed(), ring.wants_interrupts(), ring.read(1)), (true, false, descriptor));
        let mut bytes = [0; 160];
        // SAFETY: the region has 4096 bytes, which nobody writes now.
        unsafe { std::ptr::copy_nonoverlapping(memories[0].at(0, 160).unwrap(), bytes.as_mut_ptr(), 160) };
        assert_eq!(bytes[..8], [0x20, 0x1f, 0xe3, 0x03, 1, 0, 0x22, 0x11]);
        assert_eq!(bytes[64..66], [0x44, 0x33]);
        assert_eq!(bytes[144..160], [1, 0, 2, 0, 3, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0]);
    }
}
