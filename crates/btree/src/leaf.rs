//! The body of a leaf page: sorted entries under a common prefix, found through an array of key heads.
//!
//! | offset | type | what |
//! |---|---|---|
//! | 0 | u16 | number of entries `n`, at least 1 |
//! | 2 | u16 | length of the common prefix `p` |
//! | 4 | u16 | bytes used of the body |
//! | 6 | u16 | flags: 1 = at least one value is in an overflow extent |
//! | 8 | bytes | the common prefix of all keys, padded with zeros to a multiple of 4 |
//! | 8 + pad4(p) | u32 × n | heads: the first 4 bytes of each key's suffix, zero padded, as a number that orders like them |
//! | … | u16 × n | offset of each record in the body |
//! | … | records | in key order |
//!
//! A record: varint length of the suffix (the key after the prefix); varint `2·length` of an inline value, or `1` for
//! an overflow reference; the suffix; the value or the 24-byte reference (`overflow.rs`).
//!
//! A search reads the header, the heads by binary search, and usually one record: two cache misses instead of one per
//! probe. Heads that are equal prove nothing (`a` and `a\0` share one), so ties are settled on the suffixes.
//!
//! The greatest entry takes less than half a leaf, whatever its key shares with others: a leaf holds two entries at
//! least. This file does not choose which entries share a leaf (`merge/` does).

use crate::bytes::{common_prefix_len, head4, padded, put_varint, u16_at, varint, varint_len};
use crate::error::Decoded;
use crate::overflow::{self, Overflow, OverflowRef};
use crate::page::{body_len, max_key_len};
use std::cmp::Ordering;

const COUNT: usize = 0;
const PREFIX_LEN: usize = 2;
const USED: usize = 4;
const FLAGS: usize = 6;
/// Bytes before the prefix.
pub(crate) const HEADER_LEN: usize = 8;
const _: () = assert!(PREFIX_LEN == COUNT + 2 && USED == PREFIX_LEN + 2 && FLAGS == USED + 2);
const _: () = assert!(HEADER_LEN == FLAGS + 2);

const FLAG_OVERFLOW: u16 = 1;
const PREFIX_ALIGN: usize = 4;
const HEAD_LEN: usize = 4;
const OFFSET_LEN: usize = 2;
/// Bytes of an entry outside its record.
const SLOT_LEN: usize = HEAD_LEN + OFFSET_LEN;
/// A record's two varints at most: key and inline value stay below 2²⁰.
const VARINTS_LEN: usize = 6;
const OVERFLOW_MARK: u32 = 1;

/// Longest value that is stored in the leaf with a key of `key_len` bytes: a quarter page, and less where two such
/// entries would not fit a leaf.
pub(crate) const fn inline_limit(page_size: u32, key_len: usize) -> usize {
    let half = (body_len(page_size) - HEADER_LEN - (PREFIX_ALIGN - 1)) / 2;
    let left = half.saturating_sub(SLOT_LEN + VARINTS_LEN + key_len);
    let quarter = page_size as usize / 4;
    if left < quarter { left } else { quarter }
}

// Two entries with the longest key fit any page, inline (by the definition above) or by reference.
const _: () = {
    let mut page_size = halodb_pager::MIN_PAGE_SIZE;
    while page_size <= halodb_pager::MAX_PAGE_SIZE {
        let key = max_key_len(page_size);
        assert!(key + page_size as usize / 4 < 1 << 20);
        assert!(inline_limit(page_size, key) >= overflow::REF_LEN);
        let entry = SLOT_LEN + VARINTS_LEN + key + overflow::REF_LEN;
        assert!(HEADER_LEN + PREFIX_ALIGN - 1 + 3 * entry <= body_len(page_size));
        page_size *= 2;
    }
};

/// An entry to encode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RawEntry<'a> {
    /// The whole key.
    pub(crate) key: &'a [u8],
    /// Where the value is.
    pub(crate) place: Place,
    /// The value, or the encoded [`OverflowRef`].
    pub(crate) payload: &'a [u8],
}

/// Where a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// In the record.
    Inline,
    /// In an extent that the record refers to.
    Overflow,
}

/// Bytes an entry takes when nothing of its key is in the prefix; `prefix` bytes less otherwise.
pub(crate) fn entry_len(entry: &RawEntry<'_>) -> usize {
    SLOT_LEN
        + varint_len(entry.key.len() as u32)
        + varint_len(value_mark(entry))
        + entry.key.len()
        + entry.payload.len()
}

/// Bytes of a body with `entries` entries that a search reads before it knows a record: header, heads and offsets, if the prefix
/// is short.
pub(crate) fn search_len(entries: u64) -> usize {
    HEADER_LEN + usize::try_from(entries).unwrap_or(usize::MAX).saturating_mul(SLOT_LEN)
}

/// Bytes before the slots.
#[inline]
pub(crate) fn fixed_len(prefix: usize) -> usize {
    HEADER_LEN + padded(prefix, PREFIX_ALIGN)
}

fn value_mark(entry: &RawEntry<'_>) -> u32 {
    match entry.place {
        Place::Inline => 2 * entry.payload.len() as u32,
        Place::Overflow => OVERFLOW_MARK,
    }
}

/// Replaces `out` by the body for `entries`: at least one, strictly ascending, together small enough for the page.
pub(crate) fn encode<'a>(
    entries: impl ExactSizeIterator<Item = RawEntry<'a>> + DoubleEndedIterator + Clone,
    out: &mut Vec<u8>,
) {
    out.clear();
    let n = entries.len();
    let (Some(first), Some(last)) = (entries.clone().next(), entries.clone().next_back()) else {
        return;
    };
    let p = common_prefix_len(first.key, last.key);
    let overflows = entries.clone().any(|e| e.place == Place::Overflow);
    out.extend_from_slice(&(n as u16).to_le_bytes());
    out.extend_from_slice(&(p as u16).to_le_bytes());
    out.extend_from_slice(&[0; 2]);
    out.extend_from_slice(&(if overflows { FLAG_OVERFLOW } else { 0 }).to_le_bytes());
    out.extend_from_slice(&first.key[..p]);
    out.resize(fixed_len(p), 0);
    for entry in entries.clone() {
        out.extend_from_slice(&head4(&entry.key[p..]).to_le_bytes());
    }
    let offsets = out.len();
    out.resize(offsets + OFFSET_LEN * n, 0);
    for (i, entry) in entries.enumerate() {
        let at = offsets + OFFSET_LEN * i;
        let record = out.len() as u16;
        out[at..at + OFFSET_LEN].copy_from_slice(&record.to_le_bytes());
        put_varint(out, (entry.key.len() - p) as u32);
        put_varint(out, value_mark(&entry));
        out.extend_from_slice(&entry.key[p..]);
        out.extend_from_slice(entry.payload);
    }
    let used = out.len() as u16;
    out[USED..USED + 2].copy_from_slice(&used.to_le_bytes());
}

/// A record of a leaf.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Record<'a> {
    /// The key after the leaf's prefix.
    pub(crate) suffix: &'a [u8],
    /// Where the value is.
    pub(crate) place: Place,
    /// The value, or the encoded [`OverflowRef`].
    pub(crate) payload: &'a [u8],
}

impl Record<'_> {
    /// The reference, if the value is in an extent.
    pub(crate) fn overflow(&self) -> Decoded<Option<OverflowRef>> {
        match self.place {
            Place::Inline => Ok(None),
            Place::Overflow => OverflowRef::decode(self.payload).map(Some),
        }
    }
}

const BAD_RECORD: &str = "a record of a leaf does not lie within it";

/// Where a record's parts are in the body of its leaf, which they lie within.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    suffix: usize,
    payload: usize,
    end: usize,
    place: Place,
}

impl Span {
    /// The record at an offset of the body, its bounds checked.
    #[inline]
    fn decode(body: &[u8], at: usize) -> Decoded<Span> {
        let rest = body.get(at..).ok_or(BAD_RECORD)?;
        let (suffix_len, a) = varint(rest).ok_or(BAD_RECORD)?;
        let (mark, b) = varint(&rest[a..]).ok_or(BAD_RECORD)?;
        let (place, len) = match mark {
            OVERFLOW_MARK => (Place::Overflow, overflow::REF_LEN),
            mark if mark % 2 == 0 => (Place::Inline, (mark / 2) as usize),
            _ => return Err("a record of a leaf is of an unknown kind"),
        };
        let suffix = at + a + b;
        let payload = suffix.saturating_add(suffix_len as usize);
        let end = payload.saturating_add(len);
        if end > body.len() {
            return Err(BAD_RECORD);
        }
        Ok(Span { suffix, payload, end, place })
    }

    /// The record itself; `body` must be the one that this was decoded from.
    #[inline]
    pub(crate) fn record<'a>(&self, body: &'a [u8]) -> Decoded<Record<'a>> {
        let bytes = body.get(self.suffix..self.end).ok_or(BAD_RECORD)?;
        let (suffix, payload) = bytes.split_at_checked(self.payload - self.suffix).ok_or(BAD_RECORD)?;
        Ok(Record { suffix, place: self.place, payload })
    }
}

/// Where the records of a parsed leaf are found: what a cursor keeps in order to step without parsing the leaf again.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layout {
    offsets: usize,
    len: usize,
}

impl Layout {
    /// Number of entries, at least 1.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Where the record of entry `i` begins: a hint, checked by whoever reads there.
    #[inline]
    pub(crate) fn offset(&self, body: &[u8], i: usize) -> Option<usize> {
        u16_at(body, self.offsets + OFFSET_LEN * i).map(usize::from)
    }

    /// Where entry `i` is; `body` must be that of the leaf.
    #[inline]
    pub(crate) fn span(&self, body: &[u8], i: usize) -> Decoded<Span> {
        let at = u16_at(body, self.offsets + OFFSET_LEN * i).filter(|_| i < self.len);
        Span::decode(body, usize::from(at.ok_or("an entry number is beyond the leaf")?))
    }
}

/// A leaf's body, its arrays checked against its length; records are checked when they are read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Leaf<'a> {
    body: &'a [u8],
    prefix: &'a [u8],
    heads: &'a [[u8; HEAD_LEN]],
    offsets: &'a [[u8; OFFSET_LEN]],
}

impl<'a> Leaf<'a> {
    /// Constant time, whatever the number of entries.
    #[inline]
    pub(crate) fn parse(body: &'a [u8]) -> Decoded<Leaf<'a>> {
        const SHORT: &str = "a leaf is shorter than its header says";
        let n = usize::from(u16_at(body, COUNT).ok_or(SHORT)?);
        let p = usize::from(u16_at(body, PREFIX_LEN).ok_or(SHORT)?);
        if n == 0 {
            return Err("a leaf holds no entry");
        }
        let heads_at = fixed_len(p);
        let offsets_at = heads_at + HEAD_LEN * n;
        let records_at = offsets_at + OFFSET_LEN * n;
        let prefix = body.get(HEADER_LEN..HEADER_LEN + p).ok_or(SHORT)?;
        let heads = body.get(heads_at..offsets_at).ok_or(SHORT)?.as_chunks().0;
        let offsets = body.get(offsets_at..records_at).ok_or(SHORT)?.as_chunks().0;
        Ok(Leaf { body, prefix, heads, offsets })
    }

    /// Number of entries, at least 1.
    pub(crate) fn len(&self) -> usize {
        self.heads.len()
    }

    /// What all keys begin with.
    pub(crate) fn prefix(&self) -> &'a [u8] {
        self.prefix
    }

    /// Whether at least one value is in an overflow extent.
    pub(crate) fn overflow(&self) -> Overflow {
        let some = u16_at(self.body, FLAGS).is_some_and(|flags| flags & FLAG_OVERFLOW != 0);
        if some { Overflow::Some } else { Overflow::None }
    }

    /// Bytes used of the body, as its header says.
    pub(crate) fn used(&self) -> usize {
        usize::from(u16_at(self.body, USED).unwrap_or(0))
    }

    /// Entry `i`, its bounds checked.
    #[inline]
    pub(crate) fn record(&self, i: usize) -> Decoded<Record<'a>> {
        let at = self.offsets.get(i).ok_or("an entry number is beyond the leaf")?;
        Span::decode(self.body, usize::from(u16::from_le_bytes(*at)))?.record(self.body)
    }

    /// What to keep for reading records without this.
    #[inline]
    pub(crate) fn layout(&self) -> Layout {
        Layout { offsets: fixed_len(self.prefix.len()) + HEAD_LEN * self.len(), len: self.len() }
    }

    /// The head of entry `i`, which must be below [`Leaf::len`].
    fn head(&self, i: usize) -> u32 {
        u32::from_le_bytes(self.heads[i])
    }

    /// Whether the head of entry `i` is that of its record.
    pub(crate) fn head_is_true(&self, i: usize, record: &Record<'_>) -> bool {
        self.heads.get(i).is_some_and(|head| u32::from_le_bytes(*head) == head4(record.suffix))
    }

    /// Number of the first key not below `key`, and whether it is `key`.
    pub(crate) fn search(&self, key: &[u8]) -> Decoded<(usize, bool)> {
        let shared = self.prefix.len().min(key.len());
        let suffix = match key[..shared].cmp(self.prefix) {
            Ordering::Equal => &key[shared..],
            Ordering::Less => return Ok((0, false)),
            Ordering::Greater => return Ok((self.len(), false)),
        };
        let head = head4(suffix);
        let mut low = self.lower_head(head);
        let tied = |i: usize| self.heads.get(i).is_some_and(|h| u32::from_le_bytes(*h) == head);
        let mut high = match (tied(low), tied(low + 1)) {
            (false, _) => return Ok((low, false)),
            (true, false) => low + 1,
            (true, true) => low + self.heads[low..].partition_point(|h| u32::from_le_bytes(*h) <= head),
        };
        while low < high {
            let middle = low + (high - low) / 2;
            match self.record(middle)?.suffix.cmp(suffix) {
                Ordering::Less => low = middle + 1,
                Ordering::Equal => return Ok((middle, true)),
                Ordering::Greater => high = middle,
            }
        }
        Ok((low, false))
    }

    /// Number of the entry that has `key`, or comes next, if no two entries have the same head; reads no record. A hint.
    pub(crate) fn likely(&self, key: &[u8]) -> usize {
        key.strip_prefix(self.prefix).map_or(0, |suffix| self.lower_head(head4(suffix)))
    }

    /// Number of heads below `head`. No branch depends on the data, so nothing is mispredicted.
    fn lower_head(&self, head: u32) -> usize {
        let mut base = 0;
        let mut size = self.heads.len();
        while size > 1 {
            let half = size / 2;
            base += usize::from(self.head(base + half - 1) < head) * half;
            size -= half;
        }
        base + usize::from(self.head(base) < head)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use halodb_pager::{PageId, PageRef, Stamp};
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn body(keys: &BTreeSet<Vec<u8>>) -> Vec<u8> {
        let mut out = Vec::new();
        let entries: Vec<_> =
            keys.iter().map(|k| RawEntry { key: k, place: Place::Inline, payload: &k[..k.len() / 2] }).collect();
        encode(entries.iter().copied(), &mut out);
        out
    }

    fn check_search(keys: &BTreeSet<Vec<u8>>, probe: &[u8]) {
        let body = body(keys);
        let leaf = Leaf::parse(&body).unwrap();
        let expected = (keys.iter().filter(|k| k.as_slice() < probe).count(), keys.contains(probe));
        assert_eq!(leaf.search(probe), Ok(expected), "{probe:?} in {keys:?}");
    }

    fn set(keys: &[&[u8]]) -> BTreeSet<Vec<u8>> {
        keys.iter().map(|k| k.to_vec()).collect()
    }

    #[test]
    fn keys_that_share_a_head_are_told_apart() {
        let keys = set(&[b"a", b"a\0", b"a\0\0", b"a\0\0\0", b"a\0\0\0\0", b"a\0\0\0\0\0", b"a\0\0\0x", b"ab"]);
        for key in &keys {
            check_search(&keys, key);
        }
        check_search(&keys, b"");
        check_search(&keys, b"a\0\0\0\0\0\0");
        check_search(&keys, b"a\0\0\0w");
        check_search(&keys, b"b");
    }

    #[test]
    fn a_probe_outside_the_common_prefix_goes_to_either_end() {
        let keys = set(&[b"table/row/1", b"table/row/2", b"table/row/20"]);
        for probe in [&b""[..], b"t", b"table/row/", b"table/ro", b"table/rp", b"table/row0", b"u", b"\xff"] {
            check_search(&keys, probe);
        }
    }

    #[test]
    fn a_leaf_of_one_entry_has_its_whole_key_as_prefix() {
        let keys = set(&[b"only"]);
        let body = body(&keys);
        assert_eq!(Leaf::parse(&body).unwrap().prefix(), b"only");
        for probe in [&b""[..], b"onl", b"only", b"only\0", b"p"] {
            check_search(&keys, probe);
        }
    }

    #[test]
    fn references_and_their_flag_come_back() {
        let reference = OverflowRef { at: PageRef { id: PageId(3), stamp: Stamp::new(1, 2), pages: 4 }, len: 9999 };
        let encoded = reference.encode();
        let mut out = Vec::new();
        encode(
            [
                RawEntry { key: b"k1", place: Place::Inline, payload: b"" },
                RawEntry { key: b"k2", place: Place::Overflow, payload: &encoded },
            ]
            .into_iter(),
            &mut out,
        );
        let leaf = Leaf::parse(&out).unwrap();
        assert_eq!(leaf.overflow(), Overflow::Some);
        assert_eq!(leaf.used(), out.len());
        assert_eq!(leaf.record(0).unwrap().overflow(), Ok(None));
        assert_eq!(leaf.record(0).unwrap().payload, b"");
        assert_eq!(leaf.record(1).unwrap().overflow(), Ok(Some(reference)));
        assert!(leaf.record(2).is_err());
    }

    #[test]
    fn two_of_the_greatest_entries_fit_every_page_size() {
        for page_size in [4096u32, 8192, 16384, 32768, 65536] {
            let key_len = max_key_len(page_size);
            let value = vec![7; inline_limit(page_size, key_len)];
            let (a, b) = (vec![1; key_len], vec![2; key_len]);
            let mut out = Vec::new();
            encode([&a, &b].into_iter().map(|key| RawEntry { key, place: Place::Inline, payload: &value }), &mut out);
            assert!(out.len() <= body_len(page_size), "{} in {}", out.len(), body_len(page_size));
            let leaf = Leaf::parse(&out).unwrap();
            assert_eq!(leaf.search(&b), Ok((1, true)));
            assert_eq!(leaf.record(1).unwrap().payload, value);
        }
        assert_eq!(inline_limit(16384, 24), 4096);
    }

    proptest! {
        #[test]
        fn search_agrees_with_a_sorted_set(
            keys in prop::collection::btree_set(prop::collection::vec(prop::sample::select(vec![0u8, 1, 97, 255]), 1..9), 1..60),
            probes in prop::collection::vec(prop::collection::vec(prop::sample::select(vec![0u8, 1, 97, 255]), 0..10), 20),
            shared in prop::collection::vec(any::<u8>(), 0..20),
        ) {
            let glue = |k: &Vec<u8>| [&shared[..], k].concat();
            let keys: BTreeSet<Vec<u8>> = keys.iter().map(glue).collect();
            for probe in probes.iter().map(glue).chain(keys.iter().cloned()).chain(probes.iter().cloned()) {
                check_search(&keys, &probe);
            }
            let body = body(&keys);
            let leaf = Leaf::parse(&body).unwrap();
            for (i, key) in keys.iter().enumerate() {
                let record = leaf.record(i).unwrap();
                prop_assert_eq!(&[leaf.prefix(), record.suffix].concat(), key);
                prop_assert_eq!(record.payload, &key[..key.len() / 2]);
            }
        }

        #[test]
        fn any_bytes_give_entries_or_an_error(mut bytes: Vec<u8>, count in 0u16..20, prefix in 0u16..20, key: Vec<u8>) {
            for honest in [false, true] {
                if honest && bytes.len() >= 4 {
                    bytes[..2].copy_from_slice(&count.to_le_bytes());
                    bytes[2..4].copy_from_slice(&prefix.to_le_bytes());
                }
                if let Ok(leaf) = Leaf::parse(&bytes) {
                    let _ = leaf.search(&key);
                    let _ = leaf.search(leaf.prefix());
                    for i in 0..leaf.len() {
                        let record = leaf.record(i);
                        let _ = record.and_then(|r| r.overflow());
                        prop_assert_eq!(leaf.layout().span(&bytes, i).and_then(|span| span.record(&bytes)), record);
                    }
                    prop_assert!(leaf.layout().span(&bytes, leaf.len()).is_err());
                }
            }
        }
    }
}
