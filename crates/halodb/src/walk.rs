//! [`Walk`]: two cursors that walk over a span towards each other.
//!
//! A cursor stands on the key that its end gave out last. So each end is the other's limit, and no key is copied to
//! remember where they meet. Both read one snapshot: what is written meanwhile is not seen, and closing the database
//! does not end the walk. It does *not* decide what is read at a key; `iter.rs` does.

use std::fmt;
use std::ops::Bound;

use halodb_partition::{self as partition, Cursor};

use crate::keyspace::Keyspace;
use crate::span::Span;
use crate::{Error, Key, Result, Value};

/// An end of a walk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Front,
    Back,
}

/// See the head of this file.
pub(crate) struct Walk {
    source: Source,
    space: Keyspace,
    /// What was asked for; `None`: nothing can be in it.
    range: Option<Span>,
    /// What is left of it after a `seek`; `None`: nothing, or the walk failed.
    span: Option<Span>,
    front: End,
    back: End,
}

/// Where the cursors come from.
enum Source {
    View(partition::Snapshot),
    /// There is nothing to read; the error is given once.
    Failed(Option<Error>),
}

/// One end.
#[derive(Default)]
struct End {
    cursor: Option<Cursor>,
    /// Whether the cursor stands on the key that this end gave out last.
    placed: bool,
}

impl End {
    /// The key given out last.
    fn key(&self) -> Option<&[u8]> {
        if self.placed { self.cursor.as_ref().and_then(Cursor::key) } else { None }
    }

    /// The cursor, made at first use.
    fn cursor(&mut self, view: &partition::Snapshot) -> &mut Cursor {
        self.cursor.get_or_insert_with(|| view.cursor())
    }
}

impl Walk {
    /// Over `span` of `view`.
    pub(crate) fn new(view: partition::Snapshot, space: Keyspace, span: Option<Span>) -> Self {
        let source = Source::View(view);
        Walk { source, space, range: span.clone(), span, front: End::default(), back: End::default() }
    }

    /// Gives `error`, then nothing.
    pub(crate) fn failed(error: Error, space: Keyspace) -> Self {
        let source = Source::Failed(Some(error));
        let span = Some(Span::all(space));
        Walk { source, space, range: None, span, front: End::default(), back: End::default() }
    }

    /// Begins again at the part of the range from `key` on.
    pub(crate) fn seek(&mut self, key: &[u8]) {
        self.span = self.range.as_ref().and_then(|range| range.from(self.space, key));
        self.front.placed = false;
        self.back.placed = false;
    }

    /// Moves one end by a key and gives what `read` reads there. The first failure ends the walk.
    pub(crate) fn advance<T>(&mut self, side: Side, read: impl FnOnce(&Self, Side) -> Result<T>) -> Option<Result<T>> {
        let result = match self.step(side) {
            Ok(true) => read(self, side),
            Ok(false) => {
                self.span = None;
                return None;
            }
            Err(error) => Err(error),
        };
        if result.is_err() {
            self.span = None;
        }
        Some(result)
    }

    /// The key on which an end stands.
    pub(crate) fn key(&self, side: Side) -> Result<Key> {
        let stored = self.end(side).key().unwrap_or_default();
        Ok(Key::from(self.space.decode(stored)))
    }

    /// The value of that key.
    pub(crate) fn value(&self, side: Side) -> Result<Value> {
        let value = match &self.end(side).cursor {
            Some(cursor) => cursor.value()?,
            None => None,
        };
        Ok(Value::from(value.unwrap_or_default()))
    }

    fn end(&self, side: Side) -> &End {
        match side {
            Side::Front => &self.front,
            Side::Back => &self.back,
        }
    }

    /// Moves one end; whether it stands on a key that is left.
    fn step(&mut self, side: Side) -> Result<bool> {
        let Some(span) = &self.span else { return Ok(false) };
        let view = match &mut self.source {
            Source::View(view) => view,
            Source::Failed(error) => return error.take().map_or(Ok(false), Err),
        };
        match side {
            Side::Front => {
                forward(&mut self.front, view, span)?;
                let Some(key) = self.front.key() else { return Ok(false) };
                Ok(match self.back.key() {
                    Some(limit) => key < limit,
                    None => span.is_below_upper(key),
                })
            }
            Side::Back => {
                backward(&mut self.back, view, span)?;
                let Some(key) = self.back.key() else { return Ok(false) };
                Ok(match self.front.key() {
                    Some(limit) => key > limit,
                    None => span.is_above_lower(key),
                })
            }
        }
    }

    pub(crate) fn debug(&self, name: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut f = f.debug_struct(name);
        if let Source::View(view) = &self.source {
            f.field("seq", &view.lsn().0);
        }
        f.field("finished", &self.span.is_none()).finish_non_exhaustive()
    }
}

/// To the next key of the span, or its first.
fn forward(end: &mut End, view: &partition::Snapshot, span: &Span) -> Result<()> {
    let placed = std::mem::replace(&mut end.placed, true);
    let cursor = end.cursor(view);
    if placed {
        return Ok(cursor.next()?);
    }
    match &span.lower {
        Bound::Unbounded => cursor.seek_first()?,
        Bound::Included(start) => cursor.seek(start)?,
        Bound::Excluded(start) => {
            cursor.seek(start)?;
            if cursor.key() == Some(start) {
                cursor.next()?;
            }
        }
    }
    Ok(())
}

/// To the previous key of the span, or its last.
fn backward(end: &mut End, view: &partition::Snapshot, span: &Span) -> Result<()> {
    let placed = std::mem::replace(&mut end.placed, true);
    let cursor = end.cursor(view);
    if placed {
        return Ok(cursor.prev()?);
    }
    match &span.upper {
        Bound::Unbounded => cursor.seek_last()?,
        Bound::Included(last) => cursor.seek_back(last)?,
        Bound::Excluded(end) => {
            cursor.seek_back(end)?;
            if cursor.key() == Some(end) {
                cursor.prev()?;
            }
        }
    }
    Ok(())
}
