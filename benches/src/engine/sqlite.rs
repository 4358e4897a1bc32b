//! SQLite, through rusqlite: a table without row numbers, in WAL mode.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};

use rusqlite::{Connection, params};

use super::{Batch, Durability, Engine, Fill, Pairs, Problem, Reader, Result, Settings, prefix_end};

/// Bytes of a reader's own page cache; what it reads is mapped beside it.
const READER_CACHE: u64 = 8 << 20;

struct Sqlite {
    file: PathBuf,
    writer: Mutex<Writer>,
    budget: u64,
}

struct Writer {
    db: Connection,
    level: Durability,
}

/// Opens SQLite with half of its budget as the writer's page cache, and the whole of it as mapping.
pub(super) fn open(settings: &Settings) -> Result<Box<dyn Engine>> {
    let file = settings.dir.join("data.sqlite");
    let budget = settings.budget_bytes;
    let db = connect(&file, budget / 2, budget)?;
    db.pragma_update(None, "journal_mode", "wal")?;
    db.pragma_update(None, "synchronous", "full")?;
    db.execute_batch("create table if not exists data (k blob primary key, v blob not null) without rowid")?;
    Ok(Box::new(Sqlite { file, writer: Mutex::new(Writer { db, level: Durability::Sync }), budget }))
}

fn connect(file: &Path, cache: u64, mapping: u64) -> Result<Connection> {
    let db = Connection::open(file)?;
    // A negative size counts KiB.
    db.pragma_update(None, "cache_size", -((cache >> 10) as i64))?;
    db.pragma_update(None, "mmap_size", mapping as i64)?;
    db.busy_timeout(std::time::Duration::from_secs(60))?;
    Ok(db)
}

impl Sqlite {
    fn writer(&self, durability: Durability) -> Result<MutexGuard<'_, Writer>> {
        let mut writer = self.writer.lock().map_err(|_| Problem::Failed("a writer panicked".into()))?;
        if writer.level != durability {
            let level = if durability == Durability::Sync { "full" } else { "off" };
            writer.db.pragma_update(None, "synchronous", level)?;
            writer.level = durability;
        }
        Ok(writer)
    }

    /// A transaction around `work`.
    fn with<R>(&self, durability: Durability, work: impl FnOnce(&Connection) -> Result<R>) -> Result<R> {
        let mut writer = self.writer(durability)?;
        let txn = writer.db.transaction()?;
        let result = work(&txn)?;
        txn.commit()?;
        Ok(result)
    }
}

struct Writing<'t>(&'t Connection);

impl Batch for Writing<'_> {
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        self.0.prepare_cached("insert or replace into data (k, v) values (?1, ?2)")?.execute(params![key, value])?;
        Ok(())
    }

    fn delete(&mut self, key: &[u8]) -> Result<()> {
        self.0.prepare_cached("delete from data where k = ?1")?.execute(params![key])?;
        Ok(())
    }
}

impl Engine for Sqlite {
    fn settings(&self) -> Vec<String> {
        vec![
            format!("page cache of {} MiB, half of the budget, for the writer", self.budget >> 21),
            format!("page cache of {} MiB for each reader", READER_CACHE >> 20),
            format!("mmap_size of {} MiB, the budget", self.budget >> 20),
            "WAL mode; a table without rowid; prepared statements".into(),
            "durable: synchronous=full; without sync: synchronous=off".into(),
            "compaction: vacuum and a truncating checkpoint".into(),
        ]
    }

    fn write(&self, durability: Durability, fill: Fill<'_>) -> Result<()> {
        self.with(durability, |txn| fill(&mut Writing(txn)))
    }

    fn put(&self, key: &[u8], value: &[u8], durability: Durability) -> Result<()> {
        // A statement outside a transaction is one.
        Writing(&self.writer(durability)?.db).put(key, value)
    }

    fn reader(&self) -> Result<Box<dyn Reader + '_>> {
        let db = connect(&self.file, READER_CACHE, self.budget)?;
        // A transaction begins its snapshot with its first read.
        db.execute_batch("begin")?;
        Ok(Box::new(Reading(db)))
    }

    fn get(&self, key: &[u8], f: &mut dyn FnMut(&[u8])) -> Result<bool> {
        let writer = self.writer.lock().map_err(|_| Problem::Failed("a writer panicked".into()))?;
        get(&writer.db, key, f)
    }

    fn len(&self) -> Result<u64> {
        let writer = self.writer.lock().map_err(|_| Problem::Failed("a writer panicked".into()))?;
        Ok(writer.db.query_row("select count(*) from data", [], |row| row.get::<_, i64>(0))? as u64)
    }

    fn remove_if(
        &self,
        from: &[u8],
        to: &[u8],
        durability: Durability,
        predicate: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<u64> {
        self.with(durability, |txn| {
            // Deleting beside a cursor over the same table is undefined, so keys are gathered first.
            let mut keys: Vec<Vec<u8>> = Vec::new();
            let mut select = txn.prepare_cached("select k, v from data where k >= ?1 and k < ?2")?;
            let mut rows = select.query(params![from, to])?;
            while let Some(row) = rows.next()? {
                let (key, value) = (row.get_ref(0)?.as_blob()?, row.get_ref(1)?.as_blob()?);
                if predicate(key, value) {
                    keys.push(key.to_vec());
                }
            }
            keys.iter().try_for_each(|key| Writing(txn).delete(key))?;
            Ok(keys.len() as u64)
        })
    }

    fn pop_ends(
        &self,
        count: u64,
        durability: Durability,
        go_on: &mut dyn FnMut() -> bool,
        f: Pairs<'_>,
    ) -> Result<u64> {
        const FIRST: &str = "delete from data where k = (select min(k) from data) returning k, v";
        const LAST: &str = "delete from data where k = (select max(k) from data) returning k, v";
        self.with(durability, |txn| {
            let mut popped = 0;
            while popped < count && go_on() {
                let mut delete = txn.prepare_cached(if popped % 2 == 0 { FIRST } else { LAST })?;
                let mut rows = delete.query([])?;
                let Some(row) = rows.next()? else { break };
                f(row.get_ref(0)?.as_blob()?, row.get_ref(1)?.as_blob()?);
                // The statement takes effect whole when its rows have been read.
                while rows.next()?.is_some() {}
                popped += 1;
            }
            Ok(popped)
        })
    }

    fn compact(&mut self) -> Result<()> {
        let writer = self.writer(Durability::Sync)?;
        writer.db.execute_batch("vacuum")?;
        checkpoint(&writer.db)
    }

    fn sync(&self) -> Result<()> {
        checkpoint(&self.writer(Durability::Sync)?.db)
    }

    fn close(self: Box<Self>) -> Result<()> {
        self.sync()?;
        let writer = self.writer.into_inner().map_err(|_| Problem::Failed("a writer panicked".into()))?;
        writer.db.close().map_err(|(_, error)| error)?;
        Ok(())
    }
}

/// Moves the WAL into the file and synchronises it.
fn checkpoint(db: &Connection) -> Result<()> {
    let busy: i64 = db.query_row("pragma wal_checkpoint(truncate)", [], |row| row.get(0))?;
    if busy == 0 { Ok(()) } else { Err(Problem::Failed("a checkpoint was kept from finishing by a reader".into())) }
}

fn get(db: &Connection, key: &[u8], f: &mut dyn FnMut(&[u8])) -> Result<bool> {
    let mut select = db.prepare_cached("select v from data where k = ?1")?;
    let mut rows = select.query(params![key])?;
    let Some(row) = rows.next()? else { return Ok(false) };
    f(row.get_ref(0)?.as_blob()?);
    Ok(true)
}

struct Reading(Connection);

impl Reader for Reading {
    fn get(&mut self, key: &[u8], f: &mut dyn FnMut(&[u8])) -> Result<bool> {
        get(&self.0, key, f)
    }

    fn seek(&mut self, from: &[u8], limit: usize, f: Pairs<'_>) -> Result<usize> {
        let mut select = self.0.prepare_cached("select k, v from data where k >= ?1 order by k limit ?2")?;
        Ok(show(&mut select.query(params![from, limit as i64])?, f)? as usize)
    }

    fn scan(&mut self, prefix: &[u8], f: Pairs<'_>) -> Result<u64> {
        match prefix_end(prefix) {
            Some(end) => {
                let mut select = self.0.prepare_cached("select k, v from data where k >= ?1 and k < ?2 order by k")?;
                show(&mut select.query(params![prefix, end])?, f)
            }
            None => {
                let mut select = self.0.prepare_cached("select k, v from data where k >= ?1 order by k")?;
                show(&mut select.query(params![prefix])?, f)
            }
        }
    }
}

fn show(rows: &mut rusqlite::Rows<'_>, f: Pairs<'_>) -> Result<u64> {
    let mut found = 0;
    while let Some(row) = rows.next()? {
        f(row.get_ref(0)?.as_blob()?, row.get_ref(1)?.as_blob()?);
        found += 1;
    }
    Ok(found)
}
