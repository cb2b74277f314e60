//! The pool: one region of memory, cut into chunks, and the queue of those that nobody's cache holds.

use std::ptr::NonNull;
use std::sync::atomic::{AtomicI64, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use crossbeam::queue::ArrayQueue;
use paceline_sys::region::{HugePages, Region, RegionError};

use crate::cache::Cache;
use crate::chunk::Chunk;

/// Chunks move between the pool and the caches in batches of up to this many: one compare-and-swap for all.
pub(crate) const BATCH: usize = 31;

/// Sizes of a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolConfig {
    /// Number of chunks, 64 to 4 194 304.
    pub count: usize,
    /// Bytes of a chunk: 2048 or 4096, as an aligned AF_XDP UMEM demands.
    pub size: usize,
    /// Whether the memory must, should or should not be huge pages.
    pub huge_pages: HugePages,
}

impl Default for PoolConfig {
    fn default() -> Self {
        PoolConfig { count: 16384, size: 4096, huge_pages: HugePages::Prefer }
    }
}

/// Why a pool could not be made.
#[derive(Debug, thiserror::Error)]
pub enum PoolError {
    /// The count is out of range.
    #[error("buffers.count is {0}: it must lie between 64 and 4194304")]
    Count(usize),
    /// The size is not one that works.
    #[error("buffers.size is {0}: it must be 2048 or 4096 bytes")]
    Size(usize),
    /// The memory could not be had.
    #[error("no memory for {bytes} bytes of packet buffers: {source}")]
    Region {
        /// Bytes asked for.
        bytes: usize,
        /// What the kernel said.
        source: RegionError,
    },
}

/// What a pool holds at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolStats {
    /// Chunks in all.
    pub total: usize,
    /// Chunks that no cache holds.
    pub free: usize,
    /// Free chunks that workers keep at hand.
    pub cached: usize,
    /// Chunks that hold packets, or are lent to a device.
    pub in_use: usize,
    /// Allocations refused for want of a chunk.
    pub exhausted: u64,
    /// Bytes of a chunk.
    pub size: usize,
    /// Bytes of a page of the memory.
    pub page_size: usize,
}

/// Some free chunks, by index.
#[derive(Clone, Copy)]
pub(crate) struct Batch {
    pub len: u32,
    pub indices: [u32; BATCH],
}

/// Counters a cache shares with its pool, for [`Pool::stats`] alone.
#[derive(Default)]
pub(crate) struct CacheCounters {
    pub cached: AtomicU32,
    pub exhausted: AtomicU64,
}

/// Packet memory. Shared by all workers; each takes chunks through its own [`Cache`].
pub struct Pool {
    region: Option<Arc<Region>>,
    base: NonNull<u8>,
    shift: u32,
    count: usize,
    free: ArrayQueue<Batch>,
    free_chunks: AtomicI64,
    caches: Mutex<Vec<Weak<CacheCounters>>>,
    exhausted_before: AtomicU64,
}

// SAFETY: `base` is only an address; chunks are reached through handles, of which there is one per chunk.
unsafe impl Send for Pool {}
// SAFETY: as above; all other fields are `Sync` themselves.
unsafe impl Sync for Pool {}

impl Pool {
    /// Makes a pool; all chunks are free.
    ///
    /// # Errors
    /// A size out of range, or memory that cannot be had.
    pub fn new(config: PoolConfig) -> Result<Arc<Pool>, PoolError> {
        if !(64..=4_194_304).contains(&config.count) {
            return Err(PoolError::Count(config.count));
        }
        if config.size != 2048 && config.size != 4096 {
            return Err(PoolError::Size(config.size));
        }
        let bytes = config.count * config.size;
        let region =
            Region::new(bytes, config.huge_pages).map_err(|source| PoolError::Region { bytes, source })?;
        let base = NonNull::new(region.base()).expect("a mapping is never at address zero");
        let pool = Pool {
            region: Some(Arc::new(region)),
            base,
            shift: config.size.trailing_zeros(),
            count: config.count,
            free: ArrayQueue::new(config.count / BATCH + 64),
            free_chunks: AtomicI64::new(0),
            caches: Mutex::new(Vec::new()),
            exhausted_before: AtomicU64::new(0),
        };
        let all: Vec<u32> = (0..config.count as u32).collect();
        for chunk in all.chunks(BATCH) {
            let mut batch = Batch { len: chunk.len() as u32, indices: [0; BATCH] };
            batch.indices[..chunk.len()].copy_from_slice(chunk);
            pool.put(batch);
        }
        Ok(Arc::new(pool))
    }

    /// A pool of `count` 4096-byte chunks in ordinary pages, for tests and benchmarks that need no privilege.
    ///
    /// # Panics
    /// If `count` is out of range or the machine has no memory.
    pub fn small(count: usize) -> Arc<Pool> {
        Pool::new(PoolConfig { count, size: 4096, huge_pages: HugePages::Never }).expect("a small pool")
    }

    /// A new cache on this pool, for one worker or port.
    pub fn cache(self: &Arc<Self>) -> Cache {
        let counters = Arc::new(CacheCounters::default());
        let mut caches = self.caches.lock().unwrap_or_else(PoisonError::into_inner);
        caches.retain(|weak| weak.strong_count() > 0);
        caches.push(Arc::downgrade(&counters));
        Cache::new(Arc::clone(self), counters)
    }

    /// What the pool holds now. Exact when no worker runs; else each figure is right for a moment of its own.
    pub fn stats(&self) -> PoolStats {
        let caches = self.caches.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut cached, mut exhausted) = (0, self.exhausted_before.load(Relaxed));
        for counters in caches.iter().filter_map(Weak::upgrade) {
            cached += counters.cached.load(Relaxed) as usize;
            exhausted += counters.exhausted.load(Relaxed);
        }
        let free = self.free_chunks.load(Relaxed).max(0) as usize;
        PoolStats {
            total: self.count,
            free,
            cached,
            in_use: self.count.saturating_sub(free + cached),
            exhausted,
            size: self.chunk_size(),
            page_size: self.region().page_size(),
        }
    }

    /// Bytes of a chunk: 2048 or 4096.
    #[inline]
    pub fn chunk_size(&self) -> usize {
        1 << self.shift
    }

    /// Number of chunks.
    pub fn count(&self) -> usize {
        self.count
    }

    /// The memory behind the pool, for registering it as an AF_XDP UMEM or with DPDK. It stays mapped as long as
    /// anyone keeps the `Arc`.
    pub fn region(&self) -> &Arc<Region> {
        self.region.as_ref().expect("the region is there until the pool is dropped")
    }

    pub(crate) fn take(&self) -> Option<Batch> {
        let batch = self.free.pop()?;
        self.free_chunks.fetch_sub(i64::from(batch.len), Relaxed);
        Some(batch)
    }

    pub(crate) fn put(&self, batch: Batch) {
        self.free_chunks.fetch_add(i64::from(batch.len), Relaxed);
        let mut batch = batch;
        // The queue has a place for every chunk in full batches and 64 to spare. Should ever more than that many
        // batches be partly filled, two of them are made into one.
        while let Err(back) = self.free.push(batch) {
            batch = back;
            if let Some(mut other) = self.free.pop() {
                while batch.len > 0 && (other.len as usize) < BATCH {
                    batch.len -= 1;
                    other.indices[other.len as usize] = batch.indices[batch.len as usize];
                    other.len += 1;
                }
                if batch.len == 0 {
                    batch = other;
                } else if let Err(other) = self.free.push(other) {
                    // Another thread took the place: keep both for the next turn of the loop.
                    self.put_uncounted(other);
                }
            }
        }
    }

    fn put_uncounted(&self, batch: Batch) {
        self.free_chunks.fetch_sub(i64::from(batch.len), Relaxed);
        self.put(batch);
    }

    /// Keeps the count of refused allocations of a cache that ends.
    pub(crate) fn bury(&self, counters: &CacheCounters) {
        self.exhausted_before.fetch_add(counters.exhausted.swap(0, Relaxed), Relaxed);
        counters.cached.store(0, Relaxed);
    }

    /// The chunk of an index.
    #[inline(always)]
    pub(crate) fn chunk(&self, index: u32) -> Chunk {
        assert!((index as usize) < self.count, "chunk index out of range");
        // SAFETY: the index is below the count, so the address lies in the region.
        Chunk(unsafe { self.base.add((index as usize) << self.shift) })
    }

    /// The index of a chunk.
    ///
    /// # Panics
    /// If the chunk belongs to another pool: going on would hand its memory out twice.
    #[inline(always)]
    pub(crate) fn index(&self, chunk: Chunk) -> u32 {
        let offset = (chunk.0.as_ptr() as usize).wrapping_sub(self.base.as_ptr() as usize);
        let index = offset >> self.shift;
        assert!(index < self.count, "a packet came back to a pool that is not its own");
        index as u32
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        // Caches hold an `Arc` of the pool, so all of them are gone and have given back what they held. If packets are
        // still out there their memory must stay mapped: it is leaked, which the leak counter of the tests shows.
        if self.free_chunks.load(Relaxed) != self.count as i64 {
            std::mem::forget(self.region.take());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_checked() {
        let bad = |count, size| Pool::new(PoolConfig { count, size, huge_pages: HugePages::Never }).err();
        assert!(matches!(bad(63, 2048), Some(PoolError::Count(63))));
        assert!(matches!(bad(5_000_000, 2048), Some(PoolError::Count(_))));
        assert!(matches!(bad(64, 3000), Some(PoolError::Size(3000))));
        assert!(bad(64, 2048).is_none());
    }

    #[test]
    fn every_chunk_can_be_taken_once_and_comes_back() {
        let pool = Pool::small(1000);
        let mut cache = pool.cache();
        let mut held: Vec<_> = std::iter::from_fn(|| cache.alloc()).collect();
        assert_eq!(held.len(), 1000);
        assert_eq!(pool.stats().in_use, 1000);
        assert_eq!(pool.stats().exhausted, 1);
        held.drain(..).for_each(|p| cache.free(p));
        drop(cache);
        let stats = pool.stats();
        assert_eq!((stats.free, stats.cached, stats.in_use, stats.exhausted), (1000, 0, 0, 1));
    }

    #[test]
    #[should_panic(expected = "not its own")]
    fn a_packet_of_another_pool_is_refused() {
        let (a, b) = (Pool::small(64), Pool::small(64));
        let packet = a.cache().alloc().expect("a chunk");
        b.cache().free(packet);
    }

    #[test]
    fn caches_on_many_threads_lose_nothing() {
        let pool = Pool::small(4096);
        std::thread::scope(|scope| {
            for seed in 0..4 {
                let pool = &pool;
                scope.spawn(move || {
                    let mut rng = 12345_u64 + seed;
                    let (mut cache, mut held) = (pool.cache(), Vec::new());
                    for _ in 0..20_000 {
                        rng ^= rng << 13;
                        rng ^= rng >> 7;
                        rng ^= rng << 17;
                        if !rng.is_multiple_of(3) {
                            held.extend(cache.alloc());
                        } else if let Some(packet) = held.pop() {
                            cache.free(packet);
                        }
                    }
                    held.drain(..).for_each(|p| cache.free(p));
                });
            }
        });
        assert_eq!(pool.stats().free, 4096);
    }
}
