//! [`Slots`]: which metas a crash now could leave in the file, and which slot may be overwritten.
//!
//! Rules: a slot is overwritten only when the other one is synchronised, so the slot to write is always *the one not
//! relied on*, never one chosen by parity. While a meta is being written, both what it overwrites and what it will be
//! are findable; if that write fails they stay so.

use crate::meta::Meta;

/// What matters of a findable meta.
#[derive(Clone, Debug)]
pub(crate) struct Findable {
    pub(crate) generation: u64,
    pub(crate) page_count: u64,
    pub(crate) user: Vec<u8>,
}

impl Findable {
    pub(crate) fn of(meta: &Meta) -> Self {
        Findable { generation: meta.generation, page_count: meta.page_count, user: meta.user.clone() }
    }
}

#[derive(Debug)]
pub(crate) struct Slots {
    content: [Option<Findable>; 2],
    relied: usize,
    being_written: Option<Findable>,
}

impl Slots {
    /// What was found in the two slots, `relied` being the one with the newest meta.
    pub(crate) fn new(content: [Option<Findable>; 2], relied: usize) -> Self {
        Slots { content, relied, being_written: None }
    }

    /// The slot whose meta is the newest synchronised one.
    pub(crate) fn relied(&self) -> u32 {
        self.relied as u32
    }

    /// The slot that may be written.
    pub(crate) fn not_relied(&self) -> u32 {
        1 - self.relied as u32
    }

    /// A write to the slot not relied on begins.
    pub(crate) fn begin_write(&mut self, meta: &Meta) {
        self.being_written = Some(Findable::of(meta));
    }

    /// That write is synchronised: from now on its slot is relied on.
    pub(crate) fn end_write(&mut self) {
        let slot = 1 - self.relied;
        self.content[slot] = self.being_written.take();
        self.relied = slot;
    }

    pub(crate) fn findable(&self) -> impl Iterator<Item = &Findable> {
        self.content.iter().flatten().chain(&self.being_written)
    }

    /// The least generation that a crash now could leave.
    pub(crate) fn oldest_generation(&self) -> u64 {
        self.findable().map(|f| f.generation).min().unwrap_or(0)
    }

    /// The number of pages that the findable metas need.
    pub(crate) fn pages(&self) -> u64 {
        self.findable().map(|f| f.page_count).max().unwrap_or(0)
    }
}
