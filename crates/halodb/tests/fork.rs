//! A process that forks while a database is open: the child can do nothing with what it has inherited, and does not hang on
//! the locks of threads that it does not have; the parent notices nothing.
//!
//! A child reports through a file and ends by `_exit`, so that nothing of the test program's own runs twice.
#![cfg(target_os = "linux")]

mod common;
#[path = "../../vfs/tests/common/forked.rs"]
mod forked;

use common::{assert_sound, tiny};
use forked::{PATIENCE, fork};
use halodb::{Db, Durability, ErrorKind, Iter, Keyspace, Scan, Snapshot, Transaction, WriteOptions};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// One test at a time: what a child inherits is then known, the output of the test program among it.
fn alone() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(|poison| poison.into_inner())
}

/// Everything that a program may hold of a database.
struct Held {
    db: Db,
    users: Keyspace,
    snapshot: Snapshot,
    pairs: Iter,
    scan: Scan,
    tx: Transaction,
}

impl Held {
    /// All of it, in use.
    fn of(db: &Db) -> Held {
        let users = db.keyspace("users").unwrap();
        users.put("1", "Ada").unwrap();
        let (snapshot, mut pairs, mut scan) = (db.snapshot(), db.iter(), db.scan::<&str>(..));
        assert!(pairs.next().is_some() && scan.next().unwrap().is_some());
        let mut tx = db.begin().unwrap();
        assert!(tx.get("k0000").unwrap().is_some());
        tx.put("from the transaction", "1").unwrap();
        Held { db: db.clone(), users, snapshot, pairs, scan, tx }
    }

    /// In a child: every call is refused, and dropping everything ends.
    fn try_everything(self) {
        let Held { db, users, snapshot, mut pairs, mut scan, mut tx } = self;
        let later = WriteOptions::new().ttl(halodb::Ttl::After(Duration::from_secs(60)));
        let large = (0..3000).fold(db.batch(), |batch, i| batch.put(format!("large {i}"), [0; 1000]));
        let of_pairs = tx.iter().next().and_then(Result::err);
        let calls: Vec<(&str, Option<halodb::Error>)> = vec![
            ("get", db.get("k0000").err()),
            ("get_with", db.get_with("k0000", |_| ()).err()),
            ("contains", db.contains("k0000").err()),
            ("multi_get", db.multi_get(["k0000"]).err()),
            ("first", db.first().err()),
            ("last", db.last().err()),
            ("len", db.len().err()),
            ("count", db.count("a"..).err()),
            ("rank", db.rank("a").err()),
            ("nth", db.nth(0).err()),
            ("is_empty", db.is_empty().err()),
            ("ttl", db.ttl("k0000").err()),
            ("iter", db.iter().next().and_then(Result::err)),
            ("scan", db.scan::<&str>(..).next().err()),
            ("snapshot", db.snapshot().get("k0000").err()),
            ("put", db.put("a", "1").err()),
            ("put_with", db.put_with("a", "1", &later).err()),
            ("insert", db.insert("a", "1").err()),
            ("delete", db.delete("k0000").err()),
            ("remove", db.remove("k0000").err()),
            ("delete_range", db.delete_range("a"..).err()),
            ("delete_prefix", db.delete_prefix("k").err()),
            ("clear", db.clear().err()),
            ("compare_and_swap", db.compare_and_swap("a", None, Some(b"1")).err()),
            ("update", db.update("a", |_| None).err()),
            ("increment", db.increment("a", 1).err()),
            ("pop_first", db.pop_first().err()),
            ("pop_last", db.pop_last().err()),
            ("expire", db.expire("k0000", halodb::Ttl::Never).err()),
            ("ingest_sorted", db.ingest_sorted([("a", "1")]).err()),
            ("batch", db.batch().put("a", "1").commit().err()),
            ("a large batch", large.commit().err()),
            ("begin", db.begin().err()),
            ("transaction", db.transaction(|tx| tx.put("a", "1")).err()),
            ("keyspace", db.keyspace("new").err()),
            ("keyspaces", db.keyspaces().err()),
            ("drop_keyspace", db.drop_keyspace("users").err()),
            ("get of a keyspace", users.get("1").err()),
            ("put of a keyspace", users.put("1", "").err()),
            ("sync", db.sync().err()),
            ("wait_durable", db.wait_durable(1).err()),
            ("flush", db.flush().err()),
            ("compact", db.compact().err()),
            ("space", db.space().err()),
            ("shape", db.shape().err()),
            ("check", db.check(halodb::Depth::Quick).err()),
            ("backup", db.backup("never made").err()),
            ("confirm_clock", db.confirm_clock().err()),
            ("get of an old snapshot", snapshot.get("k0000").err()),
            ("len of an old snapshot", snapshot.len().err()),
            ("iter of an old snapshot", snapshot.iter().next().and_then(Result::err)),
            ("an old iterator", pairs.next().and_then(Result::err)),
            ("an old scan", scan.next_back().err()),
            ("get of an old transaction", tx.get("k0001").err()),
            ("delete of an old transaction", tx.delete("k0001").err()),
            ("len of an old transaction", tx.len().err()),
            ("iter of an old transaction", of_pairs),
            ("commit of an old transaction", tx.commit().err()),
            ("close", db.close().err()),
        ];
        for (call, error) in calls {
            let error = error.unwrap_or_else(|| panic!("{call} is not refused"));
            assert_eq!(error.kind(), ErrorKind::Forked, "{call}: {error}");
            assert!(error.to_string().contains(&std::process::id().to_string()), "{call}: {error}");
        }
        assert!(pairs.next().is_none(), "the error is given once");
        assert_eq!((db.last_seq(), db.stats().commits), (0, 0));
        drop(snapshot.label("of no use"));
        drop((users, pairs, scan));
        drop(db);
    }
}

/// What the files of a directory hold.
fn contents(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => found.extend(contents(&path)),
            false => drop(found.insert(path.clone(), std::fs::read(&path).unwrap())),
        }
    }
    found
}

/// A thousand keys, half of them merged; nothing happens to its files by itself.
fn quiet(path: &Path) -> Db {
    let minute = Duration::from_secs(60);
    let db = Db::builder(path).interval(minute).idle(minute).open().unwrap();
    let fast = WriteOptions::new().durability(Durability::Memory);
    for i in 0..1000 {
        if i == 500 {
            db.flush().unwrap();
        }
        db.put_with(format!("k{i:04}"), "v", &fast).unwrap();
    }
    db.sync().unwrap();
    db
}

#[test]
fn a_child_is_refused_everything_and_touches_no_file_while_its_parent_goes_on() {
    let _turn = alone();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("data");
    let mut handle = Some(quiet(&path));
    let held = Held::of(handle.as_ref().unwrap());
    let before = contents(&path);
    // The child gets its copy by the fork, the parent goes on with the same.
    let mut held = Some(held);
    fork(&dir.path().join("report"), || {
        held.take().unwrap().try_everything();
        let error = Db::open(&path).expect_err("the parent has it open");
        assert_eq!(error.kind(), ErrorKind::Locked);
        assert_eq!(error.holder(), Some(std::os::unix::process::parent_id()), "{error}");
        // The last handle of the child.
        drop(handle.take());
    })
    .wait();
    assert!(contents(&path) == before, "the child wrote to a file");

    let db = handle.expect("the parent has its handle");
    let Held { snapshot, pairs, mut scan, tx, users, .. } = held.expect("the parent has what it had");
    assert_eq!(Db::open(&path).expect_err("it is still open").kind(), ErrorKind::Locked);
    assert_eq!(db.space().unwrap().snapshots.len(), 2, "the snapshot and the transaction");
    db.put("k0500", "new").unwrap();
    assert_eq!(snapshot.get("k0500").unwrap().as_deref(), Some(&b"v"[..]));
    assert_eq!(pairs.map(Result::unwrap).count(), 999);
    assert_eq!(scan.next_back().unwrap(), Some((&b"k0999"[..], &b"v"[..])));
    tx.commit().unwrap();
    users.put("2", "Grace").unwrap();
    drop((snapshot, scan));
    db.flush().unwrap();
    assert_sound(&db);
    db.close().unwrap();
    drop((users, db));
    let db = Db::open(&path).unwrap();
    assert!(db.open_report().clean);
    assert_eq!((db.len().unwrap(), db.keyspace("users").unwrap().len().unwrap()), (1001, 2));
    assert_eq!(db.get("k0500").unwrap().as_deref(), Some(&b"new"[..]));
    assert_sound(&db);
}

#[test]
fn children_forked_while_threads_write_merge_and_read_never_hang_and_the_parent_loses_nothing() {
    let _turn = alone();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("data");
    let db = tiny(Db::builder(&path)).durability(Durability::Memory).open().unwrap();
    db.put("k0000", "v").unwrap();
    let (over, puts) = (AtomicBool::new(false), AtomicU64::new(0));
    let rounds = 40 * common::scale();
    std::thread::scope(|scope| {
        for thread in 0..2u64 {
            let (db, over, puts) = (&db, &over, &puts);
            scope.spawn(move || {
                for i in 0.. {
                    if over.load(Ordering::Relaxed) {
                        break;
                    }
                    db.put([b"w" as &[u8], &(thread << 32 | i).to_le_bytes()].concat(), [7; 60]).unwrap();
                    puts.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        // What takes the locks that readers have: of versions, of the list of snapshots, of the evidence for transactions.
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                let (snapshot, tx) = (db.snapshot(), db.begin().unwrap());
                assert!(snapshot.get("k0000").unwrap().is_some() && tx.get("k0000").unwrap().is_some());
                assert!(db.iter().next().is_some() && db.len().unwrap() > 0 && db.stats().commits > 0);
                assert!(db.space().is_ok() && db.keyspace("users").is_ok());
            }
        });
        for round in 0..rounds {
            let mut held = Some(Held::of(&db));
            let child = fork(&dir.path().join(format!("report {round}")), || {
                held.take().unwrap().try_everything();
            });
            drop(held);
            child.wait();
        }
        over.store(true, Ordering::Relaxed);
    });
    let expected = puts.load(Ordering::Relaxed) + 1;
    assert_eq!(db.len().unwrap(), expected);
    assert_eq!(db.space().unwrap().snapshots, []);
    db.flush().unwrap();
    assert_sound(&db);
    db.close().unwrap();
    drop(db);
    let db = Db::open(&path).unwrap();
    assert_eq!(db.len().unwrap(), expected);
    assert_sound(&db);
}

#[test]
fn a_child_that_lives_on_keeps_nobody_from_the_directory_and_may_open_it_itself_when_it_is_free() {
    let _turn = alone();
    let dir = tempfile::tempdir().unwrap();
    let (path, other) = (dir.path().join("data"), dir.path().join("other"));
    let mut handle = Some(quiet(&path));
    let [may_go_on, has_own, may_open] = ["go on", "own", "open"].map(|sign| dir.path().join(sign));
    let begun = Instant::now();
    let child = fork(&dir.path().join("report"), || {
        let wait_for = |sign: &Path| {
            while !sign.exists() {
                std::thread::sleep(Duration::from_millis(1));
            }
        };
        wait_for(&may_go_on);
        // The lock of the parent's second open is not the child's to release.
        drop(handle.take());
        assert_eq!(Db::open(&path).expect_err("the parent has it again").kind(), ErrorKind::Locked);
        let own = Db::open(&other).unwrap();
        own.put("by", "the child").unwrap();
        own.close().unwrap();
        drop(own);
        std::fs::write(&has_own, "").unwrap();
        wait_for(&may_open);
        let db = Db::open(&path).unwrap();
        assert_eq!(db.len().unwrap(), 1001);
        db.put("again", "by the child").unwrap();
        db.close().unwrap();
    });
    handle.take().unwrap().close().unwrap();
    let db = Db::open(&path).unwrap();
    std::fs::write(&may_go_on, "").unwrap();
    db.put("again", "by the parent").unwrap();
    while !has_own.exists() {
        assert!(begun.elapsed() < PATIENCE, "the child hangs");
        std::thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(Db::open(&other).unwrap().get("by").unwrap().as_deref(), Some(&b"the child"[..]));
    db.close().unwrap();
    drop(db);
    std::fs::write(&may_open, "").unwrap();
    child.wait();
    let db = Db::open(&path).unwrap();
    assert_eq!(db.get("again").unwrap().as_deref(), Some(&b"by the child"[..]));
    assert_sound(&db);
}
