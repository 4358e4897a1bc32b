//! What the table's lock protects: the ordered map of keys and the list of range deletes, and how they are read together.
//!
//! Invariant: at one sequence number a range delete comes before the entries, so it hides what is older than itself and
//! never what is as old as itself.

use std::collections::BTreeMap;
use std::ops::Bound;

use crate::entry::{Entry, Found, RangeDelete};
use crate::size;
use crate::versions::Versions;

#[derive(Debug, Default)]
pub(crate) struct State {
    keys: BTreeMap<Box<[u8]>, Versions>,
    /// In the order of arrival. A list and not a tree: range deletes are few in one table, and a reader walks none if there are none.
    range_deletes: Vec<RangeDelete>,
}

/// What a write changed, for the counters.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) added_versions: u64,
    pub(crate) added_bytes: u64,
    pub(crate) removed_bytes: u64,
}

impl State {
    pub(crate) fn insert(&mut self, key: &[u8], seq: u64, entry: Entry) -> Change {
        let bytes = size::version_bytes(&entry);
        // Two descents for a new key, so that a key which is there already costs no allocation.
        let Some(versions) = self.keys.get_mut(key) else {
            self.keys.insert(key.into(), Versions::new(seq, entry));
            return Change { added_versions: 1, added_bytes: size::key_bytes(key) + bytes, removed_bytes: 0 };
        };
        match versions.insert(seq, entry) {
            None => Change { added_versions: 1, added_bytes: bytes, removed_bytes: 0 },
            Some(replaced) => {
                Change { added_versions: 0, added_bytes: bytes, removed_bytes: size::version_bytes(&replaced) }
            }
        }
    }

    pub(crate) fn delete_range(&mut self, range: RangeDelete) -> Change {
        let bytes = size::range_delete_bytes(&range.start, range.end.as_deref());
        self.range_deletes.push(range);
        Change { added_versions: 1, added_bytes: bytes, removed_bytes: 0 }
    }

    pub(crate) fn get(&self, key: &[u8], at: u64) -> Option<Found> {
        match self.keys.get(key).and_then(|versions| versions.at(at)) {
            Some(own) => Some(self.resolve(key, at, own)),
            None => self.cover(key, at).map(Found::tombstone),
        }
    }

    pub(crate) fn range_deletes(&self) -> &[RangeDelete] {
        &self.range_deletes
    }

    /// The next key from `bound` on in `direction` that has an own version not younger than `at`, looking at `limit` keys
    /// at most.
    pub(crate) fn step(&self, bound: Bound<&[u8]>, direction: Direction, at: u64, limit: usize) -> Step<'_> {
        match direction {
            Direction::Forward => self.first_at(self.keys.range::<[u8], _>((bound, Bound::Unbounded)), at, limit),
            Direction::Backward => {
                self.first_at(self.keys.range::<[u8], _>((Bound::Unbounded, bound)).rev(), at, limit)
            }
        }
    }

    fn first_at<'a>(
        &'a self,
        keys: impl Iterator<Item = (&'a Box<[u8]>, &'a Versions)>,
        at: u64,
        limit: usize,
    ) -> Step<'a> {
        for (looked_at, (key, versions)) in (1..).zip(keys) {
            if let Some(own) = versions.at(at) {
                return Step::At(key, self.resolve(key, at, own));
            }
            if looked_at == limit {
                return Step::Interrupted(key);
            }
        }
        Step::End
    }

    /// What holds for `key` as of `at`: its own newest version, or a tombstone of the range delete that hides it.
    fn resolve(&self, key: &[u8], at: u64, own: &Found) -> Found {
        match self.cover(key, at) {
            Some(seq) if own.seq < seq => Found::tombstone(seq),
            _ => own.clone(),
        }
    }

    /// The youngest range delete not younger than `at` that covers `key`.
    fn cover(&self, key: &[u8], at: u64) -> Option<u64> {
        let covers = self.range_deletes.iter().filter(|range| range.seq <= at && range.covers(key));
        covers.map(|range| range.seq).max()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    Forward,
    Backward,
}

/// Where a step led.
#[derive(Debug)]
pub(crate) enum Step<'a> {
    /// To this key.
    At(&'a [u8], Found),
    /// As many keys as allowed were looked at, the last of them this one; it and all before it are to be skipped.
    Interrupted(&'a [u8]),
    /// Past the last key.
    End,
}
