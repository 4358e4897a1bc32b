//! What a set of partitions is created and opened with, and what an open reports.
//!
//! Defaults are those of the facade's configuration; this crate only checks ranges.

use crate::{Error, Result};
use halodb_btree::{Executor, InTurn};
use std::num::NonZeroUsize;
use std::sync::Arc;

/// What a set is created or opened with. What is fixed at creation is `None` for "as it is, or the default".
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Options {
    /// Number of partitions, 1 to 256. Fixed at creation; 1 by default.
    pub partitions: Option<u32>,
    /// Page size in bytes, a power of two from 4096 to 65536. Fixed at creation; 16384 by default.
    pub page_size: Option<u32>,
    /// Bytes of all memtables together, active and frozen.
    pub memtable_bytes: u64,
    /// Bytes of a log segment, 4 KiB to 1 GiB.
    pub segment_bytes: u64,
    /// Bytes of the first segment of a new database, in the same range; at most `segment_bytes` are taken.
    pub first_segment_bytes: u64,
    /// Bytes of live log beyond which the partition with the oldest data is merged.
    pub log_limit_bytes: u64,
    /// Bytes of tree pages written per merge chunk: what a merge takes of the disk before it gives anything back.
    pub chunk_bytes: u64,
    /// Who runs the parts of a merge: in one thread undivided, by default.
    pub merge_executor: Arc<dyn Executor>,
    /// Keys of a memtable that make a part of a merge at least: threads are not worth it for a few.
    pub merge_part_keys: u64,
    /// Filter bits per key; 0 builds no filters.
    pub filter_bits_per_key: u32,
    /// Milliseconds without a write after which a partition's memtable is merged.
    pub idle_ms: u64,
    /// A page file of which at least so many percent are free is compacted when nobody has written to its partition for
    /// the idle time; 0: never, 100 at most.
    pub compact_free_percent: u32,
    /// Milliseconds between two looks at whether something has expired that is to be taken out of the trees; 0: nothing is,
    /// until it is written over. What has expired is absent at once in any case.
    pub sweep_ms: u64,
    /// Bytes of a batch from which on it is logged in parts and gets a memtable of its own; `None`: a quarter of the memtables, at
    /// least 1 MiB and at most 32 MiB. For tests, which make it tiny.
    pub large_bytes: Option<u64>,
    /// Bytes of memory that all batches and transactions together may hold which are not committed, and as much again the layers of
    /// large commits which are not merged; what a batch has beyond it goes to files. `None`: 32 times the memtables, at least 64 MiB.
    /// For tests, which make it tiny.
    pub uncommitted_bytes: Option<u64>,
    /// What to do when the directory holds no database.
    pub create: Create,
}

/// What to do when the directory holds no database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Create {
    /// Create it.
    IfMissing,
    /// Fail with [`crate::ErrorKind::NotFound`].
    Never,
}

/// Greatest number of partitions.
pub const MAX_PARTITIONS: u32 = 256;
const DEFAULT_PARTITIONS: u32 = 1;
/// What the log accepts.
const SEGMENT_BYTES: std::ops::RangeInclusive<u64> = 4 << 10..=1 << 30;
const DEFAULT_PAGE_SIZE: u32 = 16 << 10;

impl Default for Options {
    fn default() -> Self {
        Self {
            partitions: None,
            page_size: None,
            memtable_bytes: 64 << 20,
            segment_bytes: 16 << 20,
            first_segment_bytes: 1 << 20,
            log_limit_bytes: 64 << 20,
            chunk_bytes: 64 << 20,
            merge_executor: Arc::new(InTurn(NonZeroUsize::MIN)),
            merge_part_keys: 1024,
            filter_bits_per_key: 11,
            idle_ms: 10_000,
            compact_free_percent: 50,
            sweep_ms: 1000,
            large_bytes: None,
            uncommitted_bytes: None,
            create: Create::IfMissing,
        }
    }
}

impl Options {
    pub(crate) fn partitions_or_default(&self) -> u32 {
        self.partitions.unwrap_or(DEFAULT_PARTITIONS)
    }

    pub(crate) fn page_size_or_default(&self) -> u32 {
        self.page_size.unwrap_or(DEFAULT_PAGE_SIZE)
    }

    /// Refuses what cannot work, naming the value and the range.
    pub(crate) fn validate(&self) -> Result<()> {
        let partitions = self.partitions_or_default();
        if !(1..=MAX_PARTITIONS).contains(&partitions) {
            return Err(Error::invalid(format!("{partitions} partitions: choose 1 to {MAX_PARTITIONS}")));
        }
        let page = self.page_size_or_default();
        if !page.is_power_of_two() || !(halodb_pager::MIN_PAGE_SIZE..=halodb_pager::MAX_PAGE_SIZE).contains(&page) {
            return Err(Error::invalid(format!(
                "page size {page}: choose a power of two from {} to {} bytes",
                halodb_pager::MIN_PAGE_SIZE,
                halodb_pager::MAX_PAGE_SIZE
            )));
        }
        for (name, bytes) in [("segment_bytes", self.segment_bytes), ("first_segment_bytes", self.first_segment_bytes)]
        {
            if !SEGMENT_BYTES.contains(&bytes) {
                let (least, most) = (SEGMENT_BYTES.start(), SEGMENT_BYTES.end());
                return Err(Error::invalid(format!("{name} {bytes}: choose {least} to {most} bytes")));
            }
        }
        if self.filter_bits_per_key > 64 {
            return Err(Error::invalid(format!("{} filter bits per key: choose 0 to 64", self.filter_bits_per_key)));
        }
        if self.compact_free_percent > 100 {
            let percent = self.compact_free_percent;
            return Err(Error::invalid(format!("compact_free_percent {percent}: choose 0 (never) to 100")));
        }
        if self.memtable_bytes == 0 || self.chunk_bytes == 0 || self.log_limit_bytes == 0 {
            return Err(Error::invalid("memtable, chunk and log limit must be more than 0 bytes"));
        }
        Ok(())
    }
}

/// Random numbers handed in for one open; used only if the database is created.
#[derive(Clone, Copy, Debug)]
pub struct Entropy {
    /// Names the database for ever.
    pub uuid: [u8; 16],
    /// Names this life of it: a restored backup draws another one.
    pub incarnation: u64,
    /// Seeds the hash that spreads keys over partitions, so that nobody can prepare keys that all meet in one.
    pub hash_seed: u64,
}

/// What an open found and did.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct OpenReport {
    /// The database was created.
    pub created: bool,
    /// The last process closed it in order (or it is new).
    pub clean: bool,
    /// Log records replayed into memory.
    pub replayed: u64,
    /// Bytes of the log that were read.
    pub read_bytes: u64,
    /// An unproven tail of the log that was dropped, as one line for people.
    pub dropped: Option<String>,
}
