//! `soak`: mixed load on one real database for as long as one likes; answers stay right, and nothing grows.
//!
//! Threads write, overwrite, delete, read, scan, count and hold snapshots, each on keys of its own ([`shard`]), and know
//! what they must find. The amount of live data stays about the same. From time to time everything stands still, is
//! compared whole, and the database is closed and opened again. Meanwhile memory, size of the files, descriptors and
//! threads are measured ([`usage`]): the second half of the run may not need more than the first.

pub mod shard;
pub mod usage;

use super::Plan;
use super::config::{Setup, TINY};
use super::engine::Refusal;
use super::guard::{self, Watch};
use super::report::{Failure, Report};
use halodb::partition::Create;
use halodb::vfs::OsVfs;
use halodb::{Db, Depth};
use shard::Shard;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use usage::Usage;

/// Small enough that memtables freeze, segments turn over and merges run many times a second.
const SETUP: Setup = Setup {
    name: "soak",
    memtable_bytes: 2 << 20,
    segment_bytes: 256 << 10,
    log_limit_bytes: 4 << 20,
    chunk_bytes: 1 << 20,
    ..TINY
};

/// Seconds without `--time`.
pub const DEFAULT_SECONDS: u64 = 60;

/// Lives of the database in a run, about; none is shorter than a second.
const LIVES: u32 = 24;

/// Time between two measurements.
const MEASURE_EVERY: Duration = Duration::from_millis(100);

/// A life takes no longer than this beyond its time, or it hangs.
const GRACE: Duration = Duration::from_secs(120);

/// Runs the campaign for the plan's time; what is counted are operations. The plan's threads are those that write.
pub fn run(plan: &Plan) -> Report {
    let started = Instant::now();
    let time = Duration::from_secs(plan.time_s.unwrap_or(DEFAULT_SECONDS));
    let operations = AtomicU64::new(0);
    let mut lives = Vec::new();
    let outcome = guard::caught(|| live(plan, time, &operations, &mut lives)).unwrap_or_else(Err);
    let outcome = outcome.and_then(|()| usage::judge(&lives));
    let reproduce = format!("cargo xtask soak --seed {} --time {}", plan.seed, time.as_secs());
    let failures: Vec<Failure> = outcome.err().map(|what| Failure { what, reproduce }).into_iter().collect();
    failures.iter().for_each(|failure| eprintln!("{failure}"));
    Report {
        campaign: "soak".into(),
        unit: "operations",
        seed: plan.seed,
        count: operations.into_inner(),
        failures,
        elapsed: started.elapsed(),
        notes: format!("{} lives, {}", lives.len(), usage::summary(&lives)),
    }
}

fn live(plan: &Plan, time: Duration, operations: &AtomicU64, lives: &mut Vec<Usage>) -> Result<(), String> {
    let place = tempfile::tempdir().map_err(|e| format!("cannot make a directory: {e}"))?;
    let dir = place.path().join("data");
    let watch = Watch::new(time / LIVES + Duration::from_secs(1) + GRACE);
    let mut shards: Vec<Shard> = (0..plan.threads.max(2) as u64).map(|number| Shard::new(plan.seed, number)).collect();
    let until = Instant::now() + time;
    let is_over = |done: &AtomicU64| Instant::now() >= until || done.load(Ordering::Relaxed) >= plan.count;
    while !is_over(operations) || lives.is_empty() {
        watch.begin(format!("cargo xtask soak --seed {} --time {}", plan.seed, time.as_secs()));
        let end = Instant::now() + (time / LIVES).max(Duration::from_secs(1));
        let life = one_life(&dir, &mut shards, operations, &|| Instant::now() >= end || is_over(operations))
            .map_err(|what| format!("life {}: {what}", lives.len()))?;
        println!("soak: life {}: {life}", lives.len());
        lives.push(life);
        watch.end();
    }
    Ok(())
}

/// Opens the database, compares it with what the shards know, works until `is_over`, closes it.
fn one_life(
    dir: &Path,
    shards: &mut [Shard],
    operations: &AtomicU64,
    is_over: &dyn Fn() -> bool,
) -> Result<Usage, String> {
    let refused = |e: halodb::Error| format!("refused without reason: {}", Refusal::from(e));
    let db = SETUP.builder(Arc::new(OsVfs), dir, Create::IfMissing).open().map_err(refused)?;
    shards.iter().try_for_each(|shard| shard.compare(&db.snapshot()))?;
    let stop = AtomicBool::new(false);
    let (outcomes, usage) = std::thread::scope(|scope| {
        let threads: Vec<_> = shards
            .iter_mut()
            .map(|shard| scope.spawn(|| guard::caught(|| work(&db, shard, operations, &stop)).unwrap_or_else(Err)))
            .collect();
        let mut usage = Usage::default();
        let mut measured = Ok(());
        while !is_over() && measured.is_ok() && !threads.iter().any(|thread| thread.is_finished()) {
            std::thread::sleep(MEASURE_EVERY);
            measured = Usage::now(dir).map(|now| usage = usage.most(now)).map_err(|e| format!("cannot measure: {e}"));
        }
        stop.store(true, Ordering::Release);
        let ended = threads.into_iter().map(|thread| thread.join().unwrap_or_else(|_| Err("a thread panicked".into())));
        let outcomes: Result<(), String> = ended.collect();
        (outcomes.and(measured), usage)
    });
    outcomes?;
    let report = db.check(Depth::Deep).map_err(refused)?;
    if let Some(finding) = report.findings.first() {
        return Err(format!("check finds {} faults, first: {}", report.findings.len(), finding.what));
    }
    db.close().map_err(refused)?;
    let live_bytes = shards.iter().map(Shard::live_bytes).sum();
    Ok(Usage { live_bytes, ..usage })
}

fn work(db: &Db, shard: &mut Shard, operations: &AtomicU64, stop: &AtomicBool) -> Result<(), String> {
    while !stop.load(Ordering::Acquire) {
        operations.fetch_add(shard.step(db)?, Ordering::Relaxed);
    }
    shard.let_go()?;
    shard.compare(&db.snapshot())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_soak_passes_and_measures() {
        let report = run(&Plan { time_s: Some(2), ..Plan::small(1, u64::MAX) });
        assert!(report.failures.is_empty(), "{report}");
        assert!(report.count > 1_000, "{report}");
    }
}
