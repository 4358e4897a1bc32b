//! What a history consists of: operations on a few keys, their answers, and when each began and ended.

use halodb::Condition;
use std::fmt;

/// Number of keys that a history is about. Few, so that threads meet.
pub const KEYS: usize = 5;

/// The value of each key. Values are numbers; each write of a history writes another one.
pub type State = [Option<u32>; KEYS];

/// One operation of a thread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// Reads a key.
    Get(usize),
    /// Sets a key.
    Put(usize, u32),
    /// Sets a key under a condition.
    PutIf(usize, u32, Condition),
    /// Removes a key, and says whether it was there.
    Delete(usize),
    /// Sets and removes keys as one step.
    Batch(Vec<(usize, Option<u32>)>),
    /// Removes all keys.
    Clear,
    /// Takes a snapshot. What it shows is read later, when other operations have followed.
    Snapshot,
    /// Counts the keys.
    Count,
}

/// What an operation answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It is done.
    Done,
    /// The value of a key.
    Value(Option<u32>),
    /// Whether a condition held.
    Applied(bool),
    /// All keys.
    State(State),
    /// A number of keys.
    Count(u64),
}

/// An operation with its answer. Ticks are those of a clock that all threads of a history share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Which thread.
    pub thread: usize,
    /// What it asked.
    pub op: Op,
    /// What it was answered.
    pub answer: Answer,
    /// Tick before the call.
    pub invoked: u64,
    /// Tick after it.
    pub returned: u64,
    /// Sequence number of a write, or of what a snapshot shows, if the call told it.
    pub seq: Option<u64>,
}

impl Op {
    /// Carries the operation out.
    pub fn apply(&self, state: &mut State) -> Answer {
        match self {
            Op::Get(key) => Answer::Value(state[*key]),
            Op::Put(key, value) => {
                state[*key] = Some(*value);
                Answer::Done
            }
            Op::PutIf(key, value, condition) => {
                let holds = match condition {
                    Condition::Always => true,
                    Condition::IfAbsent => state[*key].is_none(),
                    Condition::IfPresent => state[*key].is_some(),
                };
                if holds {
                    state[*key] = Some(*value);
                }
                Answer::Applied(holds)
            }
            Op::Delete(key) => Answer::Applied(state[*key].take().is_some()),
            Op::Batch(writes) => {
                for (key, value) in writes {
                    state[*key] = *value;
                }
                Answer::Done
            }
            Op::Clear => {
                *state = State::default();
                Answer::Done
            }
            Op::Snapshot => Answer::State(*state),
            Op::Count => Answer::Count(state.iter().flatten().count() as u64),
        }
    }

    /// Whether it writes, unless a condition keeps it from writing.
    pub fn writes(&self) -> bool {
        !matches!(self, Op::Get(_) | Op::Snapshot | Op::Count)
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Event { thread, op, answer, invoked, returned, seq } = self;
        write!(f, "[{invoked:>4} {returned:>4}] thread {thread}: {op:?} -> {answer:?}")?;
        seq.map_or(Ok(()), |seq| write!(f, ", number {seq}"))
    }
}

/// All events, one a line, in the order in which they began.
pub fn show(events: &[Event]) -> String {
    let mut sorted: Vec<&Event> = events.iter().collect();
    sorted.sort_by_key(|event| event.invoked);
    sorted.iter().map(|event| format!("\n    {event}")).collect()
}

/// How many events overlap in time with one of another thread: where none does, nothing concurrent was tried.
pub fn overlapping(events: &[Event]) -> u64 {
    let meet = |a: &Event, b: &Event| a.thread != b.thread && a.invoked < b.returned && b.invoked < a.returned;
    events.iter().filter(|a| events.iter().any(|b| meet(a, b))).count() as u64
}
