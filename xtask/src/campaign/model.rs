//! `model`: random operations against a `BTreeMap`, under several configurations; every answer must be the same.

use super::config::Setup;
use super::engine::{Engine, Partitions};
use super::facade::Facade;
use super::guard::{self, Watch};
use super::ops::{self, Op, Profile};
use super::report::{Budget, Failure, Report};
use super::rng::{derive, runner};
use super::session::{Session, honest};
use super::tree::OneTree;
use super::{Plan, shrink};
use proptest::strategy::{Strategy, ValueTree};
use std::time::Duration;

/// Operations of one case.
const STEPS: std::ops::Range<usize> = 800..2_000;

/// One case in so many is run through the facade, whose threads make it slower and its schedule its own.
const FACADE_EVERY: u64 = 8;

/// One case in so many is run through one tree by itself.
const TREE_EVERY: u64 = 8;

/// One case in so many has transactions.
const TRANSACTIONS_EVERY: u64 = 3;

/// At which level a case is driven.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// One tree in a file of its own.
    Tree,
    /// The partitions, step by step.
    Partitions,
    /// The facade with its threads.
    Facade,
}

/// Runs the campaign; what is counted are operations.
pub fn run(plan: &Plan) -> Report {
    Budget::new(plan).run("model", "operations", plan, |budget| {
        let watch = Watch::new(Duration::from_secs(120));
        while let Some(index) = budget.take() {
            let seed = derive(plan.seed, index);
            watch.begin(command(seed));
            match case(seed) {
                Ok(steps) => budget.add(steps),
                Err(failure) => budget.fail(failure),
            }
            watch.end();
        }
    })
}

/// Runs one case, as a reproducing command asks for it.
pub fn run_one(plan: &Plan, case_seed: u64) -> Report {
    Budget::new(plan).run("model", "operations", &Plan { threads: 1, ..plan.clone() }, |budget| match case(case_seed) {
        Ok(steps) => budget.add(steps),
        Err(failure) => budget.fail(failure),
    })
}

fn command(seed: u64) -> String {
    format!("cargo xtask model --case {seed}")
}

fn case(seed: u64) -> Result<u64, Failure> {
    let setup = Setup::number(seed);
    let level = if (seed >> 8).is_multiple_of(FACADE_EVERY) {
        Level::Facade
    } else if (seed >> 16).is_multiple_of(TREE_EVERY) {
        Level::Tree
    } else {
        Level::Partitions
    };
    let transactions = if (seed >> 32) % TRANSACTIONS_EVERY == 1 { 150 } else { 0 };
    let steps = ops::workload(Profile { transactions, ..Profile::MODEL }.timed(seed), STEPS)
        .new_tree(&mut runner(seed))
        .expect("the strategy rejects nothing")
        .current();
    let Err(what) = drive(level, setup, &steps) else { return Ok(steps.len() as u64) };
    let smaller = shrink::smallest(&steps, Duration::from_secs(30), |steps| drive(level, setup, steps).err());
    let smaller = smaller.map(|(steps, what)| format!("\n  smallest found: {steps:?}\n    {what}"));
    Err(Failure {
        what: format!("{level:?}, configuration {}: {what}{}", setup.name, smaller.unwrap_or_default()),
        reproduce: command(seed),
    })
}

/// Runs a workload on a new database and compares every answer.
///
/// # Errors
/// The first difference, and at which step.
pub fn drive(level: Level, setup: &Setup, steps: &[Op]) -> Result<(), String> {
    match level {
        Level::Tree => drive_engine::<OneTree>(setup, steps),
        Level::Partitions => drive_engine::<Partitions>(setup, steps),
        Level::Facade => drive_engine::<Facade>(setup, steps),
    }
}

fn drive_engine<E: Engine>(setup: &Setup, steps: &[Op]) -> Result<(), String> {
    let run = || {
        let mut session = Session::<E>::create(honest, setup).map_err(|stop| format!("creating: {}", stop.text()))?;
        for (number, step) in steps.iter().enumerate() {
            session.step(step).map_err(|stop| format!("step {number}, {step:?}: {}", stop.text()))?;
        }
        session.check().map_err(|stop| format!("at the end: {}", stop.text()))
    };
    guard::caught(run).unwrap_or_else(Err)
}
