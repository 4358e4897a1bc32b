//! The body of a branch page: children with their entry counts, and the separators between them.
//!
//! | offset | type | what |
//! |---|---|---|
//! | 0 | u16 | number of children `n`, at least 1 |
//! | 2 | u16 | length of the separators' common prefix `p` |
//! | 4 | u16 | bytes used of the body |
//! | 6 | u16 | flags: 1 = a filter extent is stated |
//! | 8 | u64 | first page of the filter extent (level 1 only; else zero) |
//! | 16 | u64 | its stamp |
//! | 24 | u32 | its pages |
//! | 28 | u8 | bytes of an expiry `w`, at most 8; 0: nothing below expires |
//! | 29 | 3 bytes | zero |
//! | 32 | bytes | the common prefix, padded with zeros to a multiple of 8 |
//! | … | u64 × (n−1) | heads: the first 8 bytes of each separator's suffix, zero padded, as a number that orders like them |
//! | … | 24 bytes × n | children: page u64; stamp u64; u64 = entries in this child and all before it (lower 56 bits), flags (upper 8: 1 = some value below is in an overflow extent) |
//! | … | 8 + w·n | the least expiry below each child (`expiry.rs`); not if `w` is 0 |
//! | … | 4 bytes × (n−1) | of each separator: u16 length of its suffix, u16 offset of what the head does not hold |
//! | … | bytes | the suffixes beyond their heads |
//!
//! Child `i` holds the keys from separator `i − 1` on and below separator `i`. Entry counts are stored as running sums:
//! rank is then one subtraction per level and the i-th key one binary search per level. The column of expiries begins with
//! the least of the whole branch, so what a parent states of it is at hand; a branch of which nothing expires pays one byte.
//!
//! The level is in the page header. This file does not choose separators or children (`merge/` does).

use crate::bytes::{common_prefix_len, head8, head8_bytes, padded, u16_at, u32_at, u64_at};
use crate::error::Decoded;
use crate::expiry::{Bounds, Column, Expiry, MAX_COLUMN_LEN};
use crate::fields;
use crate::guess::{self, Guess};
use crate::overflow::Overflow;
use crate::page::{body_len, max_key_len};
use halodb_pager::inspect::Field;
use halodb_pager::{PageId, PageRef, Stamp};
use std::cmp::Ordering;

const COUNT: usize = 0;
const PREFIX_LEN: usize = 2;
const USED: usize = 4;
const FLAGS: usize = 6;
const FILTER_ID: usize = 8;
const FILTER_STAMP: usize = 16;
const FILTER_PAGES: usize = 24;
const EXPIRY_WIDTH: usize = 28;
const RESERVED: usize = 29;
/// Bytes before the prefix.
const HEADER_LEN: usize = 32;
const _: () = assert!(PREFIX_LEN == COUNT + 2 && USED == PREFIX_LEN + 2 && FLAGS == USED + 2);
const _: () = assert!(FILTER_ID == FLAGS + 2 && FILTER_STAMP == FILTER_ID + 8);
const _: () = assert!(FILTER_PAGES == FILTER_STAMP + 8 && EXPIRY_WIDTH == FILTER_PAGES + 4);
const _: () = assert!(RESERVED == EXPIRY_WIDTH + 1 && HEADER_LEN == RESERVED + 3);

const FLAG_FILTER: u16 = 1;
const PREFIX_ALIGN: usize = 8;
const HEAD_LEN: usize = 8;
const CHILD_LEN: usize = 24;
const CHILD_STAMP: usize = 8;
const CHILD_SUM: usize = 16;
const SLOT_LEN: usize = 4;
const SUM_BITS: u32 = 56;
const SUM_MASK: u64 = (1 << SUM_BITS) - 1;
const CHILD_OVERFLOW: u64 = 1 << SUM_BITS;

// Four children with the longest separators between them fit any page.
const _: () = {
    let mut page_size = halodb_pager::MIN_PAGE_SIZE;
    while page_size <= halodb_pager::MAX_PAGE_SIZE {
        let separator = HEAD_LEN + SLOT_LEN + max_key_len(page_size);
        let child = CHILD_LEN + MAX_COLUMN_LEN.1;
        let around = HEADER_LEN + PREFIX_ALIGN + MAX_COLUMN_LEN.0;
        assert!(around + 4 * child + 3 * separator <= body_len(page_size));
        page_size *= 2;
    }
};

/// What a branch knows about a child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Child {
    /// Its page.
    pub(crate) at: PageRef,
    /// Entries in the leaves below it, at least 1.
    pub(crate) entries: u64,
    /// Whether a value below it is in an overflow extent.
    pub(crate) overflow: Overflow,
    /// When the first entry below it expires.
    pub(crate) expiry: Expiry,
}

/// Bytes of a branch with `n` children, the expiries below them within `expiries`, before what the separators take beyond
/// their heads.
pub(crate) fn fixed_len(n: usize, prefix: usize, expiries: Bounds) -> usize {
    let separators = n.saturating_sub(1) * (HEAD_LEN + SLOT_LEN);
    HEADER_LEN + padded(prefix, PREFIX_ALIGN) + n * CHILD_LEN + separators + expiries.column_len(n)
}

/// Children on both sides of a guess that are asked for with it.
const CHILDREN_NEAR: usize = 2;

/// Bytes a separator of `len` bytes takes beyond its head.
pub(crate) fn rest_len(len: usize, prefix: usize) -> usize {
    len.saturating_sub(prefix + HEAD_LEN)
}

/// Replaces `out` by the body for `children`, each with the separator before it (the first one's is not stored).
pub(crate) fn encode<'a>(
    children: impl ExactSizeIterator<Item = (&'a [u8], Child)> + DoubleEndedIterator + Clone,
    filter: Option<PageRef>,
    out: &mut Vec<u8>,
) {
    out.clear();
    let n = children.len();
    let separators = || children.clone().skip(1).map(|(separator, _)| separator);
    let prefix = match (separators().next(), separators().next_back()) {
        (Some(first), Some(last)) => &first[..common_prefix_len(first, last)],
        _ => &[],
    };
    let p = prefix.len();
    let mut expiries = Bounds::default();
    children.clone().for_each(|(_, child)| expiries.add(child.expiry));
    out.extend_from_slice(&(n as u16).to_le_bytes());
    out.extend_from_slice(&(p as u16).to_le_bytes());
    out.extend_from_slice(&[0; 2]);
    out.extend_from_slice(&(if filter.is_some() { FLAG_FILTER } else { 0 }).to_le_bytes());
    let filter = filter.unwrap_or(PageRef { id: PageId(0), stamp: Stamp::from_raw(0), pages: 0 });
    out.extend_from_slice(&filter.id.0.to_le_bytes());
    out.extend_from_slice(&filter.stamp.raw().to_le_bytes());
    out.extend_from_slice(&filter.pages.to_le_bytes());
    out.extend_from_slice(&[expiries.width() as u8, 0, 0, 0]);
    out.extend_from_slice(prefix);
    out.resize(HEADER_LEN + padded(p, PREFIX_ALIGN), 0);
    for separator in separators() {
        out.extend_from_slice(&head8(&separator[p..]).to_le_bytes());
    }
    let mut sum = 0;
    for (_, child) in children.clone() {
        // Counts come from disk, too: a sum beyond its field must not spoil the flags.
        sum = (sum + child.entries.min(SUM_MASK)).min(SUM_MASK);
        let flags = if child.overflow == Overflow::Some { CHILD_OVERFLOW } else { 0 };
        out.extend_from_slice(&child.at.id.0.to_le_bytes());
        out.extend_from_slice(&child.at.stamp.raw().to_le_bytes());
        out.extend_from_slice(&(sum | flags).to_le_bytes());
    }
    expiries.encode(children.clone().map(|(_, child)| child.expiry), out);
    let mut offset = out.len() + SLOT_LEN * n.saturating_sub(1);
    for separator in separators() {
        out.extend_from_slice(&((separator.len() - p) as u16).to_le_bytes());
        out.extend_from_slice(&(offset as u16).to_le_bytes());
        offset += rest_len(separator.len(), p);
    }
    for separator in separators() {
        out.extend_from_slice(separator.get(p + HEAD_LEN..).unwrap_or(&[]));
    }
    let used = out.len() as u16;
    out[USED..USED + 2].copy_from_slice(&used.to_le_bytes());
}

/// A branch's body, its arrays checked against its length; what they point at is checked when it is read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Branch<'a> {
    body: &'a [u8],
    prefix: &'a [u8],
    heads: &'a [[u8; HEAD_LEN]],
    children: &'a [[u8; CHILD_LEN]],
    slots: &'a [[u8; SLOT_LEN]],
    expiries: Column,
}

impl<'a> Branch<'a> {
    /// Constant time, whatever the number of children.
    #[inline(always)]
    pub(crate) fn parse(body: &'a [u8]) -> Decoded<Branch<'a>> {
        const SHORT: &str = "a branch is shorter than its header says";
        let header: &[u8; HEADER_LEN] = body.first_chunk().ok_or(SHORT)?;
        let n = usize::from(u16::from_le_bytes([header[COUNT], header[COUNT + 1]]));
        let p = usize::from(u16::from_le_bytes([header[PREFIX_LEN], header[PREFIX_LEN + 1]]));
        if n == 0 {
            return Err("a branch has no child");
        }
        let heads_at = HEADER_LEN + padded(p, PREFIX_ALIGN);
        let children_at = heads_at + HEAD_LEN * (n - 1);
        let expiries_at = children_at + CHILD_LEN * n;
        let width = header[EXPIRY_WIDTH];
        let slots_at = expiries_at + Column::len(usize::from(width), n);
        let rests_at = slots_at + SLOT_LEN * (n - 1);
        Ok(Branch {
            body,
            prefix: body.get(HEADER_LEN..HEADER_LEN + p).ok_or(SHORT)?,
            heads: body.get(heads_at..children_at).ok_or(SHORT)?.as_chunks().0,
            children: body.get(children_at..expiries_at).ok_or(SHORT)?.as_chunks().0,
            slots: body.get(slots_at..rests_at).ok_or(SHORT)?.as_chunks().0,
            expiries: Column::new(width, expiries_at)?,
        })
    }

    /// Number of children, at least 1.
    pub(crate) fn len(&self) -> usize {
        self.children.len()
    }

    /// Bytes used of the body, as its header says.
    pub(crate) fn used(&self) -> usize {
        usize::from(u16_at(self.body, USED).unwrap_or(0))
    }

    /// The parts of the body, as far as it is used.
    pub(crate) fn fields(&self) -> Vec<Field> {
        let width = self.body.get(EXPIRY_WIDTH).map_or(0, |width| usize::from(*width));
        let heads = HEADER_LEN + padded(self.prefix.len(), PREFIX_ALIGN);
        let children = heads + HEAD_LEN * self.heads.len();
        let expiries = children + CHILD_LEN * self.children.len();
        let slots = expiries + Column::len(width, self.children.len());
        let ends = [
            (PREFIX_LEN, "number of children"),
            (USED, "length of the common prefix"),
            (FLAGS, "bytes used"),
            (FILTER_ID, "flags"),
            (FILTER_STAMP, "page of the filters"),
            (FILTER_PAGES, "its stamp"),
            (EXPIRY_WIDTH, "its pages"),
            (RESERVED, "bytes of an expiry"),
            (HEADER_LEN, "zero"),
            (heads, "common prefix"),
            (children, "heads"),
            (expiries, "children"),
            (slots, "least expiries"),
            (slots + SLOT_LEN * self.slots.len(), "lengths and offsets of separators"),
            (self.used(), "separators beyond their heads"),
        ];
        fields::up_to(self.body.len(), &ends)
    }

    /// Where the filters of the children are.
    pub(crate) fn filter(&self) -> Option<PageRef> {
        if u16_at(self.body, FLAGS)? & FLAG_FILTER == 0 {
            return None;
        }
        Some(PageRef {
            id: PageId(u64_at(self.body, FILTER_ID)?),
            stamp: Stamp::from_raw(u64_at(self.body, FILTER_STAMP)?),
            pages: u32_at(self.body, FILTER_PAGES)?,
        })
    }

    fn sum_and_flags(&self, i: usize) -> u64 {
        self.children.get(i).and_then(|child| u64_at(child, CHILD_SUM)).unwrap_or(0)
    }

    /// Entries in the children before child `i`; `i` may be the number of children.
    pub(crate) fn entries_before(&self, i: usize) -> u64 {
        if i == 0 { 0 } else { self.sum_and_flags(i - 1) & SUM_MASK }
    }

    /// Child `i`.
    #[inline(always)]
    pub(crate) fn child(&self, i: usize) -> Decoded<Child> {
        let child = self.children.get(i).ok_or("a child number is beyond the branch")?;
        let word = |at| u64_at(child, at).unwrap_or(0);
        let sum = self.sum_and_flags(i);
        let entries = (sum & SUM_MASK).checked_sub(self.entries_before(i)).filter(|&entries| entries > 0);
        Ok(Child {
            at: PageRef { id: PageId(word(0)), stamp: Stamp::from_raw(word(CHILD_STAMP)), pages: 1 },
            entries: entries.ok_or("the entry counts of a branch do not rise")?,
            overflow: if sum & CHILD_OVERFLOW == 0 { Overflow::None } else { Overflow::Some },
            expiry: self.expiries.get(self.body, i)?,
        })
    }

    /// When the first entry below expires, as the branch states it.
    pub(crate) fn least_expiry(&self) -> Decoded<Expiry> {
        self.expiries.least(self.body)
    }

    /// Length of the suffix of separator `i` and its bytes beyond the head.
    fn rest(&self, i: usize) -> Decoded<(usize, &'a [u8])> {
        let slot = self.slots.get(i).ok_or("a separator number is beyond the branch")?;
        let len = usize::from(u16_at(slot, 0).unwrap_or(0));
        let offset = usize::from(u16_at(slot, 2).unwrap_or(0));
        let rest = self.body.get(offset..offset + len.saturating_sub(HEAD_LEN));
        Ok((len, rest.ok_or("a separator does not lie within its branch")?))
    }

    /// Appends separator `i` (between the children `i` and `i + 1`) to `out`.
    pub(crate) fn append_separator(&self, i: usize, out: &mut Vec<u8>) -> Decoded<()> {
        let (len, rest) = self.rest(i)?;
        out.extend_from_slice(self.prefix);
        out.extend_from_slice(&head8_bytes(self.head(i))[..len.min(HEAD_LEN)]);
        out.extend_from_slice(rest);
        Ok(())
    }

    /// Whether the head of separator `i` holds nothing but the separator: zeros behind one that is shorter.
    pub(crate) fn head_is_true(&self, i: usize) -> bool {
        let len = self.rest(i).map_or(HEAD_LEN, |(len, _)| len.min(HEAD_LEN));
        self.heads
            .get(i)
            .is_some_and(|head| head8_bytes(u64::from_le_bytes(*head))[len..].iter().all(|&byte| byte == 0))
    }

    /// The head of separator `i`, which must be one.
    fn head(&self, i: usize) -> u64 {
        u64::from_le_bytes(self.heads[i])
    }

    /// The child whose range holds `key`: the number of separators not above it.
    #[inline(always)]
    pub(crate) fn find(&self, key: &[u8]) -> Decoded<usize> {
        self.find_by(key, |head| self.lower_head(head))
    }

    /// As [`Branch::find`], for a key whose child is expected near this one.
    #[inline(always)]
    pub(crate) fn find_near(&self, key: &[u8], near: usize) -> Decoded<usize> {
        self.find_by(key, |head| {
            let found = guess::lower_near(self.heads.len(), near, head, |i| self.head(i));
            found.unwrap_or_else(|| self.lower_head(head))
        })
    }

    /// `lower` says how many heads are below a head.
    #[inline(always)]
    fn find_by(&self, key: &[u8], lower: impl FnOnce(u64) -> usize) -> Decoded<usize> {
        let shared = self.prefix.len().min(key.len());
        let suffix = match key[..shared].cmp(self.prefix) {
            Ordering::Equal => &key[shared..],
            Ordering::Less => return Ok(0),
            Ordering::Greater => return Ok(self.heads.len()),
        };
        let head = head8(suffix);
        let mut low = lower(head);
        if self.heads.get(low).is_none_or(|h| u64::from_le_bytes(*h) != head) {
            return Ok(low);
        }
        let mut high = low + self.heads[low..].partition_point(|h| u64::from_le_bytes(*h) <= head);
        while low < high {
            let middle = low + (high - low) / 2;
            if self.compare_tied(middle, suffix)? == Ordering::Greater {
                high = middle;
            } else {
                low = middle + 1;
            }
        }
        Ok(low)
    }

    /// Where `key` is to be expected in child `i`, from the separators around that. `None` where there is nothing to guess from.
    #[inline]
    pub(crate) fn guess(&self, i: usize, key: &[u8]) -> Option<Guess> {
        let (from, to) = (self.heads.get(i.checked_sub(1)?)?, self.heads.get(i)?);
        let head = head8(key.get(self.prefix.len()..)?);
        Guess::between(u64::from_le_bytes(*from), u64::from_le_bytes(*to), head, self.prefix.len())
    }

    /// The child that a guess amounts to.
    #[inline]
    pub(crate) fn near(&self, guess: Guess) -> usize {
        guess.of(self.children.len())
    }

    /// Where the bytes are that a search near a child reads: the heads, from and to, and the children.
    #[inline]
    pub(crate) fn spans_near(&self, near: usize) -> [(usize, usize); 2] {
        let heads_at = HEADER_LEN + padded(self.prefix.len(), PREFIX_ALIGN);
        let children_at = heads_at + HEAD_LEN * self.heads.len();
        let span =
            |at: usize, len: usize, reach: usize| (at + len * near.saturating_sub(reach), at + len * (near + reach));
        [span(heads_at, HEAD_LEN, guess::REACH), span(children_at, CHILD_LEN, CHILDREN_NEAR)]
    }

    /// Orders separator `i` against a suffix with the same head.
    fn compare_tied(&self, i: usize, suffix: &[u8]) -> Decoded<Ordering> {
        let (len, rest) = self.rest(i)?;
        Ok(match suffix.get(HEAD_LEN..) {
            Some(other) if len >= HEAD_LEN => rest.cmp(other),
            // One of the two ends within the head, and the other goes on with zeros there: the shorter is a prefix.
            _ => len.cmp(&suffix.len()),
        })
    }

    /// Number of heads below `head`; branch-free as in `leaf/mod.rs`.
    #[inline(always)]
    fn lower_head(&self, head: u64) -> usize {
        if self.heads.is_empty() {
            return 0;
        }
        let mut base = 0;
        let mut size = self.heads.len();
        while size > 1 {
            let half = size / 2;
            base += usize::from(self.head(base + half - 1) < head) * half;
            size -= half;
        }
        base + usize::from(self.head(base) < head)
    }

    /// The child that holds the entry with `rank` entries before it in this branch, if there are so many.
    pub(crate) fn find_rank(&self, rank: u64) -> Option<usize> {
        let sum = |child: &[u8; CHILD_LEN]| u64_at(child, CHILD_SUM).unwrap_or(0) & SUM_MASK;
        let i = self.children.partition_point(|child| sum(child) <= rank);
        (i < self.len()).then_some(i)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn child(i: usize) -> Child {
        Child {
            at: PageRef { id: PageId(100 + i as u64), stamp: Stamp::new(2, i as u64), pages: 1 },
            entries: 1 + i as u64 % 7,
            overflow: if i.is_multiple_of(3) { Overflow::Some } else { Overflow::None },
            expiry: Expiry::NEVER,
        }
    }

    /// Every other child has something that expires below it.
    fn expiring(i: usize) -> Child {
        let expiry = if i % 2 == 1 { Expiry::at_ms(1_000_000 + i as u64 * 100) } else { Expiry::NEVER };
        Child { expiry, ..child(i) }
    }

    fn body(separators: &BTreeSet<Vec<u8>>, child: fn(usize) -> Child, filter: Option<PageRef>) -> Vec<u8> {
        let mut items: Vec<(&[u8], Child)> = vec![(b"not stored", child(0))];
        items.extend(separators.iter().enumerate().map(|(i, s)| (s.as_slice(), child(i + 1))));
        let mut out = Vec::new();
        encode(items.iter().copied(), filter, &mut out);
        out
    }

    fn check_all(separators: &BTreeSet<Vec<u8>>, probes: impl Iterator<Item = Vec<u8>>) {
        let probes: Vec<_> = probes.chain(separators.iter().cloned()).collect();
        for child in [child, expiring] {
            check_children(separators, &probes, child);
        }
    }

    fn check_children(separators: &BTreeSet<Vec<u8>>, probes: &[Vec<u8>], child: fn(usize) -> Child) {
        let body = body(separators, child, None);
        let branch = Branch::parse(&body).unwrap();
        assert_eq!(branch.len(), separators.len() + 1);
        assert_eq!(branch.used(), body.len());
        for probe in probes {
            let expected = separators.iter().filter(|s| *s <= probe).count();
            assert_eq!(branch.find(probe), Ok(expected), "{probe:?} in {separators:?}");
        }
        let least = (0..branch.len()).fold(Expiry::NEVER, |least, i| least.earlier(child(i).expiry));
        assert_eq!(branch.least_expiry(), Ok(least));
        let mut before = 0;
        for i in 0..branch.len() {
            assert_eq!(branch.child(i), Ok(child(i)));
            assert_eq!(branch.entries_before(i), before);
            assert_eq!(branch.find_rank(before), Some(i));
            before += child(i).entries;
            assert_eq!(branch.find_rank(before - 1), Some(i));
        }
        assert_eq!(branch.find_rank(before), None);
        for (i, separator) in separators.iter().enumerate() {
            let mut out = Vec::new();
            branch.append_separator(i, &mut out).unwrap();
            assert_eq!(&out, separator);
        }
    }

    fn set(keys: &[&[u8]]) -> BTreeSet<Vec<u8>> {
        keys.iter().map(|k| k.to_vec()).collect()
    }

    #[test]
    fn separators_that_share_a_head_are_told_apart() {
        let separators = set(&[
            b"a",
            b"a\0",
            b"a\0\0\0\0\0\0\0",
            b"a\0\0\0\0\0\0\0\0",
            b"a\0\0\0\0\0\0\0\0\0",
            b"a\0\0\0\0\0\0\0x",
            b"b",
        ]);
        check_all(
            &separators,
            [&b""[..], b"a\0\0", b"a\0\0\0\0\0\0\0w", b"a\0\0\0\0\0\0\0y", b"c"].map(Vec::from).into_iter(),
        );
    }

    #[test]
    fn one_child_and_two_children_work() {
        check_all(&set(&[]), [vec![], vec![5]].into_iter());
        check_all(
            &set(&[b"middle of the road"]),
            [&b""[..], b"middle", b"n", b"middle of the roae"].map(Vec::from).into_iter(),
        );
    }

    #[test]
    fn a_head_that_goes_on_behind_its_separator_is_noticed() {
        let mut body = body(&set(&[b"ab", b"abcdefghi"]), child, None);
        assert_eq!(
            Branch::parse(&body).map(|branch| (branch.head_is_true(0), branch.head_is_true(1))),
            Ok((true, true))
        );
        // Behind the common prefix the first one is empty: any byte of its head is too much.
        body[32 + 8] = 1;
        assert_eq!(
            Branch::parse(&body).map(|branch| (branch.head_is_true(0), branch.head_is_true(1))),
            Ok((false, true))
        );
    }

    #[test]
    fn the_filter_reference_comes_back() {
        let filter = PageRef { id: PageId(77), stamp: Stamp::new(1, 5), pages: 3 };
        let body = body(&set(&[b"m"]), child, Some(filter));
        assert_eq!(Branch::parse(&body).unwrap().filter(), Some(filter));
    }

    #[test]
    fn the_length_is_what_was_computed_beforehand() {
        let separators = set(&[b"common/aa", b"common/ab", b"common/with a longer tail", b"common/z"]);
        let p = 7;
        let rest: usize = separators.iter().map(|s| rest_len(s.len(), p)).sum();
        let mut expiries = Bounds::default();
        assert_eq!(body(&separators, child, None).len(), fixed_len(5, p, expiries) + rest);
        (0..5).for_each(|i| expiries.add(expiring(i).expiry));
        assert_eq!(body(&separators, expiring, None).len(), fixed_len(5, p, expiries) + rest);
        assert_eq!(expiries.column_len(5), 8 + 5);
    }

    proptest! {
        #[test]
        fn find_agrees_with_a_sorted_set(
            keys in prop::collection::btree_set(prop::collection::vec(prop::sample::select(vec![0u8, 1, 97, 255]), 1..14), 0..60),
            probes in prop::collection::vec(prop::collection::vec(prop::sample::select(vec![0u8, 1, 97, 255]), 0..14), 20),
            shared in prop::collection::vec(any::<u8>(), 0..20),
        ) {
            let glue = |k: &Vec<u8>| [&shared[..], k].concat();
            let keys: BTreeSet<Vec<u8>> = keys.iter().map(glue).collect();
            check_all(&keys, probes.iter().map(glue).chain(probes.iter().cloned()));
        }

        #[test]
        fn any_bytes_give_children_or_an_error(mut bytes: Vec<u8>, count in 0u16..5, prefix in 0u16..20, width in 0u8..10, key: Vec<u8>) {
            for honest in [false, true] {
                if honest && bytes.len() >= 4 {
                    bytes[..2].copy_from_slice(&count.to_le_bytes());
                    bytes[2..4].copy_from_slice(&prefix.to_le_bytes());
                    bytes.get_mut(EXPIRY_WIDTH).into_iter().for_each(|byte| *byte = width);
                }
                if let Ok(branch) = Branch::parse(&bytes) {
                    let _ = branch.find(&key);
                    let _ = (branch.filter(), branch.least_expiry());
                    let _ = branch.find_rank(7);
                    for i in 0..branch.len() {
                        let _ = branch.child(i);
                        let _ = branch.append_separator(i, &mut Vec::new());
                    }
                }
            }
        }
    }
}
