//! Numbers that look random and are the same for the same seed: SplitMix64 (Steele, Lea, Flood 2014).
//!
//! Campaigns use it to choose among cases; the cases themselves come from proptest strategies seeded by it.

use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

/// A stream of numbers.
#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    /// The stream of a seed.
    pub fn new(seed: u64) -> Rng {
        Rng(seed)
    }

    /// The next number.
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`, which is at least 1.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.draw() % bound.max(1)
    }

    /// One of `items`, which is not empty.
    pub fn pick<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.below(items.len() as u64) as usize]
    }
}

/// A seed for part `index` of a campaign: parts can be repeated alone.
pub fn derive(seed: u64, index: u64) -> u64 {
    Rng::new(seed ^ index.wrapping_mul(0xd6e8_feb8_6659_fd93)).draw()
}

/// A proptest runner that draws from `seed` alone, writes no regression files and prints nothing.
pub fn runner(seed: u64) -> TestRunner {
    let mut rng = Rng::new(seed);
    let bytes: Vec<u8> = (0..4).flat_map(|_| rng.draw().to_le_bytes()).collect();
    let config = Config { failure_persistence: None, ..Config::default() };
    TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::campaign::ops::{self, Profile};
    use proptest::strategy::{Strategy, ValueTree};

    #[test]
    fn equal_seeds_give_equal_workloads() {
        let draw = |seed| {
            let tree = ops::workload(Profile::CRASH, 1..50).new_tree(&mut runner(seed)).unwrap();
            format!("{:?}", tree.current())
        };
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
    }
}
