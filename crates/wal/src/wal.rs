//! [`Wal`]: the log, open for appending: what it consists of, its numbers, its end.

use crate::buffer::Buffer;
use crate::group::Group;
use crate::progress::Progress;
use crate::record::{HEADER_LEN, RecordKind};
use crate::segments::Segments;
use crate::sync::{AtomicU64, Mutex};
use crate::{Durability, Error, Lsn, Payload, Result, WalOptions};
use halodb_vfs::{Vfs, mutant};
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// The log, open for appending. `Send + Sync`; shared by reference or `Arc`.
///
/// Dropping it without [`Wal::close`] is what a crash of the process is: what was not written is lost, and the next open
/// leaves a gap of LSNs.
pub struct Wal {
    pub(crate) vfs: Arc<dyn Vfs>,
    pub(crate) dir: PathBuf,
    pub(crate) options: WalOptions,
    pub(crate) progress: Progress,
    /// The sequencer's lock. Where several are held: `preparing`, then this, then `segments` or `cause`.
    pub(crate) buffer: Mutex<Buffer>,
    pub(crate) group: Group,
    pub(crate) segments: Mutex<Segments>,
    /// Held while segment files are prepared or recycled.
    pub(crate) preparing: Mutex<()>,
    pub(crate) cause: Mutex<Option<String>>,
    /// The first LSN that this process gives out: gaps lie below.
    first: Lsn,
}

/// What an open hands over.
pub(crate) struct Parts {
    pub(crate) vfs: Arc<dyn Vfs>,
    pub(crate) dir: PathBuf,
    pub(crate) options: WalOptions,
    pub(crate) buffer: Buffer,
    pub(crate) segments: Segments,
    /// Greatest LSN that is durable: what is above it waits in the buffer to be written once more.
    pub(crate) synced: Lsn,
    /// Names of prepared segments may exist in the cache only.
    pub(crate) doubtful_names: bool,
}

/// Plain numbers about the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct WalStats {
    /// Records appended since open.
    pub records: u64,
    /// Bytes appended since open, headers included.
    pub bytes: u64,
    /// Groups written.
    pub groups: u64,
    /// Synchronisations.
    pub syncs: u64,
    /// Segments on disk, spare ones included.
    pub segments: u64,
    /// Bytes of the segments on disk.
    pub segment_bytes: u64,
}

impl Wal {
    pub(crate) fn assemble(parts: Parts) -> Wal {
        let group = Group::new(parts.tail());
        Wal {
            group,
            progress: Progress::new(parts.buffer.at.last, parts.synced),
            first: parts.buffer.at.next,
            vfs: parts.vfs,
            dir: parts.dir,
            options: parts.options,
            buffer: Mutex::new(parts.buffer),
            segments: Mutex::new(parts.segments),
            preparing: Mutex::new(()),
            cause: Mutex::new(None),
        }
    }

    /// Appends a payload and waits until it is as durable as `level` says: the whole of a commit for a caller that has
    /// nothing else to do in the section. Returns its LSN.
    ///
    /// # Errors
    /// [`Error::Full`] and [`Error::Invalid`]: no LSN was assigned. [`Error::Poisoned`]: the outcome is unknown until the log is
    /// opened again.
    pub fn append(&self, payload: Vec<u8>, time_ms: u64, level: Durability) -> Result<Lsn> {
        let payload = Payload::new(payload);
        let lsn = loop {
            let mut section = self.sequence();
            self.check_open(section.buffer())?;
            if section.fits(&payload) {
                break section.append(payload, time_ms, level)?;
            }
            drop(section);
            self.make_room(payload.record_len())?;
        };
        self.wait(lsn, level)?;
        Ok(lsn)
    }

    /// Greatest LSN appended (given out).
    pub fn appended(&self) -> Lsn {
        self.progress.reached(Durability::Memory)
    }

    /// Greatest LSN handed to the operating system.
    pub fn written(&self) -> Lsn {
        self.progress.reached(Durability::Buffered)
    }

    /// Greatest LSN known synced.
    pub fn synced(&self) -> Lsn {
        self.progress.reached(Durability::Sync)
    }

    /// Greatest LSN such that it and every earlier record have reached the durability their writers asked for. One
    /// acquire load. Never moves again once the log is poisoned.
    pub fn settled(&self) -> Lsn {
        self.progress.settled()
    }

    /// Whether a write or sync failed.
    pub fn is_poisoned(&self) -> bool {
        self.progress.is_poisoned()
    }

    /// What failed, if the log is poisoned: a sentence with the call, the file and the system's reason.
    pub fn poison_cause(&self) -> Option<String> {
        self.cause.lock().clone()
    }

    /// Like [`Wal::wait`] with `Sync`, for an LSN of any age.
    ///
    /// Gaps are known as far as the segments reached when the log was opened; an older LSN counts as durable.
    ///
    /// # Errors
    /// [`Error::Lost`] if it lies in a gap, [`Error::Invalid`] if it was never given out, [`Error::Poisoned`].
    pub fn wait_durable(&self, lsn: Lsn) -> Result<()> {
        self.wait(lsn, Durability::Sync)
    }

    /// Writes a marker with the synced LSN if no commit came since the last call, and no record states it yet; returns whether it
    /// wrote. The marker is not synchronised for its own sake.
    ///
    /// # Errors
    /// As for [`Wal::make_room`] and [`Wal::flush`].
    pub fn idle(&self, time_ms: u64) -> Result<bool> {
        let mut made_room = false;
        loop {
            let mut section = self.sequence();
            let buffer = section.buffer();
            self.check_open(buffer)?;
            if !made_room {
                let last = buffer.last_commit();
                let busy = std::mem::replace(&mut buffer.seen_by_idle, last) != last;
                if busy || !buffer.wants_marker(self.synced()) {
                    return Ok(false);
                }
            }
            if buffer.fits(HEADER_LEN as u64) {
                section.push_mark(RecordKind::Marker, time_ms, Durability::Memory);
                drop(section);
                self.flush()?;
                return Ok(true);
            }
            drop(section);
            self.make_room(HEADER_LEN as u64)?;
            made_room = true;
        }
    }

    /// Bytes in segments that hold a record at or above the last `needed_from` (live log): older segments whole, of the
    /// newest what is used.
    pub fn live_bytes(&self) -> u64 {
        let buffer = self.buffer.lock();
        let segments = self.segments.lock();
        let header = segments.newest();
        let rotated = if header.number < buffer.at.header.number { header.segment_len } else { 0 };
        let newest = rotated.saturating_add(buffer.pending_segment_bytes()).saturating_add(buffer.at.offset);
        segments.needed_bytes().saturating_add(newest)
    }

    /// Flushes, synchronises, writes the clean-close marker, synchronises. No append may follow. A second call does
    /// nothing.
    ///
    /// # Errors
    /// [`Error::Poisoned`]: the next open recovers as after a crash.
    pub fn close(&self, time_ms: u64) -> Result<()> {
        {
            let mut buffer = self.buffer.lock();
            if buffer.closed {
                return if buffer.poisoned { Err(Error::Poisoned) } else { Ok(()) };
            }
            buffer.closed = true;
        }
        // First everything else, so that the marker states it as synced.
        self.sync()?;
        let lsn = self.sequence().push_mark(RecordKind::CleanClose, time_ms, Durability::Sync);
        self.wait(lsn, Durability::Sync)
    }

    /// Plain numbers.
    pub fn stats(&self) -> WalStats {
        let n = |a: &AtomicU64| a.load(Ordering::Relaxed);
        let buffer = self.buffer.lock();
        let segments = self.segments.lock();
        let spares = buffer.spares.iter().map(|s| s.len);
        let lens = segments.live.iter().map(|h| h.segment_len).chain(spares);
        let p = &self.progress;
        WalStats {
            records: n(&p.records),
            bytes: n(&p.bytes),
            groups: n(&p.groups),
            syncs: n(&p.syncs),
            segments: (segments.leftovers.len() + lens.clone().count()) as u64,
            segment_bytes: lens.sum(),
        }
    }

    /// Moves `settled` on. Under the sequencer's lock, so that no section is half done.
    pub(crate) fn settle(&self, buffer: &mut Buffer) {
        if buffer.poisoned {
            return;
        }
        if let Some(settled) = buffer.settle(|level| {
            // A planted fault shows records to readers before they are as durable as their writers asked.
            let early = mutant("wal.publish-before-sync");
            self.progress.reached(if early { Durability::Memory } else { level })
        }) {
            // A run that has hardly begun says less than what was before it.
            self.progress.set_settled(settled.max(self.settled()));
        }
    }

    pub(crate) fn check_open(&self, buffer: &Buffer) -> Result<()> {
        if buffer.poisoned {
            return Err(Error::Poisoned);
        }
        if buffer.closed {
            return Err(Error::Invalid("the log is closed".to_owned()));
        }
        Ok(())
    }

    pub(crate) fn check_given_out(&self, lsn: Lsn) -> Result<()> {
        if lsn < self.first && self.segments.lock().in_gap(lsn) {
            return Err(Error::Lost(lsn));
        }
        if lsn == Lsn(0) || lsn > self.appended() {
            return Err(Error::Invalid(format!("LSN {lsn} was never given out")));
        }
        Ok(())
    }
}

impl fmt::Debug for Wal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wal")
            .field("dir", &self.dir)
            .field("appended", &self.appended())
            .field("written", &self.written())
            .field("synced", &self.synced())
            .field("settled", &self.settled())
            .field("poisoned", &self.is_poisoned())
            .finish_non_exhaustive()
    }
}
