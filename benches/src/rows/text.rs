//! Group `text`: records that look like a catalogue: load, reads, prefix scans, size.

use std::time::Instant;

use super::model::Tally;
use super::timing::{capped, rate};
use super::{Group, RowSpec};
use crate::data::pick;
use crate::engine::{Batch, Durability, Problem, Result, disk_bytes};
use crate::result::{Bound, Unit};
use crate::run::{Run, cpu_seconds, peak_memory_bytes};
use crate::text::Text;

const LOAD: &str = "text: load in one transaction";
const READS: &str = "text: random reads";
const SCANS: &str = "text: prefix scans";
const SIZE: &str = "text: size";
const MEMORY: &str = "text: peak memory";
const CPU: &str = "text: CPU seconds";

/// The group.
pub(super) fn group() -> Group {
    let rows = vec![
        RowSpec::rate(LOAD, Bound::Cpu),
        RowSpec::rate(READS, Bound::Cpu),
        RowSpec::rate(SCANS, Bound::Cpu),
        RowSpec::cost(SIZE, Unit::Bytes, Bound::Size),
        RowSpec::cost(MEMORY, Unit::Bytes, Bound::Memory),
        RowSpec::cost(CPU, Unit::Seconds, Bound::Cpu),
    ];
    Group { name: "text", about: "text keys with shared prefixes, values of mixed size", rows, engines: None, run }
}

fn run(run: &mut Run<'_>) -> Result<()> {
    let text = Text::new(run.seed);
    // Records are larger than those of the other groups: half as many are about as many bytes.
    let count = run.scale / 2;
    let engine = run.open("data")?;
    let dir = run.dir.join("data");
    let load = || {
        let (mut key, mut value) = (Vec::new(), Vec::new());
        let start = Instant::now();
        engine.write(Durability::Sync, &mut |batch: &mut dyn Batch| {
            (0..count).try_for_each(|index| {
                text.key(index, &mut key);
                text.value(index, &key, &mut value);
                batch.put(&key, &value)
            })
        })?;
        Ok(rate(count, start.elapsed()))
    };
    run.required(LOAD, load)?;
    run.settle();
    run.measure(SIZE, || Ok(disk_bytes(&dir)? as f64));

    let mut groups = vec![Tally::default(); Text::PREFIXES as usize];
    let (mut key, mut value) = (Vec::new(), Vec::new());
    for index in 0..count {
        text.key(index, &mut key);
        text.value(index, &key, &mut value);
        groups[text.prefix_of(index) as usize].add(&value);
    }
    run.measure(READS, || {
        let mut reader = engine.reader()?;
        let mut tally = Tally::default();
        let index = |step| pick(1, 1, step, count);
        let (done, time) = capped(count.clamp(200_000, 1_000_000), 1_000, |step| {
            text.key(index(step), &mut key);
            reader.get(&key, &mut |value| tally.add(value)).map(drop)
        })?;
        let mut expected = Tally::default();
        for step in 0..done {
            text.key(index(step), &mut key);
            text.value(index(step), &key, &mut value);
            expected.add(&value);
        }
        tally.check("random reads", expected)?;
        Ok(rate(done, time))
    });
    run.measure(SCANS, || {
        let mut reader = engine.reader()?;
        let mut prefix = Vec::new();
        let (mut tally, mut expected) = (Tally::default(), Tally::default());
        let group = |step| pick(1, 2, step, Text::PREFIXES);
        let (done, time) = capped(20_000, 20, |step| {
            text.prefix(group(step), &mut prefix);
            reader.scan(&prefix, &mut |_, value| tally.add(value)).map(drop)
        })?;
        for step in 0..done {
            let of = groups[group(step) as usize];
            expected.pairs += of.pairs;
            expected.sum = expected.sum.wrapping_add(of.sum);
        }
        tally.check("prefix scans", expected)?;
        Ok(rate(done, time))
    });
    let len = engine.len()?;
    if len != count {
        return Err(Problem::wrong("len()", count, len));
    }
    engine.close()?;
    run.measure(CPU, || Ok(cpu_seconds()));
    run.measure(MEMORY, || Ok(peak_memory_bytes() as f64));
    Ok(())
}
