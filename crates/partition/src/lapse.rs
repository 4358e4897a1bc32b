//! What a snapshot shows that has expired since: a commit that rests on it would be judged by what is no longer there.
//!
//! Keys are asked for their own expiry; a range is counted at both times: as time goes forward and nothing else differs,
//! the numbers are equal exactly if nothing in it has expired in between.

use crate::reads::ReadSet;
use crate::snapshot::Snapshot;
use crate::{Life, Result, count};
use halodb_vfs::mutant;
use std::ops::Bound;

impl Snapshot {
    /// Whether something that `reads` holds was there at the snapshot's time, and is not at a later one.
    pub(crate) fn has_lapsed(&self, reads: &ReadSet, now_ms: u64) -> Result<bool> {
        // A planted fault takes what has expired for unchanged.
        if now_ms <= self.now_ms() || mutant("partition.validate-ignores-expiry") {
            return Ok(false);
        }
        for key in reads.keys() {
            if matches!(self.life(key)?, Life::Until(at_ms) if at_ms <= now_ms) {
                return Ok(true);
            }
        }
        let later = self.at_time(now_ms);
        for (start, end) in reads.ranges() {
            let (from, to) = (Bound::Included(start), end.map_or(Bound::Unbounded, Bound::Excluded));
            if count::live_keys(self, from, to)? != count::live_keys(&later, from, to)? {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
