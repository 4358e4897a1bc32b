//! The modes that draw: each name, length, write and sector meets a fate of its own. The model is in the header of `image.rs`.

use super::body::{Body, Change, SECTOR, units};
use super::medium::PendingNames;
use super::pages::Pages;
use super::rng::Rng;
use std::collections::BTreeSet;

/// How the pending changes of one file, or all names, are treated.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Lost,
    Kept,
    Mixed,
}

/// Half of the time everything goes the same way: mistakes of order show best when one file is complete and another
/// one is untouched.
pub(super) fn fate(rng: &mut Rng) -> Fate {
    match rng.below(4) {
        0 => Fate::Lost,
        1 => Fate::Kept,
        _ => Fate::Mixed,
    }
}

/// Any of the changes, as far as a name allows that skips no step of its history.
pub(super) fn random_names<'a>(pending: &'a [PendingNames], rng: &mut Rng) -> Vec<&'a PendingNames> {
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

/// What a sector may hold whose writing was interrupted.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Sectors {
    OldOrNew,
    OrGarbage,
}

/// Writes back any selection of units of `unit` bytes, and any prefix of the length changes.
pub(super) fn tear(body: &Body, unit: u64, sectors: Sectors, rng: &mut Rng) -> Pages {
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

/// Copies one unit from the cache to the disk; with a generator, the bytes that would change become zeros or garbage instead.
pub(super) fn write_back(cache: &Pages, disk: &mut Pages, offset: u64, unit: u64, garbage: Option<&mut Rng>) {
    let mut new = [0; 4096];
    let new = &mut new[..unit as usize];
    cache.read_padded(new, offset);
    if let Some(rng) = garbage {
        let mut old = [0; 4096];
        let old = &mut old[..unit as usize];
        disk.read_padded(old, offset);
        let zeros = rng.below(4) == 0;
        for (new, old) in new.iter_mut().zip(old) {
            let byte = if zeros { 0 } else { rng.next() as u8 };
            if new != old {
                *new = byte;
            }
        }
    }
    disk.store(new, offset);
}
