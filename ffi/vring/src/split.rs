//! The split format of a ring (virtio 1.2 §2.7): a table of descriptors, a ring of those that are available, one of those used.

use std::sync::atomic::{AtomicU16, Ordering, fence};

use crate::descriptor::{Descriptor, INDIRECT, LEN, NEXT, Walk};
use crate::fault::Fault;
use crate::memory::GuestMemory;
use crate::queue::{QueueError, QueueSpec, Taken, need_event};

/// Flag of the available ring: the driver wants no interrupt.
const NO_INTERRUPT: u16 = 1;
/// Flag of the used ring: the device wants no kick.
const NO_NOTIFY: u16 = 1;

/// The device's side of a split ring.
pub struct Split {
    table: *const u8,
    /// Flags, index, entries, and the event of the driver.
    available: *const AtomicU16,
    /// Flags, index, entries of two words, and the event of the device.
    used: *mut u8,
    size: u16,
    event_index: bool,
    /// The next available entry to be looked at.
    next: u16,
    /// As far as entries are known to be available.
    seen: u16,
    /// The next used entry to be written.
    done: u16,
    /// As far as the driver was told.
    told: u16,
}

impl Split {
    pub fn new(memory: &GuestMemory, spec: &QueueSpec) -> Result<Split, QueueError> {
        let size = usize::from(spec.size);
        if !spec.size.is_power_of_two() {
            return Err(QueueError::Size(spec.size));
        }
        let place = |what, address, len, align| {
            memory.user(address, len, align).ok_or(QueueError::Outside { what, address })
        };
        let table = place("descriptor table", spec.descriptors, size * LEN, 16)?;
        let available = place("available ring", spec.driver, 6 + 2 * size, 2)?;
        let used = place("used ring", spec.device, 6 + 8 * size, 4)?;
        let mut ring = Split {
            table,
            available: available.cast(),
            used,
            size: spec.size,
            event_index: spec.event_index,
            next: 0,
            seen: 0,
            done: 0,
            told: 0,
        };
        // The ring itself knows better than the message where it goes on, as in DPDK: after a switch that was killed nobody else does.
        let base = ring.used_index().load(Ordering::Acquire);
        (ring.next, ring.seen, ring.done, ring.told) = (base, base, base, base);
        ring.set_kicks(false);
        Ok(ring)
    }

    /// Where a queue goes on that was stopped here.
    pub fn base(&self) -> u32 {
        u32::from(self.next)
    }

    #[inline(always)]
    fn half(&self, at: usize) -> &AtomicU16 {
        // SAFETY: the available ring has `3 + size` words, and callers stay below that.
        unsafe { &*self.available.add(at) }
    }

    #[inline(always)]
    fn used_half(&self, at: usize) -> &AtomicU16 {
        // SAFETY: `at` is 0, 2 or the last two bytes of the used ring, which is `6 + 8 * size` bytes long and aligned.
        unsafe { &*self.used.add(at).cast::<AtomicU16>() }
    }

    #[inline(always)]
    fn used_index(&self) -> &AtomicU16 {
        self.used_half(2)
    }

    /// Takes the next available chain.
    #[inline(always)]
    pub fn take(&mut self, walk: &mut Walk<'_>) -> Result<Option<Taken>, Fault> {
        if self.next == self.seen {
            self.seen = self.half(1).load(Ordering::Acquire);
            if self.seen.wrapping_sub(self.next) > self.size {
                return Err(Fault::IndexJump);
            }
            if self.next == self.seen {
                return Ok(None);
            }
        }
        let slot = usize::from(self.next & (self.size - 1));
        let head = self.half(2 + slot).load(Ordering::Relaxed);
        let mut room = 0;
        let (mut table, mut count, mut at, mut inside) = (self.table, self.size, head, false);
        let mut steps = 0;
        loop {
            if at >= count {
                return Err(Fault::NoDescriptor);
            }
            if steps >= count {
                return Err(Fault::ChainTooLong);
            }
            steps += 1;
            // SAFETY: the table has `count` descriptors, checked when it was found, on a multiple of 8.
            let descriptor = unsafe { Descriptor::read(table.add(usize::from(at) * LEN)) };
            if descriptor.flags & INDIRECT != 0 {
                if inside {
                    return Err(Fault::Indirect);
                }
                (table, count) = walk.table(descriptor)?;
                (at, inside, steps) = (0, true, 0);
                continue;
            }
            room += walk.buffer(descriptor)?;
            if descriptor.flags & NEXT == 0 {
                break;
            }
            at = descriptor.next;
        }
        self.next = self.next.wrapping_add(1);
        Ok(Some(Taken { id: head, count: 1, room }))
    }

    /// Takes so many chains back that were taken last.
    pub fn untake(&mut self, chains: u16) {
        self.next = self.next.wrapping_sub(chains);
    }

    /// Gives a chain back with so many bytes written to it. The driver sees it after [`publish`](Self::publish).
    #[inline(always)]
    pub fn give(&mut self, taken: Taken, written: u32) {
        let slot = usize::from(self.done & (self.size - 1));
        // SAFETY: the entry is one of `size`, behind the four bytes of flags and index, on a multiple of 4.
        unsafe {
            let entry = self.used.add(4 + 8 * slot).cast::<u32>();
            entry.write_volatile(u32::from(taken.id));
            entry.add(1).write_volatile(written);
        }
        self.done = self.done.wrapping_add(1);
    }

    /// Shows the driver what was given back; whether it wants to be woken for it.
    #[inline]
    pub fn publish(&mut self) -> bool {
        let told = std::mem::replace(&mut self.told, self.done);
        if told == self.done {
            return false;
        }
        self.used_index().store(self.done, Ordering::Release);
        // The index is written before it is read whether the driver sleeps, as the driver says so before it looks at the index.
        fence(Ordering::SeqCst);
        if self.event_index {
            let event = self.half(2 + usize::from(self.size)).load(Ordering::Relaxed);
            need_event(event, self.done, told)
        } else {
            self.half(0).load(Ordering::Relaxed) & NO_INTERRUPT == 0
        }
    }

    /// Says whether the driver shall kick when there is something.
    pub fn set_kicks(&mut self, wanted: bool) {
        if !self.event_index {
            self.used_half(0).store(if wanted { 0 } else { NO_NOTIFY }, Ordering::Relaxed);
        } else if wanted {
            // Left behind, it is an event that does not come.
            self.used_half(4 + 8 * usize::from(self.size)).store(self.next, Ordering::Relaxed);
        }
        fence(Ordering::SeqCst);
    }
}
