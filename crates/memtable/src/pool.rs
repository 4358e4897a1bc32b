//! [`Pool`]: memory of tables that are gone, kept for those to come.
//!
//! Fresh memory costs a page fault for each 4 KiB, more than writing a record into it. A database that fills one table
//! after the other needs no fresh memory once the first ones are gone. Kept are whole chunks of the greatest size and the
//! slabs of the index, up to a limit; the rest goes back to the allocator.

use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::arena::{CHUNK_BYTES, Memory, Slot};
use crate::index::SLAB_BYTES;

/// Recycled memory, shared by the tables made with [`Memtable::with_pool`](crate::Memtable::with_pool).
pub struct Pool {
    kept: Mutex<Kept>,
    limit_bytes: usize,
}

#[derive(Default)]
struct Kept {
    chunks: Vec<Arc<Memory>>,
    slabs: Vec<Box<[Slot]>>,
    bytes: usize,
}

impl Pool {
    /// Keeps at most `limit_bytes`: about the memory of the tables that are gone while others fill. 0: keeps nothing.
    pub fn new(limit_bytes: usize) -> Self {
        Self { kept: Mutex::default(), limit_bytes }
    }

    /// Bytes kept.
    pub fn bytes(&self) -> usize {
        self.kept.lock().bytes
    }

    /// Gives everything back to the allocator.
    pub fn clear(&self) {
        let kept = std::mem::take(&mut *self.kept.lock());
        // Freed outside the lock.
        drop(kept);
    }

    /// A chunk of [`CHUNK_BYTES`] that nobody else has.
    pub(crate) fn take_chunk(&self) -> Option<Arc<Memory>> {
        let mut kept = self.kept.lock();
        let chunk = kept.chunks.pop()?;
        kept.bytes -= CHUNK_BYTES;
        Some(chunk)
    }

    /// Keeps a chunk, if it has the right size, nobody else has it and there is room.
    pub(crate) fn give_chunk(&self, mut chunk: Arc<Memory>) {
        if chunk.len() != CHUNK_BYTES || Arc::get_mut(&mut chunk).is_none() {
            return;
        }
        let mut kept = self.kept.lock();
        if kept.bytes + CHUNK_BYTES <= self.limit_bytes {
            kept.bytes += CHUNK_BYTES;
            kept.chunks.push(chunk);
        }
    }

    /// Slots of an index that is gone, with what it left in them.
    pub(crate) fn take_slab(&self) -> Option<Box<[Slot]>> {
        let mut kept = self.kept.lock();
        let slab = kept.slabs.pop()?;
        kept.bytes -= SLAB_BYTES;
        Some(slab)
    }

    pub(crate) fn give_slab(&self, slab: Box<[Slot]>) {
        let mut kept = self.kept.lock();
        if kept.bytes + SLAB_BYTES <= self.limit_bytes {
            kept.bytes += SLAB_BYTES;
            kept.slabs.push(slab);
        }
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (bytes, limit) = (self.bytes(), self.limit_bytes);
        f.debug_struct("Pool").field("bytes", &bytes).field("limit_bytes", &limit).finish_non_exhaustive()
    }
}
