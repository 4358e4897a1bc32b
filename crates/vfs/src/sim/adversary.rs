//! [`Strategy`]: the choices that hurt ([`super::CrashMode::Adversarial`]). The table there says what each leaves and why;
//! the model that none of them exceeds is in the header of `image.rs`.
//!
//! A strategy is drawn first; it then says of every change of names, of the lengths of every file, and of every sector
//! of every write whether it survives. It knows no format: what is a header shows only in lengths and offsets.

use super::body::{Body, Change, SECTOR, units};
use super::medium::{Medium, PendingNames};
use super::ops::{Inode, Name};
use super::pages::Pages;
use super::rng::Rng;
use super::tear::write_back;
use std::collections::{BTreeMap, BTreeSet};

/// One way to choose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Strategy {
    NewestWrites,
    AllButOldestWrites,
    ShortWrites,
    LongWrites,
    FrontWrites,
    BackWrites,
    NamesOnly,
    ContentsOnly,
    LengthsOnly,
    BytesOnly,
    OneFile,
    AllButOneFile,
    OneWrite,
    AllButOneWrite,
    OneHeadLost,
    OneTailLost,
}

const ALL: [Strategy; 16] = [
    Strategy::NewestWrites,
    Strategy::AllButOldestWrites,
    Strategy::ShortWrites,
    Strategy::LongWrites,
    Strategy::FrontWrites,
    Strategy::BackWrites,
    Strategy::NamesOnly,
    Strategy::ContentsOnly,
    Strategy::LengthsOnly,
    Strategy::BytesOnly,
    Strategy::OneFile,
    Strategy::AllButOneFile,
    Strategy::OneWrite,
    Strategy::AllButOneWrite,
    Strategy::OneHeadLost,
    Strategy::OneTailLost,
];

/// A pending write, and its place among the writes of its file.
#[derive(Clone, Copy)]
struct Pending {
    inode: Inode,
    /// Among the file's pending changes.
    index: usize,
    offset: u64,
    len: u64,
    newest: bool,
    oldest: bool,
}

impl Strategy {
    pub(super) fn draw(rng: &mut Rng) -> Strategy {
        ALL[rng.below(ALL.len() as u64) as usize]
    }

    /// The changes of names that survive, oldest first.
    pub(super) fn names<'a>(self, pending: &'a [PendingNames], rng: &mut Rng) -> Vec<&'a PendingNames> {
        let all = match self {
            Strategy::NewestWrites => return newest_names(pending),
            Strategy::AllButOldestWrites => return all_but_oldest_names(pending),
            Strategy::NamesOnly | Strategy::LengthsOnly | Strategy::BytesOnly => true,
            Strategy::ContentsOnly => false,
            _ => rng.coin(),
        };
        if all { pending.iter().collect() } else { Vec::new() }
    }

    /// What the files hold that still have a name.
    pub(super) fn contents(
        self,
        medium: &Medium,
        reachable: &BTreeSet<Inode>,
        rng: &mut Rng,
    ) -> BTreeMap<Inode, Pages> {
        let writes: Vec<Pending> = reachable.iter().flat_map(|inode| writes_of(*inode, &medium.files[inode])).collect();
        let aim = (!writes.is_empty()).then(|| writes[rng.below(writes.len() as u64) as usize]);
        let with_stale = rng.coin();
        let one = |inode: &Inode| {
            let body = &medium.files[inode];
            let Some(aim) = aim else { return (*inode, self.untorn(body, with_stale)) };
            let own: Vec<Pending> = writes.iter().copied().filter(|write| write.inode == *inode).collect();
            (*inode, self.one_file(body, &own, aim, with_stale, self.keeps_lengths(*inode, aim)))
        };
        reachable.iter().map(one).collect()
    }

    /// A file where no write is pending anywhere.
    fn untorn(self, body: &Body, with_stale: bool) -> Pages {
        let lengths = !matches!(self, Strategy::NamesOnly | Strategy::BytesOnly);
        settle(body, with_stale, lengths, |_, _| false)
    }

    fn keeps_lengths(self, inode: Inode, aim: Pending) -> bool {
        match self {
            Strategy::NamesOnly | Strategy::BytesOnly => false,
            Strategy::OneFile => inode == aim.inode,
            Strategy::AllButOneFile => inode != aim.inode,
            _ => true,
        }
    }

    fn one_file(self, body: &Body, own: &[Pending], aim: Pending, with_stale: bool, lengths: bool) -> Pages {
        let mut own = own.iter().peekable();
        settle(body, with_stale, lengths, |index, sector| {
            while own.next_if(|write| write.index < index).is_some() {}
            own.peek().is_some_and(|write| self.keeps(write, sector, aim))
        })
    }

    /// Whether a sector of a write survives.
    fn keeps(self, write: &Pending, sector: u64, aim: Pending) -> bool {
        let aimed_at = write.inode == aim.inode && write.index == aim.index;
        let sectors = units(write.offset, write.len as usize, SECTOR);
        match self {
            Strategy::NewestWrites => write.newest,
            Strategy::AllButOldestWrites => !write.oldest,
            Strategy::ShortWrites => write.len <= aim.len,
            Strategy::LongWrites => write.len > aim.len,
            Strategy::FrontWrites => write.offset <= aim.offset,
            Strategy::BackWrites => write.offset > aim.offset,
            Strategy::NamesOnly | Strategy::LengthsOnly => false,
            Strategy::ContentsOnly | Strategy::BytesOnly => true,
            Strategy::OneFile => write.inode == aim.inode,
            Strategy::AllButOneFile => write.inode != aim.inode,
            Strategy::OneWrite => aimed_at,
            Strategy::AllButOneWrite => !aimed_at,
            Strategy::OneHeadLost => !aimed_at || sector != sectors.start,
            Strategy::OneTailLost => !aimed_at || sector + 1 != sectors.end,
        }
    }
}

fn writes_of(inode: Inode, body: &Body) -> Vec<Pending> {
    let numbered = body.pending.iter().enumerate();
    let mut writes: Vec<Pending> = numbered
        .filter_map(|(index, p)| match &p.change {
            Change::Write { offset, data } => {
                Some(Pending { inode, index, offset: *offset, len: data.len() as u64, newest: false, oldest: false })
            }
            Change::SetLen(_) => None,
        })
        .collect();
    if let Some(first) = writes.first_mut() {
        first.oldest = true;
    }
    if let Some(last) = writes.last_mut() {
        last.newest = true;
    }
    writes
}

/// The file when all its length changes or none survive, and of its writes the sectors for which `keep` (told the index
/// of the change and the number of the sector, both in ascending order of the changes) says so.
fn settle(body: &Body, with_stale: bool, lengths: bool, mut keep: impl FnMut(usize, u64) -> bool) -> Pages {
    let mut cache = body.with_stale();
    let mut disk = if with_stale { cache.clone() } else { body.pages.clone() };
    let mut len = disk.len();
    for (index, p) in body.pending.iter().enumerate() {
        p.change.apply(&mut cache);
        if lengths {
            len = p.change.len_after(len);
        }
        match &p.change {
            Change::SetLen(new) if lengths => disk.clear_from(*new),
            Change::SetLen(_) => {}
            Change::Write { offset, data } => {
                for sector in units(*offset, data.len(), SECTOR) {
                    if keep(index, sector) {
                        write_back(&cache, &mut disk, sector * SECTOR, SECTOR, None);
                    }
                }
            }
        }
    }
    disk.set_len_to(len);
    disk
}

/// The newest change, and the older ones without which it cannot be.
fn newest_names(pending: &[PendingNames]) -> Vec<&PendingNames> {
    let mut needed: BTreeSet<&Name> = pending.last().into_iter().flat_map(names_of).collect();
    let mut kept: Vec<&PendingNames> = Vec::new();
    for change in pending.iter().rev() {
        if names_of(change).any(|name| needed.contains(name)) {
            needed.extend(names_of(change));
            kept.push(change);
        }
    }
    kept.reverse();
    kept
}

/// Everything but the oldest change, and the younger ones that cannot be without it.
fn all_but_oldest_names(pending: &[PendingNames]) -> Vec<&PendingNames> {
    let mut lost: BTreeSet<&Name> = pending.first().into_iter().flat_map(names_of).collect();
    let mut kept = Vec::new();
    for change in pending {
        if names_of(change).any(|name| lost.contains(name)) {
            lost.extend(names_of(change));
        } else {
            kept.push(change);
        }
    }
    kept
}

fn names_of(change: &PendingNames) -> impl Iterator<Item = &Name> {
    change.effects.iter().map(|effect| &effect.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_strategy_is_drawn() {
        let mut rng = Rng::new(3);
        let drawn: BTreeSet<String> = (0..500).map(|_| format!("{:?}", Strategy::draw(&mut rng))).collect();
        assert_eq!(drawn.len(), ALL.len());
    }
}
