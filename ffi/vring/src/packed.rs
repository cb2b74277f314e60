//! The packed format of a ring (virtio 1.2 §2.8): one table, in which both sides write.

use std::sync::atomic::{AtomicU16, Ordering, fence};

use crate::descriptor::{Descriptor, INDIRECT, LEN, NEXT, WRITE, Walk};
use crate::fault::Fault;
use crate::memory::GuestMemory;
use crate::queue::{QueueError, QueueSpec, Taken, need_event};

/// Flag: available in the round whose counter it is equal to.
const AVAILABLE: u16 = 1 << 7;
/// Flag: used in the round whose counter it is equal to.
const USED: u16 = 1 << 15;
/// What an event structure says: signals are wanted.
const ENABLE: u16 = 0;
/// They are not.
const DISABLE: u16 = 1;
/// One is, when a descriptor is passed.
const AT_DESCRIPTOR: u16 = 2;

/// A place in the ring and the counter of its round.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Place {
    at: u16,
    wrap: bool,
}

impl Place {
    #[inline(always)]
    fn advance(&mut self, count: u16, size: u16) {
        self.at += count;
        if self.at >= size {
            self.at -= size;
            self.wrap = !self.wrap;
        }
    }

    fn back(&mut self, count: u16, size: u16) {
        if self.at < count {
            self.at += size;
            self.wrap = !self.wrap;
        }
        self.at -= count;
    }
}

/// The device's side of a packed ring.
pub struct Packed {
    table: *mut u8,
    /// What the driver wants to be told: offset and flags.
    driver: *const AtomicU16,
    /// What the device wants to be told.
    device: *const AtomicU16,
    size: u16,
    next: Place,
    done: Place,
    told: u16,
    /// The first of the descriptors that were given back and not shown: where, and its flags. The others may be seen before it, but
    /// a driver does not look behind one that is not used.
    first: Option<(u16, u16)>,
}

impl Packed {
    pub fn new(memory: &GuestMemory, spec: &QueueSpec) -> Result<Packed, QueueError> {
        let place = |what, address, len, align| {
            memory.user(address, len, align).ok_or(QueueError::Outside { what, address })
        };
        let table = place("descriptor ring", spec.descriptors, usize::from(spec.size) * LEN, 16)?;
        let driver = place("driver's event structure", spec.driver, 4, 4)?;
        let device = place("device's event structure", spec.device, 4, 4)?;
        let base = spec.base as u16;
        let next = Place { at: base & 0x7fff, wrap: base >> 15 == 1 };
        if next.at >= spec.size {
            return Err(QueueError::Base { base: next.at, size: spec.size });
        }
        let mut ring = Packed {
            table,
            driver: driver.cast(),
            device: device.cast(),
            size: spec.size,
            next,
            done: next,
            told: next.at,
            first: None,
        };
        ring.set_kicks(false);
        Ok(ring)
    }

    /// Where a queue goes on that was stopped here: what is available, and above it what is used.
    pub fn base(&self) -> u32 {
        let half = |place: Place| u32::from(place.at) | u32::from(place.wrap) << 15;
        half(self.next) | half(self.next) << 16
    }

    #[inline(always)]
    fn flags(&self, at: u16) -> &AtomicU16 {
        // SAFETY: the table has `size` descriptors of 16 bytes, `at` is below that, and flags are their last two bytes.
        unsafe { &*self.table.add(usize::from(at) * LEN + 14).cast::<AtomicU16>() }
    }

    #[inline(always)]
    fn read(&self, at: u16) -> Descriptor {
        // SAFETY: as in `flags`; the table is on a multiple of 16.
        unsafe { Descriptor::read_packed(self.table.add(usize::from(at) * LEN)) }
    }

    /// Takes the next available chain.
    #[inline(always)]
    pub fn take(&mut self, walk: &mut Walk<'_>) -> Result<Option<Taken>, Fault> {
        let flags = self.flags(self.next.at).load(Ordering::Acquire);
        if (flags & AVAILABLE != 0) != self.next.wrap || (flags & USED != 0) == self.next.wrap {
            return Ok(None);
        }
        let (mut at, mut count, mut room) = (self.next.at, 0, 0);
        let id = loop {
            let descriptor = self.read(at);
            count += 1;
            if descriptor.flags & INDIRECT != 0 {
                if count > 1 {
                    return Err(Fault::Indirect);
                }
                let (table, entries) = walk.table(descriptor)?;
                for entry in 0..usize::from(entries) {
                    // SAFETY: the table was found to have so many descriptors, on a multiple of 8.
                    let inner = unsafe { Descriptor::read_packed(table.add(entry * LEN)) };
                    if inner.flags & INDIRECT != 0 {
                        return Err(Fault::Indirect);
                    }
                    room += walk.buffer(inner)?;
                }
                break descriptor.next;
            }
            room += walk.buffer(descriptor)?;
            if descriptor.flags & NEXT == 0 {
                break descriptor.next;
            }
            if count == self.size {
                return Err(Fault::ChainTooLong);
            }
            at += 1;
            if at == self.size {
                at = 0;
            }
        };
        self.next.advance(count, self.size);
        Ok(Some(Taken { id, count, room }))
    }

    /// Takes chains of so many descriptors back that were taken last.
    pub fn untake(&mut self, descriptors: u16) {
        self.next.back(descriptors, self.size);
    }

    /// Gives a chain back with so many bytes written to it. The driver sees it after [`publish`](Self::publish).
    #[inline(always)]
    pub fn give(&mut self, taken: Taken, written: u32) {
        let mut flags = if self.done.wrap { AVAILABLE | USED } else { 0 };
        if written > 0 {
            flags |= WRITE;
        }
        // SAFETY: as in `flags`; the length is at 8 and the number at 12.
        unsafe {
            let descriptor = self.table.add(usize::from(self.done.at) * LEN);
            descriptor.add(8).cast::<u32>().write_volatile(written);
            descriptor.add(12).cast::<u16>().write_volatile(taken.id);
        }
        if self.first.is_none() {
            self.first = Some((self.done.at, flags));
        } else {
            self.flags(self.done.at).store(flags, Ordering::Release);
        }
        self.done.advance(taken.count, self.size);
    }

    /// Shows the driver what was given back; whether it wants to be woken for it.
    #[inline]
    pub fn publish(&mut self) -> bool {
        let Some((at, flags)) = self.first.take() else { return false };
        self.flags(at).store(flags, Ordering::Release);
        // As in the split format.
        fence(Ordering::SeqCst);
        let (new, mut old) = (self.done.at, std::mem::replace(&mut self.told, self.done.at));
        // SAFETY: four bytes, on a multiple of four.
        let (event, wanted) = unsafe {
            ((*self.driver).load(Ordering::Relaxed), (*self.driver.add(1)).load(Ordering::Relaxed))
        };
        match wanted {
            DISABLE => false,
            AT_DESCRIPTOR => {
                let mut offset = event & 0x7fff;
                if new <= old {
                    old = old.wrapping_sub(self.size);
                }
                if (event >> 15 == 1) != self.done.wrap {
                    offset = offset.wrapping_sub(self.size);
                }
                need_event(offset, new, old)
            }
            _ => true,
        }
    }

    /// Says whether the driver shall kick when there is something.
    pub fn set_kicks(&mut self, wanted: bool) {
        // SAFETY: as in `publish`.
        unsafe { (*self.device.add(1)).store(if wanted { ENABLE } else { DISABLE }, Ordering::Relaxed) };
        fence(Ordering::SeqCst);
    }
}
