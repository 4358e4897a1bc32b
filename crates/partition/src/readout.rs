//! [`Readout`]: everything that can be read of a damaged database, in an order in which the newest write of a key comes
//! last.
//!
//! 1. The trees, from their roots, going round what cannot be read.
//! 2. Leaves that nothing leads to any more, because the page above them, or every meta, is damaged. If the free list is
//!    whole, the pages that are neither reached nor free are exactly those, and their entries are current. If not, all
//!    leaves of the file are taken, the newest writing last: then old values and deleted keys may come back, and the
//!    report says so.
//! 3. The log. Effects of records are absolute, so where the log is whole from the trees on, all of it is replayed. Where
//!    it has holes, a record is replayed over a tree only if the tree does not have it yet: newer ones may be in the tree
//!    and lost in the log.

use crate::batch::{self, Op};
use crate::directory;
use crate::doctor::{Ailment, Diagnosis, Health, RESTORE, SALVAGE};
use crate::parts::{self, Collector};
use crate::patient::{OpenPart, Part, Patient};
use crate::{Error, Options, Result};
use halodb_btree::{Expiry, LostPart, leaf_entries};
use halodb_pager::{PageRef, PageSet, RawPages};
use halodb_wal::{Known, Lsn, Record, RecordKind, Wal};
use std::ops::ControlFlow;

/// What becomes of records behind a hole in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum BehindGaps {
    /// They are used: each batch is whole in itself, but may rest on lost ones.
    #[default]
    Use,
    /// The log ends at the first hole: what is saved is a state that the database once had, as far as the log decides it.
    Leave,
}

/// Takes what is read.
pub(crate) trait Sink {
    /// An entry of a tree.
    fn put(&mut self, key: &[u8], value: &[u8], expiry: Expiry) -> Result<()>;
    /// A write of the log.
    fn replay(&mut self, op: &Op<'_>) -> Result<()>;
    /// Deletes those keys of a range for which `dead` holds.
    fn delete_where(&mut self, start: &[u8], end: Option<&[u8]>, dead: &dyn Fn(&[u8]) -> bool) -> Result<()>;
}

pub(crate) struct Readout<'p> {
    pub(crate) patient: &'p Patient,
    pub(crate) behind_gaps: BehindGaps,
}

impl Readout<'_> {
    pub(crate) fn run(&self, report: &mut Diagnosis, sink: &mut dyn Sink) -> Result<()> {
        for part in &self.patient.parts {
            match &part.open {
                Some(open) => self.tree(part, open, report, sink)?,
                None => self.loose_leaves(part, None, report, sink)?,
            }
        }
        self.log(report, sink)
    }

    fn tree(&self, part: &Part, open: &OpenPart, report: &mut Diagnosis, sink: &mut dyn Sink) -> Result<()> {
        let mut pages = PageSet::default();
        let mut failed = None;
        let rescued = open.tree.rescue(&mut pages, &mut |key, value, expiry| match sink.put(key, value, expiry) {
            Ok(()) => ControlFlow::Continue(()),
            Err(e) => {
                failed = Some(e);
                ControlFlow::Break(())
            }
        });
        if let Some(e) = failed {
            return Err(e);
        }
        report.entries += rescued.entries;
        if rescued.lost.is_empty() {
            return Ok(());
        }
        let page_size = u64::from(open.tree.snapshot().page_size());
        for lost in &rescued.lost {
            report.ailments.push(Ailment {
                path: part.path.clone(),
                offset: Some(lost.at.id.0.saturating_mul(page_size)),
                what: format!(
                    "{} entries from b\"{}\" on cannot be reached: {}.",
                    lost.entries,
                    show(&lost.start),
                    lost.what
                ),
                health: Health::Repairable,
                remedy: SALVAGE,
            });
        }
        let stated: u64 = rescued.lost.iter().map(|lost| lost.entries).sum();
        let before = report.entries;
        self.loose_leaves(part, Some((open, &pages, &rescued.lost)), report, sink)?;
        let missing = stated.saturating_sub(report.entries - before);
        if missing > 0 {
            report.lost_entries += missing;
            report.ailments.push(Ailment {
                path: part.path.clone(),
                offset: None,
                what: format!("{missing} entries of the tree are lost."),
                health: Health::Lost,
                remedy: RESTORE,
            });
        }
        Ok(())
    }

    /// Reads leaves that nothing leads to. `known`: the tree, the pages that were reached, and what was not.
    fn loose_leaves(
        &self,
        part: &Part,
        known: Option<(&OpenPart, &PageSet, &[LostPart])>,
        report: &mut Diagnosis,
        sink: &mut dyn Sink,
    ) -> Result<()> {
        let Ok(raw) = RawPages::open(&*self.patient.vfs, &part.path, part.identity) else { return Ok(()) };
        let free = known.and_then(|(open, ..)| open.pager.snapshot().free_pages().ok());
        let is_free = |page: u64| free.iter().flatten().any(|(start, len)| (*start..start + len).contains(&page));
        let reached = |page: u64| known.is_some_and(|(_, pages, _)| pages.contains(page));
        let end = known.map_or(u64::MAX, |(open, ..)| open.pager.snapshot().page_count());
        let mut leaves: Vec<PageRef> = Vec::new();
        for page in raw.data().take_while(|page| *page < end) {
            if !reached(page)
                && !is_free(page)
                && let Some(page) = raw.page(page)?
                && page.kind == halodb_btree::LEAF
            {
                leaves.push(page.at);
            }
        }
        // The newest writing of a key comes last.
        leaves.sort_unstable_by_key(|at| (at.stamp.generation(), at.stamp.epoch(), at.id));
        let wanted = |key: &[u8]| {
            known.is_none_or(|(.., lost)| {
                lost.iter().any(|part| key >= &part.start[..] && part.end.as_deref().is_none_or(|end| key < end))
            })
        };
        let (mut taken, mut left_out) = (0, 0);
        for at in &leaves {
            let Some(page) = raw.read(*at)? else { continue };
            let mut failed = None;
            let mut extent = |at: PageRef| raw.read(at).ok().flatten();
            left_out += leaf_entries(&page, &mut extent, &mut |key, value, expiry| {
                if !wanted(key) {
                    return ControlFlow::Continue(());
                }
                taken += 1;
                match sink.put(key, value, expiry) {
                    Ok(()) => ControlFlow::Continue(()),
                    Err(e) => {
                        failed = Some(e);
                        ControlFlow::Break(())
                    }
                }
            })
            .unwrap_or(0);
            if let Some(e) = failed {
                return Err(e);
            }
        }
        report.entries += taken;
        let path = part.path.display();
        if taken > 0 && free.is_some() {
            report.notes.push(format!(
                "{path}: {taken} entries were found in leaves that the damaged pages no longer lead to."
            ));
        } else if taken > 0 {
            report.notes.push(format!(
                "{path}: {taken} entries were found by looking at every page of the file. Deleted keys and old values may \
                 be among them, and nothing tells how many entries are missing."
            ));
        }
        if left_out > 0 {
            report
                .notes
                .push(format!("{path}: the values of {left_out} further entries found that way cannot be read."));
        }
        Ok(())
    }

    fn log(&self, report: &mut Diagnosis, sink: &mut dyn Sink) -> Result<()> {
        let patient = self.patient;
        let wal_dir = directory::wal_dir(&patient.dir);
        let options = || directory::wal_options(&patient.manifest, &Options::default());
        if let Some(known) = patient.checkpoints().map(|checkpoints| known(&checkpoints)) {
            // First without consequences: it may refuse after many records.
            let recovery =
                Wal::recover(patient.vfs.clone(), &wal_dir, options(), known, &mut |_| halodb_wal::Result::Ok(()));
            match recovery {
                Ok(recovery) => {
                    if let Some(tail) = recovery.dropped() {
                        report.ailments.push(Ailment {
                            path: tail.path.clone(),
                            offset: Some(tail.offset),
                            what: format!(
                                "The log ends at record {}; what follows was never known to be durable.",
                                tail.from.0
                            ),
                            health: Health::Repairable,
                            remedy: "Open the database: it drops this tail and reports it.",
                        });
                    }
                    if !recovery.clean() {
                        report
                            .notes
                            .push("The database was not closed in order; the next open replays its log.".into());
                    }
                    let mut collector = Collector::default();
                    let mut each = |record: Record<'_>| -> Result<()> {
                        let in_record = |what| not_decoded(&wal_dir, record.lsn, what);
                        match record.kind {
                            RecordKind::Commit => {
                                report.records += 1;
                                decode(&wal_dir, &record)?.iter().try_for_each(|op| sink.replay(op))
                            }
                            RecordKind::Part => collector.part(record.lsn, record.payload).map_err(in_record),
                            RecordKind::PartCommit => {
                                report.records += 1;
                                let complete = collector.complete(record.payload, known.applied_min);
                                let parts = complete.map_err(in_record)?.unwrap_or_default();
                                parts.payloads.iter().try_for_each(|payload| {
                                    let ops = parts::ops(payload).map_err(in_record)?;
                                    ops.iter().try_for_each(|op| sink.replay(op))
                                })
                            }
                            _ => Ok(()),
                        }
                    };
                    Wal::recover(patient.vfs.clone(), &wal_dir, options(), known, &mut each)?;
                    return Ok(());
                }
                Err(e @ (halodb_wal::Error::Io { .. } | halodb_wal::Error::Version { .. })) if !is_missing(&e) => {
                    return Err(e.into());
                }
                Err(e) => {
                    let (path, offset) = match &e {
                        halodb_wal::Error::Corrupt { path, offset, .. } => (path.clone(), Some(*offset)),
                        _ => (wal_dir.clone(), None),
                    };
                    let what = format!("The log cannot be replayed in order: {e}.");
                    report.ailments.push(Ailment { path, offset, what, health: Health::Repairable, remedy: SALVAGE });
                }
            }
        }
        self.damaged_log(report, sink)
    }

    /// Reads whatever verifies of the log.
    fn damaged_log(&self, report: &mut Diagnosis, sink: &mut dyn Sink) -> Result<()> {
        let patient = self.patient;
        let wal_dir = directory::wal_dir(&patient.dir);
        let manifest = &patient.manifest;
        let pass = |each: &mut dyn FnMut(Record<'_>)| {
            halodb_wal::rescue(&*patient.vfs, &wal_dir, &manifest.uuid, manifest.incarnation, each)
        };
        let found = match pass(&mut |_| {}) {
            Ok(found) => found,
            Err(e) => {
                report.ailments.push(Ailment {
                    path: wal_dir,
                    offset: None,
                    what: format!("The log cannot be read: {e}."),
                    health: Health::Lost,
                    remedy: RESTORE,
                });
                return Ok(());
            }
        };
        let parts: Vec<_> = patient.parts.iter().map(|part| part.open.as_ref().map(|open| open.checkpoint)).collect();
        // What every tree has, the log need not have.
        let needed_from = parts.iter().map(|c| c.map_or(Lsn(0), |c| c.applied)).min().unwrap_or_default();
        let stated = parts.iter().flatten().map(|c| c.applied.max(c.synced)).max().unwrap_or_default();
        let last = found.span.map_or(Lsn(0), |(_, last)| last).max(found.before.unwrap_or_default());
        let mut missing = found.missing.clone();
        if patient.checkpoints().is_some()
            && let Some(before) = found.before
        {
            missing.insert(0, (Lsn(needed_from.0 + 1), before));
        }
        missing.push((Lsn(last.0 + 1), stated.max(found.synced)));
        missing.retain_mut(|(from, to)| {
            from.0 = from.0.max(needed_from.0 + 1);
            from <= to
        });
        report.ailments.extend(found.findings.into_iter().map(|f| Ailment {
            path: f.path,
            offset: f.offset,
            what: f.what,
            health: Health::Repairable,
            remedy: SALVAGE,
        }));
        for (from, to) in &missing {
            report.ailments.push(Ailment {
                path: wal_dir.clone(),
                offset: None,
                what: format!("The log records {} to {} are lost.", from.0, to.0),
                health: Health::Lost,
                remedy: RESTORE,
            });
        }
        let until = match (self.behind_gaps, missing.first()) {
            (BehindGaps::Leave, Some((from, _))) => *from,
            _ => Lsn(u64::MAX),
        };
        report.lost_records.extend(missing);
        report.notes.push(
            "Records of a damaged log are used one by one: a key whose last write is lost has an older value, or a value \
             although it was deleted."
                .into(),
        );
        let applied: Vec<Lsn> = parts.iter().map(|c| c.map_or(Lsn(0), |c| c.applied)).collect();
        let mut failed = Ok(());
        let mut records = 0;
        let mut collector = Collector::default();
        pass(&mut |record| {
            if failed.is_err() || record.lsn >= until {
                return;
            }
            let in_record = |what| not_decoded(&wal_dir, record.lsn, what);
            let mut replay = |ops: Vec<Op<'_>>| -> Result<()> {
                ops.iter().try_for_each(|op| self.replay_over(record.lsn, op, &applied, sink))
            };
            failed = match record.kind {
                RecordKind::Commit => decode(&wal_dir, &record).and_then(&mut replay),
                RecordKind::Part => collector.part(record.lsn, record.payload).map_err(in_record),
                RecordKind::PartCommit => collector.salvage(record.payload).map_err(in_record).and_then(|parts| {
                    let ops = |payload| parts::ops(payload).map_err(in_record);
                    parts.payloads.iter().try_for_each(|payload| ops(payload).and_then(&mut replay))
                }),
                _ => Ok(()),
            };
            let writes = matches!(record.kind, RecordKind::Commit | RecordKind::PartCommit);
            records += u64::from(writes && record.lsn > needed_from);
        })?;
        report.records += records;
        failed
    }

    /// Replays a write over those trees that do not have it.
    fn replay_over(&self, lsn: Lsn, op: &Op<'_>, applied: &[Lsn], sink: &mut dyn Sink) -> Result<()> {
        let Some(router) = self.patient.router else {
            // Nobody knows which tree would have it. Where one may lack it, it is used.
            return if applied.iter().any(|applied| lsn > *applied) { sink.replay(op) } else { Ok(()) };
        };
        let lacks = |key: &[u8]| applied.get(router.partition(key)).is_none_or(|applied| lsn > *applied);
        match op {
            Op::Put(key, _) | Op::PutUntil(key, ..) | Op::Delete(key) if lacks(key) => sink.replay(op),
            Op::Put(..) | Op::PutUntil(..) | Op::Delete(_) => Ok(()),
            Op::DeleteRange(start, end) => sink.delete_where(start, *end, &lacks),
        }
    }
}

fn known(checkpoints: &[crate::checkpoint::Checkpoint]) -> Known {
    Known {
        applied_min: checkpoints.iter().map(|c| c.applied).min().unwrap_or_default(),
        applied_max: checkpoints.iter().map(|c| c.applied).max().unwrap_or_default(),
        synced: checkpoints.iter().map(|c| c.synced).max().unwrap_or_default(),
    }
}

fn is_missing(e: &halodb_wal::Error) -> bool {
    matches!(e, halodb_wal::Error::Io { source, .. } if source.kind() == std::io::ErrorKind::NotFound)
}

fn decode<'a>(wal_dir: &std::path::Path, record: &Record<'a>) -> Result<Vec<Op<'a>>> {
    batch::decode(record.payload).map_err(|what| not_decoded(wal_dir, record.lsn, what))
}

fn not_decoded(wal_dir: &std::path::Path, lsn: Lsn, what: &str) -> Error {
    Error::corrupt(wal_dir, format!("record {}: {what}", lsn.0))
}

fn show(key: &[u8]) -> String {
    let shown = key[..key.len().min(40)].escape_ascii();
    if key.len() > 40 { format!("{shown}…") } else { shown.to_string() }
}
