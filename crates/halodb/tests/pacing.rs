//! Writers that are faster than the merges are slowed down by many short waits, not stopped by a long one.

mod common;

use std::sync::Arc;
use std::time::{Duration, Instant};

use common::full_disk::FullDisk;
use common::{PATH, assert_sound};
use halodb::{Db, Durability};

/// Writes until some merges are done; gives the number of writes, the longest one, and the time per merge.
fn write_through_merges(db: &Db) -> (u64, Duration, Duration) {
    let (begun, mut longest, mut writes) = (Instant::now(), Duration::ZERO, 0u64);
    while db.stats().merges < 4 {
        let key = format!("{:016x}", writes.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let before = Instant::now();
        db.put(key, [7; 150]).unwrap();
        longest = longest.max(before.elapsed());
        writes += 1;
    }
    (writes, longest, begun.elapsed() / 4)
}

#[test]
fn no_write_waits_for_a_whole_merge_however_slow_merges_are() {
    for partitions in [1, 3] {
        let disk = FullDisk::default();
        let db = Db::builder(PATH)
            .vfs(Arc::new(disk.clone()))
            .durability(Durability::Memory)
            .partitions(partitions)
            .page_size(4096)
            .memtable((2 << 20) * u64::from(partitions))
            .merge_chunk(128 << 10)
            .open()
            .unwrap();
        disk.set_tree_sync_ms(25);
        let (writes, longest, per_merge) = write_through_merges(&db);
        disk.set_tree_sync_ms(0);
        let stats = db.stats();
        let context = format!("longest of {writes}: {longest:?}, a merge takes {per_merge:?}; {stats:?}");
        assert!(per_merge > Duration::from_millis(250), "the disk is slow: {context}");
        assert!(longest < per_merge / 2, "{context}");
        assert_eq!(stats.stalls, 0, "{context}");
        assert!(stats.slowed > 10 && stats.slowed_us / stats.slowed < 50_000, "{context}");
        assert_eq!(db.len().unwrap(), writes);
        db.flush().unwrap();
        assert_sound(&db);
        db.close().unwrap();
    }
}
