//! fjall: an LSM tree with a journal, a block cache and background compaction.

use ::fjall as db;
use db::{Database, Guard, Keyspace, KeyspaceCreateOptions, PersistMode, Readable, Snapshot};

use super::{Batch, Durability, Engine, Fill, Pairs, Reader, Result, Settings};

/// The most that its documentation recommends for a memtable.
const LARGEST_MEMTABLE: u64 = 64 << 20;

struct Fjall {
    db: Database,
    data: Keyspace,
    memtable: u64,
    cache: u64,
}

/// Opens fjall with a memtable of a quarter of the budget, as far as that is recommended, and the rest as block cache.
pub(super) fn open(settings: &Settings) -> Result<Box<dyn Engine>> {
    let memtable = LARGEST_MEMTABLE.min(settings.budget_bytes / 4);
    let cache = settings.budget_bytes - memtable;
    let db = Database::builder(settings.dir.join("data")).cache_size(cache).manual_journal_persist(true).open()?;
    let data = db.keyspace("data", || {
        KeyspaceCreateOptions::default().max_memtable_size(memtable).manual_journal_persist(true)
    })?;
    Ok(Box::new(Fjall { db, data, memtable, cache }))
}

impl Fjall {
    fn finish(&self, durability: Durability) -> Result<()> {
        if durability == Durability::Sync {
            self.db.persist(PersistMode::SyncData)?;
        }
        Ok(())
    }
}

struct Writing<'e> {
    batch: db::OwnedWriteBatch,
    data: &'e Keyspace,
}

impl Batch for Writing<'_> {
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        self.batch.insert(self.data, key, value);
        Ok(())
    }

    fn delete(&mut self, key: &[u8]) -> Result<()> {
        self.batch.remove(self.data, key);
        Ok(())
    }
}

/// The type of an ingestion has no public name, so a closure stands for it.
struct Ingesting<W>(W);

impl<W: FnMut(&[u8], Option<&[u8]>) -> db::Result<()>> Batch for Ingesting<W> {
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        Ok(self.0(key, Some(value))?)
    }

    fn delete(&mut self, key: &[u8]) -> Result<()> {
        Ok(self.0(key, None)?)
    }
}

impl Engine for Fjall {
    fn settings(&self) -> Vec<String> {
        vec![
            format!("memtable of {} MiB (8 to 64 MiB are recommended)", self.memtable >> 20),
            format!("block cache of {} MiB, the rest of the budget", self.cache >> 20),
            "manual_journal_persist, as recommended where the application decides about durability".into(),
            "durable: PersistMode::SyncData after each transaction; without sync: no persist".into(),
            "sorted load: start_ingestion, \"prefer this method for maximum bulk load speed\"".into(),
            "compaction: rotate_memtable_and_wait and major_compact, which the documentation hides".into(),
            "pops: first_key_value or last_key_value and remove; one persist at the end".into(),
            "conditional removal: a scan of a snapshot that fills one batch".into(),
        ]
    }

    fn write(&self, durability: Durability, fill: Fill<'_>) -> Result<()> {
        let mode = (durability == Durability::Sync).then_some(PersistMode::SyncData);
        let mut writing = Writing { batch: self.db.batch().durability(mode), data: &self.data };
        fill(&mut writing)?;
        Ok(writing.batch.commit()?)
    }

    fn put(&self, key: &[u8], value: &[u8], durability: Durability) -> Result<()> {
        self.data.insert(key, value)?;
        self.finish(durability)
    }

    fn get(&self, key: &[u8], f: &mut dyn FnMut(&[u8])) -> Result<bool> {
        let found = self.data.get(key)?;
        if let Some(value) = &found {
            f(value);
        }
        Ok(found.is_some())
    }

    fn load_sorted(&self, fill: Fill<'_>) -> Result<()> {
        let mut ingestion = self.data.start_ingestion()?;
        fill(&mut Ingesting(|key: &[u8], value: Option<&[u8]>| match value {
            Some(value) => ingestion.write(key, value),
            None => ingestion.write_tombstone(key),
        }))?;
        Ok(ingestion.finish()?)
    }

    fn reader(&self) -> Result<Box<dyn Reader + '_>> {
        Ok(Box::new(Reading { snapshot: self.db.snapshot(), data: &self.data }))
    }

    fn len(&self) -> Result<u64> {
        Ok(self.data.len()? as u64)
    }

    fn remove_if(
        &self,
        from: &[u8],
        to: &[u8],
        durability: Durability,
        predicate: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<u64> {
        let mode = (durability == Durability::Sync).then_some(PersistMode::SyncData);
        let mut batch = self.db.batch().durability(mode);
        let snapshot = self.db.snapshot();
        for pair in snapshot.range(&self.data, from..to) {
            let (key, value) = pair.into_inner()?;
            if predicate(&key, &value) {
                batch.remove(&self.data, key);
            }
        }
        let removed = batch.len() as u64;
        batch.commit()?;
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
            let pair = if popped % 2 == 0 { self.data.first_key_value() } else { self.data.last_key_value() };
            let Some((key, value)) = pair.map(Guard::into_inner).transpose()? else { break };
            f(&key, &value);
            self.data.remove(key)?;
            popped += 1;
        }
        self.finish(durability)?;
        Ok(popped)
    }

    fn compact(&mut self) -> Result<()> {
        self.data.rotate_memtable_and_wait()?;
        Ok(self.data.major_compact()?)
    }

    fn sync(&self) -> Result<()> {
        self.finish(Durability::Sync)
    }

    fn close(self: Box<Self>) -> Result<()> {
        // Dropping the last handle persists the journal and stops the workers.
        self.finish(Durability::Sync)
    }
}

struct Reading<'e> {
    snapshot: Snapshot,
    data: &'e Keyspace,
}

impl Reader for Reading<'_> {
    fn get(&mut self, key: &[u8], f: &mut dyn FnMut(&[u8])) -> Result<bool> {
        let found = self.snapshot.get(self.data, key)?;
        if let Some(value) = &found {
            f(value);
        }
        Ok(found.is_some())
    }

    fn seek(&mut self, from: &[u8], limit: usize, f: Pairs<'_>) -> Result<usize> {
        let mut found = 0;
        for pair in self.snapshot.range(self.data, from..).take(limit) {
            let (key, value) = pair.into_inner()?;
            f(&key, &value);
            found += 1;
        }
        Ok(found)
    }

    fn scan(&mut self, prefix: &[u8], f: Pairs<'_>) -> Result<u64> {
        let mut found = 0;
        for pair in self.snapshot.prefix(self.data, prefix) {
            let (key, value) = pair.into_inner()?;
            f(&key, &value);
            found += 1;
        }
        Ok(found)
    }
}
