//! [`Standing`]: whether a page belongs to the newest commit, and who refers to it.
//!
//! A page does not know its parent, so the parent is searched for, from the meta down. Only pages that verify and are the ones
//! that their parents mean are gone into; each once at most, so that damage cannot lead in circles.

use crate::{Error, Result};
use halodb_btree::inspect::{BranchPage, LeafPage, Value};
use halodb_pager::inspect::{self, FREE_LIST, MetaInfo};
use halodb_pager::{Identity, PageRef, RawPage, RawPages};
use halodb_vfs::Vfs;
use std::path::Path;

/// How a page stands to the newest commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It is in use: somebody refers to it.
    Referred {
        /// Who.
        by: Referrer,
        /// What is said about the page there.
        at: PageRef,
    },
    /// It lies in an extent that begins at another page.
    Inside {
        /// The first page of the extent.
        first: u64,
    },
    /// The list of free pages names it: it is free, or only older commits and snapshots reach it.
    Free,
    /// It lies behind the pages that are in use: room for growth.
    Beyond,
    /// Nobody refers to it, as far as could be read. `unread`: pages on the way that could not be.
    Nobody {
        /// Pages that could not be gone into, because they are damaged.
        unread: u64,
    },
    /// No meta is valid, so nothing tells what is in use.
    NoMeta,
}

/// Who refers to a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Referrer {
    /// The meta: the page is the root of the tree.
    Meta,
    /// The meta: the page is the first of the free list.
    MetaList,
    /// A page of the free list: this is the next one.
    FreeList(u64),
    /// A branch, as its child number `child`.
    Branch {
        /// The branch's page.
        page: u64,
        /// Number of the child, from 0.
        child: usize,
    },
    /// A branch, as the filters of its leaves.
    Filter(u64),
    /// A leaf, as the value of entry number `entry`.
    Leaf {
        /// The leaf's page.
        page: u64,
        /// Number of the entry, from 0.
        entry: usize,
    },
}

/// Finds out how page `number` stands to the commit of `meta`.
pub(super) fn find(
    vfs: &dyn Vfs,
    path: &Path,
    identity: Identity,
    meta: Option<&MetaInfo>,
    number: u64,
) -> Result<Standing> {
    let Some(meta) = meta else { return Ok(Standing::NoMeta) };
    if number >= meta.page_count {
        return Ok(Standing::Beyond);
    }
    let pages = RawPages::open(vfs, path, identity)?;
    let mut search = Search { pages, number, budget: meta.page_count, unread: 0, leaves: Vec::new() };
    // The list is short, the branches are few, the leaves are many.
    for look in [Search::free_list, Search::branches, Search::leaves] {
        if let Some(standing) = look(&mut search, meta)? {
            return Ok(standing);
        }
    }
    Ok(Standing::Nobody { unread: search.unread })
}

struct Search {
    pages: RawPages,
    number: u64,
    /// Pages that may still be read: more than the file has leads in circles.
    budget: u64,
    unread: u64,
    /// Leaves that may refer to extents, each with the branch that refers to it.
    leaves: Vec<PageRef>,
}

impl Search {
    /// The page that is meant, if it is one; counts those that are not.
    fn read(&mut self, at: PageRef) -> Result<Option<RawPage>> {
        let Some(left) = self.budget.checked_sub(1) else { return Ok(None) };
        self.budget = left;
        let page = self.pages.read(at).map_err(Error::from)?;
        self.unread += u64::from(page.is_none());
        Ok(page)
    }

    /// Whether the page, or extent, that `by` refers to is the one searched for, or has it inside.
    fn is_meant(&self, by: Referrer, at: PageRef) -> Option<Standing> {
        let first = at.id.0;
        let inside = first < self.number && self.number < first.saturating_add(u64::from(at.pages));
        match inside {
            true => Some(Standing::Inside { first }),
            false => (first == self.number).then_some(Standing::Referred { by, at }),
        }
    }

    fn free_list(&mut self, meta: &MetaInfo) -> Result<Option<Standing>> {
        let mut bodies: Vec<RawPage> = Vec::new();
        let (mut next, mut by) = (meta.free_list, Referrer::MetaList);
        while let Some(at) = next {
            if let Some(standing) = self.is_meant(by, at) {
                return Ok(Some(standing));
            }
            let more = (bodies.len() as u64) < meta.free_list_pages;
            let page = if more { self.read(at)? } else { None };
            let Some(page) = page.filter(|page| page.kind == FREE_LIST) else { break };
            next = inspect::free_list([page.body()], meta.page_count).ok().and_then(|list| list.next);
            by = Referrer::FreeList(at.id.0);
            bodies.push(page);
        }
        let list = inspect::free_list(bodies.iter().map(RawPage::body), meta.page_count);
        let free = list.is_ok_and(|list| {
            let names = |(first, pages): &(u64, u64)| (*first..first.saturating_add(*pages)).contains(&self.number);
            list.extents.iter().any(names)
        });
        Ok(free.then_some(Standing::Free))
    }

    fn branches(&mut self, meta: &MetaInfo) -> Result<Option<Standing>> {
        let mut to_read: Vec<(PageRef, u8)> = Vec::new();
        for root in &meta.roots {
            if let Some(standing) = self.is_meant(Referrer::Meta, root.page) {
                return Ok(Some(standing));
            }
            match halodb_btree::inspect::root(root) {
                Some((_, 1)) => self.leaves.push(root.page),
                Some((_, height)) => to_read.push((root.page, height - 1)),
                None => self.unread += 1,
            }
        }
        while let Some((at, level)) = to_read.pop() {
            let Some(page) = self.read(at)? else { continue };
            let Ok(branch) = BranchPage::parse(page.body()) else {
                self.unread += 1;
                continue;
            };
            if let Some(standing) = branch.filter().and_then(|at_| self.is_meant(Referrer::Filter(at.id.0), at_)) {
                return Ok(Some(standing));
            }
            for i in 0..branch.len() {
                let Ok(child) = branch.child(i) else {
                    self.unread += 1;
                    continue;
                };
                if let Some(standing) = self.is_meant(Referrer::Branch { page: at.id.0, child: i }, child.at) {
                    return Ok(Some(standing));
                }
                match level {
                    1 if child.states_overflow => self.leaves.push(child.at),
                    0 | 1 => {}
                    _ => to_read.push((child.at, level - 1)),
                }
            }
        }
        Ok(None)
    }

    fn leaves(&mut self, _: &MetaInfo) -> Result<Option<Standing>> {
        for at in std::mem::take(&mut self.leaves) {
            let Some(page) = self.read(at)? else { continue };
            let Ok(leaf) = LeafPage::parse(page.body()) else {
                self.unread += 1;
                continue;
            };
            for entry in 0..leaf.len() {
                if let Ok(Value::Overflow { at: extent, .. }) = leaf.value(entry)
                    && let Some(standing) = self.is_meant(Referrer::Leaf { page: at.id.0, entry }, extent)
                {
                    return Ok(Some(standing));
                }
            }
        }
        Ok(None)
    }
}
