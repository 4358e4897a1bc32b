//! [`Victim`]: a small database with all kinds of pages and records, in a state in which a database is legally found,
//! and the judgement of what it answers after a damage.
//!
//! In the state left by a process that died, nothing but the witness behind it says that the last group was written, and
//! nothing that it was synchronised. The judgement knows where each of the last batches lies: it allows the last one to be gone
//! if the damage has touched it, and if the open reports it. That the whole newest segment is as it was earlier, no byte of it
//! can tell; then batches may be gone from the end.

use super::State;
use super::damage::Damage;
use crate::campaign::config::{self, Setup};
use crate::campaign::engine::{Answer, Engine, Opened, Partitions, Refusal, View};
use crate::campaign::ops::{Op, Val, Write};
use crate::campaign::oracle::{self, Pairs};
use crate::campaign::rng::Rng;
use crate::campaign::session::{self, DIR, Session, Stop, honest};
use halodb::Durability;
use halodb::partition::{Create, Entropy, Expect, PartitionSet};
use halodb::vfs::SimVfs;
use halodb::wal::{Place, RECORDS_START, RecordHeader, RecordKind, SegmentHeader, file_name};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The configuration of the victim: its files together have at most [`MOST_BYTES`], of which page files take 192 KiB, so
/// that segments have to be small for a proven one, the newest one and a spare one to fit.
/// Several leaves a chunk: of two pages that change places only those written together have nothing but their numbers to
/// tell them apart.
const SETUP: Setup = Setup {
    segment_bytes: 15 << 10,
    log_limit_bytes: 160 << 10,
    memtable_bytes: 32 << 10,
    chunk_bytes: 64 << 10,
    ..config::TINY
};

/// Most bytes of all files of a victim.
const MOST_BYTES: u64 = 256 << 10;

/// Disks that damages are taken from.
#[derive(Debug)]
pub struct Sources {
    /// The victim some time earlier.
    pub older: SimVfs,
    /// Another database of the same shape.
    pub foreign: SimVfs,
}

/// What became of a victim, all of it allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Everything is there.
    Identical,
    /// The open was refused with a typed error.
    OpenRefused,
    /// A read was.
    ReadRefused,
    /// The group written last was dropped, and reported.
    Dropped,
    /// The whole newest segment went back in time, with everything that could have told of it; what was before it is there.
    WentBack,
}

impl Fate {
    /// For the summary.
    pub fn name(self) -> &'static str {
        match self {
            Fate::Identical => "identical",
            Fate::OpenRefused => "typed error at open",
            Fate::ReadRefused => "typed error at read",
            Fate::Dropped => "reported drop",
            Fate::WentBack => "newest segment of an earlier state",
        }
    }
}

/// One of the last batches: the state before it, and where its record lies in the newest segment.
#[derive(Debug)]
struct Last {
    before: Pairs,
    segment: PathBuf,
    begin: u64,
    end: u64,
}

/// A small database on a disk, and what it holds.
#[derive(Debug)]
pub struct Victim {
    pub(super) state: State,
    pub(super) disk: SimVfs,
    pub(super) files: Vec<PathBuf>,
    pub(super) sources: Sources,
    pairs: Pairs,
    newest_segment: PathBuf,
    last: Vec<Last>,
}

fn put(key: u16, len: u32) -> Write {
    Write::Put(key, Val { len, fill: key + len as u16 })
}

/// Fills the database: inner pages, filters, overflow extents, a free list, recycled segments.
fn fill(session: &mut Session<Partitions>) -> Result<(), Stop> {
    for round in 0..9u16 {
        for part in 0..10 {
            let batch = (0..8).map(|i| {
                put(part * 8 + i, if part * 8 + i == 12 { 4_400 } else { 20 + u32::from(round * 7 + i) % 50 })
            });
            session.step(&Op::Commit(batch.collect(), Durability::Sync))?;
        }
        session.step(&Op::Commit(
            vec![Write::Delete(round * 7), Write::DeleteRange(round * 5, Some(round * 5 + 1))],
            Durability::Sync,
        ))?;
        session.step(&Op::Freeze)?;
        session.step(&Op::Jobs(200))?;
    }
    Ok(())
}

impl Victim {
    /// Makes one.
    ///
    /// # Errors
    /// The engine, or the plan of this file, is wrong.
    pub fn new(state: State) -> Result<Victim, String> {
        Self::build(state).map_err(|stop| stop.text())
    }

    fn build(state: State) -> Result<Victim, Stop> {
        let io = |e: std::io::Error| Stop::Wrong(e.to_string());
        let mut session = Session::<Partitions>::create(honest, &SETUP)?;
        fill(&mut session)?;
        session.step(&Op::Commit(vec![put(3, 40), put(4, 41)], Durability::Sync))?;
        let older = session.disk().copy();
        // A merge after the older state: it writes down how far the log was synchronised.
        // It touches every leaf, so that neighbours were written together and differ in nothing but their numbers.
        // Keys of one kind with values of one length come last, so that leaves of their own have one stride.
        let all = (0..80).map(|key| match key % 8 {
            0..=3 => put(key, 96),
            6 => Write::Delete(key),
            _ => put(key, 30),
        });
        session.step(&Op::Commit(all.collect(), Durability::Sync))?;
        session.step(&Op::Freeze)?;
        session.step(&Op::Jobs(200))?;
        session.step(&Op::Tick(10))?;
        let mut last = Vec::new();
        let mut commit = |session: &mut Session<Partitions>, op: Op| {
            let before = session.expected().clone();
            let (segment, begin) = end_of_log(session.disk())?;
            session.step(&op)?;
            let (now, end) = end_of_log(session.disk())?;
            let begin = if now == segment { begin } else { RECORDS_START };
            last.push(Last { before, segment: now, begin, end });
            Ok::<(), Stop>(())
        };
        for key in 0..8 {
            commit(
                &mut session,
                Op::CommitIf(
                    4 + 16 * (key % 2),
                    Val { len: 900 + u32::from(key), fill: 9 },
                    Expect::Present,
                    Durability::Sync,
                ),
            )?;
        }
        commit(&mut session, Op::Commit(vec![put(200, 30), Write::DeleteRange(7, Some(9))], Durability::Sync))?;
        commit(&mut session, Op::Commit(vec![put(204, 700), Write::Delete(200), put(92, 3)], Durability::Sync))?;
        let pairs = session.expected().clone();
        let disk = match state {
            State::Closed => {
                session.step(&Op::Reopen)?;
                last.clear();
                close(session)?
            }
            State::Died | State::Live => session.disk().copy(),
        };
        let files: Vec<(PathBuf, u64)> =
            disk.files().map_err(io)?.into_iter().filter(|(path, _)| !path.ends_with("LOCK")).collect();
        let bytes: u64 = files.iter().map(|(_, len)| len).sum();
        if bytes > MOST_BYTES {
            return Err(Stop::Wrong(format!("the victim has {bytes} bytes: {files:?}")));
        }
        let files = files.into_iter().map(|(path, _)| path).collect();
        let newest_segment = end_of_log(&disk)?.0;
        Ok(Victim { state, disk, files, sources: Sources { older, foreign: foreign()? }, pairs, newest_segment, last })
    }

    /// A flip in a byte of any file that is not zero, unless that is hard to find.
    pub(super) fn bit_that_matters(&self, rng: &mut Rng) -> Damage {
        let path = &self.files[rng.below(self.files.len() as u64) as usize];
        let bytes = self.disk.read_file(path).unwrap_or_default();
        let matters = |bit: &u64| bytes[(bit / 8) as usize] != 0;
        let mut draw = || rng.below(8 * bytes.len() as u64);
        let bit = (0..64).map(|_| draw()).find(matters);
        Damage::Flip(path.clone(), bit.unwrap_or_else(draw))
    }

    /// Damages a copy and looks at everything in it.
    ///
    /// # Errors
    /// A sentence: something went wrong silently, without saying where, or without need.
    pub fn survives(&self, damage: &Damage) -> Result<Fate, String> {
        let fate = self.fate(damage)?;
        let refused = matches!(fate, Fate::OpenRefused | Fate::ReadRefused);
        if refused && damage.hits_one_meta(u64::from(SETUP.page_size)) {
            return Err(format!("{}, though the other meta of the file is good", fate.name()));
        }
        Ok(fate)
    }

    fn fate(&self, damage: &Damage) -> Result<Fate, String> {
        let disk = self.disk.copy();
        damage.inflict(&disk, &self.sources).map_err(|e| format!("the damage cannot be done: {e}"))?;
        let (engine, opened) = match open(disk) {
            Ok(opened) => opened,
            Err(refusal) => return names_a_place(&refusal).map(|()| Fate::OpenRefused),
        };
        let view = engine.view();
        match compare(&view, &self.pairs) {
            Ok(()) => Ok(Fate::Identical),
            Err(Stop::Refused(refusal)) => names_a_place(&refusal).map(|()| Fate::ReadRefused),
            Err(Stop::Wrong(what)) => self.shorter(damage, &view, &opened).ok_or_else(|| {
                let report =
                    opened.dropped.map_or("nothing was reported".to_owned(), |line| format!("reported: {line}"));
                format!("wrong data without an error: {what}; {report}")
            }),
        }
    }

    /// Whether the view shows the state before the last batch, and says so, or the damage is one that nothing can tell of.
    fn shorter(&self, damage: &Damage, view: &impl View, opened: &Opened) -> Option<Fate> {
        if damage.path() != self.newest_segment {
            return None;
        }
        // What the damage does not reach is there, unless there is no way to it: then something proves that it was.
        let reached = |last: &Last| last.segment == self.newest_segment && damage.touches(last.begin, last.end);
        for (number, last) in self.last.iter().enumerate().rev().take_while(|(_, last)| reached(last)) {
            if compare(view, &last.before).is_ok() {
                let one = number + 1 == self.last.len();
                return match damage {
                    _ if opened.dropped.is_some() && one => Some(Fate::Dropped),
                    Damage::Old(_) => Some(Fate::WentBack),
                    _ => None,
                };
            }
        }
        None
    }
}

/// A refusal is of a kind that tells damage from other failures, and names the file; damage inside a file has an offset.
fn names_a_place(refusal: &Refusal) -> Result<(), String> {
    let typed =
        matches!(refusal.kind.as_str(), "Corrupt" | "NotADatabase" | "ManifestMissing" | "Version" | "NotFound")
            || refusal.kind == "Io" && refusal.text.contains("No such file");
    let whole_file =
        ["MANIFEST", "does not belong here", "belongs to another log", "not a HaloDB page file", "No such file"];
    let placed = refusal.text.contains("byte") || whole_file.iter().any(|words| refusal.text.contains(words));
    if typed && placed && refusal.text.contains(DIR) {
        Ok(())
    } else {
        Err(format!("an error that names no place: {refusal}"))
    }
}

/// Everything: scans both ways, the count, every key by itself, and keys that are not there.
fn compare(view: &impl View, pairs: &Pairs) -> Result<(), Stop> {
    session::compare_all(view, pairs)?;
    for (key, value) in pairs {
        if view.get(key)?.as_deref() != Some(&value[..]) {
            return Err(Stop::Wrong(format!("get {} gave another value than a scan", oracle::show(key))));
        }
    }
    Ok(())
}

fn open(disk: SimVfs) -> Answer<(Partitions, Opened)> {
    Partitions::open(honest(disk), Path::new(DIR), &SETUP, Create::Never)
}

/// The newest segment with contents of its own, and where what is used of it ends.
fn end_of_log(disk: &SimVfs) -> Result<(PathBuf, u64), Stop> {
    let io = |e: std::io::Error| Stop::Wrong(e.to_string());
    let mut newest = None;
    for (path, _) in disk.files().map_err(io)? {
        let bytes = disk.read_file(&path).map_err(io)?;
        if let Ok(header) = SegmentHeader::decode(&bytes)
            && path.ends_with(file_name(header.number))
        {
            let place = Place::new(&header.uuid, header.number);
            let mut at = RECORDS_START;
            while let Ok(record) = RecordHeader::decode(&bytes[at as usize..], place, at)
                && record.kind != RecordKind::Witness
            {
                at += record.record_len();
            }
            newest = Some((path, at));
        }
    }
    newest.ok_or_else(|| Stop::Wrong("there is no log".to_owned()))
}

/// Closed again, without anything written since it was opened.
fn close(session: Session<Partitions>) -> Result<SimVfs, Stop> {
    let disk = session.disk().clone();
    let expected = session.expected().clone();
    drop(session);
    let (mut engine, _) = open(disk.clone())?;
    engine.close()?;
    let found = session::read_all(&engine.view())?;
    if found != expected {
        return Err(Stop::Wrong(oracle::difference(&expected, &found)));
    }
    Ok(disk)
}

/// A database of the same shape with another identity and other data.
fn foreign() -> Result<SimVfs, Stop> {
    let disk = SimVfs::new();
    let entropy = Entropy { uuid: [0xa5; 16], incarnation: 78, hash_seed: 99 };
    let options = SETUP.options(Create::IfMissing);
    PartitionSet::open(Arc::new(disk.clone()), Path::new(DIR), options, entropy, 0).map_err(Refusal::from)?;
    let history = oracle::History::default();
    let mut session = Session::<Partitions>::open(disk, honest, &SETUP, &history, oracle::Loss::Process, 0)?;
    fill(&mut session)?;
    session.step(&Op::Reopen)?;
    Ok(session.disk().copy())
}

#[cfg(test)]
mod tests {
    use super::*;
    use halodb::btree::inspect::LeafPage;
    use std::collections::BTreeSet;

    /// The kinds of pages that the newest commits reach or list, by the bytes in their headers.
    fn kinds(victim: &Victim) -> BTreeSet<u8> {
        let mut kinds = BTreeSet::new();
        for path in victim.files.iter().filter(|path| path.ends_with("tree.db")) {
            let bytes = victim.disk.read_file(path).unwrap();
            kinds.extend(bytes.chunks_exact(4096).skip(2).map(|page| page[24]));
        }
        kinds
    }

    /// How many leaves of the page files have one stride, and how many have records of any length.
    fn modes(victim: &Victim) -> (usize, usize) {
        let (mut fixed, mut variable) = (0, 0);
        for path in victim.files.iter().filter(|path| path.ends_with("tree.db")) {
            let bytes = victim.disk.read_file(path).unwrap();
            let leaves = bytes.chunks_exact(4096).skip(2).filter(|page| page[24] == 1 && page[25] == 0);
            let leaves = leaves.filter_map(|page| LeafPage::parse(&page[32..]).ok());
            leaves.for_each(|leaf| *(if leaf.stride().is_some() { &mut fixed } else { &mut variable }) += 1);
        }
        (fixed, variable)
    }

    fn is_live(victim: &Victim, path: &Path) -> bool {
        let header = SegmentHeader::decode(&victim.disk.read_file(path).unwrap());
        header.is_ok_and(|header| path.ends_with(file_name(header.number)))
    }

    #[test]
    fn a_victim_holds_all_kinds_of_pages_and_segments() {
        for state in [State::Closed, State::Died] {
            let victim = Victim::new(state).unwrap();
            let kinds = kinds(&victim);
            for kind in [1, 2, 3, 4, 250] {
                assert!(kinds.contains(&kind), "{state:?}: no page of kind {kind} among {kinds:?}");
            }
            let (fixed, variable) = modes(&victim);
            assert!(fixed > 0 && variable > 0, "{state:?}: {fixed} leaves of one stride, {variable} others");
            let bytes = victim.disk.read_file(&victim.newest_segment).unwrap();
            let (_, end) = end_of_log(&victim.disk).unwrap();
            // The block behind the records holds the witness.
            let behind = (end as usize).next_multiple_of(4096) + 48;
            assert!(bytes[behind..].iter().any(|byte| *byte != 0), "{state:?}: nothing stale behind the records");
            let segments = victim.files.iter().filter(|path| path.extension().is_some_and(|e| e == "log")).count();
            let live = victim.files.iter().filter(|path| is_live(&victim, path)).count();
            let needed = if state == State::Died { 2 } else { 1 };
            assert!(live >= needed && segments > live, "{state:?}: {live} of {segments} segments are live");
            assert_eq!(victim.survives(&Damage::Zero(victim.files[0].clone(), 0, 0)), Ok(Fate::Identical));
        }
    }
}
