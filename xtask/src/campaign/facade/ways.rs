//! One call of a workload, in each of the ways that the facade has for it.
//!
//! The generator draws a put, a delete, a range delete or a read; which of the facade's methods does it follows from the bits of
//! what was drawn. So the oracle needs to know nothing about the methods, a workload means the same at every level, and a
//! method that is added here moves no seed. What each is asked beyond that (the value that was there, a number of keys, a
//! time to live) is compared here, as one thread alone works on the keyspace.
//!
//! What lives for a time lives for a day: no run sees its end. Expiry itself is for the level below, whose clock is drawn.
//!
//! The workload means commits that are synchronised. A call that finds nothing to do may write nothing, and then says nothing about
//! what was written before it at a lower level: so `sync` follows. It follows no call that wrote, as it would make up for what
//! that one owes.

use super::Facade;
use crate::campaign::engine::{Answer, Refusal};
use crate::campaign::ops::{self, Write};
use halodb::{Cas, Condition, Durability, ErrorKind, Key, Keyspace, Transaction, Ttl, TtlState, Value, WriteOptions};
use std::ops::{Bound, ControlFlow};
use std::time::Duration;

/// A range of keys.
type Span<'k> = (Bound<&'k [u8]>, Bound<&'k [u8]>);

/// Longer than any run.
pub(super) const DAY: Ttl = Ttl::After(Duration::from_secs(24 * 3600));

fn wrong<T>(text: impl Into<String>) -> Answer<T> {
    Facade::wrong(text)
}

fn owned(value: Option<Value>) -> Option<Vec<u8>> {
    value.map(|value| value.to_vec())
}

/// Whether a key has a time to live, and is there.
fn lives_for_a_time(keys: &Keyspace, key: &[u8]) -> Answer<Option<bool>> {
    Ok(match keys.ttl(key)? {
        TtlState::Missing => None,
        TtlState::Never => Some(false),
        TtlState::In(_) => Some(true),
    })
}

impl Facade {
    /// One write at the highest level.
    pub(super) fn write_one(&mut self, write: &Write) -> Answer<()> {
        match write {
            Write::PutUntil(id, value, after) => {
                self.keys.put(ops::key(*id), ops::until_bytes(*value, *after))?;
                Ok(())
            }
            Write::Put(id, value) => self.put_one(&ops::key(*id), value.bytes(), value.fill),
            Write::Delete(id) => {
                let key = ops::key(*id);
                let was_there = self.keys.contains(&key)?;
                self.delete_one(&key, id / 8)?;
                self.sync_unless(was_there)
            }
            Write::DeleteRange(ops::CLEAR, None) if self.keys.len()?.is_multiple_of(2) => self.renew(),
            Write::DeleteRange(ops::CLEAR, None) => Ok(self.keys.clear().map(drop)?),
            Write::DeleteRange(from, to) => {
                let way = from + to.unwrap_or(0);
                let (from, to) = ops::range(*from, *to);
                let removed = self.delete_some(&from, to.as_deref(), way)?;
                self.sync_unless(removed > 0)
            }
        }
    }

    /// See the head of this file.
    fn sync_unless(&self, was_written: bool) -> Answer<()> {
        if !was_written {
            self.db.sync()?;
        }
        Ok(())
    }

    fn put_one(&self, key: &[u8], new: Vec<u8>, way: u16) -> Answer<()> {
        let keys = &self.keys;
        let held = || Ok::<_, Refusal>(owned(keys.get(key)?));
        let before = lives_for_a_time(keys, key)?;
        if let Some(number) = number(&new).filter(|number| *number.to_string().as_bytes() == *new)
            && self.increment_to(key, number, way)?
        {
            // An expiry that the key has stays.
            return match lives_for_a_time(keys, key)? {
                Some(found) if found == (before == Some(true)) => Ok(()),
                found => wrong(format!("after an increment the key lives for a time: {found:?}")),
            };
        }
        // Whether it is to live for a time afterwards.
        let expected = match way % 15 {
            0 => {
                let mut tx = keys.begin()?;
                tx.put(key, b"taken back")?;
                tx.clear();
                tx.rollback();
                keys.put(key, &new)?;
                false
            }
            1 => {
                let was = held()?;
                if owned(keys.insert(key, &new)?) != was {
                    return wrong("an insert gave another value than a get before it");
                }
                false
            }
            2 => {
                keys.update(key, |_| Some(new.clone()))?;
                before == Some(true)
            }
            3 => match keys.compare_and_swap(key, held()?.as_deref(), Some(&new))? {
                // Where the value is the same nothing is written.
                Cas::Swapped => return Ok(()),
                Cas::Mismatch { .. } => return wrong("a value was not the one that a get gave just before"),
            },
            4 => {
                keys.put_with(key, &new, &WriteOptions::new().ttl(DAY))?;
                true
            }
            5 => {
                keys.put(key, &new)?;
                if !keys.expire(key, DAY)? {
                    return wrong("a key that was just put is not there to expire");
                }
                true
            }
            6 => {
                keys.put_with(key, &new, &WriteOptions::new().ttl(Ttl::Keep))?;
                before == Some(true)
            }
            7 => {
                let (right, other) = match before {
                    Some(_) => (Condition::IfPresent, Condition::IfAbsent),
                    None => (Condition::IfAbsent, Condition::IfPresent),
                };
                let put = |condition| keys.put_with(key, &new, &WriteOptions::new().condition(condition));
                if put(other)?.is_some() || put(right)?.is_none() {
                    return wrong(format!("a put {other:?} was done, or one {right:?} was not"));
                }
                false
            }
            8 => {
                keys.batch().put_ttl(key, &new, DAY).commit()?;
                true
            }
            9 => {
                self.db.batch().put_in(keys, key, &new).commit()?;
                false
            }
            10 => {
                let found = keys.transaction(|tx| {
                    tx.put(key, &new)?;
                    Ok((tx.get(key)?, tx.multi_get([key])?.pop().flatten()))
                })?;
                if owned(found.0).as_ref() != Some(&new) || owned(found.1).as_ref() != Some(&new) {
                    return wrong("a transaction does not see its own put");
                }
                false
            }
            11 => {
                let seen = keys.transaction(|tx| {
                    tx.put_with(key, &new, &WriteOptions::new().ttl(DAY))?;
                    tx.ttl(key)
                })?;
                if !matches!(seen, TtlState::In(_)) {
                    return wrong(format!("a transaction put for a day, and sees {seen:?}"));
                }
                true
            }
            12 => {
                self.db.transaction(|tx| {
                    let mut tx = tx.keyspace(keys)?;
                    tx.put(key, &new)?;
                    tx.expire(key, DAY).map(drop)
                })?;
                true
            }
            13 => {
                let put = keys.try_transaction(|tx| tx.put(key, &new).map_err(Refusal::from));
                put?;
                false
            }
            _ => {
                let later = WriteOptions::new().durability(Durability::Memory);
                match keys.put_with(key, &new, &later)? {
                    Some(commit) => self.db.wait_durable(commit.seq)?,
                    None => return wrong("a put without a condition was not done"),
                }
                false
            }
        };
        match lives_for_a_time(keys, key)? {
            Some(found) if found == expected => Ok(()),
            found => wrong(format!("after a put in way {}, the key lives for a time: {found:?}", way % 15)),
        }
    }

    fn delete_one(&self, key: &[u8], way: u16) -> Answer<()> {
        let keys = &self.keys;
        let before = owned(keys.get(key)?);
        let was_there = before.is_some();
        let said =
            |said: bool| if said == was_there { Ok(()) } else { wrong("a delete is wrong about what was there") };
        let is_it = |pair: Option<(Key, Value)>| pair.is_some_and(|(first, _)| *first == *key);
        // Where a pop does the same, it does it.
        let popped = match (is_it(keys.first()?), is_it(keys.last()?), way % 2) {
            (true, _, 0) => Some(keys.pop_first()?),
            (true, _, _) => Some(keys.transaction(|tx| tx.pop_first())?),
            (_, true, 0) => Some(keys.pop_last()?),
            (_, true, _) => Some(keys.transaction(|tx| tx.pop_last())?),
            _ => None,
        };
        if let Some(popped) = popped {
            return match popped {
                Some((popped, value)) if *popped == *key && before.as_deref() == Some(&*value) => Ok(()),
                _ => wrong("a pop gave another pair than the one at the end"),
            };
        }
        match way % 10 {
            0 => match owned(keys.remove(key)?) == before {
                true => Ok(()),
                false => wrong("a remove gave another value than a get before it"),
            },
            1 => said(keys.delete(key)?),
            2 => {
                said(keys.expire(key, Ttl::Never)?)?;
                said(keys.delete(key)?)
            }
            3 => match keys.compare_and_swap(key, before.as_deref(), None)? {
                Cas::Swapped => Ok(()),
                Cas::Mismatch { .. } => wrong("a value was not the one that a get gave just before"),
            },
            4 => Ok(keys.update(key, |_| None).map(drop)?),
            5 => said(keys.transaction(|tx| tx.delete(key))?),
            6 => said(keys.transaction(|tx| tx.expire(key, Ttl::After(Duration::ZERO)))?),
            7 => Ok(self.db.batch().delete_in(keys, key).commit().map(drop)?),
            // No key is the beginning of another one.
            8 => said(keys.transaction(|tx| tx.delete_prefix(key))? == 1),
            _ => said(keys.delete_prefix(key)? == 1),
        }
    }

    /// Sets a key to a number by adding to the one that it holds, if it holds one or nothing; whether it does.
    fn increment_to(&self, key: &[u8], new: i64, way: u16) -> Answer<bool> {
        let keys = &self.keys;
        let held = owned(keys.get(key)?);
        let old = held.as_deref().map_or(Some(0), number);
        let Some(by) = old.and_then(|old| new.checked_sub(old)) else {
            let refused = keys.increment(key, new).is_err_and(|e| e.kind() == ErrorKind::InvalidInput);
            if !refused || owned(keys.get(key)?) != held {
                return wrong("what is no number, or no sum, was added to, or is gone");
            }
            return Ok(false);
        };
        let sum = match way % 2 {
            0 => keys.increment(key, by)?,
            _ => keys.transaction(|tx| tx.increment(key, by))?,
        };
        if sum == new { Ok(true) } else { wrong(format!("{by} were added to {old:?}, and the sum is {sum}")) }
    }

    /// Removes the keys of a range in one step; how many there were, which must be true.
    fn delete_some(&self, from: &[u8], to: Option<&[u8]>, way: u16) -> Answer<u64> {
        let keys = &self.keys;
        let range = (Bound::Included(from), to.map_or(Bound::Unbounded, Bound::Excluded));
        let before = keys.len()?;
        let removed = match (way % 7, to) {
            (0, _) => keys.delete_range::<&[u8]>(range)?,
            (1, _) => keys.transaction(|tx| tx.delete_range::<&[u8]>(range))?,
            (2, _) => keys.transaction(|tx| tx.delete_if::<&[u8]>(range, |_, _| true))?,
            (3, _) => keys.transaction(|tx| delete_in_two_turns(tx, range))?,
            (4, None) => keys.transaction(|tx| delete_from_the_end(tx, from))?,
            (5, None) => keys.transaction(|tx| pop_from_the_end(tx, from))?,
            (4 | 5, Some(to)) => keys.transaction(|tx| match tx.first()? {
                // Whoever pops beside the range writes beside it, and that is no part of this step.
                Some((first, _)) if *first < *from => delete_found(tx, range),
                _ => pop_up_to(tx, to),
            })?,
            _ => keys.transaction(|tx| delete_found(tx, range))?,
        };
        match keys.len()? {
            after if after.checked_add(removed) == Some(before) => Ok(removed),
            after => wrong(format!("{removed} keys are said to be removed of {before}, and {after} are left")),
        }
    }

    /// Compacts, to the end or for a step.
    pub(super) fn compact_some(&self) -> Answer<()> {
        match self.keys.len()? % 3 {
            0 => drop(self.db.compact()?),
            1 => drop(self.db.compact_with(|_| ControlFlow::Break(()))?),
            _ => {
                let mut done = 0.0;
                self.db.compact_with(|progress| {
                    done = progress;
                    ControlFlow::Continue(())
                })?;
                if done != 1.0 {
                    return wrong(format!("a compaction says at its end that it has done {done} of all"));
                }
            }
        }
        Ok(())
    }

    /// The newest value of a key.
    pub(super) fn get_one(&self, key: &[u8]) -> Answer<Option<Vec<u8>>> {
        let keys = &self.keys;
        Ok(match key.len() % 4 {
            0 => owned(keys.get(key)?),
            1 => keys.get_with(key, <[u8]>::to_vec)?,
            2 => {
                let absent = [key, b"-"].concat();
                let mut found = keys.multi_get([&absent[..], key, key])?;
                let (second, first) = (found.pop().flatten(), found.pop().flatten());
                if first != second {
                    return wrong("a multi_get gave two values for one key");
                }
                owned(first)
            }
            _ => {
                let found = owned(keys.get(key)?);
                if keys.contains(key)? != found.is_some() {
                    return wrong("`contains` and `get` do not agree");
                }
                found
            }
        })
    }
}

/// Removes the last key again and again, down to a key.
fn delete_from_the_end(tx: &mut Transaction, from: &[u8]) -> halodb::Result<u64> {
    let mut removed = 0;
    while let Some((key, _)) = tx.last()?.filter(|(key, _)| **key >= *from) {
        removed += u64::from(tx.delete(&key)?);
    }
    Ok(removed)
}

/// The same with pops.
fn pop_from_the_end(tx: &mut Transaction, from: &[u8]) -> halodb::Result<u64> {
    let mut removed = 0;
    while tx.last()?.is_some_and(|(key, _)| *key >= *from) {
        removed += u64::from(tx.pop_last()?.is_some());
    }
    Ok(removed)
}

/// Pops everything below a key; the first pair is put back and popped again.
fn pop_up_to(tx: &mut Transaction, to: &[u8]) -> halodb::Result<u64> {
    let mut removed = 0;
    while tx.first()?.is_some_and(|(key, _)| *key < *to) {
        let popped = tx.pop_first()?;
        if let (0, Some((key, value))) = (removed, &popped) {
            tx.put(key, value)?;
            if tx.pop_first()? != popped {
                return Ok(u64::MAX);
            }
        }
        removed += u64::from(popped.is_some());
    }
    Ok(removed)
}

/// What a scan shows, key by key.
fn delete_found(tx: &mut Transaction, range: Span<'_>) -> halodb::Result<u64> {
    let found: Vec<Key> = tx.range::<&[u8]>(range).map(|pair| Ok(pair?.0)).collect::<halodb::Result<_>>()?;
    found.iter().try_fold(0, |sum, key| Ok(sum + u64::from(tx.delete(key)?)))
}

/// Every second pair, then the others, each of which is shown once more.
fn delete_in_two_turns(tx: &mut Transaction, range: Span<'_>) -> halodb::Result<u64> {
    let mut shown = 0;
    let first = tx.delete_if::<&[u8]>(range, |_, _| {
        shown += 1;
        shown % 2 == 0
    })?;
    let others = tx.delete_if::<&[u8]>(range, |_, _| true)?;
    Ok(if first + others == shown { shown } else { u64::MAX })
}

/// The number that a value is.
fn number(value: &[u8]) -> Option<i64> {
    std::str::from_utf8(value).ok()?.parse().ok()
}

/// What a transaction reads of a key.
pub(super) fn get_within(tx: &Transaction, key: &[u8]) -> Answer<Option<Vec<u8>>> {
    Ok(match key.len() % 3 {
        0 => owned(tx.get(key)?),
        1 => tx.get_with(key, <[u8]>::to_vec)?,
        _ => owned(tx.multi_get([key])?.pop().flatten()),
    })
}

/// What a snapshot holds of a key.
pub(super) fn get_then(snapshot: &halodb::Snapshot, key: &[u8]) -> Answer<Option<Vec<u8>>> {
    Ok(match key.len() % 4 {
        0 => owned(snapshot.get(key)?),
        1 => snapshot.get_ref(key)?.map(<[u8]>::to_vec),
        2 => owned(snapshot.multi_get([key])?.pop().flatten()),
        _ => {
            let mut found = None;
            snapshot.multi_get_with([key], |_, value| found = Some(value.to_vec()))?;
            found
        }
    })
}

/// The pairs of a range of a snapshot, lent out one by one.
pub(super) fn scan_lent(
    snapshot: &halodb::Snapshot,
    range: Span<'_>,
    is_backward: bool,
    limit: usize,
) -> Answer<Vec<(Vec<u8>, Vec<u8>)>> {
    let (mut scan, mut pairs) = (snapshot.scan::<&[u8]>(range), Vec::new());
    while pairs.len() < limit {
        let next = if is_backward { scan.next_back()? } else { scan.next()? };
        let Some((key, value)) = next else { break };
        pairs.push((key.to_vec(), value.to_vec()));
    }
    Ok(pairs)
}

/// A key has the rank by which it is found.
pub(super) fn check_rank(snapshot: &halodb::Snapshot, key: &[u8]) -> Answer<()> {
    let rank = snapshot.rank(key)?;
    match snapshot.nth(rank)? {
        Some((found, _)) if *found == *key => Ok(()),
        found => wrong(format!("the key of rank {rank} is not at its place, but {:?}", found.map(|(key, _)| key))),
    }
}
