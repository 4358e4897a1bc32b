//! The campaigns: runs that try to make the database lose data, each able to fail, each repeatable from its seed.
//!
//! | campaign | question |
//! |---|---|
//! | [`model`] | does it answer as a `BTreeMap` would? |
//! | [`crash`] | is everything there that was promised, whatever a power loss leaves? |
//! | [`faults`] | what if a call fails? |
//! | [`corrupt`] | what if files rot, go back in time, or vanish? |
//! | [`kill`] | what if the process is killed, as a real process on a real disk? |
//! | [`powercut`] | what if the power goes, on a real file system? |
//! | [`isolation`] | what do concurrent threads see of each other? |
//! | [`schedules`] | and under schedules that a model checker chooses? |
//! | [`soak`] | does anything grow? |
//! | [`mutants`] | would any of the others notice if the engine were wrong? |
//!
//! One generator ([`ops`]) feeds them and one oracle ([`oracle`]) judges. [`session`] brings both together with an open
//! database; [`engine`] is what they ask of it. `docs/testing/README.md` tells how to run them and how to read a failure.

pub mod backups;
pub mod config;
pub mod corrupt;
pub mod crash;
mod cursor;
pub mod engine;
pub mod facade;
pub mod faults;
pub mod guard;
pub mod isolation;
pub mod kill;
pub mod lying;
pub mod memory;
pub mod model;
pub mod mortal;
pub mod mutants;
pub mod noting;
pub mod ops;
pub mod oracle;
pub mod powercut;
pub mod report;
pub mod rng;
pub mod schedules;
pub mod session;
pub mod shrink;
pub mod soak;
pub mod transactions;
pub mod tree;

use halodb::vfs::sim::CrashMode;

/// The power losses that the engine promises to survive.
pub const MODES: &[CrashMode] = &[
    CrashMode::Strict,
    CrashMode::Prefix,
    CrashMode::Ordered,
    CrashMode::Random,
    CrashMode::Torn4k,
    CrashMode::Adversarial,
    CrashMode::Kept,
];

/// The name of a mode on the command line.
pub fn mode_name(mode: CrashMode) -> String {
    format!("{mode:?}").to_lowercase()
}

/// The mode of a name.
///
/// # Errors
/// A sentence that lists the names.
pub fn mode_named(name: &str) -> Result<CrashMode, String> {
    let names: Vec<String> = CrashMode::ALL.iter().map(|&mode| mode_name(mode)).collect();
    let all = CrashMode::ALL.iter().copied();
    all.into_iter()
        .find(|&mode| mode_name(mode) == name)
        .ok_or_else(|| format!("there is no mode {name}; the modes are {}", names.join(", ")))
}

/// How much a campaign does.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Where all choices come from.
    pub seed: u64,
    /// How many cases (their unit is the campaign's).
    pub count: u64,
    /// No new case begins after so many seconds.
    pub time_s: Option<u64>,
    /// Threads that work on cases.
    pub threads: usize,
    /// What for.
    pub aim: Aim,
}

/// What a campaign is run for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aim {
    /// To find what is wrong with the engine: failures are made small, and a few are collected.
    Explain,
    /// To see whether anything is wrong: the first failure ends it, as it is, and every run is a function of its seed.
    Detect,
}

impl Plan {
    /// A plan for tests: one thread, no limit of time.
    pub fn small(seed: u64, count: u64) -> Plan {
        Plan { seed, count, time_s: None, threads: 1, aim: Aim::Explain }
    }
}
