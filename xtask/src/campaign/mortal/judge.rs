//! What must be there after a strike.
//!
//! - Every write that was acknowledged with a level that survives the strike is there, and so is every write with a
//!   smaller sequence number: durability is a prefix.
//! - Of each thread at most one write more than acknowledged is there. Whatever is there is there whole.
//! - If a write is there, no acknowledged one with a smaller sequence number is missing, even of a level that may be lost.
//! - No other key is there, no value is anything but what was written, counts agree, and a deep check finds nothing.
//!
//! A clear is unambiguous because the child lets nothing else be in flight around it.

use super::process::Died;
use super::script::{self, Act, History, ThreadState};
use super::words::{Ack, Word};
use crate::campaign::engine::Refusal;
use crate::campaign::oracle::show;
use halodb::partition::Create;
use halodb::vfs::OsVfs;
use halodb::{Db, Depth, Durability};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// The weakest level that survives a strike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Survives {
    /// The process dies; what was handed to the system stays.
    Buffered,
    /// The power goes.
    SyncOnly,
}

impl Survives {
    fn keeps(self, level: Durability) -> bool {
        match self {
            Survives::Buffered => level != Durability::Memory,
            Survives::SyncOnly => level == Durability::Sync,
        }
    }
}

/// Opens the copy in `dir` of what a strike left, and compares; the history then says what is there.
///
/// # Errors
/// What is not as it must be.
pub fn compare_copy(dir: &Path, history: &mut History, died: &Died, survives: Survives) -> Result<(), String> {
    let refused = |e: halodb::Error| format!("refused without reason: {}", Refusal::from(e));
    let setup = script::setup(history.seed());
    let db = setup.builder(Arc::new(OsVfs), dir, Create::IfMissing).open().map_err(refused)?;
    let found = everything(&db).map_err(refused)?;
    let len = db.len().map_err(refused)?;
    if len != found.len() as u64 {
        return Err(format!("a scan finds {} keys, and the count is {len}", found.len()));
    }
    let states = judge(history, &found, &died.words, survives)?;
    history.next_life(states);
    let report = db.check(Depth::Deep).map_err(refused)?;
    if let Some(finding) = report.findings.first() {
        let (findings, path) = (report.findings.len(), finding.path.display());
        return Err(format!("check finds {findings} faults, first: {path}: {}", finding.what));
    }
    db.close().map_err(refused)
}

type Pairs = BTreeMap<Vec<u8>, Vec<u8>>;

fn everything(db: &Db) -> halodb::Result<Pairs> {
    db.iter().map(|pair| pair.map(|(key, value)| (key.to_vec(), value.to_vec()))).collect()
}

/// The state of each thread, if there is one that agrees with everything.
fn judge(history: &History, found: &Pairs, words: &[Word], survives: Survives) -> Result<Vec<ThreadState>, String> {
    let acks: Vec<Ack> =
        words.iter().filter_map(|word| if let Word::Ack(ack) = word { Some(*ack) } else { None }).collect();
    let (base, last) = after_clears(history, &acks)?;
    let is_clearing = words.iter().rev().find(|word| !matches!(word, Word::Held)) == Some(&Word::Clearing);
    if is_clearing && found.is_empty() {
        let at = |(thread, &number): (usize, &u64)| ThreadState {
            number: number + u64::from(thread == 0),
            ..ThreadState::default()
        };
        return Ok(last.iter().enumerate().map(at).collect());
    }
    let known = acks.iter().filter(|ack| survives.keeps(ack.level)).map(|ack| ack.seq).max().unwrap_or(0);
    let promised = |ack: &&Ack| survives.keeps(ack.level) || (ack.seq != 0 && ack.seq <= known);

    let mut states = Vec::new();
    let mut strangers = found.len();
    for (thread, base) in (0..).zip(&base) {
        let prefix = script::prefix(thread);
        let mine: Pairs = found
            .range(prefix.clone().into_bytes()..)
            .take_while(|(key, _)| key.starts_with(prefix.as_bytes()))
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        strangers -= mine.len();
        let least = acks.iter().filter(|ack| ack.thread == thread).filter(promised).map(|ack| ack.number).max();
        let least = least.unwrap_or(0).max(base.number);
        let most = last[thread as usize] + u64::from(!is_clearing);
        states.push(one_thread(history.life_seed(), thread, base, &mine, least..=most)?);
    }
    if strangers > 0 {
        return Err(format!("{strangers} keys that nobody wrote"));
    }
    no_gap(&acks, &states)?;
    Ok(states)
}

/// The state before which nothing counts any more, and the number of each thread's last acknowledged write.
fn after_clears(history: &History, acks: &[Ack]) -> Result<(Vec<ThreadState>, Vec<u64>), String> {
    let mut base = history.threads.clone();
    let mut last = history.numbers();
    for ack in acks {
        let next = last.get_mut(ack.thread as usize).ok_or_else(|| format!("there is no thread {}", ack.thread))?;
        *next += 1;
        if *next != ack.number {
            return Err(format!("thread {} acknowledged write {} instead of {next}", ack.thread, ack.number));
        }
        if script::act(history.life_seed(), ack.thread, ack.number).0 == Act::Clear {
            base = last.iter().map(|&number| ThreadState { number, ..ThreadState::default() }).collect();
        }
    }
    Ok((base, last))
}

/// The thread's state, if it lies between `least` and `most` and is exactly `mine`.
fn one_thread(
    seed: u64,
    thread: u64,
    base: &ThreadState,
    mine: &Pairs,
    range: std::ops::RangeInclusive<u64>,
) -> Result<ThreadState, String> {
    let (least, most) = range.into_inner();
    let counter = script::counter(thread);
    let number = match mine.get(&counter) {
        // As before: the base may end with a delete, which left no number.
        value if value == base.pairs.get(&counter) => base.number,
        Some(value) => {
            script::number_in(value).ok_or_else(|| format!("the counter of thread {thread} is no number"))?
        }
        None => return Err(format!("thread {thread} was at write {}, its counter is missing", base.number)),
    };
    // A delete leaves no number, so the one after the number that was found may have happened.
    let is_quiet = matches!(script::act(seed, thread, number.wrapping_add(1)).0, Act::Delete(_));
    let greatest = number.saturating_add(u64::from(is_quiet));
    if greatest < least || number > most {
        return Err(format!("thread {thread} must be at a write from {least} to {most}, the database is at {number}"));
    }
    if number < base.number {
        return Err(format!("thread {thread} is at write {number}, it was at {} before", base.number));
    }
    let mut state = base.clone();
    state.advance(seed, thread, number.max(least));
    let early = state.clone();
    if greatest <= most {
        state.advance(seed, thread, greatest);
    }
    for state in [state, early] {
        if state.pairs == *mine {
            return Ok(state);
        }
    }
    let mut state = base.clone();
    state.advance(seed, thread, number.max(least));
    let keys = state.pairs.keys().chain(mine.keys());
    let differs = |key: &&Vec<u8>| state.pairs.get(*key) != mine.get(*key);
    let first = keys.filter(differs).min().map_or(String::new(), |key| {
        let what = match (state.pairs.get(key), mine.get(key)) {
            (Some(_), Some(_)) => "has another value than what was written",
            (Some(_), None) => "is missing",
            _ => "is there, although it was deleted or never written",
        };
        format!("{} {what}", show(key))
    });
    Err(format!("thread {thread} at write {number}: {first}"))
}

/// Nothing acknowledged is missing that has a smaller sequence number than something that is there.
fn no_gap(acks: &[Ack], states: &[ThreadState]) -> Result<(), String> {
    let is_there = |ack: &&Ack| states[ack.thread as usize].number >= ack.number;
    let Some(newest) = acks.iter().filter(is_there).max_by_key(|ack| ack.seq) else { return Ok(()) };
    let missing = acks.iter().find(|ack| ack.seq != 0 && ack.seq < newest.seq && !is_there(ack));
    missing.map_or(Ok(()), |missing| Err(format!("{missing:?} is missing, although {newest:?} is there")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use Durability::{Buffered, Memory, Sync};

    const SEED: u64 = 9;

    fn life_seed() -> u64 {
        script::life_seed(SEED, 0)
    }

    fn ack(thread: u64, number: u64, level: Durability, seq: u64) -> Word {
        Word::Ack(Ack { thread, number, level, seq })
    }

    /// The keys after so many writes of each thread, without any clear.
    fn after(numbers: [u64; 4]) -> Pairs {
        let mut pairs = Pairs::new();
        for (thread, number) in (0..).zip(numbers) {
            let mut state = ThreadState::default();
            state.advance(life_seed(), thread, number);
            pairs.extend(state.pairs);
        }
        pairs
    }

    #[track_caller]
    fn check(words: &[Word], found: &Pairs, survives: Survives, expected: Result<[u64; 4], &str>) {
        let states = judge(&History::new(SEED), found, words, survives);
        match (states, expected) {
            (Ok(states), Ok(numbers)) => {
                assert_eq!(states.iter().map(|state| state.number).collect::<Vec<_>>(), numbers);
            }
            (Err(what), Err(part)) => assert!(what.contains(part), "{what}"),
            (states, expected) => panic!("{states:?} instead of {expected:?}"),
        }
    }

    #[test]
    fn what_was_acknowledged_with_a_level_that_survives_must_be_there() {
        let words: Vec<Word> = (1..=5).map(|number| ack(1, number, Sync, number)).collect();
        check(&words, &after([0, 5, 0, 0]), Survives::SyncOnly, Ok([0, 5, 0, 0]));
        check(&words, &after([0, 4, 0, 0]), Survives::SyncOnly, Err("must be at a write from 5"));
        check(&words, &after([0; 4]), Survives::SyncOnly, Err("must be at a write from 5"));
        let words = [ack(1, 1, Buffered, 1)];
        check(&words, &after([0; 4]), Survives::Buffered, Err("must be at a write from 1"));
        check(&words, &after([0; 4]), Survives::SyncOnly, Ok([0; 4]));
        check(&[ack(1, 1, Memory, 1)], &after([0; 4]), Survives::Buffered, Ok([0; 4]));
    }

    #[test]
    fn a_durable_write_makes_all_before_it_durable() {
        let words = [ack(1, 1, Memory, 1), ack(2, 1, Sync, 2)];
        check(&words, &after([0, 1, 1, 0]), Survives::SyncOnly, Ok([0, 1, 1, 0]));
        check(&words, &after([0, 0, 1, 0]), Survives::SyncOnly, Err("thread 1 must be"));
    }

    #[test]
    fn what_may_be_lost_is_lost_in_order() {
        let words = [ack(1, 1, Memory, 1), ack(2, 1, Memory, 2)];
        check(&words, &after([0, 1, 0, 0]), Survives::SyncOnly, Ok([0, 1, 0, 0]));
        check(&words, &after([0, 0, 1, 0]), Survives::SyncOnly, Err("is missing, although"));
    }

    #[test]
    fn one_write_in_flight_may_be_there_and_no_second_one() {
        let words = [ack(1, 1, Sync, 1)];
        check(&words, &after([0, 2, 0, 0]), Survives::SyncOnly, Ok([0, 2, 0, 0]));
        check(&words, &after([0, 4, 0, 0]), Survives::SyncOnly, Err("the database is at 4"));
    }

    #[test]
    fn half_a_batch_or_a_strange_key_is_noticed() {
        // Write 17 is a delete, 16 is not: so no key may be missing because of a write in flight.
        let words: Vec<Word> = (1..=15).map(|number| ack(1, number, Sync, number)).collect();
        let whole = after([0, 15, 0, 0]);
        check(&words, &whole, Survives::SyncOnly, Ok([0, 15, 0, 0]));
        for key in whole.keys().filter(|key| **key != script::counter(1)) {
            let mut found = whole.clone();
            found.remove(key);
            check(&words, &found, Survives::SyncOnly, Err("is missing"));
            found.insert(key.clone(), b"other".to_vec());
            check(&words, &found, Survives::SyncOnly, Err("another value"));
        }
        let mut found = whole.clone();
        found.insert(b"x".to_vec(), Vec::new());
        check(&words, &found, Survives::SyncOnly, Err("nobody wrote"));
    }

    #[test]
    fn a_delete_may_have_happened_although_it_leaves_no_number() {
        // Number 10 of every thread is a delete; whether it did anything depends on the thread.
        let words: Vec<Word> = (1..=9).map(|number| ack(1, number, Sync, number)).collect();
        for number in [9, 10] {
            let states = judge(&History::new(SEED), &after([0, number, 0, 0]), &words, Survives::SyncOnly).unwrap();
            assert_eq!(states[1].pairs, after([0, number, 0, 0]));
        }
    }

    #[test]
    fn a_clear_takes_everything_or_nothing() {
        let mut words: Vec<Word> = (1..=96).map(|number| ack(0, number, Sync, number)).collect();
        words.push(ack(1, 1, Sync, 97));
        words.push(Word::Clearing);
        check(&words, &after([96, 1, 0, 0]), Survives::SyncOnly, Ok([96, 1, 0, 0]));
        check(&words, &Pairs::new(), Survives::SyncOnly, Ok([97, 1, 0, 0]));
        check(&words, &after([0, 1, 0, 0]), Survives::SyncOnly, Err("thread 0 must be"));
        words.push(ack(0, 97, Sync, 98));
        check(&words, &Pairs::new(), Survives::SyncOnly, Ok([97, 1, 0, 0]));
        check(&words, &after([96, 1, 0, 0]), Survives::SyncOnly, Err("the database is at 96"));
    }

    #[test]
    fn without_a_clear_nothing_may_vanish() {
        let words: Vec<Word> = (1..=96).map(|number| ack(0, number, Sync, number)).collect();
        check(&words, &Pairs::new(), Survives::SyncOnly, Err("must be"));
    }
}
