//! [`Facade`]: the engine of the campaigns that is `Db`, used as a program would, with its threads and its own clock.
//!
//! The workload happens in a named keyspace between two others. What this file does not do: no run of it is a function of its
//! seed, as threads meet as they like.

mod ways;

use super::config::Setup;
use super::engine::{Answer, During, Engine, Opened, Pair, Refusal, View, findings};
use super::ops::{self, Direction, Move, Op, Write};
use super::transactions::{self, Ended, Read};
use halodb::partition::{Create, Expect};
use halodb::vfs::Vfs;
use halodb::{Db, Depth, Durability, Keyspace};
use std::borrow::Cow;
use std::ops::{Bound, ControlFlow};
use std::path::Path;
use std::sync::Arc;

/// The database with its threads, in a named keyspace between two others, whose keys must stay as they are.
#[derive(Debug)]
pub struct Facade {
    db: Db,
    keys: Keyspace,
    /// How often the keyspace was dropped and made anew.
    renewed: u64,
}

/// The keyspace that workloads are about.
const OWN: &str = "campaign";

/// Those on its sides, by their ids.
const NEIGHBOURS: [&str; 2] = ["in front", "behind"];

impl Facade {
    fn wrong<T>(text: impl Into<String>) -> Answer<T> {
        Err(Refusal { kind: "Wrong".into(), text: text.into() })
    }

    /// Removes everything by dropping the keyspace; the one that is made instead knows nothing of it, and is not reached by
    /// handles of the old one.
    fn renew(&mut self) -> Answer<()> {
        if !self.db.drop_keyspace(OWN)? {
            return Self::wrong("the keyspace was not there to be dropped");
        }
        self.renewed += 1;
        let old = std::mem::replace(&mut self.keys, self.db.keyspace(OWN)?);
        match old.put("late", "") {
            Err(e) if e.kind() == halodb::ErrorKind::NoKeyspace => Ok(()),
            answer => Self::wrong(format!("a put into a dropped keyspace was answered {answer:?}")),
        }
    }

    /// What lies under no keyspace that is there, and what the neighbours lost or got.
    fn strays(&self) -> Answer<Vec<String>> {
        let mut findings = Vec::new();
        let names = self.db.keyspaces()?;
        let mut expected = 1 + 2 * (names.len() as u64 - 1);
        for name in &names {
            let len = self.db.find_keyspace(name)?.map_or(Ok(0), |keyspace| keyspace.len())?;
            if NEIGHBOURS.contains(&name.as_str()) && len != 1 {
                findings.push(format!("the keyspace `{name}` has {len} keys instead of 1"));
            }
            expected += len;
        }
        self.db.flush()?;
        let found = self.db.check(Depth::Quick)?.keys;
        if found != expected {
            findings.push(format!("the trees hold {found} keys, the keyspaces and their catalogue {expected}"));
        }
        Ok(findings)
    }
}

impl Engine for Facade {
    type View = halodb::Snapshot;

    /// The facade's threads run the jobs, and it has a clock of its own: what expires by the workload's clock is put for ever.
    fn adapt(op: &Op) -> Option<Cow<'_, Op>> {
        match op {
            // Its deletes look whether there is anything to delete, which counts as a read that no workload means.
            Op::Finish(which, writes, level) => {
                let blind = |write: &Write| match *write {
                    Write::Delete(key) => Write::Put(key, ops::Val { len: 1, fill: key }),
                    Write::DeleteRange(..) => Write::DeleteRange(ops::CLEAR, None),
                    Write::Put(key, value) => Write::Put(key, value),
                    Write::PutUntil(key, value, after) => Write::PutUntil(key, value, after),
                };
                Some(Cow::Owned(Op::Finish(*which, writes.iter().map(blind).collect(), *level)))
            }
            // Dropping a `Db` closes it, so that it cannot die without its process; `kill` does that.
            Op::Tick(_) | Op::WrongClock(_) | Op::Jobs(_) | Op::Die => None,
            op => Some(Cow::Borrowed(op)),
        }
    }

    fn open(disk: Arc<dyn Vfs>, dir: &Path, setup: &Setup, create: Create) -> Answer<(Self, Opened)> {
        let db = setup.builder(disk, dir, create).open()?;
        let report = db.open_report();
        let opened = Opened { clean: report.clean, dropped: report.dropped.clone() };
        for name in [NEIGHBOURS[0], OWN, NEIGHBOURS[1]] {
            let keyspace = db.keyspace(name)?;
            if NEIGHBOURS.contains(&name) {
                keyspace.put("neighbour", name)?;
            }
        }
        let keys = db.keyspace(OWN)?;
        Ok((Facade { db, keys, renewed: 0 }, opened))
    }

    fn commit(&mut self, writes: &[Write], level: Durability) -> Answer<()> {
        match writes {
            [write] if level == Durability::Sync => return self.write_one(write),
            [Write::DeleteRange(ops::CLEAR, None)] => return self.renew(),
            _ => {}
        }
        let mut batch = self.keys.batch().durability(level);
        for write in writes {
            batch = match write {
                Write::Put(key, value) if value.fill.is_multiple_of(4) => {
                    batch.put_ttl(ops::key(*key), value.bytes(), ways::DAY)
                }
                Write::Put(key, value) => batch.put(ops::key(*key), value.bytes()),
                Write::PutUntil(key, value, after) => batch.put(ops::key(*key), ops::until_bytes(*value, *after)),
                Write::Delete(key) => batch.delete(ops::key(*key)),
                Write::DeleteRange(from, to) => {
                    let (from, to) = ops::range(*from, *to);
                    let to = to.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
                    batch.delete_range::<&[u8]>((Bound::Included(&from[..]), to))
                }
            };
        }
        Ok(batch.commit().map(drop)?)
    }

    fn ingest(&mut self, puts: &[Write]) -> Answer<()> {
        let pairs = puts.iter().filter_map(|write| match write {
            Write::Put(key, value) => Some((ops::key(*key), value.bytes())),
            _ => None,
        });
        Ok(self.keys.ingest_sorted(pairs).map(drop)?)
    }

    fn commit_if(&mut self, key: &[u8], value: &[u8], expect: Expect, level: Durability) -> Answer<bool> {
        let mut options = halodb::WriteOptions::default();
        options.durability = Some(level);
        options.condition = match expect {
            Expect::Absent => halodb::Condition::IfAbsent,
            Expect::Present => halodb::Condition::IfPresent,
        };
        Ok(self.keys.put_with(key, value, &options)?.is_some())
    }

    /// With how often the keyspace had been renewed when it began.
    type Transaction = (halodb::Transaction, u64);

    fn begin(&self) -> Answer<Self::Transaction> {
        Ok((self.keys.begin()?, self.renewed))
    }

    fn read((open, _): &Self::Transaction, reads: &[Read]) -> Answer<Vec<Vec<Pair>>> {
        let found = |read: &Read| match *read {
            Read::Key(key) => {
                let key = ops::key(key);
                let value = ways::get_within(open, &key)?;
                Ok(value.map(|value| (key, value)).into_iter().collect())
            }
            Read::Range(from, to) => {
                let (from, to) = ops::range(from, to);
                let pairs = open.range::<&[u8]>((Bound::Included(&from[..]), transactions::end(to.as_deref())));
                pairs
                    .map(|pair| pair.map(|(key, value)| (key.to_vec(), value.to_vec())).map_err(Refusal::from))
                    .collect()
            }
        };
        reads.iter().map(found).collect()
    }

    fn finish(
        &mut self,
        (mut open, renewed): Self::Transaction,
        _: &[Read],
        writes: &[Write],
        level: Durability,
    ) -> Answer<Ended> {
        open.set_durability(level);
        for write in writes {
            match write {
                Write::Put(key, value) if value.fill.is_multiple_of(3) => {
                    let for_a_day = halodb::WriteOptions::new().ttl(ways::DAY);
                    let _ = open.put_with(ops::key(*key), value.bytes(), &for_a_day)?;
                }
                Write::Put(key, value) => open.put(ops::key(*key), value.bytes())?,
                Write::PutUntil(key, value, after) => {
                    open.put(ops::key(*key), ops::until_bytes(*value, *after))?;
                }
                // A put by now, see `adapt`.
                Write::Delete(key) => drop(open.delete(ops::key(*key))?),
                Write::DeleteRange(..) => open.clear(),
            }
        }
        match open.commit() {
            Ok(_) => Ok(Ended::Committed),
            Err(e) if e.kind() == halodb::ErrorKind::Conflict => {
                // That its keyspace is gone is reason enough, whatever it read.
                let is_told = renewed == self.renewed && !e.to_string().starts_with("too much");
                Ok(if is_told { Ended::Conflict } else { Ended::TooOld })
            }
            Err(e) => Err(e.into()),
        }
    }

    fn get(&self, key: &[u8]) -> Answer<Option<Vec<u8>>> {
        self.get_one(key)
    }

    fn view(&self) -> Self::View {
        self.keys.snapshot()
    }

    fn freeze(&mut self) -> Answer<()> {
        Ok(self.db.flush()?)
    }

    fn jobs(&mut self, _: usize) -> Answer<usize> {
        Ok(0)
    }

    fn compact(&mut self) -> Answer<()> {
        self.compact_some()
    }

    fn backup(&mut self, dir: &Path, during: During<'_>) -> Answer<()> {
        let (db, keys) = (&self.db, &self.keys);
        let mut begun = false;
        let done = db.backup_with(dir, |_| {
            if !std::mem::replace(&mut begun, true) {
                during(&mut |writes| {
                    let mut batch = keys.batch().durability(Durability::Sync);
                    for write in writes {
                        batch = match write {
                            Write::Put(key, value) => batch.put(ops::key(*key), value.bytes()),
                            Write::PutUntil(key, value, after) => {
                                batch.put(ops::key(*key), ops::until_bytes(*value, *after))
                            }
                            Write::Delete(key) => batch.delete(ops::key(*key)),
                            Write::DeleteRange(..) => batch,
                        };
                    }
                    Ok(batch.commit().map(|_| 0)?)
                });
            }
            ControlFlow::Continue(())
        });
        Ok(done.map(drop)?)
    }

    fn tick(&mut self, _: u64) -> Answer<()> {
        Ok(())
    }

    fn sync(&mut self) -> Answer<()> {
        Ok(self.db.sync().map(drop)?)
    }

    fn close(&mut self) -> Answer<()> {
        Ok(self.db.close()?)
    }

    fn check(&self) -> Answer<Vec<String>> {
        let mut all = findings(self.db.check(Depth::Deep)?);
        all.extend(self.strays()?);
        Ok(all)
    }
}

impl View for halodb::Snapshot {
    fn get(&self, key: &[u8]) -> Answer<Option<Vec<u8>>> {
        ways::get_then(self, key)
    }

    fn scan(&self, from: Bound<&[u8]>, to: Bound<&[u8]>, way: Direction, limit: usize) -> Answer<Vec<Pair>> {
        let is_backward = way == Direction::Backward;
        if is_backward == (limit % 2 == 1) {
            let pairs = ways::scan_lent(self, (from, to), is_backward, limit)?;
            pairs.first().map_or(Ok(()), |(key, _)| ways::check_rank(self, key))?;
            return Ok(pairs);
        }
        let pairs = self.range::<&[u8]>((from, to));
        let owned = |pair: halodb::Result<(halodb::Key, halodb::Value)>| {
            let (key, value) = pair?;
            Ok((key.to_vec(), value.to_vec()))
        };
        match way {
            Direction::Forward => pairs.take(limit).map(owned).collect(),
            Direction::Backward => pairs.rev().take(limit).map(owned).collect(),
        }
    }

    fn count(&self, from: Bound<&[u8]>, to: Bound<&[u8]>) -> Answer<u64> {
        Ok(halodb::Snapshot::count::<&[u8]>(self, (from, to))?)
    }

    fn walk(&self, _: &[Move]) -> Option<Answer<Vec<Option<Pair>>>> {
        None
    }
}
