//! Scans and walks over any cursor that moves key by key: how the campaigns read the engine and a single tree alike.

use super::engine::{Answer, Pair};
use super::ops::{self, Direction, Move};
use std::ops::Bound;

/// Where a cursor is told to go.
#[derive(Clone, Copy, Debug)]
pub(super) enum Step<'k> {
    First,
    Last,
    /// To the first key not below this one.
    Seek(&'k [u8]),
    /// To the last key not above this one.
    SeekBack(&'k [u8]),
    Next,
    Prev,
}

/// A cursor.
pub(super) trait Walker {
    fn go(&mut self, step: Step<'_>) -> Answer<()>;
    fn key(&self) -> Option<&[u8]>;
    fn value(&self) -> Answer<Option<Vec<u8>>>;
}

/// The pairs of a range.
pub(super) fn scan(
    cursor: &mut impl Walker,
    from: Bound<&[u8]>,
    to: Bound<&[u8]>,
    way: Direction,
    limit: usize,
) -> Answer<Vec<Pair>> {
    let begin = if way == Direction::Forward { from } else { to };
    cursor.go(match (begin, way) {
        (Bound::Unbounded, Direction::Forward) => Step::First,
        (Bound::Unbounded, Direction::Backward) => Step::Last,
        (Bound::Included(key) | Bound::Excluded(key), Direction::Forward) => Step::Seek(key),
        (Bound::Included(key) | Bound::Excluded(key), Direction::Backward) => Step::SeekBack(key),
    })?;
    let mut pairs = Vec::new();
    while pairs.len() < limit {
        let Some(key) = cursor.key().map(<[u8]>::to_vec) else { break };
        let beyond = match way {
            Direction::Forward => above(&key, to),
            Direction::Backward => below(&key, from),
        };
        if beyond {
            break;
        }
        if begin != Bound::Excluded(&key[..]) {
            let value = cursor.value()?;
            pairs.push((key, value.unwrap_or_else(|| b"a key without value".to_vec())));
        }
        cursor.go(if way == Direction::Forward { Step::Next } else { Step::Prev })?;
    }
    Ok(pairs)
}

/// Where each move leads.
pub(super) fn walk(cursor: &mut impl Walker, moves: &[Move]) -> Answer<Vec<Option<Pair>>> {
    let mut places = Vec::new();
    for step in moves {
        let on_key = cursor.key().is_some();
        match step {
            Move::First => cursor.go(Step::First)?,
            Move::Last => cursor.go(Step::Last)?,
            Move::Seek(id) => cursor.go(Step::Seek(&ops::key(*id)))?,
            Move::SeekBack(id) => cursor.go(Step::SeekBack(&ops::key(*id)))?,
            Move::Next if on_key => cursor.go(Step::Next)?,
            Move::Prev if on_key => cursor.go(Step::Prev)?,
            Move::Next | Move::Prev => {}
        }
        let key = cursor.key().map(<[u8]>::to_vec);
        places.push(key.zip(cursor.value()?));
    }
    Ok(places)
}

fn above(key: &[u8], to: Bound<&[u8]>) -> bool {
    match to {
        Bound::Included(to) => key > to,
        Bound::Excluded(to) => key >= to,
        Bound::Unbounded => false,
    }
}

fn below(key: &[u8], from: Bound<&[u8]>) -> bool {
    match from {
        Bound::Included(from) => key < from,
        Bound::Excluded(from) => key <= from,
        Bound::Unbounded => false,
    }
}
