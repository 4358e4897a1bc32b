//! [`Lens`]: how many keys keyspaces had when they were counted last.
//!
//! What a snapshot shows follows from its sequence number and its time alone, whatever is merged meanwhile. So as long as both
//! are the same the number of keys is the same, and asking again costs no look at any tree.

use halodb_partition::{self as partition, Lsn};
use parking_lot::Mutex;

use crate::space_id::SpaceId;

/// Keyspaces that are remembered.
const MOST: usize = 64;

/// See the head of this file.
#[derive(Debug, Default)]
pub(crate) struct Lens(Mutex<Vec<(SpaceId, Counted)>>);

/// What was counted, and when.
#[derive(Clone, Copy, Debug)]
struct Counted {
    lsn: Lsn,
    now_ms: u64,
    keys: u64,
}

impl Lens {
    pub(super) fn get(&self, space: SpaceId, view: &partition::Snapshot) -> Option<u64> {
        let known = self.0.lock();
        let (_, counted) = known.iter().find(|(of, _)| *of == space)?;
        (counted.lsn == view.lsn() && counted.now_ms == view.now_ms()).then_some(counted.keys)
    }

    pub(super) fn set(&self, space: SpaceId, view: &partition::Snapshot, keys: u64) {
        let counted = Counted { lsn: view.lsn(), now_ms: view.now_ms(), keys };
        let mut known = self.0.lock();
        match known.iter_mut().find(|(of, _)| *of == space) {
            Some((_, before)) => *before = counted,
            None => {
                if known.len() == MOST {
                    known.remove(0);
                }
                known.push((space, counted));
            }
        }
    }
}
