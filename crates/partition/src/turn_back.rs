//! [`turn_back`]: sets the time of a database back that a wrong clock has put ahead.
//!
//! Time goes forward only, across crashes and orderly ends, so that nothing that expired comes back. Where a machine's clock was
//! years ahead for a moment, and a database was opened in it, that is the wrong thing: keys are absent that have time left, and
//! nothing that is written with an expiry lives. So somebody may say that it was a mistake. What was not dropped from the
//! trees meanwhile is there again; what was is gone.
//!
//! The time is stated by the log's clean-close marker, by commits that would be replayed, and by both metas of each page file. So:
//! everything is merged, the metas are written anew, each slot in turn, and the log is closed in order. A power loss in between
//! leaves a meta with the later time, and with it the state before.

use crate::clock::AHEAD_MS;
use crate::options::{Create, Entropy};
use crate::{Error, Options, PartitionSet, Result};
use halodb_vfs::Vfs;
use std::path::Path;
use std::sync::Arc;

/// Sets the time of the database in `dir` back to `now_ms`, if it is more than ten seconds ahead of that; the time before.
/// `None`: it is not, and nothing was changed. Nobody may have it open.
///
/// Cost: an open, merges of what it replays, a few synchronisations for each partition, a close.
///
/// # Errors
/// Those of [`PartitionSet::open`], [`PartitionSet::flush`] and [`PartitionSet::close`]; the time is then as it was, or set back.
pub fn turn_back(vfs: Arc<dyn Vfs>, dir: &Path, options: Options, now_ms: u64) -> Result<Option<u64>> {
    let options = Options { create: Create::Never, ..options };
    let unused = Entropy { uuid: [0; 16], incarnation: 0, hash_seed: 0 };
    let (set, _) = PartitionSet::open(vfs, dir, options, unused, now_ms)?;
    let shared = &set.shared;
    let before = set.time_ms();
    if before <= now_ms.saturating_add(AHEAD_MS) {
        // Left as it was found: closed in order, or to be recovered by whoever opens it next.
        set.close(now_ms)?;
        return Ok(None);
    }
    if now_ms == 0 {
        return Err(Error::invalid("the time to set back to is that of no clock"));
    }
    shared.clock.set_back(now_ms);
    set.flush()?;
    for partition in 0..shared.partitions.len() {
        shared.advance_idle(partition)?;
    }
    set.close(now_ms)?;
    Ok(Some(before))
}
