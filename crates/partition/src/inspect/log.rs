//! [`LogReport`]: the segments of the log as files, and what the end of one means.

use super::{Inspector, is_damage, read_at_most};
use crate::directory;
use crate::{Error, Result};
use halodb_vfs::OpenMode;
use halodb_wal::inspect::{self, End, SegmentState};
use halodb_wal::{Lsn, SEGMENT_HEADER_LEN, SegmentHeader};
use std::path::PathBuf;

/// The log as files.
#[derive(Clone, Debug, Default)]
pub struct LogReport {
    /// Its files in the order of their numbers.
    pub segments: Vec<SegmentReport>,
    /// All trees have everything up to this LSN; `None` if a page file does not tell.
    pub applied: Option<Lsn>,
    /// Greatest LSN that the metas and the segments' headers prove to be synchronised. What records state comes on top.
    pub proven: Lsn,
}

/// One file of the log.
#[derive(Clone, Debug)]
pub struct SegmentReport {
    /// The number in its name.
    pub number: u64,
    /// The file.
    pub path: PathBuf,
    /// Its length in bytes.
    pub file_len: u64,
    /// Its first bytes, at most those of a header.
    pub head: Vec<u8>,
    /// What they say that it is.
    pub state: SegmentState,
    /// The LSN that its last record has, which the header of the next segment tells; `None` in the newest one.
    pub last: Option<Lsn>,
    /// An open would read its records: not all trees have them.
    pub needed: bool,
}

/// What the end of a segment's records means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing is missing.
    Sound(String),
    /// Something was not written whole, and nothing says that it was synchronised: an open drops it.
    Tail(String),
    /// Something that was synchronised is gone, or was changed.
    Damaged(String),
}

impl Inspector {
    /// The files of the log. Reads their headers and the metas of all page files.
    ///
    /// # Errors
    /// `Io`.
    pub fn log(&self) -> Result<LogReport> {
        let dir = directory::wal_dir(&self.dir);
        let entries = self.vfs.read_dir(&dir).map_err(|e| Error::io("list", &dir, e))?;
        let mut numbers: Vec<u64> = entries.iter().filter_map(|e| halodb_wal::parse_file_name(&e.name)).collect();
        numbers.sort_unstable();
        let mut report = LogReport::default();
        for number in numbers {
            report.segments.push(self.segment_report(number)?);
        }
        self.add_positions(&mut report)?;
        report.connect();
        Ok(report)
    }

    /// All bytes of a segment.
    ///
    /// # Errors
    /// `Io`.
    pub fn segment_bytes(&self, segment: &SegmentReport) -> Result<Vec<u8>> {
        let path = &segment.path;
        let file = self.vfs.open(path, OpenMode::Read).map_err(|e| Error::io("open", path, e))?;
        let len = file.len().map_err(|e| Error::io("measure", path, e))?;
        read_at_most(&*file, 0, len, len).map_err(|e| Error::io("read", path, e))
    }

    fn segment_report(&self, number: u64) -> Result<SegmentReport> {
        let path = directory::wal_dir(&self.dir).join(halodb_wal::file_name(number));
        let file = self.vfs.open(&path, OpenMode::Read).map_err(|e| Error::io("open", &path, e))?;
        let file_len = file.len().map_err(|e| Error::io("measure", &path, e))?;
        let head = read_at_most(&*file, 0, SEGMENT_HEADER_LEN as u64, file_len);
        let head = head.map_err(|e| Error::io("read", &path, e))?;
        let state = inspect::segment(&head, number, &self.manifest.uuid, self.manifest.incarnation);
        Ok(SegmentReport { number, path, file_len, head, state, last: None, needed: false })
    }

    /// What the trees say about the log.
    fn add_positions(&self, report: &mut LogReport) -> Result<()> {
        let mut applied = Some(Lsn(u64::MAX));
        for partition in 0..self.manifest.partitions {
            let position = match self.metas(partition) {
                Ok(metas) => metas.position(),
                // A page file that is missing is shown by `metas`; here it tells nothing.
                Err(e) if is_damage(&e) || e.kind() == crate::ErrorKind::Io => None,
                Err(e) => return Err(e),
            };
            applied = applied.zip(position).map(|(least, position)| least.min(position.applied));
            report.proven = report.proven.max(position.map_or(Lsn(0), |position| position.synced));
        }
        report.applied = applied.filter(|_| self.manifest.partitions > 0);
        Ok(())
    }
}

impl LogReport {
    /// The number of the newest segment that was begun: the only one whose end is open.
    pub fn newest(&self) -> Option<u64> {
        let live = |segment: &&SegmentReport| matches!(segment.state, SegmentState::Live(_));
        self.segments.iter().rev().find(live).map(|segment| segment.number)
    }

    /// Draws from each header what it says about the segment before it.
    fn connect(&mut self) {
        let mut next: Option<SegmentHeader> = None;
        for segment in self.segments.iter_mut().rev() {
            let SegmentState::Live(header) = &segment.state else { continue };
            segment.last = next.map(|next| next.prev_last_lsn);
            segment.needed = segment.last.is_none_or(|last| self.applied.is_none_or(|applied| last > applied));
            self.proven = self.proven.max(header.prev_last_lsn);
            next = Some(*header);
        }
    }
}

impl SegmentReport {
    /// What the end of its records means. `stated`: the greatest `synced` of its records; `proven`: that of [`LogReport`].
    pub fn verdict(&self, end: &End, stated: Lsn, proven: Lsn) -> Verdict {
        let due = end.due.0;
        let instead = end.instead.clone().unwrap_or_else(|| format!("record {due} is missing"));
        if let Some(last) = self.last {
            return match due > last.0 {
                true => Verdict::Sound(format!("It ends with record {last}, as the next segment says.")),
                false => Verdict::Damaged(format!(
                    "At {}: {instead}. The next segment says that record {last} is the last one here.",
                    end.offset
                )),
            };
        }
        let proven = proven.max(stated).max(end.synced).0;
        if due <= proven {
            return Verdict::Damaged(format!(
                "At {}: {instead}. It was synchronised: everything up to record {proven} was.",
                end.offset
            ));
        }
        if end.is_ordinary() {
            return Verdict::Sound(format!("The log ends here; the next record would be {due}."));
        }
        let behind = match (end.valid_behind, end.witnessed.0) {
            (0, witnessed) if witnessed < due => String::new(),
            (0, witnessed) => format!(" A witness tells of records up to {witnessed}."),
            (valid, _) => format!(" Whole records behind it: {valid}."),
        };
        Verdict::Tail(format!(
            "At {}: {instead}.{behind} Nothing says that it was synchronised: an open drops it.",
            end.offset
        ))
    }
}
