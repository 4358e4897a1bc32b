//! Making the body of a leaf, and knowing its length beforehand.
//!
//! The format is drawn in `leaf/mod.rs`. This file does not choose which entries share a leaf (`merge/` does); given
//! them, it chooses the mode: fixed stride wherever that is possible, which is never longer.

use super::{
    FLAG_FIXED, FLAG_OVERFLOW, HEAD_LEN, HEADER_LEN, OFFSET_LEN, OVERFLOW_MARK, PREFIX_ALIGN, Place, USED, fixed_len,
};
use crate::bytes::{common_prefix_len, head4, put_varint, varint_len};
use crate::expiry::{Bounds, Expiry, MAX_COLUMN_LEN};
use crate::overflow;
use crate::page::{body_len, max_key_len};

/// A record's two varints at most: key and inline value stay below 2²⁰.
const VARINTS_LEN: usize = 6;
/// What an entry takes at most beside its key and its value.
const MOST_BESIDE: usize = HEAD_LEN + OFFSET_LEN + MAX_COLUMN_LEN.1 + VARINTS_LEN;
/// What a leaf takes at most beside its entries, of which the prefix is a part.
const MOST_AROUND: usize = HEADER_LEN + PREFIX_ALIGN - 1 + MAX_COLUMN_LEN.0;

/// Longest value that is stored in the leaf with a key of `key_len` bytes: a quarter page, and less where two such
/// entries would not fit a leaf.
pub(crate) const fn inline_limit(page_size: u32, key_len: usize) -> usize {
    let half = (body_len(page_size) - MOST_AROUND) / 2;
    let left = half.saturating_sub(MOST_BESIDE + key_len);
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
        assert!(MOST_AROUND + 3 * (MOST_BESIDE + key + overflow::REF_LEN) <= body_len(page_size));
        page_size *= 2;
    }
};

/// An entry to encode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RawEntry<'a> {
    /// The whole key.
    pub(crate) key: &'a [u8],
    /// When it expires.
    pub(crate) expiry: Expiry,
    /// Where the value is.
    pub(crate) place: Place,
    /// The value, or the encoded [`OverflowRef`](crate::overflow::OverflowRef).
    pub(crate) payload: &'a [u8],
}

/// What the length of a leaf depends on, of one of its entries.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    /// Length of the key.
    pub(crate) key_len: u16,
    /// Length of the payload.
    pub(crate) payload_len: u16,
    /// Bytes that the key shares with the key before.
    pub(crate) shared: u16,
    /// Where the value is.
    pub(crate) place: Place,
    /// When it expires.
    pub(crate) expiry: Expiry,
}

/// The length of a leaf as its entries come. Adding one costs constant time, unless it shortens the common prefix of
/// keys of many lengths.
#[derive(Debug, Default)]
pub(crate) struct Sizes {
    count: usize,
    /// Length of the common prefix.
    prefix: usize,
    /// Of the first entry; whether all are like it.
    key_len: usize,
    payload_len: usize,
    one_key_len: bool,
    one_payload_len: bool,
    payloads: usize,
    /// Lengths of the values' varints.
    marks: usize,
    /// Lengths of the keys, once there are several.
    key_lens: Vec<u16>,
    /// Bytes of the keys in the records, with their varints, if there are several lengths.
    suffixes: usize,
    expiries: Bounds,
}

impl Sizes {
    /// Takes the next entry in.
    pub(crate) fn add(&mut self, entry: &Size) {
        let key_len = usize::from(entry.key_len);
        let payload_len = usize::from(entry.payload_len);
        let inline = entry.place == Place::Inline;
        if self.count == 0 {
            (self.key_len, self.payload_len) = (key_len, payload_len);
            (self.one_key_len, self.one_payload_len) = (true, true);
            self.prefix = key_len;
        }
        let prefix = if self.count == 0 { key_len } else { self.prefix.min(usize::from(entry.shared)) };
        if key_len != self.key_len && self.one_key_len {
            self.one_key_len = false;
            self.key_lens.resize(self.count, self.key_len as u16);
            self.suffixes = self.count * suffix_len(self.key_len, self.prefix);
        }
        if !self.one_key_len {
            self.key_lens.push(entry.key_len);
            self.suffixes += suffix_len(key_len, self.prefix);
            if prefix != self.prefix {
                self.suffixes = self.key_lens.iter().map(|&len| suffix_len(usize::from(len), prefix)).sum();
            }
        }
        self.prefix = prefix;
        self.count += 1;
        self.one_payload_len &= inline && payload_len == self.payload_len;
        self.payloads += payload_len;
        self.marks += varint_len(value_mark(entry.place, payload_len));
        self.expiries.add(entry.expiry);
    }

    /// Length of a body with the entries so far.
    pub(crate) fn len(&self) -> usize {
        let n = self.count;
        let around = fixed_len(self.prefix) + n * HEAD_LEN + self.expiries.column_len(n);
        if self.is_fixed() {
            return around + n * (rest_len(self.key_len, self.prefix) + self.payload_len);
        }
        let suffixes = if self.one_key_len { n * suffix_len(self.key_len, self.prefix) } else { self.suffixes };
        around + n * OFFSET_LEN + suffixes + self.marks + self.payloads
    }

    fn is_fixed(&self) -> bool {
        self.one_key_len && self.one_payload_len
    }
}

/// Bytes of a key in its record: what the prefix and the head do not hold.
fn rest_len(key_len: usize, prefix: usize) -> usize {
    key_len.saturating_sub(prefix + HEAD_LEN)
}

/// The same with the varint before it.
fn suffix_len(key_len: usize, prefix: usize) -> usize {
    varint_len(key_len.saturating_sub(prefix) as u32) + rest_len(key_len, prefix)
}

fn value_mark(place: Place, payload_len: usize) -> u32 {
    match place {
        Place::Inline => 2 * payload_len as u32,
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
    let (mut overflows, mut fixed, mut expiries) = (false, true, Bounds::default());
    for entry in entries.clone() {
        overflows |= entry.place == Place::Overflow;
        fixed &= entry.key.len() == first.key.len() && entry.payload.len() == first.payload.len();
        expiries.add(entry.expiry);
    }
    fixed &= !overflows;
    let (suffix, value) = if fixed { (first.key.len() - p, first.payload.len()) } else { (0, 0) };
    let flags = if overflows { FLAG_OVERFLOW } else { 0 } | if fixed { FLAG_FIXED } else { 0 };
    out.extend_from_slice(&(n as u16).to_le_bytes());
    out.extend_from_slice(&(p as u16).to_le_bytes());
    out.extend_from_slice(&[0; 2]);
    out.extend_from_slice(&[flags, expiries.width() as u8]);
    out.extend_from_slice(&(suffix as u16).to_le_bytes());
    out.extend_from_slice(&(value as u16).to_le_bytes());
    out.extend_from_slice(&first.key[..p]);
    out.resize(fixed_len(p), 0);
    for entry in entries.clone() {
        out.extend_from_slice(&head4(&entry.key[p..]).to_le_bytes());
    }
    let offsets = out.len();
    if !fixed {
        out.resize(offsets + OFFSET_LEN * n, 0);
    }
    expiries.encode(entries.clone().map(|entry| entry.expiry), out);
    if fixed {
        let rest = (p + HEAD_LEN).min(first.key.len());
        for entry in entries {
            out.extend_from_slice(&entry.key[rest..]);
            out.extend_from_slice(entry.payload);
        }
    } else {
        for (i, entry) in entries.enumerate() {
            let at = offsets + OFFSET_LEN * i;
            let record = out.len() as u16;
            out[at..at + OFFSET_LEN].copy_from_slice(&record.to_le_bytes());
            put_varint(out, (entry.key.len() - p) as u32);
            put_varint(out, value_mark(entry.place, entry.payload.len()));
            out.extend_from_slice(entry.key.get(p + HEAD_LEN..).unwrap_or(&[]));
            out.extend_from_slice(entry.payload);
        }
    }
    let used = out.len() as u16;
    out[USED..USED + 2].copy_from_slice(&used.to_le_bytes());
}
