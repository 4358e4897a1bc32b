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
//! A value that expires counts as any other there; what becomes of the sum when its time has come is in `timed.rs`. A tally
//! has no clock: it is told the time when it is asked.
//!
//! A tally goes forward only: as of a number before the last one asked for it has no answer. Nor has it one for a time before
//! the one at which something that had expired was dropped from what lies under: it may have been asked about that
//! afterwards, and was told that nothing is there. Range deletes are not its business. This file does not know what lies
//! under the table.

use std::sync::Arc;

use crate::arena::{Mark, Pos};
use crate::entry::Life;
use crate::run::Run;
use crate::sync::Mutex;
use crate::table::Memtable;
use crate::timed::{Event, Timed};

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
    /// What lies under was without everything that had expired by then, whenever it was asked.
    dropped_ms: u64,
    runs: Arc<Vec<Arc<Changes>>>,
    /// Runs of what changes with time; none while nothing expires.
    timed: Arc<Vec<Arc<Timed>>>,
}

/// The time of a question, and what may be gone from under the table by then.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AsOf {
    /// The time, in milliseconds: what expires at it or before has expired.
    pub now_ms: u64,
    /// Of what lies under the table, as whoever asks sees it, entries that had expired by this time may have been dropped;
    /// not above `now_ms`. 0: none was.
    pub dropped_ms: u64,
}

/// Changes in the order of their keys.
#[derive(Debug, Default)]
struct Changes {
    run: Run,
    /// The sum of the changes at the first so many keys: one more than there are keys.
    sums: Vec<i64>,
}

/// The tally of a table as of some number and time; see [`Memtable::tally`].
#[derive(Debug)]
pub struct Tally<'t> {
    table: &'t Memtable,
    runs: Arc<Vec<Arc<Changes>>>,
    timed: Arc<Vec<Arc<Timed>>>,
    now_ms: u64,
}

impl Tally<'_> {
    /// How many more keys have a value than under the table, from the key `start` on and below `end`, if that is given.
    ///
    /// O(log n), twice; if something has expired, also a nanosecond or so for each value in the range that ever expires.
    pub fn between(&self, start: &[u8], end: Option<&[u8]>) -> i64 {
        let sum_below = |changes: &Changes, key: &[u8]| changes.sums[changes.run.below(self.table.arena(), key)];
        let of_run = |changes: &Arc<Changes>| {
            let upper = match end {
                Some(end) => sum_below(changes, end),
                None => changes.sums.last().copied().unwrap_or(0),
            };
            upper - sum_below(changes, start)
        };
        if end.is_some_and(|end| end <= start) {
            return 0;
        }
        let timed = self.timed.iter().map(|timed| timed.between(self.table, start, end, self.now_ms));
        self.runs.iter().map(of_run).sum::<i64>() + timed.sum::<i64>()
    }
}

impl Memtable {
    /// How the writes up to `at` change the number of keys, for all ranges of keys above `above` (all, if that is none).
    ///
    /// `under` says for each of some keys how long it has a value in what lies under this table, whatever the time is; it is
    /// asked once for each key of the table, by whoever comes first. Nothing above `above` that is under the table may change
    /// but by moving further down, or by being dropped once it has expired, which `as_of` tells of; and range deletes, of
    /// this table and under it, must not have been written while it was asked, where the answer is used.
    ///
    /// `None`: there is no answer, as a later number was asked for before, or keys above `above` were merged away before
    /// they were looked at, or what had not expired yet at `as_of` may have been dropped when others asked. Cost: one
    /// question for each key written since the last call. Other callers wait meanwhile; readers and writers do not.
    ///
    /// # Errors
    /// Those of `under`; the next call asks again.
    pub fn tally<E>(
        &self,
        at: u64,
        above: Option<&[u8]>,
        as_of: AsOf,
        mut under: impl FnMut(&[&[u8]]) -> Result<Vec<Life>, E>,
    ) -> Result<Option<Tally<'_>>, E> {
        let mut state = self.tallies().0.lock();
        let is_unknown = state.known_above.as_deref().is_some_and(|known| above.is_none_or(|above| above < known));
        if at < state.seq || state.is_out_of_order || is_unknown || as_of.now_ms < state.dropped_ms {
            return Ok(None);
        }
        state.dropped_ms = state.dropped_ms.max(as_of.dropped_ms);
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
        if !news.events.is_empty() {
            let mut newest = Timed::sort(self, news.events);
            let mut runs = state.timed.to_vec();
            while let Some(older) = runs.pop_if(|older: &mut Arc<Timed>| older.len() < newest.len() * RATIO) {
                newest = Timed::merge(self, &older, &newest);
            }
            runs.push(Arc::new(newest));
            state.timed = Arc::new(runs);
        }
        let (runs, timed) = (Arc::clone(&state.runs), Arc::clone(&state.timed));
        Ok(Some(Tally { table: self, runs, timed, now_ms: as_of.now_ms }))
    }

    /// What the writes since the last call change.
    fn changes<E>(
        &self,
        state: &State,
        at: u64,
        above: Option<&[u8]>,
        under: &mut impl FnMut(&[&[u8]]) -> Result<Vec<Life>, E>,
    ) -> Result<News, E> {
        let arena = self.arena();
        let mut news = News { seq: state.seq, ..News::default() };
        // Keys with no version before: what they change depends on what lies under.
        let mut first: Vec<(Pos, Life)> = Vec::new();
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
                None => first.push((pos, record.entry().life())),
                Some(before) => news.add(pos, record.entry().life(), before),
            }
            true
        });
        if first.len() > ASKED {
            // In the order of keys: what lies under neighbours lies in one page.
            let mut lives = Vec::with_capacity(first.len());
            let run = Run::sort_with(arena, first, |life, _| lives.push(life));
            first = run.positions().iter().copied().zip(lives).collect();
        }
        for asked in first.chunks(ASKED) {
            let keys: Vec<&[u8]> = asked.iter().map(|&(pos, _)| arena.record(pos).key()).collect();
            for (&(pos, life), before) in asked.iter().zip(under(&keys)?) {
                news.add(pos, life, before);
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
    events: Vec<(Pos, Event)>,
}

impl News {
    /// A record of a key, and what held for the key before.
    fn add(&mut self, pos: Pos, life: Life, before: Life) {
        if life == before {
            return;
        }
        let change = i64::from(life != Life::Absent) - i64::from(before != Life::Absent);
        if change != 0 {
            self.changes.push((pos, change));
        }
        if let Life::Until(at_ms) = before {
            self.events.push((pos, (at_ms, 1)));
        }
        if let Life::Until(at_ms) = life {
            self.events.push((pos, (at_ms, -1)));
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
        let life = |key: &[u8]| match under.iter().any(|there| there.as_bytes() == key) {
            true => Life::Forever,
            false => Life::Absent,
        };
        let under = |keys: &[&[u8]]| Ok::<_, Infallible>(keys.iter().map(|key| life(key)).collect());
        let Ok(tally) = table.tally(at, None, AsOf::default(), under);
        tally.map(|tally| tally.between(start.as_bytes(), end.map(str::as_bytes)))
    }

    #[test]
    fn many_keys_are_asked_about_in_their_order_and_each_once() {
        let table = Memtable::new();
        let keys = 3 * ASKED as u64 + 7;
        let name = |n: u64| format!("{:08x}", n.wrapping_mul(0x9e37_79b9) as u32);
        (0..keys).for_each(|n| put(&table, &name(n), n + 1, if n.is_multiple_of(3) { None } else { Some(b"") }));
        let mut told: Vec<Vec<u8>> = Vec::new();
        let mut expected = 0;
        let Ok(tally) = table.tally(keys, None, AsOf::default(), |asked| {
            told.extend(asked.iter().map(|key| key.to_vec()));
            let life = |key: &&[u8]| if key[7].is_multiple_of(2) { Life::Forever } else { Life::Absent };
            Ok::<_, Infallible>(asked.iter().map(life).collect())
        });
        for n in 0..keys {
            expected += i64::from(!n.is_multiple_of(3)) - i64::from(name(n).as_bytes()[7].is_multiple_of(2));
        }
        assert_eq!(tally.expect("an answer").between(b"", None), expected);
        let all: BTreeSet<Vec<u8>> = (0..keys).map(|n| name(n).into_bytes()).collect();
        assert!(told.iter().eq(&all), "in order, and each once");
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
                    Ok::<_, Infallible>(vec![Life::Absent; keys.len()])
                };
                let Ok(tally) = table.tally(seq, None, AsOf::default(), under);
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
        assert!(table.tally(1, None, AsOf::default(), |_| Err("a page is bad")).is_err());
        assert_eq!(between(&table, 1, &[], "", None), Some(1));
    }

    #[test]
    fn what_was_merged_before_it_was_looked_at_is_known_to_be_missing() {
        let table = Memtable::new();
        for (seq, key) in (1..).zip(["a", "b", "c"]) {
            put(&table, key, seq, Some(b""));
        }
        let absent = |keys: &[&[u8]]| Ok::<_, Infallible>(vec![Life::Absent; keys.len()]);
        let sum = |above: Option<&[u8]>| {
            let Ok(tally) = table.tally(3, above, AsOf::default(), absent);
            tally.map(|tally| tally.between(b"b\0", None))
        };
        assert_eq!(sum(Some(b"b")), Some(1));
        assert_eq!(sum(None), None, "who sees a and b in the table gets no answer");
        assert_eq!(sum(Some(b"a")), None);
        assert_eq!(sum(Some(b"bb")), Some(1));
    }

    #[test]
    fn a_value_counts_until_its_time_and_hides_what_lies_under_it_ever_after() {
        let table = Memtable::new();
        let mut seq = 0;
        let mut until = |key: &[u8], at_ms: u64| {
            seq += 1;
            table.insert(hash(key), key, seq, Entry::Expiring(b"", at_ms));
        };
        until(b"new", 10);
        until(b"over what expires", 20);
        until(b"over what stays", 30);
        until(b"twice", 40);
        until(b"twice", 15);
        let life = |key: &[u8]| match key {
            b"over what expires" => Life::Until(25),
            b"over what stays" => Life::Forever,
            _ => Life::Absent,
        };
        let sum = |now_ms| {
            let under = |keys: &[&[u8]]| Ok::<_, Infallible>(keys.iter().map(|key| life(key)).collect());
            let Ok(tally) = table.tally(9, None, AsOf { now_ms, dropped_ms: 0 }, under);
            tally.expect("nothing was dropped").between(b"", None)
        };
        assert_eq!([0, 9, 10, 15, 20, 25, 30, 99].map(sum), [2, 2, 1, 0, -1, 0, -1, -1]);
    }

    #[test]
    fn who_is_before_something_was_dropped_gets_no_answer() {
        let table = Memtable::new();
        put(&table, "a", 1, Some(b""));
        let ask = |now_ms, dropped_ms, life| {
            let Ok(tally) = table.tally(1, None, AsOf { now_ms, dropped_ms }, |_| Ok::<_, Infallible>(vec![life]));
            tally.map(|tally| tally.between(b"", None))
        };
        assert_eq!(ask(20, 15, Life::Absent), Some(1));
        assert_eq!(ask(14, 0, Life::Until(15)), None, "to this one the key below is there still");
        assert_eq!(ask(15, 0, Life::Until(15)), Some(1));
    }

    /// A time, or none.
    fn life() -> impl Strategy<Value = Life> {
        prop_oneof![3 => Just(Life::Absent), 4 => Just(Life::Forever), 4 => (1u64..12).prop_map(Life::Until)]
    }

    proptest! {
        #[test]
        fn sums_agree_with_a_map(
            writes in prop::collection::vec((0u8..40, life(), 0u8..6), 1..300),
            under in prop::collection::btree_map(0u8..40, life(), 0..40),
            bounds in prop::collection::vec((0u8..41, prop::option::of(0u8..41), 0u64..13), 4),
        ) {
            let table = Memtable::new();
            let name = |n: u8| format!("prefix {n:02}{}", "x".repeat(usize::from(n % 9)));
            let below: BTreeMap<Vec<u8>, Life> = under.iter().map(|(&n, &life)| (name(n).into_bytes(), life)).collect();
            let mut map: BTreeMap<String, Life> = BTreeMap::new();
            for (seq, &(key, life, look)) in (1..).zip(&writes) {
                let key = name(key);
                let entry = match life {
                    Life::Absent => Entry::Tombstone,
                    Life::Until(at_ms) => Entry::Expiring(b"value", at_ms),
                    Life::Forever => Entry::Value(b"value"),
                };
                table.insert(hash(key.as_bytes()), key.as_bytes(), seq, entry);
                map.insert(key, life);
                if look > 0 {
                    continue;
                }
                let of = |key: &[u8]| below.get(key).copied().unwrap_or_default();
                for &(from, to, now_ms) in &bounds {
                    let under = |keys: &[&[u8]]| Ok::<_, Infallible>(keys.iter().map(|key| of(key)).collect());
                    let Ok(tally) = table.tally(seq, None, AsOf { now_ms, dropped_ms: 0 }, under);
                    let tally = tally.expect("each number is later than the one before");
                    let (from, to) = (name(from), to.map(name));
                    let inside = |key: &&String| **key >= from && to.as_ref().is_none_or(|to| *key < to);
                    let live = |life: Life| i64::from(life.is_live(now_ms));
                    let changes = map.iter().filter(|(key, _)| inside(key));
                    let expected: i64 = changes.map(|(key, life)| live(*life) - live(of(key.as_bytes()))).sum();
                    prop_assert_eq!(tally.between(from.as_bytes(), to.as_deref().map(str::as_bytes)), expected);
                }
            }
        }
    }
}
