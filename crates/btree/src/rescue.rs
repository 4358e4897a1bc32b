//! Reading what can be read of a damaged tree: [`Tree::rescue`] walks down from the root and goes round what it cannot
//! trust; [`leaf_entries`] reads one leaf of which nothing else is known.
//!
//! A page counts as readable if it verifies and its body decodes. What is lost is told by the branch above: how many
//! entries, and between which separators their keys lie. Nothing is guessed: an entry is given as it was written, or not
//! at all. Filters are not asked.

use crate::branch::Child;
use crate::expiry::Expiry;
use crate::leaf::Leaf;
use crate::overflow;
use crate::tree::Tree;
use crate::{Error, LEAF, OVERFLOW};
use halodb_pager::{PageRef, PageSet, RawPage};
use std::ops::ControlFlow;

/// A part of a tree that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LostPart {
    /// The page (or extent) that cannot be read.
    pub at: PageRef,
    /// Why, as a clause or sentence.
    pub what: String,
    /// The least key that may be lost with it.
    pub start: Vec<u8>,
    /// The lost keys are below this one; `None`: no end is known.
    pub end: Option<Vec<u8>>,
    /// Number of entries lost, as the page above states it.
    pub entries: u64,
}

/// What [`Tree::rescue`] found.
#[derive(Clone, Debug, Default)]
pub struct Rescued {
    /// Entries given.
    pub entries: u64,
    /// Everything that could not be.
    pub lost: Vec<LostPart>,
}

/// Takes the entries of a rescue, key, value and expiry; to break off is to stop early.
type Each<'e> = dyn FnMut(&[u8], &[u8], Expiry) -> ControlFlow<()> + 'e;

impl Tree {
    /// Gives every entry that can be read to `each`, in the order of the keys, and tells what cannot. Adds the pages that
    /// could be read to `pages`.
    ///
    /// Costs the reading of the whole tree; holds one value at a time.
    pub fn rescue(&self, pages: &mut PageSet, each: &mut Each<'_>) -> Rescued {
        let mut rescue = Rescue { tree: self, pages, each, found: Rescued::default() };
        if let Some((root, level)) = self.top() {
            let _ = rescue.page(root, level, self.len(), &[], None);
        }
        rescue.found
    }
}

struct Rescue<'t, 'r, 'e> {
    tree: &'t Tree,
    pages: &'r mut PageSet,
    each: &'r mut Each<'e>,
    found: Rescued,
}

impl Rescue<'_, '_, '_> {
    fn lose(&mut self, at: PageRef, why: &Error, entries: u64, start: &[u8], end: Option<&[u8]>) -> ControlFlow<()> {
        let what = match why {
            Error::Corrupt { what, .. } => what.clone(),
            other => other.to_string(),
        };
        self.found.lost.push(LostPart { at, what, start: start.to_vec(), end: end.map(<[u8]>::to_vec), entries });
        ControlFlow::Continue(())
    }

    fn page(&mut self, at: PageRef, level: u8, entries: u64, start: &[u8], end: Option<&[u8]>) -> ControlFlow<()> {
        if level == 0 {
            return match self.tree.leaf(at).and_then(|leaf| self.once(at).map(|()| leaf)) {
                Ok(leaf) => self.leaf(at, &leaf),
                Err(e) => self.lose(at, &e, entries, start, end),
            };
        }
        match self.children(at, level).and_then(|children| self.once(at).map(|()| children)) {
            Ok(children) => {
                for (i, (child, from)) in children.iter().enumerate() {
                    let from = from.as_deref().unwrap_or(start);
                    let to = children.get(i + 1).and_then(|(_, from)| from.as_deref()).or(end);
                    self.page(child.at, level - 1, child.entries, from, to)?;
                }
                ControlFlow::Continue(())
            }
            Err(e) => self.lose(at, &e, entries, start, end),
        }
    }

    /// Takes note of a page that could be read. Each is gone through once: what is reached twice is damage. (There is no circle:
    /// levels fall.)
    fn once(&mut self, at: PageRef) -> crate::Result<()> {
        if self.pages.insert(at) { Ok(()) } else { Err(Error::Invalid(format!("page {} is reached twice", at.id.0))) }
    }

    /// The children of a branch, each with the separator before it.
    fn children(&self, at: PageRef, level: u8) -> crate::Result<Vec<(Child, Option<Vec<u8>>)>> {
        let branch = self.tree.branch(at, level)?;
        let mut children = Vec::with_capacity(branch.len());
        let mut separator = None;
        for i in 0..branch.len() {
            children.push((self.tree.child(at, &branch, i)?, separator.take()));
            if i + 1 < branch.len() {
                let mut next = Vec::new();
                self.tree.decoded(at, branch.append_separator(i, &mut next))?;
                separator = Some(next);
            }
        }
        Ok(children)
    }

    fn leaf(&mut self, at: PageRef, leaf: &Leaf<'_>) -> ControlFlow<()> {
        // Told together, for there may be as many as a page has bytes.
        let mut unreadable: Option<(Error, u64)> = None;
        for i in 0..leaf.len() {
            let (record, expiry) = match self.tree.decoded(at, leaf.record(i).and_then(|r| Ok((r, leaf.expiry(i)?)))) {
                Ok(entry) => entry,
                Err(e) => {
                    unreadable.get_or_insert((e, 0)).1 += 1;
                    continue;
                }
            };
            let key = leaf.key(&record);
            let tree = self.tree;
            match tree.value(at, &record) {
                Ok(value) => {
                    if let Ok(Some(extent)) = record.overflow() {
                        self.pages.insert(extent.at);
                    }
                    self.found.entries += 1;
                    (self.each)(&key, value, expiry)?;
                }
                Err(e) => {
                    let end = [&key[..], &[0]].concat();
                    self.lose(at, &e, 1, &key, Some(&end))?;
                }
            }
        }
        match unreadable {
            Some((e, entries)) => self.lose(at, &e, entries, leaf.prefix(), None),
            None => ControlFlow::Continue(()),
        }
    }
}

/// Reads the entries of a page that was found by itself, if it is a leaf, and gives them to `each`; `None` if it is none. An
/// entry whose value cannot be read is left out. Long values are fetched with `extent`, which answers with the extent
/// that is meant if it is still there.
///
/// Returns how many entries were left out.
pub fn leaf_entries(
    page: &RawPage,
    extent: &mut dyn FnMut(PageRef) -> Option<RawPage>,
    each: &mut Each<'_>,
) -> Option<u64> {
    if page.kind != LEAF || page.level != 0 || page.at.pages != 1 {
        return None;
    }
    let leaf = Leaf::parse(page.body()).ok()?;
    let mut left_out = 0;
    for i in 0..leaf.len() {
        let (Ok(record), Ok(expiry)) = (leaf.record(i), leaf.expiry(i)) else {
            left_out += 1;
            continue;
        };
        let key = leaf.key(&record);
        let flow = match record.overflow() {
            Ok(None) => each(&key, record.payload, expiry),
            Ok(Some(reference)) => {
                let extent = extent(reference.at).filter(|extent| extent.kind == OVERFLOW);
                match extent.as_ref().map(|extent| overflow::value(extent.body(), reference.len)) {
                    Some(Ok(value)) => each(&key, value, expiry),
                    _ => {
                        left_out += 1;
                        ControlFlow::Continue(())
                    }
                }
            }
            Err(_) => {
                left_out += 1;
                ControlFlow::Continue(())
            }
        };
        if flow.is_break() {
            break;
        }
    }
    Some(left_out)
}
