//! Runs one kind of operation, in one thread or many, until its number or its time is reached, and counts and times it.

use super::latencies::Latencies;
use crate::failure::Result;
use crate::signals;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// How much of an operation is run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Extent {
    /// Threads that share the operations.
    pub(super) threads: u32,
    /// Operations at most.
    pub(super) operations: u64,
    /// Time after which none is begun.
    pub(super) time: Duration,
}

/// What was measured.
#[derive(Clone, Debug, Default)]
pub(super) struct Row {
    times: Latencies,
    /// From the beginning of the first to the end of the last.
    pub(super) elapsed: Duration,
    /// Things that one operation does.
    each: Option<f64>,
    /// Threads.
    pub(super) threads: u32,
}

impl Row {
    /// The same, if one operation did so many things, which are to be counted.
    pub(super) fn of_many(mut self, each: f64) -> Row {
        self.each = Some(each);
        self
    }

    /// Number of things.
    pub(super) fn operations(&self) -> u64 {
        (self.times.total() as f64 * self.each.unwrap_or(1.0)).round() as u64
    }

    /// Things per second.
    pub(super) fn rate(&self) -> f64 {
        self.operations() as f64 / self.elapsed.as_secs_f64().max(1e-9)
    }

    /// The time that so great a part of the operations did not exceed, in microseconds; of many things at once: of each.
    pub(super) fn percentile_us(&self, part: f64) -> f64 {
        self.times.percentile(part) as f64 / 1000.0 / self.each.unwrap_or(1.0).max(1.0)
    }
}

/// Runs operations with the numbers from 0 on. The first failure ends it, and so does Ctrl-C.
pub(super) fn run(extent: Extent, operation: impl Fn(u64) -> Result<()> + Sync) -> Result<Row> {
    let next = AtomicU64::new(0);
    let begun = Instant::now();
    let one = || one(extent, begun, || next.fetch_add(1, Ordering::Relaxed), &operation);
    let all: Vec<Result<Latencies>> = thread::scope(|scope| {
        let threads: Vec<_> = (1..extent.threads).map(|_| scope.spawn(one)).collect();
        let own = one();
        let others =
            threads.into_iter().map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        std::iter::once(own).chain(others).collect()
    });
    let mut row = Row { elapsed: begun.elapsed(), threads: extent.threads, ..Row::default() };
    for times in all {
        row.times.merge(&times?);
    }
    Ok(row)
}

/// As [`run`], in this thread alone, for operations that change something.
pub(super) fn run_one(extent: Extent, operation: impl FnMut(u64) -> Result<()>) -> Result<Row> {
    let begun = Instant::now();
    let mut numbers = 0..u64::MAX;
    let times = one(extent, begun, || numbers.next().unwrap_or(u64::MAX), operation)?;
    Ok(Row { times, elapsed: begun.elapsed(), each: None, threads: 1 })
}

fn one(
    extent: Extent,
    begun: Instant,
    mut number: impl FnMut() -> u64,
    mut operation: impl FnMut(u64) -> Result<()>,
) -> Result<Latencies> {
    let mut times = Latencies::default();
    let mut before = Instant::now();
    while !signals::interrupted() && before.duration_since(begun) < extent.time {
        let number = number();
        if number >= extent.operations {
            break;
        }
        operation(number)?;
        let now = Instant::now();
        times.add(u64::try_from(now.duration_since(before).as_nanos()).unwrap_or(u64::MAX));
        before = now;
    }
    Ok(times)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::Failure;
    use std::collections::BTreeSet;
    use std::sync::Mutex;

    #[test]
    fn threads_share_the_operations_and_each_is_done_once() {
        let seen = Mutex::new(BTreeSet::new());
        let extent = Extent { threads: 3, operations: 1000, time: Duration::MAX };
        let row = run(extent, |i| {
            assert!(seen.lock().unwrap().insert(i));
            Ok(())
        })
        .unwrap();
        assert_eq!((row.operations(), seen.lock().unwrap().len()), (1000, 1000));
        assert_eq!(row.clone().of_many(2.5).operations(), 2500);
    }

    #[test]
    fn a_failure_ends_it_and_so_does_the_time() {
        let extent = Extent { threads: 2, operations: u64::MAX, time: Duration::MAX };
        let failed = run(extent, |i| if i < 10 { Ok(()) } else { Err(Failure::usage("enough")) });
        assert!(failed.is_err());
        let short = Extent { threads: 1, operations: u64::MAX, time: Duration::from_millis(5) };
        assert!(run_one(short, |_| Ok(())).unwrap().elapsed < Duration::from_secs(5));
    }
}
