//! Wrong use is hard: the same directory twice, closures that panic, handles dropped at the wrong moment, readers that outlive
//! the database. (Forked processes are in `fork.rs`.)

mod common;

use common::{assert_sound, on, tiny};
use halodb::vfs::SimVfs;
use halodb::{Db, Durability, ErrorKind};
use std::panic::{AssertUnwindSafe, catch_unwind};

#[test]
fn a_second_open_of_a_directory_is_refused_under_any_of_its_names_and_says_who_has_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("data");
    let db = Db::open(&path).unwrap();
    db.put("a", "1").unwrap();
    let link = dir.path().join("link");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    for name in [path.clone(), path.join("..").join("data"), link] {
        let error = Db::open(&name).expect_err("it is open");
        assert_eq!(error.kind(), ErrorKind::Locked, "{}: {error}", name.display());
        assert_eq!(error.holder(), Some(std::process::id()));
        assert!(error.to_string().contains("data") || error.to_string().contains("link"), "{error}");
        assert!(error.hint().unwrap().contains("this process"), "{:?}", error.hint());
    }
    db.put("b", "2").unwrap();
    db.close().unwrap();
    assert_eq!(Db::open(&path).unwrap().len().unwrap(), 2);
}

#[test]
fn readers_that_outlive_a_close_go_on_and_keep_the_directory_until_the_last_of_them_is_gone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("data");
    let db = Db::open(&path).unwrap();
    for i in 0..2000u32 {
        db.put_with(i.to_le_bytes(), [i as u8; 100], &halodb::WriteOptions::new().durability(Durability::Memory))
            .unwrap();
    }
    let (snapshot, mut pairs, mut scan) = (db.snapshot(), db.iter(), db.scan::<&str>(..));
    assert!(pairs.next().is_some() && scan.next().unwrap().is_some());
    db.close().unwrap();
    drop(db);
    let locked = || assert_eq!(Db::open(&path).expect_err("it is read").kind(), ErrorKind::Locked);
    assert_eq!(snapshot.len().unwrap(), 2000);
    assert_eq!(pairs.map(Result::unwrap).count(), 1999);
    locked();
    drop(snapshot);
    locked();
    let mut left = 0;
    while scan.next().unwrap().is_some() {
        left += 1;
    }
    assert_eq!(left, 1999);
    drop(scan);
    assert_eq!(Db::open(&path).unwrap().len().unwrap(), 2000);
}

#[test]
fn closures_that_panic_hurt_nobody_else_and_leave_nothing_half_done() {
    let disk = SimVfs::new();
    let db = tiny(on(&disk)).durability(Durability::Memory).open().unwrap();
    db.put("counter", "0").unwrap();
    std::thread::scope(|scope| {
        for thread in 0..3u32 {
            let db = db.clone();
            scope.spawn(move || {
                for i in 0..2000u32 {
                    db.put((thread << 16 | i).to_le_bytes(), [7; 60]).unwrap();
                    db.increment("tally", 1).unwrap();
                }
            });
        }
        for kind in 0..5 {
            let db = db.clone();
            scope.spawn(move || {
                for _ in 0..20 {
                    let panicked = catch_unwind(AssertUnwindSafe(|| match kind {
                        0 => drop(db.update("counter", |_| panic!("in an update"))),
                        1 => drop(db.transaction(|tx| -> halodb::Result<()> {
                            tx.put("half", "done")?;
                            panic!("in a transaction")
                        })),
                        2 => drop(db.get_with("counter", |_| panic!("in a lookup"))),
                        3 => {
                            let mut pairs = db.iter();
                            let first = pairs.next().is_some();
                            panic!("in a loop over pairs, with one in hand: {first}")
                        }
                        _ => {
                            let _tx = db.begin().unwrap();
                            let _snapshot = db.snapshot();
                            panic!("with things in hand")
                        }
                    }));
                    assert!(panicked.is_err());
                }
            });
        }
    });
    assert_eq!(db.get("half").unwrap(), None);
    assert_eq!(db.get("counter").unwrap().as_deref(), Some(&b"0"[..]));
    assert_eq!(db.increment("tally", 0).unwrap(), 6000);
    assert_eq!(db.len().unwrap(), 6002);
    assert_eq!(db.space().unwrap().snapshots, [], "what the panics dropped is held no more");
    db.flush().unwrap();
    assert_eq!(db.stats().pinned_bytes, 0);
    assert_sound(&db);
    db.close().unwrap();
    assert_eq!(on(&disk).open().unwrap().len().unwrap(), 6002);
}

#[test]
fn the_last_handle_may_be_dropped_by_any_thread_while_merges_are_under_way() {
    for round in 0..10u32 {
        let disk = SimVfs::new();
        let db = tiny(on(&disk)).durability(Durability::Memory).open().unwrap();
        let keyspace = db.keyspace("other").unwrap();
        for i in 0..4000u32 {
            db.put(i.to_le_bytes(), [round as u8; 50]).unwrap();
        }
        let threads: Vec<_> = (0..3)
            .map(|_| {
                let db = db.clone();
                std::thread::spawn(move || drop(db))
            })
            .collect();
        drop(db);
        keyspace.put("a", "1").unwrap();
        let last = std::thread::spawn(move || drop(keyspace));
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        last.join().unwrap();
        let db = on(&disk).open().unwrap();
        assert!(db.open_report().clean, "round {round}: {:?}", db.open_report());
        assert_eq!(db.len().unwrap(), 4000);
        assert_sound(&db);
    }
}
