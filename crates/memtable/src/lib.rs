//! An ordered, versioned, size-accounted map in memory, with any number of readers beside one writer.
//!
//! Each write carries a sequence number; a reader asks "as of sequence number `at`" and is not disturbed by what comes
//! later. Deletes are entries too (tombstones), for one key or for a range of keys. Nothing is ever taken out: when the
//! table has grown enough, its owner puts a new one in its place, writes the old one elsewhere and drops it.
//!
//! Records lie in an arena, in the order of arrival; a hash index leads to them; the order of keys is made when somebody
//! asks for it. So a write costs a copy and a probe, and a key that is not there one probe. The table knows neither logs
//! nor files, has no clock, and does not decide which sequence numbers are visible. It does not hash: the caller has the hash already.
//!
//! ```
//! use std::hash::{BuildHasher, RandomState};
//! use std::sync::Arc;
//! use halodb_memtable::{Entry, Memtable};
//!
//! let hasher = RandomState::new();
//! let hash = |key: &[u8]| hasher.hash_one(key);
//! let table = Arc::new(Memtable::new());
//! table.insert(hash(b"apple"), b"apple", 1, Entry::Value(b"green"));
//! table.insert(hash(b"apple"), b"apple", 2, Entry::Value(b"red"));
//! table.delete_range(b"a", Some(b"b"), 3);
//!
//! assert_eq!(table.get(hash(b"apple"), b"apple", 1).unwrap().entry, Entry::Value(b"green"));
//! assert_eq!(table.get(hash(b"apple"), b"apple", 3).unwrap().entry, Entry::Tombstone);
//! assert_eq!(table.get(hash(b"pear"), b"pear", 3), None);
//!
//! let mut cursor = table.cursor(2);
//! cursor.seek_first();
//! assert_eq!(cursor.key(), Some(b"apple".as_slice()));
//! assert_eq!(cursor.found().unwrap().seq, 2);
//! ```
//!
//! Rooms: `table` (all together) · `arena`, `record` (where writes lie) · `index` (by hash) · `order`, `run`, `cursor` (by
//! key) · `tally` (counting) · `timed` (counting what expires) · `since` (what came after a moment) · `ranges` · `list`,
//! `pool` (memory) · `size`.

mod arena;
mod cursor;
mod entry;
mod index;
mod list;
mod order;
mod pool;
mod ranges;
mod record;
mod run;
mod since;
mod size;
mod sync;
mod table;
mod tally;
mod timed;

pub use arena::Bytes;
pub use cursor::Cursor;
pub use entry::{Entry, Found, Life, RangeDelete};
pub use pool::Pool;
pub use since::{Moment, Touched};
pub use size::{EXPIRY_BYTES, KEY_OVERHEAD_BYTES, RANGE_DELETE_OVERHEAD_BYTES, RECORD_OVERHEAD_BYTES};
pub use table::Memtable;
pub use tally::{AsOf, Tally};

/// The README's example runs as a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
