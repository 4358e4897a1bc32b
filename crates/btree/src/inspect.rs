//! Looking at single page bodies, without a [`crate::Tree`]: for tools that examine a file whose tree is damaged, and for
//! tests that show every decoder to be total.
//!
//! The readers are those of the tree itself. They take the body of a page (what follows the pager's header) that comes
//! from anywhere; whatever it holds, each call answers with a value or with a clause that says which rule it breaks. Nothing
//! is allocated by a number read from the page, and nothing here follows a reference.
//!
//! ```
//! use halodb_btree::inspect::{LeafPage, Value};
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # use halodb_btree::{Batch, Store, StoreOptions};
//! # let disk = std::sync::Arc::new(halodb_vfs::SimVfs::new());
//! # let store = Store::create(disk, "fruit".as_ref(), StoreOptions::default())?;
//! # let tree = store.apply(Batch::new().put("apple", "red").put("plum", "blue"))?;
//! # let root = tree.root().expect("not empty").page;
//! # let page = tree.snapshot().page(root)?;
//! let leaf = LeafPage::parse(page.body())?;
//! assert_eq!(leaf.len(), 2);
//! assert_eq!(leaf.key(1)?, b"plum");
//! assert_eq!(leaf.value(1)?, Value::Inline(b"blue"));
//! # Ok(()) }
//! ```

use crate::branch::{Branch, Child};
use crate::expiry::Expiry;
use crate::filter::Filters;
use crate::leaf::{Leaf, Place};
use crate::overflow::{self, Overflow, OverflowRef};
use crate::tree::root_shape;
use halodb_pager::inspect::Field;
use halodb_pager::{PageRef, Root};

/// A clause that says which rule a body breaks.
pub type Clause = &'static str;

/// The body of a leaf page.
#[derive(Clone, Copy, Debug)]
pub struct LeafPage<'a> {
    leaf: Leaf<'a>,
}

/// A value as a leaf holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// In the leaf.
    Inline(&'a [u8]),
    /// In an extent of its own.
    Overflow {
        /// The extent.
        at: PageRef,
        /// Length of the value in bytes.
        len: u32,
    },
}

impl<'a> LeafPage<'a> {
    /// Constant time: entries are checked when they are read.
    ///
    /// # Errors
    /// A clause.
    pub fn parse(body: &'a [u8]) -> Result<Self, Clause> {
        Leaf::parse(body).map(|leaf| LeafPage { leaf })
    }

    /// Number of entries; a leaf has one at least.
    #[expect(clippy::len_without_is_empty, reason = "a leaf is never empty")]
    pub fn len(&self) -> usize {
        self.leaf.len()
    }

    /// What all keys begin with.
    pub fn prefix(&self) -> &'a [u8] {
        self.leaf.prefix()
    }

    /// Bytes used of the body, as the page says.
    pub fn used(&self) -> usize {
        self.leaf.used()
    }

    /// The parts of the body, one behind the other; what follows the last one is not used.
    pub fn fields(&self) -> Vec<Field> {
        self.leaf.fields()
    }

    /// Whether the page says that a value of it is in an extent.
    pub fn states_overflow(&self) -> bool {
        self.leaf.overflow() == Overflow::Some
    }

    /// Bytes from one record to the next, if the page says that all have one length.
    pub fn stride(&self) -> Option<usize> {
        self.leaf.stride()
    }

    /// When the first of its entries expires, as the page says.
    ///
    /// # Errors
    /// A clause.
    pub fn least_expiry(&self) -> Result<Expiry, Clause> {
        self.leaf.least_expiry()
    }

    /// The key of entry `i`, at most as long as the body.
    ///
    /// # Errors
    /// A clause if the entry does not lie within the body, or its head, which holds the beginning of its key, goes on behind the end of it.
    pub fn key(&self, i: usize) -> Result<Vec<u8>, Clause> {
        let record = self.leaf.record(i)?;
        if !record.head_is_true() {
            return Err("the head of an entry is not that of its key");
        }
        Ok(self.leaf.key(&record))
    }

    /// When entry `i` expires.
    ///
    /// # Errors
    /// A clause.
    pub fn expiry(&self, i: usize) -> Result<Expiry, Clause> {
        self.leaf.expiry(i)
    }

    /// The value of entry `i`.
    ///
    /// # Errors
    /// A clause.
    pub fn value(&self, i: usize) -> Result<Value<'a>, Clause> {
        let record = self.leaf.record(i)?;
        match record.place {
            Place::Inline => Ok(Value::Inline(record.payload)),
            Place::Overflow => {
                OverflowRef::decode(record.payload).map(|OverflowRef { at, len }| Value::Overflow { at, len })
            }
        }
    }

    /// Number of the first entry whose key is not below `key`, and whether it is `key`, by the search that lookups use. What a
    /// leaf with unsorted keys answers is of no use.
    ///
    /// # Errors
    /// A clause if an entry on the way does not lie within the body.
    pub fn search(&self, key: &[u8]) -> Result<(usize, bool), Clause> {
        self.leaf.search(key)
    }
}

/// The body of a branch page.
#[derive(Clone, Copy, Debug)]
pub struct BranchPage<'a> {
    branch: Branch<'a>,
}

/// A child of a branch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChildInfo {
    /// Its page.
    pub at: PageRef,
    /// Entries in the leaves below it.
    pub entries: u64,
    /// Whether a value below it is in an extent.
    pub states_overflow: bool,
    /// When the first entry below it expires.
    pub expiry: Expiry,
}

impl<'a> BranchPage<'a> {
    /// Constant time: children and separators are checked when they are read.
    ///
    /// # Errors
    /// A clause.
    pub fn parse(body: &'a [u8]) -> Result<Self, Clause> {
        Branch::parse(body).map(|branch| BranchPage { branch })
    }

    /// Number of children; a branch has one at least.
    #[expect(clippy::len_without_is_empty, reason = "a branch is never empty")]
    pub fn len(&self) -> usize {
        self.branch.len()
    }

    /// Bytes used of the body, as the page says.
    pub fn used(&self) -> usize {
        self.branch.used()
    }

    /// The parts of the body, one behind the other; what follows the last one is not used.
    pub fn fields(&self) -> Vec<Field> {
        self.branch.fields()
    }

    /// The extent with the filters of the leaves below, if the page states one.
    pub fn filter(&self) -> Option<PageRef> {
        self.branch.filter()
    }

    /// Child `i`.
    ///
    /// # Errors
    /// A clause.
    pub fn child(&self, i: usize) -> Result<ChildInfo, Clause> {
        let Child { at, entries, overflow, expiry } = self.branch.child(i)?;
        Ok(ChildInfo { at, entries, states_overflow: overflow == Overflow::Some, expiry })
    }

    /// When the first entry below it expires, as the page says.
    ///
    /// # Errors
    /// A clause.
    pub fn least_expiry(&self) -> Result<Expiry, Clause> {
        self.branch.least_expiry()
    }

    /// The separator between the children `i` and `i + 1`.
    ///
    /// # Errors
    /// A clause.
    pub fn separator(&self, i: usize) -> Result<Vec<u8>, Clause> {
        let mut separator = Vec::new();
        self.branch.append_separator(i, &mut separator)?;
        Ok(separator)
    }

    /// Number of the child whose range holds `key`, by the search that lookups use.
    ///
    /// # Errors
    /// A clause if a separator on the way does not lie within the body.
    pub fn find(&self, key: &[u8]) -> Result<usize, Clause> {
        self.branch.find(key)
    }

    /// Number of the child that holds the entry with `rank` entries before it in this branch, if there are so many.
    pub fn find_rank(&self, rank: u64) -> Option<usize> {
        self.branch.find_rank(rank)
    }
}

/// The body of a filter extent.
#[derive(Clone, Copy, Debug)]
pub struct FilterPage<'a> {
    filters: Filters<'a>,
}

impl<'a> FilterPage<'a> {
    /// Constant time: filters are checked when they are asked for.
    ///
    /// # Errors
    /// A clause.
    pub fn parse(body: &'a [u8]) -> Result<Self, Clause> {
        Filters::parse(body).map(|filters| FilterPage { filters })
    }

    /// Number of leaves.
    pub fn len(&self) -> usize {
        self.filters.len()
    }

    /// No leaf.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The parts of the body, one behind the other.
    pub fn fields(&self) -> Vec<Field> {
        self.filters.fields()
    }

    /// The leaf, as a branch refers to it, whose keys filter `i` was built from.
    pub fn leaf(&self, i: usize) -> Option<PageRef> {
        self.filters.leaf(i)
    }

    /// The filter of child `i`, in the form that `halodb-bloom` reads, if it was built for exactly this writing of the leaf.
    pub fn get(&self, i: usize, leaf: PageRef) -> Option<&'a [u8]> {
        self.filters.get(i, leaf)
    }
}

/// What a root says of its tree: the number of entries, and of levels (1: the root is a leaf). `None` if it is none of a tree.
pub fn root(root: &Root) -> Option<(u64, u8)> {
    root_shape(root)
}

/// The field at the beginning of the body of an overflow extent; the value follows.
pub const OVERFLOW_FIELDS: [Field; 1] = [(0..8, "length of the value")];

/// The length of the value that the body of an overflow extent states, in bytes; `None` if the body is too short to say.
pub fn overflow_len(body: &[u8]) -> Option<u64> {
    crate::bytes::u64_at(body, 0)
}

/// The value in the body of an overflow extent; `len` is the length that the leaf states.
///
/// # Errors
/// A clause if the extent holds a value of another length, or ends before it.
pub fn overflow_value(body: &[u8], len: u32) -> Result<&[u8], Clause> {
    overflow::value(body, len)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::branch;
    use crate::filter;
    use crate::leaf::{self, RawEntry};
    use halodb_pager::{PageId, Stamp};

    fn page(id: u64) -> PageRef {
        PageRef { id: PageId(id), stamp: Stamp::new(1, 2), pages: 1 }
    }

    /// The fields stand one behind the other and cover what is used.
    fn check_fields(fields: &[Field], used: usize) {
        assert!(fields.windows(2).all(|pair| pair[0].0.end == pair[1].0.start), "{fields:?}");
        assert_eq!((fields[0].0.start, fields[fields.len() - 1].0.end), (0, used), "{fields:?}");
    }

    #[test]
    fn a_leaf_shows_its_entries_and_a_false_head_is_noticed() {
        let reference = OverflowRef { at: page(9), len: 5000 }.encode();
        let until = Expiry::at_ms(7000);
        let entries = [
            RawEntry { key: b"ab", expiry: Expiry::NEVER, place: Place::Inline, payload: b"1" },
            RawEntry { key: b"ac", expiry: until, place: Place::Overflow, payload: &reference },
        ];
        let mut body = Vec::new();
        leaf::encode(entries.into_iter(), &mut body);
        let leaf = LeafPage::parse(&body).unwrap();
        check_fields(&leaf.fields(), leaf.used());
        assert_eq!((leaf.len(), leaf.prefix(), leaf.states_overflow(), leaf.used()), (2, &b"a"[..], true, body.len()));
        assert_eq!((leaf.key(0).unwrap(), leaf.value(0)), (b"ab".to_vec(), Ok(Value::Inline(b"1"))));
        assert_eq!(leaf.value(1), Ok(Value::Overflow { at: page(9), len: 5000 }));
        assert_eq!((leaf.expiry(0), leaf.expiry(1), leaf.least_expiry()), (Ok(Expiry::NEVER), Ok(until), Ok(until)));
        assert_eq!(leaf.stride(), None);
        assert_eq!(leaf.search(b"ac"), Ok((1, true)));
        assert!(leaf.key(2).is_err() && leaf.value(2).is_err());
        // The head of the first key: `b` in its highest byte, and nothing else.
        body[16] ^= 1;
        assert!(LeafPage::parse(&body).unwrap().key(0).is_err());
    }

    #[test]
    fn a_branch_shows_its_children_and_separators() {
        let child = |id, entries| Child {
            at: page(id),
            entries,
            overflow: Overflow::None,
            expiry: Expiry::at_ms(entries % 10),
        };
        let mut body = Vec::new();
        branch::encode([(&b""[..], child(4, 10)), (b"m", child(5, 1))].into_iter(), Some(page(6)), &mut body);
        let branch = BranchPage::parse(&body).unwrap();
        check_fields(&branch.fields(), branch.used());
        assert_eq!((branch.len(), branch.used(), branch.filter()), (2, body.len(), Some(page(6))));
        let expiry = Expiry::at_ms(1);
        assert_eq!(branch.child(1), Ok(ChildInfo { at: page(5), entries: 1, states_overflow: false, expiry }));
        assert_eq!((branch.child(0).map(|child| child.expiry), branch.least_expiry()), (Ok(Expiry::NEVER), Ok(expiry)));
        assert_eq!(branch.separator(0), Ok(b"m".to_vec()));
        assert_eq!((branch.find(b"l"), branch.find(b"m")), (Ok(0), Ok(1)));
        assert_eq!((branch.find_rank(10), branch.find_rank(11)), (Some(1), None));
        assert!(branch.child(2).is_err() && branch.separator(1).is_err());
    }

    #[test]
    fn a_filter_extent_names_the_leaves_it_was_built_for() {
        let mut body = Vec::new();
        filter::encode([(page(4), &[1; 32][..]), (page(5), &[])].into_iter(), &mut body);
        let filters = FilterPage::parse(&body).unwrap();
        check_fields(&filters.fields(), body.len());
        assert_eq!((filters.len(), filters.leaf(1), filters.leaf(2)), (2, Some(page(5)), None));
        assert_eq!(filters.get(0, page(4)), Some(&[1; 32][..]));
        assert_eq!(filters.get(0, page(5)), None);
    }
}
