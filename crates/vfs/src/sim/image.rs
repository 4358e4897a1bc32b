//! [`CrashMode`], and the choice of what a power loss leaves of the pending changes.
//!
//! The model of a file: the system holds a newer version of the file in its cache and writes sectors of it back
//! whenever it likes. Walking over the pending writes in order, a sector may be written back after each of them, and
//! then carries everything written to it so far. So each sector ends in one of the states that the cache had, no
//! sector mixes an older with a newer one, and sectors know nothing of each other. The length is metadata with a
//! history of its own: some prefix of the length changes survives, whatever becomes of the data; cutting a file takes
//! its data along.
//!
//! The model of names: each operation survives whole or not at all, in any combination, except that an operation on a
//! name is lost if an earlier one on the same name is.

use super::body::{Body, Change, SECTOR, units};
use super::medium::{Medium, PendingNames, Slot};
use super::ops::{Inode, ROOT};
use super::pages::Pages;
use super::rng::Rng;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;

/// Which of the operations that were not synchronised a crash image keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CrashMode {
    /// None: exactly what was synchronised. The seed decides nothing.
    Strict,
    /// A prefix of the pending operations on the whole disk, in the order in which they were issued.
    Prefix,
    /// Any subset: contents, lengths and names survive independently of each other; writes are torn into sectors of
    /// 512 bytes, each old or new.
    Random,
    /// Like [`CrashMode::Random`], torn into blocks of 4096 bytes.
    Torn4k,
    /// Like [`CrashMode::Random`], but a torn sector may also hold garbage in those of its bytes in which old and new
    /// contents differ. That is more than most disks do to an interrupted write.
    Garbage,
    /// All of them: the process died, the machine did not. The seed decides nothing.
    Kept,
}

/// How the pending changes of one file, or all names, are treated.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Lost,
    Kept,
    Mixed,
}

/// Half of the time everything goes the same way: mistakes of order show best when one file is complete and another
/// one is untouched.
fn fate(rng: &mut Rng) -> Fate {
    match rng.below(4) {
        0 => Fate::Lost,
        1 => Fate::Kept,
        _ => Fate::Mixed,
    }
}

/// The medium that a power loss leaves of `medium`: everything in it is durable, nothing is pending.
pub(super) fn crash(medium: &Medium, mode: CrashMode, seed: u64) -> Medium {
    let mut rng = Rng::new(seed);
    let cut = match mode {
        CrashMode::Kept => u64::MAX,
        CrashMode::Prefix => random_cut(medium, &mut rng),
        _ => 0,
    };
    let by_order = matches!(mode, CrashMode::Strict | CrashMode::Prefix | CrashMode::Kept);

    let names: Vec<&PendingNames> = if by_order {
        medium.names.iter().take_while(|change| change.op < cut).collect()
    } else {
        random_names(&medium.names, &mut rng)
    };
    let mut dirs = medium.dirs.clone();
    for change in names {
        change.settle(&mut dirs);
    }
    let (dirs, reachable) = reach(medium, &dirs);

    let mut files = BTreeMap::new();
    for inode in reachable {
        let body = &medium.files[&inode];
        let pages = match mode {
            CrashMode::Strict => body.pages.clone(),
            CrashMode::Kept => body.view(),
            CrashMode::Prefix => first_changes(body, cut, &mut rng),
            CrashMode::Random => tear(body, SECTOR, Sectors::OldOrNew, &mut rng),
            CrashMode::Torn4k => tear(body, 4096, Sectors::OldOrNew, &mut rng),
            CrashMode::Garbage => tear(body, SECTOR, Sectors::OrGarbage, &mut rng),
        };
        files.insert(inode, Body::from(pages));
    }
    Medium { at: 0, files, dirs, names: Vec::new() }
}

/// The number of the first operation that is lost, for [`CrashMode::Prefix`].
fn random_cut(medium: &Medium, rng: &mut Rng) -> u64 {
    let mut ops: Vec<u64> = medium.names.iter().map(|change| change.op).collect();
    ops.extend(medium.files.values().flat_map(|body| body.pending.iter().map(|p| p.op)));
    ops.sort_unstable();
    let kept = rng.below(ops.len() as u64 + 1) as usize;
    ops.get(kept).copied().unwrap_or(u64::MAX)
}

fn first_changes(body: &Body, cut: u64, rng: &mut Rng) -> Pages {
    let with_stale = !body.stale.is_empty() && rng.coin();
    let mut pages = if with_stale { body.with_stale() } else { body.pages.clone() };
    for p in body.pending.iter().take_while(|p| p.op < cut) {
        p.change.apply(&mut pages);
    }
    pages
}

fn random_names<'a>(pending: &'a [PendingNames], rng: &mut Rng) -> Vec<&'a PendingNames> {
    let fate = fate(rng);
    let mut lost = BTreeSet::new();
    let mut kept = Vec::new();
    for change in pending {
        let keep = match fate {
            Fate::Lost => false,
            Fate::Kept => true,
            Fate::Mixed => rng.coin(),
        };
        if keep && !change.effects.iter().any(|e| lost.contains(&e.name)) {
            kept.push(change);
        } else {
            lost.extend(change.effects.iter().map(|e| e.name.clone()));
        }
    }
    kept
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

/// What a sector may hold whose writing was interrupted.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sectors {
    OldOrNew,
    OrGarbage,
}

/// Writes back any selection of units of `unit` bytes, and any prefix of the length changes.
fn tear(body: &Body, unit: u64, sectors: Sectors, rng: &mut Rng) -> Pages {
    if body.pending.is_empty() && body.stale.is_empty() {
        return body.pages.clone();
    }
    let len_changes = match fate(rng) {
        Fate::Lost => 0,
        Fate::Kept => body.pending.len(),
        Fate::Mixed => rng.below(body.pending.len() as u64 + 1) as usize,
    };
    let file_fate = fate(rng);
    let mut cache = body.with_stale();
    let mut disk = body.pages.clone();
    let mut len = disk.len();
    for (sector, bytes) in &body.stale {
        if rng.coin() {
            disk.store(bytes, sector * SECTOR);
        }
    }
    for (i, p) in body.pending.iter().enumerate() {
        p.change.apply(&mut cache);
        if i < len_changes {
            len = p.change.len_after(len);
        }
        match &p.change {
            Change::SetLen(new) => {
                if i < len_changes {
                    disk.clear_from(*new);
                }
            }
            Change::Write { offset, data } => {
                let write_fate = match file_fate {
                    Fate::Mixed => fate(rng),
                    all => all,
                };
                if write_fate == Fate::Lost {
                    continue;
                }
                for number in units(*offset, data.len(), unit) {
                    if write_fate == Fate::Kept || rng.coin() {
                        write_back(&cache, &mut disk, number * unit, unit, None);
                    } else if sectors == Sectors::OrGarbage && rng.coin() {
                        write_back(&cache, &mut disk, number * unit, unit, Some(rng));
                    }
                }
            }
        }
    }
    disk.set_len_to(len);
    disk
}

/// Copies one unit from the cache to the disk; with a generator, the bytes that would change become garbage instead.
fn write_back(cache: &Pages, disk: &mut Pages, offset: u64, unit: u64, garbage: Option<&mut Rng>) {
    let mut new = [0; 4096];
    let new = &mut new[..unit as usize];
    cache.read_padded(new, offset);
    if let Some(rng) = garbage {
        let mut old = [0; 4096];
        let old = &mut old[..unit as usize];
        disk.read_padded(old, offset);
        for (new, old) in new.iter_mut().zip(old) {
            let byte = rng.next() as u8;
            if new != old {
                *new = byte;
            }
        }
    }
    disk.store(new, offset);
}
