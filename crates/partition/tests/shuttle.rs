//! The engine under random schedules: writers, readers, a thread that freezes and merges, one that ticks and synchronises, all
//! on a simulated disk. [shuttle] decides at each lock and each atomic which thread goes on. It sees fewer orders than loom
//! does and larger runs: memtables that freeze, segments that turn over and are recycled, merges in chunks.
//!
//! Memtables and page files keep locks of their own, held for no longer than a call, so only one thread merges. Built only by
//! `cargo xtask shuttle`, which sets `SHUTTLE_SEED` and `SHUTTLE_COUNT` and sums the lines `schedules NAME N`.
//!
//! [shuttle]: https://docs.rs/shuttle

#![cfg(shuttle)]

use halodb_partition::{
    Batch, Depth, Durability, Entropy, ErrorKind, Expect, Lsn, Options, Outcome, PartitionSet, Snapshot,
};
use halodb_vfs::SimVfs;
use shuttle::rand::{Rng, thread_rng};
use shuttle::scheduler::{PctScheduler, RandomScheduler, Scheduler};
use shuttle::sync::atomic::{AtomicBool, Ordering};
use shuttle::thread;
use std::path::Path;
use std::sync::Arc;

const ACCOUNTS: u8 = 6;
const START: u64 = 100;

fn options() -> Options {
    let mut options = Options::default();
    options.partitions = Some(2);
    options.page_size = Some(4096);
    options.memtable_bytes = 8 << 10;
    options.segment_bytes = 4096;
    options.first_segment_bytes = 4096;
    options.log_limit_bytes = 16 << 10;
    options.chunk_bytes = 4096;
    options
}

fn open(disk: &SimVfs) -> PartitionSet {
    let entropy = Entropy { uuid: *b"the model's base", incarnation: 1, hash_seed: 99 };
    PartitionSet::open(Arc::new(disk.clone()), Path::new("db"), options(), entropy, 0).expect("a sound disk").0
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// Runs `model` under `SHUTTLE_COUNT` schedules: half of them drawn step by step, half with three priorities that change
/// (Burckhardt and others 2010, "A randomized scheduler with probabilistic guarantees of finding bugs").
fn explore(name: &str, model: fn()) {
    let (seed, count) = (number("SHUTTLE_SEED", 1), number("SHUTTLE_COUNT", 100) as usize);
    run(RandomScheduler::new_from_seed(seed, count.div_ceil(2)), model);
    run(PctScheduler::new_from_seed(seed, 3, count / 2), model);
    println!("schedules partition::{name} {count}");
}

fn run(scheduler: impl Scheduler + 'static, model: fn()) {
    let mut config = shuttle::Config::new();
    config.stack_size = 1 << 20;
    config.max_steps = shuttle::MaxSteps::FailAfter(20_000_000);
    shuttle::Runner::new(scheduler, config).run(model);
}

fn level() -> Durability {
    [Durability::Sync, Durability::Buffered, Durability::Memory][thread_rng().gen_range(0..3)]
}

/// Commits, and lets others work while memory is full.
fn commit(set: &PartitionSet, batch: &Batch, conditions: &[(&[u8], Expect)], level: Durability) -> Outcome {
    loop {
        match set.commit_if(batch, conditions, level, 0) {
            Ok(outcome) => return outcome,
            Err(e) if e.kind() == ErrorKind::Stalled => thread::yield_now(),
            Err(e) => panic!("{e}"),
        }
    }
}

fn account(number: u8) -> [u8; 2] {
    [b'a', number]
}

/// A balance, and bytes that fill memtables and segments.
fn put(batch: &mut Batch, number: u8, balance: u64) {
    let mut bytes = balance.to_le_bytes().to_vec();
    bytes.resize(500, number);
    batch.put(&account(number), &bytes);
}

fn balance(snapshot: &Snapshot, number: u8) -> u64 {
    let value = snapshot.get(&account(number)).expect("readable").expect("it was never removed").into_vec();
    u64::from_le_bytes(*value.first_chunk().expect("a balance"))
}

fn sum(snapshot: &Snapshot) -> u64 {
    (0..ACCOUNTS).map(|number| balance(snapshot, number)).sum()
}

/// Moves money while it holds the key that stands for the whole bank.
fn transfer(set: &PartitionSet) -> Lsn {
    let mut take = Batch::new();
    take.put(b"taken", b"");
    while let Outcome::Failed(_) = commit(set, &take, &[(b"taken", Expect::Absent)], Durability::Memory) {
        thread::yield_now();
    }
    let (from, to) = (thread_rng().gen_range(0..ACCOUNTS), thread_rng().gen_range(0..ACCOUNTS - 1));
    let to = if to >= from { to + 1 } else { to };
    let before = set.snapshot();
    let amount = balance(&before, from) / 2;
    let mut batch = Batch::new();
    put(&mut batch, from, balance(&before, from) - amount);
    put(&mut batch, to, balance(&before, to) + amount);
    batch.delete(b"taken");
    match commit(set, &batch, &[(b"taken", Expect::Present)], level()) {
        Outcome::Committed(lsn) => lsn,
        Outcome::Failed(_) => panic!("somebody else gave back what this thread had taken"),
    }
}

fn bank() {
    let disk = SimVfs::new();
    let set = Arc::new(open(&disk));
    let mut batch = Batch::new();
    (0..ACCOUNTS).for_each(|number| put(&mut batch, number, START));
    commit(&set, &batch, &[], Durability::Sync);
    let total = sum(&set.snapshot());
    let over = Arc::new(AtomicBool::new(false));
    let spawn = |work: fn(&PartitionSet, &AtomicBool, u64)| {
        let (set, over) = (set.clone(), over.clone());
        thread::spawn(move || work(&set, &over, u64::from(ACCOUNTS) * START))
    };
    let writers = [0; 2].map(|_| {
        spawn(|set, _, _| {
            for _ in 0..5 {
                let lsn = transfer(set);
                assert!(set.visible() >= lsn, "a commit was answered before it was visible");
            }
        })
    });
    let others = [
        spawn(|set, over, total| {
            let mut last = Lsn(0);
            while !over.load(Ordering::SeqCst) {
                let snapshot = set.snapshot();
                assert!(snapshot.lsn() >= last, "a snapshot is older than the one before");
                last = snapshot.lsn();
                assert_eq!(sum(&snapshot), total);
                thread::yield_now();
                assert_eq!(sum(&snapshot), total, "a snapshot changed");
            }
        }),
        spawn(|set, over, _| {
            while !over.load(Ordering::SeqCst) {
                match set.next_job(0) {
                    Some(job) => job.run().expect("a merge on a sound disk"),
                    None => set.freeze_all().expect("open"),
                }
                thread::yield_now();
            }
        }),
        spawn(|set, over, _| {
            while !over.load(Ordering::SeqCst) {
                set.tick(0).expect("a sound disk");
                let synced = set.sync().expect("a sound disk");
                set.wait_durable(synced).expect("it was just said");
                thread::yield_now();
            }
        }),
    ];
    writers.into_iter().for_each(|writer| writer.join().unwrap());
    over.store(true, Ordering::SeqCst);
    others.into_iter().for_each(|other| other.join().unwrap());
    assert_eq!(sum(&set.snapshot()), total);
    let findings = set.check(Depth::Deep).expect("readable").findings;
    assert!(findings.is_empty(), "{findings:?}");
    set.close(0).expect("a sound disk");
    drop(set);
    assert_eq!(sum(&open(&disk).snapshot()), total);
}

#[test]
fn money_is_neither_made_nor_lost_in_any_schedule() {
    explore("bank", bank);
}
