//! [`Histogram`]: how long calls took, on a scale of powers of two in four steps each; and its writer, [`Recorder`].
//!
//! ```text
//! nanoseconds  0 1 2 3 | 4 5 6 7 | 8 10 12 14 | 16 20 24 28 | 32 …            bucket = 4 · (exponent − 1) + the next two bits
//! bucket       0 1 2 3 | 4 5 6 7 | 8  9 10 11 | 12 …
//! ```
//!
//! So a bucket's width is a quarter of its beginning at most, as in HdrHistogram with few digits, and adding is one increment.
//! The last bucket takes everything from half an hour on. Counts only grow, so what happened between two looks is the difference.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Up to 2^41 nanoseconds.
const BUCKETS: usize = 160;

fn bucket(ns: u64) -> usize {
    match ns {
        0..4 => ns as usize,
        _ => {
            let exponent = ns.ilog2() as usize;
            let step = (ns >> (exponent - 2)) as usize & 3;
            (4 * (exponent - 1) + step).min(BUCKETS - 1)
        }
    }
}

/// The greatest number of nanoseconds in a bucket.
fn upper_ns(bucket: usize) -> u64 {
    match bucket {
        0..4 => bucket as u64,
        _ => {
            let shift = bucket / 4 - 1;
            (((4 + bucket % 4) as u64) << shift) + ((1 << shift) - 1)
        }
    }
}

/// How many calls took how long: plain numbers, counted since the open.
///
/// ```
/// # let dir = tempfile::tempdir()?;
/// # let db = halodb::Db::open(dir.path())?;
/// let before = db.stats();
/// db.put("a", "1")?;
/// let puts = db.stats().latencies.sync_commits.since(&before.latencies.sync_commits);
/// assert_eq!(puts.count(), 1);
/// println!("half of them within {:?}, all within {:?}", puts.percentile(50.0), puts.max());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Histogram {
    counts: [u64; BUCKETS],
}

impl Histogram {
    /// Calls in it.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The time within which so many percent of the calls ended, at most a quarter too long; `None` if there was no call.
    pub fn percentile(&self, percent: f64) -> Option<Duration> {
        let count = self.count();
        let rank = ((percent / 100.0 * count as f64).ceil() as u64).clamp(1, count.max(1));
        let mut below = 0;
        let found = self.counts.iter().position(|n| {
            below += n;
            below >= rank
        });
        found.map(|bucket| Duration::from_nanos(upper_ns(bucket)))
    }

    /// The time within which all ended, at most a quarter too long (but 37 minutes at most); `None` if there was no call.
    pub fn max(&self) -> Option<Duration> {
        self.percentile(100.0)
    }

    /// The buckets that are not empty, in ascending order: the longest time in each, and its calls.
    pub fn buckets(&self) -> impl Iterator<Item = (Duration, u64)> + '_ {
        let all = self.counts.iter().enumerate();
        all.filter(|(_, n)| **n > 0).map(|(bucket, &n)| (Duration::from_nanos(upper_ns(bucket)), n))
    }

    /// What came since an earlier look at the same.
    #[must_use]
    pub fn since(&self, earlier: &Histogram) -> Histogram {
        Histogram { counts: std::array::from_fn(|i| self.counts[i].saturating_sub(earlier.counts[i])) }
    }
}

impl Default for Histogram {
    fn default() -> Self {
        Histogram { counts: [0; BUCKETS] }
    }
}

impl fmt::Debug for Histogram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.buckets()).finish()
    }
}

/// A histogram that threads write to.
#[derive(Debug)]
pub(crate) struct Recorder([AtomicU64; BUCKETS]);

impl Default for Recorder {
    fn default() -> Self {
        Recorder([const { AtomicU64::new(0) }; BUCKETS])
    }
}

impl Recorder {
    pub(crate) fn record(&self, took: Duration) {
        let ns = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.0[bucket(ns)].fetch_add(1, Ordering::Relaxed);
    }

    /// Adds what is in it to `all`.
    pub(crate) fn add_to(&self, all: &mut Histogram) {
        for (sum, counter) in all.counts.iter_mut().zip(&self.0) {
            *sum += counter.load(Ordering::Relaxed);
        }
    }

    pub(crate) fn histogram(&self) -> Histogram {
        let mut all = Histogram::default();
        self.add_to(&mut all);
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_follow_each_other_and_are_a_quarter_wide_at_most() {
        let mut next = 0;
        for number in 0..BUCKETS - 1 {
            let upper = upper_ns(number);
            assert_eq!((bucket(next), bucket(upper)), (number, number), "{next} to {upper}");
            assert!(upper - next <= next / 4, "{next} to {upper}");
            next = upper + 1;
        }
        assert_eq!(bucket(next), BUCKETS - 1);
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn percentiles_are_the_ends_of_buckets() {
        let recorder = Recorder::default();
        for us in 1..=1000 {
            recorder.record(Duration::from_micros(us));
        }
        let all = recorder.histogram();
        assert_eq!(all.count(), 1000);
        for (percent, us) in [(0.0, 1), (50.0, 500), (99.0, 990), (100.0, 1000)] {
            let got = all.percentile(percent).unwrap().as_nanos() as f64 / 1000.0;
            assert!((us as f64..=us as f64 * 1.25).contains(&got), "{percent} %: {got} µs");
        }
        assert_eq!(Histogram::default().percentile(50.0), None);
        assert_eq!(all.since(&all).max(), None);
    }
}
