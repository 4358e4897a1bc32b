//! Where every byte is, and files that shrink: on request, and by themselves when nobody writes.

use crate::*;
use halodb_partition::Space;
use halodb_vfs::Vfs;
use halodb_vfs::sim::{CrashMode, Fault, Repeat};
use std::collections::BTreeMap;

fn key(i: u32) -> String {
    format!("{:08x}", i.wrapping_mul(2_654_435_761))
}

fn fill(set: &PartitionSet, keys: impl Iterator<Item = u32>) {
    let mut batch = Batch::new();
    for i in keys {
        batch.put(key(i).as_bytes(), format!("{i} {}", "x".repeat(100)).as_bytes());
        if batch.len_bytes() > 4000 {
            commit(set, &std::mem::take(&mut batch));
        }
    }
    commit(set, &batch);
}

fn delete(set: &PartitionSet, keys: impl Iterator<Item = u32>) {
    let mut batch = Batch::new();
    for i in keys {
        batch.delete(key(i).as_bytes());
        if batch.len_bytes() > 2000 {
            commit(set, &std::mem::take(&mut batch));
        }
    }
    commit(set, &batch);
}

fn page_bytes(set: &PartitionSet) -> u64 {
    set.space().expect("readable").partitions.iter().map(|part| part.file_bytes).sum()
}

/// Each file's parts add up to its length on the disk, and no file is missing.
fn assert_adds_up(disk: &SimVfs, set: &PartitionSet) -> Space {
    let space = set.space().expect("readable");
    let mut on_disk = BTreeMap::new();
    let mut dirs = vec![Path::new(DIR).to_path_buf()];
    while let Some(dir) = dirs.pop() {
        for entry in disk.read_dir(&dir).expect("listable") {
            let path = dir.join(entry.name);
            match entry.kind {
                halodb_vfs::EntryKind::Dir => dirs.push(path),
                _ => drop(on_disk.insert(path.clone(), disk.read_file(&path).expect("a file").len() as u64)),
            }
        }
    }
    for part in &space.partitions {
        assert_eq!(part.live() + part.reclaimable(), part.file_bytes, "{part:?}");
        assert_eq!(on_disk.remove(&part.path), Some(part.file_bytes));
    }
    for other in &space.others {
        assert_eq!(on_disk.remove(&other.path), Some(other.file_bytes), "{other:?}");
    }
    assert!(on_disk.keys().all(|path| path.starts_with(Path::new(DIR).join("wal"))), "{:?}", on_disk.keys());
    assert_eq!(space.log.file_bytes, on_disk.values().sum::<u64>());
    assert_eq!(space.log.needed + space.log.spare, space.log.file_bytes);
    space
}

#[test]
fn the_parts_of_all_files_add_up_to_their_lengths_at_every_moment() {
    let disk = SimVfs::new();
    let set = open(&disk);
    assert_adds_up(&disk, &set);
    fill(&set, 0..2000);
    assert_adds_up(&disk, &set);
    let mut batch = Batch::new();
    batch.put(b"long", &[7; 30_000]);
    commit(&set, &batch);
    merge_all(&set);
    let space = assert_adds_up(&disk, &set);
    assert_eq!(space.partitions.iter().map(|part| part.values).sum::<u64>(), 8 * 4096);
    assert!(space.partitions.iter().all(|part| part.leaves > 20 * 4096 && part.filters > 0 && part.branches > 0));

    let reader = set.snapshot();
    delete(&set, 0..1000);
    merge_all(&set);
    let pinned = |space: &Space| space.partitions.iter().map(|part| part.pinned).sum::<u64>();
    fill(&set, 5000..5010);
    merge_all(&set);
    let held = pinned(&assert_adds_up(&disk, &set));
    assert!(held > 40 * 4096, "{held} bytes are pinned by the snapshot");
    assert!(set.space().unwrap().partitions.iter().all(|part| part.pinned_versions == 1));
    drop(reader);
    assert_eq!(pinned(&assert_adds_up(&disk, &set)), 0);
    set.compact().unwrap();
    let space = assert_adds_up(&disk, &set);
    assert!(space.partitions.iter().all(|part| part.ahead == 0 && part.free <= 4 * 4096), "{space:?}");
}

#[test]
fn compacting_changes_no_answer_and_leaves_a_file_as_small_as_a_new_one() {
    let disk = SimVfs::new();
    let set = open(&disk);
    fill(&set, 0..8000);
    delete(&set, (0..8000).filter(|i| i % 2 == 0));
    let snapshot = set.snapshot();
    let expected = all(&snapshot);
    drop(snapshot);
    let before = page_bytes(&set);
    let won = set.compact().unwrap();
    assert_eq!(all(&set.snapshot()), expected);
    assert_eq!(set.stats().memtable_versions, 0, "what was in memory is in");
    assert_eq!(page_bytes(&set), won.bytes_after);
    assert!(won.won_bytes() <= won.bytes_before && won.held_back == 0, "{won:?} of {before}");
    assert_sound(&set);

    let other = SimVfs::new();
    let fresh = open(&other);
    fill(&fresh, (0..8000).filter(|i| i % 2 == 1));
    fresh.compact().unwrap();
    let small = page_bytes(&fresh);
    assert!(won.bytes_after <= small + small / 20, "{won:?}, a new one has {small}");
    // And it is an ordinary database.
    fill(&set, 0..100);
    merge_all(&set);
    assert_sound(&set);
    set.close(0).unwrap();
    drop(set);
    assert_eq!(keys(&open(&disk).snapshot()).len(), expected.len() + 50);
}

#[test]
fn writes_merges_and_readers_go_on_between_the_chunks() {
    let disk = SimVfs::new();
    let set = open(&disk);
    fill(&set, 0..6000);
    delete(&set, (0..6000).filter(|i| i % 3 != 0));
    set.flush().unwrap();
    let reader = set.snapshot();
    let seen = all(&reader);
    let mut expected: BTreeMap<String, String> = seen.iter().cloned().collect();
    let mut compactor = set.compactor();
    let mut i = 0;
    let mut last = 0.0;
    while !compactor.step().unwrap() {
        let progress = compactor.progress().unwrap();
        assert!((0.0..=1.0).contains(&progress) && progress >= last - 0.5, "{progress} after {last}");
        last = progress;
        i += 1;
        put(&set, &key(i), "again");
        expected.insert(key(i), "again".into());
        if i % 5 == 0 {
            merge_all(&set);
        }
    }
    assert!(i > 10, "{i} chunks");
    assert_eq!(all(&reader), seen);
    assert_eq!(all(&set.snapshot()), expected.into_iter().collect::<Vec<_>>());
    assert_sound(&set);
}

/// A log with room for all memtables kept most of what it had, although the trees had everything: the database was larger after
/// the compaction than before.
#[test]
fn after_compacting_the_log_is_one_segment() {
    let disk = SimVfs::new();
    let mut options = tiny();
    options.memtable_bytes = 8 << 20;
    options.log_limit_bytes = 8 << 20;
    let (set, _) = try_open(&disk, options.clone()).unwrap();
    fill(&set, 0..20_000);
    delete(&set, (0..20_000).filter(|i| i % 2 == 0));
    let before = set.space().unwrap().log.file_bytes;
    assert!(before > 3 * (64 << 10), "{before}");
    set.compact().unwrap();
    assert_eq!(set.space().unwrap().log.file_bytes, 64 << 10);
    assert_adds_up(&disk, &set);
    // It goes on: the next segment is prepared when somebody needs it, and nothing is lost by a loss of power.
    fill(&set, 0..3000);
    assert!(set.space().unwrap().log.file_bytes > 64 << 10);
    let kept = keys(&set.snapshot()).len();
    drop(set);
    let (set, _) = try_open(&disk.crash_image(disk.ops(), CrashMode::Strict, 1), options).unwrap();
    assert_eq!(keys(&set.snapshot()).len(), kept);
    assert_sound(&set);
}

#[test]
fn a_file_with_much_free_space_is_compacted_when_nobody_writes() {
    let disk = SimVfs::new();
    let set = open(&disk);
    let idle = tiny().idle_ms;
    fill(&set, 0..8000);
    // A reader keeps the pages in their places, until it goes.
    let reader = set.snapshot();
    delete(&set, (0..8000).filter(|i| i % 10 != 0));
    merge_all(&set);
    fill(&set, 9000..9010);
    merge_all(&set);
    assert!(set.next_job(100 * idle).is_none(), "what is pinned is not free");
    drop(reader);
    let before = page_bytes(&set);
    assert!(set.next_job(idle - 1).is_none(), "somebody may still be writing");
    let mut jobs = 0;
    while let Some(job) = set.next_job(idle) {
        assert!(job.describe().contains("compact"), "{}", job.describe());
        job.run().unwrap();
        jobs += 1;
        assert!(jobs < 1000);
    }
    assert!(jobs > 2 && page_bytes(&set) < before / 3, "{jobs} jobs, {} of {before} bytes", page_bytes(&set));
    assert_sound(&set);
    assert!(set.next_job(100 * idle).is_none(), "once is enough");

    let mut never = tiny();
    never.compact_free_percent = 0;
    set.close(0).unwrap();
    drop(set);
    let (set, _) = try_open(&disk, never).unwrap();
    fill(&set, 0..8000);
    let reader = set.snapshot();
    delete(&set, 0..8000);
    merge_all(&set);
    drop(reader);
    assert!(set.next_job(idle).is_none());
}

#[test]
fn a_database_that_was_only_read_is_not_compacted() {
    let disk = SimVfs::new();
    let set = open(&disk);
    fill(&set, 0..8000);
    let reader = set.snapshot();
    delete(&set, 0..8000);
    set.close(0).unwrap();
    drop((reader, set));
    let set = open(&disk);
    let space = set.space().unwrap();
    assert!(space.partitions.iter().all(|part| part.free + part.settling > part.file_bytes / 2), "{space:?}");
    let ops = disk.ops();
    assert!(set.next_job(100 * tiny().idle_ms).is_none());
    set.close(0).unwrap();
    assert_eq!(disk.ops(), ops);
}

#[test]
fn compacting_right_after_a_clean_open_survives_a_power_loss_at_every_moment() {
    let disk = SimVfs::new();
    let set = open(&disk);
    fill(&set, 0..700);
    delete(&set, (0..700).filter(|i| i % 4 != 0));
    set.close(0).unwrap();
    drop(set);
    let begin = disk.ops();
    let set = open(&disk);
    let expected = all(&set.snapshot());
    set.compact().unwrap();
    put(&set, "last", "one");
    set.close(0).unwrap();
    drop(set);
    for at in begin..=disk.ops() {
        for (seed, &mode) in (0..).zip(CrashMode::ALL) {
            let image = disk.crash_image(at, mode, seed + at);
            let set = open(&image);
            let mut found = all(&set.snapshot());
            found.retain(|(key, _)| key != "last");
            assert_eq!(found, expected, "operation {at}, {mode:?}");
            assert_sound(&set);
        }
    }
}

#[test]
fn a_chunk_that_fails_half_way_does_not_disturb_the_next_merge() {
    let build = |disk: &SimVfs| {
        let set = open(disk);
        fill(&set, 0..700);
        delete(&set, (0..700).filter(|i| i % 4 != 0));
        set.flush().unwrap();
        set
    };
    let calls = {
        let disk = SimVfs::new();
        let set = build(&disk);
        let before = disk.calls();
        set.compact().unwrap();
        disk.calls() - before
    };
    let mut struck = 0;
    for call in 0..calls {
        for fault in [Fault::Errno(28), Fault::Errno(5), Fault::SyncFailsClean] {
            let disk = SimVfs::new();
            let mut set = build(&disk);
            let expected = all(&set.snapshot());
            disk.inject(call, fault, Repeat::Once);
            let Err(error) = set.compact() else { continue };
            disk.heal();
            struck += 1;
            assert_eq!(all(&set.snapshot()), expected);
            if set.sync().is_err() {
                drop(set);
                set = open(&disk);
            }
            put(&set, "next", "one");
            set.flush().unwrap_or_else(|e| panic!("call {call}, {fault:?}, after {error}: {e}"));
            set.compact().unwrap();
            assert_sound(&set);
            assert_eq!(all(&set.snapshot()).len(), expected.len() + 1);
        }
    }
    assert!(struck > calls / 2, "{struck} of {calls} calls");
}
