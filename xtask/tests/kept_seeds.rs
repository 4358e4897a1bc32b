//! Failures that campaigns once printed run again in every `cargo test`: the commands of `kept_seeds.txt`, one a line, through
//! the campaigns themselves. How to keep one is told at the top of that file.

use halodb::vfs::{SimVfs, Vfs};
use std::str::FromStr;
use std::sync::Arc;
use xtask::campaign::lying::{Lie, LyingVfs};
use xtask::campaign::report::Report;
use xtask::campaign::session::{Seam, honest};
use xtask::campaign::{Aim, Plan, corrupt, crash, faults, model};

/// A command that a campaign prints under a failure, if it is one that is a function of its arguments.
#[derive(Debug)]
enum Kept {
    Model(u64),
    Crash(u64, crash::Moment),
    Faults(u64, faults::Strike),
    Corrupt(corrupt::Case),
}

impl FromStr for Kept {
    type Err = String;

    fn from_str(line: &str) -> Result<Self, String> {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["cargo", "xtask", "model", "--case", seed] => Ok(Kept::Model(number(seed)?)),
            ["cargo", "xtask", "crash", "--workload", seed, "--image", moment] => {
                Ok(Kept::Crash(number(seed)?, moment.parse()?))
            }
            ["cargo", "xtask", "faults", "--workload", seed, "--fault", strike] => {
                Ok(Kept::Faults(number(seed)?, strike.parse()?))
            }
            ["cargo", "xtask", "corrupt", "--case", case] => Ok(Kept::Corrupt(case.parse()?)),
            _ => Err("it is no command with one case; campaigns print them under a failure".to_owned()),
        }
    }
}

impl Kept {
    fn run(&self) -> Report {
        let plan = Plan::small(1, 1);
        match self {
            Kept::Model(seed) => model::run_one(&plan, *seed),
            Kept::Crash(seed, moment) => crash::run_one(&plan, *seed, Some(*moment), honest),
            Kept::Faults(seed, strike) => faults::run_one(&plan, *seed, *strike),
            Kept::Corrupt(case) => corrupt::run_one(&plan, case),
        }
    }
}

fn number(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("{text} is no number"))
}

/// The commands, with the numbers of their lines.
fn kept(text: &str) -> Result<Vec<(usize, Kept)>, String> {
    let lines = text.lines().enumerate().map(|(index, line)| (index + 1, line.trim()));
    let commands = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    commands.map(|(at, line)| Ok((at, line.parse().map_err(|e| format!("line {at}, {line}: {e}"))?))).collect()
}

#[test]
fn what_once_failed_stays_mended() {
    let kept = kept(include_str!("kept_seeds.txt")).unwrap();
    assert!(!kept.is_empty());
    for (line, command) in kept {
        let report = command.run();
        assert!(report.failures.is_empty(), "line {line}: {}", report.failures[0]);
        assert!(report.count > 0, "line {line}: {command:?} tried nothing");
    }
}

fn lying(disk: SimVfs, lie: Lie) -> Arc<dyn Vfs> {
    Arc::new(LyingVfs::new(Arc::new(disk), lie))
}

/// A seed stands for its case only as long as the generator draws the same, so the first ones are tried with what was planted
/// when they failed.
#[test]
fn the_cases_of_a_disk_that_lies_still_fail_on_it() {
    let log = |disk| lying(disk, Lie::Contents("wal"));
    let pages = |disk| lying(disk, Lie::Contents("tree.db"));
    let names = |disk| lying(disk, Lie::Names);
    let lies: [(&str, Seam); 4] = [("log", log), ("pages", pages), ("names", names), ("names", names)];
    let kept = kept(include_str!("kept_seeds.txt")).unwrap();
    for ((line, command), (name, lie)) in kept.into_iter().zip(lies) {
        let Kept::Crash(workload, moment) = command else { panic!("line {line} is none of them: {command:?}") };
        let report = crash::run_one(&Plan::small(1, 1), workload, Some(moment), lie);
        assert_eq!(report.failures.len(), 1, "line {line} does not notice that {name} are not synchronised any more");
    }
}

#[test]
fn a_line_that_is_no_command_is_refused_with_its_number() {
    let text = "# a story\n\ncargo xtask crash --workload 7 --image 3:ordered:9\ncargo xtask crash --workload 7\n";
    let error = kept(text).unwrap_err();
    assert!(error.starts_with("line 4, cargo xtask crash --workload 7:"), "{error}");
    let error = kept("cargo xtask crash --workload 7 --image 3:kind:9").unwrap_err();
    assert!(error.contains("adversarial"), "the modes are named: {error}");
}

#[test]
fn a_command_that_a_campaign_prints_finds_the_same_failure_again() {
    fn seam(disk: SimVfs) -> Arc<dyn Vfs> {
        Arc::new(LyingVfs::new(Arc::new(disk), Lie::Contents("wal")))
    }
    let plan = Plan { aim: Aim::Detect, ..Plan::small(1, 2_000) };
    let report = crash::run(&plan, seam);
    let command = &report.failures.first().expect("a log that is never synchronised is noticed").reproduce;
    println!("{command}");
    let Ok(Kept::Crash(workload, moment)) = command.parse() else { panic!("it cannot be kept: {command}") };
    let again = crash::run_one(&plan, workload, Some(moment), seam);
    assert_eq!(again.failures.len(), 1, "{command}");
    let mended = crash::run_one(&plan, workload, Some(moment), honest);
    assert!(mended.failures.is_empty(), "{command}: {}", mended.failures[0]);
}
