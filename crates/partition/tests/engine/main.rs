//! The engine as its caller sees it, on a simulated disk: reading, writing, merging, reopening, losing power.

mod backup_losses;
mod backups;
mod commits;
mod damage;
mod directories;
mod divided;
mod expiry;
mod large;
mod merges;
mod pacing;
mod reads;
mod recovery;
mod space;
mod spilled;
mod validated;

use halodb_partition::{Batch, Durability, Entropy, OpenReport, Options, PartitionSet, Snapshot};
use halodb_vfs::SimVfs;
use std::path::Path;
use std::sync::Arc;

pub(crate) const DIR: &str = "db";

/// Small pieces of everything, so that a few keys make freezes, chunks, segments and splits.
pub(crate) fn tiny() -> Options {
    let mut options = Options::default();
    options.partitions = Some(2);
    options.page_size = Some(4096);
    options.memtable_bytes = 64 << 10;
    options.segment_bytes = 64 << 10;
    options.first_segment_bytes = 64 << 10;
    options.log_limit_bytes = 256 << 10;
    options.chunk_bytes = 32 << 10;
    options
}

pub(crate) fn entropy() -> Entropy {
    Entropy { uuid: *b"the test's base.", incarnation: 1, hash_seed: 99 }
}

pub(crate) fn try_open(disk: &SimVfs, options: Options) -> halodb_partition::Result<(PartitionSet, OpenReport)> {
    PartitionSet::open(Arc::new(disk.clone()), Path::new(DIR), options, entropy(), 0)
}

pub(crate) fn open(disk: &SimVfs) -> PartitionSet {
    try_open(disk, tiny()).expect("opens").0
}

/// Runs jobs until none is due.
pub(crate) fn settle(set: &PartitionSet) {
    while let Some(job) = set.next_job(0) {
        job.run().expect("a merge on a sound disk");
    }
}

pub(crate) fn merge_all(set: &PartitionSet) {
    // What is frozen already has to go first.
    settle(set);
    set.freeze_all().expect("open");
    settle(set);
}

pub(crate) fn put(set: &PartitionSet, key: &str, value: &str) {
    let mut batch = Batch::new();
    batch.put(key.as_bytes(), value.as_bytes());
    commit(set, &batch);
}

pub(crate) fn commit(set: &PartitionSet, batch: &Batch) -> u64 {
    loop {
        match set.commit(batch, Durability::Sync, 0) {
            Ok(lsn) => return lsn.0,
            Err(e) if e.kind() == halodb_partition::ErrorKind::Stalled => settle(set),
            Err(e) => panic!("{e}"),
        }
    }
}

pub(crate) fn get(set: &PartitionSet, key: &str) -> Option<String> {
    set.get(key.as_bytes()).expect("readable").map(|v| String::from_utf8(v.into_vec()).expect("text"))
}

/// All pairs, by a cursor from the front; checked against one from the back, and against the count.
pub(crate) fn all(snapshot: &Snapshot) -> Vec<(String, String)> {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("text");
    let mut cursor = snapshot.cursor();
    let mut pairs = Vec::new();
    cursor.seek_first().expect("readable");
    while let Some(key) = cursor.key() {
        pairs.push((text(key), text(cursor.value().expect("readable").expect("live"))));
        cursor.next().expect("readable");
    }
    let mut back = Vec::new();
    cursor.seek_last().expect("readable");
    while let Some(key) = cursor.key() {
        back.push((text(key), text(cursor.value().expect("readable").expect("live"))));
        cursor.prev().expect("readable");
    }
    back.reverse();
    assert_eq!(pairs, back, "both directions show the same");
    use std::ops::Bound::Unbounded;
    assert_eq!(snapshot.count(Unbounded, Unbounded).expect("readable"), pairs.len() as u64, "the count is exact");
    pairs
}

pub(crate) fn keys(snapshot: &Snapshot) -> Vec<String> {
    all(snapshot).into_iter().map(|(key, _)| key).collect()
}

pub(crate) fn assert_sound(set: &PartitionSet) {
    let report = set.check(halodb_partition::Depth::Deep).expect("checkable");
    assert_eq!(report.findings, [], "{} pages", report.pages);
}
