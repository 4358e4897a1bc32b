//! [`Tally`]: how many keys a table adds to what lies under it, or takes from it, by range of keys.
//!
//! For each key, with the newest version as of some number: 1 if that is a value, less 1 if the key has a value in what lies
//! under the table. So the number of keys there are is that of what lies under, and the tally. Whether a key has a
//! value there is asked once for each key, and kept: what lies under a table never changes, but for being merged.
//!
//! Each write changes the tally of its key by -1, 0 or 1, whatever is asked for: by what the version before it in the table
//! said. These changes, without the zeros, are sorted into runs with a running sum, and a range is two searches in each
//! run. As the changes add up, several runs may have the same key. Runs are merged as those of `order.rs` are.
//!
//! A tally goes forward only: as of a number before the last one asked for it has no answer. Range deletes are not its
//! business. This file does not know what lies under the table.

use std::sync::Arc;

use crate::arena::{Mark, Pos};
use crate::run::Run;
use crate::sync::Mutex;
use crate::table::Memtable;

const RATIO: usize = 8;

/// Keys that are asked for together.
const ASKED: usize = 256;

#[derive(Debug, Default)]
pub(crate) struct Tallies(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// The writes before are in the runs.
    upto: Mark,
    /// The greatest number among them.
    seq: u64,
    /// A write came later than a younger one: the runs say nothing.
    is_out_of_order: bool,
    /// Keys up to this one may be missing, as they were merged before they were looked at.
    known_above: Option<Vec<u8>>,
    runs: Arc<Vec<Arc<Changes>>>,
}

/// Changes in the order of their keys.
#[derive(Debug, Default)]
struct Changes {
    run: Run,
    /// The sum of the changes at the first so many keys: one more than there are keys.
    sums: Vec<i64>,
}

/// The tally of a table as of some number; see [`Memtable::tally`].
#[derive(Debug)]
pub struct Tally<'t> {
    table: &'t Memtable,
    runs: Arc<Vec<Arc<Changes>>>,
}

impl Tally<'_> {
    /// How many more keys have a value than under the table, from the key `start` on and below `end`, if that is given.
    ///
    /// O(log n), twice.
    pub fn between(&self, start: &[u8], end: Option<&[u8]>) -> i64 {
        let sum_below = |changes: &Changes, key: &[u8]| changes.sums[changes.run.below(self.table.arena(), key)];
        let of_run = |changes: &Arc<Changes>| {
            let upper = match end {
                Some(end) => sum_below(changes, end),
                None => changes.sums.last().copied().unwrap_or(0),
            };
            upper - sum_below(changes, start)
        };
        if end.is_some_and(|end| end <= start) { 0 } else { self.runs.iter().map(of_run).sum() }
    }
}

impl Memtable {
    /// How the writes up to `at` change the number of keys, for all ranges of keys above `above` (all, if that is none).
    ///
    /// `under` says for each of some keys whether it has a value in what lies under this table; it is asked once for each
    /// key of the table, by whoever comes first. Nothing above `above` that is under the table may change but by moving
    /// further down; and range deletes, of this table and under it, must not have been written while it was asked, where
    /// the answer is used.
    ///
    /// `None`: there is no answer, as a later number was asked for before, or keys above `above` were merged away before
    /// they were looked at. Cost: one question for each key written since the last call. Other callers wait meanwhile;
    /// readers and writers do not.
    ///
    /// # Errors
    /// Those of `under`; the next call asks again.
    pub fn tally<E>(
        &self,
        at: u64,
        above: Option<&[u8]>,
        mut under: impl FnMut(&[&[u8]]) -> Result<Vec<bool>, E>,
    ) -> Result<Option<Tally<'_>>, E> {
        let mut state = self.tallies().0.lock();
        let is_unknown = state.known_above.as_deref().is_some_and(|known| above.is_none_or(|above| above < known));
        if at < state.seq || state.is_out_of_order || is_unknown {
            return Ok(None);
        }
        let news = self.changes(&state, at, above, &mut under)?;
        state.seq = news.seq;
        state.upto = news.upto;
        if news.is_out_of_order {
            state.is_out_of_order = true;
            return Ok(None);
        }
        if news.passed_over {
            state.known_above = above.map(Into::into);
        }
        if !news.changes.is_empty() {
            let mut newest = Changes::sort(self, news.changes);
            let mut runs = Vec::with_capacity(state.runs.len() + 1);
            runs.extend(state.runs.iter().cloned());
            while let Some(older) = runs.pop_if(|older: &mut Arc<Changes>| older.run.len() < newest.run.len() * RATIO) {
                newest = Changes::merge(self, &older, &newest);
            }
            runs.push(Arc::new(newest));
            state.runs = Arc::new(runs);
        }
        Ok(Some(Tally { table: self, runs: Arc::clone(&state.runs) }))
    }

    /// What the writes since the last call change.
    fn changes<E>(
        &self,
        state: &State,
        at: u64,
        above: Option<&[u8]>,
        under: &mut impl FnMut(&[&[u8]]) -> Result<Vec<bool>, E>,
    ) -> Result<News, E> {
        let arena = self.arena();
        let mut news = News { seq: state.seq, ..News::default() };
        // Keys with no version before: what they change depends on what lies under.
        let mut first: Vec<(Pos, bool)> = Vec::new();
        news.upto = arena.between_while(state.upto, arena.mark(), |pos, record| {
            let seq = record.header.seq;
            if seq < news.seq {
                news.is_out_of_order = true;
            }
            if seq > at || news.is_out_of_order {
                return false;
            }
            news.seq = seq;
            let key = record.key();
            if above.is_some_and(|above| key <= above) {
                news.passed_over = true;
                return true;
            }
            match self.version_before(&record) {
                None => first.push((pos, !record.header.is_tombstone)),
                Some(before) => news.add(pos, i64::from(!record.header.is_tombstone) - i64::from(before)),
            }
            true
        });
        for asked in first.chunks(ASKED) {
            let keys: Vec<&[u8]> = asked.iter().map(|&(pos, _)| arena.record(pos).key()).collect();
            for (&(pos, is_value), was_there) in asked.iter().zip(under(&keys)?) {
                news.add(pos, i64::from(is_value) - i64::from(was_there));
            }
        }
        Ok(news)
    }
}

/// What is new since the last call.
#[derive(Default)]
struct News {
    upto: Mark,
    seq: u64,
    is_out_of_order: bool,
    /// Whether there were keys that were merged already.
    passed_over: bool,
    changes: Vec<(Pos, i64)>,
}

impl News {
    fn add(&mut self, pos: Pos, change: i64) {
        if change != 0 {
            self.changes.push((pos, change));
        }
    }
}

impl Changes {
    fn sort(table: &Memtable, changes: Vec<(Pos, i64)>) -> Self {
        let mut sums = vec![0];
        let mut sum = 0;
        let run = Run::sort_with(table.arena(), changes, |change, is_last_of_key| {
            sum += change;
            if is_last_of_key {
                sums.push(sum);
            }
        });
        Changes { run, sums }
    }

    fn merge(table: &Memtable, older: &Changes, newer: &Changes) -> Self {
        let mut sums = vec![0];
        let mut sum = 0;
        let run = Run::merge_with(table.arena(), &older.run, &newer.run, |from_older, from_newer| {
            sum += from_older.map_or(0, |i| older.at(i)) + from_newer.map_or(0, |i| newer.at(i));
            sums.push(sum);
        });
        Changes { run, sums }
    }

    /// The change at key number `i`.
    fn at(&self, i: usize) -> i64 {
        self.sums[i + 1] - self.sums[i]
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::Entry;
    use proptest::prelude::*;
    use std::collections::{BTreeMap, BTreeSet};
    use std::convert::Infallible;

    fn hash(key: &[u8]) -> u64 {
        xxhash_rust::xxh3::xxh3_64_with_seed(key, 1)
    }

    fn put(table: &Memtable, key: &str, seq: u64, value: Option<&[u8]>) {
        let entry = value.map_or(Entry::Tombstone, Entry::Value);
        table.insert(hash(key.as_bytes()), key.as_bytes(), seq, entry);
    }

    fn between(table: &Memtable, at: u64, under: &[&str], start: &str, end: Option<&str>) -> Option<i64> {
        let under = |keys: &[&[u8]]| {
            Ok::<_, Infallible>(keys.iter().map(|key| under.iter().any(|there| there.as_bytes() == *key)).collect())
        };
        let Ok(tally) = table.tally(at, None, under);
        tally.map(|tally| tally.between(start.as_bytes(), end.map(str::as_bytes)))
    }

    #[test]
    fn a_key_counts_by_what_it_had_before() {
        let table = Memtable::new();
        put(&table, "new", 1, Some(b""));
        put(&table, "old", 2, Some(b""));
        put(&table, "gone", 3, None);
        put(&table, "never", 4, None);
        let under = ["old", "gone"];
        assert_eq!(between(&table, 1, &under, "", None), Some(1));
        assert_eq!(between(&table, 2, &under, "", None), Some(1));
        assert_eq!(between(&table, 4, &under, "", None), Some(0));
        assert_eq!(between(&table, 4, &under, "h", None), Some(1));
        assert_eq!(between(&table, 4, &under, "", Some("h")), Some(-1));
        put(&table, "gone", 5, Some(b""));
        put(&table, "new", 6, None);
        assert_eq!(between(&table, 9, &under, "", None), Some(0));
        assert_eq!(between(&table, 8, &under, "", None), Some(0), "nothing was written above 6");
        assert_eq!(between(&table, 5, &under, "", None), None, "the tally is as of 6");
    }

    #[test]
    fn what_lies_under_a_key_is_asked_once() {
        let table = Memtable::new();
        let mut asked = Vec::new();
        for seq in 1..=2000u64 {
            put(&table, &format!("{:03}", seq * 7 % 500), seq, (seq % 3 > 0).then_some(b""));
            if seq.is_multiple_of(97) || seq == 2000 {
                let under = |keys: &[&[u8]]| {
                    asked.extend(keys.iter().map(|key| key.to_vec()));
                    Ok::<_, Infallible>(vec![false; keys.len()])
                };
                let Ok(tally) = table.tally(seq, None, under);
                assert!(tally.is_some());
            }
        }
        let distinct: BTreeSet<_> = asked.iter().collect();
        assert_eq!((asked.len(), distinct.len()), (500, 500));
    }

    #[test]
    fn a_failure_to_look_below_leaves_everything_to_the_next_call() {
        let table = Memtable::new();
        put(&table, "a", 1, Some(b""));
        assert!(table.tally(1, None, |_| Err("a page is bad")).is_err());
        assert_eq!(between(&table, 1, &[], "", None), Some(1));
    }

    #[test]
    fn what_was_merged_before_it_was_looked_at_is_known_to_be_missing() {
        let table = Memtable::new();
        for (seq, key) in (1..).zip(["a", "b", "c"]) {
            put(&table, key, seq, Some(b""));
        }
        let absent = |keys: &[&[u8]]| Ok::<_, Infallible>(vec![false; keys.len()]);
        let sum = |above: Option<&[u8]>| {
            let Ok(tally) = table.tally(3, above, absent);
            tally.map(|tally| tally.between(b"b\0", None))
        };
        assert_eq!(sum(Some(b"b")), Some(1));
        assert_eq!(sum(None), None, "who sees a and b in the table gets no answer");
        assert_eq!(sum(Some(b"a")), None);
        assert_eq!(sum(Some(b"bb")), Some(1));
    }

    proptest! {
        #[test]
        fn sums_agree_with_a_map(
            writes in prop::collection::vec((0u8..40, any::<bool>(), 0u8..6), 1..300),
            under in prop::collection::btree_set(0u8..40, 0..40),
            bounds in prop::collection::vec((0u8..41, prop::option::of(0u8..41)), 4),
        ) {
            let table = Memtable::new();
            let name = |n: u8| format!("prefix {n:02}{}", "x".repeat(usize::from(n % 9)));
            let mut map: BTreeMap<String, i64> = under.iter().map(|&n| (name(n), 0)).collect();
            let below: BTreeSet<Vec<u8>> = under.iter().map(|&n| name(n).into_bytes()).collect();
            for (seq, &(key, is_put, look)) in (1..).zip(&writes) {
                put(&table, &name(key), seq, is_put.then_some(b"value"));
                map.insert(name(key), i64::from(is_put) - i64::from(under.contains(&key)));
                if look > 0 {
                    continue;
                }
                let under = |keys: &[&[u8]]| Ok::<_, Infallible>(keys.iter().map(|key| below.contains(*key)).collect());
                let Ok(tally) = table.tally(seq, None, under);
                let tally = tally.expect("each number is later than the one before");
                for &(from, to) in &bounds {
                    let (from, to) = (name(from), to.map(name));
                    let inside = |key: &&String| **key >= from && to.as_ref().is_none_or(|to| *key < to);
                    let expected: i64 = map.iter().filter(|(key, _)| inside(key)).map(|(_, change)| change).sum();
                    prop_assert_eq!(tally.between(from.as_bytes(), to.as_deref().map(str::as_bytes)), expected);
                }
            }
        }
    }
}
