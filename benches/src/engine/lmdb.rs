//! LMDB, through heed: a copy-on-write B+ tree in one mapped file.

use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use heed::types::Bytes;
use heed::{
    CommitOrAbort, CompactionOption, Database, Env, EnvFlags, EnvOpenOptions, FlagSetMode, PutFlags, RoTxn, RwTxn,
    WithTls,
};

use super::{Batch, Durability, Engine, Fill, Pairs, Problem, Reader, Result, Settings};

/// Address space of the map: far more than any row needs, and free.
const MAP_BYTES: usize = 64 << 30;

/// More than the default of 126, so that many readers leave room.
const READERS: u32 = 256;

type Data = Database<'static, Bytes, Bytes>;

struct Lmdb {
    dir: PathBuf,
    /// `None` only while `compact` swaps the file.
    open: Option<(Env, Data)>,
    /// What a commit does at the moment; held over a change and the beginning of the transaction that needs it.
    level: Mutex<Durability>,
}

/// Opens LMDB with its defaults: the budget has no knob, the operating system's page cache is its cache.
pub(super) fn open(settings: &Settings) -> Result<Box<dyn Engine>> {
    let dir = settings.dir.join("data");
    std::fs::create_dir_all(&dir)?;
    let open = Some(environment(&dir)?);
    Ok(Box::new(Lmdb { dir, open, level: Mutex::new(Durability::Sync) }))
}

fn environment(dir: &Path) -> Result<(Env, Data)> {
    let mut options = EnvOpenOptions::new();
    options.map_size(MAP_BYTES).max_readers(READERS);
    #[expect(unsafe_code, reason = "heed's open: the file is mapped")]
    // SAFETY: the directory belongs to this process alone, and nothing else touches the file while it is mapped.
    let env = unsafe { options.open(dir)? };
    let txn = env.write_txn()?;
    let created = env.create_databases_and_commit(txn, |opener, txn| {
        opener.create_database(txn, None).map(CommitOrAbort::<_, ()>::Commit)
    })?;
    let data = created.commit().ok_or_else(|| Problem::Failed("the database was not created".into()))?;
    Ok((env, data))
}

impl Lmdb {
    fn parts(&self) -> Result<(&Env, Data)> {
        match &self.open {
            Some((env, data)) => Ok((env, *data)),
            None => Err(Problem::Failed("a compaction failed and left no open environment".into())),
        }
    }

    /// A write transaction of the wanted level around `work`.
    fn with<R>(&self, durability: Durability, work: impl FnOnce(&mut RwTxn<'_>, Data) -> Result<R>) -> Result<R> {
        let (env, data) = self.parts()?;
        let mut level = self.level.lock().map_err(|_| Problem::Failed("a writer panicked".into()))?;
        if *level != durability {
            let mode = match durability {
                Durability::Sync => FlagSetMode::Disable,
                Durability::None => FlagSetMode::Enable,
            };
            #[expect(unsafe_code, reason = "heed's set_flags: one thread at a time, and NO_SYNC may lose data")]
            // SAFETY: the mutex is held, so no other thread is in here; losing data in a crash is what the level means.
            unsafe {
                env.set_flags(EnvFlags::NO_SYNC, mode)?;
            }
            *level = durability;
        }
        // All rows write with one level at a time, so writers may queue at LMDB's own lock from here on.
        drop(level);
        let mut txn = env.write_txn()?;
        let result = work(&mut txn, data)?;
        txn.commit()?;
        Ok(result)
    }
}

struct Writing<'w, 'e> {
    txn: &'w mut RwTxn<'e>,
    data: Data,
    flags: PutFlags,
}

impl Batch for Writing<'_, '_> {
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        Ok(self.data.put_with_flags(self.txn, self.flags, key, value)?)
    }

    fn delete(&mut self, key: &[u8]) -> Result<()> {
        self.data.delete(self.txn, key)?;
        Ok(())
    }
}

impl Engine for Lmdb {
    fn settings(&self) -> Vec<String> {
        vec![
            format!(
                "map of {} GiB of address space; the page cache is its cache, the budget has no knob",
                MAP_BYTES >> 30
            ),
            "durable: default flags; without sync: MDB_NOSYNC; no MDB_WRITEMAP, which trades safety away".into(),
            "sorted load: MDB_APPEND".into(),
            "compaction: a copy with MDB_CP_COMPACT that takes the place of the file".into(),
        ]
    }

    fn write(&self, durability: Durability, fill: Fill<'_>) -> Result<()> {
        self.with(durability, |txn, data| fill(&mut Writing { txn, data, flags: PutFlags::empty() }))
    }

    fn load_sorted(&self, fill: Fill<'_>) -> Result<()> {
        self.with(Durability::Sync, |txn, data| fill(&mut Writing { txn, data, flags: PutFlags::APPEND }))
    }

    fn reader(&self) -> Result<Box<dyn Reader + '_>> {
        let (env, data) = self.parts()?;
        Ok(Box::new(Reading { txn: env.read_txn()?, data }))
    }

    fn len(&self) -> Result<u64> {
        let (env, data) = self.parts()?;
        let txn = env.read_txn()?;
        Ok(data.len(&txn)?)
    }

    fn remove_if(
        &self,
        from: &[u8],
        to: &[u8],
        durability: Durability,
        predicate: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<u64> {
        self.with(durability, |txn, data| {
            let mut removed = 0;
            let mut pairs = data.range_mut(txn, &(Bound::Included(from), Bound::Excluded(to)))?;
            while let Some((key, value)) = pairs.next().transpose()? {
                if predicate(key, value) {
                    #[expect(unsafe_code, reason = "heed's del_current: references into the page must be gone")]
                    // SAFETY: key and value are not used after this.
                    let deleted = unsafe { pairs.del_current()? };
                    removed += u64::from(deleted);
                }
            }
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
        self.with(durability, |txn, data| {
            let mut popped = 0;
            while popped < count && go_on() {
                let deleted = if popped % 2 == 0 {
                    let mut pairs = data.iter_mut(txn)?;
                    let Some((key, value)) = pairs.next().transpose()? else { break };
                    f(key, value);
                    #[expect(unsafe_code, reason = "heed's del_current: references into the page must be gone")]
                    // SAFETY: key and value are not used after this.
                    unsafe {
                        pairs.del_current()?
                    }
                } else {
                    let mut pairs = data.rev_iter_mut(txn)?;
                    let Some((key, value)) = pairs.next().transpose()? else { break };
                    f(key, value);
                    #[expect(unsafe_code, reason = "heed's del_current: references into the page must be gone")]
                    // SAFETY: key and value are not used after this.
                    unsafe {
                        pairs.del_current()?
                    }
                };
                popped += u64::from(deleted);
            }
            Ok(popped)
        })
    }

    fn compact(&mut self) -> Result<()> {
        self.sync()?;
        let copy = self.dir.join("copy.mdb");
        let (env, _) = self.parts()?;
        drop(env.copy_to_path(&copy, CompactionOption::Enabled)?);
        if let Some((env, _)) = self.open.take() {
            env.prepare_for_closing().wait();
        }
        std::fs::rename(copy, self.dir.join("data.mdb"))?;
        self.open = Some(environment(&self.dir)?);
        *self.level.get_mut().map_err(|_| Problem::Failed("a writer panicked".into()))? = Durability::Sync;
        Ok(())
    }

    fn sync(&self) -> Result<()> {
        Ok(self.parts()?.0.force_sync()?)
    }

    fn close(mut self: Box<Self>) -> Result<()> {
        self.sync()?;
        if let Some((env, _)) = self.open.take() {
            env.prepare_for_closing().wait();
        }
        Ok(())
    }
}

struct Reading<'e> {
    txn: RoTxn<'e, WithTls>,
    data: Data,
}

impl Reader for Reading<'_> {
    fn get(&mut self, key: &[u8], f: &mut dyn FnMut(&[u8])) -> Result<bool> {
        let found = self.data.get(&self.txn, key)?;
        if let Some(value) = found {
            f(value);
        }
        Ok(found.is_some())
    }

    fn seek(&mut self, from: &[u8], limit: usize, f: Pairs<'_>) -> Result<usize> {
        let mut found = 0;
        for pair in self.data.range(&self.txn, &(Bound::Included(from), Bound::Unbounded))?.take(limit) {
            let (key, value) = pair?;
            f(key, value);
            found += 1;
        }
        Ok(found)
    }

    fn scan(&mut self, prefix: &[u8], f: Pairs<'_>) -> Result<u64> {
        let mut found = 0;
        if prefix.is_empty() {
            for pair in self.data.iter(&self.txn)? {
                let (key, value) = pair?;
                f(key, value);
                found += 1;
            }
        } else {
            for pair in self.data.prefix_iter(&self.txn, prefix)? {
                let (key, value) = pair?;
                f(key, value);
                found += 1;
            }
        }
        Ok(found)
    }
}
