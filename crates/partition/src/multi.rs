//! Several keys of a snapshot looked up at once.
//!
//! All their slots in the memtables are asked for before the first one is probed; what no memtable has goes down its
//! partition's tree side by side. This file does not know how a tree does that.

use crate::snapshot::Snapshot;
use crate::{Result, Value};
use halodb_memtable::Entry;

/// Keys that are taken together: so many that of two partitions' trees each has a whole group to look up.
const TOGETHER: usize = 32;

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
        let mut values: Vec<Option<Value>> = Vec::with_capacity(keys.len());
        let mut pending: Vec<Pending> = Vec::with_capacity(TOGETHER.min(keys.len()));
        let mut asked = Vec::with_capacity(TOGETHER.min(keys.len()));
        for group in keys.chunks(TOGETHER) {
            let first = values.len();
            pending.clear();
            for (i, key) in group.iter().enumerate() {
                let hash = self.router().hash(key.as_ref());
                let partition = self.router().partition_of_hash(hash);
                self.parts()[partition].prefetch(hash);
                pending.push(Pending { partition, number: first + i, hash });
            }
            values.resize(first + group.len(), None);
            pending.retain(|&Pending { partition, number, hash }| {
                let part = &self.parts()[partition];
                match part.in_memory(hash, keys[number].as_ref(), self.lsn()) {
                    None => true,
                    Some(found) => {
                        if let Entry::Value(bytes) = found.entry {
                            values[number] = Some(self.value_in_memory(part, hash, keys[number].as_ref(), bytes));
                        }
                        false
                    }
                }
            });
            pending.sort_unstable_by_key(|key| (key.partition, key.number));
            for of_partition in pending.chunk_by(|a, b| a.partition == b.partition) {
                asked.clear();
                asked.extend(of_partition.iter().map(|key| (keys[key.number].as_ref(), key.hash)));
                let tree = &self.parts()[of_partition[0].partition].tree;
                tree.multi_get_hashed(&asked, |i, value| values[of_partition[i].number] = Some(Value::copied(value)))?;
            }
        }
        Ok(values)
    }
}
