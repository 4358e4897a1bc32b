//! `corrupt`: one bit of one file turns, or a file ends early; the answer is identical data or a typed error.
//!
//! The victim is a small database with inner pages, overflow values, a free list, several log segments and unmerged
//! records, in both states in which a database is legally found: closed in order, and left by a process that died.
//! For the second one exception is allowed: if the damage hits the group written last, before any marker proved it
//! synchronised, the open may report a dropped tail and go on without it.

use super::Plan;
use super::config::{self, Setup};
use super::engine::{Answer, Engine, Partitions};
use super::guard::{self, Watch};
use super::ops::{Op, Val, Write};
use super::oracle::{self, Pairs};
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
}

/// What is done to the victim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Damage {
    /// One bit turns.
    Flip(PathBuf, u64),
    /// The file ends after so many bytes.
    Cut(PathBuf, u64),
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Damage::Flip(path, bit) => write!(f, "flip:{}:{bit}", path.display()),
            Damage::Cut(path, len) => write!(f, "cut:{}:{len}", path.display()),
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
        let state = if self.state == State::Closed { "closed" } else { "died" };
        write!(f, "{state}:{}", self.damage)
    }
}

impl std::str::FromStr for Case {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let usage = || "write it as closed|died:flip|cut:PATH:NUMBER".to_owned();
        let (state, rest) = text.split_once(':').ok_or_else(usage)?;
        let (kind, rest) = rest.split_once(':').ok_or_else(usage)?;
        let (path, number) = rest.rsplit_once(':').ok_or_else(usage)?;
        let number = number.parse().map_err(|_| usage())?;
        let state = match state {
            "closed" => State::Closed,
            "died" => State::Died,
            _ => return Err(usage()),
        };
        let damage = match kind {
            "flip" => Damage::Flip(path.into(), number),
            "cut" => Damage::Cut(path.into(), number),
            _ => return Err(usage()),
        };
        Ok(Case { state, damage })
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
    let victims = match (Victim::new(State::Closed), Victim::new(State::Died)) {
        (Ok(closed), Ok(died)) => [closed, died],
        (Err(what), _) | (_, Err(what)) => {
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
                Extent::Sample => drawn(&victims, &mut Rng::new(derive(plan.seed, index))),
            };
            let reproduce = format!("cargo xtask corrupt --case {case}");
            watch.begin(reproduce.clone());
            let victim = if case.state == State::Closed { &victims[0] } else { &victims[1] };
            match guard::caught(|| victim.survives(&case.damage)).unwrap_or_else(Err) {
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
        let outcome = Victim::new(case.state)
            .and_then(|victim| guard::caught(|| victim.survives(&case.damage)).unwrap_or_else(Err));
        match outcome {
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

/// Nine flips for each cut.
fn drawn(victims: &[Victim], rng: &mut Rng) -> Case {
    let victim = &victims[rng.below(victims.len() as u64) as usize];
    let (path, bit) = victim.bit(rng.below(victim.bits()));
    let damage = if rng.below(10) == 0 { Damage::Cut(path, bit / 8) } else { Damage::Flip(path, bit) };
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
        for round in 0..6 {
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
            State::Died => session.disk().copy(),
        };
        let files = disk.files().map_err(|e| Stop::Wrong(e.to_string()))?;
        let files = files.into_iter().filter(|(_, len)| *len > 0).collect();
        Ok(Victim { state, disk, files, pairs, before_last })
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

    /// Damages a copy and looks at everything in it.
    fn survives(&self, damage: &Damage) -> Result<Fate, String> {
        let disk = self.disk.copy();
        let done = match damage {
            Damage::Flip(path, bit) => disk.flip_bit(path, *bit),
            Damage::Cut(path, len) => disk.read_file(path).and_then(|bytes| {
                let kept = bytes.get(..*len as usize).unwrap_or(&bytes);
                disk.write_file(path, kept)
            }),
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

fn open(disk: SimVfs) -> Answer<(Partitions, super::engine::Opened)> {
    Partitions::open(honest(disk), Path::new(DIR), SETUP, Create::Never)
}

fn close(session: Session<Partitions>) -> Result<SimVfs, Stop> {
    let disk = session.disk().clone();
    let expected = session.expected().clone();
    drop(session);
    let (mut engine, _) = open(disk.clone())?;
    engine.close()?;
    let found = session::read_all(&engine.view())?;
    if found != expected {
        return Err(Stop::Wrong(oracle::difference(&expected, &found)));
    }
    Ok(disk)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_case_is_written_as_it_is_read() {
        for text in ["closed:flip:data/wal/0000000001.log:17", "died:cut:data/MANIFEST:0"] {
            assert_eq!(text.parse::<Case>().unwrap().to_string(), text);
        }
        assert!("closed:bend:x:1".parse::<Case>().is_err());
    }
}
