//! A short version of the isolation campaign, and the proof that it can fail: each planted flaw must be noticed.

use std::path::Path;
use std::sync::Arc;
use xtask::campaign::config::TINY;
use xtask::campaign::isolation::bank::{self, Guard};
use xtask::campaign::isolation::target::Flaw;
use xtask::campaign::isolation::{self, recorder, serial};
use xtask::campaign::{Plan, engine::Refusal};

/// Runs `attempt` on new databases until it fails; at most 200 times.
fn check_caught(name: &str, attempt: impl Fn(u64, &dyn Fn() -> Result<halodb::Db, Refusal>) -> Result<(), String>) {
    for seed in 0..200 {
        let disk = Arc::new(halodb::vfs::SimVfs::new());
        let open = || Ok(TINY.builder(disk.clone(), Path::new("data"), halodb::partition::Create::IfMissing).open()?);
        if let Err(what) = attempt(seed, &open) {
            assert!(!what.contains("refused"), "{name}: {what}");
            println!("{name}: noticed in history {seed}");
            return;
        }
    }
    panic!("{name} was not noticed");
}

fn check_flaw_caught(flaw: Flaw) {
    check_caught(&format!("{flaw:?}"), |seed, open| recorder::history(seed, flaw, open).map(drop));
}

fn check_transactions_caught(flaw: serial::Flaw) {
    check_caught(&format!("{flaw:?}"), |seed, open| serial::history(seed, flaw, open).map(drop));
}

#[test]
fn threads_see_each_other_as_if_one_went_after_the_other() {
    let report = isolation::run(&Plan::small(15, 12));
    assert_eq!(report.count, 12, "{report}");
    assert!(report.failures.is_empty(), "{report}\n{}", report.failures[0]);
}

#[test]
fn a_batch_that_is_applied_piece_by_piece_is_noticed() {
    check_flaw_caught(Flaw::HalfBatch);
}

#[test]
fn a_condition_that_is_checked_too_early_is_noticed() {
    check_flaw_caught(Flaw::LostUpdate);
}

#[test]
fn a_snapshot_that_follows_the_writers_is_noticed() {
    check_flaw_caught(Flaw::DriftingSnapshot);
}

#[test]
fn a_read_of_an_old_state_is_noticed() {
    check_flaw_caught(Flaw::StaleRead);
}

#[test]
fn transfers_that_nobody_keeps_apart_lose_money() {
    check_caught("an unguarded bank", |seed, open| bank::run(seed, Guard::Nothing, open).map(drop));
}

#[test]
fn transactions_that_forget_a_key_that_they_read_are_noticed() {
    check_transactions_caught(serial::Flaw::ForgetsKeys);
}

#[test]
fn transactions_that_overlook_phantoms_are_noticed() {
    check_transactions_caught(serial::Flaw::ForgetsRanges);
}

#[test]
fn transactions_that_forget_what_was_not_there_are_noticed() {
    check_transactions_caught(serial::Flaw::ForgetsAbsence);
}

#[test]
fn transactions_of_many_threads_could_have_run_one_after_the_other() {
    let (mut committed, mut conflicts) = (0, 0);
    for seed in 0..12 {
        let outcome = isolation::on_a_disk(seed, |open| serial::history(seed, serial::Flaw::None, open));
        let reached = outcome.unwrap_or_else(|what| panic!("history {seed}: {what}"));
        (committed, conflicts) = (committed + reached.committed, conflicts + reached.conflicts);
    }
    println!("{committed} committed, {conflicts} conflicts");
    assert!(committed > 500 && conflicts > 20, "{committed} committed, {conflicts} conflicts: threads hardly met");
}

#[test]
fn transfers_in_transactions_lose_no_money() {
    for seed in 0..3 {
        let outcome = isolation::on_a_disk(seed, |open| bank::run(seed, Guard::Transactions, open));
        outcome.unwrap_or_else(|what| panic!("bank {seed}: {what}"));
    }
}
