//! The evidence that validation rests on: which memtables hold the writes younger than a snapshot.
//!
//! A memtable's writes are evidence that an open transaction may need after a merge has carried them into the tree. Three
//! hold it together: the transaction's own snapshot (the tables that were there when it began, with all that was written
//! to the active one of them later), the current version, and what is *kept* here: tables that were frozen and merged in
//! between, as long as an open transaction is older than the youngest write in them, and within a budget.
//!
//! Invariant: the tables of a partition are numbered in the order of their lives. Whoever validates takes the tables
//! from the oldest of its snapshot to the active one of now, and if one number is missing says so instead of guessing.
//! So nothing depends on *when* a table is kept or let go: that decides only who has to begin again.

use crate::set::PartitionSet;
use crate::snapshot::Snapshot;
use crate::sync::Mutex;
use crate::version::{Layer, PartVersion};
use halodb_vfs::mutant;
use halodb_wal::Lsn;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// Open transactions, and the merged memtables that they may need.
#[derive(Debug, Default)]
pub(crate) struct Evidence(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Numbers of the snapshots of open transactions, each with how many have it.
    open: BTreeMap<Lsn, usize>,
    /// In the order in which their merges ended, each with its partition.
    kept: VecDeque<(usize, Layer)>,
    bytes: u64,
}

impl State {
    /// Takes out what no open transaction needs.
    fn take_unneeded(&mut self) -> Vec<(usize, Layer)> {
        let oldest = self.open.keys().next().copied();
        let (needed, unneeded) =
            self.kept.drain(..).partition::<Vec<_>, _>(|(_, layer)| oldest.is_some_and(|oldest| oldest < layer.last));
        self.kept = needed.into();
        self.bytes -= unneeded.iter().map(|(_, layer)| layer.table.size_bytes()).sum::<u64>();
        unneeded
    }
}

impl Evidence {
    /// Keeps a merged memtable, before any version is without it, if an open transaction may need it. Above the budget
    /// the oldest ones go.
    pub(crate) fn keep(&self, partition: usize, layer: &Layer, budget_bytes: u64) {
        // What goes may free memory, which is done outside the lock.
        let mut gone = Vec::new();
        let mut state = self.0.lock();
        if state.open.keys().next().is_none_or(|&oldest| oldest >= layer.last) {
            return;
        }
        state.bytes += layer.table.size_bytes();
        state.kept.push_back((partition, layer.clone()));
        while state.bytes > budget_bytes {
            let Some((partition, layer)) = state.kept.pop_front() else { break };
            state.bytes -= layer.table.size_bytes();
            gone.push((partition, layer));
        }
        drop(state);
    }

    /// Bytes of what is kept.
    pub(crate) fn bytes(&self) -> u64 {
        self.0.lock().bytes
    }

    /// The tables of a partition from a number on, oldest first; `None`: not all of them are there any more.
    pub(crate) fn since(
        &self,
        partition: usize,
        from: u64,
        snapshot: &PartVersion,
        current: &PartVersion,
    ) -> Option<Vec<Layer>> {
        let mut all = BTreeMap::new();
        all.extend(snapshot.layers().chain(current.layers()).map(|layer| (layer.number, layer.clone())));
        let wanted = from..=current.active.number;
        let is_whole = |all: &BTreeMap<u64, Layer>| wanted.clone().all(|number| all.contains_key(&number));
        if !is_whole(&all) {
            let state = self.0.lock();
            let kept = state.kept.iter().filter(|(of, _)| *of == partition);
            all.extend(kept.map(|(_, layer)| (layer.number, layer.clone())));
        }
        // A planted fault takes what is gone for untouched.
        if !is_whole(&all) && !mutant("partition.validate-without-merged") {
            return None;
        }
        Some(all.into_iter().filter(|(number, _)| wanted.contains(number)).map(|(_, layer)| layer).collect())
    }

    fn open(&self, lsn: Lsn) {
        *self.0.lock().open.entry(lsn).or_default() += 1;
    }

    fn end(&self, lsn: Lsn) {
        let mut state = self.0.lock();
        if let Some(of_this) = state.open.get_mut(&lsn) {
            *of_this -= 1;
            if *of_this == 0 {
                state.open.remove(&lsn);
            }
        }
        let unneeded = if state.kept.is_empty() { Vec::new() } else { state.take_unneeded() };
        drop(state);
        drop(unneeded);
    }
}

/// A snapshot whose owner means to commit on its strength: while it lives, the set keeps the evidence for that, within a
/// budget of half the memtables' memory.
///
/// Only a matter of who has to begin again: [`PartitionSet::commit_validated`] takes any snapshot, and is never wrong.
#[derive(Debug)]
pub struct Basis {
    snapshot: Snapshot,
    evidence: Arc<Evidence>,
    /// What it is entered under: not above the snapshot's number.
    entered: Lsn,
}

impl Basis {
    /// What it shows.
    pub fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }
}

impl Drop for Basis {
    fn drop(&mut self) {
        self.evidence.end(self.entered);
    }
}

impl PartitionSet {
    /// A snapshot to read from and then to commit on, with [`PartitionSet::commit_validated`]. Costs a lock more than
    /// [`PartitionSet::snapshot`], for a moment.
    pub fn basis(&self) -> Basis {
        let shared = &self.shared;
        // Entered first: a table that is merged in between is kept, or its writes are in the snapshot.
        let entered = shared.wal.settled();
        shared.evidence.open(entered);
        Basis { snapshot: shared.snapshot(), evidence: shared.evidence.clone(), entered }
    }
}
