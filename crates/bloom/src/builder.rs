//! Collects hashes until their number, and with it the filter's size, is known.
//!
//! A block filter cannot grow: a key's block depends on the number of blocks. So the builder keeps the hashes (8 bytes
//! each) and lays out the blocks at the end.

use crate::block::{self, BLOCK_BYTES};

const MIN_BITS_PER_KEY: u32 = 1;
const MAX_BITS_PER_KEY: u32 = 64;

/// Collects hashes and builds a filter of a fixed number of bits per key.
///
/// The hashes must be well mixed in all 64 bits (xxh3, for example); equal hashes count as two keys.
///
/// ```
/// let mut builder = halodb_bloom::Builder::new(11);
/// for key in 0..1000_u64 {
///     builder.insert(key.wrapping_mul(0x9e37_79b9_7f4a_7c15));
/// }
/// let mut bytes = Vec::new();
/// builder.finish_into(&mut bytes);
/// assert_eq!(bytes.len(), 1376); // 1000 keys * 11 bits, rounded up to 43 blocks of 32 bytes
/// assert!(builder.is_empty());
/// ```
#[derive(Debug)]
pub struct Builder {
    bits_per_key: u32,
    hashes: Vec<u64>,
}

impl Builder {
    /// `bits_per_key` between 1 and 64; what lies outside is taken as the nearer bound.
    ///
    /// Eight bits let 3.3 % of the absent keys through, 11 bits 0.82 %, 16 bits 0.13 %; beyond about 20 more bits gain
    /// little, because the number of bits set for a key stays eight.
    pub fn new(bits_per_key: u32) -> Self {
        let bits_per_key = bits_per_key.clamp(MIN_BITS_PER_KEY, MAX_BITS_PER_KEY);
        Self { bits_per_key, hashes: Vec::new() }
    }

    /// Adds a key's hash. Eight bytes of memory each until the filter is finished.
    pub fn insert(&mut self, hash: u64) {
        self.hashes.push(hash);
    }

    /// Keys added.
    pub fn len(&self) -> usize {
        self.hashes.len()
    }

    /// None added.
    pub fn is_empty(&self) -> bool {
        self.hashes.is_empty()
    }

    /// Bytes [`finish_into`](Self::finish_into) would append now: a multiple of [`BLOCK_BYTES`], zero for no key.
    pub fn finished_bytes(&self) -> usize {
        let bits = self.hashes.len().saturating_mul(self.bits_per_key as usize);
        bits.div_ceil(BLOCK_BYTES * 8) * BLOCK_BYTES
    }

    /// Appends the filter's bytes (a multiple of 32; none for no key) to `out` and empties the builder for the next one.
    ///
    /// The bytes depend on the set of hashes and `bits_per_key` only, not on the order of the hashes.
    pub fn finish_into(&mut self, out: &mut Vec<u8>) {
        let start = out.len();
        out.resize(start + self.finished_bytes(), 0);
        let (blocks, _) = out[start..].as_chunks_mut::<BLOCK_BYTES>();
        for hash in self.hashes.drain(..) {
            let index = block::index(hash, blocks.len());
            block::insert(&mut blocks[index], hash);
        }
    }
}
