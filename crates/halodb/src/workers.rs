//! [`Workers`]: the threads of an open database.
//!
//! `merge.threads` workers ask the engine for jobs and run them (those that find none help with parts of a merge: `crew.rs`); one ticker writes the buffer of the `Memory` level (and
//! the marker of an idle log) every `wal.interval`. None of them owns the database: they end when they are told to, at
//! close, after the job in hand. A thread that panics poisons writes (`gate.rs`) and never takes the process with it.

use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use crate::crew::Crew;
use crate::engine::Engine;
use crate::gate::{Turn, panic_text};
use crate::trace::event;
use crate::{Error, Result};

/// How threads of a database behave.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Schedule {
    /// Threads that run jobs, at least 1.
    pub(crate) merge_threads: u32,
    /// Time between ticks.
    pub(crate) interval: Duration,
    /// Longest time between two looks for jobs; see [`look_every`].
    pub(crate) look_every: Duration,
}

impl Schedule {
    /// How many threads merge.
    pub(crate) fn crew(&self) -> NonZeroUsize {
        NonZeroUsize::new(self.merge_threads as usize).unwrap_or(NonZeroUsize::MIN)
    }
}

/// How often workers look for jobs that come with time alone (a memtable that nobody writes to any more): a quarter of
/// the idle time, so that it is overdrawn by a quarter at most, between 5 ms and a second.
pub(crate) fn look_every(idle: Duration) -> Duration {
    (idle / 4).clamp(Duration::from_millis(5), Duration::from_secs(1))
}

/// The running threads.
#[derive(Debug)]
pub(crate) struct Workers {
    engine: Arc<Engine>,
    threads: Vec<JoinHandle<()>>,
}

impl Workers {
    /// Starts all threads.
    ///
    /// # Errors
    /// `Io` if the system refuses one; those that were started have ended again.
    pub(crate) fn start(engine: &Arc<Engine>, crew: &Arc<Crew>, schedule: Schedule) -> Result<Self> {
        let mut workers = Workers { engine: Arc::clone(engine), threads: Vec::new() };
        for number in 0..schedule.merge_threads.max(1) {
            let name = format!("halodb-merge-{number}");
            let crew = Arc::clone(crew);
            workers.spawn(name, move |engine| work(engine, &crew, schedule.look_every))?;
        }
        workers.spawn("halodb-tick".to_owned(), move |engine| tick(engine, schedule.interval))?;
        Ok(workers)
    }

    fn spawn(&mut self, name: String, body: impl FnOnce(&Engine) + Send + 'static) -> Result<()> {
        let engine = Arc::clone(&self.engine);
        let spawned = std::thread::Builder::new().name(name).spawn(move || body(&engine));
        match spawned {
            Ok(thread) => {
                self.threads.push(thread);
                Ok(())
            }
            Err(error) => {
                self.stop();
                Err(Error::io("cannot start a background thread of the database", error))
            }
        }
    }

    /// Tells all threads to end and waits until they have.
    pub(crate) fn stop(&mut self) {
        self.engine.gate.stop();
        for thread in self.threads.drain(..) {
            if let Err(panic) = thread.join() {
                // Bodies catch the panics of what they run; this is one of their own.
                self.engine.gate.poison(panic_text(&*panic));
            }
        }
    }

    /// Gives the threads up without waiting: they belong to the process that this one was forked from.
    pub(crate) fn abandon(&mut self) {
        self.threads.drain(..).for_each(std::mem::forget);
    }
}

/// The body of a worker.
fn work(engine: &Engine, crew: &Crew, look_every: Duration) {
    let mut failures = 0;
    while !engine.gate.is_shut() {
        let seen = engine.gate.wakeups();
        let turn = {
            let _at_work = crew.begin();
            engine.run_job()
        };
        match turn {
            Turn::Done => failures = 0,
            Turn::Nothing { .. } => {
                failures = 0;
                engine.gate.sleep(seen, look_every);
            }
            Turn::Failed(_) => {
                engine.gate.back_off(failures);
                failures += 1;
            }
            Turn::Panicked => return,
        }
    }
}

/// The body of the ticker.
fn tick(engine: &Engine, interval: Duration) {
    /// Time is seen to so often, however long the interval is: it stands if it is not for ten seconds.
    const LONGEST_STEP: Duration = Duration::from_secs(2);
    let mut failing = false;
    let mut waited = Duration::ZERO;
    loop {
        let step = (interval - waited).min(LONGEST_STEP);
        engine.gate.pause(step);
        if engine.gate.is_shut() {
            return;
        }
        waited += step;
        let is_due = waited >= interval;
        engine.follow_clock();
        let turn = || match is_due {
            true => engine.set.tick(engine.now_ms()),
            false => engine.set.keep_time(engine.now_ms()),
        };
        if is_due {
            waited = Duration::ZERO;
        }
        match catch_unwind(AssertUnwindSafe(turn)) {
            Ok(Ok(())) => failing = false,
            Ok(Err(error)) => {
                // Said once, not at every tick; writers get the error themselves.
                if !failing {
                    event!(ERROR, %error, "writing the log's buffer failed");
                }
                let _ = error;
                failing = true;
            }
            Err(panic) => {
                engine.gate.poison(panic_text(&*panic));
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_for_idle_memtables_stay_between_5_ms_and_a_second() {
        for (idle_ms, expected_ms) in [(0, 5), (10, 5), (100, 25), (4000, 1000), (10_000, 1000)] {
            assert_eq!(look_every(Duration::from_millis(idle_ms)), Duration::from_millis(expected_ms));
        }
    }
}
