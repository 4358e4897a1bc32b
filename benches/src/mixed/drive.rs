//! Runs numbered operations on several threads, up to a count or a time, whichever comes first, and times them.
//!
//! Threads draw chunks of numbers from one counter, so that all are busy to the end; what an operation does depends on
//! its number, not on its thread. Every thread ends before `drive` returns, also when one of them fails.

use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::engine::{Problem, Result};

/// Numbers that a thread takes at a time.
const CHUNK: u64 = 64;

/// Operations between two looks at the clock.
const LOOK: u64 = 8;

/// How much is to be done.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    /// Threads that work.
    pub(super) threads: usize,
    /// Operations in all, unless the time ends first.
    pub(super) operations: u64,
    /// Time after which no operation begins any more.
    pub(super) limit: Duration,
}

/// What was done, and by whom.
#[derive(Debug)]
pub(super) struct Done<T> {
    /// Operations that ended.
    pub(super) operations: u64,
    /// From the first operation's beginning to the last one's end.
    pub(super) elapsed: Duration,
    /// What each thread worked with.
    pub(super) threads: Vec<T>,
}

impl<T> Done<T> {
    /// `count` in `elapsed`, a second.
    pub(super) fn rate(&self, count: u64) -> f64 {
        count as f64 / self.elapsed.as_secs_f64().max(1e-9)
    }
}

/// One thread's work: what it has, how much it did, and when.
struct Share<T> {
    state: T,
    operations: u64,
    began: Instant,
    ended: Instant,
}

/// Gives every thread a state from `prepare`, untimed, then performs the operations of `plan` by `operation`, which gets
/// the thread's state and the operation's number.
///
/// # Errors
///
/// The first error of a state or an operation; the other threads stop at their next operation.
pub(super) fn drive<T: Send>(
    plan: Plan,
    prepare: impl Fn() -> Result<T> + Sync,
    operation: impl Fn(&mut T, u64) -> Result<()> + Sync,
) -> Result<Done<T>> {
    let (next, stop) = (AtomicU64::new(0), AtomicBool::new(false));
    let barrier = Barrier::new(plan.threads);
    let work = || {
        let prepared = prepare();
        barrier.wait();
        let mut state = prepared.inspect_err(|_| stop.store(true, Ordering::Relaxed))?;
        let began = Instant::now();
        let mut operations = 0;
        'work: loop {
            let first = next.fetch_add(CHUNK, Ordering::Relaxed);
            if first >= plan.operations {
                break;
            }
            for number in first..plan.operations.min(first + CHUNK) {
                if number.is_multiple_of(LOOK) && (stop.load(Ordering::Relaxed) || began.elapsed() >= plan.limit) {
                    break 'work;
                }
                operation(&mut state, number).inspect_err(|_| stop.store(true, Ordering::Relaxed))?;
                operations += 1;
            }
        }
        Ok(Share { state, operations, began, ended: Instant::now() })
    };
    let shares = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..plan.threads).map(|_| scope.spawn(work)).collect();
        let shares =
            threads.into_iter().map(|thread| thread.join().unwrap_or_else(|panic| Err(Problem::Failed(said(&*panic)))));
        shares.collect::<Vec<Result<Share<T>>>>()
    });
    let shares = shares.into_iter().collect::<Result<Vec<_>>>()?;
    let began = shares.iter().map(|share| share.began).min();
    let ended = shares.iter().map(|share| share.ended).max();
    Ok(Done {
        operations: shares.iter().map(|share| share.operations).sum(),
        elapsed: began.zip(ended).map_or(Duration::ZERO, |(began, ended)| ended - began),
        threads: shares.into_iter().map(|share| share.state).collect(),
    })
}

/// What a panic said: an engine that panics fails its row, not the run.
fn said(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("a thread panicked: {}", text.unwrap_or("without a message"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    /// Why a run failed.
    fn text<T>(failed: Result<Done<T>>) -> String {
        failed.err().map_or_else(|| "it did not fail".into(), |problem| problem.to_string())
    }

    #[test]
    fn every_number_is_worked_exactly_once() {
        let plan = Plan { threads: 3, operations: 1_000, limit: LONG };
        let note = |seen: &mut Vec<u64>, number| {
            seen.push(number);
            Ok(())
        };
        let done = drive(plan, || Ok(Vec::new()), note).expect("no error");
        let mut numbers: Vec<u64> = done.threads.concat();
        numbers.sort_unstable();
        assert_eq!(numbers, (0..1_000).collect::<Vec<_>>());
        assert_eq!(done.operations, 1_000);
        assert!(done.rate(1_000) > 0.0);
    }

    #[test]
    fn the_time_ends_a_run_that_is_not_done() {
        let plan = Plan { threads: 2, operations: u64::MAX / 2, limit: Duration::from_millis(20) };
        let wait = |(): &mut (), _| {
            std::thread::sleep(Duration::from_millis(1));
            Ok(())
        };
        let done = drive(plan, || Ok(()), wait).expect("no error");
        assert!(done.operations > 0 && done.operations < 1_000);
        assert!(done.elapsed >= Duration::from_millis(20));
    }

    #[test]
    fn an_error_or_a_panic_of_one_thread_stops_all() {
        let plan = Plan { threads: 2, operations: u64::MAX / 2, limit: LONG };
        let failed = drive(
            plan,
            || Ok(()),
            |(), number| if number == 500 { Err(Problem::Failed("wrong".into())) } else { Ok(()) },
        );
        assert_eq!(text(failed), "failed: wrong");
        let plan = Plan { threads: 1, operations: 10, limit: LONG };
        let failed = drive(plan, || Ok(()), |(), number| if number == 5 { panic!("oh") } else { Ok(()) });
        assert_eq!(text(failed), "failed: a thread panicked: oh");
    }

    #[test]
    fn a_state_that_cannot_be_had_ends_the_run_without_an_operation() {
        let plan = Plan { threads: 4, operations: 10, limit: LONG };
        let failed = drive(plan, || Err::<(), _>(Problem::Failed("no reader".into())), |(), _| panic!("worked"));
        assert_eq!(text(failed), "failed: no reader");
    }
}
