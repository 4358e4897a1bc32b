//! [`RecordHeader`], [`Payload`], [`Record`]: one record as it stands in a segment.
//!
//! A record starts on an 8-byte boundary. Everything is little-endian.
//!
//! | offset | bytes | field |
//! |---:|---:|---|
//! | 0 | 4 | length of the payload |
//! | 4 | 1 | kind |
//! | 5 | 3 | zero |
//! | 8 | 8 | LSN |
//! | 16 | 8 | time: engine milliseconds since the epoch |
//! | 24 | 8 | synced: greatest LSN known to be synchronised when this record was written |
//! | 32 | 4 | CRC-32 of the payload |
//! | 36 | 4 | zero |
//! | 40 | 8 | XXH3-64 of bytes 0..40, seeded with uuid, segment number and offset |
//! | 48 | n | payload, then zeros up to a multiple of 8 |
//!
//! The seed makes a header valid in one place of one file only: a copy of log bytes inside a user's payload, and the old
//! records of a recycled segment, never verify. Forty-eight zeros mean "no record here", never "the end of the log".
//!
//! A *witness* is a header alone, at a multiple of 4096 ([`witness_offset`]). It is no record and takes no place among them: the
//! next group is written over it. Its LSN is that of the last record in front of it.
//!
//! This file knows nothing of files, order or continuity.

use crate::Lsn;
use halodb_vfs::mutant;
use std::borrow::Cow;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Bytes of a record's header.
pub const HEADER_LEN: usize = 48;
/// Records start at multiples of this.
pub(crate) const ALIGN: u64 = 8;
/// What devices and file systems lose or mix up as one piece: a witness stands in another one than what it tells of.
pub(crate) const BLOCK: u64 = 4096;
/// Greatest payload: what the length field can say, less room for padding.
pub const MAX_PAYLOAD_BYTES: usize = (u32::MAX - 63) as usize;

const AT_LEN: usize = 0;
const AT_KIND: usize = 4;
const AT_ZERO: usize = 5;
const AT_LSN: usize = 8;
const AT_TIME: usize = 16;
const AT_SYNCED: usize = 24;
const AT_CRC: usize = 32;
const AT_ZERO_2: usize = 36;
const AT_CHECKSUM: usize = 40;
const _: () = assert!(
    AT_KIND == AT_LEN + 4
        && AT_ZERO == AT_KIND + 1
        && AT_LSN == AT_ZERO + 3
        && AT_TIME == AT_LSN + 8
        && AT_SYNCED == AT_TIME + 8
        && AT_CRC == AT_SYNCED + 8
        && AT_ZERO_2 == AT_CRC + 4
        && AT_CHECKSUM == AT_ZERO_2 + 4
        && HEADER_LEN == AT_CHECKSUM + 8
        && HEADER_LEN.is_multiple_of(ALIGN as usize)
);

/// Kinds of records. Numbers are on disk: never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
#[non_exhaustive]
pub enum RecordKind {
    /// A payload of the caller.
    Commit = 1,
    /// Nothing but the synced LSN: written when no commit came for an interval.
    Marker = 2,
    /// The log was closed in order; everything before is synced.
    CleanClose = 3,
    /// First record after a clean close.
    Open = 4,
    /// A payload of the caller that stands for nothing yet: a piece of something that a later record completes.
    Part = 5,
    /// A payload of the caller that completes earlier parts.
    PartCommit = 6,
    // 7 and 8 are reserved.
    /// No record: tells, from the next block on, up to which LSN the group in front of it goes. Never handed to a callback.
    Witness = 9,
}

impl RecordKind {
    /// Whether it holds a payload of the caller.
    pub fn is_of_caller(self) -> bool {
        matches!(self, RecordKind::Commit | RecordKind::Part | RecordKind::PartCommit)
    }

    fn from_number(number: u8) -> Option<Self> {
        Some(match number {
            1 => RecordKind::Commit,
            2 => RecordKind::Marker,
            3 => RecordKind::CleanClose,
            4 => RecordKind::Open,
            5 => RecordKind::Part,
            6 => RecordKind::PartCommit,
            9 => RecordKind::Witness,
            _ => return None,
        })
    }
}

/// A record as recovery and readers see it.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// Its number.
    pub lsn: Lsn,
    /// Its kind.
    pub kind: RecordKind,
    /// Engine time of the commit in milliseconds since the epoch.
    pub time_ms: u64,
    /// The caller's bytes.
    pub payload: &'a [u8],
}

/// The segment in which a header stands: together with the offset, what its checksum is bound to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    base: u64,
}

impl Place {
    /// Segment `number` of the database `uuid`.
    pub fn new(uuid: &[u8; 16], number: u64) -> Self {
        // A planted fault lets the records of a segment's former life verify in the next one.
        Self { base: xxh3_64_with_seed(uuid, if mutant("wal.number-not-in-checksum") { 0 } else { number }) }
    }

    fn seed(self, offset: u64) -> u64 {
        // The multiplier is odd, so no two offsets of a segment share a seed.
        self.base.wrapping_add(offset.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }
}

/// The decoded header of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordHeader {
    /// Bytes of the payload.
    pub payload_len: u32,
    /// Its kind.
    pub kind: RecordKind,
    /// Its number.
    pub lsn: Lsn,
    /// Engine time in milliseconds since the epoch.
    pub time_ms: u64,
    /// Greatest LSN known to be synchronised when it was written.
    pub synced: Lsn,
    /// CRC-32 of the payload.
    pub payload_crc: u32,
}

/// Why bytes are not the header of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NoHeader {
    /// Fewer bytes than a header.
    Short,
    /// Zeros: no record was written here.
    Empty,
    /// The checksum does not fit the bytes, the segment or the offset.
    Checksum,
    /// A valid header of a kind that this version does not know.
    Kind(u8),
}

impl RecordHeader {
    /// Writes the header as it stands at `offset` of `place`.
    pub fn encode(&self, place: Place, offset: u64) -> [u8; HEADER_LEN] {
        let mut b = [0; HEADER_LEN];
        b[AT_LEN..][..4].copy_from_slice(&self.payload_len.to_le_bytes());
        b[AT_KIND] = self.kind as u8;
        b[AT_LSN..][..8].copy_from_slice(&self.lsn.0.to_le_bytes());
        b[AT_TIME..][..8].copy_from_slice(&self.time_ms.to_le_bytes());
        b[AT_SYNCED..][..8].copy_from_slice(&self.synced.0.to_le_bytes());
        b[AT_CRC..][..4].copy_from_slice(&self.payload_crc.to_le_bytes());
        seal(&mut b, place, offset);
        b
    }

    /// Reads the header that starts `bytes`, which stand at `offset` of `place`. Any bytes are safe.
    ///
    /// # Errors
    /// [`NoHeader`] says what is there instead.
    pub fn decode(bytes: &[u8], place: Place, offset: u64) -> Result<Self, NoHeader> {
        let Some(b) = bytes.first_chunk::<HEADER_LEN>() else {
            return Err(NoHeader::Short);
        };
        // Free space is mostly zeros, and a scan comes by every 8 bytes: no hash for those.
        if b[AT_KIND] == 0 {
            return Err(if b.iter().all(|&x| x == 0) { NoHeader::Empty } else { NoHeader::Checksum });
        }
        let u64_at = |at: usize| u64::from_le_bytes(b[at..at + 8].try_into().expect("8 bytes"));
        let u32_at = |at: usize| u32::from_le_bytes(b[at..at + 4].try_into().expect("4 bytes"));
        // Nor for what was something else before: bytes of a payload are seldom zero where a header's are.
        if b[AT_ZERO..AT_LSN] != [0; 3] || u32_at(AT_ZERO_2) != 0 {
            return Err(NoHeader::Checksum);
        }
        let verifies = u64_at(AT_CHECKSUM) == xxh3_64_with_seed(&b[..AT_CHECKSUM], place.seed(offset));
        if !(verifies || mutant("wal.ignore-header-checksum")) {
            return Err(NoHeader::Checksum);
        }
        let kind = RecordKind::from_number(b[AT_KIND]).ok_or(NoHeader::Kind(b[AT_KIND]))?;
        Ok(Self {
            payload_len: u32_at(AT_LEN),
            kind,
            lsn: Lsn(u64_at(AT_LSN)),
            time_ms: u64_at(AT_TIME),
            synced: Lsn(u64_at(AT_SYNCED)),
            payload_crc: u32_at(AT_CRC),
        })
    }

    /// Bytes from this header to where the next may start.
    pub fn record_len(&self) -> u64 {
        record_len(u64::from(self.payload_len))
    }
}

/// Raises the `synced` field of the header that starts `bytes`, standing at `offset`, and seals it again.
pub(crate) fn restamp(bytes: &mut [u8], place: Place, offset: u64, synced: Lsn) {
    let b = bytes.first_chunk_mut::<HEADER_LEN>().expect("a whole header");
    b[AT_SYNCED..][..8].copy_from_slice(&synced.0.to_le_bytes());
    seal(b, place, offset);
}

fn seal(b: &mut [u8; HEADER_LEN], place: Place, offset: u64) {
    let sum = xxh3_64_with_seed(&b[..AT_CHECKSUM], place.seed(offset));
    b[AT_CHECKSUM..].copy_from_slice(&sum.to_le_bytes());
}

/// Bytes that a record with `payload_len` bytes of payload takes.
pub(crate) fn record_len(payload_len: u64) -> u64 {
    HEADER_LEN as u64 + payload_len.next_multiple_of(ALIGN)
}

/// The LSN of what might be a witness, wherever it belongs; nothing is verified.
pub(crate) fn could_be_witness(bytes: &[u8]) -> Option<Lsn> {
    let b = bytes.first_chunk::<HEADER_LEN>()?;
    let looks = b[AT_KIND] == RecordKind::Witness as u8 && b[AT_LEN..][..4] == [0; 4] && b[AT_ZERO..AT_LSN] == [0; 3];
    looks.then(|| Lsn(u64::from_le_bytes(b[AT_LSN..][..8].try_into().expect("8 bytes"))))
}

/// Where the witness of a group that ends at `end` stands: at the beginning of the next block.
pub(crate) fn witness_offset(end: u64) -> u64 {
    end.next_multiple_of(BLOCK)
}

/// How far the records of a segment of so many bytes may go, so that a witness finds room behind any of them.
pub(crate) fn records_limit(segment_len: u64) -> u64 {
    segment_len.saturating_sub(HEADER_LEN as u64) / BLOCK * BLOCK
}

/// The checksum that a record's header holds over its payload.
pub(crate) fn payload_crc(payload: &[u8]) -> u32 {
    crc32fast::hash(payload)
}

/// A payload with its checksum, computed outside the sequencer's section.
#[derive(Debug)]
pub struct Payload<'b> {
    bytes: Cow<'b, [u8]>,
    crc: u32,
}

impl<'b> Payload<'b> {
    /// Checksums `bytes`, which may be lent.
    pub fn new(bytes: impl Into<Cow<'b, [u8]>>) -> Self {
        let bytes = bytes.into();
        let crc = payload_crc(&bytes);
        Self { bytes, crc }
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Bytes the record takes in a segment, header and padding included.
    pub fn record_len(&self) -> u64 {
        record_len(self.bytes.len() as u64)
    }

    pub(crate) fn crc(&self) -> u32 {
        self.crc
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sample() -> RecordHeader {
        RecordHeader {
            payload_len: 11,
            kind: RecordKind::Commit,
            lsn: Lsn(7),
            time_ms: 1_700_000_000_000,
            synced: Lsn(6),
            payload_crc: payload_crc(b"hello world"),
        }
    }

    #[test]
    fn a_header_reads_back_in_its_place_and_nowhere_else() {
        let place = Place::new(&[7; 16], 3);
        let bytes = sample().encode(place, 512);
        assert_eq!(RecordHeader::decode(&bytes, place, 512), Ok(sample()));
        let elsewhere = |place, offset| {
            assert_eq!(RecordHeader::decode(&bytes, place, offset), Err(NoHeader::Checksum));
        };
        elsewhere(place, 520);
        elsewhere(Place::new(&[7; 16], 4), 512);
        elsewhere(Place::new(&[8; 16], 3), 512);
    }

    #[test]
    fn every_flipped_bit_of_a_header_is_noticed() {
        let place = Place::new(&[7; 16], 3);
        let bytes = sample().encode(place, 512);
        for bit in 0..HEADER_LEN * 8 {
            let mut b = bytes;
            b[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(RecordHeader::decode(&b, place, 512), Err(NoHeader::Checksum), "bit {bit}");
        }
    }

    #[test]
    fn a_valid_header_of_a_kind_from_the_future_is_told_apart() {
        let place = Place::new(&[7; 16], 3);
        let mut bytes = sample().encode(place, 512);
        bytes[AT_KIND] = 8;
        seal(&mut bytes, place, 512);
        assert_eq!(RecordHeader::decode(&bytes, place, 512), Err(NoHeader::Kind(8)));
    }

    #[test]
    fn zeros_are_no_record() {
        let place = Place::new(&[7; 16], 3);
        assert_eq!(RecordHeader::decode(&[0; 48], place, 512), Err(NoHeader::Empty));
        assert_eq!(RecordHeader::decode(&[0; 47], place, 512), Err(NoHeader::Short));
    }

    #[test]
    fn a_restamped_header_differs_in_the_synced_lsn_only() {
        let place = Place::new(&[7; 16], 3);
        let mut bytes = sample().encode(place, 512);
        restamp(&mut bytes, place, 512, Lsn(99));
        assert_eq!(RecordHeader::decode(&bytes, place, 512), Ok(RecordHeader { synced: Lsn(99), ..sample() }));
    }

    proptest! {
        #[test]
        fn any_bytes_decode_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64), offset: u64) {
            let _ = RecordHeader::decode(&bytes, Place::new(&[1; 16], 1), offset);
        }
    }
}
