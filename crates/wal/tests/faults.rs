//! Every call of a life of the log fails in every way, once or for good: the answer is a typed error, what was acknowledged
//! stays, and the log goes on where it can.

mod common;
use common::*;
use halodb_vfs::sim::{CrashMode, Fault, Repeat};
use halodb_vfs::{SimVfs, Vfs};
use halodb_wal::{Durability, Error, Known, Lsn, Payload, Wal};
use std::collections::BTreeMap;

use Durability::{Buffered, Memory, Sync};

const EIO: i32 = 5;
const ENOSPC: i32 = 28;

#[derive(Default)]
struct World {
    given: BTreeMap<u64, Vec<u8>>,
    /// Greatest LSN answered at `Sync`, and at `Buffered` or stronger.
    synced: u64,
    written: u64,
    /// Greatest LSN seen settled.
    settled: u64,
    applied: u64,
    poisoned: bool,
}

impl World {
    fn known(&self) -> Known {
        Known { applied_min: Lsn(self.applied), applied_max: Lsn(self.applied), synced: Lsn(self.applied) }
    }

    /// Takes note of a call's error, which must be one of those that a fault can cause.
    fn note(&mut self, wal: &Wal, error: &Error) {
        match error {
            Error::Poisoned => {
                assert!(wal.is_poisoned() && wal.poison_cause().is_some());
                self.poisoned = true;
            }
            Error::Full { .. } | Error::Io { .. } => assert!(!wal.is_poisoned(), "{error}"),
            other => panic!("{other}"),
        }
    }

    fn append(&mut self, wal: &Wal, n: u64, level: Durability) {
        let bytes = vec![n as u8; (n * 37 % 700) as usize];
        let payload = Payload::new(bytes.clone());
        let lsn = loop {
            let mut section = wal.sequence();
            let next = section.next();
            if section.fits(&payload) {
                match section.append(payload, n, level) {
                    Ok(lsn) => break lsn,
                    Err(e) => {
                        assert_eq!(section.next(), next, "an error assigns no LSN");
                        drop(section);
                        return self.note(wal, &e);
                    }
                }
            }
            drop(section);
            if let Err(e) = wal.make_room(payload.record_len()) {
                assert_eq!(wal.sequence().next(), next, "an error assigns no LSN");
                return self.note(wal, &e);
            }
        };
        self.given.insert(lsn.0, bytes);
        match wal.wait(lsn, level) {
            Ok(()) => {
                assert!(wal.settled() >= lsn);
                if level == Sync {
                    self.synced = lsn.0;
                }
                if level >= Buffered {
                    self.written = lsn.0;
                }
            }
            Err(e) => self.note(wal, &e),
        }
    }

    /// A life in which errors are noted and life goes on.
    fn live(&mut self, wal: &Wal) {
        for n in 1..=40_u64 {
            let was_poisoned = self.poisoned;
            let level = [Sync, Buffered, Sync, Memory][n as usize % 4];
            self.append(wal, n, level);
            if n % 10 == 0 {
                let applied = wal.synced().0;
                self.applied = applied;
                if let Err(e) = wal.recycle(Lsn(applied + 1)) {
                    self.note(wal, &e);
                }
                if n % 20 == 0
                    && let Err(e) = wal.trim()
                {
                    self.note(wal, &e);
                }
                if let Err(e) = wal.idle(n) {
                    self.note(wal, &e);
                }
            }
            assert!(wal.settled().0 >= self.settled);
            if was_poisoned {
                assert_eq!(wal.settled().0, self.settled, "nothing settles in a poisoned log");
            }
            self.settled = wal.settled().0;
        }
        match wal.close(41) {
            Ok(()) => {
                self.synced = self.given.keys().max().copied().unwrap_or(0);
                self.written = self.synced;
            }
            Err(e) => self.note(wal, &e),
        }
    }

    fn verify(&self, disk: &SimVfs, promised: u64, what: &str) {
        let (recovery, commits) = recover_known(disk, self.known()).unwrap_or_else(|e| panic!("{what}: {e}"));
        let last = recovery.last().0;
        assert!(last >= promised, "{what}: {promised} was acknowledged, the log ends with {last}");
        let survivors = self.given.range(self.applied + 1..).take_while(|(lsn, _)| **lsn <= last);
        let survivors: Commits = survivors.map(|(lsn, payload)| (*lsn, payload.clone())).collect();
        assert_eq!(commits, survivors, "{what}");
        let clean = recovery.clean();
        let wal = recovery.into_wal().unwrap();
        let lsn = wal.append(vec![1], 0, Sync).unwrap().0;
        assert!(clean || lsn > self.given.keys().max().copied().unwrap_or(0), "{what}");
    }
}

/// One life with one fault; what the world may rely on afterwards holds on the disk.
fn run(call: u64, fault: Fault, repeat: Repeat) -> World {
    let what = format!("call {call}, {fault:?}, {repeat:?}");
    let sim = disk();
    let wal = create(&sim);
    let mut world = World::default();
    sim.inject(call, fault, repeat);
    world.live(&wal);
    drop(wal);
    sim.heal();
    world.verify(&sim.copy(), world.written, &what);
    for (mode, seed) in [(CrashMode::Strict, 0), (CrashMode::Random, call), (CrashMode::Random, call + 1)] {
        let image = sim.crash_image(sim.ops(), mode, seed);
        world.verify(&image, world.synced, &what);
    }
    // The machine stays up: the next process builds on what it reads, and then the power fails.
    let (recovery, _) = recover_known(&sim, world.known()).unwrap_or_else(|e| panic!("{what}: {e}"));
    let (clean, last, wal) = (recovery.clean(), recovery.last().0, recovery.into_wal().unwrap());
    let lsn = wal.append(vec![1], 0, Sync).unwrap().0;
    drop(wal);
    assert!(clean || lsn > world.given.keys().max().copied().unwrap_or(0), "{what}");
    world.given.retain(|lsn, _| *lsn <= last);
    world.given.insert(lsn, vec![1]);
    world.verify(&sim.crash_image(sim.ops(), CrashMode::Strict, 0), lsn, &what);
    world
}

fn calls_of_a_life() -> u64 {
    let sim = disk();
    let wal = create(&sim);
    let before = sim.calls();
    World::default().live(&wal);
    sim.calls() - before
}

#[test]
fn whatever_call_fails_the_answers_stay_true() {
    let calls = calls_of_a_life();
    let (mut poisoned, mut through) = (0, 0);
    for call in 0..calls {
        for fault in [Fault::Errno(EIO), Fault::Errno(ENOSPC), Fault::Short, Fault::SyncFailsClean] {
            for repeat in [Repeat::Once, Repeat::Sticky] {
                match run(call, fault, repeat).poisoned {
                    true => poisoned += 1,
                    false => through += 1,
                }
            }
        }
    }
    assert!(poisoned > 100 && through > 100, "{poisoned} lives poisoned, {through} not");
    println!("{} lives with a fault, {poisoned} poisoned", poisoned + through);
}

#[test]
fn whatever_call_of_an_open_fails_the_next_open_succeeds() {
    let base = disk();
    let wal = create(&base);
    for n in 1..=40_u64 {
        wal.append(vec![n as u8; 200], n, if n > 37 { Buffered } else { Sync }).unwrap();
    }
    drop(wal);
    let open = |sim: &SimVfs| recover(sim).and_then(|(recovery, _)| recovery.into_wal());
    let probe = base.copy();
    open(&probe).unwrap();
    for call in 0..probe.calls() {
        for fault in [Fault::Errno(EIO), Fault::Errno(ENOSPC), Fault::Short, Fault::SyncFailsClean] {
            let sim = base.copy();
            sim.inject(call, fault, Repeat::Once);
            let first = open(&sim);
            assert!(matches!(first, Ok(_) | Err(Error::Io { .. } | Error::Full { .. })), "call {call}: {first:?}");
            drop(first);
            sim.heal();
            for image in [sim.copy(), sim.crash_image(sim.ops(), CrashMode::Strict, 0)] {
                let (recovery, commits) = recover(&image).unwrap();
                assert_eq!(commits.len(), 40);
                let wal = recovery.into_wal().unwrap();
                wal.append(vec![0; 10], 0, Sync).unwrap();
                // What the open served is durable, whatever an earlier process saw fail.
                let after = image.crash_image(image.ops(), CrashMode::Strict, 0);
                assert_eq!(recover(&after).unwrap().1.len(), 41, "call {call}, {fault:?}");
            }
        }
    }
}

#[test]
fn a_failed_sync_poisons_and_nothing_settles_any_more() {
    let sim = disk();
    let wal = create(&sim);
    wal.append(vec![1], 0, Sync).unwrap();
    let lsn = wal.sequence().append(Payload::new(vec![2]), 0, Sync).unwrap();
    // The write, then the sync.
    sim.inject(1, Fault::SyncFailsClean, Repeat::Once);
    assert!(matches!(wal.wait(lsn, Sync), Err(Error::Poisoned)));
    assert!(wal.poison_cause().unwrap().contains("synchronise /wal/0000000001.log"), "{:?}", wal.poison_cause());
    let settled = wal.settled();
    assert_eq!(settled, Lsn(1));
    assert!(matches!(wal.wait(lsn, Memory), Err(Error::Poisoned)));
    assert!(matches!(wal.append(vec![3], 0, Memory), Err(Error::Poisoned)));
    assert!(matches!(wal.sync(), Err(Error::Poisoned)));
    assert!(matches!(wal.close(0), Err(Error::Poisoned)));
    assert!(matches!(wal.close(0), Err(Error::Poisoned)));
    assert!(wal.wait(Lsn(1), Sync).is_ok(), "what was durable before is still so");
    assert_eq!(wal.settled(), settled);
}

#[test]
fn a_process_that_reads_what_a_failed_sync_left_in_the_cache_makes_it_durable_first() {
    let sim = disk();
    let wal = create(&sim);
    let lsn = wal.sequence().append(Payload::new(vec![2]), 0, Sync).unwrap();
    sim.inject(1, Fault::SyncFailsClean, Repeat::Once);
    assert!(wal.wait(lsn, Sync).is_err());
    drop(wal);
    let (wal, commits) = reopen(&sim);
    assert_eq!((commits.len(), wal.synced()), (1, Lsn(1)));
    let after = sim.crash_image(sim.ops(), CrashMode::Strict, 0);
    assert_eq!(recover(&after).unwrap().1.len(), 1);
}

#[test]
fn a_close_marker_whose_sync_failed_is_made_durable_by_the_life_that_builds_on_it() {
    // Of these sizes, some put the marker at the end of a sector or page that is not written again by itself.
    for size in (0..8192).step_by(8) {
        let sim = disk();
        let options = || halodb_wal::WalOptions { first_segment_bytes: 16 << 10, ..options() };
        let wal = Wal::create(std::sync::Arc::new(sim.clone()), &dir(), options()).unwrap();
        wal.append(vec![1; size], 0, Sync).unwrap();
        sim.inject(1, Fault::SyncFailsClean, Repeat::Once);
        assert!(wal.close(0).is_err());
        drop(wal);
        let (wal, _) = reopen(&sim);
        wal.append(vec![2], 0, Sync).unwrap();
        drop(wal);
        let after = sim.crash_image(sim.ops(), CrashMode::Strict, 0);
        assert_eq!(recover(&after).unwrap().1.len(), 2, "{size}");
    }
}

/// The marker of a close whose sync failed is read from the cache. Whoever asks how far the log is durable, to write it into a
/// meta, must not be told of the marker before it is on the disk.
#[test]
fn a_close_marker_that_may_be_in_the_cache_only_does_not_count_as_durable() {
    // The sync of the marker fails; or its writes come short for ever, and only the last of the zeros behind it is missing.
    for (call, fault) in [(1, Fault::SyncFailsClean), (0, Fault::Short)] {
        let sim = disk();
        let options = || halodb_wal::WalOptions { first_segment_bytes: 16 << 10, ..options() };
        let wal = Wal::create(std::sync::Arc::new(sim.clone()), &dir(), options()).unwrap();
        let commit = wal.append(vec![1; 100], 0, Sync).unwrap();
        sim.inject(call, fault, Repeat::Sticky);
        assert!(wal.close(0).is_err());
        sim.heal();
        drop(wal);
        let (recovery, _) = recover(&sim).unwrap();
        let marker = recovery.last();
        assert!(recovery.clean() && marker > commit, "{fault:?}: the marker is there, as far as one can see");
        let wal = recovery.into_wal().unwrap();
        assert!(wal.synced() >= commit && wal.synced() < marker, "{fault:?}: {} of {marker}", wal.synced());
        assert_eq!(wal.settled(), marker);

        // What a meta may state now is true after a loss of power,
        let known = Known { synced: wal.synced(), ..Known::default() };
        let after = sim.crash_image(sim.ops(), CrashMode::Strict, 0);
        assert_eq!(recover_known(&after, known).unwrap().1.len(), 1, "{fault:?}");
        // and what it may state when somebody has waited for the marker, too.
        wal.wait_durable(marker).unwrap();
        let known = Known { synced: wal.synced(), ..Known::default() };
        assert!(known.synced >= marker);
        let after = sim.crash_image(sim.ops(), CrashMode::Strict, 0);
        assert_eq!(recover_known(&after, known).unwrap().1.len(), 1, "{fault:?}");
    }
}

/// The first record of the next life stands behind that marker, in the same write. A power loss may keep the record and lose
/// the marker: that is a tail, unless the record claims that the marker was durable. Then the log was refused.
#[test]
fn a_torn_write_behind_a_close_marker_that_was_never_durable_is_a_tail() {
    for size in (0..1024).step_by(8) {
        let sim = disk();
        let options = || halodb_wal::WalOptions { first_segment_bytes: 16 << 10, ..options() };
        let wal = Wal::create(std::sync::Arc::new(sim.clone()), &dir(), options()).unwrap();
        wal.append(vec![1; size], 0, Sync).unwrap();
        sim.inject(1, Fault::SyncFailsClean, Repeat::Once);
        assert!(wal.close(0).is_err());
        drop(wal);
        let opened = sim.ops();
        let (wal, _) = reopen(&sim);
        wal.append(vec![2], 0, Sync).unwrap();
        drop(wal);
        for at in opened..=sim.ops() {
            for (mode, seed) in
                [CrashMode::Random, CrashMode::Garbage].into_iter().flat_map(|m| (0..6).map(move |s| (m, s)))
            {
                let after = sim.crash_image(at, mode, seed);
                let commits =
                    recover(&after).unwrap_or_else(|e| panic!("{size} bytes, {mode:?} {seed} at {at}: {e}")).1;
                assert!(!commits.is_empty(), "{size} bytes, {mode:?} {seed} at {at}");
            }
        }
    }
}

/// A process opens a log that was closed in order and prepares a segment, or recycles one, but dies before the directory is
/// synchronised, or sees that fail. The log still ends with its close marker. The next process found the file by a name that
/// was in the cache only, wrote acknowledged records to it, and lost them with the name.
#[test]
fn a_segment_whose_name_may_be_in_the_cache_only_is_not_written_to_after_a_clean_close() {
    let prepare = |wal: &Wal| wal.make_room(3000).map(drop);
    let recycle = |wal: &Wal| wal.recycle(Lsn(u64::MAX)).map(drop);
    type Act<'a> = &'a dyn Fn(&Wal) -> halodb_wal::Result<()>;
    let acts: [(&str, Act<'_>); 2] = [("prepare", &prepare), ("recycle", &recycle)];
    for (what, act) in acts {
        let sim = disk();
        let wal = create(&sim);
        wal.append(vec![1; 3000], 0, Sync).unwrap();
        let mut spare = 2;
        if what == "recycle" {
            wal.append(vec![2; 3000], 0, Sync).unwrap();
            spare = 3;
        }
        wal.close(0).unwrap();
        drop(wal);
        let (wal, _) = reopen(&sim);
        let applied = wal.synced();
        // Whatever makes the name fails where the directory is to be synchronised.
        let mut fails = 0;
        while !wal.is_poisoned() {
            let trial = sim.copy();
            let (other, _) = reopen(&trial);
            trial.inject(fails, Fault::Errno(EIO), Repeat::Once);
            let _ = act(&other);
            if other.is_poisoned() {
                sim.inject(fails, Fault::Errno(EIO), Repeat::Once);
                assert!(matches!(act(&wal), Err(Error::Poisoned)), "{what}");
            }
            fails += 1;
            assert!(fails < 20, "{what} synchronises no directory");
        }
        drop(wal);
        let known = Known { applied_min: applied, applied_max: applied, synced: applied };
        let (recovery, _) = recover_known(&sim, known).unwrap();
        assert!(recovery.clean(), "{what}");
        let wal = recovery.into_wal().unwrap();
        // One record, which fills the segment: the next one prepared would make all names durable.
        let last = wal.append(vec![3; 3000], 0, Sync).unwrap();
        assert!(wal.stats().syncs > 0 && !records_of(&sim, spare).is_empty(), "{what}");
        drop(wal);
        for mode in [CrashMode::Strict, CrashMode::Kept] {
            let after = sim.crash_image(sim.ops(), mode, 0);
            let (recovery, commits) = recover_known(&after, known).unwrap_or_else(|e| panic!("{what}, {mode:?}: {e}"));
            assert_eq!((commits.len(), recovery.last()), (1, last), "{what}, {mode:?}");
        }
    }
}

#[test]
fn no_space_for_the_next_segment_assigns_no_lsn_and_passes() {
    let sim = disk();
    let wal = create(&sim);
    wal.append(vec![1; 3000], 0, Sync).unwrap();
    let before = sim.files().unwrap();
    for call in 0..4 {
        sim.inject(call, Fault::Errno(ENOSPC), Repeat::Once);
        match wal.make_room(2000) {
            Err(Error::Full { .. } | Error::Io { .. }) => {
                assert_eq!((wal.appended(), wal.is_poisoned()), (Lsn(1), false));
                assert_eq!(sim.files().unwrap(), before, "the unfinished file is removed");
            }
            other => panic!("call {call}: {other:?}"),
        }
        sim.heal();
    }
    wal.append(vec![2; 2000], 0, Sync).unwrap();
}

#[test]
fn a_short_write_is_completed_and_a_failed_one_repeated_once() {
    for fault in [Fault::Short, Fault::Errno(EIO)] {
        let sim = disk();
        let wal = create(&sim);
        sim.inject(0, fault, Repeat::Once);
        wal.append(vec![7; 1000], 0, Sync).unwrap();
        assert_eq!(sim.struck(), 1);
        assert_eq!(recover(&sim).unwrap().1, [(1, vec![7; 1000])]);
        sim.inject(0, Fault::Errno(EIO), Repeat::Sticky);
        assert!(matches!(wal.append(vec![7; 1000], 0, Sync), Err(Error::Poisoned)));
    }
}

#[test]
fn a_creation_that_failed_can_be_done_again() {
    for call in 0.. {
        let sim = disk();
        let before = sim.calls();
        sim.inject(call, Fault::Errno(ENOSPC), Repeat::Once);
        let first = Wal::create(std::sync::Arc::new(sim.clone()), &dir(), options());
        if sim.struck() == 0 {
            assert!(call > 3 && sim.calls() > before);
            return;
        }
        sim.heal();
        if first.is_err() && sim.kind(&segment(1)).unwrap().is_some() {
            sim.remove_file(&segment(1)).unwrap();
        }
        if first.is_err() {
            create(&sim).append(vec![1], 0, Sync).unwrap();
        }
    }
}
