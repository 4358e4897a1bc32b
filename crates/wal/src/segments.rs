//! [`Segments`]: the segments that are on the disk and hold, or held, records; [`Gap`]s between them.

use crate::Lsn;
use crate::segment::SegmentHeader;
use halodb_vfs::mutant;
use std::collections::VecDeque;

/// LSNs that no record has: those strictly between the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Gap {
    pub(crate) after: Lsn,
    pub(crate) before: Lsn,
}

#[derive(Debug)]
pub(crate) struct Segments {
    /// Headers on the disk, oldest first; never empty.
    pub(crate) live: VecDeque<SegmentHeader>,
    /// Older files that do not belong to the log, ascending.
    pub(crate) leftovers: VecDeque<u64>,
    /// What the last recycling was asked to keep.
    pub(crate) needed_from: Lsn,
    /// Gaps below the first LSN of this process, as far as headers told of them; ascending.
    gaps: Vec<Gap>,
}

impl Segments {
    pub(crate) fn new(live: Vec<SegmentHeader>, leftovers: Vec<u64>, needed_from: Lsn) -> Self {
        let gaps = live
            .iter()
            .filter(|h| h.first_lsn.0 > h.prev_last_lsn.0 + 1)
            .map(|h| Gap { after: h.prev_last_lsn, before: h.first_lsn })
            .collect();
        Self { live: live.into(), leftovers: leftovers.into(), needed_from, gaps }
    }

    /// A header was written and synchronised.
    pub(crate) fn begun(&mut self, header: SegmentHeader) {
        self.live.push_back(header);
    }

    pub(crate) fn in_gap(&self, lsn: Lsn) -> bool {
        self.gaps.iter().any(|g| g.after < lsn && lsn < g.before)
    }

    /// The oldest live segment, if every record in it is below `needed_from` and another one follows.
    pub(crate) fn oldest_unneeded(&self, needed_from: Lsn) -> Option<SegmentHeader> {
        let next = self.live.get(1)?;
        (next.prev_last_lsn < needed_from || mutant("wal.recycle-early")).then(|| self.live[0])
    }

    /// Bytes of the live segments, the newest not counted, that hold a record from `needed_from` on.
    pub(crate) fn needed_bytes(&self) -> u64 {
        let older = self.live.iter().zip(self.live.iter().skip(1));
        let needed = older.filter(|(_, next)| next.prev_last_lsn >= self.needed_from);
        // Those that no open has to read state lengths that nobody has compared with their files.
        needed.fold(0, |sum, (header, _)| sum.saturating_add(header.segment_len))
    }

    pub(crate) fn newest(&self) -> &SegmentHeader {
        self.live.back().expect("a log holds a segment")
    }

    /// The live segments that may hold records from `from` on, each with the LSN that it ends with if another follows.
    pub(crate) fn from(&self, from: Lsn) -> Vec<(SegmentHeader, Option<Lsn>)> {
        let ends = self.live.iter().skip(1).map(|h| Some(h.prev_last_lsn)).chain([None]);
        let all = self.live.iter().copied().zip(ends);
        all.filter(|(_, end)| end.is_none_or(|end| end >= from)).collect()
    }
}
