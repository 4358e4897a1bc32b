//! The one generator of operations: a proptest strategy that shrinks, from which every campaign draws its workloads.
//!
//! Keys and values are named by small numbers and spelled out by [`key`] and [`Val::bytes`], so that a shrunk failure is
//! short to read, and so that a value says which write it came from.

use super::transactions::{self, Read};
use halodb::Durability;
use halodb::partition::Expect;
use halodb::vfs::sim::CrashMode;
use proptest::collection::vec;
use proptest::prelude::*;
use std::ops::{Bound, Range};

/// The bytes of key number `id`: ordinary short ones, long ones with a shared prefix, and ones made of 0x00 and 0xff.
/// Distinct numbers below 4096 give distinct keys, in no particular order.
pub fn key(id: u16) -> Vec<u8> {
    match id % 8 {
        0..=3 => format!("k{id:05}").into_bytes(),
        4 => format!("a/long/prefix/that/all/of/these/share/{id:05}").into_bytes(),
        5 => [&[0x00, 0xff, 0x00][..], &id.to_le_bytes(), &[0x00]].concat(),
        6 => [&[0xff; 3][..], &id.to_le_bytes()].concat(),
        _ => {
            let mut key = format!("big{id:05}").into_bytes();
            key.resize(300 + usize::from(id), b'x');
            key
        }
    }
}

/// A value by its length and what it is filled with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Val {
    /// Bytes.
    pub len: u32,
    /// Decides the bytes.
    pub fill: u16,
}

impl Val {
    /// The bytes of the value. One short one in five is a decimal number, as one would write it.
    pub fn bytes(self) -> Vec<u8> {
        let mut rng = super::rng::Rng::new(u64::from(self.fill) << 32 | u64::from(self.len));
        if self.fill.is_multiple_of(5) && (1..=MOST_DIGITS).contains(&self.len) {
            let first = if self.len > 1 && rng.below(4) == 0 { b'-' } else { b'1' + rng.below(9) as u8 };
            return (0..self.len).map(|at| if at == 0 { first } else { b'1' + rng.below(9) as u8 }).collect();
        }
        let mut bytes = Vec::with_capacity(self.len as usize + 8);
        while bytes.len() < self.len as usize {
            bytes.extend_from_slice(&rng.draw().to_le_bytes());
        }
        bytes.truncate(self.len as usize);
        bytes
    }
}

/// So many digits, or a sign and one less, are always a number of 64 bits.
const MOST_DIGITS: u32 = 18;

/// One write of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write {
    /// Sets a key.
    Put(u16, Val),
    /// Sets a key that expires so many milliseconds after [`START_MS`]. The bytes of the value say when: see
    /// [`until_bytes`].
    PutUntil(u16, Val, u32),
    /// Removes a key.
    Delete(u16),
    /// Removes the keys from the first (inclusive) to the second (exclusive; `None`: to the last); see [`range`].
    DeleteRange(u16, Option<u16>),
}

/// When the simulated clock begins, in each process anew: to a database that is opened again it has gone back.
pub const START_MS: u64 = 1_700_000_000_000;

/// What the values begin with that expire.
const UNTIL: &[u8; 8] = b"\0until \0";

/// The bytes of a value that expires so many milliseconds after [`START_MS`]: it says so itself, so that a map of bytes
/// is enough to know what is there at which time.
pub fn until_bytes(value: Val, after_ms: u32) -> Vec<u8> {
    let at_ms = START_MS + u64::from(after_ms);
    [&UNTIL[..], &at_ms.to_le_bytes(), &value.bytes()].concat()
}

/// When a value expires, by its bytes; 0: never.
pub fn expires_at_ms(value: &[u8]) -> u64 {
    let rest = value.strip_prefix(UNTIL).and_then(|rest| rest.first_chunk());
    rest.map_or(0, |at_ms| u64::from_le_bytes(*at_ms))
}

/// The bytes of a range delete's ends. The generator draws the ends in any order; here the smaller one begins, and two
/// equal ones make the range of that key alone. [`CLEAR`] begins at the empty key, below every other.
pub fn range(from: u16, to: Option<u16>) -> (Vec<u8>, Option<Vec<u8>>) {
    let from = if from == CLEAR { Vec::new() } else { key(from) };
    match to.map(key) {
        None => (from, None),
        Some(to) if from < to => (from, Some(to)),
        Some(to) if from > to => (to, Some(from)),
        Some(mut to) => {
            to.push(0);
            (from, Some(to))
        }
    }
}

/// The puts of sorted input: so many keys of those below `keys`, from this one on; each value is one of its own, of about a
/// hundred bytes at most. In the order of the keys' bytes, each key once.
pub fn run(first: u16, count: u16, value: Val) -> Vec<Write> {
    let mut ids: Vec<u16> = (first..first.saturating_add(count)).collect();
    ids.sort_by_key(|id| key(*id));
    let of = |id: u16| Val { len: value.len % 100, fill: value.fill.wrapping_add(id) };
    ids.into_iter().map(|id| Write::Put(id, of(id))).collect()
}

/// One end of a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The key itself belongs to the range.
    Included(u16),
    /// It does not.
    Excluded(u16),
    /// There is no end.
    Open,
}

impl End {
    /// The bytes of the end, to be made a bound by [`End::bound`].
    pub fn bytes(self) -> Vec<u8> {
        match self {
            End::Included(id) | End::Excluded(id) => key(id),
            End::Open => Vec::new(),
        }
    }

    /// The bound that `bytes`, from [`End::bytes`], stands for.
    pub fn bound(self, bytes: &[u8]) -> Bound<&[u8]> {
        match self {
            End::Included(_) => Bound::Included(bytes),
            End::Excluded(_) => Bound::Excluded(bytes),
            End::Open => Bound::Unbounded,
        }
    }
}

/// Direction of a scan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From small keys to large ones.
    Forward,
    /// From large keys to small ones.
    Backward,
}

/// One move of a cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Move {
    /// To the first key.
    First,
    /// To the last key.
    Last,
    /// To the first key not below this one.
    Seek(u16),
    /// To the last key not above this one.
    SeekBack(u16),
    /// To the next key, if on a key.
    Next,
    /// To the previous key, if on a key.
    Prev,
}

/// One step of a workload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// Commits a batch.
    Commit(Vec<Write>, Durability),
    /// Sets the keys of [`run`] in one step, as sorted input; as durable as can be.
    Ingest(u16, u16, Val),
    /// Commits one put if its key is absent or present.
    CommitIf(u16, Val, Expect, Durability),
    /// Begins a transaction and does its reads.
    Begin(Vec<Read>),
    /// Ends a transaction that was begun, chosen by number, with these writes.
    Finish(u8, Vec<Write>, Durability),
    /// Reads one key.
    Get(u16),
    /// Reads a range, at most so many pairs.
    Scan(End, End, Direction, usize),
    /// Counts a range.
    Count(End, End),
    /// Walks a cursor.
    Walk(Vec<Move>),
    /// Keeps a snapshot for later.
    Snapshot,
    /// Compares everything in a kept snapshot, chosen by number.
    CheckSnapshot(u8),
    /// Gives a kept snapshot up.
    DropSnapshot(u8),
    /// Freezes all memtables.
    Freeze,
    /// Runs background jobs, at most so many.
    Jobs(u8),
    /// Runs background jobs until none is due.
    Drain,
    /// Merges what is in memory, and brings the files down to what lives in them.
    Compact,
    /// Makes a backup, while one put is committed; restores it elsewhere, and tries one damage.
    Backup(u16, Val),
    /// Lets so many milliseconds pass and tells the engine.
    Tick(u32),
    /// The clock goes wrong by so many milliseconds and ten seconds, in doubt; then time is set back where it was.
    WrongClock(u32),
    /// Makes everything durable.
    Sync,
    /// Closes in order and opens again.
    Reopen,
    /// The process dies, the machine does not; opens again on what the system holds, durable or not.
    Die,
    /// Loses power and opens again.
    Crash(CrashMode, u64),
    /// Checks all files.
    Check,
}

/// What a campaign wants of its workloads.
#[derive(Clone, Copy, Debug)]
pub struct Profile {
    /// Number of distinct keys.
    pub keys: u16,
    /// Longest value in bytes.
    pub max_value: u32,
    /// Weight of commits.
    pub commits: u32,
    /// Weight of reads of all kinds.
    pub reads: u32,
    /// Weight of snapshots of all kinds.
    pub snapshots: u32,
    /// Weight of transactions' beginnings and ends.
    pub transactions: u32,
    /// Weight of freezes, jobs and ticks.
    pub background: u32,
    /// Weight of orderly reopening and checks.
    pub reopen: u32,
    /// Weight of processes that die within a merge, and of the next ones that go on with it.
    pub broken: u32,
    /// Weight of power losses inside the workload.
    pub crash: u32,
    /// Weight of deleting everything, among the commits, which have about 100.
    pub clears: u32,
    /// Weight of values of more than a thousand bytes, among the values, which have about 27.
    pub large: u32,
    /// Weight of puts that expire, among the writes, which have about 100.
    pub expiring: u32,
}

impl Profile {
    /// For one seed in five the same with puts that expire, and more of the background in which time goes by; with
    /// transactions for one in two, as fewer workloads have these.
    pub fn timed(self, seed: u64) -> Profile {
        let is_timed = match self.transactions {
            0 => (seed >> 40) % 5 == 3,
            _ => (seed >> 44) % 2 == 1,
        };
        if !is_timed {
            return self;
        }
        Profile { expiring: 60, background: self.background + self.background / 2, ..self }
    }

    /// Long runs against a map: everything, reads above all.
    pub const MODEL: Profile = Profile {
        keys: 400,
        max_value: 20_000,
        commits: 400,
        reads: 400,
        snapshots: 60,
        transactions: 0,
        background: 120,
        reopen: 2,
        broken: 0,
        crash: 2,
        clears: 1,
        large: 1,
        expiring: 0,
    };
    /// Short runs of which every moment is a power loss: writes and background work.
    pub const CRASH: Profile = Profile {
        keys: 120,
        max_value: 3_000,
        commits: 500,
        reads: 0,
        snapshots: 80,
        transactions: 0,
        background: 250,
        reopen: 15,
        broken: 0,
        crash: 0,
        clears: 1,
        large: 1,
        expiring: 0,
    };
    /// As [`Profile::CRASH`], with large values and much deleting: files grow, shrink and are cut, and with many an orderly
    /// end and death of the process, within merges above all.
    pub const CHURN: Profile = Profile {
        keys: 60,
        max_value: 40_000,
        background: 350,
        reopen: 60,
        broken: 60,
        clears: 8,
        large: 9,
        ..Profile::CRASH
    };
    /// As [`Profile::CRASH`], with transactions. Few keys, so that they meet.
    pub const TRANSACTIONS: Profile = Profile { keys: 40, transactions: 400, ..Profile::CRASH };
    /// Short runs in which a call fails: reads too, so that a failing read is noticed.
    pub const FAULTS: Profile = Profile {
        keys: 40,
        max_value: 3_000,
        commits: 500,
        reads: 100,
        snapshots: 80,
        transactions: 0,
        background: 250,
        reopen: 15,
        broken: 0,
        crash: 0,
        clears: 1,
        large: 1,
        expiring: 0,
    };
}

/// Workloads of some length. Shrinks by leaving steps out, then by making them simpler.
pub fn workload(profile: Profile, len: Range<usize>) -> BoxedStrategy<Vec<Op>> {
    if profile.broken == 0 {
        return vec(op(profile), len).boxed();
    }
    let others = profile.commits
        + profile.reads
        + profile.snapshots
        + profile.transactions
        + profile.background
        + profile.reopen;
    let step = prop_oneof![others => op(profile).prop_map(|op| vec![op]), profile.broken => broken_merge()];
    vec(step, len).prop_map(|steps| steps.concat()).boxed()
}

/// A process dies within a merge, the next one goes on. The first leaves a meta in the cache that nobody synchronised; the
/// second relies on it, and writes over the other one. No single step leads there, and a power loss between these two is
/// what an open has to be ready for.
fn broken_merge() -> BoxedStrategy<Vec<Op>> {
    let fill = vec(commit(Profile::CRASH), 1..12);
    (fill, 1..5u8, 1..4u8)
        .prop_map(|(mut steps, before, after)| {
            steps.extend([Op::Freeze, Op::Jobs(before), Op::Die, Op::Freeze, Op::Jobs(after)]);
            steps
        })
        .boxed()
}

fn op(p: Profile) -> BoxedStrategy<Op> {
    let choices: Vec<(u32, BoxedStrategy<Op>)> = vec![
        (p.commits, commit(p)),
        (p.reads, read(p)),
        (p.snapshots, snapshot()),
        (p.transactions, transaction(p)),
        (p.background, background(p)),
        (p.reopen, prop_oneof![3 => Just(Op::Reopen), 3 => Just(Op::Die), 2 => Just(Op::Check)].boxed()),
        (p.crash, (crash_mode(), any::<u64>()).prop_map(|(mode, seed)| Op::Crash(mode, seed)).boxed()),
    ];
    let wanted = choices.into_iter().filter(|(weight, _)| *weight > 0).collect();
    proptest::strategy::Union::new_weighted(wanted).boxed()
}

fn commit(p: Profile) -> BoxedStrategy<Op> {
    let several = vec(write(p), 2..9);
    let expect = prop_oneof![Just(Expect::Absent), Just(Expect::Present)];
    prop_oneof![
        60 => (write(p), durability()).prop_map(|(write, level)| Op::Commit(vec![write], level)),
        25 => (several, durability()).prop_map(move |(writes, level)| batch_or_ingestion(p.keys, writes, level)),
        p.clears => durability().prop_map(|level| Op::Commit(vec![Write::DeleteRange(CLEAR, None)], level)),
        10 => (0..p.keys, value(p), expect, durability()).prop_map(|(key, value, expect, level)| Op::CommitIf(key, value, expect, level)),
    ]
    .boxed()
}

/// One batch in about fifty is sorted input instead, of up to forty keys. What is drawn stays as it is: seeds that were kept mean the same.
fn batch_or_ingestion(keys: u16, writes: Vec<Write>, level: Durability) -> Op {
    match writes[..] {
        [Write::Put(first, value), _, _, _, _, _, _, ..] if level == Durability::Sync && value.fill % 4 == 1 => {
            let count = 1 + value.fill / 4 % 40;
            Op::Ingest(first, count.min(keys - first), value)
        }
        _ => Op::Commit(writes, level),
    }
}

fn transaction(p: Profile) -> BoxedStrategy<Op> {
    let finish = (any::<u8>(), vec(write(p), 1..5), durability());
    prop_oneof![
        1 => transactions::begin(p).prop_map(Op::Begin),
        1 => finish.prop_map(|(which, writes, level)| Op::Finish(which, writes, level)),
    ]
    .boxed()
}

/// In a range delete, the smallest key there can be: deletes everything up to the other end.
pub const CLEAR: u16 = u16::MAX;

fn write(p: Profile) -> BoxedStrategy<Write> {
    if p.expiring > 0 {
        // As far as the clock of a long workload goes, and as far as that of a short one.
        let after = prop_oneof![2 => 1..60_000u32, 1 => 1..2_000u32];
        let others = Profile { expiring: 0, ..p };
        return prop_oneof![
            p.expiring => (0..p.keys, value(p), after).prop_map(|(key, value, after)| Write::PutUntil(key, value, after)),
            99 => write(others),
        ]
        .boxed();
    }
    prop_oneof![
        70 => (0..p.keys, value(p)).prop_map(|(key, value)| Write::Put(key, value)),
        25 => (0..p.keys).prop_map(Write::Delete),
        3 => (0..p.keys, 0..p.keys).prop_map(|(from, to)| Write::DeleteRange(from, Some(to))),
        1 => (0..p.keys).prop_map(|from| Write::DeleteRange(from, None)),
    ]
    .boxed()
}

fn value(p: Profile) -> BoxedStrategy<Val> {
    let len = prop_oneof![
        1 => Just(0),
        20 => 1..60u32,
        6 => 60..1_000u32.min(p.max_value),
        p.large => 1_000..p.max_value,
    ];
    (len, any::<u16>()).prop_map(|(len, fill)| Val { len, fill }).boxed()
}

fn durability() -> BoxedStrategy<Durability> {
    prop_oneof![2 => Just(Durability::Sync), 1 => Just(Durability::Buffered), 1 => Just(Durability::Memory)].boxed()
}

fn end(p: Profile) -> BoxedStrategy<End> {
    prop_oneof![
        2 => (0..p.keys).prop_map(End::Included),
        1 => (0..p.keys).prop_map(End::Excluded),
        1 => Just(End::Open),
    ]
    .boxed()
}

fn read(p: Profile) -> BoxedStrategy<Op> {
    let direction = prop_oneof![Just(Direction::Forward), Just(Direction::Backward)];
    let step = prop_oneof![
        1 => Just(Move::First),
        1 => Just(Move::Last),
        3 => (0..p.keys).prop_map(Move::Seek),
        3 => (0..p.keys).prop_map(Move::SeekBack),
        6 => Just(Move::Next),
        6 => Just(Move::Prev),
    ];
    prop_oneof![
        40 => (0..p.keys).prop_map(Op::Get),
        10 => (end(p), end(p), direction, 1..40usize).prop_map(|(from, to, way, limit)| Op::Scan(from, to, way, limit)),
        10 => (end(p), end(p)).prop_map(|(from, to)| Op::Count(from, to)),
        10 => vec(step, 1..12).prop_map(Op::Walk),
    ]
    .boxed()
}

fn snapshot() -> BoxedStrategy<Op> {
    prop_oneof![
        3 => Just(Op::Snapshot),
        2 => any::<u8>().prop_map(Op::CheckSnapshot),
        2 => any::<u8>().prop_map(Op::DropSnapshot),
    ]
    .boxed()
}

fn background(p: Profile) -> BoxedStrategy<Op> {
    prop_oneof![
        2 => Just(Op::Freeze),
        6 => (1..4u8).prop_map(Op::Jobs),
        1 => Just(Op::Drain),
        1 => Just(Op::Compact),
        3 => (1..200u32).prop_map(tick_or_backup),
        1 => (200..20_000u32).prop_map(move |ms| tick_or_wrong_clock(p, ms)),
        1 => Just(Op::Sync),
    ]
    .boxed()
}

/// One short tick in about sixteen is a backup instead. What is drawn stays as it is: seeds that were kept mean the same.
fn tick_or_backup(ms: u32) -> Op {
    let number = (ms / 16) as u16;
    if ms % 16 == 7 { Op::Backup(number, Val { len: ms, fill: number }) } else { Op::Tick(ms) }
}

/// Where anything expires one long tick in four is that of a wrong clock. What is drawn stays as it is.
fn tick_or_wrong_clock(p: Profile, ms: u32) -> Op {
    if p.expiring > 0 && ms % 4 == 3 { Op::WrongClock(ms) } else { Op::Tick(ms) }
}

fn crash_mode() -> BoxedStrategy<CrashMode> {
    proptest::sample::select(super::MODES.to_vec()).boxed()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn keys_are_distinct_and_within_a_quarter_of_the_smallest_page() {
        let keys: HashSet<Vec<u8>> = (0..600).map(key).collect();
        assert_eq!(keys.len(), 600);
        assert!(keys.iter().all(|key| (1..=1000).contains(&key.len())));
    }

    #[test]
    fn sorted_input_rises_has_each_key_once_and_stays_below_the_last_key() {
        let puts = run(3, 30, Val { len: 250, fill: 9 });
        let id = |write: &Write| match *write {
            Write::Put(id, value) if value.len == 50 => id,
            ref other => panic!("{other:?}"),
        };
        assert!(puts.windows(2).all(|pair| key(id(&pair[0])) < key(id(&pair[1]))));
        assert_eq!(puts.iter().map(id).collect::<HashSet<_>>(), (3..33).collect());
        let writes = vec![Write::Put(38, Val { len: 1, fill: 41 }); 7];
        let Op::Ingest(38, count, _) = batch_or_ingestion(40, writes.clone(), Durability::Sync) else {
            panic!("it is")
        };
        assert_eq!(count, 2, "there are no more");
        assert!(matches!(batch_or_ingestion(40, writes, Durability::Memory), Op::Commit(..)));
    }

    #[test]
    fn a_value_that_expires_says_when() {
        let value = Val { len: 13, fill: 7 };
        assert_eq!(expires_at_ms(&until_bytes(value, 1500)), START_MS + 1500);
        assert_eq!(expires_at_ms(&value.bytes()), 0);
        assert_eq!(expires_at_ms(b""), 0);
    }

    #[test]
    fn a_short_value_in_five_is_a_number_and_written_as_such() {
        for len in 1..=MOST_DIGITS {
            for fill in (0..200).step_by(5) {
                let text = String::from_utf8(Val { len, fill }.bytes()).unwrap();
                assert_eq!(text.parse::<i64>().unwrap().to_string(), text);
                assert_eq!(text.len(), len as usize);
            }
        }
        assert!(Val { len: 9, fill: 10 }.bytes() != Val { len: 9, fill: 15 }.bytes());
        assert!(String::from_utf8(Val { len: MOST_DIGITS + 1, fill: 10 }.bytes()).is_err());
    }

    #[test]
    fn values_have_their_length_and_differ_by_fill() {
        assert_eq!(Val { len: 13, fill: 7 }.bytes().len(), 13);
        assert_ne!(Val { len: 13, fill: 7 }.bytes(), Val { len: 13, fill: 8 }.bytes());
        assert_eq!(Val { len: 0, fill: 7 }.bytes(), b"");
    }
}
