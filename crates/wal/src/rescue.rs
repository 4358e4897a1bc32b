//! [`rescue`]: every record that verifies in a log, damaged or not, and which are missing in between.
//!
//! Recovery refuses a log with a rotten middle. This goes on behind the damage: records begin at multiples of 8, and a
//! header verifies only in its place, so that the next one is found by looking at every 8 bytes. Nothing is written, and
//! nothing is judged: whether what comes after a hole may be used, the caller decides.
//!
//! A witness is no record; what it states as synchronised counts, and if it tells of records behind the last one of the log, that
//! is a finding.

use crate::reader::Finding;
use crate::record::{ALIGN, HEADER_LEN, Place, Record, RecordHeader, RecordKind};
use crate::scan::{Walk, traces};
use crate::segment::{self, NoSegment, RECORDS_START, SegmentHeader};
use crate::{Error, Lsn, Result, files};
use halodb_vfs::{OpenMode, Vfs};
use std::path::{Path, PathBuf};

/// What [`rescue`] found.
#[derive(Clone, Debug, Default)]
pub struct Rescued {
    /// Records given.
    pub records: u64,
    /// The first and the last of them.
    pub span: Option<(Lsn, Lsn)>,
    /// What the oldest segment states as the last number before it: records up to here were recycled, or are lost.
    pub before: Option<Lsn>,
    /// Runs of numbers, both ends included, of which no record verifies although a later one, or the header of a later
    /// segment, shows that they were given out.
    pub missing: Vec<(Lsn, Lsn)>,
    /// Damaged places.
    pub findings: Vec<Finding>,
    /// Greatest number that anything in the log states as synchronised.
    pub synced: Lsn,
}

/// Reads the log in `dir` and gives every record that verifies to `each`, in the order of their numbers. Only segments of
/// the database `uuid` and this incarnation count.
///
/// One segment is in memory at a time.
///
/// # Errors
/// [`Error::Io`] if the directory cannot be listed; a file that cannot be read is a finding.
pub fn rescue(
    vfs: &dyn Vfs,
    dir: &Path,
    uuid: &[u8; 16],
    incarnation: u64,
    each: &mut dyn FnMut(Record<'_>),
) -> Result<Rescued> {
    let mut rescue = Rescue { found: Rescued::default(), last: Lsn(0), witnessed: None, each };
    let mut before: Option<u64> = None;
    for number in files::list(vfs, dir)? {
        let path = segment::path_of(dir, number);
        match before {
            Some(before) if before + 1 != number => {
                let what = format!("The segments {} to {} are missing.", before + 1, number - 1);
                rescue.found.findings.push(Finding { path: path.clone(), offset: None, what });
            }
            _ => {}
        }
        before = Some(number);
        let read = vfs
            .open(&path, OpenMode::Read)
            .map_err(Error::io("open", &path))
            .and_then(|file| files::read_start(&*file, &path, u64::MAX));
        match read {
            Ok(bytes) => rescue.segment(&path, number, uuid, incarnation, &bytes),
            Err(e) => rescue.find(&path, None, format!("The segment cannot be read: {e}.")),
        }
    }
    if let Some((path, offset, lsn)) = rescue.witnessed.take().filter(|(_, _, lsn)| *lsn > rescue.last) {
        let what =
            format!("The last group of the log, up to record {lsn}, was written here or before, and is not there.");
        rescue.find(&path, Some(offset), what);
    }
    Ok(rescue.found)
}

struct Rescue<'e> {
    found: Rescued,
    last: Lsn,
    /// The witness of the newest segment: where it stands, and the LSN it tells of.
    witnessed: Option<(PathBuf, u64, Lsn)>,
    each: &'e mut dyn FnMut(Record<'_>),
}

impl Rescue<'_> {
    fn find(&mut self, path: &Path, offset: Option<u64>, what: String) {
        self.found.findings.push(Finding { path: path.to_owned(), offset, what });
    }

    /// Numbers up to `upto` were given out: those of them that did not come are missing. In the beginning nobody knows
    /// where the log begins.
    fn expect(&mut self, upto: Lsn) {
        if self.last != Lsn(0) && self.last < upto {
            self.found.missing.push((Lsn(self.last.0 + 1), upto));
        }
        self.last = self.last.max(upto);
    }

    fn segment(&mut self, path: &Path, number: u64, uuid: &[u8; 16], incarnation: u64, bytes: &[u8]) {
        let header = SegmentHeader::decode(bytes);
        if let Ok(header) = &header {
            if (header.uuid, header.incarnation) != (*uuid, incarnation) {
                self.find(
                    path,
                    Some(0),
                    "The segment belongs to another database or an earlier life of this one.".into(),
                );
                return;
            }
            if header.number == number {
                if bytes.len() as u64 != header.segment_len {
                    let what = format!("The file has {} bytes, its header says {}.", bytes.len(), header.segment_len);
                    self.find(path, Some(bytes.len() as u64), what);
                }
                // What is behind the last record of the segment before was dropped by somebody.
                self.witnessed = None;
                self.found.before.get_or_insert(header.prev_last_lsn);
                self.expect(header.prev_last_lsn);
                // A crash leaves a gap of numbers here that nobody ever used.
                self.last = self.last.max(Lsn(header.first_lsn.0 - 1));
                self.found.synced = self.found.synced.max(header.prev_last_lsn);
            }
        }
        let live = matches!(&header, Ok(header) if header.number == number);
        let records = self.records(path, Place::new(uuid, number), bytes);
        if !live && (records > 0 || matches!(header, Err(ref e) if *e != NoSegment::Empty)) {
            let what = match header {
                Ok(_) | Err(NoSegment::Empty) => "The segment holds records, but its header is missing.",
                Err(_) => "The segment's header does not verify.",
            };
            self.find(path, Some(0), what.to_owned());
        }
    }

    /// The records of a segment; how many.
    fn records(&mut self, path: &Path, place: Place, bytes: &[u8]) -> u64 {
        let mut at = RECORDS_START;
        let mut count = 0;
        // Where the walk was interrupted: damage only if something verifies behind it.
        let mut broken = None;
        while at < bytes.len() as u64 {
            if let Some(header) = witness(bytes, place, at) {
                self.found.synced = self.found.synced.max(header.synced);
                self.witnessed = Some((path.to_owned(), at, header.lsn));
                at += HEADER_LEN as u64;
                continue;
            }
            let Some(found) = Walk::any(bytes, place, at) else {
                broken.get_or_insert(at);
                at += ALIGN;
                continue;
            };
            if let Some(offset) = broken.take() {
                let what = format!("No record verifies from here to byte {at}.");
                self.find(path, Some(offset), what);
            }
            let lsn = found.header.lsn;
            if lsn > self.last {
                self.expect(Lsn(lsn.0 - 1));
                self.last = lsn;
                self.found.records += 1;
                self.found.span = Some((self.found.span.map_or(lsn, |(first, _)| first), lsn));
                self.found.synced = self.found.synced.max(found.header.synced);
                (self.each)(found.record());
                count += 1;
            }
            at += found.header.record_len();
        }
        if let Some(offset) = broken.filter(|&offset| traces(bytes, offset)) {
            // The end of the log, or a damaged last record: which of both is not to be told.
            self.found.findings.extend(count.gt(&0).then(|| Finding {
                path: path.to_owned(),
                offset: Some(offset),
                what: "No record verifies from here on: the end of the log, or damage to its last records.".to_owned(),
            }));
        }
        count
    }
}

fn witness(bytes: &[u8], place: Place, at: u64) -> Option<RecordHeader> {
    let header = RecordHeader::decode(&bytes[at as usize..], place, at).ok()?;
    (header.kind == RecordKind::Witness).then_some(header)
}
