//! The k-way merge beneath cursors and counts: every layer of every partition as one sorted stream of *heads*.
//!
//! A key belongs to one partition, and within a partition the newest layer that has a version of it decides. A head is
//! that decision: the key, and whether it is live. Range deletes of newer layers hide what older layers and the tree
//! hold; in the direction of travel whole hidden stretches are skipped by one seek.
//!
//! This file does not know what bounds a user asked for, and copies no value.

use crate::Result;
use crate::snapshot::Snapshot;
use crate::version::{Layer, PartVersion};
use halodb_memtable::{Entry, Found, RangeDelete};
use halodb_wal::Lsn;

/// A stream below the merge.
#[derive(Debug)]
enum Stream {
    Memory { cursor: halodb_memtable::Cursor, layer: Layer },
    Tree(halodb_btree::Cursor),
}

impl Stream {
    fn key(&self) -> Option<&[u8]> {
        match self {
            // What the tree has already is not this stream's to show.
            Stream::Memory { cursor, layer } => cursor.key().filter(|key| layer.covers(key)),
            Stream::Tree(cursor) => cursor.key(),
        }
    }

    fn seek_first(&mut self) -> Result<()> {
        match self {
            Stream::Memory { cursor, layer } => match layer.merged_up_to.as_deref() {
                None => cursor.seek_first(),
                Some(done) => seek_after(cursor, done),
            },
            Stream::Tree(cursor) => cursor.seek_first()?,
        }
        Ok(())
    }

    fn seek_last(&mut self) -> Result<()> {
        match self {
            Stream::Memory { cursor, .. } => cursor.seek_last(),
            Stream::Tree(cursor) => cursor.seek_last()?,
        }
        Ok(())
    }

    fn seek(&mut self, key: &[u8]) -> Result<()> {
        match self {
            Stream::Memory { cursor, layer } => match layer.merged_up_to.as_deref() {
                Some(done) if key <= done => seek_after(cursor, done),
                _ => cursor.seek(key),
            },
            Stream::Tree(cursor) => cursor.seek(key)?,
        }
        Ok(())
    }

    fn seek_back(&mut self, key: &[u8]) -> Result<()> {
        match self {
            Stream::Memory { cursor, .. } => cursor.seek_back(key),
            Stream::Tree(cursor) => cursor.seek_back(key)?,
        }
        Ok(())
    }

    fn next(&mut self) -> Result<()> {
        match self {
            Stream::Memory { cursor, .. } => cursor.next(),
            Stream::Tree(cursor) => cursor.next()?,
        }
        Ok(())
    }

    fn prev(&mut self) -> Result<()> {
        match self {
            Stream::Memory { cursor, .. } => cursor.prev(),
            Stream::Tree(cursor) => cursor.prev()?,
        }
        Ok(())
    }
}

fn seek_after(cursor: &mut halodb_memtable::Cursor, key: &[u8]) {
    cursor.seek(key);
    if cursor.key() == Some(key) {
        cursor.next();
    }
}

/// A stream and what hides its keys. The order of sources is the order of their age, newest first, per partition; keys of
/// different partitions never meet.
#[derive(Debug)]
struct Source {
    stream: Stream,
    /// Range deletes of the newer layers of the same partition.
    hidden_by: Vec<RangeDelete>,
}

/// The range delete that hides `key`, if one does.
fn hiding<'r>(ranges: &'r [RangeDelete], key: &[u8]) -> Option<&'r RangeDelete> {
    ranges.iter().find(|r| *r.start <= *key && r.end.as_deref().is_none_or(|end| key < end))
}

/// Which way the merge is going.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Direction {
    Forward,
    Backward,
}

/// The merge of all sources.
#[derive(Debug)]
pub(crate) struct Sources {
    sources: Vec<Source>,
    direction: Direction,
    /// The source that decides the key at hand.
    head: Option<usize>,
}

impl Sources {
    /// All layers and trees of a snapshot.
    pub(crate) fn of(snapshot: &Snapshot) -> Self {
        let mut sources = Vec::new();
        for part in snapshot.parts() {
            let hidden_by = add_memory(&mut sources, part, snapshot.lsn());
            if !part.tree.is_empty() {
                sources.push(Source { stream: Stream::Tree(part.tree.cursor()), hidden_by });
            }
        }
        Self { sources, direction: Direction::Forward, head: None }
    }

    /// Only the memtables of one partition.
    pub(crate) fn in_memory(part: &PartVersion, at: Lsn) -> Self {
        let mut sources = Vec::new();
        add_memory(&mut sources, part, at);
        Self { sources, direction: Direction::Forward, head: None }
    }

    /// The key at hand, live or not.
    pub(crate) fn key(&self) -> Option<&[u8]> {
        self.sources[self.head?].stream.key()
    }

    /// Whether the key at hand is live: its newest version is a value.
    pub(crate) fn is_live(&self) -> bool {
        let Some(source) = self.head.map(|head| &self.sources[head]) else { return false };
        let Some(key) = source.stream.key() else { return false };
        let has_value = match &source.stream {
            Stream::Memory { cursor, .. } => {
                matches!(cursor.found(), Some(Found { entry: Entry::Value(_), .. }))
            }
            Stream::Tree(_) => true,
        };
        has_value && hiding(&source.hidden_by, key).is_none()
    }

    /// The value at hand, if the key is live.
    pub(crate) fn value(&self) -> Result<Option<&[u8]>> {
        if !self.is_live() {
            return Ok(None);
        }
        let Some(head) = self.head else { return Ok(None) };
        match &self.sources[head].stream {
            Stream::Tree(cursor) => Ok(cursor.value()?),
            Stream::Memory { cursor, .. } => Ok(cursor.found().and_then(|found| found.entry.value())),
        }
    }

    pub(crate) fn seek_first(&mut self) -> Result<()> {
        self.place(Direction::Forward, Stream::seek_first)
    }

    pub(crate) fn seek_last(&mut self) -> Result<()> {
        self.place(Direction::Backward, Stream::seek_last)
    }

    pub(crate) fn seek(&mut self, key: &[u8]) -> Result<()> {
        self.place(Direction::Forward, |stream| stream.seek(key))
    }

    pub(crate) fn seek_back(&mut self, key: &[u8]) -> Result<()> {
        self.place(Direction::Backward, |stream| stream.seek_back(key))
    }

    fn place(&mut self, direction: Direction, mut seek: impl FnMut(&mut Stream) -> Result<()>) -> Result<()> {
        self.head = None;
        self.direction = direction;
        for source in &mut self.sources {
            seek(&mut source.stream)?;
        }
        self.choose();
        Ok(())
    }

    /// To the next key, live or not. A dead head is left by the longest step that is safe.
    pub(crate) fn next(&mut self) -> Result<()> {
        self.step(Direction::Forward)
    }

    /// To the previous key, live or not.
    pub(crate) fn prev(&mut self) -> Result<()> {
        self.step(Direction::Backward)
    }

    fn step(&mut self, direction: Direction) -> Result<()> {
        let Some(head) = self.head.take() else { return Ok(()) };
        let Some(key) = self.sources[head].stream.key().map(<[u8]>::to_vec) else { return Ok(()) };
        let turned = self.direction != direction;
        self.direction = direction;
        for source in &mut self.sources {
            if turned {
                // The others stand on the far side of the key: put them on it or just past it.
                match direction {
                    Direction::Forward => source.stream.seek(&key)?,
                    Direction::Backward => source.stream.seek_back(&key)?,
                }
            }
            if source.stream.key() == Some(&key[..]) {
                Self::leave(source, &key, direction)?;
            }
        }
        self.choose();
        Ok(())
    }

    /// Moves a source off `key`; if the key lies in a stretch hidden from the source, past that stretch.
    fn leave(source: &mut Source, key: &[u8], direction: Direction) -> Result<()> {
        let Source { stream, hidden_by, .. } = source;
        match (direction, hiding(hidden_by, key)) {
            (Direction::Forward, None) => stream.next(),
            (Direction::Backward, None) => stream.prev(),
            (Direction::Forward, Some(RangeDelete { end: Some(end), .. })) => stream.seek(end),
            (Direction::Forward, Some(RangeDelete { end: None, .. })) => {
                stream.seek_last()?;
                stream.next()
            }
            (Direction::Backward, Some(RangeDelete { start, .. })) => {
                stream.seek_back(start)?;
                if stream.key() == Some(&**start) { stream.prev() } else { Ok(()) }
            }
        }
    }

    /// Finds the nearest key; of equal keys the first source is the newest layer (sources are in that order).
    fn choose(&mut self) {
        let mut best: Option<(usize, &[u8])> = None;
        for (i, source) in self.sources.iter().enumerate() {
            let Some(key) = source.stream.key() else { continue };
            let nearer = match (&best, self.direction) {
                (None, _) => true,
                (Some((_, chosen)), Direction::Forward) => key < *chosen,
                (Some((_, chosen)), Direction::Backward) => key > *chosen,
            };
            if nearer {
                best = Some((i, key));
            }
        }
        self.head = best.map(|(i, _)| i);
    }
}

/// Adds the memtables of a partition, newest first, and returns the range deletes that hide what is below them.
fn add_memory(sources: &mut Vec<Source>, part: &PartVersion, at: Lsn) -> Vec<RangeDelete> {
    let mut hidden_by: Vec<RangeDelete> = Vec::new();
    for layer in part.layers() {
        if layer.table.is_empty() {
            continue;
        }
        let ranges = layer.range_deletes(at);
        let cursor = layer.table.cursor(at.0);
        let stream = Stream::Memory { cursor, layer: layer.clone() };
        sources.push(Source { stream, hidden_by: hidden_by.clone() });
        hidden_by.extend(ranges);
    }
    hidden_by
}
