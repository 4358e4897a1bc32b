//! How long single operations took: counts in buckets whose width grows with the value (as in HdrHistogram, by Gil Tene).
//!
//! ```text
//! nanoseconds   0 … 127 | 128 … 255 | 256 … 511 | 512 … 1023 | …      one power of two each
//! buckets       128 of 1| 64 of 2   | 64 of 4   | 64 of 8    | …      so a value is known to 1/64 = 1.6 %
//! ```
//!
//! Recording costs a shift and an increment, and the table is 30 KiB whatever it counts. The largest value is kept
//! exactly. It does not correct for operations that were not begun because an earlier one was slow ("coordinated
//! omission"): the load is closed, one operation after the other, and the throughput per second shows those.

use std::time::Duration;

/// Buckets of one power of two.
const HALF: usize = 64;

/// Buckets in all: the exact ones and one row for each further bit of a u64.
const BUCKETS: usize = (64 - HALF.trailing_zeros() as usize + 1) * HALF;

/// Latencies of one kind of operation.
#[derive(Clone, Debug)]
pub(super) struct Histogram {
    counts: Vec<u64>,
    total: u64,
    largest: u64,
}

impl Histogram {
    /// An empty histogram.
    pub(super) fn new() -> Histogram {
        Histogram { counts: vec![0; BUCKETS], total: 0, largest: 0 }
    }

    /// Counts an operation that took `time`.
    pub(super) fn record(&mut self, time: Duration) {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.counts[bucket(nanos)] += 1;
        self.total += 1;
        self.largest = self.largest.max(nanos);
    }

    /// The operations counted.
    pub(super) fn total(&self) -> u64 {
        self.total
    }

    /// The microseconds within which `percent` of the operations were done, never above the largest that was seen.
    /// Zero when nothing was counted; 100 gives the largest exactly.
    pub(super) fn percentile_us(&self, percent: f64) -> f64 {
        let wanted = ((percent / 100.0 * self.total as f64).ceil() as u64).clamp(1, self.total.max(1));
        let mut seen = 0;
        for (index, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= wanted {
                return upper(index).min(self.largest) as f64 / 1e3;
            }
        }
        self.largest as f64 / 1e3
    }

    /// Percent and microseconds, from the median to the largest: a curve to plot.
    pub(super) fn curve(&self) -> Vec<(f64, f64)> {
        [50.0, 75.0, 90.0, 95.0, 99.0, 99.5, 99.9, 99.95, 99.99, 99.999, 100.0]
            .map(|percent| (percent, self.percentile_us(percent)))
            .to_vec()
    }
}

/// The bucket of `nanos`.
fn bucket(nanos: u64) -> usize {
    let bits = 64 - nanos.leading_zeros() as usize;
    let shift = bits.saturating_sub(HALF.trailing_zeros() as usize + 1);
    shift * HALF + (nanos >> shift) as usize
}

/// The largest value that falls into bucket `index`.
fn upper(index: usize) -> u64 {
    let shift = (index / HALF).saturating_sub(1);
    let low = (index - shift * HALF) as u64;
    (low << shift) + ((1 << shift) - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_lies_in_its_bucket_and_no_bucket_is_wider_than_its_promise() {
        for exponent in 0..64 {
            for value in [(1_u64 << exponent) - 1, 1 << exponent, (1 << exponent) + (1 << exponent) / 3, u64::MAX] {
                let top = upper(bucket(value));
                assert!(top >= value, "{value} above {top}");
                assert!((top - value) as f64 <= value as f64 / 64.0, "{value} counted as {top}");
                assert!(bucket(value) < BUCKETS);
            }
        }
    }

    #[test]
    fn buckets_follow_each_other_without_a_gap() {
        for index in 0..BUCKETS - 1 {
            assert_eq!(bucket(upper(index)), index);
            assert_eq!(bucket(upper(index) + 1), index + 1);
        }
        assert_eq!(upper(BUCKETS - 1), u64::MAX);
    }

    #[test]
    fn percentiles_of_known_values_are_within_two_percent() {
        let mut histogram = Histogram::new();
        for micros in 1..=10_000 {
            histogram.record(Duration::from_micros(micros));
        }
        for (percent, expected) in [(50.0, 5_000.0), (99.0, 9_900.0), (99.9, 9_990.0), (99.99, 9_999.0)] {
            let found = histogram.percentile_us(percent);
            assert!((found / expected - 1.0_f64).abs() < 0.02, "p{percent} is {found}");
        }
        assert_eq!(histogram.percentile_us(100.0), 10_000.0);
        assert_eq!(histogram.total(), 10_000);
    }

    #[test]
    fn one_stall_among_thousands_shows_as_the_largest_and_not_in_the_median() {
        let mut histogram = Histogram::new();
        for _ in 0..100_000 {
            histogram.record(Duration::from_nanos(900));
        }
        histogram.record(Duration::from_millis(250));
        assert!(histogram.percentile_us(50.0) < 1.0);
        assert!(histogram.percentile_us(99.99) < 1.0);
        assert_eq!(histogram.percentile_us(100.0), 250_000.0);
        assert_eq!(histogram.curve().last(), Some(&(100.0, 250_000.0)));
    }

    #[test]
    fn an_empty_histogram_answers_zero() {
        assert_eq!(Histogram::new().percentile_us(99.0), 0.0);
    }
}
