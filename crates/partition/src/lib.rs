//! The engine of HaloDB: hash partitions of memtables and copy-on-write trees under one commit log.
//!
//! Writes enter the log and a memtable; reads look into the memtables and then into one B+ tree per partition, mapped;
//! one sorted merge in the background carries data from the first to the second. A batch is one log record, whatever
//! partitions it touches, and so it is atomic; a snapshot is one sequence number over all of them.
//!
//! What is absent on purpose: this crate **starts no thread, reads no clock and draws no random number**. Time and
//! entropy are handed in, and background work comes out as [`Job`]s, so that a test can drive the engine step by step
//! over a simulated disk. People use the `halodb` crate, which owns the threads.
//!
//! ```
//! use halodb_partition::{Batch, Durability, Entropy, Options, PartitionSet};
//! use std::{path::Path, sync::Arc};
//!
//! # fn main() -> halodb_partition::Result<()> {
//! let disk = Arc::new(halodb_vfs::SimVfs::new());
//! let entropy = Entropy { uuid: [7; 16], incarnation: 1, hash_seed: 42 };
//! let (set, report) = PartitionSet::open(disk, Path::new("data"), Options::default(), entropy, 0)?;
//! assert!(report.created);
//!
//! let mut batch = Batch::new();
//! batch.put(b"apple", b"1");
//! batch.put(b"pear", b"2");
//! set.commit(&batch, Durability::Sync, 0)?;
//! assert_eq!(set.get(b"pear")?.as_deref(), Some(&b"2"[..]));
//!
//! // Nobody merges unless asked to.
//! set.freeze_all()?;
//! while let Some(job) = set.next_job(0) {
//!     job.run()?;
//! }
//! assert_eq!(set.stats().tree_keys, 2);
//! set.close(0)
//! # }
//! ```
//!
//! Rooms: `directory`, `manifest`, `open` (coming into being) · `batch`, `commit` (writing) · `version`, `snapshot`,
//! `multi`, `stream`, `sources`, `cursor`, `count`, `nth` (reading) · `checkpoint`, `merge`, `jobs`, `close` (carrying data into the trees) ·
//! `compact` (files that shrink) · `check`, `stats`, `space` (looking) · `doctor`, `patient`, `readout`, `salvage` (what is left of a damaged one).

#![forbid(unsafe_code)]

mod batch;
mod check;
mod checkpoint;
mod close;
mod commit;
mod compact;
mod count;
mod cursor;
mod directory;
mod doctor;
mod error;
#[cfg(test)]
mod golden;
mod jobs;
mod manifest;
mod merge;
mod multi;
mod nth;
mod open;
mod options;
mod pace;
mod patient;
mod readout;
mod routing;
mod salvage;
mod set;
mod snapshot;
mod sources;
mod space;
mod stats;
mod stream;
mod sync;
mod value;
mod version;

pub use batch::{Batch, Op, decode};
pub use check::{CheckReport, Depth, Finding};
pub use commit::{Expect, Outcome};
pub use compact::{Compaction, Compactor};
pub use cursor::Cursor;
pub use doctor::{Ailment, Diagnosis, Health, diagnose};
pub use error::{Error, ErrorKind, Result};
pub use halodb_wal::{Durability, Lsn};
pub use jobs::Job;
pub use manifest::Manifest;
pub use options::{Create, Entropy, MAX_PARTITIONS, OpenReport, Options};
pub use readout::BehindGaps;
pub use salvage::{SalvageReport, salvage};
pub use set::PartitionSet;
pub use snapshot::Snapshot;
pub use space::{LogSpace, OtherFile, PartitionSpace, Space};
pub use stats::{PartitionShape, Stats};
pub use value::Value;
