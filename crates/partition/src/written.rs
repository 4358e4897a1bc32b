//! [`Written`]: how far the memtables had been written at a moment, and which keys were written since.
//!
//! For whoever found something out about a range of keys in one snapshot, and wants to know what is left of it in a later one
//! without looking at the range again. It costs what was written meanwhile, whatever the memtables hold. Once a memtable of
//! the moment is merged and gone, or writes came that found no room in memory, it is not known any more.

use crate::set::PartitionSet;
use crate::snapshot::Snapshot;
use halodb_memtable::{Moment, Touched};

/// A moment: of each partition the number of its active memtable, and how far that was written.
#[derive(Clone, Debug)]
pub struct Written(Box<[(u64, Moment)]>);

impl PartitionSet {
    /// Now. Every snapshot taken later shows what was written before. Waits for the write at hand in each partition.
    pub fn written(&self) -> Written {
        let version = self.shared.versions.load();
        Written(version.parts.iter().map(|part| (part.active.number, part.active.table.now())).collect())
    }
}

impl Snapshot {
    /// Tells each key that was written after a moment, as often as it was, until `each` says no; whether all were told. Keys
    /// that were set or removed, but no removals of ranges; also some that were written after the snapshot.
    ///
    /// Cost: the writes since, and a lock for a moment in each partition.
    pub fn written_since(&self, since: &Written, mut each: impl FnMut(&[u8]) -> bool) -> bool {
        self.parts().iter().zip(&since.0).all(|(part, &(number, moment))| {
            let later = || part.layers().filter(|layer| layer.number >= number);
            // The tables of a partition are numbered without a gap: one that is missing is merged and gone.
            let wanted = part.active.number.checked_sub(number).map(|more| more + 1);
            wanted == Some(later().count() as u64)
                // What is in a run is not known in the order in which it came.
                && later().all(|layer| layer.run.is_none())
                && later().all(|layer| {
                    let from = if layer.number == number { moment } else { Moment::default() };
                    layer.table.touched_between(from, layer.table.now(), |_, touched| match touched {
                        Touched::Key(key) => each(key),
                        Touched::Range(_) => true,
                    })
                })
        })
    }
}
