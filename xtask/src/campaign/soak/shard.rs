//! [`Shard`]: one thread's keys, what they must hold, and what the thread does with them.

use crate::campaign::engine::Refusal;
use crate::campaign::rng::{Rng, derive};
use halodb::{Condition, Db, Durability, Snapshot, WriteOptions};
use std::collections::{BTreeMap, VecDeque};

/// Keys of a shard that may exist. At most about two of three do.
const KEYS: u64 = 3_000;

/// Snapshots that a shard holds at a time, at most.
const HELD: usize = 3;

type Pairs = BTreeMap<Vec<u8>, Vec<u8>>;

/// See the head of this file.
#[derive(Debug)]
pub struct Shard {
    prefix: Vec<u8>,
    rng: Rng,
    pairs: Pairs,
    /// Snapshots, what they must show, and after how many steps they go.
    held: VecDeque<(Snapshot, Pairs, u64)>,
    steps: u64,
}

impl Shard {
    /// An empty shard. Shards of different numbers have no key in common.
    pub fn new(seed: u64, number: u64) -> Shard {
        let prefix = format!("shard/{number:02}/").into_bytes();
        Shard { prefix, rng: Rng::new(derive(seed, number)), pairs: Pairs::new(), held: VecDeque::new(), steps: 0 }
    }

    /// Bytes of its keys and values.
    pub fn live_bytes(&self) -> u64 {
        self.pairs.iter().map(|(key, value)| (key.len() + value.len()) as u64).sum()
    }

    /// Does one thing; how many operations that were.
    ///
    /// # Errors
    /// A wrong answer, or what the database refused.
    pub fn step(&mut self, db: &Db) -> Result<u64, String> {
        self.steps += 1;
        if self.held.front().is_some_and(|(.., until)| *until <= self.steps) {
            self.let_go_of_one()?;
        }
        match self.rng.below(1_000) {
            0..500 => self.write(db),
            500..600 => self.batch(db),
            600..750 => self.delete(db),
            750..760 => self.if_absent(db),
            760..970 => self.read(db),
            970..985 => self.scan(db),
            985..992 => self.count(db),
            992..999 => {
                self.hold(db);
                Ok(1)
            }
            // Seldom: each is a merge of all that is in memory.
            _ if self.rng.below(40) == 0 => db.flush().map(|()| 1).map_err(refused),
            _ => db.sync().map(|_| 1).map_err(refused),
        }
    }

    fn key(&mut self) -> Vec<u8> {
        let number = self.rng.below(KEYS);
        [&self.prefix[..], format!("{number:06}").as_bytes()].concat()
    }

    fn value(&mut self) -> Vec<u8> {
        let len = match self.rng.below(50) {
            // Some values lie on pages of their own.
            0 => 2_000 + self.rng.below(6_000),
            _ => 1 + self.rng.below(300),
        };
        let mut bytes = self.rng.draw().to_le_bytes().to_vec();
        bytes.resize(8 + len as usize, self.steps as u8);
        bytes
    }

    fn level(&mut self) -> Durability {
        match self.rng.below(200) {
            0 => Durability::Sync,
            1..60 => Durability::Buffered,
            _ => Durability::Memory,
        }
    }

    fn write(&mut self, db: &Db) -> Result<u64, String> {
        let (key, value, level) = (self.key(), self.value(), self.level());
        db.put_with(&key, &value, &WriteOptions::new().durability(level)).map_err(refused)?;
        self.pairs.insert(key, value);
        Ok(1)
    }

    fn batch(&mut self, db: &Db) -> Result<u64, String> {
        let mut batch = db.batch().durability(self.level());
        let writes = 2 + self.rng.below(10);
        for _ in 0..writes {
            let key = self.key();
            if self.rng.below(3) == 0 {
                batch = batch.delete(&key);
                self.pairs.remove(&key);
            } else {
                let value = self.value();
                batch = batch.put(&key, &value);
                self.pairs.insert(key, value);
            }
        }
        batch.commit().map_err(refused)?;
        Ok(writes)
    }

    fn delete(&mut self, db: &Db) -> Result<u64, String> {
        let key = self.key();
        // A delete has the database's own durability, which is `Sync`: a batch has not.
        if self.rng.below(100) > 0 {
            db.batch().delete(&key).durability(Durability::Memory).commit().map_err(refused)?;
            self.pairs.remove(&key);
            return Ok(1);
        }
        let was_there = db.delete(&key).map_err(refused)?;
        expect("delete", &key, was_there, self.pairs.remove(&key).is_some())
    }

    fn if_absent(&mut self, db: &Db) -> Result<u64, String> {
        let (key, value, level) = (self.key(), self.value(), self.level());
        let options = WriteOptions::new().durability(level).condition(Condition::IfAbsent);
        let written = db.put_with(&key, &value, &options).map_err(refused)?.is_some();
        let checked = expect("a conditional put", &key, written, !self.pairs.contains_key(&key));
        if written {
            self.pairs.insert(key, value);
        }
        checked
    }

    fn read(&mut self, db: &Db) -> Result<u64, String> {
        let key = self.key();
        let found = db.get(&key).map_err(refused)?;
        expect("get", &key, found.as_deref(), self.pairs.get(&key).map(|value| &value[..]))
    }

    /// A part of the shard, forwards or backwards.
    fn scan(&mut self, db: &Db) -> Result<u64, String> {
        let from = self.key();
        let most = 1 + self.rng.below(200) as usize;
        let end = [&self.prefix[..], b"~"].concat();
        let (span, pairs) = (db.range(&from[..]..&end[..]), self.pairs.range(from.clone()..).map(pair));
        let (found, expected): (Result<Vec<_>, _>, Vec<_>) = match self.rng.below(2) {
            0 => (span.take(most).collect(), pairs.take(most).collect()),
            _ => (span.rev().take(most).collect(), pairs.rev().take(most).collect()),
        };
        let found = found.map_err(refused)?;
        let is_right = found.iter().map(|(key, value)| (&key[..], &value[..])).eq(expected);
        expect("a scan is right", &from, is_right, true)
    }

    fn count(&mut self, db: &Db) -> Result<u64, String> {
        let found = db.count_prefix(&self.prefix).map_err(refused)?;
        expect("count", &self.prefix, found, self.pairs.len() as u64)
    }

    /// Takes a snapshot, to be compared and dropped later.
    fn hold(&mut self, db: &Db) {
        if self.held.len() < HELD {
            let until = self.steps + self.rng.below(4_000);
            self.held.push_back((db.snapshot(), self.pairs.clone(), until));
        }
    }

    fn let_go_of_one(&mut self) -> Result<(), String> {
        let Some((snapshot, pairs, _)) = self.held.pop_front() else { return Ok(()) };
        compare(&snapshot, &self.prefix, &pairs).map_err(|what| format!("a snapshot that was held: {what}"))
    }

    /// Compares all snapshots that are held, and drops them.
    ///
    /// # Errors
    /// The first difference.
    pub fn let_go(&mut self) -> Result<(), String> {
        while !self.held.is_empty() {
            self.let_go_of_one()?;
        }
        Ok(())
    }

    /// Compares everything.
    ///
    /// # Errors
    /// The first difference.
    pub fn compare(&self, snapshot: &Snapshot) -> Result<(), String> {
        compare(snapshot, &self.prefix, &self.pairs)
    }
}

fn pair<'a>((key, value): (&'a Vec<u8>, &'a Vec<u8>)) -> (&'a [u8], &'a [u8]) {
    (key, value)
}

fn compare(snapshot: &Snapshot, prefix: &[u8], pairs: &Pairs) -> Result<(), String> {
    let mut expected = pairs.iter();
    for found in snapshot.prefix(prefix) {
        let (key, value) = found.map_err(refused)?;
        match expected.next().map(pair) {
            Some((k, v)) if k == &key[..] && v == &value[..] => {}
            other => {
                let other = other.map(|(k, _)| k.escape_ascii().to_string());
                return Err(format!(
                    "the key {} is there, or holds what it must not; {other:?} was next",
                    key.escape_ascii()
                ));
            }
        }
    }
    match expected.next() {
        Some((key, _)) => Err(format!("the key {} is missing", key.escape_ascii())),
        None => Ok(()),
    }
}

fn expect<T: PartialEq + std::fmt::Debug>(what: &str, key: &[u8], found: T, expected: T) -> Result<u64, String> {
    if found == expected {
        return Ok(1);
    }
    Err(format!("{what} at {}: {found:?} instead of {expected:?}", key.escape_ascii()))
}

fn refused(e: halodb::Error) -> String {
    format!("refused without reason: {}", Refusal::from(e))
}

#[cfg(test)]
mod tests {
    use super::*;
    use halodb::vfs::SimVfs;
    use std::sync::Arc;

    #[test]
    fn a_write_behind_the_back_of_a_shard_is_noticed() {
        let db = Db::builder("data").vfs(Arc::new(SimVfs::new())).open().unwrap();
        let mut shard = Shard::new(1, 0);
        for _ in 0..500 {
            shard.step(&db).unwrap();
        }
        shard.let_go().unwrap();
        shard.compare(&db.snapshot()).unwrap();
        let key = shard.pairs.keys().next().unwrap().clone();
        db.put(&key, "foreign").unwrap();
        assert!(shard.compare(&db.snapshot()).is_err());
        db.delete(&key).unwrap();
        assert!(shard.compare(&db.snapshot()).unwrap_err().contains("was next"));
        db.put("shard/00/zz", "foreign").unwrap();
        shard.pairs.remove(&key);
        assert!(shard.compare(&db.snapshot()).is_err());
    }
}
