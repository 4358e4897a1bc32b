//! The bytes of the format, held against the worked examples of the documentation.

use halodb_wal::{Lsn, Place, RecordHeader, RecordKind, SegmentHeader};
use std::fmt::Write;

const UUID: [u8; 16] = [0x6f, 0x1d, 0x3c, 0x2a, 0x9e, 0x4b, 0x4d, 0x7a, 0x8c, 0x5e, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66];

/// In the manner of `hexdump -C`, without the characters: 16 bytes a line, repeated lines as `*`, the length at the end.
fn dump(bytes: &[u8]) -> String {
    let mut text = String::new();
    let mut before: Option<&[u8]> = None;
    let mut starred = false;
    for (i, line) in bytes.chunks(16).enumerate() {
        if before == Some(line) {
            if !starred {
                text.push_str("*\n");
            }
            starred = true;
            continue;
        }
        (before, starred) = (Some(line), false);
        write!(text, "{:08x} ", i * 16).unwrap();
        for (k, byte) in line.iter().enumerate() {
            let gap = if k == 8 { "  " } else { " " };
            write!(text, "{gap}{byte:02x}").unwrap();
        }
        text.push('\n');
    }
    writeln!(text, "{:08x}", bytes.len()).unwrap();
    text
}

fn parse(text: &str) -> Vec<u8> {
    let mut bytes: Vec<u8> = Vec::new();
    for line in text.lines().filter(|line| *line != "*") {
        let mut words = line.split_whitespace();
        let offset = usize::from_str_radix(words.next().unwrap(), 16).unwrap();
        while bytes.len() < offset {
            bytes.extend_from_within(bytes.len() - 16..);
        }
        bytes.extend(words.map(|w| u8::from_str_radix(w, 16).unwrap()));
    }
    bytes
}

fn check(file: &str, bytes: &[u8]) {
    let path = format!("{}/testdata/{file}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(dump(bytes), text, "{path} differs from what is written now");
    assert_eq!(parse(&text), bytes);
}

#[test]
fn a_segment_header_is_the_documented_bytes() {
    let header = SegmentHeader {
        number: 3,
        uuid: UUID,
        incarnation: 0x0102_0304_0506_0708,
        prev_last_lsn: Lsn(1000),
        first_lsn: Lsn(2 << 32),
        time_mark_ms: 0,
        segment_len: 16 << 20,
    };
    check("segment-header.hex", &header.encode());
    assert_eq!(SegmentHeader::decode(&header.encode()), Ok(header));
}

#[test]
fn a_record_is_the_documented_bytes() {
    let payload = b"put apple=red";
    let place = Place::new(&UUID, 3);
    let header = RecordHeader {
        payload_len: payload.len() as u32,
        kind: RecordKind::Commit,
        lsn: Lsn((2 << 32) + 1),
        time_ms: 1_700_000_000_123,
        synced: Lsn(2 << 32),
        payload_crc: crc32fast::hash(payload),
    };
    let mut bytes = header.encode(place, 560).to_vec();
    bytes.extend_from_slice(payload);
    bytes.resize(header.record_len() as usize, 0);
    check("record.hex", &bytes);
    assert_eq!(RecordHeader::decode(&bytes, place, 560), Ok(header));
}

#[test]
fn a_witness_is_the_documented_bytes() {
    let place = Place::new(&UUID, 3);
    let header = RecordHeader {
        payload_len: 0,
        kind: RecordKind::Witness,
        lsn: Lsn((2 << 32) + 1),
        time_ms: 0,
        synced: Lsn(2 << 32),
        payload_crc: 0,
    };
    let bytes = header.encode(place, 4096);
    check("witness.hex", &bytes);
    assert_eq!(RecordHeader::decode(&bytes, place, 4096), Ok(header));
}

#[test]
fn a_log_writes_what_the_codec_says() {
    // The same record, through the log itself: second in its segment, so at offset 560 behind an empty one.
    let sim = halodb_vfs::SimVfs::new();
    let dir = std::path::Path::new("");
    let options = halodb_wal::WalOptions::new(UUID, 1);
    let wal = halodb_wal::Wal::create(std::sync::Arc::new(sim.clone()), dir, options).unwrap();
    wal.append(vec![], 0, halodb_wal::Durability::Sync).unwrap();
    let lsn = wal.append(b"put apple=red".to_vec(), 1_700_000_000_123, halodb_wal::Durability::Sync).unwrap();
    let bytes = sim.read_file("0000000001.log").unwrap();
    let header = RecordHeader {
        payload_len: 13,
        kind: RecordKind::Commit,
        lsn,
        time_ms: 1_700_000_000_123,
        synced: Lsn(1),
        payload_crc: crc32fast::hash(b"put apple=red"),
    };
    assert_eq!(bytes[560..608], header.encode(Place::new(&UUID, 1), 560));
    assert_eq!(&bytes[608..624], b"put apple=red\0\0\0");
    assert_eq!(bytes[624..4096], [0; 4096 - 624]);
    let witness = RecordHeader { payload_len: 0, kind: RecordKind::Witness, time_ms: 0, payload_crc: 0, ..header };
    assert_eq!(bytes[4096..4144], witness.encode(Place::new(&UUID, 1), 4096));
}
