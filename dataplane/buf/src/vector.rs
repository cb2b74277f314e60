//! A vector: up to 256 packets side by side.

use std::mem::MaybeUninit;

use crate::packet::Packet;

/// Packets in a full vector. VPP's frame size: large enough that what a node costs per call is nothing per packet, small
/// enough that the handles (8 KiB) and the packets' header lines stay in the first-level cache.
pub const VECTOR_SIZE: usize = 256;

/// Up to [`VECTOR_SIZE`] packets. Swapping two vectors swaps two pointers.
///
/// Dropping a vector that is not empty leaks its packets (the pool's leak counter shows it): give them to
/// [`Cache::free_all`](crate::Cache::free_all).
pub struct Vector {
    slots: Box<[MaybeUninit<Packet>; VECTOR_SIZE]>,
    len: usize,
}

impl Default for Vector {
    fn default() -> Self {
        Vector::new()
    }
}

impl Vector {
    /// An empty vector.
    pub fn new() -> Vector {
        Vector { slots: Box::new([const { MaybeUninit::uninit() }; VECTOR_SIZE]), len: 0 }
    }

    /// Packets in it.
    #[inline(always)]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    #[inline(always)]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Places left.
    #[inline(always)]
    pub fn room(&self) -> usize {
        VECTOR_SIZE - self.len
    }

    /// Appends a packet.
    ///
    /// # Errors
    /// The packet itself, if the vector is full.
    #[inline(always)]
    pub fn push(&mut self, packet: Packet) -> Result<(), Packet> {
        if self.len == VECTOR_SIZE {
            return Err(packet);
        }
        self.push_unchecked(packet);
        Ok(())
    }

    /// Appends where the caller knows that there is room.
    ///
    /// # Panics
    /// If there is none after all.
    #[inline(always)]
    pub(crate) fn push_unchecked(&mut self, packet: Packet) {
        self.slots[self.len].write(packet);
        self.len += 1;
    }

    /// Takes the last packet.
    #[inline]
    pub fn pop(&mut self) -> Option<Packet> {
        self.len = self.len.checked_sub(1)?;
        // SAFETY: slots below the old length are initialised, and the length was lowered before the read.
        Some(unsafe { self.slots[self.len].assume_init_read() })
    }

    /// The packets.
    #[inline(always)]
    pub fn as_slice(&self) -> &[Packet] {
        let len = self.len.min(VECTOR_SIZE);
        // SAFETY: slots below the length are initialised; `MaybeUninit<Packet>` has the layout of `Packet`.
        unsafe { std::slice::from_raw_parts(self.slots.as_ptr().cast::<Packet>(), len) }
    }

    /// The packets, to be changed.
    #[inline(always)]
    pub fn as_mut_slice(&mut self) -> &mut [Packet] {
        let len = self.len.min(VECTOR_SIZE);
        // SAFETY: as in `as_slice`; the borrow is exclusive.
        unsafe { std::slice::from_raw_parts_mut(self.slots.as_mut_ptr().cast::<Packet>(), len) }
    }

    /// Moves every packet out, in order.
    #[inline]
    pub fn drain(&mut self, mut each: impl FnMut(Packet)) {
        // Lowered first: if `each` panics the rest is leaked, never given out twice.
        let len = std::mem::take(&mut self.len).min(VECTOR_SIZE);
        for slot in &self.slots[..len] {
            // SAFETY: the slot was initialised and, the length being 0 now, is read this once.
            each(unsafe { slot.assume_init_read() });
        }
    }

    /// Moves packets from the front of `other` to the end of this one until one of them is full or empty.
    pub fn append(&mut self, other: &mut Vector) {
        let count = self.room().min(other.len);
        // SAFETY: the first `count` slots of `other` are initialised and there is room for them here; the two vectors
        // are different objects, so the ranges cannot overlap. What stays in `other` is moved to its front.
        unsafe {
            let (from, to) = (other.slots.as_mut_ptr(), self.slots.as_mut_ptr().add(self.len));
            std::ptr::copy_nonoverlapping(from, to, count);
            std::ptr::copy(from.add(count), from, other.len - count);
        }
        self.len += count;
        other.len -= count;
    }

    /// Gives all packets up to the caller, who takes their chunks over.
    #[inline(always)]
    pub(crate) fn take_all(&mut self) -> &[Packet] {
        // Lowered first: if the caller panics the rest is leaked, never given out twice.
        let len = std::mem::take(&mut self.len).min(VECTOR_SIZE);
        // SAFETY: slots below the old length are initialised.
        unsafe { std::slice::from_raw_parts(self.slots.as_ptr().cast::<Packet>(), len) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Pool;

    #[test]
    fn push_append_drain_keep_order_and_count() {
        let pool = Pool::small(512);
        let mut cache = pool.cache();
        let (mut a, mut b) = (Vector::new(), Vector::new());
        assert_eq!(cache.alloc_into(&mut a, 200), 200);
        assert_eq!(cache.alloc_into(&mut b, 300), 256);
        for (i, p) in a.as_mut_slice().iter_mut().enumerate() {
            p.rx = i as u16;
        }
        for (i, p) in b.as_mut_slice().iter_mut().enumerate() {
            p.rx = 1000 + i as u16;
        }
        a.append(&mut b);
        assert_eq!((a.len(), b.len()), (256, 200));
        assert_eq!((a.as_slice()[200].rx, b.as_slice()[0].rx), (1000, 1056));
        let spare = cache.alloc().expect("a chunk");
        let spare = a.push(spare).expect_err("the vector is full");
        cache.free(spare);
        let mut seen = Vec::new();
        b.drain(|p| {
            seen.push(p.rx);
            cache.free(p);
        });
        assert_eq!(seen, (1056..1256).collect::<Vec<u16>>());
        cache.free_all(&mut a);
        assert!(a.is_empty() && a.pop().is_none());
        drop(cache);
        assert_eq!(pool.stats().free, 512);
    }
}
