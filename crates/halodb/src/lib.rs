//! HaloDB: a durable, ordered, embedded key-value database.
//!
//! Writes are absorbed as by an LSM tree (a log and tables in memory), reads are served as by LMDB (a copy-on-write
//! B+ tree, mapped into memory), and a sorted merge in the background carries data from the first to the second. A
//! database is a directory; one process has it open at a time, with any number of threads.
//!
//! ```
//! use halodb::Db;
//!
//! # let dir = tempfile::tempdir()?;
//! # let path = dir.path().join("data");
//! let db = Db::open(&path)?;
//!
//! db.put("fruit/apple", "red")?; // on the disk when it returns
//! db.batch().put("fruit/banana", "yellow").put("fruit/plum", "blue").commit()?; // both or none
//!
//! assert_eq!(db.get("fruit/apple")?.as_deref(), Some(&b"red"[..]));
//! assert_eq!(db.len()?, 3);
//!
//! for pair in db.prefix("fruit/").rev() {
//!     let (key, value) = pair?;
//!     println!("{} is {}", key.escape_ascii(), value.escape_ascii());
//! }
//!
//! let before = db.snapshot();
//! assert!(db.delete("fruit/plum")?);
//! assert!(before.contains("fruit/plum")?);
//!
//! db.close()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Keys can be kept apart in [keyspaces](Keyspace), and changed by what they hold:
//!
//! ```
//! # let dir = tempfile::tempdir()?;
//! # let db = halodb::Db::open(dir.path())?;
//! let (users, visits) = (db.keyspace("users")?, db.keyspace("visits")?);
//! db.batch().put_in(&users, "1", "Ada").put_in(&visits, "1", "0").commit()?; // both or none
//! assert_eq!(visits.increment("1", 1)?, 1);
//! assert_eq!(users.insert("1", "Ada Lovelace")?.as_deref(), Some(&b"Ada"[..])); // what was there
//! assert_eq!(users.delete_prefix("1")?, 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What it promises
//!
//! - A write that was acknowledged with [`Durability::Sync`], the default, survives a killed process and a power cut.
//! - A [`Batch`] is there whole or not at all, for every reader and after every crash.
//! - A [`Transaction`] is serializable, and has no locks: if somebody else wrote what it read, it is tried again.
//! - A scan, a count and a [`Snapshot`] show one moment; writers do not wait for them, nor they for writers.
//! - Counts are exact.
//! - What the disk gives back wrong is an error, never wrong data. After a failed sync nothing more is acknowledged.
//!
//! `docs/durability.md` in the repository says what is assumed of the disk, and what cannot be told.
//!
//! # Failures
//!
//! One [`Error`], with a [kind](Error::kind), a sentence, a [hint](Error::hint) about what to do next, and its causes. A
//! missing key is `None`, not an error. A full disk fails writes and lets reads go on; a write is never half done.
//!
//! # Reading the source
//!
//! This crate is a facade: [`Keyspace`] turns keys into stored keys (`space_id.rs`), hands them to
//! [`partition::PartitionSet`], and owns what the engine is handed: threads (`workers.rs`), the clock (`clock.rs`, and `ttl_clock.rs`, which never goes
//! back),
//! random numbers (`builder.rs`). Where writers wait for threads is `gate.rs`. The crates below are re-exported by their
//! short names, and each can be used alone.
//!
//! # Features
//!
//! - `config` (default): reading `halodb.toml`. Without it such a file is refused, not overlooked.
//! - `tracing` (default): events about opens, merges and failures.

#![forbid(unsafe_code)]

mod batch;
mod builder;
mod catalogue;
mod clock;
pub mod config;
mod crew;
mod db;
mod doctor;
mod engine;
mod error;
mod gate;
mod hint;
mod histogram;
pub mod inspect;
mod iter;
mod kept;
mod key;
mod keyspace;
mod meter;
mod pins;
mod recovery;
mod restore;
mod sample;
mod scan;
mod settings;
mod short;
mod snapshot;
mod space_id;
mod span;
mod stats;
mod trace;
mod transaction;
mod ttl;
mod ttl_calls;
mod ttl_clock;
mod walk;
mod workers;
mod write;

pub use batch::Batch;
pub use builder::Builder;
pub use db::{Db, Space};
pub use doctor::{doctor, salvage, turn_back};
pub use error::{Error, ErrorKind, Result};
pub use histogram::Histogram;
pub use iter::{Iter, Keys, Values};
pub use key::Key;
pub use keyspace::Keyspace;
pub use meter::{FilterStats, Latencies, Operations};
pub use pins::HeldSnapshot;
pub use restore::Restore;
pub use scan::Scan;
pub use snapshot::Snapshot;
pub use stats::Stats;
pub use transaction::{Transaction, TransactionIter, TransactionKeyspace};
pub use ttl::{Ttl, TtlState};
pub use ttl_clock::ClockDoubt;
pub use write::{Cas, Commit, Condition, Update, WriteOptions};

pub use halodb_partition::{Ailment, BehindGaps, Diagnosis, Health, SalvageReport};
pub use halodb_partition::{BackupReport, CopyProgress, CopyStep, RestoreReport};
pub use halodb_partition::{
    CheckProgress, CheckReport, Compaction, Depth, Finding, LogSpace, OpenProgress, OpenReport, OtherFile,
    PartitionShape, PartitionSpace, Value,
};
pub use halodb_wal::{Durability, Lsn};

pub use halodb_bloom as bloom;
pub use halodb_btree as btree;
pub use halodb_memtable as memtable;
pub use halodb_pager as pager;
pub use halodb_partition as partition;
pub use halodb_vfs as vfs;
pub use halodb_wal as wal;

/// Compiles the example of the crate's README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
