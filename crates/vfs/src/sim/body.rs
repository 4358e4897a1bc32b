//! [`Body`]: the durable contents of one file, and the changes that no synchronisation has covered.
//!
//! ```text
//! pages     what the medium holds
//! stale     sectors whose newer contents the system believes to have written, but has not (a failed synchronisation)
//! pending   writes and length changes since the last synchronisation, oldest first
//! ```
//!
//! What a reader sees is `pages`, over it `stale`, over it `pending`: [`Body::view`].

use super::pages::Pages;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

/// The unit that a medium writes whole, in bytes.
pub(super) const SECTOR: u64 = 512;

/// Durable and pending contents of one file.
#[derive(Clone, Debug, Default)]
pub(super) struct Body {
    pub(super) pages: Pages,
    pub(super) stale: BTreeMap<u64, [u8; SECTOR as usize]>,
    pub(super) pending: Vec<PendingChange>,
}

/// A change of contents that is not durable.
#[derive(Clone, Debug)]
pub(super) struct PendingChange {
    pub(super) op: u64,
    pub(super) change: Change,
}

/// What changes.
#[derive(Clone, Debug)]
pub(super) enum Change {
    Write { offset: u64, data: Arc<[u8]> },
    SetLen(u64),
}

impl Change {
    pub(super) fn apply(&self, pages: &mut Pages) {
        match self {
            Change::Write { offset, data } => pages.write(data, *offset),
            Change::SetLen(len) => pages.set_len_to(*len),
        }
    }

    /// The length of a file of `len` bytes after this change.
    pub(super) fn len_after(&self, len: u64) -> u64 {
        match self {
            Change::Write { offset, data } => len.max(offset + data.len() as u64),
            Change::SetLen(new) => *new,
        }
    }
}

/// The numbers of the units of `unit` bytes that `len` bytes at `offset` touch.
pub(super) fn units(offset: u64, len: usize, unit: u64) -> Range<u64> {
    if len == 0 { 0..0 } else { offset / unit..(offset + len as u64).div_ceil(unit) }
}

impl Body {
    pub(super) fn write(&mut self, op: u64, offset: u64, data: &Arc<[u8]>) {
        let change = Change::Write { offset, data: Arc::clone(data) };
        self.pending.push(PendingChange { op, change });
    }

    pub(super) fn set_len(&mut self, op: u64, len: u64) {
        self.pending.push(PendingChange { op, change: Change::SetLen(len) });
    }

    /// Durable contents plus the stale sectors: where a reader's view starts.
    pub(super) fn with_stale(&self) -> Pages {
        let mut pages = self.pages.clone();
        for (sector, bytes) in &self.stale {
            pages.store(bytes, sector * SECTOR);
        }
        pages
    }

    /// What a running process reads.
    pub(super) fn view(&self) -> Pages {
        let mut pages = self.with_stale();
        for p in &self.pending {
            p.change.apply(&mut pages);
        }
        pages
    }

    pub(super) fn sync(&mut self) {
        let view = (!self.stale.is_empty()).then(|| self.view());
        for p in std::mem::take(&mut self.pending) {
            p.change.apply(&mut self.pages);
            if let (Some(view), Change::Write { offset, data }) = (&view, &p.change) {
                // The system writes whole sectors, and with them what was stale in these.
                for sector in units(*offset, data.len(), SECTOR) {
                    self.pages.store(&sector_of(view, sector), sector * SECTOR);
                    self.stale.remove(&sector);
                }
            }
        }
        if let Some(view) = view {
            self.pages.set_len_to(view.len());
            self.refresh_stale(&view);
        }
    }

    /// The synchronisation failed and the system takes everything for written: lengths are durable, bytes are not.
    pub(super) fn sync_lost(&mut self) {
        let view = self.view();
        for p in std::mem::take(&mut self.pending) {
            match p.change {
                Change::SetLen(len) => self.pages.set_len_to(len),
                Change::Write { offset, ref data } => {
                    for sector in units(offset, data.len(), SECTOR) {
                        self.stale.insert(sector, sector_of(&view, sector));
                    }
                }
            }
        }
        self.pages.set_len_to(view.len());
        self.refresh_stale(&view);
    }

    /// Keeps as stale only what still differs from the medium.
    fn refresh_stale(&mut self, view: &Pages) {
        let pages = &self.pages;
        self.stale.retain(|sector, bytes| {
            *bytes = sector_of(view, *sector);
            *bytes != sector_of(pages, *sector)
        });
    }
}

impl From<Pages> for Body {
    fn from(pages: Pages) -> Self {
        Self { pages, ..Self::default() }
    }
}

pub(super) fn sector_of(pages: &Pages, sector: u64) -> [u8; SECTOR as usize] {
    let mut bytes = [0; SECTOR as usize];
    pages.read_padded(&mut bytes, sector * SECTOR);
    bytes
}
