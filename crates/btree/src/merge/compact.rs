//! Moving a tree towards the beginning of its file, and packing leaves that have room: what makes a file shrink without a
//! second copy of its data.
//!
//! The walk goes through the tree in key order and rewrites, through the packers of a merge, what the goal asks for: a page
//! or extent that lies beyond the goal's end and for which there is room before it, and runs of neighbouring leaves that fit
//! fewer pages. Everything else keeps its page. The transaction gives lowest addresses first, so what is rewritten moves
//! down, and what it leaves is free for the next call. A call writes about as many pages as it is told, and says where the
//! next one goes on.
//!
//! No entry changes. Which pages may be written, and when pages given up are free, is the pager's business; how often to
//! call, and when the file is cut, that of the layer above.

use super::output::{Output, Pages};
use crate::branch::Branch;
use crate::error::Result;
use crate::leaf::Leaf;
use crate::overflow::{Overflow, OverflowRef};
use crate::tree::Tree;
use halodb_pager::{PageId, PageRef, Root, WriteTxn};
use halodb_vfs::mutant;
use std::ops::Range;

/// What [`compact`] is to bring about.
#[derive(Clone, Copy, Debug)]
pub struct CompactGoal {
    /// Pages and extents from this one on are moved to free pages before them.
    pub end: PageId,
    /// Neighbouring leaves are packed into fewer pages where that wins one page for at most so many rewritten ones. 0: never.
    /// Greater numbers make the file smaller and write more; 32 leaves about 3 % of room.
    pub rewritten_per_won: usize,
}

/// What [`compact`] did.
#[derive(Debug)]
pub struct Compacted {
    /// The root to commit.
    pub root: Option<Root>,
    /// Where to go on; above the `from` of this call. `None`: the tree was walked to its end.
    pub resume: Option<Vec<u8>>,
    /// Pages written, those of extents counted one by one. 0: nothing has changed.
    pub pages_written: u64,
    /// Pages of the old version given up, counted likewise.
    pub pages_freed: u64,
}

/// Moves everything that begins in `window`, and the pages above it, to the end of the file. `base` must be the version that `txn`
/// will replace.
///
/// An extent goes nowhere while all free runs before it are shorter than it is, and a run goes nowhere while it is followed
/// by extents. Once everything from the run on is away, the window is one free run: then [`compact`] brings it all back, side
/// by side, and what was free before lies behind it.
///
/// Costs reading all branches and the leaves with long values; writing what is moved. Memory: as [`compact`].
///
/// # Errors
/// What reading and writing pages say. After an error the transaction must be dropped.
pub(crate) fn lift(txn: &mut WriteTxn<'_>, base: &Tree, window: Range<PageId>) -> Result<Compacted> {
    let goal = CompactGoal { end: window.start, rewritten_per_won: 0 };
    walk(txn, base, Aim { goal, lifted_before: Some(window.end) }, &[], u64::MAX)
}

/// So many pages are looked at for each that may be written, before a call ends that found little to do.
const READ_PER_WRITTEN: u64 = 16;

/// Walks `base` from the key `from` on and rewrites what `goal` asks for, until about `limit_pages` pages were written
/// (two leaves at least), or many times as many looked at. `base` must be the version that `txn` will replace. The keys and values are the same afterwards.
///
/// Costs reading the branches from `from` on, and the leaves if leaves are to be packed; writing what is moved, and the
/// branches and filters above it. Memory: a few pages per level, and one value above a quarter page at a time.
///
/// # Errors
/// What reading and writing pages say. After an error the transaction must be dropped.
pub fn compact(
    txn: &mut WriteTxn<'_>,
    base: &Tree,
    goal: CompactGoal,
    from: &[u8],
    limit_pages: u64,
) -> Result<Compacted> {
    walk(txn, base, Aim { goal, lifted_before: None }, from, limit_pages)
}

/// What a walk is for.
#[derive(Clone, Copy, Debug)]
struct Aim {
    goal: CompactGoal,
    /// Pages from the goal's end on and before this one go to the end of the file; the others stay.
    lifted_before: Option<PageId>,
}

fn walk(txn: &mut WriteTxn<'_>, base: &Tree, aim: Aim, from: &[u8], limit_pages: u64) -> Result<Compacted> {
    let Aim { goal, lifted_before } = aim;
    let pages = if lifted_before.is_some() { Pages::Behind(txn) } else { Pages::Txn(txn) };
    let output = Output::with(|_, _| pages, base, 100);
    let mut walk = Walk {
        base,
        output,
        goal,
        lifted_before,
        from,
        limit_pages,
        path: Vec::new(),
        leaves: 0,
        visited: 0,
        stopped: None,
    };
    let state = match base.top() {
        None => State::Kept,
        Some((at, 0)) => walk.visit_root_leaf(at)?,
        Some((at, level)) => walk.visit_branch(at, level, &[], None)?,
    };
    let resume = walk.stopped;
    let (root, pages_written, pages_freed) = match state {
        State::Kept => (base.root(), 0, 0),
        State::Opened => walk.output.finish()?,
    };
    Ok(Compacted { root, resume, pages_written, pages_freed })
}

struct Walk<'o, 'p> {
    base: &'o Tree,
    output: Output<'o, 'p>,
    goal: CompactGoal,
    /// See [`Aim`].
    lifted_before: Option<PageId>,
    from: &'o [u8],
    limit_pages: u64,
    /// The branches from the root to where the walk is.
    path: Vec<OpenBranch<'o>>,
    /// Leaves rewritten.
    leaves: u64,
    /// Branches read, and leaves that they name.
    visited: u64,
    /// The limit is reached: where to go on.
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
    /// So far.
    Kept,
    /// It is given up, and of a branch what is before the walk's place has gone to the output.
    Opened,
}

impl<'o> Walk<'o, '_> {
    fn visit_root_leaf(&mut self, at: PageRef) -> Result<State> {
        if !self.may_move(at) && !self.has_value_to_move(at)? {
            return Ok(State::Kept);
        }
        self.rewrite_leaf(at, &[])?;
        Ok(State::Opened)
    }

    /// Goes through a branch that holds the keys from `start` on and below `end`.
    fn visit_branch(&mut self, at: PageRef, level: u8, start: &[u8], end: Option<&[u8]>) -> Result<State> {
        let base = self.base;
        self.visit(at)?;
        let branch = base.branch(at, level)?;
        let first = if self.from > start { base.decoded(at, branch.find(self.from))? } else { 0 };
        let opened = OpenBranch { at, level, branch, start: start.to_vec(), index: first, state: State::Kept };
        self.path.push(opened);
        if self.may_move(at) || branch.filter().is_some_and(|filter| self.may_move(filter)) {
            self.open_path()?;
        }
        let rewrite = if level == 1 { self.leaves_to_rewrite(at, &branch, first)? } else { Vec::new() };
        // Children before this one are kept or handed over.
        let mut next = first;
        for index in first..branch.len() {
            if self.stopped.is_some() {
                break;
            }
            if level == 1 && !rewrite[index - first] {
                continue;
            }
            self.keep_children(next..index)?;
            if let Some(here) = self.path.last_mut() {
                here.index = index;
            }
            let child = base.child(at, &branch, index)?;
            let child_start = self.separator_before(at, &branch, index, start)?;
            let state = if level == 1 {
                self.open_path()?;
                self.rewrite_leaf(child.at, &child_start)?;
                State::Opened
            } else {
                let child_end = match index + 1 < branch.len() {
                    true => Some(self.separator_before(at, &branch, index + 1, start)?),
                    false => end.map(<[u8]>::to_vec),
                };
                self.visit_branch(child.at, level - 1, &child_start, child_end.as_deref())?
            };
            next = index + 1;
            if state == State::Kept {
                self.keep_children(index..next)?;
            }
        }
        self.keep_children(next..branch.len())?;
        let is_enough = self.output.written >= self.limit_pages
            || self.visited >= self.limit_pages.saturating_mul(READ_PER_WRITTEN);
        if level == 1 && self.stopped.is_none() && is_enough {
            self.stopped = end.map(<[u8]>::to_vec);
        }
        Ok(self.path.pop().map_or(State::Kept, |here| here.state))
    }

    /// Takes note of a page that is looked at: there cannot be more of them than the file has.
    fn visit(&mut self, at: PageRef) -> Result<()> {
        self.visited += 1;
        if self.visited > self.base.snapshot().page_count() {
            return Err(self.base.corrupt(at, "the tree reaches more pages than there are"));
        }
        Ok(())
    }

    fn separator_before(&self, at: PageRef, branch: &Branch<'_>, index: usize, start: &[u8]) -> Result<Vec<u8>> {
        let Some(i) = index.checked_sub(1) else { return Ok(start.to_vec()) };
        let mut out = Vec::new();
        self.base.decoded(at, branch.append_separator(i, &mut out))?;
        Ok(out)
    }

    /// Hands children of the innermost branch to the output, if that branch is given up; else it keeps them.
    fn keep_children(&mut self, children: Range<usize>) -> Result<()> {
        match self.path.last() {
            Some(here) if here.state == State::Opened && !children.is_empty() => {
                self.output.keep_children(here.at, &here.branch, here.level, &here.start, children)
            }
            _ => Ok(()),
        }
    }

    /// Gives up the branches from the root to here, and hands over what is before the walk's place in them.
    fn open_path(&mut self) -> Result<()> {
        for here in self.path.iter_mut().filter(|here| here.state == State::Kept) {
            here.state = State::Opened;
            self.output.free_branch(here.at, &here.branch)?;
            self.output.keep_children(here.at, &here.branch, here.level, &here.start, 0..here.index)?;
        }
        Ok(())
    }

    /// Passes all entries of a leaf on, and moves those of its long values that may move.
    fn rewrite_leaf(&mut self, at: PageRef, start: &[u8]) -> Result<()> {
        let base = self.base;
        let leaf = base.leaf(at)?;
        self.output.free(at)?;
        self.output.begin_leaf(start);
        // A planted fault loses the last entry of a leaf that is moved.
        let len = leaf.len() - usize::from(leaf.len() > 1 && mutant("btree.compact-drops-entry"));
        for i in 0..len {
            match self.overflow(at, &leaf, i)? {
                Some(value) if self.lifted_before.is_some() && self.may_move(value.at) => {
                    self.output.push_lifted(at, &leaf, i, value)?;
                }
                // Beyond the limit long values stay where they are; the next round finds them.
                Some(value)
                    if self.lifted_before.is_none()
                        && value.at.id >= self.goal.end
                        && self.output.written < self.limit_pages =>
                {
                    self.output.push_lowered(at, &leaf, i, value)?;
                }
                _ => self.output.push_old(at, &leaf, i)?,
            }
        }
        self.leaves += 1;
        // The leaf that is made last may be poorly filled, so the next call begins with it.
        if self.leaves >= 2 && self.output.written >= self.limit_pages {
            self.stopped = Some(start.to_vec());
        }
        Ok(())
    }

    fn overflow(&self, at: PageRef, leaf: &Leaf<'_>, i: usize) -> Result<Option<OverflowRef>> {
        let record = self.base.decoded(at, leaf.record(i))?;
        self.base.decoded(at, record.overflow())
    }

    /// Whether a page or extent is to move: it lies in the window, or else beyond the end, with room before it.
    fn may_move(&mut self, at: PageRef) -> bool {
        match self.lifted_before {
            Some(before) => (self.goal.end..before).contains(&at.id),
            None => self.output.may_move(at, self.goal.end),
        }
    }

    fn has_value_to_move(&mut self, at: PageRef) -> Result<bool> {
        let base = self.base;
        let leaf = base.leaf(at)?;
        if leaf.overflow() == Overflow::None {
            return Ok(false);
        }
        for i in 0..leaf.len() {
            if self.overflow(at, &leaf, i)?.is_some_and(|value| self.may_move(value.at)) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// For each leaf from child `first` on whether it is to be rewritten.
    fn leaves_to_rewrite(&mut self, at: PageRef, branch: &Branch<'_>, first: usize) -> Result<Vec<bool>> {
        let base = self.base;
        let mut rewrite = Vec::with_capacity(branch.len() - first);
        let mut rooms = Vec::new();
        for index in first..branch.len() {
            let child = base.child(at, branch, index)?;
            self.visit(child.at)?;
            let has_values = child.overflow == Overflow::Some;
            rewrite.push(self.may_move(child.at) || (has_values && self.has_value_to_move(child.at)?));
            if self.goal.rewritten_per_won > 0 {
                let leaf = base.leaf(child.at)?;
                // Entries are not divided: what is left beside whole ones stays empty in every page.
                let entry = (leaf.used() / leaf.len().max(1)).max(1);
                let free = self.output.capacity.saturating_sub(leaf.used());
                rooms.push(free - free % entry);
            }
        }
        mark_winning_runs(&rooms, self.output.capacity, self.goal.rewritten_per_won, &mut rewrite);
        Ok(rewrite)
    }
}

/// Marks the shortest runs of pages whose rooms together make a page, if they have at most `most` pages.
fn mark_winning_runs(rooms: &[usize], capacity: usize, most: usize, marks: &mut [bool]) {
    let mut at = 0;
    while at < rooms.len() {
        let mut sum = 0;
        let wins = |room: &usize| {
            sum += room;
            sum >= capacity
        };
        match rooms[at..].iter().take(most).position(wins) {
            Some(last) if rooms[at] > 0 => {
                marks[at..=at + last].fill(true);
                at += last + 1;
            }
            _ => at += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(rooms: &[usize], most: usize, expected: &[usize]) {
        let mut marks = vec![false; rooms.len()];
        mark_winning_runs(rooms, 100, most, &mut marks);
        let marked: Vec<usize> = (0..marks.len()).filter(|&i| marks[i]).collect();
        assert_eq!(marked, expected, "{rooms:?} at {most}");
    }

    #[test]
    fn leaves_are_rewritten_only_where_few_enough_win_a_page() {
        check(&[], 8, &[]);
        check(&[50, 50], 8, &[0, 1]);
        check(&[50, 49], 8, &[]);
        check(&[0, 50, 0, 50, 0], 8, &[1, 2, 3]);
        check(&[0, 50, 0, 50, 0], 2, &[]);
        check(&[40, 40, 40, 10, 10, 90, 10], 3, &[0, 1, 2, 3, 4, 5]);
        check(&[7; 20], 20, &(0..15).collect::<Vec<_>>());
        check(&[7; 20], 14, &[]);
        check(&[100, 0], 1, &[0]);
        check(&[60, 60], 0, &[]);
    }
}
