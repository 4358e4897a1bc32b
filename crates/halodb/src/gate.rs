//! [`Gate`]: where writers that find memory full, and threads that make room, meet.
//!
//! The engine starts no thread: a commit that finds no room answers `Stalled`, and somebody has to run jobs. The gate
//! holds what both sides must know about each other, under one lock that no read and no unstalled write takes:
//!
//! - a worker that finds no job sleeps until it is woken; a wake-up between its look and its sleep is not lost, because
//!   it is counted;
//! - a stalled writer waits until a job finishes, and gets the error of a job that fails *after* the writer began to
//!   wait: a failed merge makes writers fail, not hang, and an old failure that has been healed is never reported;
//! - a writer that is ahead of the merges waits a moment, until a job finishes or its time is over: many short waits
//!   instead of a long one when memory is full;
//! - a panic of a background thread is remembered for good: from then on every write fails with `Poisoned`.
//!
//! Waiting is bounded on both sides (milliseconds for writers), so that a missed wake-up would cost time and never
//! block for ever. The gate does *not* know what a job does.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use halodb_partition as engine;
use parking_lot::{Condvar, Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::histogram::{Histogram, Recorder};
use crate::trace::event;
use crate::{Error, ErrorKind, Result};

/// How long a stalled writer sleeps before it tries again unasked.
const RETRY: Duration = Duration::from_millis(2);

/// How long a stalled writer waits while nothing runs and nothing finishes before it gives up with `Busy`.
const PATIENCE: Duration = Duration::from_secs(10);

/// Time between attempts at a failing job while writers wait for it; it doubles up to [`LONGEST_PAUSE`] without them.
const PAUSE: Duration = Duration::from_millis(50);

/// See [`PAUSE`].
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// The meeting point. See the head of this file.
#[derive(Debug)]
pub(crate) struct Gate {
    /// See [`PATIENCE`].
    patience: Duration,
    path: Arc<Path>,
    state: Mutex<State>,
    /// Held shared by every call that writes or needs the files at rest, alone by `close`: nothing reaches the engine
    /// while and after it is closed.
    calls: RwLock<()>,
    /// Signalled when there may be a job, and when threads are to stop.
    work: Condvar,
    /// Signalled when a job has ended.
    progress: Condvar,
    /// Whether writes are refused: closed, or a thread panicked. Read by every write without the lock.
    shut: AtomicBool,
    /// Whether the database was closed, or is being closed: reads are refused as well.
    closed: AtomicBool,
    /// Writes that had to wait for room.
    stalls: AtomicU64,
    /// Writes that were slowed down, and the time they waited.
    slowed: AtomicU64,
    slowed_us: AtomicU64,
    /// How long stalled writers waited, and slowed ones.
    stalled_for: Recorder,
    slowed_for: Recorder,
}

#[derive(Debug, Default)]
struct State {
    stopping: bool,
    /// Counts calls of [`Gate::wake`].
    wakeups: u64,
    /// Threads that run a job, or ask for one.
    claims: u32,
    /// Writers that wait.
    stalled: u32,
    finished: u64,
    failed: u64,
    failure: Option<Arc<engine::Error>>,
    panicked: Option<String>,
}

impl State {
    /// Whether writes may go on.
    fn check(&self, path: &Path) -> Result<()> {
        if let Some(what) = &self.panicked {
            let dir = path.display();
            return Err(Error::new(
                ErrorKind::Poisoned,
                format!("a background thread of the database in {dir} panicked: {what}"),
            ));
        }
        if self.stopping { Err(Error::closed(path)) } else { Ok(()) }
    }
}

/// What a look for a job led to.
pub(crate) enum Turn {
    /// A job was done.
    Done,
    /// A job failed.
    Failed(Arc<engine::Error>),
    /// There was none.
    Nothing {
        /// Whether no other thread had a job in hand.
        alone: bool,
    },
    /// The job panicked; nothing more will run.
    Panicked,
}

impl Gate {
    pub(crate) fn new(path: Arc<Path>) -> Self {
        Gate {
            patience: PATIENCE,
            path,
            state: Mutex::default(),
            calls: RwLock::new(()),
            work: Condvar::new(),
            progress: Condvar::new(),
            shut: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            stalls: AtomicU64::new(0),
            slowed: AtomicU64::new(0),
            slowed_us: AtomicU64::new(0),
            stalled_for: Recorder::default(),
            slowed_for: Recorder::default(),
        }
    }

    /// Enters a call that writes; it keeps `close` waiting as long as the result lives.
    pub(crate) fn enter(&self) -> Result<RwLockReadGuard<'_, ()>> {
        let call = self.calls.read();
        self.check()?;
        Ok(call)
    }

    /// Enters a call that only reads.
    pub(crate) fn enter_reading(&self) -> RwLockReadGuard<'_, ()> {
        self.calls.read()
    }

    /// Waits until every call that was entered is over, and keeps new ones out. After [`Gate::stop`] that is soon.
    pub(crate) fn close(&self) -> RwLockWriteGuard<'_, ()> {
        self.calls.write()
    }

    /// Whether a write may begin: one load when all is well.
    pub(crate) fn check(&self) -> Result<()> {
        if self.shut.load(Ordering::Acquire) { self.state.lock().check(&self.path) } else { Ok(()) }
    }

    /// Writes that had to wait for room so far.
    pub(crate) fn stalls(&self) -> u64 {
        self.stalls.load(Ordering::Relaxed)
    }

    /// Writes that were slowed down so far, and for how many microseconds together.
    pub(crate) fn slowed(&self) -> (u64, u64) {
        (self.slowed.load(Ordering::Relaxed), self.slowed_us.load(Ordering::Relaxed))
    }

    /// How long stalled writers waited, and slowed ones.
    pub(crate) fn waits(&self) -> (Histogram, Histogram) {
        (self.stalled_for.histogram(), self.slowed_for.histogram())
    }

    /// Makes a writer that is ahead of the merges wait: for `longest`, or until it no longer is when a job has ended, or for
    /// a stop. It never fails: what it follows is committed.
    #[cold]
    pub(crate) fn slow_down(&self, is_ahead: impl Fn() -> bool, longest: Duration) {
        let begun = Instant::now();
        let mut state = self.state.lock();
        state.wakeups += 1;
        self.work.notify_all();
        while !self.is_shut() && !self.progress.wait_until(&mut state, begun + longest).timed_out() {
            if !MutexGuard::unlocked(&mut state, &is_ahead) {
                break;
            }
        }
        drop(state);
        self.slowed.fetch_add(1, Ordering::Relaxed);
        let waited = begun.elapsed();
        self.slowed_us.fetch_add(waited.as_micros() as u64, Ordering::Relaxed);
        self.slowed_for.record(waited);
    }

    /// Tells sleeping workers that there may be a job.
    pub(crate) fn wake(&self) {
        self.state.lock().wakeups += 1;
        self.work.notify_all();
    }

    /// Makes workers end after the job in hand, and stalled writers give up.
    pub(crate) fn stop(&self) {
        self.state.lock().stopping = true;
        self.closed.store(true, Ordering::Release);
        self.shut.store(true, Ordering::Release);
        self.work.notify_all();
        self.progress.notify_all();
    }

    /// Whether [`Gate::stop`] was called or a thread panicked.
    pub(crate) fn is_shut(&self) -> bool {
        self.shut.load(Ordering::Acquire)
    }

    /// Whether [`Gate::stop`] was called.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// The error of a background thread's panic, if a background thread panicked.
    pub(crate) fn panicked(&self) -> Result<()> {
        match self.state.lock() {
            state if state.panicked.is_some() => state.check(&self.path),
            _ => Ok(()),
        }
    }

    /// Remembers that a background thread panicked: no write succeeds from here on.
    pub(crate) fn poison(&self, what: String) {
        self.state.lock().panicked.get_or_insert(what);
        self.shut.store(true, Ordering::Release);
        self.work.notify_all();
        self.progress.notify_all();
    }

    /// Retries a write until it finds room.
    ///
    /// # Errors
    /// Those of `attempt` but `Stalled`; that of a job which fails meanwhile; `Closed`; `Poisoned`; `Busy` if nobody
    /// makes room.
    pub(crate) fn when_room<T>(&self, mut attempt: impl FnMut() -> engine::Result<T>) -> Result<T> {
        self.check()?;
        match attempt() {
            Err(error) if error.kind() == engine::ErrorKind::Stalled => self.stalled(&mut attempt),
            other => Ok(other?),
        }
    }

    #[cold]
    fn stalled<T>(&self, attempt: &mut impl FnMut() -> engine::Result<T>) -> Result<T> {
        self.stalls.fetch_add(1, Ordering::Relaxed);
        let begun = Instant::now();
        let mut state = self.state.lock();
        state.stalled += 1;
        let failed_before = state.failed;
        let mut seen = state.finished;
        let mut still = Instant::now();
        let result = loop {
            if let Err(error) = state.check(&self.path) {
                break Err(error);
            }
            if state.failed != failed_before {
                break Err(match &state.failure {
                    Some(cause) => Error::stalled_by(cause),
                    None => Error::new(ErrorKind::Busy, "memory is full of unmerged writes; this write was not made"),
                });
            }
            if state.finished != seen || state.claims > 0 {
                seen = state.finished;
                still = Instant::now();
            } else if still.elapsed() > self.patience {
                let waited = self.patience.as_secs();
                break Err(Error::new(
                    ErrorKind::Busy,
                    format!(
                        "memory is full of unmerged writes, and no merge began for {waited} s; this write was not made"
                    ),
                ));
            }
            state.wakeups += 1;
            self.work.notify_all();
            self.progress.wait_for(&mut state, RETRY);
            drop(state);
            let tried = attempt();
            state = self.state.lock();
            match tried {
                Err(error) if error.kind() == engine::ErrorKind::Stalled => {}
                other => break other.map_err(Error::from),
            }
        };
        state.stalled -= 1;
        drop(state);
        let waited = begun.elapsed();
        self.stalled_for.record(waited);
        event!(
            DEBUG,
            waited_ms = waited.as_millis() as u64,
            failed = result.is_err(),
            "a writer found memory full of unmerged writes"
        );
        result
    }

    /// Looks for a job with `next` and runs it with `run`.
    pub(crate) fn take_turn<J>(
        &self,
        next: impl FnOnce() -> Option<J>,
        run: impl FnOnce(J) -> engine::Result<()>,
    ) -> Turn {
        self.state.lock().claims += 1;
        // The engine is not looked at again after a panic except by reads, which see published versions only.
        let ran = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| next().map(run)));
        let mut state = self.state.lock();
        state.claims -= 1;
        match ran {
            Ok(None) => Turn::Nothing { alone: state.claims == 0 },
            Ok(Some(Ok(()))) => {
                state.finished += 1;
                // What one job leads to another may follow: a sleeping neighbour is to look as well.
                state.wakeups += 1;
                drop(state);
                self.progress.notify_all();
                self.work.notify_all();
                Turn::Done
            }
            Ok(Some(Err(error))) => {
                let error = Arc::new(error);
                state.failed += 1;
                state.failure = Some(Arc::clone(&error));
                drop(state);
                self.progress.notify_all();
                Turn::Failed(error)
            }
            Err(panic) => {
                drop(state);
                self.poison(panic_text(&*panic));
                Turn::Panicked
            }
        }
    }

    /// The number of wake-ups so far: to be read before looking for a job.
    pub(crate) fn wakeups(&self) -> u64 {
        self.state.lock().wakeups
    }

    /// Sleeps until a wake-up beyond `seen`, a stop, or `longest`.
    pub(crate) fn sleep(&self, seen: u64, longest: Duration) {
        let mut state = self.state.lock();
        if state.wakeups == seen && !self.is_shut() {
            self.work.wait_for(&mut state, longest);
        }
    }

    /// Sleeps for `longest` or until a stop; wake-ups do not shorten it.
    pub(crate) fn pause(&self, longest: Duration) {
        let end = Instant::now() + longest;
        let mut state = self.state.lock();
        while !self.is_shut() && !self.work.wait_until(&mut state, end).timed_out() {}
    }

    /// Sleeps before the next attempt at a failing job: `attempts` says how many have failed in a row. Short while
    /// writers wait for the outcome.
    pub(crate) fn back_off(&self, attempts: u32) {
        let end = Instant::now() + (PAUSE * 2u32.saturating_pow(attempts.min(16))).min(LONGEST_PAUSE);
        loop {
            self.pause(PAUSE);
            if self.is_shut() || Instant::now() >= end || self.state.lock().stalled > 0 {
                return;
            }
        }
    }

    /// Waits a moment for jobs that other threads have in hand.
    pub(crate) fn wait_for_progress(&self) {
        let mut state = self.state.lock();
        self.progress.wait_for(&mut state, RETRY);
    }
}

/// What a panic said, if it said it as text.
pub(crate) fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|s| (*s).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "(no message)".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;

    fn gate() -> Gate {
        Gate::new(Path::new("data").into())
    }

    /// An engine's error of some kind: engine errors cannot be made outside of the engine.
    fn engine_error(kind: engine::ErrorKind) -> engine::Error {
        use engine::{Create, Durability, Entropy, Options, PartitionSet};
        let disk = Arc::new(halodb_vfs::SimVfs::new());
        let entropy = Entropy { uuid: [1; 16], incarnation: 1, hash_seed: 1 };
        let mut options = Options::default();
        options.memtable_bytes = 1;
        let open = |options| PartitionSet::open(disk.clone(), Path::new("data"), options, entropy, 0);
        let error = match kind {
            engine::ErrorKind::NotFound => {
                options.create = Create::Never;
                open(options).expect_err("there is no database")
            }
            engine::ErrorKind::Stalled => {
                let (set, _) = open(options).expect("it opens");
                let mut batch = engine::Batch::new();
                batch.put(b"k", b"v");
                loop {
                    if let Err(error) = set.commit(&batch, Durability::Memory, 0) {
                        break error;
                    }
                }
            }
            other => panic!("no way to provoke {other:?}"),
        };
        assert_eq!(error.kind(), kind);
        error
    }

    fn stalled() -> engine::Result<u32> {
        Err(engine_error(engine::ErrorKind::Stalled))
    }

    #[test]
    fn a_write_that_finds_room_does_not_wait() {
        let gate = gate();
        assert_eq!(gate.when_room(|| Ok(7)).unwrap(), 7);
        assert_eq!(gate.stalls(), 0);
    }

    #[test]
    fn a_stalled_write_goes_on_when_a_job_has_made_room_and_counts_once() {
        let gate = gate();
        let room = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let writer = scope.spawn(|| gate.when_room(|| if room.load(Ordering::SeqCst) { Ok(7) } else { stalled() }));
            std::thread::sleep(Duration::from_millis(20));
            let turn = gate.take_turn(
                || Some(()),
                |()| {
                    room.store(true, Ordering::SeqCst);
                    Ok(())
                },
            );
            assert!(matches!(turn, Turn::Done));
            assert_eq!(writer.join().unwrap().unwrap(), 7);
        });
        assert_eq!(gate.stalls(), 1);
    }

    #[test]
    fn a_stalled_write_gets_the_error_of_a_job_that_fails_while_it_waits_and_of_none_before() {
        let gate = gate();
        let fail = || gate.take_turn(|| Some(()), |()| Err(engine_error(engine::ErrorKind::NotFound)));
        assert!(matches!(fail(), Turn::Failed(_)));
        let tries = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            let writer = scope.spawn(|| {
                gate.when_room(|| {
                    tries.fetch_add(1, Ordering::SeqCst);
                    stalled()
                })
            });
            while tries.load(Ordering::SeqCst) < 4 {
                assert!(!writer.is_finished(), "an old failure is not reported");
                std::thread::yield_now();
            }
            fail();
            let error = writer.join().unwrap().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::NotFound);
            assert!(std::error::Error::source(&error).is_some());
        });
    }

    #[test]
    fn a_stalled_write_that_nobody_helps_gives_up() {
        let gate = Gate { patience: Duration::from_millis(30), ..gate() };
        let error = gate.when_room(stalled).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Busy);
        assert!(error.is_retryable());
    }

    #[test]
    fn a_write_that_is_ahead_waits_a_moment_or_until_a_job_has_caught_up() {
        let gate = gate();
        let begun = Instant::now();
        gate.slow_down(|| true, Duration::from_millis(20));
        assert!((20..2000).contains(&begun.elapsed().as_millis()));
        let ahead = AtomicBool::new(true);
        let begun = Instant::now();
        std::thread::scope(|scope| {
            let writer = scope.spawn(|| gate.slow_down(|| ahead.load(Ordering::SeqCst), Duration::from_secs(600)));
            while !writer.is_finished() {
                // The first job leaves it ahead.
                gate.take_turn(|| Some(()), |()| Ok(()));
                std::thread::sleep(Duration::from_millis(5));
                ahead.store(false, Ordering::SeqCst);
            }
        });
        assert!(begun.elapsed() < Duration::from_secs(60));
        let (slowed, slowed_us) = gate.slowed();
        assert!(slowed == 2 && slowed_us >= 20_000, "{slowed} writes for {slowed_us} µs");
        gate.stop();
        gate.slow_down(|| true, Duration::from_secs(600));
    }

    #[test]
    fn a_panic_of_a_job_fails_all_writes_with_its_text_and_ends_waiting() {
        let gate = gate();
        std::thread::scope(|scope| {
            let writer = scope.spawn(|| gate.when_room(stalled));
            let turn = gate.take_turn(|| Some(()), |()| panic!("the tree is upside down"));
            assert!(matches!(turn, Turn::Panicked));
            assert_eq!(writer.join().unwrap().unwrap_err().kind(), ErrorKind::Poisoned);
        });
        let error = gate.when_room(|| Ok(())).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Poisoned);
        assert!(error.to_string().contains("the tree is upside down"), "{error}");
        assert!(gate.enter().is_err() && gate.panicked().is_err());
        assert!(!gate.is_closed(), "reads go on");
    }

    #[test]
    fn stopping_ends_every_wait() {
        let gate = gate();
        std::thread::scope(|scope| {
            let writer = scope.spawn(|| gate.when_room(stalled));
            let sleeper = scope.spawn(|| gate.sleep(gate.wakeups() + 1, Duration::from_secs(600)));
            let napper = scope.spawn(|| gate.sleep(0, Duration::from_secs(600)));
            let pauser = scope.spawn(|| gate.pause(Duration::from_secs(600)));
            let patient = scope.spawn(|| gate.back_off(10));
            std::thread::sleep(Duration::from_millis(20));
            gate.stop();
            assert_eq!(writer.join().unwrap().unwrap_err().kind(), ErrorKind::Closed);
            for waiting in [sleeper, napper, pauser, patient] {
                waiting.join().unwrap();
            }
        });
        assert!(gate.is_closed());
    }

    #[test]
    fn closing_waits_for_calls_under_way_and_keeps_later_ones_out() {
        let gate = gate();
        std::thread::scope(|scope| {
            let call = gate.enter().unwrap();
            gate.stop();
            let closer = scope.spawn(|| drop(gate.close()));
            std::thread::sleep(Duration::from_millis(20));
            assert!(!closer.is_finished());
            drop(call);
            closer.join().unwrap();
        });
        assert_eq!(gate.enter().unwrap_err().kind(), ErrorKind::Closed);
    }

    #[test]
    fn a_wakeup_between_looking_and_sleeping_is_not_lost() {
        let gate = gate();
        let seen = gate.wakeups();
        gate.wake();
        let begun = Instant::now();
        gate.sleep(seen, Duration::from_secs(600));
        assert!(begun.elapsed() < Duration::from_secs(60));
    }
}
