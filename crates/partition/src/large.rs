//! Large commits: parts in the log, one record that decides, a layer of their own.
//!
//! ```text
//! log     …  part part part  other commits …  part commit  …
//!            '- id                            '- the number of all its writes
//! layers  [active] [the commit's tables] [what was active before] [frozen …] [tree]
//! ```
//!
//! Outside the section the writes go to the log as parts of bounded size: ordinary records with numbers of their own, which
//! make nothing visible. In the section the conditions are judged, the part commit gets its number, and the tables in which the
//! writes were collected become layers as they are, above what is older and under a new active memtable: so the order of layers
//! is the order of numbers, and whoever reads, counts, validates or merges meets memtables as ever; or runs, where the writes found no
//! room in memory (`run.rs`), which nobody reads in the section.
//!
//! **What the log keeps.** A tree's position (`applied`) says that everything up to it is in the tree. While a large commit is
//! undecided, or decided and not merged, no tree under it claims to be beyond the record in front of its first part
//! ([`Large::holds`], [`Layer::holds`](crate::version::Layer)). So the log is kept from there on, and a replay meets all parts
//! or none. A commit that is refused or fails lifts that again; its parts are left in the log, and whoever reads it lets them go.
//!
//! One large commit at a time is on its way: the others wait before their first part.
//!
//! What this file does not do: it collects no writes (`staged.rs`), and does not know the bytes of parts (`parts.rs`).

use crate::commit::{self, Expect, Outcome};
use crate::parts::PartCommit;
use crate::reads::ReadSet;
use crate::set::{PartitionSet, Shared};
use crate::snapshot::Snapshot;
use crate::staged::Staged;
use crate::sync::{AtomicU64, Mutex};
use crate::validate::{Inside, Trial, Validated};
use crate::version::Layer;
use crate::{Batch, Error, ErrorKind, Result};
use halodb_memtable::{Entry, Life, Memtable};
use halodb_vfs::mutant;
use halodb_wal::{Durability, Lsn, Payload, RecordKind, Sequencer};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Most bytes of a part, about.
const PART_BYTES: u64 = 1 << 20;
/// Parts of a commit that is just large enough to have some.
const LEAST_PARTS: u64 = 4;
/// Frozen memtables of a partition that a large commit does not wait for, whatever they hold.
const FEW_FROZEN: usize = 1;
/// As many are never exceeded: each is one more look for every read.
const MOST_FROZEN: usize = 8;

/// The large commit that is on its way into the log.
#[derive(Debug)]
pub(crate) struct Large {
    /// Held from before the first part until it is decided.
    alone: Mutex<()>,
    /// The last record in front of the first part of one that is undecided; `u64::MAX`: there is none.
    holds: AtomicU64,
}

impl Default for Large {
    fn default() -> Self {
        Self { alone: Mutex::new(()), holds: AtomicU64::new(u64::MAX) }
    }
}

impl Large {
    /// No tree may claim to be farther in the log than this.
    pub(crate) fn holds(&self) -> Lsn {
        Lsn(self.holds.load(Ordering::Acquire))
    }
}

/// What a commit rests on.
enum Terms<'t> {
    Conditions(&'t [(&'t [u8], Expect)]),
    Reads(Trial<'t>),
}

/// What it came to.
enum Verdict {
    Committed(Lsn),
    Failed(usize),
    Refused(Validated),
}

impl PartitionSet {
    /// Commits staged writes if every condition holds: all of them under one number, visible and as durable as `level` says
    /// when it returns. Nothing is left staged then.
    ///
    /// Cost: the writes are encoded and hashed once, in pieces of at most 1 MiB or one write, which are handed to the system as
    /// they are made; the section is short however many there are. Their memory is theirs until they are merged.
    ///
    /// # Errors
    /// As [`PartitionSet::commit_if`]; after `Stalled` what was staged still is, and it may be tried again.
    pub fn commit_staged(
        &self,
        staged: &mut Staged,
        conditions: &[(&[u8], Expect)],
        level: Durability,
        now_ms: u64,
    ) -> Result<Outcome> {
        if staged.is_empty() {
            return self.commit_if(&Batch::new(), conditions, level, now_ms);
        }
        match self.commit_large(staged, Terms::Conditions(conditions), level, now_ms)? {
            Verdict::Committed(lsn) => Ok(Outcome::Committed(lsn)),
            Verdict::Failed(number) => Ok(Outcome::Failed(number)),
            Verdict::Refused(_) => unreachable!("nothing was read"),
        }
    }

    /// Commits staged writes if nothing that `reads` holds was written after the snapshot, as
    /// [`PartitionSet::commit_validated`] does with a batch.
    ///
    /// # Errors
    /// As [`PartitionSet::commit_staged`].
    pub fn commit_staged_validated(
        &self,
        staged: &mut Staged,
        snapshot: &Snapshot,
        reads: &ReadSet,
        level: Durability,
        now_ms: u64,
    ) -> Result<Validated> {
        if staged.is_empty() {
            return Ok(Validated::Committed(snapshot.lsn()));
        }
        let trial = Trial::new(&self.shared, snapshot, reads);
        match self.commit_large(staged, Terms::Reads(trial), level, now_ms)? {
            Verdict::Committed(lsn) => Ok(Validated::Committed(lsn)),
            Verdict::Refused(answer) => Ok(answer),
            Verdict::Failed(_) => unreachable!("there was no condition"),
        }
    }

    fn commit_large(
        &self,
        staged: &mut Staged,
        mut terms: Terms<'_>,
        level: Durability,
        now_ms: u64,
    ) -> Result<Verdict> {
        let shared = &*self.shared;
        shared.ensure_writable()?;
        shared.begin_commit(staged.expires(), now_ms)?;
        staged.finish()?;
        let touched = staged.touched();
        let alone = shared.large.alone.lock();
        shared.reserve_layers(&touched, staged.memory_bytes())?;
        let mut parts: Option<Written<'_>> = None;
        loop {
            let outside = shared.look_outside(&mut terms)?;
            if let Outside::Refused(answer) = outside {
                return Ok(Verdict::Refused(answer));
            }
            let commit = parts.as_ref().map(|parts| Payload::new(parts.sum.encode()));
            if let Some(commit) = &commit {
                shared.wal.make_room(commit.record_len()).map_err(|e| shared.log_failed(e))?;
            }
            let mut section = shared.wal.sequence();
            shared.ensure_writable()?;
            if commit.as_ref().is_some_and(|commit| !section.fits(commit)) {
                continue;
            }
            match shared.judge_inside(&mut terms, outside) {
                Judgement::Clear => {}
                Judgement::Again => continue,
                Judgement::AgainAfter(lsn) => {
                    drop(section);
                    shared.wait_visible(lsn)?;
                    continue;
                }
                Judgement::Refused(answer) => return Ok(Verdict::Refused(answer)),
                Judgement::Failed { number, depends_on } => {
                    drop(section);
                    shared.await_durable(depends_on, level)?;
                    return Ok(Verdict::Failed(number));
                }
            }
            // What would be refused now is refused without a byte in the log; afterwards it is judged again.
            let Some((commit, written)) = commit.zip(parts.as_mut()) else {
                drop(section);
                parts = Some(shared.write_parts(staged, now_ms)?);
                continue;
            };
            let last = section.last();
            let lsn = shared.decide(&mut section, commit, level, now_ms)?;
            // A planted fault leaves the section before the layers are where readers look.
            let late = mutant("partition.layers-late");
            if !late {
                shared.lay(staged, last, lsn, written);
            }
            drop(section);
            if late {
                shared.lay(staged, last, lsn, written);
            }
            if let Some((payload, now_ms)) = written.late.take() {
                shared.append_part(written, payload, now_ms)?;
            }
            // The next one may write its parts while this one waits for its disk.
            drop((parts.take(), alone));
            for &partition in &touched {
                shared.partitions[partition].last_write_ms.store(now_ms, Ordering::Relaxed);
            }
            shared.acknowledge(lsn, level)?;
            return Ok(Verdict::Committed(lsn));
        }
    }
}

/// What a look outside the section found.
enum Outside {
    /// The state of the conditions' keys in a snapshot.
    Seen(Snapshot, Vec<Life>),
    Clear,
    Refused(Validated),
}

/// What the look in the section came to.
enum Judgement {
    Clear,
    Again,
    /// As soon as the commit with this number is visible.
    AgainAfter(Lsn),
    Refused(Validated),
    Failed {
        number: usize,
        depends_on: Lsn,
    },
}

impl Shared {
    /// Refuses with `Stalled` if memory holds as many unmerged memtables as it should, or has no room for so many bytes more of them.
    fn reserve_layers(&self, touched: &[usize], bytes: u64) -> Result<()> {
        if self.is_full_of_layers(bytes) {
            self.counters.stalls.fetch_add(1, Ordering::Relaxed);
            let what = format!("earlier commits leave no memory for one of {bytes} bytes until they are merged");
            return Err(Error::new(ErrorKind::Stalled, what));
        }
        let current = self.versions.load();
        let full = touched.iter().find(|&&partition| {
            let frozen = &current.parts[partition].frozen;
            // What lies in runs takes no memory; but readers look at them, and the disk has them twice.
            let of_run = |layer: &Layer| layer.run.as_ref().map_or(0, |run| run.file_bytes());
            let bytes = || frozen.iter().map(|layer| layer.table.size_bytes() + of_run(layer)).sum::<u64>();
            frozen.len() > FEW_FROZEN && (frozen.len() > MOST_FROZEN || bytes() >= self.freeze_bytes())
        });
        let Some(partition) = full else { return Ok(()) };
        self.counters.stalls.fetch_add(1, Ordering::Relaxed);
        let what = format!("earlier large commits to partition {partition} are not merged yet");
        Err(Error::new(ErrorKind::Stalled, what))
    }

    fn look_outside(&self, terms: &mut Terms<'_>) -> Result<Outside> {
        match terms {
            Terms::Conditions([]) => Ok(Outside::Clear),
            Terms::Conditions(conditions) => {
                let snapshot = self.snapshot();
                let lives = conditions.iter().map(|(key, _)| snapshot.life(key)).collect::<Result<_>>()?;
                Ok(Outside::Seen(snapshot, lives))
            }
            Terms::Reads(trial) => Ok(trial.outside()?.map_or(Outside::Clear, Outside::Refused)),
        }
    }

    fn judge_inside(&self, terms: &mut Terms<'_>, outside: Outside) -> Judgement {
        match (terms, outside) {
            (Terms::Conditions(conditions), Outside::Seen(snapshot, lives)) => {
                let current = self.versions.load();
                if current.floor > snapshot.lsn() {
                    // A merge took entries younger than the snapshot out of the memtables: read again.
                    return Judgement::Again;
                }
                let judged = commit::judge(&current, self, conditions, &lives, snapshot.lsn());
                if let Some(lsn) = judged.again_after {
                    return Judgement::AgainAfter(lsn);
                }
                let failed = |number| Judgement::Failed { number, depends_on: judged.depends_on };
                judged.failed.map_or(Judgement::Clear, failed)
            }
            (Terms::Reads(trial), _) => match trial.inside() {
                Inside::Clear => Judgement::Clear,
                Inside::Again => Judgement::Again,
                Inside::Refused(answer) => Judgement::Refused(answer),
            },
            (Terms::Conditions(_), _) => Judgement::Clear,
        }
    }

    /// Writes what is staged to the log, as parts.
    fn write_parts(&self, staged: &Staged, now_ms: u64) -> Result<Written<'_>> {
        let mut written = Written { shared: self, sum: PartCommit::default(), before: Lsn(0), late: None };
        let part_bytes = (self.large_bytes() / LEAST_PARTS).clamp(1, PART_BYTES) as usize;
        let mut part = Batch::new();
        for (start, end) in staged.ranges().iter() {
            part.delete_range(start, end);
            self.write_part_of(&mut written, &mut part, part_bytes, now_ms)?;
        }
        let mut failed = Ok(());
        staged.writes(|key, entry| {
            match entry {
                Entry::Value(value) => part.put(key, value),
                Entry::Expiring(value, at_ms) => part.put_until(key, value, at_ms),
                Entry::Tombstone => part.delete(key),
            }
            failed = self.write_part_of(&mut written, &mut part, part_bytes, now_ms);
            failed.is_ok()
        })?;
        failed?;
        if !part.is_empty() {
            let payload = written.sum.part(&part);
            // A planted fault writes the last part behind the commit.
            if mutant("partition.commit-before-parts") && written.sum.parts > 0 {
                written.sum.add(Lsn(0), &payload);
                written.late = Some((payload, now_ms));
            } else {
                self.append_part(&mut written, payload, now_ms)?;
            }
        }
        Ok(written)
    }

    /// Writes a part if it is long enough, and empties it.
    #[inline]
    fn write_part_of(&self, written: &mut Written<'_>, part: &mut Batch, part_bytes: usize, now_ms: u64) -> Result<()> {
        if part.len_bytes() < part_bytes {
            return Ok(());
        }
        let payload = written.sum.part(part);
        part.clear();
        self.append_part(written, payload, now_ms)
    }

    fn append_part(&self, written: &mut Written<'_>, payload: Vec<u8>, now_ms: u64) -> Result<()> {
        let mut sum = written.sum;
        let payload = Payload::new(payload);
        loop {
            self.wal.make_room(payload.record_len()).map_err(|e| self.log_failed(e))?;
            let mut section = self.wal.sequence();
            self.ensure_writable()?;
            if !section.fits(&payload) {
                continue;
            }
            if sum.parts == 0 {
                // Before the part has a number: no tree may claim it.
                written.before = section.last();
                self.large.holds.store(written.before.0, Ordering::Release);
            }
            sum.add(section.next(), payload.bytes());
            let time_ms = self.clock.of_record(now_ms);
            let lsn = section.append_as(RecordKind::Part, payload, time_ms, Durability::Memory);
            let lsn = lsn.map_err(|e| self.log_failed(e))?;
            self.touch();
            written.sum = sum;
            drop(section);
            // Nobody needs it to be durable yet; but the log's buffer is bounded.
            return self.wal.wait(lsn, Durability::Memory).map_err(|e| self.log_failed(e));
        }
    }

    /// In the section: the record that decides. It may be refused, so nothing is laid before; and it cannot settle before the
    /// section is left.
    fn decide(&self, section: &mut Sequencer<'_>, commit: Payload<'_>, level: Durability, now_ms: u64) -> Result<Lsn> {
        let time_ms = self.clock.of_record(now_ms);
        let lsn = section.append_as(RecordKind::PartCommit, commit, time_ms, level).map_err(|e| self.log_failed(e))?;
        self.touch();
        self.last_commit.store(lsn.0, Ordering::Release);
        Ok(lsn)
    }

    /// In the section, after the record that decides: the tables as layers. `last` is the number in front of that record.
    fn lay(&self, staged: &mut Staged, last: Lsn, lsn: Lsn, written: &Written<'_>) {
        // A planted fault shows each partition's layer at once, whatever of the others is there and durable.
        let floor = if mutant("partition.layers-at-once") { lsn } else { Lsn(0) };
        for (partition, large) in staged.seal(lsn) {
            let active = &self.versions.load().parts[partition].active;
            if active.table.is_empty() {
                // Nothing was written to it, and nothing will be: whoever validates has to know that.
                self.evidence.keep(partition, &active.clone().frozen(lsn), self.evidence_bytes());
            }
            let empty = Arc::new(Memtable::with_pool(self.pool.clone()));
            self.versions.replace(partition, floor, |part| part.lay(large, empty, last, lsn, written.before));
        }
        self.size_memtables();
        // The layers hold the log from here on.
        written.lift();
    }
}

/// Parts that are in the log, undecided. Dropped, they are given up.
struct Written<'s> {
    shared: &'s Shared,
    sum: PartCommit,
    /// The last record in front of them.
    before: Lsn,
    /// Of a planted fault: the last part, which is not in the log yet.
    late: Option<(Vec<u8>, u64)>,
}

impl Written<'_> {
    /// Trees may claim as much as their layers let them.
    fn lift(&self) {
        self.shared.large.holds.store(u64::MAX, Ordering::Release);
    }
}

impl Drop for Written<'_> {
    fn drop(&mut self) {
        self.lift();
    }
}
