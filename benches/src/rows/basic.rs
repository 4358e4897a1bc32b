//! Group `basic`: loading, writing, reading, removing, size, memory, CPU, one database through its life.
//!
//! Order matters, and is the same for all: durable writes come before those without sync, so that they pay for no
//! backlog; then comes the one pause of the group, reported as a row: background work may end, so that what follows
//! measures reads and not the merges of a moment ago. Nothing else waits.

use std::time::Instant;

use super::model::{Model, Tally};
use super::timing::{ENOUGH, REPEAT, capped, rate};
use super::{Group, RowSpec};
use crate::data::{Data, pick};
use crate::engine::{Durability, Engine, Pairs, Problem, Result, disk_bytes};
use crate::result::{Bound, Unit};
use crate::run::{Run, When, cpu_seconds, peak_memory_bytes};

const BULK: &str = "bulk load in one transaction";
const SINGLES: &str = "single durable writes";
const BATCHES: &str = "durable batches of 1,000, keys";
const UNSYNCED: &str = "single writes without sync";
const OVERWRITES: &str = "overwrites without sync";
const SETTLING: &str = "background work after the writes";
const LEN: &str = "len()";
const READS: &str = "random reads";
const MISSING: &str = "reads of missing keys";
const RANGES: &str = "seek + 10";
const SCAN: &str = "full scan, pairs";
const HALF: &str = "removal of half in one transaction";
const CONDITIONAL: &str = "conditional removal in a range";
const BEFORE: &str = "size before compaction";
const AFTER: &str = "size after compaction";
const POPS: &str = "pops at both ends";
const SORTED: &str = "sorted load";
const CPU: &str = "CPU seconds";
const MEMORY: &str = "peak memory";

const SINGLE_WRITES: u64 = 1_000;
const BATCH_COUNT: u64 = 100;
const BATCH_KEYS: u64 = 1_000;
const UNSYNCED_WRITES: u64 = 50_000;

/// The group.
pub(super) fn group() -> Group {
    let rows = vec![
        RowSpec::rate(BULK, Bound::Cpu),
        RowSpec::rate(SINGLES, Bound::Disk),
        RowSpec::rate(BATCHES, Bound::Disk),
        RowSpec::rate(UNSYNCED, Bound::Cpu),
        RowSpec::rate(OVERWRITES, Bound::Cpu),
        RowSpec::cost(SETTLING, Unit::Seconds, Bound::Disk),
        RowSpec::cost(LEN, Unit::Micros, Bound::Cpu),
        RowSpec::rate(READS, Bound::Cpu),
        RowSpec::rate(MISSING, Bound::Cpu),
        RowSpec::rate(RANGES, Bound::Cpu),
        RowSpec::rate(SCAN, Bound::Cpu),
        RowSpec::rate(HALF, Bound::Cpu),
        RowSpec::rate(CONDITIONAL, Bound::Cpu),
        RowSpec::cost(BEFORE, Unit::Bytes, Bound::Size),
        RowSpec::cost(AFTER, Unit::Bytes, Bound::Size),
        RowSpec::rate(POPS, Bound::Cpu),
        RowSpec::rate(SORTED, Bound::Cpu),
        RowSpec::cost(CPU, Unit::Seconds, Bound::Cpu),
        RowSpec::cost(MEMORY, Unit::Bytes, Bound::Memory),
    ];
    Group { name: "basic", about: "loads, writes, reads, removals, size, memory, CPU", rows, engines: None, run }
}

fn run(run: &mut Run<'_>) -> Result<()> {
    let count = run.scale;
    let capacity = count + SINGLE_WRITES + BATCH_COUNT * BATCH_KEYS + UNSYNCED_WRITES;
    let mut model = Model::new(Data::new(run.seed), capacity);
    let dir = run.dir.join("data");
    let mut engine = run.open("data")?;

    run.required(BULK, || bulk(&*engine, &mut model, 0..count))?;
    run.floor(When::Before)?;
    let mut next = count;
    run.required(SINGLES, || singles(&*engine, &mut model, next, SINGLE_WRITES, Durability::Sync))?;
    next += SINGLE_WRITES;
    run.required(BATCHES, || batches(&*engine, &mut model, next))?;
    run.floor(When::After)?;
    next += BATCH_COUNT * BATCH_KEYS;
    run.required(UNSYNCED, || singles(&*engine, &mut model, next, UNSYNCED_WRITES, Durability::None))?;
    run.required(OVERWRITES, || overwrites(&*engine, &mut model, count))?;
    let settled = run.settle();
    run.measure(SETTLING, || Ok(settled));

    run.measure(LEN, || len(&*engine, &model));
    run.measure(READS, || reads(&*engine, &model, count));
    run.measure(MISSING, || missing(&*engine, &model, count));
    run.measure(RANGES, || ranges(&*engine, &model, count));
    run.measure(SCAN, || scan(&*engine, &model));
    if !run.more() {
        return engine.close();
    }

    run.required(HALF, || half(&*engine, &mut model, count))?;
    conditional(run, &*engine, &mut model)?;
    model.verify(&*engine, "a scan after the removals")?;
    run.measure(BEFORE, || Ok(disk_bytes(&dir)? as f64));
    run.measure(AFTER, || {
        engine.compact()?;
        engine.sync()?;
        model.verify(&*engine, "a scan after the compaction")?;
        Ok(disk_bytes(&dir)? as f64)
    });
    run.measure(POPS, || pops(&*engine, &mut model, count / 4));
    engine.close()?;
    std::fs::remove_dir_all(&dir)?;

    if run.wants(SORTED) {
        let engine = run.open("sorted")?;
        run.measure(SORTED, || sorted(&*engine, &model.data, count));
        engine.close()?;
    }
    run.measure(CPU, || Ok(cpu_seconds()));
    run.measure(MEMORY, || Ok(peak_memory_bytes() as f64));
    Ok(())
}

fn bulk(engine: &dyn Engine, model: &mut Model, indices: std::ops::Range<u64>) -> Result<f64> {
    let count = indices.end - indices.start;
    let start = Instant::now();
    engine.write(Durability::Sync, &mut |batch| {
        indices.clone().try_for_each(|index| {
            let version = model.put(index);
            batch.put(&model.data.key(index), &model.data.value(index, version))
        })
    })?;
    Ok(rate(count, start.elapsed()))
}

/// New keys, one transaction each.
fn singles(engine: &dyn Engine, model: &mut Model, first: u64, count: u64, durability: Durability) -> Result<f64> {
    let (done, time) = capped(count, 10, |step| {
        let version = model.put(first + step);
        engine.put(&model.data.key(first + step), &model.data.value(first + step, version), durability)
    })?;
    Ok(rate(done, time))
}

fn batches(engine: &dyn Engine, model: &mut Model, first: u64) -> Result<f64> {
    let (done, time) = capped(BATCH_COUNT, 1, |batch| {
        let begin = first + batch * BATCH_KEYS;
        bulk(engine, model, begin..begin + BATCH_KEYS).map(drop)
    })?;
    Ok(rate(done * BATCH_KEYS, time))
}

/// Keys of the load again, one transaction each.
fn overwrites(engine: &dyn Engine, model: &mut Model, count: u64) -> Result<f64> {
    let (done, time) = capped(UNSYNCED_WRITES, 10, |step| {
        let index = pick(1, 1, step, count);
        let version = model.put(index);
        engine.put(&model.data.key(index), &model.data.value(index, version), Durability::None)
    })?;
    Ok(rate(done, time))
}

/// Microseconds of one call.
fn len(engine: &dyn Engine, model: &Model) -> Result<f64> {
    let expected = model.len();
    let start = Instant::now();
    let mut calls = 0;
    while calls == 0 || start.elapsed() < REPEAT {
        let found = engine.len()?;
        if found != expected {
            return Err(Problem::wrong("len()", expected, found));
        }
        calls += 1;
    }
    Ok(start.elapsed().as_secs_f64() * 1e6 / f64::from(calls))
}

pub(super) fn read_count(count: u64) -> u64 {
    count.clamp(200_000, 1_000_000)
}

/// Of the indices below `count`, all of which are there.
pub(super) fn reads(engine: &dyn Engine, model: &Model, count: u64) -> Result<f64> {
    let index = |step| pick(1, 2, step, count);
    let mut reader = engine.reader()?;
    let mut tally = Tally::default();
    let (done, time) = capped(read_count(count), 1_000, |step| {
        reader.get(&model.data.key(index(step)), &mut |value| tally.add(value)).map(drop)
    })?;
    tally.check("random reads", model.tally((0..done).map(index)))?;
    Ok(rate(done, time))
}

pub(super) fn missing(engine: &dyn Engine, model: &Model, count: u64) -> Result<f64> {
    let mut reader = engine.reader()?;
    let mut found = 0u64;
    let (done, time) = capped(read_count(count), 1_000, |step| {
        let key = model.data.missing_key(pick(1, 3, step, count));
        found += u64::from(reader.get(&key, &mut |_| ())?);
        Ok(())
    })?;
    if found > 0 {
        return Err(Problem::wrong("keys found that are not there", 0, found));
    }
    Ok(rate(done, time))
}

/// From a key that is there, or the first one after it, ten pairs on.
fn ranges(engine: &dyn Engine, model: &Model, count: u64) -> Result<f64> {
    let mut reader = engine.reader()?;
    ranges_by(model, count, read_count(count) / 2, |_, from, pairs, f| reader.seek(from, pairs, f))
}

/// As [`ranges`], `most` of them, by a `seek` that is given the number of the step, a key, how many pairs, and whom to show
/// them.
pub(super) fn ranges_by(
    model: &Model,
    count: u64,
    most: u64,
    mut seek: impl FnMut(u64, &[u8], usize, Pairs<'_>) -> Result<usize>,
) -> Result<f64> {
    const PAIRS: usize = 10;
    let index = |step| pick(1, 4, step, count);
    let mut tally = Tally::default();
    let (done, time) = capped(most, 500, |step| {
        seek(step, &model.data.key(index(step)), PAIRS, &mut |_, value| tally.add(value)).map(drop)
    })?;
    // Where each index stands in key order, and sums up to there.
    let order = model.sorted();
    let mut place = vec![0u32; count as usize];
    let mut sums = vec![0u64; order.len() + 1];
    for (position, &index) in order.iter().enumerate() {
        if let Some(place) = place.get_mut(index as usize) {
            *place = position as u32;
        }
        sums[position + 1] = sums[position].wrapping_add(crate::data::touch(&model.value(index.into())));
    }
    let mut expected = Tally::default();
    for step in 0..done {
        let from = place[index(step) as usize] as usize;
        let to = (from + PAIRS).min(order.len());
        expected.pairs += (to - from) as u64;
        expected.sum = expected.sum.wrapping_add(sums[to].wrapping_sub(sums[from]));
    }
    tally.check("ranges of ten", expected)?;
    Ok(rate(done, time))
}

fn scan(engine: &dyn Engine, model: &Model) -> Result<f64> {
    let expected = model.tally(model.live());
    let start = Instant::now();
    let mut scans = 0;
    while scans == 0 || start.elapsed() < REPEAT {
        let mut tally = Tally::default();
        engine.reader()?.scan(b"", &mut |_, value| tally.add(value))?;
        tally.check("a full scan", expected)?;
        scans += 1;
    }
    Ok(rate(scans * expected.pairs, start.elapsed()))
}

/// Every other key of the load.
fn half(engine: &dyn Engine, model: &mut Model, count: u64) -> Result<f64> {
    let start = Instant::now();
    engine.write(Durability::Sync, &mut |batch| {
        (0..count).step_by(2).try_for_each(|index| {
            model.remove(index);
            batch.delete(&model.data.key(index))
        })
    })?;
    Ok(rate(count.div_ceil(2), start.elapsed()))
}

/// In the lower half of the keys, pairs whose value ends in an even byte; keys looked at a second.
///
/// What an engine cannot do itself is done for it in a batch, so that all have the same content afterwards.
fn conditional(run: &mut Run<'_>, engine: &dyn Engine, model: &mut Model) -> Result<()> {
    let (from, to) = ([0; 24], [0x80; 1]);
    let inside: Vec<_> = model.live().filter(|&index| model.data.key(index)[0] < to[0]).collect();
    let doomed = |value: &[u8]| value.last().is_some_and(|last| last % 2 == 0);
    let gone: Vec<_> = inside.iter().copied().filter(|&index| doomed(&model.value(index))).collect();
    let done = run.measure(CONDITIONAL, || {
        let start = Instant::now();
        let removed = engine.remove_if(&from, &to, Durability::Sync, &mut |_, value| doomed(value))?;
        let time = start.elapsed();
        if removed != gone.len() as u64 {
            return Err(Problem::wrong("pairs removed", gone.len(), removed));
        }
        Ok(rate(inside.len() as u64, time))
    });
    if !done {
        engine.write(Durability::Sync, &mut |batch| {
            gone.iter().try_for_each(|&index| batch.delete(&model.data.key(index)))
        })?;
    }
    gone.iter().for_each(|&index| model.remove(index));
    Ok(())
}

fn pops(engine: &dyn Engine, model: &mut Model, count: u64) -> Result<f64> {
    let order = model.sorted();
    let mut ends = Vec::with_capacity(count as usize);
    let start = Instant::now();
    let done = engine.pop_ends(count, Durability::Sync, &mut || start.elapsed() < ENOUGH, &mut |_, value| {
        ends.push(crate::data::touch(value));
    })?;
    let time = start.elapsed();
    let (mut low, mut high) = (0, order.len());
    for (number, found) in ends.into_iter().enumerate() {
        let index = if number % 2 == 0 {
            low += 1;
            order[low - 1]
        } else {
            high -= 1;
            order[high]
        };
        if found != crate::data::touch(&model.value(index.into())) {
            return Err(Problem::wrong(
                "a popped pair",
                format_args!("index {index}"),
                format_args!("another, pop {number}"),
            ));
        }
        model.remove(index.into());
    }
    model.verify(engine, "a scan after the pops")?;
    Ok(rate(done, time))
}

fn sorted(engine: &dyn Engine, data: &Data, count: u64) -> Result<f64> {
    let start = Instant::now();
    engine.load_sorted(&mut |batch| {
        (0..count).try_for_each(|index| batch.put(&data.sorted_key(index, count), &data.value(index, 1)))
    })?;
    let time = start.elapsed();
    let (mut tally, mut expected) = (Tally::default(), Tally::default());
    engine.reader()?.scan(b"", &mut |_, value| tally.add(value))?;
    (0..count).for_each(|index| expected.add(&data.value(index, 1)));
    tally.check("a scan after the load", expected)?;
    Ok(rate(count, time))
}
