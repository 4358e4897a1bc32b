//! Writing: batches, conditions, durability, memory that is full.

use crate::*;
use halodb_partition::{ErrorKind, Expect, Outcome, Removal};

#[test]
fn keys_and_values_out_of_range_are_refused_before_anything_is_logged() {
    let disk = SimVfs::new();
    let set = open(&disk);
    let before = set.stats().wal.records;
    let longest = vec![b'k'; set.max_key_len()];
    let too_long = vec![b'k'; set.max_key_len() + 1];
    for key in [&b""[..], &too_long] {
        let mut batch = Batch::new();
        batch.put(key, b"v");
        assert_eq!(set.commit(&batch, Durability::Sync, 0).unwrap_err().kind(), ErrorKind::InvalidInput);
    }
    assert_eq!(set.stats().wal.records, before);
    let mut batch = Batch::new();
    batch.put(&longest, b"");
    commit(&set, &batch);
    merge_all(&set);
    assert_eq!(set.get(&longest).unwrap().unwrap().len(), 0);
}

#[test]
fn an_empty_batch_writes_nothing() {
    let disk = SimVfs::new();
    let set = open(&disk);
    put(&set, "k", "v");
    let records = set.stats().wal.records;
    assert_eq!(set.commit(&Batch::new(), Durability::Sync, 0).unwrap(), set.visible());
    assert_eq!(set.stats().wal.records, records);
}

#[test]
fn a_condition_is_judged_on_the_tree_the_frozen_and_the_active_memtable_alike() {
    let disk = SimVfs::new();
    let set = open(&disk);
    put(&set, "k", "v");
    for _ in 0..3 {
        let mut batch = Batch::new();
        batch.put(b"k", b"w");
        let outcome = |expect| set.commit_if(&batch, &[(b"k", expect)], Durability::Sync, 0).unwrap();
        assert_eq!(outcome(Expect::Absent), Outcome::Failed(0));
        assert!(matches!(outcome(Expect::Present), Outcome::Committed(_)));
        set.freeze_all().unwrap();
        let mut batch = Batch::new();
        batch.delete(b"k");
        let outcome = |expect| set.commit_if(&batch, &[(b"k", expect)], Durability::Sync, 0).unwrap();
        assert!(matches!(outcome(Expect::Present), Outcome::Committed(_)));
        assert_eq!(outcome(Expect::Present), Outcome::Failed(0));
        settle(&set);
        put(&set, "k", "again");
        merge_all(&set);
    }
}

#[test]
fn a_range_delete_says_how_many_keys_there_were_wherever_they_are() {
    let disk = SimVfs::new();
    let set = open(&disk);
    let remove = |start: &str, end: Option<&str>, conditions: &[(&[u8], Expect)]| {
        let range = (start.as_bytes(), end.map(str::as_bytes));
        set.delete_range(range, conditions, Durability::Sync, 0).unwrap()
    };
    let moves: [fn(&PartitionSet); 3] = [|_| {}, |set| set.freeze_all().unwrap(), merge_all];
    for then in moves {
        for key in ["a", "b", "c", "d", "e"] {
            put(&set, key, "v");
            then(&set);
        }
        let before = set.visible();
        assert_eq!(remove("a", None, &[(b"a", Expect::Present), (b"b", Expect::Absent)]), Removal::Failed(1));
        assert_eq!(set.visible(), before, "nothing was written");
        let Removal::Removed { lsn, keys } = remove("b", Some("d"), &[(b"a", Expect::Present)]) else {
            panic!("the condition holds");
        };
        assert_eq!((lsn, keys), (set.visible(), 2));
        then(&set);
        assert!(matches!(remove("a", None, &[]), Removal::Removed { keys: 3, .. }));
        assert!(matches!(remove("a", None, &[]), Removal::Removed { keys: 0, .. }));
        assert_eq!(all(&set.snapshot()), []);
    }
}

#[test]
fn the_newest_state_is_the_visible_one_when_nothing_is_in_flight_also_after_an_open() {
    let disk = SimVfs::new();
    let set = open(&disk);
    for i in 0..300 {
        put(&set, &format!("k{:03}", i % 90), &format!("{i}"));
        assert_eq!(set.newest().lsn(), set.visible());
    }
    let pairs = all(&set.newest());
    assert_eq!(pairs, all(&set.snapshot()));
    set.wait_settled(set.newest().lsn(), Durability::Sync).unwrap();
    set.close(0).unwrap();
    drop(set);
    let set = open(&disk);
    set.wait_settled(set.newest().lsn(), Durability::Sync).unwrap();
    assert_eq!(all(&set.newest()), pairs);
}

#[test]
fn of_several_writes_to_one_key_in_a_batch_the_last_counts() {
    let disk = SimVfs::new();
    let set = open(&disk);
    let mut batch = Batch::new();
    batch.put(b"k", b"1");
    batch.delete(b"k");
    batch.put(b"k", b"2");
    batch.put(b"gone", b"1");
    batch.delete(b"gone");
    commit(&set, &batch);
    assert_eq!(all(&set.snapshot()), [("k".to_string(), "2".to_string())]);
}

#[test]
fn full_memory_stalls_writers_until_a_job_has_run() {
    let disk = SimVfs::new();
    let set = open(&disk);
    let mut batch = Batch::new();
    batch.put(b"k", &[7; 4 << 10]);
    let stalled = (0..64).find_map(|_| set.commit(&batch, Durability::Sync, 0).err()).expect("memory is bounded");
    assert_eq!(stalled.kind(), ErrorKind::Stalled);
    settle(&set);
    set.commit(&batch, Durability::Sync, 0).expect("there is room again");
    assert!(set.stats().stalls > 0);
}

#[test]
fn a_writer_is_ahead_from_three_quarters_of_the_next_memtable_on_until_the_frozen_one_is_merged() {
    let disk = SimVfs::new();
    let set = open(&disk);
    let mut batch = Batch::new();
    batch.put(b"k", &[7; 100]);
    let mut found = Vec::new();
    while set.commit(&batch, Durability::Memory, 0).is_ok() {
        found.push(set.is_ahead());
    }
    let first = found.iter().position(|ahead| *ahead).expect("nobody merges");
    assert!(found[first..].iter().all(|ahead| *ahead));
    // The first memtable is frozen in the middle, and the second one three quarters full at seven eighths.
    let share = first * 100 / found.len();
    assert!((83..92).contains(&share), "ahead from {share} % on");
    settle(&set);
    assert!(!set.is_ahead());
}

#[test]
fn values_of_megabytes_are_stored_merged_and_read_back() {
    let disk = SimVfs::new();
    let set = open(&disk);
    let value: Vec<u8> = (0..5 << 20).map(|i: u32| (i / 7) as u8).collect();
    let mut batch = Batch::new();
    batch.put(b"large", &value);
    commit(&set, &batch);
    assert!(set.get(b"large").unwrap().unwrap() == value);
    merge_all(&set);
    assert!(set.get(b"large").unwrap().unwrap() == value);
    assert_sound(&set);
    drop(set);
    assert!(open(&disk).get(b"large").unwrap().unwrap() == value);
}

#[test]
fn conditional_writers_on_many_threads_never_both_win() {
    let dir = tempfile::tempdir().unwrap();
    let vfs = Arc::new(halodb_vfs::OsVfs);
    let (set, _) = PartitionSet::open(vfs, dir.path(), tiny(), entropy(), 0).unwrap();
    let won = std::sync::atomic::AtomicU64::new(0);
    std::thread::scope(|scope| {
        for thread in 0..4u8 {
            let (set, won) = (&set, &won);
            scope.spawn(move || {
                for i in 0..200u32 {
                    let mut batch = Batch::new();
                    batch.put(format!("k{i}").as_bytes(), &[thread]);
                    let key = format!("k{i}");
                    loop {
                        match set.commit_if(&batch, &[(key.as_bytes(), Expect::Absent)], Durability::Buffered, 0) {
                            Ok(Outcome::Committed(_)) => won.fetch_add(1, std::sync::atomic::Ordering::Relaxed),
                            Ok(Outcome::Failed(_)) => 0,
                            Err(e) if e.kind() == ErrorKind::Stalled => {
                                settle(set);
                                continue;
                            }
                            Err(e) => panic!("{e}"),
                        };
                        break;
                    }
                    if i % 50 == u32::from(thread) {
                        merge_all(set);
                    }
                }
            });
        }
    });
    assert_eq!(won.into_inner(), 200, "each key was created once");
    set.close(0).unwrap();
}

#[test]
fn commits_that_race_with_a_close_are_whole_or_refused_and_never_shown_otherwise() {
    use std::sync::atomic::{AtomicU32, Ordering};
    for round in 0..150u32 {
        let disk = SimVfs::new();
        let set = open(&disk);
        let refused = AtomicU32::new(0);
        std::thread::scope(|scope| {
            for thread in 0..2u32 {
                let (set, refused) = (&set, &refused);
                scope.spawn(move || {
                    for i in 0.. {
                        let key = format!("{thread} {i:06}");
                        let mut batch = Batch::new();
                        batch.put(key.as_bytes(), b"v");
                        match set.commit(&batch, Durability::Buffered, 0) {
                            Ok(_) => {}
                            Err(e) if e.kind() == ErrorKind::Stalled => {
                                std::thread::yield_now();
                            }
                            Err(e) => {
                                assert_eq!(e.kind(), ErrorKind::Closed, "{e}");
                                refused.fetch_add(1, Ordering::Relaxed);
                                assert_eq!(get(set, &key), None, "a refused commit is shown");
                                return;
                            }
                        }
                    }
                });
            }
            for _ in 0..round {
                std::thread::yield_now();
            }
            set.close(0).unwrap();
        });
        let before = keys(&set.snapshot());
        drop(set);
        assert_eq!(refused.into_inner(), 2);
        let (set, report) = try_open(&disk, tiny()).unwrap();
        assert!(report.clean && report.replayed == 0, "{report:?}");
        assert_eq!(keys(&set.snapshot()), before);
    }
}
