//! `halodb-bench`: HaloDB beside other embedded databases. `cargo xtask bench` builds and runs it.
//!
//! `run` compares: it starts a `worker` process for each engine, group and round, and keeps what they report in result
//! files. `engine/` adapts the engines, `rows/` and `mixed/` hold what is measured, `run/` the processes, `result.rs` the
//! files, `report/` what is made of them.

mod data;
mod engine;
mod mixed;
mod report;
mod result;
mod rows;
mod run;
mod text;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use run::{RunOptions, Stop, WorkerOptions};

/// Measures HaloDB beside other embedded databases
#[derive(Parser)]
#[command(name = "halodb-bench", bin_name = "cargo xtask bench", args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    verb: Option<Verb>,
    #[command(flatten)]
    run: RunOptions,
}

#[derive(Subcommand)]
enum Verb {
    /// Compares, the default
    Run(RunOptions),
    /// One engine, one group, one round; started by `run`
    #[command(hide = true)]
    Worker(WorkerOptions),
    /// One part of a row that needs a process of its own; started by a worker
    #[command(hide = true)]
    Child(mixed::ChildArgs),
    /// Writes docs/benchmarks.md and its plots from the results of one commit
    Report(report::ReportArgs),
    /// Says how far HaloDB's ratios to its peers agree in two runs
    Compare(report::CompareArgs),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    match cli.verb {
        Some(Verb::Worker(options)) => finish(run::work(&options)),
        Some(Verb::Child(args)) => finish(mixed::run_child(&args).map_err(|problem| problem.to_string())),
        Some(Verb::Run(options)) => compare(&options),
        Some(Verb::Report(args)) => finish(report::run(&args)),
        Some(Verb::Compare(args)) => finish(report::compare(&args)),
        None => compare(&cli.run),
    }
}

/// 0: every row has an answer. 1: one failed. 2: it could not run. 130: Ctrl-C.
fn compare(options: &RunOptions) -> ExitCode {
    match run::drive(options) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(Stop::Interrupted) => {
            eprintln!("interrupted; --resume goes on with what is not done");
            ExitCode::from(130)
        }
        Err(Stop::Failed(why)) => finish(Err(why)),
    }
}

fn finish(result: Result<(), String>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::from(2)
        }
    }
}
