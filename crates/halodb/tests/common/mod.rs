//! What the tests share: small databases on simulated disks, and short ways to look into them.
#![allow(dead_code)] // Each test program uses a part of it.

pub(crate) mod full_disk;
pub(crate) mod held_disk;
pub(crate) mod stored;

use std::sync::Arc;
use std::time::Duration;

use halodb::vfs::SimVfs;
use halodb::{Builder, Db, Depth, Result};

/// The directory of databases on simulated disks.
pub(crate) const PATH: &str = "data";

/// How many times more cases than usual a campaign wants: the environment's `HALODB_TEST_SCALE`, else 1.
pub(crate) fn scale() -> u32 {
    std::env::var("HALODB_TEST_SCALE").ok().and_then(|scale| scale.parse().ok()).unwrap_or(1)
}

/// An empty database on an empty simulated disk.
pub(crate) fn memory() -> (SimVfs, Db) {
    let disk = SimVfs::new();
    let db = on(&disk).open().expect("a new database opens");
    (disk, db)
}

/// Options for the database on a simulated disk.
pub(crate) fn on(disk: &SimVfs) -> Builder {
    Db::builder(PATH).vfs(Arc::new(disk.clone()))
}

/// Everything so small that a few hundred writes lead to freezes, merges in several chunks and recycled segments.
pub(crate) fn tiny(builder: Builder) -> Builder {
    builder
        .page_size(4096)
        .memtable(64 << 10)
        .merge_chunk(16 << 10)
        .segment(64 << 10)
        .log_limit(256 << 10)
        .interval(Duration::from_millis(5))
        .idle(Duration::from_millis(100))
}

/// The value of a key as text.
pub(crate) fn text(db: &Db, key: &str) -> Option<String> {
    let value = db.get(key).expect("a read succeeds")?;
    Some(String::from_utf8(value.to_vec()).expect("text"))
}

/// The keys of an iterator as text.
pub(crate) fn keys(pairs: halodb::Iter) -> Vec<String> {
    let keys = pairs.keys().collect::<Result<Vec<_>>>().expect("a scan succeeds");
    keys.iter().map(|key| String::from_utf8(key.to_vec()).expect("text")).collect()
}

/// Puts keys with the value "v".
pub(crate) fn put_all(db: &Db, keys: &[&str]) {
    put_all_in(db, keys);
}

/// As [`put_all`], in any keyspace.
pub(crate) fn put_all_in(keyspace: &halodb::Keyspace, keys: &[&str]) {
    let batch = keys.iter().fold(keyspace.batch(), |batch, key| batch.put(key, "v"));
    batch.commit().expect("a commit succeeds");
}

/// Fails if a check finds anything.
#[track_caller]
pub(crate) fn assert_sound(db: &Db) {
    let report = db.check(Depth::Deep).expect("a check succeeds");
    assert!(report.findings.is_empty(), "{:#?}", report.findings);
}
