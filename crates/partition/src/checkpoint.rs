//! [`Checkpoint`]: how far a tree is, kept in the user area of its page file's meta, so that one meta write publishes
//! the tree, its counts and its position in the log together.
//!
//! ```text
//! offset size  field
//!      0    4  layout (1)
//!      4    4  length of the blob
//!      8    8  applied: every log record up to this LSN that concerns the partition is in the tree
//!     16    8  synced: the log was known synced up to this LSN before the pages of this meta were written
//!     24    8  time mark in milliseconds (`clock.rs`; 0: no entry with an expiry was ever committed)
//!     32    …  blob of a layer above (none today)
//! ```

use crate::{Error, Result};
use halodb_wal::Lsn;
use std::path::Path;

const LAYOUT: u32 = 1;
const LEN: usize = 32;

/// The position of a tree in the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Checkpoint {
    pub(crate) applied: Lsn,
    pub(crate) synced: Lsn,
    pub(crate) mark_ms: u64,
}

impl Checkpoint {
    pub(crate) fn encode(self) -> [u8; LEN] {
        let mut out = [0u8; LEN];
        out[..4].copy_from_slice(&LAYOUT.to_le_bytes());
        out[8..16].copy_from_slice(&self.applied.0.to_le_bytes());
        out[16..24].copy_from_slice(&self.synced.0.to_le_bytes());
        out[24..32].copy_from_slice(&self.mark_ms.to_le_bytes());
        out
    }

    pub(crate) fn decode(bytes: &[u8], path: &Path) -> Result<Self> {
        let checkpoint = (bytes.len() >= LEN).then(|| {
            let word = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("8 bytes"));
            Checkpoint { applied: Lsn(word(8)), synced: Lsn(word(16)), mark_ms: word(24) }
        });
        // What this version does not use must be as it writes it: another layout is not to be guessed at.
        checkpoint
            .filter(|c| bytes == c.encode())
            .ok_or_else(|| Error::corrupt(path, "the meta page's checkpoint has an unknown layout"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkpoint_reads_back_and_other_layouts_are_refused() {
        let c = Checkpoint { applied: Lsn(5), synced: Lsn(9), mark_ms: 1_700_000_000_000 };
        assert_eq!(Checkpoint::decode(&c.encode(), Path::new("t")).unwrap(), c);
        for len in 0..LEN {
            assert!(Checkpoint::decode(&c.encode()[..len], Path::new("t")).is_err());
        }
        let mut other = c.encode();
        other[0] = 2;
        assert!(Checkpoint::decode(&other, Path::new("t")).is_err());
    }
}
