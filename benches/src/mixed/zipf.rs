//! Which record an operation meets: YCSB's request distributions, zipfian with exponent 0.99.
//!
//! In a zipfian distribution the record of rank `r` (from 0) is met with probability `1 / (r + 1)^0.99 / zeta(n)`: of a
//! million records the most popular one takes 6.5 % of all operations. Ranks are drawn in constant time by the
//! approximation of Gray et al., "Quickly generating billion-record synthetic databases" (SIGMOD 1994), as in YCSB
//! (Cooper et al., "Benchmarking cloud serving systems with YCSB", SoCC 2010).
//!
//! `Zipf::scrambled` spreads the popular ranks over all records, so that they are no neighbours; as in YCSB two ranks may
//! meet in one record. `Zipf::latest` makes the newest record the most popular one.
//!
//! This file knows nothing of keys: a record is a number.

use super::random::{Random, mix};

/// YCSB's exponent.
const THETA: f64 = 0.99;

/// The distribution over `count` ranks.
#[derive(Clone, Debug)]
pub(super) struct Zipf {
    count: u64,
    zeta: f64,
    alpha: f64,
    eta: f64,
    /// The bound under which a draw means rank 1.
    second: f64,
}

impl Zipf {
    /// The distribution over `count` ranks, at least 2. Costs one `powf` a rank: 20 ms for a million.
    pub(super) fn new(count: u64) -> Zipf {
        assert!(count >= 2, "a zipfian distribution needs two ranks");
        let zeta: f64 = (1..=count).map(|rank| (rank as f64).powf(-THETA)).sum();
        let zeta_two = 1.0 + 0.5_f64.powf(THETA);
        let eta = (1.0 - (2.0 / count as f64).powf(1.0 - THETA)) / (1.0 - zeta_two / zeta);
        Zipf { count, zeta, alpha: 1.0 / (1.0 - THETA), eta, second: zeta_two }
    }

    /// A rank in `0..count`; 0 is the most popular one.
    pub(super) fn rank(&self, random: &mut Random) -> u64 {
        let unit = random.unit();
        let scaled = unit * self.zeta;
        if scaled < 1.0 {
            return 0;
        }
        if scaled < self.second {
            return 1;
        }
        let rank = self.count as f64 * (self.eta * unit - self.eta + 1.0).powf(self.alpha);
        (rank as u64).min(self.count - 1)
    }

    /// A record in `0..count`, popular ones anywhere.
    pub(super) fn scrambled(&self, random: &mut Random) -> u64 {
        mix(self.rank(random) ^ 0x5ca1_ab1e) % self.count
    }

    /// A record in `0..=newest`, the newest the most popular one. The window is as long as the distribution: with
    /// inserts it moves, where YCSB lets it grow, which shifts no visible share.
    pub(super) fn latest(&self, newest: u64, random: &mut Random) -> u64 {
        newest.saturating_sub(self.rank(random))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How often each of the first `N` ranks was met in a million draws.
    fn shares<const N: usize>(count: u64) -> [f64; N] {
        let zipf = Zipf::new(count);
        let mut random = Random::new(42);
        let mut met = [0_u64; N];
        for _ in 0..1_000_000 {
            if let Some(slot) = met.get_mut(zipf.rank(&mut random) as usize) {
                *slot += 1;
            }
        }
        met.map(|times| times as f64 / 1e6)
    }

    #[test]
    fn the_two_most_popular_ranks_have_their_exact_share() {
        let zeta: f64 = (1..=100_000).map(|rank| f64::from(rank).powf(-THETA)).sum();
        let [first, second] = shares::<2>(100_000);
        assert!((first * zeta - 1.0).abs() < 0.02, "{first}");
        assert!((second * zeta * 2.0_f64.powf(THETA) - 1.0).abs() < 0.02, "{second}");
    }

    #[test]
    fn a_tenth_of_the_ranks_takes_four_fifths_of_the_draws() {
        let zipf = Zipf::new(100_000);
        let mut random = Random::new(1);
        let popular = (0..100_000).filter(|_| zipf.rank(&mut random) < 10_000).count();
        assert!((78_000..85_000).contains(&popular), "{popular}");
    }

    #[test]
    fn every_record_is_in_range_even_of_the_smallest_distribution() {
        for count in [2, 3, 10] {
            let zipf = Zipf::new(count);
            let mut random = Random::new(3);
            for _ in 0..10_000 {
                assert!(zipf.rank(&mut random) < count);
                assert!(zipf.scrambled(&mut random) < count);
                assert!(zipf.latest(5, &mut random) <= 5);
            }
        }
    }

    #[test]
    fn scrambling_keeps_the_skew_and_moves_the_popular_record() {
        let zipf = Zipf::new(1_000);
        let mut random = Random::new(3);
        let mut met = vec![0_u32; 1_000];
        for _ in 0..100_000 {
            met[zipf.scrambled(&mut random) as usize] += 1;
        }
        let most = met.iter().max().copied().unwrap_or(0);
        assert!(met[0] < most, "record 0 is still the most popular one");
        assert!(most > 10_000, "{most}");
    }

    #[test]
    fn the_newest_record_is_the_most_popular_of_latest() {
        let zipf = Zipf::new(1_000);
        let mut random = Random::new(3);
        let newest = (0..10_000).filter(|_| zipf.latest(5_000, &mut random) == 5_000).count();
        assert!(newest > 1_000, "{newest}");
    }
}
