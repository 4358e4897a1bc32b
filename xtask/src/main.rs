//! `cargo xtask VERB`: the same verbs on a laptop and in CI. This file only reads the command line.

use clap::{Args, Parser, Subcommand};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;
use xtask::bench;
use xtask::campaign::mutants::trial::{self, Trial};
use xtask::campaign::mutants::{catalogue, judge};
use xtask::campaign::powercut::{self, FileSystems, NotRun};
use xtask::campaign::report::Report;
use xtask::campaign::schedules::{Checker, Extent};
use xtask::campaign::{
    Aim, Plan, corrupt, crash, faults, isolation, kill, model, mortal, report, schedules, session, soak,
};
use xtask::dist;
use xtask::fuzz::{self, Fuzzer, Watched};
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
    /// Files that rot, end early, go back in time or vanish; counts damages.
    Corrupt {
        #[command(flatten)]
        common: Common,
        /// Every bit of every file and every other damage, instead of a sample.
        #[arg(long, conflicts_with = "count")]
        all: bool,
        /// Runs this one case only.
        #[arg(long, value_name = "closed|died:DAMAGE")]
        case: Option<corrupt::Case>,
    },
    /// Real processes, killed; counts kills.
    Kill {
        #[command(flatten)]
        common: Common,
    },
    /// Real power cuts on mounted images, as root; counts cuts.
    Powercut {
        #[command(flatten)]
        common: Common,
        /// On which file system.
        #[arg(long, default_value = "all", value_name = "ext4|ext4-writeback|ext4-journal|xfs|all")]
        fs: FileSystems,
    },
    /// Looks for bytes that a decoder cannot bear; counts runs.
    Fuzz {
        /// A target of fuzz/, or all of them, one after another.
        #[arg(default_value = "all")]
        target: String,
        /// Runs this one input only, as after a finding.
        #[arg(long, value_name = "FILE")]
        input: Option<PathBuf>,
        /// Runs the inputs in fuzz/corpus only, without libFuzzer.
        #[arg(long, conflicts_with = "input")]
        replay: bool,
        /// Writes the inputs that the targets make themselves into fuzz/corpus.
        #[arg(long, conflicts_with_all = ["input", "replay"])]
        write_seeds: bool,
        /// Without AddressSanitizer: several times faster, and enough where no code is unsafe. Counted apart.
        #[arg(long)]
        without_sanitizer: bool,
        #[command(flatten)]
        common: Common,
    },
    /// Concurrent histories, checked for linearizability, and bank transfers; counts histories.
    Isolation {
        #[command(flatten)]
        common: Common,
        /// Runs the history of this seed only, --count times.
        #[arg(long, value_name = "SEED")]
        history: Option<u64>,
    },
    /// Models of the engine under every schedule; counts schedules. --time is for each model.
    Loom {
        #[command(flatten)]
        common: Common,
        /// Preemptions in a schedule [default: what each model names].
        #[arg(long)]
        preemptions: Option<u64>,
    },
    /// The engine under random schedules, --count of them.
    Shuttle {
        #[command(flatten)]
        common: Common,
    },
    /// Mixed load for --time seconds, 60 unless said otherwise: is anything wrong, does anything grow? Counts operations.
    Soak {
        #[command(flatten)]
        common: Common,
    },
    /// Engines with a planted fault each: would the campaigns notice? Counts mutants.
    Mutants {
        /// The campaigns' seed.
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// Seconds for each mutant.
        #[arg(long, value_name = "SECONDS", default_value_t = 120)]
        time: u64,
        /// Only mutants whose names contain this.
        #[arg(long, value_name = "NAME")]
        only: Option<String>,
        /// Only so many of them.
        #[arg(long, value_name = "COUNT")]
        sample: Option<usize>,
        /// Shows their names and what each does, and runs nothing.
        #[arg(long)]
        list: bool,
        /// Processes at a time [default: one for each core].
        #[arg(long)]
        threads: Option<usize>,
        /// Appends the totals to docs/testing/ledger.jsonl.
        #[arg(long)]
        record: bool,
    },
    /// HaloDB beside its peers: builds the comparison of benches/ and runs it with these arguments; --help lists them.
    #[command(disable_help_flag = true)]
    Bench {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGUMENTS")]
        args: Vec<OsString>,
    },
    /// The program as it is shipped, with man pages and completions beside it.
    Dist {
        /// Where it is put together [default: dist in the target directory].
        #[arg(long, value_name = "DIR")]
        out: Option<PathBuf>,
    },
    /// The process that judges one mutant; only in the build with planted faults.
    #[command(hide = true)]
    MutantJudge {
        #[arg(long)]
        name: String,
        #[arg(long)]
        seed: u64,
        #[arg(long)]
        time: u64,
    },
    /// The process that `kill` and `powercut` strike.
    #[command(hide = true)]
    Mortal(mortal::Orders),
    /// The process that cleans up after `powercut`.
    #[command(hide = true)]
    PowercutJanitor { path: PathBuf },
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
        Plan {
            seed: self.seed,
            count: self.count.unwrap_or(default_count),
            time_s: self.time,
            threads: self.threads.unwrap_or_else(cores),
            aim: Aim::Explain,
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
        Verb::Powercut { common, fs } => run_powercut(&common, &fs),
        Verb::Mortal(orders) => mortal::serve(&orders).map_or_else(|what| fail(&what), |()| ExitCode::SUCCESS),
        Verb::PowercutJanitor { path } => {
            powercut::janitor(&path).map_or_else(|what| fail(&what), |()| ExitCode::SUCCESS)
        }
        Verb::Fuzz { target, input, replay, write_seeds, without_sanitizer, common } => {
            let watched = if without_sanitizer { Watched::Not } else { Watched::Sanitizer };
            let what = match (input, replay, write_seeds) {
                (Some(input), _, _) => Fuzzing::Input(input),
                (None, true, _) => Fuzzing::Replay,
                (None, false, true) => Fuzzing::WriteSeeds,
                _ => Fuzzing::Search,
            };
            run_fuzz(&target, &what, watched, &common).unwrap_or_else(|what| fail(&format!("fuzz: {what}")))
        }
        Verb::Isolation { common, history } => {
            let plan = common.plan(50);
            finish(&common, history.map_or_else(|| isolation::run(&plan), |seed| isolation::run_one(&plan, seed)))
        }
        Verb::Loom { common, preemptions } => run_schedules(&common, Checker::Loom, preemptions),
        Verb::Shuttle { common } => run_schedules(&common, Checker::Shuttle, None),
        Verb::Soak { common } => finish(&common, soak::run(&common.plan(u64::MAX))),
        Verb::Mutants { list: true, .. } => {
            catalogue::ALL.iter().for_each(|mutant| println!("{:<31} {}", mutant.name, mutant.what));
            println!("mutants: {} of them", catalogue::ALL.len());
            ExitCode::SUCCESS
        }
        Verb::Mutants { seed, time, only, sample, threads, record, .. } => {
            let processes = threads.unwrap_or_else(cores);
            run_mutants(&Trial { seed, only, sample, time: Duration::from_secs(time), processes }, record)
        }
        Verb::Bench { args } => {
            bench::run(&root(), &args).map_or_else(|what| fail(&format!("bench: {what}")), |never| match never {})
        }
        Verb::Dist { out } => run_dist(out),
        Verb::MutantJudge { name, seed, time } => match catalogue::named(&name) {
            Some(mutant) => {
                println!("{}", judge::run(mutant, seed, Duration::from_secs(time)));
                ExitCode::SUCCESS
            }
            None => fail(&format!("there is no mutant {name}; see cargo xtask mutants --list")),
        },
    }
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn run_mutants(trial: &Trial, record: bool) -> ExitCode {
    let program = match trial::build(&root()) {
        Ok(program) => program,
        Err(e) => return fail(&format!("mutants: {e}")),
    };
    let outcome = trial::run(trial, &program, &|line| println!("{line}"));
    if record && let Err(e) = report::record(&root(), &outcome.report(trial.seed)) {
        return fail(&format!("cannot write the ledger: {e}"));
    }
    println!("{outcome}");
    if outcome.is_right() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
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

/// On one file system after the other; a report for each, because the ledger counts them apart.
fn run_powercut(common: &Common, FileSystems(list): &FileSystems) -> ExitCode {
    let program = match std::env::current_exe() {
        Ok(program) => program,
        Err(e) => return fail(&format!("powercut: this program cannot find itself: {e}")),
    };
    let mut code = ExitCode::SUCCESS;
    for &fs in list {
        let one = match powercut::run(&common.plan(60), &program, fs) {
            Ok(report) => finish(common, report),
            Err(NotRun::Skipped(what)) => {
                println!("powercut {}: SKIPPED: {what}", fs.name());
                ExitCode::SUCCESS
            }
            Err(NotRun::Failed(what)) => fail(&format!("powercut {}: {what}", fs.name())),
        };
        if one != ExitCode::SUCCESS {
            code = one;
        }
    }
    code
}

/// What `fuzz` is asked for.
enum Fuzzing {
    Search,
    Input(PathBuf),
    Replay,
    WriteSeeds,
}

fn run_fuzz(target: &str, what: &Fuzzing, watched: Watched, common: &Common) -> Result<ExitCode, String> {
    let targets = fuzz::chosen(target)?;
    let reports = match what {
        Fuzzing::Replay => vec![fuzz::replay(&root(), &targets)],
        Fuzzing::WriteSeeds => {
            let count = fuzz::write_seeds(&root(), &targets).map_err(|e| format!("cannot write the inputs: {e}"))?;
            println!("fuzz: {count} inputs written to fuzz/corpus");
            return Ok(ExitCode::SUCCESS);
        }
        Fuzzing::Input(_) if targets.len() != 1 => return Err("an input belongs to one target: name it".to_owned()),
        Fuzzing::Input(input) => vec![Fuzzer::build(&root(), watched)?.run_input(targets[0], input)?],
        Fuzzing::Search => {
            let fuzzer = Fuzzer::build(&root(), watched)?;
            // Without a number of runs the time is the limit.
            let plan = common.plan(0);
            let mut reports = Vec::new();
            for target in targets {
                let report = fuzzer.run(target, &plan)?;
                println!("{report}");
                report.failures.iter().for_each(|failure| eprintln!("{failure}"));
                if common.record {
                    report::record(&root(), &report).map_err(|e| format!("cannot write the ledger: {e}"))?;
                }
                reports.push(report);
            }
            println!("{}", fuzz::total(&reports, common.seed));
            let failed = reports.iter().any(|report| !report.failures.is_empty());
            return Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS });
        }
    };
    for report in &reports {
        report.failures.iter().for_each(|failure| eprintln!("{failure}"));
        println!("{report}");
    }
    let failed = reports.iter().any(|report| !report.failures.is_empty());
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Compiles and runs models, and closes with their summary.
fn run_schedules(common: &Common, checker: Checker, preemptions: Option<u64>) -> ExitCode {
    let plan = common.plan(2_000);
    let Plan { seed, count, time_s, threads, .. } = plan;
    match schedules::run(&root(), checker, &Extent { seed, count, preemptions, time_s, threads }) {
        Ok(report) => finish(common, report),
        Err(e) => fail(&format!("{}: {e}", checker.name())),
    }
}

fn run_dist(out: Option<PathBuf>) -> ExitCode {
    let target = || std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    match dist::run(&root(), &out.unwrap_or_else(|| target().join("dist"))) {
        Ok(made) => {
            made.iter().for_each(|path| println!("{}", path.display()));
            ExitCode::SUCCESS
        }
        Err(what) => fail(&format!("dist: {what}")),
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_argument_of_bench_is_passed_on_as_it_was_typed() {
        for given in [&["--quick", "--help"][..], &["report", "--out", "x"], &["--rows", "-x", "--", "--seed=3"], &[]] {
            let typed = ["xtask", "bench"].iter().chain(given);
            let Ok(Cli { verb: Verb::Bench { args } }) = Cli::try_parse_from(typed) else {
                panic!("refused: {given:?}")
            };
            assert_eq!(args, given);
        }
    }
}
