//! Making room: preparing the next segment, and recycling old ones by renaming them to the next number.
//!
//! One thread at a time does either, holding `preparing`; the sequencer's section only ever takes what is ready.

use crate::files::{self, PrepareError, Spare};
use crate::record::{ALIGN, HEADER_LEN};
use crate::segment;
use crate::sequencer::check_len;
use crate::sync::MutexGuard;
use crate::{Error, Lsn, Result, Wal};
use std::collections::VecDeque;

/// Prepared segments kept ready by recycling; what is beyond is deleted.
const SPARES: usize = 2;

impl Wal {
    /// Outside the section: makes sure that a record of `record_len` bytes finds room, preparing the next segment if need
    /// be. Cheap when there is room; writes a whole segment of zeros when there is none.
    ///
    /// When less than half of the current segment is left, one more segment is made ready, so that a background thread
    /// that calls this with 0 now and then spares the writers the wait.
    ///
    /// # Errors
    /// [`Error::Full`] if the disk has no space, [`Error::Io`] for other failures: nothing is lost, it may be tried again.
    /// [`Error::Poisoned`]; also from here if the directory cannot be synchronised. [`Error::Invalid`] for a record that is too large,
    /// or a closed log.
    pub fn make_room(&self, record_len: u64) -> Result<()> {
        check_len(usize::try_from(record_len.saturating_sub(HEADER_LEN as u64)).unwrap_or(usize::MAX))?;
        let Some(_preparing) = self.preparation(record_len)? else { return Ok(()) };
        let (fits, number, rest) = {
            let mut buffer = self.buffer.lock();
            self.check_open(&buffer)?;
            if buffer.has_room(record_len) {
                return Ok(());
            }
            // Without spares nobody can rotate, so the next number stays what it is. A spare that is too small is replaced.
            let fits = buffer.fits(record_len);
            let rest = std::mem::take(&mut buffer.spares);
            (fits, buffer.at.header.number + 1, rest)
        };
        let made = files::prepare(&*self.vfs, &self.dir, number, self.options.segment_for(record_len), None);
        match made {
            Ok(spare) => {
                let spares = [spare].into_iter().chain(rest.into_iter().skip(1)).collect();
                self.buffer.lock().spares = spares;
                Ok(())
            }
            Err(PrepareError::Before(e)) => {
                self.buffer.lock().spares = rest;
                // Ahead of time it is only a convenience: whoever needs the room gets the error.
                if fits { Ok(()) } else { Err(e) }
            }
            Err(PrepareError::Sync(e)) => {
                self.poison(e.to_string());
                Err(Error::Poisoned)
            }
        }
    }

    /// The right to prepare a segment, if one is wanted. Whoever needs the room waits for it; whoever would only prepare
    /// ahead does not, when somebody else is at it.
    fn preparation(&self, record_len: u64) -> Result<Option<MutexGuard<'_, ()>>> {
        let fits = {
            let buffer = self.buffer.lock();
            self.check_open(&buffer)?;
            if buffer.has_room(record_len) {
                return Ok(None);
            }
            buffer.fits(record_len)
        };
        Ok(if fits { self.preparing.try_lock() } else { Some(self.preparing.lock()) })
    }

    /// Recycles or deletes the segments all of whose records are below `needed_from`; oldest first, the directory
    /// synchronised before the next. Returns how many. The newest segment always stays.
    ///
    /// # Errors
    /// [`Error::Io`] if a file cannot be renamed or removed: the log is as good as before. [`Error::Poisoned`] if it is, or if the
    /// directory cannot be synchronised.
    pub fn recycle(&self, needed_from: Lsn) -> Result<usize> {
        let _preparing = self.preparing.lock();
        let mut done = 0;
        {
            let mut segments = self.segments.lock();
            segments.needed_from = segments.needed_from.max(needed_from);
        }
        loop {
            if self.is_poisoned() {
                return Err(Error::Poisoned);
            }
            let (number, segment) = {
                let mut segments = self.segments.lock();
                if let Some(&number) = segments.leftovers.front() {
                    (number, None)
                } else if let Some(header) = segments.oldest_unneeded(needed_from) {
                    // Readers stop asking for it before it changes its name.
                    segments.live.pop_front();
                    (header.number, Some(header))
                } else {
                    return Ok(done);
                }
            };
            match self.dispose(number, segment.map(|h| h.segment_len)) {
                Ok(()) if segment.is_none() => drop(self.segments.lock().leftovers.pop_front()),
                Ok(()) => {}
                Err(e) => {
                    // When poisoned, nobody knows what the file is called now.
                    if let Some(header) = segment.filter(|_| !matches!(e, Error::Poisoned)) {
                        self.segments.lock().live.push_front(header);
                    }
                    return Err(e);
                }
            }
            done += 1;
        }
    }

    /// Deletes the segments that are prepared for later, newest first, the directory synchronised before the next. Returns their
    /// bytes. The next commit that needs one prepares it again, which writes a whole segment of zeros.
    ///
    /// # Errors
    /// [`Error::Io`] if a file cannot be removed: it stays prepared. [`Error::Poisoned`] if the log is, or if the directory cannot be
    /// synchronised.
    pub fn trim(&self) -> Result<u64> {
        let _preparing = self.preparing.lock();
        let mut freed = 0;
        loop {
            let spare = {
                let mut buffer = self.buffer.lock();
                if buffer.poisoned {
                    return Err(Error::Poisoned);
                }
                // The last one: the names of the others go on without a gap.
                buffer.spares.pop_back()
            };
            let Some(spare) = spare else { return Ok(freed) };
            let path = segment::path_of(&self.dir, spare.number);
            if let Err(e) = self.vfs.remove_file(&path) {
                self.buffer.lock().spares.push_back(spare);
                return Err(Error::io("remove", &path)(e));
            }
            if let Err(e) = self.vfs.sync_dir(&self.dir) {
                self.poison(Error::io("synchronise", &self.dir)(e).to_string());
                return Err(Error::Poisoned);
            }
            freed += spare.len;
        }
    }

    /// Renames segment `number` to the next free number if it is of the usual length and wanted, else removes it.
    fn dispose(&self, number: u64, len: Option<u64>) -> Result<()> {
        let path = segment::path_of(&self.dir, number);
        let target = {
            let buffer = self.buffer.lock();
            let wanted = len == Some(self.options.segment_bytes) && buffer.spares.len() < SPARES && !buffer.closed;
            // A rotation takes the first spare and the first number at once: the sum stays while `preparing` is held.
            wanted.then(|| buffer.at.header.number + 1 + buffer.spares.len() as u64)
        };
        let spare = match target {
            Some(target) => {
                let (file, _) = files::open_rw(&*self.vfs, &self.dir, number)?;
                let to = segment::path_of(&self.dir, target);
                self.vfs.rename(&path, &to).map_err(Error::io("rename", &path))?;
                Some(Spare { number: target, len: self.options.segment_bytes, file })
            }
            None => {
                self.vfs.remove_file(&path).map_err(Error::io("remove", &path))?;
                None
            }
        };
        if let Err(e) = self.vfs.sync_dir(&self.dir) {
            self.poison(Error::io("synchronise", &self.dir)(e).to_string());
            return Err(Error::Poisoned);
        }
        self.buffer.lock().spares.extend(spare);
        Ok(())
    }
}

/// Files that were prepared by an earlier process, ready to be begun by this one. Whatever became of their lengths, a
/// segment in them is as long as segments are: the header of another would not be read again.
pub(crate) fn reopen_spares(
    vfs: &dyn halodb_vfs::Vfs,
    dir: &std::path::Path,
    spares: &[(u64, u64)],
) -> Result<VecDeque<Spare>> {
    let open = |&(number, len): &(u64, u64)| {
        files::open_rw(vfs, dir, number).map(|(file, _)| Spare { number, len: len / ALIGN * ALIGN, file })
    };
    spares.iter().map(open).collect()
}
