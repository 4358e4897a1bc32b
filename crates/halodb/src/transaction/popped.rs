//! [`Popped`]: what a transaction has taken away from the ends of keyspaces: at each of them everything up to an *edge*.
//!
//! Few keys are committed as a delete each, many as one range delete from the end to the edge: that takes no memory and no log
//! for each key, and a merge gives up whole pages of them. Not always, as until it is merged every read looks at every range
//! delete: so each stands for [`MOST`] keys at least.
//!
//! What lies up to an edge counts as read: that there was nothing else is what the pops rest on, and what makes it no
//! matter whether the keys or their range are deleted.
//!
//! Keys here are stored keys. This file does *not* know what others wrote there, nor what the transaction wrote there since.

use std::ops::Bound;

use crate::Key;
use crate::short::Short;
use crate::space_id::SpaceId;
use crate::span::Span;
use crate::walk::Side;

/// So many keys of an end are remembered one by one.
const MOST: usize = 16_384;

/// See the head of this file.
#[derive(Debug)]
pub(super) struct Popped {
    ends: Vec<End>,
    most: usize,
}

/// What was taken from one end.
#[derive(Debug)]
struct End {
    space: SpaceId,
    side: Side,
    /// From the end of the keyspace to the edge, which is included.
    span: Span,
    /// What was taken; `None`: too much to be remembered.
    keys: Option<Vec<Key>>,
}

impl End {
    fn covers(&self, stored: &[u8]) -> bool {
        self.span.is_above_lower(stored) && self.span.is_below_upper(stored)
    }
}

impl Default for Popped {
    fn default() -> Self {
        Popped { ends: Vec::new(), most: MOST }
    }
}

impl Popped {
    #[cfg(test)]
    pub(super) fn with_most(most: usize) -> Self {
        Popped { most, ..Popped::default() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Takes a key, the nearest one that there is, from an end.
    pub(super) fn take(&mut self, space: SpaceId, side: Side, stored: &[u8]) {
        let known = self.ends.iter().position(|end| end.space == space && end.side == side);
        let number = known.unwrap_or_else(|| {
            self.ends.push(End { space, side, span: Span::all(space), keys: Some(Vec::new()) });
            self.ends.len() - 1
        });
        // A key that was put before the edge since, and taken now, does not bring the edge back.
        let end = &mut self.ends[number];
        if end.keys.as_ref().is_some_and(Vec::is_empty) || !end.covers(stored) {
            let edge = Bound::Included(Short::from(stored));
            match side {
                Side::Front => end.span.upper = edge,
                Side::Back => end.span.lower = edge,
            }
        }
        self.note(number, stored);
    }

    /// A key before the edge of an end is to be deleted with what was taken.
    pub(super) fn add(&mut self, space: SpaceId, side: Side, stored: &[u8]) {
        if let Some(number) = self.ends.iter().position(|end| end.space == space && end.side == side) {
            self.note(number, stored);
        }
    }

    fn note(&mut self, number: usize, stored: &[u8]) {
        let keys = &mut self.ends[number].keys;
        match keys {
            Some(known) if known.len() < self.most => known.push(Key::from(stored)),
            _ => *keys = None,
        }
    }

    /// Whether a key lies before an edge.
    pub(super) fn covers(&self, stored: &[u8]) -> bool {
        self.ends.iter().any(|end| end.covers(stored))
    }

    /// What lies before the edges, with them.
    pub(super) fn spans(&self) -> impl Iterator<Item = &Span> {
        self.ends.iter().map(|end| &end.span)
    }

    /// What is to be deleted as a range.
    pub(super) fn many(&self) -> impl Iterator<Item = &Span> {
        self.ends.iter().filter(|end| end.keys.is_none()).map(|end| &end.span)
    }

    /// What is to be deleted key by key.
    pub(super) fn few(&self) -> impl Iterator<Item = &Key> {
        self.ends.iter().filter_map(|end| end.keys.as_ref()).flatten()
    }

    /// Keys that are remembered.
    pub(super) fn remembered(&self) -> usize {
        self.ends.iter().filter_map(|end| end.keys.as_ref()).map(Vec::len).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_its_keys_as_long_as_they_are_few_and_then_a_range() {
        let space = SpaceId::new(SpaceId::DEFAULT, 4096);
        let stored = |key: &str| space.join(key.as_bytes());
        let mut popped = Popped::with_most(2);
        popped.take(space, Side::Front, &stored("b"));
        popped.take(space, Side::Back, &stored("x"));
        popped.take(space, Side::Front, &stored("d"));
        popped.take(space, Side::Back, &stored("z"));
        let covered: String =
            ('a'..='z').filter(|key| popped.covers(&stored(&key.to_string()))).map(String::from).collect();
        assert_eq!(covered, "abcdxyz");
        assert_eq!((popped.few().count(), popped.many().count(), popped.remembered()), (4, 0, 4));
        popped.add(space, Side::Front, &stored("c"));
        assert_eq!((popped.few().count(), popped.many().count(), popped.remembered()), (2, 1, 2));
        assert_eq!(popped.many().next(), popped.spans().next());
        popped.take(space, Side::Front, &stored("e"));
        assert_eq!((popped.few().count(), popped.many().count()), (2, 1));
        let other = space.sibling(7);
        assert!(!popped.covers(&other.join(b"a")) && !popped.covers(&other.join(b"z")));
    }
}
