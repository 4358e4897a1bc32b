//! Small writes behind a large commit: they have a whole memtable of room before anybody waits, in memory that is bounded all the
//! same, and what they are frozen above is merged before them.

use crate::*;
use halodb_partition::ErrorKind;
use halodb_vfs::sim::{CrashMode, Fault, Repeat};

/// One partition, memtables of 32 KiB; everything above 2 KiB is large.
fn options() -> Options {
    let mut options = tiny();
    options.partitions = Some(1);
    options.large_bytes = Some(2 << 10);
    options
}

fn opened(disk: &SimVfs) -> PartitionSet {
    try_open(disk, options()).expect("opens").0
}

fn key(n: u32) -> String {
    format!("k{:04}", n * 7 % 1000)
}

/// A commit of all thousand keys.
fn large(set: &PartitionSet) {
    let mut batch = Batch::new();
    (0..1000).for_each(|n| batch.put(key(n).as_bytes(), b"large"));
    assert!(batch.len_bytes() as u64 > set.large_bytes());
    commit(set, &batch);
}

/// Small writes until one is refused: whether the writer was ahead after each of them.
fn fill(set: &PartitionSet, value: &[u8]) -> Vec<bool> {
    let mut ahead = Vec::new();
    loop {
        let mut batch = Batch::new();
        batch.put(key(ahead.len() as u32).as_bytes(), value);
        match set.commit(&batch, Durability::Memory, 0) {
            Ok(_) => ahead.push(set.is_ahead()),
            Err(e) => {
                assert_eq!(e.kind(), ErrorKind::Stalled);
                return ahead;
            }
        }
    }
}

/// What there is after [`large`] and so many writes of [`fill`].
fn expected(small: usize, value: &str) -> Vec<(String, String)> {
    let written: std::collections::BTreeSet<String> = (0..small as u32).map(key).collect();
    let mut all: Vec<String> = (0..1000).map(key).collect();
    all.sort();
    let value_of = |key: &String| if written.contains(key) { value } else { "large" };
    all.iter().map(|key| (key.clone(), value_of(key).to_owned())).collect()
}

#[test]
fn behind_a_large_commit_there_is_room_for_as_many_small_writes_as_without_one() {
    let disk = SimVfs::new();
    let set = opened(&disk);
    let value = [b'v'; 100];
    let without = fill(&set, &value);
    merge_all(&set);
    large(&set);
    let of_large = set.stats().memtable_bytes;
    let with = fill(&set, &value);
    assert!(with.len() >= without.len() - 4, "{} writes behind it, {} without", with.len(), without.len());
    let first = |ahead: &[bool]| ahead.iter().position(|ahead| *ahead).expect("nobody merges");
    assert!(first(&with) >= first(&without) - 4, "ahead from {} on, {} without", first(&with), first(&without));
    let memory = set.stats().memtable_bytes;
    assert!(memory < of_large + (64 << 10) + 512, "{memory} bytes, {of_large} of them of the large commit");
    // The large one is merged first, and there is no room before the other one is.
    set.next_job(0).expect("the large commit").run().unwrap();
    assert_eq!(fill(&set, &value), []);
    set.next_job(0).expect("the memtable above it").run().unwrap();
    assert!(!set.is_ahead());
    let text = String::from_utf8(value.to_vec()).unwrap();
    assert_eq!(all(&set.snapshot()), expected(with.len(), &text));
    assert!(fill(&set, &value).len() > with.len() / 3);
}

#[test]
fn a_large_commit_over_small_writes_over_a_large_one_waits_and_comes_through() {
    let disk = SimVfs::new();
    let set = opened(&disk);
    large(&set);
    let small = fill(&set, b"small").len();
    let before = set.snapshot();
    large(&set);
    assert_eq!(all(&before), expected(small, "small"));
    assert_eq!(all(&set.snapshot()), expected(0, ""));
    merge_all(&set);
    assert_eq!(all(&before), expected(small, "small"));
    assert_eq!(all(&set.snapshot()), expected(0, ""));
    assert_sound(&set);
}

#[test]
fn a_loss_of_power_at_any_step_of_merging_small_writes_frozen_above_a_large_commit_loses_nothing() {
    let disk = SimVfs::new();
    let set = opened(&disk);
    large(&set);
    let small = fill(&set, b"small").len();
    set.sync().unwrap();
    let begun = disk.ops();
    merge_all(&set);
    let wanted = expected(small, "small");
    for op in begun..=disk.ops() {
        for &mode in CrashMode::ALL {
            let image = disk.crash_image(op, mode, op);
            let set = opened(&image);
            assert_eq!(all(&set.snapshot()), wanted, "operation {op}, {mode:?}");
        }
    }
    assert_sound(&set);
}

#[test]
fn a_merge_that_fails_leaves_small_writes_above_a_large_commit_where_they_are() {
    let mut failures = 0;
    for call in 0..80 {
        let disk = SimVfs::new();
        let set = opened(&disk);
        large(&set);
        let small = fill(&set, b"small").len();
        set.sync().unwrap();
        disk.inject(call, Fault::Errno(28), Repeat::Once);
        while let Some(job) = set.next_job(0) {
            failures += u32::from(job.run().is_err());
        }
        disk.heal();
        let wanted = expected(small, "small");
        assert_eq!(all(&set.snapshot()), wanted, "call {call}");
        drop(set);
        let set = opened(&disk.restart_process());
        assert_eq!(all(&set.snapshot()), wanted, "call {call}");
        merge_all(&set);
        assert_eq!(all(&set.snapshot()), wanted, "call {call}");
        assert_sound(&set);
    }
    assert!(failures > 10, "{failures} jobs failed");
}
