//! What was written since a moment: the evidence that a validating commit looks at.
//!
//! Writes lie in the order of arrival, so what came after a moment is a stretch at the end, and reading it costs what
//! was written meanwhile, not what the table holds. A [`Moment`] is taken while nobody writes: every write before it is in
//! the table's index and counted, so that whoever looks a key up after taking it, and reads what came since, misses nothing.
//!
//! This file does not know who reads, and keeps nothing.

use std::fmt;

use crate::arena::Mark;
use crate::entry::RangeDelete;
use crate::table::Memtable;

/// A moment in the life of one table; every write is before it or after it. The default: before the first one.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Moment {
    mark: Mark,
    range_deletes: u64,
}

impl fmt::Debug for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Moment").finish_non_exhaustive()
    }
}

/// What a write touched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Touched<'a> {
    /// One key, which was set or deleted.
    Key(&'a [u8]),
    /// All keys of a range.
    Range(&'a RangeDelete),
}

impl Memtable {
    /// Now. Waits for the write at hand, O(1).
    pub fn now(&self) -> Moment {
        let _nobody_writes = self.arena().writer();
        Moment { mark: self.arena().mark(), range_deletes: self.ranges().len() }
    }

    /// A moment not after the first write younger than `seq`, and not long before it: at most about 1 MiB of records older
    /// than that lie between, and range deletes. Relies on rising sequence numbers.
    pub fn moment_before(&self, seq: u64) -> Moment {
        Moment { mark: self.arena().begin_before(|record| record.header.seq <= seq), range_deletes: 0 }
    }

    /// Tells each write between two moments, with its sequence number, until `each` says no; whether it never did.
    ///
    /// O(writes between). Range deletes come first, then keys in the order of arrival; a key as often as it was written.
    pub fn touched_between(&self, from: Moment, to: Moment, mut each: impl FnMut(u64, Touched<'_>) -> bool) -> bool {
        let mut ranges = self.ranges().between(from.range_deletes, to.range_deletes);
        if !ranges.all(|range| each(range.seq, Touched::Range(range))) {
            return false;
        }
        let mut goes_on = true;
        self.arena().between_while(from.mark, to.mark, |_, record| {
            goes_on = each(record.header.seq, Touched::Key(record.key()));
            goes_on
        });
        goes_on
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::Entry;

    fn put(table: &Memtable, key: &str, seq: u64, len: usize) {
        let hash = u64::from_le_bytes(*b"any hash").wrapping_mul(key.len() as u64 + 7 * seq);
        table.insert(hash, key.as_bytes(), seq, Entry::Value(&vec![b'v'; len]));
    }

    fn between(table: &Memtable, from: Moment, to: Moment) -> Vec<(u64, String)> {
        let mut all = Vec::new();
        assert!(table.touched_between(from, to, |seq, touched| {
            all.push((
                seq,
                match touched {
                    Touched::Key(key) => String::from_utf8(key.to_vec()).expect("text"),
                    Touched::Range(range) => format!("from {}", String::from_utf8_lossy(&range.start)),
                },
            ));
            true
        }));
        all
    }

    #[test]
    fn what_came_between_two_moments_is_told_once_and_in_order() {
        let table = Memtable::new();
        let first = table.now();
        assert_eq!(first, Moment::default());
        put(&table, "a", 1, 3);
        let second = table.now();
        put(&table, "b", 2, 200 << 10);
        put(&table, "a", 3, 3);
        table.delete_range(b"c", None, 4);
        let third = table.now();
        put(&table, "d", 5, 3);
        let own = |(seq, key): &(u64, &str)| (*seq, (*key).to_string());
        let expect = |list: &[(u64, &str)]| list.iter().map(own).collect::<Vec<_>>();
        assert_eq!(between(&table, first, second), expect(&[(1, "a")]));
        assert_eq!(between(&table, second, third), expect(&[(4, "from c"), (2, "b"), (3, "a")]));
        assert_eq!(between(&table, third, table.now()), expect(&[(5, "d")]));
        assert_eq!(between(&table, third, third), []);
    }

    #[test]
    fn the_moment_before_a_number_has_all_younger_writes_after_it_and_few_older_ones() {
        let table = Memtable::new();
        assert_eq!(table.moment_before(7), Moment::default());
        for seq in 1..=30_000 {
            put(&table, &format!("{seq:06}"), seq, if seq % 1000 == 0 { 300 << 10 } else { 90 });
        }
        for seq in [0, 1, 999, 1000, 1001, 15_000, 29_999, 30_000, 40_000] {
            let told = between(&table, table.moment_before(seq), table.now());
            let younger = told.iter().filter(|(of, _)| *of > seq).count() as u64;
            assert_eq!(younger, 30_000u64.saturating_sub(seq), "after {seq}");
            assert!(told.len() as u64 - younger < 10_000, "{} records to find {younger}", told.len());
        }
    }

    #[test]
    fn whoever_has_seen_enough_is_told_no_more() {
        let table = Memtable::new();
        (1..9).for_each(|seq| put(&table, "k", seq, 1));
        let mut told = 0;
        let all = table.touched_between(Moment::default(), table.now(), |_, _| {
            told += 1;
            told < 3
        });
        assert!(!all);
        assert_eq!(told, 3);
    }
}
