//! Committing on the strength of what was read: backward validation against whatever was written since.
//!
//! A transaction reads a snapshot and remembers what it looked at ([`ReadSet`]). Its commit goes through if nothing of that
//! was written after the snapshot's number, *visible or not*: then its reads are what they would be just before its own
//! number, and the numbers are a serial order (backward validation: Kung and Robinson, 1981). A write in flight, which
//! waits for its disk, counts like any other; it has its number, and so comes before.
//!
//! Validation outside the section looks at everything younger than the snapshot; inside it only what has come since,
//! which is read in the order of arrival. If that is much, another round outside is made first.
//!
//! What this file does not do: it keeps no evidence and does not try again.

use crate::batch;
use crate::commit::Prepared;
use crate::reads::ReadSet;
use crate::run::Run;
use crate::set::{PartitionSet, Shared};
use crate::snapshot::Snapshot;
use crate::version::SetVersion;
use crate::{Batch, Result};
use halodb_memtable::{Memtable, Moment, Touched};
use halodb_vfs::mutant;
use halodb_wal::{Durability, Lsn, Payload};
use std::sync::atomic::Ordering;

/// What a validated commit did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Validated {
    /// Nothing read was written since the snapshot; the batch is committed under this number. Of an empty batch: the
    /// snapshot's own number.
    Committed(Lsn),
    /// Something read was written since, by the commit of this number; or has expired: then it is the snapshot's. Nothing was done. That commit may not be visible
    /// yet: [`PartitionSet::wait_visible`] before another attempt, or that will meet it again.
    Conflict(Lsn),
    /// So much was written since the snapshot that it is not known any more what. Nothing was done.
    TooOld,
}

/// Writes that may be looked at in the section; more are looked at outside first.
const IN_SECTION: usize = 256;
/// Rounds outside, after which the section takes as long as it takes.
const ROUNDS: u32 = 8;
/// How often time may go on between a look at what has expired and the section, until that is called a conflict.
const MOST_TICKS: u32 = 16;

/// How far a partition's writes have been looked at: everything before is no conflict.
#[derive(Clone, Copy, Debug)]
struct Seen {
    /// Number of the memtable.
    table: u64,
    /// `None`: nothing of it.
    until: Option<Moment>,
}

/// What one look came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Look {
    Clear,
    Conflict(Lsn),
    TooOld,
    /// There is more to look at than was allowed, or something that is not looked at here.
    Much,
}

/// Where a look takes place. In the section no file is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Outside,
    Section,
}

impl PartitionSet {
    /// Commits a batch if nothing that `reads` holds was written after the snapshot: no key by a put or a delete, and no key
    /// of a range, there or not; and if nothing of it has expired since the snapshot was taken. Judged and applied as one step between all other commits, whether these are visible yet
    /// or not; as durable as `level` says, and visible, when it returns its number. An empty batch is not judged: what was
    /// read was all true at the snapshot's number.
    ///
    /// Cost beside [`PartitionSet::commit`]: a lookup in each memtable for each key read, if no range was; else a look at what
    /// was written since the snapshot, and at no more than 1 MiB that is older.
    ///
    /// # Errors
    /// As [`PartitionSet::commit`].
    pub fn commit_validated(
        &self,
        batch: &Batch,
        snapshot: &Snapshot,
        reads: &ReadSet,
        level: Durability,
        now_ms: u64,
    ) -> Result<Validated> {
        let shared = &*self.shared;
        shared.ensure_writable()?;
        if batch.len_bytes() as u64 > shared.large_bytes() {
            let mut staged = shared.stage_batch(batch)?;
            return self.commit_staged_validated(&mut staged, snapshot, reads, level, now_ms);
        }
        let ops = batch.ops();
        batch::validate(&ops, shared.max_key_len())?;
        if batch.is_empty() {
            return Ok(Validated::Committed(snapshot.lsn()));
        }
        let prepared = Prepared::new(shared, &ops);
        drop(ops);
        let payload = Payload::new(batch.encode());
        shared.begin_commit(batch.expires(), now_ms)?;
        let mut trial = Trial::new(shared, snapshot, reads);
        loop {
            shared.reserve_memory(&prepared.touched)?;
            shared.wal.make_room(payload.record_len()).map_err(|e| shared.log_failed(e))?;
            if let Some(answer) = trial.outside()? {
                return Ok(answer);
            }
            let mut section = shared.wal.sequence();
            shared.ensure_writable()?;
            if !section.fits(&payload) {
                continue;
            }
            match trial.inside() {
                Inside::Clear => {}
                Inside::Again => continue,
                Inside::Refused(answer) => return Ok(answer),
            }
            let current = shared.versions.load();
            let Some(current) = shared.freeze_full(&mut section, current, &prepared.touched) else { continue };
            let lsn = shared.append(&mut section, &current, payload, &prepared, level, now_ms)?;
            drop(section);
            shared.written(&prepared, now_ms);
            shared.acknowledge(lsn, level)?;
            return Ok(Validated::Committed(lsn));
        }
    }

    /// Waits until everything up to a number is visible, however durable it is.
    ///
    /// # Errors
    /// `Poisoned`; `InvalidInput` if the number was never given, `Lost` if a crash took it.
    pub fn wait_visible(&self, lsn: Lsn) -> Result<()> {
        self.shared.wait_visible(lsn)
    }
}

impl Shared {
    /// See [`PartitionSet::wait_visible`].
    pub(crate) fn wait_visible(&self, lsn: Lsn) -> Result<()> {
        self.wal.wait(lsn, Durability::Memory).map_err(|e| self.log_failed(e))
    }

    fn refused(&self, look: Look) -> Option<Validated> {
        let answer = match look {
            Look::Conflict(lsn) => Validated::Conflict(lsn),
            Look::TooOld => Validated::TooOld,
            Look::Clear | Look::Much => return None,
        };
        self.counters.conflicts.fetch_add(1, Ordering::Relaxed);
        Some(answer)
    }
}

/// What the look in the section came to.
pub(crate) enum Inside {
    Clear,
    /// Another round outside is due.
    Again,
    Refused(Validated),
}

/// The judgement of one commit, in rounds: outside the section, then in it.
pub(crate) struct Trial<'v> {
    validation: Validation<'v>,
    rounds: u32,
    ticks: u32,
    /// The engine's time of the last round outside.
    time_ms: u64,
}

impl<'v> Trial<'v> {
    pub(crate) fn new(shared: &'v Shared, snapshot: &'v Snapshot, reads: &'v ReadSet) -> Self {
        Self { validation: Validation::new(shared, snapshot, reads), rounds: 0, ticks: 0, time_ms: 0 }
    }

    /// Outside the section: looks at all that has come. The answer, if it is refused.
    pub(crate) fn outside(&mut self) -> Result<Option<Validated>> {
        let Validation { shared, snapshot, reads, .. } = self.validation;
        if let Some(answer) =
            shared.refused(self.validation.look(&shared.versions.load(), usize::MAX, Place::Outside)?)
        {
            return Ok(Some(answer));
        }
        self.rounds += 1;
        // Read outside the section, and so for a time that must be the commit's own.
        self.time_ms = shared.clock.now_ms();
        let is_late = self.ticks > MOST_TICKS || snapshot.has_lapsed(reads, self.time_ms)?;
        Ok(if is_late { shared.refused(Look::Conflict(snapshot.lsn())) } else { None })
    }

    /// In the section: looks at what has come since.
    pub(crate) fn inside(&mut self) -> Inside {
        let shared = self.validation.shared;
        if shared.clock.now_ms() != self.time_ms {
            self.ticks += 1;
            return Inside::Again;
        }
        let allowed = if self.rounds < ROUNDS { IN_SECTION } else { usize::MAX };
        // Here no file is read, and so nothing fails.
        let look = self.validation.look(&shared.versions.load(), allowed, Place::Section);
        match look.unwrap_or(Look::Much) {
            Look::Much => Inside::Again,
            look => shared.refused(look).map_or(Inside::Clear, Inside::Refused),
        }
    }
}

/// One commit's validation: goes on from where it was.
struct Validation<'v> {
    shared: &'v Shared,
    snapshot: &'v Snapshot,
    reads: &'v ReadSet,
    seen: Vec<Seen>,
}

impl<'v> Validation<'v> {
    fn new(shared: &'v Shared, snapshot: &'v Snapshot, reads: &'v ReadSet) -> Self {
        let oldest = |part: &crate::version::PartVersion| part.layers().last().map_or(0, |layer| layer.number);
        let seen = snapshot.parts().iter().map(|part| Seen { table: oldest(part), until: None }).collect();
        Self { shared, snapshot, reads, seen }
    }

    /// Looks at what it has not seen, up to so many writes, and remembers how far it came if all is clear.
    fn look(&mut self, current: &SetVersion, allowed: usize, place: Place) -> Result<Look> {
        let mut left = allowed;
        for (partition, part) in current.parts.iter().enumerate() {
            let mut seen = self.seen[partition];
            let of_snapshot = &self.snapshot.parts()[partition];
            let Some(tables) = self.shared.evidence.since(partition, seen.table, of_snapshot, part) else {
                return Ok(Look::TooOld);
            };
            for layer in tables {
                let from = seen.until.filter(|_| layer.number == seen.table);
                let to = layer.table.now();
                let mut look = self.look_at(partition, &layer.table, from, to, &mut left);
                // A run never changes: what was looked at once is known.
                if let (Look::Clear, None, Some(run)) = (look, from, &layer.run) {
                    look = self.look_at_run(partition, run, layer.last, place)?;
                }
                if look != Look::Clear {
                    return Ok(look);
                }
                seen = Seen { table: layer.number, until: Some(to) };
            }
            self.seen[partition] = seen;
        }
        Ok(Look::Clear)
    }

    /// Looks at a run, whose entries have the number `lsn`.
    fn look_at_run(&self, partition: usize, run: &Run, lsn: Lsn, place: Place) -> Result<Look> {
        let is_settled = || lsn <= self.shared.wal.settled();
        let is_overlooked = mutant("partition.validate-visible-only") && !is_settled();
        if lsn <= self.snapshot.lsn() || is_overlooked || mutant("partition.validate-ignores-runs") {
            return Ok(Look::Clear);
        }
        if place == Place::Section {
            return Ok(Look::Much);
        }
        let router = self.snapshot.router();
        for key in self.reads.keys() {
            let hash = router.hash(key);
            if router.partition_of_hash(hash) == partition && run.get(hash, key)?.is_some() {
                return Ok(Look::Conflict(lsn));
            }
        }
        if !mutant("partition.validate-without-ranges") {
            for (start, end) in self.reads.ranges() {
                if run.meets(start, end)? {
                    return Ok(Look::Conflict(lsn));
                }
            }
        }
        Ok(Look::Clear)
    }

    fn look_at(&self, partition: usize, table: &Memtable, from: Option<Moment>, to: Moment, left: &mut usize) -> Look {
        let after = self.snapshot.lsn();
        if table.last_seq() <= after.0 || from == Some(to) {
            return Look::Clear;
        }
        // A planted fault overlooks the group in flight.
        let before = if mutant("partition.validate-visible-only") { self.shared.wal.settled() } else { Lsn(u64::MAX) };
        let counts = |seq: u64| seq > after.0 && seq <= before.0;
        let mut found = Look::Clear;
        if from.is_none() && *left == usize::MAX && !self.reads.has_ranges() {
            // Before the moment, and so in the index.
            let router = self.snapshot.router();
            let newest = |key: &[u8]| {
                let hash = router.hash(key);
                let is_here = router.partition_of_hash(hash) == partition;
                if is_here { table.newest(hash, key).map(|newest| newest.seq) } else { None }
            };
            let conflict = self.reads.keys().filter_map(newest).find(|&seq| counts(seq));
            return conflict.map_or(Look::Clear, |seq| Look::Conflict(Lsn(seq)));
        }
        let from = from.unwrap_or_else(|| table.moment_before(after.0));
        // A planted fault takes note of the keys that were there, and not of those that were not.
        let phantoms = mutant("partition.validate-without-ranges");
        table.touched_between(from, to, |seq, touched| {
            if *left == 0 {
                found = Look::Much;
                return false;
            }
            *left = left.saturating_sub(usize::from(*left != usize::MAX));
            let was_read = match touched {
                Touched::Key(key) if phantoms => self.reads.has_key(key),
                Touched::Key(key) => self.reads.covers(key),
                Touched::Range(range) => self.reads.meets(&range.start, range.end.as_deref()),
            };
            if counts(seq) && was_read {
                found = Look::Conflict(Lsn(seq));
            }
            found == Look::Clear
        });
        found
    }
}
