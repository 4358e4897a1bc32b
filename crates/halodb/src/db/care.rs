//! Looking after a database: numbers, shape, check.

use std::ops::ControlFlow;

use halodb_partition::{CheckProgress, CheckReport, Depth, PartitionShape};

use super::Db;
use crate::{Result, Stats};

impl Db {
    /// Plain numbers about memory, files and work done since the open: see [`Stats`]. Cheap; also of a closed database. In a
    /// child forked from the process that opened it all are 0.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let db = halodb::Db::open(dir.path())?;
    /// db.put("a", "1")?;
    /// let stats = db.stats();
    /// assert_eq!(stats.commits, 1);
    /// assert_eq!(stats.durable, stats.visible);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn stats(&self) -> Stats {
        if self.inner.owned().is_err() {
            return Stats::default();
        }
        let engine = &self.inner.engine;
        let mut stats = Stats {
            engine: engine.set.stats(),
            operations: engine.meter.operations(),
            latencies: engine.meter.latencies(),
            filters: engine.meter.filters(),
        };
        // A write that waits asks several times; here it counts once.
        stats.engine.stalls = engine.gate.stalls();
        (stats.engine.slowed, stats.engine.slowed_us) = engine.gate.slowed();
        (stats.latencies.stalls, stats.latencies.slowed) = engine.gate.waits();
        stats
    }

    /// The shape of each partition's tree: levels, pages, fill. Reads every page of the trees.
    ///
    /// # Errors
    /// `Corrupt`, `Io`, `Closed`.
    pub fn shape(&self) -> Result<Vec<PartitionShape>> {
        Ok(self.inner.entered()?.set.shape()?)
    }

    /// Checks the files against their rules, beside other work: every page is read again from the disk. What is wrong is
    /// in the report, not an error; an empty list of findings means sound.
    ///
    /// # Errors
    /// `Io` if a file cannot be read at all, `Closed`.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let db = halodb::Db::open(dir.path())?;
    /// db.put("a", "1")?;
    /// db.flush()?;
    /// let report = db.check(halodb::Depth::Deep)?;
    /// assert_eq!(report.keys, 1);
    /// assert!(report.findings.is_empty(), "{:?}", report.findings);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn check(&self, depth: Depth) -> Result<CheckReport> {
        self.check_with(depth, |_| ControlFlow::Continue(()))
    }

    /// As [`Db::check`], telling after each page how far it is. With [`ControlFlow::Break`] it ends early.
    ///
    /// # Errors
    /// As [`Db::check`]; `Cancelled` if `progress` ended it.
    ///
    /// ```
    /// # use std::ops::ControlFlow;
    /// # let dir = tempfile::tempdir()?;
    /// # let db = halodb::Db::open(dir.path())?;
    /// # db.put("a", "1")?;
    /// # db.flush()?;
    /// let ended = db.check_with(halodb::Depth::Quick, |_| ControlFlow::Break(()));
    /// assert_eq!(ended.unwrap_err().kind(), halodb::ErrorKind::Cancelled);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn check_with(
        &self,
        depth: Depth,
        progress: impl FnMut(CheckProgress) -> ControlFlow<()>,
    ) -> Result<CheckReport> {
        Ok(self.inner.entered()?.set.check_with(depth, progress)?)
    }
}
