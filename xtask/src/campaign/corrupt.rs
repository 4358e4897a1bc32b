//! `corrupt`: one bit of one file turns, a file ends early, blocks are zeroed, exchanged or old; the answer is identical
//! data or a typed error.
//!
//! The victim is a small database with inner pages, overflow values, a free list, several log segments and unmerged
//! records, in both states in which a database is legally found: closed in order, and left by a process that died.
//! For the second one exception is allowed: if the damage hits the group written last, before any marker proved it
//! synchronised, the open may report a dropped tail and go on without it. Where only one of the two metas of a page file is
//! damaged, nothing may be missing and nothing refused.
//!
//! A third victim is open while it is damaged, in pages that were written and not read since: their first reading must notice.

use super::Plan;
use super::config::{self, Setup};
use super::engine::{Answer, Engine, Partitions};
use super::guard::{self, Watch};
use super::ops::{Op, Val, Write};
use super::oracle::Pairs;
use super::report::{Budget, Failure, Report};
use super::rng::{Rng, derive};
use super::session::{self, DIR, Session, Stop, honest};
use halodb::Durability;
use halodb::partition::{Create, Expect};
use halodb::vfs::SimVfs;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The configuration of the victim.
const SETUP: &Setup = &config::TINY;

/// In which state the victim is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Closed in order.
    Closed,
    /// Its process died.
    Died,
    /// It is open.
    Live,
}

impl State {
    const NAMES: [(&str, State); 3] = [("closed", State::Closed), ("died", State::Died), ("live", State::Live)];

    fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(_, state)| *state == self).map_or("", |(name, _)| name)
    }
}

/// What is done to the victim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Damage {
    /// One bit turns.
    Flip(PathBuf, u64),
    /// The file ends after so many bytes.
    Cut(PathBuf, u64),
    /// The block of that number is all zeros; blocks are 4096 bytes in page files, 512 in others.
    Zero(PathBuf, u64),
    /// The block of that number and the next one have changed places.
    Swap(PathBuf, u64),
    /// The block of that number is as it was earlier in the victim's life: a write was lost.
    Stale(PathBuf, u64),
}

/// Makes a damage of a file and a number.
type Make = fn(PathBuf, u64) -> Damage;

impl Damage {
    const KINDS: [(&str, Make); 5] = [
        ("flip", Damage::Flip),
        ("cut", Damage::Cut),
        ("zero", Damage::Zero),
        ("swap", Damage::Swap),
        ("stale", Damage::Stale),
    ];

    /// Whether it is confined to one of the two metas of a page file.
    fn hits_one_meta(&self) -> bool {
        let bytes = match self {
            Damage::Flip(_, bit) => bit / 8,
            Damage::Zero(path, number) => number * block_len(path),
            Damage::Cut(..) | Damage::Swap(..) | Damage::Stale(..) => return false,
        };
        let (Damage::Flip(path, _) | Damage::Zero(path, _)) = self else { return false };
        path.ends_with("tree.db") && bytes < 2 * u64::from(SETUP.page_size)
    }
}

/// Bytes of what is written or lost at a time: pages of the victims, sectors.
fn block_len(path: &Path) -> u64 {
    if path.ends_with("tree.db") { u64::from(SETUP.page_size) } else { 512 }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Damage::Flip(path, bit) => write!(f, "flip:{}:{bit}", path.display()),
            Damage::Cut(path, len) => write!(f, "cut:{}:{len}", path.display()),
            Damage::Zero(path, number) => write!(f, "zero:{}:{number}", path.display()),
            Damage::Swap(path, number) => write!(f, "swap:{}:{number}", path.display()),
            Damage::Stale(path, number) => write!(f, "stale:{}:{number}", path.display()),
        }
    }
}

/// One case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case {
    /// The victim.
    pub state: State,
    /// What is done to it.
    pub damage: Damage,
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.state.name(), self.damage)
    }
}

impl std::str::FromStr for Case {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let usage = || "write it as closed|died|live:flip|cut|zero|swap|stale:PATH:NUMBER".to_owned();
        let (state, rest) = text.split_once(':').ok_or_else(usage)?;
        let (kind, rest) = rest.split_once(':').ok_or_else(usage)?;
        let (path, number) = rest.rsplit_once(':').ok_or_else(usage)?;
        let number = number.parse().map_err(|_| usage())?;
        let (_, state) = State::NAMES.into_iter().find(|(name, _)| *name == state).ok_or_else(usage)?;
        let (_, damage) = Damage::KINDS.into_iter().find(|(name, _)| *name == kind).ok_or_else(usage)?;
        Ok(Case { state, damage: damage(path.into(), number) })
    }
}

/// How many of all possible damages are tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// As many as the plan counts, drawn by its seed.
    Sample,
    /// Every bit of every file.
    Everything,
}

/// Runs the campaign; a case is one damage.
pub fn run(plan: &Plan, extent: Extent) -> Report {
    let made = [State::Closed, State::Died].into_iter().map(Victim::new).collect::<Result<Vec<_>, _>>();
    let (victims, fresh) = match made.and_then(|victims| Ok((victims, LiveVictim::new()?.fresh))) {
        Ok(made) => made,
        Err(what) => {
            return Budget::new(plan).run("corrupt", "damages", &Plan { threads: 1, ..plan.clone() }, |budget| {
                budget.fail(Failure {
                    what: format!("the victim cannot be made: {what}"),
                    reproduce: "cargo xtask corrupt".to_owned(),
                });
            });
        }
    };
    let bits: u64 = victims.iter().map(Victim::bits).sum();
    let plan = &Plan { count: if extent == Extent::Everything { bits } else { plan.count }, ..plan.clone() };
    let mut report = Budget::new(plan).run("corrupt", "damages", plan, |budget| {
        let watch = Watch::new(Duration::from_secs(30));
        while let Some(index) = budget.take() {
            let case = match extent {
                Extent::Everything if index >= bits => break,
                Extent::Everything => numbered(&victims, index),
                Extent::Sample => drawn(&victims, &fresh, &mut Rng::new(derive(plan.seed, index))),
            };
            let reproduce = format!("cargo xtask corrupt --case {case}");
            watch.begin(reproduce.clone());
            let victim = victims.iter().find(|victim| victim.state == case.state);
            let survives = || match victim {
                Some(victim) => victim.survives(&case.damage),
                None => LiveVictim::new()?.survives(&case.damage),
            };
            match guard::caught(survives).unwrap_or_else(Err) {
                Ok(fate) => {
                    budget.note(fate.name());
                    budget.add(1);
                }
                Err(what) => budget.fail(Failure { what: format!("{case}: {what}"), reproduce }),
            }
            watch.end();
        }
    });
    report.notes = format!("{}, of {bits} bits", report.notes);
    report
}

/// Runs one case, as a reproducing command asks for it.
pub fn run_one(plan: &Plan, case: &Case) -> Report {
    Budget::new(plan).run("corrupt", "damages", &Plan { threads: 1, ..plan.clone() }, |budget| {
        let survives = || match case.state {
            State::Live => LiveVictim::new()?.survives(&case.damage),
            state => Victim::new(state)?.survives(&case.damage),
        };
        match guard::caught(survives).unwrap_or_else(Err) {
            Ok(fate) => {
                budget.note(fate.name());
                budget.add(1);
            }
            Err(what) => budget.fail(Failure {
                what: format!("{case}: {what}"),
                reproduce: format!("cargo xtask corrupt --case {case}"),
            }),
        }
    })
}

/// The bit of that number, counting through all files of both victims.
fn numbered(victims: &[Victim], mut index: u64) -> Case {
    for victim in victims {
        if index < victim.bits() {
            let (path, bit) = victim.bit(index);
            return Case { state: victim.state, damage: Damage::Flip(path, bit) };
        }
        index -= victim.bits();
    }
    unreachable!("the index is below the number of bits")
}

/// Mostly flips. Half of the damages spread evenly over all bits, the others over files, whatever their length, and
/// their bytes that are not zero: the log's records and the metas are few bits among many, and those that matter most.
fn drawn(victims: &[Victim], fresh: &[(PathBuf, u64)], rng: &mut Rng) -> Case {
    if rng.below(50) == 0 && !fresh.is_empty() {
        let (path, block) = &fresh[rng.below(fresh.len() as u64) as usize];
        let len = block_len(path) * 8;
        return Case { state: State::Live, damage: Damage::Flip(path.clone(), block * len + rng.below(len)) };
    }
    let victim = &victims[rng.below(victims.len() as u64) as usize];
    let (path, bit) =
        if rng.below(2) == 0 { victim.bit(rng.below(victim.bits())) } else { victim.bit_that_matters(rng) };
    let block = bit / 8 / block_len(&path);
    let damage = match rng.below(20) {
        0 => Damage::Cut(path, bit / 8),
        1 => Damage::Zero(path, block),
        2..=3 => Damage::Swap(path, block),
        4..=5 => Damage::Stale(path, block),
        _ => Damage::Flip(path, bit),
    };
    Case { state: victim.state, damage }
}

/// What became of a victim, all of it allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// The damage hit nothing that matters.
    Identical,
    /// The open was refused with a typed error.
    OpenRefused,
    /// A read was.
    ReadRefused,
    /// The group written last was dropped, and reported.
    Dropped,
}

impl Fate {
    fn name(self) -> &'static str {
        match self {
            Fate::Identical => "identical",
            Fate::OpenRefused => "open refused",
            Fate::ReadRefused => "read refused",
            Fate::Dropped => "tail dropped",
        }
    }
}

/// A small database on a disk, and what it holds.
struct Victim {
    state: State,
    disk: SimVfs,
    /// The disk in the middle of its life.
    earlier: SimVfs,
    files: Vec<(PathBuf, u64)>,
    pairs: Pairs,
    /// The state without the batch written last.
    before_last: Pairs,
}

impl Victim {
    fn new(state: State) -> Result<Victim, String> {
        Self::build(state).map_err(|stop| stop.text())
    }

    fn build(state: State) -> Result<Victim, Stop> {
        let mut session = Session::<Partitions>::create(honest, SETUP)?;
        let put = |key: u16, len: u32| Write::Put(key, Val { len, fill: key });
        // Enough keys for inner pages, some values in overflow pages, and deletes for a free list.
        let mut earlier = session.disk().copy();
        for round in 0..6 {
            if round == 4 {
                earlier = session.disk().copy();
            }
            for part in 0..20 {
                let keys = (0..6).map(|i| part * 6 + i);
                let batch = keys
                    .map(|key| put(key, if key % 40 == 0 { 9_000 } else { 20 + u32::from(round + key) % 50 }))
                    .collect();
                session.step(&Op::Commit(batch, Durability::Sync))?;
                session.step(&Op::Jobs(2))?;
            }
            session.step(&Op::Freeze)?;
            session.step(&Op::Jobs(200))?;
            session.step(&Op::Commit(
                vec![Write::Delete(round * 7), Write::DeleteRange(round * 9, Some(round * 9 + 1))],
                Durability::Sync,
            ))?;
        }
        // Records that only the log has.
        for key in 0..10 {
            session.step(&Op::CommitIf(key, Val { len: 33, fill: 9 }, Expect::Present, Durability::Sync))?;
        }
        session.step(&Op::Commit(vec![put(200, 30)], Durability::Sync))?;
        let before_last = session.expected().clone();
        session.step(&Op::Commit(vec![put(201, 30), Write::Delete(200)], Durability::Sync))?;
        if state == State::Closed {
            session.step(&Op::Reopen)?;
        }
        let pairs = session.expected().clone();
        let disk = match state {
            // Closed again, without anything written since: `close` is part of dropping the reopened engine's work.
            State::Closed => close(session)?,
            State::Died | State::Live => session.disk().copy(),
        };
        let files = disk.files().map_err(|e| Stop::Wrong(e.to_string()))?;
        let files = files.into_iter().filter(|(_, len)| *len > 0).collect();
        Ok(Victim { state, disk, earlier, files, pairs, before_last })
    }

    fn bits(&self) -> u64 {
        self.files.iter().map(|(_, len)| len * 8).sum()
    }

    fn bit(&self, mut index: u64) -> (PathBuf, u64) {
        for (path, len) in &self.files {
            if index < len * 8 {
                return (path.clone(), index);
            }
            index -= len * 8;
        }
        unreachable!("the index is below the number of bits")
    }

    /// A bit of any file, in a byte that is not zero unless that is hard to find.
    fn bit_that_matters(&self, rng: &mut Rng) -> (PathBuf, u64) {
        let (path, len) = &self.files[rng.below(self.files.len() as u64) as usize];
        let bytes = self.disk.read_file(path).unwrap_or_default();
        let matters = |bit: &u64| bytes.get((bit / 8) as usize).is_some_and(|byte| *byte != 0);
        let bit = (0..64).map(|_| rng.below(len * 8)).find(matters);
        (path.clone(), bit.unwrap_or_else(|| rng.below(len * 8)))
    }

    /// Damages a copy and looks at everything in it.
    fn survives(&self, damage: &Damage) -> Result<Fate, String> {
        let fate = self.fate(damage)?;
        let refused = matches!(fate, Fate::OpenRefused | Fate::ReadRefused);
        if refused && damage.hits_one_meta() {
            return Err(format!("{}, though the other meta of the file is good", fate.name()));
        }
        Ok(fate)
    }

    fn fate(&self, damage: &Damage) -> Result<Fate, String> {
        let disk = self.disk.copy();
        let done = match damage {
            Damage::Flip(path, bit) => disk.flip_bit(path, *bit),
            Damage::Cut(path, len) => disk.read_file(path).and_then(|bytes| {
                let kept = bytes.get(..*len as usize).unwrap_or(&bytes);
                disk.write_file(path, kept)
            }),
            Damage::Zero(path, number) => rewrite(&disk, path, *number, |block| block.fill(0)),
            Damage::Swap(path, number) => disk.read_file(path).and_then(|bytes| {
                let (at, len) = ((number * block_len(path)) as usize, block_len(path) as usize);
                let Some(two) = bytes.get(at..at + 2 * len) else { return Ok(()) };
                let swapped = [&bytes[..at], &two[len..], &two[..len], &bytes[at + 2 * len..]].concat();
                disk.write_file(path, &swapped)
            }),
            Damage::Stale(path, number) => {
                let old = self.earlier.read_file(path).unwrap_or_default();
                let old = old.chunks(block_len(path) as usize).nth(*number as usize).unwrap_or_default();
                rewrite(&disk, path, *number, |block| {
                    if block.len() == old.len() {
                        block.copy_from_slice(old);
                    }
                })
            }
        };
        done.map_err(|e| format!("the damage cannot be done: {e}"))?;
        let Ok((engine, opened)) = open(disk) else { return Ok(Fate::OpenRefused) };
        match session::compare_all(&engine.view(), &self.pairs) {
            Ok(()) => Ok(Fate::Identical),
            Err(Stop::Refused(_)) => Ok(Fate::ReadRefused),
            Err(Stop::Wrong(what)) => {
                let exception = self.state == State::Died && opened.dropped.is_some();
                if exception && session::compare_all(&engine.view(), &self.before_last).is_ok() {
                    return Ok(Fate::Dropped);
                }
                let report =
                    opened.dropped.map_or("nothing was reported".to_owned(), |line| format!("reported: {line}"));
                Err(format!("wrong data without an error: {what}; {report}"))
            }
        }
    }
}

/// Changes one block of a file; none if the file ends before it.
fn rewrite(disk: &SimVfs, path: &Path, number: u64, change: impl FnOnce(&mut [u8])) -> std::io::Result<()> {
    let mut bytes = disk.read_file(path)?;
    if let Some(block) = bytes.chunks_mut(block_len(path) as usize).nth(number as usize) {
        change(block);
    }
    disk.write_file(path, &bytes)
}

/// A database that is open, all pages of which were read but those that its last merge wrote.
struct LiveVictim {
    session: Session<Partitions>,
    /// The blocks that the last merge wrote, metas aside.
    fresh: Vec<(PathBuf, u64)>,
}

/// Merges in one piece: a second chunk would read the pages of the first.
const LIVE_SETUP: Setup = Setup { chunk_bytes: 1 << 20, ..config::TINY };

impl LiveVictim {
    fn new() -> Result<LiveVictim, String> {
        Self::build().map_err(|stop| stop.text())
    }

    fn build() -> Result<LiveVictim, Stop> {
        let mut session = Session::<Partitions>::create(honest, &LIVE_SETUP)?;
        let trees = |session: &Session<Partitions>| -> Result<Vec<(PathBuf, Vec<u8>)>, Stop> {
            let disk = session.disk();
            let files = disk.files().map_err(|e| Stop::Wrong(e.to_string()))?;
            let trees = files.into_iter().map(|(path, _)| path).filter(|path| path.ends_with("tree.db"));
            trees
                .map(|path| Ok((path.clone(), disk.read_file(&path).map_err(|e| Stop::Wrong(e.to_string()))?)))
                .collect()
        };
        let mut before = Vec::new();
        for round in 0..6u16 {
            // The pages that are written now were free for a while, and were read before that.
            session.look()?;
            before = trees(&session)?;
            let keys = (0..40).filter(|key| key % 3 == round % 3);
            let batch = keys.map(|key| Write::Put(key, Val { len: 90, fill: round })).collect();
            session.step(&Op::Commit(batch, Durability::Sync))?;
            session.step(&Op::Freeze)?;
            session.step(&Op::Jobs(20))?;
        }
        let mut fresh = Vec::new();
        for ((path, old), (_, new)) in before.iter().zip(trees(&session)?) {
            let len = block_len(path) as usize;
            for (number, block) in new.chunks(len).enumerate().skip(2) {
                if old.chunks(len).nth(number) != Some(block) {
                    fresh.push((path.clone(), number as u64));
                }
            }
        }
        Ok(LiveVictim { session, fresh })
    }

    /// Damages it under way.
    fn survives(mut self, damage: &Damage) -> Result<Fate, String> {
        let Damage::Flip(path, bit) = damage else {
            return Err("an open database is damaged by flips only".to_owned());
        };
        self.session.disk().flip_bit(path, *bit).map_err(|e| format!("the damage cannot be done: {e}"))?;
        match self.session.look() {
            Ok(()) => Ok(Fate::Identical),
            Err(Stop::Refused(_)) => Ok(Fate::ReadRefused),
            Err(Stop::Wrong(what)) => Err(format!("wrong data without an error: {what}")),
        }
    }
}

fn open(disk: SimVfs) -> Answer<(Partitions, super::engine::Opened)> {
    Partitions::open(honest(disk), Path::new(DIR), SETUP, Create::Never)
}

fn close(session: Session<Partitions>) -> Result<SimVfs, Stop> {
    let disk = session.disk().clone();
    let expected = session.expected().clone();
    drop(session);
    let (mut engine, _) = open(disk.clone())?;
    session::compare_all(&engine.view(), &expected)?;
    engine.close()?;
    Ok(disk)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_case_is_written_as_it_is_read() {
        for text in ["closed:flip:data/wal/0000000001.log:17", "died:cut:data/MANIFEST:0", "live:stale:x/tree.db:3"] {
            assert_eq!(text.parse::<Case>().unwrap().to_string(), text);
        }
        assert!("closed:bend:x:1".parse::<Case>().is_err());
    }
}
