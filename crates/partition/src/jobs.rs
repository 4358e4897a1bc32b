//! Background work as jobs: what is due, most urgent first. Nothing here starts a thread; a job runs where it is run.
//!
//! Order of urgency: a frozen memtable (writers may be waiting for it) · the partition that holds back the log, when the
//! log is beyond its limit · a memtable that nobody wrote to for the idle time · a tree with something that has expired · a page file with much free space, of a
//! partition without anything to merge. A partition has at most one job at a time.

use crate::Result;
use crate::set::{PartitionSet, Shared};
use halodb_wal::Lsn;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// A piece of background work. Dropping it undone gives it back: it is handed out again.
#[derive(Debug)]
pub struct Job {
    shared: Arc<Shared>,
    partition: usize,
    work: Work,
    /// When it was asked for.
    now_ms: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Work {
    /// Merge the oldest frozen memtable; freeze the active one first if there is none.
    Merge,
    /// The partition is empty in memory and only holds back the log: advance its position.
    Advance,
    /// Take what has expired out of the tree.
    Sweep,
    /// Much of the page file is free: a chunk of its compaction.
    Compact,
}

impl Job {
    /// What it does, for logs.
    pub fn describe(&self) -> String {
        match self.work {
            Work::Merge => format!("merge the memtable of partition {} into its tree", self.partition),
            Work::Advance => format!("advance the log position of idle partition {}", self.partition),
            Work::Sweep => format!("sweep what has expired out of partition {}", self.partition),
            Work::Compact => format!("compact the page file of partition {}", self.partition),
        }
    }

    /// Whether it is for tidiness only: if it fails, nobody has to know who did not ask for it.
    pub fn is_optional(&self) -> bool {
        matches!(self.work, Work::Compact | Work::Sweep)
    }

    /// The partition it works on.
    pub fn partition(&self) -> usize {
        self.partition
    }

    /// Does it. Cost: for a merge about one write of each touched page, in chunks.
    ///
    /// # Errors
    /// `Io` (disk full, a failed read): what whole chunks carried over stays there, the rest is handed out again; reads
    /// answer the same in between. `Poisoned`: the database writes no more. `Corrupt`: a page of the tree is bad.
    /// `Closed`: a close was faster.
    pub fn run(self) -> Result<()> {
        let (shared, partition) = (&self.shared, self.partition);
        shared.quietly(partition, || {
            // Only now: a close that was waited for has ended everything.
            shared.ensure_writable()?;
            match self.work {
                Work::Merge => {
                    shared.freeze_if_nothing_is(partition);
                    shared.merge_chunks(partition)
                }
                Work::Advance => shared.advance(partition),
                Work::Sweep => shared.sweep_chunk(partition, self.now_ms),
                Work::Compact => shared.compact_chunk(partition),
            }
        })
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        self.shared.partitions[self.partition].claimed.store(false, Ordering::Release);
    }
}

impl PartitionSet {
    /// The next piece of background work that is due at `now_ms`, most urgent first; each is handed out once. `None` if
    /// nothing is due, or only in partitions whose job is handed out: ask again after a job and after commits.
    ///
    /// Cost: a look at each partition; no I/O. After `close` and once the database is poisoned there is none.
    pub fn next_job(&self, now_ms: u64) -> Option<Job> {
        let others = |shared: &Shared| shared.swept(now_ms).or_else(|| shared.roomy(now_ms));
        self.next_merge(now_ms).or_else(|| self.claim(now_ms, others))
    }

    /// As [`PartitionSet::next_job`], of those that carry something into the trees.
    pub fn next_merge(&self, now_ms: u64) -> Option<Job> {
        self.claim(now_ms, |shared| shared.frozen().or_else(|| shared.holding_log()).or_else(|| shared.idle(now_ms)))
    }

    fn claim(&self, now_ms: u64, due: impl Fn(&Shared) -> Option<(usize, Work)>) -> Option<Job> {
        let shared = &self.shared;
        if shared.ensure_writable().is_err() {
            return None;
        }
        loop {
            let (partition, work) = due(shared)?;
            let claimed = &shared.partitions[partition].claimed;
            if !claimed.swap(true, Ordering::AcqRel) {
                return Some(Job { shared: shared.clone(), partition, work, now_ms });
            }
            // Another thread was faster; there may be work in other partitions.
        }
    }

    /// Freezes all memtables, so that the next jobs merge them. A partition whose last frozen memtable is not merged yet
    /// is left as it is: call again after its job. No I/O.
    ///
    /// # Errors
    /// `Poisoned`, `Closed`.
    pub fn freeze_all(&self) -> Result<()> {
        self.shared.ensure_writable()?;
        for partition in 0..self.shared.partitions.len() {
            self.shared.freeze_if_nothing_is(partition);
        }
        Ok(())
    }
}

impl Shared {
    fn unclaimed(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.partitions.len()).filter(|&p| !self.partitions[p].claimed.load(Ordering::Acquire))
    }

    /// The partition with the oldest frozen memtable.
    fn frozen(&self) -> Option<(usize, Work)> {
        let version = self.versions.load();
        let oldest = |p: &usize| version.parts[*p].frozen.last().map(|layer| layer.last);
        let partition = self.unclaimed().filter(|p| oldest(p).is_some()).min_by_key(oldest)?;
        Some((partition, Work::Merge))
    }

    /// When the log is beyond its limit: a partition that holds it back and is free to be worked on. Those that hold
    /// back less have their turn afterwards: the log may be short enough by then.
    fn holding_log(&self) -> Option<(usize, Work)> {
        if self.wal.live_bytes() <= self.options.log_limit_bytes {
            return None;
        }
        let positions: Vec<Lsn> =
            (0..self.partitions.len()).map(|p| self.findable_applied(p).unwrap_or(Lsn(u64::MAX))).collect();
        let least = *positions.iter().min()?;
        // What a large commit alone holds back no merge gives free.
        let reachable = self.wal.settled().min(self.large.holds());
        if least >= self.large.holds() {
            return None;
        }
        let version = self.versions.load();
        let work = |p: usize| match version.parts[p].has_unmerged() {
            true => Some((p, Work::Merge)),
            false => (least < reachable).then_some((p, Work::Advance)),
        };
        self.unclaimed().filter(|&p| positions[p] == least).find_map(work)
    }

    fn idle(&self, now_ms: u64) -> Option<(usize, Work)> {
        let version = self.versions.load();
        let quiet_since = |p: usize| self.partitions[p].last_write_ms.load(Ordering::Relaxed);
        let due = |p: &usize| {
            !version.parts[*p].active.table.is_empty() && now_ms.saturating_sub(quiet_since(*p)) >= self.options.idle_ms
        };
        let partition = self.unclaimed().find(due)?;
        Some((partition, Work::Merge))
    }

    /// A partition of whose tree something has expired.
    fn swept(&self, now_ms: u64) -> Option<(usize, Work)> {
        let partition = self.unclaimed().find(|&p| self.is_to_be_swept(p, now_ms))?;
        Some((partition, Work::Sweep))
    }

    /// A partition whose page file is to be compacted, while nobody writes to it.
    fn roomy(&self, now_ms: u64) -> Option<(usize, Work)> {
        if self.options.compact_free_percent == 0 || self.is_untouched() {
            return None;
        }
        let version = self.versions.load();
        let quiet_since = |p: usize| self.partitions[p].last_write_ms.load(Ordering::Relaxed);
        let due = |p: &usize| {
            now_ms.saturating_sub(quiet_since(*p)) >= self.options.idle_ms
                && !version.parts[*p].has_unmerged()
                && self.is_roomy(*p)
        };
        let partition = self.unclaimed().find(due)?;
        Some((partition, Work::Compact))
    }

    /// Freezes the active memtable, unless one is frozen already.
    pub(crate) fn freeze_if_nothing_is(&self, partition: usize) {
        let mut section = self.wal.sequence();
        if self.versions.load().parts[partition].frozen.is_empty() {
            self.freeze(&mut section, partition);
        }
    }
}
