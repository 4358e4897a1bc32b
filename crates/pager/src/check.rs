//! Accounting: reachable ∪ free ∪ pending ∪ pages of the free list ∪ metas = all pages, disjoint.
//!
//! The stored list is read from the disk again; for the newest version it is also compared with what the writer has in
//! memory. What is *in* the reachable pages is not this crate's business.

use crate::error::{Error, Result};
use crate::extents::PageSet;
use crate::id::{Access, FIRST_PAGE};
use crate::meta::{Meta, Slot};
use crate::open::{StoredList, load_list};
use crate::pager::Pager;
use crate::snapshot::Snapshot;
use std::path::PathBuf;

/// Findings after which the rest is only counted.
const LIMIT: usize = 100;

/// Something `check` found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// File.
    pub path: PathBuf,
    /// Offset in bytes, if it has a place.
    pub offset: Option<u64>,
    /// What is wrong, as a sentence.
    pub what: String,
}

impl Snapshot {
    /// Checks that `reachable`, the stored free list, pages pending, and free pages cover the file exactly once.
    /// `reachable` must hold every page of every root of this version. Reads the stored free list from the disk.
    ///
    /// For the newest version of a file open for writing, the stored list is compared with the one in memory too, unless
    /// a transaction is running.
    ///
    /// # Errors
    /// [`Error::Io`] if the list cannot be read; that it is damaged is a finding.
    pub fn check_accounting(&self, reachable: &PageSet) -> Result<Vec<Finding>> {
        let mut report = Report { snapshot: self, findings: Vec::new(), more: 0 };
        let list = match load_list(&self.shared().file, self.meta()) {
            Ok(list) => list,
            Err(Error::Corrupt { path, offset, what }) => {
                return Ok(vec![Finding {
                    path,
                    offset: Some(offset),
                    what: format!("The free list is damaged: {what}."),
                }]);
            }
            Err(e) => return Err(e),
        };
        report.cover(reachable, &list);
        report.compare_with_memory(&list);
        Ok(report.finish())
    }
}

impl Snapshot {
    /// The pages that this version's stored free list names, and those that it is stored in: ascending extents of first
    /// page and length. Reads the list from the disk.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if the list is damaged, [`Error::Io`].
    pub fn free_pages(&self) -> Result<Vec<(u64, u64)>> {
        let list = load_list(&self.shared().file, self.meta())?;
        let mut extents = list.extents;
        extents.extend(list.pages.iter().map(|at| (at.id.0, u64::from(at.pages))));
        extents.sort_unstable();
        Ok(extents)
    }
}

impl Pager {
    /// Reads both meta slots again from the disk: one holds the newest meta, the other one a valid one. A slot that holds
    /// none is a legal state after a crash, until the next commit; it is a finding all the same, because from there on
    /// nothing would be left if the other one were damaged too.
    ///
    /// Says nothing while a transaction runs, or once a failed sync has poisoned the file.
    ///
    /// # Errors
    /// [`Error::Io`] if a slot cannot be read.
    pub fn check_metas(&self) -> Result<Vec<Finding>> {
        let shared = self.shared();
        let newest = shared.with_idle_writer(|writer| (!writer.poisoned).then(|| writer.meta.clone()));
        let Some(Some(newest)) = newest else { return Ok(Vec::new()) };
        let relied = shared.slots.lock().relied();
        let mut findings = Vec::new();
        for slot in 0..2 {
            let what = match shared.file.read_slot(slot)?.map(|bytes| Meta::decode(&bytes, slot)) {
                Some(Slot::Valid(meta)) if slot == relied && meta == newest => continue,
                Some(Slot::Valid(meta)) if slot == relied => {
                    format!(
                        "Meta slot {slot} holds generation {}, not the newest one, {}.",
                        meta.generation, newest.generation
                    )
                }
                Some(Slot::Valid(meta)) if meta.identity == newest.identity => continue,
                Some(Slot::Valid(_)) => format!("Meta slot {slot} holds the meta of another file."),
                Some(Slot::Bad(what)) => format!("Meta slot {slot} holds no valid meta: {what}."),
                Some(Slot::OtherVersion(found)) => format!("Meta slot {slot} holds a meta of format version {found}."),
                Some(Slot::NoMagic | Slot::Missing) => format!("Meta slot {slot} holds no meta."),
                None => format!("The file ends before meta slot {slot}."),
            };
            let offset = Some(shared.file.offset(u64::from(slot)));
            findings.push(Finding { path: shared.file.path.clone(), offset, what });
        }
        Ok(findings)
    }
}

struct Report<'a> {
    snapshot: &'a Snapshot,
    findings: Vec<Finding>,
    more: usize,
}

impl Report<'_> {
    fn add(&mut self, page: Option<u64>, what: String) {
        if self.findings.len() >= LIMIT {
            self.more += 1;
            return;
        }
        let page_size = u64::from(self.snapshot.page_size());
        let offset = page.map(|page| page.saturating_mul(page_size));
        self.findings.push(Finding { path: self.snapshot.path().to_path_buf(), offset, what });
    }

    fn finish(mut self) -> Vec<Finding> {
        if self.more > 0 {
            let what = format!("{} more findings of the same kind are not listed.", self.more);
            self.findings.push(Finding { path: self.snapshot.path().to_path_buf(), offset: None, what });
        }
        self.findings
    }

    /// Sweeps over all extents in the order of their pages: each page must be in exactly one.
    fn cover(&mut self, reachable: &PageSet, list: &StoredList) {
        let mut extents = vec![(0, FIRST_PAGE, "a meta page")];
        extents.extend(reachable.iter().map(|(s, l)| (s, l, "reachable")));
        extents.extend(list.extents.iter().map(|(s, l)| (*s, *l, "free")));
        extents.extend(list.pages.iter().map(|at| (at.id.0, 1, "a page of the free list")));
        extents.sort_unstable();
        let page_count = self.snapshot.page_count();
        let (mut end, mut before) = (0, "");
        for (start, len, what) in extents {
            if start > end {
                self.add(Some(end), lost(end, start));
            }
            if start < end {
                self.add(Some(start), format!("Page {start} is {what} and also {before}."));
            }
            let this_end = start.saturating_add(len);
            if this_end > page_count {
                self.add(
                    Some(start),
                    format!("Pages {start} to {} are {what} in a file of {page_count} pages.", this_end - 1),
                );
            }
            if this_end > end {
                (end, before) = (this_end, what);
            }
        }
        if end < page_count {
            self.add(Some(end), lost(end, page_count));
        }
    }

    fn compare_with_memory(&mut self, list: &StoredList) {
        let shared = self.snapshot.shared();
        let generation = self.snapshot.generation();
        let in_memory = shared.with_idle_writer(|writer| {
            if shared.access == Access::ReadOnly || writer.meta.generation != generation || writer.poisoned {
                return None;
            }
            let mut set = writer.free.clone();
            let disjoint = writer.pending.iter().all(|(start, len)| set.insert(start, len));
            let same = disjoint && set.iter().eq(list.extents.iter().copied()) && writer.list == list.pages;
            Some((same, writer.free.pages(), writer.pending.pages()))
        });
        if let Some(Some((false, free, pending))) = in_memory {
            let stored: u64 = list.extents.iter().map(|(_, len)| len).sum();
            self.add(
                None,
                format!("The stored free list ({stored} pages) differs from {free} free and {pending} pending pages in memory."),
            );
        }
    }
}

fn lost(from: u64, to: u64) -> String {
    format!("Pages {from} to {} are neither reachable nor free.", to - 1)
}
