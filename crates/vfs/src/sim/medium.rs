//! [`Medium`]: what the simulated medium holds for certain after some operations, and what is still on its way.
//!
//! A medium is advanced one [`Op`] at a time. Contents ([`Body`]) and names are kept apart, because they become durable
//! apart: a synchronised file may have no name yet, and a name may stand for a file without contents.
//!
//! Invariants: what is durable changes only by a synchronisation; whatever else was done waits in `pending` or `names`
//! in the order in which it was done. Which of that survives a power loss is decided in [`super::image`], not here.

use super::body::Body;
use super::ops::{Inode, Name, Op, ROOT, What};
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;

/// Durable state and pending changes.
#[derive(Clone, Debug)]
pub(super) struct Medium {
    /// The number of operations that were applied.
    pub(super) at: u64,
    pub(super) files: BTreeMap<Inode, Body>,
    pub(super) dirs: BTreeMap<Inode, BTreeMap<OsString, Slot>>,
    /// Changes of names that no synchronisation of a directory has covered, oldest first.
    pub(super) names: Vec<PendingNames>,
}

/// What a name stands for durably, and since which operation.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slot {
    pub(super) inode: Option<Inode>,
    op: u64,
}

impl Slot {
    pub(super) fn old(inode: Inode) -> Self {
        Self { inode: Some(inode), op: 0 }
    }
}

/// The name changes of one operation: they are durable together or not at all.
#[derive(Clone, Debug)]
pub(super) struct PendingNames {
    pub(super) op: u64,
    pub(super) effects: Vec<Effect>,
}

/// One name gets another meaning.
#[derive(Clone, Debug)]
pub(super) struct Effect {
    pub(super) name: Name,
    pub(super) inode: Option<Inode>,
    /// Whether the directory of this name was synchronised since; a rename between two directories waits for both.
    synced: bool,
}

impl Medium {
    pub(super) fn empty() -> Self {
        Self { at: 0, files: BTreeMap::new(), dirs: BTreeMap::from([(ROOT, BTreeMap::new())]), names: Vec::new() }
    }

    /// Applies the operations of `log` up to number `at`.
    pub(super) fn advance(&mut self, log: &[Op], at: u64) {
        while self.at < at {
            self.apply(&log[self.at as usize]);
            self.at += 1;
        }
    }

    fn apply(&mut self, op: &Op) {
        let at = self.at;
        match op {
            Op::Create { name, inode, what } => {
                match what {
                    What::File => drop(self.files.insert(*inode, Body::default())),
                    What::Dir => drop(self.dirs.insert(*inode, BTreeMap::new())),
                }
                self.pend(&[(name, Some(*inode))]);
            }
            Op::Rename { from, to, inode } => self.pend(&[(from, None), (to, Some(*inode))]),
            Op::Exchange { a, b } => self.pend(&[(&a.0, Some(a.1)), (&b.0, Some(b.1))]),
            Op::Remove { name } => self.pend(&[(name, None)]),
            Op::Write { inode, offset, data } => self.body(*inode).write(at, *offset, data),
            Op::SetLen { inode, len } => self.body(*inode).set_len(at, *len),
            Op::Sync { inode } => self.body(*inode).sync(),
            Op::SyncLost { inode } => self.body(*inode).sync_lost(),
            Op::SyncDir { dir } => self.sync_dir(*dir),
            Op::Plant { name, inode, pages } => {
                self.files.insert(*inode, Body::from(pages.clone()));
                let names = self.dirs.entry(name.dir).or_default();
                names.insert(name.name.clone(), Slot { inode: Some(*inode), op: at });
            }
        }
    }

    fn body(&mut self, inode: Inode) -> &mut Body {
        self.files.entry(inode).or_default()
    }

    fn pend(&mut self, effects: &[(&Name, Option<Inode>)]) {
        let effects = effects
            .iter()
            .map(|(name, inode)| Effect { name: (*name).clone(), inode: *inode, synced: false })
            .collect();
        self.names.push(PendingNames { op: self.at, effects });
    }

    /// Makes the pending changes in `dir` durable, and with each of them the older ones of the same names: a name
    /// cannot skip a step of its history.
    fn sync_dir(&mut self, dir: Inode) {
        let mut pending = std::mem::take(&mut self.names);
        let mut due_names = BTreeSet::new();
        let mut due = vec![false; pending.len()];
        for (i, change) in pending.iter_mut().enumerate().rev() {
            for effect in &mut change.effects {
                effect.synced |= effect.name.dir == dir;
            }
            due[i] =
                change.effects.iter().all(|e| e.synced) || change.effects.iter().any(|e| due_names.contains(&e.name));
            if due[i] {
                due_names.extend(change.effects.iter().map(|e| e.name.clone()));
            }
        }
        for (change, due) in pending.into_iter().zip(due) {
            if due {
                change.settle(&mut self.dirs);
            } else {
                self.names.push(change);
            }
        }
    }
}

impl PendingNames {
    /// Makes the change durable, except where a younger one is durable already.
    pub(super) fn settle(&self, dirs: &mut BTreeMap<Inode, BTreeMap<OsString, Slot>>) {
        for effect in &self.effects {
            let new = Slot { inode: effect.inode, op: self.op };
            let names = dirs.entry(effect.name.dir).or_default();
            let slot = names.entry(effect.name.name.clone()).or_insert(new);
            if slot.op <= self.op {
                *slot = new;
            }
        }
    }
}
