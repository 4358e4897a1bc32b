//! [`Runs`]: what a batch has spilled, for each partition the runs in the order in which they were written.
//!
//! Sixteen runs of one size become one, so that each write is copied as often as the logarithm of their number says, and no more
//! files are open than a few for each time it grew sixteenfold. A later run is newer than an earlier one, and may have the same keys.
//!
//! What this file does not know: memory, and when there is none (`staged.rs`).

use crate::Result;
use crate::run::{self, Run};
use crate::spill::Spill;
use halodb_memtable::{Entry, Memtable};
use std::sync::Arc;

/// So many runs of one size are merged into one: each is an open file, and has a page of its own in memory while they are merged.
const ALIKE: usize = 16;

/// See the head of this file.
#[derive(Debug)]
pub(crate) struct Runs {
    spill: Arc<Spill>,
    parts: Vec<Vec<Spilled>>,
}

/// A run, and how often its writes were copied from one to another.
#[derive(Debug)]
struct Spilled {
    run: Arc<Run>,
    merges: u32,
}

impl Runs {
    /// None, of so many partitions.
    pub(crate) fn new(partitions: usize, spill: Arc<Spill>) -> Self {
        Self { spill, parts: (0..partitions).map(|_| Vec::new()).collect() }
    }

    /// Whether there is one of a partition.
    pub(crate) fn has(&self, partition: usize) -> bool {
        !self.parts[partition].is_empty()
    }

    /// All of them.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Arc<Run>> {
        self.parts.iter().flatten().map(|spilled| &spilled.run)
    }

    /// Writes a table, which must not be empty, as the newest run.
    ///
    /// # Errors
    /// As [`Spill::write_table`]; all is as it was.
    pub(crate) fn add_table(&mut self, partition: usize, table: &Arc<Memtable>) -> Result<()> {
        let run = self.spill.write_table(partition, table)?;
        self.add(partition, run);
        Ok(())
    }

    /// Writes one entry as the newest run.
    ///
    /// # Errors
    /// As [`Runs::add_table`].
    pub(crate) fn add_entry(&mut self, partition: usize, key: &[u8], entry: Entry<'_>) -> Result<()> {
        let run = self.spill.write_entry(partition, key, entry)?;
        self.add(partition, run);
        Ok(())
    }

    fn add(&mut self, partition: usize, run: Arc<Run>) {
        let runs = &mut self.parts[partition];
        runs.push(Spilled { run, merges: 0 });
        while let Some(merges) = runs.last().map(|newest| newest.merges) {
            let alike = runs.iter().rev().take_while(|spilled| spilled.merges == merges).count();
            // What fails is done with the next run, or before the commit, where it is told.
            if alike < ALIKE || merge_newest(&self.spill, partition, runs, alike).is_err() {
                break;
            }
        }
    }

    /// Makes all runs of a partition one.
    ///
    /// # Errors
    /// As [`Spill::merge`]; all is as it was.
    pub(crate) fn make_one(&mut self, partition: usize) -> Result<()> {
        let runs = &mut self.parts[partition];
        let all = runs.len();
        if all > 1 { merge_newest(&self.spill, partition, runs, all) } else { Ok(()) }
    }

    /// Takes the one run of a partition out.
    pub(crate) fn take(&mut self, partition: usize) -> Option<Arc<Run>> {
        let run = self.parts[partition].pop().map(|spilled| spilled.run);
        debug_assert!(self.parts[partition].is_empty(), "they were made one");
        run
    }

    /// Tells the entries of all runs, those of a run in the order of their keys, until `each` says no.
    ///
    /// # Errors
    /// `Corrupt` or `Io` if one cannot be read.
    pub(crate) fn entries(&self, mut each: impl FnMut(&[u8], Entry<'_>) -> bool) -> Result<()> {
        for run in self.all() {
            let mut cursor = run.cursor();
            cursor.seek_first()?;
            while let Some((key, entry)) = run::entry_at(&cursor)? {
                if !each(key, entry) {
                    return Ok(());
                }
                cursor.next()?;
            }
        }
        Ok(())
    }
}

/// Makes the newest runs, so many of them, one.
fn merge_newest(spill: &Spill, partition: usize, runs: &mut Vec<Spilled>, newest: usize) -> Result<()> {
    let first = runs.len() - newest;
    let merged: Vec<_> = runs[first..].iter().map(|spilled| spilled.run.clone()).collect();
    let run = spill.merge(partition, &merged)?;
    let merges = runs[first..].iter().map(|spilled| spilled.merges).max().unwrap_or_default() + 1;
    runs.truncate(first);
    runs.push(Spilled { run, merges });
    Ok(())
}
