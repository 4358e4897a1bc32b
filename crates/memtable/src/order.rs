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

#[derive(Debug, Default)]
pub(crate) struct Order(Mutex<Sorted>);

#[derive(Debug, Default)]
struct Sorted {
    /// Older and longer ones first.
    runs: Vec<Arc<Run>>,
    /// What arrived before is in the runs.
    upto: Mark,
}

impl Order {
    /// Runs that hold everything that has arrived, older ones first.
    ///
    /// O(new log new) since the last call, and the merges that are due.
    pub(crate) fn runs<W>(&self, arena: &Arena<W>) -> Vec<Arc<Run>> {
        let mut sorted = self.0.lock();
        let now = arena.mark();
        if now != sorted.upto {
            let mut arrived = Vec::new();
            arena.between(sorted.upto, now, |pos, _| arrived.push(pos));
            let mut newest = Run::sort(arena, arrived);
            while let Some(older) = sorted.runs.pop_if(|older| older.len() < newest.len() * RATIO) {
                newest = Run::merge(arena, &older, &newest);
            }
            sorted.runs.push(Arc::new(newest));
            sorted.upto = now;
        }
        sorted.runs.clone()
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
        let is_same = sorted.runs.len() == runs.len() && sorted.runs.iter().zip(&runs).all(|(a, b)| Arc::ptr_eq(a, b));
        if is_same {
            sorted.runs = vec![one];
        }
    }
}
