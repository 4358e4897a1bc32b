//! A position in a tree that moves both ways.
//!
//! A cursor remembers pages by number, never by address, and looks them up again in its snapshot at each step (a bounds
//! check and a bit once a page is verified). Its key is kept in a buffer that begins with the leaf's prefix, so that a
//! step within a leaf copies only a suffix; values are not copied.
//!
//! It never sees a later version than its tree. Corrupt pages give errors: the levels on the way down must fall by one,
//! so no cycle of pages holds it. After an error it is on no key.

use crate::error::Result;
use crate::tree::Tree;
use halodb_pager::PageRef;

/// A position in a tree. On no key before the first move, and past either end.
#[derive(Debug)]
pub struct Cursor {
    tree: Tree,
    path: Vec<Step>,
    /// The leaf and the entry in it, if the cursor is on a key.
    entry: Option<(PageRef, usize)>,
    /// The leaf whose prefix `key` begins with.
    prefix_of: Option<PageRef>,
    prefix_len: usize,
    key: Vec<u8>,
}

#[derive(Clone, Copy, Debug)]
struct Step {
    at: PageRef,
    level: u8,
    index: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Direction {
    Forward,
    Back,
}

impl Cursor {
    pub(crate) fn new(tree: Tree) -> Cursor {
        Cursor { tree, path: Vec::new(), entry: None, prefix_of: None, prefix_len: 0, key: Vec::new() }
    }

    /// To the first key.
    ///
    /// # Errors
    /// [`crate::Error`] if a page on the way cannot be trusted; so for every move.
    pub fn seek_first(&mut self) -> Result<()> {
        self.seek_end(Direction::Forward)
    }

    /// To the last key.
    ///
    /// # Errors
    /// As [`Cursor::seek_first`].
    pub fn seek_last(&mut self) -> Result<()> {
        self.seek_end(Direction::Back)
    }

    /// To the first key not below `key`.
    ///
    /// # Errors
    /// As [`Cursor::seek_first`].
    pub fn seek(&mut self, key: &[u8]) -> Result<()> {
        let Some((leaf, index, _)) = self.descend_to(key)? else { return Ok(()) };
        if index < self.tree.leaf(leaf)?.len() { self.settle(leaf, index) } else { self.next_leaf(Direction::Forward) }
    }

    /// To the last key not above `key`.
    ///
    /// # Errors
    /// As [`Cursor::seek_first`].
    pub fn seek_back(&mut self, key: &[u8]) -> Result<()> {
        let Some((leaf, index, found)) = self.descend_to(key)? else { return Ok(()) };
        match (found, index) {
            (true, _) => self.settle(leaf, index),
            (false, 0) => self.next_leaf(Direction::Back),
            (false, _) => self.settle(leaf, index - 1),
        }
    }

    /// To the next key (nothing when on no key).
    ///
    /// # Errors
    /// As [`Cursor::seek_first`].
    #[expect(clippy::should_implement_trait, reason = "a cursor lends its entry and can fail, which `Iterator` cannot")]
    pub fn next(&mut self) -> Result<()> {
        let Some((leaf, index)) = self.entry.take() else { return Ok(()) };
        if index + 1 < self.tree.leaf(leaf)?.len() {
            self.settle(leaf, index + 1)
        } else {
            self.next_leaf(Direction::Forward)
        }
    }

    /// To the previous key (nothing when on no key).
    ///
    /// # Errors
    /// As [`Cursor::seek_first`].
    pub fn prev(&mut self) -> Result<()> {
        let Some((leaf, index)) = self.entry.take() else { return Ok(()) };
        if index > 0 { self.settle(leaf, index - 1) } else { self.next_leaf(Direction::Back) }
    }

    /// The key.
    pub fn key(&self) -> Option<&[u8]> {
        self.entry.map(|_| self.key.as_slice())
    }

    /// The value, borrowed from the mapping (an overflow extent is touched here, not before).
    ///
    /// # Errors
    /// [`crate::Error`] if the leaf or the extent cannot be trusted.
    pub fn value(&self) -> Result<Option<&[u8]>> {
        let Some((at, index)) = self.entry else { return Ok(None) };
        let record = self.tree.decoded(at, self.tree.leaf(at)?.record(index))?;
        self.tree.value(at, &record).map(Some)
    }

    /// The tree it reads.
    pub fn tree(&self) -> &Tree {
        &self.tree
    }

    fn seek_end(&mut self, direction: Direction) -> Result<()> {
        self.entry = None;
        self.path.clear();
        match self.tree.top() {
            Some((at, level)) => self.descend_edge(at, level, direction),
            None => Ok(()),
        }
    }

    /// The leaf in whose range `key` is, the number of its first entry not below `key`, and whether that is `key`.
    fn descend_to(&mut self, key: &[u8]) -> Result<Option<(PageRef, usize, bool)>> {
        self.entry = None;
        self.path.clear();
        let Some((mut at, mut level)) = self.tree.top() else { return Ok(None) };
        while level > 0 {
            let branch = self.tree.branch(at, level)?;
            let index = self.tree.decoded(at, branch.find(key))?;
            self.path.push(Step { at, level, index });
            at = self.tree.child(at, &branch, index)?.at;
            level -= 1;
        }
        let (index, found) = self.tree.decoded(at, self.tree.leaf(at)?.search(key))?;
        Ok(Some((at, index, found)))
    }

    /// To the first entry below a page, or the last when going back.
    fn descend_edge(&mut self, mut at: PageRef, mut level: u8, direction: Direction) -> Result<()> {
        let edge = |len: usize| if direction == Direction::Forward { 0 } else { len - 1 };
        while level > 0 {
            let branch = self.tree.branch(at, level)?;
            let index = edge(branch.len());
            self.path.push(Step { at, level, index });
            at = self.tree.child(at, &branch, index)?.at;
            level -= 1;
        }
        let index = edge(self.tree.leaf(at)?.len());
        self.settle(at, index)
    }

    /// From the leaf that the path leads to on to its neighbour; past the end the cursor is on no key.
    fn next_leaf(&mut self, direction: Direction) -> Result<()> {
        while let Some(step) = self.path.last_mut() {
            let branch = self.tree.branch(step.at, step.level)?;
            let index = match direction {
                Direction::Forward => Some(step.index + 1).filter(|&i| i < branch.len()),
                Direction::Back => step.index.checked_sub(1),
            };
            if let Some(index) = index {
                step.index = index;
                let (at, level) = (step.at, step.level);
                let child = self.tree.child(at, &branch, index)?.at;
                return self.descend_edge(child, level - 1, direction);
            }
            self.path.pop();
        }
        Ok(())
    }

    /// Onto an entry of a leaf.
    fn settle(&mut self, at: PageRef, index: usize) -> Result<()> {
        let leaf = self.tree.leaf(at)?;
        let record = self.tree.decoded(at, leaf.record(index))?;
        if self.prefix_of != Some(at) {
            self.key.clear();
            self.key.extend_from_slice(leaf.prefix());
            self.prefix_len = self.key.len();
            self.prefix_of = Some(at);
        }
        self.key.truncate(self.prefix_len);
        self.key.extend_from_slice(record.suffix);
        self.entry = Some((at, index));
        Ok(())
    }
}
