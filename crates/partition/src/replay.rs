//! Replaying: the log's records that the trees do not have are put into the memtables. Changes nothing on disk.
//!
//! ```text
//! group of records --decode, hash--> pieces, each with its writes by partition --insert--> memtables
//!                   side by side, by piece                              side by side, by partition
//! ```
//!
//! A memtable takes the writes of its partition in the order of the log: piece after piece. A batch is one record, and nothing
//! is visible before the open ends, so partitions need not wait for each other.

use crate::batch::{self, Op};
use crate::clock::FoundTime;
use crate::directory;
use crate::open::OpenPart;
use crate::opening::{OpenProgress, Opening};
use crate::options::OpenReport;
use crate::routing::Router;
use crate::{Error, ErrorKind, Result};
use halodb_memtable::Entry;
use halodb_vfs::{Vfs, mutant};
use halodb_wal::{Group, Known, Lsn, Record, RecordKind, Recovery, Wal, WalOptions};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A group with fewer records is not worth handing out.
const WORTH_SHARING: usize = 512;

/// How much more than twice its payload a group of small writes may take of a memtable: the smallest write takes eight times
/// as much there as in the log, and a group has 4 MiB of them.
const OVERHEAD_BYTES: u64 = 32 << 20;

/// A replay, and what it has found out so far.
pub(crate) struct Replay<'r> {
    wal_dir: PathBuf,
    router: Router,
    pub(crate) parts: &'r mut [OpenPart],
    pub(crate) opening: Opening<'r>,
    progress: OpenProgress,
    time: FoundTime,
}

/// The writes of a piece of a group, by partition, and what its records say about time.
struct Piece<'a> {
    writes: Vec<Vec<Write<'a>>>,
    records: u64,
    time_ms: Option<u64>,
}

/// A write on its way into a memtable.
enum Write<'a> {
    Entry { hash: u64, key: &'a [u8], lsn: Lsn, entry: Entry<'a> },
    DeleteRange { start: &'a [u8], end: Option<&'a [u8]>, lsn: Lsn },
}

impl<'r> Replay<'r> {
    pub(crate) fn new(dir: &Path, router: Router, parts: &'r mut [OpenPart], opening: Opening<'r>) -> Self {
        let stated_ms = parts.iter().map(|p| p.checkpoint.mark_ms).max().unwrap_or_default();
        let time = FoundTime { stated_ms, ..FoundTime::default() };
        let progress = OpenProgress::default();
        Self { wal_dir: directory::wal_dir(dir), router, parts, opening, progress, time }
    }

    /// Reads the log and puts what the trees do not have into the memtables.
    pub(crate) fn run(
        &mut self,
        vfs: &Arc<dyn Vfs>,
        options: WalOptions,
        report: &mut OpenReport,
    ) -> Result<(Recovery, FoundTime)> {
        let checkpoints = || self.parts.iter().map(|p| p.checkpoint);
        let known = Known {
            applied_min: checkpoints().map(|c| c.applied).min().unwrap_or_default(),
            applied_max: checkpoints().map(|c| c.applied).max().unwrap_or_default(),
            synced: checkpoints().map(|c| c.synced).max().unwrap_or_default(),
        };
        let wal_dir = self.wal_dir.clone();
        let recovery =
            Wal::recover_groups(vfs.clone(), &wal_dir, options, known, &mut |group: Group<'_>| self.group(&group))?;
        report.replayed = self.progress.records;
        report.read_bytes = self.progress.read_bytes;
        report.clean = recovery.clean();
        report.dropped = recovery.dropped().map(|tail| {
            format!(
                "{} at byte {}: the log ends here; what follows was never known to be durable and is dropped (from number {} on)",
                tail.path.display(),
                tail.offset,
                tail.from.0
            )
        });
        Ok((recovery, self.time))
    }

    fn group(&mut self, group: &Group<'_>) -> Result<()> {
        // Commits that follow each other are taken together; what else there is says nothing about data.
        let is_commit = |record: &Record<'_>| record.kind == RecordKind::Commit;
        for stretch in group.records.chunk_by(|one, next| is_commit(one) && is_commit(next)) {
            if is_commit(&stretch[0]) {
                self.commits(stretch)?;
            }
        }
        self.progress = OpenProgress { read_bytes: group.read_bytes, total_bytes: group.total_bytes, ..self.progress };
        (self.opening.on_progress)(self.progress);
        Ok(())
    }

    /// Commit records that follow each other, at least one.
    fn commits(&mut self, commits: &[Record<'_>]) -> Result<()> {
        let parts = &*self.parts;
        let payload_bytes: u64 = commits.iter().map(|record| record.payload.len() as u64).sum();
        if !parts.iter().all(|part| part.table.has_room(payload_bytes * 2 + OVERHEAD_BYTES)) {
            return Err(Error::new(ErrorKind::Full, too_long(&self.wal_dir, commits)));
        }
        let opening = if commits.len() < WORTH_SHARING { Opening::default() } else { self.opening };
        let pieces = self.decode(commits, opening)?;
        // The order of the log is that of the pieces.
        opening.all(parts.len(), |partition| {
            let table = &parts[partition].table;
            pieces.iter().flat_map(|piece| &piece.writes[partition]).for_each(|write| match *write {
                Write::Entry { hash, key, lsn, entry } => table.insert(hash, key, lsn.0, entry),
                Write::DeleteRange { start, end, lsn } => table.delete_range(start, end, lsn.0),
            });
        });
        for piece in pieces {
            self.progress.records += piece.records;
            if let Some(time_ms) = piece.time_ms {
                self.time.is_used = true;
                self.time.replayed_ms = self.time.replayed_ms.max(time_ms);
            }
        }
        Ok(())
    }

    /// As many pieces as there are partitions: that many can be worked on side by side anyway.
    fn decode<'a>(&self, commits: &[Record<'a>], opening: Opening<'_>) -> Result<Vec<Piece<'a>>> {
        let share = commits.len().div_ceil(self.parts.len().min(commits.len())).max(1);
        let shares: Vec<_> = commits.chunks(share).collect();
        let decoded = opening.all(shares.len(), |number| {
            let mut piece =
                Piece { writes: self.parts.iter().map(|_| Vec::new()).collect(), records: 0, time_ms: None };
            for record in shares[number] {
                self.sort_out(record, &mut piece)
                    .map_err(|what| Error::corrupt(&self.wal_dir, format!("record {}: {what}", record.lsn.0)))?;
            }
            Ok(piece)
        });
        decoded.into_iter().collect()
    }

    /// Adds a record's writes to those partitions whose tree does not have it.
    fn sort_out<'a>(&self, record: &Record<'a>, piece: &mut Piece<'a>) -> std::result::Result<(), &'static str> {
        let Record { lsn, payload, .. } = *record;
        let ops = batch::decode(payload)?;
        // A mark of time is no write: an orderly end leaves the last ones in the log.
        piece.records += u64::from(!ops.is_empty());
        if ops.is_empty() || ops.iter().any(|op| matches!(op, Op::PutUntil(..))) {
            piece.time_ms = piece.time_ms.max(Some(record.time_ms));
        }
        // Planted faults: half a batch is replayed, or its range deletes are not.
        let whole = if mutant("partition.half-batch") { ops.len().div_ceil(2) } else { ops.len() };
        let lacks = |partition: usize| self.parts[partition].checkpoint.applied < lsn;
        for op in ops.into_iter().take(whole) {
            let (key, entry) = match op {
                Op::DeleteRange(..) if mutant("partition.replay-without-ranges") => continue,
                Op::DeleteRange(start, end) => {
                    for partition in (0..self.parts.len()).filter(|&p| lacks(p)) {
                        piece.writes[partition].push(Write::DeleteRange { start, end, lsn });
                    }
                    continue;
                }
                Op::Put(key, value) => (key, Entry::Value(value)),
                Op::PutUntil(key, value, at_ms) => (key, Entry::Expiring(value, at_ms)),
                Op::Delete(key) => (key, Entry::Tombstone),
            };
            let hash = self.router.hash(key);
            let partition = self.router.partition_of_hash(hash);
            if lacks(partition) {
                piece.writes[partition].push(Write::Entry { hash, key, lsn, entry });
            }
        }
        Ok(())
    }
}

fn too_long(wal_dir: &Path, commits: &[Record<'_>]) -> String {
    format!(
        "{}: up to record {} there is more to replay than a memtable can hold; `salvage` can read it",
        wal_dir.display(),
        commits.last().map_or(0, |record| record.lsn.0)
    )
}
