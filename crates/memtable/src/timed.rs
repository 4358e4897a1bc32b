//! [`Timed`]: the part of a tally that changes as time goes by, by range of keys.
//!
//! A value that expires is one key more before its time and none after it; if a younger version of its key is there, it takes
//! that much from what that one adds. So a write gives up to two *events*: at a time, one key less or one more. Events are
//! sorted by key into runs, as the changes of `tally.rs` are, and those of one run lie one behind the other: a
//! question adds up the events of its keys whose time has come, about a nanosecond for each one that is there, and nothing
//! at all before the first of them.
//!
//! This file does not know what a version is, and has no clock.

use crate::run::Run;
use crate::table::Memtable;

/// At a time in milliseconds, so many keys more.
pub(crate) type Event = (u64, i64);

/// Events in the order of their keys.
#[derive(Debug)]
pub(crate) struct Timed {
    run: Run,
    /// Where the events of each key begin; one more than there are keys.
    starts: Vec<usize>,
    events: Vec<Event>,
    /// The first time.
    least_ms: u64,
}

impl Default for Timed {
    fn default() -> Self {
        Self { run: Run::default(), starts: vec![0], events: Vec::new(), least_ms: u64::MAX }
    }
}

impl Timed {
    /// Sorts events that come in the order of arrival, each with a record of its key.
    pub(crate) fn sort(table: &Memtable, events: Vec<(crate::arena::Pos, Event)>) -> Self {
        let mut timed = Self::default();
        let run = Run::sort_with(table.arena(), events, |event, is_last_of_key| {
            timed.push(event);
            if is_last_of_key {
                timed.starts.push(timed.events.len());
            }
        });
        Self { run, ..timed }
    }

    pub(crate) fn merge(table: &Memtable, older: &Timed, newer: &Timed) -> Self {
        let mut timed = Self::default();
        let run = Run::merge_with(table.arena(), &older.run, &newer.run, |of_older, of_newer| {
            of_older.iter().for_each(|&i| older.at(i).iter().for_each(|&event| timed.push(event)));
            of_newer.iter().for_each(|&i| newer.at(i).iter().for_each(|&event| timed.push(event)));
            timed.starts.push(timed.events.len());
        });
        Self { run, ..timed }
    }

    /// How many keys more there are at a time, from the key `start` on and below `end`, if that is given.
    pub(crate) fn between(&self, table: &Memtable, start: &[u8], end: Option<&[u8]>, now_ms: u64) -> i64 {
        if now_ms < self.least_ms {
            return 0;
        }
        let first = self.starts[self.run.below(table.arena(), start)];
        let end = end.map_or(self.events.len(), |end| self.starts[self.run.below(table.arena(), end)]);
        let come = self.events[first..end.max(first)].iter().filter(|(at_ms, _)| *at_ms <= now_ms);
        come.map(|(_, change)| change).sum()
    }

    /// Number of keys.
    pub(crate) fn len(&self) -> usize {
        self.run.len()
    }

    fn push(&mut self, event: Event) {
        self.least_ms = self.least_ms.min(event.0);
        self.events.push(event);
    }

    /// The events of key number `i`.
    fn at(&self, i: usize) -> &[Event] {
        &self.events[self.starts[i]..self.starts[i + 1]]
    }
}
