//! Large batches that find no room in memory: sorted runs in files, and then a layer that is one.

use crate::*;
use halodb_partition::{ErrorKind, Expect, Life, Lsn, Outcome, ReadSet, Staged, Validated};
use halodb_vfs::sim::{CrashMode, Fault, Repeat};
use halodb_vfs::{DirEntry, EntryKind, File, Lock, LockError, Mapping, OpenMode, Vfs};
use std::io;
use std::ops::Bound::{Excluded, Included, Unbounded};
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

/// Everything above 200 bytes is large, and what is not committed has 2,000 bytes of memory.
fn options() -> Options {
    let mut options = tiny();
    options.large_bytes = Some(200);
    options.uncommitted_bytes = Some(2000);
    options
}

fn opened(disk: &SimVfs) -> PartitionSet {
    try_open(disk, options()).expect("opens").0
}

fn key(n: u32) -> String {
    format!("k{n:04}")
}

fn stage(set: &PartitionSet, keys: impl Iterator<Item = u32>, value: &str) -> Staged {
    let mut staged = set.stage();
    keys.for_each(|n| staged.put(key(n).as_bytes(), value.as_bytes()).expect("room on the disk"));
    staged
}

fn commit_staged(set: &PartitionSet, mut staged: Staged) -> Lsn {
    match set.commit_staged(&mut staged, &[], Durability::Sync, 0).expect("a sound disk") {
        Outcome::Committed(lsn) => lsn,
        Outcome::Failed(_) => panic!("there was no condition"),
    }
}

fn expected(keys: impl Iterator<Item = u32>, value: &str) -> Vec<(String, String)> {
    keys.map(|n| (key(n), value.to_owned())).collect()
}

/// The names beside the trees.
fn names(disk: &SimVfs) -> Vec<String> {
    let of = |part: &str| disk.read_dir(&Path::new(DIR).join(part)).expect("a folder");
    ["p000", "p001"].into_iter().flat_map(of).map(|entry| entry.name).collect()
}

#[test]
fn a_batch_larger_than_memory_is_committed_whole_and_read_in_every_way_before_and_after_it_is_merged() {
    let disk = SimVfs::new();
    let set = opened(&disk);
    put(&set, "k0003", "older");
    put(&set, "k9", "older");
    let before = set.snapshot();
    // In an order that has each run reach over all keys.
    let staged = stage(&set, (0..600u32).map(|n| n * 7 % 600), "spilled");
    assert!(set.uncommitted_bytes() <= 2000);
    assert!(set.stats().run_bytes > 0);
    let lsn = commit_staged(&set, staged);
    assert!(set.stats().run_bytes > 0 && set.stats().memtable_bytes < 2000, "{:?}", set.stats());
    assert_eq!(set.snapshot().lsn(), lsn);
    assert_eq!(all(&before).len(), 2, "who came before sees nothing of it");
    let mut wanted = expected(0..600, "spilled");
    wanted.push(("k9".into(), "older".into()));
    let of_now = set.snapshot();
    let look = |snapshot: &Snapshot| {
        assert_eq!(all(snapshot), wanted);
        let count = |from: u32, to: u32| {
            snapshot.count(Included(key(from).as_bytes()), Excluded(key(to).as_bytes())).expect("readable")
        };
        assert_eq!((count(0, 600), count(10, 17), count(590, 700)), (600, 7, 10));
        let nth = |i| snapshot.nth(Unbounded, Unbounded, i).unwrap().map(|c| c.key().unwrap().to_vec());
        assert_eq!((nth(123), nth(600), nth(601)), (Some(key(123).into()), Some(b"k9".to_vec()), None));
        let keys = [key(5), "absent".into(), "k9".into(), key(599)];
        let values: Vec<_> = snapshot.multi_get(&keys).unwrap().into_iter().map(|v| v.map(|v| v.into_vec())).collect();
        let some = |value: &str| Some(value.as_bytes().to_vec());
        assert_eq!(values, [some("spilled"), None, some("older"), some("spilled")]);
        assert_eq!(snapshot.get(b"k0003").unwrap().as_deref(), Some(&b"spilled"[..]));
        assert_eq!(snapshot.get_ref(b"k0600").unwrap(), None);
        assert_eq!(snapshot.life(b"k0003").unwrap(), Life::Forever);
        let mut cursor = snapshot.cursor();
        cursor.seek(b"k0300a").unwrap();
        assert_eq!(cursor.key(), Some(&b"k0301"[..]));
        cursor.prev().unwrap();
        assert_eq!(cursor.key(), Some(&b"k0300"[..]));
        cursor.seek_back(b"k0450z").unwrap();
        assert_eq!(cursor.key(), Some(&b"k0450"[..]));
    };
    look(&of_now);
    assert!(!names(&disk).iter().any(|name| name.contains("run")), "{:?}", names(&disk));
    let mut merged = 0;
    while let Some(job) = set.next_job(0) {
        job.run().unwrap();
        merged += 1;
        look(&set.snapshot());
        look(&of_now);
        let image = disk.crash_image(disk.ops(), CrashMode::Strict, merged);
        look(&opened(&image).snapshot());
    }
    assert!(merged >= 3, "a table that was active before, and two runs: {merged} merges");
    assert_sound(&set);
    drop((before, of_now));
    assert_eq!(set.stats().run_bytes, 0, "the last reader is gone");
    set.close(0).unwrap();
    drop(set);
    let (set, report) = try_open(&disk, options()).unwrap();
    assert!(report.clean && report.replayed == 0, "{report:?}");
    look(&set.snapshot());
}

#[test]
fn a_merge_that_breaks_off_between_chunks_shows_each_key_of_a_run_once() {
    let (mut failures, mut broken_off) = (0, 0);
    for call in 0..120 {
        let disk = SimVfs::new();
        let mut options = options();
        options.partitions = Some(1);
        options.chunk_bytes = 4096;
        let set = try_open(&disk, options).unwrap().0;
        let mut staged = stage(&set, 0..400, &"x".repeat(90));
        staged.delete(key(50).as_bytes()).unwrap();
        commit_staged(&set, staged);
        put(&set, &key(40), "younger");
        let mut wanted = expected((0..400).filter(|n| *n != 50), &"x".repeat(90));
        wanted[40].1 = "younger".into();
        let of_now = set.snapshot();
        let job = set.next_job(0).expect("a run to merge");
        disk.inject(call, Fault::Errno(28), Repeat::Once);
        let done = job.run();
        disk.heal();
        failures += u32::from(done.is_err());
        let keys = set.stats().tree_keys;
        broken_off += u32::from((1..399).contains(&keys));
        assert_eq!(all(&set.snapshot()), wanted, "after call {call}, {keys} keys in the tree");
        assert_eq!(all(&of_now), wanted);
        if set.sync().is_ok() {
            merge_all(&set);
            assert_eq!(all(&set.snapshot()), wanted);
            assert_sound(&set);
        }
    }
    assert!(failures > 30 && broken_off > 20, "{failures} failures, {broken_off} of them between chunks");
}

#[test]
fn of_many_writes_to_a_key_the_last_one_counts_wherever_the_others_were_spilled() {
    let disk = SimVfs::new();
    let set = opened(&disk);
    for n in 0..50 {
        put(&set, &key(n), "older");
    }
    merge_all(&set);
    let mut staged = set.stage();
    let mut map = std::collections::BTreeMap::new();
    let mut n = 7u32;
    for round in 0..3000u32 {
        n = n.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let (at, value) = ((n >> 8) % 90, format!("{round}"));
        if n >> 28 < 3 {
            staged.delete(key(at).as_bytes()).unwrap();
            map.remove(&key(at));
        } else {
            staged.put(key(at).as_bytes(), value.as_bytes()).unwrap();
            map.insert(key(at), value);
        }
        if round % 700 == 699 {
            let (from, to) = (key(at / 2), key(at));
            staged.delete_range(from.as_bytes(), Some(to.as_bytes())).unwrap();
            map.retain(|key, _| *key < from || *key >= to);
        }
    }
    // What nothing of this touched is as it was.
    let outcome = {
        let conditions = [(&b"k0000"[..], Expect::Present)];
        set.commit_staged(&mut staged, &conditions, Durability::Sync, 0).unwrap()
    };
    assert!(matches!(outcome, Outcome::Committed(_)));
    let wanted: Vec<_> = map.into_iter().collect();
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
fn what_expires_in_a_run_is_gone_for_every_reader_at_its_time_and_hides_what_is_older() {
    let disk = SimVfs::new();
    let set = opened(&disk);
    set.tick(1000).unwrap();
    for n in 0..10 {
        put(&set, &key(n), "older");
    }
    let mut staged = set.stage();
    for n in 0..300 {
        let at_ms = if n % 3 == 0 { 2000 } else { 0 };
        staged.put_until(key(n).as_bytes(), b"spilled", at_ms).unwrap();
    }
    set.commit_staged(&mut staged, &[], Durability::Sync, 1000).unwrap();
    let early = set.snapshot();
    assert_eq!(early.life(key(3).as_bytes()).unwrap(), Life::Until(2000));
    assert_eq!(all(&early).len(), 300);
    set.tick(2000).unwrap();
    let wanted = expected((0..300).filter(|n| n % 3 != 0), "spilled");
    assert_eq!(all(&set.snapshot()), wanted);
    assert_eq!(get(&set, &key(3)), None);
    merge_all(&set);
    assert_eq!(all(&set.snapshot()), wanted);
    assert_eq!(all(&early).len(), 300);
}

#[test]
fn conditions_and_transactions_are_judged_against_a_run() {
    let disk = SimVfs::new();
    let set = opened(&disk);
    put(&set, "k0001", "v");
    put(&set, "k0500", "v");
    let reads_of = |keys: &[&str]| {
        let mut reads = ReadSet::new();
        keys.iter().for_each(|key| reads.add_key(key.as_bytes()));
        reads
    };
    let mut range = ReadSet::new();
    range.add_range(Included(b"k0200"), Excluded(b"k0201"));
    let mut beside = ReadSet::new();
    beside.add_range(Included(b"k03"), Excluded(b"k04"));
    let bases: Vec<_> = (0..5).map(|_| set.basis()).collect();
    let mut staged = stage(&set, 0..300, "spilled");
    staged.delete(b"k0500").unwrap();
    let lsn = commit_staged(&set, staged);
    let mut mine = Batch::new();
    mine.put(b"mine", b"v");
    let of = |basis: &halodb_partition::Basis, reads: &ReadSet| {
        set.commit_validated(&mine, basis.snapshot(), reads, Durability::Sync, 0).unwrap()
    };
    assert_eq!(of(&bases[0], &reads_of(&["other", "k0001"])), Validated::Conflict(lsn));
    assert_eq!(of(&bases[1], &reads_of(&["k0299"])), Validated::Conflict(lsn), "it was not there, and now it is");
    assert_eq!(of(&bases[2], &range), Validated::Conflict(lsn));
    assert!(matches!(of(&bases[3], &reads_of(&["k0300", "other"])), Validated::Committed(_)));
    assert!(matches!(of(&bases[4], &beside), Validated::Committed(_)));
    // A transaction that is spilled itself.
    let basis = set.basis();
    let mut spilled = stage(&set, 100..400, "second");
    put(&set, "k0350", "between");
    let staged_with = |staged: &mut Staged, reads: &ReadSet| loop {
        match set.commit_staged_validated(staged, basis.snapshot(), reads, Durability::Sync, 0) {
            Err(e) if e.kind() == ErrorKind::Stalled => settle(&set),
            answer => break answer.unwrap(),
        }
    };
    assert!(matches!(staged_with(&mut spilled, &reads_of(&["k0350"])), Validated::Conflict(_)));
    assert!(matches!(staged_with(&mut spilled, &reads_of(&["k0001"])), Validated::Committed(_)));
    let holds = |key: &str, expect| {
        let conditions = [(key.as_bytes(), expect)];
        let outcome = set.commit_if(&mine, &conditions, Durability::Sync, 0).unwrap();
        matches!(outcome, Outcome::Committed(_))
    };
    for _ in 0..2 {
        settle(&set);
        let outcome = commit_staged(&set, stage(&set, (0..400).filter(|n| *n != 350), "third"));
        assert!(outcome > lsn && set.stats().run_bytes > 0);
        assert!(holds("k0001", Expect::Present) && !holds("k0001", Expect::Absent));
        assert!(holds("k0500", Expect::Absent) && !holds("k0500", Expect::Present));
        assert!(holds("k0600", Expect::Absent) && holds("k0399", Expect::Present));
        // Of large batches, too.
        settle(&set);
        let mut many = stage(&set, 700..900, "v");
        let conditions = [(&b"k0001"[..], Expect::Absent)];
        assert_eq!(set.commit_staged(&mut many, &conditions, Durability::Sync, 0).unwrap(), Outcome::Failed(0));
    }
}

#[test]
fn a_full_or_failing_disk_is_told_at_that_write_and_what_was_added_before_is_still_there() {
    let mut failures = 0;
    for call in 0..220u64 {
        for (errno, repeat) in [(28, Repeat::Once), (5, Repeat::Sticky)] {
            let disk = SimVfs::new();
            let set = opened(&disk);
            put(&set, &key(0), "before");
            disk.inject(call, Fault::Errno(errno), repeat);
            let mut staged = set.stage();
            let mut added = 0;
            let refused = loop {
                match staged.put(key(added).as_bytes(), b"spilled") {
                    Ok(()) => added += 1,
                    Err(e) => break Some(e),
                }
                if added == 500 {
                    break None;
                }
            };
            disk.heal();
            if let Some(e) = refused {
                failures += 1;
                let wanted = if errno == 28 { ErrorKind::Full } else { ErrorKind::Io };
                assert_eq!(e.kind(), wanted, "call {call}: {e}");
                assert_eq!(staged.len(), added as usize);
                staged.put(key(added).as_bytes(), b"spilled").expect("there is room again");
                added += 1;
            }
            commit_staged(&set, staged);
            assert_eq!(all(&set.snapshot()), expected(0..added, "spilled"), "call {call}");
            merge_all(&set);
            assert_eq!(all(&set.snapshot()), expected(0..added, "spilled"), "call {call}");
            assert_eq!(set.stats().run_bytes, 0);
        }
    }
    assert!(failures > 100, "{failures} writes failed");
}

#[test]
fn a_commit_whose_runs_cannot_be_merged_or_logged_is_refused_whole_and_may_be_tried_again() {
    for call in 0..150u64 {
        let disk = SimVfs::new();
        let set = opened(&disk);
        put(&set, &key(0), "before");
        let mut staged = stage(&set, 0..400, "spilled");
        disk.inject(call, Fault::Errno(28), Repeat::Once);
        let first = set.commit_staged(&mut staged, &[], Durability::Sync, 0);
        disk.heal();
        match first {
            Ok(_) => {}
            // A read fails with whatever the disk says.
            Err(e) if matches!(e.kind(), ErrorKind::Full | ErrorKind::Io) => {
                assert_eq!(all(&set.snapshot()), expected(0..1, "before"), "nothing of it is there after call {call}");
                assert!(matches!(
                    set.commit_staged(&mut staged, &[], Durability::Sync, 0).unwrap(),
                    Outcome::Committed(_)
                ));
            }
            Err(e) => {
                assert_eq!(e.kind(), ErrorKind::Poisoned, "call {call}: {e}");
                continue;
            }
        }
        let image = disk.crash_image(disk.ops(), CrashMode::Strict, call);
        assert_eq!(all(&opened(&image).snapshot()), expected(0..400, "spilled"), "call {call}");
    }
}

#[test]
fn a_loss_of_power_at_any_moment_leaves_all_of_a_spilled_commit_or_nothing_and_no_file() {
    let disk = SimVfs::new();
    let set = opened(&disk);
    put(&set, &key(0), "before");
    let from = disk.ops();
    let staged = stage(&set, 0..300, "spilled");
    commit_staged(&set, staged);
    let answered = disk.ops();
    merge_all(&set);
    let modes = [CrashMode::Strict, CrashMode::Prefix, CrashMode::Random, CrashMode::Adversarial, CrashMode::Torn4k];
    for op in from..=disk.ops() {
        let mode = modes[(op % modes.len() as u64) as usize];
        let image = disk.crash_image(op, mode, op);
        let again = opened(&image);
        let found = all(&again.snapshot());
        if op >= answered || found.len() > 1 {
            assert_eq!(found, expected(0..300, "spilled"), "after {op}");
        } else {
            assert_eq!(found, expected(0..1, "before"), "after {op}");
        }
        // The next spill clears up what the crash has left.
        merge_all(&again);
        commit_staged(&again, stage(&again, 0..200, "again"));
        assert!(!names(&image).iter().any(|name| name.contains("run")), "{:?} after {op}", names(&image));
    }
}

#[test]
fn a_damaged_page_of_a_run_is_an_error_of_the_read_and_of_the_merge_and_a_reopen_recovers() {
    let disk = SimVfs::new();
    let set = opened(&disk);
    put(&set, "other", "v");
    commit_staged(&set, stage(&set, 0..900, "spilled"));
    let image = disk.crash_image(disk.ops(), CrashMode::Strict, 0);
    // The replay writes runs anew, the last one for the commit. How many it writes is seen first.
    let rehearsal =
        Rotten { disk: Arc::new(image.crash_image(image.ops(), CrashMode::Strict, 0)), ..Rotten::default() };
    let runs = rehearsal.runs.clone();
    drop(PartitionSet::open(Arc::new(rehearsal), Path::new(DIR), options(), entropy(), 0).expect("opens"));
    let rotten = Rotten { disk: Arc::new(image.clone()), bad: runs.load(Relaxed), ..Rotten::default() };
    let (set, _) = PartitionSet::open(Arc::new(rotten), Path::new(DIR), options(), entropy(), 0).expect("opens");
    assert!(set.stats().run_bytes > 0);
    let errors = (0..900).filter_map(|n| set.get(key(n).as_bytes()).err()).collect::<Vec<_>>();
    assert!(errors.len() > 100 && errors.iter().all(|e| e.kind() == ErrorKind::Corrupt), "{errors:?}");
    assert!(errors[0].to_string().contains("run-"), "{}", errors[0]);
    let snapshot = set.snapshot();
    assert_eq!(snapshot.count(Unbounded, Unbounded).unwrap_err().kind(), ErrorKind::Corrupt);
    let mut failed = 0;
    while let Some(job) = set.next_job(0) {
        match job.run() {
            Ok(()) => {}
            Err(e) => {
                assert_eq!(e.kind(), ErrorKind::Corrupt, "{e}");
                failed += 1;
                break;
            }
        }
    }
    assert_eq!(failed, 1);
    assert_eq!(get(&set, "other"), Some("v".into()), "the rest can be read");
    drop((set, snapshot));
    let again = opened(&image.restart_process());
    let mut wanted = expected(0..900, "spilled");
    wanted.push(("other".into(), "v".into()));
    assert_eq!(all(&again.snapshot()), wanted);
    merge_all(&again);
    assert_eq!(all(&again.snapshot()), wanted);
}

/// A disk on which the pages of one run turn bad while they are written.
#[derive(Debug)]
struct Rotten {
    disk: Arc<dyn Vfs>,
    /// Runs that were begun, and the number of the bad one; 0: none is.
    runs: Arc<AtomicU64>,
    bad: u64,
}

impl Default for Rotten {
    fn default() -> Self {
        Self { disk: Arc::new(SimVfs::new()), runs: Arc::default(), bad: 0 }
    }
}

#[derive(Debug)]
struct RottenFile(Arc<dyn File>);

impl Vfs for Rotten {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>> {
        let file = self.disk.open(path, mode)?;
        let is_run = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("run-"));
        let is_bad = is_run && self.runs.fetch_add(1, Relaxed) + 1 == self.bad;
        Ok(if is_bad { Arc::new(RottenFile(file)) } else { file })
    }
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.disk.create_dir(path)
    }
    fn read_dir(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        self.disk.read_dir(path)
    }
    fn kind(&self, path: &Path) -> io::Result<Option<EntryKind>> {
        self.disk.kind(path)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.rename(from, to)
    }
    fn exchange(&self, a: &Path, b: &Path) -> io::Result<()> {
        self.disk.exchange(a, b)
    }
    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.disk.remove_file(path)
    }
    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        self.disk.remove_dir(path)
    }
    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.disk.sync_dir(path)
    }
    fn lock(&self, path: &Path) -> Result<Lock, LockError> {
        self.disk.lock(path)
    }
}

impl File for RottenFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.0.read_at(buf, offset)
    }
    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<usize> {
        let mut bytes = buf.to_vec();
        // Metas are in the first pages.
        if offset >= 8192 && buf.len() > 200 {
            bytes[200] ^= 1;
        }
        self.0.write_at(&bytes, offset)
    }
    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }
    fn sync_all(&self) -> io::Result<()> {
        self.0.sync_all()
    }
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }
    fn map(&self, len: u64) -> io::Result<Mapping> {
        self.0.map(len)
    }
}

#[test]
fn a_replay_takes_no_more_memory_than_the_commit_did_and_none_for_what_every_tree_has() {
    let disk = SimVfs::new();
    let set = opened(&disk);
    commit_staged(&set, stage(&set, 0..900, "spilled"));
    let image = disk.crash_image(disk.ops(), CrashMode::Strict, 0);
    let (again, report) = try_open(&image, options()).unwrap();
    assert_eq!(report.replayed, 1);
    assert!(again.stats().run_bytes > 0 && again.stats().memtable_bytes < 4000, "{:?}", again.stats());
    assert_eq!(all(&again.snapshot()), expected(0..900, "spilled"));
    merge_all(&set);
    let image = disk.crash_image(disk.ops(), CrashMode::Strict, 0);
    let (again, _) = try_open(&image, options()).unwrap();
    assert_eq!(again.stats().run_bytes, 0);
    assert_eq!(all(&again.snapshot()), expected(0..900, "spilled"));
}

#[test]
fn a_spilled_commit_waits_while_two_others_are_not_merged_and_takes_none_of_the_memory_for_layers() {
    let disk = SimVfs::new();
    let set = opened(&disk);
    put(&set, "k0000", "older");
    commit_staged(&set, stage(&set, 0..400, "first"));
    let mut second = stage(&set, 200..700, "second");
    let mut stalled = 0;
    while let Err(e) = set.commit_staged(&mut second, &[], Durability::Sync, 0) {
        assert_eq!(e.kind(), ErrorKind::Stalled, "{e}");
        assert_eq!(second.len(), 500);
        stalled += 1;
        set.next_job(0).expect("there is something to merge").run().unwrap();
    }
    assert!(stalled > 0);
    let wanted = [expected(0..200, "first"), expected(200..700, "second")].concat();
    assert_eq!(all(&set.snapshot()), wanted);
}

#[test]
fn a_batch_that_is_left_gives_its_files_back_and_one_that_outlives_the_set_makes_no_more() {
    let disk = SimVfs::new();
    let set = opened(&disk);
    let staged = stage(&set, 0..400, "never");
    assert!(set.space().unwrap().runs > 0);
    assert_eq!(set.space().unwrap().runs, set.stats().run_bytes);
    drop(staged);
    assert_eq!(set.space().unwrap().runs, 0);
    let (mut late, mut later) = (stage(&set, 0..5, "late"), stage(&set, 0..5, "late"));
    let refused = |staged: &mut Staged| {
        (0..400).find_map(|n| staged.put(key(n).as_bytes(), b"late").err()).expect("no file is made").kind()
    };
    set.close(0).unwrap();
    assert_eq!(refused(&mut late), ErrorKind::Closed);
    drop(set);
    // Nor is one made for a set that is gone without an end.
    let set = opened(&disk);
    drop((std::mem::replace(&mut later, stage(&set, 0..5, "late")), set));
    assert_eq!(refused(&mut later), ErrorKind::Closed);
}
