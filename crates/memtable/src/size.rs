//! What a write counts for, so that a limit in bytes means about that much memory.
//!
//! Exact means: a pure function of the writes, the same on every machine and allocator, and equal to the sum over what
//! the table holds. The overheads approximate what a 64-bit allocator takes beside the bytes themselves (glibc's took 0.97 to
//! 1.17 times the accounted size, with keys of 20 bytes and values of 10 to 1,000, in order, at random and overwritten); they are
//! constants so that the moment a table is full does not depend on the shape its tree happened to get.

use crate::entry::Entry;

/// Counted once for each key: its slot in the ordered map (nodes are about two thirds full) and its allocation.
pub const KEY_OVERHEAD_BYTES: u64 = 80;

/// Counted for each version of a key, the first one included: its entry in the chain, the counters of the shared value,
/// its allocation.
pub const VERSION_OVERHEAD_BYTES: u64 = 64;

/// Counted for each range delete beside the bytes of its two keys.
pub const RANGE_DELETE_OVERHEAD_BYTES: u64 = 80;

pub(crate) fn key_bytes(key: &[u8]) -> u64 {
    KEY_OVERHEAD_BYTES + key.len() as u64
}

pub(crate) fn version_bytes(entry: &Entry) -> u64 {
    VERSION_OVERHEAD_BYTES + entry.value_bytes()
}

pub(crate) fn range_delete_bytes(start: &[u8], end: Option<&[u8]>) -> u64 {
    RANGE_DELETE_OVERHEAD_BYTES + (start.len() + end.map_or(0, <[u8]>::len)) as u64
}
