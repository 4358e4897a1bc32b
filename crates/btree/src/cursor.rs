//! A position in a tree that moves both ways.
//!
//! A cursor remembers pages by number, never by address. It keeps the proof that its leaf was found good and the layout of
//! its records, so that a step within the leaf costs two bounds checks, one record and the copy of one suffix: the key
//! is kept in a buffer that begins with the leaf's prefix. The value is remembered as a range of the leaf and is not
//! copied.
//!
//! A seek comes in parts, too: whoever has several cursors takes all of them one part further in turn, and so waits for
//! the memory of all of them at once.
//!
//! It never sees a later version than its tree. Corrupt pages give errors: the levels on the way down must fall by one,
//! so no cycle of pages holds it. After an error it is on no key.

use crate::branch::Branch;
use crate::descent::begin_search;
use crate::error::Result;
use crate::expiry::Expiry;
use crate::guess::Guess;
use crate::leaf::{Layout, Leaf, Record, Span};
use crate::tree::Tree;
use halodb_pager::{PageRef, Proof};

/// A position in a tree. On no key before the first move, and past either end.
#[derive(Debug)]
pub struct Cursor {
    tree: Tree,
    path: Vec<Step>,
    /// How far a seek has come.
    seek: Seek,
    /// The entry that the cursor is on, if it is on a key.
    entry: Option<Entry>,
    /// The leaf whose prefix `key` begins with.
    prefix_of: Option<PageRef>,
    prefix_len: usize,
    key: Vec<u8>,
    /// The key before the step to another leaf.
    before: Vec<u8>,
    /// Whether steps forward ask for a record that comes soon.
    asks_ahead: bool,
}

/// A seek under way.
#[derive(Clone, Copy, Debug)]
enum Seek {
    /// There is none, or the tree is empty.
    None,
    /// This page comes next.
    At { page: PageRef, level: u8, guess: Option<Guess> },
    /// The first entry of a leaf that is not below the key, and whether it has that key.
    Found { leaf: Held, index: usize, is_key: bool },
}

/// Bytes asked for from the first record on that a seek finds: the next records, for whoever seeks mostly goes on.
const RECORDS_LEN: usize = 2048;

/// So many entries ahead a walk asks for a record, if it does: about as long as memory takes.
const AHEAD: usize = 4;

/// Bytes of a record that are asked for ahead: what is left of the key, and the beginning of the value.
const AHEAD_LEN: usize = 64;

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

impl Held {
    /// The record of an entry, and where it is.
    #[inline]
    fn read<'t>(&self, tree: &'t Tree, index: usize) -> Result<(Span, Record<'t>)> {
        let at = self.page.at();
        let body = tree.body_again(self.page)?;
        let span = tree.decoded(at, self.layout.span(body, index))?;
        Ok((span, tree.decoded(at, span.record(body))?))
    }

    /// Asks for the record of an entry, if there is such a one.
    #[inline(never)]
    fn ask(&self, tree: &Tree, index: usize) {
        if index < self.layout.len()
            && let Ok(body) = tree.body_again(self.page)
            && let Some(offset) = self.layout.offset(body, index)
        {
            tree.prefetch_records(self.page.at(), offset, AHEAD_LEN);
        }
    }

    /// When an entry expires. Nearly no leaf has an entry that does; where none has, nothing is read.
    #[inline]
    fn expiry(&self, tree: &Tree, index: usize) -> Result<Expiry> {
        if self.layout.never_expires() {
            return Ok(Expiry::NEVER);
        }
        let body = tree.body_again(self.page)?;
        tree.decoded(self.page.at(), self.layout.expiry(body, index))
    }
}

/// An entry of a leaf.
#[derive(Clone, Copy, Debug)]
struct Entry {
    leaf: Held,
    index: usize,
    span: Span,
    expiry: Expiry,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Direction {
    Forward,
    Back,
}

impl Cursor {
    pub(crate) fn new(tree: Tree) -> Cursor {
        Cursor {
            tree,
            path: Vec::new(),
            seek: Seek::None,
            entry: None,
            prefix_of: None,
            prefix_len: 0,
            key: Vec::new(),
            before: Vec::new(),
            asks_ahead: false,
        }
    }

    /// From now on each step forward asks for the record of an entry that comes soon. For a cursor that is one of several in a merge:
    /// which one goes next depends on the key that is waited for, so that the processor cannot run ahead by itself, as it does where
    /// one cursor goes straight on and this costs more than it gains. Steps back, on which the processor knows less, always do.
    pub fn ask_ahead(&mut self) {
        self.asks_ahead = true;
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
        self.go_to(key)?;
        self.land()
    }

    /// To the last key not above `key`.
    ///
    /// # Errors
    /// As [`Cursor::seek_first`].
    pub fn seek_back(&mut self, key: &[u8]) -> Result<()> {
        self.go_to(key)?;
        self.land_back()
    }

    fn go_to(&mut self, key: &[u8]) -> Result<()> {
        self.begin_seek();
        while self.approach(key)? {}
        self.aim(key)
    }

    /// The first part of a seek; until it has landed the cursor is on no key. The parts are for whoever has several cursors:
    /// [`Cursor::approach`] each until all of them say that they are near, then [`Cursor::aim`] each, then
    /// [`Cursor::land`] each, all with the same key. What a part needs from memory the part before has asked for.
    pub fn begin_seek(&mut self) {
        self.entry = None;
        self.path.clear();
        self.seek = match self.tree.top() {
            Some((page, level)) => Seek::At { page, level, guess: None },
            None => Seek::None,
        };
    }

    /// Goes down by one branch, and asks for the page below it. Whether that is a branch again.
    ///
    /// # Errors
    /// As [`Cursor::seek_first`].
    pub fn approach(&mut self, key: &[u8]) -> Result<bool> {
        let Seek::At { page: at, level, guess } = self.seek else { return Ok(false) };
        if level == 0 {
            return Ok(false);
        }
        self.seek = Seek::None;
        let (branch, proof) = self.tree.proven_branch(at, level)?;
        let index = self.tree.find_child(at, &branch, key, guess)?;
        let child = self.tree.child(at, &branch, index)?;
        let guess = branch.guess(index, key);
        self.path.push(Step { branch: proof, level, index });
        match level {
            1 => {
                self.tree.prefetch_leaf(child.at, child.entries, guess);
                self.tree.prefetch_guess(child.at, child.entries, guess);
            }
            _ => self.tree.prefetch_branch(&child),
        }
        self.seek = Seek::At { page: child.at, level: level - 1, guess };
        Ok(level > 1)
    }

    /// Looks the key up in its leaf, and asks for the record found.
    ///
    /// # Errors
    /// As [`Cursor::seek_first`].
    pub fn aim(&mut self, key: &[u8]) -> Result<()> {
        let Seek::At { page: at, level: 0, guess } = self.seek else { return Ok(()) };
        self.seek = Seek::None;
        let (leaf, page) = self.tree.proven_leaf(at)?;
        let (index, is_key) = match begin_search(&leaf, key, guess) {
            Ok((suffix, low)) => self.tree.decoded(at, leaf.search_tied(suffix, low))?,
            Err(index) => (index, false),
        };
        let layout = leaf.layout();
        if let Some(offset) = layout.offset(self.tree.body_again(page)?, index.min(layout.len() - 1)) {
            self.tree.prefetch_records(at, offset, RECORDS_LEN);
        }
        self.seek = Seek::Found { leaf: Held { page, layout }, index, is_key };
        Ok(())
    }

    /// The last part of a seek: onto the first key not below the key.
    ///
    /// # Errors
    /// As [`Cursor::seek_first`].
    pub fn land(&mut self) -> Result<()> {
        let Seek::Found { leaf, index, .. } = std::mem::replace(&mut self.seek, Seek::None) else { return Ok(()) };
        if index < leaf.layout.len() { self.settle(leaf, index) } else { self.next_leaf(Direction::Forward) }
    }

    /// The last part of a seek: onto the last key not above the key.
    ///
    /// # Errors
    /// As [`Cursor::seek_first`].
    pub fn land_back(&mut self) -> Result<()> {
        let Seek::Found { leaf, index, is_key } = std::mem::replace(&mut self.seek, Seek::None) else { return Ok(()) };
        match (is_key, index) {
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
    #[inline]
    pub fn next(&mut self) -> Result<()> {
        let Some(entry) = &self.entry else { return Ok(()) };
        let (next, len) = (entry.index + 1, entry.leaf.layout.len());
        if self.asks_ahead {
            entry.leaf.ask(&self.tree, next + AHEAD);
        }
        if next < len { self.settle_near(next) } else { self.next_leaf(Direction::Forward) }
    }

    /// To the previous key (nothing when on no key).
    ///
    /// # Errors
    /// As [`Cursor::seek_first`].
    #[inline]
    pub fn prev(&mut self) -> Result<()> {
        let Some(entry) = &self.entry else { return Ok(()) };
        entry.leaf.ask(&self.tree, entry.index.wrapping_sub(1 + AHEAD));
        match entry.index.checked_sub(1) {
            Some(before) => self.settle_near(before),
            None => self.next_leaf(Direction::Back),
        }
    }

    /// The key.
    #[inline]
    pub fn key(&self) -> Option<&[u8]> {
        self.entry.as_ref().map(|_| self.key.as_slice())
    }

    /// The value, borrowed from the mapping (an overflow extent is touched here, not before).
    ///
    /// # Errors
    /// [`crate::Error`] if the leaf or the extent cannot be trusted.
    #[inline]
    pub fn value(&self) -> Result<Option<&[u8]>> {
        let Some(Entry { leaf, span, .. }) = &self.entry else { return Ok(None) };
        let at = leaf.page.at();
        let record = self.tree.decoded(at, span.record(self.tree.body_again(leaf.page)?))?;
        self.tree.value(at, &record).map(Some)
    }

    /// When the entry expires; `None` when on no key. The value is there whether that has come or not.
    #[inline]
    pub fn expiry(&self) -> Option<Expiry> {
        self.entry.as_ref().map(|entry| entry.expiry)
    }

    /// The tree it reads.
    pub fn tree(&self) -> &Tree {
        &self.tree
    }

    fn seek_end(&mut self, direction: Direction) -> Result<()> {
        self.entry = None;
        self.seek = Seek::None;
        self.path.clear();
        match self.tree.top() {
            Some((at, level)) => self.descend_edge(at, level, direction),
            None => Ok(()),
        }
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
        if self.entry.take().is_none() {
            return self.enter_next_leaf(direction);
        }
        std::mem::swap(&mut self.key, &mut self.before);
        self.prefix_of = None;
        self.enter_next_leaf(direction)?;
        let Some(Entry { leaf, .. }) = self.entry else { return Ok(()) };
        let ascends = match direction {
            Direction::Forward => self.before < self.key,
            Direction::Back => self.before > self.key,
        };
        if !ascends {
            // One leaf may be named by many branches; to go through it each time would take for ever.
            self.entry = None;
            return Err(self.tree.corrupt(leaf.page.at(), "its keys do not follow those of the leaf beside it"));
        }
        Ok(())
    }

    fn enter_next_leaf(&mut self, direction: Direction) -> Result<()> {
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
                let after = match direction {
                    Direction::Forward => Some(index + 1).filter(|&i| i < branch.len()),
                    Direction::Back => index.checked_sub(1),
                };
                let asks_ahead = self.asks_ahead || direction == Direction::Back;
                if let (0, true, Some(after)) = (level, asks_ahead, after) {
                    let after = self.tree.child(at, &branch, after)?;
                    self.tree.prefetch_leaf(after.at, after.entries, None);
                }
                return self.descend_edge(child, level, direction);
            }
            self.path.pop();
        }
        Ok(())
    }

    /// Onto another entry of the leaf that the cursor is on.
    #[inline]
    fn settle_near(&mut self, index: usize) -> Result<()> {
        // The leaf stays, and with it that nothing in it expires.
        if self.entry.as_ref().is_some_and(|entry| !entry.leaf.layout.never_expires()) {
            self.note_expiry(index)?;
        }
        let Some(entry) = &mut self.entry else { return Ok(()) };
        match entry.leaf.read(&self.tree, index) {
            Ok((span, record)) => {
                (entry.index, entry.span) = (index, span);
                self.key.truncate(self.prefix_len);
                record.append_suffix(&mut self.key);
                Ok(())
            }
            Err(error) => {
                self.entry = None;
                Err(error)
            }
        }
    }

    /// Takes over when another entry of the leaf expires. Out of the way of the leaves of which nothing does.
    #[inline(never)]
    fn note_expiry(&mut self, index: usize) -> Result<()> {
        let Some(entry) = &mut self.entry else { return Ok(()) };
        match entry.leaf.expiry(&self.tree, index) {
            Ok(expiry) => {
                entry.expiry = expiry;
                Ok(())
            }
            Err(error) => {
                self.entry = None;
                Err(error)
            }
        }
    }

    /// Onto an entry of a leaf.
    #[inline]
    fn settle(&mut self, leaf: Held, index: usize) -> Result<()> {
        let at = leaf.page.at();
        let expiry = leaf.expiry(&self.tree, index)?;
        let (span, record) = leaf.read(&self.tree, index)?;
        if self.prefix_of != Some(at) {
            let body = self.tree.body_again(leaf.page)?;
            let prefix = self.tree.decoded(at, Leaf::parse(body))?.prefix();
            self.key.clear();
            self.key.extend_from_slice(prefix);
            self.prefix_len = prefix.len();
            self.prefix_of = Some(at);
        }
        self.key.truncate(self.prefix_len);
        record.append_suffix(&mut self.key);
        self.entry = Some(Entry { leaf, index, span, expiry });
        Ok(())
    }
}
