//! One block: 32 bytes, eight words, one bit of a key in each. This file owns the format.
//!
//! ```text
//! filter = block 0 | block 1 | … | block n-1            n = length / 32, no header, no padding
//!
//! block    offset  size  field
//!               0     4  word 0   u32, little-endian
//!               4     4  word 1
//!               …     …  …
//!              28     4  word 7
//!
//! hash (64 bits) = upper 32 bits: which block | lower 32 bits: which bit of each word
//!     block  = (upper * n) >> 32
//!     bit i  = (lower * SALTS[i] mod 2^32) >> 27        bit 0 is a word's least significant one
//! ```
//!
//! A key is probably present when all eight of its bits are set. The blocks carry no checksum and no count: whoever
//! stores them adds what it needs.

/// Length of one block in bytes; a filter is a whole number of them.
pub const BLOCK_BYTES: usize = 32;

/// Words in a block, and bits set for each key.
const WORDS: usize = 8;
const WORD_BYTES: usize = 4;
/// The five highest bits of a product choose one of a word's 32 bits.
const BIT_SHIFT: u32 = 32 - 5;

const _: () = assert!(WORDS * WORD_BYTES == BLOCK_BYTES);
const _: () = assert!(1 << (32 - BIT_SHIFT) == WORD_BYTES * 8);

/// Odd multipliers, one for each word: those of the Parquet specification ("Bloom Filter", section "Technical Approach").
const SALTS: [u32; WORDS] =
    [0x47b6_137b, 0x4497_4d91, 0x8824_ad5b, 0xa2b7_289d, 0x7054_95c7, 0x2df1_424b, 0x9efc_4947, 0x5c6b_fb31];

/// Bytes of one block as they are stored.
pub(crate) type Block = [u8; BLOCK_BYTES];

/// Index of the block that holds `hash` among `blocks` blocks: the upper half scaled to the range by one multiplication,
/// which is as even as a remainder and needs no division. Below `blocks` for every hash if `blocks` is not zero.
pub(crate) fn index(hash: u64, blocks: usize) -> usize {
    // 128 bits because the count of blocks of a foreign slice is not bounded by 32 bits.
    ((u128::from(hash >> 32) * blocks as u128) >> 32) as usize
}

/// The bit of `hash` in word `word`, as a mask.
fn bit(hash: u64, word: usize) -> u32 {
    1 << ((hash as u32).wrapping_mul(SALTS[word]) >> BIT_SHIFT)
}

/// Sets the bits of `hash`.
pub(crate) fn insert(block: &mut Block, hash: u64) {
    let (words, _) = block.as_chunks_mut::<WORD_BYTES>();
    for (i, word) in words.iter_mut().enumerate() {
        *word = (u32::from_le_bytes(*word) | bit(hash, i)).to_le_bytes();
    }
}

/// Whether all bits of `hash` are set. No early exit: eight words without a branch become a few vector instructions.
pub(crate) fn contains(block: &Block, hash: u64) -> bool {
    let (words, _) = block.as_chunks::<WORD_BYTES>();
    let mut missing = 0;
    for (i, word) in words.iter().enumerate() {
        missing |= !u32::from_le_bytes(*word) & bit(hash, i);
    }
    missing == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_index(hash: u64, blocks: usize, expected: usize) {
        assert_eq!(index(hash, blocks), expected);
    }

    #[test]
    fn the_upper_half_of_a_hash_is_scaled_to_the_blocks() {
        check_index(0, 1, 0);
        check_index(u64::MAX, 1, 0);
        check_index(0x7fff_ffff_0000_0000, 2, 0);
        check_index(0x8000_0000_0000_0000, 2, 1);
        check_index(u64::MAX, 3, 2);
        check_index(u64::MAX, 1_000_003, 1_000_002);
    }

    #[test]
    fn a_key_sets_one_bit_in_each_word() {
        for hash in [0, 1, 0xffff_ffff, 0x1234_5678_9abc_def0] {
            let mut block = [0; BLOCK_BYTES];
            assert!(!contains(&block, hash));
            insert(&mut block, hash);
            assert!(contains(&block, hash));
            let (words, _) = block.as_chunks::<WORD_BYTES>();
            for word in words {
                assert_eq!(u32::from_le_bytes(*word).count_ones(), 1);
            }
        }
    }

    #[test]
    fn one_missing_bit_is_a_no() {
        let hash = 0xfeed_beef;
        let mut full = [0; BLOCK_BYTES];
        insert(&mut full, hash);
        for byte in 0..BLOCK_BYTES {
            if full[byte] != 0 {
                let mut block = full;
                block[byte] = 0;
                assert!(!contains(&block, hash), "byte {byte}");
            }
        }
    }
}
