//! [`Crew`]: the threads that merge, as many as `merge.threads` says, and among them those that help with a part.
//!
//! A worker that runs a job counts as one of the crew. A merge is divided among its worker and as many helpers as there are members
//! without work: so with two threads two partitions are merged side by side, or one of them by both. Helpers are started for
//! a chunk and end with it; where the system refuses a thread, the worker does the part itself.

use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use halodb_partition::{Executor, Task};
use parking_lot::Mutex;

/// See the head of this file.
#[derive(Debug)]
pub(crate) struct Crew {
    members: NonZeroUsize,
    at_work: AtomicUsize,
}

/// A member, or several, that have work until this is dropped.
#[derive(Debug)]
pub(crate) struct AtWork<'c> {
    crew: &'c Crew,
    members: usize,
}

impl Crew {
    pub(crate) fn new(members: NonZeroUsize) -> Self {
        Crew { members, at_work: AtomicUsize::new(0) }
    }

    /// A worker begins with a job.
    pub(crate) fn begin(&self) -> AtWork<'_> {
        self.at_work.fetch_add(1, Ordering::Relaxed);
        AtWork { crew: self, members: 1 }
    }

    /// As many members without work as there are, at most `most`.
    fn helpers(&self, most: usize) -> AtWork<'_> {
        let mut members = 0;
        let take = |at_work: usize| {
            members = self.members.get().saturating_sub(at_work).min(most);
            Some(at_work + members)
        };
        let _ = self.at_work.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take);
        AtWork { crew: self, members }
    }
}

impl Drop for AtWork<'_> {
    fn drop(&mut self) {
        self.crew.at_work.fetch_sub(self.members, Ordering::Relaxed);
    }
}

impl Executor for Crew {
    fn width(&self) -> NonZeroUsize {
        // Whoever asks does a part, be it a worker, which counts already, or somebody who flushes.
        let idle = self.members.get().saturating_sub(self.at_work.load(Ordering::Relaxed));
        NonZeroUsize::MIN.saturating_add(idle).min(self.members)
    }

    fn run(&self, tasks: Vec<Task<'_>>) {
        let helpers = self.helpers(tasks.len().saturating_sub(1));
        let queue = Mutex::new(VecDeque::from(tasks));
        let work = || {
            loop {
                let next = queue.lock().pop_front();
                match next {
                    Some(task) => task(),
                    None => return,
                }
            }
        };
        thread::scope(|scope| {
            for _ in 0..helpers.members {
                let helper = thread::Builder::new().name("halodb-merge-part".to_owned());
                if helper.spawn_scoped(scope, work).is_err() {
                    break;
                }
            }
            work();
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn crew(members: usize) -> Crew {
        Crew::new(NonZeroUsize::new(members).expect("not zero"))
    }

    #[test]
    fn a_merge_is_divided_among_those_without_work() {
        let crew = crew(3);
        assert_eq!(crew.width().get(), 3);
        let one = crew.begin();
        assert_eq!(crew.width().get(), 3);
        let two = crew.begin();
        assert_eq!(crew.width().get(), 2);
        assert_eq!(crew.helpers(5).members, 1);
        let three = crew.begin();
        assert_eq!((crew.width().get(), crew.helpers(5).members), (1, 0));
        drop((one, two, three));
        assert_eq!(crew.at_work.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn all_tasks_are_run_whatever_the_number_of_threads() {
        for members in 1..4 {
            let crew = crew(members);
            let _worker = crew.begin();
            let done = Mutex::new(Vec::new());
            let task = |n: u32| -> Task<'_> {
                let done = &done;
                Box::new(move || done.lock().push(n))
            };
            crew.run((0..7).map(task).collect());
            let mut done = done.lock().clone();
            done.sort_unstable();
            assert_eq!(done, (0..7).collect::<Vec<_>>());
            assert_eq!(crew.at_work.load(Ordering::Relaxed), 1);
        }
    }
}
