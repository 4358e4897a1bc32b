//! Batches above the threshold: parts in the log, a layer of their own, one number.

use crate::*;
use halodb_partition::{ErrorKind, Expect, Lsn, Outcome, ReadSet, Validated};
use halodb_vfs::sim::CrashMode;

/// Everything above 200 bytes is large.
fn options() -> Options {
    let mut options = tiny();
    options.large_bytes = Some(200);
    options
}

fn opened(disk: &SimVfs) -> PartitionSet {
    try_open(disk, options()).expect("opens").0
}

/// A batch of many puts, which is large.
fn many(keys: std::ops::Range<u32>, value: &str) -> Batch {
    let mut batch = Batch::new();
    for key in keys {
        batch.put(format!("k{key:03}").as_bytes(), value.as_bytes());
    }
    batch
}

fn expected(keys: std::ops::Range<u32>, value: &str) -> Vec<(String, String)> {
    keys.map(|key| (format!("k{key:03}"), value.to_owned())).collect()
}

#[test]
fn a_large_batch_has_one_number_and_is_seen_whole_from_there_on() {
    let disk = SimVfs::new();
    let set = opened(&disk);
    put(&set, "k000", "before");
    let before = set.snapshot();
    assert!(many(0..50, "large").len_bytes() as u64 > set.large_bytes());
    let lsn = commit(&set, &many(0..50, "large"));
    assert!(lsn > before.lsn().0 + 4, "{lsn}: its parts have numbers, too");
    assert_eq!(set.snapshot().lsn(), Lsn(lsn));
    assert_eq!(all(&before), [("k000".to_owned(), "before".to_owned())]);
    assert_eq!(all(&set.snapshot()), expected(0..50, "large"));
    // What comes later is above it, wherever both are by then.
    put(&set, "k007", "after");
    let mut wanted = expected(0..50, "large");
    wanted[7].1 = "after".into();
    assert_eq!(all(&set.snapshot()), wanted);
    merge_all(&set);
    assert_eq!(all(&set.snapshot()), wanted);
    assert_eq!(all(&before), [("k000".to_owned(), "before".to_owned())]);
    assert_sound(&set);
    set.close(0).unwrap();
    drop((set, before));
    let (set, report) = try_open(&disk, options()).unwrap();
    assert!(report.clean && report.replayed == 0, "{report:?}");
    assert_eq!(all(&set.snapshot()), wanted);
}

#[test]
fn range_deletes_of_a_large_batch_take_what_was_there_and_what_was_put_before_them() {
    let disk = SimVfs::new();
    let set = opened(&disk);
    commit(&set, &many(0..60, "old"));
    let mut staged = set.stage();
    staged.add(&many(10..30, "gone")).unwrap();
    staged.delete_range(b"k005", Some(b"k050")).unwrap();
    staged.add(&many(20..25, "new")).unwrap();
    staged.delete(b"k024").unwrap();
    assert!(matches!(set.commit_staged(&mut staged, &[], Durability::Sync, 0).unwrap(), Outcome::Committed(_)));
    assert!(staged.is_empty());
    let wanted = [expected(0..5, "old"), expected(20..24, "new"), expected(50..60, "old")].concat();
    assert_eq!(all(&set.snapshot()), wanted);
    let image = disk.crash_image(disk.ops(), CrashMode::Strict, 0);
    let again = opened(&image);
    assert_eq!(all(&again.snapshot()), wanted);
    merge_all(&again);
    assert_eq!(all(&again.snapshot()), wanted);
    merge_all(&set);
    assert_eq!(all(&set.snapshot()), wanted);
}

#[test]
fn the_parts_stay_in_the_log_until_the_layer_is_merged_whatever_is_merged_before() {
    let disk = SimVfs::new();
    let mut options = options();
    options.segment_bytes = 4 << 10;
    options.first_segment_bytes = 4 << 10;
    let set = try_open(&disk, options).expect("opens").0;
    put(&set, "older", "v");
    commit(&set, &many(0..900, "large"));
    let with_parts = set.stats().log_live_bytes;
    // The memtable that was active before goes first; each step is as good as the last one.
    let mut merged = 0;
    while let Some(job) = set.next_job(0) {
        job.run().unwrap();
        merged += 1;
        let image = disk.crash_image(disk.ops(), CrashMode::Strict, merged);
        assert_eq!(all(&opened(&image).snapshot()).len(), 901, "after {merged} merges");
    }
    assert!(merged >= 3, "{merged} merges");
    for round in 0..3 {
        commit(&set, &many(0..20, &format!("younger {round}")));
        merge_all(&set);
    }
    let without = set.stats().log_live_bytes;
    assert!(without < with_parts / 2, "{without} bytes of log, {with_parts} with the parts");
}

#[test]
fn a_condition_that_fails_writes_nothing_and_one_that_holds_is_judged_with_the_commit() {
    let disk = SimVfs::new();
    let set = opened(&disk);
    put(&set, "lock", "v");
    let before = set.stats().wal.records;
    let absent = [(&b"lock"[..], Expect::Absent)];
    let outcome = set.commit_if(&many(0..50, "v"), &absent, Durability::Sync, 0).unwrap();
    assert_eq!(outcome, Outcome::Failed(0));
    assert_eq!(set.stats().wal.records, before, "nothing is in the log");
    let present = [(&b"lock"[..], Expect::Present)];
    let outcome = set.commit_if(&many(0..50, "v"), &present, Durability::Sync, 0).unwrap();
    assert!(matches!(outcome, Outcome::Committed(_)));
    assert_eq!(all(&set.snapshot()).len(), 51);
}

#[test]
fn a_large_commit_is_validated_and_is_what_others_are_validated_against() {
    let disk = SimVfs::new();
    let set = opened(&disk);
    put(&set, "k001", "v");
    let mut read = ReadSet::new();
    read.add_key(b"k001");
    let mut untouched = ReadSet::new();
    untouched.add_key(b"other");
    let (first, second, third) = (set.basis(), set.basis(), set.basis());
    let of = |basis: &halodb_partition::Basis, reads: &ReadSet, batch: &Batch| {
        set.commit_validated(batch, basis.snapshot(), reads, Durability::Sync, 0).unwrap()
    };
    let Validated::Committed(large) = of(&first, &read, &many(0..50, "large")) else { panic!("nobody wrote") };
    let mut small = Batch::new();
    small.put(b"mine", b"v");
    assert_eq!(of(&second, &read, &small), Validated::Conflict(large));
    assert_eq!(of(&second, &read, &many(60..90, "v")), Validated::Conflict(large));
    assert!(matches!(of(&second, &untouched, &many(60..90, "v")), Validated::Committed(_)));
    // Merged, it is still known, or it is said that it is not.
    merge_all(&set);
    assert!(matches!(of(&third, &read, &small), Validated::Conflict(_) | Validated::TooOld));
    assert_eq!(get(&set, "mine"), None);
}

#[test]
fn a_partition_that_nothing_was_written_to_since_the_last_freeze_keeps_its_evidence_whole() {
    let disk = SimVfs::new();
    let set = opened(&disk);
    put(&set, "k001", "v");
    merge_all(&set);
    let basis = set.basis();
    let mut reads = ReadSet::new();
    reads.add_key(b"absent");
    for round in 0..3 {
        commit(&set, &many(0..20, "large"));
        let mut batch = Batch::new();
        batch.put(b"mine", &[round]);
        let answer = set.commit_validated(&batch, basis.snapshot(), &reads, Durability::Sync, 0).unwrap();
        assert!(matches!(answer, Validated::Committed(_)), "{answer:?} in round {round}");
    }
}

#[test]
fn parts_of_a_commit_that_found_no_room_are_given_up_and_the_next_one_is_whole() {
    use halodb_vfs::sim::{Fault, Repeat};
    for call in 0..60 {
        let disk = SimVfs::new();
        let set = opened(&disk);
        put(&set, "k000", "before");
        disk.inject(disk.calls() + call, Fault::Errno(28), Repeat::Once);
        let failed = set.commit(&many(0..600, "first"), Durability::Sync, 0);
        disk.heal();
        let wanted = match failed {
            Ok(_) => expected(0..600, "first"),
            Err(e) if e.kind() == ErrorKind::Full => {
                assert_eq!(all(&set.snapshot()).len(), 1, "nothing of it is there after call {call}");
                merge_all(&set);
                commit(&set, &many(0..300, "second"));
                expected(0..300, "second")
            }
            Err(_) => continue,
        };
        let image = disk.crash_image(disk.ops(), CrashMode::Strict, call);
        assert_eq!(all(&opened(&image).snapshot()), wanted, "call {call}");
        merge_all(&set);
        let image = disk.crash_image(disk.ops(), CrashMode::Strict, call);
        assert_eq!(all(&opened(&image).snapshot()), wanted, "merged, call {call}");
    }
}

#[test]
fn a_large_commit_may_exceed_the_log_limit_and_is_replayed_whole() {
    let disk = SimVfs::new();
    let mut options = options();
    options.log_limit_bytes = 8 << 10;
    options.segment_bytes = 4 << 10;
    options.first_segment_bytes = 4 << 10;
    let set = try_open(&disk, options.clone()).unwrap().0;
    commit(&set, &many(0..900, &"x".repeat(50)));
    let image = disk.crash_image(disk.ops(), CrashMode::Strict, 0);
    let (again, report) = try_open(&image, options).unwrap();
    assert_eq!(report.replayed, 1);
    assert_eq!(all(&again.snapshot()).len(), 900);
    settle(&again);
    settle(&set);
    assert_eq!(all(&set.snapshot()), all(&again.snapshot()));
}

#[test]
fn a_salvage_takes_large_commits_whole_and_leaves_parts_that_were_given_up() {
    let disk = SimVfs::new();
    let set = opened(&disk);
    commit(&set, &many(0..50, "large"));
    let records = set.stats().wal.records;
    // The first segment after the one at hand, and all that follow, find no room.
    disk.inject(disk.calls() + 3, halodb_vfs::sim::Fault::Errno(28), halodb_vfs::sim::Repeat::Sticky);
    let failed = set.commit(&many(0..900, &"given up".repeat(200)), Durability::Sync, 0);
    disk.heal();
    assert!(failed.is_err(), "the disk was full");
    assert!(set.stats().wal.records > records + 2, "parts were written");
    drop(set);
    let disk = disk.restart_process();
    let report = halodb_partition::salvage(
        Arc::new(disk.clone()),
        Path::new(DIR),
        Path::new("saved"),
        halodb_partition::BehindGaps::Leave,
        tiny(),
        Entropy { uuid: [9; 16], ..entropy() },
        0,
    )
    .expect("it can be read");
    assert_eq!(report.keys, 50);
}

#[test]
fn what_is_not_committed_is_held_of_one_account_and_spilled_beyond_it() {
    let disk = SimVfs::new();
    let mut options = options();
    options.uncommitted_bytes = Some(100 << 10);
    let set = try_open(&disk, options).unwrap().0;
    let (mut first, mut second) = (set.stage(), set.stage());
    first.add(&many(0..300, &"x".repeat(100))).unwrap();
    let held = set.uncommitted_bytes();
    assert!((45_000..75_000).contains(&held), "{held} bytes are held for 300 × 104 and what a table takes for each");
    assert_eq!(set.stats().run_bytes, 0);
    second.add(&many(0..600, &"x".repeat(100))).unwrap();
    assert_eq!(second.len(), 600);
    let (spilled, held) = (set.stats().run_bytes, set.uncommitted_bytes());
    assert!(spilled > 30_000 && held <= 100 << 10, "{spilled} bytes were spilled, {held} are held");
    // A range delete takes a tombstone for each key that it covers.
    first.delete_range(b"k1", Some(b"k2")).unwrap();
    second.delete_range(b"k1", Some(b"k2")).unwrap();
    assert!(set.uncommitted_bytes() <= 100 << 10);
    let wanted = [expected(0..100, &"x".repeat(100)), expected(200..300, &"x".repeat(100))].concat();
    assert!(matches!(set.commit_staged(&mut first, &[], Durability::Sync, 0).unwrap(), Outcome::Committed(_)));
    assert_eq!(all(&set.snapshot()), wanted);
    drop(second);
    assert_eq!(set.stats().run_bytes, 0);
    assert_eq!(set.uncommitted_bytes(), 0);
}

#[test]
fn a_large_commit_waits_for_merges_when_layers_hold_as_much_as_there_may_be() {
    let disk = SimVfs::new();
    let mut options = options();
    options.uncommitted_bytes = Some(100 << 10);
    let set = try_open(&disk, options).unwrap().0;
    commit(&set, &many(0..400, &"x".repeat(100)));
    let mut staged = set.stage();
    staged.add(&many(400..800, &"x".repeat(100))).unwrap();
    let stalled = set.commit_staged(&mut staged, &[], Durability::Sync, 0).unwrap_err();
    assert_eq!(stalled.kind(), ErrorKind::Stalled);
    assert_eq!(staged.len(), 400, "what was staged still is");
    let records = set.stats().wal.records;
    merge_all(&set);
    assert_eq!(set.stats().wal.records, records, "nothing of it was in the log");
    assert!(matches!(set.commit_staged(&mut staged, &[], Durability::Sync, 0).unwrap(), Outcome::Committed(_)));
    assert_eq!(all(&set.snapshot()), expected(0..800, &"x".repeat(100)));
    assert_eq!(set.uncommitted_bytes(), 0);
}
