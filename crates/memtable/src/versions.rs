//! The versions of one key, ordered by sequence number, at most one for each number.
//!
//! Nearly every key has a single version and nearly every read wants the newest one, so that one lies in the map's node
//! itself and only older ones cost an allocation.

use crate::entry::{Entry, Found};

#[derive(Debug)]
pub(crate) struct Versions {
    newest: Found,
    /// Ascending sequence numbers, all below `newest.seq`.
    older: Vec<Found>,
}

impl Versions {
    pub(crate) fn new(seq: u64, entry: Entry) -> Self {
        Self { newest: Found { seq, entry }, older: Vec::new() }
    }

    /// Adds a version in its place; gives back what the same sequence number said before.
    pub(crate) fn insert(&mut self, seq: u64, entry: Entry) -> Option<Entry> {
        if seq == self.newest.seq {
            return Some(std::mem::replace(&mut self.newest.entry, entry));
        }
        if seq > self.newest.seq {
            let last = std::mem::replace(&mut self.newest, Found { seq, entry });
            self.older.push(last);
            return None;
        }
        // Writers come in order, so this is rare; it is handled because a wrong answer later would be worse.
        match self.older.binary_search_by_key(&seq, |version| version.seq) {
            Ok(i) => Some(std::mem::replace(&mut self.older[i].entry, entry)),
            Err(i) => {
                self.older.insert(i, Found { seq, entry });
                None
            }
        }
    }

    /// The newest version not younger than `at`. O(log versions).
    pub(crate) fn at(&self, at: u64) -> Option<&Found> {
        if self.newest.seq <= at {
            return Some(&self.newest);
        }
        let not_younger = self.older.partition_point(|version| version.seq <= at);
        self.older[..not_younger].last()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str) -> Entry {
        Entry::Value(text.as_bytes().into())
    }

    /// Inserts the numbers in this order and asks as of `at`.
    #[track_caller]
    fn check(order: &[u64], at: u64, expected: Option<u64>) {
        let mut versions = Versions::new(order[0], Entry::Tombstone);
        for &seq in &order[1..] {
            assert_eq!(versions.insert(seq, Entry::Tombstone), None);
        }
        assert_eq!(versions.at(at).map(|found| found.seq), expected);
    }

    #[test]
    fn the_newest_version_not_younger_is_found_whatever_the_order_of_arrival() {
        for order in [[2, 4, 6], [6, 4, 2], [4, 6, 2], [4, 2, 6]] {
            check(&order, 0, None);
            check(&order, 1, None);
            check(&order, 2, Some(2));
            check(&order, 3, Some(2));
            check(&order, 4, Some(4));
            check(&order, 5, Some(4));
            check(&order, 6, Some(6));
            check(&order, u64::MAX, Some(6));
        }
    }

    #[test]
    fn the_last_write_of_a_sequence_number_counts() {
        let mut versions = Versions::new(1, value("a"));
        assert_eq!(versions.insert(1, value("b")), Some(value("a")));
        assert_eq!(versions.insert(2, value("c")), None);
        assert_eq!(versions.insert(1, value("d")), Some(value("b")));
        assert_eq!(versions.at(1).map(|found| &found.entry), Some(&value("d")));
        assert_eq!(versions.at(2).map(|found| &found.entry), Some(&value("c")));
    }
}
