//! [`Clock`]: the time by which entries expire. It is handed in, and goes forward only, across crashes too: what has
//! expired for one reader never comes back for another.
//!
//! ```text
//! what readers see           now  <=  mark  <=  promised
//!                                      |           '- in every checkpoint of a page file that is written from now on
//!                                      '- durable in the log: a commit record that writes nothing; its time is the mark
//! ```
//!
//! Time never passes a *mark* that is durable and at most [`AHEAD_MS`] ahead, so one synchronised record in five seconds is
//! all it costs. After a crash time goes on from the greatest mark that is found: entries may expire that much early,
//! never twice. If the clock of the machine is behind that, time stands until it has caught up, and as marks are made
//! from the machine's clock, many crashes do not add up. An orderly end stores the exact time.
//!
//! As long as no entry with an expiry was ever committed there is no mark, and time stands at 0: nobody can see it, and
//! nothing is written for it. The first mark is durable before the first such entry is in the log.

use crate::set::Shared;
use crate::sync::{AtomicU64, Mutex};
use crate::{Batch, ErrorKind, Result};
use halodb_vfs::mutant;
use halodb_wal::{Durability, Lsn, Payload};
use std::sync::atomic::Ordering;

/// How far a mark is ahead of the time at which it is made.
pub(crate) const AHEAD_MS: u64 = 10_000;

#[derive(Debug)]
pub(crate) struct Clock {
    now_ms: AtomicU64,
    /// 0: no entry that expires was ever committed.
    mark_ms: AtomicU64,
    promised_ms: AtomicU64,
    /// What expired later than this is not dropped from tree or memtable: the time may be wrong.
    drop_until_ms: AtomicU64,
    /// Held by whoever makes a mark.
    marking: Mutex<()>,
}

/// What an open finds out about time.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct FoundTime {
    /// The greatest mark that a page file states.
    pub(crate) stated_ms: u64,
    /// Whether a mark is replayed, or an entry that expires.
    pub(crate) is_used: bool,
    /// The greatest time of these records. Others may have been written before there was time.
    pub(crate) replayed_ms: u64,
}

impl Clock {
    /// `closed_ms`: the time at which the database was closed in order, if it was.
    pub(crate) fn new(found: FoundTime, closed_ms: Option<u64>) -> Self {
        let FoundTime { stated_ms, is_used, replayed_ms } = found;
        let start = match closed_ms {
            _ if stated_ms == 0 && !is_used => 0,
            Some(closed_ms) => closed_ms.max(1),
            None => stated_ms.max(replayed_ms),
        };
        // A planted fault trusts the clock of the machine after a crash.
        let (now_ms, mark_ms) = if mutant("partition.time-restarts") { (0, start) } else { (start, start) };
        Self {
            now_ms: AtomicU64::new(now_ms),
            mark_ms: AtomicU64::new(mark_ms),
            promised_ms: AtomicU64::new(stated_ms.max(start)),
            drop_until_ms: AtomicU64::new(u64::MAX),
            marking: Mutex::new(()),
        }
    }

    /// The time, in milliseconds.
    #[inline]
    pub(crate) fn now_ms(&self) -> u64 {
        // Acquire, and after the version: whoever sees a version that a merge has published sees a time that is not before
        // the one by which the merge dropped what had expired.
        self.now_ms.load(Ordering::Acquire)
    }

    /// The time by which what has expired may be dropped: that of the clock, or an earlier one while the clock is in doubt.
    pub(crate) fn dropping_ms(&self) -> u64 {
        // A planted fault trusts the clock.
        if mutant("partition.drop-in-doubt") {
            return self.now_ms();
        }
        self.now_ms().min(self.drop_until_ms.load(Ordering::Acquire))
    }

    /// See [`PartitionSet::drop_until`](crate::PartitionSet::drop_until).
    pub(crate) fn drop_until(&self, time_ms: u64) {
        self.drop_until_ms.store(time_ms, Ordering::Release);
    }

    /// Time goes back, which it never does while anybody reads: for the only opener of a database that was found ahead.
    pub(crate) fn set_back(&self, time_ms: u64) {
        for time in [&self.now_ms, &self.mark_ms, &self.promised_ms] {
            time.store(time_ms, Ordering::Release);
        }
    }

    /// Whether an entry that expires was ever committed.
    #[inline]
    pub(crate) fn is_used(&self) -> bool {
        self.mark_ms.load(Ordering::Acquire) != 0
    }

    /// What a checkpoint is to state.
    pub(crate) fn promised_ms(&self) -> u64 {
        self.promised_ms.load(Ordering::Acquire)
    }

    /// Lets time go on to `now_ms`, as far as it is allowed to. Writes nothing shared more than once per millisecond.
    #[inline]
    pub(crate) fn advance(&self, now_ms: u64) {
        let mark = self.mark_ms.load(Ordering::Acquire);
        let now_ms = now_ms.min(mark);
        if now_ms > self.now_ms.load(Ordering::Relaxed) {
            self.now_ms.fetch_max(now_ms, Ordering::AcqRel);
        }
    }

    /// The time of a commit record that is written at `now_ms`.
    pub(crate) fn of_record(&self, now_ms: u64) -> u64 {
        if self.is_used() { self.now_ms() } else { now_ms }
    }

    fn ends_before(&self, now_ms: u64) -> bool {
        self.mark_ms.load(Ordering::Acquire) < now_ms
    }
}

impl Shared {
    /// Before a commit at `now_ms`, of entries one of which expires or not: lets time go on, and sees to it that there is time at
    /// all before the first entry expires.
    pub(crate) fn begin_commit(&self, expires: bool, now_ms: u64) -> Result<()> {
        if expires && (!self.clock.is_used() || self.clock.ends_before(now_ms)) {
            self.make_mark(now_ms, now_ms)?;
        }
        self.clock.advance(now_ms);
        Ok(())
    }

    /// To be called now and then: lets time go on to `now_ms`, with a new mark if half of the last one is used up. A full
    /// disk stops time, not the database.
    pub(crate) fn keep_time(&self, now_ms: u64) -> Result<()> {
        let needed = now_ms.saturating_add(AHEAD_MS / 2);
        if self.clock.is_used() && self.clock.ends_before(needed) {
            match self.make_mark(now_ms, needed) {
                Err(e) if e.kind() == ErrorKind::Full => {}
                made => made?,
            }
        }
        self.clock.advance(now_ms);
        Ok(())
    }

    /// Makes a mark durable, unless there is one already that is not before `needed`.
    fn make_mark(&self, now_ms: u64, needed: u64) -> Result<()> {
        let _alone = self.clock.marking.lock();
        if self.clock.is_used() && !self.clock.ends_before(needed) {
            return Ok(());
        }
        let mark = now_ms.saturating_add(AHEAD_MS);
        let mut payload = Some(Payload::new(Batch::new().encode().into_owned()));
        loop {
            let record = payload.as_ref().expect("until it is appended");
            self.wal.make_room(record.record_len()).map_err(|e| self.log_failed(e))?;
            let mut section = self.wal.sequence();
            self.ensure_writable()?;
            if !section.fits(record) {
                continue;
            }
            // Before the record has a number: a checkpoint that makes it unnecessary states the mark itself.
            self.clock.promised_ms.fetch_max(mark, Ordering::AcqRel);
            let payload = payload.take().expect("it was looked at");
            let lsn = section.append(payload, mark, Durability::Sync).map_err(|e| self.log_failed(e))?;
            self.touch();
            drop(section);
            self.wait_for_mark(lsn)?;
            self.clock.mark_ms.fetch_max(mark, Ordering::AcqRel);
            return Ok(());
        }
    }

    fn wait_for_mark(&self, lsn: Lsn) -> Result<()> {
        // A planted fault lets time go on before it is certain that it will not go back.
        if mutant("partition.mark-not-synced") {
            return Ok(());
        }
        self.wal.wait(lsn, Durability::Sync).map_err(|e| self.log_failed(e))
    }
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests {
    use super::*;

    #[track_caller]
    fn check(found: FoundTime, closed_ms: Option<u64>, expected: u64) {
        let clock = Clock::new(found, closed_ms);
        assert_eq!((clock.now_ms(), clock.is_used()), (expected, expected != 0));
        clock.advance(expected + 5);
        assert_eq!(clock.now_ms(), expected, "time does not pass what is durable");
        assert!(clock.promised_ms() >= found.stated_ms.max(expected));
    }

    #[test]
    fn time_goes_on_from_the_greatest_mark_or_from_an_orderly_end() {
        let found = |stated_ms, replayed_ms, is_used| FoundTime { stated_ms, is_used, replayed_ms };
        check(found(0, 0, false), None, 0);
        check(found(0, 0, false), Some(800), 0);
        check(found(0, 700, true), None, 700);
        check(found(900, 0, false), None, 900);
        check(found(900, 950, true), None, 950);
        check(found(900, 950, true), Some(800), 800);
        check(found(900, 0, true), Some(0), 1);
    }
}
