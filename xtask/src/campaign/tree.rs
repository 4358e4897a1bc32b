//! [`OneTree`]: the tree by itself, in a page file of its own, driven by the same workloads and judged by the same oracle as
//! the engine above it.
//!
//! A tree has no log, no memtable and no background work: every batch is durable when it was applied, so that levels of
//! durability, freezing, jobs, time and closing mean nothing here. The file is created before the first step; a loss in
//! the middle of that is not for a tree alone, which is part of a directory that knows what to do then.

use super::config::Setup;
use super::cursor::{self, Step, Walker};
use super::engine::{Answer, Engine, Opened, Pair, Refusal, View, causes};
use super::ops::{self, Direction, Move, Op, Write};
use super::transactions::{self, Ended, Read};
use halodb::Durability;
use halodb::btree::{self, Batch, Depth, Store, StoreOptions, Tree};
use halodb::partition::{Create, Expect};
use halodb::vfs::Vfs;
use std::borrow::Cow;
use std::ops::Bound;
use std::path::Path;
use std::sync::Arc;

impl From<btree::Error> for Refusal {
    fn from(e: btree::Error) -> Self {
        let kind = match &e {
            btree::Error::Corrupt { .. } => "Corrupt",
            btree::Error::Invalid(_) => "Invalid",
            _ => "Io",
        };
        Refusal { kind: kind.to_owned(), text: causes(&e) }
    }
}

/// One tree in one file.
#[derive(Debug)]
pub struct OneTree {
    store: Store,
}

/// A version of the tree, or why there is none.
#[derive(Debug)]
pub struct Version(Answer<Tree>);

impl Version {
    fn tree(&self) -> Answer<&Tree> {
        self.0.as_ref().map_err(Clone::clone)
    }
}

impl Engine for OneTree {
    type View = Version;

    /// Every commit is as durable as can be, and has promised that.
    fn adapt(op: &Op) -> Option<Cow<'_, Op>> {
        match op {
            Op::Commit(batch, _) => Some(Cow::Owned(Op::Commit(batch.clone(), Durability::Sync))),
            Op::CommitIf(key, value, expect, _) => {
                Some(Cow::Owned(Op::CommitIf(*key, *value, *expect, Durability::Sync)))
            }
            Op::Ingest(first, count, value) => {
                Some(Cow::Owned(Op::Commit(ops::run(*first, *count, *value), Durability::Sync)))
            }
            Op::Begin(_) | Op::Finish(..) | Op::Freeze | Op::Jobs(_) | Op::Drain => None,
            Op::Tick(_) | Op::WrongClock(_) | Op::Backup(..) => None,
            op => Some(Cow::Borrowed(op)),
        }
    }

    fn open(disk: Arc<dyn Vfs>, dir: &Path, setup: &Setup, create: Create) -> Answer<(Self, Opened)> {
        let path = dir.join("tree.store");
        let io = |e: std::io::Error| Refusal { kind: "Io".to_owned(), text: e.to_string() };
        let there = disk.kind(&path).map_err(io)?.is_some();
        let store = if there || create == Create::Never {
            Store::open(disk, &path, setup.page_size)?
        } else {
            disk.create_dir(dir).map_err(io)?;
            disk.sync_dir(Path::new("")).map_err(io)?;
            let options = StoreOptions {
                page_size: setup.page_size,
                filter_bits_per_key: setup.filter_bits,
                hash_seed: setup.hash_seed,
            };
            Store::create(disk, &path, options)?
        };
        Ok((OneTree { store }, Opened { clean: true, dropped: None }))
    }

    fn commit(&mut self, writes: &[Write], _: Durability) -> Answer<()> {
        let mut batch = Batch::new();
        for write in writes {
            match write {
                Write::Put(key, value) => batch.put(ops::key(*key), value.bytes()),
                Write::PutUntil(key, value, after) => batch.put(ops::key(*key), ops::until_bytes(*value, *after)),
                Write::Delete(key) => batch.delete(ops::key(*key)),
                Write::DeleteRange(from, to) => {
                    let (from, to) = ops::range(*from, *to);
                    batch.delete_range(from, to)
                }
            };
        }
        Ok(self.store.apply(&batch).map(drop)?)
    }

    fn commit_if(&mut self, key: &[u8], value: &[u8], expect: Expect, _: Durability) -> Answer<bool> {
        let holds = self.store.get(key)?.is_some() == (expect == Expect::Present);
        if holds {
            let mut batch = Batch::new();
            batch.put(key, value);
            self.store.apply(&batch)?;
        }
        Ok(holds)
    }

    type Transaction = ();

    fn begin(&self) -> Answer<()> {
        transactions::none()
    }

    fn read((): &(), _: &[Read]) -> Answer<Vec<Vec<Pair>>> {
        transactions::none()
    }

    fn finish(&mut self, (): (), _: &[Read], _: &[Write], _: Durability) -> Answer<Ended> {
        transactions::none()
    }

    fn get(&self, key: &[u8]) -> Answer<Option<Vec<u8>>> {
        Ok(self.store.get(key)?)
    }

    fn view(&self) -> Version {
        Version(self.store.tree().map_err(Refusal::from))
    }

    fn freeze(&mut self) -> Answer<()> {
        Ok(())
    }

    fn jobs(&mut self, _: usize) -> Answer<usize> {
        Ok(0)
    }

    fn compact(&mut self) -> Answer<()> {
        Ok(self.store.compact().map(drop)?)
    }

    fn tick(&mut self, _: u64) -> Answer<()> {
        Ok(())
    }

    fn sync(&mut self) -> Answer<()> {
        Ok(())
    }

    fn close(&mut self) -> Answer<()> {
        Ok(())
    }

    fn check(&self) -> Answer<Vec<String>> {
        let findings = self.store.check(Depth::Deep)?;
        Ok(findings.into_iter().map(|f| format!("{}@{:?}: {}", f.path.display(), f.offset, f.what)).collect())
    }
}

impl View for Version {
    fn get(&self, key: &[u8]) -> Answer<Option<Vec<u8>>> {
        Ok(self.tree()?.get(key)?.map(<[u8]>::to_vec))
    }

    fn scan(&self, from: Bound<&[u8]>, to: Bound<&[u8]>, way: Direction, limit: usize) -> Answer<Vec<Pair>> {
        cursor::scan(&mut self.tree()?.cursor(), from, to, way, limit)
    }

    fn count(&self, from: Bound<&[u8]>, to: Bound<&[u8]>) -> Answer<u64> {
        Ok(self.tree()?.count(from, to)?)
    }

    fn walk(&self, moves: &[Move]) -> Option<Answer<Vec<Option<Pair>>>> {
        Some(self.tree().and_then(|tree| cursor::walk(&mut tree.cursor(), moves)))
    }
}

impl Walker for btree::Cursor {
    fn go(&mut self, step: Step<'_>) -> Answer<()> {
        match step {
            Step::First => self.seek_first()?,
            Step::Last => self.seek_last()?,
            Step::Seek(key) => self.seek(key)?,
            Step::SeekBack(key) => self.seek_back(key)?,
            Step::Next => self.next()?,
            Step::Prev => self.prev()?,
        }
        Ok(())
    }

    fn key(&self) -> Option<&[u8]> {
        btree::Cursor::key(self)
    }

    fn value(&self) -> Answer<Option<Vec<u8>>> {
        Ok(btree::Cursor::value(self)?.map(<[u8]>::to_vec))
    }
}
