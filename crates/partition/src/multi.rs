//! Several keys of a snapshot looked up at once.
//!
//! All their slots in the memtables are asked for before the first one is probed; what no memtable has goes down its
//! partition's tree side by side. This file does not know how a tree does that.

use crate::snapshot::Snapshot;
use crate::version::PartVersion;
use crate::{Result, Value};

/// Keys that are taken together: so many that of two partitions' trees each has a whole group to look up.
const TOGETHER: usize = 32;

/// Where a value was found.
enum Where<'s> {
    Memory(&'s PartVersion, u64, &'s [u8]),
    Tree(&'s [u8]),
}

/// A key that no memtable has.
#[derive(Clone, Copy)]
struct Pending {
    partition: usize,
    /// Its number among all that are asked for.
    number: usize,
    hash: u64,
}

impl Snapshot {
    /// The values of several keys, in their order; keys may come in any order, and more than once.
    ///
    /// Costs less than as many [`Snapshot::get`]s, as they wait for memory together.
    ///
    /// # Errors
    /// `Corrupt` or `Io` if a page on the way to one of them cannot be read.
    pub fn multi_get(&self, keys: &[impl AsRef<[u8]>]) -> Result<Vec<Option<Value>>> {
        let mut values: Vec<Option<Value>> = vec![None; keys.len()];
        self.each(keys, |i, found| {
            values[i] = Some(match found {
                Where::Memory(part, hash, bytes) => self.value_in_memory(part, hash, keys[i].as_ref(), bytes),
                Where::Tree(bytes) => Value::copied(bytes),
            });
        })?;
        Ok(values)
    }

    /// Runs `f` on the number and the value, borrowed from where it lies, of each of the keys that is there, in any order.
    ///
    /// # Errors
    /// As [`Snapshot::multi_get`]; `f` may have run for some of the keys.
    pub fn multi_get_with(&self, keys: &[impl AsRef<[u8]>], mut f: impl FnMut(usize, &[u8])) -> Result<()> {
        self.each(keys, |i, found| match found {
            Where::Memory(_, _, bytes) | Where::Tree(bytes) => f(i, bytes),
        })
    }

    fn each<'s>(&'s self, keys: &[impl AsRef<[u8]>], mut found: impl FnMut(usize, Where<'s>)) -> Result<()> {
        let mut pending: Vec<Pending> = Vec::with_capacity(TOGETHER.min(keys.len()));
        let mut asked = Vec::with_capacity(TOGETHER.min(keys.len()));
        for (number_of_group, group) in keys.chunks(TOGETHER).enumerate() {
            let first = number_of_group * TOGETHER;
            pending.clear();
            for (i, key) in group.iter().enumerate() {
                let hash = self.router().hash(key.as_ref());
                let partition = self.router().partition_of_hash(hash);
                self.parts()[partition].prefetch(hash);
                pending.push(Pending { partition, number: first + i, hash });
            }
            let mut failed = Ok(());
            pending.retain(|&Pending { partition, number, hash }| {
                let part = &self.parts()[partition];
                match part.in_memory(hash, keys[number].as_ref(), self.lsn()) {
                    Ok(None) => true,
                    Err(e) => {
                        failed = Err(e);
                        false
                    }
                    Ok(Some(newest)) => {
                        if let Some(bytes) = newest.entry.live_value(self.now_ms()) {
                            found(number, Where::Memory(part, hash, bytes));
                        }
                        false
                    }
                }
            });
            failed?;
            pending.sort_unstable_by_key(|key| (key.partition, key.number));
            for of_partition in pending.chunk_by(|a, b| a.partition == b.partition) {
                asked.clear();
                asked.extend(of_partition.iter().map(|key| (keys[key.number].as_ref(), key.hash)));
                let tree = &self.parts()[of_partition[0].partition].tree;
                tree.multi_get_hashed(&asked, |i, value, expiry| {
                    if !expiry.is_past(self.now_ms()) {
                        found(of_partition[i].number, Where::Tree(value));
                    }
                })?;
            }
        }
        Ok(())
    }
}
