//! Writing: one short sequencer section between preparation and the wait for durability.
//!
//! Before the section, outside any lock: keys and values are checked, the payload is encoded and its checksum computed,
//! memory and log space are reserved, conditions are read on a snapshot. In the section: entries younger than that
//! snapshot are looked at (visible or not), the number is assigned as the record enters the log's buffer, and the
//! entries go into the memtables, not yet visible. Nothing in the section waits, does I/O or runs a user's code. Afterwards the
//! writer waits for its group, leading it if nobody does; readers see the group when it is as durable as was asked.
//!
//! What this file does not do: it merges nothing. A writer that finds memory full is told so and waits elsewhere.

use crate::batch::{self, Op};
use crate::few::Few;
use crate::set::{PartitionSet, Shared};
use crate::snapshot::Snapshot;
use crate::version::{Layer, Newest, SetVersion};
use crate::{Batch, Result};
use halodb_memtable::{Entry, Life, Memtable};
use halodb_vfs::mutant;
use halodb_wal::{Durability, Lsn, Payload, Sequencer};
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// A condition on the state of one key just before the batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// The key must be absent.
    Absent,
    /// The key must be present.
    Present,
}

/// What a conditional commit did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Every condition held; the batch is committed under this number.
    Committed(Lsn),
    /// The first condition that failed, by index; nothing was written.
    Failed(usize),
}

/// What a range delete did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removal {
    /// Every condition held.
    Removed {
        /// Number of the commit.
        lsn: Lsn,
        /// Keys that were there just before.
        keys: u64,
    },
    /// The first condition that failed, by index; nothing was written.
    Failed(usize),
}

/// What a commit keeps for its caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pin {
    Nothing,
    /// The state just before it.
    Before,
}

/// A batch ready for the section: what goes where.
pub(crate) struct Prepared<'b> {
    ranges: Vec<(&'b [u8], Option<&'b [u8]>)>,
    entries: Few<Routed<'b>>,
    /// Partitions that the batch writes to.
    pub(crate) touched: Few<usize>,
}

impl PartitionSet {
    /// Commits a batch: as durable as `level` says and visible when it returns its number. An empty batch writes
    /// nothing and is answered with the last visible number.
    ///
    /// Cost: the batch is encoded, hashed and copied once; in the section a memtable insert per write; then the group's
    /// write, and at `Sync` its synchronisation, shared by all writers that wait.
    ///
    /// # Errors
    /// `InvalidInput` (nothing was done), `Full` (no disk space for the log; nothing was done), `Stalled` (memory is
    /// full: run jobs, try again; nothing was done), `Poisoned` (the outcome is unknown until the next open), `Closed`.
    pub fn commit(&self, batch: &Batch, level: Durability, now_ms: u64) -> Result<Lsn> {
        match self.commit_if(batch, &[], level, now_ms)? {
            Outcome::Committed(lsn) => Ok(lsn),
            Outcome::Failed(_) => unreachable!("there was no condition"),
        }
    }

    /// Commits a batch if every condition holds, judged and applied as one step between all other commits.
    ///
    /// A failed condition is answered when the entry it was judged by is as durable as `level` says.
    ///
    /// # Errors
    /// As [`PartitionSet::commit`]; also `Corrupt` and `Io` from reading the conditions' keys.
    pub fn commit_if(
        &self,
        batch: &Batch,
        conditions: &[(&[u8], Expect)],
        level: Durability,
        now_ms: u64,
    ) -> Result<Outcome> {
        Ok(self.commit_pinning(batch, conditions, level, now_ms, Pin::Nothing)?.0)
    }

    /// Removes the keys from `start` on and below `end` (none: to the last key) if every condition holds, and says how many
    /// there were just before. No other commit comes between.
    ///
    /// Cost: as [`PartitionSet::commit`] of one range delete, and then as [`Snapshot::count`](crate::Snapshot::count), outside the
    /// section.
    ///
    /// # Errors
    /// As [`PartitionSet::commit_if`]. If a page cannot be read, the keys are removed, but it is not known how many there
    /// were.
    pub fn delete_range(
        &self,
        (start, end): (&[u8], Option<&[u8]>),
        conditions: &[(&[u8], Expect)],
        level: Durability,
        now_ms: u64,
    ) -> Result<Removal> {
        let mut batch = Batch::new();
        batch.delete_range(start, end);
        match self.commit_pinning(&batch, conditions, level, now_ms, Pin::Before)? {
            (Outcome::Committed(lsn), Some(before)) => {
                let end = end.map_or(Bound::Unbounded, Bound::Excluded);
                Ok(Removal::Removed { lsn, keys: before.count(Bound::Included(start), end)? })
            }
            (Outcome::Committed(_), None) => unreachable!("a batch that is not empty is pinned"),
            (Outcome::Failed(number), _) => Ok(Removal::Failed(number)),
        }
    }

    /// As [`PartitionSet::commit_if`], with a view of the state just before, if it is wanted and something was committed.
    fn commit_pinning(
        &self,
        batch: &Batch,
        conditions: &[(&[u8], Expect)],
        level: Durability,
        now_ms: u64,
        pin: Pin,
    ) -> Result<(Outcome, Option<Snapshot>)> {
        let shared = &*self.shared;
        shared.ensure_writable()?;
        if pin == Pin::Nothing && batch.len_bytes() as u64 > shared.large_bytes() {
            let mut staged = shared.stage_batch(batch)?;
            return Ok((self.commit_staged(&mut staged, conditions, level, now_ms)?, None));
        }
        let ops = batch.ops();
        batch::validate(&ops, shared.max_key_len())?;
        let prepared = Prepared::new(shared, &ops);
        drop(ops);
        shared.begin_commit(batch.expires(), now_ms)?;
        let payload = Payload::new(batch.encode());
        let mut is_prepared = false;
        loop {
            shared.reserve_memory(&prepared.touched)?;
            // Without a condition nothing is read, and nothing to be pinned for that.
            let snapshot = (!conditions.is_empty()).then(|| shared.snapshot());
            let mut present = Vec::with_capacity(conditions.len());
            if let Some(snapshot) = &snapshot {
                for (key, _) in conditions {
                    present.push(snapshot.life(key)?);
                }
            }
            let mut section = shared.wal.sequence();
            shared.ensure_writable()?;
            // Mostly there is room. Else it is made outside; once more than what fits, ahead of whoever needs that.
            let has_room = if is_prepared { section.fits(&payload) } else { section.has_room(&payload) };
            if !batch.is_empty() && !has_room {
                drop(section);
                shared.wal.make_room(payload.record_len()).map_err(|e| shared.log_failed(e))?;
                is_prepared = true;
                continue;
            }
            let current = shared.versions.load();
            if snapshot.as_ref().is_some_and(|snapshot| current.floor > snapshot.lsn()) {
                // A merge took entries younger than the snapshot out of the memtables: read again.
                continue;
            }
            let seen = snapshot.as_ref().map_or(Lsn(0), Snapshot::lsn);
            let judged = judge(&current, shared, conditions, &present, seen);
            if let Some(lsn) = judged.again_after {
                drop(section);
                shared.wait_visible(lsn)?;
                continue;
            }
            if let Some(failed) = judged.failed {
                drop(section);
                shared.await_durable(judged.depends_on, level)?;
                return Ok((Outcome::Failed(failed), None));
            }
            if batch.is_empty() {
                drop(section);
                shared.await_durable(judged.depends_on, level)?;
                return Ok((Outcome::Committed(shared.snapshot().lsn()), None));
            }
            let Some(current) = shared.freeze_full(&mut section, current, &prepared.touched) else { continue };
            let lsn = shared.append(&mut section, &current, payload, &prepared, level, now_ms)?;
            // The memtables have all that is older by now, visible or not.
            let before = (pin == Pin::Before).then(|| shared.just_before(lsn));
            drop(section);
            shared.written(&prepared, now_ms);
            // What was judged need not be pinned while a disk is waited for.
            drop((current, snapshot));
            shared.acknowledge(lsn, level)?;
            return Ok((Outcome::Committed(lsn), before));
        }
    }
}

impl<'b> Prepared<'b> {
    pub(crate) fn new(shared: &Shared, ops: &[Op<'b>]) -> Self {
        let mut ranges = Vec::new();
        let mut route = |op: &Op<'b>| match *op {
            Op::DeleteRange(start, end) => {
                ranges.push((start, end));
                None
            }
            Op::Put(key, value) => Some(Routed::new(shared, key, Entry::Value(value))),
            Op::PutUntil(key, value, at_ms) => Some(Routed::new(shared, key, Entry::Expiring(value, at_ms))),
            Op::Delete(key) => Some(Routed::new(shared, key, Entry::Tombstone)),
        };
        let entries = match ops {
            [op] => route(op).map_or(Few::Many(Vec::new()), Few::One),
            ops => {
                let mut entries = Vec::with_capacity(ops.len());
                entries.extend(ops.iter().filter_map(route));
                Few::Many(entries)
            }
        };
        let touched = match &entries {
            Few::One(entry) if ranges.is_empty() => Few::One(entry.partition),
            entries => {
                let mut touched = vec![!ranges.is_empty(); shared.partitions.len()];
                entries.iter().for_each(|entry| touched[entry.partition] = true);
                touched.iter().enumerate().filter_map(|(i, &t)| t.then_some(i)).collect()
            }
        };
        Self { ranges, entries, touched }
    }

    /// Puts the writes into the active memtables, range deletes first.
    fn insert(&self, version: &SetVersion, lsn: Lsn) {
        for (start, end) in &self.ranges {
            for part in &version.parts {
                part.active.table.delete_range(start, *end, lsn.0);
            }
        }
        for &Routed { partition, hash, key, entry } in self.entries.iter() {
            version.parts[partition].active.table.insert(hash, key, lsn.0, entry);
        }
    }
}

/// A write to one key, and where it goes.
#[derive(Clone, Copy)]
struct Routed<'b> {
    partition: usize,
    hash: u64,
    key: &'b [u8],
    entry: Entry<'b>,
}

impl<'b> Routed<'b> {
    fn new(shared: &Shared, key: &'b [u8], entry: Entry<'b>) -> Self {
        let hash = shared.router.hash(key);
        Self { partition: shared.router.partition_of_hash(hash), hash, key, entry }
    }
}

pub(crate) struct Judged {
    pub(crate) failed: Option<usize>,
    /// The youngest entry that the judgement rests on.
    pub(crate) depends_on: Lsn,
    /// The commit of a run that is younger than the look outside: to be looked at outside, once it is visible.
    pub(crate) again_after: Option<Lsn>,
}

/// Judges conditions in the section, where no file is read: what is younger than the snapshot, which was taken through `seen`, is
/// in the memtables, visible or not, or in a run that is; and what has expired by now is absent.
pub(crate) fn judge(
    current: &SetVersion,
    shared: &Shared,
    conditions: &[(&[u8], Expect)],
    present: &[Life],
    seen: Lsn,
) -> Judged {
    let now_ms = shared.clock.now_ms();
    let mut judged = Judged { failed: None, depends_on: Lsn(0), again_after: None };
    for (i, ((key, expect), before)) in conditions.iter().zip(present).enumerate() {
        let hash = shared.router.hash(key);
        let part = &current.parts[shared.router.partition_of_hash(hash)];
        let life = match part.newest_in_memory(hash, key) {
            Newest::Found(found) => {
                judged.depends_on = judged.depends_on.max(Lsn(found.seq));
                found.entry.life()
            }
            Newest::Run(lsn) if lsn > seen => {
                judged.again_after = Some(lsn);
                break;
            }
            Newest::Run(lsn) => {
                judged.depends_on = judged.depends_on.max(lsn);
                *before
            }
            Newest::Absent => *before,
        };
        if life.is_live(now_ms) != (*expect == Expect::Present) {
            judged.failed = Some(i);
            break;
        }
    }
    judged
}

impl Shared {
    /// Waits until the entry with this number, visible or not when it was looked at, is settled and as durable as `level`
    /// says: an answer that rests on it must not be taken back by what the caller asked to survive.
    pub(crate) fn await_durable(&self, lsn: Lsn, level: Durability) -> Result<()> {
        if lsn == Lsn(0) {
            // The answer rests on a tree, and so on what is durable.
            return Ok(());
        }
        self.wal.wait(lsn, level).map_err(|e| self.log_failed(e))
    }

    /// In the section: the state just before a record that was appended in it.
    fn just_before(&self, lsn: Lsn) -> Snapshot {
        Snapshot::new(self.versions.load(), Lsn(lsn.0 - 1), self.clock.now_ms(), self.router)
    }

    /// In the section: the record, and its entries, not yet visible. `current` was the version at some moment in this section: the
    /// active memtables change in none but this one.
    #[inline]
    pub(crate) fn append(
        &self,
        section: &mut Sequencer<'_>,
        current: &SetVersion,
        payload: Payload<'_>,
        prepared: &Prepared<'_>,
        level: Durability,
        now_ms: u64,
    ) -> Result<Lsn> {
        // The record first: if the log refuses it, no entry may be left under a number that the next record gets.
        // It cannot settle, and so not be seen without its entries, before the section is left.
        let time_ms = self.clock.of_record(now_ms);
        let lsn = section.append(payload, time_ms, level).map_err(|e| self.log_failed(e))?;
        self.touch();
        self.last_commit.store(lsn.0, Ordering::Release);
        prepared.insert(current, lsn);
        Ok(lsn)
    }

    /// After the section: when the partitions were last written to.
    #[inline]
    pub(crate) fn written(&self, prepared: &Prepared<'_>, now_ms: u64) {
        for &partition in prepared.touched.iter() {
            self.partitions[partition].last_write_ms.store(now_ms, Ordering::Relaxed);
        }
    }

    /// Waits until a commit is visible and as durable as its level says, and counts it.
    #[inline]
    pub(crate) fn acknowledge(&self, lsn: Lsn, level: Durability) -> Result<()> {
        self.wal.wait(lsn, level).map_err(|e| self.log_failed(e))?;
        self.counters.commits.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// In the section: freezes the full memtables among `touched`. The version afterwards; `None` if one is full and cannot be frozen.
    #[inline]
    pub(crate) fn freeze_full(
        &self,
        section: &mut Sequencer<'_>,
        current: Arc<SetVersion>,
        touched: &[usize],
    ) -> Option<Arc<SetVersion>> {
        let is_full = |partition: usize| current.parts[partition].active.table.size_bytes() >= self.freeze_bytes();
        if !touched.iter().any(|&partition| is_full(partition)) {
            return Some(current);
        }
        for &partition in touched.iter().filter(|&&partition| is_full(partition)) {
            if current.parts[partition].has_frozen_writes() {
                return None;
            }
            self.freeze(section, partition);
        }
        Some(self.versions.load())
    }

    /// In the section, between two numbers: puts a new memtable in the place of the active one, if that holds anything.
    ///
    /// Its last number is the last one that was *given out*. The one before the next may lie in the gap that a crash
    /// left, where no record is: nothing could wait for it, and a tree that claimed it would be ahead of its log.
    pub(crate) fn freeze(&self, section: &mut Sequencer<'_>, partition: usize) {
        // A planted fault claims the record that comes next.
        let last = if mutant("partition.freeze-too-far") { section.next() } else { self.wal.appended() };
        self.versions.replace(partition, Lsn(0), |part| {
            if !part.active.table.is_empty() {
                let table = Arc::new(Memtable::with_pool(self.pool.clone()));
                let next = Layer::active(table, part.active.number + 1);
                let full = std::mem::replace(&mut part.active, next);
                part.frozen.insert(0, full.frozen(last));
            }
        });
        self.size_memtables();
    }
}
