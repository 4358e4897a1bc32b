//! The words of the table: what a write says, what a read finds.

/// What a version of a key says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry<'a> {
    /// The key has this value.
    Value(&'a [u8]),
    /// The key is deleted.
    Tombstone,
}

impl<'a> Entry<'a> {
    /// The value, if it is one.
    pub fn value(self) -> Option<&'a [u8]> {
        match self {
            Self::Value(value) => Some(value),
            Self::Tombstone => None,
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
