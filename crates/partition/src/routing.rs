//! Which partition a key belongs to.
//!
//! The hash is computed once per key and also given to the filters. Filters take their block from the upper half of
//! it, so the partition is taken from a product with an odd constant: within one partition every bit of the hash still
//! varies.

use xxhash_rust::xxh3::xxh3_64_with_seed;

/// 2^64 divided by the golden ratio, odd (Knuth, *The Art of Computer Programming*, 6.4).
const MIX: u64 = 0x9e37_79b9_7f4a_7c15;

/// Spreads keys over partitions; fixed by the manifest.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Router {
    pub(crate) seed: u64,
    pub(crate) partitions: u32,
}

impl Router {
    pub(crate) fn hash(&self, key: &[u8]) -> u64 {
        xxh3_64_with_seed(key, self.seed)
    }

    pub(crate) fn partition_of_hash(&self, hash: u64) -> usize {
        let mixed = hash.wrapping_mul(MIX) >> 32;
        ((mixed * u64::from(self.partitions)) >> 32) as usize
    }

    pub(crate) fn partition(&self, key: &[u8]) -> usize {
        self.partition_of_hash(self.hash(key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_spread_evenly_and_always_to_an_existing_partition() {
        for partitions in [1u32, 2, 3, 7, 256] {
            let router = Router { seed: 1, partitions };
            let mut counts = vec![0u32; partitions as usize];
            let keys = 4000 * partitions;
            for i in 0..keys {
                counts[router.partition(&i.to_le_bytes())] += 1;
            }
            assert!(counts.iter().all(|&n| (3600..4400).contains(&n)), "{partitions}: {counts:?}");
        }
    }
}
