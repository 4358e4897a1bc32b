//! Is there an order of the operations, each between its beginning and its end, in which one thread alone would have got
//! the same answers? (Herlihy and Wing 1990, "Linearizability".)
//!
//! The search is [stateright]'s `LinearizabilityTester`. It tries all orders; what it is given here remembers which sets of
//! operations led to which state, so that nothing is tried twice (Lowe 2017, "Testing for linearizability"), and histories
//! of a few dozen operations take milliseconds, those without an order too.
//!
//! [stateright]: https://docs.rs/stateright

use super::history::{Answer, Event, Op, State, show};
use stateright::semantics::{ConsistencyTester, LinearizabilityTester, SequentialSpec};
use std::cell::RefCell;
use std::collections::HashSet;
use std::rc::Rc;

/// Longest history that is checked in one piece.
pub const MOST_EVENTS: usize = 128;

/// The database as one thread sees it, with a memory of where the search has been.
#[derive(Clone)]
struct Spec {
    state: State,
    /// A bit for each operation that was carried out.
    done: u128,
    ops: Rc<[Op]>,
    been: Rc<RefCell<HashSet<(u128, State)>>>,
}

impl SequentialSpec for Spec {
    /// An operation's place in `ops`.
    type Op = usize;
    type Ret = Answer;

    fn invoke(&mut self, &op: &usize) -> Answer {
        self.done |= 1 << op;
        self.ops[op].apply(&mut self.state)
    }

    /// The same set of operations with the same state has the same future: the second time it is a dead end.
    fn is_valid_step(&mut self, op: &usize, answer: &Answer) -> bool {
        self.invoke(op) == *answer && self.been.borrow_mut().insert((self.done, self.state))
    }
}

/// Checks a history that began with `initial` and in which every operation ended.
///
/// # Errors
/// The whole history, if no order explains it.
pub fn linearizable(initial: &State, events: &[Event]) -> Result<(), String> {
    if events.len() > MOST_EVENTS {
        return Err(format!("a history of {} operations is too long to check", events.len()));
    }
    let spec = Spec {
        state: *initial,
        done: 0,
        ops: events.iter().map(|event| event.op.clone()).collect(),
        been: Rc::default(),
    };
    let mut tester = LinearizabilityTester::new(spec);
    let mut moments: Vec<(u64, usize, Moment)> = Vec::with_capacity(2 * events.len());
    for (index, event) in events.iter().enumerate() {
        moments.push((event.invoked, index, Moment::Invoked));
        moments.push((event.returned, index, Moment::Returned));
    }
    moments.sort_by_key(|&(tick, ..)| tick);
    for (_, index, moment) in moments {
        let Event { thread, answer, .. } = events[index];
        let told = match moment {
            Moment::Invoked => tester.on_invoke(thread, index).map(drop),
            Moment::Returned => tester.on_return(thread, answer).map(drop),
        };
        told.map_err(|what| format!("the record of the history is wrong: {what}"))?;
    }
    if tester.is_consistent() {
        return Ok(());
    }
    Err(format!("no order of these operations explains their answers; it began with {initial:?}{}", show(events)))
}

#[derive(Clone, Copy)]
enum Moment {
    Invoked,
    Returned,
}

/// Checks that sequence numbers follow time: no write has the number of another one; a write that began after another
/// call ended has a greater one; a snapshot taken after that shows it.
///
/// # Errors
/// The two events that contradict each other.
pub fn numbered(events: &[Event]) -> Result<(), String> {
    let numbered = || events.iter().filter_map(|event| event.seq.map(|seq| (event, seq)));
    for (a, a_seq) in numbered() {
        for (b, b_seq) in numbered() {
            let twice = !std::ptr::eq(a, b) && a.op.writes() && b.op.writes() && a_seq == b_seq;
            let backwards = a.returned < b.invoked && (b_seq < a_seq || b.op.writes() && b_seq == a_seq);
            if twice || backwards {
                return Err(format!("the sequence numbers contradict time\n    {a}\n    {b}"));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use halodb::Condition;

    const EMPTY: State = [None; 5];

    /// Events as (thread, from, to, what, answer).
    fn history(events: &[(usize, u64, u64, Op, Answer)]) -> Vec<Event> {
        let event = |(thread, invoked, returned, op, answer): &(usize, u64, u64, Op, Answer)| Event {
            thread: *thread,
            op: op.clone(),
            answer: *answer,
            invoked: *invoked,
            returned: *returned,
            seq: None,
        };
        events.iter().map(event).collect()
    }

    fn check(events: &[(usize, u64, u64, Op, Answer)], expected: bool) {
        let found = linearizable(&EMPTY, &history(events));
        assert_eq!(found.is_ok(), expected, "{found:?}");
    }

    fn state(pairs: &[(usize, u32)]) -> Answer {
        let mut state = EMPTY;
        for &(key, value) in pairs {
            state[key] = Some(value);
        }
        Answer::State(state)
    }

    #[test]
    fn concurrent_writes_may_come_in_any_order() {
        for seen in [1, 2] {
            check(
                &[
                    (0, 1, 10, Op::Put(0, 1), Answer::Done),
                    (1, 2, 9, Op::Put(0, 2), Answer::Done),
                    (0, 11, 12, Op::Get(0), Answer::Value(Some(seen))),
                ],
                true,
            );
        }
    }

    #[test]
    fn a_read_beside_a_write_may_see_either_state() {
        for seen in [None, Some(1)] {
            check(&[(0, 1, 4, Op::Put(0, 1), Answer::Done), (1, 2, 3, Op::Get(0), Answer::Value(seen))], true);
        }
    }

    #[test]
    fn a_stale_read_is_found() {
        check(&[(0, 1, 2, Op::Put(0, 1), Answer::Done), (1, 3, 4, Op::Get(0), Answer::Value(None))], false);
    }

    #[test]
    fn a_value_that_nobody_wrote_is_found() {
        check(&[(0, 1, 4, Op::Put(0, 1), Answer::Done), (1, 2, 3, Op::Get(0), Answer::Value(Some(7)))], false);
    }

    #[test]
    fn a_lost_update_is_found() {
        // Both believe that the key was absent, and that they set it.
        let taken = |thread, value| (thread, 1, 9, Op::PutIf(0, value, Condition::IfAbsent), Answer::Applied(true));
        check(&[taken(0, 1), taken(1, 2)], false);
        // A write whose effect is gone although nobody else wrote.
        check(
            &[
                (0, 1, 2, Op::Put(0, 1), Answer::Done),
                (1, 3, 6, Op::Put(0, 2), Answer::Done),
                (0, 7, 8, Op::Get(0), Answer::Value(Some(1))),
            ],
            false,
        );
    }

    #[test]
    fn half_a_batch_is_found() {
        let batch = (0, 1, 9, Op::Batch(vec![(0, Some(1)), (1, Some(1))]), Answer::Done);
        check(&[batch.clone(), (1, 2, 3, Op::Snapshot, state(&[]))], true);
        check(&[batch.clone(), (1, 2, 3, Op::Snapshot, state(&[(0, 1), (1, 1)]))], true);
        check(&[batch.clone(), (1, 2, 3, Op::Snapshot, state(&[(0, 1)]))], false);
        // The same by single reads: the first saw the batch, the second did not.
        check(
            &[batch, (1, 2, 3, Op::Get(0), Answer::Value(Some(1))), (1, 4, 5, Op::Get(1), Answer::Value(None))],
            false,
        );
    }

    #[test]
    fn a_snapshot_older_than_the_one_before_is_found() {
        let events = |first: Answer, second: Answer| {
            [(0, 1, 9, Op::Put(0, 1), Answer::Done), (1, 2, 3, Op::Snapshot, first), (2, 4, 5, Op::Snapshot, second)]
        };
        check(&events(state(&[]), state(&[(0, 1)])), true);
        check(&events(state(&[(0, 1)]), state(&[])), false);
    }

    #[test]
    fn two_readers_who_disagree_about_the_order_of_writes_are_found() {
        check(
            &[
                (0, 1, 20, Op::Put(0, 1), Answer::Done),
                (1, 2, 19, Op::Put(1, 2), Answer::Done),
                (2, 3, 4, Op::Snapshot, state(&[(0, 1)])),
                (3, 5, 6, Op::Snapshot, state(&[(1, 2)])),
            ],
            false,
        );
    }

    #[test]
    fn a_wrong_count_and_a_deletion_of_nothing_are_found() {
        check(&[(0, 1, 2, Op::Put(0, 1), Answer::Done), (0, 3, 4, Op::Count, Answer::Count(2))], false);
        check(&[(0, 1, 2, Op::Delete(0), Answer::Applied(true))], false);
        check(
            &[
                (0, 1, 2, Op::Put(0, 1), Answer::Done),
                (0, 3, 9, Op::Delete(0), Answer::Applied(true)),
                (1, 4, 8, Op::Delete(0), Answer::Applied(true)),
            ],
            false,
        );
    }

    #[test]
    fn many_overlapping_writes_without_an_order_are_refused_in_no_time() {
        // Forty writes that all overlap, in four threads, and a read of what nobody wrote: about 10^21 orders.
        let mut events = Vec::new();
        for thread in 0..4 {
            for step in 0..10 {
                let at = thread as u64 + 4 * step;
                events.push((thread, 2 * at, 2 * at + 7, Op::Put(thread, step as u32), Answer::Done));
            }
        }
        events.push((0, 1_000, 1_001, Op::Get(0), Answer::Value(Some(99))));
        check(&events, false);
    }

    #[test]
    fn sequence_numbers_that_contradict_time_are_found() {
        let check = |first: (Op, u64), second: (Op, u64), expected: bool| {
            let mut events = history(&[(0, 1, 2, first.0, Answer::Done), (1, 3, 4, second.0, Answer::Done)]);
            events[0].seq = Some(first.1);
            events[1].seq = Some(second.1);
            assert_eq!(numbered(&events).is_ok(), expected);
        };
        check((Op::Put(0, 1), 5), (Op::Put(0, 2), 6), true);
        check((Op::Put(0, 1), 5), (Op::Put(0, 2), 5), false);
        check((Op::Put(0, 1), 5), (Op::Put(0, 2), 4), false);
        check((Op::Put(0, 1), 5), (Op::Snapshot, 5), true);
        check((Op::Put(0, 1), 5), (Op::Snapshot, 4), false);
        check((Op::Snapshot, 5), (Op::Put(0, 1), 5), false);
    }
}
