//! Capture of a snapshot, freeze, merge and conditional commits under every schedule: loom runs each model again and
//! again, until each order in which its threads can meet (with a bounded number of preemptions) was there.
//!
//! The engine is the whole engine on a simulated disk. What loom decides about are the locks and atomics of the log and of
//! this crate; memtables and page files keep locks of their own, held for no longer than a call. So at most one thread of
//! a model merges. Built only by `cargo xtask loom`, which sums the lines `schedules NAME N`.

#![cfg(loom)]

use halodb_partition::{
    Batch, Create, Durability, Entropy, Expect, Lsn, Options, Outcome, PartitionSet, ReadSet, Snapshot, Validated,
};
use halodb_vfs::SimVfs;
use loom::thread::{self, JoinHandle};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The smallest of everything: each schedule creates a database.
fn options() -> Options {
    let mut options = Options::default();
    options.partitions = Some(2);
    options.page_size = Some(4096);
    options.segment_bytes = 4096;
    options.first_segment_bytes = 4096;
    options.chunk_bytes = 4096;
    options.create = Create::IfMissing;
    options
}

/// Bytes of a thread's stack. Loom's own of 32 KiB are too small for an open with its buffers of a page.
const STACK_BYTES: usize = 256 << 10;

/// Starts a thread of a model.
fn spawn<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    thread::Builder::new().stack_size(STACK_BYTES / size_of::<usize>()).spawn(f).expect("loom starts threads")
}

/// Runs `model` on a database that holds `a` = `b` = 1, under every schedule with at most `preemptions` preemptions.
/// `LOOM_MAX_PREEMPTIONS` and `LOOM_MAX_DURATION` (seconds) say otherwise.
fn explore(name: &str, preemptions: usize, model: fn(Arc<PartitionSet>)) {
    let schedules = Arc::new(AtomicU64::new(0));
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = builder.preemption_bound.or(Some(preemptions));
    builder.max_branches = 50_000;
    let counted = schedules.clone();
    builder.check(move || {
        counted.fetch_add(1, Ordering::Relaxed);
        // The model's main thread only waits, so there is no order in which it could meet others.
        let main = spawn(move || {
            let entropy = Entropy { uuid: *b"the model's base", incarnation: 1, hash_seed: 99 };
            let disk = Arc::new(SimVfs::new());
            let (set, _) = PartitionSet::open(disk, Path::new("db"), options(), entropy, 0).expect("an empty disk");
            write(&set, 1);
            model(Arc::new(set));
        });
        main.join().expect("the model holds");
    });
    println!("schedules partition::{name} {}", schedules.load(Ordering::Relaxed));
}

/// Sets `a` and `b` to a number, in one batch.
fn write(set: &PartitionSet, number: u8) -> Lsn {
    let mut batch = Batch::new();
    // They are in different partitions, or else a half batch could not be seen.
    batch.put(b"a", &[number]);
    batch.put(b"b", &[number]);
    set.commit(&batch, Durability::Memory, 0).expect("there is room")
}

/// What a snapshot shows: of both keys the same number, or it shows half a batch.
fn look(snapshot: &Snapshot) -> u8 {
    let number = |key: &[u8]| snapshot.get(key).expect("readable").expect("it was never removed").into_vec()[0];
    let (a, b) = (number(b"a"), number(b"b"));
    assert_eq!(a, b, "half a batch at {:?}", snapshot.lsn());
    a
}

/// Freezes what is in memory and merges it.
fn merge(set: &PartitionSet) {
    set.freeze_all().expect("open");
    while let Some(job) = set.next_job(0) {
        job.run().expect("a merge on a sound disk");
    }
}

/// Takes two snapshots, one after the other; neither changes, and the second is not older.
fn read(set: &PartitionSet) -> Vec<(Lsn, u8)> {
    let snapshots = [set.snapshot(), set.snapshot()];
    let seen: Vec<(Lsn, u8)> = snapshots.iter().map(|s| (s.lsn(), look(s))).collect();
    assert!(seen[0] <= seen[1], "{seen:?}");
    assert!(snapshots.iter().zip(&seen).all(|(snapshot, &(_, number))| look(snapshot) == number));
    seen
}

/// What was seen follows from the number of the snapshot and those of the writes after the first.
fn judge(seen: &[(Lsn, u8)], writes: &[Lsn]) {
    for &(lsn, number) in seen {
        let expected = 1 + writes.iter().filter(|&&write| write <= lsn).count() as u8;
        assert_eq!(number, expected, "seen at {lsn:?}, written at {writes:?}");
    }
}

#[test]
fn the_two_keys_lie_in_different_partitions() {
    explore("layout", 0, |set| {
        merge(&set);
        let shape = set.shape().expect("readable");
        assert!(shape.iter().all(|partition| partition.keys == 1), "{shape:?}");
    });
}

#[test]
fn a_snapshot_taken_while_memtables_are_frozen_shows_whole_batches() {
    explore("freeze", 3, |set| {
        let writer = {
            let set = set.clone();
            spawn(move || write(&set, 2))
        };
        let freezer = {
            let set = set.clone();
            spawn(move || set.freeze_all().expect("open"))
        };
        let seen = read(&set);
        judge(&seen, &[writer.join().unwrap()]);
        freezer.join().unwrap();
        assert_eq!(look(&set.snapshot()), 2);
    });
}

/// As [`write`], as a large commit: parts in the log, and a layer for each of the two partitions.
fn write_large(set: &PartitionSet, number: u8) -> Lsn {
    let mut staged = set.stage();
    staged.put(b"a", &[number]).expect("there is memory");
    staged.put(b"b", &[number]).expect("there is memory");
    match set.commit_staged(&mut staged, &[], Durability::Memory, 0).expect("there is room") {
        Outcome::Committed(lsn) => lsn,
        Outcome::Failed(_) => panic!("there was no condition"),
    }
}

#[test]
fn a_snapshot_taken_while_a_large_commit_is_made_shows_all_of_it_or_nothing() {
    explore("large", 2, |set| {
        let writer = {
            let set = set.clone();
            spawn(move || write_large(&set, 2))
        };
        let seen = read(&set);
        judge(&seen, &[writer.join().unwrap()]);
        assert_eq!(look(&set.snapshot()), 2);
    });
}

#[test]
fn a_large_commit_and_a_small_one_are_seen_in_the_order_of_their_numbers() {
    explore("large-and-small", 2, |set| {
        let writer = {
            let set = set.clone();
            spawn(move || write_large(&set, 2))
        };
        let small = write(&set, 3);
        let seen = look(&set.snapshot());
        let large = writer.join().unwrap();
        // The later one counts, wherever its entries lie.
        assert_eq!(look(&set.snapshot()), if large > small { 2 } else { 3 });
        assert!(seen == 3 || large > small, "{seen} was seen after {small:?}, and the other one is {large:?}");
    });
}

#[test]
fn a_snapshot_shows_what_was_written_after_a_freeze() {
    explore("after-freeze", 3, |set| {
        let writer = {
            let set = set.clone();
            spawn(move || {
                set.freeze_all().expect("open");
                write(&set, 2)
            })
        };
        let seen = read(&set);
        judge(&seen, &[writer.join().unwrap()]);
    });
}

#[test]
fn a_snapshot_taken_while_trees_are_replaced_shows_whole_batches() {
    explore("merge", 3, |set| {
        let writer = {
            let set = set.clone();
            spawn(move || {
                let second = write(&set, 2);
                merge(&set);
                [second, write(&set, 3)]
            })
        };
        let seen = read(&set);
        judge(&seen, &writer.join().unwrap());
        assert_eq!(look(&set.snapshot()), 3);
    });
}

#[test]
fn of_two_writers_under_the_same_condition_one_wins() {
    explore("condition", 3, |set| {
        let attempt = |set: &PartitionSet, number: u8| {
            let mut batch = Batch::new();
            batch.put(b"c", &[number]);
            let outcome = set.commit_if(&batch, &[(b"c", Expect::Absent)], Durability::Sync, 0).expect("there is room");
            // Whoever lost sees what the other one wrote.
            let found = set.get(b"c").expect("readable").expect("one of them wrote it").into_vec();
            assert_eq!(found == [number], matches!(outcome, Outcome::Committed(_)));
            outcome
        };
        let other = {
            let set = set.clone();
            spawn(move || attempt(&set, 8))
        };
        let outcomes = [attempt(&set, 9), other.join().unwrap()];
        assert_eq!(outcomes.iter().filter(|outcome| matches!(outcome, Outcome::Committed(_))).count(), 1);
    });
}

/// Reads one key and writes the other, in a transaction: what it saw, and how it ended.
fn transact(set: &PartitionSet, reads: &[u8], writes: &[u8]) -> (Lsn, Validated) {
    let basis = set.basis();
    basis.snapshot().get(reads).expect("readable").expect("it was never removed");
    let mut read = ReadSet::new();
    read.add_key(reads);
    let mut batch = Batch::new();
    batch.put(writes, &[2]);
    let answer = set.commit_validated(&batch, basis.snapshot(), &read, Durability::Sync, 0).expect("there is room");
    (basis.snapshot().lsn(), answer)
}

/// If both committed, the later one saw the earlier one; at least one did.
fn judge_both(outcomes: [(Lsn, Validated); 2]) {
    let committed = |(saw, answer): (Lsn, Validated)| match answer {
        Validated::Committed(lsn) => Some((lsn, saw)),
        Validated::Conflict(_) | Validated::TooOld => None,
    };
    let mut committed: Vec<(Lsn, Lsn)> = outcomes.into_iter().filter_map(committed).collect();
    committed.sort();
    assert!(!committed.is_empty(), "{outcomes:?}");
    if let [(first, _), (_, saw)] = committed[..] {
        assert!(saw >= first, "neither saw the other: {outcomes:?}");
    }
}

#[test]
fn of_two_transactions_that_read_what_the_other_writes_one_sees_the_other() {
    explore("skew", 3, |set| {
        let other = {
            let set = set.clone();
            spawn(move || transact(&set, b"a", b"b"))
        };
        judge_both([transact(&set, b"b", b"a"), other.join().unwrap()]);
    });
}

#[test]
fn a_merge_between_reading_and_committing_hides_no_write_from_a_transaction() {
    explore("skew-merge", 2, |set| {
        let other = {
            let set = set.clone();
            spawn(move || {
                let outcome = transact(&set, b"a", b"b");
                merge(&set);
                outcome
            })
        };
        judge_both([transact(&set, b"b", b"a"), other.join().unwrap()]);
    });
}
