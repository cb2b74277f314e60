//! One of a socket's four rings: single producer, single consumer, the kernel on the other side.

use std::io;
use std::marker::PhantomData;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU32, Ordering};

use memmap2::{MmapOptions, MmapRaw};

/// A frame, or with [`more`](Self::more) a piece of one: `struct xdp_desc`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(C)]
pub struct Desc {
    /// Where it begins: an offset in the UMEM.
    pub addr: u64,
    /// Its bytes.
    pub len: u32,
    /// [`CONTINUED`](Self::CONTINUED) or 0.
    pub options: u32,
}

impl Desc {
    /// Option: the next descriptor continues this frame (`XDP_PKT_CONTD`).
    pub const CONTINUED: u32 = 1;

    /// The next descriptor continues this frame.
    #[inline]
    pub fn more(&self) -> bool {
        self.options & Self::CONTINUED != 0
    }
}

/// What can lie in a ring.
///
/// # Safety
/// Any bytes are a value, as the kernel writes them.
pub unsafe trait Entry: Copy {}
// SAFETY: integers.
unsafe impl Entry for u64 {}
// SAFETY: integers without padding.
unsafe impl Entry for Desc {}

/// A mapped ring of `T`.
#[derive(Debug)]
pub struct Ring<T> {
    map: MmapRaw,
    offsets: libc::xdp_ring_offset,
    /// Entries, a power of two.
    size: u32,
    /// Our own index. The copy in shared memory is for the kernel to read, and never read back.
    ours: u32,
    /// The other side's index, as last seen.
    theirs: u32,
    entries: PhantomData<T>,
}

impl<T: Entry> Ring<T> {
    /// Maps the ring at `page_offset` of the socket; all indexes are 0 before the socket is bound.
    pub fn map(
        socket: &OwnedFd,
        page_offset: u64,
        offsets: libc::xdp_ring_offset,
        size: u32,
    ) -> io::Result<Self> {
        let len = offsets.desc as usize + size as usize * size_of::<T>();
        let fits = |offset: u64, bytes: usize, align: u64| {
            offset as usize <= len - bytes && offset.is_multiple_of(align)
        };
        let words = [offsets.producer, offsets.consumer, offsets.flags];
        if !words.into_iter().all(|word| fits(word, 4, 4))
            || !offsets.desc.is_multiple_of(align_of::<T>() as u64)
        {
            return Err(io::Error::other("ring offsets out of range"));
        }
        let map = MmapOptions::new().offset(page_offset).len(len).populate().map_raw(socket)?;
        Ok(Self { map, offsets, size, ours: 0, theirs: 0, entries: PhantomData })
    }

    /// As producer: hands over as many of `items` as there is room for; how many.
    #[inline]
    pub fn produce(&mut self, items: &[T]) -> usize {
        let mut room = self.size.saturating_sub(self.ours.wrapping_sub(self.theirs)) as usize;
        if room < items.len() {
            self.theirs = self.word(self.offsets.consumer).load(Ordering::Acquire);
            room = self.size.saturating_sub(self.ours.wrapping_sub(self.theirs)) as usize;
        }
        let count = items.len().min(room);
        for (at, item) in items[..count].iter().enumerate() {
            // SAFETY: `entry` is within the mapping, and the kernel does not read it before the index below covers it.
            unsafe { self.entry(at as u32).write_volatile(*item) };
        }
        if count > 0 {
            self.ours = self.ours.wrapping_add(count as u32);
            self.word(self.offsets.producer).store(self.ours, Ordering::Release);
        }
        count
    }

    /// As consumer: passes entries to `take` until that says to stop, `most` were taken or the ring is empty; how many were
    /// taken. `Err` with the kernel's index when that is further than the ring is long.
    #[inline]
    pub fn consume(&mut self, most: usize, mut take: impl FnMut(usize, T) -> bool) -> Result<usize, u32> {
        if self.theirs == self.ours {
            self.theirs = self.word(self.offsets.producer).load(Ordering::Acquire);
        }
        let ready = self.theirs.wrapping_sub(self.ours);
        if ready > self.size {
            return Err(self.theirs);
        }
        let most = most.min(ready as usize);
        let mut taken = 0;
        while taken < most {
            // SAFETY: `entry` is within the mapping; the kernel wrote it before the index that covers it, and any bytes are
            // a value.
            let item = unsafe { self.entry(taken as u32).read_volatile() };
            if !take(taken, item) {
                break;
            }
            taken += 1;
        }
        // Not for nothing: an idle port that polls would keep the line from the kernel.
        if taken > 0 {
            self.ours = self.ours.wrapping_add(taken as u32);
            self.word(self.offsets.consumer).store(self.ours, Ordering::Release);
        }
        Ok(taken)
    }

    /// The kernel sleeps on this ring and wants to be woken (`XDP_RING_NEED_WAKEUP`).
    #[inline]
    pub fn needs_wakeup(&self) -> bool {
        self.word(self.offsets.flags).load(Ordering::Relaxed) & libc::XDP_RING_NEED_WAKEUP != 0
    }

    #[inline]
    #[allow(clippy::cast_ptr_alignment)] // checked in `map`
    fn word(&self, offset: u64) -> &AtomicU32 {
        // SAFETY: `map` checked that the word lies within the mapping, aligned; it is shared with the kernel, and only ever
        // used as an atomic.
        unsafe { &*self.map.as_mut_ptr().add(offset as usize).cast::<AtomicU32>() }
    }

    /// The entry `ahead` of our index, always within the mapping.
    #[inline]
    #[allow(clippy::cast_ptr_alignment)] // checked in `map`
    fn entry(&self, ahead: u32) -> *mut T {
        let index = self.ours.wrapping_add(ahead) & (self.size - 1);
        let offset = self.offsets.desc as usize + index as usize * size_of::<T>();
        // SAFETY: the mapping has `size` entries from `desc` on, and `index` is below `size`.
        unsafe { self.map.as_mut_ptr().add(offset).cast::<T>() }
    }
}
