//! [`Lsn`] and [`Durability`]: the two words in which the log and its callers speak about a record.
//!
//! An LSN numbers records, nothing else: it is neither a position in a file nor a time.

use std::fmt;

/// Sequence number of a record: from 1, never used twice, contiguous except for gaps after a crash.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lsn(pub u64);

impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How durable a record is when its writer is answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Durability {
    /// In this process's buffer; written within an interval. Lost when the process dies.
    Memory,
    /// Handed to the operating system: survives a killed process, not a power loss.
    Buffered,
    /// Synchronised with the disk: survives a power loss.
    #[default]
    Sync,
}

/// The distance that an open after a crash leaves: its first LSN is the next multiple of this, plus this once more.
/// Every LSN that the dead process may have given out without a trace lies below.
pub(crate) const GAP: u64 = 1 << 32;

/// The first LSN after an unclean end whose greatest known LSN is `greatest`; `None` if the numbers are used up.
pub(crate) fn after_gap(greatest: u64) -> Option<u64> {
    greatest.checked_next_multiple_of(GAP)?.checked_add(GAP)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_starts_at_a_multiple_of_two_to_the_32_and_spans_at_least_as_much() {
        let check = |greatest, expected| assert_eq!(after_gap(greatest), expected);
        check(0, Some(GAP));
        check(1, Some(2 * GAP));
        check(GAP, Some(2 * GAP));
        check(GAP + 1, Some(3 * GAP));
        check(u64::MAX, None);
        check(u64::MAX - GAP, None);
    }
}
