//! [`Recovery`]: what of the log survives, found by reading only.
//!
//! P, the greatest LSN *proven* synced, is the maximum of `synced` in every valid record of the newest live segment (the
//! bytes behind its first bad record are scanned at every 8), of `prev_last_lsn` in live headers, and of what the caller
//! knows. A bad or missing record at or below P is corruption: synchronised bytes do not vanish. Above P it begins the
//! tail, which is dropped whole even if valid records follow: a group that was never synchronised reaches the disk
//! in any order, and half a group must not be replayed.
//!
//! Behind each synchronised group, in another block of the disk, stands a witness. It states what was synced before the group, and
//! up to where the group goes: if that is farther than the log goes, the last group is gone, and reported as dropped. So no
//! damage to a single block takes synchronised records away in silence.
//!
//! Earlier segments were synchronised whole before the header of their follower was written, so everything in them up
//! to that header's `prev_last_lsn` is proven, and bytes after it are never read.
//!
//! Where the log was closed in order, little of it is read (`skim`), and nothing of what was prepared for later: see [`End::has_room`].
//!
//! Nothing is written here; `open` does that. One segment is in memory at a time, and its records are handed over in
//! groups, so that whoever replays them can do so side by side, and say how far it is.

use crate::chain::{self, Chain};
use crate::record::{BLOCK, NoHeader, Place, Record, RecordKind};
use crate::scan::{Bad, Found, Walk, survey, traces};
use crate::segment::{self, RECORDS_START, SegmentHeader};
use crate::{Error, Lsn, Wal, WalOptions, files, skim};
use halodb_vfs::{Vfs, mutant};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What the trees above already know, as far as the log needs it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Known {
    /// Records at or below this LSN are not needed any more: min(`applied`) over all partitions.
    pub applied_min: Lsn,
    /// No surviving log may end below this: max(`applied`).
    pub applied_max: Lsn,
    /// Greatest LSN that some meta states as synced.
    pub synced: Lsn,
}

/// An unproven tail that recovery drops whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DroppedTail {
    /// First LSN that is gone.
    pub from: Lsn,
    /// Segment file.
    pub path: PathBuf,
    /// Offset of the first bad or missing record: all of it may be gone, with a witness left that it was written.
    pub offset: u64,
    /// Valid records after it that go with it.
    pub valid_after: u64,
}

/// Records that follow each other in the log, of one segment.
#[derive(Clone, Copy, Debug)]
pub struct Group<'a> {
    /// In LSN order; none in the last group.
    pub records: &'a [Record<'a>],
    /// Bytes of the log that were read so far.
    pub read_bytes: u64,
    /// Bytes that there are to read. The newest segment counts whole; at the end of its records the rest of it is read.
    pub total_bytes: u64,
}

/// Payloads of a group have so many bytes at most, unless it has one record only.
const GROUP_BYTES: usize = 4 << 20;

/// The result of reading a log without writing: what survives, what was dropped.
#[derive(Debug)]
pub struct Recovery {
    pub(crate) vfs: Arc<dyn Vfs>,
    pub(crate) dir: PathBuf,
    pub(crate) options: WalOptions,
    pub(crate) chain: Chain,
    pub(crate) last: Lsn,
    pub(crate) proven: Lsn,
    pub(crate) clean: bool,
    pub(crate) dropped: Option<DroppedTail>,
    pub(crate) replayed: u64,
    /// Engine time of the last surviving record that was read.
    pub(crate) last_time_ms: u64,
    /// Surviving records of the newest segment above P, byte for byte, and where they start.
    pub(crate) unproven: (u64, Vec<u8>),
}

impl Recovery {
    /// Greatest LSN of a surviving record (0: none ever).
    pub fn last(&self) -> Lsn {
        self.last
    }

    /// Greatest LSN that is proven synced; never above [`Recovery::last`].
    pub fn proven(&self) -> Lsn {
        self.proven
    }

    /// Whether the log ends with a clean-close marker.
    pub fn clean(&self) -> bool {
        self.clean
    }

    /// Time of the last surviving record: after a clean close, that of its marker.
    pub fn last_time_ms(&self) -> u64 {
        self.last_time_ms
    }

    /// What is dropped, if anything.
    pub fn dropped(&self) -> Option<&DroppedTail> {
        self.dropped.as_ref()
    }

    /// Records handed to the callback.
    pub fn replayed(&self) -> u64 {
        self.replayed
    }
}

impl Wal {
    /// Reads the log, calls `each` for every surviving record above `known.applied_min` in LSN order, writes nothing.
    /// `E` is the caller's error: an error from `each` stops and is returned.
    ///
    /// Markers, open and clean-close records are handed over too: they have LSNs like any other.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if a record at or below the greatest LSN proven synced, or a segment that is needed, is bad or missing;
    /// [`Error::Mismatch`] and [`Error::Version`] for foreign or newer segments; [`Error::Io`] if the system refuses.
    pub fn recover<E: From<Error>>(
        vfs: Arc<dyn Vfs>,
        dir: &Path,
        options: WalOptions,
        known: Known,
        each: &mut dyn FnMut(Record<'_>) -> std::result::Result<(), E>,
    ) -> std::result::Result<Recovery, E> {
        Self::recover_groups(vfs, dir, options, known, &mut |group| group.records.iter().try_for_each(|&r| each(r)))
    }

    /// As [`Wal::recover`], with the records in groups of up to 4 MiB; a larger record is a group of its own. The last group
    /// is empty: everything was read.
    ///
    /// # Errors
    /// As [`Wal::recover`].
    pub fn recover_groups<E: From<Error>>(
        vfs: Arc<dyn Vfs>,
        dir: &Path,
        options: WalOptions,
        known: Known,
        each: &mut dyn FnMut(Group<'_>) -> std::result::Result<(), E>,
    ) -> std::result::Result<Recovery, E> {
        let options = options.checked()?;
        let chain = chain::read(&*vfs, dir, &options, known.applied_min)?;
        let needed = &chain.live[chain.needed..];
        // Lengths that only headers state: none has been compared with its file yet.
        let total_bytes = needed.iter().fold(0, |sum: u64, segment| sum.saturating_add(segment.segment_len));
        let mut replay = Replay { above: known.applied_min, count: 0, time_ms: 0, before: 0, total_bytes, each };
        let mut bytes = Vec::new();
        for (segment, next) in needed.iter().zip(&needed[1..]) {
            read_whole(&*vfs, dir, segment, next.prev_last_lsn, &mut replay, &mut bytes)?;
            replay.before = replay.before.saturating_add(segment.segment_len);
        }
        let newest = *chain.newest();
        let ending = match skim::skim(&*vfs, &segment::path_of(dir, newest.number), &newest, known)? {
            Some(ending) if !chain.half_begun => ending,
            _ => read_newest(&*vfs, dir, &options, &chain, known, bytes)?,
        };
        let mut group = Pending::default();
        for found in ending.records(&newest) {
            replay.take(&mut group, &found)?;
        }
        let Ending { end, base, .. } = &ending;
        replay.hand_over(&mut group, end.offset)?;
        replay.hand_over(&mut group, newest.segment_len)?;
        let (replayed, last_time_ms) = (replay.count, replay.time_ms);
        let unproven = &ending.bytes[(end.unproven - base) as usize..(end.offset - base) as usize];
        let unproven = (end.unproven, unproven.to_vec());
        let Ending { end, .. } = ending;
        Ok(Recovery {
            vfs,
            dir: dir.to_owned(),
            options,
            chain,
            last: end.last,
            proven: end.proven,
            clean: end.clean,
            dropped: end.dropped,
            replayed,
            last_time_ms,
            unproven,
        })
    }
}

struct Replay<'a, E> {
    above: Lsn,
    count: u64,
    time_ms: u64,
    /// Bytes of the segments before the one at hand.
    before: u64,
    total_bytes: u64,
    each: &'a mut dyn FnMut(Group<'_>) -> std::result::Result<(), E>,
}

/// Records of the segment at hand that are to be handed over.
#[derive(Default)]
struct Pending<'s> {
    records: Vec<Record<'s>>,
    payload_bytes: usize,
}

impl<E> Replay<'_, E> {
    /// Takes a record, and hands those before it over if that makes too many.
    fn take<'s>(&mut self, group: &mut Pending<'s>, found: &Found<'s>) -> std::result::Result<(), E> {
        self.time_ms = found.header.time_ms;
        if found.header.lsn > self.above {
            if !group.records.is_empty() && group.payload_bytes + found.payload.len() > GROUP_BYTES {
                self.hand_over(group, found.offset)?;
            }
            self.count += 1;
            group.payload_bytes += found.payload.len();
            group.records.push(found.record());
        }
        Ok(())
    }

    /// Hands over what was taken; the segment is read up to `offset`.
    fn hand_over(&mut self, group: &mut Pending<'_>, offset: u64) -> std::result::Result<(), E> {
        let read_bytes = self.before.saturating_add(offset);
        (self.each)(Group { records: &group.records, read_bytes, total_bytes: self.total_bytes })?;
        group.records.clear();
        group.payload_bytes = 0;
        Ok(())
    }
}

/// Replays a segment that has a live follower: all of it is proven, up to `last`. It is read into `bytes`.
fn read_whole<E: From<Error>>(
    vfs: &dyn Vfs,
    dir: &Path,
    segment: &SegmentHeader,
    last: Lsn,
    replay: &mut Replay<'_, E>,
    bytes: &mut Vec<u8>,
) -> std::result::Result<(), E> {
    if last < segment.first_lsn {
        return Ok(());
    }
    let path = segment::path_of(dir, segment.number);
    files::read_segment_into(vfs, &path, segment, bytes)?;
    let mut walk = Walk::new(bytes, place(segment), RECORDS_START, segment.first_lsn);
    let mut group = Pending::default();
    while walk.due() <= last.0 {
        let (offset, due) = (walk.offset(), walk.due());
        let found = walk.step().map_err(|bad| Error::corrupt(&path, offset, bad.clause(due)))?;
        replay.take(&mut group, &found)?;
    }
    replay.hand_over(&mut group, segment.segment_len)
}

pub(crate) fn place(segment: &SegmentHeader) -> Place {
    Place::new(&segment.uuid, segment.number)
}

/// Reads the newest segment whole, and those prepared for later unless nothing can have been written there.
pub(crate) fn read_newest(
    vfs: &dyn Vfs,
    dir: &Path,
    options: &WalOptions,
    chain: &Chain,
    known: Known,
    mut bytes: Vec<u8>,
) -> crate::Result<Ending> {
    let newest = chain.newest();
    let path = segment::path_of(dir, newest.number);
    files::read_segment_into(vfs, &path, newest, &mut bytes)?;
    let judged = judge(newest, &path, &bytes, known);
    if !judged.as_ref().is_ok_and(|end| end.clean && end.has_room(newest)) || chain.half_begun {
        chain.survey_spares(vfs, dir, options)?;
    }
    let mut end = judged?;
    if chain.half_begun {
        end.clean = false;
        end.dropped.get_or_insert_with(|| DroppedTail {
            from: Lsn(end.last.0.saturating_add(1)),
            path: segment::path_of(dir, newest.number + 1),
            offset: 0,
            valid_after: 0,
        });
    }
    Ok(Ending { end, base: 0, start: RECORDS_START, due: newest.first_lsn, bytes })
}

/// Where the newest segment ends, and why.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct End {
    pub(crate) last: Lsn,
    pub(crate) proven: Lsn,
    pub(crate) clean: bool,
    pub(crate) dropped: Option<DroppedTail>,
    /// Offset behind the last surviving record.
    pub(crate) offset: u64,
    /// Offset of the first surviving record above P; `offset` if there is none.
    pub(crate) unproven: u64,
}

/// The end of the newest segment, with as much of the segment as is still needed.
#[derive(Debug)]
pub(crate) struct Ending {
    pub(crate) end: End,
    /// Where in the segment `bytes` begin.
    pub(crate) base: u64,
    /// Where the first record in `bytes` begins, and its number.
    pub(crate) start: u64,
    pub(crate) due: Lsn,
    pub(crate) bytes: Vec<u8>,
}

impl Ending {
    fn records<'a>(&'a self, segment: &SegmentHeader) -> impl Iterator<Item = Found<'a>> + use<'a> {
        let bytes = &self.bytes[..(self.end.offset - self.base) as usize];
        let mut walk = Walk::part(bytes, self.base, place(segment), self.start, self.due);
        std::iter::from_fn(move || walk.step().ok())
    }
}

/// Whoever opens a log that was closed in order appends an open record, if there is so much room.
const ROOM_BYTES: u64 = 4 * BLOCK;

impl End {
    /// Whether nothing can have been written to a later segment after an orderly end: that is the last thing in this one, and whoever
    /// opened the log after it would have left an open record here, which is synchronised before the next segment is begun.
    /// That the record and the next segment's header are gone both takes damage to two blocks.
    pub(crate) fn has_room(&self, segment: &SegmentHeader) -> bool {
        self.offset + ROOM_BYTES <= segment.segment_len
    }
}

/// Tells the tail of the newest segment from corruption.
fn judge(segment: &SegmentHeader, path: &Path, bytes: &[u8], known: Known) -> crate::Result<End> {
    let mut walk = Walk::new(bytes, place(segment), RECORDS_START, segment.first_lsn);
    let mut proven = segment.prev_last_lsn.max(known.synced);
    let mut last = segment.prev_last_lsn;
    let mut clean = false;
    let bad = loop {
        match walk.step() {
            Ok(found) => {
                proven = proven.max(found.header.synced);
                last = found.header.lsn;
                clean = found.header.kind == RecordKind::CleanClose;
            }
            Err(bad) => break bad,
        }
    };
    let (offset, due) = (walk.offset(), walk.due());
    if let Bad::Header(NoHeader::Kind(_)) = bad {
        // Not torn: somebody wrote it, and whoever cannot read it must not drop it.
        return Err(Error::corrupt(path, offset, bad.clause(due)));
    }
    // A planted fault does not look for proofs behind the first bad record.
    let from = if mutant("wal.no-survey") { u64::MAX } else { offset };
    let behind = survey(bytes, place(segment), from, last);
    proven = proven.max(Lsn(behind.synced));
    if proven > last && !mutant("wal.rot-is-tail") {
        return Err(Error::corrupt(path, offset, format!("{}, and {proven} is proven synced", bad.clause(due))));
    }
    if known.applied_min.max(known.applied_max) > last {
        let what = format!("the log ends with record {last}, but {} was applied", known.applied_max);
        return Err(Error::corrupt(path, offset, what));
    }
    let traces = bad != Bad::Witness && traces(bytes, offset);
    let dropped = (traces || behind.any || behind.witnessed > last.0).then(|| DroppedTail {
        from: Lsn(due),
        path: path.to_owned(),
        offset,
        valid_after: behind.valid,
    });
    let mut end = End { last, proven, clean: clean && dropped.is_none(), dropped, offset, unproven: offset };
    let mut walk = Walk::new(&bytes[..offset as usize], place(segment), RECORDS_START, segment.first_lsn);
    if let Some(first) = std::iter::from_fn(|| walk.step().ok()).find(|found| found.header.lsn > proven) {
        end.unproven = first.offset;
    }
    Ok(end)
}
