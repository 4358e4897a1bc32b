//! Transactions in workloads: what they read, how they end, and which end is right.
//!
//! A workload begins a transaction with its reads, goes on with other steps, and ends it later with its writes. In between
//! the oracle notes whether any commit changed what the reads find: then the end must not be a commit, nor if something that
//! they found has expired. If no commit was about anything that was read, and nothing of it has expired, it must not be a
//! conflict. That too much was written to tell is always allowed.

use super::engine::{Answer, Pair};
use super::ops::{self, Profile, Write};
use super::oracle::{self, Pairs};
use halodb::partition::ReadSet;
use proptest::collection::vec;
use proptest::prelude::*;
use std::ops::Bound;

/// One read of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Read {
    /// A key.
    Key(u16),
    /// All keys of a range, with the ends of [`ops::range`].
    Range(u16, Option<u16>),
}

/// How a transaction ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Its writes are there.
    Committed,
    /// Somebody wrote what it had read; nothing was done.
    Conflict,
    /// It cannot be told any more whether somebody did; nothing was done.
    TooOld,
}

/// All reads as the engine is told.
pub fn read_set(reads: &[Read]) -> ReadSet {
    let mut set = ReadSet::new();
    for read in reads {
        match read {
            Read::Key(key) => set.add_key(&ops::key(*key)),
            Read::Range(from, to) => {
                let (from, to) = ops::range(*from, *to);
                set.add_range(Bound::Included(&from), end(to.as_deref()));
            }
        }
    }
    set
}

/// The bound that ends a range of [`ops::range`].
pub fn end(to: Option<&[u8]>) -> Bound<&[u8]> {
    to.map_or(Bound::Unbounded, Bound::Excluded)
}

/// What a read must find.
pub fn expected(pairs: &Pairs, read: Read) -> Vec<Pair> {
    let (from, to) = match read {
        Read::Key(key) => {
            let key = ops::key(key);
            let next = [&key[..], &[0]].concat();
            (key, Some(next))
        }
        Read::Range(from, to) => ops::range(from, to),
    };
    let found = oracle::within(pairs, Bound::Included(&from), end(to.as_deref()));
    found.map(|(key, value)| (key.to_vec(), value.to_vec())).collect()
}

/// Whether anything that the reads found in a state has expired by a time; at 0 nothing has.
pub fn lapsed(reads: &[Read], saw: &Pairs, time_ms: u64) -> bool {
    let has_expired = |value: &[u8]| matches!(ops::expires_at_ms(value), at_ms @ 1.. if at_ms <= time_ms);
    reads.iter().flat_map(|read| expected(saw, *read)).any(|(_, value)| has_expired(&value))
}

/// Whether any of the writes is to what was read, there or not.
pub fn meet(reads: &[Read], writes: &[Write]) -> bool {
    let stretch_of_key = |key: u16| {
        let key = ops::key(key);
        let next = [&key[..], &[0]].concat();
        (key, Some(next))
    };
    let read = |read: &Read| match *read {
        Read::Key(key) => stretch_of_key(key),
        Read::Range(from, to) => ops::range(from, to),
    };
    let written = |write: &Write| match *write {
        Write::Put(key, _) | Write::PutUntil(key, ..) | Write::Delete(key) => stretch_of_key(key),
        Write::DeleteRange(from, to) => ops::range(from, to),
    };
    let below = |a: &[u8], end: &Option<Vec<u8>>| end.as_ref().is_none_or(|end| a < &end[..]);
    let overlap = |(a, a_end): (Vec<u8>, Option<Vec<u8>>), (b, b_end): (Vec<u8>, Option<Vec<u8>>)| {
        let start = a.max(b);
        below(&start, &a_end) && below(&start, &b_end)
    };
    reads.iter().any(|r| writes.iter().any(|w| overlap(read(r), written(w))))
}

/// Compares what the reads of a transaction found with what they must find.
///
/// # Errors
/// The first read that found something else.
pub fn compare(reads: &[Read], found: &[Vec<Pair>], pairs: &Pairs) -> Result<(), String> {
    for (read, found) in reads.iter().zip(found) {
        let expected = expected(pairs, *read);
        if *found != expected {
            let keys = |pairs: &[Pair]| pairs.iter().map(|(key, _)| oracle::show(key)).collect::<Vec<_>>().join(" ");
            return Err(format!("in a transaction {read:?} found [{}], expected [{}]", keys(found), keys(&expected)));
        }
    }
    Ok(())
}

/// A transaction that a session has begun.
#[derive(Debug)]
pub struct Begun<T> {
    /// The engine's part.
    pub open: T,
    /// What it has read.
    pub reads: Vec<Read>,
    /// What it sees.
    pub sees: Pairs,
    /// Whether a commit has changed what its reads find: then it must not be committed.
    pub changed: bool,
    /// Whether a commit was about anything that it read: else it must not be refused. A delete of what is not there is
    /// written by one engine and not by another.
    pub touched: bool,
}

impl<T> Begun<T> {
    /// What its reads would find in a state.
    pub fn finds(&self, pairs: &Pairs) -> Vec<Vec<Pair>> {
        self.reads.iter().map(|read| expected(pairs, *read)).collect()
    }
}

/// Says whether a transaction may end as it did.
///
/// # Errors
/// A sentence, if not.
pub fn judge(ended: Ended, changed: bool, touched: bool, reads: &[Read]) -> Result<(), String> {
    match ended {
        Ended::Committed if changed => {
            Err(format!("a transaction was committed although what it read was changed since: {reads:?}"))
        }
        Ended::Conflict if !touched => {
            Err(format!("a transaction was refused although nothing of what it read was written: {reads:?}"))
        }
        Ended::Committed | Ended::Conflict | Ended::TooOld => Ok(()),
    }
}

/// The step that begins a transaction.
pub fn begin(p: Profile) -> BoxedStrategy<Vec<Read>> {
    let read = prop_oneof![
        3 => (0..p.keys).prop_map(Read::Key),
        1 => (0..p.keys, 0..p.keys).prop_map(|(from, to)| Read::Range(from, Some(to))),
    ];
    vec(read, 0..5).boxed()
}

/// What an engine without transactions answers.
///
/// # Errors
/// Always.
pub fn none<T>() -> Answer<T> {
    Err(super::engine::Refusal { kind: "Unsupported".to_owned(), text: "this engine has no transactions".to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::campaign::ops::{CLEAR, Val};

    #[test]
    fn what_was_read_and_has_expired_since_is_noticed() {
        let mut saw = Pairs::new();
        oracle::apply(
            &mut saw,
            &[Write::PutUntil(1, Val { len: 1, fill: 1 }, 50), Write::Put(2, Val { len: 1, fill: 1 })],
        );
        let check = |reads: &[Read], after_ms: u64, expected: bool| {
            assert_eq!(lapsed(reads, &saw, ops::START_MS + after_ms), expected, "{reads:?} {after_ms}");
        };
        check(&[Read::Key(1)], 49, false);
        check(&[Read::Key(1)], 50, true);
        check(&[Read::Key(2), Read::Key(3)], 50, false);
        check(&[Read::Range(CLEAR, None)], 50, true);
        assert!(!lapsed(&[Read::Key(1)], &saw, 0), "there is no time");
    }

    #[test]
    fn writes_meet_what_was_read_and_nothing_beside_it() {
        let put = |key| vec![Write::Put(key, Val { len: 1, fill: 1 })];
        let check = |reads: &[Read], writes: &[Write], expected: bool| {
            assert_eq!(meet(reads, writes), expected, "{reads:?} {writes:?}");
        };
        check(&[Read::Key(1)], &put(1), true);
        check(&[Read::Key(1)], &put(2), false);
        check(&[Read::Key(1)], &[Write::Delete(1)], true);
        check(&[Read::Range(0, Some(2))], &put(1), true);
        check(&[Read::Range(0, Some(2))], &put(2), false);
        check(&[Read::Range(0, Some(2))], &[Write::DeleteRange(2, Some(3))], false);
        check(&[Read::Range(0, Some(2))], &[Write::DeleteRange(CLEAR, None)], true);
        check(&[Read::Range(0, None)], &[Write::DeleteRange(1, Some(2))], true);
        check(&[], &[Write::DeleteRange(CLEAR, None)], false);
    }
}
