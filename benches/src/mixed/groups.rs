//! The groups of mixed rows: their names, and the order in which a group does its work.
//!
//! Every group begins with an empty directory and closes what it opens; there is no pause between its rows. How long a
//! workload may take is decided here, by the scale: one that is not done by then reports the rate of what it did.

use std::time::Duration;

use crate::engine::{Durability, Result, Settings};
use crate::result::{Bound, Curve, Unit};
use crate::rows::{Group, RowSpec, rate};
use crate::run::{Run, When};

use super::cgroup::Group as ControlGroup;
use super::drive::Plan;
use super::large::Large;
use super::record::Records;
use super::target::Target;
use super::workload::WORKLOADS;
use super::ycsb::{THREADS, Ycsb, plan};
use super::{negative, open, sustained};

/// The groups, in the order they run.
pub(crate) fn groups() -> Vec<Group> {
    let group = |name, about, rows, run| Group { name, about, rows, engines: None, run };
    vec![
        group("ycsb", "YCSB A to F, zipfian, 2 and 8 threads", ycsb_rows(), ycsb),
        group("commit", "YCSB A with a sync per commit, 1 to 64 threads", commit_rows(), commit),
        group("sustained", "random inserts for up to a minute: rate, latencies, stalls", sustained_rows(), sustained),
        group("open", "time to the first read after a close and after SIGKILL", open_rows(), opening),
        group("large", "values of 1 MiB", large_rows(), large),
        group("memory", "reads of absent keys with less memory than data", memory_rows(), memory),
    ]
}

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

/// `small` at the smallest scale, `usual` at all others.
fn seconds(run: &Run<'_>, small: u64, usual: u64) -> Duration {
    Duration::from_secs(if is_small(run) { small } else { usual })
}

fn is_small(run: &Run<'_>) -> bool {
    run.scale <= 100_000
}

/// Settings with a directory of its own for a part of a group that opens its engine more than once.
fn part(run: &Run<'_>, name: &str) -> Result<Settings> {
    let dir = run.dir.join(name);
    std::fs::create_dir_all(&dir)?;
    Ok(Settings { dir, budget_bytes: run.budget_bytes })
}

fn ycsb_name(letter: char, threads: usize) -> String {
    format!("ycsb {letter}, {threads} threads")
}

fn ycsb_rows() -> Vec<RowSpec> {
    let pairs = THREADS.iter().flat_map(|threads| WORKLOADS.iter().map(move |workload| (workload.letter, *threads)));
    pairs.map(|(letter, threads)| RowSpec::rate(ycsb_name(letter, threads), Bound::Cpu)).collect()
}

fn ycsb(run: &mut Run<'_>) -> Result<()> {
    let engine = run.open("data")?;
    let target = Target { engine: &*engine, records: Records::new(run.seed) };
    target.load(run.scale)?;
    let ycsb = Ycsb::new(target, run.scale, run.seed);
    for threads in THREADS {
        for workload in &WORKLOADS {
            let name = ycsb_name(workload.letter, threads);
            let plan = plan(workload, run.scale, threads, seconds(run, 2, 10));
            run.measure(&name, || Ok(ycsb.run(workload, plan, Durability::None)?.rate));
        }
    }
    engine.close()
}

fn commit_name(threads: usize) -> String {
    format!("ycsb A, a sync per commit, writes, {threads} thread{}", if threads == 1 { "" } else { "s" })
}

fn commit_rows() -> Vec<RowSpec> {
    COMMITTERS.map(|threads| RowSpec::rate(commit_name(threads), Bound::Disk)).to_vec()
}

fn commit(run: &mut Run<'_>) -> Result<()> {
    run.floor(When::Before)?;
    let engine = run.open("data")?;
    let target = Target { engine: &*engine, records: Records::new(run.seed) };
    target.load(run.scale)?;
    let ycsb = Ycsb::new(target, run.scale, run.seed);
    for threads in COMMITTERS {
        let name = commit_name(threads);
        // Bounded by time; the count only bounds the memory of the ledger.
        let plan = Plan { threads, operations: 4_000_000, limit: seconds(run, 1, 5) };
        run.measure(&name, || Ok(ycsb.run(&WORKLOADS[0], plan, Durability::Sync)?.write_rate));
    }
    run.floor(When::After)?;
    engine.close()
}

fn sustained_rows() -> Vec<RowSpec> {
    let mut rows = vec![
        RowSpec::rate(SUSTAINED, Bound::Cpu),
        RowSpec::cost(sustained_name("time, 60 s at most"), Unit::Seconds, Bound::Cpu),
    ];
    rows.extend(PERCENTILES.map(|(name, percent)| {
        let bound = if percent <= 90.0 { Bound::Cpu } else { Bound::Disk };
        RowSpec::cost(sustained_name(name), Unit::Micros, bound)
    }));
    rows.push(RowSpec::rate(sustained_name("worst second"), Bound::Disk));
    rows.push(RowSpec::cost(sustained_name("below half of the median rate"), Unit::Seconds, Bound::Disk));
    rows
}

fn sustained_name(what: &str) -> String {
    format!("{SUSTAINED}, {what}")
}

fn sustained(run: &mut Run<'_>) -> Result<()> {
    run.started(SUSTAINED);
    let engine = run.open("data")?;
    let target = Target { engine: &*engine, records: Records::new(run.seed) };
    let count = if is_small(run) { 500_000 } else { 5_000_000 };
    let done = sustained::run(target, count, seconds(run, 6, 60), run.seed)?;
    run.value(SUSTAINED, rate(done.records, done.elapsed));
    run.value(&sustained_name("time, 60 s at most"), done.elapsed.as_secs_f64());
    for (name, percent) in PERCENTILES {
        run.value(&sustained_name(name), done.latency.percentile_us(percent));
    }
    match sustained::evenness(&done) {
        Some(evenness) => {
            run.value(&sustained_name("worst second"), evenness.worst as f64);
            run.value(&sustained_name("below half of the median rate"), evenness.stalled as f64);
        }
        None => {
            for name in ["worst second", "below half of the median rate"] {
                run.skip(&sustained_name(name), "the run had fewer than three full seconds");
            }
        }
    }
    let per_second = done.per_second.iter().map(|count| *count as f64).collect();
    let (engine_name, round) = (run.kind.name.to_owned(), run.round);
    run.curve(&Curve {
        row: SUSTAINED.into(),
        engine: engine_name,
        round,
        per_second,
        latency_us: done.latency.curve(),
    });
    engine.close()
}

fn open_rows() -> Vec<RowSpec> {
    [AFTER_CLOSE, AFTER_KILL].map(|name| RowSpec::cost(name, Unit::Millis, Bound::Disk)).to_vec()
}

fn opening(run: &mut Run<'_>) -> Result<()> {
    let (kind, records, count) = (run.kind, Records::new(run.seed), run.scale);
    // An engine that is opened only to say what it was set to: the rows open and close on their own.
    run.open("settings")?.close()?;
    let (closed, killed) = (part(run, "closed")?, part(run, "killed")?);
    run.measure(AFTER_CLOSE, || open::after_close(kind, &closed, records, count));
    run.measure(AFTER_KILL, || open::after_kill(kind, &killed, records, count));
    Ok(())
}

fn large_rows() -> Vec<RowSpec> {
    vec![RowSpec::rate(LARGE_PUTS, Bound::Disk), RowSpec::rate(LARGE_READS, Bound::Cpu)]
}

fn large(run: &mut Run<'_>) -> Result<()> {
    run.floor(When::Before)?;
    let engine = run.open("data")?;
    run.started(LARGE_PUTS);
    let count = if is_small(run) { 64 } else { 256 };
    let (large, writes) = Large::write(&*engine, count, run.seed)?;
    run.value(LARGE_PUTS, writes);
    run.floor(When::After)?;
    let seed = run.seed;
    run.measure(LARGE_READS, || large.read(8 * count, seed));
    engine.close()
}

fn memory_rows() -> Vec<RowSpec> {
    vec![RowSpec::rate(ABSENT, Bound::Disk)]
}

fn memory(run: &mut Run<'_>) -> Result<()> {
    let (kind, count, records) = (run.kind, run.scale, negative::records(run.seed, run.scale));
    match ControlGroup::new(negative::limit_bytes(&records, count)) {
        Ok(group) => {
            let dir = part(run, "limited")?.dir;
            run.measure(ABSENT, || negative::run(kind, &dir, records, count, &group));
        }
        Err(why) => run.skip(ABSENT, &why),
    }
    Ok(())
}
