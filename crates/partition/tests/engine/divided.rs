//! Merges that are divided by ranges of keys: the same answers, whole after a loss of power, and after a failed call.

use crate::*;
use halodb_partition::InTurn;
use halodb_vfs::sim::{CrashMode, Fault, Repeat};
use std::collections::BTreeMap;
use std::num::NonZeroUsize;

/// Chunks of eight pages, divided into so many parts where they have three keys each.
fn options(parts: usize) -> Options {
    let mut options = tiny();
    options.partitions = Some(1);
    options.merge_executor = Arc::new(InTurn(NonZeroUsize::new(parts).expect("not zero")));
    options.merge_part_keys = 3;
    options
}

fn key(i: u32) -> String {
    format!("{:08x}", i.wrapping_mul(2_654_435_761))
}

fn open_divided(disk: &SimVfs, parts: usize) -> PartitionSet {
    try_open(disk, options(parts)).expect("opens").0
}

/// One round of writes of each kind; the model follows. Nothing of it is merged.
fn write(set: &PartitionSet, round: u32, model: &mut BTreeMap<String, String>) {
    let mut batch = Batch::new();
    for i in (round * 37..round * 37 + 120).map(|i| i * 7 % 600) {
        let value = format!("{round} {}", "v".repeat(40 + i as usize % 90));
        batch.put(key(i).as_bytes(), value.as_bytes());
        model.insert(key(i), value);
    }
    commit(set, &std::mem::take(&mut batch));
    for i in (round * 11..round * 11 + 40).map(|i| i * 13 % 600) {
        batch.delete(key(i).as_bytes());
        model.remove(&key(i));
    }
    commit(set, &std::mem::take(&mut batch));
    let (from, to) = (format!("{:02x}", round * 29 % 200), format!("{:02x}", round * 29 % 200 + 9));
    batch.delete_range(from.as_bytes(), Some(to.as_bytes()));
    model.retain(|key, _| *key < from || *key >= to);
    commit(set, &std::mem::take(&mut batch));
    let long = format!("{round} {}", "l".repeat(5000));
    batch.put(key(round).as_bytes(), long.as_bytes());
    batch.put_until(key(round + 1).as_bytes(), b"gone", 1);
    model.insert(key(round), long);
    model.remove(&key(round + 1));
    commit(set, &batch);
    // By now it has expired.
    set.advance_time(10);
}

fn pairs(model: &BTreeMap<String, String>) -> Vec<(String, String)> {
    model.iter().map(|(key, value)| (key.clone(), value.clone())).collect()
}

#[test]
fn a_divided_merge_changes_no_answer() {
    for parts in 1..=4 {
        let disk = SimVfs::new();
        let (set, mut model) = (open_divided(&disk, parts), BTreeMap::new());
        for round in 0..8 {
            write(&set, round, &mut model);
            let reader = set.snapshot();
            let before = all(&reader);
            assert!(before == pairs(&model), "{parts} parts, round {round}");
            merge_all(&set);
            assert!(all(&reader) == before);
            assert!(all(&set.snapshot()) == before, "{parts} parts, round {round}");
            assert_sound(&set);
        }
        assert_eq!(set.stats().memtable_versions, 0);
    }
}

#[test]
fn a_power_loss_at_any_moment_of_a_divided_merge_loses_nothing() {
    let disk = SimVfs::new();
    let (set, mut model) = (open_divided(&disk, 3), BTreeMap::new());
    for round in 0..3 {
        write(&set, round, &mut model);
        merge_all(&set);
    }
    write(&set, 3, &mut model);
    let begin = disk.ops();
    merge_all(&set);
    drop(set);
    assert!(disk.ops() > begin + 10, "several chunks");
    for at in begin..=disk.ops() {
        for (seed, &mode) in (0..).zip(CrashMode::ALL) {
            let image = disk.crash_image(at, mode, seed + at);
            let set = open_divided(&image, 2);
            set.advance_time(10);
            assert!(all(&set.snapshot()) == pairs(&model), "operation {at}, {mode:?}");
            merge_all(&set);
            assert!(all(&set.snapshot()) == pairs(&model), "operation {at}, {mode:?}, merged again");
            assert_sound(&set);
        }
    }
}

#[test]
fn a_fault_at_any_call_of_a_divided_merge_loses_nothing() {
    let build = |disk: &SimVfs| {
        let (set, mut model) = (open_divided(disk, 3), BTreeMap::new());
        for round in 0..2 {
            write(&set, round, &mut model);
            merge_all(&set);
        }
        write(&set, 2, &mut model);
        (set, model)
    };
    let calls = {
        let disk = SimVfs::new();
        let (set, _) = build(&disk);
        let before = disk.calls();
        merge_all(&set);
        disk.calls() - before
    };
    let mut struck = 0;
    for call in 0..calls {
        for fault in [Fault::Errno(28), Fault::Errno(5), Fault::SyncFailsClean] {
            let disk = SimVfs::new();
            let (mut set, model) = build(&disk);
            disk.inject(call, fault, Repeat::Once);
            let flushed = set.flush();
            disk.heal();
            struck += u32::from(flushed.is_err());
            assert!(all(&set.snapshot()) == pairs(&model), "call {call}, {fault:?}");
            if set.sync().is_err() {
                drop(set);
                set = open_divided(&disk, 4);
                set.advance_time(10);
            }
            set.flush().unwrap_or_else(|e| panic!("call {call}, {fault:?}: {e}"));
            assert!(all(&set.snapshot()) == pairs(&model), "call {call}, {fault:?}");
            assert_sound(&set);
        }
    }
    assert!(u64::from(struck) > calls, "{struck} of {calls} calls");
}
