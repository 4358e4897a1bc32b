//! Commits on the strength of what was read: against every place where a younger write may be, and against a list of
//! all writes.

use crate::*;
use halodb_partition::{Basis, ErrorKind, ReadSet, Validated};
use proptest::prelude::*;
use std::ops::Bound::{self, Excluded, Included, Unbounded};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

fn key(key: &str) -> ReadSet {
    let mut reads = ReadSet::new();
    reads.add_key(key.as_bytes());
    reads
}

fn range(from: Bound<&str>, to: Bound<&str>) -> ReadSet {
    let mut reads = ReadSet::new();
    reads.add_range(from.map(str::as_bytes), to.map(str::as_bytes));
    reads
}

fn one(key: &str, value: &str) -> Batch {
    let mut batch = Batch::new();
    batch.put(key.as_bytes(), value.as_bytes());
    batch
}

fn delete_range(start: &str, end: Option<&str>) -> Batch {
    let mut batch = Batch::new();
    batch.delete_range(start.as_bytes(), end.map(str::as_bytes));
    batch
}

/// Commits on a basis; waits for memory.
fn validated(set: &PartitionSet, basis: &Basis, reads: &ReadSet, batch: &Batch) -> Validated {
    loop {
        match set.commit_validated(batch, basis.snapshot(), reads, Durability::Buffered, 0) {
            Ok(answer) => return answer,
            Err(e) if e.kind() == ErrorKind::Stalled => settle(set),
            Err(e) => panic!("{e}"),
        }
    }
}

/// What happens between a write and the validation that has to find it.
#[derive(Clone, Copy, Debug)]
enum Then {
    Nothing,
    Freeze,
    Merge,
    MergeTwice,
}

/// Whether a transaction that read `reads` is refused when `write` came after its snapshot, wherever the write is by then.
#[track_caller]
fn check(reads: &ReadSet, write: &Batch, is_refused: bool) {
    for then in [Then::Nothing, Then::Freeze, Then::Merge, Then::MergeTwice] {
        let disk = SimVfs::new();
        let set = open(&disk);
        put(&set, "k", "0");
        // So that the table which is written to is one that the snapshot does not have.
        for begin_anew in [false, true] {
            let basis = set.basis();
            if begin_anew {
                put(&set, "elsewhere", "0");
                set.freeze_all().unwrap();
                settle(&set);
            }
            let lsn = commit(&set, write);
            match then {
                Then::Nothing => {}
                Then::Freeze => set.freeze_all().unwrap(),
                Then::Merge => merge_all(&set),
                Then::MergeTwice => {
                    merge_all(&set);
                    put(&set, "elsewhere", "1");
                    merge_all(&set);
                }
            }
            let before = set.stats().conflicts;
            let answer = validated(&set, &basis, reads, &one("mine", "1"));
            match is_refused {
                true => assert_eq!(answer, Validated::Conflict(halodb_partition::Lsn(lsn)), "{then:?} {begin_anew}"),
                false => assert!(matches!(answer, Validated::Committed(_)), "{then:?} {begin_anew}: {answer:?}"),
            }
            assert_eq!(set.stats().conflicts - before, u64::from(is_refused));
            drop(basis);
            assert_eq!(set.stats().evidence_bytes, 0, "nothing is kept for nobody");
            settle(&set);
        }
    }
}

#[test]
fn a_write_to_a_key_that_was_read_is_a_conflict_wherever_the_write_is_by_then() {
    check(&key("k"), &one("k", "1"), true);
    check(&key("absent"), &one("absent", "1"), true);
    check(&key("k"), &one("j", "1"), false);
    let mut delete = Batch::new();
    delete.delete(b"k");
    check(&key("k"), &delete, true);
    check(&key("k"), &delete_range("a", Some("l")), true);
    check(&key("k"), &delete_range("a", None), true);
    check(&key("k"), &delete_range("a", Some("k")), false);
    check(&key("k"), &delete_range("l", None), false);
}

#[test]
fn a_phantom_in_a_range_that_was_read_is_a_conflict_and_one_beside_it_is_none() {
    check(&range(Included("p"), Excluded("q")), &one("p1", "1"), true);
    check(&range(Included("p"), Excluded("q")), &one("q", "1"), false);
    check(&range(Included("p"), Included("q")), &one("q", "1"), true);
    check(&range(Excluded("p"), Included("q")), &one("p", "1"), false);
    check(&range(Unbounded, Excluded("b")), &one("anything", "1"), true);
    check(&range(Excluded("p"), Unbounded), &one("z", "1"), true);
    check(&range(Included("p"), Excluded("q")), &delete_range("a", Some("p")), false);
    check(&range(Included("p"), Excluded("q")), &delete_range("p5", Some("p6")), true);
    check(&range(Included("p"), Excluded("q")), &delete_range("a", None), true);
    check(&ReadSet::new(), &one("k", "1"), false);
}

#[test]
fn of_two_transactions_that_each_read_what_the_other_writes_one_is_refused() {
    let disk = SimVfs::new();
    let set = open(&disk);
    put(&set, "alice", "on call");
    put(&set, "bob", "on call");
    let (alice, bob) = (set.basis(), set.basis());
    let mut both = key("alice");
    both.add_key(b"bob");
    assert!(matches!(validated(&set, &alice, &both, &one("alice", "off")), Validated::Committed(_)));
    assert!(matches!(validated(&set, &bob, &both, &one("bob", "off")), Validated::Conflict(_)));
    assert_eq!(get(&set, "bob").as_deref(), Some("on call"));
}

#[test]
fn what_was_written_before_the_snapshot_or_by_nobody_is_no_conflict_and_nothing_to_write_is_never_one() {
    let disk = SimVfs::new();
    let set = open(&disk);
    put(&set, "k", "1");
    let basis = set.basis();
    assert!(matches!(validated(&set, &basis, &key("k"), &one("other", "1")), Validated::Committed(_)));
    put(&set, "k", "2");
    assert_eq!(validated(&set, &basis, &key("k"), &Batch::new()), Validated::Committed(basis.snapshot().lsn()));
    assert!(matches!(validated(&set, &basis, &key("k"), &one("mine", "1")), Validated::Conflict(_)));
    assert_eq!(get(&set, "mine"), None);
}

#[test]
fn what_is_not_known_any_more_is_too_old_and_what_was_not_touched_on_the_way_is_not() {
    let disk = SimVfs::new();
    let set = open(&disk);
    put(&set, "k", "1");
    // Without a basis nothing is kept.
    let bare = set.snapshot();
    let basis = set.basis();
    for i in 0..3 {
        put(&set, "elsewhere", &i.to_string());
        merge_all(&set);
    }
    assert!(matches!(validated(&set, &basis, &key("k"), &one("mine", "1")), Validated::Committed(_)));
    drop(basis);
    let answer = set.commit_validated(&one("mine", "2"), &bare, &key("k"), Durability::Sync, 0).unwrap();
    assert_eq!(answer, Validated::TooOld);
    // Beyond the budget what is oldest goes.
    let basis = set.basis();
    let large = "x".repeat(8 << 10);
    for i in 0..40 {
        put(&set, &format!("large {i}"), &large);
        merge_all(&set);
        let kept = set.stats().evidence_bytes;
        assert!(kept <= tiny().memtable_bytes / 2, "{kept} bytes are kept");
    }
    assert_eq!(validated(&set, &basis, &key("k"), &one("mine", "3")), Validated::TooOld);
    assert_eq!(get(&set, "mine").as_deref(), Some("1"));
}

#[test]
fn a_refused_batch_leaves_no_trace_after_a_crash_and_a_committed_one_is_whole() {
    let disk = SimVfs::new();
    let set = open(&disk);
    put(&set, "k", "1");
    let (first, second) = (set.basis(), set.basis());
    let mut batch = one("k", "2");
    batch.put(b"l", b"2");
    let answer = |basis: &Basis, batch: &Batch| {
        set.commit_validated(batch, basis.snapshot(), &key("k"), Durability::Sync, 0).unwrap()
    };
    assert!(matches!(answer(&first, &batch), Validated::Committed(_)));
    let mut refused = one("k", "3");
    refused.put(b"m", b"3");
    assert!(matches!(answer(&second, &refused), Validated::Conflict(_)));
    let image = disk.crash_image(disk.ops(), halodb_vfs::sim::CrashMode::Strict, 0);
    let again = open(&image);
    let expected = [("k", "2"), ("l", "2")].map(|(key, value)| (key.to_string(), value.to_string()));
    assert_eq!(all(&again.snapshot()), expected);
}

/// Threads on a real file system read, think and write, while memtables fill and are merged.
#[test]
fn short_transactions_under_steady_merging_are_neither_wrong_nor_starved() {
    const EACH: u64 = 300;
    let dir = tempfile::tempdir().unwrap();
    let (set, _) = PartitionSet::open(Arc::new(halodb_vfs::OsVfs), dir.path(), tiny(), entropy(), 0).unwrap();
    put(&set, "counter", "0");
    let (done, too_old, conflicts) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for i in 0u64.. {
                let mut batch = Batch::new();
                batch.put(format!("fill {:03}", i % 500).as_bytes(), &[b'f'; 700]);
                match set.commit(&batch, Durability::Memory, 0) {
                    Ok(_) => {}
                    Err(e) if e.kind() == ErrorKind::Stalled => settle(&set),
                    Err(e) => panic!("{e}"),
                }
                if done.load(Ordering::Relaxed) {
                    return;
                }
            }
        });
        let workers = [Durability::Memory, Durability::Buffered, Durability::Sync].map(|level| {
            let (set, too_old, conflicts) = (&set, &too_old, &conflicts);
            scope.spawn(move || {
                let mut left = EACH;
                while left > 0 {
                    let basis = set.basis();
                    let value: u64 = basis.snapshot().get_with(b"counter", text).unwrap().unwrap();
                    let batch = one("counter", &(value + 1).to_string());
                    let mut reads = range(Included("count"), Excluded("counz"));
                    if left.is_multiple_of(2) {
                        reads = key("counter");
                    }
                    match set.commit_validated(&batch, basis.snapshot(), &reads, level, 0) {
                        Ok(Validated::Committed(_)) => left -= 1,
                        Ok(Validated::Conflict(lsn)) => {
                            conflicts.fetch_add(1, Ordering::Relaxed);
                            set.wait_visible(lsn).unwrap();
                        }
                        Ok(Validated::TooOld) => _ = too_old.fetch_add(1, Ordering::Relaxed),
                        Err(e) if e.kind() == ErrorKind::Stalled => settle(set),
                        Err(e) => panic!("{e}"),
                    }
                }
            })
        });
        let results = workers.map(|worker| worker.join());
        done.store(true, Ordering::Relaxed);
        writer.join().unwrap();
        results.into_iter().for_each(|result| result.unwrap());
    });
    let (too_old, conflicts) = (too_old.into_inner(), conflicts.into_inner());
    println!("{} merges, {conflicts} conflicts, {too_old} too old", set.stats().merges);
    assert_eq!(get(&set, "counter"), Some((3 * EACH).to_string()), "no increment is lost");
    assert!(set.stats().merges > 5, "{} merges are not steady merging", set.stats().merges);
    assert!(too_old <= EACH / 10, "{too_old} of {} began again because of a merge", 3 * EACH);
}

fn text(bytes: &[u8]) -> u64 {
    std::str::from_utf8(bytes).unwrap().parse().unwrap()
}

#[derive(Clone, Debug)]
enum Step {
    Put(u8),
    Delete(u8),
    DeleteRange(u8, Option<u8>),
    Freeze,
    Merge,
    Begin,
    /// Ends one of the open transactions, which has read some keys and ranges and writes one key.
    End(usize, Vec<u8>, Vec<(u8, Option<u8>)>, u8),
}

fn step() -> impl Strategy<Value = Step> {
    let k = || 0u8..24;
    let end = || prop::option::of(0u8..25);
    prop_oneof![
        6 => k().prop_map(Step::Put),
        2 => k().prop_map(Step::Delete),
        1 => (k(), end()).prop_map(|(start, end)| Step::DeleteRange(start, end)),
        1 => Just(Step::Freeze),
        1 => Just(Step::Merge),
        4 => Just(Step::Begin),
        4 => (any::<usize>(), prop::collection::vec(k(), 0..4), prop::collection::vec((k(), end()), 0..2), k())
            .prop_map(|(which, keys, ranges, write)| Step::End(which, keys, ranges, write)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn a_commit_is_refused_exactly_if_the_list_of_all_writes_has_a_younger_one_to_what_was_read(
        steps in prop::collection::vec(step(), 1..80),
    ) {
        let disk = SimVfs::new();
        let set = open(&disk);
        // Of each write its number, and which keys it touched.
        let mut history: Vec<(u64, std::ops::Range<u8>)> = Vec::new();
        let mut bases: Vec<Basis> = Vec::new();
        let name = |key: u8| vec![b'a' + key];
        let stretch = |start: u8, end: Option<u8>| start..end.unwrap_or(u8::MAX).max(start);
        for step in steps {
            match step {
                Step::Put(key) => {
                    let mut batch = Batch::new();
                    batch.put(&name(key), b"v");
                    history.push((commit(&set, &batch), key..key + 1));
                }
                Step::Delete(key) => {
                    let mut batch = Batch::new();
                    batch.delete(&name(key));
                    history.push((commit(&set, &batch), key..key + 1));
                }
                Step::DeleteRange(start, end) => {
                    let mut batch = Batch::new();
                    batch.delete_range(&name(start), end.map(name).as_deref());
                    history.push((commit(&set, &batch), stretch(start, end)));
                }
                Step::Freeze => set.freeze_all().unwrap(),
                Step::Merge => merge_all(&set),
                Step::Begin => bases.push(set.basis()),
                Step::End(..) if bases.is_empty() => {}
                Step::End(which, keys, ranges, write) => {
                    let basis = bases.swap_remove(which % bases.len());
                    let mut reads = ReadSet::new();
                    keys.iter().for_each(|&key| reads.add_key(&name(key)));
                    for &(start, end) in &ranges {
                        let end = end.map(name);
                        let to = end.as_deref().map_or(Unbounded, Excluded);
                        reads.add_range(Included(&name(start)), to);
                    }
                    let mut read: Vec<_> = keys.iter().map(|&key| key..key + 1).collect();
                    read.extend(ranges.iter().map(|&(start, end)| stretch(start, end)));
                    let meets = |a: &std::ops::Range<u8>, b: &std::ops::Range<u8>| {
                        a.start.max(b.start) < a.end.min(b.end)
                    };
                    let since = basis.snapshot().lsn().0;
                    let younger = |(lsn, touched): &(u64, std::ops::Range<u8>)| {
                        *lsn > since && read.iter().any(|read| meets(read, touched))
                    };
                    let is_refused = history.iter().any(younger);
                    let mut batch = Batch::new();
                    batch.put(&name(write), b"t");
                    match validated(&set, &basis, &reads, &batch) {
                        Validated::Committed(lsn) => {
                            prop_assert!(!is_refused, "a younger write was overlooked");
                            history.push((lsn.0, write..write + 1));
                        }
                        Validated::Conflict(lsn) => {
                            prop_assert!(is_refused, "refused, but nothing read was written");
                            let found = history.iter().find(|(of, _)| *of == lsn.0).cloned();
                            prop_assert!(found.is_some_and(|found| younger(&found)), "{lsn:?} is not to blame");
                        }
                        Validated::TooOld => prop_assert!(false, "the evidence is far below its budget"),
                    }
                }
            }
        }
    }
}
