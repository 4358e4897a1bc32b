//! [`Walk`]: the records of one segment's bytes, one after another; [`survey`]: whatever valid headers lie behind its end.
//!
//! A witness is looked for where it belongs, and at the beginning of every sector: a block that changed places with the one of
//! the witness would else take the last records away together with the only proof that they were there. What a witness says
//! was true when it was written, wherever it is found.
//!
//! Pure: bytes in, findings out. What a bad record *means*, a torn tail or corruption, is decided in `recover`.

use crate::Lsn;
use crate::record::{
    ALIGN, BLOCK, HEADER_LEN, NoHeader, Place, RecordHeader, RecordKind, could_be_witness, payload_crc, witness_offset,
};
use halodb_vfs::mutant;

/// Where so many zeros follow, all of them but a header's length are passed over at once.
const ZEROS: u64 = 4096;
const _: () = assert!(ZEROS.is_multiple_of(ALIGN) && (HEADER_LEN as u64).is_multiple_of(ALIGN));

/// The smallest piece that changes places with another.
const SECTOR: u64 = 512;

/// Walks records with contiguous LSNs.
#[derive(Debug)]
pub(crate) struct Walk<'a> {
    bytes: &'a [u8],
    /// Offset in the segment at which `bytes` begin.
    base: u64,
    place: Place,
    offset: u64,
    next: u64,
}

/// A record whose header, payload and LSN are right.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found<'a> {
    pub(crate) header: RecordHeader,
    pub(crate) payload: &'a [u8],
    pub(crate) offset: u64,
}

impl<'a> Found<'a> {
    pub(crate) fn record(&self) -> crate::Record<'a> {
        let RecordHeader { lsn, kind, time_ms, .. } = self.header;
        crate::Record { lsn, kind, time_ms, payload: self.payload }
    }
}

/// Why no record can be taken at an offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bad {
    /// There is no valid header.
    Header(NoHeader),
    /// The witness stands here: no record was written behind it.
    Witness,
    /// The payload runs out of the segment.
    Length(u32),
    /// The payload's checksum does not fit.
    Payload,
    /// Another LSN than the one due.
    Lsn(Lsn),
}

impl Bad {
    /// A clause for messages about the record that was due with number `due`.
    pub(crate) fn clause(self, due: u64) -> String {
        match self {
            Bad::Header(NoHeader::Short) => {
                format!("the segment ends where record {due} should be")
            }
            Bad::Header(NoHeader::Empty) | Bad::Witness => format!("record {due} is missing"),
            Bad::Header(NoHeader::Checksum) => {
                format!("the header of record {due} does not verify")
            }
            Bad::Header(NoHeader::Kind(k)) => {
                format!("record {due} is of kind {k}, which this program does not know")
            }
            Bad::Length(n) => {
                format!("record {due} states {n} bytes of payload, more than the segment holds")
            }
            Bad::Payload => format!("the payload of record {due} does not verify"),
            Bad::Lsn(found) => format!("record {found} stands where record {due} should be"),
        }
    }
}

impl<'a> Walk<'a> {
    /// Starts at `offset` of the segment `bytes`, where record `next` is due.
    pub(crate) fn new(bytes: &'a [u8], place: Place, offset: u64, next: Lsn) -> Self {
        Self { bytes, base: 0, place, offset, next: next.0 }
    }

    /// As [`Walk::new`], where `bytes` are those of the segment from `base` on, which is not behind `offset`.
    pub(crate) fn part(bytes: &'a [u8], base: u64, place: Place, offset: u64, next: Lsn) -> Self {
        Self { bytes, base, place, offset, next: next.0 }
    }

    /// The record that begins at `offset`, whatever its number; `None` if none does that verifies.
    pub(crate) fn any(bytes: &'a [u8], place: Place, offset: u64) -> Option<Found<'a>> {
        let rest = usize::try_from(offset).ok().and_then(|at| bytes.get(at..))?;
        let header = RecordHeader::decode(rest, place, offset).ok().filter(|h| h.kind != RecordKind::Witness)?;
        let payload = payload_of(&header, rest)?;
        (payload_crc(payload) == header.payload_crc).then_some(Found { header, payload, offset })
    }

    /// Where the next record is due.
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    /// The LSN that is due.
    pub(crate) fn due(&self) -> u64 {
        self.next
    }

    /// The next record. After an error the walk stays where it is.
    pub(crate) fn step(&mut self) -> Result<Found<'a>, Bad> {
        let rest =
            usize::try_from(self.offset - self.base).ok().and_then(|at| self.bytes.get(at..)).unwrap_or_default();
        let header = RecordHeader::decode(rest, self.place, self.offset).map_err(Bad::Header)?;
        if header.kind == RecordKind::Witness {
            return Err(Bad::Witness);
        }
        let payload = payload_of(&header, rest).ok_or(Bad::Length(header.payload_len))?;
        if payload_crc(payload) != header.payload_crc && !mutant("wal.ignore-payload-checksum") {
            // A planted fault drops the torn record alone and goes on with the valid one behind it.
            if mutant("wal.skip-torn-record") {
                (self.offset, self.next) = (self.offset + header.record_len(), header.lsn.0 + 1);
                return self.step();
            }
            return Err(Bad::Payload);
        }
        let next = self.next.checked_add(1).filter(|_| header.lsn.0 == self.next).ok_or(Bad::Lsn(header.lsn))?;
        let found = Found { header, payload, offset: self.offset };
        self.offset += header.record_len();
        self.next = next;
        Ok(found)
    }
}

/// The payload behind `header`, which starts `rest`; `None` if the segment is too short for it.
fn payload_of<'a>(header: &RecordHeader, rest: &'a [u8]) -> Option<&'a [u8]> {
    let whole = rest.get(..usize::try_from(header.record_len()).ok()?)?;
    whole.get(HEADER_LEN..)?.get(..header.payload_len as usize)
}

/// What lies behind the first bad record of a segment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Survey {
    /// Greatest `synced` of any valid header.
    pub(crate) synced: u64,
    /// Greatest LSN that a witness tells of.
    pub(crate) witnessed: u64,
    /// Whole valid records, the first bad place not counted.
    pub(crate) valid: u64,
    /// Whether the header of any record verifies, be its payload whole or not.
    pub(crate) any: bool,
}

/// Looks at every 8 bytes from `from` on: sectors of an unsynced group reach the disk in any order, so that valid
/// records, and with them proofs of what was synced, may lie behind a missing one. Records up to `last` are accounted for: a
/// witness that stands in the wrong place counts only if it tells of more.
pub(crate) fn survey(bytes: &[u8], place: Place, from: u64, last: Lsn) -> Survey {
    let mut s = Survey::default();
    let mut offset = from;
    while let Some(rest) = usize::try_from(offset).ok().and_then(|at| bytes.get(at..)) {
        match RecordHeader::decode(rest, place, offset) {
            Ok(header) if header.kind == RecordKind::Witness => s.witness(&header),
            Ok(header) => {
                s.any = true;
                s.synced = s.synced.max(header.synced.0);
                let whole = payload_of(&header, rest).is_some_and(|p| payload_crc(p) == header.payload_crc);
                if whole && offset != from {
                    s.valid += 1;
                }
            }
            Err(NoHeader::Short) => break,
            Err(NoHeader::Kind(_)) => s.any = true,
            Err(NoHeader::Empty) => {}
            Err(NoHeader::Checksum) => {
                if let Some(header) = strayed_witness(rest, place, offset, bytes.len() as u64, last) {
                    s.witness(&header);
                }
            }
        }
        offset += if is_zero(rest) { ZEROS - HEADER_LEN as u64 } else { ALIGN };
    }
    s
}

/// Whether the next [`ZEROS`] bytes are zero: no header begins so far in them that it ends in them, too.
fn is_zero(rest: &[u8]) -> bool {
    let (chunks, _) = rest.as_chunks::<64>();
    // One after another, so that it ends with the first that is not; within one all bytes at once.
    chunks
        .get(..ZEROS as usize / 64)
        .is_some_and(|chunks| chunks.iter().all(|chunk| chunk.iter().fold(0, |any, byte| any | byte) == 0))
}

impl Survey {
    fn witness(&mut self, header: &RecordHeader) {
        self.synced = self.synced.max(header.synced.0);
        self.witnessed = self.witnessed.max(header.lsn.0);
    }
}

/// A witness of this segment that stands at `offset`, where it does not belong. Costs nothing where the bytes do not look
/// like one that tells of more than `last`: those of a recycled segment's former life tell of less.
fn strayed_witness(rest: &[u8], place: Place, offset: u64, segment_len: u64, last: Lsn) -> Option<RecordHeader> {
    if !offset.is_multiple_of(SECTOR) || could_be_witness(rest)? <= last {
        return None;
    }
    let mut places = (BLOCK..segment_len).step_by(BLOCK as usize);
    places.find_map(|at| RecordHeader::decode(rest, place, at).ok())
}

/// Whether something stands at `offset`, where a record was due. Not farther than to the next witness, which is no trace of a
/// record.
pub(crate) fn traces(bytes: &[u8], offset: u64) -> bool {
    let room = match witness_offset(offset) - offset {
        0 => HEADER_LEN as u64,
        room => room.min(HEADER_LEN as u64),
    };
    bytes.iter().skip(offset as usize).take(room as usize).any(|&byte| byte != 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::RecordKind;

    fn put(bytes: &mut [u8], place: Place, at: usize, lsn: u64, synced: u64, payload: &[u8]) -> usize {
        let h = RecordHeader {
            payload_len: payload.len() as u32,
            kind: RecordKind::Commit,
            lsn: Lsn(lsn),
            time_ms: 0,
            synced: Lsn(synced),
            payload_crc: payload_crc(payload),
        };
        bytes[at..at + HEADER_LEN].copy_from_slice(&h.encode(place, at as u64));
        bytes[at + HEADER_LEN..][..payload.len()].copy_from_slice(payload);
        at + h.record_len() as usize
    }

    #[test]
    fn a_walk_gives_contiguous_records_and_stops_at_the_first_bad_one() {
        let place = Place::new(&[1; 16], 1);
        let mut b = vec![0; 1024];
        let at = put(&mut b, place, 512, 5, 0, b"five");
        let end = put(&mut b, place, at, 6, 5, b"");
        let mut walk = Walk::new(&b, place, 512, Lsn(5));
        assert_eq!(walk.step().unwrap().payload, b"five");
        assert_eq!(walk.step().unwrap().header.synced, Lsn(5));
        assert_eq!(walk.step().unwrap_err(), Bad::Header(NoHeader::Empty));
        assert_eq!((walk.offset(), walk.due()), (end as u64, 7));
        assert_eq!(Walk::new(&b, place, 512, Lsn(4)).step().unwrap_err(), Bad::Lsn(Lsn(5)));
    }

    #[test]
    fn a_length_beyond_the_segment_is_refused_before_anything_is_read() {
        let place = Place::new(&[1; 16], 1);
        let mut b = vec![0; 600];
        let h = RecordHeader {
            payload_len: u32::MAX,
            kind: RecordKind::Commit,
            lsn: Lsn(1),
            time_ms: 0,
            synced: Lsn(0),
            payload_crc: 0,
        };
        b[512..560].copy_from_slice(&h.encode(place, 512));
        assert_eq!(Walk::new(&b, place, 512, Lsn(1)).step().unwrap_err(), Bad::Length(u32::MAX));
    }

    #[test]
    fn a_survey_finds_proofs_behind_a_hole() {
        let place = Place::new(&[1; 16], 1);
        let mut b = vec![0; 4096];
        put(&mut b, place, 1024, 9, 4, b"x");
        put(&mut b, place, 2048, 12, 8, b"torn");
        b[2048 + HEADER_LEN] ^= 1;
        assert_eq!(survey(&b, place, 512, Lsn(0)), Survey { synced: 8, valid: 1, any: true, ..Survey::default() });
    }

    #[test]
    fn zeros_hide_nothing_wherever_they_end() {
        let place = Place::new(&[1; 16], 1);
        for at in (2 * 4096 - 80..2 * 4096 + 80).step_by(8) {
            let mut b = vec![0; 4 * 4096];
            put(&mut b, place, at, 9, 4, b"x");
            let found = Survey { synced: 4, valid: 1, any: true, ..Survey::default() };
            assert_eq!(survey(&b, place, 512, Lsn(0)), found, "{at}");
        }
    }

    #[test]
    fn log_bytes_inside_a_payload_are_no_record() {
        let place = Place::new(&[1; 16], 1);
        let mut log = vec![0; 1024];
        let end = put(&mut log, place, 512, 1, 0, b"something");
        let copy = log[512..end].to_vec();
        let mut b = vec![0; 4096];
        put(&mut b, place, 512, 1, 0, &copy);
        b[512] ^= 1;
        assert_eq!(survey(&b, place, 512, Lsn(0)), Survey::default());
    }
}
