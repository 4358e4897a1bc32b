//! What each batch of each thread writes: known to child and parent alike, so that no value travels through the pipe.

use crate::campaign::config::{Setup, TINY};
use crate::campaign::rng::{Rng, derive};
use std::collections::BTreeMap;

/// Writing threads of a child.
pub(super) const THREADS: u64 = 3;

/// Keys of each thread, its counter apart.
const SLOTS: u64 = 60;

/// The configuration: memtables fill and logs turn over several times a second.
pub(super) const SETUP: &Setup =
    &Setup { name: "kill", memtable_bytes: 96 << 10, segment_bytes: 64 << 10, log_limit_bytes: 256 << 10, ..TINY };

/// The keys of a thread begin with this.
pub(super) fn prefix(thread: u64) -> String {
    format!("t{thread}/")
}

/// The key under which a thread keeps the number of its last batch.
pub(super) fn counter(thread: u64) -> Vec<u8> {
    format!("t{thread}/last").into_bytes()
}

/// The writes of a batch: `None` removes the key.
pub(super) fn batch(seed: u64, thread: u64, number: u64) -> Vec<(Vec<u8>, Option<Vec<u8>>)> {
    let mut rng = Rng::new(derive(derive(seed, thread), number));
    let mut writes = vec![(counter(thread), Some(number.to_le_bytes().to_vec()))];
    for _ in 0..=rng.below(4) {
        let key = format!("t{thread}/slot{:03}", rng.below(SLOTS)).into_bytes();
        let value = (rng.below(5) > 0).then(|| value(thread, number, &mut rng));
        writes.push((key, value));
    }
    writes
}

/// A value names the batch that wrote it, and its last bytes follow from the first.
fn value(thread: u64, number: u64, rng: &mut Rng) -> Vec<u8> {
    let len = if rng.below(20) == 0 { 6_000 } else { 10 + rng.below(400) };
    let mut value = format!("{thread}.{number}.").into_bytes();
    while (value.len() as u64) < len {
        value.extend_from_slice(&rng.draw().to_le_bytes());
    }
    value
}

/// What a thread's keys must hold after its batches up to `number`, carried on from batch to batch.
#[derive(Clone, Debug, Default)]
pub(super) struct ThreadState {
    /// Number of the last batch applied.
    pub(super) number: u64,
    /// The keys of the thread.
    pub(super) pairs: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl ThreadState {
    /// Applies batches up to `number`.
    pub(super) fn advance(&mut self, seed: u64, thread: u64, number: u64) {
        while self.number < number {
            self.number += 1;
            for (key, value) in batch(seed, thread, self.number) {
                match value {
                    Some(value) => drop(self.pairs.insert(key, value)),
                    None => drop(self.pairs.remove(&key)),
                }
            }
        }
    }
}
