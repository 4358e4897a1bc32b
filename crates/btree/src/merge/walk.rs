//! The walk over the old tree: which pages the batch touches, and what becomes of their entries.
//!
//! Nothing is rewritten before an edit or a range is known to change something: a delete of an absent key, a value put
//! again as it is, a range between two keys leave the tree as it was. Only at the first change in a leaf are the
//! branches above it opened, from the root down, and what stands before it in them handed to the output. What stands
//! after it follows as the walk goes on.

use super::input::Input;
use super::output::{Made, Output};
use super::{Change, Merged};
use crate::branch::Branch;
use crate::error::Result;
use crate::leaf::{Leaf, Place};
use crate::tree::Tree;
use halodb_pager::{Hand, PageRef};
use std::ops::Range;

/// The state of a merge.
pub(super) struct Walk<'o, 'p, 'e> {
    base: &'o Tree,
    input: Input<'e>,
    output: Output<'o, 'p>,
    limit_pages: u64,
    /// The keys it is about: from the first one on, and below the second one.
    part: (&'o [u8], Option<&'o [u8]>),
    /// Whether an entry came, went or changed.
    is_changed: bool,
    /// The branches from the root to where the walk is.
    path: Vec<OpenBranch<'o>>,
    /// All up to this key is merged, and the limit is reached.
    stopped: Option<Vec<u8>>,
}

struct OpenBranch<'o> {
    at: PageRef,
    level: u8,
    branch: Branch<'o>,
    /// The separator before it; empty at the left edge.
    start: Vec<u8>,
    /// The child the walk is at.
    index: usize,
    state: State,
}

/// Whether a page of the old version stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// So far nothing below it has changed.
    Kept,
    /// It is given up, and what is before the walk's place in it has gone to the output.
    Opened,
}

/// The walk within one leaf.
struct OpenLeaf<'o, 's> {
    at: PageRef,
    leaf: Leaf<'o>,
    start: &'s [u8],
    state: State,
    /// Entries before this one have gone to the output or away (if opened).
    done: usize,
}

impl<'o, 'p, 'e> Walk<'o, 'p, 'e> {
    pub(super) fn new(base: &'o Tree, input: Input<'e>, output: Output<'o, 'p>, limit_pages: u64) -> Self {
        let part = (&[][..], None);
        Walk { base, input, output, limit_pages, part, is_changed: false, path: Vec::new(), stopped: None }
    }

    /// The same for the keys from `start` on and below `end`.
    pub(super) fn within(self, start: &'o [u8], end: Option<&'o [u8]>) -> Self {
        Walk { part: (start, end), ..self }
    }

    /// Merges everything, or as much as the limit allows.
    pub(super) fn run(mut self) -> Result<Merged> {
        let state = self.visit_all()?;
        let merged_up_to = self.stopped.filter(|key| !self.input.is_done_above(key));
        let (root, pages_written, pages_freed) = match state {
            State::Kept => (self.base.root(), 0, 0),
            State::Opened => self.output.finish()?,
        };
        Ok(Merged { root, merged_up_to, pages_written, pages_freed })
    }

    /// Merges a part, or as much of it as the limit allows. Pages that hold keys of other parts as well are not given up.
    /// `None`: the output is not that of a part.
    pub(super) fn run_part(mut self) -> Result<Option<(Hand<'o>, Made)>> {
        self.visit_all()?;
        let stopped = self.stopped.filter(|key| !self.input.is_done_above(key));
        self.output.end_part(self.is_changed, stopped)
    }

    fn visit_all(&mut self) -> Result<State> {
        match self.base.top() {
            None => {
                self.fill_empty()?;
                Ok(State::Opened)
            }
            Some((at, 0)) => self.visit_leaf(at, &[], None),
            Some((at, level)) => self.visit_branch(at, level, &[], None),
        }
    }

    /// Whether a page with the keys from `start` on and below `end` has none of another part.
    fn holds(&self, start: &[u8], end: Option<&[u8]>) -> bool {
        self.part.0 <= start && self.part.1.is_none_or(|to| end.is_some_and(|end| end <= to))
    }

    /// The bulk build: all edits into a tree of no page.
    fn fill_empty(&mut self) -> Result<()> {
        self.output.begin_leaf(self.part.0);
        while self.stopped.is_none() {
            match self.input.edit() {
                None => break,
                Some((key, Change::Put { value, expiry })) => {
                    self.output.push_new(None, key, value, expiry)?;
                    self.is_changed = true;
                }
                Some((_, Change::Delete)) => {}
            }
            self.take_edit()?;
        }
        Ok(())
    }

    /// Merges below a branch that holds the keys from `start` on and below `end`.
    fn visit_branch(&mut self, at: PageRef, level: u8, start: &[u8], end: Option<&[u8]>) -> Result<State> {
        let base = self.base;
        let branch = base.branch(at, level)?;
        // A branch with keys of other parts is given up when the parts are joined.
        let state = if self.holds(start, end) { State::Kept } else { State::Opened };
        let children = self.children_in_part(at, &branch, start, end)?;
        let opened = OpenBranch { at, level, branch, start: start.to_vec(), index: children.start, state };
        self.path.push(opened);
        let mut next = children.start;
        while let Some(index) = self.next_touched(at, &branch, next..children.end, start, end)? {
            self.keep_children(next..index)?;
            if let Some(here) = self.path.last_mut() {
                here.index = index;
            }
            let child_start = self.separator_before(at, &branch, index, start)?;
            let child_end = match index + 1 < branch.len() {
                true => Some(self.separator_before(at, &branch, index + 1, start)?),
                false => end.map(<[u8]>::to_vec),
            };
            let child = base.child(at, &branch, index)?;
            let state = if self.is_deleted_whole(&child_start, child_end.as_deref()) {
                self.is_changed = true;
                self.open_path()?;
                self.output.free_subtree(child, level - 1)?;
                State::Opened
            } else if level == 1 {
                self.visit_leaf(child.at, &child_start, child_end.as_deref())?
            } else {
                self.visit_branch(child.at, level - 1, &child_start, child_end.as_deref())?
            };
            next = index + 1;
            if state == State::Kept {
                self.keep_children(index..next)?;
            }
        }
        self.keep_children(next..children.end)?;
        Ok(self.path.pop().map_or(State::Kept, |here| here.state))
    }

    /// The children of a branch, which holds the keys from `start` on and below `end`, that have keys of this part.
    fn children_in_part(
        &self,
        at: PageRef,
        branch: &Branch<'_>,
        start: &[u8],
        end: Option<&[u8]>,
    ) -> Result<Range<usize>> {
        let base = self.base;
        let (from, to) = self.part;
        let first = if from > start { base.decoded(at, branch.find(from))? } else { 0 };
        let after = match to {
            Some(to) if end.is_none_or(|end| to < end) => {
                let last = base.decoded(at, branch.find(to))?;
                last + usize::from(self.separator_before(at, branch, last, start)?.as_slice() < to)
            }
            _ => branch.len(),
        };
        Ok(first..after)
    }

    /// The first child of some that an edit or a range may touch, or that has keys of other parts.
    fn next_touched(
        &mut self,
        at: PageRef,
        branch: &Branch<'_>,
        children: Range<usize>,
        start: &[u8],
        end: Option<&[u8]>,
    ) -> Result<Option<usize>> {
        if children.is_empty() {
            return Ok(None);
        }
        let next = children.start;
        let shared = self.next_shared(at, branch, children, start, end)?;
        if self.stopped.is_some() || shared == Some(next) {
            return Ok(shared);
        }
        let base = self.base;
        let find = |key: &[u8]| base.decoded(at, branch.find(key)).map(|index| index.max(next));
        let next_start = self.separator_before(at, branch, next, start)?;
        let by_range = match self.input.ranges_from(&next_start).first() {
            Some(range) if range.start <= next_start => Some(next),
            Some(range) if end.is_none_or(|end| range.start.as_slice() < end) => Some(find(&range.start)?),
            _ => None,
        };
        let by_edit = self.input.edit_below(end).map(|(key, _)| find(key)).transpose()?;
        Ok([by_range, by_edit, shared].into_iter().flatten().min())
    }

    /// The first of some children that has keys of other parts: only the first and the last of this part can.
    fn next_shared(
        &self,
        at: PageRef,
        branch: &Branch<'_>,
        children: Range<usize>,
        start: &[u8],
        end: Option<&[u8]>,
    ) -> Result<Option<usize>> {
        if self.holds(start, end) {
            return Ok(None);
        }
        let (first, last) = (children.start, children.end - 1);
        if self.separator_before(at, branch, first, start)?.as_slice() < self.part.0 {
            return Ok(Some(first));
        }
        let Some(to) = self.part.1 else { return Ok(None) };
        let reaches_beyond = match children.end < branch.len() {
            true => self.separator_before(at, branch, children.end, start)?.as_slice() > to,
            false => end.is_none_or(|end| end > to),
        };
        Ok(reaches_beyond.then_some(last))
    }

    /// Whether a range covers all keys from `start` on and below `end`, and no edit comes there.
    fn is_deleted_whole(&mut self, start: &[u8], end: Option<&[u8]>) -> bool {
        if !self.holds(start, end) {
            return false;
        }
        let covered = self.input.ranges_from(start).first().is_some_and(|range| {
            let reaches = match (&range.end, end) {
                (None, _) => true,
                (Some(_), None) => false,
                (Some(range_end), Some(end)) => range_end.as_slice() >= end,
            };
            range.start.as_slice() <= start && reaches
        });
        covered && self.input.edit_below(end).is_none()
    }

    fn separator_before(&self, at: PageRef, branch: &Branch<'_>, index: usize, start: &[u8]) -> Result<Vec<u8>> {
        let Some(i) = index.checked_sub(1) else { return Ok(start.to_vec()) };
        let mut out = Vec::new();
        self.base.decoded(at, branch.append_separator(i, &mut out))?;
        Ok(out)
    }

    /// Hands untouched children of the innermost branch to the output, if that branch is given up; else it keeps them.
    fn keep_children(&mut self, children: Range<usize>) -> Result<()> {
        match self.path.last() {
            Some(here) if here.state == State::Opened && !children.is_empty() => {
                self.output.keep_children(here.at, &here.branch, here.level, &here.start, children)
            }
            _ => Ok(()),
        }
    }

    /// Something changes below the child at hand: gives up the branches above it, and hands over what is before it.
    fn open_path(&mut self) -> Result<()> {
        for here in self.path.iter_mut().filter(|here| here.state == State::Kept) {
            here.state = State::Opened;
            self.output.free_branch(here.at, &here.branch)?;
            self.output.keep_children(here.at, &here.branch, here.level, &here.start, 0..here.index)?;
        }
        Ok(())
    }

    /// Merges into a leaf that holds the keys from `start` on and below `end`.
    fn visit_leaf(&mut self, at: PageRef, start: &[u8], end: Option<&[u8]>) -> Result<State> {
        let base = self.base;
        let leaf = base.leaf(at)?;
        let mut here = OpenLeaf { at, leaf, start, state: State::Kept, done: 0 };
        let mut len = leaf.len();
        if !self.holds(start, end) {
            // A leaf with entries of other parts is given up when the parts are joined.
            let (from, to) = self.part;
            let position = |key: &[u8]| base.decoded(at, leaf.search(key)).map(|(index, _)| index);
            here.done = if from > start { position(from)? } else { 0 };
            if let Some(to) = to.filter(|to| end.is_none_or(|end| *to < end)) {
                len = position(to)?.max(here.done);
            }
            here.state = State::Opened;
            self.output.begin_leaf(start.max(from));
        }
        let mut reached = here.done;
        let mut range = 0;
        while self.stopped.is_none() {
            let edit = self.input.edit_below(end).map(|(key, _)| leaf.search(key));
            let edit = edit.map(|found| base.decoded(at, found)).transpose()?;
            let until = edit.map_or(len, |(index, _)| index.min(len));
            if let Some((from, to)) = self.deleted_before(&here, &mut range, reached, until)? {
                self.remove(&mut here, from, to)?;
                reached = to;
                self.stop_at_limit(|| last_key_before(base, at, &leaf, to))?;
            } else if let Some((index, found)) = edit {
                self.apply_edit(&mut here, index, found)?;
                reached = index + usize::from(found);
                self.take_edit()?;
            } else {
                break;
            }
        }
        if here.state == State::Opened {
            self.pass(&mut here, len)?;
        }
        Ok(here.state)
    }

    /// The next run of entries in `reached..until` that a range deletes. `range` counts the ranges that are used up.
    fn deleted_before(
        &self,
        here: &OpenLeaf<'_, '_>,
        range: &mut usize,
        reached: usize,
        until: usize,
    ) -> Result<Option<(usize, usize)>> {
        let position = |key: &[u8]| self.base.decoded(here.at, here.leaf.search(key)).map(|(index, _)| index);
        while let Some(next) = self.input.ranges().get(*range) {
            let from = position(&next.start)?.max(reached);
            if from >= until {
                return Ok(None);
            }
            let to = next.end.as_deref().map_or(Ok(here.leaf.len()), position)?;
            if from < to {
                return Ok(Some((from, to.min(until))));
            }
            *range += 1;
        }
        Ok(None)
    }

    /// Applies the edit at the front, whose key is entry `index` or belongs before it.
    fn apply_edit(&mut self, here: &mut OpenLeaf<'o, '_>, index: usize, found: bool) -> Result<()> {
        let changes = match self.input.edit() {
            Some((_, Change::Put { value, expiry })) if found => {
                let record = self.base.decoded(here.at, here.leaf.record(index))?;
                let until = self.base.decoded(here.at, here.leaf.expiry(index))?;
                record.place == Place::Overflow || record.payload != value || until != expiry
            }
            Some((_, Change::Put { .. })) => true,
            Some((_, Change::Delete)) => found,
            None => false,
        };
        if !changes {
            return Ok(());
        }
        self.remove(here, index, index + usize::from(found))?;
        match self.input.edit() {
            Some((key, Change::Put { value, expiry })) => self.output.push_new(Some(here.at), key, value, expiry),
            _ => Ok(()),
        }
    }

    /// Passes the entries before `from` on and drops those before `to`.
    fn remove(&mut self, here: &mut OpenLeaf<'o, '_>, from: usize, to: usize) -> Result<()> {
        self.is_changed = true;
        self.pass(here, from)?;
        (from..to).try_for_each(|i| self.output.free_value(here.at, &here.leaf, i))?;
        here.done = to;
        Ok(())
    }

    /// Gives the leaf up, if that has not been done, and its entries before `until` to the output.
    fn pass(&mut self, here: &mut OpenLeaf<'o, '_>, until: usize) -> Result<()> {
        if here.state == State::Kept {
            self.open_path()?;
            self.output.free(here.at)?;
            self.output.begin_leaf(here.start);
            here.state = State::Opened;
        }
        (here.done..until).try_for_each(|i| self.output.push_old(here.at, &here.leaf, i))?;
        here.done = here.done.max(until);
        Ok(())
    }

    fn take_edit(&mut self) -> Result<()> {
        self.input.advance()?;
        if self.output.written >= self.limit_pages.max(1) {
            self.stopped = Some(self.input.last_key().to_vec());
        }
        Ok(())
    }

    fn stop_at_limit(&mut self, key: impl FnOnce() -> Result<Vec<u8>>) -> Result<()> {
        if self.output.written >= self.limit_pages.max(1) {
            self.stopped = Some(key()?);
        }
        Ok(())
    }
}

fn last_key_before(base: &Tree, at: PageRef, leaf: &Leaf<'_>, index: usize) -> Result<Vec<u8>> {
    let record = base.decoded(at, leaf.record(index.saturating_sub(1)))?;
    Ok(leaf.key(&record))
}
