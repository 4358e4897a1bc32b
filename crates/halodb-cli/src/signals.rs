//! Ctrl-C.
//!
//! The signal is blocked in every thread and one thread waits for it, so no code ever runs inside a handler. It raises a
//! flag that every long loop looks at. Outside the shell the process also ends by itself a moment later, in case it is
//! blocked in a read: the database survives that like any other end of a process. In the shell only the command stops. A command
//! that has something to put away asks for [`Patience`]; then only a second Ctrl-C ends the process at once.

use crate::failure::{Code, Failure, Result};
use nix::sys::signal::{SigSet, Signal};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

/// How long a command has to stop in order, in milliseconds.
const GRACE_MS: u64 = 500;

static INTERRUPTED: AtomicBool = AtomicBool::new(false);
static IN_SHELL: AtomicBool = AtomicBool::new(false);
static PATIENT: AtomicBool = AtomicBool::new(false);

/// Takes over SIGINT. Must run before any other thread starts, because threads inherit what is blocked.
pub(crate) fn install() {
    let mut set = SigSet::empty();
    set.add(Signal::SIGINT);
    if set.thread_block().is_err() {
        return;
    }
    let waiting = thread::Builder::new().name("signals".into()).spawn(move || wait(&set));
    if waiting.is_err() {
        let _ = set.thread_unblock();
    }
}

/// From now on Ctrl-C stops commands, not the program.
pub(crate) fn enter_shell() {
    IN_SHELL.store(true, Ordering::Relaxed);
}

/// As long as it is there, the process does not end by itself after the first Ctrl-C: what runs must look for it.
pub(crate) struct Patience(());

impl Patience {
    /// From now on.
    pub(crate) fn new() -> Self {
        PATIENT.store(true, Ordering::Relaxed);
        Patience(())
    }
}

impl Drop for Patience {
    fn drop(&mut self) {
        PATIENT.store(false, Ordering::Relaxed);
    }
}

/// Forgets an earlier Ctrl-C: a new command begins.
pub(crate) fn reset() {
    INTERRUPTED.store(false, Ordering::Relaxed);
}

/// Whether Ctrl-C was pressed since the command began.
pub(crate) fn interrupted() -> bool {
    INTERRUPTED.load(Ordering::Relaxed)
}

/// Fails if Ctrl-C was pressed since the command began.
pub(crate) fn check() -> Result<()> {
    if interrupted() {
        return Err(Failure::interrupted("interrupted"));
    }
    Ok(())
}

fn wait(set: &SigSet) {
    while set.wait().is_ok() {
        let again = INTERRUPTED.swap(true, Ordering::Relaxed);
        if PATIENT.load(Ordering::Relaxed) && !again {
            continue;
        }
        if !IN_SHELL.load(Ordering::Relaxed) {
            thread::sleep(Duration::from_millis(GRACE_MS));
            std::process::exit(Code::Interrupted as i32);
        }
    }
}
