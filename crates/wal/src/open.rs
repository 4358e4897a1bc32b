//! Opening a log for writing: creating one, and [`Recovery::into_wal`].
//!
//! What a process reads may exist in the page cache only: an earlier one may have died between write and sync, or even
//! seen its sync fail. So nothing that is not proven is built upon before it is written and synchronised again, with identical bytes.
//! That goes for names as well, however the log was closed: whoever opened it after the clean close may have prepared a
//! segment and died before the directory was synchronised, and left no record of having been there. What this process
//! writes and synchronises in that file would go with its name.
//! And after an unclean end the segment with the dropped tail is never appended to: what lies behind its last surviving
//! record is fenced off by the header of a new segment, whose LSNs begin above everything the dead process can have given
//! out.

use crate::buffer::{Buffer, Position};
use crate::files::{self, Spare};
use crate::group::Tail;
use crate::record::{HEADER_LEN, RecordKind};
use crate::recover::Recovery;
use crate::segment::{self, RECORDS_START, SegmentHeader};
use crate::segments::Segments;
use crate::wal::Parts;
use crate::{Durability, Error, Lsn, Result, Wal, WalOptions, lsn, room};
use halodb_vfs::{Vfs, mutant};
use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;

impl Wal {
    /// Creates an empty log in the existing, empty directory `dir`, durable when it returns. That `dir` itself is durable
    /// in its parent is the caller's business.
    ///
    /// # Errors
    /// [`Error::Invalid`] if there are segments already or the options are out of range; [`Error::Full`], [`Error::Io`].
    pub fn create(vfs: Arc<dyn Vfs>, dir: &Path, options: WalOptions) -> Result<Wal> {
        Self::create_from(vfs, dir, options, Lsn(0), Lsn(1))
    }

    /// As [`Wal::create`], for a database that begins as a copy of another one which was at `last`: every number given out
    /// lies above that, with a gap of at least 2^32, in which the other one may have gone on.
    ///
    /// # Errors
    /// As [`Wal::create`]; [`Error::Invalid`] when the numbers are used up.
    pub fn create_after(vfs: Arc<dyn Vfs>, dir: &Path, options: WalOptions, last: Lsn) -> Result<Wal> {
        let first = lsn::after_gap(last.0).ok_or_else(used_up)?;
        Self::create_from(vfs, dir, options, last, Lsn(first))
    }

    fn create_from(vfs: Arc<dyn Vfs>, dir: &Path, options: WalOptions, last: Lsn, first: Lsn) -> Result<Wal> {
        let options = options.checked()?;
        if let Some(number) = files::list(&*vfs, dir)?.first() {
            let path = segment::path_of(dir, *number);
            return Err(Error::Invalid(format!("cannot create a log: {} is there already", path.display())));
        }
        let header = SegmentHeader {
            number: 1,
            uuid: options.uuid,
            incarnation: options.incarnation,
            prev_last_lsn: last,
            first_lsn: first,
            time_mark_ms: 0,
            segment_len: options.first_segment_bytes,
        };
        let spare = files::prepare(&*vfs, dir, 1, header.segment_len, Some(&header))?;
        let at = Position { file: spare.file, header, offset: RECORDS_START, next: first, last };
        let segments = Segments::new(vec![header], Vec::new(), Lsn(0));
        Ok(Wal::assemble(Parts {
            vfs,
            dir: dir.to_owned(),
            options,
            buffer: Buffer::new(at, VecDeque::new()),
            segments,
            synced: Lsn(0),
            doubtful_names: false,
        }))
    }
}

impl Recovery {
    /// Opens the log for writing by the rules of an open: after a clean close an open record first; otherwise the surviving
    /// unproven records are rewritten in place and synced, and a new segment is begun (LSN gap of 2^32) and synced.
    ///
    /// # Errors
    /// [`Error::Full`] or [`Error::Io`]: recover again and try again; [`Error::Invalid`] when the LSNs are used up.
    pub fn into_wal(self) -> Result<Wal> {
        // A planted fault appends behind whatever survived, as if it had been closed in order.
        if self.clean || mutant("wal.append-after-tail") { self.after_clean_close() } else { self.after_crash() }
    }

    fn after_clean_close(self) -> Result<Wal> {
        let newest = *self.chain.newest();
        // Their names are made certain before one of them is begun, by whoever does that: many an open never gets there.
        let doubtful_names = !self.chain.spares.is_empty();
        let spares = room::reopen_spares(&*self.vfs, &self.dir, &self.chain.spares)?;
        let (file, _) = files::open_rw(&*self.vfs, &self.dir, newest.number)?;
        let (start, unproven) = (self.unproven.0, &self.unproven.1);
        let end = start + unproven.len() as u64;
        let next = Lsn(self.last.0.checked_add(1).ok_or_else(used_up)?);
        let at = Position { file, header: newest, offset: end, next, last: self.last };
        let mut buffer = Buffer::new(at, spares);
        // Whoever opens and appends nothing leaves the log as it is, closed in order: a segment is prepared at most.
        if !buffer.fits(HEADER_LEN as u64) {
            let (number, len) = (newest.number + 1, self.options.segment_bytes);
            buffer.spares = VecDeque::from([files::prepare(&*self.vfs, &self.dir, number, len, None)?]);
        }
        // The close record may be in the page cache only: it goes out once more, together with the open record. Until
        // then it is not durable, and nobody may state that it is.
        buffer.write_again(unproven.clone());
        // A planted fault believes that what is read is on the disk.
        let trusting = unproven.is_empty() || mutant("wal.trust-close-marker");
        let synced = if trusting { self.last } else { self.proven };
        let time_ms = self.last_time_ms;
        let live = self.chain.live.clone();
        let wal = self.assemble(buffer, live, synced, doubtful_names);
        // Its level makes every weaker commit behind it wait for its sync.
        if !mutant("wal.no-open-record") {
            wal.sequence().push_mark(RecordKind::Open, time_ms, Durability::Sync);
        }
        Ok(wal)
    }

    fn after_crash(self) -> Result<Wal> {
        let newest = *self.chain.newest();
        // The names of the prepared segments may exist in the cache only.
        self.vfs.sync_dir(&self.dir).map_err(Error::io("synchronise", &self.dir))?;
        let mut spares = room::reopen_spares(&*self.vfs, &self.dir, &self.chain.spares)?;
        let (file, path) = files::open_rw(&*self.vfs, &self.dir, newest.number)?;
        let (start, unproven) = &self.unproven;
        // A planted fault trusts what it read, which may exist in the page cache only.
        if !mutant("wal.trust-tail") {
            files::write_identical(&*file, &newest.encode(), 0).map_err(Error::io("write", &path))?;
            files::write_identical(&*file, unproven, *start).map_err(Error::io("write", &path))?;
            file.sync_data().map_err(Error::io("synchronise", &path))?;
        }

        let greatest = self.last.0.max(newest.first_lsn.0);
        let mut first = lsn::after_gap(greatest).ok_or_else(used_up)?;
        // A planted fault gives the numbers of the dropped tail out again.
        if mutant("wal.no-gap") {
            first = self.last.0 + 1;
        }
        if self.chain.half_begun {
            // The half-written header may have announced exactly these.
            first = lsn::after_gap(first).ok_or_else(used_up)?;
        }
        let header = SegmentHeader { first_lsn: Lsn(first), ..self.header_after(&newest) };
        let (header, file) = self.begin_next(header, &mut spares)?;
        let at = Position { file, header, offset: RECORDS_START, next: header.first_lsn, last: self.last };
        let mut live = self.chain.live.clone();
        live.push(header);
        let last = self.last;
        Ok(self.assemble(Buffer::new(at, spares), live, last, false))
    }

    fn header_after(&self, newest: &SegmentHeader) -> SegmentHeader {
        let segment_len = self.options.segment_bytes;
        SegmentHeader { number: newest.number + 1, prev_last_lsn: self.last, segment_len, ..*newest }
    }

    /// Begins the next segment in a spare file if there is one, else in a new file; durable when it returns.
    fn begin_next(
        &self,
        mut header: SegmentHeader,
        spares: &mut VecDeque<Spare>,
    ) -> Result<(SegmentHeader, Arc<dyn halodb_vfs::File>)> {
        if let Some(spare) = spares.pop_front().filter(|s| s.len >= self.options.segment_bytes) {
            header.segment_len = spare.len;
            let path = segment::path_of(&self.dir, header.number);
            files::begin(&*spare.file, &path, &header)?;
            return Ok((header, spare.file));
        }
        let made = files::prepare(&*self.vfs, &self.dir, header.number, header.segment_len, Some(&header))?;
        Ok((header, made.file))
    }

    fn assemble(self, buffer: Buffer, live: Vec<SegmentHeader>, synced: Lsn, doubtful_names: bool) -> Wal {
        let segments = Segments::new(live, self.chain.leftovers, Lsn(0));
        Wal::assemble(Parts {
            vfs: self.vfs,
            dir: self.dir,
            options: self.options,
            buffer,
            segments,
            synced,
            doubtful_names,
        })
    }
}

impl Parts {
    /// The tail with which the first leader starts. It counts as written: what the open left to write is in the buffer.
    pub(crate) fn tail(&self) -> Tail {
        let at = &self.buffer.at;
        Tail {
            file: at.file.clone(),
            path: segment::path_of(&self.dir, at.header.number),
            dirty: false,
            doubtful_names: self.doubtful_names,
        }
    }
}

fn used_up() -> Error {
    Error::Invalid("the log has used up its sequence numbers".to_owned())
}
