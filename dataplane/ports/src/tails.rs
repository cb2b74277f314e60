//! Chunks for the part of a super-packet that does not fit into its first chunk.

use std::io::IoSliceMut;

use paceline_buf::{Cache, Packet};

use crate::vnet::LARGEST;

/// Most chunks of a frame: the largest super-packet in chunks of 2048 bytes takes 36.
const MOST: usize = 36;

/// Chunks that are offered to the kernel behind a first one. They are held for one receive call only, so that a hundred
/// idle ports do not keep the pool empty.
#[derive(Default)]
pub struct Tails {
    chunks: Vec<Packet>,
}

impl Tails {
    /// Takes so many chunks that the largest frame fits; `false` if the pool has not that many.
    #[inline]
    pub fn post(&mut self, cache: &mut Cache, head: &mut Packet) -> bool {
        let mut room: usize =
            head.room_mut().len() + self.chunks.iter_mut().map(|tail| tail.room_mut().len()).sum::<usize>();
        while room < LARGEST {
            let Some(mut tail) = cache.alloc() else { return false };
            tail.reserve(0);
            room += tail.room_mut().len();
            self.chunks.push(tail);
        }
        true
    }

    /// Calls `read` with the room of a first chunk and of all tails.
    #[inline]
    pub fn offer<R>(&mut self, head: &mut Packet, read: impl FnOnce(&mut [IoSliceMut<'_>]) -> R) -> R {
        let count = (1 + self.chunks.len()).min(MOST);
        let mut rooms = std::iter::once(head).chain(&mut self.chunks).map(Packet::room_mut);
        let mut slices: [_; MOST] =
            std::array::from_fn(|_| IoSliceMut::new(rooms.next().unwrap_or_default()));
        read(&mut slices[..count])
    }

    /// Makes a packet of the `len` bytes that were read: sets lengths, and chains those tails that hold some of them.
    #[inline]
    pub fn chain(&mut self, head: &mut Packet, len: usize) {
        let room = head.room_mut().len();
        head.set_len(len);
        if len <= room {
            return;
        }
        let mut left = len - room;
        let mut used = 0;
        for tail in &mut self.chunks {
            if left == 0 {
                break;
            }
            tail.set_len(left);
            left -= tail.len();
            used += 1;
        }
        // From the last to the first: to put one tail behind another is then one step, however long the chain.
        let chained = self.chunks.drain(..used).rev().reduce(|behind, mut tail| {
            tail.push_tail(behind);
            tail
        });
        if let Some(chained) = chained {
            head.push_tail(chained);
        }
    }

    /// Gives the chunks back.
    #[inline]
    pub fn release(&mut self, cache: &mut Cache) {
        for tail in self.chunks.drain(..) {
            cache.free(tail);
        }
    }
}

#[cfg(test)]
mod tests {
    use paceline_buf::{HugePages, Pool, PoolConfig};

    use super::*;

    #[test]
    fn every_length_is_chained_and_only_what_is_used() {
        for size in [2048, 4096] {
            let pool =
                Pool::new(PoolConfig { count: 128, size, huge_pages: HugePages::Never }).expect("a pool");
            let (mut cache, mut tails) = (pool.cache(), Tails::default());
            for len in [0, 1, 1000, size - 320, size - 319, 9000, 65_535, LARGEST - 1, LARGEST] {
                let mut head = cache.alloc().expect("a chunk");
                assert!(tails.post(&mut cache, &mut head));
                let bytes: Vec<u8> = (0..len).map(|i| (i * 7 / 8) as u8).collect();
                tails.offer(&mut head, |slices| {
                    let mut rest = &bytes[..];
                    for slice in slices.iter_mut() {
                        let (now, later) = rest.split_at(rest.len().min(slice.len()));
                        slice[..now.len()].copy_from_slice(now);
                        rest = later;
                    }
                    assert!(rest.is_empty());
                });
                tails.chain(&mut head, len);
                assert_eq!(head.total_len(), len);
                assert_eq!(head.segments().flatten().copied().collect::<Vec<u8>>(), bytes);
                assert!(head.segments().all(|segment| len == 0 || !segment.is_empty()));
                cache.free(head);
            }
            tails.release(&mut cache);
            drop(cache);
            assert_eq!(pool.stats().free, 128);
        }
    }

    #[test]
    fn a_pool_that_has_too_few_says_so() {
        let pool =
            Pool::new(PoolConfig { count: 64, size: 2048, huge_pages: HugePages::Never }).expect("a pool");
        let (mut cache, mut tails) = (pool.cache(), Tails::default());
        let held: Vec<Packet> = (0..40).filter_map(|_| cache.alloc()).collect();
        let mut head = cache.alloc().expect("a chunk");
        assert!(!tails.post(&mut cache, &mut head));
        tails.release(&mut cache);
        held.into_iter().chain([head]).for_each(|packet| cache.free(packet));
        drop(cache);
        assert_eq!(pool.stats().free, 64);
    }
}
