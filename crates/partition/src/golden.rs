//! The bytes of `testdata/*.hex`, which `docs/format` shows, are the bytes this crate writes.

use crate::backup_file::{BackupReport, Seal};
use crate::checkpoint::Checkpoint;
use crate::parts::PartCommit;
use crate::{Batch, Manifest};
use halodb_wal::Lsn;

/// Sixteen bytes a line after the offset, like `hexdump -C` without its last column.
fn hexdump(bytes: &[u8]) -> String {
    let mut out = String::new();
    for (line, chunk) in bytes.chunks(16).enumerate() {
        let hex: Vec<String> = chunk.iter().map(|b| format!("{b:02x}")).collect();
        out.push_str(&format!("{:08x}  {}\n", line * 16, hex.join(" ")));
    }
    out
}

fn check(bytes: &[u8], golden: &str) {
    let written = hexdump(bytes);
    assert!(written == golden, "written:\n{written}\nexpected:\n{golden}");
}

#[test]
fn a_manifest_is_written_as_documented() {
    let manifest = Manifest {
        uuid: *b"\x10\x11\x12\x13\x14\x15\x16\x17\x18\x19\x1a\x1b\x1c\x1d\x1e\x1f",
        incarnation: 1,
        partitions: 2,
        hash_seed: 0x0123_4567_89ab_cdef,
        page_size: 16384,
    };
    check(&manifest.encode(), include_str!("../testdata/manifest.hex"));
}

#[test]
fn a_batch_is_written_as_documented() {
    let mut batch = Batch::new();
    batch.delete_range(b"tmp/", Some(b"tmp0"));
    batch.put(b"apple", b"a fruit");
    batch.delete(b"pear");
    batch.put_until(b"plum", b"for a day", 1_700_086_400_000);
    check(&batch.encode(), include_str!("../testdata/batch.hex"));
}

#[test]
fn the_parts_of_a_large_commit_are_written_as_documented() {
    let (mut first, mut second) = (Batch::new(), Batch::new());
    first.put(b"apple", b"a fruit");
    second.delete(b"pear");
    let mut sum = PartCommit::default();
    let payload = sum.part(&first);
    sum.add(Lsn(2000), &payload);
    let payload = sum.part(&second);
    sum.add(Lsn(2001), &payload);
    check(&payload, include_str!("../testdata/part.hex"));
    check(&sum.encode(), include_str!("../testdata/part-commit.hex"));
}

#[test]
fn a_checkpoint_is_written_as_documented() {
    let checkpoint = Checkpoint { applied: Lsn(1000), synced: Lsn(1017), mark_ms: 0 };
    check(&checkpoint.encode(), include_str!("../testdata/checkpoint.hex"));
}

#[test]
fn a_backup_is_described_as_documented() {
    let seals = [(96, 0x1111), (8192, 0x2222), (65536, 0x3333)].map(|(len, sum)| Seal { len, sum });
    let report = BackupReport {
        uuid: *b"\x10\x11\x12\x13\x14\x15\x16\x17\x18\x19\x1a\x1b\x1c\x1d\x1e\x1f",
        incarnation: 1,
        seq: Lsn(1000),
        time_ms: 1_700_000_000_000,
        keys: 5,
        seals: seals.to_vec(),
    };
    check(&report.encode(), include_str!("../testdata/backup.hex"));
}
