//! The sending end of a queue.

use std::iter;
use std::ptr;
use std::sync::atomic::{Ordering, fence};

use crate::Fault;
use crate::ring::{Descriptor, Ring, Side, locate};
use crate::signal::Signal;

/// How far ahead of the slot that is written buffers are brought towards the CPU.
const AHEAD: u16 = 4;

/// Sends frames: [`refresh`](Self::refresh), [`put`](Self::put), [`publish`](Self::publish).
#[derive(Debug)]
pub struct Sender {
    ring: Ring,
    side: Side,
    /// The next slot to fill.
    next: u16,
    /// Slots from there on that are free.
    free: u16,
    /// The peer was told of slots before this one.
    told: u16,
    signal: Signal,
}

impl Sender {
    pub(crate) fn new(ring: Ring, side: Side, signal: Signal) -> Self {
        let next = match side {
            Side::Server => ring.tail().load(Ordering::Relaxed),
            Side::Client { .. } => 0,
        };
        Self { ring, side, next, free: 0, told: next, signal }
    }

    /// Looks how many slots are free.
    ///
    /// # Errors
    /// The peer's index cannot be.
    #[inline]
    pub fn refresh(&mut self) -> Result<usize, Fault> {
        let free = match self.side {
            Side::Server => self.ring.head().load(Ordering::Acquire).wrapping_sub(self.next),
            Side::Client { .. } => {
                let used = self.next.wrapping_sub(self.ring.tail().load(Ordering::Acquire));
                self.ring.slots().checked_sub(used).ok_or(Fault::Jump)?
            }
        };
        if free > self.ring.slots() {
            return Err(Fault::Jump);
        }
        self.free = free;
        Ok(usize::from(free))
    }

    /// Whether every slot was free at the last look.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.free == self.ring.slots()
    }

    /// The buffer of a slot, and where it is.
    #[inline]
    fn buffer(&self, slot: u16) -> Result<(Descriptor, *mut u8), Fault> {
        let buffer = match self.side {
            Side::Server => self.ring.read(slot),
            Side::Client { first, size } => Side::buffer(first, size, slot, self.ring.slots()),
        };
        if buffer.len == 0 {
            return Err(Fault::Descriptor);
        }
        Ok((buffer, locate(self.ring.memories(), buffer)?))
    }

    /// Puts a frame into free slots; whether there were enough.
    ///
    /// # Errors
    /// The peer's buffers cannot be.
    #[inline]
    pub fn put(&mut self, frame: &[u8]) -> Result<bool, Fault> {
        if self.free == 0 {
            return Ok(false);
        }
        if self.free > AHEAD
            && let Ok((_, at)) = self.buffer(self.next.wrapping_add(AHEAD))
        {
            paceline_sys::cpu::prefetch_write_at(at);
        }
        let (buffer, at) = self.buffer(self.next)?;
        if frame.len() > buffer.len as usize {
            return self.put_pieces(iter::once(frame));
        }
        // SAFETY: `buffer` checked that so many bytes are mapped, and the ring keeps them so. The peer may touch them
        // meanwhile, which is why no reference to them is made. `frame` is ours.
        unsafe { ptr::copy_nonoverlapping(frame.as_ptr(), at, frame.len()) };
        self.ring.write(self.next, Descriptor { more: false, len: frame.len() as u32, ..buffer });
        self.next = self.next.wrapping_add(1);
        self.free -= 1;
        Ok(true)
    }

    /// Puts a frame that is in pieces into free slots, as many as it takes; whether there were enough.
    ///
    /// # Errors
    /// The peer's buffers cannot be.
    pub fn put_pieces<'a>(&mut self, pieces: impl Iterator<Item = &'a [u8]>) -> Result<bool, Fault> {
        if self.free == 0 {
            return Ok(false);
        }
        let (mut slot, mut used) = (self.next, 1);
        let (mut buffer, mut at) = self.buffer(slot)?;
        let mut filled = 0;
        for mut piece in pieces {
            while !piece.is_empty() {
                if filled == buffer.len as usize {
                    if used == self.free {
                        return Ok(false);
                    }
                    self.ring.write(slot, Descriptor { more: true, ..buffer });
                    (slot, used, filled) = (slot.wrapping_add(1), used + 1, 0);
                    (buffer, at) = self.buffer(slot)?;
                }
                let (now, later) = piece.split_at(piece.len().min(buffer.len as usize - filled));
                // SAFETY: as in `put`: `filled + now.len()` is at most the buffer's length.
                unsafe { ptr::copy_nonoverlapping(now.as_ptr(), at.add(filled), now.len()) };
                filled += now.len();
                piece = later;
            }
        }
        self.ring.write(slot, Descriptor { more: false, len: filled as u32, ..buffer });
        self.next = self.next.wrapping_add(used);
        self.free -= used;
        Ok(true)
    }

    /// Tells the peer of what was put, and wakes it if it sleeps.
    #[inline]
    pub fn publish(&mut self) {
        if self.told == self.next {
            return;
        }
        self.told = self.next;
        match self.side {
            Side::Server => self.ring.tail().store(self.next, Ordering::Release),
            Side::Client { .. } => self.ring.head().store(self.next, Ordering::Release),
        }
        // The peer says that it sleeps, and then looks at the index once more.
        fence(Ordering::SeqCst);
        if self.ring.wants_interrupts() {
            // It was an eventfd when the connection was made, and is one for ever.
            let _ = self.signal.raise();
        }
    }
}
