//! A descriptor, and the walk along a chain of them.

use crate::fault::Fault;
use crate::memory::GuestMemory;
use crate::queue::{Access, MAX_PIECES, Piece};

/// Flag: the chain goes on (`VRING_DESC_F_NEXT`).
pub const NEXT: u16 = 1;
/// Flag: the device writes to the buffer (`VRING_DESC_F_WRITE`).
pub const WRITE: u16 = 2;
/// Flag: the buffer is a table of descriptors (`VRING_DESC_F_INDIRECT`).
pub const INDIRECT: u16 = 4;
/// Bytes of a descriptor, in either format.
pub const LEN: usize = 16;

/// A copy of one descriptor, in the order of the split format (virtio 1.2 §2.7.5). In the packed one (§2.8.13) `flags` and `next`
/// are the other way round and `next` is the number of the buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Descriptor {
    /// The guest's address of the buffer.
    pub address: u64,
    /// Bytes of the buffer.
    pub len: u32,
    /// [`NEXT`], [`WRITE`], [`INDIRECT`], and in the packed format two more.
    pub flags: u16,
    /// The descriptor that follows; in the packed format the number of the buffer.
    pub next: u16,
}

impl Descriptor {
    /// Copies a descriptor of the split format out of the guest's memory.
    ///
    /// # Safety
    /// There are 16 bytes that are mapped, on a multiple of 8.
    #[inline(always)]
    pub(crate) unsafe fn read(at: *const u8) -> Descriptor {
        // SAFETY: the caller's promise; each word is read once, whatever the guest does meanwhile.
        let (address, rest) =
            unsafe { (at.cast::<u64>().read_volatile(), at.add(8).cast::<u64>().read_volatile()) };
        Descriptor { address, len: rest as u32, flags: (rest >> 32) as u16, next: (rest >> 48) as u16 }
    }

    /// As [`read`](Self::read), in the packed format.
    ///
    /// # Safety
    /// As there.
    #[inline(always)]
    pub(crate) unsafe fn read_packed(at: *const u8) -> Descriptor {
        // SAFETY: as promised.
        let read = unsafe { Self::read(at) };
        Descriptor { flags: read.next, next: read.flags, ..read }
    }
}

/// Where the pieces of chains are collected.
pub(crate) struct Walk<'a> {
    pub memory: &'a GuestMemory,
    pub hint: &'a mut usize,
    pub pieces: &'a mut Vec<Piece>,
    pub access: Access,
    /// Whether indirect descriptors were agreed upon.
    pub indirect: bool,
}

impl Walk<'_> {
    /// Adds a buffer. How many bytes it has.
    #[inline(always)]
    pub fn buffer(&mut self, descriptor: Descriptor) -> Result<usize, Fault> {
        if (descriptor.flags & WRITE != 0) != (self.access == Access::Write) {
            return Err(Fault::Direction);
        }
        let (mut address, len) = (descriptor.address, descriptor.len as usize);
        let mut left = len;
        while left > 0 {
            let (at, here) = self.memory.guest(self.hint, address, left).ok_or(Fault::Outside)?;
            if self.pieces.len() >= MAX_PIECES {
                return Err(Fault::ChainTooLong);
            }
            self.pieces.push(Piece { at, len: here });
            left -= here;
            address = address.wrapping_add(here as u64);
        }
        Ok(len)
    }

    /// The table of an indirect descriptor: where it is, and how many descriptors it has.
    #[cold]
    pub fn table(&mut self, descriptor: Descriptor) -> Result<(*const u8, u16), Fault> {
        let len = descriptor.len as usize;
        if !self.indirect || len == 0 || !len.is_multiple_of(LEN) || descriptor.flags & NEXT != 0 {
            return Err(Fault::Indirect);
        }
        let count = u16::try_from(len / LEN).ok().filter(|count| usize::from(*count) <= MAX_PIECES);
        let count = count.ok_or(Fault::ChainTooLong)?;
        match self.memory.guest(self.hint, descriptor.address, len) {
            Some((at, whole)) if whole == len => {
                if at.addr().is_multiple_of(8) {
                    Ok((at, count))
                } else {
                    Err(Fault::Indirect)
                }
            }
            _ => Err(Fault::Outside),
        }
    }
}
