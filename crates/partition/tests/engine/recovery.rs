//! Recovery: reopening after a close, a killed process, a loss of power, failing calls.

use crate::*;
use halodb_partition::{ErrorKind, OpenProgress, Opening, SideBySide};
use halodb_vfs::sim::{CrashMode, Fault, Repeat};

#[test]
fn after_a_close_nothing_is_replayed_and_everything_is_there() {
    let disk = SimVfs::new();
    let set = open(&disk);
    for i in 0..300 {
        put(&set, &format!("k{i}"), "v");
    }
    set.close(0).unwrap();
    assert_eq!(set.commit(&Batch::new(), Durability::Sync, 0).unwrap_err().kind(), ErrorKind::Closed);
    set.close(0).expect("a second close does nothing");
    drop(set);
    let (set, report) = try_open(&disk, tiny()).unwrap();
    assert!(report.clean && report.replayed == 0, "{report:?}");
    assert_eq!(all(&set.snapshot()).len(), 300);
    put(&set, "more", "v");
    drop(set);
    let (set, report) = try_open(&disk, tiny()).unwrap();
    assert!(!report.clean && report.replayed == 1, "{report:?}");
    assert_eq!(all(&set.snapshot()).len(), 301);
    assert_sound(&set);
}

#[test]
fn numbers_go_on_after_every_open_and_are_never_used_twice() {
    let disk = SimVfs::new();
    let mut last = 0;
    for round in 0..6 {
        let set = open(&disk);
        let mut batch = Batch::new();
        batch.put(b"k", &[round]);
        let lsn = commit(&set, &batch);
        assert!(lsn > last, "{lsn} after {last}");
        last = lsn;
        if round % 2 == 0 {
            set.close(0).unwrap();
        }
    }
}

/// Does the pieces of an open in threads of their own, the last one first.
fn in_threads(pieces: usize, piece: &(dyn Fn(usize) + Sync)) {
    std::thread::scope(|scope| {
        for number in (0..pieces).rev() {
            scope.spawn(move || piece(number));
        }
    });
}

#[test]
fn a_replay_in_several_threads_gives_what_one_thread_gives_and_says_how_far_it_is() {
    check_replay_in_threads(5);
}

#[test]
fn a_replay_of_a_single_partition_in_several_threads_gives_what_one_thread_gives() {
    check_replay_in_threads(1);
}

fn check_replay_in_threads(partitions: u32) {
    let disk = SimVfs::new();
    let mut options = tiny();
    (options.partitions, options.memtable_bytes, options.log_limit_bytes) = (Some(partitions), 64 << 20, 64 << 20);
    let (set, _) = try_open(&disk, options.clone()).unwrap();
    let mut model = std::collections::BTreeMap::new();
    for i in 0..6000u32 {
        // Few keys, so that each is written many times: the order within a partition decides.
        let key = format!("k{:03}", i * 7919 % 400);
        let mut batch = Batch::new();
        match i % 11 {
            3 => {
                batch.delete(key.as_bytes());
                model.remove(&key);
            }
            7 if i % 3 == 0 => {
                let end = format!("{key}~");
                batch.delete_range(key.as_bytes(), Some(end.as_bytes()));
                model.remove(&key);
            }
            _ => {
                batch.put(key.as_bytes(), i.to_string().as_bytes());
                model.insert(key, i.to_string());
            }
        }
        set.commit(&batch, Durability::Memory, 0).unwrap();
        if i == 2000 {
            // One tree has what the others have not.
            set.freeze_all().unwrap();
            set.next_job(0).expect("a frozen memtable").run().unwrap();
        }
    }
    set.sync().unwrap();
    drop(set);
    let heard = std::sync::Mutex::new(Vec::new());
    for side_by_side in [None, Some(&in_threads as SideBySide<'_>)] {
        let on_progress = |now: OpenProgress| heard.lock().unwrap().push(now);
        let mut opening = Opening::default();
        opening.side_by_side = side_by_side.unwrap_or(opening.side_by_side);
        opening.on_progress = &on_progress;
        let copy = Arc::new(disk.copy());
        let (set, report) =
            PartitionSet::open_with(copy, Path::new(DIR), options.clone(), entropy(), 0, opening).unwrap();
        assert!(all(&set.snapshot()).into_iter().eq(model.clone()), "threads: {}", side_by_side.is_some());
        let heard = std::mem::take(&mut *heard.lock().unwrap());
        assert!(heard.is_sorted_by_key(|now| (now.read_bytes, now.records)) && heard.len() > 3, "{heard:?}");
        let last = heard.last().unwrap();
        assert_eq!((last.read_bytes, last.records), (last.total_bytes, report.replayed));
        assert_eq!(last.read_bytes, report.read_bytes);
        assert_sound(&set);
    }
}

#[test]
fn reading_after_a_clean_close_writes_nothing() {
    let disk = SimVfs::new();
    let set = open(&disk);
    put(&set, "k", "v");
    set.close(0).unwrap();
    drop(set);
    let before = disk.ops();
    let set = open(&disk);
    assert_eq!(get(&set, "k").as_deref(), Some("v"));
    set.tick(100).unwrap();
    set.sync().unwrap();
    assert!(set.next_job(u64::MAX).is_none());
    set.close(200).unwrap();
    drop(set);
    // The lock file is all that was touched.
    assert!(disk.ops() - before <= 3, "{} operations", disk.ops() - before);
    assert!(try_open(&disk, tiny()).unwrap().1.clean);
}

#[test]
fn what_was_replayed_is_merged_and_closed_before_anything_new_is_written() {
    let disk = SimVfs::new();
    for round in 1..=4 {
        let set = open(&disk);
        put(&set, &format!("k{round}"), "v");
        drop(set);
        let set = open(&disk);
        if round % 2 == 0 {
            merge_all(&set);
            assert_eq!(set.stats().memtable_versions, 0);
        } else {
            set.close(0).expect("merges what was replayed");
        }
        drop(set);
        let image = disk.crash_image(disk.ops(), CrashMode::Strict, 0);
        let set = open(&image);
        assert_eq!(keys(&set.snapshot()).len(), round);
        assert_sound(&set);
    }
}

/// The dead process may have seen any of its calls fail or never return: what it left may be in the cache only, names
/// included.
#[test]
fn what_a_killed_creator_left_in_the_cache_is_made_durable_before_anything_is_acknowledged() {
    let path = Path::new("a/b/db");
    let sound = SimVfs::new();
    PartitionSet::open(Arc::new(sound.clone()), path, tiny(), entropy(), 0).unwrap();
    for call in 0..sound.calls() {
        let disk = SimVfs::new();
        disk.inject(call, Fault::Errno(libc_eio()), Repeat::Once);
        let _ = PartitionSet::open(Arc::new(disk.clone()), path, tiny(), entropy(), 0);
        let disk = disk.restart_process();
        let (set, _) = PartitionSet::open(Arc::new(disk.clone()), path, tiny(), entropy(), 0)
            .unwrap_or_else(|e| panic!("after a failure of call {call}: {e}"));
        put(&set, "k", "v");
        let image = disk.crash_image(disk.ops(), CrashMode::Strict, 0);
        let (set, report) = PartitionSet::open(Arc::new(image), path, tiny(), entropy(), 0)
            .unwrap_or_else(|e| panic!("call {call} failed, then power: {e}"));
        assert!(!report.created, "call {call} failed: the database is gone");
        assert_eq!(get(&set, "k").as_deref(), Some("v"), "call {call}");
    }
}

/// The marker of a close may be in the cache only, too: nothing durable may rest on it.
#[test]
fn a_clean_close_that_was_never_durable_is_not_built_upon() {
    let run = |disk: &SimVfs| {
        let set = open(disk);
        put(&set, "k", "v");
        set.close(0)
    };
    let sound = SimVfs::new();
    run(&sound).unwrap();
    let disk = SimVfs::new();
    disk.inject(sound.calls() - 1, Fault::Errno(libc_eio()), Repeat::Once);
    assert!(run(&disk).is_err(), "the last call is the marker's sync");
    let disk = disk.restart_process();
    let mut options = tiny();
    options.log_limit_bytes = 1;
    let (set, _) = try_open(&disk, options).unwrap();
    settle(&set);
    let image = disk.crash_image(disk.ops(), CrashMode::Strict, 0);
    let (set, _) = try_open(&image, tiny()).unwrap();
    assert_eq!(get(&set, "k").as_deref(), Some("v"));
}

#[test]
fn a_poisoned_database_says_what_failed_and_where() {
    for call in 0.. {
        let disk = SimVfs::new();
        let set = open(&disk);
        put(&set, "k", "v");
        set.freeze_all().unwrap();
        disk.inject(call, Fault::Errno(libc_eio()), Repeat::Once);
        while let Some(job) = set.next_job(0) {
            if job.run().is_err() {
                break;
            }
        }
        let struck = disk.struck() > 0;
        let mut batch = Batch::new();
        batch.put(b"k", b"w");
        if let Err(e) = set.commit(&batch, Durability::Sync, 0) {
            assert_eq!(e.kind(), ErrorKind::Poisoned);
            assert!(e.to_string().contains("db/"), "{e}");
        }
        if !struck {
            break;
        }
    }
}

/// One batch over all partitions per step; the acknowledged ones must be whole in every image, and at most the one in
/// flight may be there beside them.
#[test]
fn no_loss_of_power_takes_an_acknowledged_batch_or_half_of_any() {
    lose_power_after_batches(&tiny());
}

/// Each batch is five parts and a commit.
#[test]
fn no_loss_of_power_takes_an_acknowledged_large_batch_or_half_of_any() {
    let mut options = tiny();
    options.large_bytes = Some(2000);
    lose_power_after_batches(&options);
}

fn lose_power_after_batches(options: &Options) {
    let disk = SimVfs::new();
    let try_open = |disk: &SimVfs| try_open(disk, options.clone());
    let set = try_open(&disk).expect("opens").0;
    let mut acknowledged = vec![(0, 0)];
    for step in 1..=40u32 {
        let mut batch = Batch::new();
        for key in 0..8 {
            batch.put(format!("key {key}").as_bytes(), format!("{step} {}", "x".repeat(300)).as_bytes());
        }
        commit(&set, &batch);
        acknowledged.push((disk.ops(), step));
        match step % 10 {
            4 => merge_all(&set),
            7 => set.tick(0).unwrap(),
            _ => {}
        }
    }
    let modes = CrashMode::ALL.iter().copied().filter(|mode| *mode != CrashMode::Garbage);
    let first = acknowledged[1].0;
    for at in first..=disk.ops() {
        let step = acknowledged.iter().rev().find(|(ops, _)| *ops <= at).expect("the first").1;
        for (i, mode) in modes.clone().enumerate() {
            let image = disk.crash_image(at, mode, at * 31 + i as u64);
            let (set, _) = try_open(&image).unwrap_or_else(|e| panic!("after {at} in {mode:?}: {e}"));
            let pairs = all(&set.snapshot());
            assert_eq!(pairs.len(), 8, "after {at} in {mode:?}");
            let found: u32 = pairs[0].1.split(' ').next().unwrap().parse().unwrap();
            assert!(pairs.iter().all(|(_, v)| *v == pairs[0].1), "half a batch after {at} in {mode:?}");
            assert!(found == step || found == step + 1, "step {found} after {at} in {mode:?}, {step} was acknowledged");
            put(&set, "key 0", "written after recovery");
            let again = image.crash_image(image.ops(), CrashMode::Strict, 0);
            let set = try_open(&again).expect("opens").0;
            assert_eq!(get(&set, "key 0").as_deref(), Some("written after recovery"));
        }
    }
}

/// A history of several lives on one disk: batches of all levels, range deletes, merges in chunks of a page, closes and
/// kills. The state after each batch is known, and after a loss of power anywhere one of them is there, whole: not before
/// the last one that was durable, not after the one in flight. The power fails in the recovery as well.
#[test]
fn after_two_losses_of_power_in_a_row_some_moment_of_the_history_is_there_and_none_before_the_last_durable() {
    lose_power_twice(None);
}

/// The same, where about half of the batches are written in parts.
#[test]
fn after_two_losses_of_power_in_a_row_a_large_batch_is_there_whole_or_not_at_all() {
    lose_power_twice(Some(2500));
}

fn lose_power_twice(large_bytes: Option<u64>) {
    type State = Vec<(String, String)>;
    let mut options = tiny();
    options.partitions = Some(3);
    options.large_bytes = large_bytes;
    options.chunk_bytes = 4096;
    options.memtable_bytes = 96 << 10;
    options.segment_bytes = 16 << 10;
    options.first_segment_bytes = 16 << 10;
    options.log_limit_bytes = 48 << 10;
    let mut map = std::collections::BTreeMap::new();
    let mut states: Vec<State> = vec![Vec::new()];
    // Operations after which a state is durable.
    let mut durable = Vec::new();
    let mut disk = SimVfs::new();
    let mut set = try_open(&disk, options.clone()).unwrap().0;
    for step in 1..=90usize {
        let mut batch = Batch::new();
        if step % 9 == 0 {
            let (from, to) = (format!("k{:03}", step % 50), format!("k{:03}", step % 50 + 20));
            batch.delete_range(from.as_bytes(), Some(to.as_bytes()));
            map.retain(|key: &String, _| *key < from || *key >= to);
        }
        for i in 0..12 {
            let key = format!("k{:03}", (step * 37 + i * 11) % 120);
            if (step + i) % 5 == 0 {
                batch.delete(key.as_bytes());
                map.remove(&key);
            } else {
                let value = format!("{step} {}", "x".repeat((step * i * 7) % 400));
                batch.put(key.as_bytes(), value.as_bytes());
                map.insert(key, value);
            }
        }
        batch.put(b"step", step.to_string().as_bytes());
        map.insert("step".into(), step.to_string());
        states.push(map.clone().into_iter().collect());
        let level = [Durability::Sync, Durability::Buffered, Durability::Memory, Durability::Buffered][step % 4];
        while let Err(e) = set.commit(&batch, level, 0) {
            assert_eq!(e.kind(), ErrorKind::Stalled);
            settle(&set);
        }
        if level == Durability::Sync {
            durable.push((disk.ops(), step));
        }
        match step % 30 {
            7 | 14 | 22 => merge_all(&set),
            11 => set.tick(0).unwrap(),
            18 => {
                set.close(0).unwrap();
                durable.push((disk.ops(), step));
                set = {
                    drop(set);
                    try_open(&disk, options.clone()).unwrap().0
                };
            }
            26 => {
                set.tick(0).unwrap();
                drop(set);
                disk = disk.restart_process();
                set = try_open(&disk, options.clone()).unwrap().0;
                durable.push((disk.ops(), step));
            }
            _ => {}
        }
    }
    let found = |set: &PartitionSet| {
        let pairs = all(&set.snapshot());
        let step = get(set, "step").map_or(0, |s| s.parse().unwrap());
        assert!(pairs == states[step], "step {step} is not whole");
        step
    };
    // No garbage: a sector that is overwritten is old or new, as the log's segment headers assume.
    let modes: Vec<CrashMode> = CrashMode::ALL.iter().copied().filter(|mode| *mode != CrashMode::Garbage).collect();
    let seeds: u64 = std::env::var("HALODB_TEST_SEEDS").ok().and_then(|n| n.parse().ok()).unwrap_or(1);
    let first = durable[0].0;
    for round in 0..seeds {
        for at in first..=disk.ops() {
            let context = |what: &str| format!("{what} after operation {at}, round {round}");
            let mode = modes[(at + round) as usize % modes.len()];
            let seed = round * 7919 + at;
            let least = durable.iter().rev().find(|(ops, _)| *ops <= at).expect("the first").1;
            let image = disk.crash_image(at, mode, seed);
            let step = {
                let (set, _) = try_open(&image, options.clone())
                    .unwrap_or_else(|e| panic!("{}: {e}", context(&format!("refused in {mode:?}"))));
                found(&set)
            };
            assert!(step >= least, "{}: {step}, {least} was durable", context("too old"));
            // What the recovery showed, it has made durable; whatever it left undone, nothing older is there.
            let recovered = image.ops();
            let merged = try_open(&image.restart_process(), options.clone()).unwrap().0;
            merge_all(&merged);
            assert_eq!(found(&merged), step, "{}", context("merging changed the step"));
            drop(merged);
            for (again, least) in
                [(seed % (recovered + 1), least), (recovered + seed % (image.ops() - recovered + 1), step)]
            {
                let image = image.crash_image(again, modes[(seed / 7) as usize % modes.len()], seed);
                let (set, _) = try_open(&image, options.clone())
                    .unwrap_or_else(|e| panic!("{}, then {again}: {e}", context("refused")));
                let step = found(&set);
                assert!(step >= least, "{}, then {again}: {step}, {least} was durable", context("too old"));
            }
        }
    }
}

/// Each call fails once, in each way: what was acknowledged is there after the disk has healed. The next process finds in
/// the cache what the failing one left there, and serves it; so a loss of power after that must not take it.
#[test]
fn no_failing_call_loses_an_acknowledged_write() {
    fail_each_call(None);
}

#[test]
fn no_failing_call_loses_an_acknowledged_large_batch_or_half_of_one() {
    fail_each_call(Some(1000));
}

fn fail_each_call(large_bytes: Option<u64>) {
    // Small enough that segments rotate and are recycled, and merges take several chunks.
    let mut options = tiny();
    options.segment_bytes = 4096;
    options.first_segment_bytes = 4096;
    options.log_limit_bytes = 8192;
    options.chunk_bytes = 4096;
    options.large_bytes = large_bytes;
    let try_open = |disk: &SimVfs| try_open(disk, options.clone());
    let run = |disk: &SimVfs| -> u32 {
        let mut acknowledged = 0;
        let Ok((set, _)) = try_open(disk) else { return 0 };
        for step in 1..=6u32 {
            let mut batch = Batch::new();
            batch.put(b"a", &step.to_le_bytes());
            batch.put(b"b", &step.to_le_bytes());
            for i in 0..6 {
                batch.put(format!("filler {}", step * 2 + i).as_bytes(), &[step as u8; 500]);
            }
            if set.commit(&batch, Durability::Sync, 0).is_ok() {
                acknowledged = step;
            }
            if step % 3 == 0 && set.freeze_all().is_ok() {
                while let Some(job) = set.next_job(0) {
                    if job.run().is_err() {
                        break;
                    }
                }
            }
        }
        let _ = set.close(0);
        acknowledged
    };
    let sound = SimVfs::new();
    assert_eq!(run(&sound), 6);
    let calls = sound.calls();
    for call in 0..calls {
        for fault in [Fault::Errno(libc_eio()), Fault::Errno(libc_enospc()), Fault::Short, Fault::SyncFailsClean] {
            for repeat in [Repeat::Once, Repeat::Sticky] {
                let disk = SimVfs::new();
                disk.inject(call, fault, repeat);
                let acknowledged = run(&disk);
                disk.heal();
                let context = format!("call {call}, {fault:?} {repeat:?}");
                let read = |set: &PartitionSet| {
                    let read = |key: &[u8]| {
                        set.get(key).unwrap().map_or(0, |v| u32::from_le_bytes(v.into_vec().try_into().unwrap()))
                    };
                    let (a, b) = (read(b"a"), read(b"b"));
                    assert_eq!(a, b, "half a batch: {context}");
                    a
                };
                let image = disk.crash_image(disk.ops(), CrashMode::Strict, call);
                let (set, _) = try_open(&image).unwrap_or_else(|e| panic!("{context}: {e}"));
                let found = read(&set);
                assert!(found >= acknowledged, "{context}: {found} found, {acknowledged} acknowledged");
                assert_sound(&set);

                let disk = disk.restart_process();
                let (set, _) = try_open(&disk).unwrap_or_else(|e| panic!("{context}: {e}"));
                let found = read(&set);
                assert!(found >= acknowledged, "{context}: {found} found, {acknowledged} acknowledged");
                put(&set, "c", "later");
                if call % 2 == 0 {
                    merge_all(&set);
                }
                let image = disk.crash_image(disk.ops(), CrashMode::Strict, call);
                let (set, _) = try_open(&image).unwrap_or_else(|e| panic!("{context}, then power: {e}"));
                assert_eq!(read(&set), found, "{context}, then power: what was shown is gone");
                assert_eq!(get(&set, "c").as_deref(), Some("later"), "{context}, then power");
                assert_sound(&set);
            }
        }
    }
}

const fn libc_eio() -> i32 {
    5
}

const fn libc_enospc() -> i32 {
    28
}

/// A delete that was only handed to the system, then a durable delete of the same key: it finds nothing to delete and
/// writes nothing, but what it answered must survive like anything else it promises.
#[test]
fn an_answer_to_a_durable_condition_survives_a_loss_of_power() {
    for level in [Durability::Memory, Durability::Buffered] {
        let disk = SimVfs::new();
        let set = open(&disk);
        put(&set, "k", "v");
        let mut batch = Batch::new();
        batch.delete(b"k");
        set.commit(&batch, level, 0).unwrap();
        let expect = [(&b"k"[..], halodb_partition::Expect::Present)];
        let outcome = set.commit_if(&batch, &expect, Durability::Sync, 0).unwrap();
        assert_eq!(outcome, halodb_partition::Outcome::Failed(0));
        let image = disk.crash_image(disk.ops(), CrashMode::Strict, 0);
        assert_eq!(get(&open(&image), "k"), None, "{level:?}");
    }
}
