//! Merging a frozen memtable into its tree, chunk by chunk.
//!
//! Order, each step durable before the next can be reached from a meta: the log through the memtable's last number, the
//! chunk's pages, the chunk's meta. `applied` keeps its old value in all metas but the last one's, so a crash in between
//! replays the whole memtable over the half-merged tree, and absolute effects make that harmless. Readers switch to each
//! chunk's tree at once.
//!
//! Where threads have nothing else to do a chunk is cut into ranges of keys that they work through at the same time (`plan.rs`); it is
//! still one commit.

use crate::checkpoint::Checkpoint;
use crate::count::{self, KeySpan};
use crate::layer_edits::LayerEdits;
use crate::pace::Progress;
use crate::plan::{Plan, keys_for};
use crate::set::Shared;
use crate::version::{Layer, PartVersion, successor};
use crate::{Error, Result};
use halodb_btree::{KeyRange, MergePart, Merged, Tree};
use halodb_pager::WriteTxn;
use halodb_vfs::mutant;
use halodb_wal::{Durability, Lsn};
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
        // Keys and pages of the chunk before.
        let mut seen = None;
        loop {
            let version = self.versions.load();
            let part = &version.parts[partition];
            let layer = part.frozen.last().expect("only this merge takes it away");
            // Before the version is published: its readers' clocks are not before this one.
            let now_ms = self.clock.dropping_ms();
            let progress = &self.partitions[partition].progress;
            // One run to read from end to end.
            layer.table.sort();
            progress.begin_chunk(layer.keys_between(&[], None)?);
            let synced = self.wal.synced();
            let mut txn = pager.begin()?;
            let Chunk { merged, has_dropped, keys } =
                self.merge_chunk(&mut txn, part, layer, seen, now_ms, progress)?;
            seen = Some((keys, merged.pages_written));
            let finished = merged.merged_up_to.is_none();
            // Planted faults: a chunk's meta says that all is merged, or forgets how far the tree was.
            let applied = if finished || mutant("partition.applied-early") {
                last.min(self.claimable(partition)).max(self.applied(partition)?)
            } else {
                self.applied(partition)?
            };
            let applied = if !finished && mutant("partition.applied-reset") { Lsn(0) } else { applied };
            let roots: Vec<_> = merged.root.into_iter().collect();
            let checkpoint = Checkpoint { applied, synced, mark_ms: self.clock.promised_ms() };
            let snapshot = txn.commit(&roots, &checkpoint.encode())?;
            let tree = Tree::open(snapshot, 0, self.tree_options())?;
            if finished {
                self.evidence.keep(partition, layer, self.evidence_bytes());
            }
            let mut is_waited_for = false;
            self.versions.replace(partition, last, |part| {
                part.tree = tree;
                if has_dropped {
                    part.dropped_ms = part.dropped_ms.max(now_ms);
                }
                match merged.merged_up_to {
                    None => {
                        if let Some(layer) = part.frozen.pop() {
                            self.pinned.retire(partition, &layer.table);
                        }
                        is_waited_for = part.has_frozen_writes();
                    }
                    Some(key) => {
                        let layer = part.frozen.last_mut().expect("only this merge takes it away");
                        layer.merged_up_to = Some(key.into());
                    }
                }
            });
            progress.end_chunk(keys);
            if finished {
                let passed = (is_waited_for && layer.is_large()).then(|| layer.versions());
                progress.finish(passed);
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

    /// Merges the next keys of a layer: as many as make a chunk.
    fn merge_chunk(
        &self,
        txn: &mut WriteTxn<'_>,
        part: &PartVersion,
        layer: &Layer,
        seen: Option<(u64, u64)>,
        now_ms: u64,
        progress: &Progress,
    ) -> Result<Chunk> {
        let limit_pages = self.chunk_pages(&part.tree);
        let from = layer.merged_up_to.as_deref().map(successor).unwrap_or_default();
        let keys_below = |end: Option<&[u8]>| layer.keys_between(&from, end);
        let width = self.options.merge_executor.width().get();
        // Of a run, which is read from the disk, one stream after the other is as fast.
        let plan = if width < 2 || layer.run.is_some() {
            Plan::undivided()
        } else {
            let (tree_pages, bytes) = (part.tree.snapshot().page_count(), layer.table.size_bytes());
            let page_size = u64::from(self.manifest.page_size);
            let keys = keys_for(limit_pages, seen, keys_below(None)?, tree_pages, bytes, page_size);
            Plan::divided(&layer.table, &from, keys, width, self.options.merge_part_keys)
        };
        let mut ranges = layer_ranges(layer);
        if let [_] = plan.starts[..] {
            let mut edits = LayerEdits::new(layer, &from, None, now_ms, progress);
            let merged = halodb_btree::merge(txn, &part.tree, &ranges, &mut edits, FILL_PERCENT, limit_pages)?;
            edits.finish()?;
            let keys = keys_below(merged.merged_up_to.as_deref().map(successor).as_deref())?;
            return Ok(Chunk { merged, has_dropped: edits.has_dropped(), keys });
        }
        let end = plan.end();
        if let Some(end) = &end {
            ranges.retain(|range| range.start < *end);
            for range in ranges.iter_mut().filter(|range| range.end.as_ref().is_none_or(|to| to > end)) {
                range.end = Some(end.clone());
            }
        }
        let ends = plan.starts[1..].iter().map(|start| Some(start.as_slice())).chain([end.as_deref()]);
        let bounds = plan.starts.iter().map(|start| start.max(&from)).zip(ends);
        let mut streams: Vec<LayerEdits<'_>> =
            bounds.map(|(start, end)| LayerEdits::new(layer, start, end, now_ms, progress)).collect();
        let parts = streams.iter_mut().zip(&plan.starts);
        let parts = parts.map(|(edits, start)| MergePart { start: start.clone(), edits }).collect();
        // Parts may differ in size; all together they stay near the limit.
        let limit_pages = limit_pages.saturating_add(limit_pages / 4);
        let executor = &*self.options.merge_executor;
        let mut merged =
            halodb_btree::merge_parts(txn, &part.tree, &ranges, parts, FILL_PERCENT, limit_pages, executor)?;
        streams.iter_mut().try_for_each(LayerEdits::finish)?;
        if merged.merged_up_to.is_none() {
            merged.merged_up_to = plan.last;
        }
        let keys = keys_below(merged.merged_up_to.as_deref().map(successor).as_deref())?;
        Ok(Chunk { merged, has_dropped: streams.iter().any(LayerEdits::has_dropped), keys })
    }

    /// Pages per chunk: the configured bytes, or a sixteenth of the tree if that is less (but a useful number).
    pub(crate) fn chunk_pages(&self, tree: &Tree) -> u64 {
        let configured = self.options.chunk_bytes / u64::from(self.manifest.page_size);
        let sixteenth = tree.snapshot().page_count() / 16;
        configured.min(sixteenth.max(MIN_CHUNK_PAGES)).max(1)
    }

    /// How far in the log a partition's tree may claim to be at most: no farther than the parts of a large commit that is not
    /// decided, or whose layer is above the one that is merged at the moment. So the log keeps them, and a replay meets
    /// them all. What a tree has beyond its claim is replayed over it, which changes nothing.
    fn claimable(&self, partition: usize) -> Lsn {
        // A planted fault lets go of parts that are still needed.
        if mutant("partition.claims-parts") {
            return Lsn(u64::MAX);
        }
        // First those that are undecided: a decided one is in the version before it stops being undecided.
        let undecided = self.large.holds();
        let version = self.versions.load();
        let above = version.parts[partition].frozen.iter().rev().skip(1);
        above.map(|layer| layer.holds).fold(undecided, Lsn::min)
    }

    /// As [`Shared::claimable`] of a partition without layers, within the section.
    fn undecided_holds(&self) -> Lsn {
        let ignored = mutant("partition.claims-parts") || mutant("partition.advance-looks-late");
        if ignored { Lsn(u64::MAX) } else { self.large.holds() }
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
            // In the section no entry can arrive between the look and the number, and no large commit whose parts are in
            // the log already can be decided: its layer would be the oldest one then, which `claimable` passes over.
            let _section = self.wal.sequence();
            if self.versions.load().parts[partition].has_unmerged() {
                return Ok(());
            }
            let (settled, synced) = (self.wal.settled(), self.wal.synced());
            (if visible_will_do { settled } else { settled.min(synced) }.min(self.undecided_holds()), synced)
        };
        // A planted fault looks at large commits behind the section only.
        let late = mutant("partition.advance-looks-late");
        let applied = if late { applied.min(self.claimable(partition)) } else { applied };
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

/// What a chunk did.
struct Chunk {
    merged: Merged,
    /// Whether something that had expired was dropped.
    has_dropped: bool,
    /// How many keys of the memtable it took.
    keys: u64,
}

/// The least number of pages in a chunk, so that small trees are merged in one.
const MIN_CHUNK_PAGES: u64 = 256;

/// The frozen memtable's range deletes as the tree takes them: sorted, disjoint, without what is merged already.
fn layer_ranges(layer: &Layer) -> Vec<KeyRange> {
    let spans = count::union(layer.range_deletes(layer.last));
    spans.into_iter().map(|KeySpan { start, end }| KeyRange { start, end }).collect()
}
