//! Scans and counts of a transaction: the snapshot's pairs with its own writes in their places.
//!
//! What is gone over counts as read, as far as it is gone over; what is counted counts as read as a whole.

use std::ops::RangeBounds;

use super::{Transaction, TransactionIter};
use crate::span::Span;
use crate::{Key, Result, Value};

impl Transaction {
    /// All pairs in key order.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let db = halodb::Db::open(dir.path())?;
    /// db.batch().put("a", "1").put("b", "2").commit()?;
    /// let mut tx = db.begin()?;
    /// tx.put("c", "3")?;
    /// assert_eq!(tx.iter().count(), 3);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn iter(&self) -> TransactionIter<'_> {
        self.pairs(Some(Span::all(self.space)))
    }

    /// The pairs whose key lies in `range`, in key order. An inverted range is empty. `..` in all its forms needs a type for
    /// its bounds: use [`Transaction::iter`].
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let db = halodb::Db::open(dir.path())?;
    /// db.batch().put("a", "1").put("b", "2").commit()?;
    /// let mut tx = db.begin()?;
    /// tx.put("c", "3")?;
    /// assert_eq!(tx.range("b"..).count(), 2);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn range<K: AsRef<[u8]>>(&self, range: impl RangeBounds<K>) -> TransactionIter<'_> {
        self.pairs(Span::of(self.space, range))
    }

    /// The pairs whose key starts with `prefix`, in key order.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let db = halodb::Db::open(dir.path())?;
    /// db.batch().put("a", "1").put("b", "2").commit()?;
    /// let mut tx = db.begin()?;
    /// tx.put("c", "3")?;
    /// assert_eq!(tx.prefix("c").count(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn prefix(&self, prefix: impl AsRef<[u8]>) -> TransactionIter<'_> {
        self.pairs(Span::prefix(self.space, prefix.as_ref()))
    }

    fn pairs(&self, span: Option<Span>) -> TransactionIter<'_> {
        TransactionIter::new(self.view(), &self.own, &self.reads, self.space, span)
    }

    /// The pair with the smallest key. What lies before it counts as read.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let db = halodb::Db::open(dir.path())?;
    /// db.batch().put("a", "1").put("b", "2").commit()?;
    /// let tx = db.begin()?;
    /// assert_eq!(tx.first()?.expect("two pairs").0, b"a");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`Transaction::get`].
    pub fn first(&self) -> Result<Option<(Key, Value)>> {
        self.iter().next().transpose()
    }

    /// The pair with the greatest key. What lies behind it counts as read.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let db = halodb::Db::open(dir.path())?;
    /// db.batch().put("a", "1").put("b", "2").commit()?;
    /// let mut tx = db.begin()?;
    /// tx.put("c", "3")?;
    /// assert_eq!(tx.last()?.expect("three pairs").0, b"c");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`Transaction::get`].
    pub fn last(&self) -> Result<Option<(Key, Value)>> {
        self.iter().next_back().transpose()
    }

    /// Exact number of keys. Counts as reading all of them. Cost: as [`Transaction::count`].
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let db = halodb::Db::open(dir.path())?;
    /// db.batch().put("a", "1").put("b", "2").commit()?;
    /// let mut tx = db.begin()?;
    /// tx.put("c", "3")?;
    /// assert_eq!((tx.len()?, db.len()?), (3, 2));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`Transaction::get`].
    pub fn len(&self) -> Result<u64> {
        self.count_span(&Span::all(self.space))
    }

    /// Whether there is no key. Stops at the first key.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let db = halodb::Db::open(dir.path())?;
    /// let mut tx = db.begin()?;
    /// assert!(tx.is_empty()?);
    /// tx.put("k", "v")?;
    /// assert!(!tx.is_empty()?);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`Transaction::get`].
    pub fn is_empty(&self) -> Result<bool> {
        Ok(self.first()?.is_none())
    }

    /// Exact number of keys in a range, which counts as reading the range. Cost: as [`Keyspace::count`](crate::Keyspace::count), and a lookup for each
    /// key in the range that this transaction has written.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let db = halodb::Db::open(dir.path())?;
    /// db.batch().put("a", "1").put("b", "2").commit()?;
    /// let mut tx = db.begin()?;
    /// tx.put("c", "3")?;
    /// assert_eq!(tx.count("b"..)?, 2);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`Transaction::get`].
    pub fn count<K: AsRef<[u8]>>(&self, range: impl RangeBounds<K>) -> Result<u64> {
        Span::of(self.space, range).map_or(Ok(0), |span| self.count_span(&span))
    }

    /// Exact number of keys that start with `prefix`. As [`Transaction::count`].
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let db = halodb::Db::open(dir.path())?;
    /// db.batch().put("a", "1").put("b", "2").commit()?;
    /// let mut tx = db.begin()?;
    /// tx.put("c", "3")?;
    /// assert_eq!(tx.count_prefix("c")?, 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`Transaction::get`].
    pub fn count_prefix(&self, prefix: impl AsRef<[u8]>) -> Result<u64> {
        Span::prefix(self.space, prefix.as_ref()).map_or(Ok(0), |span| self.count_span(&span))
    }

    pub(super) fn count_span(&self, span: &Span) -> Result<u64> {
        self.reads.add_span(span);
        let mut count = 0;
        for piece in self.own.unremoved(span) {
            let (from, to) = piece.bounds();
            count += self.view()?.count(from, to)?;
        }
        for (stored, entry) in self.own.entries(span) {
            match (entry, self.was_there(stored)?) {
                (Some(_), false) => count += 1,
                (None, true) => count -= 1,
                _ => {}
            }
        }
        Ok(count)
    }
}
