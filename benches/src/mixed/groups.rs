//! The groups of mixed rows: their names, and the order in which a group does its work.
//!
//! Every group begins with an empty directory and closes what it opens. How long a workload may take is decided here, by
//! the scale: a workload that is not done by then reports the rate of what it did.

use std::time::Duration;

use crate::engine::{Durability, Engine, Kind, Result, Settings};
use crate::result::{Better, Bound, Unit};

use super::cgroup::Group as ControlGroup;
use super::drive::Plan;
use super::large::Large;
use super::record::Records;
use super::target::Target;
use super::workload::WORKLOADS;
use super::ycsb::{THREADS, Ycsb, plan};
use super::{negative, open, sustained};

/// A row of the table.
#[derive(Clone, Debug)]
pub(crate) struct Spec {
    /// Its name.
    pub(crate) name: String,
    /// What its values count.
    pub(crate) unit: Unit,
    /// Which of them is better.
    pub(crate) better: Better,
    /// What decides it.
    pub(crate) bound: Bound,
}

/// What a group gets to know.
#[derive(Clone)]
pub(crate) struct Case {
    /// The engine.
    pub(crate) kind: Kind,
    /// An empty directory.
    pub(crate) settings: Settings,
    /// Records of the scale.
    pub(crate) count: u64,
    /// The seed of everything random.
    pub(crate) seed: u64,
}

/// Where a group's figures go.
pub(crate) trait Sink {
    /// Whether the row was asked for.
    fn wants(&self, row: &str) -> bool;
    /// A row is about to be worked on.
    fn begin(&mut self, row: &str);
    /// What an open engine says of its settings.
    fn settings(&mut self, settings: Vec<String>);
    /// A row is done.
    fn row(&mut self, row: &str, value: Result<f64>);
    /// A row cannot be measured here.
    fn skip(&mut self, row: &str, why: &str);
    /// What happened over the time of a row.
    fn curve(&mut self, row: &str, per_second: Vec<f64>, latency_us: Vec<(f64, f64)>);
}

/// A group of rows.
#[derive(Clone, Copy)]
pub(crate) struct Group {
    /// Its name.
    pub(crate) name: &'static str,
    /// Its rows, in order.
    pub(crate) rows: fn() -> Vec<Spec>,
    /// Does the work. An error means that no further row can be had.
    pub(crate) run: fn(&Case, &mut dyn Sink) -> Result<()>,
}

/// The groups, in the order they run.
pub(crate) const GROUPS: [Group; 6] = [
    Group { name: "ycsb", rows: ycsb_rows, run: ycsb },
    Group { name: "commit", rows: commit_rows, run: commit },
    Group { name: "sustained", rows: sustained_rows, run: sustained },
    Group { name: "open", rows: open_rows, run: opening },
    Group { name: "large", rows: large_rows, run: large },
    Group { name: "memory", rows: memory_rows, run: memory },
];

/// Threads of group `commit`.
const COMMITTERS: [usize; 4] = [1, 4, 16, 64];

const SUSTAINED: &str = "sustained insert";
const PERCENTILES: [(&str, f64); 6] =
    [("p50", 50.0), ("p90", 90.0), ("p99", 99.0), ("p99.9", 99.9), ("p99.99", 99.99), ("max", 100.0)];
const AFTER_CLOSE: &str = "open and read, after a close";
const AFTER_KILL: &str = "open and read, after SIGKILL in the middle";
const LARGE_PUTS: &str = "1 MiB puts, a sync each";
const LARGE_READS: &str = "1 MiB reads";
const ABSENT: &str = "missing-key reads, data three times the memory";

fn spec(name: impl Into<String>, unit: Unit, better: Better, bound: Bound) -> Spec {
    Spec { name: name.into(), unit, better, bound }
}

fn rate(name: impl Into<String>, bound: Bound) -> Spec {
    spec(name, Unit::OpsPerSecond, Better::Higher, bound)
}

impl Case {
    fn small(&self) -> bool {
        self.count <= 100_000
    }

    /// `small` at the smallest scale, `usual` at all others.
    fn seconds(&self, small: u64, usual: u64) -> Duration {
        Duration::from_secs(if self.small() { small } else { usual })
    }

    fn open(&self, sink: &mut dyn Sink) -> Result<Box<dyn Engine>> {
        let engine = self.kind.open(&self.settings)?;
        sink.settings(engine.settings());
        Ok(engine)
    }

    /// A directory of its own for a part of a group.
    fn part(&self, name: &str) -> Result<Settings> {
        let dir = self.settings.dir.join(name);
        std::fs::create_dir_all(&dir)?;
        Ok(Settings { dir, ..self.settings.clone() })
    }
}

fn ycsb_name(letter: char, threads: usize) -> String {
    format!("ycsb {letter}, {threads} threads")
}

fn ycsb_rows() -> Vec<Spec> {
    let pairs = THREADS.iter().flat_map(|threads| WORKLOADS.iter().map(move |workload| (workload.letter, *threads)));
    pairs.map(|(letter, threads)| rate(ycsb_name(letter, threads), Bound::Cpu)).collect()
}

fn ycsb(case: &Case, sink: &mut dyn Sink) -> Result<()> {
    let engine = case.open(sink)?;
    let target = Target { engine: &*engine, records: Records::new(case.seed) };
    target.load(case.count)?;
    let ycsb = Ycsb::new(target, case.count, case.seed);
    for threads in THREADS {
        for workload in &WORKLOADS {
            let name = ycsb_name(workload.letter, threads);
            if sink.wants(&name) {
                sink.begin(&name);
                let plan = plan(workload, case.count, threads, case.seconds(2, 10));
                sink.row(&name, ycsb.run(workload, plan, Durability::None).map(|outcome| outcome.rate));
            }
        }
    }
    engine.close()
}

fn commit_name(threads: usize) -> String {
    format!("ycsb A, a sync per commit, writes, {threads} thread{}", if threads == 1 { "" } else { "s" })
}

fn commit_rows() -> Vec<Spec> {
    COMMITTERS.map(|threads| rate(commit_name(threads), Bound::Disk)).to_vec()
}

fn commit(case: &Case, sink: &mut dyn Sink) -> Result<()> {
    let engine = case.open(sink)?;
    let target = Target { engine: &*engine, records: Records::new(case.seed) };
    target.load(case.count)?;
    let ycsb = Ycsb::new(target, case.count, case.seed);
    for threads in COMMITTERS {
        let name = commit_name(threads);
        if sink.wants(&name) {
            sink.begin(&name);
            // Bounded by time; the count only bounds the memory of the ledger.
            let plan = Plan { threads, operations: 4_000_000, limit: case.seconds(1, 5) };
            sink.row(&name, ycsb.run(&WORKLOADS[0], plan, Durability::Sync).map(|outcome| outcome.write_rate));
        }
    }
    engine.close()
}

fn sustained_rows() -> Vec<Spec> {
    let mut rows = vec![
        rate(SUSTAINED, Bound::Cpu),
        spec(sustained_name("time, 60 s at most"), Unit::Seconds, Better::Lower, Bound::Cpu),
    ];
    rows.extend(PERCENTILES.map(|(name, percent)| {
        let bound = if percent <= 90.0 { Bound::Cpu } else { Bound::Disk };
        spec(sustained_name(name), Unit::Micros, Better::Lower, bound)
    }));
    rows.push(rate(sustained_name("worst second"), Bound::Disk));
    rows.push(spec(sustained_name("below half of the median rate"), Unit::Seconds, Better::Lower, Bound::Disk));
    rows
}

fn sustained_name(what: &str) -> String {
    format!("{SUSTAINED}, {what}")
}

fn sustained(case: &Case, sink: &mut dyn Sink) -> Result<()> {
    let names: Vec<String> = sustained_rows().into_iter().map(|row| row.name).collect();
    if !names.iter().any(|name| sink.wants(name)) {
        return Ok(());
    }
    sink.begin(SUSTAINED);
    let engine = case.open(sink)?;
    let target = Target { engine: &*engine, records: Records::new(case.seed) };
    let count = if case.small() { 500_000 } else { 5_000_000 };
    let done = sustained::run(target, count, case.seconds(6, 60), case.seed)?;
    sink.row(SUSTAINED, Ok(done.records as f64 / done.elapsed.as_secs_f64().max(1e-9)));
    sink.row(&sustained_name("time, 60 s at most"), Ok(done.elapsed.as_secs_f64()));
    for (name, percent) in PERCENTILES {
        sink.row(&sustained_name(name), Ok(done.latency.percentile_us(percent)));
    }
    match sustained::evenness(&done) {
        Some(evenness) => {
            sink.row(&sustained_name("worst second"), Ok(evenness.worst as f64));
            sink.row(&sustained_name("below half of the median rate"), Ok(evenness.stalled as f64));
        }
        None => {
            for name in ["worst second", "below half of the median rate"] {
                sink.skip(&sustained_name(name), "the run had fewer than three full seconds");
            }
        }
    }
    let per_second = done.per_second.iter().map(|count| *count as f64).collect();
    sink.curve(SUSTAINED, per_second, done.latency.curve());
    engine.close()
}

fn open_rows() -> Vec<Spec> {
    [AFTER_CLOSE, AFTER_KILL].map(|name| spec(name, Unit::Millis, Better::Lower, Bound::Disk)).to_vec()
}

fn opening(case: &Case, sink: &mut dyn Sink) -> Result<()> {
    let records = Records::new(case.seed);
    if sink.wants(AFTER_CLOSE) {
        sink.begin(AFTER_CLOSE);
        sink.row(AFTER_CLOSE, open::after_close(case.kind, &case.part("closed")?, records, case.count));
    }
    if sink.wants(AFTER_KILL) {
        sink.begin(AFTER_KILL);
        sink.row(AFTER_KILL, open::after_kill(case.kind, &case.part("killed")?, records, case.count));
    }
    Ok(())
}

fn large_rows() -> Vec<Spec> {
    vec![rate(LARGE_PUTS, Bound::Disk), rate(LARGE_READS, Bound::Cpu)]
}

fn large(case: &Case, sink: &mut dyn Sink) -> Result<()> {
    let engine = case.open(sink)?;
    sink.begin(LARGE_PUTS);
    let count = if case.small() { 64 } else { 256 };
    let (large, writes) = Large::write(&*engine, count, case.seed)?;
    sink.row(LARGE_PUTS, Ok(writes));
    if sink.wants(LARGE_READS) {
        sink.begin(LARGE_READS);
        sink.row(LARGE_READS, large.read(8 * count, case.seed));
    }
    engine.close()
}

fn memory_rows() -> Vec<Spec> {
    vec![rate(ABSENT, Bound::Disk)]
}

fn memory(case: &Case, sink: &mut dyn Sink) -> Result<()> {
    let records = negative::records(case.seed, case.count);
    match ControlGroup::new(negative::limit_bytes(&records, case.count)) {
        Ok(group) => {
            sink.begin(ABSENT);
            sink.row(ABSENT, negative::run(case.kind, &case.part("limited")?.dir, records, case.count, &group));
        }
        Err(why) => sink.skip(ABSENT, &why),
    }
    Ok(())
}
