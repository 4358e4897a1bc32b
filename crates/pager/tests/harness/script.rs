//! Scripts of steps on a page file, and [`World`], which plays them and knows what the file must hold.

use super::{Edit, State, edit, read};
use halodb_pager::{Access, Identity, Pager, Result, Snapshot};
use halodb_vfs::Vfs;
use std::path::Path;
use std::sync::Arc;

/// One thing that the layer above may do.
#[derive(Clone, Debug)]
pub enum Step {
    Commit(Vec<Edit>),
    Abort(Vec<Edit>),
    Republish,
    Snapshot,
    Drop(usize),
    Truncate,
    Trim,
    Reopen,
}

/// A small generator of numbers that needs no crate.
#[derive(Clone, Debug)]
pub struct Rng(pub u64);

impl Rng {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }

    pub fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }
}

fn edits(rng: &mut Rng) -> Vec<Edit> {
    (0..rng.below(7))
        .map(|_| match rng.below(10) {
            0..4 => Edit::Add(if rng.below(4) == 0 { 1 + rng.below(9) as u32 } else { 1 }),
            4..7 => Edit::Remove(rng.below(64) as usize),
            7 => Edit::Lower(rng.below(64) as usize),
            _ => Edit::Replace(rng.below(64) as usize),
        })
        .collect()
}

/// A script; equal seeds give equal scripts.
pub fn script(seed: u64, len: usize) -> Vec<Step> {
    let mut rng = Rng(seed);
    (0..len)
        .map(|_| match rng.below(20) {
            0..10 => Step::Commit(edits(&mut rng)),
            10..13 => Step::Abort(edits(&mut rng)),
            13 => Step::Republish,
            14..16 => Step::Snapshot,
            16..18 => Step::Drop(rng.below(8) as usize),
            18 if rng.below(2) == 0 => Step::Truncate,
            18 => Step::Trim,
            _ => Step::Reopen,
        })
        .collect()
}

/// A file in use.
pub struct World<'a> {
    pub vfs: Arc<dyn Vfs>,
    pub path: &'a Path,
    pub identity: Identity,
    pub pager: Pager,
    /// What was committed last.
    pub newest: State,
    /// What a commit that failed, or is under way, would have made it.
    pub attempt: Option<State>,
    pub pinned: Vec<(Snapshot, State)>,
}

impl<'a> World<'a> {
    pub fn create(vfs: Arc<dyn Vfs>, path: &'a Path, identity: Identity) -> Result<Self> {
        let pager = Pager::create(vfs.clone(), path, identity, &0u64.to_le_bytes())?;
        Ok(World { vfs, path, identity, pager, newest: State::default(), attempt: None, pinned: Vec::new() })
    }

    /// Opens what is there, and takes what it holds for the truth.
    pub fn open(vfs: Arc<dyn Vfs>, path: &'a Path, identity: Identity) -> Result<Self> {
        let pager = Pager::open(vfs.clone(), path, &identity, Access::ReadWrite)?;
        let newest = read(&pager.snapshot())?;
        Ok(World { vfs, path, identity, pager, newest, attempt: None, pinned: Vec::new() })
    }

    /// Plays one step. `seed` decides the contents of pages.
    pub fn step(&mut self, step: &Step, seed: u64) -> Result<()> {
        match step {
            Step::Commit(edits) => {
                let mut txn = self.pager.begin()?;
                let (roots, state) = edit(&mut txn, &self.pager.snapshot(), edits, seed)?;
                self.attempt = Some(state.clone());
                let snapshot = txn.commit(&roots, &state.number.to_le_bytes())?;
                self.attempt = None;
                assert_eq!(snapshot.generation(), self.pager.snapshot().generation());
                self.newest = state;
            }
            Step::Abort(edits) => {
                let mut txn = self.pager.begin()?;
                edit(&mut txn, &self.pager.snapshot(), edits, seed)?;
                drop(txn);
            }
            Step::Republish => {
                self.pager.republish(None)?;
                let number = self.newest.number.to_le_bytes().to_vec();
                assert_eq!(self.pager.findable_users(), [number.clone(), number]);
            }
            Step::Snapshot => self.pinned.push((self.pager.snapshot(), self.newest.clone())),
            Step::Drop(i) => {
                if !self.pinned.is_empty() {
                    self.pinned.remove(i % self.pinned.len());
                }
            }
            Step::Truncate => {
                let before = self.pager.stats().file_bytes;
                let cut = self.pager.truncate_tail()?;
                let stats = self.pager.stats();
                assert_eq!(stats.file_bytes, before - cut);
                assert!(stats.file_bytes >= stats.pages * u64::from(stats.page_size));
            }
            Step::Trim => {
                let before = self.pager.stats().file_bytes;
                let cut = self.pager.trim()?;
                let stats = self.pager.stats();
                assert_eq!(stats.file_bytes, before - cut);
                assert!(stats.file_bytes >= stats.pages * u64::from(stats.page_size));
                assert_eq!(self.pager.trim()?, 0);
            }
            Step::Reopen => {
                self.pinned.clear();
                self.pager = Pager::open(self.vfs.clone(), self.path, &self.identity, Access::ReadWrite)?;
                assert_eq!(self.pager.stats().pending, 0);
            }
        }
        Ok(())
    }

    /// Looks at every byte of the newest version and of every pinned one.
    pub fn check(&self) -> Result<()> {
        assert_eq!(read(&self.pager.snapshot())?, self.newest);
        for (snapshot, state) in &self.pinned {
            assert_eq!(&read(snapshot)?, state, "generation {} changed under its snapshot", snapshot.generation());
        }
        Ok(())
    }

    /// The commit numbers that a crash now may show.
    pub fn findable(&self) -> Vec<u64> {
        self.pager.findable_users().iter().map(|user| super::number(user)).collect()
    }
}
