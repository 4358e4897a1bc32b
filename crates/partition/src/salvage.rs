//! [`salvage`]: everything that can be read of a damaged database, written into a new one. The source is never touched.
//!
//! What is read, and in which order, is in `readout`; here it becomes batches of an ordinary database with an identity of
//! its own.

use crate::batch::{Batch, Op};
use crate::doctor::{Diagnosis, examine};
use crate::options::{Create, Entropy, Options};
use crate::patient::Patient;
use crate::readout::{BehindGaps, Readout, Sink};
use crate::{Durability, Error, ErrorKind, PartitionSet, Result};
use halodb_btree::Expiry;
use halodb_vfs::{EntryKind, Vfs};
use std::path::Path;
use std::sync::Arc;

/// Bytes of a batch of the new database, about.
const BATCH_BYTES: usize = 1 << 20;

/// What [`salvage`] did.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct SalvageReport {
    /// What is wrong with the source, and what of it is lost.
    pub diagnosis: Diagnosis,
    /// Keys of the new database.
    pub keys: u64,
}

/// Copies everything that can be read of the database in `dir` into a new one in `into`, which must not exist or be
/// empty. The number of partitions and the page size stay what they were; `options` says how to write, `entropy` gives
/// the new database its identity. Background work runs in this thread.
///
/// If it fails half way, `into` holds a database with a part of the data: remove it and try again.
///
/// # Errors
/// Those of [`crate::diagnose`]; `InvalidInput` for an `into` that holds something or lies in `dir`; those of writing.
pub fn salvage(
    vfs: Arc<dyn Vfs>,
    dir: &Path,
    into: &Path,
    behind_gaps: BehindGaps,
    options: Options,
    entropy: Entropy,
    now_ms: u64,
) -> Result<SalvageReport> {
    refuse_taken(&*vfs, dir, into)?;
    let mut report = SalvageReport::default();
    let patient = Patient::open(vfs.clone(), dir, &mut report.diagnosis)?;
    examine(&patient, &mut report.diagnosis)?;
    let options = Options {
        partitions: Some(patient.manifest.partitions.max(1)),
        page_size: Some(patient.manifest.page_size),
        create: Create::IfMissing,
        ..options
    };
    let (set, _) = PartitionSet::open(vfs, into, options, entropy, now_ms)?;
    let mut writer = Writer { set: &set, batch: Batch::new(), now_ms };
    Readout { patient: &patient, behind_gaps }.run(&mut report.diagnosis, &mut writer)?;
    writer.flush()?;
    set.freeze_all()?;
    while let Some(job) = set.next_job(now_ms) {
        job.run()?;
    }
    set.sync()?;
    report.keys = set.stats().tree_keys;
    set.close(now_ms)?;
    report.diagnosis.conclude();
    Ok(report)
}

fn refuse_taken(vfs: &dyn Vfs, dir: &Path, into: &Path) -> Result<()> {
    if into.starts_with(dir) {
        return Err(Error::invalid(format!("{} lies in the database that is to be saved", into.display())));
    }
    match vfs.kind(into).map_err(|e| Error::io("look at", into, e))? {
        None => Ok(()),
        Some(EntryKind::Dir) if vfs.read_dir(into).map_err(|e| Error::io("list", into, e))?.is_empty() => Ok(()),
        Some(_) => {
            Err(Error::invalid(format!("{} is there already, and not empty: name a new directory", into.display())))
        }
    }
}

/// Writes to the new database.
struct Writer<'s> {
    set: &'s PartitionSet,
    batch: Batch,
    now_ms: u64,
}

impl Writer<'_> {
    fn flush_if_large(&mut self) -> Result<()> {
        if self.batch.len_bytes() >= BATCH_BYTES { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<()> {
        let batch = std::mem::take(&mut self.batch);
        if batch.is_empty() {
            return Ok(());
        }
        loop {
            // A job may be there before memory is full; running it now keeps the log short.
            let job = self.set.next_job(self.now_ms);
            let idle = job.is_none();
            if let Some(job) = job {
                job.run()?;
            }
            match self.set.commit(&batch, Durability::Memory, self.now_ms) {
                Err(e) if e.kind() == ErrorKind::Stalled && !idle => {}
                outcome => return outcome.map(drop),
            }
        }
    }
}

impl Sink for Writer<'_> {
    fn put(&mut self, key: &[u8], value: &[u8], expiry: Expiry) -> Result<()> {
        self.batch.put_until(key, value, expiry.ms());
        self.flush_if_large()
    }

    fn replay(&mut self, op: &Op<'_>) -> Result<()> {
        self.batch.write(op);
        self.flush_if_large()
    }

    fn delete_where(&mut self, start: &[u8], end: Option<&[u8]>, dead: &dyn Fn(&[u8]) -> bool) -> Result<()> {
        self.flush()?;
        let snapshot = self.set.snapshot();
        let mut cursor = snapshot.cursor();
        cursor.seek(start)?;
        while let Some(key) = cursor.key().filter(|key| end.is_none_or(|end| *key < end)) {
            if dead(key) {
                self.batch.delete(key);
            }
            cursor.next()?;
            self.flush_if_large()?;
        }
        self.flush()
    }
}
