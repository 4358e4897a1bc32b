//! Taking pairs away from the ends of a keyspace, as from a queue.
//!
//! Until it is merged, a key that was removed is in the memtables, and whoever seeks the first key steps over it: the second
//! thousand of pops would cost more than the first one, and the millionth a hundred milliseconds. So an end is remembered
//! between pops, as an [`Edge`]: up to this key nothing was there at that moment. The next pop looks at what was written
//! since; mostly that is what was popped and some keys at the other end.
//!
//! An edge is a hint about where to begin. What is found there is judged at the commit like anything else that was read:
//! nobody may have written before it or to it.

use std::ops::Bound;

use halodb_partition::{self as partition, Written};
use parking_lot::Mutex;

use super::Keyspace;
use super::revise::Wish;
use crate::space_id::SpaceId;
use crate::span::Span;
use crate::{Key, Result, Value};

/// Which end of a keyspace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    First,
    Last,
}

/// From an end of a keyspace to this stored key, itself included, there was nothing.
#[derive(Clone, Debug)]
struct Edge {
    key: Vec<u8>,
    /// When. What was put there later is among what was written since.
    since: Written,
    /// So many writes are looked at: a few more for each pop, as each makes the way longer that is walked without.
    most_writes: usize,
}

/// Ends that are remembered.
const MOST_EDGES: usize = 256;
/// Writes that are looked at for the first pop after an edge was found, more for each following one, and at most.
const FEW_WRITES: usize = 1024;
const WRITES_PER_POP: usize = 8;
const MOST_WRITES: usize = 1 << 20;

/// The edges of a database.
#[derive(Debug, Default)]
pub(crate) struct Edges(Mutex<Vec<((SpaceId, End), Edge)>>);

impl Edges {
    fn get(&self, space: SpaceId, end: End) -> Option<Edge> {
        let edges = self.0.lock();
        edges.iter().find(|(of, _)| *of == (space, end)).map(|(_, edge)| edge.clone())
    }

    fn set(&self, space: SpaceId, end: End, edge: Edge) {
        let mut edges = self.0.lock();
        match edges.iter().position(|(of, _)| *of == (space, end)) {
            Some(known) => edges[known].1 = edge,
            None => {
                if edges.len() == MOST_EDGES {
                    edges.remove(0);
                }
                edges.push(((space, end), edge));
            }
        }
    }
}

impl Edge {
    /// The key from which on to look in a snapshot that is not older than the edge; `None`: too much was written since.
    fn begin(&self, end: End, all: &Span, newest: &partition::Snapshot) -> Result<Option<Vec<u8>>> {
        let mut begin = self.key.clone();
        let (mut left, mut failed) = (self.most_writes, None);
        let is_all = newest.written_since(&self.since, |key| {
            let is_beyond = match end {
                End::First => key < &begin[..],
                End::Last => key > &begin[..],
            };
            if is_beyond && all.is_above_lower(key) && all.is_below_upper(key) {
                match newest.get_with(key, |_| ()) {
                    Ok(Some(())) => begin = key.to_vec(),
                    Ok(None) => {}
                    Err(error) => failed = Some(error),
                }
            }
            left -= 1;
            left > 0 && failed.is_none()
        });
        match failed {
            Some(error) => Err(error.into()),
            None => Ok(is_all.then_some(begin)),
        }
    }
}

impl Keyspace {
    /// Removes the pair with the smallest key and gives it; `None` if there is no key. Of several threads that do so at the same
    /// time each gets another pair.
    ///
    /// Cost: as [`Keyspace::insert`]. What was popped before is remembered and not stepped over again, but where others write
    /// thousands of keys between two pops.
    ///
    /// # Errors
    /// As [`Keyspace::insert`].
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let db = halodb::Db::open(dir.path())?;
    /// let jobs = db.keyspace("jobs")?;
    /// jobs.batch().put("0001", "sweep").put("0002", "cook").commit()?;
    /// let (_, job) = jobs.pop_first()?.expect("two jobs");
    /// assert_eq!(&job[..], b"sweep");
    /// assert_eq!(jobs.len()?, 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn pop_first(&self) -> Result<Option<(Key, Value)>> {
        self.pop(End::First)
    }

    /// As [`Keyspace::pop_first`], at the other end.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let db = halodb::Db::open(dir.path())?;
    /// db.batch().put("a", "1").put("b", "2").commit()?;
    /// assert_eq!(db.pop_last()?.expect("two pairs").0, b"b");
    /// assert_eq!(db.len()?, 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`Keyspace::insert`].
    pub fn pop_last(&self) -> Result<Option<(Key, Value)>> {
        self.pop(End::Last)
    }

    fn pop(&self, end: End) -> Result<Option<(Key, Value)>> {
        let all = Span::all(self.id);
        let (start, stop) = all.bounds();
        // The edge before the snapshot, so that it is not the younger one; so is the moment for the next edge, with which no
        // write falls between the two.
        let edge = self.inner.edges.get(self.id, end);
        let mut before = self.inner.writable()?.set.written();
        let mut found = None;
        let popped = self.revise(|newest, reads| {
            let since = std::mem::replace(&mut before, self.inner.writable()?.set.written());
            let begin = match &edge {
                Some(edge) => edge.begin(end, &all, newest)?,
                None => None,
            };
            let mut cursor = newest.cursor();
            match (end, &begin) {
                (End::First, Some(begin)) => cursor.seek(begin)?,
                (End::First, None) => cursor.seek(&self.id.start())?,
                (End::Last, Some(begin)) => cursor.seek_back(begin)?,
                (End::Last, None) => cursor.seek_back(&self.id.end())?,
            }
            let Some(key) = cursor.key().filter(|key| all.is_above_lower(key) && all.is_below_upper(key)) else {
                let beyond = match end {
                    End::First => self.id.end(),
                    End::Last => self.id.start(),
                };
                found = Some((beyond.to_vec(), since));
                return Ok(Wish::Keep(None));
            };
            // Nothing may have come before it, or gone.
            match end {
                End::First => reads.add_range(start, Bound::Included(key)),
                End::Last => reads.add_range(Bound::Included(key), stop),
            }
            let mut batch = partition::Batch::new();
            batch.delete(key);
            found = Some((key.to_vec(), since));
            let pair = (Key::from(self.id.decode(key)), Value::from(cursor.value()?.unwrap_or_default()));
            Ok(Wish::Write(batch, Some(pair)))
        })?;
        if let Some((key, since)) = found {
            let before = edge.map_or(FEW_WRITES, |edge| edge.most_writes);
            let most_writes = (before + WRITES_PER_POP).min(MOST_WRITES);
            self.inner.edges.set(self.id, end, Edge { key, since, most_writes });
        }
        Ok(popped)
    }
}
