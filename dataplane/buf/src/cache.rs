//! A worker's own stock of free chunks: allocation without a shared cache line.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use crate::chunk::Link;
use crate::packet::Packet;
use crate::pool::{BATCH, Batch, CacheCounters, Pool};
use crate::vector::Vector;

/// Most chunks a cache keeps before it gives some back: four vectors, so that a worker whose packets come and go in
/// vectors never reaches for the pool.
const KEEP: usize = 1024;
/// No cache keeps more than this part of its pool, so that idle workers do not starve the busy ones.
const SHARE: usize = 16;
/// Bytes that a packet and its replica have each for themselves, as far as the first segment has so many; what lies behind is
/// shared. 256 bytes copy in less time than a chunk's header line takes to load, and hold all headers that nodes read: those of
/// a tunnel over IPv6 (70) and of a TCP segment with options over IPv6 inside (114) leave room for extensions and tags.
const HEAD: usize = 256;

/// Takes chunks from a [`Pool`] and gives them back, for one thread.
pub struct Cache {
    pool: Arc<Pool>,
    free: Vec<u32>,
    keep: usize,
    counters: Arc<CacheCounters>,
}

impl Cache {
    pub(crate) fn new(pool: Arc<Pool>, counters: Arc<CacheCounters>) -> Cache {
        let keep = (pool.count() / SHARE).clamp(2 * BATCH, KEEP);
        Cache { pool, free: Vec::with_capacity(keep + crate::VECTOR_SIZE + BATCH), keep, counters }
    }

    /// The pool behind this cache.
    pub fn pool(&self) -> &Arc<Pool> {
        &self.pool
    }

    /// One empty packet with [`DATA_OFFSET`](crate::DATA_OFFSET) as its start, or `None` (counted) when the pool is
    /// exhausted.
    #[inline]
    pub fn alloc(&mut self) -> Option<Packet> {
        if self.free.is_empty() && !self.refill(1) {
            self.counters.exhausted.store(self.counters.exhausted.load(Relaxed) + 1, Relaxed);
            return None;
        }
        let index = self.free.pop()?;
        self.publish();
        // SAFETY: the index came from the free list, so nobody else holds the chunk.
        Some(unsafe { Packet::fresh(self.pool.chunk(index), self.pool.chunk_size()) })
    }

    /// Appends up to `want` empty packets to `out`, as many as there are chunks and places. Returns how many.
    #[inline]
    pub fn alloc_into(&mut self, out: &mut Vector, want: usize) -> usize {
        let want = want.min(out.room());
        if self.free.len() < want && !self.refill(want) {
            let missing = (want - self.free.len()) as u64;
            self.counters.exhausted.store(self.counters.exhausted.load(Relaxed) + missing, Relaxed);
        }
        let got = want.min(self.free.len());
        let size = self.pool.chunk_size();
        for index in self.free.drain(self.free.len() - got..) {
            // SAFETY: as in `alloc`.
            out.push_unchecked(unsafe { Packet::fresh(self.pool.chunk(index), size) });
        }
        self.publish();
        got
    }

    /// Takes a packet's chunks back.
    #[inline]
    pub fn free(&mut self, packet: Packet) {
        let chained = packet.is_chained();
        let chunk = packet.into_chunk();
        self.free.push(self.pool.index(chunk));
        if chained {
            // SAFETY: the packet was held, so its header is ours, and the chained flag says that `next` is valid.
            let next = unsafe { (*chunk.header()).next.take() };
            self.free_tail(next);
        }
        self.trim();
    }

    /// Takes all packets of a vector back; it is empty afterwards.
    #[inline]
    pub fn free_all(&mut self, vector: &mut Vector) {
        let mut chained = false;
        for packet in vector.as_slice() {
            chained |= packet.is_chained();
        }
        if chained {
            vector.drain(|packet| self.free(packet));
        } else {
            let pool = &self.pool;
            self.free.extend(vector.take_all().iter().map(|packet| pool.index(packet.chunk())));
            self.trim();
        }
    }

    /// A second packet with the same content and metadata, or `None` (counted) when the pool is exhausted.
    ///
    /// Up to 256 bytes are copied, so that both packets can rewrite their headers; what lies behind is shared by
    /// reference and read-only from then on. The original may be cut into a head and a shared tail for that.
    ///
    /// # Panics
    /// If the packet belongs to another pool, whose chunks may be longer than those that the copy is made in.
    pub fn replicate(&mut self, packet: &mut Packet) -> Option<Packet> {
        let _ = self.pool.index(packet.chunk());
        if packet.len() > HEAD {
            self.split_head(packet)?;
        }
        let mut copy = self.alloc()?;
        copy.copy_head(packet);
        if packet.is_chained() {
            // SAFETY: both headers belong to packets that are held here; the original's `next` is valid by its flag.
            unsafe {
                let (from, to) = (packet.chunk().header(), copy.chunk().header());
                let next = (*from).next;
                (*to).next = next;
                (*to).total = (*from).total;
                if let Some(link) = next {
                    // The tail's header is reached by shared reference: another worker may hold the other link to it.
                    (*link.chunk.header()).refs.fetch_add(1, Relaxed);
                }
            }
        }
        Some(copy)
    }

    /// Moves the first bytes of a packet to a chunk of their own, the rest becoming its tail.
    fn split_head(&mut self, packet: &mut Packet) -> Option<()> {
        let mut head = self.alloc()?;
        head.copy_front(packet, HEAD);
        packet.trim_front(HEAD);
        let tail = std::mem::replace(packet, head);
        packet.push_tail(tail);
        Some(())
    }

    fn free_tail(&mut self, mut next: Option<Link>) {
        while let Some(link) = next {
            let header = link.chunk.header();
            // SAFETY: our link counts as one reference, so the chunk is held; the counter is atomic.
            let last = unsafe { (*header).refs.fetch_sub(1, std::sync::atomic::Ordering::AcqRel) } == 1;
            if !last {
                return;
            }
            // SAFETY: ours was the last link, so nobody else reads this header any more.
            next = unsafe { (*header).next.take() };
            self.free.push(self.pool.index(link.chunk));
        }
    }

    #[cold]
    fn refill(&mut self, want: usize) -> bool {
        while self.free.len() < want.max(BATCH) {
            let Some(batch) = self.pool.take() else { break };
            self.free.extend_from_slice(&batch.indices[..batch.len as usize]);
        }
        self.publish();
        self.free.len() >= want
    }

    #[inline]
    fn trim(&mut self) {
        if self.free.len() > self.keep {
            self.give_back(self.keep / 2);
        }
        self.publish();
    }

    #[cold]
    fn give_back(&mut self, keep: usize) {
        while self.free.len() > keep {
            let at = self.free.len() - (self.free.len() - keep).min(BATCH);
            let mut batch = Batch { len: 0, indices: [0; BATCH] };
            for index in self.free.drain(at..) {
                batch.indices[batch.len as usize] = index;
                batch.len += 1;
            }
            self.pool.put(batch);
        }
    }

    #[inline]
    fn publish(&self) {
        self.counters.cached.store(self.free.len() as u32, Relaxed);
    }
}

impl Drop for Cache {
    fn drop(&mut self) {
        self.give_back(0);
        self.pool.bury(&self.counters);
    }
}
