//! `loom` and `shuttle`: the engine's own code under a model checker that decides which thread goes next.
//!
//! The models are tests of the crates they are about (`tests/loom.rs`, `tests/shuttle.rs`), which are empty unless compiled
//! for the checker. This file compiles them, in a directory of its own below the target directory, runs them, and sums
//! the lines `schedules NAME N` that they print. The same build holds planted faults (`halodb_vfs::mutant`): with each of
//! [`Checker::faults`] in turn its model must fail, or else the model proves nothing.

use super::report::{Failure, Report};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// Which checker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checker {
    /// All schedules of small models, up to a number of preemptions.
    Loom,
    /// Random schedules of a large one.
    Shuttle,
}

/// How much to do.
#[derive(Clone, Debug)]
pub struct Extent {
    /// Where shuttle's schedules come from.
    pub seed: u64,
    /// Schedules of each of shuttle's models.
    pub count: u64,
    /// Preemptions in a schedule of loom's, instead of those that each model names.
    pub preemptions: Option<u64>,
    /// Seconds for each of loom's models.
    pub time_s: Option<u64>,
    /// Models at a time.
    pub threads: usize,
}

/// A fault that only a schedule can show, and the model that must show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// As in the engine's source.
    pub name: &'static str,
    package: &'static str,
    /// The name of a test contains this.
    model: &'static str,
}

const LOOM_FAULTS: &[Fault] = &[
    Fault { name: "wal.wake-first", package: "halodb-wal", model: "settled_and_on_the_disk" },
    Fault { name: "wal.settled-relaxed", package: "halodb-wal", model: "in_place_when_it_is_settled" },
    Fault { name: "wal.publish-before-sync", package: "halodb-wal", model: "readers_of_the_numbers" },
    Fault { name: "memtable.publish-relaxed", package: "halodb-memtable", model: "whole_records_or_none" },
    Fault { name: "memtable.no-second-look", package: "halodb-memtable", model: "sub_tables_split" },
    Fault { name: "partition.capture-late", package: "halodb-partition", model: "after_a_freeze" },
    Fault { name: "partition.validate-visible-only", package: "halodb-partition", model: "read_what_the_other" },
    Fault { name: "partition.layers-late", package: "halodb-partition", model: "large_commit_is_made" },
    Fault { name: "partition.layers-at-once", package: "halodb-partition", model: "large_commit_is_made" },
];

const SHUTTLE_FAULTS: &[Fault] = &[
    Fault { name: "wal.wake-first", package: "halodb-partition", model: "" },
    Fault { name: "partition.snapshot-moves", package: "halodb-partition", model: "" },
    Fault { name: "partition.advance-looks-late", package: "halodb-partition", model: "says_of_the_log" },
    Fault { name: "partition.layers-late", package: "halodb-partition", model: "by_large_commits" },
];

/// Faults that no other campaign can be expected to notice: they need two threads.
pub const ONLY_HERE: &[&str] = &[
    "wal.wake-first",
    "wal.settled-relaxed",
    "memtable.publish-relaxed",
    "memtable.no-second-look",
    "partition.capture-late",
    "partition.validate-visible-only",
    "partition.advance-looks-late",
    "partition.layers-late",
    "partition.layers-at-once",
];

/// A fault must be noticed within this time; a model that hangs has not noticed it.
const FAULT_LIMIT: Duration = Duration::from_secs(120);

impl Checker {
    /// The name of the checker, of its `cfg` and of its test files.
    pub fn name(self) -> &'static str {
        match self {
            Checker::Loom => "loom",
            Checker::Shuttle => "shuttle",
        }
    }

    fn packages(self) -> &'static [&'static str] {
        match self {
            Checker::Loom => &["halodb-wal", "halodb-memtable", "halodb-partition"],
            Checker::Shuttle => &["halodb-partition"],
        }
    }

    /// The planted faults that its models must notice.
    pub fn faults(self) -> &'static [Fault] {
        match self {
            Checker::Loom => LOOM_FAULTS,
            Checker::Shuttle => SHUTTLE_FAULTS,
        }
    }

    /// One command that runs a model again.
    fn reproduce(self, extent: &Extent) -> String {
        match self {
            Checker::Loom => match extent.preemptions {
                Some(bound) => format!("cargo xtask loom --preemptions {bound}"),
                None => "cargo xtask loom".to_owned(),
            },
            Checker::Shuttle => format!("cargo xtask shuttle --seed {} --count {}", extent.seed, extent.count),
        }
    }
}

/// Compiles the models and runs them, without a fault and with each.
///
/// # Errors
/// A sentence, when cargo cannot be run or the models do not compile.
pub fn run(root: &Path, checker: Checker, extent: &Extent) -> Result<Report, String> {
    let programs = build(root, checker)?;
    let started = Instant::now();
    let mut report = Report {
        campaign: checker.name().into(),
        unit: "schedules",
        seed: extent.seed,
        count: 0,
        failures: Vec::new(),
        elapsed: Duration::ZERO,
        notes: String::new(),
    };
    for (package, program) in &programs {
        let output = model(program, extent, None).output().map_err(|e| format!("{package}: cannot be run: {e}"))?;
        let text = text(&output);
        let done: u64 = text.lines().filter_map(schedules).sum();
        report.count += done;
        if !output.status.success() || done == 0 {
            let what = format!("the models of {package} fail ({}):\n{}", output.status, tail(&text));
            report.failures.push(Failure { what, reproduce: checker.reproduce(extent) });
        }
    }
    let mut noticed = 0;
    for fault in checker.faults() {
        let Some((_, program)) = programs.iter().find(|(package, _)| *package == fault.package) else {
            return Err(format!("there is no model for {}", fault.package));
        };
        if is_noticed(program, extent, fault)? {
            noticed += 1;
        } else {
            let what = format!("the planted fault {} is not noticed by {}", fault.name, fault.package);
            report.failures.push(Failure { what, reproduce: checker.reproduce(extent) });
        }
    }
    report.failures.iter().for_each(|failure| eprintln!("{failure}"));
    report.elapsed = started.elapsed();
    report.notes = format!("{noticed} of {} planted faults noticed", checker.faults().len());
    Ok(report)
}

/// The number in a line `schedules NAME N`.
fn schedules(line: &str) -> Option<u64> {
    line.strip_prefix("schedules ")?.rsplit(' ').next()?.parse().ok()
}

fn text(output: &Output) -> String {
    let part = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    part(&output.stdout) + &part(&output.stderr)
}

fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(60)..].join("\n")
}

fn model(program: &Path, extent: &Extent, fault: Option<&Fault>) -> Command {
    let mut command = Command::new(program);
    command.args(["--nocapture", "--test-threads", &extent.threads.to_string()]);
    command.env("SHUTTLE_SEED", extent.seed.to_string()).env("SHUTTLE_COUNT", extent.count.to_string());
    command.env("SHUTTLE_SILENCE_WARNINGS", "1").env_remove("HALODB_MUTANT");
    if let Some(fault) = fault {
        command.env("HALODB_MUTANT", fault.name).arg(fault.model);
    }
    if let Some(bound) = extent.preemptions {
        command.env("LOOM_MAX_PREEMPTIONS", bound.to_string());
    }
    if let Some(seconds) = extent.time_s {
        command.env("LOOM_MAX_DURATION", seconds.to_string());
    }
    command
}

/// Whether a model fails, as it must with a planted fault.
fn is_noticed(program: &Path, extent: &Extent, fault: &Fault) -> Result<bool, String> {
    let mut command = model(program, extent, Some(fault));
    let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    let mut child = Ended(child.map_err(|e| format!("{}: cannot be run: {e}", program.display()))?);
    let started = Instant::now();
    while started.elapsed() < FAULT_LIMIT {
        match child.0.try_wait() {
            Ok(Some(status)) => return Ok(!status.success()),
            Ok(None) => std::thread::sleep(Duration::from_millis(20)),
            Err(e) => return Err(format!("cannot wait for {}: {e}", program.display())),
        }
    }
    Ok(false)
}

/// A process that does not outlive this one's interest in it.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Compiles the models of all packages; where their programs are.
fn build(root: &Path, checker: Checker) -> Result<Vec<(&'static str, PathBuf)>, String> {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let flags = std::env::var("RUSTFLAGS").unwrap_or_default();
    let build = |package: &&'static str| {
        let output = Command::new(&cargo)
            .current_dir(root)
            .args(["test", "--release", "--no-run", "--package", package, "--test", checker.name()])
            .env("CARGO_TARGET_DIR", target.join(checker.name()))
            .env("RUSTFLAGS", format!("{flags} --cfg {} --cfg halodb_mutants", checker.name()))
            .env_remove("CARGO_ENCODED_RUSTFLAGS")
            .env("CARGO_TERM_COLOR", "never")
            // Built often and run for minutes: the last few percent of speed are not worth the linking.
            .env("CARGO_PROFILE_RELEASE_LTO", "off")
            .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16")
            .output()
            .map_err(|e| format!("cargo cannot be run: {e}"))?;
        let text = text(&output);
        if !output.status.success() {
            return Err(format!("the models of {package} do not compile:\n{}", tail(&text)));
        }
        let program = text.lines().find_map(executable).ok_or("cargo does not say where it put the models")?;
        Ok((*package, root.join(program)))
    };
    checker.packages().iter().map(build).collect()
}

/// The path in cargo's line `Executable tests/loom.rs (PATH)`.
fn executable(line: &str) -> Option<PathBuf> {
    let rest = line.trim().strip_prefix("Executable ")?;
    Some(PathBuf::from(rest.split_once('(')?.1.strip_suffix(')')?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedules_are_counted_from_what_the_models_print() {
        assert_eq!(schedules("schedules wal::sync 3107"), Some(3107));
        assert_eq!(schedules("test a ... ok"), None);
    }

    #[test]
    fn the_program_is_where_cargo_says() {
        let line = "  Executable tests/loom.rs (/t (1)/release/deps/loom-12ab)";
        assert_eq!(executable(line), Some(PathBuf::from("/t (1)/release/deps/loom-12ab")));
        assert_eq!(executable("    Finished `release` profile"), None);
    }

    #[test]
    fn what_is_only_noticed_here_is_noticed_here() {
        let faults: Vec<&str> = LOOM_FAULTS.iter().chain(SHUTTLE_FAULTS).map(|fault| fault.name).collect();
        assert!(ONLY_HERE.iter().all(|name| faults.contains(name)));
    }
}
