//! What `stats` tells of calls: how many, how long, and what filters are worth.

mod common;

use common::{memory, on, tiny};
use halodb::vfs::SimVfs;
use halodb::{Condition, Db, Durability, WriteOptions};

/// Estimates of so many sampled calls are right to a tenth with great certainty: five standard deviations.
#[track_caller]
fn assert_near(estimate: u64, exact: u64) {
    assert!(estimate.abs_diff(exact) <= exact / 10, "{estimate} instead of {exact}");
}

#[test]
fn reads_are_counted_to_a_few_percent_and_timed_by_samples() {
    let (_disk, db) = memory();
    db.batch().put("a", "1").put("b", "2").commit().unwrap();
    const CALLS: u64 = 800_000;
    for i in 0..CALLS {
        // A pattern, as programs have them: a sample at fixed distances would see one kind only.
        match i % 4 {
            0 => drop(db.get("a").unwrap()),
            1 => assert!(!db.contains("c").unwrap()),
            2 => assert_eq!(db.len().unwrap(), 2),
            _ => assert!(db.range("a"..).next().is_some()),
        }
    }
    let stats = db.stats();
    assert_near(stats.operations.gets, CALLS / 2);
    assert_near(stats.operations.counts, CALLS / 4);
    assert_near(stats.operations.scans, CALLS / 4);
    let latencies = &stats.latencies;
    assert_eq!(latencies.gets.count() * 64, stats.operations.gets);
    assert_eq!(latencies.counts.count() * 64, stats.operations.counts);
    assert_eq!(latencies.seeks.count() * 64, stats.operations.scans);
    assert!(latencies.gets.percentile(50.0) <= latencies.gets.percentile(99.0));
    assert!(latencies.gets.percentile(99.0) <= latencies.gets.max());
}

#[test]
fn commits_that_wait_for_the_disk_are_counted_one_by_one_and_by_kind() {
    let (_disk, db) = memory();
    let before = db.stats();
    for i in 0..10u32 {
        db.put(i.to_le_bytes(), "v").unwrap();
    }
    let only_new = WriteOptions::new().condition(Condition::IfAbsent);
    db.put_with("new", "v", &only_new).unwrap();
    db.update("new", |_| Some(b"w".to_vec())).unwrap();
    db.clear().unwrap();
    db.sync().unwrap();
    let stats = db.stats();
    let operations = stats.operations;
    // `clear` does not ask how many keys there were, and so is a commit like a put.
    assert_eq!((operations.commits, operations.conditional_commits), (11, 1));
    assert_eq!((operations.validated_commits, operations.range_deletes), (1, 0));
    assert_eq!(stats.latencies.sync_commits.since(&before.latencies.sync_commits).count(), 13);
    assert_eq!(stats.latencies.syncs.count(), 1);
    assert_eq!(stats.latencies.commits.count(), 0);
}

#[test]
fn weaker_commits_are_sampled_and_merges_and_waits_are_all_timed() {
    let disk = SimVfs::new();
    let db = tiny(on(&disk)).durability(Durability::Memory).open().unwrap();
    const CALLS: u64 = 200_000;
    for i in 0..CALLS {
        db.put((i % 20_000).to_le_bytes(), [7; 40]).unwrap();
    }
    db.flush().unwrap();
    let stats = db.stats();
    assert_near(stats.operations.commits, CALLS);
    assert!(stats.latencies.merges.count() >= stats.merges, "{:?}", stats.latencies.merges);
    assert_eq!(stats.latencies.stalls.count(), stats.stalls);
    assert_eq!(stats.latencies.slowed.count(), stats.slowed);
    assert!(stats.merges > 0);
}

#[test]
fn the_rate_at_which_filters_take_absent_keys_for_there_is_measured() {
    let rate = |bits| {
        let disk = SimVfs::new();
        let db = on(&disk).bits_per_key(bits).open().unwrap();
        fill(&db);
        for i in 0..400_000u32 {
            // Between the keys that are there, so that all filters are asked.
            let absent = [&(i % 20_000).to_le_bytes()[..], &(i / 20_000).to_le_bytes()].concat();
            assert!(!db.contains(absent).unwrap());
        }
        (db.stats().filters.asked, db.stats().filters.false_positive_rate())
    };
    assert_eq!(rate(0), (0, None));
    let (asked, few_bits) = rate(4);
    assert_near(asked, 400_000 / 64);
    // By the theory of Bloom filters 4 bits per key give 15 %, 11 bits 0.5 to 0.8 %.
    assert!((0.08..0.3).contains(&few_bits.unwrap()), "{few_bits:?}");
    let many_bits = rate(11).1.unwrap();
    assert!(many_bits < 0.03, "{many_bits}");
}

fn fill(db: &Db) {
    let mut batch = db.batch();
    for i in 0..20_000u32 {
        batch = batch.put(i.to_le_bytes(), [1; 40]);
    }
    batch.commit().unwrap();
    db.flush().unwrap();
}
