//! sled: a lock-free Bw-tree-like index over a log-structured store.

use ::sled as db;
use db::Db;

use super::{Batch, Durability, Engine, Fill, Pairs, Problem, Reader, Result, Settings};

struct Sled {
    db: Db,
    cache: u64,
}

/// Opens sled with its whole budget as cache.
pub(super) fn open(settings: &Settings) -> Result<Box<dyn Engine>> {
    let cache = settings.budget_bytes;
    let db = db::Config::new()
        .path(settings.dir.join("data"))
        .cache_capacity(cache)
        .mode(db::Mode::HighThroughput)
        .open()?;
    Ok(Box::new(Sled { db, cache }))
}

impl Sled {
    fn finish(&self, durability: Durability) -> Result<()> {
        if durability == Durability::Sync {
            self.db.flush()?;
        }
        Ok(())
    }
}

impl Batch for db::Batch {
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        self.insert(key, value);
        Ok(())
    }

    fn delete(&mut self, key: &[u8]) -> Result<()> {
        self.remove(key);
        Ok(())
    }
}

impl Engine for Sled {
    fn settings(&self) -> Vec<String> {
        vec![
            format!("cache_capacity of {} MiB, the whole budget", self.cache >> 20),
            "Mode::HighThroughput, the default".into(),
            "durable: flush after each transaction; without sync: its flusher writes every 500 ms, the default".into(),
            "reads: no snapshots, each sees the newest state".into(),
            "conditional removal: a scan that fills one batch".into(),
        ]
    }

    fn write(&self, durability: Durability, fill: Fill<'_>) -> Result<()> {
        let mut batch = db::Batch::default();
        fill(&mut batch)?;
        self.db.apply_batch(batch)?;
        self.finish(durability)
    }

    fn put(&self, key: &[u8], value: &[u8], durability: Durability) -> Result<()> {
        self.db.insert(key, value)?;
        self.finish(durability)
    }

    fn reader(&self) -> Result<Box<dyn Reader + '_>> {
        Ok(Box::new(Reading(&self.db)))
    }

    fn len(&self) -> Result<u64> {
        Ok(self.db.len() as u64)
    }

    fn remove_if(
        &self,
        from: &[u8],
        to: &[u8],
        durability: Durability,
        predicate: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<u64> {
        let mut batch = db::Batch::default();
        let mut removed = 0;
        for pair in self.db.range(from..to) {
            let (key, value) = pair?;
            if predicate(&key, &value) {
                batch.remove(key);
                removed += 1;
            }
        }
        self.db.apply_batch(batch)?;
        self.finish(durability)?;
        Ok(removed)
    }

    fn pop_ends(
        &self,
        count: u64,
        durability: Durability,
        go_on: &mut dyn FnMut() -> bool,
        f: Pairs<'_>,
    ) -> Result<u64> {
        let mut popped = 0;
        while popped < count && go_on() {
            let pair = if popped % 2 == 0 { self.db.pop_min()? } else { self.db.pop_max()? };
            let Some((key, value)) = pair else { break };
            f(&key, &value);
            popped += 1;
        }
        self.finish(durability)?;
        Ok(popped)
    }

    fn compact(&mut self) -> Result<()> {
        Err(Problem::Unsupported("no compaction on request"))
    }

    fn sync(&self) -> Result<()> {
        self.finish(Durability::Sync)
    }

    fn close(self: Box<Self>) -> Result<()> {
        self.finish(Durability::Sync)
    }
}

struct Reading<'e>(&'e Db);

impl Reader for Reading<'_> {
    fn get(&mut self, key: &[u8], f: &mut dyn FnMut(&[u8])) -> Result<bool> {
        let found = self.0.get(key)?;
        if let Some(value) = &found {
            f(value);
        }
        Ok(found.is_some())
    }

    fn seek(&mut self, from: &[u8], limit: usize, f: Pairs<'_>) -> Result<usize> {
        let mut found = 0;
        for pair in self.0.range(from..).take(limit) {
            let (key, value) = pair?;
            f(&key, &value);
            found += 1;
        }
        Ok(found)
    }

    fn scan(&mut self, prefix: &[u8], f: Pairs<'_>) -> Result<u64> {
        let mut found = 0;
        for pair in self.0.scan_prefix(prefix) {
            let (key, value) = pair?;
            f(&key, &value);
            found += 1;
        }
        Ok(found)
    }
}
