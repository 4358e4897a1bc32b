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
//! Rooms: `directory`, `manifest`, `open`, `opening`, `replay` (coming into being) · `batch`, `commit` (writing) · `staged`, `parts`, `large` (writing much) · `reads`,
//! `ranges`, `evidence`, `validate` (writing on the strength of what was read) · `version`, `snapshot`,
//! `multi`, `stream`, `sources`, `cursor`, `count`, `nth`, `written` (reading) · `checkpoint`, `plan`, `merge`, `jobs`, `close` (carrying data into the trees) ·
//! `pinned` (what only readers keep) · `clock`, `turn_back`, `sweep` (what expires) · `compact` (files that shrink) · `check`, `stats`, `space` (looking) · `doctor`,
//! `patient`, `readout`, `salvage` (what is left of a damaged one) · `inspect` (files as bytes) · `backup`, `backup_tree`, `backup_place`, `backup_file`, `restore`
//! (copies and their way back).

#![forbid(unsafe_code)]

mod backup;
mod backup_file;
mod backup_place;
mod backup_tree;
mod batch;
mod check;
mod checkpoint;
mod clock;
mod close;
mod commit;
mod compact;
mod count;
mod cursor;
mod directory;
mod doctor;
mod error;
mod evidence;
mod few;
mod fleeting;
#[cfg(test)]
mod golden;
mod inspect;
mod jobs;
mod lapse;
mod large;
mod layer_edits;
mod manifest;
mod merge;
mod multi;
mod newest;
mod nth;
mod open;
mod opening;
mod options;
mod pace;
mod parts;
mod patient;
mod pinned;
mod plan;
mod ranges;
mod readout;
mod reads;
mod replay;
mod restore;
mod routing;
mod run;
mod runs;
mod salvage;
mod set;
mod snapshot;
mod sources;
mod space;
mod spill;
mod staged;
mod stats;
mod stream;
mod sweep;
mod sync;
mod turn_back;
mod uncommitted;
mod validate;
mod value;
mod version;
mod written;

pub use backup_file::BackupReport;
pub use backup_place::Existing;
pub use backup_tree::{CopyProgress, CopyStep, OnProgress};
pub use batch::{Batch, Op, decode};
pub use check::{CheckProgress, CheckReport, Depth, Finding};
pub use commit::{Expect, Outcome, Removal};
pub use compact::{Compaction, Compactor};
pub use cursor::Cursor;
pub use doctor::{Ailment, Diagnosis, Health, diagnose};
pub use error::{Error, ErrorKind, Result};
pub use evidence::Basis;
pub use halodb_btree::{Executor, InTurn, Task};
pub use halodb_memtable::Life;
pub use halodb_wal::{Durability, Lsn};
pub use inspect::{
    Inspector, LogReport, Metas, PageReport, Position, Referrer, SegmentReport, SlotReport, Standing, Verdict,
};
pub use jobs::Job;
pub use manifest::Manifest;
pub use opening::{OpenProgress, Opening, SideBySide};
pub use options::{Create, Entropy, MAX_PARTITIONS, OpenReport, Options};
pub use ranges::KeyRanges;
pub use readout::BehindGaps;
pub use reads::ReadSet;
pub use restore::{RestoreReport, restore, verify};
pub use salvage::{SalvageReport, salvage};
pub use set::PartitionSet;
pub use snapshot::Snapshot;
pub use space::{LogSpace, OtherFile, PartitionSpace, Space};
pub use staged::Staged;
pub use stats::{PartitionShape, Stats};
pub use turn_back::turn_back;
pub use uncommitted::Share;
pub use validate::Validated;
pub use value::Value;
pub use written::Written;
