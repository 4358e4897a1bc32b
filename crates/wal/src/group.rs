//! Group commit: the first waiter leads, in its own thread, without delay; whoever comes meanwhile fills the next group.
//!
//! The scheme is that of MySQL's binary log and RocksDB's write groups, without a hand-off: followers sleep on one
//! condition variable; when a leader is done, one of those it did not satisfy leads next.
//!
//! Leading is owning the [`Tail`]: the file that was written last. Only its owner does I/O on live segments, and it does so
//! holding no lock.

use crate::buffer::{Chunk, Taken};
use crate::progress::count;
use crate::sync::{Condvar, Mutex};
use crate::{Durability, Error, Lsn, Result, Wal, files, segment};
use halodb_vfs::{File, mutant};
use std::path::PathBuf;
use std::sync::Arc;

/// The segment that was written last.
#[derive(Debug)]
pub(crate) struct Tail {
    pub(crate) file: Arc<dyn File>,
    pub(crate) path: PathBuf,
    /// Whether it was written since it was last synchronised.
    pub(crate) dirty: bool,
    /// The names of the segments behind it may exist in the cache only: they were found, and no directory was synchronised since.
    pub(crate) doubtful_names: bool,
}

/// Who leads: whoever took the tail.
#[derive(Debug)]
pub(crate) struct Group {
    tail: Mutex<Option<Tail>>,
    done: Condvar,
}

impl Group {
    pub(crate) fn new(tail: Tail) -> Self {
        Self { tail: Mutex::new(Some(tail)), done: Condvar::new() }
    }
}

impl Wal {
    /// Waits until `lsn` is as durable as `level` says *and* settled; leads the group if nobody does.
    ///
    /// A writer of level `Memory` that finds more than `buffer_bytes` in the buffer sees to it that they are written.
    ///
    /// # Errors
    /// [`Error::Poisoned`] if that can no longer happen; [`Error::Invalid`] if `lsn` was never given out; [`Error::Lost`] if it
    /// lies in a gap left by a crash.
    pub fn wait(&self, lsn: Lsn, level: Durability) -> Result<()> {
        self.check_given_out(lsn)?;
        if level == Durability::Sync {
            self.progress.want_sync(lsn);
        }
        self.drive(|p| p.settled() >= lsn && p.reached(level) >= lsn)?;
        let limit = self.options.buffer_bytes as u64;
        if self.progress.buffered() > limit {
            self.drive(|p| p.buffered() <= limit)?;
            if self.is_poisoned() {
                return Err(Error::Poisoned);
            }
        }
        Ok(())
    }

    /// Synchronises everything appended so far; returns the LSN that is now durable.
    ///
    /// # Errors
    /// [`Error::Poisoned`].
    pub fn sync(&self) -> Result<Lsn> {
        let target = self.appended();
        self.progress.want_sync(target);
        self.drive(|p| p.reached(Durability::Sync) >= target)?;
        Ok(self.synced())
    }

    /// Writes the buffer without synchronising for its own sake (the `Memory` level's interval).
    ///
    /// # Errors
    /// [`Error::Poisoned`].
    pub fn flush(&self) -> Result<()> {
        let target = self.appended();
        self.drive(|p| p.reached(Durability::Buffered) >= target)
    }

    /// Leads or follows until `reached` holds. A single lead of a group begun after the call makes it hold.
    fn drive(&self, reached: impl Fn(&crate::progress::Progress) -> bool) -> Result<()> {
        loop {
            if reached(&self.progress) {
                return Ok(());
            }
            let mut tail = self.group.tail.lock();
            // A leader publishes before it takes this lock to wake everybody, so nothing is missed between here and the
            // wait.
            if reached(&self.progress) {
                return Ok(());
            }
            if self.progress.is_poisoned() {
                return Err(Error::Poisoned);
            }
            match tail.take() {
                None => self.group.done.wait(&mut tail),
                Some(taken) => {
                    drop(tail);
                    let mut lead = Lead { wal: self, tail: Some(taken), finished: false };
                    lead.run();
                    lead.finished = true;
                }
            }
        }
    }

    /// Writes one group; up to where all is synced then, and an emptied vector. Whoever sees an error here has seen it recorded.
    fn write_group(&self, tail: &mut Tail, taken: Taken) -> Result<(Lsn, Vec<u8>)> {
        let mut emptied = Vec::new();
        let mut synced = self.synced();
        for chunk in taken.chunks {
            if let Some(header) = chunk.begin {
                // The header's prev_last_lsn says that the segment before is synced: first make it so.
                if !mutant("wal.begin-before-sync") {
                    self.sync_tail(tail)?;
                }
                synced = header.prev_last_lsn.max(synced);
                *tail = self.begin_segment(tail, &chunk, &header)?;
            }
            tail.dirty = true;
            if let Some(first) = chunk.fenced() {
                files::write_identical(&*chunk.file, &first, chunk.offset).map_err(Error::io("write", &tail.path))?;
                self.sync_tail(tail)?;
                tail.dirty = true;
            }
            files::write_identical(&*chunk.file, &chunk.bytes, chunk.offset).map_err(Error::io("write", &tail.path))?;
            emptied = chunk.bytes;
        }
        if taken.wants_sync {
            self.sync_tail(tail)?;
        }
        // A planted fault takes what was handed to the system for durable.
        Ok((if tail.dirty && !mutant("wal.written-is-synced") { synced } else { taken.end }, emptied))
    }

    fn sync_tail(&self, tail: &mut Tail) -> Result<()> {
        if tail.dirty {
            let mut done = tail.file.sync_data();
            // The classic fault: the second try succeeds, because the system has given the pages up as clean.
            if done.is_err() && mutant("wal.retry-failed-sync") {
                done = tail.file.sync_data();
            }
            done.map_err(Error::io("synchronise", &tail.path))?;
            tail.dirty = false;
            count(&self.progress.syncs, 1);
        }
        Ok(())
    }

    fn begin_segment(&self, tail: &Tail, chunk: &Chunk, header: &segment::SegmentHeader) -> Result<Tail> {
        // A planted fault believes that an orderly end left nothing to synchronise.
        if tail.doubtful_names && !mutant("wal.trust-names") {
            self.vfs.sync_dir(&self.dir).map_err(Error::io("synchronise", &self.dir))?;
        }
        let path = segment::path_of(&self.dir, header.number);
        files::begin(&*chunk.file, &path, header)?;
        count(&self.progress.syncs, 1);
        self.segments.lock().begun(*header);
        Ok(Tail { file: chunk.file.clone(), path, dirty: false, doubtful_names: false })
    }

    /// Nothing is acknowledged from here on. `cause` is kept for [`Wal::poison_cause`].
    pub(crate) fn poison(&self, cause: String) {
        // Under the sequencer's lock, so that no section that settles something overlaps.
        let mut buffer = self.buffer.lock();
        buffer.poisoned = true;
        self.cause.lock().get_or_insert(cause);
        self.progress.poison();
    }
}

/// The leadership: gives the tail back and wakes the others, whatever happens.
struct Lead<'w> {
    wal: &'w Wal,
    /// `None` only once it is given back.
    tail: Option<Tail>,
    finished: bool,
}

impl Lead<'_> {
    fn run(&mut self) {
        let wal = self.wal;
        let taken = {
            let mut buffer = wal.buffer.lock();
            wal.progress.taken();
            buffer.take(wal.synced(), wal.progress.sync_wanted())
        };
        let end = taken.end;
        count(&wal.progress.groups, u64::from(!taken.chunks.is_empty()));
        let tail = self.tail.as_mut().expect("a leader has the tail");
        match wal.write_group(tail, taken) {
            Ok((synced, mut emptied)) => {
                emptied.clear();
                let mut buffer = wal.buffer.lock();
                // The next group need not fault in fresh memory.
                if emptied.capacity() <= wal.options.buffer_bytes {
                    std::mem::swap(&mut buffer.emptied, &mut emptied);
                }
                wal.progress.set_written(end);
                wal.progress.set_synced(synced);
                wal.settle(&mut buffer);
            }
            Err(e) => wal.poison(e.to_string()),
        }
    }
}

impl Drop for Lead<'_> {
    fn drop(&mut self) {
        if !self.finished {
            self.wal.poison("the leader of a group panicked".to_owned());
        }
        // A planted fault wakes the others while there is nothing for them to take.
        if mutant("wal.wake-first") {
            self.wal.group.done.notify_all();
        }
        *self.wal.group.tail.lock() = self.tail.take();
        if !mutant("wal.wake-first") {
            self.wal.group.done.notify_all();
        }
    }
}
