//! [`Buffer`]: records that have their LSN and are not yet written, and the place in the segments where each belongs.
//!
//! Everything here happens under the sequencer's lock and in memory only: a record is encoded at the very offset where
//! it will stand, so that writing is copying. When a record does not fit, the buffer moves on to the prepared next segment
//! *logically*: it notes the header; the leader of the next group writes it, after synchronising the segment before.

use crate::files::Spare;
use crate::record::{ALIGN, HEADER_LEN, Place, RecordHeader, RecordKind, record_len, restamp};
use crate::segment::{RECORDS_START, SegmentHeader};
use crate::{Durability, Lsn};
use halodb_vfs::{File, mutant};
use std::collections::VecDeque;
use std::sync::Arc;

/// Room kept at the end of each segment, so that closing never has to ask for space.
const RESERVE: u64 = HEADER_LEN as u64;

/// Bytes that belong at one place of one segment.
#[derive(Debug)]
pub(crate) struct Chunk {
    /// The segment begins with this chunk: its header is to be written first.
    pub(crate) begin: Option<SegmentHeader>,
    pub(crate) file: Arc<dyn File>,
    pub(crate) number: u64,
    pub(crate) offset: u64,
    pub(crate) bytes: Vec<u8>,
    /// Bytes in front of the first record that is new: records of the previous life, written again.
    old: usize,
    segment_len: u64,
    place: Place,
}

impl Chunk {
    /// Raises the first record's proof of what is synced, so that every group proves the one before it.
    fn restamp(&mut self, synced: Lsn) {
        if self.bytes.len() > self.old {
            restamp(&mut self.bytes[self.old..], self.place, self.offset + self.old as u64, synced);
        }
    }

    /// Puts zeros behind the last record, where the segment has room. They are no end mark, only the proof for a reader's eye that
    /// nothing follows in a segment whose free space holds old bytes.
    fn terminate(&mut self) {
        let room = self.segment_len - self.offset - self.bytes.len() as u64;
        self.bytes.resize(self.bytes.len() + room.min(HEADER_LEN as u64) as usize, 0);
    }
}

/// Where the next record goes.
#[derive(Debug)]
pub(crate) struct Position {
    pub(crate) file: Arc<dyn File>,
    pub(crate) header: SegmentHeader,
    pub(crate) offset: u64,
    /// LSN of the next record.
    pub(crate) next: Lsn,
    /// Greatest LSN given out before.
    pub(crate) last: Lsn,
}

/// What a leader takes away to write.
#[derive(Debug)]
pub(crate) struct Taken {
    pub(crate) chunks: Vec<Chunk>,
    /// Greatest LSN given out: after the chunks are written, everything up to it is.
    pub(crate) end: Lsn,
    /// Whether a record up to `end` asked for `Sync` and has not got it.
    pub(crate) wants_sync: bool,
}

#[derive(Debug)]
pub(crate) struct Buffer {
    pub(crate) at: Position,
    place: Place,
    pub(crate) spares: VecDeque<Spare>,
    chunks: Vec<Chunk>,
    /// Records that are not settled, in runs of one level: (last LSN of the run, level).
    queue: VecDeque<(Lsn, Durability)>,
    /// Greatest LSN appended at level `Sync`.
    sync_until: Lsn,
    /// Greatest `synced` that any record states.
    stated: Lsn,
    last_commit: Lsn,
    /// `last_commit` when `idle` last looked.
    pub(crate) seen_by_idle: Lsn,
    pub(crate) closed: bool,
    pub(crate) poisoned: bool,
    /// An emptied vector to fill next.
    pub(crate) emptied: Vec<u8>,
}

impl Buffer {
    pub(crate) fn new(at: Position, spares: VecDeque<Spare>) -> Self {
        Self {
            place: Place::new(&at.header.uuid, at.header.number),
            last_commit: at.last,
            seen_by_idle: at.last,
            stated: at.last,
            at,
            spares,
            chunks: Vec::new(),
            queue: VecDeque::new(),
            sync_until: Lsn(0),
            closed: false,
            poisoned: false,
            emptied: Vec::new(),
        }
    }

    /// Puts `old` in front of everything: bytes that are in the file already, just before the next record, and are to be
    /// written again with it.
    pub(crate) fn write_again(&mut self, old: Vec<u8>) {
        assert!(self.chunks.is_empty(), "only the first chunk can hold bytes of the previous life");
        let mut chunk = self.chunk(None);
        chunk.offset = self.at.offset - old.len() as u64;
        chunk.old = old.len();
        chunk.bytes = old;
        self.chunks.push(chunk);
    }

    /// Whether a record of this length finds room, here or in the prepared next segment.
    pub(crate) fn fits(&self, record_len: u64) -> bool {
        self.fits_here(record_len) || self.spares.front().is_some_and(|s| RECORDS_START + record_len + RESERVE <= s.len)
    }

    fn fits_here(&self, record_len: u64) -> bool {
        record_len + RESERVE <= self.free()
    }

    /// Bytes left in the segment.
    fn free(&self) -> u64 {
        self.at.header.segment_len - self.at.offset
    }

    /// Whether there is room, and no reason to prepare more: half of the segment is left, or the next one is ready.
    pub(crate) fn has_room(&self, record_len: u64) -> bool {
        self.fits(record_len) && (!self.spares.is_empty() || self.free() >= self.at.header.segment_len / 2)
    }

    /// Bytes of the segments that are begun here, but not yet on the disk, the last one not counted.
    pub(crate) fn pending_segment_bytes(&self) -> u64 {
        let begun = self.chunks.iter().filter_map(|c| c.begin.as_ref());
        begun.filter(|h| h.number < self.at.header.number).map(|h| h.segment_len).sum()
    }

    /// Encodes a record at its place. The caller has checked that it fits.
    pub(crate) fn push(&mut self, record: NewRecord<'_>, synced: Lsn) -> Lsn {
        let len = record_len(record.payload.len() as u64);
        let here = match record.kind {
            RecordKind::CleanClose => len <= self.free(),
            _ => self.fits_here(len),
        };
        if !here {
            self.rotate();
        }
        if self.chunks.last().is_none_or(|c| c.number != self.at.header.number) {
            let chunk = self.chunk(None);
            self.chunks.push(chunk);
        }
        let lsn = self.at.next;
        let header = RecordHeader {
            payload_len: record.payload.len() as u32,
            kind: record.kind,
            lsn,
            time_ms: record.time_ms,
            // A planted fault claims proof for what is only written.
            synced: if mutant("wal.overstate-synced") { self.at.last } else { synced },
            payload_crc: record.crc,
        };
        let bytes = &mut self.chunks.last_mut().expect("pushed above").bytes;
        bytes.extend_from_slice(&header.encode(self.place, self.at.offset));
        bytes.extend_from_slice(record.payload);
        bytes.resize(bytes.len().next_multiple_of(ALIGN as usize), 0);
        self.at.offset += len;
        debug_assert!(self.at.offset <= self.at.header.segment_len);
        self.at.last = lsn;
        self.at.next = Lsn(lsn.0 + 1);
        self.stated = self.stated.max(synced);
        if record.kind == RecordKind::Commit {
            self.last_commit = lsn;
        }
        self.enqueue(lsn, record.level);
        lsn
    }

    fn enqueue(&mut self, lsn: Lsn, level: Durability) {
        if level == Durability::Sync {
            self.sync_until = lsn;
        }
        match self.queue.back_mut() {
            Some((end, l)) if *l == level => *end = lsn,
            _ => self.queue.push_back((lsn, level)),
        }
    }

    fn rotate(&mut self) {
        let spare = self.spares.pop_front().expect("the caller checked that the record fits");
        assert_eq!(spare.number, self.at.header.number + 1, "spare segments are numbered on from the current one");
        self.at.header = SegmentHeader {
            number: spare.number,
            prev_last_lsn: self.at.last,
            first_lsn: self.at.next,
            segment_len: spare.len,
            ..self.at.header
        };
        self.at.file = spare.file;
        self.at.offset = RECORDS_START;
        self.place = Place::new(&self.at.header.uuid, spare.number);
        let chunk = self.chunk(Some(self.at.header));
        self.chunks.push(chunk);
    }

    fn chunk(&mut self, begin: Option<SegmentHeader>) -> Chunk {
        Chunk {
            begin,
            file: self.at.file.clone(),
            number: self.at.header.number,
            offset: self.at.offset,
            bytes: std::mem::take(&mut self.emptied),
            old: 0,
            segment_len: self.at.header.segment_len,
            place: self.place,
        }
    }

    /// Hands everything over to a leader.
    pub(crate) fn take(&mut self, synced: Lsn) -> Taken {
        let mut chunks = std::mem::take(&mut self.chunks);
        if let Some(first) = chunks.iter_mut().find(|c| c.bytes.len() > c.old) {
            first.restamp(synced);
            self.stated = self.stated.max(synced);
        }
        chunks.iter_mut().for_each(Chunk::terminate);
        Taken { chunks, end: self.at.last, wants_sync: self.sync_until > synced }
    }

    /// How far settling has come, if anything changed: in LSN order, never past a record whose level is not reached.
    pub(crate) fn settle(&mut self, reached: impl Fn(Durability) -> Lsn) -> Option<Lsn> {
        let mut settled = None;
        while let Some(&(end, level)) = self.queue.front() {
            let reached = reached(level);
            if reached < end {
                // The beginning of a run may be through.
                return settled.max(Some(reached));
            }
            settled = Some(end);
            self.queue.pop_front();
        }
        settled
    }

    /// Whether something is synced that no record states, and a commit among it.
    pub(crate) fn wants_marker(&self, synced: Lsn) -> bool {
        synced > self.stated && self.last_commit > self.stated
    }

    pub(crate) fn last_commit(&self) -> Lsn {
        self.last_commit
    }
}

/// A record about to get its LSN.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NewRecord<'a> {
    pub(crate) kind: RecordKind,
    pub(crate) payload: &'a [u8],
    pub(crate) crc: u32,
    pub(crate) time_ms: u64,
    pub(crate) level: Durability,
}

impl NewRecord<'_> {
    /// A record of the log itself: no payload.
    pub(crate) fn mark(kind: RecordKind, time_ms: u64, level: Durability) -> Self {
        Self { kind, payload: &[], crc: crate::record::payload_crc(&[]), time_ms, level }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use halodb_vfs::{OpenMode, SimVfs, Vfs};

    fn buffer(segment_len: u64) -> Buffer {
        let file = SimVfs::new().open("segment".as_ref(), OpenMode::Create).unwrap();
        let header = SegmentHeader {
            number: 1,
            uuid: [1; 16],
            incarnation: 1,
            prev_last_lsn: Lsn(0),
            first_lsn: Lsn(1),
            time_mark_ms: 0,
            segment_len,
        };
        Buffer::new(Position { file, header, offset: RECORDS_START, next: Lsn(1), last: Lsn(0) }, VecDeque::new())
    }

    fn mark(level: Durability) -> NewRecord<'static> {
        NewRecord::mark(RecordKind::Commit, 0, level)
    }

    #[test]
    fn the_first_record_of_a_group_states_what_is_synced_when_it_is_written() {
        // Both enter the buffer while an earlier group still syncs.
        let mut b = buffer(4096);
        b.push(mark(Durability::Sync), Lsn(0));
        b.push(mark(Durability::Sync), Lsn(0));
        let taken = b.take(Lsn(7));
        let header =
            |at: u64| RecordHeader::decode(&taken.chunks[0].bytes[at as usize - 512..], Place::new(&[1; 16], 1), at);
        assert_eq!(header(512).unwrap().synced, Lsn(7));
        assert_eq!(header(560).unwrap().synced, Lsn(0));
    }

    #[test]
    fn a_write_ends_with_zeros_where_the_segment_has_room() {
        let check = |segment_len, zeros| {
            let mut b = buffer(segment_len);
            b.push(mark(Durability::Sync), Lsn(0));
            assert_eq!(b.take(Lsn(0)).chunks[0].bytes.len(), HEADER_LEN + zeros);
        };
        check(4096, 48);
        check(512 + 48 + 48, 48);
    }

    #[test]
    fn room_is_kept_for_the_close_marker() {
        let b = buffer(512 + 48 + 48 + 8);
        assert!(b.fits(48));
        assert!(b.fits(56));
        assert!(!b.fits(64));
    }

    #[test]
    fn settling_stops_at_the_first_record_whose_level_is_not_reached() {
        let mut b = buffer(4096);
        for level in [Durability::Memory, Durability::Sync, Durability::Sync, Durability::Buffered] {
            b.push(mark(level), Lsn(0));
        }
        let mut settle = |written, synced| {
            b.settle(|level| match level {
                Durability::Memory => Lsn(4),
                Durability::Buffered => Lsn(written),
                Durability::Sync => Lsn(synced),
            })
        };
        assert_eq!(settle(4, 0), Some(Lsn(1)));
        assert_eq!(settle(4, 2), Some(Lsn(2)));
        assert_eq!(settle(3, 3), Some(Lsn(3)));
        assert_eq!(settle(4, 3), Some(Lsn(4)));
        assert_eq!(settle(4, 3), None);
    }
}
