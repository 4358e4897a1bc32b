//! Arguments of the commands that look after a database, look into it, or measure.

use clap::{Args, Subcommand};
use std::path::PathBuf;
use std::time::Duration;

/// Arguments of `stats`.
#[derive(Debug, Args)]
pub(crate) struct Stats {
    /// Show again every so many seconds, 1 unless said otherwise, what changed: rates, and their course on a terminal
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "1", value_parser = interval)]
    pub(crate) watch: Option<Duration>,
    /// End after so many intervals
    #[arg(long, value_name = "N", requires = "watch")]
    pub(crate) times: Option<u64>,
}

/// Seconds between two looks.
fn interval(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| format!("{text:?} is no number of seconds"))?;
    match (0.1..=86_400.0).contains(&seconds) {
        true => Ok(Duration::from_secs_f64(seconds)),
        false => Err("it must be from 0.1 to 86400 seconds".into()),
    }
}

/// Arguments of `tree`.
#[derive(Debug, Args)]
pub(crate) struct Tree {
    /// Show this partition only
    #[arg(long, value_name = "N")]
    pub(crate) partition: Option<u32>,
    /// Show N levels from the root
    #[arg(long, value_name = "N")]
    pub(crate) depth: Option<usize>,
}

/// Arguments of `check`.
#[derive(Debug, Args)]
pub(crate) struct Check {
    /// Read the contents of large values too
    #[arg(long)]
    pub(crate) deep: bool,
}

/// Arguments of `doctor`.
#[derive(Debug, Args)]
pub(crate) struct Doctor {
    /// Copy everything readable into a new database in DIR
    #[arg(long, value_name = "DIR")]
    pub(crate) salvage: Option<PathBuf>,
    /// Of a log with holes, use only what comes before the first one
    #[arg(long, requires = "salvage")]
    pub(crate) stop_at_gap: bool,
    /// Set the time by which keys expire back to the machine's, after that was far ahead by mistake
    #[arg(long, conflicts_with = "salvage")]
    pub(crate) turn_back: bool,
    /// Do not ask before --turn-back
    #[arg(long, requires = "turn_back")]
    pub(crate) yes: bool,
}

/// The commands under `inspect`.
#[derive(Debug, Subcommand)]
pub(crate) enum Inspect {
    /// Both metas of each page file, and which one an open relies on
    #[command(after_help = "Example: inspect meta --partition 0")]
    Meta {
        /// Of this partition only
        #[arg(long, value_name = "N")]
        partition: Option<u32>,
    },
    /// One page: header, verdict, who refers to it, what it holds
    #[command(after_help = "Example: inspect page 5\n         inspect page 5 --partition 0 --limit 3 --hex\n\
                            Keys are shown as they are stored, behind the id of their keyspace.")]
    Page(InspectPage),
    /// The files of the log; with --segment one of them and its records
    #[command(after_help = "Example: inspect wal\n         inspect wal --segment 3 --limit 100")]
    Wal(InspectWal),
}

/// Arguments of `inspect page`.
#[derive(Debug, Args)]
pub(crate) struct InspectPage {
    /// Number of the page; `inspect meta` names the root's
    #[arg(value_name = "PAGE")]
    pub(crate) number: u64,
    /// Of this partition's page file
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) partition: u32,
    /// At most N entries, 20 unless said otherwise; all in JSON
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<u64>,
    /// Show the bytes too, each field named
    #[arg(long)]
    pub(crate) hex: bool,
}

/// Arguments of `inspect wal`.
#[derive(Debug, Args)]
pub(crate) struct InspectWal {
    /// Show the records of this segment
    #[arg(long, value_name = "N")]
    pub(crate) segment: Option<u64>,
    /// At most N records, 20 unless said otherwise; all in JSON
    #[arg(long, value_name = "N", requires = "segment")]
    pub(crate) limit: Option<u64>,
}

/// The commands under `config`.
#[derive(Debug, Subcommand)]
pub(crate) enum Config {
    /// Report every mistake in the configuration file
    #[command(after_help = "Example: config check")]
    Check,
    /// Show the values in force
    #[command(after_help = "Example: config show --origin")]
    Show {
        /// Say where each value comes from
        #[arg(long)]
        origin: bool,
    },
    /// Explain one key: meaning, default, unit, cost
    #[command(after_help = "Example: config explain wal.durability")]
    Explain {
        /// SECTION.KEY
        key: String,
    },
    /// Write the annotated example file
    #[command(after_help = "Example: config init new.toml")]
    Init {
        /// A file that does not exist yet, or - for standard output
        #[arg(default_value = "-")]
        path: PathBuf,
    },
}

/// Arguments of `bench`.
#[derive(Debug, Args)]
pub(crate) struct Bench {
    /// Records to write and to read
    #[arg(long, value_name = "N", default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    pub(crate) records: u64,
    /// Bytes of each value; keys have 16
    #[arg(long, value_name = "BYTES", default_value_t = 100, value_parser = clap::value_parser!(u32).range(0..=16 << 20))]
    pub(crate) value_size: u32,
    /// Threads of the rows with several
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=256))]
    pub(crate) threads: u32,
    /// Where the directory is made
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
}

/// Arguments of `completions`.
#[derive(Debug, Args)]
pub(crate) struct Completions {
    pub(crate) shell: clap_complete::Shell,
}

/// Arguments of `generate`.
#[derive(Debug, Args)]
pub(crate) struct Generate {
    /// It is made if it is not there
    pub(crate) dir: PathBuf,
}
