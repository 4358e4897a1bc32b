//! [`PagerStats`]: plain numbers about a page file.

use crate::id::FIRST_PAGE;
use crate::shared::{Shared, Writer};

/// Plain numbers about a page file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PagerStats {
    /// Bytes per page.
    pub page_size: u32,
    /// Pages in the file as the newest meta states, metas included.
    pub pages: u64,
    /// Free and reusable now.
    pub free: u64,
    /// Free but still reachable from a findable meta or a snapshot.
    pub pending: u64,
    /// Of the pending ones, those that no findable meta reaches any more: snapshots alone keep them.
    pub pinned: u64,
    /// Pages of the stored free list.
    pub free_list: u64,
    /// Newest generation.
    pub generation: u64,
    /// Open epoch.
    pub epoch: u32,
    /// Number of versions pinned by snapshots (the newest not counted).
    pub pinned_versions: u64,
    /// Oldest pinned generation; the newest generation if none is pinned.
    pub oldest_pinned: u64,
    /// Length of the file in bytes: the pages and what was allocated ahead.
    pub file_bytes: u64,
}

impl PagerStats {
    /// Pages that hold data: neither metas nor free, pending or the list of those.
    pub fn used(&self) -> u64 {
        self.pages.saturating_sub(FIRST_PAGE + self.free + self.pending + self.free_list)
    }

    pub(crate) fn of(shared: &Shared, writer: &Writer) -> Self {
        let live = shared.live.lock();
        let newest = writer.meta.generation;
        // A file opened for reading only does not load its free list; its meta knows the number of pages.
        let free = writer.meta.free_pages.saturating_sub(writer.pending.pages());
        PagerStats {
            page_size: writer.meta.identity.page_size,
            pages: writer.meta.page_count,
            free,
            pending: writer.pending.pages(),
            pinned: writer.pending.pinned_pages(),
            free_list: writer.meta.list_pages,
            generation: newest,
            epoch: writer.meta.epoch,
            pinned_versions: live.keys().filter(|g| **g != newest).count() as u64,
            oldest_pinned: live.keys().next().copied().unwrap_or(newest),
            file_bytes: writer.file_len,
        }
    }
}
