//! A database full of records: loads it, and reads and writes single records with every answer judged.

use crate::engine::{Durability, Engine, Problem, Result};

use super::ledger::Ledger;
use super::record::Records;

/// Records of one transaction while loading.
const LOAD_BATCH: u64 = 10_000;

/// An open engine and the records it holds.
#[derive(Clone, Copy)]
pub(super) struct Target<'a> {
    /// The engine.
    pub(super) engine: &'a dyn Engine,
    /// Its records.
    pub(super) records: Records,
}

impl Target<'_> {
    /// Writes records `0..count` in version 0, which is the order of no keys, in transactions of 10,000 without a sync;
    /// then makes all durable, so that every engine begins with the same debt: none.
    pub(super) fn load(&self, count: u64) -> Result<()> {
        for first in (0..count).step_by(LOAD_BATCH as usize) {
            self.load_batch(first..count.min(first + LOAD_BATCH), Durability::None)?;
        }
        self.engine.sync()
    }

    /// Writes `records` in version 0, in one transaction.
    pub(super) fn load_batch(&self, records: std::ops::Range<u64>, durability: Durability) -> Result<()> {
        let mut value = Vec::with_capacity(self.records.value_bytes());
        self.engine.write(durability, &mut |batch| {
            records.clone().try_for_each(|record| {
                self.records.fill(record, 0, &mut value);
                batch.put(&self.records.key(record), &value)
            })
        })
    }

    /// Writes one record. `value` is room for its value.
    pub(super) fn put(&self, record: u64, version: u64, durability: Durability, value: &mut Vec<u8>) -> Result<()> {
        self.records.fill(record, version, value);
        self.engine.put(&self.records.key(record), value, durability)
    }

    /// The version of a record as it is now, which must be there.
    pub(super) fn read(&self, record: u64) -> Result<u64> {
        self.find(record)?.ok_or_else(|| wrong(format!("record {record} is missing")))
    }

    /// The version of a record as it is now, if it is there.
    pub(super) fn find(&self, record: u64) -> Result<Option<u64>> {
        let mut judged = Ok(0);
        let there = self.engine.get(&self.records.key(record), &mut |value| {
            judged = self.records.judge_of(record, value);
        })?;
        if there { judged.map(Some).map_err(wrong) } else { Ok(None) }
    }

    /// Reads `limit` records in key order from `record` on, which must be there; fewer only if the last one of them is
    /// not below `greatest`, a key that is there.
    pub(super) fn scan(&self, record: u64, limit: usize, greatest: &[u8]) -> Result<()> {
        let first = self.records.key(record);
        let mut last = Vec::with_capacity(first.len());
        let mut judged = Ok(());
        let found = self.engine.reader()?.seek(&first, limit, &mut |key, value| {
            let ordered = if last.is_empty() { *key == first } else { last.as_slice() < key };
            judged = std::mem::replace(&mut judged, Ok(())).and_then(|()| self.judge_pair(ordered, key, value));
            last.clear();
            last.extend_from_slice(key);
        })?;
        judged.map_err(wrong)?;
        if found > limit || (found < limit && last.as_slice() < greatest) {
            return Err(Problem::wrong("records in a scan", limit, found));
        }
        Ok(())
    }

    /// Checks that exactly `count` records are there, by the engine's own count.
    pub(super) fn expect_len(&self, count: u64) -> Result<()> {
        let found = self.engine.len()?;
        if found == count { Ok(()) } else { Err(Problem::wrong("records in the database", count, found)) }
    }

    /// Checks that the writes of `ledger` are in the database.
    pub(super) fn expect(&self, ledger: &Ledger) -> Result<()> {
        ledger.verdict(|record| self.read(record).map_err(|problem| problem.to_string())).map_err(wrong)
    }

    fn judge_pair(&self, ordered: bool, key: &[u8], value: &[u8]) -> std::result::Result<(), String> {
        let (record, _) = self.records.judge(value)?;
        if key != self.records.key(record) {
            return Err(format!("the value of record {record} was found under another key"));
        }
        if ordered { Ok(()) } else { Err(format!("a scan found record {record} out of order")) }
    }
}

/// A wrong answer, as `what` describes it.
pub(super) fn wrong(what: String) -> Problem {
    Problem::Failed(format!("wrong answer: {what}"))
}
