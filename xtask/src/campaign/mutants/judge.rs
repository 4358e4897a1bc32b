//! [`run`]: the campaigns against one mutant, in the process made for it.
//!
//! The verdict is one line on the standard output, read by [`super::trial`].

use super::catalogue::{Killer, Mutant};
use super::disk;
use crate::campaign::corrupt::Extent;
use crate::campaign::report::Report;
use crate::campaign::{Aim, Plan, corrupt, crash, faults, model};
use std::fmt;
use std::time::{Duration, Instant};

/// What became of a mutant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// A campaign noticed.
    Killed {
        /// Which one, as a name.
        by: String,
        /// After so many images, faults or damages.
        after: u64,
        /// What it saw, in a few words.
        what: String,
    },
    /// None did, though the fault was come by so often.
    Survived {
        /// How often the planted fault was reached.
        reached: u64,
    },
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Verdict::Killed { by, after, what } => write!(f, "verdict\tkilled\t{by}\t{after}\t{what}"),
            Verdict::Survived { reached } => write!(f, "verdict\tsurvived\t{reached}"),
        }
    }
}

impl Verdict {
    /// Reads the line that [`Verdict`] is shown as.
    pub fn parse(line: &str) -> Option<Verdict> {
        let mut fields = line.strip_prefix("verdict\t")?.split('\t');
        match fields.next()? {
            "killed" => Some(Verdict::Killed {
                by: fields.next()?.to_owned(),
                after: fields.next()?.parse().ok()?,
                what: fields.next()?.to_owned(),
            }),
            "survived" => Some(Verdict::Survived { reached: fields.next()?.parse().ok()? }),
            _ => None,
        }
    }
}

/// Runs the campaigns until one notices or `time` is over. Half of the time belongs to the first.
pub fn run(mutant: &Mutant, seed: u64, time: Duration) -> Verdict {
    disk::choose(mutant.name);
    let started = Instant::now();
    let shares = [50, 70, 90, 100];
    for (killer, share) in mutant.first.and_the_others().into_iter().zip(shares) {
        let left = (time * share / 100).saturating_sub(started.elapsed());
        let plan = Plan { seed, count: u64::MAX, time_s: Some(left.as_secs().max(1)), threads: 1, aim: Aim::Detect };
        let report = campaign(killer, &plan);
        eprintln!("{report}");
        if let Some(failure) = report.failures.first() {
            let what: String = failure.what.lines().next().unwrap_or_default().replace('\t', " ");
            return Verdict::Killed { by: killer.to_string(), after: report.count, what };
        }
    }
    Verdict::Survived { reached: disk::reached() + reached_in_engine() }
}

fn campaign(killer: Killer, plan: &Plan) -> Report {
    match killer {
        Killer::Crash => crash::run(plan, disk::seam),
        Killer::Faults => faults::run(plan),
        Killer::Corrupt => corrupt::run(plan, Extent::Sample),
        Killer::Model => model::run(plan),
    }
}

#[cfg(halodb_mutants)]
fn reached_in_engine() -> u64 {
    halodb::vfs::mutant_reached()
}

/// Without the planted faults there is nothing to reach.
#[cfg(not(halodb_mutants))]
fn reached_in_engine() -> u64 {
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_is_read_as_it_is_written() {
        let killed = Verdict::Killed { by: "crash".into(), after: 7, what: "lost it".into() };
        for verdict in [killed, Verdict::Survived { reached: 3 }] {
            assert_eq!(Verdict::parse(&verdict.to_string()), Some(verdict));
        }
        assert_eq!(Verdict::parse("FAILURE: something"), None);
    }
}
