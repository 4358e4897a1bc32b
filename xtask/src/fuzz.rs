//! `cargo xtask fuzz`: builds the program of `fuzz/` with coverage, AddressSanitizer and checked arithmetic, and lets
//! libFuzzer drive one target after another; or replays the inputs that are kept, without libFuzzer.
//!
//! The compiler is the stable one; the instrumentation that cargo-fuzz would ask a nightly for is passed as flags. New
//! inputs and findings go below `fuzz/artifacts`, which git does not track; `fuzz/corpus` is only read.

use crate::campaign::Plan;
use crate::campaign::guard;
use crate::campaign::report::{Failure, Report};
use halodb_fuzz::{TARGETS, Target, Verdict};
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Seconds for each target when neither a time nor a number of runs is asked for.
const DEFAULT_TIME_S: u64 = 60;

/// What makes a build of stable Rust fit for libFuzzer.
const FLAGS: &[&str] = &[
    "--cfg=fuzzing",
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "-Ccodegen-units=1",
];

/// What watches memory while a target runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Watched {
    /// AddressSanitizer.
    Sanitizer,
    /// Nothing: several times faster, and all that targets without unsafe code need to be searched for panics, failed checks and hangs.
    /// Allocations are limited by the process's memory only.
    Not,
}

/// Limits under which every input runs: a length from disk that drives an allocation is a finding, and so is a hang.
const LIMITS: &[&str] = &["-rss_limit_mb=512", "-malloc_limit_mb=64", "-timeout=10"];

/// Frames that are remembered of each allocation and release while inputs are looked for: AddressSanitizer never forgets a
/// stack that it has seen, and a parser that calls itself has a new one for each nesting.
const SEARCH_STACK_DEPTH: u32 = 2;
/// And while one input runs, when somebody wants to know where the memory came from.
const INPUT_STACK_DEPTH: u32 = 30;

/// The targets of that name; all of them for `all`.
///
/// # Errors
/// A sentence that lists the names.
pub fn chosen(name: &str) -> Result<Vec<&'static Target>, String> {
    let chosen: Vec<_> = TARGETS.iter().filter(|target| name == "all" || target.name == name).collect();
    if chosen.is_empty() {
        let names: Vec<_> = TARGETS.iter().map(|target| target.name).collect();
        return Err(format!("there is no target {name}; the targets are all, {}", names.join(", ")));
    }
    Ok(chosen)
}

/// The program that libFuzzer drives, built.
#[derive(Debug)]
pub struct Fuzzer {
    root: PathBuf,
    program: PathBuf,
    watched: Watched,
}

impl Fuzzer {
    /// Builds it; that takes minutes the first time.
    ///
    /// # Errors
    /// A sentence. What the compiler has to say goes to standard error.
    pub fn build(root: &Path, watched: Watched) -> Result<Fuzzer, String> {
        let host = host()?;
        let (dir, sanitizer) = match watched {
            Watched::Sanitizer => ("fuzz", Some("-Zsanitizer=address")),
            Watched::Not => ("fuzz-plain", None),
        };
        let dir = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from).join(dir);
        let flags: Vec<&str> = FLAGS.iter().copied().chain(sanitizer).collect();
        let status = Command::new("cargo")
            .args(["build", "--quiet", "--release", "--features", "libfuzzer", "--target", &host])
            .current_dir(root.join("fuzz"))
            .env("CARGO_TARGET_DIR", &dir)
            .env("RUSTC_BOOTSTRAP", "1")
            .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}"))
            .status()
            .map_err(|e| format!("cannot run cargo: {e}"))?;
        if !status.success() {
            return Err("the fuzz targets do not build; they need a C++ compiler for libFuzzer".to_owned());
        }
        Ok(Fuzzer { root: root.to_owned(), program: dir.join(host).join("release/fuzz"), watched })
    }

    /// `stack_depth` frames are remembered of each allocation.
    fn command(&self, target: &Target, stack_depth: u32) -> Command {
        let mut command = Command::new(&self.program);
        command
            .env("HALODB_FUZZ_TARGET", target.name)
            // Freed memory is held back from reuse, long enough for one input, but not so much that it passes for the
            // target's own: every size of allocation has once filled all of it, and the system gets little back.
            .env("ASAN_OPTIONS", format!("quarantine_size_mb=8:malloc_context_size={stack_depth}"))
            .args(LIMITS)
            .current_dir(&self.root);
        command
    }

    /// Lets libFuzzer look for inputs: `plan.count` runs, or `plan.time_s` seconds, or both limits. `count` 0 means no limit.
    ///
    /// # Errors
    /// A sentence if it cannot be run at all.
    pub fn run(&self, target: &Target, plan: &Plan) -> Result<Report, String> {
        let artifacts = self.root.join("fuzz/artifacts");
        let found = artifacts.join("found").join(target.name);
        let kept = self.root.join("fuzz/corpus").join(target.name);
        let log_path = artifacts.join(format!("{}.log", target.name));
        let started = Instant::now();
        let told = |e: io::Error| format!("cannot run {}: {e}", target.name);
        fs::create_dir_all(&found).map_err(told)?;
        let log = File::create(&log_path).map_err(told)?;
        let time_s = plan.time_s.unwrap_or(if plan.count == 0 { DEFAULT_TIME_S } else { 0 });
        let status = self
            .command(target, SEARCH_STACK_DEPTH)
            .arg(&found)
            .arg(&kept)
            .arg(format!("-artifact_prefix={}/{}-", artifacts.display(), target.name))
            .arg(format!("-max_len={}", target.max_len))
            // libFuzzer takes 0 for "choose one yourself".
            .arg(format!("-seed={}", (plan.seed as u32).max(1)))
            .arg(format!("-max_total_time={time_s}"))
            .arg(format!("-runs={}", if plan.count == 0 { -1 } else { plan.count as i64 }))
            .arg("-print_final_stats=1")
            .stdout(Stdio::null())
            .stderr(log)
            .status()
            .map_err(told)?;
        let log = String::from_utf8_lossy(&fs::read(&log_path).map_err(told)?).into_owned();
        let failures = if status.success() { Vec::new() } else { vec![self.failure(target, &log)] };
        Ok(Report {
            campaign: self.campaign(target).into(),
            unit: "runs",
            seed: plan.seed,
            count: runs(&log),
            failures,
            elapsed: started.elapsed(),
            notes: coverage(&log).map_or_else(String::new, |cov| format!("{cov} edges covered")),
        })
    }

    /// Runs that nothing watched are counted apart.
    fn campaign(&self, target: &Target) -> String {
        let apart = if self.watched == Watched::Not { ", without sanitizer" } else { "" };
        format!("fuzz {}{apart}", target.name)
    }

    fn failure(&self, target: &Target, log: &str) -> Failure {
        let told = |line: &&str| line.contains("panicked at") || line.contains("ERROR: ");
        let mut lines = log.lines().skip_while(|line| !told(line));
        let what = [lines.next(), lines.next()].into_iter().flatten().collect::<Vec<_>>().join("\n  ");
        let input = log.lines().find_map(|line| line.split_once("Test unit written to ").map(|(_, path)| path));
        let reproduce = match input {
            Some(path) => {
                let path = Path::new(path.trim());
                let path = path.strip_prefix(&self.root).unwrap_or(path);
                format!("cargo xtask fuzz {} --input {}", target.name, path.display())
            }
            None => format!("cargo xtask fuzz {} (it ended before it ran anything: see fuzz/artifacts)", target.name),
        };
        Failure { what: format!("{}: {what}", target.name), reproduce }
    }

    /// Runs one input under the same limits; everything that is seen goes to standard error.
    ///
    /// # Errors
    /// A sentence if it cannot be run at all.
    pub fn run_input(&self, target: &Target, input: &Path) -> Result<Report, String> {
        let started = Instant::now();
        let reproduce = format!("cargo xtask fuzz {} --input {}", target.name, input.display());
        // The program runs at the root, where the path that was printed begins.
        let status = self
            .command(target, INPUT_STACK_DEPTH)
            .arg(input)
            .status()
            .map_err(|e| format!("cannot run {}: {e}", target.name))?;
        let failure = Failure { what: format!("{}: {}", target.name, input.display()), reproduce };
        Ok(Report {
            campaign: format!("fuzz {}", target.name).into(),
            unit: "runs",
            seed: 0,
            count: 1,
            failures: if status.success() { Vec::new() } else { vec![failure] },
            elapsed: started.elapsed(),
            notes: String::new(),
        })
    }
}

/// The machine's triple: sanitizers want the target named.
fn host() -> Result<String, String> {
    let output =
        Command::new("rustc").arg("-vV").output().map_err(|e| format!("cannot ask rustc for its version: {e}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines()
        .find_map(|line| line.strip_prefix("host: "))
        .map(str::to_owned)
        .ok_or_else(|| "rustc does not name its host".to_owned())
}

/// How often the target ran: from libFuzzer's statistics, or, after a finding, from its last line of progress.
fn runs(log: &str) -> u64 {
    let number = |text: &str| text.split_whitespace().next().and_then(|word| word.parse::<u64>().ok());
    let total = log.lines().find_map(|line| number(line.strip_prefix("stat::number_of_executed_units:")?));
    total.or_else(|| log.lines().rev().find_map(|line| number(line.strip_prefix('#')?))).unwrap_or(0)
}

fn coverage(log: &str) -> Option<u64> {
    log.lines().rev().find_map(|line| line.split_once(" cov: ")?.1.split_whitespace().next()?.parse().ok())
}

/// What several runs come to, as one line.
pub fn total(reports: &[Report], seed: u64) -> Report {
    Report {
        campaign: "fuzz".into(),
        unit: "runs",
        seed,
        count: reports.iter().map(|report| report.count).sum(),
        failures: reports.iter().flat_map(|report| report.failures.clone()).collect(),
        elapsed: reports.iter().map(|report| report.elapsed).sum::<Duration>(),
        notes: format!("{} targets", reports.len()),
    }
}

/// Runs all kept inputs of the targets, in this process and without libFuzzer. A target whose inputs are all accepted, or
/// all refused, fails: such a corpus does not show both sides of a decoder.
pub fn replay(root: &Path, targets: &[&Target]) -> Report {
    let started = Instant::now();
    let mut report = Report {
        campaign: "fuzz replay".into(),
        unit: "inputs",
        seed: 0,
        count: 0,
        failures: Vec::new(),
        elapsed: Duration::ZERO,
        notes: format!("{} targets", targets.len()),
    };
    for target in targets {
        let mut seen = BTreeSet::new();
        for path in inputs(&root.join("fuzz/corpus").join(target.name)) {
            let shown = path.strip_prefix(root).unwrap_or(&path).display().to_string();
            let outcome = fs::read(&path)
                .map_err(|e| format!("cannot read it: {e}"))
                .and_then(|bytes| guard::caught(|| (target.run)(&bytes)));
            match outcome {
                Ok(verdict) => drop(seen.insert(verdict == Verdict::Accepted)),
                Err(what) => report.failures.push(Failure {
                    what: format!("{}: {shown}: {what}", target.name),
                    reproduce: format!("cargo xtask fuzz {} --input {shown}", target.name),
                }),
            }
            report.count += 1;
        }
        if seen.len() != 2 && report.failures.is_empty() {
            report.failures.push(Failure {
                what: format!("{}: its inputs must hold one that is accepted and one that is refused", target.name),
                reproduce: format!("cargo xtask fuzz {} --replay", target.name),
            });
        }
    }
    report.elapsed = started.elapsed();
    report
}

fn inputs(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten();
    let mut paths: Vec<PathBuf> = entries.filter_map(|entry| entry.ok().map(|entry| entry.path())).collect();
    paths.sort();
    paths
}

/// Writes the inputs that the targets themselves make into `fuzz/corpus`: to be done when a format has changed. Returns how many.
///
/// # Errors
/// Those of writing the files.
pub fn write_seeds(root: &Path, targets: &[&Target]) -> io::Result<usize> {
    let mut count = 0;
    for target in targets {
        let dir = root.join("fuzz/corpus").join(target.name);
        fs::create_dir_all(&dir)?;
        for (name, bytes) in (target.seeds)() {
            fs::write(dir.join(name), bytes)?;
            count += 1;
        }
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_runs_are_counted_with_and_without_final_statistics() {
        let log = "#2\tINITED cov: 3 ft: 4\n#77\tNEW    cov: 12 ft: 4\n";
        assert_eq!((runs(log), coverage(log)), (77, Some(12)));
        let log = format!("{log}stat::number_of_executed_units: 105\n");
        assert_eq!(runs(&log), 105);
        assert_eq!((runs(""), coverage("")), (0, None));
    }

    #[test]
    fn a_finding_names_the_place_and_the_command() {
        let fuzzer = Fuzzer { root: "/repo".into(), program: PathBuf::new(), watched: Watched::Sanitizer };
        let log = "#9\tNEW\nthread '<unnamed>' panicked at crates/x.rs:1:2:\nindex out of bounds\n\
                   artifact_prefix='…'; Test unit written to /repo/fuzz/artifacts/bloom-crash-1\n";
        let target = TARGETS.iter().find(|target| target.name == "bloom").expect("a target");
        let failure = fuzzer.failure(target, log);
        assert!(failure.what.contains("crates/x.rs:1:2") && failure.what.contains("index out of bounds"));
        assert_eq!(failure.reproduce, "cargo xtask fuzz bloom --input fuzz/artifacts/bloom-crash-1");
    }

    #[test]
    fn a_target_that_is_not_there_is_answered_with_those_that_are() {
        assert_eq!(chosen("all").map(|all| all.len()), Ok(TARGETS.len()));
        assert_eq!(chosen("bloom").map(|one| one.len()), Ok(1));
        assert!(chosen("blom").is_err_and(|what| what.contains("bloom")));
    }
}
