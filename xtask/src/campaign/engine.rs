//! [`Engine`]: what the campaigns ask of a database, over the partitions and over the facade alike; and, as far as a tree
//! can answer, over one tree (`tree.rs`).
//!
//! [`Partitions`] drives the engine step by step: background work runs when a workload says so, or when a commit says
//! that it must. That makes a run a function of its seed. `facade.rs` has the one with threads.

use super::config::Setup;
use super::cursor;
use super::ops::{self, Direction, Move, Op, START_MS, Write};
use super::transactions::{self, Ended, Read};
use halodb::pager;
use halodb::partition::{self, Batch, Create, Entropy, Expect, Outcome, PartitionSet, Validated};
use halodb::vfs::Vfs;
use halodb::{Depth, Durability};
use std::borrow::Cow;
use std::cell::RefCell;
use std::fmt;
use std::ops::{Bound, ControlFlow};
use std::path::Path;
use std::sync::Arc;

/// A pair as an engine gives it.
pub type Pair = (Vec<u8>, Vec<u8>);

/// What an engine refused, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The name of the error's kind.
    pub kind: String,
    /// The error and its causes, as they are shown to people.
    pub text: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind, self.text)
    }
}

pub(super) fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}

impl From<partition::Error> for Refusal {
    fn from(e: partition::Error) -> Self {
        Refusal { kind: format!("{:?}", e.kind()), text: causes(&e) }
    }
}

impl From<halodb::Error> for Refusal {
    fn from(e: halodb::Error) -> Self {
        Refusal { kind: format!("{:?}", e.kind()), text: causes(&e) }
    }
}

/// Result of an engine's calls.
pub type Answer<T> = Result<T, Refusal>;

/// What the last open said about the state in which it found the database.
#[derive(Clone, Debug, Default)]
pub struct Opened {
    /// The last process closed it in order.
    pub clean: bool,
    /// A dropped tail of the log, as it is reported.
    pub dropped: Option<String>,
}

/// Commits a batch beside a call that is under way, and gives its number.
pub type CommitBeside<'c> = &'c mut dyn FnMut(&[Write]) -> Answer<u64>;

/// What happens while a backup is made.
pub type During<'d> = &'d mut dyn FnMut(CommitBeside<'_>);

/// An open database.
pub trait Engine: Sized {
    /// What it gives as a snapshot.
    type View: View;

    /// What this engine does for a step of a workload: the step itself, something like it, or nothing.
    fn adapt(op: &Op) -> Option<Cow<'_, Op>> {
        Some(Cow::Borrowed(op))
    }
    /// Opens or creates the database in `dir`.
    fn open(disk: Arc<dyn Vfs>, dir: &Path, setup: &Setup, create: Create) -> Answer<(Self, Opened)>;
    /// Commits a batch.
    fn commit(&mut self, batch: &[Write], level: Durability) -> Answer<()>;
    /// Sets keys in one step, given in their order; as durable as can be.
    fn ingest(&mut self, puts: &[Write]) -> Answer<()> {
        self.commit(puts, Durability::Sync)
    }
    /// Commits one put on a condition; whether it held.
    fn commit_if(&mut self, key: &[u8], value: &[u8], expect: Expect, level: Durability) -> Answer<bool>;
    /// The greatest sequence number that a commit of this process was answered with; 0: the engine does not say.
    fn last_number(&self) -> u64 {
        0
    }
    /// The time by which entries expire, in milliseconds; 0: there is none.
    fn time_ms(&self) -> u64 {
        0
    }
    /// What it gives as a transaction that was begun.
    type Transaction;
    /// Begins a transaction.
    fn begin(&self) -> Answer<Self::Transaction>;
    /// What each of a transaction's reads finds; may be asked again.
    fn read(open: &Self::Transaction, reads: &[Read]) -> Answer<Vec<Vec<Pair>>>;
    /// Commits a transaction that did these reads, with these writes.
    fn finish(&mut self, open: Self::Transaction, reads: &[Read], writes: &[Write], level: Durability)
    -> Answer<Ended>;
    /// The newest value.
    fn get(&self, key: &[u8]) -> Answer<Option<Vec<u8>>>;
    /// A consistent view.
    fn view(&self) -> Self::View;
    /// Prepares a merge of everything in memory.
    fn freeze(&mut self) -> Answer<()>;
    /// Runs at most `count` background jobs; how many ran.
    fn jobs(&mut self, count: usize) -> Answer<usize>;
    /// Merges everything, and brings the files down to what lives in them.
    fn compact(&mut self) -> Answer<()>;
    /// Makes a backup in `dir`, and calls `during` once when it has been begun, with what commits a batch.
    fn backup(&mut self, _dir: &Path, _during: During<'_>) -> Answer<()> {
        Ok(())
    }
    /// Lets time pass.
    fn tick(&mut self, ms: u64) -> Answer<()>;
    /// Lets time pass by a clock that is in doubt: what expires meanwhile is absent, and may not be dropped from the files.
    fn tick_in_doubt(&mut self, _ms: u64) -> Answer<()> {
        Ok(())
    }
    /// Sets the time of a database back that nobody has open.
    fn turn_back(_disk: Arc<dyn Vfs>, _dir: &Path, _setup: &Setup, _time_ms: u64) -> Answer<()> {
        Ok(())
    }
    /// Makes everything durable.
    fn sync(&mut self) -> Answer<()>;
    /// Closes in order.
    fn close(&mut self) -> Answer<()>;
    /// Everything that a deep check finds, one sentence each.
    fn check(&self) -> Answer<Vec<String>>;
}

/// A snapshot of a database.
pub trait View {
    /// The value of a key.
    fn get(&self, key: &[u8]) -> Answer<Option<Vec<u8>>>;
    /// The pairs of a range.
    fn scan(&self, from: Bound<&[u8]>, to: Bound<&[u8]>, way: Direction, limit: usize) -> Answer<Vec<Pair>>;
    /// The number of pairs of a range.
    fn count(&self, from: Bound<&[u8]>, to: Bound<&[u8]>) -> Answer<u64>;
    /// Where each move of a cursor leads; `None` if the engine has no cursors of this kind.
    fn walk(&self, moves: &[Move]) -> Option<Answer<Vec<Option<Pair>>>>;
}

/// The engine without threads.
#[derive(Debug)]
pub struct Partitions {
    set: PartitionSet,
    now_ms: u64,
    last_number: u64,
}

/// A commit that is stalled for longer than this many jobs will never go on.
const MOST_JOBS: usize = 10_000;

/// What makes the databases of a configuration alike.
fn entropy(setup: &Setup) -> Entropy {
    Entropy { uuid: [0x5a; 16], incarnation: 77, hash_seed: setup.hash_seed }
}

impl Partitions {
    fn batch(writes: &[Write]) -> Batch {
        let mut batch = Batch::new();
        for write in writes {
            match write {
                Write::Put(key, value) => batch.put(&ops::key(*key), &value.bytes()),
                Write::PutUntil(key, value, after) => {
                    let value = ops::until_bytes(*value, *after);
                    batch.put_until(&ops::key(*key), &value, ops::expires_at_ms(&value));
                }
                Write::Delete(key) => batch.delete(&ops::key(*key)),
                Write::DeleteRange(from, to) => {
                    let (from, to) = ops::range(*from, *to);
                    batch.delete_range(&from, to.as_deref());
                }
            }
        }
        batch
    }

    /// The slot of the newest meta of a partition's page file, if both slots hold a good one.
    pub fn newest_of_two_metas(disk: Arc<dyn Vfs>, dir: &Path, setup: &Setup, partition: u32) -> Option<u32> {
        let Entropy { uuid, incarnation, .. } = entropy(setup);
        let identity = pager::Identity { uuid, incarnation, file_id: partition, page_size: setup.page_size };
        let path = dir.join(format!("p{partition:03}/tree.db"));
        pager::Pager::open(disk, &path, &identity, pager::Access::ReadOnly)
            .ok()
            .filter(|pager| matches!(pager.opened().other, pager::OtherSlot::Valid { .. }))
            .map(|pager| pager.opened().slot)
    }

    /// Runs `attempt` until it is not stalled, with background work in between, as the facade's threads would.
    fn unstalled<T>(&mut self, attempt: impl Fn(&PartitionSet, u64) -> partition::Result<T>) -> Answer<T> {
        for _ in 0..MOST_JOBS {
            match attempt(&self.set, self.now_ms) {
                Err(e) if e.kind() == partition::ErrorKind::Stalled => {
                    if self.jobs(1)? == 0 {
                        return Err(Refusal {
                            kind: "Stalled".into(),
                            text: format!("{e}; and there is no job to run"),
                        });
                    }
                }
                answer => return Ok(answer?),
            }
        }
        Err(Refusal { kind: "Stalled".into(), text: format!("still after {MOST_JOBS} jobs") })
    }
}

impl Engine for Partitions {
    type View = partition::Snapshot;

    fn open(disk: Arc<dyn Vfs>, dir: &Path, setup: &Setup, create: Create) -> Answer<(Self, Opened)> {
        let (set, report) = PartitionSet::open(disk, dir, setup.options(create), entropy(setup), START_MS)?;
        Ok((
            Partitions { set, now_ms: START_MS, last_number: 0 },
            Opened { clean: report.clean, dropped: report.dropped },
        ))
    }

    fn commit(&mut self, writes: &[Write], level: Durability) -> Answer<()> {
        let batch = Self::batch(writes);
        self.last_number = self.unstalled(|set, now| set.commit(&batch, level, now))?.0;
        Ok(())
    }

    /// As a large commit, however small it is.
    fn ingest(&mut self, puts: &[Write]) -> Answer<()> {
        let mut staged = self.set.stage();
        staged.add(&Self::batch(puts))?;
        let staged = RefCell::new(staged);
        let level = Durability::Sync;
        match self.unstalled(|set, now| set.commit_staged(&mut staged.borrow_mut(), &[], level, now))? {
            Outcome::Committed(number) => self.last_number = number.0,
            Outcome::Failed(number) => panic!("condition {number} of none failed"),
        }
        Ok(())
    }

    fn commit_if(&mut self, key: &[u8], value: &[u8], expect: Expect, level: Durability) -> Answer<bool> {
        let mut batch = Batch::new();
        batch.put(key, value);
        let outcome = self.unstalled(|set, now| set.commit_if(&batch, &[(key, expect)], level, now))?;
        if let Outcome::Committed(number) = outcome {
            self.last_number = number.0;
        }
        Ok(matches!(outcome, Outcome::Committed(_)))
    }

    fn last_number(&self) -> u64 {
        self.last_number
    }

    fn time_ms(&self) -> u64 {
        self.set.time_ms()
    }

    type Transaction = partition::Basis;

    fn begin(&self) -> Answer<Self::Transaction> {
        Ok(self.set.basis())
    }

    fn read(open: &Self::Transaction, reads: &[Read]) -> Answer<Vec<Vec<Pair>>> {
        let view = open.snapshot();
        let found = |read: &Read| match *read {
            Read::Key(key) => {
                let key = ops::key(key);
                let value = View::get(view, &key)?;
                Ok(value.map(|value| (key, value)).into_iter().collect())
            }
            Read::Range(from, to) => {
                let (from, to) = ops::range(from, to);
                view.scan(Bound::Included(&from), transactions::end(to.as_deref()), Direction::Forward, usize::MAX)
            }
        };
        reads.iter().map(found).collect()
    }

    fn finish(
        &mut self,
        open: Self::Transaction,
        reads: &[Read],
        writes: &[Write],
        level: Durability,
    ) -> Answer<Ended> {
        let (batch, reads) = (Self::batch(writes), transactions::read_set(reads));
        let answer = self.unstalled(|set, now| set.commit_validated(&batch, open.snapshot(), &reads, level, now))?;
        Ok(match answer {
            Validated::Committed(number) => {
                self.last_number = number.0;
                Ended::Committed
            }
            Validated::Conflict(_) => Ended::Conflict,
            Validated::TooOld => Ended::TooOld,
        })
    }

    fn get(&self, key: &[u8]) -> Answer<Option<Vec<u8>>> {
        Ok(self.set.get(key)?.map(|value| value.to_vec()))
    }

    fn view(&self) -> Self::View {
        self.set.snapshot()
    }

    fn freeze(&mut self) -> Answer<()> {
        Ok(self.set.freeze_all()?)
    }

    fn jobs(&mut self, count: usize) -> Answer<usize> {
        for done in 0..count {
            let Some(job) = self.set.next_job(self.now_ms) else { return Ok(done) };
            job.run()?;
        }
        Ok(count)
    }

    fn compact(&mut self) -> Answer<()> {
        Ok(self.set.compact().map(drop)?)
    }

    fn backup(&mut self, dir: &Path, during: During<'_>) -> Answer<()> {
        let (set, now) = (&self.set, self.now_ms);
        let mut number = 0;
        let mut begun = false;
        let done = set.backup(dir, 78, now, &mut |_| {
            if !std::mem::replace(&mut begun, true) {
                during(&mut |writes| {
                    let batch = Self::batch(writes);
                    for _ in 0..MOST_JOBS {
                        match set.commit(&batch, Durability::Sync, now) {
                            Err(e) if e.kind() == partition::ErrorKind::Stalled => match set.next_job(now) {
                                Some(job) => job.run()?,
                                None => return Err(e.into()),
                            },
                            answer => {
                                number = answer?.0;
                                return Ok(number);
                            }
                        }
                    }
                    Err(Refusal { kind: "Stalled".into(), text: format!("still after {MOST_JOBS} jobs") })
                });
            }
            ControlFlow::Continue(())
        });
        self.last_number = self.last_number.max(number);
        Ok(done.map(drop)?)
    }

    fn tick(&mut self, ms: u64) -> Answer<()> {
        self.now_ms += ms;
        Ok(self.set.tick(self.now_ms)?)
    }

    fn tick_in_doubt(&mut self, ms: u64) -> Answer<()> {
        let time_ms = self.set.time_ms();
        self.set.drop_until(time_ms);
        self.now_ms = self.now_ms.max(time_ms);
        self.tick(ms)
    }

    fn turn_back(disk: Arc<dyn Vfs>, dir: &Path, setup: &Setup, time_ms: u64) -> Answer<()> {
        Ok(partition::turn_back(disk, dir, setup.options(Create::Never), time_ms).map(drop)?)
    }

    fn sync(&mut self) -> Answer<()> {
        Ok(self.set.sync().map(drop)?)
    }

    fn close(&mut self) -> Answer<()> {
        Ok(self.set.close(self.now_ms)?)
    }

    fn check(&self) -> Answer<Vec<String>> {
        Ok(findings(self.set.check(Depth::Deep)?))
    }
}

pub(super) fn findings(report: halodb::CheckReport) -> Vec<String> {
    let sentence = |f: halodb::Finding| match f.offset {
        Some(offset) => format!("{}@{offset}: {}", f.path.display(), f.what),
        None => format!("{}: {}", f.path.display(), f.what),
    };
    report.findings.into_iter().map(sentence).collect()
}

impl View for partition::Snapshot {
    fn get(&self, key: &[u8]) -> Answer<Option<Vec<u8>>> {
        Ok(partition::Snapshot::get(self, key)?.map(|value| value.to_vec()))
    }

    fn scan(&self, from: Bound<&[u8]>, to: Bound<&[u8]>, way: Direction, limit: usize) -> Answer<Vec<Pair>> {
        cursor::scan(&mut self.cursor(), from, to, way, limit)
    }

    fn count(&self, from: Bound<&[u8]>, to: Bound<&[u8]>) -> Answer<u64> {
        Ok(partition::Snapshot::count(self, from, to)?)
    }

    fn walk(&self, moves: &[Move]) -> Option<Answer<Vec<Option<Pair>>>> {
        Some(cursor::walk(&mut self.cursor(), moves))
    }
}

impl cursor::Walker for partition::Cursor {
    fn go(&mut self, step: cursor::Step<'_>) -> Answer<()> {
        match step {
            cursor::Step::First => self.seek_first()?,
            cursor::Step::Last => self.seek_last()?,
            cursor::Step::Seek(key) => self.seek(key)?,
            cursor::Step::SeekBack(key) => self.seek_back(key)?,
            cursor::Step::Next => self.next()?,
            cursor::Step::Prev => self.prev()?,
        }
        Ok(())
    }

    fn key(&self) -> Option<&[u8]> {
        partition::Cursor::key(self)
    }

    fn value(&self) -> Answer<Option<Vec<u8>>> {
        Ok(partition::Cursor::value(self)?.map(<[u8]>::to_vec))
    }
}
