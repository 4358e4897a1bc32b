//! Running: [`Run`], what a group is given, and [`Message`], what a worker tells the runner.
//!
//! `driver.rs` starts a worker process for each round, engine and group, and keeps the results; `worker.rs` is the other
//! side. A worker prints one message a line on its standard output; nothing else may print there.
//!
//! What is *not* here: what a row does (`rows/`), and how results are shown.

mod driver;
mod floor;
mod interrupt;
mod machine;
mod options;
mod progress;
mod table;
mod worker;

pub(crate) use driver::{Stop, drive};
pub(crate) use options::{RunOptions, WorkerOptions};
pub(crate) use worker::work;

use std::collections::HashSet;
use std::path::Path;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::engine::{Engine, Kind, Problem, Result, Settings};
use crate::result::Curve;
use crate::rows::RowSpec;

/// The longest pause in which background work may end.
const SETTLE_LIMIT: Duration = Duration::from_secs(20);

/// How long a process must be quiet to count as settled.
const SETTLE_WINDOW: Duration = Duration::from_millis(200);

/// A line from a worker.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Message {
    /// A row begins; its time limit counts from here.
    Started(String),
    /// What the engine was set to.
    Settings(Vec<String>),
    /// A row's value.
    Value(String, f64),
    /// A row that HaloDB cannot do yet: what is missing.
    NotYet(String, String),
    /// A row that failed: why.
    Failed(String, String),
    /// A row that was not tried, or that the engine does not support: why.
    Skipped(String, String),
    /// Median microseconds of the disk's floor.
    Floor(When, f64),
    /// What happened over the time of a row.
    Curve(Curve),
}

/// Before or after the durable rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum When {
    /// Before them.
    Before,
    /// After them.
    After,
}

/// One run of a group by one engine, in a process of its own.
pub(crate) struct Run<'a> {
    /// The engine.
    pub(crate) kind: Kind,
    /// An empty directory; the runner removes it.
    pub(crate) dir: &'a Path,
    /// Memory for caches and write buffers, in bytes.
    pub(crate) budget_bytes: u64,
    /// Number of records.
    pub(crate) scale: u64,
    /// Seed of keys, values and orders.
    pub(crate) seed: u64,
    /// Number of the round, from 0.
    pub(crate) round: u32,
    rows: &'a [RowSpec],
    filter: &'a [String],
    answered: HashSet<String>,
    told_settings: bool,
    out: &'a mut dyn FnMut(&Message),
}

impl<'a> Run<'a> {
    /// A run of `rows`, those that match `filter` if it is not empty; messages go to `out`.
    pub(crate) fn new(
        options: &'a WorkerOptions,
        kind: Kind,
        rows: &'a [RowSpec],
        out: &'a mut dyn FnMut(&Message),
    ) -> Self {
        Run {
            kind,
            dir: &options.dir,
            budget_bytes: options.budget.bytes(),
            scale: options.scale.records(),
            seed: options.seed,
            round: options.round,
            rows,
            filter: &options.rows,
            answered: HashSet::new(),
            told_settings: false,
            out,
        }
    }

    /// Whether the row is asked for and has no answer yet.
    pub(crate) fn wants(&self, row: &str) -> bool {
        debug_assert!(self.rows.iter().any(|spec| spec.name == row), "{row} is not in the group's list");
        selected(self.filter, row) && !self.answered.contains(row)
    }

    /// Whether any row is still wanted.
    pub(crate) fn more(&self) -> bool {
        self.rows.iter().any(|row| self.wants(&row.name))
    }

    /// Opens the engine in a directory `name` of its own, made if it is not there.
    ///
    /// # Errors
    /// What the engine says.
    pub(crate) fn open(&mut self, name: &str) -> Result<Box<dyn Engine>> {
        self.opened(name, Kind::open)
    }

    /// As [`open`](Run::open), but the engine's tree alone.
    ///
    /// # Errors
    /// What the engine says.
    pub(crate) fn open_tree(&mut self, name: &str) -> Result<Box<dyn Engine>> {
        self.opened(name, Kind::open_tree)
    }

    fn opened(&mut self, name: &str, open: fn(&Kind, &Settings) -> Result<Box<dyn Engine>>) -> Result<Box<dyn Engine>> {
        let settings = Settings { dir: self.dir.join(name), budget_bytes: self.budget_bytes };
        std::fs::create_dir_all(&settings.dir)?;
        let engine = open(&self.kind, &settings)?;
        if !self.told_settings {
            self.told_settings = true;
            (self.out)(&Message::Settings(engine.settings()));
        }
        Ok(engine)
    }

    /// Measures a row that leaves the database as it was, or as good as that: skipped if nobody wants it, and if it
    /// fails, the group goes on. Whether there is a value.
    pub(crate) fn measure(&mut self, row: &str, f: impl FnOnce() -> Result<f64>) -> bool {
        self.wants(row) && self.answer(row, f).is_ok()
    }

    /// Measures a row that later rows build upon: it runs even if nobody wants its value.
    ///
    /// # Errors
    /// Its own; the group cannot go on then.
    pub(crate) fn required(&mut self, row: &str, f: impl FnOnce() -> Result<f64>) -> Result<()> {
        if self.wants(row) { self.answer(row, f) } else { f().map(drop) }
    }

    fn answer(&mut self, row: &str, f: impl FnOnce() -> Result<f64>) -> Result<()> {
        (self.out)(&Message::Started(row.into()));
        match f() {
            Ok(value) => {
                self.value(row, value);
                Ok(())
            }
            Err(problem) => {
                self.problem(row, &problem);
                Err(problem)
            }
        }
    }

    /// Says that a row begins: its time limit counts from here. For rows that [`measure`](Run::measure) does not fit.
    pub(crate) fn started(&mut self, row: &str) {
        (self.out)(&Message::Started(row.into()));
    }

    /// Gives a row's value.
    pub(crate) fn value(&mut self, row: &str, value: f64) {
        if self.wants(row) {
            self.answered.insert(row.into());
            (self.out)(&Message::Value(row.into(), value));
        }
    }

    /// Says why a row has none.
    pub(crate) fn problem(&mut self, row: &str, problem: &Problem) {
        if self.wants(row) {
            self.answered.insert(row.into());
            (self.out)(&match problem {
                Problem::NotYet(what) => Message::NotYet(row.into(), (*what).into()),
                Problem::Unsupported(_) => Message::Skipped(row.into(), problem.to_string()),
                Problem::Failed(why) => Message::Failed(row.into(), why.clone()),
            });
        }
    }

    /// Says why a row was not tried.
    pub(crate) fn skip(&mut self, row: &str, why: &str) {
        if self.wants(row) {
            self.answered.insert(row.into());
            (self.out)(&Message::Skipped(row.into(), why.into()));
        }
    }

    /// Gives the curves of a row.
    pub(crate) fn curve(&mut self, curve: &Curve) {
        (self.out)(&Message::Curve(curve.clone()));
    }

    /// Measures the floor of the disk, beside durable rows.
    ///
    /// # Errors
    /// The disk's.
    pub(crate) fn floor(&mut self, when: When) -> Result<()> {
        let median = floor::median_us(self.dir)?;
        (self.out)(&Message::Floor(when, median));
        Ok(())
    }

    /// Waits until the process has been quiet for a moment (it used less than a twentieth of a processor for 200 ms), at
    /// most 20 s; the seconds until then. Every engine gets the same chance to finish what it put off.
    pub(crate) fn settle(&self) -> f64 {
        let start = Instant::now();
        loop {
            let (before, began) = (cpu_seconds(), Instant::now());
            std::thread::sleep(SETTLE_WINDOW);
            let used = cpu_seconds() - before;
            if used < began.elapsed().as_secs_f64() / 20.0 {
                return (start.elapsed().saturating_sub(SETTLE_WINDOW)).as_secs_f64();
            }
            if start.elapsed() > SETTLE_LIMIT {
                return start.elapsed().as_secs_f64();
            }
        }
    }

    /// Gives `problem` to every row without an answer.
    fn give_up(&mut self, problem: &Problem) {
        for row in self.rows {
            self.problem(&row.name, problem);
        }
    }
}

/// Whether a row is among those asked for: all, or those whose name contains one of the texts.
pub(crate) fn selected(filter: &[String], row: &str) -> bool {
    filter.is_empty() || filter.iter().any(|text| row.to_lowercase().contains(&text.to_lowercase()))
}

/// Seconds of processor time that this process has used, all threads, user and system.
pub(crate) fn cpu_seconds() -> f64 {
    machine::cpu_seconds()
}

/// The most memory that this process had resident at any time, in bytes. Pages of mapped files count while they are
/// mapped, so an engine that maps its file shows the page cache that it reads.
pub(crate) fn peak_memory_bytes() -> u64 {
    machine::peak_memory_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_survive_their_line() {
        for message in [
            Message::Value("a".into(), 1.5),
            Message::NotYet("a".into(), "b".into()),
            Message::Floor(When::After, 40.0),
            Message::Settings(vec!["x".into()]),
        ] {
            let line = serde_json::to_string(&message).unwrap();
            assert_eq!(serde_json::from_str::<Message>(&line).unwrap(), message);
        }
    }

    #[test]
    fn rows_are_selected_by_a_part_of_their_name() {
        assert!(selected(&[], "random reads"));
        assert!(selected(&["READS".into()], "random reads"));
        assert!(!selected(&["load".into()], "random reads"));
    }
}
