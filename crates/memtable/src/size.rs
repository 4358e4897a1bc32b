//! What a write counts for, so that a limit in bytes means about that much memory.
//!
//! Exact means: a pure function of the writes, the same on every machine and allocator, and equal to the sum over all
//! that was written; nothing in the table is ever taken out, and so nothing is ever subtracted. The overheads are what the
//! arena, the index and the order take for a write beside its own bytes, on average.

use crate::entry::Entry;
use crate::record::EXPIRY_LEN;

/// Counted for each write of a key: the record's header (20), what rounds it up (4), its place in the order (12).
pub const RECORD_OVERHEAD_BYTES: u64 = 36;

/// Counted for each value that expires, beside the rest.
pub const EXPIRY_BYTES: u64 = EXPIRY_LEN as u64;

/// Counted once for each key: its slot in the index, which is a little more than half full.
pub const KEY_OVERHEAD_BYTES: u64 = 16;

/// Counted for each range delete beside the bytes of its two keys.
pub const RANGE_DELETE_OVERHEAD_BYTES: u64 = 80;

pub(crate) fn record_bytes(key: &[u8], entry: Entry<'_>) -> u64 {
    let expiry = if matches!(entry, Entry::Expiring(..)) { EXPIRY_BYTES } else { 0 };
    RECORD_OVERHEAD_BYTES + expiry + (key.len() + entry.value().map_or(0, <[u8]>::len)) as u64
}

pub(crate) fn range_delete_bytes(start: &[u8], end: Option<&[u8]>) -> u64 {
    RANGE_DELETE_OVERHEAD_BYTES + (start.len() + end.map_or(0, <[u8]>::len)) as u64
}
