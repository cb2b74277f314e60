//! One thread against a map, several against the invariants.

use std::collections::HashMap;

use proptest::prelude::*;

use super::*;

fn learn(table: &MacTable, mac: u64, port: u16) -> Learn {
    let hash = table.hash(mac);
    if table.reader().is_fresh(mac, hash, port) {
        return Learn::Known;
    }
    table.learn(mac, hash, port, table.now())
}

fn lookup(table: &MacTable, mac: u64) -> Option<u16> {
    table.reader().lookup(mac, table.hash(mac))
}

#[test]
fn learns_moves_ages_and_keeps_statics() {
    let table = MacTable::new(100);
    assert_eq!(learn(&table, 0x0200_0000_0001, 1), Learn::New);
    assert_eq!(learn(&table, 0x0200_0000_0001, 1), Learn::Known);
    assert_eq!(learn(&table, 0x0200_0000_0001, 2), Learn::Moved { from: 1 });
    assert_eq!(lookup(&table, 0x0200_0000_0001), Some(2));
    assert!(table.insert_static(0x0200_0000_0002, 5));
    assert_eq!(learn(&table, 0x0200_0000_0002, 6), Learn::Static { port: 5 });
    assert_eq!(learn(&table, 0x0200_0000_0002, 5), Learn::Known);
    assert_eq!((table.tick(2), table.tick(2)), (0, 0));
    assert_eq!(learn(&table, 0x0200_0000_0001, 2), Learn::Known, "seen again: fresh");
    assert_eq!((table.tick(2), table.tick(2), table.tick(2)), (0, 0, 1));
    assert_eq!(lookup(&table, 0x0200_0000_0001), None);
    assert_eq!(lookup(&table, 0x0200_0000_0002), Some(5));
    assert_eq!(table.flush_port(5, false), 0);
    assert_eq!(table.flush_port(5, true), 1);
    assert!(table.is_empty());
}

#[test]
fn ticks_wrap_without_ageing_what_is_seen() {
    let table = MacTable::new(10);
    for _ in 0..1000 {
        assert!(matches!(learn(&table, 7, 1), Learn::New | Learn::Known));
        assert_eq!(table.tick(1), 0);
    }
}

/// Addresses at every distance that people and programs number them in, under many seeds: as many as the limit have a place.
#[test]
fn holds_its_limit_and_not_more() {
    for limit in [1, 2, 7, 100, 5000, 16_384] {
        for step in [1, 0x100, 0x1_0000, 0x1_0001, 0xf_ffe1, 0x100_0000, 0x1_0000_0001] {
            let table = MacTable::new(limit);
            let mut refused = 0;
            for i in 0..u64::from(limit) {
                let mac = 0x0200_0000_0000 + ((i * step) & 0xff_ffff_ffff);
                refused += usize::from(learn(&table, mac, 3) == Learn::Full);
            }
            // A group can be full at the very limit: one table of 16 384 in 50 refuses one.
            assert!(refused <= limit as usize / 1000, "{refused} of {limit} at distance {step} did not fit");
            if table.len() == limit as usize {
                assert_eq!(learn(&table, 1, 1), Learn::Limit);
            }
        }
    }
}

#[test]
fn workers_that_learn_at_once_agree() {
    let table = MacTable::new(4096);
    std::thread::scope(|scope| {
        for port in 0..4 {
            let table = &table;
            scope.spawn(move || {
                for round in 0..20_u64 {
                    for mac in 1..=2000_u64 {
                        learn(table, mac * 0x10_0001, (mac % 4) as u16);
                        if round % 5 == 0 && port == 0 && mac % 500 == 0 {
                            table.flush();
                        }
                    }
                }
            });
        }
    });
    let entries = table.entries();
    assert_eq!(entries.len(), table.len(), "the count is the number of entries");
    assert!(entries.iter().all(|e| u64::from(e.port) == e.mac / 0x10_0001 % 4));
}

#[derive(Clone, Debug)]
enum Op {
    Learn(u64, u16),
    Static(u64, u16),
    Remove(u64),
    FlushPort(u16, bool),
    Flush,
    Tick,
}

fn op() -> impl Strategy<Value = Op> {
    let mac = 1..60_u64;
    prop_oneof![
        10 => (mac.clone(), 0..4_u16).prop_map(|(m, p)| Op::Learn(m, p)),
        1 => (mac.clone(), 0..4_u16).prop_map(|(m, p)| Op::Static(m, p)),
        1 => mac.prop_map(Op::Remove),
        1 => (0..4_u16, any::<bool>()).prop_map(|(p, s)| Op::FlushPort(p, s)),
        1 => Just(Op::Flush),
        3 => Just(Op::Tick),
    ]
}

proptest! {
    /// The twin: a hash map of (port, static, last seen).
    #[test]
    fn behaves_as_a_map(ops in proptest::collection::vec(op(), 1..400)) {
        let table = MacTable::new(256);
        let mut twin: HashMap<u64, (u16, bool, u32)> = HashMap::new();
        let mut now = 0_u32;
        for op in ops {
            match op {
                Op::Learn(mac, port) => {
                    let want = match twin.get(&mac) {
                        None => Learn::New,
                        Some((p, ..)) if *p == port => Learn::Known,
                        Some((p, true, _)) => Learn::Static { port: *p },
                        Some((p, ..)) => Learn::Moved { from: *p },
                    };
                    prop_assert_eq!(learn(&table, mac, port), want);
                    let is_static = twin.get(&mac).is_some_and(|e| e.1);
                    if !is_static {
                        twin.insert(mac, (port, false, now));
                    }
                }
                Op::Static(mac, port) => {
                    prop_assert!(table.insert_static(mac, port));
                    twin.insert(mac, (port, true, now));
                }
                Op::Remove(mac) => prop_assert_eq!(table.remove(mac), twin.remove(&mac).is_some()),
                Op::FlushPort(port, statics) => {
                    table.flush_port(port, statics);
                    twin.retain(|_, e| e.0 != port || (e.1 && !statics));
                }
                Op::Flush => {
                    table.flush();
                    twin.retain(|_, e| e.1);
                }
                Op::Tick => {
                    now += 1;
                    table.tick(3);
                    twin.retain(|_, e| e.1 || now - e.2 <= 3);
                }
            }
            for mac in 1..60 {
                prop_assert_eq!(lookup(&table, mac), twin.get(&mac).map(|e| e.0));
            }
            prop_assert_eq!(table.len(), twin.len());
        }
    }
}

/// Addresses whose home is one bucket of a table.
fn neighbours(table: &MacTable) -> impl Iterator<Item = u64> {
    let home = |mac| table.hash(mac) >> table.shift;
    (1..).filter(move |mac| home(*mac) == home(1))
}

#[test]
fn a_static_address_takes_the_place_of_a_learned_one() {
    let table = MacTable::new(4096);
    let macs: Vec<u64> = neighbours(&table).take(100).collect();
    for mac in &macs[..56] {
        assert_eq!(learn(&table, *mac, 1), Learn::New);
    }
    assert!(macs[..56].iter().all(|mac| lookup(&table, *mac) == Some(1)));
    assert_eq!(learn(&table, macs[56], 1), Learn::Full);
    for mac in &macs[40..96] {
        assert!(table.insert_static(*mac, 2), "56 places");
    }
    assert!(!table.insert_static(macs[96], 2), "all of them are static");
    assert!(macs[40..96].iter().all(|mac| lookup(&table, *mac) == Some(2)));
    assert_eq!((table.len(), table.flush()), (56, 0));
}

#[test]
fn a_learned_address_becomes_static_in_its_place() {
    let table = MacTable::new(100);
    learn(&table, 7, 1);
    assert!(table.insert_static(7, 2) && table.insert_static(7, 3));
    assert_eq!((lookup(&table, 7), table.len()), (Some(3), 1));
    assert_eq!(learn(&table, 7, 1), Learn::Static { port: 3 });
}

/// As `tests/loom.rs`, with threads that run: many rounds instead of all orders.
#[test]
fn an_address_stands_once_however_many_learn_and_forget_it() {
    for round in 0..300_u64 {
        let table = MacTable::new(16);
        let start = std::sync::Barrier::new(4);
        std::thread::scope(|scope| {
            for port in 0..3 {
                let (table, start) = (&table, &start);
                scope.spawn(move || {
                    start.wait();
                    for mac in 1..=8 {
                        learn(table, round << 8 | mac, port);
                    }
                });
            }
            start.wait();
            table.flush();
            table.insert_static(round << 8 | 3, 9);
            table.flush();
        });
        let mut entries = table.entries();
        assert_eq!(entries.len(), table.len(), "round {round}: the count is the number of entries");
        assert!(
            entries.iter().all(|e| lookup(&table, e.mac) == Some(e.port)),
            "round {round}: all are found"
        );
        entries.sort_unstable();
        entries.dedup_by_key(|e| e.mac);
        assert_eq!(entries.len(), table.len(), "round {round}: none stands twice");
        assert_eq!(lookup(&table, round << 8 | 3), Some(9));
    }
}
