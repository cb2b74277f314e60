//! What was acknowledged is there after any end.

mod common;

use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::panic::AssertUnwindSafe;
use std::process::{Child, Command, Stdio};

use common::{add, open, save};
use paceline_ipam::{AddressRequest, Plan, PoolRequest, Space, release_pool, request_address, request_pool};
use paceline_model::{Path, PolicySet, Route};
use paceline_store::StoreError;

#[derive(Debug, thiserror::Error)]
enum Refused {
    #[error("no")]
    No,
    #[error(transparent)]
    Store(#[from] StoreError),
}

#[test]
fn policies_keep_their_order() {
    let dir = tempfile::tempdir().unwrap();
    let text = r#"
        tier = [{ name = "z" }, { name = "a" }]
        group = [{ name = "office", prefixes = ["192.0.2.0/24"] }]
        policy = [
            { name = "last", selector = "all()", egress = [] },
            { name = "b", tier = "a", selector = "role == 'db'", ingress = [{ action = "allow", from = "office" }] },
            { name = "a", tier = "a", selector = "has(role)", ingress = [{ action = "log", protocol = "tcp", ports = [80, "90-99"] }] },
        ]
    "#;
    let set = PolicySet::parse("test", text).unwrap();
    let mut store = open(dir.path());
    let mut apply = |set: &PolicySet| {
        let edit = store.update(|model| {
            model.set_policies(set);
            Ok::<_, StoreError>(())
        });
        edit.unwrap();
        store.model().policies()
    };
    assert_eq!(apply(&set), set);
    // What is gone is gone on disk too.
    let mut fewer = set.clone();
    fewer.tiers.swap(0, 1);
    fewer.tiers[0].policies.remove(0);
    fewer.groups.clear();
    assert_eq!(apply(&fewer), fewer);
    drop(store);
    assert_eq!(open(dir.path()).model().policies(), fewer);
}

#[test]
fn all_that_was_saved_is_read_again() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("a/b");
    let mut store = open(&state);
    (0..20).for_each(|number| save(&mut store, number).unwrap());
    let request = PoolRequest { space: Space::Local, subnet: None, range: None, v6: true };
    let mut pools = Vec::new();
    for _ in 0..3 {
        let pool = store.update(|model| {
            let pool = request_pool(&mut model.pools, &Plan::for_host(b""), &request).unwrap();
            request_address(&mut model.pools, pool, &AddressRequest::default()).unwrap();
            Ok::<_, StoreError>(pool)
        });
        pools.push(pool.unwrap());
    }
    store
        .update(|model| {
            release_pool(&mut model.pools, pools[1]);
            let id = model.networks.keys().next().cloned().unwrap();
            model.networks.remove(&id);
            let id = model.endpoints.keys().next().cloned().unwrap();
            model.endpoints.get_mut(&id).unwrap().sandbox = None;
            for prefix in ["default/10.0.0.0/8", "red/fd00::/64", "red/0.0.0.0/0"] {
                model.routes.insert(prefix.parse().unwrap(), Route::Prohibit);
            }
            let path = Path { via: "10.77.0.9".parse().ok(), interface: "bvi-n-1".parse().ok() };
            model.routes.insert("red/fd00::/64".parse().unwrap(), Route::Via(vec![path]));
            model.routes.remove(&"red/0.0.0.0/0".parse().unwrap());
            Ok::<_, StoreError>(())
        })
        .unwrap();
    let before = store.model().clone();
    assert_eq!((before.networks.len(), before.pools.pools.len(), before.pools.leases.len()), (19, 2, 2));
    assert_eq!(before.routes.len(), 2);
    drop(store);
    assert_eq!(*open(&state).model(), before);
    let mode = |path: &std::path::Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&state), mode(&state.join("model.redb"))), (0o700, 0o600));
}

#[test]
fn a_refused_or_panicking_edit_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path());
    save(&mut store, 1).unwrap();
    let before = store.model().clone();
    let refused = store.update(|model| {
        add(model, 2);
        Err::<(), _>(Refused::No)
    });
    assert!(matches!(refused, Err(Refused::No)));
    assert_eq!(*store.model(), before);
    let panicked = std::panic::catch_unwind(AssertUnwindSafe(|| {
        store.update(|model| -> Result<(), StoreError> {
            add(model, 3);
            panic!("on purpose");
        })
    }));
    assert!(panicked.is_err());
    assert_eq!(*store.model(), before);
    save(&mut store, 4).unwrap();
    let before = store.model().clone();
    drop(store);
    assert_eq!(*open(dir.path()).model(), before);
}

#[test]
fn an_edit_that_changes_nothing_writes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path());
    save(&mut store, 1).unwrap();
    let bytes = || std::fs::read(dir.path().join("model.redb")).unwrap();
    let before = bytes();
    save(&mut store, 1).unwrap();
    assert!(before == bytes());
}

/// A child that is killed when the test ends, however it ends.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

const CHILD: &str = "PACELINE_STORE_TEST_DIR";

/// Not a test of its own: what `kill_9_loses_nothing_acknowledged` kills.
#[test]
fn child_that_saves_until_it_is_killed() {
    let Some(dir) = std::env::var_os(CHILD) else { return };
    let mut store = open(dir.as_ref());
    for number in store.model().networks.len().. {
        save(&mut store, number).unwrap();
        // The harness holds back what a test prints; a line here is an answer that was sent.
        eprintln!("saved {number}");
    }
}

#[test]
fn kill_9_loses_nothing_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    for round in 1..=5 {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args(["--exact", "child_that_saves_until_it_is_killed", "--nocapture"])
            .env(CHILD, dir.path());
        let mut child = Killed(command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap());
        let lines = BufReader::new(child.0.stderr.take().unwrap()).lines().map_while(Result::ok);
        let mut saved = lines.filter_map(|line| line.strip_prefix("saved ")?.parse::<usize>().ok());
        let last = saved.nth(10 * round).unwrap();
        drop(child);
        let store = open(dir.path());
        let model = store.model();
        // One more than was answered may be there: it was saved, but its answer never sent.
        assert!(model.networks.len() > last, "{} of {last}", model.networks.len());
        assert_eq!(model.networks.len(), model.endpoints.len(), "an update is whole");
    }
}
