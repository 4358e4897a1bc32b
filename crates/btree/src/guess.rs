//! [`Guess`]: where in a page a key is to be expected, before the page has been looked at.
//!
//! A branch says between which two separators the keys of a child lie. Where keys are spread evenly, as hashes, random numbers
//! and counters are, the place of a key within the child follows from where it lies between these two: among the 370 children
//! of a branch it is known to one or two, among the 90 entries of a leaf to four or five, as full as leaves are. So a search
//! looks at the heads around the place first, and what it will need beside them is asked for at once: fewer cache lines in all, and these
//! together instead of one after another. It is one step of interpolation search (W. W. Peterson, "Addressing for random-access
//! storage", 1957); where it fails, the search is the one by halves, as ever.
//!
//! Names and other text are not spread evenly, and a guess that is wrong costs lines for nothing. So each thread counts how its
//! guesses turn out, for branches and for leaves, and follows them only while most are right. They are made all the same: how
//! they would have turned out is known when the search has ended.
//!
//! What is absent: any effect on what is found.

use std::cell::Cell;
use std::thread::LocalKey;

/// A guess is right if it is off by no more.
pub(crate) const REACH: usize = 8;

/// What a count of guesses may come to; one that was wrong counts [`WRONG`] times as much as one that was right.
const MOST: i8 = 15;
const WRONG: i8 = 4;
/// From this count on guesses are followed.
const ENOUGH: i8 = 8;

/// About which part of the keys of a page lies before a key, and with how many bytes all of them begin at least.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Guess {
    /// In 65,536ths.
    part: u16,
    pub(crate) prefix_len: u16,
}

impl Guess {
    /// Of a page whose keys lie from `from` on and below `to`: the eight bytes after the first `prefix_len`, which all have in
    /// common, of these and of the key. `None` if that says nothing.
    #[inline(always)]
    pub(crate) fn between(from: u64, to: u64, key: u64, prefix_len: usize) -> Option<Guess> {
        let (width, beyond) = (to.checked_sub(from)?, key.checked_sub(from)?);
        if beyond > width || width == 0 {
            return None;
        }
        // As many digits as there are.
        let shift = width.leading_zeros();
        let part = (beyond << shift) / (((width << shift) >> 16) + 1);
        let common = (from ^ to).leading_zeros() / 8;
        Some(Guess { part: part.min(0xffff) as u16, prefix_len: (prefix_len + common as usize).min(0xffff) as u16 })
    }

    /// The place among so many.
    #[inline(always)]
    pub(crate) fn of(self, all: usize) -> usize {
        (all.min(0xffff) * usize::from(self.part)) >> 16
    }
}

/// The first of `len` sorted heads that is not below `head`, if it is within reach of `near`.
#[inline(always)]
pub(crate) fn lower_near<H: PartialOrd>(len: usize, near: usize, head: H, at: impl Fn(usize) -> H) -> Option<usize> {
    let (from, to) = (near.saturating_sub(REACH).min(len), (near + REACH).min(len));
    if (from > 0 && at(from - 1) >= head) || (to < len && at(to) < head) {
        return None;
    }
    let (mut base, mut size) = (from, to - from);
    while size > 0 {
        let half = size.div_ceil(2);
        base += if at(base + half - 1) < head { half } else { 0 };
        size -= half;
    }
    Some(base)
}

/// How the guesses of a thread turned out of late.
#[derive(Debug)]
pub(crate) struct Record(Cell<i8>);

thread_local! {
    /// In branches: whoever has a tree of text keys beside one of random keys has to do with both by turns, and trusts neither.
    pub(crate) static BRANCHES: Record = const { Record(Cell::new(0)) };
    /// In leaves.
    pub(crate) static LEAVES: Record = const { Record(Cell::new(0)) };
}

/// The guess, if those before it were right.
#[inline(always)]
pub(crate) fn trusted(record: &'static LocalKey<Record>, guess: Option<usize>) -> Option<usize> {
    guess.filter(|_| record.with(|record| record.0.get()) >= ENOUGH)
}

/// Takes note of a guess, and of what was found.
#[inline(always)]
pub(crate) fn note(record: &'static LocalKey<Record>, guess: Option<usize>, found: usize) {
    let Some(guess) = guess else { return };
    record.with(|Record(count)| {
        let right = guess.abs_diff(found) <= REACH;
        count.set(if right { (count.get() + 1).min(MOST) } else { (count.get() - WRONG).max(0) });
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_place_of_a_key_is_proportional_between_two_separators() {
        let of = |from, to, key| Guess::between(from, to, key, 3).map(|guess| guess.of(1000));
        assert_eq!(of(1 << 40, 1 << 41, 1 << 40), Some(0));
        assert_eq!(of(1 << 40, 1 << 41, 3 << 39), Some(499));
        assert_eq!(of(1 << 40, 1 << 41, (1 << 41) - 1), Some(999));
        assert_eq!(of(0, u64::MAX, u64::MAX / 4), Some(249));
        assert_eq!(of(7, 10, 8), Some(333), "the last bits of a head say as much as the first ones");
        assert_eq!(of(7, 7, 7), None);
        assert_eq!(of(7, 9, 6), None, "it is not below the child");
        assert_eq!(of(7, 9, 10), None);
        assert_eq!(Guess::between(0x0102_0304 << 32, 0x0102_0404 << 32, 0x0102_0390 << 32, 3).unwrap().prefix_len, 5);
    }

    #[test]
    fn guesses_are_followed_after_some_that_were_right_and_not_after_two_that_were_wrong() {
        let follows = || trusted(&LEAVES, Some(5)).is_some();
        std::thread::spawn(move || {
            assert!(!follows());
            (0..100).for_each(|_| note(&LEAVES, Some(5), 5 + REACH));
            assert!(follows());
            assert_eq!(trusted(&LEAVES, None), None);
            assert_eq!(trusted(&BRANCHES, Some(5)), None, "branches are counted by themselves");
            note(&LEAVES, None, 70);
            note(&LEAVES, Some(5), 6 + REACH);
            assert!(follows(), "one in five may be wrong");
            note(&LEAVES, Some(50), 41);
            assert!(!follows());
            (0..8).for_each(|_| note(&LEAVES, Some(5), 5));
            assert!(follows());
        })
        .join()
        .unwrap();
    }

    proptest! {
        #[test]
        fn what_is_found_near_a_guess_is_what_is_found_anyway(mut heads: Vec<u16>, near in 0usize..120, head: u16) {
            heads.sort_unstable();
            let everywhere = heads.partition_point(|h| *h < head);
            let found = lower_near(heads.len(), near, head, |i| heads[i]);
            prop_assert!(found.is_none_or(|found| found == everywhere));
            let near = everywhere.saturating_add_signed(near as isize % 17 - 8).min(heads.len());
            prop_assert_eq!(lower_near(heads.len(), near, head, |i| heads[i]), Some(everywhere), "it is within reach");
        }

        #[test]
        fn a_guess_is_a_place_whatever_the_heads(from: u64, to: u64, key: u64, len in 0usize..100_000, all in 1usize..100_000) {
            if let Some(guess) = Guess::between(from, to, key, len) {
                prop_assert!(guess.of(all) < all);
            }
        }
    }
}
