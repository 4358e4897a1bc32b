//! [`Sequencer`]: the section in which LSNs are given out.
//!
//! Short by construction: it holds a mutex over the buffer, encodes into memory, and never waits or touches a file.

use crate::buffer::{Buffer, NewRecord};
use crate::record::{MAX_PAYLOAD_BYTES, RecordKind};
use crate::sync::MutexGuard;
use crate::{Durability, Error, Lsn, Payload, Result, Wal};
use std::fmt;

/// The section in which LSNs are given out; leaving it is dropping it.
///
/// Whatever a record stands for must be in place before the section is left: a record of level
/// [`Durability::Memory`] may settle at that moment.
pub struct Sequencer<'w> {
    wal: &'w Wal,
    buffer: MutexGuard<'w, Buffer>,
}

impl Wal {
    /// Enters the section in which LSNs are given out. Short: nothing in it waits, does I/O or runs a user's code. No
    /// other method of this log may be called by the same thread before it is left, except those that only read a number.
    pub fn sequence(&self) -> Sequencer<'_> {
        Sequencer { wal: self, buffer: self.buffer.lock() }
    }
}

impl Sequencer<'_> {
    /// The LSN that the next append will get.
    pub fn next(&self) -> Lsn {
        self.buffer.at.next
    }

    /// The greatest LSN given out so far. Not always [`Sequencer::next`] less one: after a crash, a gap lies between, and
    /// the numbers in it belong to nobody.
    pub fn last(&self) -> Lsn {
        self.buffer.at.last
    }

    /// Whether the payload finds room now; if not, leave the section, call [`Wal::make_room`], start again.
    pub fn fits(&self, payload: &Payload<'_>) -> bool {
        self.buffer.fits(payload.record_len())
    }

    /// As [`Sequencer::fits`], and no segment should be made ready ahead of need, as [`Wal::make_room`] does.
    pub fn has_room(&self, payload: &Payload<'_>) -> bool {
        self.buffer.has_room(payload.record_len())
    }

    /// Appends; the record enters the buffer. `level` is what its writer will wait for: `settled` does not pass it before.
    ///
    /// # Errors
    /// [`Error::Poisoned`], or [`Error::Invalid`] when it does not fit, is larger than [`MAX_PAYLOAD_BYTES`] or the log is closed:
    /// no LSN is assigned.
    pub fn append(&mut self, payload: Payload<'_>, time_ms: u64, level: Durability) -> Result<Lsn> {
        self.append_as(RecordKind::Commit, payload, time_ms, level)
    }

    /// As [`Sequencer::append`], with a kind that tells the reader of the log what the payload is: a commit, a part of
    /// something large, or what completes the parts. The log itself treats them all alike.
    ///
    /// # Errors
    /// As [`Sequencer::append`]; [`Error::Invalid`] for a kind that is the log's own.
    pub fn append_as(
        &mut self,
        kind: RecordKind,
        payload: Payload<'_>,
        time_ms: u64,
        level: Durability,
    ) -> Result<Lsn> {
        if !kind.is_of_caller() {
            return Err(Error::Invalid(format!("records of kind {kind:?} are written by the log itself")));
        }
        self.wal.check_open(&self.buffer)?;
        check_len(payload.bytes().len())?;
        if !self.buffer.fits(payload.record_len()) {
            return Err(Error::Invalid(format!(
                "a record of {} bytes does not fit; make room outside the section and try again",
                payload.record_len()
            )));
        }
        let record = NewRecord { kind, payload: payload.bytes(), crc: payload.crc(), time_ms, level };
        Ok(self.push(record))
    }

    /// Like [`Wal::make_room`]'s check and an append in one, for the log's own marks.
    pub(crate) fn push_mark(&mut self, kind: RecordKind, time_ms: u64, level: Durability) -> Lsn {
        self.push(NewRecord::mark(kind, time_ms, level))
    }

    fn push(&mut self, record: NewRecord<'_>) -> Lsn {
        let bytes = crate::record::record_len(record.payload.len() as u64);
        let lsn = self.buffer.push(record, self.wal.synced());
        self.wal.progress.appended(lsn, bytes);
        lsn
    }

    pub(crate) fn buffer(&mut self) -> &mut Buffer {
        &mut self.buffer
    }
}

pub(crate) fn check_len(payload_len: usize) -> Result<()> {
    if payload_len > MAX_PAYLOAD_BYTES {
        return Err(Error::Invalid(format!("the payload has {payload_len} bytes, more than {MAX_PAYLOAD_BYTES}")));
    }
    Ok(())
}

impl Drop for Sequencer<'_> {
    fn drop(&mut self) {
        // A record of level Memory with nothing before it is settled as soon as its section is left.
        self.wal.settle(&mut self.buffer);
    }
}

impl fmt::Debug for Sequencer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sequencer").field("next", &self.next()).finish_non_exhaustive()
    }
}
