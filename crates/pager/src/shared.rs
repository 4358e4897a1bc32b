//! [`Shared`]: what a pager and its snapshots have in common, and [`Desk`]: where the one writer's state lies while
//! nobody writes.
//!
//! Whoever takes the state from the desk is the writer; a second one waits until it is put back. It is a thing and not a
//! mutex guard so that a write transaction can move to another thread.

use crate::extents::ExtentSet;
use crate::file::PageFile;
use crate::id::{Access, PageRef};
use crate::meta::Meta;
use crate::pending::Pending;
use crate::slots::Slots;
use crate::stats::PagerStats;
use crate::verified::Verified;
use halodb_vfs::{Mapping, mutant};
use parking_lot::{Condvar, Mutex};
use std::collections::BTreeMap;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) file: PageFile,
    pub(crate) access: Access,
    /// Generation → page count of every version that somebody holds, the newest included.
    pub(crate) live: Mutex<BTreeMap<u64, u64>>,
    pub(crate) slots: Mutex<Slots>,
    pub(crate) desk: Desk,
}

/// What only the writer touches.
#[derive(Debug)]
pub(crate) struct Writer {
    /// The newest commit.
    pub(crate) meta: Meta,
    /// The generation that the next commit or aborted attempt uses up.
    pub(crate) next_generation: u64,
    /// The metas were written again since the open, so pages may be written.
    pub(crate) secured: bool,
    /// A sync or meta write failed, or was begun and did not come to its end.
    pub(crate) poisoned: bool,
    /// Reusable now.
    pub(crate) free: ExtentSet,
    pub(crate) pending: Pending,
    /// The pages of the stored free list.
    pub(crate) list: Vec<PageRef>,
    pub(crate) file_len: u64,
    pub(crate) mapping: Arc<Mapping>,
    pub(crate) verified: Verified,
}

#[derive(Debug)]
pub(crate) struct Desk {
    state: Mutex<DeskState>,
    put_back: Condvar,
}

#[derive(Debug)]
struct DeskState {
    writer: Option<Box<Writer>>,
    /// The numbers when the writer's state was taken.
    last: PagerStats,
}

impl Desk {
    pub(crate) fn new(writer: Writer) -> Self {
        let last = PagerStats::default();
        Desk { state: Mutex::new(DeskState { writer: Some(Box::new(writer)), last }), put_back: Condvar::new() }
    }
}

impl Shared {
    /// Becomes the writer; waits for another one.
    pub(crate) fn take_writer(&self) -> Held<'_> {
        let mut state = self.desk.state.lock();
        loop {
            if let Some(writer) = state.writer.take() {
                state.last = PagerStats::of(self, &writer);
                return Held { shared: self, writer: Some(writer) };
            }
            self.desk.put_back.wait(&mut state);
        }
    }

    /// Looks at the writer's state if nobody writes.
    pub(crate) fn with_idle_writer<T>(&self, look: impl FnOnce(&mut Writer) -> T) -> Option<T> {
        self.desk.state.lock().writer.as_deref_mut().map(look)
    }

    /// The numbers now, or when the running transaction began.
    pub(crate) fn stats(&self) -> PagerStats {
        let mut state = self.desk.state.lock();
        if let Some(writer) = state.writer.as_deref_mut() {
            self.settle(writer);
            state.last = PagerStats::of(self, state.writer.as_deref().expect("it was there a line ago"));
        }
        state.last
    }

    /// Moves to the free pages what no findable meta and no snapshot reaches any more.
    pub(crate) fn settle(&self, writer: &mut Writer) {
        let oldest = self.slots.lock().oldest_generation() + u64::from(mutant("pager.reuse-early"));
        let released = writer.pending.release(oldest, &self.live.lock());
        for (start, len) in released {
            let new = writer.free.insert(start, len);
            debug_assert!(new, "page {start} is free and pending");
        }
    }

    /// Writes `meta` to the slot not relied on, synchronised; from then on that slot is relied on.
    pub(crate) fn put_meta(&self, meta: &Meta) -> crate::Result<()> {
        let slot = {
            let mut slots = self.slots.lock();
            slots.begin_write(meta);
            // A planted fault knows one slot only.
            if mutant("pager.one-slot") { 0 } else { slots.not_relied() }
        };
        self.file.write_slot(slot, meta)?;
        self.slots.lock().end_write();
        Ok(())
    }
}

/// The writer's state, put back on the desk when dropped.
#[derive(Debug)]
pub(crate) struct Held<'a> {
    pub(crate) shared: &'a Shared,
    writer: Option<Box<Writer>>,
}

impl Deref for Held<'_> {
    type Target = Writer;
    fn deref(&self) -> &Writer {
        self.writer.as_deref().expect("it is taken out only by drop")
    }
}

impl DerefMut for Held<'_> {
    fn deref_mut(&mut self) -> &mut Writer {
        self.writer.as_deref_mut().expect("it is taken out only by drop")
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.shared.desk.state.lock().writer = self.writer.take();
        self.shared.desk.put_back.notify_one();
    }
}
