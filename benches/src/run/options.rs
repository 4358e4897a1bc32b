//! Command lines of `run` and `worker`: [`RunOptions`], [`WorkerOptions`], and the words in them.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// Number of records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Scale {
    /// 100,000
    #[value(name = "100k")]
    Small,
    /// 1,000,000
    #[value(name = "1m")]
    Medium,
    /// 5,000,000
    #[value(name = "5m")]
    Large,
}

/// Memory for caches and write buffers together, the same for every engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Budget {
    /// HaloDB's default, 256 MiB
    Default,
    /// 4 GiB
    #[value(name = "4gib")]
    Large,
}

impl Scale {
    /// The number.
    pub(crate) fn records(self) -> u64 {
        match self {
            Scale::Small => 100_000,
            Scale::Medium => 1_000_000,
            Scale::Large => 5_000_000,
        }
    }
}

impl Budget {
    /// In bytes.
    pub(crate) fn bytes(self) -> u64 {
        match self {
            Budget::Default => 256 << 20,
            Budget::Large => 4 << 30,
        }
    }
}

/// The word for a value, as it stands on the command line.
pub(crate) fn word<T: ValueEnum>(value: T) -> String {
    value.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
}

/// What to compare, and how often.
#[derive(Args, Clone, Debug)]
pub(crate) struct RunOptions {
    /// All groups, 100,000 records, one round: a few minutes
    #[arg(long, conflicts_with = "full")]
    pub(crate) quick: bool,
    /// All groups, 1,000,000 records, three rounds: hours
    #[arg(long)]
    pub(crate) full: bool,
    /// Groups of rows; `--list` shows them [default: basic, or all with --quick and --full]
    #[arg(long = "group", value_delimiter = ',', value_name = "GROUP")]
    pub(crate) groups: Vec<String>,
    /// Only rows whose name contains one of these; what they build upon runs as well
    #[arg(long, value_delimiter = ',', value_name = "TEXT")]
    pub(crate) rows: Vec<String>,
    /// Only these engines [default: halodb,redb,fjall,lmdb,sled]
    #[arg(long, value_delimiter = ',', value_name = "ENGINE")]
    pub(crate) engines: Vec<String>,
    /// These engines as well: rocksdb, sqlite; they must be built in, which `cargo xtask bench` does
    #[arg(long, value_delimiter = ',', value_name = "ENGINE")]
    pub(crate) compare: Vec<String>,
    /// Number of records [default: 1m, or 100k with --quick]
    #[arg(long, value_enum)]
    pub(crate) scale: Option<Scale>,
    /// Rounds; each runs every engine once, in another order [default: 3, or 1 with --quick]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) rounds: Option<u32>,
    /// Memory for each engine's caches and write buffers
    #[arg(long, value_enum, default_value = "default")]
    pub(crate) budget: Budget,
    /// Seed of keys, values and orders
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// Where databases are made, and removed: choose the disk to measure [default: the build directory]
    #[arg(long)]
    pub(crate) dir: Option<PathBuf>,
    /// Where results are kept
    #[arg(long, default_value = "benches/results")]
    pub(crate) results: PathBuf,
    /// Writes the results of this run into one file as well, a JSON array
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Goes on where a run of the same commit and options was stopped
    #[arg(long)]
    pub(crate) resume: bool,
    /// Seconds after which a row counts as hanging
    #[arg(long, default_value_t = 600, value_name = "SECONDS")]
    pub(crate) row_limit: u64,
    /// A command for the shell before each measured process, for instance one that waits until the machine is idle
    #[arg(long, value_name = "COMMAND")]
    pub(crate) before: Option<String>,
    /// Shows groups and rows, and runs nothing
    #[arg(long)]
    pub(crate) list: bool,
}

impl RunOptions {
    /// The scale, said or implied.
    pub(crate) fn scale(&self) -> Scale {
        self.scale.unwrap_or(if self.quick { Scale::Small } else { Scale::Medium })
    }

    /// The rounds, said or implied.
    pub(crate) fn rounds(&self) -> u32 {
        self.rounds.unwrap_or(if self.quick { 1 } else { 3 })
    }
}

/// One group of one engine in one round. Started by the runner.
#[derive(Args, Clone, Debug)]
pub(crate) struct WorkerOptions {
    #[arg(long)]
    pub(crate) engine: String,
    #[arg(long)]
    pub(crate) group: String,
    #[arg(long, value_enum)]
    pub(crate) scale: Scale,
    #[arg(long, value_enum)]
    pub(crate) budget: Budget,
    #[arg(long)]
    pub(crate) seed: u64,
    #[arg(long)]
    pub(crate) round: u32,
    #[arg(long)]
    pub(crate) dir: PathBuf,
    #[arg(long, value_delimiter = ',')]
    pub(crate) rows: Vec<String>,
}
