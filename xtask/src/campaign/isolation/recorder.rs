//! Makes histories: threads work through scripts on one database, and write down what they asked, were answered, and when.
//!
//! A history has rounds. In a round all threads begin at once; at its end everything stands still, one snapshot says what
//! is there, and the next round begins with that. So each round is checked by itself, and a history can be long.
//! Under the rounds, memtables fill, merges run and segments turn over: another thread writes keys that are not looked at,
//! and flushes. Between rounds the database is closed and opened again, sometimes.

use super::checker::{linearizable, numbered};
use super::history::{Answer, Event, KEYS, Op, State, overlapping};
use super::target::{Flaw, Held, Target};
use crate::campaign::engine::Refusal;
use crate::campaign::rng::Rng;
use halodb::{Condition, Db, Durability};
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Rounds of a history.
pub const ROUNDS: u64 = 6;

/// Threads of a round, at most, and operations of each.
const MOST_THREADS: u64 = 5;
const MOST_STEPS: u64 = 14;

/// One step of a thread's script.
#[derive(Clone, Debug)]
struct Step {
    op: Op,
    level: Durability,
    /// Turns of an empty loop before the step.
    pause: u64,
    /// A snapshot is read after so many further steps.
    hold: u64,
}

/// What a history reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reached {
    /// Operations.
    pub events: u64,
    /// Operations that overlapped with one of another thread.
    pub overlapping: u64,
    /// Times that the database was opened again.
    pub reopened: u64,
}

/// Records one history and checks each of its rounds. `open` opens the database, which exists after the first time.
///
/// # Errors
/// What contradicts linearizability, or what the database refused.
pub fn history(seed: u64, flaw: Flaw, open: &dyn Fn() -> Result<Db, Refusal>) -> Result<Reached, String> {
    let mut rng = Rng::new(seed);
    let mut reached = Reached::default();
    let mut state = State::default();
    let mut values = 0;
    let refused = |what: &str, e: Refusal| format!("{what} was refused without reason: {e}");
    let mut db = open().map_err(|e| refused("opening", e))?;
    for round in 0..ROUNDS {
        let scripts = scripts(&mut rng, &mut values);
        let background = Background::drawn(&mut rng);
        let events = record(&db, flaw, &scripts, background).map_err(|e| format!("round {round}: {e}"))?;
        reached.events += events.len() as u64;
        reached.overlapping += overlapping(&events);
        linearizable(&state, &events).and_then(|()| numbered(&events)).map_err(|e| format!("round {round}: {e}"))?;
        let last = events.last().map(|event| event.answer);
        let Some(Answer::State(last)) = last else { return Err("the last event is no snapshot".to_owned()) };
        state = last;
        if rng.below(3) == 0 {
            db.close().map_err(|e| refused("closing", e.into()))?;
            drop(db);
            db = open().map_err(|e| refused("opening again", e))?;
            reached.reopened += 1;
        }
    }
    db.close().map_err(|e| refused("closing", e.into()))?;
    Ok(reached)
}

/// What goes on beside the recorded threads.
#[derive(Clone, Copy, Debug)]
pub(super) struct Background {
    /// Writes to keys that nobody looks at.
    filling: bool,
    /// Flushes, again and again.
    flushing: bool,
}

impl Background {
    pub(super) fn drawn(rng: &mut Rng) -> Background {
        Background { filling: rng.below(3) > 0, flushing: rng.below(3) == 0 }
    }

    pub(super) fn run(self, db: &Db, over: &AtomicBool) -> Result<(), Refusal> {
        let mut written = 0_u32;
        while !over.load(Ordering::Acquire) {
            if self.filling && written < 400 {
                let mut batch = db.batch().durability(Durability::Memory);
                for _ in 0..4 {
                    batch = batch.put(format!("filling/{:04}", written % 97), vec![written as u8; 250]);
                    written += 1;
                }
                batch.commit()?;
            }
            if self.flushing {
                db.flush()?;
            }
            std::thread::yield_now();
        }
        Ok(())
    }
}

/// One round. The last event is a snapshot taken when all threads had ended.
fn record(db: &Db, flaw: Flaw, scripts: &[Vec<Step>], background: Background) -> Result<Vec<Event>, String> {
    let clock = AtomicU64::new(1);
    let over = AtomicBool::new(false);
    let start = Barrier::new(scripts.len() + 1);
    let (parts, beside) = std::thread::scope(|scope| {
        let beside = scope.spawn(|| background.run(db, &over));
        let threads: Vec<_> = (0..)
            .zip(scripts)
            .map(|(thread, script)| {
                let (clock, start) = (&clock, &start);
                scope.spawn(move || {
                    start.wait();
                    Recorder {
                        thread,
                        clock,
                        target: Target::new(db.clone(), flaw),
                        events: Vec::new(),
                        held: Vec::new(),
                    }
                    .run(script)
                })
            })
            .collect();
        start.wait();
        let parts: Vec<_> = threads.into_iter().map(|thread| joined(thread.join())).collect();
        over.store(true, Ordering::Release);
        (parts, joined(beside.join()))
    });
    beside?.map_err(|e| format!("a write or flush beside the history was refused: {e}"))?;
    let mut events = Vec::new();
    for part in parts {
        events.extend(part?.map_err(|e| e.to_string())?);
    }
    let mut last = Recorder {
        thread: scripts.len(),
        clock: &clock,
        target: Target::new(db.clone(), Flaw::None),
        events,
        held: Vec::new(),
    };
    last.step(&Step { op: Op::Snapshot, level: Durability::Sync, pause: 0, hold: 0 }).map_err(|e| e.to_string())?;
    last.finish().map_err(|e| e.to_string())
}

pub(super) fn joined<T>(outcome: std::thread::Result<T>) -> Result<T, String> {
    outcome.map_err(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        format!("a thread panicked: {}", text.unwrap_or_default())
    })
}

/// One thread of a round.
struct Recorder<'a> {
    thread: usize,
    clock: &'a AtomicU64,
    target: Target,
    events: Vec<Event>,
    /// Snapshots not read yet: how many steps they still wait, and the place of their event.
    held: Vec<(u64, usize, Held)>,
}

impl Recorder<'_> {
    fn run(mut self, script: &[Step]) -> Result<Vec<Event>, Refusal> {
        for step in script {
            for _ in 0..step.pause {
                std::hint::spin_loop();
            }
            self.step(step)?;
        }
        self.finish()
    }

    fn tick(&self) -> u64 {
        self.clock.fetch_add(1, Ordering::SeqCst)
    }

    fn step(&mut self, step: &Step) -> Result<(), Refusal> {
        let invoked = self.tick();
        let (answer, seq, held) = match &step.op {
            Op::Snapshot => {
                let (held, seq) = self.target.snapshot();
                // The answer comes when it is read.
                (Answer::Done, Some(seq), Some(held))
            }
            op => {
                let (answer, seq) = self.target.run(op, step.level)?;
                (answer, seq, None)
            }
        };
        let returned = self.tick();
        for (left, ..) in &mut self.held {
            *left = left.saturating_sub(1);
        }
        if let Some(held) = held {
            self.held.push((step.hold, self.events.len(), held));
        }
        self.events.push(Event { thread: self.thread, op: step.op.clone(), answer, invoked, returned, seq });
        self.read_held(|left| left == 0)
    }

    fn read_held(&mut self, due: impl Fn(u64) -> bool) -> Result<(), Refusal> {
        let (now, later) = std::mem::take(&mut self.held).into_iter().partition(|(left, ..)| due(*left));
        self.held = later;
        let now: Vec<(u64, usize, Held)> = now;
        for (_, place, held) in now {
            self.events[place].answer = Answer::State(held.read()?);
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Vec<Event>, Refusal> {
        self.read_held(|_| true)?;
        Ok(self.events)
    }
}

/// The threads' scripts of one round; `values` is the last value that the history wrote.
fn scripts(rng: &mut Rng, values: &mut u32) -> Vec<Vec<Step>> {
    let threads = 3 + rng.below(MOST_THREADS - 2);
    // A round of few keys is one in which threads meet.
    let keys = 1 + rng.below(KEYS as u64);
    let levels: &[Durability] = match rng.below(3) {
        0 => &[Durability::Sync],
        1 => &[Durability::Memory],
        _ => &[Durability::Sync, Durability::Buffered, Durability::Memory],
    };
    (0..threads)
        .map(|_| {
            let steps = 4 + rng.below(MOST_STEPS - 3);
            (0..steps).map(|_| step(rng, keys, levels, values)).collect()
        })
        .collect()
}

fn step(rng: &mut Rng, keys: u64, levels: &[Durability], values: &mut u32) -> Step {
    let mut fresh = || {
        *values += 1;
        *values
    };
    let key = rng.below(keys) as usize;
    let op = match rng.below(100) {
        0..25 => Op::Get(key),
        25..40 => Op::Put(key, fresh()),
        40..52 => Op::PutIf(key, fresh(), rng.pick(&[Condition::IfAbsent, Condition::IfPresent])),
        52..62 => Op::Delete(key),
        62..78 => Op::Batch(batch(rng, keys, &mut fresh)),
        78..80 => Op::Clear,
        80..94 => Op::Snapshot,
        _ => Op::Count,
    };
    let pause = rng.pick(&[0, 0, 50, 500, 3_000]);
    let hold = rng.below(6);
    Step { op, level: rng.pick(levels), pause, hold }
}

fn batch(rng: &mut Rng, keys: u64, fresh: &mut impl FnMut() -> u32) -> Vec<(usize, Option<u32>)> {
    let writes = 2 + rng.below(4);
    (0..writes).map(|_| (rng.below(keys) as usize, (rng.below(4) > 0).then(&mut *fresh))).collect()
}
