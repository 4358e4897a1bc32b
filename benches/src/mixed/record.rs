//! The records of the mixed workloads: random-looking keys, and values that say whose they are.
//!
//! ```text
//! key    0  mix(record)          8  mix of that             16  and of that           24 bytes
//! value  0  record u64 LE        8  version u64 LE          16  random bytes …  len-8  seal u64 LE
//! ```
//!
//! So every answer of an engine can be judged alone: a value must have its length, belong to the key that was asked for,
//! and carry the seal of its record and version. The random bytes cannot be compressed; they follow from record and
//! version too, but are compared only where a row does not measure processor time.

use super::random::{Random, mix};

/// Bytes of a key.
pub(super) const KEY_BYTES: usize = 24;

/// Bytes of a value of an ordinary record.
pub(super) const VALUE_BYTES: usize = 150;

/// The shortest value that can be sealed.
const FRAME_BYTES: usize = 24;

/// The records of one run: its seed, and the length of their values.
#[derive(Clone, Copy, Debug)]
pub(super) struct Records {
    seed: u64,
    value_bytes: usize,
}

impl Records {
    /// Records with values of 150 bytes.
    pub(super) fn new(seed: u64) -> Records {
        Records::with_values(seed, VALUE_BYTES)
    }

    /// Records with values of `value_bytes`, at least 24.
    pub(super) fn with_values(seed: u64, value_bytes: usize) -> Records {
        assert!(value_bytes >= FRAME_BYTES, "a value holds its record, its version and its seal");
        Records { seed, value_bytes }
    }

    /// The seed that makes these records different from others.
    pub(super) fn seed(&self) -> u64 {
        self.seed
    }

    /// Bytes of a value.
    pub(super) fn value_bytes(&self) -> usize {
        self.value_bytes
    }

    /// The key of `record`: no two records share one.
    pub(super) fn key(&self, record: u64) -> [u8; KEY_BYTES] {
        let first = mix(record.wrapping_add(mix(self.seed)));
        let second = mix(first ^ self.seed);
        let third = mix(second.wrapping_add(first));
        let mut key = [0; KEY_BYTES];
        key[..8].copy_from_slice(&first.to_le_bytes());
        key[8..16].copy_from_slice(&second.to_le_bytes());
        key[16..].copy_from_slice(&third.to_le_bytes());
        key
    }

    /// Makes `value` the value of `record` in its state `version`.
    pub(super) fn fill(&self, record: u64, version: u64, value: &mut Vec<u8>) {
        value.clear();
        value.extend_from_slice(&record.to_le_bytes());
        value.extend_from_slice(&version.to_le_bytes());
        let mut random = Random::nth(self.seal(record, version), 0);
        let body = self.value_bytes - 8;
        while value.len() < body {
            value.extend_from_slice(&random.next().to_le_bytes());
        }
        value.truncate(body);
        value.extend_from_slice(&self.seal(record, version).to_le_bytes());
    }

    /// The record and version that a value carries.
    ///
    /// # Errors
    ///
    /// A value of another length, or whose seal is another's.
    pub(super) fn judge(&self, value: &[u8]) -> Result<(u64, u64), String> {
        if value.len() != self.value_bytes {
            return Err(format!("a value has {} bytes instead of {}", value.len(), self.value_bytes));
        }
        let (record, version) = (word(value, 0), word(value, 8));
        if word(value, self.value_bytes - 8) != self.seal(record, version) {
            return Err(format!("the value of record {record}, version {version} is damaged"));
        }
        Ok((record, version))
    }

    /// The version of the value that was found under the key of `record`.
    ///
    /// # Errors
    ///
    /// As `judge`; and a value of another record.
    pub(super) fn judge_of(&self, record: u64, value: &[u8]) -> Result<u64, String> {
        match self.judge(value)? {
            (found, version) if found == record => Ok(version),
            (found, _) => Err(format!("record {found} was found under the key of record {record}")),
        }
    }

    fn seal(&self, record: u64, version: u64) -> u64 {
        mix(mix(record ^ self.seed).wrapping_add(version))
    }
}

/// The little-endian word at `at`, which the caller knows to be there.
fn word(bytes: &[u8], at: usize) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(word)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn keys_are_distinct_and_depend_on_the_seed() {
        let records = Records::new(1);
        let keys: HashSet<_> = (0..10_000).map(|record| records.key(record)).collect();
        assert_eq!(keys.len(), 10_000);
        assert!(!keys.contains(&Records::new(2).key(0)));
    }

    #[test]
    fn a_value_says_its_record_and_version() {
        for bytes in [24, 25, 150, 1_024] {
            let records = Records::with_values(9, bytes);
            let mut value = Vec::new();
            records.fill(17, 3, &mut value);
            assert_eq!(value.len(), bytes);
            assert_eq!(records.judge(&value), Ok((17, 3)));
            assert_eq!(records.judge_of(17, &value), Ok(3));
        }
    }

    #[test]
    fn a_value_of_another_record_or_length_or_with_a_flipped_bit_is_refused() {
        let records = Records::new(9);
        let mut value = Vec::new();
        records.fill(17, 3, &mut value);
        assert!(records.judge_of(18, &value).is_err());
        assert!(records.judge(&value[1..]).is_err());
        for at in [0, 8, VALUE_BYTES - 1] {
            let mut damaged = value.clone();
            damaged[at] ^= 1;
            assert!(records.judge(&damaged).is_err(), "byte {at}");
        }
    }
}
