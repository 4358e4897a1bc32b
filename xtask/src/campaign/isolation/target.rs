//! [`Target`]: the database as the histories use it, and [`Flaw`]s that can be planted between the two.
//!
//! A flaw does at the interface what a mistake in the engine would look like from outside. A campaign that does not
//! notice one proves nothing: the recording threads would never meet in the way that matters.

use super::history::{Answer, KEYS, Op, State};
use crate::campaign::engine::{Answer as Refusable, Refusal};
use halodb::{Condition, Db, Durability, Snapshot, WriteOptions};
use std::hint::spin_loop;

/// All keys of a history begin with this.
pub const PREFIX: &str = "iso/";

/// A mistake, planted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// None: the database as it is.
    None,
    /// The writes of a batch are committed one by one.
    HalfBatch,
    /// A condition is checked first and the write done later.
    LostUpdate,
    /// A snapshot shows what is there when it is read.
    DriftingSnapshot,
    /// Each thread reads single keys out of a snapshot that it took a while ago.
    StaleRead,
}

/// One thread's way to the database.
#[derive(Debug)]
pub struct Target {
    db: Db,
    flaw: Flaw,
    /// For [`Flaw::StaleRead`], and how often it will be read still.
    stale: Option<(Snapshot, u32)>,
}

/// A snapshot that is to be read later.
#[derive(Debug)]
pub struct Held {
    snapshot: Snapshot,
    /// For [`Flaw::DriftingSnapshot`].
    instead: Option<Db>,
}

/// The bytes of a key.
pub fn key(number: usize) -> String {
    format!("{PREFIX}{number}")
}

/// The bytes of a value: the number, then a filling of a length that depends on it. Some go to pages of their own.
pub fn value(number: u32) -> Vec<u8> {
    const LENGTHS: [usize; 6] = [0, 12, 300, 0, 40, 5_000];
    let mut bytes = number.to_le_bytes().to_vec();
    bytes.resize(4 + LENGTHS[number as usize % LENGTHS.len()], number as u8);
    bytes
}

/// The number in a value.
///
/// # Errors
/// `Wrong` if these are not the bytes of any value.
pub fn number(bytes: &[u8]) -> Refusable<u32> {
    let number = bytes.first_chunk().map(|first| u32::from_le_bytes(*first));
    number.filter(|&number| value(number) == bytes).ok_or_else(|| Refusal {
        kind: "Wrong".to_owned(),
        text: format!("a value of {} bytes is not one that was written: {:?}", bytes.len(), bytes.get(..8)),
    })
}

impl Target {
    /// A way to `db`.
    pub fn new(db: Db, flaw: Flaw) -> Target {
        Target { db, flaw, stale: None }
    }

    /// Takes a snapshot, and the sequence number that it says it shows.
    pub fn snapshot(&self) -> (Held, u64) {
        let snapshot = self.db.snapshot();
        let seq = snapshot.seq();
        (Held { snapshot, instead: (self.flaw == Flaw::DriftingSnapshot).then(|| self.db.clone()) }, seq)
    }

    /// Does anything but [`Op::Snapshot`]; the answer, and the sequence number if the call tells one.
    ///
    /// # Errors
    /// What the database refuses; nothing gives it reason to.
    pub fn run(&mut self, op: &Op, level: Durability) -> Refusable<(Answer, Option<u64>)> {
        match op {
            Op::Get(key) => Ok((Answer::Value(self.get(*key)?), None)),
            Op::Put(k, v) => {
                let options = WriteOptions::new().durability(level);
                let commit = self.db.put_with(key(*k), value(*v), &options)?;
                Ok((Answer::Done, commit.map(|commit| commit.seq)))
            }
            Op::PutIf(k, v, condition) => self.put_if(*k, *v, *condition, level),
            Op::Delete(k) => Ok((Answer::Applied(self.db.delete(key(*k))?), None)),
            Op::Batch(writes) => self.batch(writes, level),
            Op::Clear => Ok((Answer::Done, Some(self.db.clear()?.seq))),
            Op::Count => Ok((Answer::Count(self.db.count_prefix(PREFIX)?), None)),
            Op::Snapshot => {
                let (held, seq) = self.snapshot();
                Ok((Answer::State(held.read()?), Some(seq)))
            }
        }
    }

    fn get(&mut self, k: usize) -> Refusable<Option<u32>> {
        if self.flaw != Flaw::StaleRead {
            return self.db.get(key(k))?.map(|bytes| number(&bytes)).transpose();
        }
        let (snapshot, left) = self.stale.take().unwrap_or_else(|| (self.db.snapshot(), 4));
        let found = snapshot.get(key(k))?.map(|bytes| number(&bytes)).transpose();
        self.stale = (left > 1).then(|| (snapshot, left - 1));
        found
    }

    fn put_if(&self, k: usize, v: u32, condition: Condition, level: Durability) -> Refusable<(Answer, Option<u64>)> {
        let mut options = WriteOptions::new().durability(level).condition(condition);
        if self.flaw == Flaw::LostUpdate && condition != Condition::Always {
            let there = self.db.contains(key(k))?;
            if there != (condition == Condition::IfPresent) {
                return Ok((Answer::Applied(false), None));
            }
            linger();
            options = options.condition(Condition::Always);
        }
        let commit = self.db.put_with(key(k), value(v), &options)?;
        Ok((Answer::Applied(commit.is_some()), commit.map(|commit| commit.seq)))
    }

    fn batch(&self, writes: &[(usize, Option<u32>)], level: Durability) -> Refusable<(Answer, Option<u64>)> {
        let at_once = if self.flaw == Flaw::HalfBatch { 1 } else { writes.len().max(1) };
        let mut seq = None;
        for writes in writes.chunks(at_once) {
            let mut batch = self.db.batch().durability(level);
            for &(k, v) in writes {
                batch = match v {
                    Some(v) => batch.put(key(k), value(v)),
                    None => batch.delete(key(k)),
                };
            }
            seq = Some(batch.commit()?.seq);
            if self.flaw == Flaw::HalfBatch {
                linger();
            }
        }
        Ok((Answer::Done, seq))
    }
}

impl Held {
    /// All keys, read one by one, as one scan, and counted; three ways to the same state.
    ///
    /// # Errors
    /// What the database refuses, and `Wrong` if the ways lead to different states.
    pub fn read(&self) -> Refusable<State> {
        let now = self.instead.as_ref().map(|db| db.snapshot());
        let snapshot = now.as_ref().unwrap_or(&self.snapshot);
        let mut single = State::default();
        for (k, slot) in single.iter_mut().enumerate() {
            *slot = snapshot.get(key(k))?.map(|bytes| number(&bytes)).transpose()?;
        }
        let mut scanned = State::default();
        for pair in snapshot.prefix(PREFIX) {
            let (found, bytes) = pair?;
            let place = (0..KEYS).find(|&k| key(k).as_bytes() == &found[..]);
            let place = place.ok_or_else(|| wrong(format!("a scan shows the key {found:?}")))?;
            scanned[place] = Some(number(&bytes)?);
        }
        let count = snapshot.count_prefix(PREFIX)?;
        if single != scanned || count != scanned.iter().flatten().count() as u64 {
            return Err(wrong(format!(
                "one snapshot shows {single:?} by single reads, {scanned:?} by a scan, and counts {count}"
            )));
        }
        Ok(single)
    }
}

fn wrong(text: String) -> Refusal {
    Refusal { kind: "Wrong".to_owned(), text }
}

/// Long enough for another thread to come between.
fn linger() {
    std::thread::yield_now();
    for _ in 0..500 {
        spin_loop();
    }
}
