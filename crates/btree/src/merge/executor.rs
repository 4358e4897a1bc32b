//! [`Executor`]: who runs the parts of a divided merge. This crate starts no thread.

use std::fmt;
use std::num::NonZeroUsize;

/// A part of a merge. Runs to its end without waiting for another one.
pub type Task<'t> = Box<dyn FnOnce() + Send + 't>;

/// Runs tasks, at the same time if it can.
pub trait Executor: fmt::Debug + Send + Sync {
    /// How many tasks it could run at the same time now: into so many parts a merge is worth dividing. Asked once for each
    /// chunk of a merge; by the time its tasks come it may be less.
    fn width(&self) -> NonZeroUsize;

    /// Runs all tasks, in any order, in any threads; returns when the last one has ended. If one panics, so may this, but
    /// not before all that were begun have ended.
    fn run(&self, tasks: Vec<Task<'_>>);
}

/// Runs tasks one after another in the thread that asks: a merge that is divided and all the same a function of its input.
#[derive(Clone, Copy, Debug)]
pub struct InTurn(pub NonZeroUsize);

impl Executor for InTurn {
    fn width(&self) -> NonZeroUsize {
        self.0
    }

    fn run(&self, tasks: Vec<Task<'_>>) {
        tasks.into_iter().for_each(|task| task());
    }
}
