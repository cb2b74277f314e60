//! The MAC table under every order in which two threads can take effect: see `ARCHITECTURE.md` for how to run it.
#![cfg(loom)]
#![forbid(unsafe_code)]

use loom::sync::Arc;
use loom::thread;
use paceline_tables::{Learn, MacTable};

const A: u64 = 0x0200_0000_0001;

/// Runs a model with up to `switches` forced switches between threads: without a bound it takes hours.
fn model(switches: usize, test: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(switches);
    builder.check(test);
}

fn learn(table: &MacTable, mac: u64, port: u16) -> Learn {
    table.learn(mac, table.hash(mac), port, table.now())
}

fn lookup(table: &MacTable, mac: u64) -> Option<u16> {
    table.reader().lookup(mac, table.hash(mac))
}

/// Two addresses whose home is the same bucket as that of [`A`].
fn neighbours(table: &MacTable) -> [u64; 2] {
    // Two buckets: the highest bit of the hash is the bucket.
    let same = |mac: &u64| (table.hash(*mac) ^ table.hash(A)) >> 31 == 0;
    let mut macs = (A + 1..).filter(same);
    [macs.next().expect("endless"), macs.next().expect("endless")]
}

/// What holds when no thread is in the middle of a change.
fn consistent(table: &MacTable) {
    let mut entries = table.entries();
    assert_eq!(entries.len(), table.len(), "the count is the number of entries");
    assert!(entries.iter().all(|e| lookup(table, e.mac) == Some(e.port)), "all are found");
    entries.sort_unstable();
    entries.dedup_by_key(|e| e.mac);
    assert_eq!(entries.len(), table.len(), "none stands twice");
}

/// One thread beside the model's own, on a table with `before` learned; then the invariants.
fn beside(before: &'static [u64], other: fn(&MacTable), own: fn(&MacTable), then: fn(&MacTable)) {
    model(3, move || {
        let table = Arc::new(MacTable::new(4));
        for mac in before {
            learn(&table, *mac, 1);
        }
        let thread = thread::spawn({
            let table = Arc::clone(&table);
            move || other(&table)
        });
        own(&table);
        thread.join().expect("it ends");
        consistent(&table);
        then(&table);
    });
}

#[test]
fn two_workers_learn_one_address() {
    beside(
        &[],
        |table| assert_ne!(learn(table, A, 1), Learn::Full),
        |table| assert_ne!(learn(table, A, 2), Learn::Full),
        |table| assert_eq!(table.len(), 1),
    );
}

#[test]
fn two_workers_learn_addresses_of_one_bucket() {
    beside(
        &[],
        |table| assert_eq!(learn(table, A, 1), Learn::New),
        |table| assert_eq!(learn(table, neighbours(table)[0], 2), Learn::New),
        |table| assert_eq!(table.len(), 2),
    );
}

#[test]
fn an_address_is_learned_while_all_are_forgotten() {
    beside(&[], |table| _ = learn(table, A, 1), |table| _ = table.flush(), |_| ());
}

#[test]
fn a_way_is_given_away_before_its_tag_was_written() {
    beside(
        &[],
        |table| _ = learn(table, A, 1),
        |table| {
            table.flush();
            learn(table, neighbours(table)[0], 2);
        },
        |table| assert_eq!(lookup(table, neighbours(table)[0]), Some(2)),
    );
}

#[test]
fn a_way_is_emptied_and_filled_again_by_another() {
    beside(
        &[A],
        |table| _ = learn(table, neighbours(table)[0], 2),
        |table| assert_eq!(table.flush_port(1, false), 1),
        |table| assert_eq!(lookup(table, neighbours(table)[0]), Some(2)),
    );
}

#[test]
fn an_address_is_seen_at_the_moment_it_ages_out() {
    beside(
        &[A],
        |table| _ = learn(table, A, 1),
        |table| _ = (table.tick(1), table.tick(1)),
        |table| assert!(lookup(table, A).is_none_or(|port| port == 1)),
    );
}

#[test]
fn an_address_moves_at_the_moment_its_port_goes() {
    beside(
        &[A],
        |table| _ = learn(table, A, 2),
        |table| _ = table.flush_port(1, false),
        |table| assert_eq!(lookup(table, A), Some(2)),
    );
}

#[test]
fn a_static_address_wins() {
    beside(
        &[],
        |table| _ = learn(table, A, 1),
        |table| assert!(table.insert_static(A, 2)),
        |table| assert_eq!((lookup(table, A), table.len()), (Some(2), 1)),
    );
}

#[test]
fn two_learn_one_address_while_the_way_in_front_is_emptied() {
    model(2, || {
        let table = Arc::new(MacTable::new(4));
        let [first, _] = neighbours(&table);
        learn(&table, first, 3);
        let workers = [1, 2].map(|port| {
            let table = Arc::clone(&table);
            thread::spawn(move || learn(&table, A, port))
        });
        assert!(table.remove(first));
        for worker in workers {
            worker.join().expect("it ends");
        }
        consistent(&table);
        assert!(lookup(&table, A).is_some());
    });
}
