//! What safe code may get wrong must end in a panic or a leak, never in memory that two packets hold.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use paceline_buf::{HugePages, Packet, Pool, PoolConfig, Vector};

fn pool(size: usize) -> Arc<Pool> {
    Pool::new(PoolConfig { count: 64, size, huge_pages: HugePages::Never }).expect("a pool")
}

#[test]
fn a_vector_that_could_not_be_freed_whole_is_never_given_out_twice() {
    let (own, other) = (pool(2048), pool(2048));
    let mut cache = own.cache();
    let mut vector = Vector::new();
    cache.alloc_into(&mut vector, 3);
    other.cache().alloc_into(&mut vector, 1);
    let refused = catch_unwind(AssertUnwindSafe(|| cache.free_all(&mut vector)));
    assert!(refused.is_err(), "a packet of another pool");
    let mut held: Vec<*const u8> = vector.as_slice().iter().map(|packet| packet.data().as_ptr()).collect();
    held.extend(std::iter::from_fn(|| cache.alloc()).map(|packet| packet.data().as_ptr()));
    let count = held.len();
    held.sort_unstable();
    held.dedup();
    assert_eq!(held.len(), count, "two packets hold one chunk");
}

#[test]
fn a_packet_of_another_pool_is_not_replicated() {
    let (small, large) = (pool(2048), pool(4096));
    let mut packet = large.cache().alloc().expect("a chunk");
    packet.reserve(3000);
    packet.extend(&[1; 200]).expect("it fits");
    let refused = catch_unwind(AssertUnwindSafe(|| small.cache().replicate(&mut packet)));
    assert!(refused.is_err(), "its bytes lie behind the end of a chunk of the small pool");
}

#[test]
fn no_headroom_reaches_outside_the_chunk() {
    let pool = pool(2048);
    let mut cache = pool.cache();
    for headroom in [0, 1, 1856, 1857, 2048, usize::MAX - 191, usize::MAX - 100, usize::MAX] {
        let mut packet = cache.alloc().expect("a chunk");
        packet.reserve(headroom);
        assert_eq!(packet.headroom(), if headroom <= 1856 { headroom } else { 128 });
        assert_eq!(packet.headroom() + packet.tailroom(), 1856);
        packet.prefetch();
        cache.free(packet);
    }
}

#[test]
fn the_length_of_a_chain_follows_its_head() {
    let pool = pool(2048);
    let mut cache = pool.cache();
    let mut filled = |len| {
        let mut packet = cache.alloc().expect("a chunk");
        packet.set_len(len);
        packet
    };
    let mut packet: Packet = filled(100);
    packet.push_tail(filled(1000));
    packet.set_len(300);
    assert_eq!(packet.total_len(), 1300);
    packet.set_len(14);
    assert_eq!(packet.total_len(), 1014);
    assert_eq!(packet.total_len(), packet.segments().map(<[u8]>::len).sum());
    cache.free(packet);
}

#[test]
fn idle_caches_leave_the_pool_to_the_busy_one() {
    let pool = Pool::small(4096);
    let mut idle: Vec<_> = (0..7).map(|_| pool.cache()).collect();
    for cache in &mut idle {
        let held: Vec<Packet> = std::iter::from_fn(|| cache.alloc()).take(2000).collect();
        for packet in held {
            cache.free(packet);
        }
    }
    let mut busy = pool.cache();
    let held: Vec<Packet> = std::iter::from_fn(|| busy.alloc()).collect();
    assert!(held.len() > 4096 / 2, "{} of 4096 are left", held.len());
    for packet in held {
        busy.free(packet);
    }
    drop((idle, busy));
    assert_eq!(pool.stats().free, 4096);
}
