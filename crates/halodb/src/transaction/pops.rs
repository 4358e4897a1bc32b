//! Taking pairs away from the ends of a keyspace in a transaction.
//!
//! One walk over the snapshot, from both sides, is kept from pop to pop ([`Ends`]): so no pop steps over what was popped before,
//! and none looks a key up. What the transaction has written itself is looked at anew each time. What was popped is
//! remembered as everything up to an edge (`popped.rs`).

use std::collections::VecDeque;

use super::Transaction;
use super::own::{Did, Own};
use crate::space_id::SpaceId;
use crate::span::Span;
use crate::walk::Side;
use crate::{Iter, Key, Result, Value};

use halodb_partition as partition;

/// The walks of the keyspaces that something was popped from.
#[derive(Debug, Default)]
pub(super) struct Ends(Vec<(SpaceId, Between)>);

/// What of a keyspace's snapshot was not popped.
#[derive(Debug)]
struct Between {
    pieces: VecDeque<Iter>,
    /// What each side has at hand.
    front: Option<(Key, Value)>,
    back: Option<(Key, Value)>,
}

impl Ends {
    /// Ranges were removed: the walks are begun anew, and do not go through them.
    pub(super) fn begin_anew(&mut self) {
        self.0.clear();
    }

    fn of(&mut self, space: SpaceId, view: &partition::Snapshot, own: &Own) -> &mut Between {
        let known = self.0.iter().position(|(of, _)| *of == space);
        let number = known.unwrap_or_else(|| {
            let pieces = own.unremoved(&Span::all(space)).into_iter();
            let pieces = pieces.map(|piece| Iter::new(view.clone(), space, Some(piece))).collect();
            self.0.push((space, Between { pieces, front: None, back: None }));
            self.0.len() - 1
        });
        &mut self.0[number].1
    }
}

impl Between {
    /// The key of the nearest pair of a side that is not `hidden`; the pair is at hand then.
    fn nearest(&mut self, side: Side, hidden: impl Fn(&Key) -> bool) -> Result<Option<&Key>> {
        let Between { pieces, front, back } = self;
        let (hand, other) = match side {
            Side::Front => (front, back),
            Side::Back => (back, front),
        };
        loop {
            if hand.as_ref().is_some_and(|(key, _)| hidden(key)) {
                *hand = None;
            }
            if hand.is_some() {
                return Ok(hand.as_ref().map(|(key, _)| key));
            }
            let piece = match side {
                Side::Front => pieces.front_mut(),
                Side::Back => pieces.back_mut(),
            };
            let next = match (piece, side) {
                (Some(piece), Side::Front) => piece.next(),
                (Some(piece), Side::Back) => piece.next_back(),
                // What the other side has at hand is the last one left.
                (None, _) => match other.take() {
                    Some(pair) => Some(Ok(pair)),
                    None => return Ok(None),
                },
            };
            match (next, side) {
                (Some(pair), _) => *hand = Some(pair?),
                (None, Side::Front) => drop(pieces.pop_front()),
                (None, Side::Back) => drop(pieces.pop_back()),
            }
        }
    }

    /// The pair at hand.
    fn take(&mut self, side: Side) -> Option<(Key, Value)> {
        match side {
            Side::Front => self.front.take(),
            Side::Back => self.back.take(),
        }
    }
}

impl Transaction {
    /// Removes the pair with the smallest key and gives it; `None` if there is no key. What lies before it counts as read.
    ///
    /// Cost: a step of a scan, however many were popped before. The commit of many pops removes them as a range.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let db = halodb::Db::open(dir.path())?;
    /// db.batch().put("0001", "sweep").put("0002", "cook").commit()?;
    /// let done = db.transaction(|tx| {
    ///     let Some((job, what)) = tx.pop_first()? else { return Ok(false) };
    ///     tx.put([b"done/", &job[..]].concat(), what)?;
    ///     Ok(true)
    /// })?;
    /// assert!(done && !db.contains("0001")? && db.contains("done/0001")?);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`Transaction::get`].
    pub fn pop_first(&mut self) -> Result<Option<(Key, Value)>> {
        self.pop(Side::Front)
    }

    /// As [`Transaction::pop_first`], at the other end.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let db = halodb::Db::open(dir.path())?;
    /// db.batch().put("a", "1").put("b", "2").commit()?;
    /// let last = db.transaction(|tx| tx.pop_last())?;
    /// assert_eq!(last.expect("two pairs").0, b"b");
    /// assert_eq!(db.len()?, 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`Transaction::get`].
    pub fn pop_last(&mut self) -> Result<Option<(Key, Value)>> {
        self.pop(Side::Back)
    }

    fn pop(&mut self, side: Side) -> Result<Option<(Key, Value)>> {
        let (space, own) = (self.space, &self.own);
        let between = self.ends.of(space, self.basis.here()?.snapshot(), own);
        let found = match between.nearest(side, |key| own.did(&space.join(key)) != Did::Nothing) {
            Ok(found) => found.map(|key| space.join(key)),
            Err(error) => {
                // The walk has ended with it, and must not be taken for one that has seen everything.
                self.ends.begin_anew();
                return Err(error);
            }
        };
        let (stored, pair) = match (own.nearest_set(space, side, found.as_deref()), found) {
            (Some((stored, set)), _) => (stored.to_vec(), Some((Key::from(space.decode(stored)), set.value.clone()))),
            (None, Some(stored)) => (stored.to_vec(), between.take(side)),
            (None, None) => {
                self.reads.add_span(&Span::all(space));
                return Ok(None);
            }
        };
        self.own.pop(space, side, &stored);
        Ok(pair)
    }
}
