//! The words of the table: what a write says, what a read finds.

/// What a version of a key says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry<'a> {
    /// The key has this value.
    Value(&'a [u8]),
    /// The key has this value until a time, in milliseconds of the caller's clock, above 0; from then on it is as deleted.
    Expiring(&'a [u8], u64),
    /// The key is deleted.
    Tombstone,
}

impl<'a> Entry<'a> {
    /// The value, if it is one, whether its time has come or not.
    #[inline]
    pub fn value(self) -> Option<&'a [u8]> {
        match self {
            Self::Value(value) | Self::Expiring(value, _) => Some(value),
            Self::Tombstone => None,
        }
    }

    /// The value, if there is one at `now_ms`.
    #[inline]
    pub fn live_value(self, now_ms: u64) -> Option<&'a [u8]> {
        match self {
            Self::Value(value) => Some(value),
            Self::Expiring(value, at_ms) if now_ms < at_ms => Some(value),
            Self::Expiring(..) | Self::Tombstone => None,
        }
    }

    /// How long there is a value.
    #[inline]
    pub fn life(self) -> Life {
        match self {
            Self::Value(_) => Life::Forever,
            Self::Expiring(_, at_ms) => Life::Until(at_ms),
            Self::Tombstone => Life::Absent,
        }
    }
}

/// How long a key has a value, if nobody writes to it.
///
/// ```
/// use halodb_memtable::{Entry, Life};
/// assert_eq!(Entry::Expiring(b"v", 10).life(), Life::Until(10));
/// assert!(Life::Until(10).is_live(9) && !Life::Until(10).is_live(10));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Life {
    /// It has none.
    #[default]
    Absent,
    /// Before this time, in milliseconds, it has one; from then on it has none.
    Until(u64),
    /// It has one.
    Forever,
}

impl Life {
    /// Whether there is a value at a time, in milliseconds.
    #[inline]
    pub fn is_live(self, now_ms: u64) -> bool {
        match self {
            Self::Absent => false,
            Self::Until(at_ms) => now_ms < at_ms,
            Self::Forever => true,
        }
    }
}

/// A version found: what it says and its sequence number. It lies in the table and is borrowed from there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found<'a> {
    /// Sequence number of the write.
    pub seq: u64,
    /// What it says.
    pub entry: Entry<'a>,
}

impl Found<'_> {
    pub(crate) fn tombstone(seq: u64) -> Self {
        Self { seq, entry: Entry::Tombstone }
    }
}

/// Half-open key range `[start, end)` with `end == None` for "to the last key", deleted at `seq`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RangeDelete {
    /// First key deleted.
    pub start: Box<[u8]>,
    /// First key not deleted.
    pub end: Option<Box<[u8]>>,
    /// Sequence number.
    pub seq: u64,
}

impl RangeDelete {
    /// Whether `key` lies in the range.
    pub fn covers(&self, key: &[u8]) -> bool {
        &*self.start <= key && self.end.as_deref().is_none_or(|end| key < end)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[track_caller]
    fn check(start: &str, end: Option<&str>, key: &str, expected: bool) {
        let range = RangeDelete { start: start.as_bytes().into(), end: end.map(|end| end.as_bytes().into()), seq: 1 };
        assert_eq!(range.covers(key.as_bytes()), expected);
    }

    #[test]
    fn a_range_includes_its_start_and_not_its_end() {
        check("b", Some("d"), "a", false);
        check("b", Some("d"), "b", true);
        check("b", Some("d"), "c\u{7f}", true);
        check("b", Some("d"), "d", false);
        check("b", None, "zzz", true);
        check("b", None, "a", false);
        check("", Some("a"), "", true);
        check("d", Some("b"), "c", false);
    }
}
