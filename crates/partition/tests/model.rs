//! The engine against a `BTreeMap`: random writes, merges whole and broken off, reopening after a close, a kill and a loss
//! of power, with snapshots kept across and looked at in every way there is; while time goes by, and the machine's clock goes
//! back now and then.

use halodb_partition::{
    Batch, Cursor, Depth, Durability, Entropy, ErrorKind, Expect, Life, Lsn, Options, Outcome, PartitionSet, Snapshot,
};
use halodb_vfs::SimVfs;
use halodb_vfs::sim::{CrashMode, Fault, Repeat};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::path::Path;
use std::sync::Arc;

type Map = BTreeMap<Vec<u8>, Vec<u8>>;

/// Keys with their values and when these expire (0: never), also those that have.
type Entries = BTreeMap<Vec<u8>, (Vec<u8>, u64)>;

/// What has not expired at a time.
fn live(entries: &Entries, now_ms: u64) -> Map {
    let live = entries.iter().filter(|(_, (_, at_ms))| *at_ms == 0 || now_ms < *at_ms);
    live.map(|(key, (value, _))| (key.clone(), value.clone())).collect()
}

#[derive(Clone, Debug)]
enum Write {
    Put(Vec<u8>, usize),
    /// Expires so many milliseconds after the machine's clock, or before it.
    PutFor(Vec<u8>, usize, i64),
    Delete(Vec<u8>),
    DeleteRange(Vec<u8>, Option<Vec<u8>>),
}

#[derive(Clone, Debug)]
enum Move {
    First,
    Last,
    Seek(Vec<u8>),
    SeekBack(Vec<u8>),
    Next(usize),
    Prev(usize),
}

type Bounds = (Bound<Vec<u8>>, Bound<Vec<u8>>);

/// What one look at a snapshot asks beside the full scans.
#[derive(Clone, Debug)]
struct Look {
    moves: Vec<Move>,
    bounds: Vec<Bounds>,
}

#[derive(Clone, Debug)]
enum Op {
    Commit(Vec<Write>, Durability),
    CommitIf(Vec<(Vec<u8>, Expect)>, Vec<Write>),
    Freeze,
    Job,
    /// A job that meets a failing call: what was merged before stays, the rest is unmerged.
    FailingJob(u64, Fault),
    Keep,
    Forget(usize),
    Look(usize, Look),
    /// So much later, the owner of the engine calls.
    Tick(u64),
    /// So much later, a reader comes.
    Pass(u64),
    CloseAndReopen,
    /// The machine's clock is set back by so much meanwhile.
    Kill(u64),
    LosePower(CrashMode, u64, u64),
}

fn key() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        8 => (0..60u8).prop_map(|i| vec![b'a' + i / 10, b'0' + i % 10]),
        // Neighbours that differ by the least byte there is.
        1 => (0..60u8).prop_map(|i| vec![b'a' + i / 10, b'0' + i % 10, 0]),
        1 => (0..6u8).prop_map(|i| vec![b'a' + i]),
    ]
}

fn write() -> impl Strategy<Value = Write> {
    let len = prop_oneof![6 => 0..60usize, 2 => 300..900usize, 1 => 3000..9000usize];
    prop_oneof![
        6 => (key(), len.clone()).prop_map(|(k, len)| Write::Put(k, len)),
        4 => (key(), len, prop_oneof![8 => 1..60i64, 2 => 60..30_000i64, 1 => -5..1i64])
            .prop_map(|(k, len, ms)| Write::PutFor(k, len, ms)),
        2 => key().prop_map(Write::Delete),
        1 => (key(), proptest::option::weighted(0.8, key())).prop_map(|(a, b)| Write::DeleteRange(a, b)),
    ]
}

fn bound() -> impl Strategy<Value = Bound<Vec<u8>>> {
    prop_oneof![Just(Bound::Unbounded), key().prop_map(Bound::Included), key().prop_map(Bound::Excluded),]
}

fn look() -> impl Strategy<Value = Look> {
    let step = prop_oneof![
        Just(Move::First),
        Just(Move::Last),
        key().prop_map(Move::Seek),
        key().prop_map(Move::SeekBack),
        (1..6usize).prop_map(Move::Next),
        (1..6usize).prop_map(Move::Prev),
        (1..6usize).prop_map(Move::Next),
        (1..6usize).prop_map(Move::Prev),
    ];
    let moves = proptest::collection::vec(step, 0..24);
    let bounds = proptest::collection::vec((bound(), bound()), 0..6);
    (moves, bounds).prop_map(|(moves, bounds)| Look { moves, bounds })
}

fn op() -> impl Strategy<Value = Op> {
    let level = prop_oneof![
        Just(Durability::Memory),
        Just(Durability::Buffered),
        Just(Durability::Sync),
        Just(Durability::Sync)
    ];
    let writes = || proptest::collection::vec(write(), 0..12);
    let expect = prop_oneof![Just(Expect::Absent), Just(Expect::Present)];
    let conditions = proptest::collection::vec((key(), expect), 1..3);
    let back = prop_oneof![2 => Just(0), 1 => 1..40u64, 1 => 40..100_000u64];
    let fault = prop_oneof![Just(Fault::Errno(28)), Just(Fault::Errno(5)), Just(Fault::Short)];
    let mode = prop_oneof![
        Just(CrashMode::Strict),
        Just(CrashMode::Prefix),
        Just(CrashMode::Ordered),
        Just(CrashMode::Random),
        Just(CrashMode::Torn4k),
        Just(CrashMode::Adversarial),
    ];
    prop_oneof![
        14 => (writes(), level).prop_map(|(w, l)| Op::Commit(w, l)),
        4 => (conditions, writes()).prop_map(|(c, w)| Op::CommitIf(c, w)),
        3 => Just(Op::Freeze),
        4 => Just(Op::Job),
        4 => (0..40u64, fault).prop_map(|(call, f)| Op::FailingJob(call, f)),
        2 => Just(Op::Keep),
        1 => (0..4usize).prop_map(Op::Forget),
        5 => (0..4usize, look()).prop_map(|(i, l)| Op::Look(i, l)),
        3 => prop_oneof![8 => 0..30u64, 1 => 30..30_000u64].prop_map(Op::Tick),
        3 => prop_oneof![8 => 0..30u64, 1 => 30..30_000u64].prop_map(Op::Pass),
        1 => Just(Op::CloseAndReopen),
        1 => back.clone().prop_map(Op::Kill),
        1 => (mode, any::<u64>(), back).prop_map(|(m, s, b)| Op::LosePower(m, s, b)),
    ]
}

fn options(partitions: u32, filter_bits: u32, large_bytes: Option<u64>) -> Options {
    let mut options = Options::default();
    options.partitions = Some(partitions);
    options.page_size = Some(4096);
    options.memtable_bytes = 12 << 10;
    options.segment_bytes = 4 << 10;
    options.first_segment_bytes = 4 << 10;
    options.log_limit_bytes = 24 << 10;
    options.chunk_bytes = 4 << 10;
    options.filter_bits_per_key = filter_bits;
    options.sweep_ms = 20;
    options.large_bytes = large_bytes;
    options
}

/// A commit that was answered.
struct Answered {
    lsn: Lsn,
    level: Durability,
    after: Entries,
}

struct World {
    disk: SimVfs,
    options: Options,
    set: Option<PartitionSet>,
    map: Entries,
    /// The machine's clock, and the latest time that a reader has seen.
    now_ms: u64,
    seen_ms: u64,
    /// What was committed since the last open, oldest first; and what the open found.
    answered: Vec<Answered>,
    kept: Vec<(Snapshot, Map)>,
    counter: u32,
}

impl World {
    fn new(options: Options) -> Self {
        let disk = SimVfs::new();
        let mut world = Self {
            disk,
            options,
            set: None,
            map: Entries::new(),
            now_ms: 1_000_000,
            seen_ms: 0,
            answered: Vec::new(),
            kept: Vec::new(),
            counter: 0,
        };
        world.open();
        world
    }

    fn set(&self) -> &PartitionSet {
        self.set.as_ref().expect("open between operations")
    }

    fn open(&mut self) {
        let entropy = Entropy { uuid: *b"the model's base", incarnation: 1, hash_seed: 7 };
        let disk = Arc::new(self.disk.clone());
        let (set, _) =
            PartitionSet::open(disk, Path::new("db"), self.options.clone(), entropy, self.now_ms).expect("opens");
        let time = set.time_ms();
        assert!(time >= self.seen_ms, "time went back from {} to {time}", self.seen_ms);
        assert!(time <= self.now_ms.max(self.seen_ms) + 10_000, "time ran ahead by {} ms", time - self.now_ms);
        self.answered = vec![Answered { lsn: Lsn(0), level: Durability::Sync, after: self.map.clone() }];
        self.set = Some(set);
    }

    /// Drops everything that reads, and opens what the disk has; at least what was answered at `level` must be there.
    fn reopen_after(&mut self, level: Durability, what: impl FnOnce(&SimVfs) -> SimVfs) {
        self.kept.clear();
        self.disk = what(&self.disk);
        self.set = None;
        let answered = std::mem::take(&mut self.answered);
        self.open();
        let visible = self.set().visible();
        let survived = answered.iter().rposition(|a| a.lsn <= visible).expect("the open's own state is the first");
        let needed = answered.iter().rposition(|a| a.level >= level).expect("the first is durable");
        assert!(survived >= needed, "{} of {} needed commits survived", survived, needed);
        self.map = answered.into_iter().nth(survived).expect("found above").after;
        self.answered[0].after = self.map.clone();
        self.look_at_now();
        self.apply(&Op::Tick(0));
        self.look_at_now();
    }

    /// What is there now; readers have seen this time from now on.
    fn live(&mut self) -> Map {
        self.seen_ms = self.set().time_ms();
        live(&self.map, self.seen_ms)
    }

    /// Time goes by, and the engine is told.
    fn pass(&mut self, ms: u64, tell: impl FnOnce(&PartitionSet, u64)) -> u64 {
        self.now_ms += ms;
        let before = self.set().time_ms();
        tell(self.set(), self.now_ms);
        let time = self.set().time_ms();
        assert!((before..=before.max(self.now_ms)).contains(&time), "from {before} to {time} at {}", self.now_ms);
        time
    }

    fn batch(&mut self, writes: &[Write]) -> (Batch, Entries) {
        let (mut batch, mut after) = (Batch::new(), self.map.clone());
        for write in writes {
            match write {
                Write::Put(key, len) | Write::PutFor(key, len, _) => {
                    self.counter += 1;
                    let mut value = self.counter.to_le_bytes().to_vec();
                    value.resize(*len, self.counter as u8);
                    let at_ms = match write {
                        Write::PutFor(_, _, ms) => self.now_ms.saturating_add_signed(*ms),
                        _ => 0,
                    };
                    batch.put_until(key, &value, at_ms);
                    after.insert(key.clone(), (value, at_ms));
                }
                Write::Delete(key) => {
                    batch.delete(key);
                    after.remove(key);
                }
                Write::DeleteRange(start, end) => {
                    batch.delete_range(start, end.as_deref());
                    after.retain(|key, _| key < start || end.as_ref().is_some_and(|end| key >= end));
                }
            }
        }
        (batch, after)
    }

    fn commit(&mut self, conditions: &[(Vec<u8>, Expect)], writes: &[Write], level: Durability) {
        let (batch, after) = self.batch(writes);
        let borrowed: Vec<(&[u8], Expect)> = conditions.iter().map(|(key, e)| (&key[..], *e)).collect();
        let outcome = loop {
            match self.set().commit_if(&batch, &borrowed, level, self.now_ms) {
                Err(e) if e.kind() == ErrorKind::Stalled => self.run_jobs(),
                outcome => break outcome.expect("a sound disk"),
            }
        };
        // Judged at the time of the commit, which is now.
        let before = self.live();
        let failing =
            conditions.iter().position(|(key, expect)| before.contains_key(key) != (*expect == Expect::Present));
        match (outcome, failing) {
            (Outcome::Committed(lsn), None) => {
                assert!(lsn <= self.set().visible(), "a commit is answered when it is visible");
                self.map = after.clone();
                if !batch.is_empty() {
                    self.answered.push(Answered { lsn, level, after });
                }
            }
            (Outcome::Failed(i), Some(expected)) => assert_eq!(i, expected),
            (outcome, failing) => panic!("{outcome:?}, where condition {failing:?} fails"),
        }
    }

    fn run_jobs(&self) {
        while let Some(job) = self.set().next_job(self.now_ms) {
            job.run().expect("a sound disk");
        }
    }

    fn failing_job(&mut self, call: u64, fault: Fault) {
        self.set().freeze_all().expect("open");
        let Some(job) = self.set().next_job(self.now_ms) else { return };
        self.disk.inject(call, fault, Repeat::Once);
        let result = job.run();
        self.disk.heal();
        // Whatever was merged before it failed, the answers are the same.
        self.look_at_now();
        if let Err(e) = result
            && (e.kind() == ErrorKind::Poisoned || self.set().sync().is_err())
        {
            // Everything that was answered at `Buffered` is in the files, whatever failed since.
            self.reopen_after(Durability::Buffered, SimVfs::restart_process);
        }
    }

    fn look_at_now(&mut self) {
        let live = self.live();
        let snapshot = self.set().snapshot();
        check(&snapshot, &live);
        for (key, (_, at_ms)) in &self.map {
            let life = match (live.contains_key(key), at_ms) {
                (false, _) => Life::Absent,
                (true, 0) => Life::Forever,
                (true, at_ms) => Life::Until(*at_ms),
            };
            assert_eq!(snapshot.life(key).unwrap(), life, "{key:?}");
        }
    }

    fn apply(&mut self, op: &Op) {
        match op {
            Op::Commit(writes, level) => self.commit(&[], writes, *level),
            Op::CommitIf(conditions, writes) => self.commit(conditions, writes, Durability::Sync),
            Op::Freeze => self.set().freeze_all().expect("open"),
            Op::Job => {
                if let Some(job) = self.set().next_job(u64::MAX) {
                    job.run().expect("a sound disk");
                }
            }
            Op::FailingJob(call, fault) => self.failing_job(*call, *fault),
            Op::Keep => {
                self.kept.truncate(3);
                let live = self.live();
                self.kept.push((self.set().snapshot().for_scans(), live));
            }
            Op::Forget(i) => {
                if *i < self.kept.len() {
                    self.kept.remove(*i);
                }
            }
            Op::Look(i, look) => match self.kept.get(*i) {
                Some((snapshot, map)) => check_look(snapshot, map, look),
                None => {
                    let live = self.live();
                    check_look(&self.set().snapshot(), &live, look);
                }
            },
            Op::Tick(ms) => {
                let time = self.pass(*ms, |set, now| set.tick(now).expect("a sound disk"));
                assert!(!self.set().uses_expiry() || time >= self.now_ms, "a tick brings time up to date");
            }
            Op::Pass(ms) => drop(self.pass(*ms, PartitionSet::advance_time)),
            Op::CloseAndReopen => {
                self.set().close(self.now_ms).expect("a sound disk");
                let time = self.set().time_ms();
                self.reopen_after(Durability::Memory, SimVfs::clone);
                assert!(self.set().time_ms() <= time.max(self.now_ms), "an orderly end costs no time");
                assert_eq!(self.set().stats().memtable_versions, 0);
            }
            Op::Kill(back) => {
                self.now_ms = self.now_ms.saturating_sub(*back).max(1);
                self.reopen_after(Durability::Buffered, SimVfs::restart_process);
            }
            Op::LosePower(mode, seed, back) => {
                let (mode, seed) = (*mode, *seed);
                self.now_ms = self.now_ms.saturating_sub(*back).max(1);
                self.reopen_after(Durability::Sync, |disk| disk.crash_image(disk.ops(), mode, seed));
            }
        }
    }
}

/// Full scans both ways, the count and the gets.
fn check(snapshot: &Snapshot, map: &Map) {
    let mut cursor = snapshot.cursor();
    let mut found = Vec::new();
    cursor.seek_first().unwrap();
    while let Some(key) = cursor.key() {
        found.push((key.to_vec(), cursor.value().unwrap().unwrap().to_vec()));
        cursor.next().unwrap();
    }
    let expected: Vec<_> = map.iter().map(|(k, v)| (k.clone(), v.clone())).collect();
    assert!(found == expected, "forward: {:?}, expected {:?}", names(&found), names(&expected));
    let mut back = Vec::new();
    cursor.seek_last().unwrap();
    while let Some(key) = cursor.key() {
        back.push((key.to_vec(), cursor.value().unwrap().unwrap().to_vec()));
        cursor.prev().unwrap();
    }
    back.reverse();
    assert!(back == expected, "backward: {:?}, expected {:?}", names(&back), names(&expected));
    assert_eq!(snapshot.count(Bound::Unbounded, Bound::Unbounded).unwrap(), map.len() as u64);
    let keys: Vec<Vec<u8>> = (0..90u8).map(|i| vec![b'g' - i % 7, b'0' + i / 7]).collect();
    let values = snapshot.multi_get(&keys).unwrap();
    assert_eq!(values.len(), keys.len());
    for (key, value) in keys.iter().zip(values) {
        assert!(value.as_deref() == map.get(key).map(|v| &v[..]), "one of many: {key:?}");
    }
    for i in 0..60u8 {
        for key in [vec![b'a' + i / 10, b'0' + i % 10], vec![b'a' + i / 10, b'0' + i % 10, 0], vec![b'a' + i / 10]] {
            assert!(snapshot.get(&key).unwrap().as_deref() == map.get(&key).map(|v| &v[..]), "get {key:?}");
        }
    }
}

fn names(pairs: &[(Vec<u8>, Vec<u8>)]) -> Vec<String> {
    pairs.iter().map(|(k, v)| format!("{}:{}", k.escape_ascii(), v.len())).collect()
}

fn check_look(snapshot: &Snapshot, map: &Map, look: &Look) {
    check(snapshot, map);
    for (from, to) in &look.bounds {
        let slice = |bound: &Bound<Vec<u8>>| bound.clone();
        let inside = |key: &Vec<u8>| {
            (match from {
                Bound::Included(k) => key >= k,
                Bound::Excluded(k) => key > k,
                Bound::Unbounded => true,
            }) && (match to {
                Bound::Included(k) => key <= k,
                Bound::Excluded(k) => key < k,
                Bound::Unbounded => true,
            })
        };
        let expected = map.keys().filter(|key| inside(key)).count() as u64;
        let (f, t) = (slice(from), slice(to));
        let (f, t) = (f.as_ref().map(|k| &k[..]), t.as_ref().map(|k| &k[..]));
        let count = snapshot.count(f, t).unwrap();
        assert_eq!(count, expected, "{from:?} to {to:?}");
        for i in [0, expected / 2, expected.saturating_sub(1), expected] {
            let nth = snapshot.nth(f, t, i).unwrap().map(|cursor| cursor.key().unwrap().to_vec());
            assert_eq!(nth.as_ref(), map.keys().filter(|key| inside(key)).nth(i as usize), "number {i}");
        }
    }
    let mut cursor = snapshot.cursor();
    let mut at: Option<Vec<u8>> = None;
    for step in &look.moves {
        at = walk(&mut cursor, map, at, step);
        assert_eq!(cursor.key(), at.as_deref(), "after {step:?} of {:?}", look.moves);
        let value = cursor.value().unwrap().map(<[u8]>::to_vec);
        assert!(value.as_ref() == at.as_ref().and_then(|key| map.get(key)), "value at {at:?}");
    }
}

/// Moves the cursor and its model.
fn walk(cursor: &mut Cursor, map: &Map, mut at: Option<Vec<u8>>, step: &Move) -> Option<Vec<u8>> {
    let first_from =
        |bound: Bound<&Vec<u8>>| map.range::<Vec<u8>, _>((bound, Bound::Unbounded)).next().map(|(k, _)| k.clone());
    let last_to =
        |bound: Bound<&Vec<u8>>| map.range::<Vec<u8>, _>((Bound::Unbounded, bound)).next_back().map(|(k, _)| k.clone());
    match step {
        Move::First => cursor.seek_first().map(|()| first_from(Bound::Unbounded)),
        Move::Last => cursor.seek_last().map(|()| last_to(Bound::Unbounded)),
        Move::Seek(key) => cursor.seek(key).map(|()| first_from(Bound::Included(key))),
        Move::SeekBack(key) => cursor.seek_back(key).map(|()| last_to(Bound::Included(key))),
        Move::Next(n) => {
            for _ in 0..*n {
                cursor.next().unwrap();
                at = at.and_then(|key| first_from(Bound::Excluded(&key)));
            }
            Ok(at)
        }
        Move::Prev(n) => {
            for _ in 0..*n {
                cursor.prev().unwrap();
                at = at.and_then(|key| last_to(Bound::Excluded(&key)));
            }
            Ok(at)
        }
    }
    .unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 4000, ..ProptestConfig::with_cases(
        std::env::var("PROPTEST_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(800)
    ) })]

    #[test]
    fn the_engine_answers_like_a_map(
        partitions in prop_oneof![Just(1u32), Just(3)],
        filter_bits in prop_oneof![Just(0u32), Just(11)],
        ops in proptest::collection::vec(op(), 1..80),
        // Nearly every batch is large, some, or none.
        large_bytes in prop_oneof![Just(None), Just(Some(900u64)), Just(Some(60u64))],
        // Every large one with a few long values is spilled, or none; the bounds of range deletes are not, and find room.
        uncommitted_bytes in prop_oneof![Just(None), Just(Some(1800u64))],
    ) {
        let mut options = options(partitions, filter_bits, large_bytes);
        options.uncommitted_bytes = uncommitted_bytes;
        let mut world = World::new(options);
        for op in &ops {
            world.apply(op);
            // Counting forwards keeps what it learnt; the kept snapshots are older than that, mostly.
            let live = world.live();
            let now = world.set().snapshot();
            assert_eq!(now.count(Bound::Unbounded, Bound::Unbounded).unwrap(), live.len() as u64);
            drop(now);
            for (snapshot, map) in &world.kept {
                assert_eq!(snapshot.count(Bound::Unbounded, Bound::Unbounded).unwrap(), map.len() as u64);
            }
        }
        world.look_at_now();
        for (snapshot, map) in &world.kept {
            check(snapshot, map);
        }
        world.run_jobs();
        world.look_at_now();
        let report = world.set().check(Depth::Deep).unwrap();
        assert_eq!(report.findings, []);
    }
}
