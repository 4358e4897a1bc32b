//! Looking at one segment's bytes, without a [`crate::Wal`]: for tools that show what is in a file, be it whole or damaged.
//!
//! The readers are those of recovery. They take bytes that come from anywhere and answer with a value or a clause; nothing is
//! allocated by a number read from them, and nothing here reads a file. What a bad record *means*, a tail that was never
//! synchronised or corruption, needs the other segments and the trees: that is for the caller to judge.
//!
//! ```
//! use halodb_wal::inspect::{self, SegmentState};
//! # use halodb_wal::{Durability, Result, Wal, WalOptions};
//! # use std::sync::Arc;
//! # let disk = halodb_vfs::SimVfs::new();
//! # let wal = Wal::create(Arc::new(disk.clone()), "".as_ref(), WalOptions::new([7; 16], 1))?;
//! # wal.append(b"first".to_vec(), 0, Durability::Sync)?;
//! let bytes = disk.read_file("0000000001.log").expect("the first segment");
//! let SegmentState::Live(header) = inspect::segment(&bytes, 1, &[7; 16], 1) else { panic!("it is live") };
//! let mut records = inspect::records(&bytes, &header);
//! assert_eq!(records.next().expect("a record").payload, b"first");
//! # while records.next().is_some() {}
//! assert!(records.end().is_ordinary());
//! # Result::Ok(())
//! ```

use crate::record::{HEADER_LEN, NoHeader, Place, RecordHeader};
use crate::scan::{Bad, Walk, survey};
use crate::segment::{NoSegment, RECORDS_START, SEGMENT_HEADER_LEN, SegmentHeader};
use crate::{Lsn, RecordKind};
use std::ops::Range;

/// Where a field lies in what it belongs to, and its name in `docs/format`.
pub type Field = (Range<usize>, &'static str);

/// The fields of a segment's header.
pub const SEGMENT_FIELDS: [Field; 11] = [
    (0..8, "magic"),
    (8..12, "format version"),
    (12..16, "length of this header"),
    (16..24, "number of the segment"),
    (24..40, "uuid"),
    (40..48, "incarnation"),
    (48..56, "prev_last_lsn"),
    (56..64, "first_lsn"),
    (64..72, "time mark"),
    (72..80, "length of the segment"),
    (504..SEGMENT_HEADER_LEN, "checksum"),
];

/// The fields of a record's header.
pub const RECORD_FIELDS: [Field; 8] = [
    (0..4, "length of the payload"),
    (4..5, "kind"),
    (5..8, "zero"),
    (8..16, "LSN"),
    (16..24, "time"),
    (24..32, "synced"),
    (32..36, "checksum of the payload"),
    (40..HEADER_LEN, "checksum"),
];

/// What a file with a segment's name is, as its first bytes tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SegmentState {
    /// It belongs to the log.
    Live(SegmentHeader),
    /// Prepared for later: zeros in the place of the header.
    Spare,
    /// Prepared for later: it still has the header of an earlier life.
    Recycled(SegmentHeader),
    /// The file of a later segment under the name of an earlier one: two files changed places.
    Misplaced(SegmentHeader),
    /// A segment of another database, or of this one before a restore.
    Foreign(SegmentHeader),
    /// A format version that this program does not know.
    OtherVersion(u32),
    /// No header: a clause.
    Bad(&'static str),
}

/// Judges the file of segment `number` of a database by its first bytes.
pub fn segment(bytes: &[u8], number: u64, uuid: &[u8; 16], incarnation: u64) -> SegmentState {
    match SegmentHeader::decode(bytes) {
        Ok(header) if header.uuid != *uuid || header.incarnation != incarnation => SegmentState::Foreign(header),
        Ok(header) if header.number > number => SegmentState::Misplaced(header),
        Ok(header) if header.number < number => SegmentState::Recycled(header),
        Ok(header) => SegmentState::Live(header),
        Err(NoSegment::Empty) => SegmentState::Spare,
        Err(NoSegment::Short) => SegmentState::Bad("the file is shorter than a segment's header"),
        Err(NoSegment::Magic) => SegmentState::Bad("the file does not begin like a segment"),
        Err(NoSegment::Version(found)) => SegmentState::OtherVersion(found),
        Err(NoSegment::Checksum) => SegmentState::Bad("the header does not verify"),
        Err(NoSegment::Field(_)) => SegmentState::Bad("the header verifies, and a field of it makes no sense"),
    }
}

/// One record that is whole and in its order.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    /// Its place in the segment, in bytes.
    pub offset: u64,
    /// Its header, which verifies.
    pub header: RecordHeader,
    /// The caller's bytes, which verify.
    pub payload: &'a [u8],
}

/// Why the records of a segment end where they do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    /// Where the next record would be.
    pub offset: u64,
    /// The number that it would have.
    pub due: Lsn,
    /// What stands there instead, as a clause; `None`: nothing, or the witness of the last group.
    pub instead: Option<String>,
    /// Whole records that stand behind it.
    pub valid_behind: u64,
    /// Greatest LSN that any header behind it, a witness's too, states as synchronised; 0: there is none.
    pub synced: Lsn,
    /// Greatest LSN of a record that a witness behind it tells of; 0: there is none.
    pub witnessed: Lsn,
}

impl End {
    /// Nothing tells of a record behind it.
    pub fn is_ordinary(&self) -> bool {
        self.instead.is_none() && self.valid_behind == 0 && self.witnessed < self.due
    }
}

/// The records of a segment, one after another; then [`Records::end`] says why there are no more.
#[derive(Debug)]
pub struct Records<'a> {
    bytes: &'a [u8],
    place: Place,
    walk: Walk<'a>,
    bad: Option<Bad>,
}

/// The records of the segment that `header` begins, out of all its bytes. Bytes beyond the length that the header states are
/// not looked at; there may be fewer.
pub fn records<'a>(bytes: &'a [u8], header: &SegmentHeader) -> Records<'a> {
    let len = usize::try_from(header.segment_len).map_or(bytes.len(), |len| len.min(bytes.len()));
    let (bytes, place) = (&bytes[..len], Place::new(&header.uuid, header.number));
    Records { bytes, place, walk: Walk::new(bytes, place, RECORDS_START, header.first_lsn), bad: None }
}

impl<'a> Iterator for Records<'a> {
    type Item = Entry<'a>;

    fn next(&mut self) -> Option<Entry<'a>> {
        if self.bad.is_some() {
            return None;
        }
        match self.walk.step() {
            Ok(found) => Some(Entry { offset: found.offset, header: found.header, payload: found.payload }),
            Err(bad) => {
                self.bad = Some(bad);
                None
            }
        }
    }
}

impl Records<'_> {
    /// Passes over the records that are left and looks at whatever is behind them.
    pub fn end(mut self) -> End {
        while self.next().is_some() {}
        let (offset, due) = (self.walk.offset(), self.walk.due());
        let ends = [Bad::Header(NoHeader::Empty), Bad::Header(NoHeader::Short), Bad::Witness];
        let instead = self.bad.filter(|bad| !ends.contains(bad)).map(|bad| bad.clause(due));
        let behind = survey(self.bytes, self.place, offset, Lsn(due.saturating_sub(1)));
        let (synced, witnessed) = (Lsn(behind.synced), Lsn(behind.witnessed));
        End { offset, due: Lsn(due), instead, valid_behind: behind.valid, synced, witnessed }
    }
}

/// A word for a kind of record.
pub fn kind_name(kind: RecordKind) -> String {
    // The names of the variants are words in title case: `CleanClose` is "clean close".
    let mut name = String::new();
    for letter in format!("{kind:?}").chars() {
        if letter.is_uppercase() && !name.is_empty() {
            name.push(' ');
        }
        name.extend(letter.to_lowercase());
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Durability, Wal, WalOptions};
    use halodb_vfs::SimVfs;
    use proptest::prelude::*;
    use std::sync::Arc;

    const UUID: [u8; 16] = [7; 16];

    /// A log of one segment with three records, and its bytes.
    fn bytes() -> Vec<u8> {
        let disk = SimVfs::new();
        let wal = Wal::create(Arc::new(disk.clone()), "".as_ref(), WalOptions::new(UUID, 1)).unwrap();
        for payload in [&b"one"[..], b"two", b"three"] {
            wal.append(payload.to_vec(), 0, Durability::Sync).unwrap();
        }
        disk.read_file("0000000001.log").unwrap()
    }

    fn header(bytes: &[u8]) -> SegmentHeader {
        SegmentHeader::decode(bytes).unwrap()
    }

    #[test]
    fn records_come_in_order_and_the_end_is_told() {
        let bytes = bytes();
        let mut records = records(&bytes, &header(&bytes));
        let payloads: Vec<&[u8]> = records.by_ref().map(|entry| entry.payload).collect();
        assert!(payloads.ends_with(&[b"one", b"two", b"three"]), "{payloads:?}");
        let end = records.end();
        assert!(end.is_ordinary(), "{end:?}");
        assert_eq!(end.due.0, 1 + payloads.len() as u64);
    }

    #[test]
    fn damage_in_the_middle_is_named_and_what_stands_behind_it_is_counted() {
        let mut bytes = bytes();
        let header = header(&bytes);
        let second = records(&bytes, &header).find(|entry| entry.payload == b"two").unwrap();
        let (at, due) = (second.offset as usize, second.header.lsn);
        bytes[at + HEADER_LEN] ^= 1;
        let end = records(&bytes, &header).end();
        assert_eq!((end.offset, end.due, end.valid_behind), (at as u64, due, 1));
        assert!(end.instead.as_ref().is_some_and(|what| what.contains("payload")) && !end.is_ordinary(), "{end:?}");
    }

    #[test]
    fn a_group_that_vanished_is_told_of_by_its_witness() {
        let mut bytes = bytes();
        let header = header(&bytes);
        let last = records(&bytes, &header).last().unwrap();
        let (at, due) = (last.offset as usize, last.header.lsn);
        bytes[at..at + HEADER_LEN + 8].fill(0);
        let end = records(&bytes, &header).end();
        assert_eq!((end.offset, end.instead.as_deref(), end.witnessed), (at as u64, None, due));
        assert!(!end.is_ordinary());
    }

    #[test]
    fn a_file_is_judged_by_its_name_and_its_first_bytes() {
        let bytes = bytes();
        let mut damaged = bytes.clone();
        damaged[20] ^= 1;
        assert!(matches!(segment(&bytes, 1, &UUID, 1), SegmentState::Live(_)));
        assert!(matches!(segment(&bytes, 2, &UUID, 1), SegmentState::Recycled(_)));
        assert!(matches!(segment(&bytes, 1, &[8; 16], 1), SegmentState::Foreign(_)));
        assert!(matches!(segment(&bytes, 1, &UUID, 2), SegmentState::Foreign(_)));
        assert_eq!(segment(&[0; 512], 1, &UUID, 1), SegmentState::Spare);
        assert!(matches!(segment(&damaged, 1, &UUID, 1), SegmentState::Bad(_)));
        assert!(matches!(segment(&bytes[..511], 1, &UUID, 1), SegmentState::Bad(_)));
        assert!(matches!(
            segment(b"something else that is long enough".repeat(20).as_slice(), 1, &UUID, 1),
            SegmentState::Bad(_)
        ));
    }

    #[test]
    fn kinds_have_names_that_people_read() {
        assert_eq!(kind_name(RecordKind::CleanClose), "clean close");
        assert_eq!(kind_name(RecordKind::Commit), "commit");
    }

    proptest! {
        #[test]
        fn any_bytes_have_an_end(noise in proptest::collection::vec(any::<u8>(), 0..2048), at in 0usize..4096) {
            let mut bytes = bytes();
            let header = header(&bytes);
            bytes.truncate(8192);
            for (place, byte) in bytes.iter_mut().skip(at).zip(&noise) {
                *place ^= byte;
            }
            let _ = segment(&bytes, 1, &UUID, 1);
            let end = records(&bytes, &header).end();
            prop_assert!(end.offset <= bytes.len() as u64 + 512);
        }
    }
}
