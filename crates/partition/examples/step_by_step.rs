//! The engine driven by hand over a simulated disk: write, merge a little, lose power, reopen.

use halodb_partition::{Batch, Durability, Entropy, Options, PartitionSet, Result};
use halodb_vfs::SimVfs;
use halodb_vfs::sim::CrashMode;
use std::path::Path;
use std::sync::Arc;

fn open(disk: &SimVfs) -> Result<PartitionSet> {
    let entropy = Entropy { uuid: *b"a demonstration.", incarnation: 1, hash_seed: 42 };
    let (set, report) = PartitionSet::open(Arc::new(disk.clone()), Path::new("data"), Options::default(), entropy, 0)?;
    println!("opened: created {}, {} records replayed", report.created, report.replayed);
    Ok(set)
}

fn main() -> Result<()> {
    let disk = SimVfs::new();
    let set = open(&disk)?;
    for i in 0..1000u32 {
        let mut batch = Batch::new();
        batch.put(format!("key {i:04}").as_bytes(), b"value");
        set.commit(&batch, Durability::Sync, 0)?;
    }
    set.freeze_all()?;
    let job = set.next_job(0).expect("two memtables are frozen");
    println!("running one of two jobs: {}", job.describe());
    job.run()?;
    println!("{} keys in trees, {} versions in memory", set.stats().tree_keys, set.stats().memtable_versions);

    println!("the power fails: what was not synchronised is gone");
    let disk = disk.crash_image(disk.ops(), CrashMode::Strict, 1);
    let set = open(&disk)?;
    let snapshot = set.snapshot();
    let count = snapshot.count(std::ops::Bound::Unbounded, std::ops::Bound::Unbounded)?;
    println!("{count} keys are there; check: {} findings", set.check(halodb_partition::Depth::Deep)?.findings.len());
    set.close(0)
}
