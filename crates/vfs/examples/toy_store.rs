//! A toy store of keys and values, written against `Vfs`, with a mistake planted in it, and the crash loop that finds it.
//!
//! Run with `cargo run -p halodb-vfs --example toy_store`. The program fails if the mistake is not found, or if the store
//! without it is blamed.
//!
//! ```text
//! log        one record for each put, synchronised before the put returns
//! snapshot   the same records, one for each key; compacting writes it and empties the log
//! record     length of the text u8, sum of its bytes u32 LE, the text key=value
//! ```

use halodb_vfs::sim::CrashMode;
use halodb_vfs::{File, FileExt, OpenMode, SimVfs, Vfs};
use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

type Map = BTreeMap<String, String>;

/// How the store compacts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Compaction {
    /// Empties the log when the new snapshot has its name for certain.
    Careful,
    /// Empties the log when the new snapshot has its name: the directory was not synchronised. The planted mistake.
    Hasty,
}

struct Store {
    disk: Arc<dyn Vfs>,
    log: Arc<dyn File>,
    end: u64,
    now: Map,
    compaction: Compaction,
}

impl Store {
    fn open(disk: Arc<dyn Vfs>, compaction: Compaction) -> io::Result<Store> {
        let mut now = Map::new();
        if disk.kind(Path::new("snapshot"))?.is_some() {
            replay(&*disk.open(Path::new("snapshot"), OpenMode::Read)?, &mut now)?;
        }
        let log = disk.open(Path::new("log"), OpenMode::Create)?;
        disk.sync_dir(Path::new(""))?;
        let end = replay(&*log, &mut now)?;
        Ok(Store { disk, log, end, now, compaction })
    }

    fn put(&mut self, key: &str, value: &str) -> io::Result<()> {
        let record = record(key, value);
        self.log.write_all_at(&record, self.end)?;
        self.log.sync_data()?;
        self.end += record.len() as u64;
        self.now.insert(key.to_owned(), value.to_owned());
        Ok(())
    }

    fn compact(&mut self) -> io::Result<()> {
        let snapshot = self.disk.open(Path::new("snapshot.tmp"), OpenMode::Create)?;
        snapshot.set_len(0)?;
        let bytes: Vec<u8> = self.now.iter().flat_map(|(key, value)| record(key, value)).collect();
        snapshot.write_all_at(&bytes, 0)?;
        snapshot.sync_data()?;
        self.disk.rename(Path::new("snapshot.tmp"), Path::new("snapshot"))?;
        if self.compaction == Compaction::Careful {
            self.disk.sync_dir(Path::new(""))?;
        }
        self.log.set_len(0)?;
        self.log.sync_data()?;
        self.end = 0;
        Ok(())
    }
}

fn record(key: &str, value: &str) -> Vec<u8> {
    let text = format!("{key}={value}");
    let sum: u32 = text.bytes().map(u32::from).sum();
    [&[text.len() as u8][..], &sum.to_le_bytes(), text.as_bytes()].concat()
}

/// Applies the records of a file up to the first that is none; where that begins.
fn replay(file: &dyn File, map: &mut Map) -> io::Result<u64> {
    let mut bytes = vec![0; file.len()? as usize];
    file.read_exact_at(&mut bytes, 0)?;
    let mut at = 0;
    while let Some((key, value, len)) = bytes.get(at..).and_then(first_record) {
        map.insert(key, value);
        at += len;
    }
    Ok(at as u64)
}

fn first_record(bytes: &[u8]) -> Option<(String, String, usize)> {
    let (&len, rest) = bytes.split_first()?;
    let (sum, rest) = rest.split_first_chunk::<4>()?;
    let text = rest.get(..usize::from(len))?;
    let right = text.iter().map(|byte| u32::from(*byte)).sum::<u32>() == u32::from_le_bytes(*sum);
    let (key, value) = std::str::from_utf8(text).ok().filter(|_| right)?.split_once('=')?;
    Some((key.to_owned(), value.to_owned(), 1 + 4 + text.len()))
}

/// What the store had promised when the disk had seen so many operations.
struct Promise {
    ops: u64,
    state: Map,
}

/// Runs the store once; the disk remembers every operation, and this function every promise.
fn run(compaction: Compaction) -> io::Result<(SimVfs, Vec<Promise>)> {
    let disk = SimVfs::new();
    let mut store = Store::open(Arc::new(disk.clone()), compaction)?;
    let mut promises = vec![Promise { ops: 0, state: Map::new() }];
    for number in 0..12 {
        store.put(&format!("k{}", number % 5), &"v".repeat(number * 7))?;
        promises.push(Promise { ops: disk.ops(), state: store.now.clone() });
        if number % 4 == 3 {
            store.compact()?;
        }
    }
    Ok((disk, promises))
}

/// The crash loop: a power loss at every operation, in every mode. What is found must be what was promised last, or that
/// and the put under way. The number of images, or the first that breaks a promise.
fn lose_power_everywhere(disk: &SimVfs, promises: &[Promise], compaction: Compaction) -> Result<u64, String> {
    let mut images = 0;
    for at in 0..=disk.ops() {
        let kept = promises.partition_point(|promise| promise.ops <= at) - 1;
        let allowed = &promises[kept..promises.len().min(kept + 2)];
        for &mode in CrashMode::ALL {
            for seed in 0..20 {
                let place = || format!("power lost after operation {at}, mode {mode:?}, seed {seed}");
                let image = disk.crash_image(at, mode, seed);
                let store = Store::open(Arc::new(image), compaction).map_err(|e| format!("{}: {e}", place()))?;
                if !allowed.iter().any(|promise| promise.state == store.now) {
                    let (promised, found) = (&allowed[0].state, &store.now);
                    return Err(format!("{}:\n  promised {promised:?}\n  found    {found:?}", place()));
                }
                images += 1;
            }
        }
    }
    Ok(images)
}

fn main() -> io::Result<ExitCode> {
    let mut right = true;
    for compaction in [Compaction::Hasty, Compaction::Careful] {
        let (disk, promises) = run(compaction)?;
        let outcome = lose_power_everywhere(&disk, &promises, compaction);
        match &outcome {
            Err(what) => println!("{compaction:?}: FOUND, {what}"),
            Ok(images) => println!("{compaction:?}: {images} power losses, no promise broken"),
        }
        right &= outcome.is_err() == (compaction == Compaction::Hasty);
    }
    Ok(if right { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
