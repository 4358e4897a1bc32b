//! [`Hands`]: one write transaction whose pages several threads write at once.
//!
//! Each thread works through a [`Hand`] of its own: it takes single pages in stocks, so that it seldom asks, builds and
//! writes their images by itself, and shares with the others only the set of free pages and the length of the file, which
//! lie behind a lock. The lock is held for a look at the free pages and for making the file longer, never for writing pages.
//!
//! What a hand wrote belongs to the transaction once it is [kept](Hand::keep). A hand that is dropped gives everything back:
//! its pages are free again after the transaction, as if it had never taken them. Hands give up no page of the base
//! version; that is left to whoever puts their work together.

use crate::collect::{Collector, ensure_len};
use crate::error::{Error, Result};
use crate::file::PageFile;
use crate::id::{PAGE_HEADER_LEN, PageId, PageKind, PageRef, Stamp};
use crate::page::Header;
use crate::pager::Pager;
use crate::txn::{Taken, WriteTxn};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

/// Single pages that a hand takes at once: 512 KiB of pages of 16 KiB.
const STOCK: u64 = 32;

/// A write transaction that was divided; see the head of this file.
///
/// ```
/// use halodb_pager::{Identity, PageKind, Pager, Root};
/// # fn main() -> halodb_pager::Result<()> {
/// # let disk = std::sync::Arc::new(halodb_vfs::SimVfs::new());
/// # let identity = Identity { uuid: [7; 16], incarnation: 1, file_id: 0, page_size: 4096 };
/// let pager = Pager::create(disk, "pages".as_ref(), identity, b"")?;
/// let mut txn = pager.begin()?;
/// let hands = txn.divide();
/// let written = std::thread::scope(|scope| {
///     let threads: Vec<_> = (0..2).map(|n| {
///         let mut hand = hands.hand();
///         scope.spawn(move || {
///             let at = hand.alloc(1)?;
///             hand.write(at, PageKind(1), 0, &[n])?;
///             hand.flush()?;
///             Ok::<_, halodb_pager::Error>((at, hand))
///         })
///     }).collect();
///     threads.into_iter().map(|thread| thread.join().expect("no panic")).collect::<Result<Vec<_>, _>>()
/// })?;
/// let mut roots = Vec::new();
/// for (at, hand) in written {
///     hand.keep();
///     roots.push(Root { page: at, tag: [0; 16] });
/// }
/// assert_eq!(txn.commit(&roots, b"")?.page(roots[1].page)?.body()[0], 1);
/// # Ok(()) }
/// ```
pub struct Hands<'t, 'p> {
    txn: Mutex<&'t mut WriteTxn<'p>>,
    pager: &'p Pager,
    stamp: Stamp,
}

/// What one thread does of a divided transaction.
pub struct Hand<'h> {
    hands: &'h dyn Common,
    stamp: Stamp,
    /// Single pages not given out yet.
    stock: Range<u64>,
    /// First page → what was given out.
    taken: BTreeMap<u64, Taken>,
    collector: Collector,
    /// A write failed: the transaction cannot be committed any more.
    failed: bool,
}

impl<'p> WriteTxn<'p> {
    /// Divides the transaction: until the answer is dropped, its pages are taken and written through [`Hands::hand`] only.
    pub fn divide(&mut self) -> Hands<'_, 'p> {
        let (pager, stamp) = (self.pager, self.stamp);
        Hands { txn: Mutex::new(self), pager, stamp }
    }
}

/// What hands have in common; hides what the transaction borrows.
trait Common: Sync {
    fn file(&self) -> &PageFile;
    fn claim(&self, pages: u32) -> Result<u64>;
    fn claim_run(&self, most: u64) -> Result<Range<u64>>;
    fn lengthen(&self, needed: u64) -> Result<()>;
    fn adopt(&self, taken: BTreeMap<u64, Taken>);
    fn scrap(&self, stock: Range<u64>, taken: BTreeMap<u64, Taken>);
    fn spoil(&self);
}

impl Common for Hands<'_, '_> {
    fn file(&self) -> &PageFile {
        &self.pager.shared().file
    }
    fn claim(&self, pages: u32) -> Result<u64> {
        self.txn.lock().claim(pages)
    }
    fn claim_run(&self, most: u64) -> Result<Range<u64>> {
        self.txn.lock().claim_run(most)
    }
    fn lengthen(&self, needed: u64) -> Result<()> {
        ensure_len(self.file(), &mut self.txn.lock().held.file_len, needed)
    }
    fn adopt(&self, taken: BTreeMap<u64, Taken>) {
        self.txn.lock().adopt(taken);
    }
    fn scrap(&self, stock: Range<u64>, taken: BTreeMap<u64, Taken>) {
        let stock = std::iter::once((stock.start, stock.end - stock.start)).filter(|(_, len)| *len > 0);
        let taken = taken.into_iter().map(|(start, taken)| (start, u64::from(taken.pages)));
        self.txn.lock().scrapped.extend(stock.chain(taken));
    }
    fn spoil(&self) {
        self.txn.lock().fault = Some("pages of a hand were not written".into());
    }
}

impl Hands<'_, '_> {
    /// One more hand; it may go to another thread.
    pub fn hand(&self) -> Hand<'_> {
        let (taken, collector) = (BTreeMap::new(), Collector::default());
        Hand { hands: self, stamp: self.stamp, stock: 0..0, taken, collector, failed: false }
    }
}

impl Hand<'_> {
    /// As [`WriteTxn::alloc`]. Single pages come from low addresses, but not the lowest there are: other hands have theirs.
    ///
    /// # Errors
    /// As [`WriteTxn::alloc`].
    pub fn alloc(&mut self, pages: u32) -> Result<PageRef> {
        let start = if pages == 1 {
            if self.stock.is_empty() {
                self.stock = self.hands.claim_run(STOCK)?;
            }
            self.stock.next().unwrap_or_default()
        } else {
            self.hands.claim(pages)?
        };
        self.taken.insert(start, Taken { pages, written: false });
        Ok(PageRef { id: PageId(start), stamp: self.stamp, pages })
    }

    /// As [`WriteTxn::write`], for what this hand has taken.
    ///
    /// # Errors
    /// As [`WriteTxn::write`].
    pub fn write(&mut self, at: PageRef, kind: PageKind, level: u8, body: &[u8]) -> Result<()> {
        if self.failed {
            return Err(Error::Invalid("an earlier write of this transaction failed".into()));
        }
        let file = self.hands.file();
        check_body(at, kind, body, file.page_size())?;
        match self.taken.get_mut(&at.id.0) {
            Some(taken) if taken.pages == at.pages && at.stamp == self.stamp && !taken.written => {
                taken.written = true;
            }
            _ => {
                let page = at.id.0;
                return Err(Error::Invalid(format!("page {page} was not taken by this hand, or was written before")));
            }
        }
        let hands = self.hands;
        let added = self.collector.add(file, &mut |needed| hands.lengthen(needed), Header { at, kind, level }, body);
        self.failed |= added.is_err();
        added
    }

    /// Writes what is collected. To be called once, when all pages are written: the rest would be written by whoever keeps
    /// the hand.
    ///
    /// # Errors
    /// [`Error::Io`]: the transaction can only be dropped.
    pub fn flush(&mut self) -> Result<()> {
        let hands = self.hands;
        let flushed = self.collector.flush(hands.file(), &mut |needed| hands.lengthen(needed));
        self.failed |= flushed.is_err();
        flushed
    }

    /// The stamp of all pages that the transaction writes.
    pub fn stamp(&self) -> Stamp {
        self.stamp
    }

    /// Makes what the hand took and wrote the transaction's own. A hand that was not flushed, or failed, makes the transaction
    /// useless: it cannot be committed.
    pub fn keep(mut self) {
        if self.failed || !self.collector.is_empty() {
            self.hands.spoil();
        }
        self.hands.adopt(std::mem::take(&mut self.taken));
        // The stock is given back when the hand is dropped.
    }
}

impl Drop for Hand<'_> {
    fn drop(&mut self) {
        self.hands.scrap(self.stock.clone(), std::mem::take(&mut self.taken));
    }
}

/// Refuses a page kind that is not the caller's, and a body that does not fit.
pub(crate) fn check_body(at: PageRef, kind: PageKind, body: &[u8], page_size: u64) -> Result<()> {
    if kind.0 >= PageKind::FIRST_OWN {
        return Err(Error::Invalid(format!("page kind {} belongs to the pager", kind.0)));
    }
    let room = u64::from(at.pages) * page_size;
    if (PAGE_HEADER_LEN + body.len()) as u64 > room {
        return Err(Error::Invalid(format!(
            "a header of {PAGE_HEADER_LEN} bytes and a body of {} for {} pages, which have {room}",
            body.len(),
            at.pages
        )));
    }
    Ok(())
}

impl fmt::Debug for Hands<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hands").field("stamp", &self.stamp).finish_non_exhaustive()
    }
}

impl fmt::Debug for Hand<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hand").field("stamp", &self.stamp).field("taken", &self.taken.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{Identity, Root};
    use halodb_vfs::SimVfs;
    use std::sync::Arc;

    fn pager() -> Pager {
        let identity = Identity { uuid: [7; 16], incarnation: 1, file_id: 0, page_size: 4096 };
        Pager::create(Arc::new(SimVfs::new()), "pages".as_ref(), identity, b"").unwrap()
    }

    fn write(hand: &mut Hand<'_>, pages: u32, byte: u8) -> PageRef {
        let at = hand.alloc(pages).unwrap();
        hand.write(at, PageKind(1), 0, &[byte; 100]).unwrap();
        at
    }

    #[test]
    fn a_hand_that_is_kept_gives_its_pages_and_one_that_is_dropped_takes_them_back() {
        let pager = pager();
        let mut txn = pager.begin().unwrap();
        let hands = txn.divide();
        let (mut kept, mut dropped) = (hands.hand(), hands.hand());
        let mut roots = Vec::new();
        for byte in 0..3 {
            roots.push(Root { page: write(&mut kept, 1, byte), tag: [0; 16] });
            write(&mut dropped, 1, 99);
        }
        let extent = write(&mut kept, 5, 7);
        write(&mut dropped, 600, 8);
        kept.flush().unwrap();
        dropped.flush().unwrap();
        kept.keep();
        drop(dropped);
        assert_eq!(txn.allocated(), 8);
        let snapshot = txn.commit(&roots, b"").unwrap();
        for (byte, root) in (0..).zip(&roots) {
            assert!(snapshot.page(root.page).unwrap().body().starts_with(&[byte; 100]));
        }
        assert_eq!(snapshot.page(extent).unwrap().body()[0], 7);
        let mut reached = crate::PageSet::default();
        assert!(roots.iter().all(|root| reached.insert(root.page)) && reached.insert(extent));
        assert_eq!(snapshot.check_accounting(&reached).unwrap(), []);
    }

    #[test]
    fn a_dropped_transaction_gets_everything_back_from_its_hands() {
        let pager = pager();
        let before = pager.stats();
        let mut txn = pager.begin().unwrap();
        let hands = txn.divide();
        let (mut one, mut two) = (hands.hand(), hands.hand());
        write(&mut one, 1, 1);
        write(&mut two, 3, 2);
        one.flush().unwrap();
        one.keep();
        drop(two);
        drop(txn);
        let after = pager.stats();
        assert_eq!((after.pages, after.free), (before.pages, before.free));
        let txn = pager.begin().unwrap();
        let snapshot = txn.commit(&[], b"").unwrap();
        assert_eq!(snapshot.check_accounting(&crate::PageSet::default()).unwrap(), []);
    }

    #[test]
    fn a_hand_refuses_pages_of_another_one_and_cannot_be_kept_unwritten() {
        let pager = pager();
        let mut txn = pager.begin().unwrap();
        let hands = txn.divide();
        let (mut one, mut two) = (hands.hand(), hands.hand());
        let at = one.alloc(1).unwrap();
        assert!(matches!(two.write(at, PageKind(1), 0, b"x"), Err(Error::Invalid(_))));
        one.write(at, PageKind(1), 0, b"x").unwrap();
        assert!(matches!(one.write(at, PageKind(1), 0, b"x"), Err(Error::Invalid(_))));
        one.keep();
        drop(two);
        assert!(matches!(txn.commit(&[], b""), Err(Error::Invalid(_))));
    }
}
