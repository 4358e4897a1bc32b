//! [`run`]: builds the mutants, lets each be judged in a process of its own, and says who survived.
//!
//! A process of its own, because a hang can only be ended by ending the process, and because the fault is chosen when
//! the process starts. Two processes run at a time on two cores.

use super::catalogue::{self, Mutant};
use super::judge::Verdict;
use crate::campaign::report::{Failure, Report};
use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// What to try.
#[derive(Clone, Debug)]
pub struct Trial {
    /// The campaigns' seed.
    pub seed: u64,
    /// Only mutants whose names contain this.
    pub only: Option<String>,
    /// Only so many mutants, spread over the catalogue and moved by the seed.
    pub sample: Option<usize>,
    /// For each mutant.
    pub time: Duration,
    /// Processes at a time.
    pub processes: usize,
}

/// What became of all.
#[derive(Debug)]
pub struct Outcome {
    rows: Vec<Row>,
    elapsed: Duration,
}

#[derive(Debug)]
struct Row {
    mutant: &'static Mutant,
    verdict: Result<Verdict, String>,
    elapsed: Duration,
}

impl Row {
    /// The control must survive, everything else must die.
    fn is_right(&self) -> bool {
        match &self.verdict {
            Ok(Verdict::Killed { .. }) => self.mutant.name != catalogue::NONE.name,
            Ok(Verdict::Survived { .. }) => self.mutant.name == catalogue::NONE.name,
            Err(_) => false,
        }
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.elapsed.as_secs_f64();
        write!(f, "{:<31} ", self.mutant.name)?;
        match &self.verdict {
            Ok(Verdict::Killed { by, after, what }) => {
                let unit = match by.as_str() {
                    "crash" => "images",
                    "faults" => "faults",
                    "model" => "steps",
                    _ => "damages",
                };
                let short: String = what.chars().take(100).collect();
                write!(f, "killed by {by:<7} after {after:>6} {unit:<7} {seconds:>5.1} s  {short}")
            }
            Ok(Verdict::Survived { reached }) => {
                let mark = if self.is_right() { "survived, as it must" } else { "SURVIVED" };
                write!(f, "{mark:<40} {seconds:>5.1} s  reached {reached} times: {}", self.mutant.what)
            }
            Err(what) => write!(f, "NO VERDICT {seconds:>34.1} s  {what}"),
        }
    }
}

impl Outcome {
    /// Whether the control lived and all others died.
    pub fn is_right(&self) -> bool {
        self.rows.iter().all(Row::is_right)
    }

    /// Mutants tried, without the control.
    pub fn tried(&self) -> usize {
        self.rows.iter().filter(|row| row.mutant.name != catalogue::NONE.name).count()
    }

    /// Those that did not die, and the control if it did.
    pub fn wrong(&self) -> Vec<&'static str> {
        self.rows.iter().filter(|row| !row.is_right()).map(|row| row.mutant.name).collect()
    }

    /// For the ledger: each mutant is a case, and one that is not as it must be is a failure.
    pub fn report(&self, seed: u64) -> Report {
        let failure = |name: &str| Failure {
            what: format!("{name} is not as it must be"),
            reproduce: format!("cargo xtask mutants --seed {seed} --only {name}"),
        };
        Report {
            campaign: "mutants".into(),
            unit: "mutants",
            seed,
            count: self.tried() as u64,
            failures: self.wrong().into_iter().map(failure).collect(),
            elapsed: self.elapsed,
            notes: String::new(),
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let killed =
            self.rows.iter().filter(|row| matches!(row.verdict, Ok(Verdict::Killed { .. })) && row.is_right()).count();
        let control = self.rows.iter().find(|row| row.mutant.name == catalogue::NONE.name);
        let control = match control.map(Row::is_right) {
            Some(true) => "the control survived",
            Some(false) => "THE CONTROL DIED",
            None => "no control",
        };
        write!(f, "mutants: {killed} of {} killed, {control}, {:.0} s", self.tried(), self.elapsed.as_secs_f64())?;
        let wrong = self.wrong();
        if wrong.is_empty() { Ok(()) } else { write!(f, ", wrong: {}", wrong.join(" ")) }
    }
}

/// Builds the program with the faults planted, in a directory of its own below the target directory.
///
/// # Errors
/// A sentence, when cargo cannot be run or fails.
pub fn build(root: &Path) -> Result<PathBuf, String> {
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from).join("mutants");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let flags = std::env::var("RUSTFLAGS").unwrap_or_default();
    let status = Command::new(cargo)
        .current_dir(root)
        .args(["build", "--quiet", "--release", "--package", "xtask"])
        .env("CARGO_TARGET_DIR", &target)
        .env("RUSTFLAGS", format!("{flags} --cfg halodb_mutants"))
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        // Built often and run for minutes: the last few percent of speed are not worth the linking.
        .env("CARGO_PROFILE_RELEASE_LTO", "off")
        .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16")
        .status()
        .map_err(|e| format!("cargo cannot be run: {e}"))?;
    if status.success() { Ok(target.join("release/xtask")) } else { Err(format!("the build failed: {status}")) }
}

/// Lets `program`, from [`build`], judge the mutants; `done` is told of each as it comes.
pub fn run(trial: &Trial, program: &Path, done: &(dyn Fn(String) + Sync)) -> Outcome {
    let started = Instant::now();
    let mutants = chosen(trial);
    let next = AtomicUsize::new(0);
    let rows = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..trial.processes.max(1) {
            scope.spawn(|| {
                while let Some(mutant) = mutants.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let begun = Instant::now();
                    let verdict = judged(trial, program, mutant);
                    let row = Row { mutant, verdict, elapsed: begun.elapsed() };
                    done(row.to_string());
                    rows.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(row);
                }
            });
        }
    });
    let rows = rows.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    Outcome { rows, elapsed: started.elapsed() }
}

/// The control first.
fn chosen(trial: &Trial) -> Vec<&'static Mutant> {
    let wanted = |mutant: &&Mutant| trial.only.as_deref().is_none_or(|only| mutant.name.contains(only));
    let mut mutants: Vec<&Mutant> = catalogue::ALL.iter().filter(wanted).collect();
    if let Some(sample) = trial.sample {
        let stride = mutants.len().div_ceil(sample.max(1)).max(1);
        mutants = mutants.into_iter().skip(trial.seed as usize % stride).step_by(stride).collect();
    }
    mutants.insert(0, &catalogue::NONE);
    mutants
}

/// Beyond its time a process may take this long until the campaign's own watch ends it.
const GRACE: Duration = Duration::from_secs(120);

fn judged(trial: &Trial, program: &Path, mutant: &Mutant) -> Result<Verdict, String> {
    let mut child = Command::new(program)
        .args(["mutant-judge", "--name", mutant.name])
        .args(["--seed", &trial.seed.to_string(), "--time", &trial.time.as_secs().to_string()])
        .env("HALODB_MUTANT", mutant.name)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|e| format!("{} cannot be run: {e}", program.display()))?;
    let (mut out, mut err) = (child.stdout.take(), child.stderr.take());
    let said = std::thread::spawn(move || read(&mut out));
    let complained = std::thread::spawn(move || read(&mut err));
    let until = Instant::now() + trial.time + GRACE;
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break Ok(status),
            Ok(None) if Instant::now() < until => std::thread::sleep(Duration::from_millis(20)),
            Ok(None) => {
                let _ = child.kill();
                let _ = child.wait();
                break Err("it neither ended nor did the campaign's watch end it".to_owned());
            }
            Err(e) => break Err(e.to_string()),
        }
    };
    let (said, complained) = (said.join().unwrap_or_default(), complained.join().unwrap_or_default());
    let status = status?;
    if let Some(verdict) = said.lines().find_map(Verdict::parse) {
        return Ok(verdict);
    }
    // The watch of the campaigns ends the process of a hang with a failure of its own.
    let hang = complained.lines().find(|line| line.contains("FAILURE: no end after"));
    match hang {
        Some(line) => Ok(Verdict::Killed { by: "hang".into(), after: 0, what: line.to_owned() }),
        None => Err(format!("{status}: {}", complained.lines().last().unwrap_or_default())),
    }
}

fn read(stream: &mut Option<impl Read>) -> String {
    let mut bytes = Vec::new();
    if let Some(stream) = stream {
        let _ = stream.read_to_end(&mut bytes);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trial(only: Option<&str>, sample: Option<usize>) -> Trial {
        let time = Duration::from_secs(1);
        Trial { seed: 1, only: only.map(str::to_owned), sample, time, processes: 1 }
    }

    #[test]
    fn the_control_is_always_tried_first() {
        for trial in [trial(None, None), trial(Some("wal."), None), trial(None, Some(5))] {
            assert_eq!(chosen(&trial)[0].name, "none");
        }
        assert_eq!(chosen(&trial(None, None)).len(), catalogue::ALL.len() + 1);
        assert!(chosen(&trial(Some("wal."), None))[1..].iter().all(|m| m.name.starts_with("wal.")));
        assert!((4..=8).contains(&chosen(&trial(None, Some(5))).len()));
    }

    #[test]
    fn a_survivor_makes_the_outcome_wrong() {
        let row = |mutant, verdict| Row { mutant, verdict: Ok(verdict), elapsed: Duration::ZERO };
        let killed = Verdict::Killed { by: "crash".into(), after: 1, what: String::new() };
        let survived = Verdict::Survived { reached: 1 };
        let outcome = |rows| Outcome { rows, elapsed: Duration::ZERO };
        let (control, other) = (&catalogue::NONE, &catalogue::ALL[0]);
        assert!(outcome(vec![row(control, survived.clone()), row(other, killed.clone())]).is_right());
        assert!(!outcome(vec![row(control, survived.clone()), row(other, survived)]).is_right());
        let wrong = outcome(vec![row(control, killed.clone()), row(other, killed)]);
        assert_eq!(wrong.wrong(), ["none"]);
        assert!(wrong.to_string().contains("THE CONTROL DIED"));
    }
}
