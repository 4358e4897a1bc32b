//! Checking an open database against its own rules: what the layers below check of themselves, and what only this one
//! can know — that each key lies in the partition it hashes to, and that log and trees fit together.

use crate::manifest::{self, Manifest};
use crate::set::{Partition, PartitionSet, Shared};
use crate::{Error, ErrorKind, Result};
use halodb_btree as btree;
use halodb_pager::PageSet;
use std::ops::ControlFlow;
use std::path::PathBuf;

/// How thorough a check is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// Everything but the contents of large values and of filters.
    Quick,
    /// Everything.
    Deep,
}

/// Something a check found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The file.
    pub path: PathBuf,
    /// Offset in bytes, if it has a place.
    pub offset: Option<u64>,
    /// What is wrong, as a sentence.
    pub what: String,
}

/// What a check read and found.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct CheckReport {
    /// Keys in the trees.
    pub keys: u64,
    /// Pages reached.
    pub pages: u64,
    /// What is wrong; empty: sound.
    pub findings: Vec<Finding>,
}

/// How far a check is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CheckProgress {
    /// Pages that were read.
    pub pages: u64,
    /// Pages in use, about: merges change the number meanwhile.
    pub total: u64,
}

impl PartitionSet {
    /// Reads all pages of all trees and the whole log again from the disk and checks them: the identity, both metas of each
    /// page file, checksums and places of pages, key order, separators, counts, filters against keys, that every page is reachable once or free, that each
    /// key lies in its partition, and the continuity of the log.
    ///
    /// Merges of a partition wait while it is checked; reads and writes go on.
    ///
    /// # Errors
    /// Only if checking itself is impossible; what is wrong with the data is a finding.
    pub fn check(&self, depth: Depth) -> Result<CheckReport> {
        self.check_with(depth, |_| ControlFlow::Continue(()))
    }

    /// As [`PartitionSet::check`], telling about how much is done after each page. With [`ControlFlow::Break`] it ends early.
    ///
    /// # Errors
    /// As [`PartitionSet::check`]; `Cancelled` if `progress` ended it.
    pub fn check_with(
        &self,
        depth: Depth,
        mut progress: impl FnMut(CheckProgress) -> ControlFlow<()>,
    ) -> Result<CheckReport> {
        let mut report = CheckReport::default();
        self.shared.check_manifest(&mut report);
        let pages = |partition: &Partition| {
            let stats = partition.pager.stats();
            stats.pages.saturating_sub(stats.free + stats.pending)
        };
        let total = self.shared.partitions.iter().map(&pages).sum();
        let mut before = 0;
        for (number, partition) in self.shared.partitions.iter().enumerate() {
            let mut stopped = false;
            self.shared.check_partition(number, depth, &mut report, &mut |done| {
                let told = progress(CheckProgress { pages: before + done, total });
                stopped |= told.is_break();
                told
            })?;
            if stopped {
                return Err(Error::new(ErrorKind::Cancelled, "the check was ended before it had read everything"));
            }
            before += pages(partition);
        }
        let log = self.shared.wal.check()?;
        report.findings.extend(log.into_iter().map(|f| Finding { path: f.path, offset: f.offset, what: f.what }));
        Ok(report)
    }
}

impl Shared {
    fn check_manifest(&self, report: &mut CheckReport) {
        let what = match Manifest::read(&*self.vfs, &self.dir) {
            Ok(Some(manifest)) if manifest == self.manifest => return,
            Ok(Some(_)) => "The MANIFEST is not the one that the database was opened with.".to_owned(),
            Ok(None) => "The MANIFEST is missing.".to_owned(),
            Err(e) => e.to_string(),
        };
        report.findings.push(Finding { path: self.dir.join(manifest::NAME), offset: None, what });
    }

    fn check_partition(
        &self,
        partition: usize,
        depth: Depth,
        report: &mut CheckReport,
        progress: &mut dyn FnMut(u64) -> ControlFlow<()>,
    ) -> Result<()> {
        let _quiet = self.partitions[partition].quiet.lock();
        let tree = self.versions.load().parts[partition].tree.clone();
        let depth = match depth {
            Depth::Quick => btree::Depth::Quick,
            Depth::Deep => btree::Depth::Deep,
        };
        let mut pages = PageSet::default();
        let mut findings = tree.check_with(depth, &mut pages, progress)?;
        let metas = self.partitions[partition].pager.check_metas()?;
        // Unreachable pages follow from a broken tree; listing them would bury the cause.
        if findings.is_empty() {
            findings.extend(tree.snapshot().check_accounting(&pages)?);
        }
        report.findings.extend(metas.iter().chain(&findings).map(|f| Finding {
            path: f.path.clone(),
            offset: f.offset,
            what: f.what.clone(),
        }));
        report.keys += tree.len();
        report.pages += pages.len();
        if findings.is_empty() {
            self.check_placement(partition, &tree, report)?;
        }
        Ok(())
    }

    /// Keys in the wrong partition would be invisible to gets and visible to scans.
    fn check_placement(&self, partition: usize, tree: &btree::Tree, report: &mut CheckReport) -> Result<()> {
        let mut cursor = tree.cursor();
        cursor.seek_first()?;
        while let Some(key) = cursor.key() {
            let belongs = self.router.partition(key);
            if belongs != partition {
                report.findings.push(Finding {
                    path: tree.snapshot().path().to_path_buf(),
                    offset: None,
                    what: format!("the key b\"{}\" belongs to partition {belongs}", key.escape_ascii()),
                });
                break;
            }
            cursor.next()?;
        }
        Ok(())
    }
}
