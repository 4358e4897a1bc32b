//! What each write of each thread does: known to child and parent alike, so that no value travels through the pipe.

use crate::campaign::config::{Setup, TINY};
use crate::campaign::rng::{Rng, derive};
use halodb::Durability;
use std::collections::BTreeMap;

/// Writing threads of a child.
pub(super) const THREADS: u64 = 4;

/// Keys of each thread, its counter apart.
const SLOTS: u64 = 60;

/// Memtables fill and logs turn over many times a second.
const SETUPS: [&Setup; 3] = [
    &Setup { name: "small", memtable_bytes: 96 << 10, segment_bytes: 64 << 10, log_limit_bytes: 256 << 10, ..TINY },
    &Setup { name: "single", partitions: 1, ..TINY },
    &Setup {
        name: "large pages",
        partitions: 4,
        page_size: 16 << 10,
        memtable_bytes: 256 << 10,
        segment_bytes: 64 << 10,
        log_limit_bytes: 128 << 10,
        chunk_bytes: 64 << 10,
        ..TINY
    },
];

/// The configuration of a directory.
pub(super) fn setup(seed: u64) -> &'static Setup {
    Rng::new(seed).pick(&SETUPS)
}

/// The keys of a thread begin with this.
pub(super) fn prefix(thread: u64) -> String {
    format!("t{thread}/")
}

/// The key under which a thread keeps the number of its last write.
pub(super) fn counter(thread: u64) -> Vec<u8> {
    format!("t{thread}/last").into_bytes()
}

/// The number in a counter's value; `None` if it holds none.
pub(super) fn number_in(value: &[u8]) -> Option<u64> {
    Some(u64::from_le_bytes(value.first_chunk().copied()?))
}

/// Writes of a batch: `None` removes the key.
pub(super) type Writes = Vec<(Vec<u8>, Option<Vec<u8>>)>;

/// What a write does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Act {
    /// A batch; the counter is in it.
    Batch(Writes),
    /// One put, of the counter alone, with a long value.
    Put(Vec<u8>, Vec<u8>),
    /// One delete. It leaves no number; so no two of them follow each other.
    Delete(Vec<u8>),
    /// Everything of all threads is removed. Only the first thread does it, while no other writes.
    Clear,
}

/// How a write is made durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    /// By its own level.
    Level(Durability),
    /// Buffered, then `Db::sync`.
    ThenSync,
    /// In memory, then `Db::wait_durable`.
    ThenWait,
}

/// What the writes of a life follow from. Each life writes other values than all before it, even under numbers that were
/// lost and are used again: so what rises from an earlier life is noticed.
pub(super) fn life_seed(seed: u64, life: u64) -> u64 {
    derive(seed, !life)
}

/// Write `number` of `thread` in the life of `seed`.
pub(super) fn act(seed: u64, thread: u64, number: u64) -> (Act, How) {
    let mut rng = Rng::new(derive(derive(seed, thread), number));
    if thread == 0 && number.is_multiple_of(97) {
        return (Act::Clear, How::Level(Durability::Sync));
    }
    if number % 7 == 3 {
        return (Act::Delete(slot(thread, &mut rng)), How::Level(Durability::Sync));
    }
    let how = match rng.below(16) {
        0..=8 => How::Level(Durability::Sync),
        9..=11 => How::Level(Durability::Buffered),
        12 | 13 => How::Level(Durability::Memory),
        14 => How::ThenSync,
        _ => How::ThenWait,
    };
    let mut number_value = [number.to_le_bytes(), rng.draw().to_le_bytes()].concat();
    if number % 5 == 1 {
        number_value.extend(value(thread, number, &mut rng));
        return (Act::Put(counter(thread), number_value), how);
    }
    let mut writes = vec![(counter(thread), Some(number_value))];
    let most = if rng.below(25) == 0 { 40 } else { 4 };
    for _ in 0..=rng.below(most) {
        let key = slot(thread, &mut rng);
        let value = (rng.below(5) > 0).then(|| value(thread, number, &mut rng));
        writes.push((key, value));
    }
    (Act::Batch(writes), how)
}

fn slot(thread: u64, rng: &mut Rng) -> Vec<u8> {
    format!("t{thread}/slot{:03}", rng.below(SLOTS)).into_bytes()
}

/// A value names the write that it is of, and its last bytes follow from the first.
fn value(thread: u64, number: u64, rng: &mut Rng) -> Vec<u8> {
    let len = if rng.below(20) == 0 { 6_000 } else { 10 + rng.below(400) };
    let mut value = format!("{thread}.{number}.").into_bytes();
    while (value.len() as u64) < len {
        value.extend_from_slice(&rng.draw().to_le_bytes());
    }
    value
}

/// What a thread's keys must hold after its writes up to `number`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ThreadState {
    /// Number of the last write applied.
    pub(super) number: u64,
    /// The keys of the thread.
    pub(super) pairs: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl ThreadState {
    /// Applies writes up to `number`. None of them is [`Act::Clear`]: that is not one thread's affair.
    pub(super) fn advance(&mut self, seed: u64, thread: u64, number: u64) {
        while self.number < number {
            self.number += 1;
            match act(seed, thread, self.number).0 {
                Act::Batch(writes) => {
                    for (key, value) in writes {
                        match value {
                            Some(value) => drop(self.pairs.insert(key, value)),
                            None => drop(self.pairs.remove(&key)),
                        }
                    }
                }
                Act::Put(key, value) => drop(self.pairs.insert(key, value)),
                Act::Delete(key) => drop(self.pairs.remove(&key)),
                Act::Clear => self.pairs.clear(),
            }
        }
    }
}

/// What is known to be in a database, over all its lives.
#[derive(Clone, Debug)]
pub struct History {
    seed: u64,
    life: u64,
    pub(super) threads: Vec<ThreadState>,
}

impl History {
    /// Of a database that is still to be created.
    pub fn new(seed: u64) -> History {
        History { seed, life: 0, threads: (0..THREADS).map(|_| ThreadState::default()).collect() }
    }

    /// What everything follows from.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// The life that is running, from 0.
    pub fn life(&self) -> u64 {
        self.life
    }

    /// What the writes of the running life follow from.
    pub(super) fn life_seed(&self) -> u64 {
        life_seed(self.seed, self.life)
    }

    /// A life is over; this is what is there.
    pub(super) fn next_life(&mut self, threads: Vec<ThreadState>) {
        self.threads = threads;
        self.life += 1;
    }

    /// The number of each thread's last write that is there: where its next life begins.
    pub fn numbers(&self) -> Vec<u64> {
        self.threads.iter().map(|thread| thread.number).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_that_leaves_no_number_is_followed_by_one_that_does() {
        let quiet = |thread, number| matches!(act(5, thread, number).0, Act::Delete(_));
        for thread in 0..THREADS {
            assert!((1..2_000).any(|number| quiet(thread, number)));
            assert!((1..2_000).all(|number| !(quiet(thread, number) && quiet(thread, number + 1))));
        }
    }

    #[test]
    fn all_other_writes_leave_their_number() {
        let mut state = ThreadState::default();
        for number in 1..500 {
            state.advance(1, 1, number);
            if !matches!(act(1, 1, number).0, Act::Delete(_)) {
                assert_eq!(number_in(&state.pairs[&counter(1)]), Some(number));
            }
        }
    }

    #[test]
    fn only_the_first_thread_clears() {
        let clears = |thread| (1..1_000).filter(|&number| act(1, thread, number).0 == Act::Clear).count();
        assert_eq!((0..THREADS).map(clears).collect::<Vec<_>>(), [10, 0, 0, 0]);
    }
}
