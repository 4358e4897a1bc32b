//! [`State`]: everything behind a simulated disk's mutex.
//!
//! The calls on it stand in `names.rs` and `contents.rs`. Every one of them counts itself, changes what the process sees
//! ([`Tree`], [`Memory`]) and records itself in the history. Nothing there decides what is durable: that is derived from
//! the history, when somebody asks.

use super::fault::{Call, Fault, Faults};
use super::medium::Medium;
use super::memory::Memory;
use super::ops::{Inode, Op, ROOT};
use super::tree::{Tree, errno};
use std::collections::{BTreeMap, BTreeSet};
use std::io;

/// A file that has a name, or is open.
#[derive(Debug)]
pub(super) struct Live {
    pub(super) memory: Memory,
    pub(super) named: bool,
    pub(super) handles: usize,
}

/// One simulated disk.
#[derive(Debug)]
pub(super) struct State {
    /// The medium before the first recorded operation.
    base: Medium,
    pub(super) log: Vec<Op>,
    /// The medium where it was last asked for, to continue from there.
    cursor: Option<Medium>,
    pub(super) tree: Tree,
    pub(super) files: BTreeMap<Inode, Live>,
    next: u64,
    pub(super) locks: BTreeSet<Inode>,
    /// The number of the process that uses the disk: see [`super::SimVfs::restart_process`].
    life: u64,
    pub(super) faults: Faults,
}

impl State {
    pub(super) fn new(base: Medium) -> Self {
        let mut next = ROOT.0 + 1;
        let mut files = BTreeMap::new();
        for (inode, body) in &base.files {
            next = next.max(inode.0 + 1);
            let memory = Memory::Pages(body.pages.clone());
            files.insert(*inode, Live { memory, named: true, handles: 0 });
        }
        let mut dirs = BTreeMap::new();
        for (inode, names) in &base.dirs {
            next = next.max(inode.0 + 1);
            let present = names.iter().filter_map(|(name, slot)| Some((name.clone(), slot.inode?)));
            dirs.insert(*inode, present.collect());
        }
        Self {
            base,
            log: Vec::new(),
            cursor: None,
            tree: Tree::new(dirs),
            files,
            next,
            locks: BTreeSet::new(),
            life: 0,
            faults: Faults::default(),
        }
    }

    pub(super) fn ops(&self) -> u64 {
        self.log.len() as u64
    }

    /// The medium after the first `at` operations.
    pub(super) fn medium(&mut self, at: u64) -> &Medium {
        let at = at.min(self.ops());
        let start = self.cursor.take().filter(|medium| medium.at <= at);
        let mut medium = start.unwrap_or_else(|| self.base.clone());
        medium.advance(&self.log, at);
        self.cursor.insert(medium)
    }

    /// Replaces the history by its result.
    pub(super) fn start_from(&mut self, base: Medium) {
        self.base = base;
        self.log = Vec::new();
        self.cursor = None;
    }

    /// Fails if the process that calls is dead.
    pub(super) fn check_life(&self, life: u64) -> io::Result<()> {
        if life == self.life { Ok(()) } else { Err(errno(libc::ESTALE)) }
    }

    /// Ends the life of the present process: what it wrote stays in the cache, its locks go. Returns the next life.
    pub(super) fn next_life(&mut self) -> u64 {
        self.locks.clear();
        self.life += 1;
        self.life
    }

    pub(super) fn new_inode(&mut self) -> Inode {
        self.next += 1;
        Inode(self.next - 1)
    }

    pub(super) fn live(&mut self, inode: Inode) -> io::Result<&mut Live> {
        self.files.get_mut(&inode).ok_or_else(|| errno(libc::EBADF))
    }

    /// Counts a call that an injected fault can only make fail.
    pub(super) fn call(&mut self, call: Call) -> io::Result<()> {
        match self.faults.count(call) {
            None => Ok(()),
            Some(fault) => Err(fault.error()),
        }
    }

    /// Counts a transfer of `len` bytes, and says how many of them are transferred.
    pub(super) fn transfer(&mut self, call: Call, len: usize) -> io::Result<usize> {
        match self.faults.count(call) {
            None => Ok(len),
            // Any number will do, as long as it is not always a multiple of a sector.
            Some(Fault::Short) if len > 1 => Ok(1 + (len - 2) * 5 / 8),
            Some(Fault::Short) => Ok(0),
            Some(fault) => Err(fault.error()),
        }
    }
}
