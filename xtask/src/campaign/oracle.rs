//! The oracle: what a database must hold, by a `BTreeMap`; and after a power loss, which states it may hold.
//!
//! The rule of [`History`]: after reopening, the database holds the state after some prefix of the submitted batches,
//! in order, that contains every batch whose durability had been promised. So whole batches in flight may be there or
//! not; half a batch, a batch without an earlier one, or an unknown value never.

use super::backups::Backup;
use super::ops::{self, Write};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::ops::Bound;
use std::sync::Arc;

/// All pairs of a database.
pub type Pairs = BTreeMap<Arc<[u8]>, Arc<[u8]>>;

/// Applies one batch to a state, write after write: a range delete takes what the same batch put before it, too.
pub fn apply(pairs: &mut Pairs, batch: &[Write]) {
    for write in batch {
        match write {
            Write::Put(key, value) => drop(pairs.insert(ops::key(*key).into(), value.bytes().into())),
            Write::PutUntil(key, value, after) => {
                drop(pairs.insert(ops::key(*key).into(), ops::until_bytes(*value, *after).into()));
            }
            Write::Delete(key) => drop(pairs.remove(&ops::key(*key)[..])),
            Write::DeleteRange(from, to) => {
                let (from, to) = ops::range(*from, *to);
                let to = to.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
                let gone: Vec<Arc<[u8]>> =
                    within(pairs, Bound::Included(&from), to).map(|(key, _)| key.clone()).collect();
                for key in gone {
                    pairs.remove(&key);
                }
            }
        }
    }
}

/// Takes out what has expired at a time; at 0 nothing has.
pub fn expire(pairs: &mut Pairs, time_ms: u64) {
    pairs.retain(|_, value| !matches!(ops::expires_at_ms(value), 1.. if ops::expires_at_ms(value) <= time_ms));
}

/// The pairs of a range; a range that ends before it begins holds none.
pub fn within<'a>(
    pairs: &'a Pairs,
    from: Bound<&'a [u8]>,
    to: Bound<&'a [u8]>,
) -> impl DoubleEndedIterator<Item = (&'a Arc<[u8]>, &'a Arc<[u8]>)> {
    let empty = match (from, to) {
        (Bound::Included(from), Bound::Included(to)) => from > to,
        (Bound::Included(from) | Bound::Excluded(from), Bound::Included(to) | Bound::Excluded(to)) => from >= to,
        _ => false,
    };
    let bounds = if empty { (Bound::Excluded(&[][..]), Bound::Included(&[][..])) } else { (from, to) };
    pairs.range::<[u8], _>(bounds)
}

/// What was promised about a batch, and by when. Moments are operation numbers of the simulated disk.
#[derive(Clone, Debug)]
struct Submitted {
    batch: Vec<Write>,
    /// The disk had seen so many operations when the batch was handed in.
    at: u64,
    /// From this moment on it survives the death of the process.
    buffered_at: Option<u64>,
    /// From this moment on it survives a power loss.
    durable_at: Option<u64>,
    /// The sequence number it was answered with, and when.
    number: Option<(u64, u64)>,
}

/// What a crash takes: it decides which promise counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// The process died; what the system had been given is there.
    Process,
    /// The machine died; what had been synchronised is there.
    Power,
}

/// A database's past: a state that is certain, and the batches submitted since.
#[derive(Clone, Debug, Default)]
pub struct History {
    base: Pairs,
    batches: Vec<Submitted>,
    /// What the batches were before a moment at which an open decided which of them survived.
    before: Vec<(u64, Vec<Submitted>)>,
    /// Greatest sequence number given out before the batches.
    number: u64,
    /// The backups made.
    pub backups: Vec<Backup>,
    /// Times that readers have seen, and from which moment on: greater ones later, but where time was set back.
    seen: Vec<(u64, u64)>,
}

impl History {
    /// A past that begins with a state which is certain.
    pub fn starting_from(base: Pairs) -> History {
        History { base, ..History::default() }
    }

    /// Goes on giving out numbers after those of an earlier life.
    pub fn numbering_from(mut self, number: u64) -> History {
        self.number = number;
        self
    }

    /// Readers have seen this time, which never goes back, not even by a loss of power.
    pub fn saw(&mut self, time_ms: u64, at: u64) {
        if self.seen.last().is_none_or(|(_, seen)| *seen < time_ms) {
            self.seen.push((at, time_ms));
        }
    }

    /// From the moment `at` on somebody sets time back to this one: it may be that, or as late as it was.
    pub fn set_back(&mut self, time_ms: u64, at: u64) {
        self.seen.push((at, time_ms));
    }

    /// The latest time that readers had seen by the moment `at`, and that counts then.
    pub fn time_seen(&self, at: u64) -> u64 {
        self.seen.iter().take_while(|(since, _)| *since <= at).last().map_or(0, |(_, time)| *time)
    }

    /// The batch submitted last was answered at `at` with a sequence number, which must be above all earlier ones, those
    /// of lost batches included.
    ///
    /// # Errors
    /// A sentence, if that number was given out before.
    pub fn number(&mut self, number: u64, at: u64) -> Result<(), String> {
        let greatest = self.greatest_number(at);
        if number <= greatest {
            return Err(format!("a commit was answered with number {number}, but {greatest} was given out before"));
        }
        if let Some(batch) = self.batches.last_mut() {
            batch.number = Some((number, at));
        }
        Ok(())
    }

    /// The greatest sequence number that was given out by the moment `at`.
    pub fn greatest_number(&self, at: u64) -> u64 {
        let all = self.before.iter().map(|(_, batches)| batches).chain([&self.batches]).flatten();
        let given = all.filter_map(|batch| batch.number).filter(|(_, answered_at)| *answered_at <= at);
        given.map(|(number, _)| number).max().unwrap_or(0).max(self.number)
    }

    /// A batch is handed to the engine when the disk has seen `at` operations.
    pub fn submit(&mut self, batch: &[Write], at: u64) {
        let batch = batch.to_vec();
        self.batches.push(Submitted { batch, at, buffered_at: None, durable_at: None, number: None });
    }

    /// The engine said about the batch submitted last that nothing of it was done.
    pub fn refuse_last(&mut self) {
        self.batches.pop();
    }

    /// At `at`, everything submitted so far survives a loss of this kind.
    pub fn promise_all(&mut self, loss: Loss, at: u64) {
        for batch in self.batches.iter_mut().rev() {
            let moment = match loss {
                Loss::Process => &mut batch.buffered_at,
                Loss::Power => &mut batch.durable_at,
            };
            if moment.is_some() {
                break; // Everything before it was promised even earlier.
            }
            *moment = Some(at);
            if loss == Loss::Power && batch.buffered_at.is_none() {
                batch.buffered_at = Some(at);
            }
        }
    }

    /// At `at`, an open was finished that showed the first `survivors` batches: those are promised from now on, and the
    /// others never come back.
    pub fn reopened(&mut self, survivors: usize, at: u64) {
        self.before.push((at, self.batches.clone()));
        self.batches.truncate(survivors);
        self.promise_all(Loss::Power, at);
    }

    /// Number of batches since the state that is certain.
    pub fn len(&self) -> usize {
        self.batches.len()
    }

    /// Whether no batch was submitted since.
    pub fn is_empty(&self) -> bool {
        self.batches.is_empty()
    }

    /// Checks a state found after a loss at moment `at`, in a database whose time is `time_ms`: how many batches it contains,
    /// or a sentence saying what is wrong with it.
    ///
    /// # Errors
    /// No prefix of the batches, as long as promised and no longer than submitted, leads to this state; or time went back.
    pub fn explain(&self, found: &Pairs, loss: Loss, at: u64, time_ms: u64) -> Result<usize, String> {
        let seen = self.time_seen(at);
        if time_ms < seen {
            return Err(format!("the time is {time_ms}, and readers have seen {seen}"));
        }
        let promised = |batch: &Submitted| match loss {
            Loss::Process => batch.buffered_at.is_some_and(|moment| moment <= at),
            Loss::Power => batch.durable_at.is_some_and(|moment| moment <= at),
        };
        let batches = self.before.iter().find(|(until, _)| at < *until).map_or(&self.batches, |(_, batches)| batches);
        let least = batches.iter().rposition(promised).map_or(0, |last| last + 1);
        let most = batches.iter().position(|batch| batch.at >= at).unwrap_or(batches.len()).max(least);
        let mut state = self.base.clone();
        for batch in &batches[..least] {
            apply(&mut state, &batch.batch);
        }
        expire(&mut state, time_ms);
        let promised_state = state.clone();
        let mut count = least;
        loop {
            expire(&mut state, time_ms);
            if state == *found {
                return Ok(count);
            }
            if count == most {
                break;
            }
            apply(&mut state, &batches[count].batch);
            count += 1;
        }
        let place = self.place_among_all(batches, found, time_ms);
        Err(format!(
            "the state contains {place}; allowed are the first {least} to {most} of {} batches; against the first {least}: {}; against the first {most}: {}",
            batches.len(),
            difference(&promised_state, found),
            difference(&state, found)
        ))
    }

    /// For the message: whether the state is that of another prefix (lost or invented batches) or of none.
    fn place_among_all(&self, batches: &[Submitted], found: &Pairs, time_ms: u64) -> String {
        let mut state = self.base.clone();
        for (count, batch) in batches.iter().enumerate() {
            expire(&mut state, time_ms);
            if state == *found {
                return format!("the first {count} batches");
            }
            apply(&mut state, &batch.batch);
        }
        expire(&mut state, time_ms);
        if state == *found { "all batches".to_owned() } else { "no prefix of the batches".to_owned() }
    }
}

/// The first few differences between two states, as a clause.
pub fn difference(expected: &Pairs, found: &Pairs) -> String {
    let mut text = String::new();
    let mut count = 0;
    let keys = expected.keys().chain(found.keys().filter(|key| !expected.contains_key(*key)));
    for key in keys {
        let (was, is) = (expected.get(key), found.get(key));
        if was != is {
            count += 1;
            if count <= 4 {
                let _ = write!(text, "{} is {} instead of {}; ", show(key), show_value(is), show_value(was));
            }
        }
    }
    format!("{text}{count} of {} keys differ", expected.len())
}

fn show_value(value: Option<&Arc<[u8]>>) -> String {
    value.map_or("absent".to_owned(), |value| format!("{} bytes {}", value.len(), show(&value[..value.len().min(6)])))
}

/// Bytes for people: escaped, shortened.
pub fn show(bytes: &[u8]) -> String {
    let shown = bytes[..bytes.len().min(24)].escape_ascii();
    if bytes.len() > 24 { format!("{shown}…({} bytes)", bytes.len()) } else { shown.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::campaign::ops::Val;

    const V1: Val = Val { len: 3, fill: 1 };
    const V2: Val = Val { len: 3, fill: 2 };

    fn state(batches: &[Vec<Write>]) -> Pairs {
        let mut pairs = Pairs::new();
        batches.iter().for_each(|batch| apply(&mut pairs, batch));
        pairs
    }

    /// Three batches handed in at 10, 20 and 30; the first durable at 15, the second buffered at 25.
    fn history() -> (History, Vec<Vec<Write>>) {
        let batches = vec![
            vec![Write::Put(1, V1), Write::Put(2, V1)],
            vec![Write::Put(1, V2), Write::Delete(2)],
            vec![Write::Put(3, V1)],
        ];
        let mut history = History::default();
        history.submit(&batches[0], 10);
        history.promise_all(Loss::Power, 15);
        history.submit(&batches[1], 20);
        history.promise_all(Loss::Process, 25);
        history.submit(&batches[2], 30);
        (history, batches)
    }

    fn check(loss: Loss, at: u64, allowed: &[usize]) {
        let (history, batches) = history();
        for count in 0..=batches.len() {
            let explained = history.explain(&state(&batches[..count]), loss, at, 0);
            assert_eq!(explained.is_ok(), allowed.contains(&count), "{count} batches, {loss:?} at {at}: {explained:?}");
        }
    }

    #[test]
    fn every_prefix_between_promised_and_submitted_is_allowed() {
        check(Loss::Power, 5, &[0]);
        check(Loss::Power, 12, &[0, 1]);
        check(Loss::Power, 15, &[1]);
        check(Loss::Power, 26, &[1, 2]);
        check(Loss::Power, 99, &[1, 2, 3]);
    }

    #[test]
    fn the_death_of_the_process_takes_less() {
        check(Loss::Process, 24, &[1, 2]);
        check(Loss::Process, 25, &[2]);
        check(Loss::Process, 99, &[2, 3]);
    }

    #[test]
    fn what_has_expired_is_absent_and_hides_what_was_before_it() {
        let batches = [vec![Write::Put(1, V1)], vec![Write::PutUntil(1, V2, 50), Write::PutUntil(2, V2, 70)]];
        let mut history = History::default();
        history.submit(&batches[0], 1);
        history.submit(&batches[1], 2);
        history.promise_all(Loss::Power, 3);
        history.saw(ops::START_MS + 60, 4);
        let mut found = state(&batches);
        let at = |time| ops::START_MS + time;
        assert!(history.explain(&found, Loss::Power, 3, at(49)).is_ok());
        assert!(history.explain(&found, Loss::Power, 3, at(50)).is_err(), "the first key has expired");
        expire(&mut found, at(60));
        assert_eq!(found.len(), 1);
        assert_eq!(history.explain(&found, Loss::Power, 4, at(60)), Ok(2));
        assert!(history.explain(&found, Loss::Power, 4, at(59)).unwrap_err().contains("readers have seen"));
        assert!(history.explain(&state(&batches[..1]), Loss::Power, 4, at(60)).is_err(), "the older value is back");
    }

    #[test]
    fn half_a_batch_is_refused() {
        let (history, batches) = history();
        let mut half = state(&batches[..1]);
        apply(&mut half, &batches[1][..1]);
        assert!(history.explain(&half, Loss::Power, 99, 0).unwrap_err().contains("no prefix"));
    }

    #[test]
    fn a_batch_without_the_one_before_it_is_refused() {
        let (history, batches) = history();
        let state = state(&[batches[0].clone(), batches[2].clone()]);
        assert!(history.explain(&state, Loss::Power, 99, 0).is_err());
    }

    #[test]
    fn an_unknown_value_is_refused() {
        let (history, batches) = history();
        let mut state = state(&batches);
        state.insert(ops::key(1).into(), b"rot"[..].into());
        assert!(history.explain(&state, Loss::Power, 99, 0).unwrap_err().contains("no prefix"));
    }

    #[test]
    fn a_promise_covers_everything_before_it() {
        let (mut history, batches) = history();
        history.promise_all(Loss::Power, 40);
        assert!(history.explain(&state(&batches[..2]), Loss::Power, 40, 0).is_err());
        assert_eq!(history.explain(&state(&batches), Loss::Power, 40, 0), Ok(3));
        assert!(history.explain(&state(&batches), Loss::Process, 40, 0).is_ok());
    }

    #[test]
    fn what_an_open_did_not_show_never_comes_back() {
        let (mut history, batches) = history();
        history.reopened(2, 40);
        assert_eq!(history.explain(&state(&batches), Loss::Power, 39, 0), Ok(3));
        assert!(history.explain(&state(&batches), Loss::Power, 40, 0).is_err());
        assert!(history.explain(&state(&batches[..1]), Loss::Power, 40, 0).is_err(), "what an open showed is durable");
        assert_eq!(history.explain(&state(&batches[..2]), Loss::Power, 40, 0), Ok(2));
    }

    #[test]
    fn a_number_is_never_given_out_twice() {
        let (mut history, _) = history();
        assert_eq!(history.number(7, 31), Ok(()));
        assert_eq!((history.greatest_number(30), history.greatest_number(31)), (0, 7));
        history.reopened(2, 40);
        history.submit(&[Write::Put(4, V1)], 41);
        assert!(history.number(7, 42).is_err(), "the batch is lost, its number is not free");
        assert_eq!(history.number(8, 42), Ok(()));
        let mut next = History::default().numbering_from(8);
        next.submit(&[Write::Put(5, V1)], 1);
        assert!(next.number(8, 2).is_err());
    }

    #[test]
    fn the_writes_of_a_batch_apply_in_their_order() {
        let batch = [Write::Put(1, V1), Write::DeleteRange(ops::CLEAR, None), Write::Put(2, V1), Write::Delete(2)];
        assert_eq!(state(&[batch.to_vec()]), Pairs::new());
        let batch = [Write::Put(1, V1), Write::DeleteRange(ops::CLEAR, None), Write::Put(1, V2)];
        assert_eq!(state(&[batch.to_vec()]), state(&[vec![Write::Put(1, V2)]]));
    }

    #[test]
    fn a_range_is_what_lies_between_its_ends() {
        let pairs = state(&[vec![Write::Put(0, V1), Write::Put(1, V1), Write::Put(2, V1)]]);
        let (low, high) = (ops::key(0), ops::key(1));
        let count = |from, to| within(&pairs, from, to).count();
        assert_eq!(count(Bound::Included(&low[..]), Bound::Excluded(&high[..])), 1);
        assert_eq!(count(Bound::Included(&low[..]), Bound::Included(&low[..])), 1);
        assert_eq!(count(Bound::Excluded(&low[..]), Bound::Excluded(&low[..])), 0);
        assert_eq!(count(Bound::Included(&high[..]), Bound::Included(&low[..])), 0);
        assert_eq!(count(Bound::Unbounded, Bound::Unbounded), 3);
    }
}
