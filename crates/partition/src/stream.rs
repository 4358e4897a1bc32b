//! [`Stream`]: the keys of one memtable, one run or one tree of a snapshot, in order: what the merge in `sources` is made of.
//!
//! A seek comes in parts that a merge lets all its streams do in turn, so that the memory that one of them waits for comes
//! in while another one is looked at. This file does not know that there are other streams.

use crate::run::{self, Run};
use crate::version::{Layer, successor};
use crate::{Error, Result};
use halodb_btree::Expiry;
use halodb_memtable::Life;
use halodb_wal::Lsn;

/// Which way a merge is going.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Direction {
    #[default]
    Forward,
    Backward,
}

/// A stream below the merge. Cursors of trees are large, and in no box: that would be an allocation for each in each scan.
#[derive(Debug)]
pub(crate) enum Stream {
    Memory(Memory),
    Run(OfRun),
    Tree(halodb_btree::Cursor),
}

/// A run, without what the tree has already.
#[derive(Debug)]
pub(crate) struct OfRun {
    cursor: halodb_btree::Cursor,
    /// As of [`Memory`].
    first: Option<Vec<u8>>,
}

impl OfRun {
    pub(crate) fn new(layer: &Layer, run: &Run) -> Self {
        Self { cursor: run.cursor(), first: layer.merged_up_to.as_deref().map(successor) }
    }

    #[inline]
    fn key(&self) -> Option<&[u8]> {
        let key = self.cursor.key()?;
        match &self.first {
            Some(first) if key < &first[..] => None,
            _ => Some(key),
        }
    }

    /// Its cursor, and the key that a seek in a direction has to go to.
    fn seeks<'s>(&'s mut self, key: &'s [u8], direction: Direction) -> (&'s mut halodb_btree::Cursor, &'s [u8]) {
        match (direction, &self.first) {
            (Direction::Forward, Some(first)) if key < &first[..] => (&mut self.cursor, first),
            _ => (&mut self.cursor, key),
        }
    }
}

/// A memtable, without what the tree has already.
#[derive(Debug)]
pub(crate) struct Memory {
    cursor: halodb_memtable::Cursor,
    /// The first key that is this stream's to show, if not all are.
    first: Option<Vec<u8>>,
}

impl Memory {
    pub(crate) fn new(layer: &Layer, at: Lsn) -> Self {
        Self { cursor: layer.table.cursor(at.0), first: layer.merged_up_to.as_deref().map(successor) }
    }

    #[inline]
    fn key(&self) -> Option<&[u8]> {
        let key = self.cursor.key()?;
        match &self.first {
            Some(first) if key < &first[..] => None,
            _ => Some(key),
        }
    }

    fn approach(&mut self, key: &[u8], direction: Direction) {
        match (direction, &self.first) {
            (Direction::Forward, Some(first)) if key < &first[..] => self.cursor.approach(first),
            _ => self.cursor.approach(key),
        }
    }

    fn aim(&mut self, key: &[u8], direction: Direction) {
        match (direction, &self.first) {
            (Direction::Backward, _) => self.cursor.aim_back(key),
            (Direction::Forward, Some(first)) if key < &first[..] => self.cursor.aim(first),
            (Direction::Forward, _) => self.cursor.aim(key),
        }
    }
}

impl Stream {
    /// The key it is on.
    #[inline]
    pub(crate) fn key(&self) -> Option<&[u8]> {
        match self {
            Stream::Memory(memory) => memory.key(),
            Stream::Tree(cursor) => cursor.key(),
            Stream::Run(run) => run.key(),
        }
    }

    /// Whether the newest version of the key is a value that has not expired, range deletes of newer streams aside.
    #[inline]
    pub(crate) fn has_value(&self, now_ms: u64) -> bool {
        match self {
            Stream::Memory(memory) => {
                memory.cursor.found().is_some_and(|found| found.entry.live_value(now_ms).is_some())
            }
            Stream::Tree(cursor) => !cursor.expiry().is_some_and(|expiry| expiry.is_past(now_ms)),
            Stream::Run(run) => run::life_at(&run.cursor).is_live(now_ms),
        }
    }

    /// How long the newest version of the key gives it a value.
    pub(crate) fn life(&self) -> Life {
        match self {
            Stream::Memory(memory) => memory.cursor.found().map(|found| found.entry.life()).unwrap_or_default(),
            Stream::Tree(cursor) => cursor.expiry().map(life_of).unwrap_or_default(),
            Stream::Run(run) => run::life_at(&run.cursor),
        }
    }

    /// The value of the key it is on, if that is one.
    #[inline]
    pub(crate) fn value(&self) -> Result<Option<&[u8]>> {
        match self {
            Stream::Memory(memory) => Ok(memory.cursor.found().and_then(|found| found.entry.value())),
            Stream::Tree(cursor) => Ok(cursor.value()?),
            Stream::Run(run) => Ok(run::entry_at(&run.cursor)?.and_then(|(_, entry)| entry.value())),
        }
    }

    /// To the first key in a direction.
    pub(crate) fn seek_end(&mut self, direction: Direction) -> Result<()> {
        match (self, direction) {
            (Stream::Memory(Memory { cursor, first: Some(first) }), Direction::Forward) => cursor.seek(first),
            (Stream::Memory(Memory { cursor, .. }), Direction::Forward) => cursor.seek_first(),
            (Stream::Memory(Memory { cursor, .. }), Direction::Backward) => cursor.seek_last(),
            (Stream::Run(OfRun { cursor, first: Some(first) }), Direction::Forward) => cursor.seek(first)?,
            (Stream::Tree(cursor) | Stream::Run(OfRun { cursor, .. }), Direction::Forward) => cursor.seek_first()?,
            (Stream::Tree(cursor) | Stream::Run(OfRun { cursor, .. }), Direction::Backward) => cursor.seek_last()?,
        }
        Ok(())
    }

    /// Steps of a cursor over pages ask for what they need soon: see [`halodb_btree::Cursor::ask_ahead`].
    pub(crate) fn ask_ahead(&mut self) {
        match self {
            Stream::Memory(_) => {}
            Stream::Tree(cursor) | Stream::Run(OfRun { cursor, .. }) => cursor.ask_ahead(),
        }
    }

    /// To the nearest key that does not lie before `key` in a direction.
    pub(crate) fn seek(&mut self, key: &[u8], direction: Direction) -> Result<()> {
        match self {
            Stream::Memory(memory) => {
                memory.approach(key, direction);
                memory.aim(key, direction);
                memory.cursor.land();
            }
            Stream::Tree(cursor) => seek_pages(cursor, key, direction)?,
            Stream::Run(run) => {
                let (cursor, key) = run.seeks(key, direction);
                seek_pages(cursor, key, direction)?;
            }
        }
        Ok(())
    }

    /// To the next key in a direction.
    #[inline]
    pub(crate) fn step(&mut self, direction: Direction) -> Result<()> {
        match (self, direction) {
            (Stream::Memory(memory), Direction::Forward) => memory.cursor.next(),
            (Stream::Memory(memory), Direction::Backward) => memory.cursor.prev(),
            (Stream::Tree(cursor), Direction::Forward) => cursor.next()?,
            (Stream::Tree(cursor), Direction::Backward) => cursor.prev()?,
            (Stream::Run(run), Direction::Forward) => run.cursor.next()?,
            (Stream::Run(run), Direction::Backward) => run.cursor.prev()?,
        }
        Ok(())
    }
}

fn seek_pages(cursor: &mut halodb_btree::Cursor, key: &[u8], direction: Direction) -> Result<()> {
    let is_behind = match direction {
        Direction::Forward => {
            cursor.seek(key)?;
            cursor.key().is_some_and(|found| found < key)
        }
        Direction::Backward => {
            cursor.seek_back(key)?;
            cursor.key().is_some_and(|found| found > key)
        }
    };
    if is_behind {
        // Whoever skips a hidden stretch by this would come back for ever.
        return Err(Error::corrupt(cursor.tree().snapshot().path(), "the keys of the tree do not ascend"));
    }
    Ok(())
}

/// How long an entry of a tree is a value.
#[inline]
pub(crate) fn life_of(expiry: Expiry) -> Life {
    if expiry.is_never() { Life::Forever } else { Life::Until(expiry.ms()) }
}

/// When an entry that lives so long expires.
pub(crate) fn expiry_of(life: Life) -> Expiry {
    match life {
        Life::Until(at_ms) => Expiry::at_ms(at_ms),
        Life::Absent | Life::Forever => Expiry::NEVER,
    }
}

/// [`Stream::seek`] of all of them, part by part: first about where in the memtables' orders the key has its place; then branches,
/// while these orders come in; the memtables' orders while leaves come in; leaves while the memtables' records come in.
pub(crate) fn seek_all(streams: &mut [Stream], key: &[u8], direction: Direction) -> Result<()> {
    for stream in &mut *streams {
        match stream {
            Stream::Memory(memory) => memory.approach(key, direction),
            Stream::Tree(cursor) | Stream::Run(OfRun { cursor, .. }) => cursor.begin_seek(),
        }
    }
    let mut is_near = false;
    while !is_near {
        is_near = true;
        for stream in &mut *streams {
            is_near &= match stream {
                Stream::Memory(_) => true,
                Stream::Tree(cursor) => !cursor.approach(key)?,
                Stream::Run(run) => {
                    let (cursor, key) = run.seeks(key, direction);
                    !cursor.approach(key)?
                }
            };
        }
    }
    for stream in &mut *streams {
        if let Stream::Memory(memory) = stream {
            memory.aim(key, direction);
        }
    }
    for stream in &mut *streams {
        match stream {
            Stream::Memory(_) => {}
            Stream::Tree(cursor) => cursor.aim(key)?,
            Stream::Run(run) => {
                let (cursor, key) = run.seeks(key, direction);
                cursor.aim(key)?;
            }
        }
    }
    for stream in &mut *streams {
        match (stream, direction) {
            (Stream::Memory(memory), _) => memory.cursor.land(),
            (Stream::Tree(cursor) | Stream::Run(OfRun { cursor, .. }), Direction::Forward) => cursor.land()?,
            (Stream::Tree(cursor) | Stream::Run(OfRun { cursor, .. }), Direction::Backward) => cursor.land_back()?,
        }
    }
    Ok(())
}
