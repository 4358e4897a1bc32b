//! The result file: one JSON object for a group, a scale and a budget, as `benches/results/` keeps it.
//!
//! ```text
//! { version, commit, dirty, date, command, machine { cpu, cores, memory_bytes, kernel, os, file_system },
//!   group, scale, budget, rounds, seed, engines [ { name, version, settings [..] } ],
//!   floor_us { before [..], after [..] },
//!   rows [ { name, unit, better, bound, cells { ENGINE: { values [..] } | { not_yet } | { failed } | { skipped } } } ],
//!   done [ [ round, ENGINE ] ],
//!   curves [ { row, engine, round, per_second [..], latency_us [[percentile, us], ..] } ] }
//! ```
//!
//! Values are in the order of rounds. It is written by the runner after every round and read by it (to resume) and by
//! the report. What is *not* here: how a value came about, and how it is shown.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

/// The version of the format that this program writes and reads.
pub(crate) const VERSION: u32 = 1;

/// A result file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct ResultFile {
    /// [`VERSION`].
    pub(crate) version: u32,
    /// Commit of the source that was measured, in full; "unknown" outside a repository.
    pub(crate) commit: String,
    /// Whether the source differed from that commit.
    pub(crate) dirty: bool,
    /// Beginning of the run, UTC, as `2026-11-21T11:22:33Z`.
    pub(crate) date: String,
    /// What was typed.
    pub(crate) command: String,
    /// Where it ran.
    pub(crate) machine: Machine,
    /// Name of the group of rows.
    pub(crate) group: String,
    /// `100k`, `1m` or `5m`.
    pub(crate) scale: String,
    /// `default` (256 MiB) or `4gib`.
    pub(crate) budget: String,
    /// Rounds that were asked for; cells have fewer values while the run goes on.
    pub(crate) rounds: u32,
    /// Seed of keys, values and orders.
    pub(crate) seed: u64,
    /// The engines, in the order of the columns.
    pub(crate) engines: Vec<EngineInfo>,
    /// Microseconds of one `fdatasync` of a 200-byte overwrite, beside the durable rows.
    pub(crate) floor_us: Floor,
    /// The rows, in the order they run.
    pub(crate) rows: Vec<Row>,
    /// What was run to its end, for resuming: round and engine.
    #[serde(default)]
    pub(crate) done: Vec<(u32, String)>,
    /// Curves over time, of the rows that have them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) curves: Vec<Curve>,
}

/// The machine of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Machine {
    /// Model of the processor.
    pub(crate) cpu: String,
    /// Processors that the program may use.
    pub(crate) cores: u32,
    /// Bytes of memory.
    pub(crate) memory_bytes: u64,
    /// Release of the kernel.
    pub(crate) kernel: String,
    /// Distribution.
    pub(crate) os: String,
    /// File system of the databases.
    pub(crate) file_system: String,
}

/// An engine as it was measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct EngineInfo {
    /// Its name, the key of the cells.
    pub(crate) name: String,
    /// Its release.
    pub(crate) version: String,
    /// What was set and why, one sentence each; empty until a worker has said.
    pub(crate) settings: Vec<String>,
}

/// Medians of the disk's floor, one for each worker process of a group with durable rows, in the order they ran.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Floor {
    /// Before the durable rows.
    pub(crate) before: Vec<f64>,
    /// After them.
    pub(crate) after: Vec<f64>,
}

/// What a value counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Unit {
    /// Operations a second.
    #[serde(rename = "op/s")]
    OpsPerSecond,
    /// Bytes.
    #[serde(rename = "bytes")]
    Bytes,
    /// Seconds.
    #[serde(rename = "s")]
    Seconds,
    /// Milliseconds.
    #[serde(rename = "ms")]
    Millis,
    /// Microseconds.
    #[serde(rename = "us")]
    Micros,
}

/// Which value is the better one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Better {
    /// The higher.
    Higher,
    /// The lower.
    Lower,
}

/// What decides a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Bound {
    /// Computing: the same twice on an idle machine.
    Cpu,
    /// The disk: drifts with it.
    Disk,
    /// Disk space.
    Size,
    /// Memory.
    Memory,
}

/// A row of the table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Row {
    /// Its name, one for the group.
    pub(crate) name: String,
    /// What its values count.
    pub(crate) unit: Unit,
    /// Which of them is better.
    pub(crate) better: Better,
    /// What decides it.
    pub(crate) bound: Bound,
    /// One for each engine that got that far.
    pub(crate) cells: BTreeMap<String, Cell>,
}

/// What one engine has to say in a row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Cell {
    /// One value a round.
    Values(Vec<f64>),
    /// HaloDB does not have it yet: what is missing.
    NotYet(String),
    /// It failed or gave a wrong answer in at least one round: why.
    Failed(String),
    /// It was not tried: why.
    Skipped(String),
}

/// What happened over the time of a row, in one round of one engine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Curve {
    /// Name of the row.
    pub(crate) row: String,
    /// Name of the engine.
    pub(crate) engine: String,
    /// Number of the round, from 0.
    pub(crate) round: u32,
    /// Operations finished in each second.
    pub(crate) per_second: Vec<f64>,
    /// Latency: percentile and microseconds.
    pub(crate) latency_us: Vec<(f64, f64)>,
}

impl ResultFile {
    /// Reads a file.
    ///
    /// # Errors
    /// It cannot be read, is no result file, or has another version.
    pub(crate) fn load(path: &Path) -> io::Result<Self> {
        let invalid = |what: String| io::Error::new(io::ErrorKind::InvalidData, format!("{}: {what}", path.display()));
        let file: Self = serde_json::from_str(&fs::read_to_string(path)?).map_err(|e| invalid(e.to_string()))?;
        if file.version != VERSION {
            return Err(invalid(format!("version {} of the format, this program knows {VERSION}", file.version)));
        }
        Ok(file)
    }

    /// Writes a file, whole or not at all.
    ///
    /// # Errors
    /// It cannot be written.
    pub(crate) fn save(&self, path: &Path) -> io::Result<()> {
        let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
        fs::create_dir_all(dir)?;
        let mut text = serde_json::to_string_pretty(self)?;
        text.push('\n');
        let beside = path.with_extension("json.tmp");
        fs::write(&beside, text)?;
        fs::rename(beside, path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file() -> ResultFile {
        let cell = |name: &str, cell| (name.to_owned(), cell);
        ResultFile {
            version: VERSION,
            commit: "0123456789ab".into(),
            dirty: false,
            date: "2026-11-21T11:22:33Z".into(),
            command: "cargo xtask bench --group basic".into(),
            machine: Machine::default(),
            group: "basic".into(),
            scale: "1m".into(),
            budget: "default".into(),
            rounds: 3,
            seed: 1,
            engines: vec![],
            floor_us: Floor::default(),
            rows: vec![Row {
                name: "random reads".into(),
                unit: Unit::OpsPerSecond,
                better: Better::Higher,
                bound: Bound::Cpu,
                cells: BTreeMap::from([
                    cell("halodb", Cell::Values(vec![1.0, 2.5])),
                    cell("redb", Cell::NotYet("x".into())),
                ]),
            }],
            done: vec![(0, "halodb".into())],
            curves: vec![],
        }
    }

    #[test]
    fn a_file_that_was_saved_is_read_back_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("new").join("a.json");
        file().save(&path).unwrap();
        assert_eq!(ResultFile::load(&path).unwrap(), file());
    }

    #[test]
    fn cells_and_units_are_written_as_the_header_says() {
        let text = serde_json::to_string(&file().rows[0]).unwrap();
        assert_eq!(
            text,
            r#"{"name":"random reads","unit":"op/s","better":"higher","bound":"cpu","cells":{"halodb":{"values":[1.0,2.5]},"redb":{"not_yet":"x"}}}"#
        );
    }

    #[test]
    fn a_file_of_another_version_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.json");
        let mut later = file();
        later.version = VERSION + 1;
        later.save(&path).unwrap();
        let error = ResultFile::load(&path).unwrap_err().to_string();
        assert!(error.contains("version 2"), "{error}");
    }
}
