//! Processes that a worker starts of its own program: one that is killed while it loads, one that lives under a limit.
//!
//! A child says what it did in lines on its standard output, `WORD NUMBER`. It ends when its standard input ends, so it
//! never outlives the worker, however that dies.

use std::io::{BufRead, BufReader, Lines, Read, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};

use clap::{Args, ValueEnum};

use crate::engine::{self, Durability, Problem, Result, Settings};

use super::record::Records;
use super::target::Target;
use super::{cgroup, negative};

/// What a child does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Task {
    /// Writes durable transactions until it is killed, and says `written N` after each.
    Load,
    /// Looks for absent records and says `rate N`.
    Negative,
}

/// Arguments of the hidden verb `child`.
#[derive(Clone, Debug, Args)]
pub(crate) struct ChildArgs {
    /// What to do
    #[arg(value_enum)]
    task: Task,
    /// Engine to open
    #[arg(long)]
    engine: String,
    /// Directory of the database
    #[arg(long)]
    dir: PathBuf,
    /// Memory for the engine's caches and write buffers
    #[arg(long)]
    budget_bytes: u64,
    /// Seed of the records
    #[arg(long)]
    seed: u64,
    /// Records in the database, or to write at most
    #[arg(long)]
    count: u64,
    /// Bytes of a value
    #[arg(long)]
    value_bytes: usize,
    /// Control group to join first
    #[arg(long)]
    processes: Option<PathBuf>,
}

impl ChildArgs {
    /// A child that writes `count` records at most.
    pub(super) fn load(engine: &str, settings: &Settings, records: &Records, count: u64) -> ChildArgs {
        ChildArgs::new(Task::Load, engine, settings, records, count)
    }

    /// A child that looks for records that are not among `count`, in the control group of `processes`.
    pub(super) fn negative(
        engine: &str,
        settings: &Settings,
        records: &Records,
        count: u64,
        processes: PathBuf,
    ) -> ChildArgs {
        ChildArgs { processes: Some(processes), ..ChildArgs::new(Task::Negative, engine, settings, records, count) }
    }

    fn new(task: Task, engine: &str, settings: &Settings, records: &Records, count: u64) -> ChildArgs {
        ChildArgs {
            task,
            engine: engine.to_owned(),
            dir: settings.dir.clone(),
            budget_bytes: settings.budget_bytes,
            seed: records.seed(),
            count,
            value_bytes: records.value_bytes(),
            processes: None,
        }
    }

    /// Starts the process.
    pub(super) fn start(&self) -> Result<Running> {
        let task = self.task.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default();
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["child", &task, "--engine", &self.engine]).arg("--dir").arg(&self.dir);
        for (name, number) in [
            ("--budget-bytes", self.budget_bytes),
            ("--seed", self.seed),
            ("--count", self.count),
            ("--value-bytes", self.value_bytes as u64),
        ] {
            command.arg(name).arg(number.to_string());
        }
        if let Some(processes) = &self.processes {
            command.arg("--processes").arg(processes);
        }
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let lines = child.stdout.take().map(|out| BufReader::new(out).lines());
        Ok(Running { child, lines })
    }
}

/// A child at work; killed when dropped.
pub(super) struct Running {
    child: Child,
    lines: Option<Lines<BufReader<ChildStdout>>>,
}

impl Running {
    /// The number of the next line that begins with `word`; none when the child has closed its output.
    pub(super) fn next(&mut self, word: &str) -> Result<Option<u64>> {
        for line in self.lines.iter_mut().flatten() {
            let line = line?;
            if let Some(number) = line.strip_prefix(word) {
                return Ok(Some(number.trim().parse()?));
            }
        }
        Ok(None)
    }

    /// Kills the child as the system kills: without a word.
    pub(super) fn kill(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Waits for the child's own end.
    pub(super) fn wait(&mut self) -> Result<ExitStatus> {
        Ok(self.child.wait()?)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The child's side.
///
/// # Errors
///
/// The engine's, and a control group that cannot be joined.
pub(crate) fn run(args: &ChildArgs) -> Result<()> {
    if let Some(processes) = &args.processes {
        cgroup::join(processes)?;
    }
    std::thread::spawn(|| {
        // Nothing is ever sent: this ends when the worker closes the pipe or dies.
        let _ = std::io::stdin().read(&mut [0]);
        std::process::exit(1);
    });
    let settings = Settings { dir: args.dir.clone(), budget_bytes: args.budget_bytes };
    let engine = engine::find(&args.engine).map_err(Problem::Failed)?.open(&settings)?;
    let records = Records::with_values(args.seed, args.value_bytes);
    let target = Target { engine: &*engine, records };
    match args.task {
        Task::Load => load(target, args.count),
        Task::Negative => say("rate", negative::look(target, args.count)? as u64),
    }
}

/// Records of one transaction of `Task::Load`.
pub(super) const LOAD_BATCH: u64 = 1_000;

fn load(target: Target<'_>, count: u64) -> Result<()> {
    for first in (0..count).step_by(LOAD_BATCH as usize) {
        let end = count.min(first + LOAD_BATCH);
        target.load_batch(first..end, Durability::Sync)?;
        say("written", end)?;
    }
    Ok(())
}

fn say(word: &str, number: u64) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{word} {number}")?;
    Ok(out.flush()?)
}
