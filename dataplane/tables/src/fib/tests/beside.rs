//! A reader that runs while routes change.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Acquire, Release};

use super::{Kind, Rib, host, v4, v6};

/// A route that stays.
const STAYS: u32 = 1;
/// Values of routes that come and go.
const FLAPS: u32 = 2;
/// The default route, and routes of other addresses: never right.
const WRONG: u32 = 1000;

/// Bits of the addresses that are watched.
const WATCHED: u128 = 0x2a01_0203_0405_0607_0809_0a0b_0c0d_0e0f;

/// One route over the watched address stays, longer ones come and go, and so do many others around.
fn answers_are_always_right<K: Kind>(rounds: u32)
where
    K::Fib: Send + Sync,
{
    let mut rib = Rib::<K>::new().expect("memory");
    let fib = std::sync::Arc::clone(rib.fib());
    let stays = K::SHORTEST + 3;
    rib.insert(K::net(WATCHED, stays), STAYS).expect("room");
    let lens: Vec<u8> = (stays + 1..=K::WIDTH).step_by(3).collect();
    let allowed: Vec<u32> = std::iter::once(STAYS).chain(FLAPS..FLAPS + lens.len() as u32).collect();
    let (turns, done) = (AtomicU64::new(0), std::sync::atomic::AtomicBool::new(false));
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut wrong = None;
            while !done.load(Acquire) {
                let values = K::lookup_batch(&fib, &[WATCHED; 100]);
                let mut values = values.into_iter().chain([K::lookup_one(&fib, WATCHED)]);
                wrong = wrong.or(values.find(|value| !allowed.contains(value)));
                turns.fetch_add(1, Release);
            }
            wrong
        });
        let mut random = fastrand::Rng::with_seed(3);
        let mut seen = (rib.mark(), 0);
        for round in 0..rounds {
            let i = random.usize(..lens.len());
            let net = K::net(WATCHED, lens[i]);
            if random.bool() {
                rib.insert(net, FLAPS + i as u32).expect("room");
            } else {
                rib.remove(net);
            }
            // The others: they share some bits with the watched address and then part from it.
            let parts = random.u8(..K::WIDTH);
            let bits = WATCHED ^ 1 << (127 - parts) ^ random.u128(..) & host(parts + 1);
            rib.insert(K::net(bits, random.u8(K::SHORTEST.max(parts + 1)..=K::WIDTH)), WRONG + round)
                .expect("room");
            if round % 3 == 0 {
                rib.insert(K::net(0, 0), WRONG + round).expect("room");
                rib.insert(K::net(WATCHED, random.u8(K::SHORTEST..stays)), WRONG).expect("room");
            } else {
                rib.remove(K::net(0, 0));
                rib.remove(K::net(WATCHED, random.u8(K::SHORTEST..stays)));
            }
            if round % 500 == 499 {
                let all: Vec<_> = rib.iter().filter(|(_, value)| *value >= WRONG).collect();
                for (net, _) in all {
                    rib.remove(net);
                }
            }
            // The reader has begun a turn after the mark and ended it.
            if turns.load(Acquire) >= seen.1 {
                rib.quiet(seen.0);
                seen = (rib.mark(), turns.load(Acquire) + 2);
            }
        }
        done.store(true, Release);
        assert_eq!(reader.join().expect("it ends"), None, "a value that was never right");
    });
}

#[test]
fn ipv4_answers_are_always_right() {
    answers_are_always_right::<v4::Writer>(4000);
}

#[test]
fn ipv6_answers_are_always_right() {
    answers_are_always_right::<v6::Writer>(20_000);
}
