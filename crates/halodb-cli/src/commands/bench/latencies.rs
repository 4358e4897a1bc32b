//! [`Latencies`]: how long operations took, in about a thousand counters, whatever their number.
//!
//! A counter stands for a range of times whose ends differ by a sixteenth at most (as in HdrHistogram): the upper four bits behind
//! the highest one choose it. So a percentile is right to 6 %.

/// Bits of a time that are kept, the highest one aside.
const BITS: u32 = 4;
const STEPS: usize = 1 << BITS;

/// Counted times.
#[derive(Clone, Debug)]
pub(super) struct Latencies {
    counts: Vec<u64>,
    total: u64,
}

impl Default for Latencies {
    fn default() -> Self {
        Latencies { counts: vec![0; 64 * STEPS], total: 0 }
    }
}

impl Latencies {
    /// Counts a time in nanoseconds.
    pub(super) fn add(&mut self, ns: u64) {
        self.counts[place(ns)] += 1;
        self.total += 1;
    }

    /// Adds the times of another thread.
    pub(super) fn merge(&mut self, other: &Latencies) {
        self.counts.iter_mut().zip(&other.counts).for_each(|(all, more)| *all += more);
        self.total += other.total;
    }

    /// Number of times.
    pub(super) fn total(&self) -> u64 {
        self.total
    }

    /// The time that so great a part, from 0 to 1, did not exceed, in nanoseconds; 0 if nothing was counted.
    pub(super) fn percentile(&self, part: f64) -> u64 {
        let wanted = (self.total as f64 * part).ceil().max(1.0) as u64;
        let mut seen = 0;
        for (place, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= wanted {
                return middle(place);
            }
        }
        0
    }
}

fn place(ns: u64) -> usize {
    if ns < STEPS as u64 {
        return ns as usize;
    }
    let highest = ns.ilog2();
    let step = (ns >> (highest - BITS)) as usize & (STEPS - 1);
    (highest - BITS + 1) as usize * STEPS + step
}

/// The middle of the times that a counter stands for.
fn middle(place: usize) -> u64 {
    if place < STEPS {
        return place as u64;
    }
    let shift = (place / STEPS - 1) as u32;
    let from = ((STEPS + place % STEPS) as u64) << shift;
    from + ((1u64 << shift) >> 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn percentiles_are_right_to_a_sixteenth() {
        let mut all = Latencies::default();
        (1..=1000).for_each(|i| all.add(i * 1000));
        for (part, expected) in [(0.5, 500_000.0), (0.99, 990_000.0)] {
            let found = all.percentile(part) as f64;
            assert!((found / expected - 1.0).abs() < 0.065, "{part}: {found}");
        }
        assert_eq!(Latencies::default().percentile(0.5), 0);
    }

    proptest! {
        #[test]
        fn every_time_has_a_counter_near_it(ns: u64) {
            let found = middle(place(ns)) as f64;
            prop_assert!((found - ns as f64).abs() <= ns as f64 / 16.0);
        }
    }
}
