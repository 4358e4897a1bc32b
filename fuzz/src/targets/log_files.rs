//! `wal-files`: a log of one to three segments, made from a script; recovered, continued, and recovered again.
//!
//! ```text
//! input  := applied u8, proven u8, item*
//! item   := 0 len u8, payload            the record that is due, valid
//!         | 1 40 bytes                   a header of these fields, sealed; then what follows
//!         | 2 len u8, bytes              raw bytes
//!         | 3 n u8                       n × 8 zeros
//!         | 4 kind u8                    the record that is due, without payload, of this kind, valid; a part and a part commit: then
//!             len u8, payload            of a large commit, as good as its bytes
//!         | 5 flags u8, last u64, first u64, len u64   the next segment; bit 0: headers follow; bit 1: from these fields
//!         | 6 at u16, byte u8            one byte of the segment turns, at the end
//!         | 7 lsn u64                    the next valid record has this number
//! ```
//!
//! Items are taken modulo 8. Flipped bytes come last, so that they hit what verified before.
//!
//! Demanded: records come in ascending order; nothing proven is dropped; after the log was opened for writing, continued and
//! closed, a second recovery gives the same commits, parts and part commits, and the new one.

use crate::input::{Input, resized};
use crate::targets::wal::UUID;
use crate::{Target, Verdict, seal};
use halodb::vfs::{SimVfs, Vfs as _};
use halodb::wal::{
    Durability, Error, Known, Lsn, Place, RECORDS_START, RecordHeader, RecordKind, Recovery, SEGMENT_HEADER_LEN,
    SegmentHeader, Wal, WalOptions, file_name,
};
use std::path::Path;
use std::sync::Arc;

pub(crate) const LOG_FILES: Target = Target { name: "wal-files", max_len: 2048, run, seeds };

const DIR: &str = "wal";
const SEGMENT_LEN: usize = 8192;
const MOST_SEGMENTS: u64 = 3;
const MOST_ITEMS: usize = 200;
/// What item 4 may be, by number.
const KINDS: [RecordKind; 6] = [
    RecordKind::Commit,
    RecordKind::Marker,
    RecordKind::CleanClose,
    RecordKind::Open,
    RecordKind::Part,
    RecordKind::PartCommit,
];

/// The segment that is being made.
struct Segment {
    header: SegmentHeader,
    bytes: Vec<u8>,
    at: usize,
    flips: Vec<(usize, u8)>,
}

impl Segment {
    fn new(header: SegmentHeader) -> Self {
        let mut bytes = vec![0; SEGMENT_LEN];
        bytes[..SEGMENT_HEADER_LEN].copy_from_slice(&header.encode());
        Segment { header, bytes, at: RECORDS_START as usize, flips: Vec::new() }
    }

    fn put(&mut self, bytes: &[u8]) {
        let len = bytes.len().min(self.bytes.len() - self.at);
        self.bytes[self.at..self.at + len].copy_from_slice(&bytes[..len]);
        self.at = (self.at + len).next_multiple_of(8).min(self.bytes.len());
    }

    fn record(&mut self, kind: RecordKind, lsn: u64, payload: &[u8]) {
        let header = RecordHeader {
            payload_len: payload.len() as u32,
            kind,
            lsn: Lsn(lsn),
            time_ms: 1000 + lsn % 1000,
            synced: Lsn(lsn.saturating_sub(2)),
            payload_crc: seal::crc32(payload),
        };
        let head = header.encode(Place::new(&UUID, self.header.number), self.at as u64);
        self.put(&[&head, payload].concat());
    }

    fn write(mut self, disk: &SimVfs) {
        for (at, mask) in self.flips {
            self.bytes[at % SEGMENT_LEN] ^= mask;
        }
        let path = Path::new(DIR).join(file_name(self.header.number));
        disk.write_file(path, &self.bytes).expect("the directory is there");
    }
}

fn build(disk: &SimVfs, input: &mut Input<'_>) {
    let mut segment = Segment::new(SegmentHeader {
        number: 1,
        uuid: UUID,
        incarnation: 1,
        prev_last_lsn: Lsn(0),
        first_lsn: Lsn(1),
        time_mark_ms: 0,
        segment_len: SEGMENT_LEN as u64,
    });
    let mut due = 1u64;
    for _ in 0..MOST_ITEMS {
        if input.is_empty() {
            break;
        }
        match input.u8() % 8 {
            0 => {
                let len = usize::from(input.u8());
                segment.record(RecordKind::Commit, due, input.bytes(len));
                due = due.saturating_add(1);
            }
            1 => {
                let mut head = resized(input.bytes(40), 48);
                seal::record(&mut head, &UUID, segment.header.number, segment.at as u64);
                segment.put(&head);
            }
            2 => {
                let len = usize::from(input.u8());
                segment.put(input.bytes(len));
            }
            3 => segment.at = (segment.at + 8 * usize::from(input.u8())).min(SEGMENT_LEN),
            4 => {
                let kind = KINDS[usize::from(input.u8()) % KINDS.len()];
                let has_payload = matches!(kind, RecordKind::Part | RecordKind::PartCommit);
                let len = if has_payload { usize::from(input.u8()) } else { 0 };
                segment.record(kind, due, input.bytes(len));
                due = due.saturating_add(1);
            }
            5 if segment.header.number < MOST_SEGMENTS => {
                let flags = input.u8();
                let (last, first, len) = (input.u64(), input.u64(), input.u64());
                let number = segment.header.number + 1;
                let mut header =
                    SegmentHeader { number, prev_last_lsn: Lsn(due - 1), first_lsn: Lsn(due), ..segment.header };
                if flags & 2 != 0 {
                    (header.prev_last_lsn, header.first_lsn, header.segment_len) = (Lsn(last), Lsn(first), len);
                    due = first.max(1);
                }
                std::mem::replace(&mut segment, Segment::new(header)).write(disk);
                if flags & 1 != 0 {
                    segment.bytes[..SEGMENT_HEADER_LEN].fill(0);
                }
            }
            6 => segment.flips.push((usize::from(input.u16()), input.u8())),
            7 => due = input.u64().max(1),
            _ => {}
        }
    }
    segment.write(disk);
}

fn options() -> WalOptions {
    WalOptions {
        segment_bytes: SEGMENT_LEN as u64,
        first_segment_bytes: SEGMENT_LEN as u64,
        ..WalOptions::new(UUID, 1)
    }
}

/// Number, kind and payload of what writes.
type Commits = Vec<(u64, RecordKind, Vec<u8>)>;

fn recover(disk: &SimVfs, known: Known) -> Result<(Recovery, Commits), Error> {
    let mut commits = Commits::new();
    let mut last = known.applied_min;
    let recovery = Wal::recover(Arc::new(disk.clone()), Path::new(DIR), options(), known, &mut |record| {
        assert!(record.lsn > last, "records come in ascending order");
        last = record.lsn;
        if matches!(record.kind, RecordKind::Commit | RecordKind::Part | RecordKind::PartCommit) {
            commits.push((record.lsn.0, record.kind, record.payload.to_vec()));
        }
        Ok::<(), Error>(())
    })?;
    assert!(recovery.proven() <= recovery.last(), "nothing proven is missing");
    assert!(recovery.last() >= last && recovery.last() >= known.applied_max.max(known.synced));
    Ok((recovery, commits))
}

fn run(data: &[u8]) -> Verdict {
    let mut input = Input::new(data);
    let applied = u64::from(input.u8());
    let proven = u64::from(input.u8());
    let disk = SimVfs::new();
    disk.create_dir(Path::new(DIR)).expect("an empty disk");
    build(&disk, &mut input);
    let known = Known { applied_min: Lsn(applied), applied_max: Lsn(applied), synced: Lsn(proven) };
    let Ok((recovery, mut commits)) = recover(&disk, known) else { return Verdict::Refused };
    let Ok(wal) = recovery.into_wal() else { return Verdict::Refused };
    let mut read = Commits::new();
    let _ = wal.check();
    let _ = wal.read_from(Lsn(1), &mut |record| {
        read.push((record.lsn.0, record.kind, record.payload.to_vec()));
        true
    });
    let Ok(lsn) = wal.append(b"one more".to_vec(), 5, Durability::Sync) else { return Verdict::Refused };
    if wal.close(6).is_err() {
        return Verdict::Refused;
    }
    drop(wal);
    commits.push((lsn.0, RecordKind::Commit, b"one more".to_vec()));
    let (again, found) = recover(&disk, known).expect("a log that was opened and closed opens again");
    assert_eq!(found, commits, "a second recovery gives the same commits");
    assert!(again.clean() && again.dropped().is_none());
    Verdict::Accepted
}

fn seeds() -> Vec<(&'static str, Vec<u8>)> {
    let three = b"\x00\x05first\x00\x06second\x04\x01\x00\x05third";
    let part_commit = b"\x04\x05\x0a\x05\x02checksum";
    let input = |known: [u8; 2], items: &[&[u8]]| [&known[..], &items.concat()].concat();
    let segment = |flags: u8, numbers: [u64; 3]| {
        let mut out = vec![5, flags];
        numbers.iter().for_each(|n| out.extend_from_slice(&n.to_le_bytes()));
        out
    };
    let header = |len: u32, kind: u8, lsn: u64, synced: u64| {
        let mut out = vec![1];
        out.extend_from_slice(&len.to_le_bytes());
        out.extend_from_slice(&[kind, 0, 0, 0]);
        [lsn, 0, synced, 0].iter().for_each(|n| out.extend_from_slice(&n.to_le_bytes()));
        out
    };
    vec![
        ("torn", input([0, 0], &[three])),
        // Two parts, what completes them, and a third that nothing completes.
        (
            "parts",
            input(
                [0, 0],
                &[
                    three,
                    b"\x04\x04\x05\x00\x00\x01\x02\x01",
                    b"\x04\x04\x03\x05\x00\x00",
                    part_commit,
                    b"\x04\x04\x03\x00\x00\x00",
                ],
            ),
        ),
        ("closed", input([2, 2], &[three, &[4, 2]])),
        ("two-segments", input([0, 0], &[three, &segment(0, [0; 3]), three])),
        ("gap", input([0, 0], &[three, &segment(2, [4, 1 << 32, SEGMENT_LEN as u64]), three])),
        ("spare", input([0, 0], &[three, &segment(1, [0; 3])])),
        ("hole", input([0, 0], &[three, &[3, 9], three])),
        ("rotten-middle", input([0, 4], &[three, &[6, 40, 2, 8]])),
        ("long-length", input([0, 0], &[three, &header(u32::MAX, 1, 5, 3), three])),
        ("future-kind", input([0, 0], &[three, &header(0, 10, 5, 3)])),
        // At the beginning of the second block: of the group that is there, and of one that is gone.
        ("witness", input([0, 0], &[three, &[3, 255, 3, 166], &header(0, 9, 4, 2)])),
        ("witness-of-a-lost-group", input([0, 0], &[three, &[3, 255, 3, 166], &header(0, 9, 6, 4)])),
        ("witness-of-lost-groups", input([0, 0], &[three, &[3, 255, 3, 166], &header(0, 9, 7, 6)])),
        (
            "last-number",
            input(
                [0, 0],
                &[
                    &[7],
                    &(u64::MAX - 1).to_le_bytes(),
                    &segment(2, [u64::MAX - 9, u64::MAX - 8, SEGMENT_LEN as u64]),
                    three,
                ],
            ),
        ),
    ]
}
