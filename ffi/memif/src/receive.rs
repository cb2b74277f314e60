//! The receiving end of a queue.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::ptr;
use std::sync::atomic::Ordering;

use paceline_sys::cpu::prefetch_read_at;

use crate::Fault;
use crate::ring::{Ring, Side, locate};

/// Most pieces that are looked at together, and that a frame may have.
pub const PIECES: usize = 256;

/// A piece of a frame: what one descriptor was about when it was looked at.
#[derive(Debug)]
pub struct Piece {
    at: *const u8,
    len: u32,
    more: bool,
}

impl Piece {
    /// Its bytes.
    #[inline]
    pub fn len(&self) -> usize {
        self.len as usize
    }

    /// Whether it has none.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The frame goes on in the next piece.
    #[inline]
    pub fn more(&self) -> bool {
        self.more
    }
}

/// Receives frames: [`look`](Self::look) at what is there, [`copy`](Self::copy) it, [`take`](Self::take) it.
#[derive(Debug)]
pub struct Receiver {
    ring: Ring,
    side: Side,
    /// The next slot to take.
    next: u16,
    pieces: Box<[Piece; PIECES]>,
    /// Pieces of these that are valid.
    count: usize,
    wake: OwnedFd,
    polls: bool,
}

// SAFETY: pieces point into memory that the ring keeps mapped; they are read through `copy` alone.
unsafe impl Send for Receiver {}

impl Receiver {
    pub(crate) fn new(ring: Ring, side: Side, wake: OwnedFd) -> Self {
        let pieces = Box::new([const { Piece { at: ptr::null(), len: 0, more: false } }; PIECES]);
        let mut new = Self { ring, side, next: 0, pieces, count: 0, wake, polls: false };
        match new.side {
            Side::Server => new.next = new.ring.tail().load(Ordering::Relaxed),
            // All buffers are the peer's to fill.
            Side::Client { .. } => new.refill(new.ring.slots()),
        }
        new.ring.mask_interrupts(false);
        new
    }

    /// Gives the buffers of `count` slots back, from `next` on.
    #[inline]
    fn refill(&mut self, count: u16) {
        let slots = self.ring.slots();
        if let Side::Client { first, size } = self.side {
            for slot in 0..count {
                let slot = self.next.wrapping_add(slot);
                self.ring.write(slot, Side::buffer(first, size, slot, slots));
            }
        }
    }

    /// Tells the client's receiving ring from its start on that all buffers are there.
    pub(crate) fn open(&mut self) {
        if matches!(self.side, Side::Client { .. }) {
            self.ring.head().store(self.ring.slots(), Ordering::Release);
        }
    }

    /// Slots that the peer has filled.
    #[inline]
    fn ready(&self) -> Result<u16, Fault> {
        let limit = match self.side {
            Side::Server => self.ring.head(),
            Side::Client { .. } => self.ring.tail(),
        };
        let ready = limit.load(Ordering::Acquire).wrapping_sub(self.next);
        if ready <= self.ring.slots() { Ok(ready) } else { Err(Fault::Jump) }
    }

    /// Whether something is there.
    #[inline]
    pub fn is_ready(&self) -> bool {
        self.ready() != Ok(0)
    }

    /// What is there, up to [`PIECES`]; the last frame may not be whole. Nothing is taken.
    ///
    /// # Errors
    /// What the peer wrote cannot be.
    #[inline]
    pub fn look(&mut self) -> Result<&[Piece], Fault> {
        self.count = 0;
        let ready = self.ready()?;
        let count = usize::from(ready).min(PIECES);
        let mut whole = count == 0;
        for at in 0..count {
            let slot = self.next.wrapping_add(at as u16);
            let mut descriptor = self.ring.read(slot);
            if let Side::Client { first, size } = self.side {
                if descriptor.len > size {
                    return Err(Fault::Length);
                }
                let buffer = Side::buffer(first, size, slot, self.ring.slots());
                (descriptor.region, descriptor.offset) = (buffer.region, buffer.offset);
            }
            let start = locate(self.ring.memories(), descriptor)?.cast_const();
            prefetch_read_at(start);
            whole |= !descriptor.more;
            self.pieces[at] = Piece { at: start, len: descriptor.len, more: descriptor.more };
        }
        if !whole && (count == PIECES || ready == self.ring.slots()) {
            return Err(Fault::Chain);
        }
        self.count = count;
        Ok(&self.pieces[..count])
    }

    /// A piece that was looked at.
    #[inline]
    pub fn piece(&self, index: usize) -> &Piece {
        &self.pieces[..self.count][index]
    }

    /// Copies bytes of a piece, from `skip` on.
    ///
    /// # Panics
    /// The piece was not looked at, or has fewer bytes.
    #[inline]
    pub fn copy(&self, index: usize, skip: usize, out: &mut [u8]) {
        let piece = self.piece(index);
        assert!(skip.checked_add(out.len()).is_some_and(|end| end <= piece.len()));
        // SAFETY: `look` checked that the piece's bytes are mapped, and the ring keeps them so. The peer may write them
        // meanwhile, which is why no reference to them is made: any bytes are as good as others. `out` is ours.
        unsafe { ptr::copy_nonoverlapping(piece.at.add(skip), out.as_mut_ptr(), out.len()) };
    }

    /// Takes the first `count` pieces that were looked at: the peer may use their slots again.
    #[inline]
    pub fn take(&mut self, count: usize) {
        let count = count.min(std::mem::take(&mut self.count)) as u16;
        if count == 0 {
            return;
        }
        match self.side {
            Side::Server => {
                // DPDK sets this flag where a frame goes on, and forgets to clear it when it does not (`eth_memif_tx`).
                for at in (0..count).filter(|at| self.pieces[usize::from(*at)].more) {
                    let slot = self.next.wrapping_add(at);
                    self.ring.write(slot, crate::ring::Descriptor { more: false, ..self.ring.read(slot) });
                }
                self.next = self.next.wrapping_add(count);
                self.ring.tail().store(self.next, Ordering::Release);
            }
            Side::Client { .. } => {
                self.refill(count);
                self.next = self.next.wrapping_add(count);
                self.ring.head().store(self.next.wrapping_add(self.ring.slots()), Ordering::Release);
            }
        }
    }

    /// Says whether we poll, and interrupts would only cost the peer time. After this was turned off, look once more.
    #[inline]
    pub fn set_polls(&mut self, polls: bool) {
        if self.polls != polls {
            self.polls = polls;
            self.ring.mask_interrupts(polls);
        }
    }

    /// Whether we poll.
    #[inline]
    pub fn polls(&self) -> bool {
        self.polls
    }
}

/// What the peer raises when frames come and we do not poll. It is never read: the peer could make that block. Wait for edges.
impl AsFd for Receiver {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }
}
