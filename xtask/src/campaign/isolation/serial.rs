//! Concurrent transactions, recorded, and checked for serializability.
//!
//! Threads run transactions that get, scan, count, put, delete and clear a few keys, and batches among them. The number of a
//! commit is its place in the serial order that the engine claims; so no order has to be searched for: all that committed
//! is carried out again by one thread in the order of the numbers, and every answer must be the same. One that wrote nothing
//! comes where its snapshot says. A transaction that began after another call had returned must also come after it
//! (strictness). What met a conflict must have left nothing, which the final state shows, as no value is written twice.
//!
//! [`Flaw`]s do at the interface what mistakes of the validation would look like; each must be noticed.

use super::history::{KEYS, State};
use super::recorder::{Background, joined};
use super::target::{key, number, value};
use crate::campaign::engine::{Answer as Refusable, Refusal};
use crate::campaign::rng::{Rng, derive};
use halodb::{Db, Durability, ErrorKind, Snapshot, Transaction};
use std::fmt::Write as _;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

const THREADS: u64 = 4;
const TRANSACTIONS: u64 = 24;
const LIVES: u64 = 2;

/// A mistake, planted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// None: the database as it is.
    None,
    /// Keys that were read are not validated.
    ForgetsKeys,
    /// Ranges that were read are not validated: a scan is what it found, and phantoms are overlooked.
    ForgetsRanges,
    /// Keys that were read are validated only if they were there.
    ForgetsAbsence,
}

/// One step of a transaction. Ends of ranges are numbers of keys, the second one excluded.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Act {
    Get(usize),
    /// At most so many, from the front or from the back.
    Scan(usize, usize, bool, usize),
    Count(usize, usize),
    Put(usize, u32),
    Delete(usize),
    Clear,
}

/// What it was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Answer {
    Done,
    Value(Option<u32>),
    Pairs(Vec<(usize, u32)>),
    Count(u64),
    Was(bool),
}

impl Act {
    /// Carries it out on a state.
    fn apply(&self, state: &mut State) -> Answer {
        let range = |from: usize, to: usize| (from..to).filter_map(|k| Some((k, state[k]?)));
        match *self {
            Act::Get(k) => Answer::Value(state[k]),
            Act::Scan(from, to, is_reverse, limit) if is_reverse => Answer::Pairs({
                let all: Vec<_> = range(from, to).collect();
                all.into_iter().rev().take(limit).collect()
            }),
            Act::Scan(from, to, _, limit) => Answer::Pairs(range(from, to).take(limit).collect()),
            Act::Count(from, to) => Answer::Count(range(from, to).count() as u64),
            Act::Put(k, v) => {
                state[k] = Some(v);
                Answer::Done
            }
            Act::Delete(k) => Answer::Was(state[k].take().is_some()),
            Act::Clear => {
                *state = State::default();
                Answer::Done
            }
        }
    }

    fn draw(rng: &mut Rng, keys: u64, fresh: &AtomicU32) -> Act {
        let k = rng.below(keys) as usize;
        let (from, to) = (k, k + rng.below(keys - k as u64 + 1) as usize);
        let v = || fresh.fetch_add(1, Ordering::Relaxed);
        match rng.below(100) {
            0..30 => Act::Get(k),
            30..45 => Act::Scan(from, to, rng.below(2) == 0, 1 + rng.below(4) as usize),
            45..50 => Act::Count(from, to),
            50..80 => Act::Put(k, v()),
            80..97 => Act::Delete(k),
            _ => Act::Clear,
        }
    }
}

/// A transaction that committed, or a batch.
#[derive(Clone, Debug)]
struct Committed {
    thread: u64,
    acts: Vec<(Act, Answer)>,
    /// Number of what it saw; of a batch: none.
    saw: Option<u64>,
    /// Number of its commit.
    seq: u64,
    /// Whether it wrote anything: then its number is its own.
    wrote: bool,
    invoked: u64,
    returned: u64,
}

/// What a history reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reached {
    /// Transactions and batches that committed.
    pub committed: u64,
    /// Transactions that met a conflict.
    pub conflicts: u64,
}

/// Records one history and checks it. `open` opens the database, which exists after the first time.
///
/// # Errors
/// What no serial order explains, or what the database refused.
pub fn history(seed: u64, flaw: Flaw, open: &dyn Fn() -> Result<Db, Refusal>) -> Result<Reached, String> {
    let mut reached = Reached::default();
    let mut state = State::default();
    let fresh = AtomicU32::new(1);
    for life in 0..LIVES {
        let db = open().map_err(|e| format!("opening was refused without reason: {e}"))?;
        let (committed, conflicts) = record(&db, flaw, derive(seed, life), &fresh)?;
        reached.committed += committed.len() as u64;
        reached.conflicts += conflicts;
        state = check(state, committed).map_err(|e| format!("life {life}: {e}"))?;
        let found = look(&db.snapshot()).map_err(|e| e.to_string())?;
        if found != state {
            return Err(format!("life {life}: {found:?} is there; carried out one by one it is {state:?}"));
        }
        db.close().map_err(|e| format!("closing was refused without reason: {}", Refusal::from(e)))?;
    }
    Ok(reached)
}

fn look(snapshot: &Snapshot) -> Refusable<State> {
    let mut state = State::default();
    for (k, slot) in state.iter_mut().enumerate() {
        *slot = snapshot.get(key(k))?.map(|bytes| number(&bytes)).transpose()?;
    }
    Ok(state)
}

/// One life: all that committed, and how many conflicts there were.
fn record(db: &Db, flaw: Flaw, seed: u64, fresh: &AtomicU32) -> Result<(Vec<Committed>, u64), String> {
    let mut rng = Rng::new(seed);
    let background = Background::drawn(&mut rng);
    let keys = 2 + rng.below(KEYS as u64 - 1);
    let (clock, conflicts, over) = (AtomicU64::new(1), AtomicU64::new(0), AtomicBool::new(false));
    let start = Barrier::new(THREADS as usize);
    let (parts, beside) = std::thread::scope(|scope| {
        let beside = scope.spawn(|| background.run(db, &over));
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| {
                let (clock, conflicts, start) = (&clock, &conflicts, &start);
                scope.spawn(move || {
                    start.wait();
                    let rng = Rng::new(derive(seed, 1 + thread));
                    Runner { db, flaw, thread, rng, keys, fresh, clock, conflicts }.run()
                })
            })
            .collect();
        let parts: Vec<_> = threads.into_iter().map(|thread| joined(thread.join())).collect();
        over.store(true, Ordering::Release);
        (parts, joined(beside.join()))
    });
    beside?.map_err(|e| format!("a write or flush beside the history was refused: {e}"))?;
    let mut committed = Vec::new();
    for part in parts {
        committed.extend(part?.map_err(|e| e.to_string())?);
    }
    Ok((committed, conflicts.into_inner()))
}

/// One thread.
struct Runner<'a> {
    db: &'a Db,
    flaw: Flaw,
    thread: u64,
    rng: Rng,
    keys: u64,
    fresh: &'a AtomicU32,
    clock: &'a AtomicU64,
    conflicts: &'a AtomicU64,
}

impl Runner<'_> {
    fn tick(&self) -> u64 {
        self.clock.fetch_add(1, Ordering::SeqCst)
    }

    fn run(mut self) -> Refusable<Vec<Committed>> {
        let mut all = Vec::new();
        for _ in 0..TRANSACTIONS {
            let level = self.rng.pick(&[Durability::Sync, Durability::Buffered, Durability::Memory]);
            let done = if self.rng.below(6) == 0 { self.batch(level)? } else { self.transaction(level)? };
            all.extend(done);
        }
        Ok(all)
    }

    fn batch(&mut self, level: Durability) -> Refusable<Option<Committed>> {
        let mut batch = self.db.batch().durability(level);
        let mut acts = Vec::new();
        for _ in 0..1 + self.rng.below(3) {
            let (k, v) = (self.rng.below(self.keys) as usize, self.fresh.fetch_add(1, Ordering::Relaxed));
            batch = batch.put(key(k), value(v));
            acts.push((Act::Put(k, v), Answer::Done));
        }
        let invoked = self.tick();
        let seq = batch.commit()?.seq;
        let returned = self.tick();
        Ok(Some(Committed { thread: self.thread, acts, saw: None, seq, wrote: true, invoked, returned }))
    }

    fn transaction(&mut self, level: Durability) -> Refusable<Option<Committed>> {
        let invoked = self.tick();
        let mut tx = self.db.begin()?;
        tx.set_durability(level);
        let saw = tx.seq();
        // What a flawed transaction sees without the engine's knowledge.
        let mut beside = match self.flaw {
            Flaw::None => None,
            _ => Some(self.seen_by(&tx)?),
        };
        let mut acts = Vec::new();
        for _ in 0..1 + self.rng.below(7) {
            let act = Act::draw(&mut self.rng, self.keys, self.fresh);
            if self.rng.below(3) == 0 {
                std::thread::yield_now();
            }
            let answer = match &mut beside {
                Some(state) if self.forgets(&act, state) => act.apply(state),
                Some(state) => {
                    act.apply(state);
                    run(&mut tx, &act)?
                }
                None => run(&mut tx, &act)?,
            };
            acts.push((act, answer));
        }
        let wrote = |(act, answer): &(Act, Answer)| {
            matches!(act, Act::Put(..) | Act::Clear) || matches!((act, answer), (Act::Delete(_), Answer::Was(true)))
        };
        let wrote = acts.iter().any(wrote);
        match tx.commit() {
            Ok(commit) => {
                let returned = self.tick();
                // What it wrote and took back itself is nothing.
                let wrote = wrote && commit.seq > saw;
                let (thread, seq) = (self.thread, commit.seq);
                Ok(Some(Committed { thread, acts, saw: Some(saw), seq, wrote, invoked, returned }))
            }
            Err(e) if e.kind() == ErrorKind::Conflict => {
                self.conflicts.fetch_add(1, Ordering::Relaxed);
                Ok(None)
            }
            Err(e) => Err(e.into()),
        }
    }

    /// Everything as of the transaction's snapshot: a snapshot of now shows it if nobody has committed in between.
    fn seen_by(&self, tx: &Transaction) -> Refusable<State> {
        let mut state = State::default();
        loop {
            let snapshot = self.db.snapshot();
            if snapshot.seq() >= tx.seq() {
                state.copy_from_slice(&look(&snapshot)?);
                return Ok(state);
            }
        }
    }

    /// Whether the flaw keeps the engine from knowing of a step.
    fn forgets(&self, act: &Act, state: &State) -> bool {
        match (self.flaw, act) {
            (Flaw::ForgetsKeys, Act::Get(_)) | (Flaw::ForgetsRanges, Act::Scan(..) | Act::Count(..)) => true,
            (Flaw::ForgetsAbsence, Act::Get(k)) => state[*k].is_none(),
            _ => false,
        }
    }
}

/// Carries a step out in a transaction.
fn run(tx: &mut Transaction, act: &Act) -> Refusable<Answer> {
    let place = |found: &[u8]| (0..KEYS).find(|&k| key(k).as_bytes() == found).unwrap_or(KEYS);
    Ok(match *act {
        Act::Get(k) => Answer::Value(tx.get(key(k))?.map(|bytes| number(&bytes)).transpose()?),
        Act::Scan(from, to, is_reverse, limit) => {
            let mut pairs = tx.range(key(from)..key(to));
            let mut found = Vec::new();
            while found.len() < limit {
                let Some(pair) = (if is_reverse { pairs.next_back() } else { pairs.next() }) else { break };
                let (k, bytes) = pair?;
                found.push((place(&k), number(&bytes)?));
            }
            Answer::Pairs(found)
        }
        Act::Count(from, to) => Answer::Count(tx.count(key(from)..key(to))?),
        Act::Put(k, v) => {
            tx.put(key(k), value(v))?;
            Answer::Done
        }
        Act::Delete(k) => Answer::Was(tx.delete(key(k))?),
        Act::Clear => {
            // What is written beside the history goes, too; nobody looks at it.
            tx.clear();
            Answer::Done
        }
    })
}

/// Carries everything out again, one after the other; the state at the end.
///
/// # Errors
/// The first answer that is another one, or two that come in an order that time contradicts.
fn check(mut state: State, mut committed: Vec<Committed>) -> Result<State, String> {
    // At one number the writer comes first: who reads as of that number sees it.
    committed.sort_by_key(|one| (one.seq, !one.wrote));
    let mut greatest = 0;
    for (at, one) in committed.iter().enumerate() {
        if one.wrote && one.seq <= greatest {
            return Err(format!("number {} was given twice{}", one.seq, show(&committed[..=at])));
        }
        greatest = greatest.max(one.seq);
        let mut after = state;
        for (act, answer) in &one.acts {
            let again = act.apply(&mut after);
            if again != *answer {
                return Err(format!(
                    "in the order of the numbers {act:?} of the last one answers {again:?}{}",
                    show(&committed[..=at])
                ));
            }
        }
        if one.wrote {
            state = after;
        }
    }
    for a in &committed {
        for b in &committed {
            if a.returned < b.invoked && a.wrote && b.saw.is_some_and(|saw| saw < a.seq) {
                return Err(format!(
                    "one that began later does not see the one that was answered{}",
                    show(&[a.clone(), b.clone()])
                ));
            }
        }
    }
    Ok(state)
}

/// The last ones, one a line.
fn show(committed: &[Committed]) -> String {
    let mut text = String::new();
    for one in &committed[committed.len().saturating_sub(25)..] {
        let Committed { thread, acts, saw, seq, invoked, returned, .. } = one;
        let _ = write!(text, "\n    [{invoked:>4} {returned:>4}] thread {thread}, saw {saw:?}, number {seq}: {acts:?}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One that saw a number, committed under another one, and did this.
    fn one(saw: u64, seq: u64, acts: &[(Act, Answer)]) -> Committed {
        let wrote = seq > saw;
        Committed { thread: 0, acts: acts.to_vec(), saw: Some(saw), seq, wrote, invoked: 1, returned: 9 }
    }

    fn put(k: usize, v: u32) -> (Act, Answer) {
        (Act::Put(k, v), Answer::Done)
    }

    fn get(k: usize, v: Option<u32>) -> (Act, Answer) {
        (Act::Get(k), Answer::Value(v))
    }

    #[test]
    fn write_skew_is_found() {
        let committed = |b: Option<u32>| {
            check(State::default(), vec![one(0, 1, &[get(0, None), put(1, 7)]), one(0, 2, &[get(1, b), put(0, 8)])])
        };
        assert!(committed(None).is_err());
        assert_eq!(committed(Some(7)).unwrap()[..2], [Some(8), Some(7)]);
    }

    #[test]
    fn a_phantom_and_a_lost_update_are_found() {
        let scan = (Act::Scan(0, 3, false, 9), Answer::Pairs(vec![]));
        assert!(check(State::default(), vec![one(0, 1, &[put(2, 7)]), one(0, 2, &[scan, put(0, 8)])]).is_err());
        let update = |saw, seq, v| one(saw, seq, &[get(0, None), put(0, v)]);
        assert!(check(State::default(), vec![update(0, 1, 1), update(0, 2, 2)]).is_err());
    }

    #[test]
    fn a_reader_comes_where_its_snapshot_says_and_not_before_what_it_followed() {
        let writer = one(0, 1, &[put(0, 1)]);
        assert!(check(State::default(), vec![writer.clone(), one(1, 1, &[get(0, Some(1))])]).is_ok());
        assert!(check(State::default(), vec![writer.clone(), one(1, 1, &[get(0, None)])]).is_err());
        assert!(check(State::default(), vec![writer.clone(), one(0, 0, &[get(0, None)])]).is_ok());
        let late = Committed { invoked: 10, returned: 12, ..one(0, 0, &[get(0, None)]) };
        assert!(check(State::default(), vec![writer, late]).is_err());
    }
}
