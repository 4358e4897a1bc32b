//! When entries expire: the type, and the column of a page that states it.
//!
//! The column stands in leaves, one number per entry, and in branches, one per child: the least of what is below it. A
//! page of which nothing expires has none. It is stored as the distance from the least of the page, in as few bytes as
//! the greatest distance takes, because what one page holds often expires within hours (frame of reference, Goldstein,
//! Ramakrishnan and Shaft, "Compressing Relations and Indexes", 1998). Its width `w` is in the page's header, 1 to 8; 0:
//! no column.
//!
//! | offset | type | what |
//! |---|---|---|
//! | 0 | u64 | the least expiry of the page, in milliseconds, above 0 |
//! | 8 | w bytes × n | of each item: 0 = never; otherwise its expiry less the least one, plus 1 |
//!
//! What is absent: a clock. An entry is stored and given back whether its time has come or not; what that means is for
//! the layer above to say, which has entries counted as of a time that it names (`expired.rs`).

use crate::bytes::u64_at;
use crate::error::Decoded;

/// When an entry expires, in milliseconds of the clock of whoever stored it.
///
/// ```
/// use halodb_btree::Expiry;
/// assert_eq!(Expiry::at_ms(5).earlier(Expiry::NEVER), Expiry::at_ms(5));
/// assert_eq!(Expiry::default(), Expiry::NEVER);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Expiry(u64);

impl Expiry {
    /// Not at all.
    pub const NEVER: Expiry = Expiry(0);

    /// At a time in milliseconds; 0 is [`Expiry::NEVER`].
    pub const fn at_ms(ms: u64) -> Expiry {
        Expiry(ms)
    }

    /// The time in milliseconds; 0: never.
    pub const fn ms(self) -> u64 {
        self.0
    }

    /// Not at all?
    pub const fn is_never(self) -> bool {
        self.0 == 0
    }

    /// Whether it has come at a time in milliseconds.
    pub const fn is_past(self, now_ms: u64) -> bool {
        // One comparison, as each step of a scan makes it: 0 becomes the latest time there is.
        self.0.wrapping_sub(1) < now_ms
    }

    /// Whichever comes first.
    pub fn earlier(self, other: Expiry) -> Expiry {
        match (self.0, other.0) {
            (0, _) => other,
            (_, 0) => self,
            (a, b) => Expiry(a.min(b)),
        }
    }
}

/// Bytes of a column before its items.
const HEADER_LEN: usize = 8;
const MAX_WIDTH: usize = 8;

/// Bytes that a column takes at most: by itself, and for each item.
pub(crate) const MAX_COLUMN_LEN: (usize, usize) = (HEADER_LEN, MAX_WIDTH);

const BAD_COLUMN: &str = "the expiries of a page do not lie within it";

/// The least and the greatest of some expiries: what the form of their column depends on.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Bounds {
    /// 0: none expires.
    least: u64,
    greatest: u64,
}

impl Bounds {
    /// Takes another one in.
    #[inline]
    pub(crate) fn add(&mut self, expiry: Expiry) {
        if expiry.is_never() {
            return;
        }
        self.least = Expiry(self.least).earlier(expiry).0;
        self.greatest = self.greatest.max(expiry.0);
    }

    /// Bytes of an item; 0: there is no column.
    pub(crate) fn width(self) -> usize {
        if self.least == 0 {
            return 0;
        }
        (64 - (self.greatest - self.least + 1).leading_zeros()).div_ceil(8) as usize
    }

    /// Bytes of the column of `n` items.
    pub(crate) fn column_len(self, n: usize) -> usize {
        Column::len(self.width(), n)
    }

    /// Appends the column of items, which must be within these bounds.
    pub(crate) fn encode(self, items: impl Iterator<Item = Expiry>, out: &mut Vec<u8>) {
        let width = self.width();
        if width == 0 {
            return;
        }
        out.extend_from_slice(&self.least.to_le_bytes());
        for item in items {
            let distance = if item.is_never() { 0 } else { item.0 - self.least + 1 };
            out.extend_from_slice(&distance.to_le_bytes()[..width]);
        }
    }
}

/// Where the column of a page is in its body.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Column {
    at: u16,
    width: u8,
}

impl Column {
    /// The column of this width at an offset. Where it ends is for the page to check ([`Column::len`]).
    #[inline]
    pub(crate) fn new(width: u8, at: usize) -> Decoded<Column> {
        match u16::try_from(at) {
            Ok(at) if usize::from(width) <= MAX_WIDTH => Ok(Column { at, width }),
            _ => Err("the expiries of a page are too wide or too far behind"),
        }
    }

    /// Bytes of a column of `n` items.
    #[inline]
    pub(crate) fn len(width: usize, n: usize) -> usize {
        if width == 0 { 0 } else { HEADER_LEN + width * n }
    }

    /// The least expiry, as the page states it.
    pub(crate) fn least(self, body: &[u8]) -> Decoded<Expiry> {
        if self.width == 0 {
            return Ok(Expiry::NEVER);
        }
        match u64_at(body, usize::from(self.at)).ok_or(BAD_COLUMN)? {
            0 => Err("a page with expiries states no least one"),
            ms => Ok(Expiry(ms)),
        }
    }

    /// Whether there is none: nothing of the page expires.
    #[inline]
    pub(crate) fn is_absent(self) -> bool {
        self.width == 0
    }

    /// Item `i`. Nearly every page has no column, so what reads one stays out of the way.
    #[inline]
    pub(crate) fn get(self, body: &[u8], i: usize) -> Decoded<Expiry> {
        if self.width == 0 { Ok(Expiry::NEVER) } else { self.read(body, i) }
    }

    #[cold]
    fn read(self, body: &[u8], i: usize) -> Decoded<Expiry> {
        let width = usize::from(self.width);
        let least = self.least(body)?;
        let at = usize::from(self.at) + HEADER_LEN + width * i;
        let mut distance = [0; MAX_WIDTH];
        distance[..width].copy_from_slice(body.get(at..at + width).ok_or(BAD_COLUMN)?);
        match u64::from_le_bytes(distance) {
            0 => Ok(Expiry::NEVER),
            distance => least.0.checked_add(distance - 1).map(Expiry).ok_or("an expiry is beyond the end of time"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn column(items: &[u64]) -> (Bounds, Vec<u8>) {
        let mut bounds = Bounds::default();
        items.iter().for_each(|ms| bounds.add(Expiry(*ms)));
        let mut out = vec![9; 3];
        bounds.encode(items.iter().map(|ms| Expiry(*ms)), &mut out);
        (bounds, out)
    }

    fn check(items: &[u64], width: usize) {
        let (bounds, bytes) = column(items);
        assert_eq!((bounds.width(), bytes.len()), (width, 3 + bounds.column_len(items.len())));
        let column = Column::new(width as u8, 3).unwrap();
        let found: Vec<u64> = (0..items.len()).map(|i| column.get(&bytes, i).unwrap().ms()).collect();
        assert_eq!(found, items);
        let least = items.iter().copied().filter(|ms| *ms > 0).min().unwrap_or(0);
        assert_eq!(column.least(&bytes), Ok(Expiry(least)));
        assert!(width == 0 || column.get(&bytes, items.len()).is_err());
    }

    #[test]
    fn a_column_is_as_wide_as_its_greatest_distance() {
        check(&[], 0);
        check(&[0, 0], 0);
        check(&[7_000_000_000_000, 0, 7_000_000_000_000], 1);
        check(&[1000, 1254, 0], 1);
        check(&[1000, 1255], 2);
        check(&[1, u64::MAX], 8);
        check(&[u64::MAX], 1);
    }

    proptest! {
        #[test]
        fn expiries_come_back(items in prop::collection::vec(prop_oneof![Just(0), 1u64..400, any::<u64>()], 0..20)) {
            let (bounds, _) = column(&items);
            check(&items, bounds.width());
        }

        #[test]
        fn any_bytes_give_an_expiry_or_an_error(bytes: Vec<u8>, width: u8, at in 0usize..20, i in 0usize..20) {
            if let Ok(column) = Column::new(width, at) {
                let _ = (column.get(&bytes, i), column.least(&bytes));
            }
        }
    }
}
