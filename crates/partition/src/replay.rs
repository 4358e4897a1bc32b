//! Replaying: the log's records that the trees do not have are put into the memtables. Changes nothing on disk.
//!
//! ```text
//! group of records --decode, hash--> pieces, each with its writes by partition --insert--> memtables
//!                   side by side, by piece                              side by side, by partition
//! ```
//!
//! A memtable takes the writes of its partition in the order of the log: piece after piece. A batch is one record, and nothing
//! is visible before the open ends, so partitions need not wait for each other. Where there is one partition only, a piece is decoded while
//! the one before it goes into the memtable.
//!
//! The parts of a large commit are collected as they come, as they were when it was made (`staged.rs`), and let go if another one's follow.
//! With the record that completes them they become a layer of its own above all that was replayed before (`large.rs`). So a
//! replay takes no more memory than the commits did.

use crate::batch::{self, Op};
use crate::clock::FoundTime;
use crate::directory;
use crate::open::OpenPart;
use crate::opening::{OpenProgress, Opening};
use crate::options::OpenReport;
use crate::parts::{self, Chain, Follows};
use crate::routing::Router;
use crate::spill::Spill;
use crate::staged::Staged;
use crate::uncommitted::Uncommitted;
use crate::{Error, ErrorKind, Result};
use halodb_memtable::{Entry, Memtable, Pool};
use halodb_vfs::{Vfs, mutant};
use halodb_wal::{Group, Known, Lsn, Record, RecordKind, Recovery, Wal, WalOptions};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A group with fewer records and fewer bytes is not worth handing out: a record may be a large batch.
const WORTH_SHARING: usize = 512;
const WORTH_SHARING_BYTES: u64 = 256 << 10;

/// Pieces of a group that a single partition takes one after another: few enough that a thread for each costs nothing.
const STEPS: usize = 8;

/// So many writes ahead of the one at hand the memtable is asked for the memory in which the search for its key begins.
const AHEAD: usize = 8;

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
    pub(crate) time: FoundTime,
    /// Number of the last record that was looked at.
    before: Lsn,
    /// Every tree has what is up to here.
    applied_min: Lsn,
    chain: Chain,
    /// What the parts at hand write, if a tree lacks it.
    staged: Option<Staged>,
    /// Memory and files for that.
    room: (Arc<Uncommitted>, Arc<Spill>),
}

/// The writes of a piece of a group, by partition, and what its records say about time.
struct Piece<'a> {
    writes: Vec<Vec<Write<'a>>>,
    records: u64,
    time_ms: Option<u64>,
}

impl Piece<'_> {
    /// How many records it has, and what they say about time.
    fn found(&self) -> (u64, Option<u64>) {
        (self.records, self.time_ms)
    }
}

/// A write on its way into a memtable.
enum Write<'a> {
    Entry { hash: u64, key: &'a [u8], lsn: Lsn, entry: Entry<'a> },
    DeleteRange { start: &'a [u8], end: Option<&'a [u8]>, lsn: Lsn },
}

impl<'r> Replay<'r> {
    /// `room`: memory and files for what large commits write.
    pub(crate) fn new(
        dir: &Path,
        router: Router,
        parts: &'r mut [OpenPart],
        opening: Opening<'r>,
        room: (Arc<Uncommitted>, Arc<Spill>),
    ) -> Self {
        let stated_ms = parts.iter().map(|p| p.checkpoint.mark_ms).max().unwrap_or_default();
        let time = FoundTime { stated_ms, ..FoundTime::default() };
        let applied_min = parts.iter().map(|p| p.checkpoint.applied).min().unwrap_or_default();
        Self {
            wal_dir: directory::wal_dir(dir),
            router,
            parts,
            opening,
            progress: OpenProgress::default(),
            time,
            before: applied_min,
            applied_min,
            chain: Chain::default(),
            staged: None,
            room,
        }
    }

    /// Reads the log and puts what the trees do not have into the memtables.
    pub(crate) fn run(&mut self, vfs: &Arc<dyn Vfs>, options: WalOptions, report: &mut OpenReport) -> Result<Recovery> {
        let checkpoints = || self.parts.iter().map(|p| p.checkpoint);
        let known = Known {
            applied_min: self.applied_min,
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
        Ok(recovery)
    }

    fn group(&mut self, group: &Group<'_>) -> Result<()> {
        let mut commits = Vec::new();
        for record in group.records {
            let before = std::mem::replace(&mut self.before, record.lsn);
            match record.kind {
                RecordKind::Commit => commits.push(record),
                // A planted fault takes parts for commits.
                RecordKind::Part if mutant("partition.parts-without-commit") => commits.push(record),
                RecordKind::Part => self.stage(record, before)?,
                RecordKind::PartCommit => {
                    self.insert(&std::mem::take(&mut commits))?;
                    let complete = self.chain.complete(record.payload, self.applied_min);
                    let staged = self.staged.take();
                    if let Some(in_front) = complete.map_err(|what| self.corrupt(record.lsn, what))? {
                        // A commit without parts writes nothing.
                        staged.map_or(Ok(()), |staged| self.lay(record, before, staged, in_front))?;
                    }
                }
                _ => {}
            }
        }
        self.insert(&commits)?;
        self.progress = OpenProgress { read_bytes: group.read_bytes, total_bytes: group.total_bytes, ..self.progress };
        (self.opening.on_progress)(self.progress);
        Ok(())
    }

    fn corrupt(&self, lsn: Lsn, what: &str) -> Error {
        Error::corrupt(&self.wal_dir, format!("record {}: {what}", lsn.0))
    }

    /// Puts commits into the active memtables.
    fn insert(&mut self, commits: &[&Record<'_>]) -> Result<()> {
        let (Some(first), Some(last)) = (commits.first(), commits.last()) else { return Ok(()) };
        let payload_bytes: u64 = commits.iter().map(|record| record.payload.len() as u64).sum();
        if !self.parts.iter().all(|part| part.version.active.table.has_room(payload_bytes * 2 + OVERHEAD_BYTES)) {
            return Err(Error::new(ErrorKind::Full, too_long(&self.wal_dir, first.lsn, last.lsn)));
        }
        let is_small = commits.len() < WORTH_SHARING && payload_bytes < WORTH_SHARING_BYTES;
        let opening = if is_small { Opening::default() } else { self.opening };
        let pieces = match self.parts.len() {
            1 => self.decode_and_insert(commits, opening)?,
            _ => {
                let pieces = self.decode(commits, opening)?;
                // The order of the log is that of the pieces.
                opening.all(self.parts.len(), |partition| {
                    pieces.iter().for_each(|piece| self.insert_piece(piece, partition));
                });
                pieces.iter().map(Piece::found).collect()
            }
        };
        for (records, time_ms) in pieces {
            self.progress.records += records;
            time_ms.into_iter().for_each(|time_ms| self.heard_of_time(time_ms));
        }
        Ok(())
    }

    /// Puts a piece's writes to a partition into its memtable.
    fn insert_piece(&self, piece: &Piece<'_>, partition: usize) {
        let table = &self.parts[partition].version.active.table;
        let writes = &piece.writes[partition];
        for (number, write) in writes.iter().enumerate() {
            if let Some(Write::Entry { hash, .. }) = writes.get(number + AHEAD) {
                table.prefetch(*hash);
            }
            match *write {
                Write::Entry { hash, key, lsn, entry } => table.insert(hash, key, lsn.0, entry),
                Write::DeleteRange { start, end, lsn } => table.delete_range(start, end, lsn.0),
            }
        }
    }

    /// For a single partition: decodes a piece while the one before it is put into the memtable. What the pieces say of themselves.
    fn decode_and_insert(&self, commits: &[&Record<'_>], opening: Opening<'_>) -> Result<Vec<(u64, Option<u64>)>> {
        let mut found = Vec::new();
        let mut before: Option<Piece<'_>> = None;
        let shares = commits.chunks(commits.len().div_ceil(STEPS)).map(Some).chain([None]);
        for share in shares {
            let done = opening.all(2, |number| match (number, &before, share) {
                (0, Some(piece), _) => {
                    self.insert_piece(piece, 0);
                    Ok(None)
                }
                (1, _, Some(share)) => self.decode_piece(share).map(Some),
                _ => Ok(None),
            });
            before = done.into_iter().collect::<Result<Vec<_>>>()?.into_iter().flatten().next();
            found.extend(before.as_ref().map(Piece::found));
        }
        Ok(found)
    }

    fn heard_of_time(&mut self, time_ms: u64) {
        self.time.is_used = true;
        self.time.replayed_ms = self.time.replayed_ms.max(time_ms);
    }

    /// Collects what a part writes. `before` is the record in front of it.
    fn stage(&mut self, record: &Record<'_>, before: Lsn) -> Result<()> {
        let follows = self.chain.part(record.lsn, before, record.payload);
        if follows.map_err(|what| self.corrupt(record.lsn, what))? == Follows::Nothing {
            self.staged = None;
        }
        if record.lsn <= self.applied_min {
            // Every tree has it: none claims to have a part before it has all of them.
            return Ok(());
        }
        let (account, spill) = &self.room;
        // What the log has was accepted once: no key is longer than a page.
        let empty = || Staged::new(self.router, usize::MAX, Arc::new(Pool::new(0)), account.share(), spill.clone());
        let mut staged = self.staged.take().unwrap_or_else(empty);
        for op in parts::ops(record.payload).map_err(|what| self.corrupt(record.lsn, what))? {
            match staged.write(&op) {
                Err(e) if matches!(e.kind(), ErrorKind::Full | ErrorKind::Memory) => {
                    // It was acknowledged, so it is not refused for that.
                    staged.hold_without_limit();
                    staged.write(&op)?;
                }
                written => written?,
            }
        }
        self.staged = Some(staged);
        Ok(())
    }

    /// Puts a large commit above what was replayed so far, in those partitions whose tree does not have it. `last` is the record in
    /// front of the one that completes it, `in_front` the one in front of its first part.
    fn lay(&mut self, record: &Record<'_>, last: Lsn, mut staged: Staged, in_front: Lsn) -> Result<()> {
        staged.finish()?;
        self.progress.records += 1;
        if staged.expires() {
            self.heard_of_time(record.time_ms);
        }
        let pool = Arc::new(Pool::new(0));
        for (partition, large) in staged.seal(record.lsn) {
            let part = &mut self.parts[partition];
            if part.checkpoint.applied < record.lsn {
                let empty = Arc::new(Memtable::with_pool(pool.clone()));
                part.version.lay(large, empty, last, record.lsn, in_front);
            }
        }
        Ok(())
    }

    /// As many pieces as there are partitions: that many can be worked on side by side anyway.
    fn decode<'a>(&self, commits: &[&Record<'a>], opening: Opening<'_>) -> Result<Vec<Piece<'a>>> {
        let share = commits.len().div_ceil(self.parts.len().min(commits.len())).max(1);
        let shares: Vec<_> = commits.chunks(share).collect();
        let decoded = opening.all(shares.len(), |number| self.decode_piece(shares[number]));
        decoded.into_iter().collect()
    }

    fn decode_piece<'a>(&self, commits: &[&Record<'a>]) -> Result<Piece<'a>> {
        let mut piece = Piece { writes: self.parts.iter().map(|_| Vec::new()).collect(), records: 0, time_ms: None };
        for record in commits {
            self.sort_out(record, &mut piece).map_err(|what| self.corrupt(record.lsn, what))?;
        }
        Ok(piece)
    }

    /// Adds a record's writes to those partitions whose tree does not have it.
    fn sort_out<'a>(&self, record: &Record<'a>, piece: &mut Piece<'a>) -> std::result::Result<(), &'static str> {
        let Record { lsn, payload, .. } = *record;
        let ops = if record.kind == RecordKind::Part { parts::ops(payload)? } else { batch::decode(payload)? };
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

fn too_long(wal_dir: &Path, first: Lsn, last: Lsn) -> String {
    format!(
        "{}: up to records {} to {} there is more to replay than a memtable can hold; `salvage` can read it",
        wal_dir.display(),
        first.0,
        last.0
    )
}
