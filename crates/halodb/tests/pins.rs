//! Memory that snapshots, iterators and transactions keep: it has a share of its own, and writers have theirs.

mod common;

use common::{assert_sound, on};
use halodb::vfs::SimVfs;
use halodb::{Builder, Db, Durability, ErrorKind, Snapshot};
use std::time::Duration;

const LIMIT: u64 = 16 << 20;

fn options(disk: &SimVfs) -> Builder {
    on(disk).memtable(LIMIT).log_limit(4 * LIMIT).durability(Durability::Memory).idle(Duration::from_secs(60))
}

/// Writes about a MiB to keys that are the same each round.
fn write(db: &Db, round: u32) {
    for i in 0..1024u32 {
        db.put((i * 7919 % 4096).to_le_bytes(), [round as u8; 1000]).unwrap();
    }
}

#[test]
fn when_snapshots_keep_half_of_the_memory_new_ones_are_busy_and_reads_and_writes_go_on() {
    let disk = SimVfs::new();
    let db = options(&disk).open().unwrap();
    let mut held: Vec<Snapshot> = Vec::new();
    let error = loop {
        assert!(held.len() < 200, "never busy: {:?}", db.stats());
        write(&db, held.len() as u32);
        let snapshot = db.snapshot();
        match snapshot.get(0u32.to_le_bytes()) {
            Ok(_) => held.push(snapshot.label(format!("report {}", held.len()))),
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), ErrorKind::Busy);
    assert!(error.is_retryable());
    let hint = error.hint().expect("a hint");
    assert!(hint.contains("\"report 0\"") && hint.contains("thread"), "{hint}");
    let stats = db.stats();
    assert!(stats.pinned_bytes > LIMIT / 2, "{stats:?}");
    for refused in [db.begin().err(), db.iter().next().and_then(Result::err), db.scan("a"..).next().err()] {
        assert_eq!(refused.expect("refused").kind(), ErrorKind::Busy);
    }
    // Neither lookups nor counts nor writes keep anything.
    for round in 0..40 {
        write(&db, round);
        assert_eq!(db.get(0u32.to_le_bytes()).unwrap().expect("there")[0], round as u8);
        let stats = db.stats();
        assert!(stats.memtable_bytes + stats.pinned_bytes <= 2 * LIMIT + LIMIT / 10, "{stats:?}");
    }
    assert_eq!(db.len().unwrap(), 1024);
    assert!(db.first().unwrap().is_some());
    // What is held shows what it showed.
    for (round, snapshot) in held.iter().enumerate() {
        assert_eq!(snapshot.get(0u32.to_le_bytes()).unwrap().expect("there")[0], round as u8);
        assert_eq!(snapshot.iter().count(), 1024);
    }
    drop(held);
    assert_eq!(db.snapshot().len().unwrap(), 1024);
    assert_eq!(db.begin().unwrap().get(0u32.to_le_bytes()).unwrap().expect("there")[0], 39);
    assert_eq!(db.iter().count(), 1024);
    assert_eq!(db.stats().pinned_bytes, 0);
    assert_sound(&db);
}

#[test]
fn a_snapshot_held_over_a_long_load_keeps_a_bounded_part_and_writers_have_the_rest() {
    let disk = SimVfs::new();
    let db = options(&disk).open().unwrap();
    write(&db, 1);
    let held = db.snapshot();
    for round in 2..120 {
        write(&db, round);
        let stats = db.stats();
        // Of the readers: what was in memory when it was taken. Of the writers: half of the limit.
        assert!(stats.memtable_bytes + stats.pinned_bytes <= LIMIT + LIMIT / 2 + LIMIT / 10, "{stats:?}");
    }
    assert!(db.stats().merges > 10, "{:?}", db.stats());
    assert_eq!(held.get(0u32.to_le_bytes()).unwrap().expect("there")[0], 1);
    assert_eq!(db.get(0u32.to_le_bytes()).unwrap().expect("there")[0], 119);
}

#[test]
fn a_scan_that_outlives_one_merge_keeps_nobody_out_however_much_was_merged() {
    let disk = SimVfs::new();
    let db = options(&disk).open().unwrap();
    let has_kept_much = (0..50u8).any(|round| {
        let pairs = (0..12 << 10).map(|i: u32| (i.to_le_bytes(), [round; 1000]));
        let batch = pairs.fold(db.batch(), |batch, (key, value)| batch.put(key, value));
        batch.commit().unwrap();
        let mut scan = db.iter();
        scan.next().expect("a pair").unwrap();
        while db.stats().memtable_bytes > LIMIT / 2 {
            std::thread::sleep(Duration::from_millis(1));
        }
        db.begin().expect("one merge is nothing").rollback();
        assert_eq!(db.iter().count(), 12 << 10);
        db.stats().pinned_bytes > LIMIT / 2
    });
    assert!(has_kept_much, "the scan was always too late to keep anything");
}
