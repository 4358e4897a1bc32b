//! [`Setup`]: the configurations that campaigns run under. All are small, so that memtables fill, segments turn over and
//! chunks end within a few hundred operations.

use halodb::partition::{Create, InTurn, Options};
use halodb::vfs::Vfs;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;

/// One configuration.
#[derive(Clone, Debug)]
pub struct Setup {
    /// For people.
    pub name: &'static str,
    /// Number of partitions.
    pub partitions: u32,
    /// Bytes of a page.
    pub page_size: u32,
    /// Bytes of all memtables.
    pub memtable_bytes: u64,
    /// Bytes of a log segment, the first one included.
    pub segment_bytes: u64,
    /// Bytes of live log that force a merge.
    pub log_limit_bytes: u64,
    /// Bytes of tree pages per merge chunk.
    pub chunk_bytes: u64,
    /// Filter bits per key.
    pub filter_bits: u32,
    /// Seed of the routing hash.
    pub hash_seed: u64,
    /// Merges are divided into so many parts, where there are a few keys for each.
    pub merge_parts: NonZeroUsize,
    /// Bytes of a batch from which on it is a large one; `None`: as by default, which no workload reaches.
    pub large_bytes: Option<u64>,
    /// Bytes of memory for what is not committed, beyond which large batches of the engine are spilled; `None`: as by default, which no
    /// workload reaches. The facade's transactions would be refused, so it has the default.
    pub uncommitted_bytes: Option<u64>,
}

/// Everything tiny: every mechanism runs all the time.
pub const TINY: Setup = Setup {
    name: "tiny",
    partitions: 2,
    page_size: 4096,
    memtable_bytes: 8 << 10,
    segment_bytes: 8 << 10,
    log_limit_bytes: 32 << 10,
    chunk_bytes: 4 << 10,
    filter_bits: 10,
    hash_seed: 1,
    merge_parts: NonZeroUsize::MIN,
    large_bytes: None,
    uncommitted_bytes: None,
};

const THREE: NonZeroUsize = NonZeroUsize::MIN.saturating_add(2);

/// One partition, and merges in three parts.
pub const ONE: Setup =
    Setup { name: "one", partitions: 1, chunk_bytes: 32 << 10, hash_seed: 2, merge_parts: THREE, ..TINY };

/// Four partitions of large pages. Many a batch is a large one, and most of these find no room in memory.
pub const WIDE: Setup = Setup {
    name: "wide",
    partitions: 4,
    page_size: 16 << 10,
    memtable_bytes: 64 << 10,
    segment_bytes: 64 << 10,
    log_limit_bytes: 256 << 10,
    chunk_bytes: 16 << 10,
    filter_bits: 11,
    hash_seed: 3,
    merge_parts: NonZeroUsize::MIN,
    large_bytes: Some(1200),
    uncommitted_bytes: Some(2500),
};

/// One partition of large pages, no filters, a memtable that seldom fills, and merges in three parts.
pub const ROOMY: Setup = Setup {
    name: "roomy",
    partitions: 1,
    memtable_bytes: 512 << 10,
    log_limit_bytes: 4 << 20,
    chunk_bytes: 256 << 10,
    filter_bits: 0,
    hash_seed: 4,
    merge_parts: THREE,
    large_bytes: None,
    uncommitted_bytes: None,
    ..WIDE
};

/// Many partitions, room in memory, and little log: partitions without entries hold it back, and their positions are
/// advanced all the time, while others have commits that are not durable yet. Some batches are larger than a third of that log, and
/// go there in parts.
pub const SCANT: Setup = Setup {
    name: "scant",
    partitions: 6,
    memtable_bytes: 512 << 10,
    log_limit_bytes: 9 << 10,
    hash_seed: 5,
    large_bytes: Some(3000),
    ..TINY
};

/// All of them.
pub const ALL: &[Setup] = &[TINY, ONE, WIDE, ROOMY, SCANT];

impl Setup {
    /// The configuration that part `index` of a campaign runs under.
    pub fn number(index: u64) -> &'static Setup {
        &ALL[(index % ALL.len() as u64) as usize]
    }

    /// For the engine.
    pub fn options(&self, create: Create) -> Options {
        let mut options = Options::default();
        options.partitions = Some(self.partitions);
        options.page_size = Some(self.page_size);
        options.memtable_bytes = self.memtable_bytes;
        options.segment_bytes = self.segment_bytes;
        options.first_segment_bytes = self.segment_bytes;
        options.log_limit_bytes = self.log_limit_bytes;
        options.chunk_bytes = self.chunk_bytes;
        options.filter_bits_per_key = self.filter_bits;
        // One after another, so that a run is a function of its seed.
        options.merge_executor = Arc::new(InTurn(self.merge_parts));
        options.merge_part_keys = 2;
        options.idle_ms = 10_000;
        options.large_bytes = self.large_bytes;
        options.uncommitted_bytes = self.uncommitted_bytes;
        options.create = create;
        options
    }

    /// For the facade.
    pub fn builder(&self, disk: Arc<dyn Vfs>, dir: &Path, create: Create) -> halodb::Builder {
        let builder = halodb::Db::builder(dir)
            .vfs(disk)
            .partitions(self.partitions)
            .page_size(self.page_size)
            .memtable(self.memtable_bytes)
            .segment(self.segment_bytes)
            .log_limit(self.log_limit_bytes)
            .merge_chunk(self.chunk_bytes)
            .bits_per_key(self.filter_bits);
        let builder = self.large_bytes.into_iter().fold(builder, halodb::Builder::large_from);
        match create {
            Create::IfMissing => builder,
            Create::Never => builder.existing(),
        }
    }
}
