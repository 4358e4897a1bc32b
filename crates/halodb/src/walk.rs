//! [`Walk`]: two cursors that walk over a span towards each other.
//!
//! A cursor stands on the key that its end gave out last. So each end is the other's limit, and no key is copied to
//! remember where they meet. Both read one snapshot: what is written meanwhile is not seen, and closing the database
//! does not end the walk. It does *not* decide what is read at a key; `iter.rs` and `scan.rs` do.

use std::fmt;
use std::ops::Bound;
use std::sync::Arc;

use halodb_partition::{self as partition, Cursor};
use halodb_vfs::Process;

use crate::meter::{Meter, Quick};
use crate::short::head;
use crate::space_id::SpaceId;
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
    space: SpaceId,
    /// What was asked for; `None`: nothing can be in it.
    range: Option<Span>,
    /// What a `seek` left of it.
    narrowed: Option<Span>,
    /// Keys whose heads lie between these are in what is left of the range: nearly all are known by that.
    inside: (u64, u64),
    /// Whether nothing more is given out: an end was reached, or the walk failed.
    is_over: bool,
    front: End,
    back: End,
    /// Whose it is: a forked child neither reads what it shows nor lets go of it (`kept.rs` says why).
    taken_by: Process,
    /// What times the seeks, if this walk was chosen for it.
    pub(crate) probe: Option<Arc<Meter>>,
}

/// Where the cursors come from.
enum Source {
    View(partition::Snapshot),
    /// The first cursor took the snapshot; it is had from there.
    Taken,
    /// There is nothing to read; the error is given once.
    Failed(Option<Error>),
}

/// One end.
#[derive(Default)]
struct End {
    cursor: Option<Box<Cursor>>,
    /// Whether the cursor stands on the key that this end gave out last.
    is_placed: bool,
}

impl End {
    /// The key given out last.
    #[inline]
    fn key(&self) -> Option<&[u8]> {
        if self.is_placed { self.cursor.as_ref()?.key() } else { None }
    }

    #[inline]
    fn value(&self) -> Result<&[u8]> {
        let value = match &self.cursor {
            Some(cursor) => cursor.value()?,
            None => None,
        };
        Ok(value.unwrap_or_default())
    }
}

impl Walk {
    /// Over `span` of `view`.
    pub(crate) fn new(view: partition::Snapshot, space: SpaceId, span: Option<Span>) -> Self {
        Self::of(Source::View(view), space, span)
    }

    /// Gives `error`, then nothing.
    pub(crate) fn failed(error: Error, space: SpaceId) -> Self {
        Self::of(Source::Failed(Some(error)), space, Some(Span::all(space)))
    }

    fn of(source: Source, space: SpaceId, range: Option<Span>) -> Self {
        let (is_over, inside) = (range.is_none(), range.as_ref().map_or((0, 0), heads));
        Walk {
            source,
            space,
            range,
            narrowed: None,
            inside,
            is_over,
            front: End::default(),
            back: End::default(),
            taken_by: Process::this(),
            probe: None,
        }
    }

    /// Begins again at the part of the range from `key` on.
    pub(crate) fn seek(&mut self, key: &[u8]) {
        self.front.is_placed = false;
        self.back.is_placed = false;
        self.narrowed = self.range.as_ref().and_then(|range| range.from(self.space, key));
        self.inside = self.narrowed.as_ref().map_or((0, 0), heads);
        self.is_over = self.narrowed.is_none() && !matches!(self.source, Source::Failed(Some(_)));
    }

    /// Moves one end by a key; whether there was one. The first failure ends the walk.
    #[inline]
    pub(crate) fn advance(&mut self, side: Side) -> Result<bool> {
        if self.is_over {
            return Ok(false);
        }
        if !self.taken_by.is_this() {
            self.is_over = true;
            return Err(Error::forked("what is read", self.taken_by));
        }
        let result = self.step(side);
        self.is_over = !matches!(result, Ok(true));
        result
    }

    /// As [`Walk::advance`], with what `read` reads there.
    #[inline]
    pub(crate) fn advance_and<T>(&mut self, side: Side, read: fn(&Self, Side) -> Result<T>) -> Option<Result<T>> {
        let result = match self.advance(side) {
            Ok(true) => read(self, side),
            Ok(false) => return None,
            Err(error) => Err(error),
        };
        self.is_over = result.is_err();
        Some(result)
    }

    /// As [`Walk::advance`], with key and value, borrowed.
    #[inline]
    pub(crate) fn advance_pair(&mut self, side: Side) -> Result<Option<(&[u8], &[u8])>> {
        if !self.advance(side)? {
            return Ok(None);
        }
        let end = match side {
            Side::Front => &self.front,
            Side::Back => &self.back,
        };
        match end.value() {
            Ok(value) => Ok(Some((self.space.decode(end.key().unwrap_or_default()), value))),
            Err(error) => {
                self.is_over = true;
                Err(error)
            }
        }
    }

    /// The key on which an end stands.
    #[inline]
    pub(crate) fn key(&self, side: Side) -> Result<Key> {
        let stored = self.end(side).key().unwrap_or_default();
        Ok(Key::from(self.space.decode(stored)))
    }

    /// The value of that key.
    #[inline]
    pub(crate) fn value(&self, side: Side) -> Result<Value> {
        self.end(side).value().map(Value::from)
    }

    fn end(&self, side: Side) -> &End {
        match side {
            Side::Front => &self.front,
            Side::Back => &self.back,
        }
    }

    /// Moves one end; whether it stands on a key that is left.
    #[inline]
    fn step(&mut self, side: Side) -> Result<bool> {
        let end = match side {
            Side::Front => &mut self.front,
            Side::Back => &mut self.back,
        };
        match &mut end.cursor {
            Some(cursor) if end.is_placed && side == Side::Front => cursor.next()?,
            Some(cursor) if end.is_placed => cursor.prev()?,
            _ => self.place(side)?,
        }
        let (own, other) = match side {
            Side::Front => (&self.front, &self.back),
            Side::Back => (&self.back, &self.front),
        };
        let (Some(key), Some(span)) = (own.key(), self.narrowed.as_ref().or(self.range.as_ref())) else {
            return Ok(false);
        };
        Ok(match (side, other.key()) {
            (Side::Front, Some(limit)) => key < limit,
            (Side::Front, None) => head(key) < self.inside.1 || span.is_below_upper(key),
            (Side::Back, Some(limit)) => key > limit,
            (Side::Back, None) => head(key) > self.inside.0 || span.is_above_lower(key),
        })
    }

    /// Puts an end on the first key of the span that it can give out.
    fn place(&mut self, side: Side) -> Result<()> {
        if let Source::Failed(error) = &mut self.source {
            return error.take().map_or(Ok(()), Err);
        }
        let _timer = self.probe.as_deref().map(|meter| meter.time_quick(Quick::Seek));
        let (end, other) = match side {
            Side::Front => (&mut self.front, &self.back),
            Side::Back => (&mut self.back, &self.front),
        };
        if end.cursor.is_none() {
            let view = match std::mem::replace(&mut self.source, Source::Taken) {
                Source::View(view) => Some(view),
                _ => other.cursor.as_ref().map(|cursor| cursor.snapshot().clone()),
            };
            end.cursor = view.map(|view| Box::new(view.into_cursor()));
        }
        let (Some(cursor), Some(span)) = (&mut end.cursor, self.narrowed.as_ref().or(self.range.as_ref())) else {
            return Ok(());
        };
        end.is_placed = true;
        match side {
            Side::Front => forward(cursor, &span.lower),
            Side::Back => backward(cursor, &span.upper),
        }
    }

    pub(crate) fn debug(&self, name: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut f = f.debug_struct(name);
        let cursor = self.front.cursor.as_ref().or(self.back.cursor.as_ref());
        let view = match &self.source {
            Source::View(view) => Some(view),
            _ => cursor.map(|cursor| cursor.snapshot()),
        };
        if let Some(view) = view {
            f.field("seq", &view.lsn().0);
        }
        f.field("finished", &self.is_over).finish_non_exhaustive()
    }
}

impl Drop for Walk {
    fn drop(&mut self) {
        if !self.taken_by.is_this() {
            std::mem::forget(std::mem::replace(&mut self.source, Source::Taken));
            std::mem::forget((self.front.cursor.take(), self.back.cursor.take()));
        }
    }
}

/// The heads of both ends of a span; where it has no end, the last head there is.
fn heads(span: &Span) -> (u64, u64) {
    let of = |bound: Bound<&[u8]>, none: u64| match bound {
        Bound::Included(key) | Bound::Excluded(key) => head(key),
        Bound::Unbounded => none,
    };
    let (lower, upper) = span.bounds();
    (of(lower, 0), of(upper, u64::MAX))
}

/// To the first key above a bound.
fn forward(cursor: &mut Cursor, lower: &Bound<impl std::ops::Deref<Target = [u8]>>) -> Result<()> {
    match lower {
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

/// To the last key below a bound.
fn backward(cursor: &mut Cursor, upper: &Bound<impl std::ops::Deref<Target = [u8]>>) -> Result<()> {
    match upper {
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
