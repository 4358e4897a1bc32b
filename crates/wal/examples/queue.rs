//! A durable queue: jobs are appended by several threads, worked off in order, and survive a process that dies.
//!
//! The log keeps the jobs; how far the worker has come is kept in a small file of its own, replaced by rename. Run it twice with
//! the same directory, and the second run starts where the first one ended:
//!
//! ```text
//! cargo run -p halodb-wal --example queue -- /tmp/queue
//! ```

use halodb_vfs::{FileExt, OpenMode, OsVfs, Vfs};
use halodb_wal::{Durability, Error, Known, Lsn, RecordKind, Wal, WalOptions};
use std::error::Error as StdError;
use std::path::{Path, PathBuf};
use std::sync::Arc;

type Result<T> = std::result::Result<T, Box<dyn StdError>>;

fn main() -> Result<()> {
    let given = std::env::args().nth(1).map(PathBuf::from);
    let temporary = given.is_none().then(|| std::env::temp_dir().join(format!("queue-{}", std::process::id())));
    let dir = given.or(temporary.clone()).expect("one of the two");
    for round in 1..=2 {
        println!("round {round}");
        run(&dir)?;
    }
    if let Some(dir) = temporary {
        std::fs::remove_dir_all(dir)?;
    }
    Ok(())
}

/// One process's life: open, produce, consume, and die without a word.
fn run(dir: &Path) -> Result<()> {
    let vfs: Arc<dyn Vfs> = Arc::new(OsVfs);
    let done = Lsn(read_done(dir));
    let wal = open(vfs.clone(), dir, done)?;

    // Producers: each job is durable when its append returns; the threads share their syncs.
    std::thread::scope(|s| {
        for producer in 0..4 {
            let wal = &wal;
            s.spawn(move || {
                for job in 0..50 {
                    let payload = format!("job {job} of producer {producer}").into_bytes();
                    wal.append(payload, 0, Durability::Sync).expect("a job is queued");
                }
            });
        }
    });
    let stats = wal.stats();
    println!("  {} jobs queued with {} synchronisations", stats.records, stats.syncs);

    // The consumer: works off all but the last ten, and remembers how far it came.
    let mut worked = 0;
    let mut last = done;
    let stop = wal.appended().0 - 10;
    wal.read_from(Lsn(done.0 + 1), &mut |record| {
        if record.kind == RecordKind::Commit {
            worked += 1;
        }
        last = record.lsn;
        record.lsn.0 < stop
    })?;
    write_done(&*vfs, dir, last.0)?;
    wal.recycle(Lsn(last.0 + 1))?;
    println!("  {worked} jobs worked off, up to number {last}");
    Ok(())
}

fn open(vfs: Arc<dyn Vfs>, dir: &Path, done: Lsn) -> Result<Wal> {
    let log = dir.join("log");
    let options = WalOptions::new(*b"a queue of jobs!", 1);
    if !log.exists() {
        std::fs::create_dir_all(&log)?;
        return Ok(Wal::create(vfs, &log, options)?);
    }
    let known = Known { applied_min: done, applied_max: done, synced: done };
    let mut waiting = 0;
    let recovery = Wal::recover(vfs, &log, options, known, &mut |record| {
        waiting += u64::from(record.kind == RecordKind::Commit);
        Ok::<(), Error>(())
    })?;
    if let Some(tail) = recovery.dropped() {
        println!("  an unproven tail from number {} on was dropped", tail.from);
    }
    println!("  {waiting} jobs were waiting");
    Ok(recovery.into_wal()?)
}

fn read_done(dir: &Path) -> u64 {
    std::fs::read_to_string(dir.join("done")).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0)
}

fn write_done(vfs: &dyn Vfs, dir: &Path, done: u64) -> Result<()> {
    let temporary = dir.join("done.tmp");
    let file = vfs.open(&temporary, OpenMode::Create)?;
    file.set_len(0)?;
    file.write_all_at(format!("{done}\n").as_bytes(), 0)?;
    file.sync_all()?;
    vfs.rename(&temporary, &dir.join("done"))?;
    vfs.sync_dir(dir)?;
    Ok(())
}
