//! [`CrashMode`], and what a power loss leaves of the pending changes.
//!
//! The model of a file: the system holds a newer version of the file in its cache and writes sectors of it back
//! whenever it likes. Walking over the pending writes in order, a sector may be written back after each of them, and
//! then carries everything written to it so far. So each sector ends in one of the states that the cache had, no
//! sector mixes an older with a newer one, and sectors know nothing of each other. The length is metadata with a
//! history of its own: some prefix of the length changes survives, whatever becomes of the data; cutting a file takes
//! its data along. Where a write arrives in part, from its beginning up to some sector, the length may end there, too.
//!
//! The model of names: each operation survives whole or not at all, in any combination, except that an operation on a
//! name is lost if an earlier one on the same name is.
//!
//! Every mode chooses from what this model allows. Who chooses: `order.rs` for the modes that keep an order, `tear.rs` for
//! those that draw, `adversary.rs` for the one that aims. This file puts the choices together.

use super::adversary::Strategy;
use super::body::{Body, SECTOR};
use super::medium::{Medium, PendingNames, Slot};
use super::ops::{Inode, ROOT};
use super::rng::Rng;
use super::tear::{self, Sectors};
use super::{order, pages::Pages};
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;

/// Which of the operations that were not synchronised a crash image keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum CrashMode {
    /// None: exactly what was synchronised. The seed decides nothing.
    Strict,
    /// A prefix of the pending operations on the whole disk, in the order in which they were issued.
    Prefix,
    /// Of each file a prefix of its pending writes and length changes, and of each directory a prefix of its pending
    /// changes of names; files and directories know nothing of each other. So one file may be complete and another
    /// one untouched, a name may be there before its contents, and contents before their name.
    ///
    /// The write at which a file's prefix ends may have arrived in part: up to some sector of 512 bytes, the length as far
    /// as that. A rename between two directories survives only if it belongs to the prefix of both; if not, the later
    /// changes in both are lost.
    Ordered,
    /// Any subset: contents, lengths and names survive independently of each other; writes are torn into sectors of
    /// 512 bytes, each old or new.
    Random,
    /// Like [`CrashMode::Random`], torn into blocks of 4096 bytes.
    Torn4k,
    /// Like [`CrashMode::Random`], but a torn sector may also hold zeros or garbage in those of its bytes in which old and
    /// new contents differ. That is more than most disks do to an interrupted write.
    Garbage,
    /// A choice that hurts. `Random` could make each of them, but hardly ever does where much is pending. The seed decides
    /// between these, all equally likely, and what they leave open:
    ///
    /// | what survives of what was pending | whom it hurts |
    /// |---|---|
    /// | of each file its newest write | who points to what was written before |
    /// | all but the oldest write of each file | who takes the end of a file for the proof of its beginning |
    /// | writes up to some length | headers and metas without the data that they describe |
    /// | writes above some length | data without its header |
    /// | writes that begin up to some offset | headers again, where all writes are equally long |
    /// | writes that begin beyond some offset | the same, the other way round |
    /// | names, no contents | who renames before synchronising |
    /// | contents, no names | who forgets the directory |
    /// | names and lengths, no bytes: zeros | who trusts a length |
    /// | names and bytes, no lengths | who has forgotten that growing is an operation |
    /// | one file, no other | who writes two files and synchronises one |
    /// | all files but one | the same |
    /// | one write | who leaves an order to the disk |
    /// | all but one write | who checks only what was written last |
    /// | all but the first sector of one write | who checks the end of a record |
    /// | all but the last sector of one write | who checks the beginning of a record |
    ///
    /// "Newest" and "oldest" mean names, too: the newest change with those that it builds on; all but the oldest one
    /// and those that build on it. Where the table says nothing about names, all survive or none; where it says nothing
    /// about lengths, all do. Some length, offset, file or write: one of those that are pending.
    Adversarial,
    /// All of them: the process died, the machine did not. The seed decides nothing.
    Kept,
}

impl CrashMode {
    /// All modes, the kindest to think about first: what a loop over power losses goes through.
    pub const ALL: &[CrashMode] = &[
        CrashMode::Strict,
        CrashMode::Kept,
        CrashMode::Prefix,
        CrashMode::Ordered,
        CrashMode::Random,
        CrashMode::Torn4k,
        CrashMode::Adversarial,
        CrashMode::Garbage,
    ];
}

/// A mode, with what must be decided before anything else is.
#[derive(Clone, Copy)]
enum Plan {
    Strict,
    /// Operations below this number survive.
    Prefix(u64),
    Ordered,
    /// In units of so many bytes.
    Torn(u64, Sectors),
    Adversarial(Strategy),
    Kept,
}

impl Plan {
    fn of(mode: CrashMode, medium: &Medium, rng: &mut Rng) -> Plan {
        match mode {
            CrashMode::Strict => Plan::Strict,
            CrashMode::Prefix => Plan::Prefix(order::cut(medium, rng)),
            CrashMode::Ordered => Plan::Ordered,
            CrashMode::Random => Plan::Torn(SECTOR, Sectors::OldOrNew),
            CrashMode::Torn4k => Plan::Torn(4096, Sectors::OldOrNew),
            CrashMode::Garbage => Plan::Torn(SECTOR, Sectors::OrGarbage),
            CrashMode::Adversarial => Plan::Adversarial(Strategy::draw(rng)),
            CrashMode::Kept => Plan::Kept,
        }
    }

    /// The changes of names that survive, oldest first.
    fn names<'a>(self, pending: &'a [PendingNames], rng: &mut Rng) -> Vec<&'a PendingNames> {
        match self {
            Plan::Strict => Vec::new(),
            Plan::Prefix(cut) => pending.iter().take_while(|change| change.op < cut).collect(),
            Plan::Ordered => order::names_in_order(pending, rng),
            Plan::Torn(..) => tear::random_names(pending, rng),
            Plan::Adversarial(strategy) => strategy.names(pending, rng),
            Plan::Kept => pending.iter().collect(),
        }
    }

    /// What the files hold that still have a name.
    fn contents(self, medium: &Medium, reachable: &BTreeSet<Inode>, rng: &mut Rng) -> BTreeMap<Inode, Pages> {
        if let Plan::Adversarial(strategy) = self {
            return strategy.contents(medium, reachable, rng);
        }
        let one = |inode: &Inode| {
            let body = &medium.files[inode];
            let pages = match self {
                Plan::Strict | Plan::Adversarial(_) => body.pages.clone(),
                Plan::Prefix(cut) => order::up_to(body, cut, rng),
                Plan::Ordered => order::in_order(body, rng),
                Plan::Torn(unit, sectors) => tear::tear(body, unit, sectors, rng),
                Plan::Kept => body.view(),
            };
            (*inode, pages)
        };
        reachable.iter().map(one).collect()
    }
}

/// The medium that a power loss leaves of `medium`: everything in it is durable, nothing is pending.
pub(super) fn crash(medium: &Medium, mode: CrashMode, seed: u64) -> Medium {
    let mut rng = Rng::new(seed);
    let plan = Plan::of(mode, medium, &mut rng);
    let mut dirs = medium.dirs.clone();
    for change in plan.names(&medium.names, &mut rng) {
        change.settle(&mut dirs);
    }
    let (dirs, reachable) = reach(medium, &dirs);
    let contents = plan.contents(medium, &reachable, &mut rng);
    let files = contents.into_iter().map(|(inode, pages)| (inode, Body::from(pages))).collect();
    Medium { at: 0, files, dirs, names: Vec::new() }
}

/// What is reachable from the root, as directories without history, and the files among it.
fn reach(
    medium: &Medium,
    dirs: &BTreeMap<Inode, BTreeMap<OsString, Slot>>,
) -> (BTreeMap<Inode, BTreeMap<OsString, Slot>>, BTreeSet<Inode>) {
    let mut found = BTreeMap::new();
    let mut files = BTreeSet::new();
    let mut todo = vec![ROOT];
    while let Some(dir) = todo.pop() {
        let mut names = BTreeMap::new();
        for (name, slot) in dirs.get(&dir).into_iter().flatten() {
            let Some(inode) = slot.inode else { continue };
            names.insert(name.clone(), Slot::old(inode));
            if medium.files.contains_key(&inode) {
                files.insert(inode);
            } else if !found.contains_key(&inode) {
                todo.push(inode);
            }
        }
        found.insert(dir, names);
    }
    (found, files)
}
