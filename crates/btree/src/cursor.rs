//! A position in a tree that moves both ways.
//!
//! A cursor remembers pages by number, never by address. It keeps the proof that its leaf was found good and the layout of
//! its records, so that a step within the leaf costs two bounds checks, one record and the copy of one suffix: the key
//! is kept in a buffer that begins with the leaf's prefix. The value is remembered as a range of the leaf and is not
//! copied.
//!
//! It never sees a later version than its tree. Corrupt pages give errors: the levels on the way down must fall by one,
//! so no cycle of pages holds it. After an error it is on no key.

use crate::branch::Branch;
use crate::error::Result;
use crate::expiry::Expiry;
use crate::leaf::{Layout, Leaf, Span};
use crate::tree::Tree;
use halodb_pager::{PageRef, Proof};

/// A position in a tree. On no key before the first move, and past either end.
#[derive(Debug)]
pub struct Cursor {
    tree: Tree,
    path: Vec<Step>,
    /// The entry that the cursor is on, if it is on a key.
    entry: Option<Entry>,
    /// The leaf whose prefix `key` begins with.
    prefix_of: Option<PageRef>,
    prefix_len: usize,
    key: Vec<u8>,
}

/// A branch on the way to the leaf, and the child taken.
#[derive(Clone, Copy, Debug)]
struct Step {
    branch: Proof,
    level: u8,
    index: usize,
}

/// A leaf as the cursor remembers it.
#[derive(Clone, Copy, Debug)]
struct Held {
    page: Proof,
    layout: Layout,
}

/// An entry of a leaf.
#[derive(Clone, Copy, Debug)]
struct Entry {
    leaf: Held,
    index: usize,
    span: Span,
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
        if index < leaf.layout.len() { self.settle(leaf, index) } else { self.next_leaf(Direction::Forward) }
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
        let Some(Entry { leaf, index, .. }) = self.entry.take() else { return Ok(()) };
        if index + 1 < leaf.layout.len() { self.settle(leaf, index + 1) } else { self.next_leaf(Direction::Forward) }
    }

    /// To the previous key (nothing when on no key).
    ///
    /// # Errors
    /// As [`Cursor::seek_first`].
    pub fn prev(&mut self) -> Result<()> {
        let Some(Entry { leaf, index, .. }) = self.entry.take() else { return Ok(()) };
        if index > 0 { self.settle(leaf, index - 1) } else { self.next_leaf(Direction::Back) }
    }

    /// The key.
    #[inline]
    pub fn key(&self) -> Option<&[u8]> {
        self.entry.map(|_| self.key.as_slice())
    }

    /// The value, borrowed from the mapping (an overflow extent is touched here, not before).
    ///
    /// # Errors
    /// [`crate::Error`] if the leaf or the extent cannot be trusted.
    pub fn value(&self) -> Result<Option<&[u8]>> {
        let Some(Entry { leaf, span, .. }) = self.entry else { return Ok(None) };
        let at = leaf.page.at();
        let record = self.tree.decoded(at, span.record(self.tree.body_again(leaf.page)?))?;
        self.tree.value(at, &record).map(Some)
    }

    /// When the entry expires. The value is there whether that has come or not.
    ///
    /// # Errors
    /// [`crate::Error`] if the leaf cannot be trusted.
    pub fn expiry(&self) -> Result<Option<Expiry>> {
        let Some(Entry { leaf, index, .. }) = self.entry else { return Ok(None) };
        let body = self.tree.body_again(leaf.page)?;
        self.tree.decoded(leaf.page.at(), leaf.layout.expiry(body, index)).map(Some)
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
    fn descend_to(&mut self, key: &[u8]) -> Result<Option<(Held, usize, bool)>> {
        self.entry = None;
        self.path.clear();
        let Some((mut at, mut level)) = self.tree.top() else { return Ok(None) };
        while level > 0 {
            let (branch, proof) = self.tree.proven_branch(at, level)?;
            let index = self.tree.decoded(at, branch.find(key))?;
            self.path.push(Step { branch: proof, level, index });
            let child = self.tree.child(at, &branch, index)?;
            if level == 1 {
                self.tree.prefetch_leaf(&child);
            }
            at = child.at;
            level -= 1;
        }
        let (leaf, page) = self.tree.proven_leaf(at)?;
        let (index, found) = self.tree.decoded(at, leaf.search(key))?;
        let leaf = Held { page, layout: leaf.layout() };
        Ok(Some((leaf, index, found)))
    }

    /// To the first entry below a page, or the last when going back.
    fn descend_edge(&mut self, mut at: PageRef, mut level: u8, direction: Direction) -> Result<()> {
        let edge = |len: usize| if direction == Direction::Forward { 0 } else { len - 1 };
        while level > 0 {
            let (branch, proof) = self.tree.proven_branch(at, level)?;
            let index = edge(branch.len());
            self.path.push(Step { branch: proof, level, index });
            at = self.tree.child(at, &branch, index)?.at;
            level -= 1;
        }
        let (leaf, page) = self.tree.proven_leaf(at)?;
        let leaf = Held { page, layout: leaf.layout() };
        self.settle(leaf, edge(leaf.layout.len()))
    }

    /// From the leaf that the path leads to on to its neighbour; past the end the cursor is on no key.
    fn next_leaf(&mut self, direction: Direction) -> Result<()> {
        while let Some(step) = self.path.last_mut() {
            let at = step.branch.at();
            let branch = self.tree.decoded(at, Branch::parse(self.tree.body_again(step.branch)?))?;
            let index = match direction {
                Direction::Forward => Some(step.index + 1).filter(|&i| i < branch.len()),
                Direction::Back => step.index.checked_sub(1),
            };
            if let Some(index) = index {
                step.index = index;
                let level = step.level - 1;
                let child = self.tree.child(at, &branch, index)?.at;
                return self.descend_edge(child, level, direction);
            }
            self.path.pop();
        }
        Ok(())
    }

    /// Onto an entry of a leaf.
    #[inline]
    fn settle(&mut self, leaf: Held, index: usize) -> Result<()> {
        let at = leaf.page.at();
        let body = self.tree.body_again(leaf.page)?;
        let span = self.tree.decoded(at, leaf.layout.span(body, index))?;
        let record = self.tree.decoded(at, span.record(body))?;
        if self.prefix_of != Some(at) {
            let prefix = self.tree.decoded(at, Leaf::parse(body))?.prefix();
            self.key.clear();
            self.key.extend_from_slice(prefix);
            self.prefix_len = prefix.len();
            self.prefix_of = Some(at);
        }
        self.key.truncate(self.prefix_len);
        record.append_suffix(&mut self.key);
        self.entry = Some(Entry { leaf, index, span });
        Ok(())
    }
}
