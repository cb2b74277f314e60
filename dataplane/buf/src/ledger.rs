//! Chunks lent to a device that names them by offset: AF_XDP rings, later DPDK and vhost.

use std::sync::Arc;

use crate::packet::Packet;
use crate::pool::Pool;

/// Remembers which chunks of a pool a device holds, so that an offset which comes back becomes a packet only if it was
/// lent before. A device that answers with a wrong or repeated offset gets nothing.
pub struct Ledger {
    pool: Arc<Pool>,
    lent: Vec<u64>,
    count: usize,
}

impl Ledger {
    /// An empty ledger on `pool`.
    pub fn new(pool: &Arc<Pool>) -> Ledger {
        Ledger { pool: Arc::clone(pool), lent: vec![0; pool.count().div_ceil(64)], count: 0 }
    }

    /// Chunks lent now.
    pub fn lent(&self) -> usize {
        self.count
    }

    /// Lends a packet of one segment; returns the offset of its first data byte in the pool's region.
    ///
    /// # Errors
    /// The packet itself if it has tails: a device would not see them.
    #[inline]
    pub fn lend(&mut self, packet: Packet) -> Result<u64, Packet> {
        if packet.is_chained() {
            return Err(packet);
        }
        let offset = packet.offset();
        let index = self.pool.index(packet.into_chunk());
        self.lent[index as usize / 64] |= 1 << (index % 64);
        self.count += 1;
        Ok(index as u64 * self.pool.chunk_size() as u64 + offset as u64)
    }

    /// Takes back the chunk that `offset` lies in, as an empty packet; `None` if it is not lent.
    #[inline]
    pub fn reclaim(&mut self, offset: u64) -> Option<Packet> {
        let index = offset / self.pool.chunk_size() as u64;
        let word = self.lent.get_mut(usize::try_from(index / 64).ok()?)?;
        let bit = 1_u64 << (index % 64);
        if *word & bit == 0 {
            return None;
        }
        *word &= !bit;
        self.count -= 1;
        // SAFETY: the bit was set, so the chunk was lent here and has no other holder.
        Some(unsafe { Packet::fresh(self.pool.chunk(index as u32), self.pool.chunk_size()) })
    }

    /// Takes back a chunk into which the device wrote `len` bytes at `offset`: a packet of those bytes. If they do not lie
    /// in the chunk's data room the packet is empty, so that the caller can count the error and free it.
    #[inline]
    pub fn receive(&mut self, offset: u64, len: u32) -> Option<Packet> {
        let mut packet = self.reclaim(offset)?;
        packet.place((offset % self.pool.chunk_size() as u64) as usize, len as usize);
        Some(packet)
    }

    /// Takes everything back, when the device is gone for good.
    pub fn reclaim_all(&mut self, mut each: impl FnMut(Packet)) {
        let size = self.pool.chunk_size() as u64;
        for index in 0..self.pool.count() as u64 {
            if let Some(packet) = self.reclaim(index * size) {
                each(packet);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_lent_comes_back_and_once() {
        let pool = Pool::small(128);
        let (mut cache, mut ledger) = (pool.cache(), Ledger::new(&pool));
        let address = ledger.lend(cache.alloc().expect("a chunk")).expect("one segment");
        assert_eq!(ledger.lent(), 1);
        assert!(ledger.reclaim(address ^ 4096).is_none(), "a neighbour was not lent");
        assert!(ledger.reclaim(u64::MAX).is_none(), "an offset outside the region");
        let packet = ledger.receive(address + 5, 60).expect("it was lent");
        assert_eq!(packet.len(), 60);
        assert!(ledger.reclaim(address).is_none(), "twice");
        cache.free(packet);

        for hostile in [(0, 60), (200, 4096), (4095, 2)] {
            let base = ledger.lend(cache.alloc().expect("a chunk")).expect("one segment") & !4095;
            let packet = ledger.receive(base + hostile.0, hostile.1).expect("it was lent");
            assert_eq!(packet.len(), 0, "{hostile:?} lies outside the data room");
            cache.free(packet);
        }
        for _ in 0..10 {
            ledger.lend(cache.alloc().expect("a chunk")).expect("one segment");
        }
        ledger.reclaim_all(|p| cache.free(p));
        drop(cache);
        assert_eq!(pool.stats().free, 128);
    }
}
