//! Several keys at once, and keys by their place in the order, with a transaction's own writes among them.
//!
//! A place is found by counting. What the snapshot has, but for ranges that were removed, is the *ground*; each own write
//! adds a key to it, takes one away, or leaves their number as it is. So the keys up to an own write are those of the
//! ground before it, and the sum of what own writes before it did.

use super::Transaction;
use super::own::Did;
use crate::short::Short;
use crate::span::Span;
use crate::{Key, Result, Value};

impl Transaction {
    /// The values of several keys, in their order, as [`Keyspace::multi_get`](crate::Keyspace::multi_get). Counts as reading each
    /// that this transaction has not written.
    ///
    /// # Errors
    /// As [`Transaction::get`], for any of the keys.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let db = halodb::Db::open(dir.path())?;
    /// db.put("a", "1")?;
    /// let mut tx = db.begin()?;
    /// tx.put("b", "2")?;
    /// let values = tx.multi_get(["b", "a", "c"])?;
    /// let values: Vec<_> = values.iter().map(|value| value.as_deref()).collect();
    /// assert_eq!(values, [Some(&b"2"[..]), Some(b"1"), None]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn multi_get(&self, keys: impl IntoIterator<Item = impl AsRef<[u8]>>) -> Result<Vec<Option<Value>>> {
        let mut values = Vec::new();
        let (mut asked, mut numbers): (Vec<Short>, Vec<usize>) = (Vec::new(), Vec::new());
        for key in keys {
            let stored = self.space.stored(key.as_ref())?;
            values.push(match self.own.did(&stored) {
                Did::Set(set) => Some(set.value.clone()),
                Did::Removed => None,
                Did::Nothing => {
                    numbers.push(values.len());
                    asked.push(stored);
                    None
                }
            });
        }
        asked.iter().for_each(|stored| self.reads.add_key(stored));
        for (number, value) in numbers.into_iter().zip(self.view()?.multi_get(&asked)?) {
            values[number] = value;
        }
        Ok(values)
    }

    /// Exact number of keys below `key`, whether or not it is there itself. Counts as reading all of these. Cost: as
    /// [`Transaction::count`].
    ///
    /// # Errors
    /// As [`Transaction::get`].
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let db = halodb::Db::open(dir.path())?;
    /// db.batch().put("a", "").put("c", "").commit()?;
    /// let mut tx = db.begin()?;
    /// tx.put("b", "")?;
    /// assert_eq!(tx.rank("c")?, 2);
    /// assert_eq!(tx.nth(1)?.expect("three keys").0, b"b");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn rank(&self, key: impl AsRef<[u8]>) -> Result<u64> {
        self.count(..key.as_ref())
    }

    /// The pair with exactly `i` keys below; `None` if there are not so many. Counts as reading all keys up to it; all there
    /// are, if there is none. Cost: as [`Keyspace::nth`](crate::Keyspace::nth), and a lookup and a count for each key that this
    /// transaction has written before it.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let db = halodb::Db::open(dir.path())?;
    /// db.batch().put("a", "1").put("c", "3").commit()?;
    /// let mut tx = db.begin()?;
    /// tx.put("b", "2")?;
    /// assert_eq!(tx.nth(2)?.expect("three pairs").0, b"c");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`Transaction::get`].
    pub fn nth(&self, i: u64) -> Result<Option<(Key, Value)>> {
        let all = Span::all(self.space);
        let found = self.find_nth(&all, i)?;
        match &found {
            Some((key, _)) => {
                if let Some(span) = Span::of(self.space, ..=&key[..]) {
                    self.reads.add_span(&span);
                }
            }
            None => self.reads.add_span(&all),
        }
        Ok(found)
    }

    fn find_nth(&self, all: &Span, i: u64) -> Result<Option<(Key, Value)>> {
        // What own writes have added so far, and have taken away.
        let (mut added, mut taken) = (0, 0);
        for (stored, entry) in self.own.entries(all) {
            let key = self.space.decode(stored);
            let before = match Span::of(self.space, ..key) {
                Some(below) => self.ground(&below)? + added - taken,
                None => 0,
            };
            if before > i {
                break;
            }
            match entry {
                Some(set) if before == i => return Ok(Some((Key::from(key), set.value.clone()))),
                Some(_) => added += u64::from(!self.was_there(stored)?),
                None => taken += u64::from(self.was_there(stored)?),
            }
        }
        self.nth_of_ground(all, i + taken - added)
    }

    /// Number of keys that the snapshot has in a span, but for ranges that were removed.
    fn ground(&self, span: &Span) -> Result<u64> {
        self.own.unremoved(span).iter().try_fold(0, |sum, piece| {
            let (from, to) = piece.bounds();
            Ok(sum + self.view()?.count(from, to)?)
        })
    }

    fn nth_of_ground(&self, all: &Span, mut i: u64) -> Result<Option<(Key, Value)>> {
        for piece in self.own.unremoved(all) {
            let (from, to) = piece.bounds();
            if let Some(cursor) = self.view()?.nth(from, to, i)? {
                let key = Key::from(self.space.decode(cursor.key().unwrap_or_default()));
                return Ok(cursor.value()?.map(|value| (key, Value::from(value))));
            }
            i -= self.view()?.count(from, to)?;
        }
        Ok(None)
    }
}
