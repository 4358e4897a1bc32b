//! Backups through `Db`, with threads that write: what is in one is exactly what was committed up to its sequence number.

use halodb::vfs::{SimVfs, Vfs};
use halodb::{CopyStep, Db, Depth, Durability, ErrorKind, Restore};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// What one commit does: a value for a key, or none.
type Writes = Vec<(u16, Option<u32>)>;

fn key(number: u16) -> Vec<u8> {
    format!("key/{:03}/{}", number, "x".repeat(usize::from(number % 40))).into_bytes()
}

fn value(len: u32) -> Vec<u8> {
    (0..len).map(|i| (i * 7 + len) as u8).collect()
}

fn open(disk: &SimVfs, dir: &str, partitions: u32) -> Db {
    let vfs: Arc<dyn Vfs> = Arc::new(disk.clone());
    let db = Db::builder(dir).vfs(vfs).partitions(partitions).page_size(4096).memtable(64 << 10).segment(64 << 10);
    db.log_limit(256 << 10).merge_chunk(32 << 10).durability(Durability::Memory).open().expect("it opens")
}

fn writes() -> impl Strategy<Value = Writes> {
    let len = prop_oneof![8 => 0..100u32, 2 => 100..2_000u32, 1 => 4_000..20_000u32];
    proptest::collection::vec((0..300u16, prop_oneof![4 => len.prop_map(Some), 1 => Just(None)]), 1..6)
}

fn commit(db: &Db, writes: &Writes) -> u64 {
    let mut batch = db.batch();
    for (number, len) in writes {
        batch = match len {
            Some(len) => batch.put(key(*number), value(*len)),
            None => batch.delete(key(*number)),
        };
    }
    batch.commit().expect("a sound disk").seq
}

/// Writers commit their lists over and over while a backup is made; which commits are in it, their numbers say.
fn check(partitions: u32, lists: &[Vec<Writes>]) {
    let disk = SimVfs::new();
    let db = open(&disk, "data", partitions);
    let ended = AtomicBool::new(false);
    let mut commits: BTreeMap<u64, Writes> = BTreeMap::new();
    let mut report = None;
    std::thread::scope(|scope| {
        let writers: Vec<_> = lists
            .iter()
            .map(|list| {
                let (db, ended) = (db.clone(), &ended);
                scope.spawn(move || {
                    let mut done = Vec::new();
                    // At least once, and as long as the backup takes.
                    while done.len() < list.len() || (!ended.load(Ordering::Relaxed) && done.len() < 3_000) {
                        let writes = &list[done.len() % list.len()];
                        done.push((commit(&db, writes), writes.clone()));
                    }
                    done
                })
            })
            .collect();
        report = Some(db.backup("nightly").expect("a sound disk"));
        ended.store(true, Ordering::Relaxed);
        for writer in writers {
            commits.extend(writer.join().expect("no panic"));
        }
    });
    let report = report.expect("made");
    let mut expected: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
    for writes in commits.range(..=report.seq.0).map(|(_, writes)| writes) {
        for (number, len) in writes {
            match len {
                Some(len) => drop(expected.insert(key(*number), value(*len))),
                None => drop(expected.remove(&key(*number))),
            }
        }
    }
    assert_eq!(report.keys, expected.len() as u64);
    let before = backup_files(&disk);
    let restored = Restore::new("nightly").vfs(Arc::new(disk.clone())).to("again").expect("a sound backup");
    assert_eq!(backup_files(&disk), before, "a backup is only read");
    assert_eq!(restored.keys, report.keys);
    let again = open(&disk, "again", partitions);
    let found: BTreeMap<Vec<u8>, Vec<u8>> = again
        .iter()
        .map(|pair| pair.map(|(key, value)| (key.to_vec(), value.to_vec())))
        .collect::<halodb::Result<_>>()
        .expect("readable");
    assert!(found == expected, "{} pairs instead of {}, or others", found.len(), expected.len());
    assert_eq!(again.len().expect("readable"), report.keys);
    assert_eq!(again.check(Depth::Deep).expect("checkable").findings, []);
}

fn backup_files(disk: &SimVfs) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    let files = disk.files().expect("a sound disk").into_iter().filter(|(path, _)| path.starts_with("nightly"));
    files.map(|(path, _)| (path.clone(), disk.read_file(&path).expect("there"))).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn a_backup_made_while_others_write_is_one_moment(
        partitions in 1..4u32,
        lists in proptest::collection::vec(proptest::collection::vec(writes(), 20..120), 1..4),
    ) {
        check(partitions, &lists);
    }
}

#[test]
fn a_database_that_is_closed_during_its_backup_is_backed_up_whole() {
    let disk = SimVfs::new();
    let db = open(&disk, "data", 2);
    for number in 0..200 {
        commit(&db, &vec![(number, Some(50))]);
    }
    let mut closed = false;
    let report = db.backup_with("nightly", |progress| {
        if progress.step == CopyStep::Copy && !std::mem::replace(&mut closed, true) {
            db.close().expect("a backup is no call that a close waits for");
        }
        ControlFlow::Continue(())
    });
    assert_eq!(report.expect("its snapshot reads on").keys, 200);
    assert_eq!(db.backup("another").expect_err("closed").kind(), ErrorKind::Closed);
    let restored = Restore::new("nightly").vfs(Arc::new(disk.clone())).to("again").expect("a sound backup");
    assert_eq!(restored.keys, 200);
}

#[test]
fn a_backup_on_a_medium_that_cannot_be_written_is_restored() {
    use std::os::unix::fs::PermissionsExt;
    let home = tempfile::tempdir().expect("a directory");
    let path = |name: &str| home.path().join(name);
    let db = Db::open(path("data")).expect("it opens");
    db.put("a", "1").expect("room");
    db.backup(path("nightly")).expect("room");
    let set = |mode: u32| {
        for dir in ["nightly", "nightly/wal", "nightly/p000"] {
            let names = std::fs::read_dir(path(dir)).expect("there").map(|entry| entry.expect("an entry").path());
            let files: Vec<_> = names.filter(|name| name.is_file()).collect();
            for name in files.iter().map(|name| name.as_path()).chain([path(dir).as_path()]) {
                let bits = if name.is_dir() { mode | 0o111 } else { mode };
                std::fs::set_permissions(name, std::fs::Permissions::from_mode(bits)).expect("ours");
            }
        }
    };
    set(0o444);
    let verified = Restore::new(path("nightly")).verify(|_| ControlFlow::Continue(())).expect("a sound backup");
    assert_eq!(verified.keys, 1);
    Db::restore(path("nightly"), path("again")).expect("a sound backup");
    set(0o644);
    let again = Db::open(path("again")).expect("it opens");
    assert_eq!(again.get("a").expect("readable").as_deref(), Some(&b"1"[..]));
}

#[test]
fn a_cancelled_restore_says_so_and_leaves_the_database_as_it_was() {
    let disk = SimVfs::new();
    let db = open(&disk, "data", 2);
    commit(&db, &vec![(1, Some(10))]);
    db.backup("nightly").expect("a sound disk");
    commit(&db, &vec![(2, Some(10))]);
    db.close().expect("a sound disk");
    drop(db);
    let restore = Restore::new("nightly").vfs(Arc::new(disk.clone())).replace_existing();
    let error = restore.to_with("data", |_| ControlFlow::Break(())).expect_err("cancelled");
    assert_eq!((error.kind(), error.hint()), (ErrorKind::Cancelled, None));
    assert_eq!(open(&disk, "data", 2).len().expect("readable"), 2);
    restore.to("data").expect("nobody has it open");
    assert_eq!(open(&disk, "data", 2).len().expect("readable"), 1);
    assert!(disk.kind(Path::new("data.unfinished")).expect("a sound disk").is_none());
}
