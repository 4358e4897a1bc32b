//! The row of group `memory`: looking for absent keys in a database three times as large as the memory of the process.
//!
//! The database is loaded without a limit, closed and dropped from the page cache; then a child process opens it in a
//! control group whose limit, page cache included, is a third of the raw data. Half of the limit is the engine's budget.
//! An engine whose filters answer from memory reads nothing; one without filters reads a page for most look-ups.
//!
//! Checked: every look-up finds nothing, and a sample of records is found.

use std::time::{Duration, Instant};

use crate::engine::{Kind, Problem, Result, Settings};

use super::cgroup::Group;
use super::child::ChildArgs;
use super::drop_cache::drop_cache;
use super::random::Random;
use super::record::{KEY_BYTES, Records};
use super::target::{Target, wrong};

/// The least data that is worth a limit, and so the least a value may have.
const DATA_BYTES: u64 = 150_000_000;

/// The time after which no look-up begins.
const LIMIT: Duration = Duration::from_secs(5);

/// Look-ups at most.
const LOOK_UPS: u64 = 500_000;

/// Records that are found, afterwards and untimed.
const SAMPLE: u64 = 100;

/// The records of this row: a small number of them gets longer values.
pub(super) fn records(seed: u64, count: u64) -> Records {
    let value_bytes = (DATA_BYTES / count.max(1)).saturating_sub(KEY_BYTES as u64);
    Records::with_values(seed, (value_bytes as usize).max(super::record::VALUE_BYTES))
}

/// Bytes of memory for a process that reads `count` of `records`.
pub(super) fn limit_bytes(records: &Records, count: u64) -> u64 {
    count * (KEY_BYTES + records.value_bytes()) as u64 / 3
}

/// Look-ups a second, in a process of its own in `group`.
pub(super) fn run(kind: Kind, dir: &std::path::Path, records: Records, count: u64, group: &Group) -> Result<f64> {
    let limit = limit_bytes(&records, count);
    let settings = Settings { dir: dir.to_owned(), budget_bytes: limit / 2 };
    let engine = kind.open(&settings)?;
    Target { engine: &*engine, records }.load(count)?;
    engine.close()?;
    drop_cache(dir)?;
    let mut child = ChildArgs::negative(kind.name, &settings, &records, count, group.processes()).start()?;
    let rate = child.next("rate")?;
    let status = child.wait()?;
    rate.map(|rate| rate as f64).ok_or_else(|| {
        Problem::Failed(format!("the process under a limit of {} MiB ended without an answer: {status}", limit >> 20))
    })
}

/// The child's part: looks for records beyond `count`.
pub(super) fn look(target: Target<'_>, count: u64) -> Result<f64> {
    let (began, mut done) = (Instant::now(), 0);
    while done < LOOK_UPS && began.elapsed() < LIMIT {
        if target.find(count + done)?.is_some() {
            return Err(wrong(format!("record {} was found and never written", count + done)));
        }
        done += 1;
    }
    let rate = done as f64 / began.elapsed().as_secs_f64().max(1e-9);
    let mut random = Random::new(count);
    for _ in 0..SAMPLE {
        target.read(random.below(count))?;
    }
    Ok(rate)
}
