//! The rows `sustained`: one thread inserts records with random keys, one transaction each and none synchronised, and
//! every insert is timed.
//!
//! The load is closed: the next insert begins when the last one was answered, so an engine that stalls is not met by more
//! work, and its stall shows as the largest latency and as slow seconds. Time that the benchmark itself takes to make a
//! record is part of the throughput, not of the latencies.
//!
//! Checked: the number of records at the end, and a sample of their values.

use std::time::{Duration, Instant};

use crate::engine::{Durability, Result};

use super::histogram::Histogram;
use super::random::Random;
use super::seconds::{Evenness, Seconds};
use super::target::Target;

/// Records that are read back.
const SAMPLE: u64 = 10_000;

/// How an insertion went.
pub(super) struct Sustained {
    /// Records that were inserted.
    pub(super) records: u64,
    /// How long it took.
    pub(super) elapsed: Duration,
    /// Latencies of single inserts.
    pub(super) latency: Histogram,
    /// Records per full second.
    pub(super) per_second: Vec<u64>,
}

/// Inserts `count` records into an empty database, or as many as fit into `limit`.
pub(super) fn run(target: Target<'_>, count: u64, limit: Duration, seed: u64) -> Result<Sustained> {
    let (mut latency, mut seconds, mut value) = (Histogram::new(), Seconds::default(), Vec::new());
    let (began, mut elapsed, mut records) = (Instant::now(), Duration::ZERO, 0);
    while records < count && elapsed < limit {
        target.records.fill(records, 0, &mut value);
        let key = target.records.key(records);
        let before = began.elapsed();
        target.engine.put(&key, &value, Durability::None)?;
        elapsed = began.elapsed();
        latency.record(elapsed - before);
        seconds.record(elapsed);
        records += 1;
    }
    target.expect_len(records)?;
    let mut random = Random::new(seed);
    for _ in 0..SAMPLE.min(records) {
        target.read(random.below(records))?;
    }
    Ok(Sustained { records: latency.total(), elapsed, latency, per_second: seconds.full(elapsed) })
}

/// How even an insertion was; none of one shorter than three seconds.
pub(super) fn evenness(done: &Sustained) -> Option<Evenness> {
    super::seconds::evenness(&done.per_second)
}
