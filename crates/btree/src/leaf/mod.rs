//! The body of a leaf page: sorted entries under a common prefix, found through an array of key heads.
//!
//! | offset | type | what |
//! |---|---|---|
//! | 0 | u16 | number of entries `n`, at least 1 |
//! | 2 | u16 | length of the common prefix `p` |
//! | 4 | u16 | bytes used of the body |
//! | 6 | u8 | flags: 1 = at least one value is in an overflow extent, 2 = fixed stride |
//! | 7 | u8 | bytes of an expiry `w`, at most 8; 0: no entry expires |
//! | 8 | u16 | fixed stride: length of each suffix `s`; else 0 |
//! | 10 | u16 | fixed stride: length of each value `v`; else 0 |
//! | 12 | bytes | the common prefix of all keys, padded with zeros to a multiple of 4 |
//! | 12 + pad4(p) | u32 × n | heads: the first 4 bytes of each key's suffix, zero padded, as a number that orders like them |
//! | … | u16 × n | offset of each record in the body; not with fixed stride |
//! | … | 8 + w·n | the expiries (`expiry.rs`); not if `w` is 0 |
//! | … | records | in key order |
//!
//! The suffix of a key is what follows the prefix; its first four bytes are in the head and nowhere else. A record:
//! varint length of the suffix; varint `2·length` of an inline value, or `1` for an overflow reference; the suffix beyond
//! its head; the value or the 24-byte reference (`overflow.rs`).
//!
//! **Fixed stride** is chosen where all keys have one length, all values have one length, and none is in an extent:
//! then a record is the suffix beyond its head and the value, and record `i` begins at `i` times the length of that. What
//! this gives, for pages of 16 KiB with a body of 16,352 bytes and random keys of 24 bytes with values of 150, of which
//! the keys of one leaf share one byte:
//!
//! | | beside the 173 bytes of suffix and value | entries per leaf | page bytes per pair, of 174 |
//! |---|---|---|---|
//! | offsets, varints, heads stored twice | 4 + 2 + 1 + 2 | 89 | 184.1 (105.8 %) |
//! | variable | 2 + 1 + 2 | 91 | 180.0 (103.5 %) |
//! | fixed stride | 0 | 94 | 174.3 (100.2 %) |
//!
//! Filters of 11 bits per key in blocks of 32 bytes, with 24 bytes to name the leaf, add 160 + 24 bytes per leaf, in
//! whole pages 2.3 per pair (1.3 %); branches of 36 bytes per leaf add 0.4 (0.2 %). So a file after a bulk build has 101.7 %
//! of the raw bytes (measured with 500,000 pairs: 101.8 %), and what is left to gain is in the filters.
//!
//! A search reads the header, the heads by binary search, and usually one record: two cache misses instead of one per
//! probe. Heads that are equal prove nothing (`a` and `a\0` share one), so ties are settled on the suffixes.
//!
//! The greatest entry takes less than half a leaf, whatever its key shares with others: a leaf holds two entries at
//! least. This file reads; `encode.rs` writes; neither chooses which entries share a leaf (`merge/` does).

mod encode;

pub(crate) use encode::{RawEntry, Size, Sizes, encode, inline_limit};

use crate::bytes::{head4, head4_bytes, padded, u16_at, u32_at, varint};
use crate::error::Decoded;
use crate::expiry::{Column, Expiry};
use crate::fields;
use crate::guess;
use crate::overflow::{self, Overflow, OverflowRef};
use halodb_pager::inspect::Field;
use std::cmp::Ordering;

const COUNT: usize = 0;
const PREFIX_LEN: usize = 2;
const USED: usize = 4;
const FLAGS: usize = 6;
const EXPIRY_WIDTH: usize = 7;
const SUFFIX_LEN: usize = 8;
const VALUE_LEN: usize = 10;
/// Bytes before the prefix.
const HEADER_LEN: usize = 12;
const _: () = assert!(PREFIX_LEN == COUNT + 2 && USED == PREFIX_LEN + 2 && FLAGS == USED + 2);
const _: () = assert!(EXPIRY_WIDTH == FLAGS + 1 && SUFFIX_LEN == EXPIRY_WIDTH + 1);
const _: () = assert!(VALUE_LEN == SUFFIX_LEN + 2 && HEADER_LEN == VALUE_LEN + 2);

const FLAG_OVERFLOW: u8 = 1;
const FLAG_FIXED: u8 = 2;
const PREFIX_ALIGN: usize = 4;
const HEAD_LEN: usize = 4;
const OFFSET_LEN: usize = 2;
const OVERFLOW_MARK: u32 = 1;

/// Where a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// In the record.
    Inline,
    /// In an extent that the record refers to.
    Overflow,
}

/// Bytes of a body with `entries` entries that a search reads before it knows a record: header, heads and offsets, if the prefix
/// is short.
pub(crate) fn search_len(entries: u64) -> usize {
    HEADER_LEN + usize::try_from(entries).unwrap_or(usize::MAX).saturating_mul(HEAD_LEN + OFFSET_LEN)
}

/// The bytes of a body, from and to, that a search near an entry reads beside the header, if the prefix has this length.
#[inline]
pub(crate) fn span_near(near: usize, prefix_len: usize) -> (usize, usize) {
    let heads_at = fixed_len(prefix_len);
    (heads_at + HEAD_LEN * near.saturating_sub(guess::REACH), heads_at + HEAD_LEN * (near + guess::REACH))
}

/// Bytes before the heads.
#[inline]
fn fixed_len(prefix: usize) -> usize {
    HEADER_LEN + padded(prefix, PREFIX_ALIGN)
}

/// An entry of a leaf.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Record<'a> {
    /// The suffix, in two parts: what is in the head, with zeros behind it …
    head: [u8; HEAD_LEN],
    /// … up to this length, …
    head_len: usize,
    /// … and what is beyond.
    rest: &'a [u8],
    /// Where the value is.
    pub(crate) place: Place,
    /// The value, or the encoded [`OverflowRef`].
    pub(crate) payload: &'a [u8],
}

impl<'a> Record<'a> {
    /// The reference, if the value is in an extent.
    pub(crate) fn overflow(&self) -> Decoded<Option<OverflowRef>> {
        match self.place {
            Place::Inline => Ok(None),
            Place::Overflow => OverflowRef::decode(self.payload).map(Some),
        }
    }

    /// Appends the key after the leaf's prefix.
    #[inline]
    pub(crate) fn append_suffix(&self, out: &mut Vec<u8>) {
        // Copying all four and cutting off is faster than copying a number that is not known beforehand.
        out.extend_from_slice(&self.head);
        out.truncate(out.len() - (HEAD_LEN - self.head_len));
        out.extend_from_slice(self.rest);
    }

    /// The key after the leaf's prefix, in two parts.
    pub(crate) fn suffix(&self) -> (&[u8], &'a [u8]) {
        (&self.head[..self.head_len], self.rest)
    }

    /// Whether the head holds nothing but its key: zeros behind a suffix that is shorter.
    pub(crate) fn head_is_true(&self) -> bool {
        self.head[self.head_len..].iter().all(|&byte| byte == 0)
    }
}

const BAD_RECORD: &str = "a record of a leaf does not lie within it";

/// Where an entry's parts are in the body of its leaf, which they lie within. A body has less than 64 KiB.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    head: u32,
    suffix_len: u16,
    rest: u16,
    payload: u16,
    end: u16,
    place: Place,
}

impl Span {
    /// The record at `at`, with a payload of `payload_len` bytes, its bounds checked.
    #[inline]
    fn new(body: &[u8], head: u32, place: Place, at: usize, suffix_len: usize, payload_len: usize) -> Decoded<Span> {
        let payload = at.saturating_add(suffix_len.saturating_sub(HEAD_LEN));
        let end = payload.saturating_add(payload_len);
        if end > body.len().min(usize::from(u16::MAX)) {
            return Err(BAD_RECORD);
        }
        Ok(Span {
            head,
            suffix_len: suffix_len as u16,
            rest: at as u16,
            payload: payload as u16,
            end: end as u16,
            place,
        })
    }

    /// The record of variable length at an offset of the body.
    #[inline]
    fn decode(body: &[u8], head: u32, at: usize) -> Decoded<Span> {
        let record = body.get(at..).ok_or(BAD_RECORD)?;
        let (suffix_len, a) = varint(record).ok_or(BAD_RECORD)?;
        let (mark, b) = varint(&record[a..]).ok_or(BAD_RECORD)?;
        let (place, len) = match mark {
            OVERFLOW_MARK => (Place::Overflow, overflow::REF_LEN),
            mark if mark % 2 == 0 => (Place::Inline, (mark / 2) as usize),
            _ => return Err("a record of a leaf is of an unknown kind"),
        };
        Span::new(body, head, place, at + a + b, suffix_len as usize, len)
    }

    /// The record itself; `body` must be the one that this was found in.
    #[inline]
    pub(crate) fn record<'a>(&self, body: &'a [u8]) -> Decoded<Record<'a>> {
        let bytes = body.get(usize::from(self.rest)..usize::from(self.end)).ok_or(BAD_RECORD)?;
        let (rest, payload) = bytes.split_at_checked(usize::from(self.payload - self.rest)).ok_or(BAD_RECORD)?;
        let head_len = usize::from(self.suffix_len).min(HEAD_LEN);
        Ok(Record { head: head4_bytes(self.head), head_len, rest, place: self.place, payload })
    }

    /// Orders the suffix against one with the same head.
    #[inline]
    fn compare_tied(&self, body: &[u8], suffix: &[u8]) -> Decoded<Ordering> {
        let len = usize::from(self.suffix_len);
        Ok(match suffix.get(HEAD_LEN..) {
            Some(other) if len >= HEAD_LEN => {
                body.get(usize::from(self.rest)..usize::from(self.payload)).ok_or(BAD_RECORD)?.cmp(other)
            }
            // One of the two ends within the head, and the other goes on with zeros there: the shorter is a prefix.
            _ => len.cmp(&suffix.len()),
        })
    }
}

/// Where the entries of a parsed leaf are found: what a cursor keeps in order to step without parsing the leaf again.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layout {
    len: u16,
    heads: u16,
    expiries: Column,
    mode: Mode,
    /// Fixed stride: the first record. Otherwise the first of their offsets.
    table: u16,
    /// Lengths of each suffix and value; with fixed stride only.
    suffix_len: u16,
    value_len: u16,
}

/// How records are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// All have one length.
    Fixed,
    /// Each has an offset that is stated.
    Variable,
}

impl Layout {
    /// Number of entries, at least 1.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        usize::from(self.len)
    }

    /// With fixed stride, the bytes of each record.
    #[inline]
    fn stride(&self) -> usize {
        usize::from(self.suffix_len).saturating_sub(HEAD_LEN) + usize::from(self.value_len)
    }

    /// Where the record of entry `i` begins: a hint, checked by whoever reads there.
    #[inline]
    pub(crate) fn offset(&self, body: &[u8], i: usize) -> Option<usize> {
        let table = usize::from(self.table);
        match self.mode {
            Mode::Fixed => Some(table + self.stride() * i),
            Mode::Variable => u16_at(body, table + OFFSET_LEN * i).map(usize::from),
        }
    }

    /// Where entry `i` is; `body` must be that of the leaf.
    #[inline(always)]
    pub(crate) fn span(&self, body: &[u8], i: usize) -> Decoded<Span> {
        const BEYOND: &str = "an entry number is beyond the leaf";
        let head = u32_at(body, usize::from(self.heads) + HEAD_LEN * i).filter(|_| i < self.len()).ok_or(BEYOND)?;
        let table = usize::from(self.table);
        if self.mode == Mode::Fixed {
            let (suffix_len, value_len) = (usize::from(self.suffix_len), usize::from(self.value_len));
            return Span::new(body, head, Place::Inline, table + self.stride() * i, suffix_len, value_len);
        }
        let at = u16_at(body, table + OFFSET_LEN * i).ok_or(BEYOND)?;
        Span::decode(body, head, usize::from(at))
    }

    /// When entry `i` expires; `body` must be that of the leaf.
    #[inline]
    pub(crate) fn expiry(&self, body: &[u8], i: usize) -> Decoded<Expiry> {
        self.expiries.get(body, i)
    }

    /// Whether no entry ever expires.
    #[inline]
    pub(crate) fn never_expires(&self) -> bool {
        self.expiries.is_absent()
    }
}

/// A leaf's body, its arrays checked against its length; records are checked when they are read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Leaf<'a> {
    body: &'a [u8],
    prefix: &'a [u8],
    heads: &'a [[u8; HEAD_LEN]],
    layout: Layout,
}

impl<'a> Leaf<'a> {
    /// Constant time, whatever the number of entries.
    #[inline(always)]
    pub(crate) fn parse(body: &'a [u8]) -> Decoded<Leaf<'a>> {
        const SHORT: &str = "a leaf is shorter than its header says";
        let header: &[u8; HEADER_LEN] = body.first_chunk().ok_or(SHORT)?;
        let word = |at: usize| u16::from_le_bytes([header[at], header[at + 1]]);
        let n = usize::from(word(COUNT));
        let p = usize::from(word(PREFIX_LEN));
        if n == 0 {
            return Err("a leaf holds no entry");
        }
        let heads_at = fixed_len(p);
        let heads_end = heads_at + HEAD_LEN * n;
        let fixed = header[FLAGS] & FLAG_FIXED != 0;
        let expiries_at = heads_end + if fixed { 0 } else { OFFSET_LEN * n };
        let width = header[EXPIRY_WIDTH];
        let records_at = expiries_at + Column::len(usize::from(width), n);
        if records_at > body.len().min(usize::from(u16::MAX)) {
            return Err(SHORT);
        }
        let layout = Layout {
            len: n as u16,
            heads: heads_at as u16,
            expiries: Column::new(width, expiries_at)?,
            mode: if fixed { Mode::Fixed } else { Mode::Variable },
            table: if fixed { records_at } else { heads_end } as u16,
            suffix_len: word(SUFFIX_LEN),
            value_len: word(VALUE_LEN),
        };
        Ok(Leaf {
            body,
            prefix: body.get(HEADER_LEN..HEADER_LEN + p).ok_or(SHORT)?,
            heads: body.get(heads_at..heads_end).ok_or(SHORT)?.as_chunks().0,
            layout,
        })
    }

    /// Number of entries, at least 1.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.heads.len()
    }

    /// What all keys begin with.
    pub(crate) fn prefix(&self) -> &'a [u8] {
        self.prefix
    }

    /// Whether at least one value is in an overflow extent.
    pub(crate) fn overflow(&self) -> Overflow {
        let some = self.body.get(FLAGS).is_some_and(|flags| flags & FLAG_OVERFLOW != 0);
        if some { Overflow::Some } else { Overflow::None }
    }

    /// Bytes used of the body, as its header says.
    pub(crate) fn used(&self) -> usize {
        usize::from(u16_at(self.body, USED).unwrap_or(0))
    }

    /// The parts of the body, as far as it is used.
    pub(crate) fn fields(&self) -> Vec<Field> {
        let width = self.body.get(EXPIRY_WIDTH).map_or(0, |width| usize::from(*width));
        let heads = fixed_len(self.prefix.len());
        let offsets = heads + HEAD_LEN * self.len();
        let expiries = offsets + if self.layout.mode == Mode::Fixed { 0 } else { OFFSET_LEN * self.len() };
        let ends = [
            (PREFIX_LEN, "number of entries"),
            (USED, "length of the common prefix"),
            (FLAGS, "bytes used"),
            (EXPIRY_WIDTH, "flags"),
            (SUFFIX_LEN, "bytes of an expiry"),
            (VALUE_LEN, "fixed stride: length of a suffix"),
            (HEADER_LEN, "fixed stride: length of a value"),
            (heads, "common prefix"),
            (offsets, "heads"),
            (expiries, "offsets of records"),
            (expiries + Column::len(width, self.len()), "expiries"),
            (self.used(), "records"),
        ];
        fields::up_to(self.body.len(), &ends)
    }

    /// Bytes from one record to the next, if all have one length.
    pub(crate) fn stride(&self) -> Option<usize> {
        (self.layout.mode == Mode::Fixed).then(|| self.layout.stride())
    }

    /// Entry `i`, its bounds checked.
    #[inline]
    pub(crate) fn record(&self, i: usize) -> Decoded<Record<'a>> {
        self.layout.span(self.body, i)?.record(self.body)
    }

    /// The whole key of an entry.
    pub(crate) fn key(&self, record: &Record<'_>) -> Vec<u8> {
        let (head, rest) = record.suffix();
        [self.prefix, head, rest].concat()
    }

    /// When entry `i` expires.
    #[inline]
    pub(crate) fn expiry(&self, i: usize) -> Decoded<Expiry> {
        self.layout.expiry(self.body, i)
    }

    /// Whether one of the entries ever expires.
    pub(crate) fn has_expiries(&self) -> bool {
        !self.layout.never_expires()
    }

    /// When the first entry expires, as the leaf states it.
    pub(crate) fn least_expiry(&self) -> Decoded<Expiry> {
        self.layout.expiries.least(self.body)
    }

    /// Where the record of entry `i` begins: a hint, checked by whoever reads there.
    #[inline]
    pub(crate) fn offset(&self, i: usize) -> Option<usize> {
        self.layout.offset(self.body, i)
    }

    /// What to keep for reading records without this.
    #[inline]
    pub(crate) fn layout(&self) -> Layout {
        self.layout
    }

    /// The head of entry `i`, which must be below [`Leaf::len`].
    fn head(&self, i: usize) -> u32 {
        u32::from_le_bytes(self.heads[i])
    }

    /// Number of the first key not below `key`, and whether it is `key`.
    #[inline(always)]
    pub(crate) fn search(&self, key: &[u8]) -> Decoded<(usize, bool)> {
        match self.suffix(key) {
            Ok(suffix) => self.search_tied(suffix, self.lower_head(head4(suffix))),
            Err(index) => Ok((index, false)),
        }
    }

    /// The first half of [`Leaf::search`], which reads no record: what of `key` is beyond the prefix and the number of the first entry
    /// with its head or above; or where a key belongs that does not begin with the prefix.
    #[inline(always)]
    pub(crate) fn begin_search<'k>(&self, key: &'k [u8]) -> Result<(&'k [u8], usize), usize> {
        self.suffix(key).map(|suffix| (suffix, self.lower_head(head4(suffix))))
    }

    /// As [`Leaf::begin_search`], for a key that is expected near this entry.
    #[inline(always)]
    pub(crate) fn begin_search_near<'k>(&self, key: &'k [u8], near: usize) -> Result<(&'k [u8], usize), usize> {
        let suffix = self.suffix(key)?;
        let head = head4(suffix);
        let found = guess::lower_near(self.heads.len(), near, head, |i| self.head(i));
        Ok((suffix, found.unwrap_or_else(|| self.lower_head(head))))
    }

    #[inline(always)]
    fn suffix<'k>(&self, key: &'k [u8]) -> Result<&'k [u8], usize> {
        let shared = self.prefix.len().min(key.len());
        match key[..shared].cmp(self.prefix) {
            Ordering::Equal => Ok(&key[shared..]),
            Ordering::Less => Err(0),
            Ordering::Greater => Err(self.len()),
        }
    }

    /// The second half: among the entries from `low` on, the first with the head of `suffix` or above.
    #[inline(always)]
    pub(crate) fn search_tied(&self, suffix: &[u8], mut low: usize) -> Decoded<(usize, bool)> {
        let head = head4(suffix);
        let tied = |i: usize| self.heads.get(i).is_some_and(|h| u32::from_le_bytes(*h) == head);
        let mut high = match (tied(low), tied(low + 1)) {
            (false, _) => return Ok((low, false)),
            (true, false) => low + 1,
            (true, true) => low + self.heads[low..].partition_point(|h| u32::from_le_bytes(*h) <= head),
        };
        while low < high {
            let middle = low + (high - low) / 2;
            match self.layout.span(self.body, middle)?.compare_tied(self.body, suffix)? {
                Ordering::Less => low = middle + 1,
                Ordering::Equal => return Ok((middle, true)),
                Ordering::Greater => high = middle,
            }
        }
        Ok((low, false))
    }

    /// Number of heads below `head`. No branch depends on the data, so nothing is mispredicted.
    #[inline(always)]
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
mod tests;
