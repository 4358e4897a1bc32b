//! One version of a tree: its root, the way to its pages, and point lookups.
//!
//! Invariants of a tree: every leaf is on level 0, and a child's level is its parent's less one; no page is empty; a
//! branch's separators bound its children; it states for each child the page, the stamp and the exact number of entries.
//!
//! `Root::tag`: u64 number of entries, u8 number of levels (1: the root is a leaf), 7 zero bytes.
//!
//! Reading never copies a page: everything is searched in the mapping that the snapshot pins.

use crate::Cursor;
use crate::branch::{Branch, Child};
use crate::bytes::u64_at;
use crate::descent::{RECORD_LEN, begin_search};
use crate::error::{Decoded, Error, Result};
use crate::expiry::Expiry;
use crate::filter::Filters;
use crate::leaf::{Leaf, Place, Record};
use crate::overflow::{self, OverflowRef};
use crate::page::{BRANCH, FILTER, LEAF, OVERFLOW};
use crate::recent;
use halodb_pager::{Page, PageKind, PageRef, Proof, Root, Snapshot};
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// What the tree needs to know beside the file.
#[derive(Clone, Copy, Debug)]
pub struct TreeOptions {
    /// Seed of xxh3-64 over keys, for the filters. Must be the same for a file for ever: with another seed existing
    /// filters would deny keys that are there.
    pub hash_seed: u64,
    /// Filter bits per key, 0 to 64 (0: no filters are built). 11 lets one absent key in about a hundred through to
    /// its leaf. Takes effect on leaves written from now on.
    pub filter_bits_per_key: u32,
}

/// One version of one tree, for reading; pins its snapshot. Clones are cheap.
#[derive(Clone, Debug)]
pub struct Tree {
    snapshot: Snapshot,
    root: Option<Root>,
    len: u64,
    height: u8,
    options: TreeOptions,
}

const TAG_LEN: usize = 0;
const TAG_HEIGHT: usize = 8;

/// Of a tree whose every branch has two children, this is more than there can be keys.
const MAX_HEIGHT: u8 = 64;

/// The root to commit for a tree of `len` entries and `height` levels.
pub(crate) fn make_root(page: PageRef, len: u64, height: u8) -> Root {
    let mut tag = [0; 16];
    tag[TAG_LEN..TAG_HEIGHT].copy_from_slice(&len.to_le_bytes());
    tag[TAG_HEIGHT] = height;
    Root { page, tag }
}

/// The number of entries and of levels that a root states; `None` if it is none of a tree.
pub(crate) fn root_shape(root: &Root) -> Option<(u64, u8)> {
    let (len, height) = (u64_at(&root.tag, TAG_LEN)?, root.tag[TAG_HEIGHT]);
    let rest_is_zero = root.tag[TAG_HEIGHT + 1..].iter().all(|&b| b == 0);
    (len > 0 && (1..=MAX_HEIGHT).contains(&height) && root.page.pages == 1 && rest_is_zero).then_some((len, height))
}

impl Tree {
    /// The tree under root number `index` of the snapshot (empty if there is no such root). Reads nothing.
    ///
    /// # Errors
    /// [`Error::Invalid`] for more than 64 filter bits per key, [`Error::Corrupt`] for a root that is none of a tree.
    pub fn open(snapshot: Snapshot, index: usize, options: TreeOptions) -> Result<Tree> {
        if options.filter_bits_per_key > 64 {
            return Err(Error::Invalid(format!(
                "{} filter bits per key; at most 64 are possible",
                options.filter_bits_per_key
            )));
        }
        let root = snapshot.roots().get(index).copied();
        let mut tree = Tree { snapshot, root, len: 0, height: 0, options };
        if let Some(root) = root {
            let Some((len, height)) = root_shape(&root) else {
                return Err(tree.corrupt(root.page, "the root's description is not that of a tree"));
            };
            (tree.len, tree.height) = (len, height);
        }
        Ok(tree)
    }

    /// The snapshot it reads.
    #[inline]
    pub fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// The root to commit in order to keep this tree as it is (`None`: empty).
    pub fn root(&self) -> Option<Root> {
        self.root
    }

    /// Number of keys. No I/O.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// No key.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// xxh3-64 of `key` with the options' seed.
    pub fn hash(&self, key: &[u8]) -> u64 {
        xxh3_64_with_seed(key, self.options.hash_seed)
    }

    /// The value of a key, borrowed from the mapping.
    ///
    /// Costs one page per level, and for most absent keys no leaf at all if filters are on and this thread did not just find many keys in
    /// a row.
    ///
    /// # Errors
    /// [`Error::Corrupt`] or [`Error::Pager`] if a page on the way cannot be trusted.
    pub fn get(&self, key: &[u8]) -> Result<Option<&[u8]>> {
        self.lookup(key, || self.hash(key))
    }

    /// As [`Tree::get`] with the key's [`Tree::hash`] at hand.
    ///
    /// # Errors
    /// As [`Tree::get`].
    pub fn get_hashed(&self, key: &[u8], hash: u64) -> Result<Option<&[u8]>> {
        self.lookup(key, || hash)
    }

    /// The value of a key and when it expires, with the key's [`Tree::hash`] at hand.
    ///
    /// # Errors
    /// As [`Tree::get`].
    #[inline]
    pub fn get_with_expiry(&self, key: &[u8], hash: u64) -> Result<Option<(&[u8], Expiry)>> {
        self.find(
            key,
            || hash,
            |at, leaf, index| {
                let record = self.decoded(at, leaf.record(index))?;
                let expiry = self.decoded(at, leaf.expiry(index))?;
                Ok((self.value(at, &record)?, expiry))
            },
        )
    }

    /// Whether the filter of the leaf where an absent key would be proves its absence; `None` if the key is there, or there is
    /// no filter. For measuring filters: costs a lookup, and reads the leaf if the filter proves nothing.
    ///
    /// # Errors
    /// As [`Tree::get`].
    pub fn filter_denies(&self, key: &[u8], hash: u64) -> Result<Option<bool>> {
        let Some((mut at, mut level)) = self.top() else { return Ok(None) };
        while level > 0 {
            let branch = self.branch(at, level)?;
            let index = self.decoded(at, branch.find(key))?;
            let child = self.decoded(at, branch.child(index))?;
            if level == 1 {
                let Some(filters) = branch.filter() else { return Ok(None) };
                let filters = self.filters(filters)?;
                let Some(filter) = filters.get(index, child.at).and_then(halodb_bloom::Filter::new) else {
                    return Ok(None);
                };
                if !filter.contains(hash) {
                    return Ok(Some(true));
                }
            }
            at = child.at;
            level -= 1;
        }
        let (_, is_there) = self.decoded(at, self.leaf(at)?.search(key))?;
        // A tree of one leaf has no filters.
        Ok((!is_there && self.height > 1).then_some(false))
    }

    /// When the first entry expires; [`Expiry::NEVER`] if none does. Costs one page, whatever the number of keys.
    ///
    /// # Errors
    /// [`Error::Corrupt`] or [`Error::Pager`] if the root cannot be trusted.
    pub fn least_expiry(&self) -> Result<Expiry> {
        match self.top() {
            None => Ok(Expiry::NEVER),
            Some((at, 0)) => self.decoded(at, self.leaf(at)?.least_expiry()),
            Some((at, level)) => self.decoded(at, self.branch(at, level)?.least_expiry()),
        }
    }

    #[inline]
    fn lookup(&self, key: &[u8], hash: impl Fn() -> u64) -> Result<Option<&[u8]>> {
        self.find(key, hash, |at, leaf, index| {
            let record = self.decoded(at, leaf.record(index))?;
            self.value(at, &record)
        })
    }

    /// Whatever `read` makes of the entry of a key, given its leaf and its number.
    #[inline(always)]
    fn find<'t, R>(
        &'t self,
        key: &[u8],
        hash: impl Fn() -> u64,
        read: impl FnOnce(PageRef, &Leaf<'t>, usize) -> Result<R>,
    ) -> Result<Option<R>> {
        let Some((mut at, mut level)) = self.top() else { return Ok(None) };
        let mut guess = None;
        while level > 0 {
            let branch = self.branch(at, level)?;
            let index = self.find_child(at, &branch, key, guess)?;
            let child = self.decoded(at, branch.child(index))?;
            if level == 1 && recent::filters_pay() && self.denied(branch.filter(), index, child.at, &hash) {
                recent::note(false);
                return Ok(None);
            }
            guess = branch.guess(index, key);
            if level == 1 {
                self.prefetch_leaf(child.at, child.entries, guess);
                self.prefetch_guess(child.at, child.entries, guess);
            }
            at = child.at;
            level -= 1;
        }
        let leaf = self.leaf(at)?;
        let (index, found) = match begin_search(&leaf, key, guess) {
            Ok((suffix, low)) => {
                if let Some(offset) = leaf.offset(low) {
                    self.prefetch_records(at, offset, RECORD_LEN);
                }
                self.decoded(at, leaf.search_tied(suffix, low))?
            }
            Err(index) => (index, false),
        };
        recent::note(found);
        if found { read(at, &leaf, index).map(Some) } else { Ok(None) }
    }

    /// Whether the filter proves that no key with this hash is in the leaf. A filter that cannot be read proves nothing.
    #[inline(always)]
    pub(crate) fn denied(&self, filters: Option<PageRef>, index: usize, leaf: PageRef, hash: impl Fn() -> u64) -> bool {
        let filter = || {
            let filters = self.filters(filters?).ok()?;
            halodb_bloom::Filter::new(filters.get(index, leaf)?)
        };
        filter().is_some_and(|filter| !filter.contains(hash()))
    }

    /// A cursor, on no key yet; owns a clone of the tree.
    pub fn cursor(&self) -> Cursor {
        Cursor::new(self.clone())
    }

    /// The options it was opened with.
    pub(crate) fn options(&self) -> TreeOptions {
        self.options
    }

    /// The root page and its level.
    pub(crate) fn top(&self) -> Option<(PageRef, u8)> {
        Some((self.root?.page, self.height.checked_sub(1)?))
    }

    #[inline(always)]
    fn page(&self, at: PageRef, kind: PageKind, level: u8) -> Result<Page<'_>> {
        let page = self.snapshot.page(at)?;
        if page.kind() != kind || page.level() != level {
            return Err(self.unexpected(&page, kind, level));
        }
        Ok(page)
    }

    #[cold]
    fn unexpected(&self, page: &Page<'_>, kind: PageKind, level: u8) -> Error {
        self.corrupt(
            page.proof().at(),
            format!(
                "it is of kind {} and level {} where kind {} and level {level} is expected",
                page.kind().0,
                page.level(),
                kind.0
            ),
        )
    }

    /// A leaf.
    #[inline(always)]
    pub(crate) fn leaf(&self, at: PageRef) -> Result<Leaf<'_>> {
        self.proven_leaf(at).map(|(leaf, _)| leaf)
    }

    /// A leaf, and what to have its page again by.
    #[inline(always)]
    pub(crate) fn proven_leaf(&self, at: PageRef) -> Result<(Leaf<'_>, Proof)> {
        let page = self.page(at, LEAF, 0)?;
        Ok((self.decoded(at, Leaf::parse(page.body()))?, page.proof()))
    }

    /// The body of a leaf or branch that was proven before, kind and level included.
    #[inline]
    pub(crate) fn body_again(&self, proof: Proof) -> Result<&[u8]> {
        Ok(self.snapshot.page_again(proof)?.body())
    }

    /// A branch, which must be of this level, 1 or more.
    #[inline(always)]
    pub(crate) fn branch(&self, at: PageRef, level: u8) -> Result<Branch<'_>> {
        self.proven_branch(at, level).map(|(branch, _)| branch)
    }

    /// A branch, and what to have its page again by.
    #[inline(always)]
    pub(crate) fn proven_branch(&self, at: PageRef, level: u8) -> Result<(Branch<'_>, Proof)> {
        let page = self.page(at, BRANCH, level)?;
        Ok((self.decoded(at, Branch::parse(page.body()))?, page.proof()))
    }

    /// Child `index` of a branch at `at`.
    pub(crate) fn child(&self, at: PageRef, branch: &Branch<'_>, index: usize) -> Result<Child> {
        self.decoded(at, branch.child(index))
    }

    /// A filter extent.
    pub(crate) fn filters(&self, at: PageRef) -> Result<Filters<'_>> {
        self.decoded(at, Filters::parse(self.page(at, FILTER, 1)?.body()))
    }

    /// The value of a record of the leaf at `at`.
    #[inline]
    pub(crate) fn value<'a>(&'a self, at: PageRef, record: &Record<'a>) -> Result<&'a [u8]> {
        match record.place {
            Place::Inline => Ok(record.payload),
            Place::Overflow => self.overflow_value(self.decoded(at, OverflowRef::decode(record.payload))?),
        }
    }

    /// The value in an overflow extent.
    pub(crate) fn overflow_value(&self, reference: OverflowRef) -> Result<&[u8]> {
        let page = self.page(reference.at, OVERFLOW, 0)?;
        self.decoded(reference.at, overflow::value(page.body(), reference.len))
    }

    /// What a decoder said about the page at `at`.
    #[inline(always)]
    pub(crate) fn decoded<T>(&self, at: PageRef, decoded: Decoded<T>) -> Result<T> {
        decoded.map_err(|what| self.corrupt(at, what))
    }

    /// The error for a page that breaks a rule.
    #[cold]
    pub(crate) fn corrupt(&self, at: PageRef, what: impl Into<String>) -> Error {
        Error::Corrupt {
            path: self.snapshot.path().to_path_buf(),
            offset: at.id.0.saturating_mul(u64::from(self.snapshot.page_size())),
            what: what.into(),
        }
    }
}
