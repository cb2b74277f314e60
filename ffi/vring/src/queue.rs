//! One queue: chains of buffers are taken, read or written, and given back.

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use crate::descriptor::Walk;
use crate::fault::Fault;
use crate::memory::GuestMemory;
use crate::packed::Packed;
use crate::signal::Signal;
use crate::split::Split;

/// Most buffers that may be taken at a time. Linux and DPDK use some dozen for the largest packet.
pub const MAX_PIECES: usize = 1024;
/// Longest ring (virtio 1.2 §2.7, §2.8.10).
pub const MAX_SIZE: u16 = 32_768;

/// What the device does to the buffers of a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Reads them: the queue that the guest sends by.
    Read,
    /// Writes them: the queue that the guest receives by.
    Write,
}

/// How a queue is set up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueSpec {
    /// What is done to its buffers.
    pub access: Access,
    /// Whether its ring is packed (`VIRTIO_F_RING_PACKED`).
    pub packed: bool,
    /// Entries, 1 to 32 768; a power of two unless packed.
    pub size: u16,
    /// Address, in the process that runs the guest, of the descriptors.
    pub descriptors: u64,
    /// Address of the available ring, or of the driver's event structure.
    pub driver: u64,
    /// Address of the used ring, or of the device's event structure.
    pub device: u64,
    /// Where it goes on: what [`Queue::base`] said. A split ring knows that itself.
    pub base: u32,
    /// Whether signals are asked for by index (`VIRTIO_F_EVENT_IDX`).
    pub event_index: bool,
    /// Whether chains may lie in tables of their own (`VIRTIO_F_INDIRECT_DESC`).
    pub indirect: bool,
}

/// Why a queue cannot be set up.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QueueError {
    /// A size that no ring has.
    #[error("the ring has {0} entries: must be between 1 and {MAX_SIZE}, and a power of two unless packed")]
    Size(u16),
    /// A part of the ring is not in the memory, or not aligned.
    #[error("the {what} at {address:#x} is not whole in the guest's memory, or not aligned")]
    Outside {
        /// Which part.
        what: &'static str,
        /// Its address.
        address: u64,
    },
    /// It would go on behind its end.
    #[error("the ring goes on at {base}: must be below its size {size}")]
    Base {
        /// Where.
        base: u16,
        /// Its size.
        size: u16,
    },
}

/// A part of a buffer, where it is mapped here.
#[derive(Clone, Copy)]
pub(crate) struct Piece {
    pub at: *mut u8,
    pub len: usize,
}

/// A chain that was taken.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Taken {
    /// As the driver knows it.
    pub id: u16,
    /// Descriptors of the ring that it takes in a packed one, else 1.
    pub count: u16,
    /// Bytes of its buffers.
    pub room: usize,
}

enum Ring {
    Split(Split),
    Packed(Packed),
}

/// One queue, for one thread.
pub struct Queue {
    ring: Ring,
    memory: Arc<GuestMemory>,
    hint: usize,
    access: Access,
    indirect: bool,
    /// Buffers of the chains that are taken now.
    pieces: Vec<Piece>,
    taken: Vec<Taken>,
    room: usize,
    /// The piece that is read or written next, and how much of it is done.
    piece: usize,
    offset: usize,
    call: Option<Signal>,
    kick: Option<Signal>,
}

// SAFETY: the pointers lead into `memory`, which is `Send` and kept by the queue; there is one owner.
unsafe impl Send for Queue {}

impl std::fmt::Debug for Queue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Queue")
            .field("access", &self.access)
            .field("base", &self.base())
            .finish_non_exhaustive()
    }
}

impl Queue {
    /// Sets a queue up. `call` is raised when the driver has something to take back, `kick` when there is something for us.
    ///
    /// # Errors
    /// See [`QueueError`].
    pub fn new(
        memory: &Arc<GuestMemory>,
        spec: &QueueSpec,
        kick: Option<Signal>,
        call: Option<Signal>,
    ) -> Result<Queue, QueueError> {
        if !(1..=MAX_SIZE).contains(&spec.size) {
            return Err(QueueError::Size(spec.size));
        }
        let ring = if spec.packed {
            Ring::Packed(Packed::new(memory, spec)?)
        } else {
            Ring::Split(Split::new(memory, spec)?)
        };
        Ok(Queue {
            ring,
            memory: Arc::clone(memory),
            hint: 0,
            access: spec.access,
            indirect: spec.indirect,
            pieces: Vec::with_capacity(MAX_PIECES),
            taken: Vec::with_capacity(MAX_PIECES),
            room: 0,
            piece: 0,
            offset: 0,
            call,
            kick,
        })
    }

    /// Where the queue goes on if it is set up again, as vhost-user has it in one word.
    pub fn base(&self) -> u32 {
        match &self.ring {
            Ring::Split(ring) => ring.base(),
            Ring::Packed(ring) => ring.base(),
        }
    }

    /// What is readable after a kick.
    pub fn kick(&self) -> Option<BorrowedFd<'_>> {
        self.kick.as_ref().map(AsFd::as_fd)
    }

    /// Whether the memory is still whole.
    ///
    /// # Errors
    /// [`Fault::MemoryGone`].
    #[inline]
    pub fn check(&self) -> Result<(), Fault> {
        if self.memory.is_gone() { Err(Fault::MemoryGone) } else { Ok(()) }
    }

    /// Takes one more chain, behind those that are taken. False: none is available, or too many are taken.
    ///
    /// # Errors
    /// See [`Fault`]. The queue is of no use then.
    #[inline(always)]
    pub fn take(&mut self) -> Result<bool, Fault> {
        if self.taken.len() >= MAX_PIECES {
            return Ok(false);
        }
        let mut walk = Walk {
            memory: &self.memory,
            hint: &mut self.hint,
            pieces: &mut self.pieces,
            access: self.access,
            indirect: self.indirect,
        };
        let taken = match &mut self.ring {
            Ring::Split(ring) => ring.take(&mut walk),
            Ring::Packed(ring) => ring.take(&mut walk),
        }?;
        let Some(taken) = taken else { return Ok(false) };
        self.room += taken.room;
        self.taken.push(taken);
        Ok(true)
    }

    /// Chains that are taken.
    #[inline(always)]
    pub fn chains(&self) -> usize {
        self.taken.len()
    }

    /// Bytes in their buffers.
    #[inline(always)]
    pub fn room(&self) -> usize {
        self.room
    }

    /// Gives the taken chains back as if they had not been taken.
    #[cold]
    pub fn untake(&mut self) {
        match &mut self.ring {
            Ring::Split(ring) => ring.untake(self.taken.len() as u16),
            Ring::Packed(ring) => {
                for taken in &self.taken {
                    ring.untake(taken.count);
                }
            }
        }
        self.reset();
    }

    #[inline(always)]
    fn reset(&mut self) {
        self.pieces.clear();
        self.taken.clear();
        (self.room, self.piece, self.offset) = (0, 0, 0);
    }

    /// Copies what the guest sent, from where the last call ended. How many bytes there were.
    #[inline(always)]
    pub fn read(&mut self, into: &mut [u8]) -> usize {
        debug_assert!(self.access == Access::Read);
        // SAFETY: `copy` gives ranges of the two sides that are mapped, equally long, and not the same memory.
        self.copy(into.len(), |piece, at, len| unsafe {
            std::ptr::copy_nonoverlapping(piece, into.as_mut_ptr().add(at), len);
        })
    }

    /// Copies to the guest, from where the last call ended. How many bytes there was room for.
    #[inline(always)]
    pub fn write(&mut self, from: &[u8]) -> usize {
        debug_assert!(self.access == Access::Write);
        // SAFETY: as in `read`.
        self.copy(from.len(), |piece, at, len| unsafe {
            std::ptr::copy_nonoverlapping(from.as_ptr().add(at), piece, len);
        })
    }

    /// Calls `each` for the pieces of the next `len` bytes: where, how far from the first byte, and how many.
    #[inline(always)]
    fn copy(&mut self, len: usize, mut each: impl FnMut(*mut u8, usize, usize)) -> usize {
        let mut done = 0;
        while done < len {
            let Some(piece) = self.pieces.get(self.piece) else { break };
            let here = (piece.len - self.offset).min(len - done);
            // SAFETY: the offset is at most the length of the piece.
            each(unsafe { piece.at.add(self.offset) }, done, here);
            done += here;
            self.offset += here;
            if self.offset == piece.len {
                (self.piece, self.offset) = (self.piece + 1, 0);
            }
        }
        done
    }

    /// Gives the taken chains back, with so many bytes written to them in all. The driver sees them after [`publish`](Self::publish).
    #[inline(always)]
    pub fn give(&mut self, mut written: usize) {
        for taken in &self.taken {
            let here = written.min(taken.room);
            written -= here;
            match &mut self.ring {
                Ring::Split(ring) => ring.give(*taken, here as u32),
                Ring::Packed(ring) => ring.give(*taken, here as u32),
            }
        }
        self.reset();
    }

    /// Shows the driver what was given back, and wakes it if it wants.
    #[inline]
    pub fn publish(&mut self) {
        let wants = match &mut self.ring {
            Ring::Split(ring) => ring.publish(),
            Ring::Packed(ring) => ring.publish(),
        };
        if wants && let Some(call) = &self.call {
            call.raise();
        }
    }

    /// Says whether the driver shall kick when there is something. After it was switched on there may be something already.
    #[cold]
    pub fn set_kicks(&mut self, wanted: bool) {
        match &mut self.ring {
            Ring::Split(ring) => ring.set_kicks(wanted),
            Ring::Packed(ring) => ring.set_kicks(wanted),
        }
    }
}

/// Whether going from `old` to `new` passes an event (virtio 1.2 §2.7.10).
#[inline(always)]
pub(crate) fn need_event(event: u16, new: u16, old: u16) -> bool {
    new.wrapping_sub(event).wrapping_sub(1) < new.wrapping_sub(old)
}
