//! [`Engine`]: the partition set together with the gate: what a `Db` and its threads share.
//!
//! Everything that waits for background work is here: commits that find memory full, or are ahead of the merges, and
//! `flush`. The engine's threads
//! hold it, but only `db` closes it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use halodb_partition::{
    self as partition, Durability, Expect, Job, Lsn, Outcome, PartitionSet, ReadSet, Removal, Staged, Validated,
};

use crate::clock;
use crate::gate::{Gate, Turn};
use crate::meter::{Counted, Meter, Slow};
use crate::trace::event;
use crate::ttl_clock::TtlClock;
use crate::{Error, ErrorKind, Result};

/// See the head of this file.
#[derive(Debug)]
pub(crate) struct Engine {
    pub(crate) set: PartitionSet,
    pub(crate) gate: Gate,
    /// The time by which keys expire.
    pub(crate) clock: TtlClock,
    /// How many calls there were, and how long they took.
    pub(crate) meter: Arc<Meter>,
    /// Whether it was traced that nothing more can be written.
    poison_told: AtomicBool,
    /// Bytes committed since the workers were last woken, and how many are to wake them.
    unannounced: AtomicU64,
    announce_bytes: u64,
    /// Bytes of a batch that waits longest when it is ahead.
    large_bytes: u64,
}

/// How long a writer that is ahead of the merges waits at most after a small commit. A wait of 1 ms would be followed by
/// another one soon, and so would reach more than one write in a thousand; many of 10 ms are few.
const SLOWED: Duration = Duration::from_millis(10);

/// How much longer after a large one: the reserve behind the line is to last to the end of the merge.
const SLOWED_IF_LARGE: Duration = Duration::from_millis(30);

impl Engine {
    /// `budget_bytes` is how much may be written until something has to be merged.
    /// `found_ms` is where its time was before this open.
    pub(crate) fn new(set: PartitionSet, gate: Gate, budget_bytes: u64, found_ms: u64) -> Self {
        /// Workers look for work this many times while the budget is used up once: seldom enough to cost nothing, often
        /// enough that a merge begins while there is still room.
        const LOOKS_PER_FILLING: u64 = 32;
        /// So many batches fill the budget that each counts as large.
        const LARGE_PER_FILLING: u64 = 512;
        let announce_bytes = (budget_bytes / LOOKS_PER_FILLING).max(1);
        let clock = TtlClock::new(clock::now_ms(), found_ms);
        set.drop_until(clock.drop_until_ms());
        let large_bytes = (budget_bytes / LARGE_PER_FILLING).max(1);
        Engine {
            set,
            gate,
            clock,
            meter: Arc::default(),
            poison_told: AtomicBool::new(false),
            unannounced: AtomicU64::new(0),
            announce_bytes,
            large_bytes,
        }
    }

    /// Now, in milliseconds since 1970, by the clock that never goes back.
    pub(crate) fn now_ms(&self) -> u64 {
        self.clock.now_ms()
    }

    /// Now and then: lets time follow the machine's clock, and sees to what may be dropped by it.
    pub(crate) fn follow_clock(&self) {
        self.clock.follow(clock::now_ms());
        self.set.drop_until(self.clock.drop_until_ms());
    }

    /// The machine's clock is right, whatever step it made.
    pub(crate) fn confirm_clock(&self) -> Result<()> {
        self.clock.confirm(clock::now_ms());
        self.set.drop_until(self.clock.drop_until_ms());
        Ok(self.set.keep_time(self.now_ms())?)
    }

    /// Refuses a write with an expiry while the clock is in doubt.
    #[inline]
    fn clock_will_do(&self, expires: bool) -> Result<()> {
        if expires { self.clock.check() } else { Ok(()) }
    }

    /// Before a read: what has expired by now is absent. One load while nothing with an expiry was ever written.
    #[inline]
    pub(crate) fn pass_time(&self) {
        if self.set.uses_expiry() {
            self.set.advance_time(self.now_ms());
        }
    }

    /// What is visible now.
    pub(crate) fn snapshot(&self) -> partition::Snapshot {
        self.pass_time();
        self.set.snapshot()
    }

    /// What is visible now, for a commit that rests on it.
    pub(crate) fn basis(&self) -> partition::Basis {
        self.pass_time();
        self.set.basis()
    }

    /// The newest state, visible or not.
    pub(crate) fn newest(&self) -> partition::Snapshot {
        self.pass_time();
        self.set.newest()
    }

    /// Commits a batch, waiting for room if need be.
    pub(crate) fn commit(&self, batch: &partition::Batch, level: Durability) -> Result<Lsn> {
        self.clock_will_do(batch.expires())?;
        let _timer = self.meter.commit(Counted::Commit, level);
        let lsn = self.told(self.gate.when_room(|| self.set.commit(batch, level, self.now_ms())))?;
        self.committed(batch.len_bytes() as u64);
        Ok(lsn)
    }

    /// Commits a batch if every condition holds.
    pub(crate) fn commit_if(
        &self,
        batch: &partition::Batch,
        conditions: &[(&[u8], Expect)],
        level: Durability,
    ) -> Result<Outcome> {
        self.clock_will_do(batch.expires())?;
        let _timer = self.meter.commit(Counted::Conditional, level);
        let outcome = self.told(self.gate.when_room(|| self.set.commit_if(batch, conditions, level, self.now_ms())))?;
        if let Outcome::Committed(_) = outcome {
            self.committed(batch.len_bytes() as u64);
        }
        Ok(outcome)
    }

    /// Commits a batch if nothing that was read was written since the snapshot.
    pub(crate) fn commit_validated(
        &self,
        batch: &partition::Batch,
        snapshot: &partition::Snapshot,
        reads: &ReadSet,
        level: Durability,
    ) -> Result<Validated> {
        self.clock_will_do(batch.expires())?;
        let _timer = self.meter.commit(Counted::Validated, level);
        let committed = self.gate.when_room(|| self.set.commit_validated(batch, snapshot, reads, level, self.now_ms()));
        let answer = self.told(committed)?;
        if let Validated::Committed(_) = answer {
            self.committed(batch.len_bytes() as u64);
        }
        Ok(answer)
    }

    /// As [`Engine::commit_if`], of a large batch.
    pub(crate) fn commit_staged(
        &self,
        staged: &mut Staged,
        conditions: &[(&[u8], Expect)],
        level: Durability,
    ) -> Result<Outcome> {
        self.clock_will_do(staged.expires())?;
        let _timer = self.meter.commit(Counted::Conditional, level);
        let bytes = staged.len_bytes();
        let attempt = || self.set.commit_staged(staged, conditions, level, self.now_ms());
        let outcome = self.told(self.gate.when_room(attempt))?;
        if let Outcome::Committed(_) = outcome {
            self.committed(bytes);
        }
        Ok(outcome)
    }

    /// As [`Engine::commit_validated`], of large transactions.
    pub(crate) fn commit_staged_validated(
        &self,
        staged: &mut Staged,
        snapshot: &partition::Snapshot,
        reads: &ReadSet,
        level: Durability,
    ) -> Result<Validated> {
        self.clock_will_do(staged.expires())?;
        let _timer = self.meter.commit(Counted::Validated, level);
        let bytes = staged.len_bytes();
        let attempt = || self.set.commit_staged_validated(staged, snapshot, reads, level, self.now_ms());
        let answer = self.told(self.gate.when_room(attempt))?;
        if let Validated::Committed(_) = answer {
            self.committed(bytes);
        }
        Ok(answer)
    }

    /// Removes a range of stored keys if every condition holds.
    pub(crate) fn delete_range(
        &self,
        range: (&[u8], Option<&[u8]>),
        conditions: &[(&[u8], Expect)],
        level: Durability,
    ) -> Result<Removal> {
        let _timer = self.meter.commit(Counted::RangeDelete, level);
        self.told(self.gate.when_room(|| self.set.delete_range(range, conditions, level, self.now_ms())))
    }

    /// The first write that finds the log or a page file poisoned is traced; the others are told the same.
    fn told<T>(&self, result: Result<T>) -> Result<T> {
        if let Err(error) = &result
            && error.kind() == ErrorKind::Poisoned
            && !self.poison_told.swap(true, Ordering::Relaxed)
        {
            event!(ERROR, %error, "a write or a synchronisation failed; writes fail until the database is opened again");
        }
        result
    }

    /// After each commit: the workers hear of it, and a writer that is ahead of them waits a moment.
    fn committed(&self, bytes: u64) {
        self.announce(bytes);
        if self.set.is_ahead() {
            let share = bytes as f64 / self.large_bytes as f64;
            self.gate.slow_down(|| self.set.is_ahead(), SLOWED + SLOWED_IF_LARGE.mul_f64(share.min(1.0)));
        }
    }

    /// Wakes the workers when enough was written for them to have something to do.
    fn announce(&self, bytes: u64) {
        if self.unannounced.fetch_add(bytes, Ordering::Relaxed) + bytes >= self.announce_bytes {
            self.unannounced.store(0, Ordering::Relaxed);
            self.gate.wake();
        }
    }

    /// Takes the next job that is due and runs it in this thread.
    pub(crate) fn run_job(&self) -> Turn {
        self.run(|| self.set.next_job(self.now_ms()))
    }

    fn run(&self, next: impl FnOnce() -> Option<Job>) -> Turn {
        let turn = self.gate.take_turn(next, |job| {
            let is_optional = job.is_optional();
            #[cfg(feature = "tracing")]
            let (what, started) = (job.describe(), std::time::Instant::now());
            let timer = self.meter.time(if is_optional { Slow::Upkeep } else { Slow::Merge });
            let result = job.run();
            drop(timer);
            #[cfg(feature = "tracing")]
            match &result {
                Ok(()) => {
                    let elapsed_ms = started.elapsed().as_millis() as u64;
                    event!(DEBUG, job = %what, elapsed_ms, "background job done");
                }
                Err(error) => {
                    event!(ERROR, job = %what, %error, again = !is_optional, "background job failed");
                }
            }
            // Writers that wait for room do not get the error of what makes none.
            if is_optional { Ok(()) } else { result }
        });
        if let Turn::Panicked = turn {
            event!(ERROR, "a background job panicked; writes fail until the database is opened again");
        }
        turn
    }

    /// Merges what is in memory now, beside the workers.
    ///
    /// A partition whose last frozen memtable is still being merged freezes no second one. So this is done twice: after
    /// the first round, at the latest, what was active at its beginning is frozen.
    pub(crate) fn flush(&self) -> Result<()> {
        for _ in 0..2 {
            self.gate.check()?;
            self.set.freeze_all()?;
            self.gate.wake();
            self.run_all_jobs()?;
        }
        Ok(())
    }

    /// Runs jobs in this thread until none is due and none is running in another thread.
    fn run_all_jobs(&self) -> Result<()> {
        loop {
            self.gate.check()?;
            match self.run(|| self.set.next_merge(self.now_ms())) {
                Turn::Nothing { alone: true } => return Ok(()),
                Turn::Nothing { alone: false } => self.gate.wait_for_progress(),
                Turn::Done => {}
                Turn::Failed(error) => return Err(Error::unmerged(&error)),
                Turn::Panicked => return self.gate.check(),
            }
        }
    }
}
