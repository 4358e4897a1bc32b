//! One append-only, checksummed log in segments, with group commit led by the waiting writers.
//!
//! A record is an opaque payload with a sequence number ([`Lsn`]). It is as durable as its writer asked ([`Durability`]) when
//! the writer is answered, and everything before it too. After a crash, [`Wal::recover`] tells an unproven tail, which
//! is dropped whole, from corruption, which is refused; a sequence number is never given out twice.
//!
//! Alone it is a durable queue:
//!
//! ```
//! use halodb_vfs::OsVfs;
//! use halodb_wal::{Durability, Known, Result, Wal, WalOptions};
//! use std::sync::Arc;
//!
//! # let dir = tempfile::tempdir().unwrap();
//! let options = WalOptions::new([7; 16], 1);
//! let wal = Wal::create(Arc::new(OsVfs), dir.path(), options.clone())?;
//! wal.append(b"first".to_vec(), 0, Durability::Sync)?;
//! wal.append(b"second".to_vec(), 0, Durability::Sync)?;
//! drop(wal); // A crash: nothing more is written.
//!
//! let mut seen = Vec::new();
//! let recovery = Wal::recover(Arc::new(OsVfs), dir.path(), options, Known::default(), &mut |record| {
//!     seen.push(record.payload.to_vec());
//!     Result::Ok(())
//! })?;
//! assert_eq!(seen, [b"first".to_vec(), b"second".to_vec()]);
//! let wal = recovery.into_wal()?;
//! assert!(wal.append(b"third".to_vec(), 0, Durability::Sync)?.0 > 2);
//! # Result::Ok(())
//! ```
//!
//! A caller with state of its own enters the section where sequence numbers are given out ([`Wal::sequence`]), appends, puts its
//! state in place, leaves, and then waits ([`Wal::wait`]).
//!
//! What it does *not* do: it does not know what a payload means, starts no thread, reads no clock, and does not lock
//! its directory; two processes on one log are the caller's to prevent.
//!
//! Rooms: `record` and `segment` own the bytes; `scan`, `chain` and `recover` read a log that may be damaged; `open`
//! makes it writable; `buffer`, `sequencer` and `group` are the way of a commit; `room` prepares and recycles segments; `reader`
//! reads an open log; [`inspect`] shows the bytes of one segment.

#![forbid(unsafe_code)]

mod buffer;
mod chain;
mod error;
mod files;
mod group;
pub mod inspect;
mod lsn;
mod open;
mod options;
mod progress;
mod reader;
mod record;
mod recover;
mod rescue;
mod room;
mod scan;
mod segment;
mod segments;
mod sequencer;
mod skim;
mod sync;
mod wal;

pub use error::{Error, Result};
pub use lsn::{Durability, Lsn};
pub use options::WalOptions;
pub use reader::Finding;
pub use record::{HEADER_LEN, MAX_PAYLOAD_BYTES, NoHeader, Payload, Place, Record, RecordHeader, RecordKind};
pub use recover::{DroppedTail, Group, Known, Recovery};
pub use rescue::{Rescued, rescue};
pub use segment::{NoSegment, RECORDS_START, SEGMENT_HEADER_LEN, SegmentHeader, VERSION, file_name, parse_file_name};
pub use sequencer::Sequencer;
pub use wal::{Wal, WalStats};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
