//! The table against a list of sessions.

use std::collections::HashMap;

use proptest::prelude::*;

use super::*;

fn flow(number: u32) -> Tuple<u32> {
    Tuple { source: number, destination: 7, ports: number.rotate_left(9), protocol: 17, scope: 0 }
}

/// What a session of the same hosts in another scope has.
fn elsewhere(flow: Tuple<u32>, scope: u16) -> Tuple<u32> {
    Tuple { scope, ..flow }
}

#[test]
fn each_flow_of_a_session_has_a_scope_of_its_own() {
    let table = Sessions::<u32>::new(10).expect("memory");
    let after = |port: u32| Tuple { source: 9, ports: port, ..elsewhere(flow(1), 7) };
    for (scope, port) in [(1, 100), (2, 200)] {
        assert!(table.insert(&elsewhere(flow(1), scope), &after(port), 0, state(1, 1)).is_ok());
    }
    for (scope, port) in [(1, 100), (2, 200)] {
        let there = table.find(&elsewhere(flow(1), scope)).expect("the session");
        assert_eq!(there.target(), after(port));
        let back = table.find(&after(port).reversed()).expect("the session");
        assert_eq!(back.target(), elsewhere(flow(1), scope).reversed());
        assert!(table.find(&elsewhere(after(port), scope).reversed()).is_none(), "that is another scope");
    }
    assert!(table.find(&elsewhere(flow(1), 7)).is_none());
}

fn state(seen: u32, class: u8) -> State {
    State { seen, generation: 3, class, track: 5 }
}

#[test]
fn slots_are_as_large_as_they_are_said_to_be() {
    assert_eq!((size_of::<Slot<u32>>(), size_of::<Slot<u128>>(), size_of::<Bucket>()), (64, 128, 64));
    let bytes = |limit: u32| Sessions::<u32>::new(limit).expect("memory").bytes() as u32 / limit;
    assert_eq!((bytes(1 << 16), bytes(1 << 20)), (80, 80));
    let bytes = |limit: u32| Sessions::<u128>::new(limit).expect("memory").bytes() as u32 / limit;
    assert_eq!(bytes(1 << 16), 144);
}

#[test]
fn the_sums_of_both_directions_cancel() {
    let table = Sessions::<u128>::new(10).expect("memory");
    let before =
        Tuple { source: 0xfd00 << 112 | 1, destination: 9, ports: 0x1234_0050, protocol: 6, scope: 0 };
    let after = Tuple { source: 0x2001 << 112 | 0xffff, ports: 0xffff_0050, scope: 0xfffe, ..before };
    let there = table.insert(&before, &after, 2, state(1, 1)).expect("room");
    let back = table.find(&after.reversed()).expect("the session");
    assert!(back.is_reverse() && !there.is_reverse());
    assert_eq!((there.target(), back.target()), (after, before.reversed()));
    assert_eq!((back.sums().0, back.sums().1), (!there.sums().0, !there.sums().1));
    assert_eq!((there.flags(), there.state()), (2, state(1, 1)));
}

/// Whatever the seed: hosts or ports that follow one another, as those of one network and of one host do.
#[test]
fn neighbours_are_spread_by_any_seed() {
    const FLOWS: u32 = 32_768;
    let both = [|i| Tuple { source: i, ..flow(0) }, |i| Tuple { ports: i << 16, ..flow(0) }];
    for seed in (0..300_u64).map(|n| n.wrapping_mul(0x5851_f42d_4c95_7f2d) ^ n << 17) {
        for of in both {
            // Groups as many flows fall into as those of a table at its limit.
            let mut groups = [0; 256];
            (0..FLOWS).for_each(|i| groups[(of(i).hash(seed) >> 56) as usize] += 1);
            let most = groups.into_iter().max().unwrap_or_default();
            assert!(most < 192, "{most} in a group of 128 by {seed:#x}");
        }
    }
}

/// As many sessions as the limit have a place, whatever their addresses, and not one more; all can be removed again.
#[test]
fn holds_its_limit_and_not_more() {
    for limit in [1, 5, 100, 4096, 32_768] {
        for step in [1, 0x100, 0x1_0000, 0x1_0001] {
            let table = Sessions::<u32>::new(limit).expect("memory");
            let after = |i: u32| Tuple { source: 1, ports: i << 16, ..flow(0) };
            for round in 0..3 {
                for i in 0..limit {
                    assert!(table.insert(&flow(i.wrapping_mul(step)), &after(i), 0, state(round, 1)).is_ok());
                }
                assert_eq!(table.insert(&flow(u32::MAX), &after(limit), 0, state(0, 1)).err(), Some(Full));
                assert_eq!(table.entries().len(), limit as usize);
                for _ in 0..limit {
                    let oldest = table.oldest(1).expect("a session").slot();
                    table.remove(oldest);
                }
                assert!(table.is_empty() && table.oldest(1).is_none());
            }
            assert!(table.buckets.iter().all(|bucket| !bucket.has_spilled()));
        }
    }
}

/// What others read while the owner works belongs together.
#[test]
fn a_reader_sees_whole_sessions() {
    let table = Sessions::<u128>::new(64).expect("memory");
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for round in 0..200_000_u128 {
                let before =
                    Tuple { source: round, destination: round, ports: round as u32, protocol: 6, scope: 0 };
                let after = Tuple { source: !round, ..before };
                let session = table.insert(&before, &after, 0, state(round as u32, 1)).expect("room");
                if table.len() > 50 {
                    table.remove(table.oldest(1).expect("a session").slot());
                } else {
                    table.update(session, state(round as u32, 1));
                }
            }
        });
        while !writer.is_finished() {
            for entry in table.entries() {
                assert_eq!(entry.before.source, entry.before.destination);
                assert_eq!(entry.after.source, !entry.before.source);
                assert_eq!(entry.state.seen, entry.before.ports);
            }
        }
    });
}

#[derive(Clone, Debug)]
enum Op {
    Insert(u32, u32, u8),
    Remove(u32),
    Update(u32, u8),
    Oldest(u8),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        5 => (0..40_u32, 0..40_u32, 1..4_u8).prop_map(|(a, b, c)| Op::Insert(a, b, c)),
        1 => (0..40_u32).prop_map(Op::Remove),
        3 => (0..40_u32, 1..4_u8).prop_map(|(a, c)| Op::Update(a, c)),
        1 => (1..4_u8).prop_map(Op::Oldest),
    ]
}

proptest! {
    /// The twin: a map from the first flow to the second, and a list for each class.
    #[test]
    fn behaves_as_a_map_and_lists(ops in proptest::collection::vec(op(), 1..300), limit in 1..50_u32) {
        let table = Sessions::<u32>::new(limit).expect("memory");
        let mut twin: HashMap<u32, u32> = HashMap::new();
        let mut lists: Vec<Vec<u32>> = vec![Vec::new(); 4];
        // Some are of the neighbouring scope.
        let outside = |port: u32| Tuple {
            source: 99, destination: 7, ports: port, protocol: 17, scope: port as u16 & 1,
        };
        for (now, op) in (1..).zip(ops) {
            match op {
                Op::Insert(inside, port, class) => {
                    let is_new = !twin.contains_key(&inside) && !twin.values().any(|p| *p == port);
                    prop_assert_eq!(table.find(&flow(inside)).is_some(), twin.contains_key(&inside));
                    if is_new {
                        let done = table.insert(&flow(inside), &outside(port), 0, state(now, class)).is_ok();
                        prop_assert_eq!(done, twin.len() < limit as usize);
                        if done {
                            twin.insert(inside, port);
                            lists[class as usize].push(inside);
                        }
                    }
                }
                Op::Remove(inside) => {
                    if let Some(session) = table.find(&flow(inside)) {
                        table.remove(session.slot());
                    }
                    twin.remove(&inside);
                    for list in &mut lists {
                        list.retain(|i| *i != inside);
                    }
                }
                Op::Update(inside, class) => {
                    if let Some(session) = table.find(&flow(inside)) {
                        table.update(session, state(now, class));
                        for list in &mut lists {
                        list.retain(|i| *i != inside);
                    }
                        lists[class as usize].push(inside);
                    }
                }
                Op::Oldest(class) => {
                    let oldest = table.oldest(class).map(|session| session.target());
                    let want = lists[class as usize].first().map(|inside| outside(twin[inside]));
                    prop_assert_eq!(oldest, want);
                    let all: Vec<_> = table.by_age(class).map(|session| session.flows().0).collect();
                    let want: Vec<_> = lists[class as usize].iter().map(|inside| flow(*inside)).collect();
                    prop_assert_eq!(all, want);
                }
            }
            prop_assert_eq!(table.len(), twin.len());
            for (inside, port) in &twin {
                prop_assert_eq!(table.find(&flow(*inside)).map(|s| s.target()), Some(outside(*port)));
                let back = table.find(&outside(*port).reversed()).map(|s| s.target());
                prop_assert_eq!(back, Some(flow(*inside).reversed()));
            }
            let mut entries: Vec<_> = table.entries().iter().map(|e| (e.before, e.after)).collect();
            let mut want: Vec<_> = twin.iter().map(|(i, p)| (flow(*i), outside(*p))).collect();
            entries.sort_unstable();
            want.sort_unstable();
            prop_assert_eq!(entries, want);
        }
    }
}

/// How many of 40 hosts in a row fall into the first half, by the upper bit of each half of a hash.
fn halves<T: Address>(seed: u64, host: impl Fn(u32) -> T) -> [usize; 2] {
    [63, 31]
        .map(|bit| (1..=40).filter(|n| T::hash_hosts(seed, host(*n), T::default()) >> bit & 1 == 0).count())
}

#[test]
fn hosts_in_a_row_are_spread_whatever_the_seed() {
    for seed in (1..=2000_u64).map(|number| number.wrapping_mul(0xd134_2543_de82_ef95)) {
        let all = [halves(seed, |n| 0x0a00_0100 + n), halves(seed, |n| 0xfd00 << 112 | u128::from(n))];
        assert!(all.as_flattened().iter().all(|count| (5..=35).contains(count)), "seed {seed:#x}: {all:?}");
    }
}
