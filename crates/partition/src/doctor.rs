//! [`diagnose`]: what is wrong with a database, how bad it is, and what can be done about it. Nothing is changed: every
//! file is opened for reading only, and nothing is repaired in place.
//!
//! The verdict comes from trying: whatever salvaging would read is read, and what cannot be is lost. How that goes is in
//! `readout`; the opening of what may not open is in `patient`.

use crate::patient::Patient;
use crate::readout::{BehindGaps, Readout, Sink};
use crate::{Op, Result};
use halodb_btree::{Depth, Expiry};
use halodb_pager::PageSet;
use halodb_vfs::Vfs;
use halodb_wal::Lsn;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Health {
    /// Nothing is wrong.
    #[default]
    Sound,
    /// Something is wrong, and no data is lost: an ordinary open, or the remedy that is named, makes it whole.
    Repairable,
    /// Data is lost: a copy has it, or nobody.
    Lost,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ailment {
    /// The file.
    pub path: PathBuf,
    /// Offset in bytes, if it has a place.
    pub offset: Option<u64>,
    /// What is wrong, as a sentence.
    pub what: String,
    /// How bad this is by itself.
    pub health: Health,
    /// What to do about it.
    pub remedy: &'static str,
}

/// What [`diagnose`] found.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Diagnosis {
    /// The worst of the ailments.
    pub health: Health,
    /// What is wrong.
    pub ailments: Vec<Ailment>,
    /// What could not be proven, and what is worth knowing.
    pub notes: Vec<String>,
    /// Entries of the trees that can be read.
    pub entries: u64,
    /// Entries that are known to be lost; there may be more where nothing tells how many there were.
    pub lost_entries: u64,
    /// Log records that can be read and that the trees do not have yet, as far as that is known.
    pub records: u64,
    /// Numbers of log records that are lost, both ends included.
    pub lost_records: Vec<(Lsn, Lsn)>,
}

impl Diagnosis {
    pub(crate) fn conclude(&mut self) {
        self.health = self.ailments.iter().map(|ailment| ailment.health).max().unwrap_or_default();
    }
}

/// What to do about damage that lost nothing but stands in the way of an ordinary open.
pub(crate) const SALVAGE: &str = "Salvage into a new database: nothing of it is lost.";
/// What to do about data that is gone.
pub(crate) const RESTORE: &str = "Restore a copy, or salvage what is left into a new database.";

/// Looks at the database in `dir` without opening it for writing. Changes nothing but, where it is there, the process id in
/// LOCK, which it holds meanwhile.
///
/// Costs the reading of all files, of the damaged ones twice; holds one segment of the log in memory.
///
/// # Errors
/// `NotFound`, `NotADatabase`, `Locked`, `Version`, `Io`; `Corrupt` only if nothing tells any more which database this is.
/// Whatever else is wrong is in the diagnosis.
///
/// ```
/// use halodb_partition::{Entropy, Health, Options, PartitionSet, diagnose};
/// use std::{path::Path, sync::Arc};
///
/// # fn main() -> halodb_partition::Result<()> {
/// let disk = Arc::new(halodb_vfs::SimVfs::new());
/// let entropy = Entropy { uuid: [7; 16], incarnation: 1, hash_seed: 42 };
/// let (set, _) = PartitionSet::open(disk.clone(), Path::new("data"), Options::default(), entropy, 0)?;
/// set.close(0)?;
/// drop(set);
/// disk.flip_bit("data/MANIFEST", 100).unwrap();
/// let diagnosis = diagnose(disk, Path::new("data"))?;
/// assert_eq!(diagnosis.health, Health::Repairable);
/// # Ok(()) }
/// ```
pub fn diagnose(vfs: Arc<dyn Vfs>, dir: &Path) -> Result<Diagnosis> {
    let mut report = Diagnosis::default();
    let patient = Patient::open(vfs, dir, &mut report)?;
    examine(&patient, &mut report)?;
    Readout { patient: &patient, behind_gaps: BehindGaps::Use }.run(&mut report, &mut Nothing)?;
    report.conclude();
    Ok(report)
}

/// Checks the rules of what opened: damage that loses nothing, but must be known.
pub(crate) fn examine(patient: &Patient, report: &mut Diagnosis) -> Result<()> {
    for (number, part) in patient.parts.iter().enumerate() {
        let Some(open) = &part.open else { continue };
        let mut pages = PageSet::default();
        // Filters are bound to the seed that the MANIFEST states: without it they cannot be checked.
        let depth = if patient.router.is_some() { Depth::Deep } else { Depth::Quick };
        let mut findings = open.tree.check(depth, &mut pages)?;
        if findings.is_empty() {
            findings = open.tree.snapshot().check_accounting(&pages)?;
        }
        report.ailments.extend(findings.into_iter().map(|f| Ailment {
            path: f.path,
            offset: f.offset,
            what: f.what,
            health: Health::Repairable,
            remedy: SALVAGE,
        }));
        let misplaced = patient.router.and_then(|router| {
            let mut cursor = open.tree.cursor();
            cursor.seek_first().ok()?;
            while let Some(key) = cursor.key() {
                if router.partition(key) != number {
                    return Some(key.escape_ascii().to_string());
                }
                cursor.next().ok()?;
            }
            None
        });
        report.ailments.extend(misplaced.map(|key| Ailment {
            path: part.path.clone(),
            offset: None,
            what: format!("The key b\"{key}\" lies in the wrong partition: gets do not find it."),
            health: Health::Repairable,
            remedy: SALVAGE,
        }));
    }
    Ok(())
}

/// Takes everything and keeps nothing.
struct Nothing;

impl Sink for Nothing {
    fn put(&mut self, _: &[u8], _: &[u8], _: Expiry) -> Result<()> {
        Ok(())
    }

    fn replay(&mut self, _: &Op<'_>) -> Result<()> {
        Ok(())
    }

    fn delete_where(&mut self, _: &[u8], _: Option<&[u8]>, _: &dyn Fn(&[u8]) -> bool) -> Result<()> {
        Ok(())
    }
}
