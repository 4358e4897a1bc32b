//! Entries that expire: absent at once, for good, and whatever lies beneath them stays hidden.

use crate::*;
use halodb_partition::{BehindGaps, ErrorKind, Expect, Life, Outcome, ReadSet, Validated};
use halodb_vfs::sim::{CrashMode, Fault, Repeat};
use std::ops::Bound::{Excluded, Included, Unbounded};

/// When the tests begin, by the machine's clock.
const T: u64 = 1_700_000_000_000;

fn open_at(disk: &SimVfs, now_ms: u64) -> PartitionSet {
    let mut options = tiny();
    options.sweep_ms = 10;
    let (set, _) =
        PartitionSet::open(Arc::new(disk.clone()), Path::new(DIR), options, entropy(), now_ms).expect("opens");
    set.tick(now_ms).expect("a sound disk");
    set
}

fn put_until(set: &PartitionSet, key: &str, value: &str, at_ms: u64, now_ms: u64) {
    let mut batch = Batch::new();
    batch.put_until(key.as_bytes(), value.as_bytes(), at_ms);
    set.commit(&batch, Durability::Sync, now_ms).expect("a sound disk");
}

fn merge_at(set: &PartitionSet, now_ms: u64) {
    set.freeze_all().expect("open");
    while let Some(job) = set.next_job(now_ms) {
        job.run().expect("a sound disk");
    }
}

#[test]
fn an_expired_value_is_absent_at_once_and_hides_what_is_older_wherever_both_are() {
    // Where the older value and the expiring one are when time comes: in a tree, in a memtable.
    for (older_in_tree, newer_in_tree) in [(false, false), (true, false), (true, true)] {
        let disk = SimVfs::new();
        let set = open_at(&disk, T);
        put(&set, "k", "for ever");
        if older_in_tree {
            merge_at(&set, T);
        }
        put_until(&set, "k", "for a while", T + 100, T);
        if newer_in_tree {
            merge_at(&set, T);
        }
        set.advance_time(T + 99);
        assert_eq!(all(&set.snapshot()), [("k".to_owned(), "for a while".to_owned())]);
        let before = set.snapshot();
        assert_eq!(before.life(b"k").unwrap(), Life::Until(T + 100));
        set.advance_time(T + 100);
        for step in 0..4 {
            assert_eq!(all(&set.snapshot()), [], "step {step}");
            assert_eq!(get(&set, "k"), None);
            assert!(set.snapshot().multi_get(&["k"]).unwrap()[0].is_none());
            assert_eq!(set.snapshot().life(b"k").unwrap(), Life::Absent);
            assert_eq!(keys(&before), ["k"], "a snapshot keeps its time");
            merge_at(&set, T + 100 + 100 * step);
        }
        assert_eq!(set.stats().tree_keys, 0, "merged away or swept");
        drop((before, set));
        let set = open_at(&disk.restart_process(), T + 200);
        assert_eq!(all(&set.snapshot()), []);
        assert_sound(&set);
    }
}

#[test]
fn a_snapshot_counts_by_its_own_time_whoever_counted_first() {
    let set = open_at(&SimVfs::new(), T);
    for i in 0..50 {
        put_until(&set, &format!("{i:02}"), "old", T + 100, T);
    }
    merge_at(&set, T);
    for i in 0..30 {
        put_until(&set, &format!("{i:02}"), "new", T + 200, T);
    }
    let early = set.snapshot();
    set.advance_time(T + 100);
    // The sweep takes twenty out of the tree that nothing covers, and thirty from beneath the memtable.
    while let Some(job) = set.next_job(T + 100) {
        job.run().unwrap();
    }
    assert_eq!(set.stats().tree_keys, 0);
    let late = set.snapshot();
    let count = |snapshot: &Snapshot| snapshot.count(Unbounded, Unbounded).unwrap();
    assert_eq!([count(&late), count(&early), count(&late)], [30, 50, 30]);
    set.advance_time(T + 200);
    assert_eq!([count(&set.snapshot()), count(&early), count(&late)], [0, 50, 30]);
    assert_eq!(late.nth(Unbounded, Unbounded, 29).unwrap().unwrap().key(), Some(&b"29"[..]));
    assert!(set.snapshot().nth(Unbounded, Unbounded, 0).unwrap().is_none());
}

#[test]
fn conditions_are_judged_at_the_time_of_the_commit() {
    let mut batch = Batch::new();
    batch.put(b"taken", b"");
    for merged in [false, true] {
        let set = open_at(&SimVfs::new(), T);
        put_until(&set, "lease", "holder", T + 100, T);
        if merged {
            merge_at(&set, T);
        }
        let if_absent = |now| set.commit_if(&batch, &[(b"lease", Expect::Absent)], Durability::Sync, now).unwrap();
        assert_eq!(if_absent(T + 99), Outcome::Failed(0));
        assert!(matches!(if_absent(T + 100), Outcome::Committed(_)));
        let if_present = set.commit_if(&batch, &[(b"lease", Expect::Present)], Durability::Sync, T + 100).unwrap();
        assert_eq!(if_present, Outcome::Failed(0));
        put(&set, "lease", "for ever");
        put_until(&set, "lease", "", T + 1, T);
        assert_eq!(get(&set, "lease"), None, "a time that has come makes a put a deletion");
    }
}

#[test]
fn a_commit_that_rests_on_what_has_expired_since_conflicts() {
    let set = open_at(&SimVfs::new(), T);
    put_until(&set, "b", "", T + 100, T);
    put(&set, "z", "");
    let basis = set.basis();
    let mut batch = Batch::new();
    batch.put(b"result", b"");
    let mut keys = ReadSet::new();
    keys.add_key(b"b");
    let mut range = ReadSet::new();
    range.add_range(Included(b"a"), Excluded(b"c"));
    let mut others = ReadSet::new();
    others.add_key(b"z");
    others.add_range(Included(b"c"), Unbounded);
    let commit =
        |reads, now| set.commit_validated(&batch, basis.snapshot(), reads, Durability::Sync, now).expect("sound");
    assert!(matches!(commit(&keys, T + 50), Validated::Committed(_)));
    assert!(matches!(commit(&range, T + 99), Validated::Committed(_)));
    for reads in [&keys, &range] {
        assert!(matches!(commit(reads, T + 100), Validated::Conflict(_)));
    }
    let mut others_only = ReadSet::new();
    others_only.add_key(b"z");
    assert!(matches!(commit(&others_only, T + 100), Validated::Committed(_)));
}

#[test]
fn time_never_goes_back_whatever_the_machines_clock_says_after_a_crash() {
    for back in [0, 500, 5_000, 3_600_000] {
        let disk = SimVfs::new();
        let set = open_at(&disk, T);
        put_until(&set, "k", "v", T + 7_000, T);
        set.advance_time(T + 6_999);
        assert_eq!(get(&set, "k").as_deref(), Some("v"));
        set.advance_time(T + 7_000);
        assert_eq!(get(&set, "k"), None);
        drop(set);
        let disk = disk.restart_process();
        let set = open_at(&disk, T + 7_000 - back);
        assert_eq!(get(&set, "k"), None, "set back by {back} ms");
        let time = set.time_ms();
        assert!((T + 7_000..=T + 17_000).contains(&time), "a crash costs ten seconds at most: {}", time - T);
        // Another one right away costs nothing more.
        drop(set);
        let set = open_at(&disk.restart_process(), T + 7_000 - back);
        assert!(set.time_ms() <= time.max(T + 17_000), "crashes do not add up: {}", set.time_ms() - T);
    }
}

#[test]
fn an_orderly_end_keeps_the_exact_time() {
    let disk = SimVfs::new();
    let mut now = T;
    put_until(&open_at(&disk, now), "k", "v", T + 60_000, now);
    let mut disk = disk.restart_process();
    for _ in 0..20 {
        let set = open_at(&disk, now);
        let time = set.time_ms();
        now = now.max(time) + 100;
        set.tick(now).unwrap();
        assert_eq!((set.time_ms(), get(&set, "k").is_some()), (now, now < T + 60_000));
        set.close(now).unwrap();
        drop(set);
        disk = disk.restart_process();
    }
    assert!(now <= T + 10_000 + 20 * 100);
}

#[test]
fn a_crash_behind_an_orderly_end_long_after_the_last_mark_does_not_set_time_back() {
    let disk = SimVfs::new();
    let set = open_at(&disk, T);
    put_until(&set, "k", "v", T + 15_000, T);
    // Nobody ticks: the mark is that of the first commit, ten seconds on, when the database is closed after twenty.
    set.close(T + 20_000).unwrap();
    drop(set);
    let disk = disk.restart_process();
    let set = open_at(&disk, T);
    let seen = set.time_ms();
    put(&set, "other", "v");
    drop(set);
    for disk in [disk.restart_process(), disk.crash_image(disk.ops(), CrashMode::Strict, 1)] {
        let again = open_at(&disk, T);
        assert!(again.time_ms() >= seen, "{} after {seen}", again.time_ms());
    }
}

#[test]
fn without_anything_that_expires_there_is_no_time_and_nothing_is_written_for_it() {
    let disk = SimVfs::new();
    let set = open_at(&disk, T);
    put(&set, "k", "v");
    merge_at(&set, T);
    set.tick(T).unwrap();
    set.tick(T + 1).unwrap();
    let ops = disk.ops();
    for later in 2..50 {
        set.tick(T + later * 10_000).unwrap();
        set.advance_time(T + later * 10_000);
        assert!(set.next_job(T + later * 10_000).is_none());
    }
    assert_eq!(disk.ops(), ops, "an idle database writes nothing");
    assert!(!set.uses_expiry());
    assert_eq!((set.time_ms(), set.snapshot().now_ms()), (0, 0));
}

#[test]
fn a_sweep_takes_what_has_expired_and_leaves_the_rest_where_it_is() {
    let set = open_at(&SimVfs::new(), T);
    let mut batch = Batch::new();
    for i in 0..2000u64 {
        let at = if (300..400).contains(&i) { T + 50 } else { 0 };
        batch.put_until(format!("{i:05}").as_bytes(), &[7; 100], at);
    }
    set.commit(&batch, Durability::Sync, T).unwrap();
    merge_at(&set, T);
    assert!(set.next_job(T + 40).is_none());
    set.tick(T + 60).unwrap();
    let written = set.stats();
    let sweep = set.next_job(T + 60).expect("something has expired");
    assert!(sweep.describe().contains("sweep"), "{}", sweep.describe());
    sweep.run().unwrap();
    while let Some(job) = set.next_job(T + 100) {
        job.run().unwrap();
    }
    assert_eq!((written.tree_keys, set.stats().tree_keys), (2000, 1900));
    assert_eq!(set.stats().sweeps, 2, "one for each partition");
    assert_eq!(set.snapshot().count(Unbounded, Unbounded).unwrap(), 1900);
    assert_sound(&set);
}

#[test]
fn a_mark_that_cannot_be_made_stops_time_and_brings_nothing_back() {
    let mut stopped = 0;
    for fault in [Fault::Errno(28), Fault::Errno(5), Fault::Short] {
        for call in 0..8 {
            for repeat in [Repeat::Once, Repeat::Sticky] {
                let disk = SimVfs::new();
                let set = open_at(&disk, T);
                put_until(&set, "soon", "", T + 9_000, T);
                put_until(&set, "late", "", T + 15_000, T);
                disk.inject(call, fault, repeat);
                let ticked = set.tick(T + 15_000);
                disk.heal();
                let told = ticked.as_ref().err().map(halodb_partition::Error::kind);
                assert!(told.is_none_or(|kind| kind == ErrorKind::Poisoned), "{ticked:?}");
                let time = set.time_ms();
                assert!(ticked.is_err() || time == T + 15_000);
                assert!(ticked.is_ok() || time <= T + 10_000, "time passed a mark that is not durable");
                stopped += u32::from(ticked.is_err());
                let there = keys(&set.snapshot());
                drop(set);
                let set = open_at(&disk.restart_process(), T);
                assert!(set.time_ms() >= time);
                assert!(keys(&set.snapshot()).iter().all(|key| there.contains(key)), "{there:?} before");
            }
        }
    }
    assert!(stopped >= 6, "{stopped} of the faults met the mark");
}

#[test]
fn salvage_keeps_expiries() {
    let disk = SimVfs::new();
    let set = open_at(&disk, T);
    put_until(&set, "in the tree", "1", T + 5_000, T);
    put_until(&set, "gone", "1", T + 50, T);
    merge_at(&set, T);
    put_until(&set, "in the log", "1", T + 6_000, T);
    drop(set);
    let vfs = Arc::new(disk.restart_process());
    let into = Path::new("saved");
    let other = halodb_partition::Entropy { incarnation: 2, ..entropy() };
    halodb_partition::salvage(vfs.clone(), Path::new(DIR), into, BehindGaps::Use, tiny(), other, T + 100).unwrap();
    let (set, _) = PartitionSet::open(vfs, into, tiny(), other, T + 100).unwrap();
    set.tick(T + 100).unwrap();
    assert_eq!(keys(&set.snapshot()), ["in the log", "in the tree"]);
    set.tick(T + 5_000).unwrap();
    assert_eq!(keys(&set.snapshot()), ["in the log"]);
}

#[test]
fn at_no_moment_does_a_loss_of_power_bring_back_what_readers_have_seen_expire() {
    let disk = SimVfs::new();
    let set = open_at(&disk, T);
    // How far the disk was, the time that was seen then, and the keys that were there, of those put before.
    let mut seen = Vec::new();
    for i in 0..12u64 {
        let now = T + i * 3_000;
        put_until(&set, &format!("{i:02}"), "", now + 4_000, now);
        match i % 4 {
            3 => merge_at(&set, now),
            _ => set.tick(now + 1_000).unwrap(),
        }
        seen.push((disk.ops(), set.time_ms(), keys(&set.snapshot())));
    }
    drop(set);
    let mut images = 0;
    for at in (0..=disk.ops()).step_by(3) {
        let Some(before) = seen.iter().rposition(|(ops, ..)| *ops <= at) else { continue };
        let (_, time, there) = &seen[before];
        for (i, mode) in CrashMode::ALL.iter().enumerate() {
            let set = open_at(&disk.crash_image(at, *mode, at + i as u64), T);
            assert!(set.time_ms() >= *time, "{} ms back, at {at} {mode:?}", time - set.time_ms());
            for i in 0..=before {
                let key = format!("{i:02}");
                assert!(there.contains(&key) || get(&set, &key).is_none(), "{key} is back, at {at} {mode:?}");
            }
            images += 1;
        }
    }
    assert!(images > 150, "{images} images");
}

/// A day and more, by which a clock is wrong.
const WRONG: u64 = 40 * 24 * 3600 * 1000;

#[test]
fn what_expired_by_a_time_in_doubt_is_absent_and_stays_in_the_files_until_it_may_be_dropped() {
    let disk = SimVfs::new();
    let set = open_at(&disk, T);
    put_until(&set, "early", "v", T + 50, T);
    put_until(&set, "in tree", "v", T + 5000, T);
    merge_at(&set, T);
    put_until(&set, "in memory", "v", T + 5000, T);
    set.drop_until(T + 100);
    set.tick(T + WRONG).unwrap();
    assert_eq!(all(&set.snapshot()), []);
    merge_at(&set, T + WRONG);
    merge_at(&set, T + WRONG + 1000);
    assert_eq!(all(&set.snapshot()), []);
    assert_eq!(set.snapshot().count(Unbounded, Unbounded).unwrap(), 0);
    assert_eq!(set.stats().tree_keys, 2, "what had expired before the doubt is swept, the rest stays");
    set.drop_until(u64::MAX);
    merge_at(&set, T + WRONG + 2000);
    assert_eq!(set.stats().tree_keys, 0);
    assert_sound(&set);
}

/// Time that keys have left; more than what crashes cost.
const LATER: u64 = 5_000_000;

/// A database that was opened while the clock was wrong, and left as by a killed process.
fn opened_by_a_wrong_clock() -> SimVfs {
    let disk = SimVfs::new();
    let set = open_at(&disk, T);
    put(&set, "for ever", "v");
    put_until(&set, "in tree", "v", T + LATER, T);
    merge_at(&set, T);
    set.close(T + 10).unwrap();
    drop(set);
    let (set, _) = try_open(&disk, tiny()).unwrap();
    set.drop_until(set.time_ms());
    set.tick(T + WRONG).unwrap();
    merge_at(&set, T + WRONG);
    put_until(&set, "in log", "v", T + LATER, T + WRONG);
    put_until(&set, "written by it", "v", T + WRONG + LATER, T + WRONG);
    assert_eq!(keys(&set.snapshot()), ["for ever", "written by it"]);
    disk.restart_process()
}

fn turn_back(disk: &SimVfs, now_ms: u64) -> halodb_partition::Result<Option<u64>> {
    halodb_partition::turn_back(Arc::new(disk.clone()), Path::new(DIR), tiny(), now_ms)
}

#[test]
fn time_that_a_wrong_clock_put_ahead_is_set_back_and_stays_back() {
    let disk = opened_by_a_wrong_clock();
    let now = T + 2000;
    // Opened again by the right clock, time stays where it was.
    assert!(open_at(&disk.copy(), now).time_ms() >= T + WRONG);
    let before = turn_back(&disk, now).unwrap();
    assert!(before.is_some_and(|before| before >= T + WRONG), "{before:?}");
    assert_eq!(turn_back(&disk, now).unwrap(), None, "a second time there is nothing to do");
    for round in 0..3 {
        let set = open_at(&disk.restart_process(), now + round);
        assert!((now..now + 20_000).contains(&set.time_ms()), "{}", set.time_ms());
        let expected = ["for ever", "in log", "in tree", "written by it"];
        assert_eq!(keys(&set.snapshot()), expected);
        assert_sound(&set);
        // A crash does not bring the wrong time back.
        put_until(&set, "in log", "v", T + LATER, now + round);
    }
    let set = open_at(&disk.restart_process(), T + LATER);
    assert_eq!(keys(&set.snapshot()), ["for ever", "written by it"], "time goes on as ever");
}

#[test]
fn a_loss_of_power_or_a_fault_while_time_is_set_back_leaves_it_there_or_back_and_everything_sound() {
    let disk = opened_by_a_wrong_clock();
    let now = T + 2000;
    let whole = disk.copy();
    let begin = whole.ops();
    turn_back(&whole, now).unwrap();
    let mut seen = [0, 0];
    for at in begin..=whole.ops() {
        for (mode, seed) in [(CrashMode::Strict, 0), (CrashMode::Kept, 1), (CrashMode::Adversarial, at)] {
            let image = whole.crash_image(at, mode, seed);
            let (set, _) = try_open(&image, tiny()).unwrap_or_else(|e| panic!("{mode:?} after {at}: {e}"));
            let is_back = set.time_ms() < T + WRONG;
            seen[usize::from(is_back)] += 1;
            let expected: &[&str] = if is_back {
                &["for ever", "in log", "in tree", "written by it"]
            } else {
                &["for ever", "written by it"]
            };
            assert_eq!(keys(&set.snapshot()), expected, "{mode:?} after {at}");
            drop(set);
            turn_back(&image, now).unwrap();
            assert!(open_at(&image, now).time_ms() < now + 20_000, "{mode:?} after {at}: it can be done again");
        }
    }
    assert!(seen[0] > 10 && seen[1] > 0, "{seen:?}");
    let calls = {
        let counted = disk.copy();
        let begin = counted.calls();
        turn_back(&counted, now).unwrap();
        counted.calls() - begin
    };
    for call in 0..calls {
        let faulty = disk.copy();
        faulty.inject(call, Fault::Errno(5), Repeat::Once);
        // It may succeed: a write that failed is repeated.
        let _ = turn_back(&faulty, now);
        turn_back(&faulty, now).unwrap_or_else(|e| panic!("after a fault at {call}: {e}"));
        let set = open_at(&faulty, now);
        assert!(set.time_ms() < now + 20_000, "{} after a fault at {call}", set.time_ms());
        assert_eq!(set.snapshot().count(Unbounded, Unbounded).unwrap(), 4);
    }
}
