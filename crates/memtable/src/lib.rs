//! An ordered, versioned, size-accounted map in memory, with any number of readers beside one writer.
//!
//! Each write carries a sequence number; a reader asks "as of sequence number `at`" and is not disturbed by what comes
//! later. Deletes are entries too (tombstones), for one key or for a range of keys. Nothing is ever taken out: when the
//! table has grown enough, its owner puts a new one in its place, writes the old one elsewhere and drops it.
//!
//! The table knows neither logs nor files, and does not decide which sequence numbers are visible.
//!
//! ```
//! use std::sync::Arc;
//! use halodb_memtable::{Entry, Memtable};
//!
//! let table = Arc::new(Memtable::new());
//! table.insert(b"apple", 1, Entry::Value(b"green".as_slice().into()));
//! table.insert(b"apple", 2, Entry::Value(b"red".as_slice().into()));
//! table.delete_range(b"a", Some(b"b"), 3);
//!
//! assert_eq!(table.get(b"apple", 1).unwrap().entry, Entry::Value(b"green".as_slice().into()));
//! assert_eq!(table.get(b"apple", 3).unwrap().entry, Entry::Tombstone);
//! assert_eq!(table.get(b"pear", 3), None);
//!
//! let mut cursor = table.cursor(2);
//! cursor.seek_first();
//! assert_eq!(cursor.key(), Some(b"apple".as_slice()));
//! assert_eq!(cursor.found().unwrap().seq, 2);
//! ```
#![forbid(unsafe_code)]

mod cursor;
mod entry;
mod size;
mod state;
mod table;
mod versions;

pub use cursor::Cursor;
pub use entry::{Bytes, Entry, Found, RangeDelete};
pub use size::{KEY_OVERHEAD_BYTES, RANGE_DELETE_OVERHEAD_BYTES, VERSION_OVERHEAD_BYTES};
pub use table::Memtable;

/// The README's example runs as a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
