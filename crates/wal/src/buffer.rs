//! [`Buffer`]: records that have their LSN and are not yet written, and the place in the segments where each belongs.
//!
//! Everything here happens under the sequencer's lock and in memory only: a record is encoded at the very offset where
//! it will stand, so that writing is copying. When a record does not fit, the buffer moves on to the prepared next segment
//! *logically*: it notes the header; the leader of the next group writes it, after synchronising the segment before.
//!
//! A group that is going to be synchronised is made longer, with zeros up to the next block of the disk and a witness there, in
//! the same write. So the last group of the log always has a proof of what came before it, and a trace of itself, in a block of
//! which it holds no byte; a group behind it becomes the first proof that it was synced, and it has a witness as well. A
//! group that is only handed to the system needs none, unless it is written over the witness of one that is synced and that nothing
//! in a block behind it proves yet.

use crate::files::Spare;
use crate::record::{
    ALIGN, HEADER_LEN, Place, RecordHeader, RecordKind, payload_crc, record_len, records_limit, restamp, witness_offset,
};
use crate::segment::{RECORDS_START, SegmentHeader};
use crate::{Durability, Lsn};
use halodb_vfs::{File, mutant};
use std::collections::VecDeque;
use std::sync::Arc;

/// Room kept behind the last commit of each segment, so that closing never has to ask for space.
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
    /// Bytes up to the end of the open record, if it is in here.
    opening: usize,
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

    /// What is to be synchronised before the rest is written: the bytes up to the open record behind a clean-close marker, with zeros
    /// behind it, if the group reaches beyond the place of the marker's witness. Whoever finds that witness then, and nothing
    /// before it, knows that no record stands farther on which might verify one day, under a number given out again (`skim`).
    pub(crate) fn fenced(&self) -> Option<Vec<u8>> {
        let marker = self.offset + self.old as u64;
        let is_long = self.end() > witness_offset(marker) + HEADER_LEN as u64;
        if self.opening == 0 || !is_long {
            return None;
        }
        let mut first = self.bytes[..self.opening].to_vec();
        first.resize(self.bytes.len().min(self.opening + HEADER_LEN), 0);
        Some(first)
    }

    /// Offset behind the last record.
    fn end(&self) -> u64 {
        self.offset + self.bytes.len() as u64
    }

    /// Puts zeros behind the last record, where the segment has room, up to a witness that is to stay. They are no end mark, only
    /// the proof for a reader's eye that nothing follows in a segment whose free space holds old bytes.
    fn terminate(&mut self, witness: Option<u64>) {
        let end = self.end();
        let until = witness.filter(|&at| at >= end).unwrap_or(self.segment_len);
        let room = until.saturating_sub(end).min(HEADER_LEN as u64);
        self.bytes.resize(self.bytes.len() + room as usize, 0);
    }

    /// Puts zeros behind the last record, which is `last`, up to the next block, and a witness there. Returns its offset.
    fn witness(&mut self, last: Lsn, synced: Lsn) -> u64 {
        let at = witness_offset(self.end());
        let header = RecordHeader {
            payload_len: 0,
            kind: RecordKind::Witness,
            lsn: last,
            time_ms: 0,
            // A planted fault takes the group for synced that is only about to be.
            synced: if mutant("wal.witness-ahead") { last } else { synced },
            payload_crc: payload_crc(&[]),
        };
        self.bytes.resize((at - self.offset) as usize, 0);
        self.bytes.extend_from_slice(&header.encode(self.place, at));
        at
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

/// A witness on the disk, or on its way.
#[derive(Clone, Copy, Debug)]
struct Standing {
    segment: u64,
    at: u64,
    /// Nothing else, in a block behind its group, proves that group.
    alone: bool,
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
    /// The witness written last.
    witness: Option<Standing>,
    /// A marker is among the records: with a witness in another block it proves the last group for good.
    marked: bool,
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
            witness: None,
            marked: false,
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
        self.fits_here(record_len)
            || self.spares.front().is_some_and(|s| RECORDS_START + record_len + RESERVE <= records_limit(s.len))
    }

    fn fits_here(&self, record_len: u64) -> bool {
        record_len + RESERVE <= self.free()
    }

    /// Bytes left in the segment for records.
    fn free(&self) -> u64 {
        records_limit(self.at.header.segment_len).saturating_sub(self.at.offset)
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
        debug_assert!(self.at.offset <= records_limit(self.at.header.segment_len));
        self.at.last = lsn;
        self.at.next = Lsn(lsn.0 + 1);
        self.stated = self.stated.max(synced);
        if record.kind.is_of_caller() {
            self.last_commit = lsn;
        }
        self.marked |= record.kind == RecordKind::Marker;
        if record.kind == RecordKind::Open {
            let chunk = self.chunks.last_mut().expect("pushed above");
            chunk.opening = chunk.bytes.len();
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
            opening: 0,
            segment_len: self.at.header.segment_len,
            place: self.place,
        }
    }

    /// Hands everything over to a leader. `wanted` is the greatest LSN that somebody waits for to be synced.
    pub(crate) fn take(&mut self, synced: Lsn, wanted: Lsn) -> Taken {
        let wants_sync = self.sync_until.max(wanted) > synced;
        if wants_sync && self.chunks.is_empty() {
            // Everything is written, without a witness: it goes out alone.
            let chunk = self.chunk(None);
            self.chunks.push(chunk);
        }
        let mut chunks = std::mem::take(&mut self.chunks);
        if let Some(first) = chunks.iter_mut().find(|c| c.bytes.len() > c.old) {
            first.restamp(synced);
            self.stated = self.stated.max(synced);
        }
        if let Some((newest, full)) = chunks.split_last_mut() {
            full.iter_mut().for_each(|chunk| chunk.terminate(None));
            self.end_group(newest, synced, wants_sync);
        }
        Taken { chunks, end: self.at.last, wants_sync }
    }

    /// Ends the newest chunk of a group, with a witness where one is due.
    fn end_group(&mut self, newest: &mut Chunk, synced: Lsn, wants_sync: bool) {
        let before = self.witness.take().filter(|witness| witness.segment == newest.number);
        let over = before.is_some_and(|witness| witness.alone && newest.end() > witness.at);
        let marked = std::mem::take(&mut self.marked);
        let room = witness_offset(newest.end()) <= records_limit(newest.segment_len);
        if !((wants_sync || marked || over) && room) || mutant("wal.no-witness") {
            newest.terminate(before.map(|witness| witness.at));
            self.witness = before.filter(|witness| newest.end() <= witness.at);
            return;
        }
        // The segment before is synchronised before this chunk's header is written.
        let synced = synced.max(newest.begin.map_or(synced, |header| header.prev_last_lsn));
        let at = newest.witness(self.at.last, synced);
        self.witness = Some(Standing { segment: newest.number, at, alone: wants_sync || marked });
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
        let mut b = buffer(8192);
        b.push(mark(Durability::Sync), Lsn(0));
        b.push(mark(Durability::Sync), Lsn(0));
        let taken = b.take(Lsn(7), Lsn(0));
        let header =
            |at: u64| RecordHeader::decode(&taken.chunks[0].bytes[at as usize - 512..], Place::new(&[1; 16], 1), at);
        assert_eq!(header(512).unwrap().synced, Lsn(7));
        assert_eq!(header(560).unwrap().synced, Lsn(0));
    }

    #[test]
    fn a_write_ends_with_zeros_where_the_segment_has_room() {
        let check = |segment_len, zeros| {
            let mut b = buffer(segment_len);
            b.push(mark(Durability::Buffered), Lsn(0));
            assert_eq!(b.take(Lsn(0), Lsn(0)).chunks[0].bytes.len(), HEADER_LEN + zeros);
        };
        check(8192, 48);
        check(4096 + 48, 48);
    }

    /// Offset, LSN and `synced` of the witness with which the newest chunk ends.
    fn witness(taken: &Taken) -> Option<(u64, u64, u64)> {
        let chunk = taken.chunks.last()?;
        let at = chunk.end() - HEADER_LEN as u64;
        let header = RecordHeader::decode(&chunk.bytes[(at - chunk.offset) as usize..], chunk.place, at).ok()?;
        (header.kind == RecordKind::Witness).then_some((at, header.lsn.0, header.synced.0))
    }

    #[test]
    fn a_group_to_be_synced_ends_with_a_witness_in_the_next_block() {
        let mut b = buffer(16 << 10);
        b.push(mark(Durability::Sync), Lsn(0));
        let taken = b.take(Lsn(0), Lsn(0));
        assert_eq!(witness(&taken), Some((4096, 1, 0)));
        assert_eq!(taken.chunks[0].bytes[HEADER_LEN..4096 - 512], [0; 4096 - 512 - HEADER_LEN]);
        for _ in 2..=(4096 - 512) / 48 + 1 {
            b.push(mark(Durability::Sync), Lsn(1));
        }
        assert_eq!(witness(&b.take(Lsn(1), Lsn(0))), Some((8192, 75, 1)));
    }

    #[test]
    fn what_was_written_already_gets_a_witness_when_somebody_wants_it_synced() {
        let mut b = buffer(8192);
        b.push(mark(Durability::Memory), Lsn(0));
        assert_eq!(witness(&b.take(Lsn(0), Lsn(0))), None);
        let taken = b.take(Lsn(0), Lsn(1));
        assert_eq!((taken.chunks.len(), witness(&taken)), (1, Some((4096, 1, 0))));
        assert!(b.take(Lsn(1), Lsn(1)).chunks.is_empty());
    }

    #[test]
    fn a_group_that_is_not_synced_replaces_the_witness_it_is_written_over_once() {
        let mut b = buffer(64 << 10);
        let mut group = |level, bytes: usize, synced| {
            let payload = vec![1; bytes];
            let record = NewRecord { kind: RecordKind::Commit, payload: &payload, crc: 0, time_ms: 0, level };
            b.push(record, Lsn(synced));
            let taken = b.take(Lsn(synced), Lsn(0));
            (witness(&taken), taken.chunks[0].end())
        };
        assert_eq!(group(Durability::Sync, 0, 0).0, Some((4096, 1, 0)));
        // Its zeros end where the witness stands.
        assert_eq!(group(Durability::Buffered, 4096 - 560 - 48 - 8, 1), (None, 4096));
        assert_eq!(group(Durability::Buffered, 4096, 1).0, Some((12288, 3, 1)));
        assert_eq!(group(Durability::Buffered, 4096, 1).0, None);
        assert_eq!(group(Durability::Buffered, 4096, 1).0, None);
    }

    #[test]
    fn a_marker_comes_with_a_witness_of_what_it_marks() {
        let mut b = buffer(8192);
        b.push(mark(Durability::Sync), Lsn(0));
        b.take(Lsn(0), Lsn(0));
        b.push(NewRecord::mark(RecordKind::Marker, 0, Durability::Memory), Lsn(1));
        assert_eq!(witness(&b.take(Lsn(1), Lsn(0))), Some((4096, 2, 1)));
    }

    #[test]
    fn room_is_kept_for_the_close_marker_and_a_block_for_the_witness() {
        for segment_len in [4096 + 48, 8192] {
            let b = buffer(segment_len);
            assert!(b.fits(4096 - 512 - 48));
            assert!(!b.fits(4096 - 512 - 40));
        }
        assert!(!buffer(4096).fits(48));
    }

    #[test]
    fn settling_stops_at_the_first_record_whose_level_is_not_reached() {
        let mut b = buffer(8192);
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
