//! [`SegmentHeader`] and the names of segment files.
//!
//! A segment is one file, `0000000001.log` and so on, pre-written with zeros. Its first sector is the header; records
//! follow at byte 512. Everything is little-endian.
//!
//! | offset | bytes | field |
//! |---:|---:|---|
//! | 0 | 8 | `HALOWAL\0` |
//! | 8 | 4 | format version, 1 |
//! | 12 | 4 | length of this header, 512 |
//! | 16 | 8 | number of the segment |
//! | 24 | 16 | uuid of the database |
//! | 40 | 8 | incarnation |
//! | 48 | 8 | prev_last_lsn: greatest LSN of any record before this segment; proven synced |
//! | 56 | 8 | first_lsn: LSN of the first record here |
//! | 64 | 8 | time mark: engine milliseconds, 0 until one is reserved |
//! | 72 | 8 | length of the segment in bytes, header included |
//! | 80 | 424 | zero |
//! | 504 | 8 | XXH3-64 of bytes 0..504 |
//!
//! A segment is *live* if the header's number is that of the file name. A lower number, left over from the life before
//! recycling, or a sector of zeros, says that it is not begun. The header is one sector, so an interrupted write leaves the
//! old one or the new one. Magic, version and checksum keep their places in every version of the format. The header is written only after the segment before it is synchronised whole: that is what makes
//! `prev_last_lsn` a proof.

use crate::Lsn;
use std::path::{Path, PathBuf};
use xxhash_rust::xxh3::xxh3_64;

/// Bytes of a segment's header: one sector.
pub const SEGMENT_HEADER_LEN: usize = 512;
/// Offset of the first record.
pub const RECORDS_START: u64 = SEGMENT_HEADER_LEN as u64;
/// The format version that this program writes and reads.
pub const VERSION: u32 = 1;

const MAGIC: [u8; 8] = *b"HALOWAL\0";

const AT_MAGIC: usize = 0;
const AT_VERSION: usize = 8;
const AT_HEADER_LEN: usize = 12;
const AT_NUMBER: usize = 16;
const AT_UUID: usize = 24;
const AT_INCARNATION: usize = 40;
const AT_PREV_LAST: usize = 48;
const AT_FIRST: usize = 56;
const AT_TIME_MARK: usize = 64;
const AT_LEN: usize = 72;
const AT_ZERO: usize = 80;
const AT_CHECKSUM: usize = 504;
const _: () = assert!(
    AT_VERSION == AT_MAGIC + MAGIC.len()
        && AT_HEADER_LEN == AT_VERSION + 4
        && AT_NUMBER == AT_HEADER_LEN + 4
        && AT_UUID == AT_NUMBER + 8
        && AT_INCARNATION == AT_UUID + 16
        && AT_PREV_LAST == AT_INCARNATION + 8
        && AT_FIRST == AT_PREV_LAST + 8
        && AT_TIME_MARK == AT_FIRST + 8
        && AT_LEN == AT_TIME_MARK + 8
        && AT_ZERO == AT_LEN + 8
        && AT_CHECKSUM == AT_ZERO + 424
        && SEGMENT_HEADER_LEN == AT_CHECKSUM + 8
);

/// The decoded header of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentHeader {
    /// The number that the file had when this header was written.
    pub number: u64,
    /// The database.
    pub uuid: [u8; 16],
    /// Its incarnation.
    pub incarnation: u64,
    /// Greatest LSN of any record before this segment; proven synced.
    pub prev_last_lsn: Lsn,
    /// LSN of the first record of this segment.
    pub first_lsn: Lsn,
    /// Reserved engine time in milliseconds since the epoch; 0: none.
    pub time_mark_ms: u64,
    /// Bytes of the segment, header included.
    pub segment_len: u64,
}

/// Why a sector is not the header of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NoSegment {
    /// Fewer bytes than a header.
    Short,
    /// Zeros: prepared, not begun.
    Empty,
    /// Other bytes in front.
    Magic,
    /// Another format version.
    Version(u32),
    /// The checksum does not fit.
    Checksum,
    /// The checksum fits, a field makes no sense.
    Field(&'static str),
}

impl SegmentHeader {
    /// Writes the header.
    pub fn encode(&self) -> [u8; SEGMENT_HEADER_LEN] {
        let mut b = [0; SEGMENT_HEADER_LEN];
        let mut put = |at: usize, field: &[u8]| b[at..at + field.len()].copy_from_slice(field);
        put(AT_MAGIC, &MAGIC);
        put(AT_VERSION, &VERSION.to_le_bytes());
        put(AT_HEADER_LEN, &(SEGMENT_HEADER_LEN as u32).to_le_bytes());
        put(AT_NUMBER, &self.number.to_le_bytes());
        put(AT_UUID, &self.uuid);
        put(AT_INCARNATION, &self.incarnation.to_le_bytes());
        put(AT_PREV_LAST, &self.prev_last_lsn.0.to_le_bytes());
        put(AT_FIRST, &self.first_lsn.0.to_le_bytes());
        put(AT_TIME_MARK, &self.time_mark_ms.to_le_bytes());
        put(AT_LEN, &self.segment_len.to_le_bytes());
        let sum = xxh3_64(&b[..AT_CHECKSUM]);
        b[AT_CHECKSUM..].copy_from_slice(&sum.to_le_bytes());
        b
    }

    /// Reads the header that starts `bytes`. Any bytes are safe.
    ///
    /// # Errors
    /// [`NoSegment`] says what is there instead.
    pub fn decode(bytes: &[u8]) -> Result<Self, NoSegment> {
        let Some(b) = bytes.first_chunk::<SEGMENT_HEADER_LEN>() else {
            return Err(NoSegment::Short);
        };
        let u64_at = |at: usize| u64::from_le_bytes(b[at..at + 8].try_into().expect("8 bytes"));
        let u32_at = |at: usize| u32::from_le_bytes(b[at..at + 4].try_into().expect("4 bytes"));
        if b[AT_MAGIC..AT_VERSION] != MAGIC {
            return Err(if b.iter().all(|&x| x == 0) { NoSegment::Empty } else { NoSegment::Magic });
        }
        if u64_at(AT_CHECKSUM) != xxh3_64(&b[..AT_CHECKSUM]) {
            return Err(NoSegment::Checksum);
        }
        // Every version keeps magic, version and checksum where they are, so that a torn sector is not taken for the work of
        // a newer program.
        if u32_at(AT_VERSION) != VERSION {
            return Err(NoSegment::Version(u32_at(AT_VERSION)));
        }
        let header = Self {
            number: u64_at(AT_NUMBER),
            uuid: b[AT_UUID..AT_INCARNATION].try_into().expect("16 bytes"),
            incarnation: u64_at(AT_INCARNATION),
            prev_last_lsn: Lsn(u64_at(AT_PREV_LAST)),
            first_lsn: Lsn(u64_at(AT_FIRST)),
            time_mark_ms: u64_at(AT_TIME_MARK),
            segment_len: u64_at(AT_LEN),
        };
        if u32_at(AT_HEADER_LEN) as usize != SEGMENT_HEADER_LEN {
            return Err(NoSegment::Field("the header's length"));
        }
        if header.number == 0 {
            return Err(NoSegment::Field("the segment's number"));
        }
        if header.first_lsn <= header.prev_last_lsn {
            return Err(NoSegment::Field("first_lsn, which is not above prev_last_lsn,"));
        }
        if header.segment_len <= RECORDS_START || !header.segment_len.is_multiple_of(8) {
            return Err(NoSegment::Field("the segment's length"));
        }
        Ok(header)
    }

    /// Whether this header can follow `before` directly; otherwise a clause that says what contradicts.
    pub fn follows(&self, before: &SegmentHeader) -> Result<(), String> {
        let (last, first) = (self.prev_last_lsn.0, self.first_lsn.0);
        if last < before.prev_last_lsn.0 || first < before.first_lsn.0 {
            return Err(format!("LSNs run backwards from segment {} to {}", before.number, self.number));
        }
        if last < before.first_lsn.0 && last != before.prev_last_lsn.0 {
            return Err(format!(
                "segment {} ends with LSN {last}, which lies in the gap before segment {}",
                before.number, before.number
            ));
        }
        if first != last + 1 && !first.is_multiple_of(crate::lsn::GAP) {
            return Err(format!("LSN {first} of segment {} follows {last} over no gap of a crash", self.number));
        }
        Ok(())
    }
}

/// The file name of segment `number`.
pub fn file_name(number: u64) -> String {
    format!("{number:010}.log")
}

/// The number in a segment's file name; `None` if it is no such name.
pub fn parse_file_name(name: &str) -> Option<u64> {
    let number = name.strip_suffix(".log")?.parse().ok()?;
    (number > 0 && file_name(number) == name).then_some(number)
}

pub(crate) fn path_of(dir: &Path, number: u64) -> PathBuf {
    dir.join(file_name(number))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sample() -> SegmentHeader {
        SegmentHeader {
            number: 5,
            uuid: [7; 16],
            incarnation: 1,
            prev_last_lsn: Lsn(40),
            first_lsn: Lsn(41),
            time_mark_ms: 0,
            segment_len: 4096,
        }
    }

    #[test]
    fn a_header_reads_back() {
        assert_eq!(SegmentHeader::decode(&sample().encode()), Ok(sample()));
    }

    #[test]
    fn every_flipped_bit_of_a_header_is_noticed() {
        for bit in 0..SEGMENT_HEADER_LEN * 8 {
            let mut b = sample().encode();
            b[bit / 8] ^= 1 << (bit % 8);
            assert!(SegmentHeader::decode(&b).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn names_and_numbers_convert_both_ways_and_strangers_are_ignored() {
        let check = |name: &str, number| assert_eq!(parse_file_name(name), number, "{name}");
        check("0000000001.log", Some(1));
        check("12345678901.log", Some(12_345_678_901));
        check("0000000000.log", None);
        check("1.log", None);
        check("+000000001.log", None);
        check("0000000001.tmp", None);
        check("99999999999999999999999.log", None);
    }

    #[test]
    fn headers_follow_each_other_without_a_hole_or_over_a_gap() {
        let at = |prev, first| SegmentHeader { prev_last_lsn: Lsn(prev), first_lsn: Lsn(first), ..sample() };
        let check = |a: SegmentHeader, b: SegmentHeader, ok| assert_eq!(b.follows(&a).is_ok(), ok, "{a:?} {b:?}");
        let gap = crate::lsn::GAP;
        check(at(0, 1), at(9, 10), true);
        check(at(0, 1), at(9, gap), true);
        check(at(9, gap), at(9, gap), true);
        check(at(9, gap), at(9, 2 * gap), true);
        check(at(9, gap), at(gap + 3, gap + 4), true);
        check(at(9, gap), at(gap - 3, gap), false);
        check(at(0, 1), at(9, 11), false);
        check(at(5, 6), at(4, 6), false);
        check(at(5, 8), at(5, 6), false);
    }

    proptest! {
        #[test]
        fn any_bytes_decode_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            let _ = SegmentHeader::decode(&bytes);
        }
    }
}
