//! `halodb-bench`: HaloDB beside other embedded databases. Run it with `cargo xtask bench`.

use clap::Parser;
use std::process::ExitCode;

mod engine;
mod report;
mod result;

/// HaloDB beside other embedded databases.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask bench", version)]
enum Cli {
    /// Writes docs/benchmarks.md and its plots from the results of one commit.
    Report(report::ReportArgs),
    /// Says how far HaloDB's ratios to its peers agree in two runs.
    Compare(report::CompareArgs),
}

fn main() -> ExitCode {
    let done = match Cli::parse() {
        Cli::Report(args) => report::run(&args),
        Cli::Compare(args) => report::compare(&args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(what) => {
            eprintln!("{what}");
            ExitCode::FAILURE
        }
    }
}
