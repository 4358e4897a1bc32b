//! redb: copy-on-write B+ trees in one file, with a page cache of its own.

use ::redb as db;
use db::{Database, ReadableDatabase, ReadableTable, ReadableTableMetadata, TableDefinition};

use super::{Batch, Durability, Engine, Fill, Pairs, Reader, Result, Settings, prefix_end};

type Bytes = &'static [u8];

const TABLE: TableDefinition<'static, Bytes, Bytes> = TableDefinition::new("data");

struct Redb {
    db: Database,
    cache: u64,
}

/// Opens redb with its whole budget as cache.
pub(super) fn open(settings: &Settings) -> Result<Box<dyn Engine>> {
    let cache = settings.budget_bytes;
    let db = Database::builder().set_cache_size(cache as usize).create(settings.dir.join("data.redb"))?;
    // The table exists from the beginning, so that a reader of an empty database finds it.
    let txn = db.begin_write()?;
    txn.open_table(TABLE)?;
    txn.commit()?;
    Ok(Box::new(Redb { db, cache }))
}

impl Redb {
    /// A write transaction of the wanted level around `work`.
    fn with<R>(&self, durability: Durability, work: impl FnOnce(&mut Table<'_>) -> Result<R>) -> Result<R> {
        let mut txn = self.db.begin_write()?;
        txn.set_durability(match durability {
            Durability::Sync => db::Durability::Immediate,
            Durability::None => db::Durability::None,
        })?;
        let result = {
            let mut table = Table(txn.open_table(TABLE)?);
            work(&mut table)?
        };
        txn.commit()?;
        Ok(result)
    }
}

struct Table<'t>(db::Table<'t, Bytes, Bytes>);

impl Batch for Table<'_> {
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        self.0.insert(key, value)?;
        Ok(())
    }

    fn delete(&mut self, key: &[u8]) -> Result<()> {
        self.0.remove(key)?;
        Ok(())
    }
}

impl Engine for Redb {
    fn settings(&self) -> Vec<String> {
        vec![
            format!("cache of {} MiB, the whole budget: redb has one cache for reads and writes", self.cache >> 20),
            "durable: Durability::Immediate with one-phase commits, the default".into(),
            "without sync: Durability::None, commits stay in memory".into(),
        ]
    }

    fn write(&self, durability: Durability, fill: Fill<'_>) -> Result<()> {
        self.with(durability, |table| fill(table))
    }

    fn reader(&self) -> Result<Box<dyn Reader + '_>> {
        Ok(Box::new(self.db.begin_read()?.open_table(TABLE)?))
    }

    fn len(&self) -> Result<u64> {
        Ok(self.db.begin_read()?.open_table(TABLE)?.len()?)
    }

    fn remove_if(
        &self,
        from: &[u8],
        to: &[u8],
        durability: Durability,
        predicate: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<u64> {
        self.with(durability, |table| {
            let mut removed = 0;
            table.0.retain_in(from..to, |key, value| {
                let remove = predicate(key, value);
                removed += u64::from(remove);
                !remove
            })?;
            Ok(removed)
        })
    }

    fn pop_ends(
        &self,
        count: u64,
        durability: Durability,
        go_on: &mut dyn FnMut() -> bool,
        f: Pairs<'_>,
    ) -> Result<u64> {
        self.with(durability, |table| {
            let mut popped = 0;
            while popped < count && go_on() {
                let pair = if popped % 2 == 0 { table.0.pop_first()? } else { table.0.pop_last()? };
                let Some((key, value)) = pair else { break };
                f(key.value(), value.value());
                popped += 1;
            }
            Ok(popped)
        })
    }

    fn compact(&mut self) -> Result<()> {
        // One call moves pages once; its documentation leaves repeating it to the caller until nothing moves.
        while self.db.compact()? {}
        Ok(())
    }

    fn sync(&self) -> Result<()> {
        // A durable commit makes those before it durable.
        self.with(Durability::Sync, |_| Ok(()))
    }

    fn close(self: Box<Self>) -> Result<()> {
        drop(self.db);
        Ok(())
    }
}

impl Reader for db::ReadOnlyTable<Bytes, Bytes> {
    fn get(&mut self, key: &[u8], f: &mut dyn FnMut(&[u8])) -> Result<bool> {
        let found = ReadableTable::get(self, key)?;
        if let Some(value) = &found {
            f(value.value());
        }
        Ok(found.is_some())
    }

    fn seek(&mut self, from: &[u8], limit: usize, f: Pairs<'_>) -> Result<usize> {
        let mut found = 0;
        for pair in ReadableTable::range::<&[u8]>(self, from..)?.take(limit) {
            let (key, value) = pair?;
            f(key.value(), value.value());
            found += 1;
        }
        Ok(found)
    }

    fn scan(&mut self, prefix: &[u8], f: Pairs<'_>) -> Result<u64> {
        let pairs = match prefix_end(prefix) {
            Some(end) => ReadableTable::range::<&[u8]>(self, prefix..&end)?,
            None => ReadableTable::range::<&[u8]>(self, prefix..)?,
        };
        let mut found = 0;
        for pair in pairs {
            let (key, value) = pair?;
            f(key.value(), value.value());
            found += 1;
        }
        Ok(found)
    }
}
