//! Walks a table that may grow meanwhile, in both directions.
//!
//! The cursor keeps the sorted runs of its beginning and a place in each of them. What is written behind its back is in
//! none of them, and younger than `at`; versions that are in them and younger are stepped over through the chain.
//!
//! A place divides its run: what is before it lies behind the cursor, or is the key it is on when it came backwards; the
//! rest lies ahead, the key it is on included when it came forwards. So turning round moves no place.
//!
//! Records lie where they arrived, so each key of a walk is a miss of its own: records are asked for some keys ahead.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use crate::arena::{Bytes, Pos};
use crate::entry::Found;
use crate::order::Runs;
use crate::run::Run;
use crate::table::Memtable;

/// A position in a memtable; owns a share of the table. Before the first move it is on no key.
///
/// Making one sorts what was written since the last one was made. A seek costs a binary search in each of a few runs; a
/// move costs a comparison for each, one step along the chain of each key for versions younger than the cursor's
/// sequence number, and no lock. It keeps no writer waiting, ever.
pub struct Cursor {
    table: Arc<Memtable>,
    at: u64,
    /// Older runs first.
    runs: Runs,
    /// One in each run.
    places: Vec<Place>,
    direction: Direction,
    /// The version it is on.
    on: Option<Pos>,
}

/// So many keys ahead a record is asked for: a walk takes less time for one key than memory takes.
const AHEAD: usize = 3;

struct Place {
    index: usize,
    /// Near where in the run a seek that is under way will end.
    stretch: usize,
    /// Whether the run has the key that the cursor is on.
    has_key: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Direction {
    Forward,
    Backward,
}

impl Place {
    /// What comes next in this run.
    #[inline]
    fn ahead(&self, run: &Run, direction: Direction) -> Option<Pos> {
        match direction {
            Direction::Forward => run.get(self.index),
            Direction::Backward => run.get(self.index.checked_sub(1)?),
        }
    }

    /// What comes so many keys after that.
    #[inline]
    fn beyond(&self, run: &Run, direction: Direction, distance: usize) -> Option<Pos> {
        match direction {
            Direction::Forward => run.get(self.index + distance),
            Direction::Backward => run.get(self.index.checked_sub(1 + distance)?),
        }
    }

    /// Leaves the key, if the place is on it.
    #[inline]
    fn step(&mut self, direction: Direction) {
        if std::mem::take(&mut self.has_key) {
            match direction {
                Direction::Forward => self.index += 1,
                Direction::Backward => self.index -= 1,
            }
        }
    }
}

impl Cursor {
    pub(crate) fn new(table: Arc<Memtable>, at: u64) -> Self {
        let runs = table.runs();
        let places = runs.iter().map(|_| Place { index: 0, stretch: 0, has_key: false }).collect();
        Self { table, at, runs, places, direction: Direction::Forward, on: None }
    }

    /// To the first key.
    pub fn seek_first(&mut self) {
        self.place(Direction::Forward, |_, _, _| 0);
        self.settle();
    }

    /// To the last key.
    pub fn seek_last(&mut self) {
        self.place(Direction::Backward, |run, _, _| run.len());
        self.settle();
    }

    /// To the first key not below `key`.
    pub fn seek(&mut self, key: &[u8]) {
        self.approach(key);
        self.aim(key);
        self.land();
    }

    /// To the last key not above `key`.
    pub fn seek_back(&mut self, key: &[u8]) {
        self.approach(key);
        self.aim_back(key);
        self.land();
    }

    /// The first part of a seek in either direction: finds about where the key has its place, and asks for the memory that the
    /// second part, [`Cursor::aim`], needs. For whoever has something else to do meanwhile; it may be left out.
    pub fn approach(&mut self, key: &[u8]) {
        for (place, run) in self.places.iter_mut().zip(self.runs.iter()) {
            place.stretch = run.approach(self.table.arena(), key);
        }
    }

    /// The second part of [`Cursor::seek`]: finds the key's place and asks for the memory that [`Cursor::land`], the last part,
    /// needs. In between the cursor is on no key.
    pub fn aim(&mut self, key: &[u8]) {
        self.place(Direction::Forward, |run, table, stretch| run.below_near(table.arena(), key, stretch));
    }

    /// The second part of [`Cursor::seek_back`]; see [`Cursor::aim`].
    pub fn aim_back(&mut self, key: &[u8]) {
        self.place(Direction::Backward, |run, table, stretch| run.not_above_near(table.arena(), key, stretch));
    }

    /// The last part of a seek: onto the nearest key.
    pub fn land(&mut self) {
        self.settle();
    }

    /// To the next key (does nothing when on no key).
    #[inline]
    pub fn next(&mut self) {
        self.step(Direction::Forward);
    }

    /// To the previous key (does nothing when on no key).
    #[inline]
    pub fn prev(&mut self) {
        self.step(Direction::Backward);
    }

    /// The key, or `None` when past either end.
    #[inline]
    pub fn key(&self) -> Option<&[u8]> {
        self.on.map(|pos| self.table.arena().record(pos).key())
    }

    /// The version at the key, range deletes counted as tombstones.
    #[inline]
    pub fn found(&self) -> Option<Found<'_>> {
        let record = self.table.arena().record(self.on?);
        self.table.ranges().resolve(record.key(), self.at, Some(record.found()))
    }

    /// The key's value as of the cursor's sequence number, shared with the table.
    pub fn value(&self) -> Option<Bytes> {
        self.found()?.entry.value()?;
        self.on.map(|pos| self.table.arena().bytes(pos))
    }

    fn place(&mut self, direction: Direction, index: impl Fn(&Run, &Memtable, usize) -> usize) {
        self.direction = direction;
        self.on = None;
        for (place, run) in self.places.iter_mut().zip(self.runs.iter()) {
            place.index = index(run, &self.table, place.stretch);
            place.has_key = false;
            for distance in 0..AHEAD {
                if let Some(pos) = place.beyond(run, direction, distance) {
                    self.table.arena().prefetch(pos);
                }
            }
        }
    }

    #[inline]
    fn step(&mut self, direction: Direction) {
        if self.on.is_none() {
            return;
        }
        if self.direction == direction {
            self.places.iter_mut().for_each(|place| place.step(direction));
        } else {
            // Seen from the other side, the key it is on lies behind already.
            self.direction = direction;
        }
        self.settle();
    }

    /// Goes on until a key has a version not younger than `at`, or there is no further key.
    #[inline]
    fn settle(&mut self) {
        loop {
            let Some(newest) = self.nearest() else {
                self.on = None;
                return;
            };
            self.on = self.table.version(newest, self.at);
            if self.on.is_some() {
                return;
            }
            let direction = self.direction;
            self.places.iter_mut().for_each(|place| place.step(direction));
        }
    }

    /// The nearest key ahead, by its newest record; marks the places that have it.
    #[inline]
    fn nearest(&mut self) -> Option<Pos> {
        if let ([only], [run]) = (&mut self.places[..], &self.runs[..]) {
            let pos = only.ahead(run, self.direction)?;
            only.has_key = true;
            if let Some(beyond) = only.beyond(run, self.direction, AHEAD) {
                self.table.arena().prefetch(beyond);
            }
            return Some(pos);
        }
        let mut best: Option<(Pos, &[u8])> = None;
        for i in 0..self.places.len() {
            self.places[i].has_key = false;
            let Some(pos) = self.places[i].ahead(&self.runs[i], self.direction) else { continue };
            let key = self.table.arena().record(pos).key();
            let order = match best {
                None => Ordering::Less,
                Some((_, chosen)) if self.direction == Direction::Forward => key.cmp(chosen),
                Some((_, chosen)) => chosen.cmp(key),
            };
            if order.is_gt() {
                continue;
            }
            if order.is_lt() {
                self.places[..i].iter_mut().for_each(|place| place.has_key = false);
            }
            self.places[i].has_key = true;
            // Of equal keys the later run has the newer record.
            best = Some((pos, key));
        }
        let nearest = best.map(|(pos, _)| pos)?;
        for (place, run) in self.places.iter().zip(self.runs.iter()).filter(|(place, _)| place.has_key) {
            if let Some(beyond) = place.beyond(run, self.direction, AHEAD) {
                self.table.arena().prefetch(beyond);
            }
        }
        Some(nearest)
    }
}

/// Where it is; the content may be millions of entries.
impl fmt::Debug for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (at, runs) = (self.at, self.places.len());
        f.debug_struct("Cursor").field("at", &at).field("runs", &runs).finish_non_exhaustive()
    }
}
