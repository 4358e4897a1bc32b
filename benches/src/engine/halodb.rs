//! HaloDB through its public interface.

use ::halodb as db;
use db::{Db, Scan, Snapshot, WriteOptions};

use super::{Batch, Durability, Engine, Fill, Pairs, Reader, Result, Settings};

struct Halo {
    db: Db,
    memtable: u64,
    partitions: Option<u32>,
}

/// Opens HaloDB with its defaults, memtables and log in proportion to the budget.
pub(super) fn open(settings: &Settings) -> Result<Box<dyn Engine>> {
    open_with(settings, None)
}

/// As [`open`], with two partitions.
pub(super) fn open_two(settings: &Settings) -> Result<Box<dyn Engine>> {
    open_with(settings, Some(2))
}

/// As [`open`], with four partitions.
pub(super) fn open_four(settings: &Settings) -> Result<Box<dyn Engine>> {
    open_with(settings, Some(4))
}

fn open_with(settings: &Settings, partitions: Option<u32>) -> Result<Box<dyn Engine>> {
    // By default memtables are a quarter of the memory limit of 256 MiB, and the log's limit is as large as they are.
    let memtable = settings.budget_bytes / 4;
    let builder = Db::builder(settings.dir.join("data")).memtable(memtable).log_limit(memtable);
    let db = partitions.into_iter().fold(builder, db::Builder::partitions).open()?;
    Ok(Box::new(Halo { db, memtable, partitions }))
}

fn level(durability: Durability) -> db::Durability {
    match durability {
        Durability::Sync => db::Durability::Sync,
        Durability::None => db::Durability::Memory,
    }
}

/// Batches are built by value.
struct Building(Option<db::Batch>);

impl Batch for Building {
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        self.0 = self.0.take().map(|batch| batch.put(key, value));
        Ok(())
    }

    fn delete(&mut self, key: &[u8]) -> Result<()> {
        self.0 = self.0.take().map(|batch| batch.delete(key));
        Ok(())
    }
}

impl Engine for Halo {
    fn settings(&self) -> Vec<String> {
        vec![
            format!("memtables of {} MiB in all, a quarter of the budget as by default", self.memtable >> 20),
            format!("log limit of {} MiB, as large as the memtables as by default", self.memtable >> 20),
            match self.partitions {
                None => "everything else as by default; no cache of its own: pages are mapped".into(),
                Some(n) => {
                    format!("partitions: {n}; everything else as by default; no cache of its own: pages are mapped")
                }
            },
            "durable: level sync; without sync: level memory".into(),
        ]
    }

    fn write(&self, durability: Durability, fill: Fill<'_>) -> Result<()> {
        let mut building = Building(Some(self.db.batch().durability(level(durability))));
        fill(&mut building)?;
        if let Some(batch) = building.0 {
            batch.commit()?;
        }
        Ok(())
    }

    fn put(&self, key: &[u8], value: &[u8], durability: Durability) -> Result<()> {
        self.db.put_with(key, value, &WriteOptions::new().durability(level(durability)))?;
        Ok(())
    }

    fn get(&self, key: &[u8], f: &mut dyn FnMut(&[u8])) -> Result<bool> {
        Ok(self.db.get_with(key, f)?.is_some())
    }

    fn reader(&self) -> Result<Box<dyn Reader + '_>> {
        let snapshot = self.db.snapshot();
        Ok(Box::new(Reading { scan: snapshot.scan::<&[u8]>(..), snapshot }))
    }

    fn len(&self) -> Result<u64> {
        Ok(self.db.len()?)
    }

    fn remove_if(
        &self,
        from: &[u8],
        to: &[u8],
        durability: Durability,
        predicate: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<u64> {
        let mut tx = self.db.begin()?;
        tx.set_durability(level(durability));
        let removed = tx.delete_if(from..to, predicate)?;
        tx.commit()?;
        Ok(removed)
    }

    fn pop_ends(
        &self,
        count: u64,
        durability: Durability,
        go_on: &mut dyn FnMut() -> bool,
        f: Pairs<'_>,
    ) -> Result<u64> {
        let mut tx = self.db.begin()?;
        tx.set_durability(level(durability));
        let mut popped = 0;
        while popped < count && go_on() {
            let pair = if popped % 2 == 0 { tx.pop_first()? } else { tx.pop_last()? };
            let Some((key, value)) = pair else { break };
            f(&key, &value);
            popped += 1;
        }
        tx.commit()?;
        Ok(popped)
    }

    fn compact(&mut self) -> Result<()> {
        self.db.compact()?;
        Ok(())
    }

    fn sync(&self) -> Result<()> {
        self.db.sync()?;
        Ok(())
    }

    fn close(self: Box<Self>) -> Result<()> {
        Ok(self.db.close()?)
    }
}

struct Reading {
    snapshot: Snapshot,
    /// Kept from seek to seek, as its documentation advises for many short ranges.
    scan: Scan,
}

/// Shows `f` up to `limit` pairs; how many.
fn show(scan: &mut Scan, limit: usize, f: Pairs<'_>) -> Result<usize> {
    let mut found = 0;
    while found < limit {
        let Some((key, value)) = scan.next()? else { break };
        f(key, value);
        found += 1;
    }
    Ok(found)
}

impl Reader for Reading {
    fn get(&mut self, key: &[u8], f: &mut dyn FnMut(&[u8])) -> Result<bool> {
        Ok(self.snapshot.get_with(key, f)?.is_some())
    }

    fn multi_get(&mut self, keys: &[&[u8]], f: &mut dyn FnMut(&[u8])) -> Result<usize> {
        let mut found = 0;
        self.snapshot.multi_get_with(keys, |_, value| {
            found += 1;
            f(value);
        })?;
        Ok(found)
    }

    fn seek(&mut self, from: &[u8], limit: usize, f: Pairs<'_>) -> Result<usize> {
        self.scan.seek(from);
        show(&mut self.scan, limit, f)
    }

    fn scan(&mut self, prefix: &[u8], f: Pairs<'_>) -> Result<u64> {
        Ok(show(&mut self.snapshot.scan_prefix(prefix), usize::MAX, f)? as u64)
    }
}
