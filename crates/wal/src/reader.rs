//! Reading a log that is open: [`Wal::read_from`] for followers, [`Wal::check`] for the doubtful.
//!
//! Both read what is *written*, never the buffer. A segment may be recycled while it is read: its bytes are trusted only
//! if it is still live after they were read.

use crate::record::{Place, Record};
use crate::scan::Walk;
use crate::segment::{self, RECORDS_START, SegmentHeader};
use crate::{Error, Lsn, Result, Wal, files};
use std::io;
use std::path::{Path, PathBuf};

/// Something `check` found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// File.
    pub path: PathBuf,
    /// Offset in bytes, if it has a place.
    pub offset: Option<u64>,
    /// A sentence.
    pub what: String,
}

impl Wal {
    /// Calls `each` for the written records from `from` on, in LSN order, until it returns false or the log ends. Markers
    /// are handed over too. Reads segments whole: one is in memory at a time.
    ///
    /// # Errors
    /// [`Error::TooOld`] if they are gone; [`Error::Corrupt`], [`Error::Io`].
    pub fn read_from(&self, from: Lsn, each: &mut dyn FnMut(Record<'_>) -> bool) -> Result<()> {
        let from = from.max(Lsn(1));
        let written = self.written();
        let (oldest, segments) = {
            let segments = self.segments.lock();
            (segments.live[0], segments.from(from))
        };
        if from <= oldest.prev_last_lsn {
            return Err(Error::TooOld { asked: from, oldest: oldest.first_lsn });
        }
        let mut reached = from;
        for (header, end) in segments {
            let end = end.unwrap_or(written).min(written);
            if end < header.first_lsn {
                continue;
            }
            let path = segment::path_of(&self.dir, header.number);
            let Some(bytes) = self.read_live(&path, &header)? else {
                return Err(Error::TooOld { asked: reached, oldest: self.segments.lock().live[0].first_lsn });
            };
            let mut walk = walk(&bytes, &header);
            while walk.due() <= end.0 {
                let (offset, due) = (walk.offset(), walk.due());
                let found = walk.step().map_err(|bad| Error::corrupt(&path, offset, bad.clause(due)))?;
                if found.header.lsn >= from && !each(found.record()) {
                    return Ok(());
                }
            }
            reached = Lsn(end.0 + 1).max(from);
        }
        Ok(())
    }

    /// The bytes of a live segment; `None` if it was recycled meanwhile.
    fn read_live(&self, path: &Path, header: &SegmentHeader) -> Result<Option<Vec<u8>>> {
        let bytes = files::read_segment(&*self.vfs, path, header);
        if self.segments.lock().live[0].number > header.number {
            return Ok(None);
        }
        bytes.map(Some)
    }

    /// Reads all segments again and checks headers, records and continuity; findings as sentences with file and offset.
    ///
    /// # Errors
    /// [`Error::Io`] if the system refuses for another reason than a missing or short file, which is a finding.
    pub fn check(&self) -> Result<Vec<Finding>> {
        let written = self.written();
        let segments = self.segments.lock().from(Lsn(0));
        let mut findings = Vec::new();
        for (i, (header, end)) in segments.iter().enumerate() {
            let path = segment::path_of(&self.dir, header.number);
            let end = end.unwrap_or(written).min(written);
            let before = i.checked_sub(1).map(|i| &segments[i].0);
            match self.read_live(&path, header) {
                Ok(None) => {}
                Ok(Some(bytes)) => findings.extend(check_segment(&path, header, before, end, &bytes)),
                Err(Error::Corrupt { path, offset, what }) => {
                    findings.push(Finding { path, offset: Some(offset), what });
                }
                Err(Error::Io { path, source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                    findings.push(Finding { path, offset: None, what: "the segment's file is missing".to_owned() });
                }
                Err(e) => return Err(e),
            }
        }
        Ok(findings)
    }
}

fn walk<'a>(bytes: &'a [u8], header: &SegmentHeader) -> Walk<'a> {
    Walk::new(bytes, Place::new(&header.uuid, header.number), RECORDS_START, header.first_lsn)
}

/// What is wrong with one segment: at most its header and its first bad record, since nothing tells where the next begins.
fn check_segment(
    path: &Path,
    header: &SegmentHeader,
    before: Option<&SegmentHeader>,
    end: Lsn,
    bytes: &[u8],
) -> Vec<Finding> {
    let finding = |offset, what| Finding { path: path.to_owned(), offset: Some(offset), what };
    let mut findings = Vec::new();
    if SegmentHeader::decode(bytes) != Ok(*header) {
        findings.push(finding(0, "the segment's header is not the one that was written".to_owned()));
    }
    if let Some(Err(what)) = before.map(|before| header.follows(before)) {
        findings.push(finding(0, what));
    }
    let mut walk = walk(bytes, header);
    while walk.due() <= end.0 {
        let (offset, due) = (walk.offset(), walk.due());
        if let Err(bad) = walk.step() {
            findings.push(finding(offset, bad.clause(due)));
            break;
        }
    }
    findings
}
