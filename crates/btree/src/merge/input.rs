//! What a merge takes in: the stream of edits, each checked when it comes to the front, and the ranges to delete.

use super::{Change, Edits, KeyRange};
use crate::error::{Error, Result};
use crate::page::{MAX_VALUE_LEN, max_key_len};

/// The edits and ranges not merged yet.
pub(super) struct Input<'e> {
    edits: &'e mut dyn Edits,
    /// Ranges that hold at least one key, ascending and disjoint.
    ranges: Vec<&'e KeyRange>,
    /// Ranges before this one end at or below the place the walk has reached.
    next_range: usize,
    last_key: Vec<u8>,
    max_key_len: usize,
    /// No edit is to be at or above this key.
    end: Option<&'e [u8]>,
}

impl<'e> Input<'e> {
    /// Checks the ranges and the first edit.
    pub(super) fn new(edits: &'e mut dyn Edits, ranges: &'e [KeyRange], page_size: u32) -> Result<Input<'e>> {
        let ranges = Input::check_ranges(ranges)?;
        let max_key_len = max_key_len(page_size);
        let input = Input { edits, ranges, next_range: 0, last_key: Vec::new(), max_key_len, end: None };
        input.check_edit()?;
        Ok(input)
    }

    /// The ranges that hold keys, if all ascend and none overlap.
    pub(super) fn check_ranges(ranges: &[KeyRange]) -> Result<Vec<&KeyRange>> {
        let holds_keys = |range: &&KeyRange| range.end.as_ref().is_none_or(|end| range.start < *end);
        let ranges: Vec<&KeyRange> = ranges.iter().filter(holds_keys).collect();
        for pair in ranges.windows(2) {
            if pair[0].end.as_ref().is_none_or(|end| *end > pair[1].start) {
                return Err(Error::Invalid("ranges to delete overlap or are out of order".to_string()));
            }
        }
        Ok(ranges)
    }

    /// The same where all edits are to be from `start` on and below `end`.
    pub(super) fn within(mut self, start: &[u8], end: Option<&'e [u8]>) -> Result<Input<'e>> {
        self.end = end;
        if self.edit().is_some_and(|(key, _)| key < start) {
            return Err(Error::Invalid("an edit before the part it is given with".to_string()));
        }
        self.check_edit()?;
        Ok(self)
    }

    /// The edit at the front.
    pub(super) fn edit(&self) -> Option<(&[u8], Change<'_>)> {
        self.edits.current()
    }

    /// The edit at the front if its key is below `end`.
    pub(super) fn edit_below(&self, end: Option<&[u8]>) -> Option<(&[u8], Change<'_>)> {
        self.edit().filter(|(key, _)| end.is_none_or(|end| *key < end))
    }

    /// To the next edit; the key of the one taken stays as [`Input::last_key`].
    pub(super) fn advance(&mut self) -> Result<()> {
        if let Some((key, _)) = self.edits.current() {
            self.last_key.clear();
            self.last_key.extend_from_slice(key);
        }
        self.edits.advance();
        self.check_edit()
    }

    /// The key of the edit taken last.
    pub(super) fn last_key(&self) -> &[u8] {
        &self.last_key
    }

    /// Drops ranges that end at or below `start`, and gives the others.
    pub(super) fn ranges_from(&mut self, start: &[u8]) -> &[&'e KeyRange] {
        while self.ranges.get(self.next_range).is_some_and(|r| r.end.as_ref().is_some_and(|end| **end <= *start)) {
            self.next_range += 1;
        }
        self.ranges()
    }

    /// The ranges not dropped.
    pub(super) fn ranges(&self) -> &[&'e KeyRange] {
        &self.ranges[self.next_range..]
    }

    /// Whether nothing is left above `key`.
    pub(super) fn is_done_above(&self, key: &[u8]) -> bool {
        // Ranges are disjoint and ascending, so the last one reaches farthest. The first key above `key` is `key\0`.
        let reaches = |end: &[u8]| end > key && end.strip_prefix(key) != Some(&[0][..]);
        self.edit().is_none()
            && self.ranges().last().is_none_or(|range| range.end.as_ref().is_some_and(|end| !reaches(end)))
    }

    fn check_edit(&self) -> Result<()> {
        let Some((key, change)) = self.edits.current() else { return Ok(()) };
        let value_len = if let Change::Put { value, .. } = change { value.len() } else { 0 };
        check_entry(key, value_len, self.max_key_len)?;
        if *key <= *self.last_key {
            return Err(Error::Invalid("edits are not strictly ascending by key".to_string()));
        }
        if self.end.is_some_and(|end| key >= end) {
            return Err(Error::Invalid("an edit behind the part it is given with".to_string()));
        }
        Ok(())
    }
}

/// Whether a key and a value of these lengths can be stored.
pub(super) fn check_entry(key: &[u8], value_len: usize, max_key_len: usize) -> Result<()> {
    if key.is_empty() || key.len() > max_key_len {
        let len = key.len();
        let what = format!("a key of {len} bytes; keys have 1 to {max_key_len} bytes at this page size");
        return Err(Error::Invalid(what));
    }
    if value_len > MAX_VALUE_LEN {
        return Err(Error::Invalid(format!("a value of {value_len} bytes; values have at most {MAX_VALUE_LEN}")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    struct None0;
    impl Edits for None0 {
        fn current(&self) -> Option<(&[u8], Change<'_>)> {
            None
        }
        fn advance(&mut self) {}
    }

    #[test]
    fn a_range_is_left_over_only_if_it_holds_a_key_above() {
        let check = |start: &[u8], end: Option<&[u8]>, key: &[u8], expected: bool| {
            let ranges = [KeyRange { start: start.to_vec(), end: end.map(<[u8]>::to_vec) }];
            let input = Input::new(&mut None0, &ranges, 4096).map(|input| input.is_done_above(key));
            assert!(input.is_ok_and(|done| done == expected), "{start:?} to {end:?} above {key:?}");
        };
        check(b"a", Some(b"c"), b"b", false);
        check(b"a", Some(b"c"), b"c", true);
        check(b"a", Some(b"c\0"), b"c", true);
        check(b"a", Some(b"c\0\0"), b"c", false);
        check(b"a", Some(b"c\x01"), b"c", false);
        check(b"a", None, b"z", false);
        check(b"b", Some(b"a"), b"0", true);
    }
}
