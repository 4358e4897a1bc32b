//! [`Order`]: the table's keys in order, made when somebody asks for it, so that a write never pays for it.
//!
//! Whoever asks sorts what has arrived since the last time into a new [`Run`]; runs are merged when the older one is less
//! than eight times as long as the newer one. So there are few, each entry is moved O(log n) times, and a scan after
//! every few writes stays cheap. Runs never change: a cursor keeps those of its beginning.
//!
//! The lock is taken by scanners alone, among themselves.

use std::sync::Arc;

use crate::arena::{Arena, Mark};
use crate::run::Run;
use crate::sync::Mutex;

const RATIO: usize = 8;

/// Runs that hold everything up to some moment, older ones first.
pub(crate) type Runs = Arc<Vec<Arc<Run>>>;

#[derive(Debug, Default)]
pub(crate) struct Order(Mutex<Sorted>);

#[derive(Debug, Default)]
struct Sorted {
    /// Older and longer ones first; shared, so that a cursor takes them all at once.
    runs: Runs,
    /// What arrived before is in the runs.
    upto: Mark,
}

impl Order {
    /// Runs that hold everything that has arrived, older ones first.
    ///
    /// O(new log new) since the last call, and the merges that are due.
    pub(crate) fn runs<W>(&self, arena: &Arena<W>) -> Runs {
        let mut sorted = self.0.lock();
        let now = arena.mark();
        if now != sorted.upto {
            let mut arrived = Vec::new();
            arena.between(sorted.upto, now, |pos, _| arrived.push(pos));
            let mut newest = Run::sort(arena, arrived);
            let mut runs = Vec::with_capacity(sorted.runs.len() + 1);
            runs.extend(sorted.runs.iter().cloned());
            while let Some(older) = runs.pop_if(|older| older.len() < newest.len() * RATIO) {
                newest = Run::merge(arena, &older, &newest);
            }
            runs.push(Arc::new(newest));
            sorted.runs = Arc::new(runs);
            sorted.upto = now;
        }
        Arc::clone(&sorted.runs)
    }

    /// Merges everything into one run, for a table that is written to no more. Others wait only for the runs to be
    /// replaced, not for the merge.
    pub(crate) fn make_one_run<W>(&self, arena: &Arena<W>) {
        let runs = self.runs(arena);
        if runs.len() < 2 {
            return;
        }
        // Newer and shorter ones first, so that long ones are moved once.
        let (last, others) = runs.split_last().expect("at least two");
        let mut one = None;
        for older in others.iter().rev() {
            one = Some(Run::merge(arena, older, one.as_ref().unwrap_or(last)));
        }
        let one = one.map(Arc::new).expect("at least two");
        let mut sorted = self.0.lock();
        if Arc::ptr_eq(&sorted.runs, &runs) {
            sorted.runs = Arc::new(vec![one]);
        }
    }
}
