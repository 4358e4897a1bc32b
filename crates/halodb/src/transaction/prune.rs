//! [`Transaction::delete_if`]: a scan that removes what a predicate chooses, without looking for any key a second time.

use std::ops::RangeBounds;

use super::Transaction;
use super::own::Entry;
use crate::span::Span;
use crate::{Key, Result, Scan};

impl Transaction {
    /// Removes the pairs in `range` for which `predicate` holds; how many there were. It is shown each pair once, in key order, as this transaction sees
    /// it. Counts as reading the whole range.
    ///
    /// Cost: a scan that copies nothing, and a write for each key that goes. The fastest way to remove some of many; what goes
    /// whole, [`Transaction::delete_range`] removes in one step.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let db = halodb::Db::open(dir.path())?;
    /// db.batch().put("job/1", "done").put("job/2", "open").put("job/3", "done").commit()?;
    /// let removed = db.transaction(|tx| tx.delete_if("job/".."job0", |_, state| state == b"done"))?;
    /// assert_eq!((removed, db.len()?), (2, 1));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`Transaction::get`] and [`Transaction::put`]; nothing was removed then.
    pub fn delete_if<K: AsRef<[u8]>>(
        &mut self,
        range: impl RangeBounds<K>,
        mut predicate: impl FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<u64> {
        let Some(span) = Span::of(self.space, range) else { return Ok(0) };
        self.reads.add_span(&span);
        let gone = self.chosen(&span, &mut predicate)?;
        let count = gone.len() as u64;
        self.own.remove_all(gone)?;
        Ok(count)
    }

    /// The stored keys of a span that are chosen, in their order.
    fn chosen(&self, span: &Span, predicate: &mut impl FnMut(&[u8], &[u8]) -> bool) -> Result<Vec<Key>> {
        let space = self.space;
        let mut gone = Vec::new();
        let judge_own =
            |(stored, entry): (&Key, &Entry), gone: &mut Vec<Key>, predicate: &mut dyn FnMut(&[u8], &[u8]) -> bool| {
                if entry.as_ref().is_some_and(|set| predicate(space.decode(stored), &set.value)) {
                    gone.push(stored.clone());
                }
            };
        let mut own = self.own.entries(span).peekable();
        for piece in self.own.unremoved(span) {
            let mut scan = Scan::new(self.basis.here()?.snapshot().clone(), space, Some(piece));
            while let Some((key, value)) = scan.next()? {
                let mut is_own = false;
                if own.peek().is_some() {
                    let stored = space.join(key);
                    while let Some(entry) = own.next_if(|(other, _)| other[..] <= stored[..]) {
                        is_own |= entry.0[..] == stored[..];
                        judge_own(entry, &mut gone, predicate);
                    }
                }
                if !is_own && predicate(key, value) {
                    gone.push(Key::from(&space.join(key)[..]));
                }
            }
        }
        own.for_each(|entry| judge_own(entry, &mut gone, predicate));
        Ok(gone)
    }
}
