//! Merging a frozen memtable into its tree, chunk by chunk.
//!
//! Order, each step durable before the next can be reached from a meta: the log through the memtable's last number, the
//! chunk's pages, the chunk's meta. `applied` keeps its old value in all metas but the last one's, so a crash in between
//! replays the whole memtable over the half-merged tree, and absolute effects make that harmless. Readers switch to each
//! chunk's tree at once.
//!
//! An entry that has expired by the time of its chunk becomes a deletion: it is gone for every reader of the new version, whose
//! clock is not before that, and what it hides in the tree goes with it.

use crate::checkpoint::Checkpoint;
use crate::count::{self, KeySpan};
use crate::pace::Progress;
use crate::set::Shared;
use crate::version::Layer;
use crate::{Error, Result};
use halodb_btree::{Change, Edits, Expiry, KeyRange, Tree};
use halodb_memtable::{Cursor, Entry, Found};
use halodb_vfs::mutant;
use halodb_wal::{Durability, Lsn};
use std::cell::Cell;
use std::sync::atomic::Ordering;

/// How full pages are packed: room for a few more keys without a split.
pub(crate) const FILL_PERCENT: u32 = 93;

impl Shared {
    /// Merges the oldest frozen memtable of a partition, if there is one.
    ///
    /// # Errors
    /// A failure before a chunk's data sync changes nothing and may be tried again; a failed sync or meta write poisons.
    pub(crate) fn merge_oldest(&self, partition: usize) -> Result<()> {
        self.quietly(partition, || self.merge_chunks(partition))
    }

    /// Runs what writes to a page file, alone. After a failure: if the page file refuses to be written from now on, so
    /// does the database.
    pub(crate) fn quietly(&self, partition: usize, work: impl FnOnce() -> Result<()>) -> Result<()> {
        let partition = &self.partitions[partition];
        let _quiet = partition.quiet.lock();
        if self.released.load(Ordering::Acquire) {
            // Another process may have the files by now.
            return Err(Error::closed());
        }
        work().inspect_err(|e| {
            if partition.pager.is_poisoned() {
                self.poison(e);
            }
        })
    }

    /// Merges the oldest frozen memtable, if there is one. Within [`Shared::quietly`].
    pub(crate) fn merge_chunks(&self, partition: usize) -> Result<()> {
        let pager = &self.partitions[partition].pager;
        let Some(last) = self.versions.load().parts[partition].frozen.last().map(|layer| layer.last) else {
            return Ok(());
        };
        self.touch();
        // Log before pages; and no tree may hold what readers must not see yet.
        if !mutant("partition.pages-before-log") {
            self.wal.wait(last, Durability::Sync).map_err(|e| self.log_failed(e))?;
        }
        loop {
            let version = self.versions.load();
            let part = &version.parts[partition];
            let layer = part.frozen.last().expect("only this merge takes it away");
            // Before the version is published: its readers' clocks are not before this one.
            let now_ms = self.clock.dropping_ms();
            let progress = &self.partitions[partition].progress;
            let mut edits = LayerEdits::new(layer, now_ms, progress);
            let ranges = layer_ranges(layer);
            let synced = self.wal.synced();
            let mut txn = pager.begin()?;
            let limit_pages = self.chunk_pages(&part.tree);
            let merged = halodb_btree::merge(&mut txn, &part.tree, &ranges, &mut edits, FILL_PERCENT, limit_pages)?;
            let finished = merged.merged_up_to.is_none();
            // Planted faults: a chunk's meta says that all is merged, or forgets how far the tree was.
            let applied = if finished || mutant("partition.applied-early") { last } else { self.applied(partition)? };
            let applied = if !finished && mutant("partition.applied-reset") { Lsn(0) } else { applied };
            let roots: Vec<_> = merged.root.into_iter().collect();
            let checkpoint = Checkpoint { applied, synced, mark_ms: self.clock.promised_ms() };
            let snapshot = txn.commit(&roots, &checkpoint.encode())?;
            let tree = Tree::open(snapshot, 0, self.tree_options())?;
            if finished {
                self.evidence.keep(partition, layer, self.evidence_bytes());
            }
            self.versions.replace(partition, last, |part| {
                part.tree = tree;
                if edits.dropped.get() {
                    part.dropped_ms = part.dropped_ms.max(now_ms);
                }
                match merged.merged_up_to {
                    None => {
                        if let Some(layer) = part.frozen.pop() {
                            self.pinned.retire(&layer.table);
                        }
                    }
                    Some(key) => {
                        let layer = part.frozen.last_mut().expect("only this merge takes it away");
                        layer.merged_up_to = Some(key.into());
                    }
                }
            });
            progress.end_chunk(edits.taken);
            if finished {
                progress.finish();
                break;
            }
        }
        self.counters.merges.fetch_add(1, Ordering::Relaxed);
        if !self.versions.load().parts.iter().any(|part| part.has_unmerged()) {
            // Nobody wrote during the merge; whoever does next can afford fresh memory.
            self.pool.clear();
        }
        self.return_log(partition)
    }

    /// Pages per chunk: the configured bytes, or a sixteenth of the tree if that is less (but a useful number).
    pub(crate) fn chunk_pages(&self, tree: &Tree) -> u64 {
        let configured = self.options.chunk_bytes / u64::from(self.manifest.page_size);
        let sixteenth = tree.snapshot().page_count() / 16;
        configured.min(sixteenth.max(MIN_CHUNK_PAGES)).max(1)
    }

    /// How far the newest meta of a partition is.
    pub(crate) fn applied(&self, partition: usize) -> Result<Lsn> {
        let snapshot = self.partitions[partition].pager.snapshot();
        Ok(Checkpoint::decode(snapshot.user(), snapshot.path())?.applied)
    }

    /// The least `applied` that a crash now could leave in a partition's meta.
    pub(crate) fn findable_applied(&self, partition: usize) -> Result<Lsn> {
        let pager = &self.partitions[partition].pager;
        let path = pager.snapshot().path().to_path_buf();
        let mut least = Lsn(u64::MAX);
        for user in pager.findable_users() {
            least = least.min(Checkpoint::decode(&user, &path)?.applied);
        }
        Ok(least)
    }

    /// Gives log segments back that no findable meta needs. While the log is short of room, the newest meta is written
    /// to the other slot as well, so that the older one no longer holds anything back.
    fn return_log(&self, partition: usize) -> Result<()> {
        if self.log_wants_room() {
            self.republish(partition, None)?;
        }
        self.partitions[partition].pager.truncate_tail()?;
        self.recycle_log()
    }

    pub(crate) fn recycle_log(&self) -> Result<()> {
        let mut needed = Lsn(u64::MAX);
        for partition in 0..self.partitions.len() {
            // A planted fault relies on the newest meta alone.
            let newest_only = mutant("partition.recycle-by-newest");
            needed = needed.min(if newest_only { self.applied(partition)? } else { self.findable_applied(partition)? });
        }
        self.wal.recycle(Lsn(needed.0.saturating_add(1))).map_err(|e| self.log_failed(e))?;
        Ok(())
    }

    pub(crate) fn log_wants_room(&self) -> bool {
        self.wal.live_bytes() > self.options.log_limit_bytes / 2
    }

    /// An idle partition holds nothing that the log would be needed for: says so in both slots of its meta.
    pub(crate) fn advance_idle(&self, partition: usize) -> Result<()> {
        self.quietly(partition, || self.advance(partition))
    }

    /// As [`Shared::advance_idle`], within [`Shared::quietly`].
    pub(crate) fn advance(&self, partition: usize) -> Result<()> {
        self.touch();
        // Also what the open took for durable: the marker of a clean close may exist in the cache only, and a tree
        // that claims to be as far as that would be ahead of its log.
        // A planted fault takes what is visible for durable.
        let visible_will_do = mutant("partition.idle-applies-visible");
        if !visible_will_do {
            self.wal.sync().map_err(|e| self.log_failed(e))?;
        }
        let (applied, synced) = {
            // In the section no entry can arrive between the look and the number.
            let _section = self.wal.sequence();
            if self.versions.load().parts[partition].has_unmerged() {
                return Ok(());
            }
            let (settled, synced) = (self.wal.settled(), self.wal.synced());
            (if visible_will_do { settled } else { settled.min(synced) }, synced)
        };
        let applied = applied.max(self.applied(partition)?);
        let user = Checkpoint { applied, synced, mark_ms: self.clock.promised_ms() }.encode();
        // Twice: one slot each.
        self.republish(partition, Some(&user))?;
        self.republish(partition, Some(&user))?;
        self.recycle_log()
    }

    /// Writes the newest meta to the slot not relied on, and lets readers pin that generation instead of the older one.
    fn republish(&self, partition: usize, user: Option<&[u8]>) -> Result<()> {
        let pager = &self.partitions[partition].pager;
        pager.republish(user)?;
        let tree = Tree::open(pager.snapshot(), 0, self.tree_options())?;
        self.versions.replace(partition, Lsn(0), |part| part.tree = tree);
        Ok(())
    }
}

/// The least number of pages in a chunk, so that small trees are merged in one.
const MIN_CHUNK_PAGES: u64 = 256;

/// The frozen memtable's range deletes as the tree takes them: sorted, disjoint, without what is merged already.
fn layer_ranges(layer: &Layer) -> Vec<KeyRange> {
    let spans = count::union(layer.range_deletes(layer.last));
    spans.into_iter().map(|KeySpan { start, end }| KeyRange { start, end }).collect()
}

/// The frozen memtable as a stream of edits, from where the last chunk ended.
struct LayerEdits<'p> {
    cursor: Cursor,
    now_ms: u64,
    /// Whether something had expired.
    dropped: Cell<bool>,
    /// What writers are told, and how many keys this stream has given.
    progress: &'p Progress,
    taken: u64,
}

impl<'p> LayerEdits<'p> {
    /// Seldom enough that writers, who look at every commit, mostly find it in their cache.
    const TOLD_EVERY: u64 = 64;

    fn new(layer: &Layer, now_ms: u64, progress: &'p Progress) -> Self {
        // One run to read from end to end.
        layer.table.sort();
        progress.begin_chunk(layer.table.middle(&[], None).map_or(0, |(keys, _)| keys as u64));
        let mut cursor = layer.table.cursor(layer.last.0);
        match layer.merged_up_to.as_deref() {
            None => cursor.seek_first(),
            Some(done) => cursor.seek(&crate::version::successor(done)),
        }
        // A planted fault loses the first key of every chunk but the first.
        if layer.merged_up_to.is_some() && mutant("partition.chunk-skips-key") {
            cursor.next();
        }
        let mut edits = Self { cursor, now_ms, dropped: Cell::new(false), progress, taken: 0 };
        edits.lose_expired();
        edits
    }
}

impl Edits for LayerEdits<'_> {
    fn current(&self) -> Option<(&[u8], Change<'_>)> {
        let change = match self.cursor.found()?.entry {
            Entry::Value(bytes) => Change::put(bytes),
            Entry::Expiring(_, at_ms) if at_ms <= self.now_ms => {
                self.dropped.set(true);
                Change::Delete
            }
            Entry::Expiring(bytes, at_ms) => Change::put_until(bytes, Expiry::at_ms(at_ms)),
            Entry::Tombstone => Change::Delete,
        };
        Some((self.cursor.key()?, change))
    }

    fn advance(&mut self) {
        self.cursor.next();
        self.taken += 1;
        if self.taken.is_multiple_of(Self::TOLD_EVERY) {
            self.progress.took(self.taken);
        }
        self.lose_expired();
    }
}

impl LayerEdits<'_> {
    /// A planted fault drops what has expired, and leaves what it hides.
    fn lose_expired(&mut self) {
        while mutant("partition.drop-uncovers")
            && matches!(self.cursor.found(), Some(Found { entry: Entry::Expiring(_, at_ms), .. }) if at_ms <= self.now_ms)
        {
            self.cursor.next();
        }
    }
}
