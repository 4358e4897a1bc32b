//! The modes that keep an order: that of the whole disk ([`super::CrashMode::Prefix`]), or that of each file and each
//! directory ([`super::CrashMode::Ordered`]). The model is in the header of `image.rs`.

use super::body::{Body, Change, PendingChange, SECTOR, units};
use super::medium::{Medium, PendingNames};
use super::ops::Inode;
use super::pages::Pages;
use super::rng::Rng;
use super::tear::{Fate, fate, write_back};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The number of the first operation that is lost, where the order is that of the whole disk.
pub(super) fn cut(medium: &Medium, rng: &mut Rng) -> u64 {
    let mut ops: Vec<u64> = medium.names.iter().map(|change| change.op).collect();
    ops.extend(medium.files.values().flat_map(|body| body.pending.iter().map(|p| p.op)));
    ops.sort_unstable();
    let kept = rng.below(ops.len() as u64 + 1) as usize;
    ops.get(kept).copied().unwrap_or(u64::MAX)
}

/// The file after its pending changes below operation number `cut`.
pub(super) fn up_to(body: &Body, cut: u64, rng: &mut Rng) -> Pages {
    let with_stale = !body.stale.is_empty() && rng.coin();
    let kept = body.pending.partition_point(|p| p.op < cut);
    arrived(body, with_stale, &body.pending[..kept])
}

/// The file after some of its pending changes, and perhaps the first sectors of the next one.
pub(super) fn in_order(body: &Body, rng: &mut Rng) -> Pages {
    let with_stale = !body.stale.is_empty() && rng.coin();
    let mut kept = body.pending[..prefix(body.pending.len(), rng)].to_vec();
    if let Some(PendingChange { op, change: Change::Write { offset, data } }) = body.pending.get(kept.len()) {
        let sectors = units(*offset, data.len(), SECTOR);
        let end = (sectors.start + rng.below((sectors.end - sectors.start).max(1))) * SECTOR;
        if end > *offset {
            let part = Arc::from(&data[..(end - offset) as usize]);
            kept.push(PendingChange { op: *op, change: Change::Write { offset: *offset, data: part } });
        }
    }
    arrived(body, with_stale, &kept)
}

/// How many of so many changes survive.
fn prefix(count: usize, rng: &mut Rng) -> usize {
    match fate(rng) {
        Fate::Lost => 0,
        Fate::Kept => count,
        Fate::Mixed => rng.below(count as u64 + 1) as usize,
    }
}

/// The file after these changes. The system writes whole sectors, so a write takes along what was stale in its own.
fn arrived(body: &Body, with_stale: bool, changes: &[PendingChange]) -> Pages {
    let mut disk = if with_stale { body.with_stale() } else { body.pages.clone() };
    let mut cache = (!with_stale && !body.stale.is_empty()).then(|| body.with_stale());
    for PendingChange { change, .. } in changes {
        change.apply(&mut disk);
        let Some(cache) = &mut cache else { continue };
        change.apply(cache);
        if let Change::Write { offset, data } = change {
            for sector in units(*offset, data.len(), SECTOR) {
                write_back(cache, &mut disk, sector * SECTOR, SECTOR, None);
            }
        }
    }
    disk
}

/// Of each directory the first so many changes. One that concerns two directories must be among the first of both.
pub(super) fn names_in_order<'a>(pending: &'a [PendingNames], rng: &mut Rng) -> Vec<&'a PendingNames> {
    let mut left: BTreeMap<Inode, usize> = BTreeMap::new();
    for change in pending {
        for dir in dirs_of(change) {
            *left.entry(dir).or_default() += 1;
        }
    }
    for count in left.values_mut() {
        *count = prefix(*count, rng);
    }
    let mut kept = Vec::new();
    for change in pending {
        let dirs = dirs_of(change);
        if dirs.iter().all(|dir| left[dir] > 0) {
            kept.push(change);
            dirs.iter().for_each(|dir| *left.entry(*dir).or_default() -= 1);
        } else {
            // Whatever comes later in these directories would be out of order.
            left.extend(dirs.into_iter().map(|dir| (dir, 0)));
        }
    }
    kept
}

fn dirs_of(change: &PendingNames) -> BTreeSet<Inode> {
    change.effects.iter().map(|effect| effect.name.dir).collect()
}
