//! Each way in which the disk can fail.

mod common;

use std::fs;
use std::path::Path;

use common::{open, save};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use paceline_store::{Store, StoreError};
use redb::{Database, TableDefinition};

fn error(dir: &Path) -> StoreError {
    match Store::open(dir) {
        Ok(_) => panic!("opened"),
        Err(error) => error,
    }
}

/// Runs `test` in a file system of a megabyte's multiple that no one else sees and that ends with it: the mount namespace is
/// that of a thread. Needs root.
fn on_tmpfs(megabytes: usize, test: impl FnOnce(&Path) + Send) {
    if !nix::unistd::geteuid().is_root() {
        println!("skipped: needs root");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let run = || {
        unshare(CloneFlags::CLONE_NEWNS).unwrap();
        mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>).unwrap();
        let size = format!("size={megabytes}m");
        mount(Some("tmpfs"), dir.path(), Some("tmpfs"), MsFlags::empty(), Some(size.as_str())).unwrap();
        test(dir.path());
    };
    std::thread::scope(|scope| scope.spawn(run).join())
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
}

/// Fills the file system to the last byte.
fn fill(dir: &Path) {
    use std::io::Write;
    let mut file = fs::File::create(dir.join("filler")).unwrap();
    for size in [1 << 16, 1 << 12, 1] {
        while file.write_all(&vec![0; size]).is_ok() {}
    }
}

#[test]
fn a_full_disk_is_an_error_and_no_loss() {
    on_tmpfs(8, |dir| {
        let mut store = open(dir);
        save(&mut store, 0).unwrap();
        fill(dir);
        let failed =
            (1..100_000).find_map(|number| save(&mut store, number).err().map(|error| (number, error)));
        let (number, error) = failed.expect("the disk is full");
        assert!(matches!(error, StoreError::Full { .. }), "{error}");
        assert_eq!(store.model().networks.len(), number, "what was refused is not in the model");
        // Still full: still an error, and the switch can still be started.
        assert!(matches!(save(&mut store, number), Err(StoreError::Full { .. })));
        let before = store.model().clone();
        drop(store);
        let mut store = open(dir);
        assert_eq!(*store.model(), before);
        fs::remove_file(dir.join("filler")).unwrap();
        save(&mut store, number).unwrap();
        let before = store.model().clone();
        drop(store);
        assert_eq!(*open(dir).model(), before);
    });
}

#[test]
fn after_a_failure_the_same_store_goes_on() {
    on_tmpfs(8, |dir| {
        let mut store = open(dir);
        fill(dir);
        let number =
            (0..100_000).find(|&number| save(&mut store, number).is_err()).expect("the disk is full");
        fs::remove_file(dir.join("filler")).unwrap();
        save(&mut store, number).unwrap();
        let before = store.model().clone();
        assert_eq!(before.networks.len(), number + 1);
        drop(store);
        assert_eq!(*open(dir).model(), before);
    });
}

#[test]
fn no_room_for_a_new_file() {
    on_tmpfs(1, |dir| {
        fill(dir);
        let error = error(&dir.join("state"));
        assert!(matches!(error, StoreError::Full { .. }), "{error}");
    });
}

#[test]
fn a_read_only_directory() {
    on_tmpfs(8, |dir| {
        let remount = MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY;
        mount(None::<&str>, dir, None::<&str>, remount, None::<&str>).unwrap();
        let error = error(dir);
        assert!(matches!(error, StoreError::ReadOnly { .. }), "{error}");
        assert!(error.to_string().contains("--state-dir"), "{error}");
    });
}

#[test]
fn a_second_instance() {
    let dir = tempfile::tempdir().unwrap();
    let _store = open(dir.path());
    let error = error(dir.path());
    assert!(matches!(error, StoreError::InUse { .. }), "{error}");
    assert!(error.to_string().starts_with("another paceline uses this state directory"), "{error}");
}

#[test]
fn a_directory_that_is_a_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    fs::write(&path, "").unwrap();
    let error = error(&path);
    assert!(matches!(error, StoreError::Io { .. }), "{error}");
}

#[test]
fn a_file_of_something_else() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("model.redb"), "x".repeat(10_000)).unwrap();
    let error = error(dir.path());
    assert!(matches!(error, StoreError::Corrupt { .. }), "{error}");
}

/// Writes one row into the file, past the store.
fn tamper(dir: &Path, edit: impl FnOnce(&redb::WriteTransaction)) {
    drop(open(dir));
    let db = Database::open(dir.join("model.redb")).unwrap();
    let transaction = db.begin_write().unwrap();
    edit(&transaction);
    transaction.commit().unwrap();
}

#[test]
fn state_of_a_later_version() {
    let dir = tempfile::tempdir().unwrap();
    tamper(dir.path(), |transaction| {
        let meta: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
        transaction.open_table(meta).unwrap().insert("schema", 3).unwrap();
    });
    let error = error(dir.path());
    assert!(matches!(error, StoreError::Newer { found: 3, known: 2, .. }), "{error}");
}

#[test]
fn a_row_that_is_none() {
    let dir = tempfile::tempdir().unwrap();
    tamper(dir.path(), |transaction| {
        let networks: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("networks");
        transaction.open_table(networks).unwrap().insert("abc", b"{}".as_slice()).unwrap();
    });
    let error = error(dir.path());
    assert!(error.to_string().contains("networks row \"abc\": missing field"), "{error}");
}

#[test]
fn flipped_bits_are_found() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path());
    (0..50).for_each(|number| save(&mut store, number).unwrap());
    let model = store.model().clone();
    drop(store);
    let path = dir.path().join("model.redb");
    let good = fs::read(&path).unwrap();
    let mut found = 0;
    for place in (8192..good.len()).step_by(4096 * 7 + 99) {
        let mut bad = good.clone();
        bad[place] ^= 0xff;
        fs::write(&path, bad).unwrap();
        match Store::open(dir.path()) {
            // The page is not in use.
            Ok(store) => assert_eq!(*store.model(), model),
            Err(StoreError::Corrupt { .. }) => found += 1,
            Err(other) => panic!("{other}"),
        }
    }
    assert!(found > 0);
}
