//! [`Stats`]: the engine's plain numbers, and those of the calls.

use std::ops::Deref;

use halodb_partition as partition;

use crate::meter::{FilterStats, Latencies, Operations};

/// Plain numbers about memory, files and work: those of the engine ([`partition::Stats`], which it dereferences to), how many
/// calls there were, and how long they took. Events are counted since the open, so that what happened between two looks is
/// the difference.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Stats {
    /// Sizes, log, merges.
    pub engine: partition::Stats,
    /// Calls by kind.
    pub operations: Operations,
    /// How long they took.
    pub latencies: Latencies,
    /// What filters are worth.
    pub filters: FilterStats,
}

impl Deref for Stats {
    type Target = partition::Stats;
    fn deref(&self) -> &partition::Stats {
        &self.engine
    }
}
