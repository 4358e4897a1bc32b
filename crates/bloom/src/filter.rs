//! Asks a finished filter, wherever its bytes lie (a mapped page, a buffer).
//!
//! Total on any bytes: garbage gives wrong answers, never a panic or a read outside the slice.

use crate::block::{self, BLOCK_BYTES, Block};

/// A filter over borrowed bytes.
///
/// ```
/// use halodb_bloom::Filter;
///
/// assert!(Filter::new(&[0; 31]).is_none());
/// assert!(Filter::new(&[]).unwrap().contains(7)); // no filter: anything may be there
/// assert!(!Filter::new(&[0; 64]).unwrap().contains(7));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Filter<'a> {
    blocks: &'a [Block],
}

impl<'a> Filter<'a> {
    /// `None` if the length is no multiple of 32. Costs nothing: the bytes are not looked at.
    pub fn new(bytes: &'a [u8]) -> Option<Self> {
        let (blocks, rest) = bytes.as_chunks::<BLOCK_BYTES>();
        rest.is_empty().then_some(Self { blocks })
    }

    /// False: certainly absent. True: probably present. An empty filter says true for everything.
    ///
    /// Reads one block: one cache line, or two if the bytes do not begin at a multiple of 32.
    pub fn contains(&self, hash: u64) -> bool {
        if self.blocks.is_empty() {
            return true;
        }
        block::contains(&self.blocks[block::index(hash, self.blocks.len())], hash)
    }
}
