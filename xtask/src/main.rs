//! `cargo xtask VERB`: the same verbs on a laptop and in CI. This file only reads the command line.

use clap::{Args, Parser, Subcommand};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use xtask::campaign::report::Report;
use xtask::campaign::{Plan, corrupt, crash, faults, kill, model, report, session};
use xtask::tidy::{self, Sources};

/// The project's verbs.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", version)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Checks the house rules: headers, layers, links, dumps in documents.
    Tidy,
    /// Random operations against a BTreeMap; counts operations.
    Model {
        #[command(flatten)]
        common: Common,
        /// The same as --count.
        #[arg(long, conflicts_with = "count")]
        ops: Option<u64>,
        /// Runs this one case only.
        #[arg(long, value_name = "SEED")]
        case: Option<u64>,
    },
    /// Simulated power losses, three deep; counts images.
    Crash {
        #[command(flatten)]
        common: Common,
        /// Runs this one workload only, all its images.
        #[arg(long, value_name = "SEED")]
        workload: Option<u64>,
        /// Of that workload, only the chain of losses that begins here.
        #[arg(long, value_name = "AT:MODE:SEED", requires = "workload")]
        image: Option<crash::Moment>,
    },
    /// Calls that fail; counts faults.
    Faults {
        #[command(flatten)]
        common: Common,
        /// Runs this one workload only, all its faults.
        #[arg(long, value_name = "SEED")]
        workload: Option<u64>,
        /// Of that workload, only this fault.
        #[arg(long, value_name = "CALL:FAULT:once|sticky", requires = "workload")]
        fault: Option<faults::Strike>,
    },
    /// Bits that turn and files that end early; counts damages.
    Corrupt {
        #[command(flatten)]
        common: Common,
        /// Every bit of every file, instead of a sample.
        #[arg(long, conflicts_with = "count")]
        all: bool,
        /// Runs this one case only.
        #[arg(long, value_name = "closed|died:flip|cut:PATH:NUMBER")]
        case: Option<corrupt::Case>,
    },
    /// Real processes, killed; counts kills.
    Kill {
        #[command(flatten)]
        common: Common,
    },
    /// The process that `kill` kills.
    #[command(hide = true)]
    KillChild {
        #[arg(long)]
        dir: PathBuf,
        #[arg(long)]
        seed: u64,
    },
}

/// What all campaigns take.
#[derive(Debug, Args)]
struct Common {
    /// Where all choices come from.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Number of cases.
    #[arg(long)]
    count: Option<u64>,
    /// Begins no new case after so many seconds.
    #[arg(long, value_name = "SECONDS")]
    time: Option<u64>,
    /// Threads [default: one for each core].
    #[arg(long)]
    threads: Option<usize>,
    /// Appends the totals to docs/testing/ledger.jsonl.
    #[arg(long)]
    record: bool,
}

impl Common {
    fn plan(&self, default_count: u64) -> Plan {
        let cores = || std::thread::available_parallelism().map_or(1, usize::from);
        Plan {
            seed: self.seed,
            count: self.count.unwrap_or(default_count),
            time_s: self.time,
            threads: self.threads.unwrap_or_else(cores),
        }
    }
}

fn main() -> ExitCode {
    match Cli::parse().verb {
        Verb::Tidy => run_tidy(),
        Verb::Model { common, ops, case } => {
            let plan = common.plan(ops.unwrap_or(100_000));
            finish(&common, case.map_or_else(|| model::run(&plan), |case| model::run_one(&plan, case)))
        }
        Verb::Crash { common, workload, image } => {
            let plan = common.plan(2_000);
            let report = match workload {
                Some(workload) => crash::run_one(&plan, workload, image, session::honest),
                None => crash::run(&plan, session::honest),
            };
            finish(&common, report)
        }
        Verb::Faults { common, workload, fault } => {
            let plan = common.plan(1_000);
            let report = match (workload, fault) {
                (Some(workload), Some(strike)) => faults::run_one(&plan, workload, strike),
                (Some(workload), None) => faults::run_workload(&plan, workload),
                _ => faults::run(&plan),
            };
            finish(&common, report)
        }
        Verb::Corrupt { common, all, case } => {
            let extent = if all { corrupt::Extent::Everything } else { corrupt::Extent::Sample };
            let plan = common.plan(5_000);
            finish(&common, case.map_or_else(|| corrupt::run(&plan, extent), |case| corrupt::run_one(&plan, &case)))
        }
        Verb::Kill { common } => match std::env::current_exe() {
            Ok(program) => finish(&common, kill::run(&common.plan(100), &program)),
            Err(e) => fail(&format!("kill: this program cannot find itself: {e}")),
        },
        Verb::KillChild { dir, seed } => {
            kill::serve(&dir, seed).map_or_else(|what| fail(&what), |()| ExitCode::SUCCESS)
        }
    }
}

/// The repository's root: the folder above this package.
fn root() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().unwrap_or(package).to_owned()
}

fn fail(what: &str) -> ExitCode {
    eprintln!("{what}");
    ExitCode::FAILURE
}

/// Records the run if asked to, and closes with its summary.
fn finish(common: &Common, report: Report) -> ExitCode {
    if common.record
        && let Err(e) = report::record(&root(), &report)
    {
        return fail(&format!("cannot write the ledger: {e}"));
    }
    println!("{report}");
    if report.failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn run_tidy() -> ExitCode {
    let sources = match Sources::read(&root()) {
        Ok(sources) => sources,
        Err(e) => return fail(&format!("tidy: {e}")),
    };
    let found = tidy::run(&sources);
    for violation in &found {
        println!("{violation}");
    }
    println!("tidy: {} rules, {} violations", tidy::RULES.len(), found.len());
    if found.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
