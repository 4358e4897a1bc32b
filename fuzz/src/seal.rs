//! Checksums for bytes that a fuzzer made, after `docs/format/`: written a second time, without the engine's code, so that
//! a checksum that both sides get wrong in the same way would show in the corpus.
//!
//! Each function changes the checksum field only, and does nothing to bytes that are too short to have one.

use halodb::pager::Identity;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

fn put(bytes: &mut [u8], at: usize, sum: u64) {
    bytes[at..at + 8].copy_from_slice(&sum.to_le_bytes());
}

/// The last eight of the first `len` bytes become the checksum over those before: metas (4,096), segment headers (512), the
/// manifest (96).
pub fn trailing(bytes: &mut [u8], len: usize) {
    if let Some(bytes) = bytes.get_mut(..len) {
        let sum = xxh3_64(&bytes[..len - 8]);
        put(bytes, len - 8, sum);
    }
}

/// A page or extent of the file with this identity.
pub fn page(bytes: &mut [u8], identity: &Identity) {
    if bytes.len() >= 8 {
        let mut key = identity.uuid.to_vec();
        key.extend_from_slice(&identity.incarnation.to_le_bytes());
        key.extend_from_slice(&identity.file_id.to_le_bytes());
        let sum = xxh3_64_with_seed(&bytes[8..], xxh3_64(&key));
        put(bytes, 0, sum);
    }
}

/// The header of a record that starts `bytes`, standing at `offset` of segment `number`.
pub fn record(bytes: &mut [u8], uuid: &[u8; 16], number: u64, offset: u64) {
    if bytes.len() >= 48 {
        let base = xxh3_64_with_seed(uuid, number);
        let seed = base.wrapping_add(offset.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let sum = xxh3_64_with_seed(&bytes[..40], seed);
        put(bytes, 40, sum);
    }
}

/// A page file: both metas, and every page and extent that its header states to lie within the file.
pub fn page_file(bytes: &mut [u8], identity: &Identity) {
    let page_size = identity.page_size as usize;
    for slot in 0..2 {
        if let Some(meta) = bytes.get_mut(slot * page_size..) {
            trailing(meta, 4096);
        }
    }
    let mut at = 2 * page_size;
    while at + page_size <= bytes.len() {
        let stated = u32::from_le_bytes([bytes[at + 28], bytes[at + 29], bytes[at + 30], bytes[at + 31]]) as usize;
        let pages = if stated <= (bytes.len() - at) / page_size { stated.max(1) } else { 1 };
        page(&mut bytes[at..at + pages * page_size], identity);
        at += pages * page_size;
    }
}
