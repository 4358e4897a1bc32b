//! The seam between this crate and a model checker: its lock, its atomics, and the numbers a model must have smaller.
//!
//! The model (`tests/loom.rs`) compiles the files of this crate as its own and puts another `sync` in this one's place. So
//! the library is always the real one, also below a model of the engine, which could not afford to follow every slot.
//!
//! Not here: `Arc` and `OnceLock`. What they hold is set by the one writer before a position that leads to it is published.

pub(crate) use parking_lot::{Mutex, MutexGuard};
pub(crate) use std::sync::atomic::AtomicU64;

/// log2 of the slots of a sub-table of the index: 4 KiB each.
pub(crate) const SLOT_BITS: u32 = 9;

/// Who reads which record, for a model; nothing, here.
#[derive(Debug, Default)]
pub(crate) struct Marks(());

impl Marks {
    /// The record at `position` is being written.
    #[inline(always)]
    pub(crate) fn write(&self, _position: u32) {}

    /// The record at `position` is being read.
    #[inline(always)]
    pub(crate) fn read(&self, _position: u32) {}
}

/// Whether a fault is planted: not here.
#[inline(always)]
pub(crate) const fn mutant(_name: &str) -> bool {
    false
}
