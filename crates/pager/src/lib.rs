//! Fixed-size pages in one file: read through a mapping, written copy-on-write, committed by one meta page.
//!
//! A [`Pager`] is an open file. A [`WriteTxn`] takes pages, writes them and gives up others; its commit makes all of that
//! durable and visible at once, or not at all. A [`Snapshot`] reads one committed version for as long as it lives, without
//! locks, while the writer goes on. Pages given up are written again when no snapshot and no meta that a crash could
//! leave reaches them.
//!
//! The pager does not know what a key is: it stores up to sixteen roots and a small user area for the layer above.
//!
//! Reading the source: [`id`](PageId) and `error` first; then the formats, each drawn in its file: `page`, `meta`,
//! `freelist`; then `snapshot` for reading, and `txn`, `commit`, `pending`, `slots` for the rules of reuse and crash
//! safety; `open` and `pager` tie them together; `check` proves the accounting; [`inspect`] reads single pages of files that do
//! not open.

mod bytes;
mod check;
mod collect;
mod commit;
#[cfg(test)]
mod crafted;
mod error;
mod extents;
mod file;
mod freelist;
#[cfg(test)]
mod golden;
mod growth;
mod hands;
mod id;
pub mod inspect;
mod meta;
mod open;
mod page;
mod pager;
mod pending;
mod prefetch;
mod probe;
mod raw;
mod shared;
mod slots;
mod snapshot;
mod stats;
mod txn;
mod verified;

pub use check::Finding;
pub use error::{Error, Result};
pub use extents::PageSet;
pub use hands::{Hand, Hands};
pub use id::{
    Access, Identity, MAX_PAGE_SIZE, MAX_ROOTS, MAX_USER_LEN, MIN_PAGE_SIZE, PAGE_HEADER_LEN, PageId, PageKind,
    PageRef, Root, Stamp,
};
pub use open::{Opened, OtherSlot};
pub use pager::Pager;
pub use probe::is_written;
pub use raw::{RawPage, RawPages, read_identity};
pub use snapshot::{Page, Proof, Snapshot};
pub use stats::PagerStats;
pub use txn::WriteTxn;

/// The example in the README runs with the documentation's.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
