//! [`Data`]: keys of 24 and values of 150 bytes that look random, made from a seed and an index alone.
//!
//! Nothing is kept: key and value of an index are computed where they are needed, in about 5 and 20 ns, the same for
//! every engine. A value is told from every other one by [`touch`], which reads its first and last bytes; so a row
//! checks what it was given by adding up, and the expected sum is computed after the clock has stopped.

/// Bytes of a key.
pub(crate) const KEY_BYTES: usize = 24;

/// Bytes of a value.
pub(crate) const VALUE_BYTES: usize = 150;

/// The golden ratio in 64 bits: the step of SplitMix64.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// The generator for one seed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Data {
    seed: u64,
}

/// The output function of SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014): a
/// bijection whose values at consecutive numbers look random.
pub(crate) fn mix(number: u64) -> u64 {
    let mut z = number.wrapping_add(STEP);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A number below `bound` for a step of a stream; streams with different names are unrelated.
pub(crate) fn pick(seed: u64, stream: u64, step: u64, bound: u64) -> u64 {
    let random = mix(mix(seed ^ stream.wrapping_mul(STEP)).wrapping_add(step.wrapping_mul(STEP)));
    // Multiply and shift (Lemire): as good as a remainder here, and faster.
    ((u128::from(random) * u128::from(bound)) >> 64) as u64
}

/// What a reader computes from a value, to prove that it saw it: length, first and last eight bytes.
pub(crate) fn touch(value: &[u8]) -> u64 {
    let word = |bytes: Option<&[u8; 8]>| bytes.map_or(0, |bytes| u64::from_le_bytes(*bytes));
    word(value.first_chunk()) ^ word(value.last_chunk()).rotate_left(32) ^ value.len() as u64
}

impl Data {
    /// Keys and values of `seed`.
    pub(crate) fn new(seed: u64) -> Self {
        Data { seed: mix(seed) }
    }

    /// The key of an index. Keys of different indices differ, and are in no order.
    pub(crate) fn key(&self, index: u64) -> [u8; KEY_BYTES] {
        let first = mix(self.seed ^ index);
        words([first, mix(first ^ self.seed), mix(first.wrapping_add(self.seed))])
    }

    /// A key that no index has, among the others in key order.
    pub(crate) fn missing_key(&self, index: u64) -> [u8; KEY_BYTES] {
        let mut key = self.key(index);
        key[KEY_BYTES - 1] ^= 0x55;
        key
    }

    /// The key of an index of `count`, in ascending order of indices.
    pub(crate) fn sorted_key(&self, index: u64, count: u64) -> [u8; KEY_BYTES] {
        let gap = u64::MAX / count.max(1);
        let first = index * gap + mix(self.seed ^ index) % gap.max(1);
        // The first word decides, most significant byte first.
        words([first.swap_bytes(), mix(first), mix(first ^ self.seed)])
    }

    /// The value of an index in its `version`.
    pub(crate) fn value(&self, index: u64, version: u8) -> [u8; VALUE_BYTES] {
        let state = mix(self.seed.wrapping_add(mix(index ^ (u64::from(version) << 56))));
        let mut value = [0; VALUE_BYTES];
        for (step, chunk) in value.chunks_mut(8).enumerate() {
            let word = mix(state.wrapping_add(step as u64)).to_le_bytes();
            chunk.copy_from_slice(&word[..chunk.len()]);
        }
        value
    }
}

fn words(words: [u64; 3]) -> [u8; KEY_BYTES] {
    let mut key = [0; KEY_BYTES];
    for (place, word) in key.chunks_exact_mut(8).zip(words) {
        place.copy_from_slice(&word.to_le_bytes());
    }
    key
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn keys_of_different_indices_differ_and_none_is_missing_at_once() {
        let data = Data::new(1);
        let keys: HashSet<_> = (0..10_000).map(|i| data.key(i)).collect();
        assert_eq!(keys.len(), 10_000);
        assert!((0..10_000).all(|i| !keys.contains(&data.missing_key(i))));
    }

    #[test]
    fn sorted_keys_ascend() {
        let data = Data::new(1);
        assert!((1..10_000).all(|i| data.sorted_key(i - 1, 10_000) < data.sorted_key(i, 10_000)));
    }

    #[test]
    fn values_depend_on_index_version_and_seed() {
        let seen =
            [Data::new(1).value(1, 1), Data::new(1).value(2, 1), Data::new(1).value(1, 2), Data::new(2).value(1, 1)];
        assert_eq!(seen.map(|value| touch(&value)).into_iter().collect::<HashSet<_>>().len(), 4);
    }

    #[test]
    fn touching_tells_values_of_any_length_apart() {
        assert_eq!(touch(b""), 0);
        assert_ne!(touch(b"a"), touch(b""));
        assert_ne!(touch(b"12345678a"), touch(b"12345678b"));
    }

    #[test]
    fn picks_stay_below_their_bound() {
        assert!((0..1_000).all(|step| pick(1, 2, step, 7) < 7));
        assert_ne!(
            (0..20).map(|s| pick(1, 2, s, 1 << 40)).collect::<Vec<_>>(),
            (0..20).map(|s| pick(1, 3, s, 1 << 40)).collect::<Vec<_>>()
        );
    }
}
