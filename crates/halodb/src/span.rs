//! [`Span`]: a range of user keys as stored bounds, never inverted, never longer than a key can be.
//!
//! Whatever range the caller asks for (`..`, inverted, bounds that are empty or longer than any key, a prefix of
//! nothing but 0xff) becomes two bounds inside the keyspace, or "empty". So what is below need not know about odd
//! ranges.

use std::ops::{Bound, RangeBounds};

use crate::short::Short;
use crate::space_id::{SpaceId, successor};

/// Bounds on stored keys. When not empty, `lower` lies before `upper`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) lower: Bound<Short>,
    pub(crate) upper: Bound<Short>,
}

impl Span {
    /// The whole keyspace.
    pub(crate) fn all(space: SpaceId) -> Self {
        Span { lower: Bound::Included(space.start()), upper: Bound::Excluded(space.end()) }
    }

    /// The keys in `range`; `None` if no key can be in it.
    pub(crate) fn of<K: AsRef<[u8]>>(space: SpaceId, range: impl RangeBounds<K>) -> Option<Self> {
        let lower = match range.start_bound() {
            Bound::Unbounded => Bound::Included(space.start()),
            Bound::Included(key) => lower(space, key.as_ref(), Bound::Included),
            Bound::Excluded(key) => lower(space, key.as_ref(), Bound::Excluded),
        };
        let upper = match range.end_bound() {
            Bound::Unbounded => Bound::Excluded(space.end()),
            Bound::Included(key) => upper(space, key.as_ref(), Bound::Included),
            Bound::Excluded(key) => upper(space, key.as_ref(), Bound::Excluded),
        };
        Span { lower, upper }.checked()
    }

    /// The keys that start with `prefix`; `None` if none can.
    pub(crate) fn prefix(space: SpaceId, prefix: &[u8]) -> Option<Self> {
        if prefix.len() > space.max_key() {
            return None;
        }
        let start = space.join(prefix);
        let end = successor(&start);
        Some(Span { lower: Bound::Included(start), upper: Bound::Excluded(end) })
    }

    /// The part of this span from the user key `key` on; `None` if nothing is left.
    pub(crate) fn from(&self, space: SpaceId, key: &[u8]) -> Option<Self> {
        let other = lower(space, key, Bound::Included);
        let lower = if begins_later(&other, &self.lower) { other } else { self.lower.clone() };
        Span { lower, upper: self.upper.clone() }.checked()
    }

    /// Whether a stored key lies below the upper end.
    pub(crate) fn is_below_upper(&self, stored: &[u8]) -> bool {
        match &self.upper {
            Bound::Included(end) => stored <= &end[..],
            Bound::Excluded(end) => stored < &end[..],
            Bound::Unbounded => true,
        }
    }

    /// Whether a stored key lies above the lower end.
    pub(crate) fn is_above_lower(&self, stored: &[u8]) -> bool {
        match &self.lower {
            Bound::Included(start) => stored >= &start[..],
            Bound::Excluded(start) => stored > &start[..],
            Bound::Unbounded => true,
        }
    }

    /// The bounds, borrowed.
    pub(crate) fn bounds(&self) -> (Bound<&[u8]>, Bound<&[u8]>) {
        (self.lower.as_ref().map(|key| &**key), self.upper.as_ref().map(|key| &**key))
    }

    /// The same range as its first byte string and the first one behind it.
    pub(crate) fn half_open(&self) -> (Vec<u8>, Option<Vec<u8>>) {
        let next = |key: &[u8]| [key, &[0]].concat();
        let start = match &self.lower {
            Bound::Unbounded => Vec::new(),
            Bound::Included(start) => start.to_vec(),
            Bound::Excluded(start) => next(start),
        };
        let end = match &self.upper {
            Bound::Unbounded => None,
            Bound::Included(end) => Some(next(end)),
            Bound::Excluded(end) => Some(end.to_vec()),
        };
        (start, end)
    }

    /// This span if a key can lie in it.
    fn checked(self) -> Option<Self> {
        let holds = match (&self.lower, &self.upper) {
            (Bound::Included(a), Bound::Included(b)) => a[..] <= b[..],
            (Bound::Included(a) | Bound::Excluded(a), Bound::Included(b) | Bound::Excluded(b)) => a[..] < b[..],
            _ => true,
        };
        holds.then_some(self)
    }
}

/// A lower bound at `key`. All keys are at most `max_key` long, so one that is not below a longer `key` is above its
/// first `max_key` bytes.
fn lower(space: SpaceId, key: &[u8], kind: fn(Short) -> Bound<Short>) -> Bound<Short> {
    match key.get(..space.max_key()) {
        Some(cut) if cut.len() < key.len() => Bound::Excluded(space.join(cut)),
        _ => kind(space.join(key)),
    }
}

/// An upper bound at `key`; see [`lower`].
fn upper(space: SpaceId, key: &[u8], kind: fn(Short) -> Bound<Short>) -> Bound<Short> {
    match key.get(..space.max_key()) {
        Some(cut) if cut.len() < key.len() => Bound::Included(space.join(cut)),
        _ => kind(space.join(key)),
    }
}

/// Whether the lower bound `a` lies after `b`.
fn begins_later(a: &Bound<Short>, b: &Bound<Short>) -> bool {
    match (a, b) {
        (Bound::Excluded(a), Bound::Included(b)) => a[..] >= b[..],
        (Bound::Included(a) | Bound::Excluded(a), Bound::Included(b) | Bound::Excluded(b)) => a[..] > b[..],
        (_, Bound::Unbounded) => true,
        (Bound::Unbounded, _) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Keys have at most 1024 bytes here.
    fn space() -> SpaceId {
        SpaceId::new(SpaceId::DEFAULT, 4096)
    }

    fn contains(span: &Option<Span>, key: &[u8]) -> bool {
        let stored = space().join(key);
        span.as_ref().is_some_and(|s| s.is_above_lower(&stored) && s.is_below_upper(&stored))
    }

    #[test]
    fn a_prefix_ends_at_its_successor() {
        for (prefix, end) in [
            (&b""[..], &b"\x02"[..]),
            (b"a", b"\x01b"),
            (b"a\xff", b"\x01b"),
            (b"a\xff\xff", b"\x01b"),
            (b"\xff", b"\x02"),
            (b"\xff\xff", b"\x02"),
            (b"a\x00", b"\x01a\x01"),
        ] {
            let span = Span::prefix(space(), prefix).expect("not empty");
            assert_eq!(span.upper, Bound::Excluded(Short::from(end)), "{prefix:?}");
        }
        assert_eq!(Span::prefix(space(), &[0; 1025]), None, "no key is that long");
    }

    #[test]
    fn an_inverted_range_is_empty() {
        let empty: [(Bound<&str>, Bound<&str>); 4] = [
            (Bound::Included("b"), Bound::Included("a")),
            (Bound::Included("a"), Bound::Excluded("a")),
            (Bound::Excluded("a"), Bound::Included("a")),
            (Bound::Excluded("a"), Bound::Excluded("a")),
        ];
        for range in empty {
            assert_eq!(Span::of::<&str>(space(), range), None, "{range:?}");
        }
        assert!(Span::of(space(), "a"..="a").is_some());
    }

    #[test]
    fn a_bound_longer_than_any_key_keeps_its_meaning() {
        let longest = vec![b'k'; 1024];
        let longer = vec![b'k'; 1025];
        assert!(!contains(&Span::of(space(), longer.clone()..), &longest));
        assert!(contains(&Span::of(space(), longer.clone()..), b"l"));
        assert!(contains(&Span::of(space(), ..longer.clone()), &longest));
        assert!(contains(&Span::of(space(), ..=longer), &longest));
    }

    #[test]
    fn seeking_narrows_a_range_and_never_widens_it() {
        let span = Span::of(space(), "b".."f").expect("not empty");
        for (key, expected) in [("a", Some("b")), ("b", Some("b")), ("d", Some("d")), ("f", None), ("z", None)] {
            let lower = span.from(space(), key.as_bytes()).map(|s| s.lower);
            assert_eq!(lower, expected.map(|k| Bound::Included(space().join(k.as_bytes()))), "{key}");
        }
        let open = Span::of::<&str>(space(), (Bound::Excluded("b"), Bound::Unbounded)).expect("not empty");
        assert_eq!(open.from(space(), b"b").expect("not empty").lower, open.lower);
    }

    proptest! {
        #[test]
        fn a_span_holds_exactly_the_keys_of_its_range(
            a in proptest::collection::vec(0u8..3, 0..4),
            b in proptest::collection::vec(0u8..3, 0..4),
            key in proptest::collection::vec(0u8..3, 1..4),
            kinds in (0..3, 0..3),
        ) {
            let bound = |kind, key: &Vec<u8>| match kind {
                0 => Bound::Included(key.clone()),
                1 => Bound::Excluded(key.clone()),
                _ => Bound::Unbounded,
            };
            let range = (bound(kinds.0, &a), bound(kinds.1, &b));
            let expected = RangeBounds::<Vec<u8>>::contains(&range, &key);
            prop_assert_eq!(contains(&Span::of(space(), range), &key), expected);
            let prefix = &a;
            prop_assert_eq!(contains(&Span::prefix(space(), prefix), &key), key.starts_with(prefix));
        }
    }
}
