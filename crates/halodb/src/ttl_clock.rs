//! [`TtlClock`]: the time that the engine is handed: it goes with the machine's clock, and forward only.
//!
//! Between two looks at the wall clock it runs on the monotonic one. A wall clock that is ahead is followed, by up to a day
//! at once. A step of more than that is most likely a mistake, and following it would make everything expire: it puts the clock in
//! *doubt* until it is taken back or confirmed. While the database is open it is not followed, nothing that has expired is
//! dropped from the files, and writes with an expiry are refused. Found at an open, where it may just as well be a long rest,
//! it is followed; but what expired in it is not dropped from the files for a day. A wall clock that is behind is not followed
//! at all.
//!
//! After an open, time may be ahead of the wall clock already. By up to ten seconds that is what a crash costs, and it
//! stands until the wall clock has caught up; by more the wall clock was set back, and time goes on from where it was.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::trace::event;
use crate::{Error, ErrorKind, Result};

/// How far a crash puts the engine's time forward.
const AHEAD_MS: u64 = 10_000;

/// The greatest step that is followed without a doubt, and how long a doubt lasts after an open.
const DAY_MS: u64 = 24 * 3600 * 1000;

/// Why the time by which keys expire may be wrong; see [`Db::clock_doubt`](crate::Db::clock_doubt).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClockDoubt {
    /// How far the clock of the machine went forward at once.
    pub step: Duration,
    /// Whether keys expire by it all the same: it was found at the open.
    pub is_followed: bool,
}

/// See the head of this file.
#[derive(Debug)]
pub(crate) struct TtlClock {
    started: Instant,
    /// The time at `started`, with all steps since.
    base_ms: AtomicU64,
    /// A step that is too great, was reported, and still is there; 0: none.
    refused_ms: AtomicU64,
    /// A step that was found at the open and is followed; 0: none, or it is confirmed.
    followed_ms: AtomicU64,
    /// Where the engine's time was before that.
    found_ms: u64,
}

impl TtlClock {
    /// Begins at the wall clock's time, or where the engine is.
    pub(crate) fn new(wall_ms: u64, engine_ms: u64) -> Self {
        let base_ms = if engine_ms > wall_ms.saturating_add(AHEAD_MS) { engine_ms } else { wall_ms };
        // 0: nothing expires, and there is no time.
        let rest_ms = if engine_ms == 0 { 0 } else { wall_ms.saturating_sub(engine_ms) };
        let followed_ms = if rest_ms > DAY_MS { rest_ms } else { 0 };
        TtlClock {
            started: Instant::now(),
            base_ms: AtomicU64::new(base_ms),
            refused_ms: AtomicU64::new(0),
            followed_ms: AtomicU64::new(followed_ms),
            found_ms: engine_ms,
        }
    }

    /// Now, in milliseconds since 1970.
    pub(crate) fn now_ms(&self) -> u64 {
        self.at(self.started.elapsed())
    }

    /// Follows the wall clock. For one thread, now and then.
    pub(crate) fn follow(&self, wall_ms: u64) {
        self.follow_at(wall_ms, self.started.elapsed());
    }

    /// The wall clock is right, whatever step it made.
    pub(crate) fn confirm(&self, wall_ms: u64) {
        self.confirm_at(wall_ms, self.started.elapsed());
    }

    /// What speaks against the time.
    pub(crate) fn doubt(&self) -> Option<ClockDoubt> {
        self.doubt_at(self.started.elapsed())
    }

    /// The time by which what has expired may be dropped from the files.
    pub(crate) fn drop_until_ms(&self) -> u64 {
        match self.doubt() {
            None => u64::MAX,
            Some(ClockDoubt { is_followed: true, .. }) => self.found_ms,
            Some(_) => 0,
        }
    }

    /// Before a write with an expiry.
    pub(crate) fn check(&self) -> Result<()> {
        match self.refused_ms.load(Ordering::Relaxed) {
            0 => Ok(()),
            step_ms => {
                let what = format!(
                    "the clock of the machine went forward by {} s at once, and it is not certain when this write would \
                     expire; it was not made",
                    step_ms / 1000
                );
                Err(Error::new(ErrorKind::Clock, what))
            }
        }
    }

    fn at(&self, elapsed: Duration) -> u64 {
        let elapsed = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
        self.base_ms.load(Ordering::Relaxed).saturating_add(elapsed)
    }

    fn doubt_at(&self, elapsed: Duration) -> Option<ClockDoubt> {
        let step = |step_ms: u64, is_followed| ClockDoubt { step: Duration::from_millis(step_ms), is_followed };
        match (self.refused_ms.load(Ordering::Relaxed), self.followed_ms.load(Ordering::Relaxed)) {
            (0, 0) => None,
            (0, _) if elapsed >= Duration::from_millis(DAY_MS) => None,
            (0, followed_ms) => Some(step(followed_ms, true)),
            (refused_ms, _) => Some(step(refused_ms, false)),
        }
    }

    fn follow_at(&self, wall_ms: u64, elapsed: Duration) {
        let step = wall_ms.saturating_sub(self.at(elapsed));
        if step <= DAY_MS {
            self.base_ms.fetch_add(step, Ordering::Relaxed);
            self.refused_ms.store(0, Ordering::Relaxed);
        } else if self.refused_ms.swap(step, Ordering::Relaxed) == 0 {
            event!(
                ERROR,
                step_ms = step,
                "the clock of the machine went forward by more than a day: keys do not expire by it, and none can be \
                 written that expire, until it is confirmed or set back"
            );
        }
    }

    fn confirm_at(&self, wall_ms: u64, elapsed: Duration) {
        let step = wall_ms.saturating_sub(self.at(elapsed));
        self.base_ms.fetch_add(step, Ordering::Relaxed);
        self.refused_ms.store(0, Ordering::Relaxed);
        self.followed_ms.store(0, Ordering::Relaxed);
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
    fn a_step_in_doubt_refuses_expiries_and_drops_nothing_until_it_is_confirmed_or_taken_back() {
        let day = 24 * 3600;
        let clock = TtlClock::new(5_000_000, 4_000_000);
        assert_eq!((clock.doubt(), clock.drop_until_ms()), (None, u64::MAX));
        let at = Duration::from_secs;
        for taken_back in [true, false] {
            let wall = clock.at(at(1)) + (day + 7) * 1000;
            clock.follow_at(wall, at(1));
            let doubt = ClockDoubt { step: at(day + 7), is_followed: false };
            assert_eq!((clock.doubt(), clock.drop_until_ms()), (Some(doubt), 0));
            assert_eq!(clock.check().unwrap_err().kind(), ErrorKind::Clock);
            match taken_back {
                true => clock.follow_at(clock.at(at(2)), at(2)),
                false => clock.confirm_at(wall + 1000, at(2)),
            }
            assert_eq!((clock.doubt(), clock.drop_until_ms()), (None, u64::MAX));
            clock.check().unwrap();
            assert_eq!(clock.at(at(2)) == wall + 1000, !taken_back);
        }
    }

    #[test]
    fn a_long_rest_is_followed_and_keeps_what_expired_in_it_for_a_day_or_until_it_is_confirmed() {
        let day = 24 * 3600;
        let found = 5_000_000;
        let wall = found + (3 * day) * 1000;
        let clock = TtlClock::new(wall, found);
        assert_eq!(clock.at(Duration::ZERO), wall);
        let doubt = ClockDoubt { step: Duration::from_secs(3 * day), is_followed: true };
        assert_eq!((clock.doubt(), clock.drop_until_ms()), (Some(doubt), found));
        clock.check().expect("the time is followed");
        assert_eq!(clock.doubt_at(Duration::from_secs(day - 1)), Some(doubt));
        assert_eq!(clock.doubt_at(Duration::from_secs(day)), None);
        clock.confirm_at(wall, Duration::ZERO);
        assert_eq!((clock.doubt(), clock.drop_until_ms()), (None, u64::MAX));
        assert_eq!(TtlClock::new(wall, 0).doubt(), None, "without expiries there is no time");
    }

    #[test]
    fn after_a_crash_it_waits_for_the_wall_clock_and_runs_on_where_that_was_set_back() {
        // The engine itself stands at 5010 until then.
        check(5010, 5000, &[(1, 5001, 5001), (11, 5011, 5011)]);
        check(9000, 5000, &[(1, 5001, 9001), (11, 5011, 9011)]);
    }
}
