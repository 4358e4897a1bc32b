//! [`TransactionIter`]: the pairs of a range as a transaction sees them, from both ends: those of its snapshot, with its
//! own writes in their places.
//!
//! Two streams in key order are merged from each side. Each keeps its next pair at hand; when a stream is used up, what
//! the other side has at hand is the last that is left. Ranges that the transaction removed are not walked over: the
//! snapshot's stream is made of the pieces between them.
//!
//! This file does *not* decide what counts as read; `reads.rs` does.

use std::cmp::Ordering;
use std::collections::VecDeque;
use std::collections::btree_map::Range;
use std::fmt;
use std::iter::FusedIterator;

use halodb_partition as partition;

use super::own::{Entry, Own};
use super::reads::{Progress, Reads};
use crate::space_id::SpaceId;
use crate::span::Span;
use crate::walk::Side;
use crate::{Iter, Key, Result, Value};

/// Pairs of a range in key order, from both ends, own writes included. It borrows the transaction: to write while going over
/// a range, collect the keys first.
///
/// What it has gone over counts as read, up to the key that it gave out last. A failure is given once, and ends it.
///
/// ```
/// # let dir = tempfile::tempdir()?;
/// # let db = halodb::Db::open(dir.path())?;
/// db.batch().put("a", "1").put("c", "3").commit()?;
/// let mut tx = db.begin()?;
/// tx.put("b", "2")?;
/// tx.delete("c")?;
/// let keys: Vec<halodb::Key> = tx.iter().map(|pair| Ok(pair?.0)).collect::<halodb::Result<_>>()?;
/// assert_eq!(keys, [b"a", b"b"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "an iterator does nothing until it is advanced"]
pub struct TransactionIter<'t> {
    space: SpaceId,
    /// The snapshot's pairs, piece by piece.
    pieces: VecDeque<Iter>,
    own: Range<'t, Key, Entry>,
    front: Hand<'t>,
    back: Hand<'t>,
    /// `None`: nothing more is given out.
    progress: Option<Progress<'t>>,
}

/// What one side has at hand.
#[derive(Default)]
struct Hand<'t> {
    found: Option<(Key, Value)>,
    own: Option<(&'t Key, &'t Entry)>,
}

impl<'t> TransactionIter<'t> {
    /// Over a span of a snapshot with own writes; `None` is the empty span.
    pub(super) fn new(
        view: Result<&partition::Snapshot>,
        own: &'t Own,
        reads: &'t Reads,
        space: SpaceId,
        span: Option<Span>,
    ) -> Self {
        let all = span.clone().unwrap_or_else(|| Span::all(space));
        let progress = span.map(|span| reads.begin_scan(span));
        let pieces = match progress {
            Some(_) => own.unremoved(&all),
            None => Vec::new(),
        };
        let pieces = match view {
            Ok(view) => pieces.into_iter().map(|piece| Iter::new(view.clone(), space, Some(piece))).collect(),
            Err(error) => VecDeque::from([Iter::failed(error, space)]),
        };
        let own = own.entries(&all);
        TransactionIter { space, pieces, own, front: Hand::default(), back: Hand::default(), progress }
    }

    fn advance(&mut self, side: Side) -> Option<Result<(Key, Value)>> {
        self.progress.as_ref()?;
        loop {
            if let Err(error) = self.take_up(side) {
                self.progress = None;
                return Some(Err(error));
            }
            let space = self.space;
            let hand = match side {
                Side::Front => &mut self.front,
                Side::Back => &mut self.back,
            };
            let order = match (&hand.found, hand.own) {
                (None, None) => {
                    if let Some(progress) = self.progress.take() {
                        progress.over();
                    }
                    return None;
                }
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some((found, _)), Some((own, _))) => match side {
                    Side::Front => found[..].cmp(space.decode(own)),
                    Side::Back => space.decode(own).cmp(&found[..]),
                },
            };
            let pair = if order.is_lt() {
                hand.found.take()
            } else {
                if order.is_eq() {
                    hand.found = None;
                }
                hand.own.take().and_then(|(key, entry)| Some((Key::from(space.decode(key)), entry.clone()?.value)))
            };
            // Nothing is given out for a key that the transaction itself has removed.
            if let Some(pair) = pair {
                self.note(side, &pair.0);
                return Some(Ok(pair));
            }
        }
    }

    /// Sees to it that a side has at hand what comes next in both streams.
    fn take_up(&mut self, side: Side) -> Result<()> {
        let (hand, other) = match side {
            Side::Front => (&mut self.front, &mut self.back),
            Side::Back => (&mut self.back, &mut self.front),
        };
        if hand.own.is_none() {
            let next = match side {
                Side::Front => self.own.next(),
                Side::Back => self.own.next_back(),
            };
            hand.own = next.or_else(|| other.own.take());
        }
        while hand.found.is_none() {
            let piece = match side {
                Side::Front => self.pieces.front_mut(),
                Side::Back => self.pieces.back_mut(),
            };
            let Some(piece) = piece else {
                hand.found = other.found.take();
                break;
            };
            let next = match side {
                Side::Front => piece.next(),
                Side::Back => piece.next_back(),
            };
            match (next, side) {
                (Some(pair), _) => hand.found = Some(pair?),
                (None, Side::Front) => drop(self.pieces.pop_front()),
                (None, Side::Back) => drop(self.pieces.pop_back()),
            }
        }
        Ok(())
    }

    fn note(&self, side: Side, key: &[u8]) {
        let Some(progress) = &self.progress else { return };
        let stored = self.space.join(key);
        match side {
            Side::Front => progress.front(stored),
            Side::Back => progress.back(stored),
        }
    }
}

impl Iterator for TransactionIter<'_> {
    type Item = Result<(Key, Value)>;
    fn next(&mut self) -> Option<Self::Item> {
        self.advance(Side::Front)
    }
}

impl DoubleEndedIterator for TransactionIter<'_> {
    fn next_back(&mut self) -> Option<Self::Item> {
        self.advance(Side::Back)
    }
}

impl FusedIterator for TransactionIter<'_> {}

impl fmt::Debug for TransactionIter<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TransactionIter").field("finished", &self.progress.is_none()).finish_non_exhaustive()
    }
}
