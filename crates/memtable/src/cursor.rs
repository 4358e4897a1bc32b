//! Walks a table that may grow meanwhile, in both directions.
//!
//! Between two moves the cursor holds no lock and no pointer into the map, only a copy of the key it is on; each move
//! finds its place again by a descent. What is written behind its back is younger than `at` and therefore skipped.

use std::ops::Bound;
use std::sync::Arc;

use crate::entry::Found;
use crate::state::{Direction, Step};
use crate::table::Memtable;

/// Keys looked at under one hold of the lock. A snapshot may have to skip any number of younger keys; the writer must not
/// wait for all of them.
const KEYS_PER_LOCK: usize = 256;

/// A position in a memtable; owns a share of the table. Before the first move it is on no key.
///
/// A move costs one descent of the tree, O(log n), one copy of the key into a buffer that is reused, and more only for
/// keys that are all younger than the cursor's sequence number. The writer is never kept waiting for more than 256 keys.
#[derive(Debug)]
pub struct Cursor {
    table: Arc<Memtable>,
    at: u64,
    key: Vec<u8>,
    /// `None`: on no key, and `key` means nothing.
    found: Option<Found>,
}

/// Where a move begins.
#[derive(Clone, Copy)]
enum From {
    End,
    /// The key in the buffer.
    AtKey,
    /// The key after the one in the buffer, in the direction of the move.
    BeyondKey,
}

impl Cursor {
    pub(crate) fn new(table: Arc<Memtable>, at: u64) -> Self {
        Self { table, at, key: Vec::new(), found: None }
    }

    /// To the first key.
    pub fn seek_first(&mut self) {
        self.walk(From::End, Direction::Forward);
    }

    /// To the last key.
    pub fn seek_last(&mut self) {
        self.walk(From::End, Direction::Backward);
    }

    /// To the first key not below `key`.
    pub fn seek(&mut self, key: &[u8]) {
        self.set_key(key);
        self.walk(From::AtKey, Direction::Forward);
    }

    /// To the last key not above `key`.
    pub fn seek_back(&mut self, key: &[u8]) {
        self.set_key(key);
        self.walk(From::AtKey, Direction::Backward);
    }

    /// To the next key (does nothing when on no key).
    pub fn next(&mut self) {
        if self.found.is_some() {
            self.walk(From::BeyondKey, Direction::Forward);
        }
    }

    /// To the previous key (does nothing when on no key).
    pub fn prev(&mut self) {
        if self.found.is_some() {
            self.walk(From::BeyondKey, Direction::Backward);
        }
    }

    /// The key, or `None` when past either end.
    pub fn key(&self) -> Option<&[u8]> {
        self.found.is_some().then_some(&*self.key)
    }

    /// The version at the key.
    pub fn found(&self) -> Option<&Found> {
        self.found.as_ref()
    }

    fn set_key(&mut self, key: &[u8]) {
        self.key.clear();
        self.key.extend_from_slice(key);
    }

    /// Goes on until a key has a version not younger than `at`, or there is no further key.
    fn walk(&mut self, mut from: From, direction: Direction) {
        self.found = None;
        loop {
            let go_on = self.table.read(|state| {
                let bound = match from {
                    From::End => Bound::Unbounded,
                    From::AtKey => Bound::Included(&*self.key),
                    From::BeyondKey => Bound::Excluded(&*self.key),
                };
                let (key, found) = match state.step(bound, direction, self.at, KEYS_PER_LOCK) {
                    Step::At(key, found) => (key, Some(found)),
                    Step::Interrupted(key) => (key, None),
                    Step::End => return false,
                };
                self.key.clear();
                self.key.extend_from_slice(key);
                self.found = found;
                self.found.is_none()
            });
            if !go_on {
                return;
            }
            from = From::BeyondKey;
        }
    }
}
