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

/// The records of a segment, whose header states its number: wherever a length leads within the file, header and payload get the
/// checksums that belong there.
pub fn log(bytes: &mut [u8], uuid: &[u8; 16]) {
    const FIRST: usize = 512;
    const HEADER: usize = 48;
    let Some(number) = bytes.get(16..24).and_then(|field| field.first_chunk()).map(|field| u64::from_le_bytes(*field))
    else {
        return;
    };
    let mut at = FIRST;
    while at + HEADER <= bytes.len() {
        let len = u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]) as usize;
        let end = at + HEADER + len.min(bytes.len());
        if bytes[at + 4] == 0 || end > bytes.len() {
            at += 8;
            continue;
        }
        let crc = crc32(&bytes[at + HEADER..end]);
        bytes[at + 32..at + 36].copy_from_slice(&crc.to_le_bytes());
        record(&mut bytes[at..at + HEADER], uuid, number, at as u64);
        at = end.next_multiple_of(8);
    }
}

/// CRC-32 as the record's format names it (reflected, polynomial 0xedb88320), bit by bit: payloads here are short.
pub fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg()))
    })
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
