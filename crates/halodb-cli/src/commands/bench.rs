//! `bench`: what this machine does with HaloDB, measured in a directory of its own that is removed afterwards, also after Ctrl-C.
//!
//! Beside the figures stands what bounds them: how often the disk synchronises one block (`fdatasync`). What is absent: other
//! engines, and any statement about a machine that was not measured.
//!
//! Rooms: `load` runs one kind of operation and counts it, `latencies` keeps times, `scratch` owns the directory, `report` writes.

mod latencies;
mod load;
mod report;
mod scratch;

use crate::args::Bench;
use crate::failure::Result;
use crate::output::{Format, Working};
use crate::session::Session;
use crate::signals;
use halodb::{Batch, Db, Durability, WriteOptions};
use load::{Extent, Row, run};
use report::Report;
use scratch::Scratch;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Longest time of a row that has no natural end.
const TIME: Duration = Duration::from_secs(3);
/// Time of a row of reads: however many there are in it.
const READ_TIME: Duration = Duration::from_millis(500);
/// Longest time for which the bare disk is measured.
const DISK_TIME: Duration = Duration::from_millis(1500);
/// Records in a batch.
const BATCH: u64 = 1000;
/// Bytes in a batch at most: large values make smaller ones.
const BATCH_BYTES: u64 = 8 << 20;
/// Bytes from which values are cut.
const NOISE: usize = 1 << 20;

/// `bench [--records N] [--value-size BYTES] [--threads N] [--dir DIR]`.
pub(crate) fn run_all(session: &mut Session, arguments: &Bench, format: Format) -> Result<()> {
    // The loops below look for Ctrl-C themselves, and the directory must be removed after it.
    let patience = signals::Patience::new();
    let scratch = Scratch::make(&parent(session, arguments)?)?;
    let mut report = Report::new(arguments, scratch.path());
    let measured = measure(session, arguments, &scratch, &mut report);
    let left = scratch.remove();
    drop(patience);
    measured?;
    report.write(&mut session.out, format)?;
    left
}

/// Where the directory is made: on the disk of the database.
fn parent(session: &Session, arguments: &Bench) -> Result<PathBuf> {
    if let Some(dir) = &arguments.dir {
        return Ok(dir.clone());
    }
    let directory = session.place.directory()?;
    let existing = directory.ancestors().find(|path| path.is_dir()).unwrap_or(Path::new(""));
    // Beside the database, not inside it.
    let beside = if existing == directory { existing.parent().unwrap_or(existing) } else { existing };
    Ok(if beside.as_os_str().is_empty() { PathBuf::from(".") } else { beside.to_path_buf() })
}

fn measure(session: &Session, arguments: &Bench, scratch: &Scratch, report: &mut Report) -> Result<()> {
    let bar = Working::on("measuring");
    let mut row = |name: String, measured: Result<Row>| {
        report.add(name, measured?);
        signals::check()
    };
    bar.say(|| "measuring the disk".into());
    let disk = scratch.block_file()?;
    let once = Extent { threads: 1, operations: u64::MAX, time: DISK_TIME };
    row("disk: fdatasync of 4 KiB".into(), run(once, |i| scratch::synchronise(&disk, i)))?;
    drop(disk);

    let db = session.place.open_in(&scratch.path().join("data"))?;
    let data = Data::new(arguments);
    bar.say(|| "measuring writes".into());
    let timed = |threads| Extent { threads, operations: arguments.records, time: TIME };
    let put = |level: Durability| {
        let (db, data) = (&db, &data);
        move |i: u64| -> Result<()> {
            db.put_with(key(i), data.value(i), &WriteOptions::new().durability(level))?;
            Ok(())
        }
    };
    row("put, durable".into(), run(timed(1), put(Durability::Sync)))?;
    if arguments.threads > 1 {
        row(
            format!("put, durable, {} threads", arguments.threads),
            run(timed(arguments.threads), put(Durability::Sync)),
        )?;
    }
    row("put, buffered".into(), run(timed(1), put(Durability::Buffered)))?;
    bar.say(|| "writing everything".into());
    let batch = BATCH.min(BATCH_BYTES / (data.value_bytes as u64 + 16)).min(arguments.records).max(1);
    let batches = Extent { threads: 1, operations: arguments.records.div_ceil(batch), time: Duration::MAX };
    let written = run(batches, |i| {
        let numbers = i * batch..(i * batch + batch).min(arguments.records);
        let filled: Batch = numbers.fold(db.batch(), |filled, i| filled.put(key(i), data.value(i)));
        filled.durability(Durability::Sync).commit()?;
        Ok(())
    });
    row(
        format!("put in batches of {batch}, durable"),
        written.map(|row| row.of_many(arguments.records as f64 / batches.operations as f64)),
    )?;
    // From here on the trees answer, as they do in a database that was not just written.
    bar.say(|| "merging".into());
    db.flush()?;
    signals::check()?;

    bar.say(|| "measuring reads".into());
    let records = arguments.records;
    let reads = |threads| Extent { threads, operations: u64::MAX, time: READ_TIME };
    let get = |beyond: u64| {
        let db = &db;
        move |i: u64| -> Result<()> {
            black_box(db.get_with(key(spread(i, records) + beyond), <[u8]>::len)?);
            Ok(())
        }
    };
    row("get".into(), run(reads(1), get(0)))?;
    if arguments.threads > 1 {
        row(format!("get, {} threads", arguments.threads), run(reads(arguments.threads), get(0)))?;
    }
    row("get of a missing key".into(), run(reads(1), get(u64::from(u32::MAX))))?;
    let seek = |i: u64| {
        black_box(db.range(key(spread(i, records)).as_slice()..).next().transpose()?);
        Ok(())
    };
    row("seek and first pair".into(), run(reads(1), seek))?;
    row("scan, per pair".into(), scan(&db))?;
    let space = db.space()?;
    let trees = space.partitions.iter().map(|part| part.file_bytes).sum();
    report.size(trees, space.log.needed + space.log.spare, records * (data.value_bytes as u64 + 16));
    Ok(())
}

/// The pairs of the whole database, one after another.
fn scan(db: &Db) -> Result<Row> {
    let mut pairs = db.iter();
    // A thousand at a time, because a look at the clock takes as long as a pair.
    let thousands = Extent { threads: 1, operations: db.len()?.div_ceil(1000).max(1), time: TIME };
    let mut seen = 0u64;
    let row = load::run_one(thousands, |_| {
        for pair in pairs.by_ref().take(1000) {
            let (key, value) = pair?;
            seen += 1;
            black_box(key.len() + value.len());
        }
        Ok(())
    })?;
    let per_step = seen as f64 / row.operations().max(1) as f64;
    Ok(row.of_many(per_step))
}

/// Values to write.
struct Data {
    noise: Vec<u8>,
    value_bytes: usize,
}

impl Data {
    fn new(arguments: &Bench) -> Self {
        let value_bytes = arguments.value_size as usize;
        let words = (0..((NOISE + value_bytes) / 8 + 1) as u64).flat_map(|i| mix(i).to_le_bytes());
        Data { noise: words.collect(), value_bytes }
    }

    fn value(&self, i: u64) -> &[u8] {
        let from = (mix(i) % NOISE as u64) as usize;
        &self.noise[from..from + self.value_bytes]
    }
}

/// Number `i` of a walk over the records in no order.
fn spread(i: u64, records: u64) -> u64 {
    mix(i ^ 0x5bd1_e995) % records.max(1)
}

/// The key of record `i`: 16 digits in no order, each number another key.
fn key(i: u64) -> [u8; 16] {
    let mixed = mix(i);
    std::array::from_fn(|digit| b"0123456789abcdef"[(mixed >> (60 - 4 * digit)) as usize & 15])
}

/// A number that looks drawn, another one for each: the finaliser of SplitMix64 (Steele, Lea, Flood, 2014).
fn mix(i: u64) -> u64 {
    let mut z = i.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_all_different_and_values_have_their_length() {
        let keys: std::collections::BTreeSet<_> = (0..10_000).map(key).collect();
        assert_eq!(keys.len(), 10_000);
        assert!(keys.iter().flatten().all(u8::is_ascii_hexdigit));
        let arguments = Bench { records: 1, value_size: 100, threads: 1, dir: None };
        let data = Data::new(&arguments);
        assert!((0..1000).all(|i| data.value(i).len() == 100));
        assert!((0..1000).all(|i| spread(i, 7) < 7));
    }
}
