//! Group `unmerged`: reads of a database of which a good part was written a moment ago.
//!
//! Engines that write to memory first have it there beside the rest; for trees it makes no difference. 140,000 writes are what the
//! smallest budget's memtables hold without being full (HaloDB: 32 MiB of 64). Nothing waits between the writes and the rows, and one more write
//! comes before each row, so that no engine takes the moment for an idle one.

use std::time::Instant;

use super::basic::{missing, ranges_by, read_count, reads};
use super::model::{Model, Tally};
use super::timing::{capped, rate};
use super::{Group, RowSpec};
use crate::data::{Data, pick};
use crate::engine::{Durability, Engine, Problem, Result};
use crate::result::{Bound, Unit};
use crate::run::Run;

const READS: &str = "unmerged: random reads";
const MISSING: &str = "unmerged: reads of missing keys";
const RANGES: &str = "unmerged: seek + 10";
const VIEWS: &str = "unmerged: seek + 10, a view each";
const WRITING: &str = "unmerged: seek + 10, a view each, a write every 20";
const PREFIXES: &str = "unmerged: prefix scans of 16";
const LEN: &str = "unmerged: the first len()";

/// Writes that are not merged, and how many of them are new keys.
const UNMERGED: u64 = 140_000;
const NEW: u64 = UNMERGED / 2;
const BATCH: u64 = 1_000;
/// A write comes after so many scans, as in YCSB E.
const SCANS_PER_WRITE: u64 = 20;

/// The group.
pub(super) fn group() -> Group {
    let rows = vec![
        RowSpec::cost(LEN, Unit::Micros, Bound::Cpu),
        RowSpec::rate(READS, Bound::Cpu),
        RowSpec::rate(MISSING, Bound::Cpu),
        RowSpec::rate(RANGES, Bound::Cpu),
        RowSpec::rate(VIEWS, Bound::Cpu),
        RowSpec::rate(WRITING, Bound::Cpu),
        RowSpec::rate(PREFIXES, Bound::Cpu),
    ];
    Group { name: "unmerged", about: "reads while 140,000 writes are not merged", rows, engines: None, run }
}

fn run(run: &mut Run<'_>) -> Result<()> {
    let count = run.scale;
    let mut model = Model::new(Data::new(run.seed), count + NEW);
    let engine = run.open("data")?;
    write(&*engine, &mut model, Durability::Sync, 0..count)?;
    run.settle();
    for first in (0..UNMERGED - NEW).step_by(BATCH as usize) {
        let old = (first..first + BATCH).map(|step| pick(1, 20, step, count));
        write(&*engine, &mut model, Durability::None, old)?;
    }
    for first in (count..count + NEW).step_by(BATCH as usize) {
        write(&*engine, &mut model, Durability::None, first..first + BATCH)?;
    }

    let all = count + NEW;
    run.measure(LEN, || first_len(&*engine, &model));
    again(&*engine, &model, 0)?;
    run.measure(READS, || reads(&*engine, &model, all));
    again(&*engine, &model, 1)?;
    run.measure(MISSING, || missing(&*engine, &model, all));
    again(&*engine, &model, 2)?;
    run.measure(RANGES, || {
        let mut reader = engine.reader()?;
        ranges_by(&model, all, read_count(all) / 2, |_, from, pairs, f| reader.seek(from, pairs, f))
    });
    again(&*engine, &model, 3)?;
    run.measure(VIEWS, || {
        ranges_by(&model, all, read_count(all) / 4, |_, from, pairs, f| engine.reader()?.seek(from, pairs, f))
    });
    run.measure(WRITING, || {
        ranges_by(&model, all, read_count(all) / 10, |step, from, pairs, f| {
            if step.is_multiple_of(SCANS_PER_WRITE) {
                again(&*engine, &model, pick(1, 21, step, all))?;
            }
            engine.reader()?.seek(from, pairs, f)
        })
    });
    again(&*engine, &model, 4)?;
    run.measure(PREFIXES, || prefixes(&*engine, &model));
    engine.close()
}

fn write(
    engine: &dyn Engine,
    model: &mut Model,
    durability: Durability,
    mut indices: impl Iterator<Item = u64>,
) -> Result<()> {
    engine.write(durability, &mut |batch| {
        indices.try_for_each(|index| {
            let version = model.put(index);
            batch.put(&model.data.key(index), &model.data.value(index, version))
        })
    })
}

/// Writes what an index has already: a write that changes no answer.
fn again(engine: &dyn Engine, model: &Model, index: u64) -> Result<()> {
    engine.put(&model.data.key(index), &model.value(index), Durability::None)
}

/// Microseconds of one call: the next one may know the answer.
fn first_len(engine: &dyn Engine, model: &Model) -> Result<f64> {
    let expected = model.len();
    let start = Instant::now();
    let found = engine.len()?;
    let time = start.elapsed();
    if found == expected { Ok(time.as_secs_f64() * 1e6) } else { Err(Problem::wrong("len()", expected, found)) }
}

/// All pairs whose key begins with two bytes: 16 of a million.
fn prefixes(engine: &dyn Engine, model: &Model) -> Result<f64> {
    let mut reader = engine.reader()?;
    let prefix = |step| (pick(1, 22, step, 1 << 16) as u16).to_le_bytes();
    let mut tally = Tally::default();
    let (done, time) =
        capped(200_000, 100, |step| reader.scan(&prefix(step), &mut |_, value| tally.add(value)).map(drop))?;
    let mut of_prefix = vec![Tally::default(); 1 << 16];
    for index in model.live() {
        let [first, second, ..] = model.data.key(index);
        of_prefix[usize::from(u16::from_le_bytes([first, second]))].add(&model.value(index));
    }
    let mut expected = Tally::default();
    for step in 0..done {
        let of = of_prefix[usize::from(u16::from_le_bytes(prefix(step)))];
        expected.pairs += of.pairs;
        expected.sum = expected.sum.wrapping_add(of.sum);
    }
    tally.check("prefix scans", expected)?;
    Ok(rate(done, time))
}
