//! [`Db`]: the handle of an open database; its opening and closing. `keyspaces.rs`, `sync.rs`, `backup.rs`, `care.rs`, `clock.rs`, `compact.rs`
//! and `space.rs` hold the rest of its own methods. Those on data are [`Keyspace`]'s: a `Db` dereferences to the default one.
//!
//! All handles share one `Inner`. Threads share the [`Engine`] inside it and never the `Inner` itself, so the last handle to
//! go closes the database, whatever the threads do. Snapshots and iterators hold what they read, not the database.

mod backup;
mod care;
mod clock;
mod compact;
mod keyspaces;
mod space;
mod sync;

pub use space::Space;

use std::fmt;
use std::ops::Deref;
use std::path::Path;
use std::sync::Arc;

use halodb_partition::{self as partition, Expect, Lsn, OpenReport, Outcome, ReadSet, Staged, Validated};
use halodb_vfs::{Process, mutant};
use halodb_wal::Durability;
use parking_lot::{Mutex, RwLockReadGuard};

use crate::builder::Builder;
use crate::engine::Engine;
use crate::keyspace::{Edges, Lens, Member};
use crate::pins::Pins;
use crate::space_id::SpaceId;
use crate::trace::event;
use crate::workers::Workers;
use crate::{Commit, Error, ErrorKind, Keyspace, Result};

/// An open database, and its default keyspace: it dereferences to a [`Keyspace`], whose methods read and write data. Other
/// keyspaces are had from [`Db::keyspace`].
///
/// Clones share it; the last handle dropped, keyspaces included, closes it (a failure is then only traced: call
/// [`Db::close`] to learn of it).
///
/// `Send + Sync`: any number of threads may read and write through one `Db` or its clones. Readers never wait for
/// writers. Writers that commit at the same time share one synchronisation of the disk.
///
/// A key has 1 byte to a quarter of a page (4,096 bytes with the default page size of 16 KiB), a value 0 bytes to
/// 1 GiB. Anything else is `InvalidInput`, before anything is written. Any bytes are legal in both.
#[derive(Clone)]
pub struct Db {
    /// The default keyspace, and with it the database.
    keys: Keyspace,
}

impl Deref for Db {
    type Target = Keyspace;
    fn deref(&self) -> &Keyspace {
        &self.keys
    }
}

/// What handles share.
pub(crate) struct Inner {
    pub(crate) engine: Arc<Engine>,
    pub(crate) path: Arc<Path>,
    pub(crate) durability: Durability,
    report: OpenReport,
    /// The process that opened it: a forked child must not touch the files.
    owner: Process,
    life: Mutex<Life>,
    /// The snapshots that programs hold.
    pub(crate) pins: Arc<Pins>,
    /// The keyspaces that were opened.
    open: keyspaces::Open,
    /// Where pops begin.
    pub(crate) edges: Edges,
    /// What was counted last.
    pub(crate) lens: Lens,
}

/// Whether threads run, or how the database was closed.
enum Life {
    Open(Workers),
    Closed { failure: Option<(ErrorKind, String)> },
}

/// What a `Db` is made of once everything below is open.
pub(crate) struct Parts {
    pub(crate) engine: Arc<Engine>,
    pub(crate) workers: Workers,
    pub(crate) path: Arc<Path>,
    pub(crate) space: SpaceId,
    pub(crate) durability: Durability,
    pub(crate) report: OpenReport,
    pub(crate) owner: Process,
}

impl Db {
    /// Opens the database in the directory `path`, or creates it, with the defaults and `halodb.toml` in that directory
    /// if there is one.
    ///
    /// After a crash it replays what the log holds beyond the trees: the cost grows with the log, which is bounded
    /// ([`Builder::log_limit`]). [`Db::open_report`] says what was found.
    ///
    /// # Errors
    /// `Locked` if another process or handle has it open, `NotADatabase`, `Corrupt`, `Config`, `Version`,
    /// `ManifestMissing`, `Io`.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let path = dir.path().join("data");
    /// let db = halodb::Db::open(&path)?;
    /// db.put("hello", "world")?;
    /// db.close()?;
    ///
    /// let db = halodb::Db::open(&path)?;
    /// assert_eq!(db.get("hello")?.as_deref(), Some(&b"world"[..]));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn open(path: impl AsRef<Path>) -> Result<Db> {
        Self::builder(path).open()
    }

    /// Opens with options.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let path = dir.path().join("data");
    /// use halodb::{Db, Durability};
    /// let db = Db::builder(&path).durability(Durability::Buffered).memtable(16 << 20).open()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn builder(path: impl AsRef<Path>) -> Builder {
        Builder::new(path.as_ref())
    }

    pub(crate) fn from_parts(parts: Parts) -> Self {
        let Parts { engine, workers, path, space, durability, report, owner } = parts;
        let life = Mutex::new(Life::Open(workers));
        let (pins, open) = (Arc::default(), keyspaces::Open::default());
        let (edges, lens) = (Edges::default(), Lens::default());
        let inner = Arc::new(Inner { engine, path, durability, report, owner, life, pins, open, edges, lens });
        Db { keys: Keyspace::new(inner, space, None) }
    }

    /// Stops the threads, merges what is in memory into the trees, and closes the log, so that the next open has
    /// nothing to replay. Takes as long as that merge: up to about a second for full memtables of the default size.
    ///
    /// From then on all handles answer `Closed`; snapshots and iterators made before go on reading, and the directory
    /// can be opened again when the last of them is gone. Calls that are under way in other threads are waited for. A
    /// second call does nothing and gives the same answer.
    ///
    /// # Errors
    /// What failed, as kind and text. Every write that was acknowledged is then as safe as its durability says: the
    /// log has it, and the next open replays it.
    pub fn close(&self) -> Result<()> {
        self.inner.close()
    }

    /// The directory, absolute (but as given, with a file system of one's own: [`Builder::vfs`]).
    pub fn path(&self) -> &Path {
        &self.inner.path
    }

    /// What the open found: whether the database was created or closed in order, the number of log records replayed, and
    /// an unproven tail of the log that was dropped.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// let db = halodb::Db::open(dir.path().join("data"))?;
    /// assert!(db.open_report().created);
    /// assert_eq!(db.open_report().dropped, None);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn open_report(&self) -> &OpenReport {
        &self.inner.report
    }
}

/// The engine for the time of one call.
pub(crate) struct Call<'d> {
    engine: &'d Engine,
    _entered: RwLockReadGuard<'d, ()>,
}

impl Deref for Call<'_> {
    type Target = Engine;
    fn deref(&self) -> &Engine {
        self.engine
    }
}

impl Inner {
    /// The engine, if reads may go on. They may after a failure, but not in a forked child: `kept.rs` says why.
    pub(crate) fn readable(&self) -> Result<&Engine> {
        self.owned()?;
        if self.engine.gate.is_closed() { Err(Error::closed(&self.path)) } else { Ok(&self.engine) }
    }

    /// The engine for a call that writes, or needs the files to stay open: `close` waits for it.
    pub(crate) fn writable(&self) -> Result<Call<'_>> {
        self.owned()?;
        let entered = self.engine.gate.enter()?;
        Ok(Call { engine: &self.engine, _entered: entered })
    }

    /// As [`Inner::writable`], for calls that read much: also when writes are refused.
    pub(crate) fn entered(&self) -> Result<Call<'_>> {
        self.owned()?;
        let entered = self.engine.gate.enter_reading();
        self.readable()?;
        Ok(Call { engine: &self.engine, _entered: entered })
    }

    /// What is visible now.
    pub(crate) fn view(&self) -> Result<partition::Snapshot> {
        let view = self.readable()?.snapshot();
        // Closed in between, the view no longer keeps others from the files.
        self.readable()?;
        Ok(view)
    }

    /// As [`Inner::view`], for whoever may keep it: refused with `Busy` while those that are held have more than their share of
    /// the memory.
    pub(crate) fn view_to_keep(&self) -> Result<partition::Snapshot> {
        self.may_pin()?;
        self.view()
    }

    /// Refuses with `Busy` while what is held has more than its share of the memory.
    pub(crate) fn may_pin(&self) -> Result<()> {
        self.owned()?;
        match self.engine.set.pins_exceed() {
            Some((bytes, share)) => Err(self.pins.used_up(bytes, share)),
            None => Ok(()),
        }
    }

    /// Commits a batch of stored keys. `members` are the named keyspaces that it writes to: the error is `NoKeyspace` if one
    /// of them is gone, and nothing was written.
    pub(crate) fn commit(
        &self,
        batch: &partition::Batch,
        members: &[Arc<Member>],
        level: Durability,
    ) -> Result<Commit> {
        let seq = match members {
            [] => Some(self.writable()?.commit(batch, level)?),
            members => self.commit_if(batch, members, None, level)?,
        };
        Ok(Commit { seq: seq.map_or(0, |lsn| lsn.0) })
    }

    /// As [`Inner::commit`], of a large batch.
    pub(crate) fn commit_staged(
        &self,
        staged: &mut Staged,
        members: &[Arc<Member>],
        level: Durability,
    ) -> Result<Commit> {
        let members = judged(members);
        let conditions: Vec<_> = members.iter().map(|m| (&*m.entry, Expect::Present)).collect();
        match self.writable()?.commit_staged(staged, &conditions, level)? {
            Outcome::Committed(lsn) => Ok(Commit { seq: lsn.0 }),
            Outcome::Failed(number) => Err(members[number].gone()),
        }
    }

    /// As [`Inner::commit`], if a condition on a stored key holds, too; `None` if it does not, and nothing was written.
    pub(crate) fn commit_if(
        &self,
        batch: &partition::Batch,
        members: &[Arc<Member>],
        condition: Option<(&[u8], Expect)>,
        level: Durability,
    ) -> Result<Option<Lsn>> {
        let members = judged(members);
        let conditions: Vec<_> = members.iter().map(|m| (&*m.entry, Expect::Present)).chain(condition).collect();
        match self.writable()?.commit_if(batch, &conditions, level)? {
            Outcome::Committed(lsn) => Ok(Some(lsn)),
            Outcome::Failed(number) => members.get(number).map_or(Ok(None), |member| Err(member.gone())),
        }
    }

    /// Commits a batch of stored keys if nothing that was read was written since the snapshot.
    pub(crate) fn commit_validated(
        &self,
        batch: &partition::Batch,
        snapshot: &partition::Snapshot,
        reads: &ReadSet,
        level: Durability,
    ) -> Result<Validated> {
        self.writable()?.commit_validated(batch, snapshot, reads, level)
    }

    /// As [`Inner::commit_validated`], of large transactions.
    pub(crate) fn commit_staged_validated(
        &self,
        staged: &mut Staged,
        snapshot: &partition::Snapshot,
        reads: &ReadSet,
        level: Durability,
    ) -> Result<Validated> {
        self.writable()?.commit_staged_validated(staged, snapshot, reads, level)
    }

    /// Whether this is the process that opened the database.
    #[inline]
    pub(crate) fn owned(&self) -> Result<()> {
        if self.owner.is_this() { Ok(()) } else { Err(self.forked()) }
    }

    #[cold]
    fn forked(&self) -> Error {
        Error::forked(format_args!("the database in {}", self.path.display()), self.owner)
    }

    /// Sequence number of the newest write that is visible; 0 in a forked child.
    pub(crate) fn last_seq(&self) -> u64 {
        if self.owner.is_this() { self.engine.set.visible().0 } else { 0 }
    }

    fn close(&self) -> Result<()> {
        self.owned()?;
        let mut life = self.life.lock();
        let workers = match &mut *life {
            Life::Open(workers) => workers,
            Life::Closed { failure: None } => return Ok(()),
            Life::Closed { failure: Some((kind, text)) } => return Err(Error::new(*kind, text.clone())),
        };
        workers.stop();
        let _alone = self.engine.gate.close();
        // What a thread left half done must not be merged or marked as clean: the next open replays the log instead.
        let result = self.engine.gate.panicked().and_then(|()| Ok(self.engine.set.close(self.engine.now_ms())?));
        let failure = result.as_ref().err().map(|error| (error.kind(), error.to_string()));
        *life = Life::Closed { failure };
        result
    }
}

/// The keyspaces that must be there when a batch is committed.
fn judged(members: &[Arc<Member>]) -> &[Arc<Member>] {
    // A planted fault writes to keyspaces whether or not they are there.
    if mutant("halodb.membership-unjudged") { &[] } else { members }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if !self.owner.is_this() {
            // The files, the lock and the threads belong to the parent process: nothing of them may run or be released
            // here. What is given up is memory of a child that mostly ends or executes another program soon.
            if let Life::Open(workers) = self.life.get_mut() {
                workers.abandon();
            }
            std::mem::forget(Arc::clone(&self.engine));
            return;
        }
        if matches!(self.life.get_mut(), Life::Closed { .. }) {
            return;
        }
        if let Err(error) = self.close() {
            event!(ERROR, path = %self.path.display(), %error, "closing the database failed");
            let _ = error;
        }
    }
}

impl fmt::Debug for Db {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Db").field("path", &self.inner.path).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use halodb_vfs::SimVfs;

    /// A handle in a forked child is one whose owner is another process.
    fn forked() -> (SimVfs, Db) {
        let disk = SimVfs::new();
        let vfs = Arc::new(disk.clone());
        let db = Db::builder("data").vfs(vfs).open_as(Process::numbered(std::process::id() + 1)).expect("it opens");
        (disk, db)
    }

    #[test]
    fn a_forked_process_may_neither_read_nor_write_nor_close() {
        let (_disk, db) = forked();
        let refused = [
            db.put("a", "1").err(),
            db.delete("a").err(),
            db.batch().put("a", "1").commit().err(),
            db.sync().err(),
            db.flush().err(),
            db.compact().err(),
            db.keyspace("users").err(),
            db.close().err(),
            db.get("a").err(),
            db.len().err(),
            db.snapshot().get("a").err(),
        ];
        for error in refused {
            let error = error.expect("refused");
            assert_eq!(error.kind(), ErrorKind::Forked);
            assert!(error.to_string().contains(&std::process::id().to_string()), "{error}");
        }
        assert_eq!((db.last_seq(), db.stats().commits), (0, 0));
    }

    #[test]
    fn while_the_clock_is_in_doubt_nothing_is_written_that_expires_and_everything_else_is() {
        use crate::{Ttl, WriteOptions};
        use std::time::Duration;
        // The ticker looks at the clock of the machine every two seconds, and finds it as it was.
        let disk = Arc::new(SimVfs::new());
        let db = Db::builder("data").vfs(disk).interval(Duration::from_secs(60)).open().expect("it opens");
        let for_an_hour = WriteOptions::new().ttl(Ttl::After(Duration::from_secs(3600)));
        db.put_with("before", "", &for_an_hour).expect("no doubt");
        let clock = &db.inner.engine.clock;
        clock.follow(clock.now_ms() + 2 * 24 * 3600 * 1000);
        assert!(db.clock_doubt().is_some_and(|doubt| !doubt.is_followed));
        let refused = [
            db.put_with("k", "", &for_an_hour).err(),
            db.expire("before", Ttl::After(Duration::from_secs(1))).err(),
            db.batch().put_ttl("k", "", Ttl::After(Duration::from_secs(1))).commit().err(),
        ];
        for error in refused {
            let error = error.expect("refused");
            assert_eq!(error.kind(), ErrorKind::Clock, "{error}");
        }
        db.put("k", "").expect("it does not expire");
        assert!(db.contains("before").expect("readable"), "the step is not followed");
        db.confirm_clock().expect("the clock of the machine is right");
        assert_eq!(db.clock_doubt(), None);
        db.put_with("k", "", &for_an_hour).expect("no doubt");
    }

    #[test]
    fn dropping_the_handle_in_a_forked_process_leaves_the_files_and_the_lock_alone() {
        let (disk, db) = forked();
        let before = disk.ops();
        drop(db);
        assert_eq!(disk.ops(), before, "nothing was written");
        let error = Db::builder("data").vfs(Arc::new(disk)).open().expect_err("the parent has it open");
        assert_eq!(error.kind(), ErrorKind::Locked);
    }
}
