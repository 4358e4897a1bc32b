//! Many threads on one database that merges all the time.

mod common;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use common::{assert_sound, on, tiny};
use halodb::vfs::SimVfs;
use halodb::{Durability, Result, WriteOptions};

const WRITERS: u64 = 4;
const WRITES: u64 = 1500;

#[test]
fn writers_and_readers_agree_while_everything_is_merged_under_them() {
    let disk = SimVfs::new();
    let db = tiny(on(&disk)).durability(Durability::Memory).merge_threads(2).open().unwrap();
    let finished: Vec<_> = (0..WRITERS).map(|_| AtomicU64::new(0)).collect();
    let stop = AtomicBool::new(false);
    let reader = |db: halodb::Db| {
        let mut rounds = 0;
        while !stop.load(Ordering::Acquire) || rounds == 0 {
            for (writer, finished) in finished.iter().enumerate() {
                let known = finished.load(Ordering::Acquire);
                let snapshot = db.snapshot();
                // What was finished before the snapshot is in it.
                let (mut last, mut count) = (None, 0);
                for pair in snapshot.prefix(format!("w{writer}/")) {
                    let (key, value) = pair.unwrap();
                    let i: u64 = std::str::from_utf8(&key[3..]).unwrap().parse().unwrap();
                    assert!(value.starts_with(format!("{writer} {i} ").as_bytes()));
                    assert!(last.is_none_or(|last| last < i));
                    (last, count) = (Some(i), count + 1);
                }
                assert!(known == 0 || last.is_some_and(|last| last + 1 >= known), "{last:?} of {known}");
                assert_eq!(snapshot.count_prefix(format!("w{writer}/")).unwrap(), count);
                // And it has no holes: of the writes up to the last, every tenth is deleted, the newest perhaps not yet.
                let written = last.map_or(0, |last| last + 1);
                let pending = u64::from(written > 0 && written % 10 == 0 && count + written / 10 > written);
                assert_eq!(count + written / 10 - pending, written);
            }
            rounds += 1;
        }
    };
    std::thread::scope(|scope| {
        let writers = Vec::from_iter(finished.iter().enumerate().map(|(writer, finished)| {
            let db = db.clone();
            scope.spawn(move || {
                for i in 0..WRITES {
                    db.put(format!("w{writer}/{i:06}"), format!("{writer} {i} {}", "v".repeat(60))).unwrap();
                    finished.store(i + 1, Ordering::Release);
                    // One's own write is visible at once.
                    assert!(db.contains(format!("w{writer}/{i:06}")).unwrap());
                    if i % 10 == 9 {
                        assert!(db.delete(format!("w{writer}/{:06}", i - 9)).unwrap());
                    }
                }
            })
        }));
        for _ in 0..2 {
            let db = db.clone();
            scope.spawn(|| reader(db));
        }
        let results: Vec<_> = writers.into_iter().map(|writer| writer.join()).collect();
        stop.store(true, Ordering::Release);
        assert!(results.iter().all(|result| result.is_ok()), "a writer failed");
    });
    assert!(db.stats().merges > 10, "{:?}", db.stats());
    let expected = WRITERS * (WRITES - WRITES / 10);
    assert_eq!(db.len().unwrap(), expected);
    assert_sound(&db);
    db.close().unwrap();
    let db = tiny(on(&disk)).open().unwrap();
    assert_eq!(db.len().unwrap(), expected);
    assert_sound(&db);
}

#[test]
fn no_snapshot_ever_shows_half_a_batch() {
    let disk = SimVfs::new();
    let db = tiny(on(&disk)).partitions(4).durability(Durability::Memory).open().unwrap();
    let stop = AtomicBool::new(false);
    let accounts = 16;
    let start = (0..accounts).fold(db.batch(), |batch, i| batch.put(format!("account/{i:02}"), "100"));
    start.commit().unwrap();
    let balance = |value: halodb::Value| -> i64 { std::str::from_utf8(&value).unwrap().parse().unwrap() };
    std::thread::scope(|scope| {
        // One thread transfers, so that it may read what it writes; another fills the memtables.
        scope.spawn(|| {
            for i in 0..3000u64 {
                let (from, to) = (i * 7 % accounts, (i * 11 + 1) % accounts);
                if from == to {
                    continue;
                }
                let keys = [from, to].map(|account| format!("account/{account:02}"));
                let [a, b] = [&keys[0], &keys[1]].map(|key| balance(db.get(key).unwrap().unwrap()));
                let batch = db.batch().put(&keys[0], (a - 1).to_string()).put(&keys[1], (b + 1).to_string());
                batch.commit().unwrap();
            }
            stop.store(true, Ordering::Release);
        });
        scope.spawn(|| {
            let mut i = 0u64;
            while !stop.load(Ordering::Acquire) {
                db.put(format!("filler/{:04}", i % 3000), [b'f'; 80]).unwrap();
                i += 1;
            }
        });
        scope.spawn(|| {
            while !stop.load(Ordering::Acquire) {
                let balances: Result<Vec<_>> = db.prefix("account/").values().collect();
                let balances: Vec<_> = balances.unwrap().into_iter().map(balance).collect();
                assert_eq!(balances.len(), accounts as usize);
                assert_eq!(balances.iter().sum::<i64>(), 100 * accounts as i64, "{balances:?}");
            }
        });
    });
    assert!(db.stats().merges > 0);
    assert_sound(&db);
}

#[test]
fn writers_of_all_levels_share_one_order() {
    let disk = SimVfs::new();
    let db = tiny(on(&disk)).open().unwrap();
    std::thread::scope(|scope| {
        for (writer, level) in [Durability::Memory, Durability::Buffered, Durability::Sync].into_iter().enumerate() {
            let db = &db;
            scope.spawn(move || {
                let options = WriteOptions::new().durability(level);
                let mut last = 0;
                for i in 0..300 {
                    let seq = db.put_with(format!("w{writer}/{i:03}"), "v", &options).unwrap().unwrap().seq;
                    assert!(seq > last);
                    assert!(db.last_seq() >= seq);
                    last = seq;
                }
                db.wait_durable(last).unwrap();
            });
        }
    });
    assert_eq!(db.len().unwrap(), 900);
}

#[test]
fn closing_under_writers_ends_them_with_closed_and_keeps_what_they_finished() {
    let disk = SimVfs::new();
    let db = tiny(on(&disk)).durability(Durability::Memory).open().unwrap();
    let finished: u64 = std::thread::scope(|scope| {
        let writers: Vec<_> = (0..3)
            .map(|writer| {
                let db = db.clone();
                scope.spawn(move || {
                    for i in 0.. {
                        if let Err(error) = db.put(format!("w{writer}/{i}"), [b'v'; 100]) {
                            assert_eq!(error.kind(), halodb::ErrorKind::Closed, "{error:?}");
                            return i;
                        }
                    }
                    0
                })
            })
            .collect();
        std::thread::sleep(std::time::Duration::from_millis(100));
        db.close().unwrap();
        writers.into_iter().map(|writer| writer.join().unwrap()).sum()
    });
    drop(db);
    let db = tiny(on(&disk)).open().unwrap();
    // A write may have been in the log already when its writer was told that the database is closed.
    let found = db.len().unwrap();
    assert!((finished..=finished + 3).contains(&found), "{found} of {finished}");
    assert_sound(&db);
}
