//! `corrupt`: files rot, end early, go back in time, change places or vanish; the answer is identical data or a typed error
//! with file and offset.
//!
//! The victim is a small database with inner pages, filters, overflow values, a free list, live, recycled and spare log
//! segments and unmerged records, in both states in which a database is legally found: closed in order, and left by a
//! process that died. For the second, damage to the group written last, which nothing proved synchronised, may give a database
//! without it, if the open reports a dropped tail. And if the *whole* newest segment goes back to an earlier state of itself, the
//! log ends there.
//!
//! Where only one of the two metas of a page file is damaged, nothing may be missing and nothing refused. A third victim is
//! open while a bit turns, in pages that were written and not read since: their first reading must notice.
//!
//! Nothing may panic, hang, or claim more than 64 MiB of memory ([`MOST_MEMORY`]), whatever the bytes say.

mod damage;
mod live;
mod victim;

use super::Plan;
use super::guard::{self, Watch};
use super::memory;
use super::report::{Budget, Failure, Report};
use super::rng::{Rng, derive};
use damage::{Catalogue, SYNTAX};
use live::LiveVictim;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

pub use damage::Damage;
pub use victim::{Fate, Victim};

/// Most memory a case may take, in bytes.
pub const MOST_MEMORY: u64 = 64 << 20;

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
        let usage = || format!("write it as closed|died|live:DAMAGE, the damage as {SYNTAX}");
        let (state, damage) = text.split_once(':').ok_or_else(usage)?;
        let (_, state) = State::NAMES.into_iter().find(|(name, _)| *name == state).ok_or_else(usage)?;
        Ok(Case { state, damage: damage.parse()? })
    }
}

/// How many of all possible damages are tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// As many as the plan counts, drawn by its seed.
    Sample,
    /// Every bit of every file, and every other damage.
    Everything,
}

/// A victim and all that can happen to it.
#[derive(Debug)]
struct Exhibit {
    victim: Victim,
    catalogue: Catalogue,
}

impl Exhibit {
    fn new(state: State) -> Result<Exhibit, String> {
        let victim = Victim::new(state)?;
        let catalogue = Catalogue::new(&victim.disk, &victim.files, &victim.sources)
            .map_err(|e| format!("cannot list damages: {e}"))?;
        Ok(Exhibit { victim, catalogue })
    }

    fn case(&self, damage: Damage) -> Case {
        Case { state: self.victim.state, damage }
    }
}

/// What the cases came to: kind of damage × fate.
#[derive(Debug, Default)]
struct Tally {
    fates: Mutex<BTreeMap<(&'static str, &'static str), u64>>,
    most_memory: AtomicU64,
}

impl Tally {
    /// Runs one case and counts it, or tells of a failure.
    fn run(&self, victim: Option<&Victim>, case: &Case, budget: &Budget) {
        let survives = || match victim {
            Some(victim) => victim.survives(&case.damage),
            None => LiveVictim::new()?.survives(&case.damage),
        };
        let outcome = memory::measured(|| guard::caught(survives).unwrap_or_else(Err));
        let outcome = match outcome {
            (Ok(_), bytes) if bytes > MOST_MEMORY => Err(format!("it took {bytes} bytes of memory")),
            (outcome, bytes) => {
                self.most_memory.fetch_max(bytes, Ordering::Relaxed);
                outcome
            }
        };
        match outcome {
            Ok(fate) => {
                let mut fates = self.fates.lock().unwrap_or_else(PoisonError::into_inner);
                *fates.entry((case.damage.name(), fate.name())).or_default() += 1;
                budget.note(fate.name());
            }
            Err(what) => {
                budget.note("silent or untyped");
                let reproduce = format!("cargo xtask corrupt --case {case}");
                budget.fail(Failure { what: format!("{case}: {what}"), reproduce });
            }
        }
        budget.add(1);
    }

    /// One line for each kind of damage.
    fn print(&self) {
        let fates = self.fates.lock().unwrap_or_else(PoisonError::into_inner);
        let mut lines: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for ((damage, fate), count) in &*fates {
            lines.entry(damage).or_default().push(format!("{fate} {count}"));
        }
        for (damage, counts) in lines {
            println!("  {damage}: {}", counts.join(", "));
        }
    }
}

/// Runs the campaign; a case is one damage.
pub fn run(plan: &Plan, extent: Extent) -> Report {
    let made = || Ok::<_, String>([Exhibit::new(State::Closed)?, Exhibit::new(State::Died)?]);
    let (exhibits, live) = match made().and_then(|made| Ok((made, LiveVictim::new()?.damages()))) {
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
    let closed_files: u64 = exhibits.iter().map(|exhibit| exhibit.catalogue.len()).sum();
    let all = closed_files + live.len() as u64;
    let bits: u64 = exhibits.iter().map(|exhibit| exhibit.catalogue.bits()).sum();
    let plan = &Plan { count: if extent == Extent::Everything { all } else { plan.count }, ..plan.clone() };
    let tally = Tally::default();
    let mut report = Budget::new(plan).run("corrupt", "damages", plan, |budget| {
        let watch = Watch::new(Duration::from_secs(30));
        while let Some(index) = budget.take() {
            let case = match extent {
                Extent::Everything if index >= all => break,
                Extent::Everything => match index.checked_sub(closed_files) {
                    None => numbered(&exhibits, index),
                    Some(index) => Case { state: State::Live, damage: live[index as usize].clone() },
                },
                Extent::Sample => drawn(&exhibits, &live, &mut Rng::new(derive(plan.seed, index))),
            };
            watch.begin(format!("cargo xtask corrupt --case {case}"));
            let exhibit = exhibits.iter().find(|exhibit| exhibit.victim.state == case.state);
            tally.run(exhibit.map(|exhibit| &exhibit.victim), &case, budget);
            watch.end();
        }
    });
    tally.print();
    let most = tally.most_memory.load(Ordering::Relaxed) >> 10;
    report.notes = format!("{}, of {bits} bits and {} other damages, at most {most} KiB", report.notes, all - bits);
    report
}

/// Runs one case, as a reproducing command asks for it.
pub fn run_one(plan: &Plan, case: &Case) -> Report {
    Budget::new(plan).run("corrupt", "damages", &Plan { threads: 1, ..plan.clone() }, |budget| {
        let victim = (case.state != State::Live).then(|| Victim::new(case.state)).transpose();
        match victim {
            Ok(victim) => Tally::default().run(victim.as_ref(), case, budget),
            Err(what) => budget.fail(Failure {
                what: format!("the victim cannot be made: {what}"),
                reproduce: format!("cargo xtask corrupt --case {case}"),
            }),
        }
    })
}

/// The damage of that number, counting through both victims.
fn numbered(exhibits: &[Exhibit; 2], index: u64) -> Case {
    let [closed, died] = exhibits;
    match index.checked_sub(closed.catalogue.len()) {
        None => closed.case(closed.catalogue.damage(index)),
        Some(index) => died.case(died.catalogue.damage(index)),
    }
}

/// Mostly flips. Half of them spread evenly over all bits, the others over files, whatever their length, and their bytes
/// that are not zero: the log's records and the metas are few bits among many, and those that matter most.
fn drawn(exhibits: &[Exhibit; 2], live: &[Damage], rng: &mut Rng) -> Case {
    if rng.below(50) == 0 && !live.is_empty() {
        return Case { state: State::Live, damage: live[rng.below(live.len() as u64) as usize].clone() };
    }
    let exhibit = &exhibits[rng.below(2) as usize];
    let catalogue = &exhibit.catalogue;
    exhibit.case(match rng.below(10) {
        0..=2 => catalogue.other(rng),
        3..=6 => exhibit.victim.bit_that_matters(rng),
        _ => catalogue.damage(rng.below(catalogue.bits())),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_case_is_written_as_it_is_read() {
        for text in ["closed:flip:data/wal/0000000001.log:17", "died:zero:data/MANIFEST:0:512", "live:flip:p:9"] {
            assert_eq!(text.parse::<Case>().unwrap().to_string(), text);
        }
        assert!("lost:flip:x:1".parse::<Case>().is_err());
    }
}
