//! [`WriteTxn`]: taking, writing and giving up pages. How it ends is in `commit.rs`.
//!
//! Invariant: a page is written only while nobody can reach it: it was free when this transaction took it, or lies beyond
//! the pages of the newest commit. Pages given up here stay as they are; they only enter the pending list at commit.
//! A generation in which a page may have been written is used up even if the transaction is dropped, so that no stamp
//! names two writings.

use crate::collect::{Collector, ensure_len};
use crate::error::{Error, Result};
use crate::hands::check_body;
use crate::id::{PAGE_HEADER_LEN, PageId, PageKind, PageRef, Root, Stamp};
use crate::page::Header;
use crate::pager::Pager;
use crate::shared::Held;
use crate::snapshot::Snapshot;
use halodb_vfs::mutant;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

/// The one write transaction. Dropping it returns its pages and changes nothing.
///
/// It does not read: use a [`Snapshot`] of the base version for that.
pub struct WriteTxn<'p> {
    pub(crate) pager: &'p Pager,
    pub(crate) held: Held<'p>,
    pub(crate) stamp: Stamp,
    /// Pages in the file with what was taken at its end.
    pub(crate) end: u64,
    /// First page → what was taken and not given up again.
    pub(crate) taken: BTreeMap<u64, Taken>,
    /// The number of pages in `taken`.
    allocated: u64,
    /// Taken and given up again.
    pub(crate) scrapped: Vec<(u64, u64)>,
    /// Given up of the base version.
    pub(crate) freed: Vec<PageRef>,
    pub(crate) collector: Collector,
    /// Why this transaction cannot be committed any more.
    pub(crate) fault: Option<String>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Taken {
    pub(crate) pages: u32,
    pub(crate) written: bool,
}

impl<'p> WriteTxn<'p> {
    pub(crate) fn new(pager: &'p Pager, held: Held<'p>) -> Self {
        WriteTxn {
            pager,
            stamp: Stamp::new(held.meta.epoch, held.next_generation),
            end: held.meta.page_count,
            held,
            taken: BTreeMap::new(),
            allocated: 0,
            scrapped: Vec::new(),
            freed: Vec::new(),
            collector: Collector::default(),
            fault: None,
        }
    }
}

impl WriteTxn<'_> {
    /// Takes `pages` consecutive pages, lowest address first, else at the end of the file.
    ///
    /// # Errors
    /// [`Error::Invalid`] for no pages, or for more than a file can have. No I/O happens here.
    pub fn alloc(&mut self, pages: u32) -> Result<PageRef> {
        let start = self.claim(pages)?;
        Ok(self.take(start, pages))
    }

    /// Finds `pages` consecutive pages for somebody who will say what became of them.
    pub(crate) fn claim(&mut self, pages: u32) -> Result<u64> {
        let len = u64::from(pages);
        self.ensure_room(len)?;
        let start = match self.held.free.take_lowest(len) {
            Some(start) => start,
            None => {
                // A free run at the end is too short: it becomes the beginning of the new extent.
                let start = self.held.free.take_tail(self.end).unwrap_or(self.end);
                self.end = start + len;
                start
            }
        };
        self.claimed(start, len);
        Ok(start)
    }

    /// The lowest free run, or `most` pages of it, or as many at the end of the file.
    pub(crate) fn claim_run(&mut self, most: u64) -> Result<Range<u64>> {
        let (start, len) = match self.held.free.take_front(most) {
            Some(run) => run,
            None => {
                self.ensure_room(most)?;
                self.end += most;
                (self.end - most, most)
            }
        };
        self.claimed(start, len);
        Ok(start..start + len)
    }

    fn ensure_room(&self, len: u64) -> Result<()> {
        let limit = i64::MAX as u64 / self.pager.shared().file.page_size();
        if len == 0 || len > limit - self.end {
            return Err(Error::Invalid(format!("{len} pages cannot be taken from a file of {} pages", self.end)));
        }
        Ok(())
    }

    fn claimed(&mut self, start: u64, len: u64) {
        self.held.next_generation = self.stamp.generation() + 1;
        // A planted fault trusts a recycled page because its former content was verified.
        if !mutant("pager.keep-verified") {
            self.held.verified.clear(start, len);
        }
    }

    /// Takes over what somebody claimed, and may have written.
    pub(crate) fn adopt(&mut self, taken: BTreeMap<u64, Taken>) {
        self.allocated += taken.values().map(|t| u64::from(t.pages)).sum::<u64>();
        self.taken.extend(taken);
    }

    /// As [`WriteTxn::alloc`], but at the end of the file, whatever is free before: for what is to make way.
    ///
    /// # Errors
    /// As [`WriteTxn::alloc`].
    pub fn alloc_behind(&mut self, pages: u32) -> Result<PageRef> {
        let len = u64::from(pages);
        self.ensure_room(len)?;
        let start = self.end;
        self.end += len;
        self.claimed(start, len);
        Ok(self.take(start, pages))
    }

    /// As [`WriteTxn::alloc`], but only pages before `page`: what is to move towards the beginning of the file. `None`:
    /// there is no free run of that length before it.
    pub fn alloc_before(&mut self, pages: u32, page: PageId) -> Option<PageRef> {
        if !self.has_room_before(pages, page) {
            return None;
        }
        let start = self.held.free.take_lowest(u64::from(pages))?;
        self.claimed(start, u64::from(pages));
        Some(self.take(start, pages))
    }

    /// Whether [`WriteTxn::alloc_before`] would give pages now. Takes none.
    pub fn has_room_before(&mut self, pages: u32, page: PageId) -> bool {
        let len = u64::from(pages);
        pages > 0 && self.held.free.lowest(len).is_some_and(|start| start + len <= page.0)
    }

    fn take(&mut self, start: u64, pages: u32) -> PageRef {
        self.taken.insert(start, Taken { pages, written: false });
        self.allocated += u64::from(pages);
        PageRef { id: PageId(start), stamp: self.stamp, pages }
    }

    /// Writes a page or extent taken in this transaction: header, then `body`, the rest zeros. Pages are collected,
    /// about 2 MiB at a time, and neighbours written together, in whatever order they come. Each is written once.
    ///
    /// # Errors
    /// [`Error::Invalid`] if `at` was not taken in this transaction, was written already, or is too small, or if the
    /// kind is one of the pager's. After [`Error::Io`] the transaction can only be dropped; nothing is poisoned.
    pub fn write(&mut self, at: PageRef, kind: PageKind, level: u8, body: &[u8]) -> Result<()> {
        if let Some(fault) = &self.fault {
            return Err(Error::Invalid(fault.clone()));
        }
        check_body(at, kind, body, self.pager.shared().file.page_size())?;
        match self.taken.get_mut(&at.id.0) {
            Some(taken) if taken.pages == at.pages && at.stamp == self.stamp && !taken.written => taken.written = true,
            _ => {
                return Err(Error::Invalid(format!(
                    "page {} was not taken in this transaction, or was written before",
                    at.id.0
                )));
            }
        }
        self.put(Header { at, kind, level }, body)
    }

    /// Hands a page to the collector; a failure makes the transaction useless.
    pub(crate) fn put(&mut self, header: Header, body: &[u8]) -> Result<()> {
        let file = &self.pager.shared().file;
        let file_len = &mut self.held.file_len;
        let put = self.collector.add(file, &mut |needed| ensure_len(file, file_len, needed), header, body);
        if put.is_err() {
            self.fault = Some("an earlier write of this transaction failed".into());
        }
        put
    }

    /// Gives up a page or extent of the base version; it is reused when no findable meta and no snapshot reaches it.
    /// A page taken in this transaction is simply free again after it.
    ///
    /// A reference that cannot be meant (outside the file, given up twice, free already) is refused at commit.
    pub fn free(&mut self, page: PageRef) {
        if page.stamp != self.stamp {
            // Planted faults: a page is given up twice, or never.
            let times = if mutant("pager.free-twice") { 2 } else { u8::from(!mutant("pager.leak-page")) };
            (0..times).for_each(|_| self.freed.push(page));
            return;
        }
        match self.taken.get(&page.id.0) {
            Some(taken) if taken.pages == page.pages => {
                self.taken.remove(&page.id.0);
                self.allocated -= u64::from(page.pages);
                self.scrapped.push((page.id.0, u64::from(page.pages)));
            }
            _ => self.fault = Some(format!("page {} was given up but never taken in this transaction", page.id.0)),
        }
    }

    /// Bytes per body of one page: page size minus header.
    pub fn body_len(&self) -> usize {
        self.held.meta.identity.page_size as usize - PAGE_HEADER_LEN
    }

    /// Number of pages taken so far and not given up again.
    pub fn allocated(&self) -> u64 {
        self.allocated
    }

    /// The stamp of all pages that this transaction writes.
    pub fn stamp(&self) -> Stamp {
        self.stamp
    }

    /// Writes what is collected and the free list, synchronises, writes the meta to the slot not relied on,
    /// synchronises. Pages taken but never written are free again.
    ///
    /// Costs two syncs, and the writing of the whole free list.
    ///
    /// # Errors
    /// A failure before the data sync (a failed write, no space, [`Error::Invalid`] for roots or pages given up that
    /// cannot be) changes nothing: the pages are returned. From the data sync on a failure poisons: the commit may
    /// exist after reopening.
    pub fn commit(self, roots: &[Root], user: &[u8]) -> Result<Snapshot> {
        crate::commit::commit(self, roots, user)
    }
}

impl Drop for WriteTxn<'_> {
    /// Returns the pages that were taken; after a commit there are none.
    fn drop(&mut self) {
        let end = self.held.meta.page_count;
        let taken = std::mem::take(&mut self.taken).into_iter().map(|(start, t)| (start, u64::from(t.pages)));
        for (start, len) in taken.chain(std::mem::take(&mut self.scrapped)) {
            // What lies beyond the newest commit's pages vanishes with the transaction.
            let len = len.min(end.saturating_sub(start));
            let new = len == 0 || self.held.free.insert(start, len);
            debug_assert!(new, "page {start} was taken and is free");
        }
    }
}

impl fmt::Debug for WriteTxn<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WriteTxn")
            .field("stamp", &self.stamp)
            .field("taken", &self.allocated())
            .field("freed", &self.freed.len())
            .finish_non_exhaustive()
    }
}
