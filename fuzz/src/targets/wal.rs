//! Headers of records and of segments.
//!
//! `wal-record`: flags u8 (1: seal), place u16 (in units of 8 bytes), header.
//! `wal-segment`: flags u8 (1: seal, 2: put in magic, version and length; 4: a file name instead), then two headers, which may
//! follow each other.

use crate::input::{Input, resized};
use crate::{Target, Verdict, seal};
use halodb::wal::{
    HEADER_LEN, Lsn, Place, RecordHeader, RecordKind, SEGMENT_HEADER_LEN, SegmentHeader, VERSION, file_name,
    parse_file_name,
};

pub(crate) const UUID: [u8; 16] = [7; 16];
const NUMBER: u64 = 3;

pub(crate) const RECORD: Target = Target { name: "wal-record", max_len: 64, run: record, seeds: record_seeds };
pub(crate) const SEGMENT: Target =
    Target { name: "wal-segment", max_len: 1 + 2 * SEGMENT_HEADER_LEN, run: segment, seeds: segment_seeds };

fn record(data: &[u8]) -> Verdict {
    let mut input = Input::new(data);
    let sealed = input.u8() & 1 != 0;
    let offset = u64::from(input.u16()) * 8;
    let mut bytes = input.rest().to_vec();
    if sealed {
        bytes = resized(&bytes, HEADER_LEN);
        seal::record(&mut bytes, &UUID, NUMBER, offset);
    }
    let place = Place::new(&UUID, NUMBER);
    let decoded = RecordHeader::decode(&bytes, place, offset);
    if let Ok(header) = decoded {
        assert_eq!(header.encode(place, offset), bytes[..HEADER_LEN], "a header encodes to the bytes it was read from");
        assert!(header.record_len() >= HEADER_LEN as u64 + u64::from(header.payload_len));
        let elsewhere = RecordHeader::decode(&bytes, place, offset + 8);
        assert!(elsewhere.is_err(), "a header verifies in its place only");
    }
    Verdict::of(&decoded)
}

fn record_seeds() -> Vec<(&'static str, Vec<u8>)> {
    let header = RecordHeader {
        payload_len: 11,
        kind: RecordKind::Commit,
        lsn: Lsn(7),
        time_ms: 1_700_000_000_000,
        synced: Lsn(6),
        payload_crc: 0x0d4a_1185,
    };
    let of_kind = |kind| RecordHeader { kind, ..header }.encode(Place::new(&UUID, NUMBER), 512);
    let bytes = of_kind(RecordKind::Commit);
    vec![
        ("whole", [&[0, 64, 0][..], &bytes].concat()),
        ("part", [&[0, 64, 0][..], &of_kind(RecordKind::Part)].concat()),
        ("part-commit", [&[0, 64, 0][..], &of_kind(RecordKind::PartCommit)].concat()),
        ("elsewhere", [&[0, 65, 0][..], &bytes].concat()),
        ("fields", [&[1, 64, 0][..], &bytes[..40]].concat()),
        ("zeros", vec![0; 51]),
    ]
}

fn segment(data: &[u8]) -> Verdict {
    let mut input = Input::new(data);
    let flags = input.u8();
    if flags & 4 != 0 {
        return name(&String::from_utf8_lossy(input.rest()));
    }
    let one = header(flags, input.bytes(SEGMENT_HEADER_LEN));
    let two = header(flags, input.bytes(SEGMENT_HEADER_LEN));
    if let (Some(one), Some(two)) = (one, two) {
        let _ = (one.follows(&two), two.follows(&one));
    }
    if one.is_some() { Verdict::Accepted } else { Verdict::Refused }
}

fn header(flags: u8, bytes: &[u8]) -> Option<SegmentHeader> {
    let mut bytes = bytes.to_vec();
    if flags & 3 != 0 {
        bytes = resized(&bytes, SEGMENT_HEADER_LEN);
    }
    if flags & 2 != 0 {
        bytes[..8].copy_from_slice(b"HALOWAL\0");
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        bytes[12..16].copy_from_slice(&(SEGMENT_HEADER_LEN as u32).to_le_bytes());
    }
    if flags & 1 != 0 {
        seal::trailing(&mut bytes, SEGMENT_HEADER_LEN);
    }
    let header = SegmentHeader::decode(&bytes).ok()?;
    assert_eq!(SegmentHeader::decode(&header.encode()), Ok(header));
    Some(header)
}

fn name(text: &str) -> Verdict {
    match parse_file_name(text) {
        Some(number) => {
            assert_eq!(file_name(number), text);
            Verdict::Accepted
        }
        None => Verdict::Refused,
    }
}

fn segment_seeds() -> Vec<(&'static str, Vec<u8>)> {
    let header = SegmentHeader {
        number: 5,
        uuid: UUID,
        incarnation: 1,
        prev_last_lsn: Lsn(40),
        first_lsn: Lsn(41),
        time_mark_ms: 0,
        segment_len: 4096,
    };
    let next = SegmentHeader { number: 6, prev_last_lsn: Lsn(90), first_lsn: Lsn(1 << 32), ..header };
    vec![
        ("whole", [&[0][..], &header.encode(), &next.encode()].concat()),
        ("fields", [&[3][..], &header.encode(), &next.encode()[..80]].concat()),
        ("name", b"\x040000000012.log".to_vec()),
        ("zeros", vec![0; 1 + SEGMENT_HEADER_LEN]),
    ]
}
