//! Group commit under every schedule: loom runs each model again and again, until each order in which its threads can
//! meet (with a bounded number of preemptions) and each value that an atomic load may see was there.
//!
//! The log is the whole log, on a simulated disk. Built only by `cargo xtask loom`, which sums the lines `schedules NAME N`.

#![cfg(loom)]

use halodb_vfs::SimVfs;
use halodb_vfs::sim::{CrashMode, Fault, Repeat};
use halodb_wal::{Durability, Error, Known, Lsn, Payload, Record, RecordKind, Result, Wal, WalOptions};
use loom::sync::atomic::{AtomicU64, Ordering};
use loom::thread;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64 as Plain;

fn options() -> WalOptions {
    WalOptions { segment_bytes: 4096, first_segment_bytes: 4096, ..WalOptions::new([7; 16], 1) }
}

/// Runs `model` under every schedule with at most `preemptions` preemptions. `LOOM_MAX_PREEMPTIONS` and
/// `LOOM_MAX_DURATION` (seconds) say otherwise.
fn explore(name: &str, preemptions: usize, model: fn(SimVfs, Arc<Wal>)) {
    let schedules = Arc::new(Plain::new(0));
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = builder.preemption_bound.or(Some(preemptions));
    builder.max_branches = 20_000;
    let counted = schedules.clone();
    builder.check(move || {
        counted.fetch_add(1, Ordering::Relaxed);
        let disk = SimVfs::new();
        let wal = Wal::create(Arc::new(disk.clone()), Path::new(""), options()).expect("an empty disk");
        model(disk, Arc::new(wal));
    });
    println!("schedules wal::{name} {}", schedules.load(Ordering::Relaxed));
}

/// The LSNs of the commits that a power loss right now would leave.
fn durable(disk: &SimVfs) -> Vec<Lsn> {
    let after = disk.crash_image(disk.ops(), CrashMode::Strict, 0);
    let mut found = Vec::new();
    let mut each = |record: Record<'_>| {
        if record.kind == RecordKind::Commit {
            found.push(record.lsn);
        }
        Result::Ok(())
    };
    Wal::recover(Arc::new(after), Path::new(""), options(), Known::default(), &mut each).expect("a sound log");
    found
}

fn append(wal: &Wal, level: Durability) -> Result<Lsn> {
    wal.append(vec![1], 0, level)
}

#[test]
fn a_sync_commit_is_settled_and_on_the_disk_when_it_is_answered() {
    explore("sync", 3, |disk, wal| {
        let other = {
            let (disk, wal) = (disk.clone(), wal.clone());
            thread::spawn(move || {
                let lsn = append(&wal, Durability::Sync).unwrap();
                assert!(wal.settled() >= lsn && wal.synced() >= lsn);
                assert!(durable(&disk).contains(&lsn));
            })
        };
        let lsn = append(&wal, Durability::Sync).unwrap();
        assert!(wal.settled() >= lsn && wal.synced() >= lsn);
        assert!(durable(&disk).contains(&lsn));
        other.join().unwrap();
        assert_eq!((wal.settled(), wal.synced()), (Lsn(2), Lsn(2)));
    });
}

#[test]
fn three_writers_all_get_their_answer() {
    explore("three", 1, |_, wal| {
        let levels = [Durability::Sync, Durability::Buffered];
        let others = levels.map(|level| {
            let wal = wal.clone();
            thread::spawn(move || {
                let lsn = append(&wal, level).unwrap();
                assert!(wal.settled() >= lsn);
            })
        });
        let lsn = append(&wal, Durability::Memory).unwrap();
        assert!(wal.settled() >= lsn);
        others.into_iter().for_each(|other| other.join().unwrap());
        assert_eq!(wal.settled(), Lsn(3));
    });
}

#[test]
fn readers_of_the_numbers_see_them_in_order() {
    explore("numbers", 2, |_, wal| {
        let writer = {
            let wal = wal.clone();
            thread::spawn(move || append(&wal, Durability::Sync).unwrap())
        };
        // All writers sync: what is settled is durable, and what is durable was written, and appended.
        for _ in 0..2 {
            let settled = wal.settled();
            let synced = wal.synced();
            let written = wal.written();
            let appended = wal.appended();
            assert!(settled <= synced && synced <= written && written <= appended);
            assert!(wal.settled() >= settled, "settled went back");
        }
        writer.join().unwrap();
    });
}

#[test]
fn what_stands_for_a_record_is_in_place_when_it_is_settled() {
    explore("section", 2, |_, wal| {
        let state = Arc::new(AtomicU64::new(0));
        let writers = [Durability::Memory, Durability::Sync].map(|level| {
            let (wal, state) = (wal.clone(), state.clone());
            thread::spawn(move || {
                let mut section = wal.sequence();
                let lsn = section.append(Payload::new(vec![1]), 0, level).unwrap();
                // The section alone orders this with what readers of `settled` see.
                state.fetch_add(1, Ordering::Relaxed);
                drop(section);
                wal.wait(lsn, level).unwrap();
            })
        });
        let settled = wal.settled();
        assert!(
            state.load(Ordering::Relaxed) >= settled.0,
            "{settled} is settled, and what it stands for is not there"
        );
        writers.into_iter().for_each(|writer| writer.join().unwrap());
    });
}

#[test]
fn a_failed_sync_answers_everybody_and_settles_nothing() {
    explore("poison", 3, |disk, wal| {
        // The first group's write, then its synchronisation.
        disk.inject(1, Fault::SyncFailsClean, Repeat::Once);
        let other = {
            let wal = wal.clone();
            thread::spawn(move || {
                let outcome = append(&wal, Durability::Sync);
                assert!(matches!(outcome, Err(Error::Poisoned)), "{outcome:?}");
            })
        };
        let outcome = append(&wal, Durability::Sync);
        assert!(matches!(outcome, Err(Error::Poisoned)), "{outcome:?}");
        other.join().unwrap();
        assert!(wal.is_poisoned() && wal.poison_cause().is_some());
        assert_eq!((wal.settled(), wal.synced()), (Lsn(0), Lsn(0)));
    });
}

#[test]
fn a_flush_writes_what_was_appended_before_it() {
    explore("flush", 3, |_, wal| {
        let writer = {
            let wal = wal.clone();
            thread::spawn(move || append(&wal, Durability::Memory).unwrap())
        };
        let before = wal.appended();
        wal.flush().unwrap();
        assert!(wal.written() >= before);
        assert!(wal.sync().unwrap() >= before);
        writer.join().unwrap();
    });
}

#[test]
fn writers_who_turn_over_the_segment_at_once_both_find_room() {
    explore("rotation", 2, |disk, wal| {
        // Two of these fit into a segment of 4096 bytes, three do not.
        let payload = || vec![1; 1500];
        wal.append(payload(), 0, Durability::Sync).unwrap();
        let other = {
            let wal = wal.clone();
            thread::spawn(move || wal.append(payload(), 0, Durability::Sync).unwrap())
        };
        wal.append(payload(), 0, Durability::Sync).unwrap();
        other.join().unwrap();
        assert_eq!(durable(&disk), [Lsn(1), Lsn(2), Lsn(3)]);
        wal.recycle(Lsn(3)).unwrap();
    });
}
