//! [`TtlClock`]: the time that the engine is handed: it goes with the machine's clock, and forward only.
//!
//! Between two looks at the wall clock it runs on the monotonic one. A wall clock that is ahead is followed, by up to a day
//! at once: a step of more than that is most likely a mistake, and following it would make everything expire. It is
//! reported and not followed; whoever means it opens the database again. A wall clock that is behind is not followed at all.
//!
//! After an open, time may be ahead of the wall clock already. By up to ten seconds that is what a crash costs, and it
//! stands until the wall clock has caught up; by more the wall clock was set back, and time goes on from where it was.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::trace::event;

/// How far a crash puts the engine's time forward.
const AHEAD_MS: u64 = 10_000;

/// The greatest step that is followed.
const GREATEST_STEP_MS: u64 = 24 * 3600 * 1000;

/// See the head of this file.
#[derive(Debug)]
pub(crate) struct TtlClock {
    started: Instant,
    /// The time at `started`, with all steps since.
    base_ms: AtomicU64,
    /// Whether a step that is too great was reported, and still is there.
    refused: AtomicBool,
}

impl TtlClock {
    /// Begins at the wall clock's time, or where the engine is.
    pub(crate) fn new(wall_ms: u64, engine_ms: u64) -> Self {
        let base_ms = if engine_ms > wall_ms.saturating_add(AHEAD_MS) { engine_ms } else { wall_ms };
        TtlClock { started: Instant::now(), base_ms: AtomicU64::new(base_ms), refused: AtomicBool::new(false) }
    }

    /// Now, in milliseconds since 1970.
    pub(crate) fn now_ms(&self) -> u64 {
        self.at(self.started.elapsed())
    }

    /// Follows the wall clock. For one thread, now and then.
    pub(crate) fn follow(&self, wall_ms: u64) {
        self.follow_at(wall_ms, self.started.elapsed());
    }

    fn at(&self, elapsed: Duration) -> u64 {
        let elapsed = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
        self.base_ms.load(Ordering::Relaxed).saturating_add(elapsed)
    }

    fn follow_at(&self, wall_ms: u64, elapsed: Duration) {
        let step = wall_ms.saturating_sub(self.at(elapsed));
        if step <= GREATEST_STEP_MS {
            self.base_ms.fetch_add(step, Ordering::Relaxed);
            self.refused.store(false, Ordering::Relaxed);
        } else if !self.refused.swap(true, Ordering::Relaxed) {
            event!(
                ERROR,
                step_ms = step,
                "the clock of the machine went forward by more than a day: keys do not expire by it until the database \
                 is opened again"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The wall clock as it is seen over time, and what the engine's time must be then; seconds.
    #[track_caller]
    fn check(engine: u64, wall: u64, looks: &[(u64, u64, u64)]) {
        let clock = TtlClock::new(wall * 1000, engine * 1000);
        for &(elapsed, wall, expected) in looks {
            let elapsed = Duration::from_secs(elapsed);
            clock.follow_at(wall * 1000, elapsed);
            assert_eq!(clock.at(elapsed), expected * 1000, "after {elapsed:?}");
        }
    }

    #[test]
    fn it_follows_the_wall_clock_forward_and_never_back() {
        check(0, 5000, &[(1, 5001, 5001), (2, 5002, 5002), (3, 6000, 6000), (4, 5500, 6001), (5, 6001, 6002)]);
    }

    #[test]
    fn a_step_of_more_than_a_day_is_not_followed_until_it_is_taken_back() {
        let day = 24 * 3600;
        check(0, 5000, &[(1, 5001 + day, 5001 + day)]);
        check(0, 5000, &[(1, 5002 + day, 5001), (2, 5003 + day, 5002), (3, 5003, 5003), (4, 5010, 5010)]);
    }

    #[test]
    fn after_a_crash_it_waits_for_the_wall_clock_and_runs_on_where_that_was_set_back() {
        // The engine itself stands at 5010 until then.
        check(5010, 5000, &[(1, 5001, 5001), (11, 5011, 5011)]);
        check(9000, 5000, &[(1, 5001, 9001), (11, 5011, 9011)]);
    }
}
