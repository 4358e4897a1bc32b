//! Group `tree`: trees in a file, without anything around them: HaloDB's alone, and peers that are nothing else.
//!
//! One file is built by sorted append, the best case for every tree; a second one by one transaction in random order; and
//! the first grows by transactions of random keys, and shrinks, and is read while it grows again. Sizes are those of the whole
//! file.

use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use super::model::Tally;
use super::timing::{ENOUGH, REPEAT, capped, rate};
use super::{Group, RowSpec};
use crate::data::{Data, KEY_BYTES, pick};
use crate::engine::{Batch, Durability, Engine, Problem, Reader, Result, disk_bytes};
use crate::result::{Bound, Unit};
use crate::run::Run;
use crate::text::Text;

const BUILD: &str = "tree: sorted build";
const SIZE: &str = "tree: size after the sorted build";
const GET: &str = "tree: random reads";
const MISSING: &str = "tree: reads of missing keys";
const MULTI: &str = "tree: random reads, 16 keys at once";
const RANGES: &str = "tree: seek + 10";
const SCAN: &str = "tree: full scan, pairs";
const TWO: &str = "tree: random reads, 2 threads";
const FOUR: &str = "tree: random reads, 4 threads";
const MERGES: &str = "tree: transactions of 10,000 random keys, keys";
const MERGED: &str = "tree: size after these transactions";
const GET_MERGED: &str = "tree: random reads after these transactions";
const HALF: &str = "tree: removal of half in one transaction";
const COMPACTED: &str = "tree: size after removal and compaction";
const BESIDE: &str = "tree: random reads beside transactions of 10,000 random keys";
const FOUR_BESIDE: &str = "tree: random reads, 4 threads, beside transactions of 10,000 random keys";
const LOAD: &str = "tree: random load in one transaction";
const GET_LOADED: &str = "tree: random reads, loaded in random order";
const RANGES_LOADED: &str = "tree: seek + 10, loaded in random order";
const TEXT: &str = "tree: random reads, text keys";
const TEXT_RANGES: &str = "tree: seek + 10, text keys";

const MERGE_KEYS: u64 = 10_000;
/// Transactions of [`BESIDE`].
const BESIDE_MERGES: u64 = 20;
/// So many reads of [`BESIDE`] see one version.
const READS_OF_A_VERSION: u64 = 1_000;
const TOGETHER: usize = 16;
const PAIRS: usize = 10;

/// The group.
pub(super) fn group() -> Group {
    let rows = vec![
        RowSpec::rate(BUILD, Bound::Cpu),
        RowSpec::cost(SIZE, Unit::Bytes, Bound::Size),
        RowSpec::rate(GET, Bound::Cpu),
        RowSpec::rate(MISSING, Bound::Cpu),
        RowSpec::rate(MULTI, Bound::Cpu),
        RowSpec::rate(RANGES, Bound::Cpu),
        RowSpec::rate(SCAN, Bound::Cpu),
        RowSpec::rate(TWO, Bound::Cpu),
        RowSpec::rate(FOUR, Bound::Cpu),
        RowSpec::rate(MERGES, Bound::Disk),
        RowSpec::cost(MERGED, Unit::Bytes, Bound::Size),
        RowSpec::rate(GET_MERGED, Bound::Cpu),
        RowSpec::rate(HALF, Bound::Cpu),
        RowSpec::cost(COMPACTED, Unit::Bytes, Bound::Size),
        RowSpec::rate(BESIDE, Bound::Cpu),
        RowSpec::rate(FOUR_BESIDE, Bound::Cpu),
        RowSpec::rate(LOAD, Bound::Cpu),
        RowSpec::rate(GET_LOADED, Bound::Cpu),
        RowSpec::rate(RANGES_LOADED, Bound::Cpu),
        RowSpec::rate(TEXT, Bound::Cpu),
        RowSpec::rate(TEXT_RANGES, Bound::Cpu),
    ];
    let about = "the tree alone: builds, reads, scans, sizes, beside other trees in a file";
    Group { name: "tree", about, rows, engines: Some(&["halodb", "redb", "lmdb"]), run }
}

/// What the first file holds: sorted keys below `count`, of which some may be gone, and others beyond, put one by one.
struct Content {
    data: Data,
    count: u64,
}

impl Content {
    fn key(&self, index: u64) -> [u8; KEY_BYTES] {
        if index < self.count { self.data.sorted_key(index, self.count) } else { self.data.key(index) }
    }

    fn expected(&self, indices: impl Iterator<Item = u64>) -> Tally {
        let mut tally = Tally::default();
        indices.for_each(|index| tally.add(&self.data.value(index, 1)));
        tally
    }
}

fn run(run: &mut Run<'_>) -> Result<()> {
    appended(run)?;
    loaded(run)?;
    text(run)
}

fn appended(run: &mut Run<'_>) -> Result<()> {
    let count = run.scale;
    let content = Content { data: Data::new(run.seed), count };
    let dir = run.dir.join("appended");
    let mut engine = run.open_tree("appended")?;
    run.required(BUILD, || {
        let start = Instant::now();
        engine.load_sorted(&mut |batch| {
            (0..count).try_for_each(|index| batch.put(&content.key(index), &content.data.value(index, 1)))
        })?;
        Ok(rate(count, start.elapsed()))
    })?;
    run.measure(SIZE, || Ok(disk_bytes(&dir)? as f64));
    run.measure(GET, || gets(&*engine, &content, count));
    run.measure(MISSING, || missing(&*engine, &content));
    run.measure(MULTI, || together(&*engine, &content));
    run.measure(RANGES, || sorted_ranges(&*engine, &content));
    run.measure(SCAN, || scan(&*engine, &content));
    run.measure(TWO, || threads(&*engine, &content, 2));
    run.measure(FOUR, || threads(&*engine, &content, 4));

    let more = count / 5 / MERGE_KEYS * MERGE_KEYS;
    run.required(MERGES, || {
        let start = Instant::now();
        for first in (count..count + more).step_by(MERGE_KEYS as usize) {
            engine.write(Durability::Sync, &mut |batch| {
                (first..first + MERGE_KEYS)
                    .try_for_each(|index| batch.put(&content.key(index), &content.data.value(index, 1)))
            })?;
        }
        Ok(rate(more, start.elapsed()))
    })?;
    run.measure(MERGED, || Ok(disk_bytes(&dir)? as f64));
    run.measure(GET_MERGED, || gets(&*engine, &content, count + more));
    run.required(HALF, || {
        let start = Instant::now();
        engine.write(Durability::Sync, &mut |batch| {
            (0..count + more).step_by(2).try_for_each(|index| batch.delete(&content.key(index)))
        })?;
        Ok(rate((count + more).div_ceil(2), start.elapsed()))
    })?;
    run.measure(COMPACTED, || {
        engine.compact()?;
        engine.sync()?;
        let mut tally = Tally::default();
        engine.reader()?.scan(b"", &mut |_, value| tally.add(value))?;
        tally.check("a scan after the compaction", content.expected((1..count + more).step_by(2)))?;
        Ok(disk_bytes(&dir)? as f64)
    });
    let new = |times: u64| count + more + times * BESIDE_MERGES * MERGE_KEYS;
    run.measure(BESIDE, || reads_beside_merges(&*engine, &content, count + more, new(0), 1));
    run.measure(FOUR_BESIDE, || reads_beside_merges(&*engine, &content, count + more, new(1), 4));
    engine.close()?;
    Ok(std::fs::remove_dir_all(&dir)?)
}

fn read_count(count: u64) -> u64 {
    count.clamp(200_000, 1_000_000)
}

fn gets(engine: &dyn Engine, content: &Content, below: u64) -> Result<f64> {
    let index = |step| pick(1, 2, step, below);
    let mut reader = engine.reader()?;
    let mut tally = Tally::default();
    let (done, time) = capped(read_count(below), 1_000, |step| {
        reader.get(&content.key(index(step)), &mut |value| tally.add(value)).map(drop)
    })?;
    tally.check("random reads", content.expected((0..done).map(index)))?;
    Ok(rate(done, time))
}

fn missing(engine: &dyn Engine, content: &Content) -> Result<f64> {
    let mut reader = engine.reader()?;
    let mut found = 0u64;
    let (done, time) = capped(read_count(content.count), 1_000, |step| {
        let mut key = content.key(pick(1, 3, step, content.count));
        key[KEY_BYTES - 1] ^= 0x55;
        found += u64::from(reader.get(&key, &mut |_| ())?);
        Ok(())
    })?;
    if found > 0 {
        return Err(Problem::wrong("keys found that are not there", 0, found));
    }
    Ok(rate(done, time))
}

/// Keys a second, when many are asked for in one call.
fn together(engine: &dyn Engine, content: &Content) -> Result<f64> {
    let index = |step: u64, place: usize| pick(1, 4, step * TOGETHER as u64 + place as u64, content.count);
    let mut reader = engine.reader()?;
    let mut tally = Tally::default();
    let (done, time) = capped(read_count(content.count) / TOGETHER as u64, 100, |step| {
        let keys: [_; TOGETHER] = std::array::from_fn(|place| content.key(index(step, place)));
        let keys = keys.each_ref().map(|key| &key[..]);
        reader.multi_get(&keys, &mut |value| tally.add(value)).map(drop)
    })?;
    let indices = (0..done).flat_map(|step| (0..TOGETHER).map(move |place| index(step, place)));
    tally.check("reads of many keys", content.expected(indices))?;
    Ok(rate(done * TOGETHER as u64, time))
}

fn seeks(
    reader: &mut dyn Reader,
    total: u64,
    mut key: impl FnMut(u64) -> [u8; KEY_BYTES],
) -> Result<(u64, f64, Tally)> {
    let mut tally = Tally::default();
    let (done, time) =
        capped(total, 500, |step| reader.seek(&key(step), PAIRS, &mut |_, value| tally.add(value)).map(drop))?;
    Ok((done, rate(done, time), tally))
}

fn sorted_ranges(engine: &dyn Engine, content: &Content) -> Result<f64> {
    let count = content.count;
    let index = |step| pick(1, 5, step, count);
    let mut reader = engine.reader()?;
    let (done, rate, tally) = seeks(&mut *reader, read_count(count) / 2, |step| content.key(index(step)))?;
    let ranges = (0..done).flat_map(|step| index(step)..(index(step) + PAIRS as u64).min(count));
    tally.check("ranges of ten", content.expected(ranges))?;
    Ok(rate)
}

fn scan(engine: &dyn Engine, content: &Content) -> Result<f64> {
    let expected = content.expected(0..content.count);
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

/// Reads a second of all threads together, all beginning at once.
fn threads(engine: &dyn Engine, content: &Content, threads: u64) -> Result<f64> {
    let begin = Barrier::new(threads as usize + 1);
    let index = |thread: u64, step: u64| pick(1, 100 + thread, step, content.count);
    let one = |thread: u64| -> Result<(u64, Tally)> {
        let reader = engine.reader();
        begin.wait();
        let mut reader = reader?;
        let mut tally = Tally::default();
        let (done, _) = capped(1_000_000, 1_000, |step| {
            reader.get(&content.key(index(thread, step)), &mut |value| tally.add(value)).map(drop)
        })?;
        Ok((done, tally))
    };
    std::thread::scope(|scope| {
        let one = &one;
        let running: Vec<_> = (0..threads).map(|thread| scope.spawn(move || one(thread))).collect();
        begin.wait();
        let start = Instant::now();
        let answers: Vec<_> = running.into_iter().map(|thread| thread.join()).collect();
        let time = start.elapsed();
        let mut reads = 0;
        for (thread, answer) in (0..).zip(answers) {
            let (done, tally) = answer.map_err(|_| Problem::Failed("a reader panicked".into()))??;
            tally.check("reads of a thread", content.expected((0..done).map(|step| index(thread, step))))?;
            reads += done;
        }
        Ok(rate(reads, time))
    })
}

/// Reads a second of some threads together, of those of the first `count` keys that have stayed, while another one puts new keys
/// from `first_new` on, a durable transaction after another. A reader that began before does not stop the writer, so readers
/// are renewed every few reads.
fn reads_beside_merges(
    engine: &dyn Engine,
    content: &Content,
    count: u64,
    first_new: u64,
    readers: u64,
) -> Result<f64> {
    let written = AtomicBool::new(false);
    let write = || -> Result<()> {
        let start = Instant::now();
        let new = (0..BESIDE_MERGES).map(|merge| first_new + merge * MERGE_KEYS);
        for first in new.take_while(|first| *first == first_new || start.elapsed() < ENOUGH) {
            engine.write(Durability::Sync, &mut |batch| {
                (first..first + MERGE_KEYS)
                    .try_for_each(|index| batch.put(&content.key(index), &content.data.value(index, 1)))
            })?;
        }
        Ok(())
    };
    // The odd ones are those that the removal of half has left.
    let index = |reader: u64, step: u64| 2 * pick(1, 900 + reader, step, count / 2) + 1;
    let read = |number: u64| -> Result<(u64, Tally)> {
        let (mut tally, mut done) = (Tally::default(), 0);
        while !written.load(Ordering::Acquire) {
            let mut reader = engine.reader()?;
            for step in done..done + READS_OF_A_VERSION {
                reader.get(&content.key(index(number, step)), &mut |value| tally.add(value))?;
            }
            done += READS_OF_A_VERSION;
        }
        Ok((done, tally))
    };
    std::thread::scope(|scope| {
        let start = Instant::now();
        let writing = scope.spawn(|| {
            let done = write();
            written.store(true, Ordering::Release);
            done
        });
        let read = &read;
        let reading: Vec<_> = (0..readers).map(|number| scope.spawn(move || read(number))).collect();
        let answers: Vec<_> = reading.into_iter().map(|reader| reader.join()).collect();
        let time = start.elapsed();
        writing.join().map_err(|_| Problem::Failed("the writer panicked".into()))??;
        let mut reads = 0;
        for (number, answer) in (0..).zip(answers) {
            let (done, tally) = answer.map_err(|_| Problem::Failed("a reader panicked".into()))??;
            tally.check("reads beside transactions", content.expected((0..done).map(|step| index(number, step))))?;
            reads += done;
        }
        Ok(rate(reads, time))
    })
}

fn loaded(run: &mut Run<'_>) -> Result<()> {
    if !(run.wants(LOAD) || run.wants(GET_LOADED) || run.wants(RANGES_LOADED)) {
        return Ok(());
    }
    let count = run.scale;
    let data = Data::new(run.seed);
    let dir = run.dir.join("loaded");
    let engine = run.open_tree("loaded")?;
    run.required(LOAD, || {
        let start = Instant::now();
        engine.write(Durability::Sync, &mut |batch| {
            (0..count).try_for_each(|index| batch.put(&data.key(index), &data.value(index, 1)))
        })?;
        Ok(rate(count, start.elapsed()))
    })?;
    run.measure(GET_LOADED, || {
        let index = |step| pick(1, 6, step, count);
        let mut reader = engine.reader()?;
        let mut tally = Tally::default();
        let (done, time) = capped(read_count(count), 1_000, |step| {
            reader.get(&data.key(index(step)), &mut |value| tally.add(value)).map(drop)
        })?;
        let mut expected = Tally::default();
        (0..done).for_each(|step| expected.add(&data.value(index(step), 1)));
        tally.check("random reads", expected)?;
        Ok(rate(done, time))
    });
    run.measure(RANGES_LOADED, || {
        let mut reader = engine.reader()?;
        let (done, rate, tally) = seeks(&mut *reader, read_count(count) / 2, |step| data.key(pick(1, 7, step, count)))?;
        // Ten each, but for those that begin among the last nine keys.
        let most = done * PAIRS as u64;
        if tally.pairs > most || tally.pairs * 100 < most * 99 {
            return Err(Problem::wrong("pairs of ranges", most, tally.pairs));
        }
        Ok(rate)
    });
    engine.close()?;
    Ok(std::fs::remove_dir_all(&dir)?)
}

fn text(run: &mut Run<'_>) -> Result<()> {
    if !(run.wants(TEXT) || run.wants(TEXT_RANGES)) {
        return Ok(());
    }
    let text = Text::new(run.seed);
    let count = run.scale / 2;
    let mut keys: Vec<(Vec<u8>, u64)> = (0..count)
        .map(|index| {
            let mut key = Vec::new();
            text.key(index, &mut key);
            (key, index)
        })
        .collect();
    keys.sort_unstable();
    let mut value = Vec::new();
    let mut sums = Vec::with_capacity(keys.len() + 1);
    sums.push(0u64);
    for (key, index) in &keys {
        text.value(*index, key, &mut value);
        sums.push(sums[sums.len() - 1].wrapping_add(crate::data::touch(&value)));
    }
    let engine = run.open_tree("text")?;
    engine.load_sorted(&mut |batch: &mut dyn Batch| {
        keys.iter().try_for_each(|(key, index)| {
            text.value(*index, key, &mut value);
            batch.put(key, &value)
        })
    })?;
    let mut places = vec![0; keys.len()];
    keys.iter().enumerate().for_each(|(place, (_, index))| places[*index as usize] = place);
    let sum = |from: usize, to: usize| Tally { pairs: (to - from) as u64, sum: sums[to].wrapping_sub(sums[from]) };
    // Keys are made where they are needed: to look them up in a table would wait for memory as the engine does.
    let index = |step| pick(1, 8, step, count);
    let place = |step| places[index(step) as usize];
    let check = |tally: Tally, done: u64, pairs: usize| {
        let mut expected = Tally::default();
        for from in (0..done).map(place) {
            let part = sum(from, (from + pairs).min(keys.len()));
            expected.pairs += part.pairs;
            expected.sum = expected.sum.wrapping_add(part.sum);
        }
        tally.check("text keys", expected)
    };
    run.measure(TEXT, || {
        let mut reader = engine.reader()?;
        let (mut tally, mut key) = (Tally::default(), Vec::new());
        let (done, time) = capped(read_count(count), 1_000, |step| {
            text.key(index(step), &mut key);
            reader.get(&key, &mut |value| tally.add(value)).map(drop)
        })?;
        check(tally, done, 1)?;
        Ok(rate(done, time))
    });
    run.measure(TEXT_RANGES, || {
        let mut reader = engine.reader()?;
        let (mut tally, mut key) = (Tally::default(), Vec::new());
        let (done, time) = capped(read_count(count) / 2, 500, |step| {
            text.key(index(step), &mut key);
            reader.seek(&key, PAIRS, &mut |_, value| tally.add(value)).map(drop)
        })?;
        check(tally, done, PAIRS)?;
        Ok(rate(done, time))
    });
    engine.close()
}
