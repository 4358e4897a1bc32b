//! Throughput over time: how many operations each second of a run finished, and how even that is.
//!
//! The last second, which the run did not fill, is left out of every figure. Nothing here reads a clock.

use std::time::Duration;

/// Operations per second of a run, in order.
#[derive(Clone, Debug, Default)]
pub(super) struct Seconds {
    counts: Vec<u64>,
}

impl Seconds {
    /// Counts one operation that ended `after` the beginning of the run. A second in which nothing ended counts zero.
    pub(super) fn record(&mut self, after: Duration) {
        let second = after.as_secs() as usize;
        if second >= self.counts.len() {
            self.counts.resize(second + 1, 0);
        }
        self.counts[second] += 1;
    }

    /// The full seconds of a run that took `length`.
    pub(super) fn full(&self, length: Duration) -> Vec<u64> {
        let mut full = self.counts.clone();
        full.resize(length.as_secs() as usize, 0);
        full
    }
}

/// How even a run was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Evenness {
    /// Operations in the median second.
    pub(super) median: u64,
    /// Operations in the worst second.
    pub(super) worst: u64,
    /// Seconds with less than half of the median.
    pub(super) stalled: u64,
}

/// The evenness of full seconds; none of fewer than three, which say nothing.
pub(super) fn evenness(full: &[u64]) -> Option<Evenness> {
    if full.len() < 3 {
        return None;
    }
    let mut sorted = full.to_vec();
    sorted.sort_unstable();
    let median = sorted[sorted.len() / 2];
    let stalled = full.iter().filter(|&&count| count * 2 < median).count() as u64;
    Some(Evenness { median, worst: sorted[0], stalled })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_without_an_operation_counts_as_zero_and_an_unfilled_one_not_at_all() {
        let mut seconds = Seconds::default();
        for millis in [0, 999, 1_000, 3_500, 4_100] {
            seconds.record(Duration::from_millis(millis));
        }
        assert_eq!(seconds.full(Duration::from_millis(4_200)), [2, 1, 0, 1]);
    }

    #[test]
    fn a_run_that_ends_in_a_stall_keeps_its_empty_seconds() {
        let mut seconds = Seconds::default();
        seconds.record(Duration::from_millis(10));
        assert_eq!(seconds.full(Duration::from_millis(3_000)), [1, 0, 0]);
    }

    #[test]
    fn stalls_are_the_seconds_below_half_of_the_median() {
        let found = evenness(&[100, 100, 49, 50, 100, 0]);
        assert_eq!(found, Some(Evenness { median: 100, worst: 0, stalled: 2 }));
        assert_eq!(evenness(&[1, 2]), None);
    }
}
