//! Threads of every kind at once on a real disk: writers of all levels, writers on conditions, readers of snapshots, and
//! workers that merge. Each reader checks what nobody may ever see.

use halodb_partition::{Batch, Durability, Entropy, ErrorKind, Expect, Options, Outcome, PartitionSet, Result};
use halodb_vfs::OsVfs;
use std::ops::Bound;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

const WRITERS: usize = 3;
/// Keys of each writer's batch; hashing spreads them over all partitions.
const KEYS: u64 = 9;

fn options() -> Options {
    let mut options = Options::default();
    options.partitions = Some(3);
    options.page_size = Some(4096);
    options.memtable_bytes = 192 << 10;
    options.segment_bytes = 64 << 10;
    options.first_segment_bytes = 64 << 10;
    options.log_limit_bytes = 256 << 10;
    options.chunk_bytes = 4 << 10;
    options
}

fn open(dir: &Path) -> PartitionSet {
    let entropy = Entropy { uuid: *b"the stress base.", incarnation: 1, hash_seed: 3 };
    PartitionSet::open(Arc::new(OsVfs), dir, options(), entropy, 0).expect("opens").0
}

fn name(writer: usize, key: u64) -> String {
    format!("w{writer}/{key}")
}

fn number(value: &[u8]) -> u64 {
    u64::from_le_bytes(value[..8].try_into().expect("values begin with a number"))
}

/// Until memory has room.
fn patiently<T>(mut call: impl FnMut() -> Result<T>) -> T {
    loop {
        match call() {
            Err(e) if e.kind() == ErrorKind::Stalled => thread::sleep(Duration::from_micros(200)),
            result => break result.expect("a sound disk"),
        }
    }
}

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    /// Per writer: the greatest step that was answered.
    answered: [AtomicU64; WRITERS],
    slots_won: AtomicU64,
    looks: AtomicU64,
}

/// Writes the same number under all its keys, with a range delete before them every few steps.
fn writer(set: &PartitionSet, shared: &Shared, writer: usize, levels: &[Durability]) {
    let mut step = 0u64;
    while !shared.stop.load(Ordering::Relaxed) {
        step += 1;
        let mut batch = Batch::new();
        if step.is_multiple_of(5) {
            batch.delete_range(format!("w{writer}/").as_bytes(), Some(format!("w{writer}0").as_bytes()));
        }
        for key in 0..KEYS {
            let mut value = step.to_le_bytes().to_vec();
            value.resize(8 + (step as usize * 37 + key as usize * 101) % 700, 7);
            batch.put(name(writer, key).as_bytes(), &value);
        }
        // A key that comes and goes makes trees grow and shrink.
        let filler = format!("z{}/{writer}", step % 400);
        if step.is_multiple_of(3) {
            batch.delete(filler.as_bytes())
        } else {
            batch.put(filler.as_bytes(), &[1; 300])
        }
        patiently(|| set.commit(&batch, levels[step as usize % levels.len()], step));
        shared.answered[writer].store(step, Ordering::Release);
    }
}

/// All compete for the same slots; each slot is to be won once.
fn competitor(set: &PartitionSet, shared: &Shared, me: u8) {
    let mut slot = 0u64;
    while !shared.stop.load(Ordering::Relaxed) {
        let key = format!("slot/{slot:08}");
        let mut batch = Batch::new();
        batch.put(key.as_bytes(), &[me]);
        match patiently(|| set.commit_if(&batch, &[(key.as_bytes(), Expect::Absent)], Durability::Buffered, slot)) {
            Outcome::Committed(_) => {
                shared.slots_won.fetch_add(1, Ordering::Relaxed);
                assert_eq!(set.get(key.as_bytes()).expect("readable").as_deref(), Some(&[me][..]), "slot {slot}");
            }
            Outcome::Failed(_) => assert!(set.get(key.as_bytes()).expect("readable").is_some(), "slot {slot}"),
        }
        slot += 1;
    }
}

fn reader(set: &PartitionSet, shared: &Shared, all_sync: bool) {
    let mut seen = [0u64; WRITERS];
    let mut slots_seen = 0;
    while !shared.stop.load(Ordering::Relaxed) {
        let answered = std::array::from_fn::<u64, WRITERS, _>(|w| shared.answered[w].load(Ordering::Acquire));
        let snapshot = set.snapshot();
        if all_sync {
            assert!(snapshot.lsn().0 <= set.stats().durable, "visible before it is durable");
        }
        for round in 0..2 {
            for w in 0..WRITERS {
                let get = |key| snapshot.get(name(w, key).as_bytes()).expect("readable").map(|v| number(&v));
                let first = get(0);
                for key in 1..KEYS {
                    assert_eq!(get(key), first, "half a batch of writer {w}");
                }
                let step = first.unwrap_or(0);
                assert!(step >= answered[w], "writer {w}: {step} seen, {} was answered", answered[w]);
                assert!(step >= seen[w], "writer {w}: {step} seen after {}", seen[w]);
                assert!(round == 0 || step == seen[w], "the snapshot changed");
                seen[w] = step;
                let (start, end) = (format!("w{w}/"), format!("w{w}0"));
                let count = snapshot
                    .count(Bound::Included(start.as_bytes()), Bound::Excluded(end.as_bytes()))
                    .expect("readable");
                assert_eq!(count, if step == 0 { 0 } else { KEYS });
            }
            let mut forward = Vec::new();
            let mut cursor = snapshot.cursor();
            cursor.seek_first().expect("readable");
            while let Some(key) = cursor.key() {
                forward.push(key.to_vec());
                cursor.next().expect("readable");
            }
            assert!(forward.is_sorted_by(|a, b| a < b), "each key once, in order");
            let count = snapshot.count(Bound::Unbounded, Bound::Unbounded).expect("readable");
            assert_eq!(count, forward.len() as u64);
            let slots = forward.iter().filter(|key| key.starts_with(b"slot/")).count();
            assert!(slots >= slots_seen, "{slots} slots after {slots_seen}");
            slots_seen = slots;
            let mut backward = Vec::new();
            cursor.seek_last().expect("readable");
            while let Some(key) = cursor.key() {
                backward.push(key.to_vec());
                cursor.prev().expect("readable");
            }
            backward.reverse();
            assert!(forward == backward, "both directions show the same");
        }
        shared.looks.fetch_add(1, Ordering::Relaxed);
    }
}

fn worker(set: &PartitionSet, shared: &Shared, me: u64, all_sync: bool) {
    let mut round = me;
    while !shared.stop.load(Ordering::Relaxed) {
        while let Some(job) = set.next_job(0) {
            job.run().expect("a sound disk");
        }
        round += 1;
        if round.is_multiple_of(7) {
            set.freeze_all().expect("open");
        }
        // The log's markers are numbers like any other, visible and not synchronised; but there is no data in them.
        if !all_sync {
            set.tick(round).expect("a sound disk");
        }
        thread::sleep(Duration::from_micros(300));
    }
}

fn run(time: Duration, levels: &[Durability]) {
    let dir = tempfile::tempdir().expect("a directory");
    let set = open(dir.path());
    let shared = Shared::default();
    let all_sync = levels == [Durability::Sync];
    thread::scope(|scope| {
        let (set, shared) = (&set, &shared);
        for w in 0..WRITERS {
            scope.spawn(move || writer(set, shared, w, levels));
        }
        for me in 0..2 {
            if !all_sync {
                scope.spawn(move || competitor(set, shared, me));
            }
            scope.spawn(move || reader(set, shared, all_sync));
            scope.spawn(move || worker(set, shared, u64::from(me), all_sync));
        }
        let end = Instant::now() + time;
        while Instant::now() < end && !thread::panicking() {
            thread::sleep(Duration::from_millis(20));
        }
        shared.stop.store(true, Ordering::Relaxed);
    });
    set.sync().expect("a sound disk");
    let steps = shared.answered.each_ref().map(|a| a.load(Ordering::Relaxed));
    let looks = shared.looks.load(Ordering::Relaxed);
    println!("{steps:?} steps, {looks} looks, {} merges, {} stalls", set.stats().merges, set.stats().stalls);
    assert!(looks > 0 && steps.iter().all(|&s| s > 0) && set.stats().merges > 0);
    drop(set);
    // First as a process that dies, then in order.
    for close in [false, true] {
        let set = open(dir.path());
        for (w, step) in steps.iter().enumerate() {
            for key in 0..KEYS {
                let value = set.get(name(w, key).as_bytes()).expect("readable").expect("was answered");
                assert_eq!(number(&value), *step);
            }
        }
        let slots = set.snapshot().count(Bound::Included(b"slot/"), Bound::Excluded(b"slot0")).expect("readable");
        assert_eq!(slots, shared.slots_won.load(Ordering::Relaxed), "each slot was won once");
        assert_eq!(set.check(halodb_partition::Depth::Deep).expect("checkable").findings, []);
        if close {
            set.close(0).expect("a sound disk");
        }
    }
}

#[test]
fn nobody_sees_half_a_batch_or_time_running_backwards() {
    run(
        Duration::from_millis(2500),
        &[Durability::Memory, Durability::Buffered, Durability::Sync, Durability::Buffered],
    );
}

#[test]
fn nobody_sees_what_is_not_durable_while_all_write_durably() {
    run(Duration::from_millis(1000), &[Durability::Sync]);
}
