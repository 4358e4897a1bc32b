//! [`Session`]: one database on one simulated disk, a map that says what it must show, and the promises it has made.
//!
//! Every step compares what the engine answers with the map. What a loss may leave is judged later, from the
//! [`History`] that the steps wrote down.

use super::backups::{self, Backup};
use super::config::Setup;
use super::engine::{Answer, Engine, Opened, Refusal, View};
use super::ops::{self, Op, Write};
use super::oracle::{self, History, Loss, Pairs};
use super::transactions::{self, Begun, Ended, Read};
use halodb::Durability;
use halodb::partition::{Create, Expect};
use halodb::vfs::sim::CrashMode;
use halodb::vfs::{SimVfs, Vfs};
use std::ops::Bound;
use std::path::Path;
use std::sync::Arc;

/// The directory of the database on the simulated disk.
pub const DIR: &str = "data";

/// How the engine sees the disk: as it is, or through something that lies.
pub type Seam = fn(SimVfs) -> Arc<dyn Vfs>;

/// The disk as it is.
pub fn honest(disk: SimVfs) -> Arc<dyn Vfs> {
    Arc::new(disk)
}

/// Why a step did not go as it should.
#[derive(Clone, Debug)]
pub enum Stop {
    /// The engine did what it must not.
    Wrong(String),
    /// The engine refused with a typed error: right only if something gave it reason to.
    Refused(Refusal),
}

impl Stop {
    /// A sentence, where nothing gave the engine reason to refuse.
    pub fn text(&self) -> String {
        match self {
            Stop::Wrong(what) => what.clone(),
            Stop::Refused(refusal) => format!("refused without reason: {refusal}"),
        }
    }
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        Stop::Refused(refusal)
    }
}

/// Result of a step.
pub type Step<T = ()> = Result<T, Stop>;

/// What a step may have to be told apart by.
fn wrong<T>(what: String) -> Step<T> {
    Err(Stop::Wrong(what))
}

/// Most snapshots kept at a time.
const MOST_SNAPSHOTS: usize = 4;

/// Most transactions open at a time.
const MOST_TRANSACTIONS: usize = 3;

/// What the engine takes for a clock that was set, and not for one that ran: time is this much ahead.
const TOLD_APART_MS: u64 = 10_001;

/// Background work that does not end within so many jobs never does.
const MOST_JOBS: usize = 1_000;

/// One database under test.
#[derive(Debug)]
pub struct Session<E: Engine> {
    disk: SimVfs,
    seam: Seam,
    setup: Setup,
    /// `None` after an open that failed.
    engine: Option<E>,
    /// Something was refused: the next open may find traces of it.
    troubled: bool,
    /// What reads must show now.
    now: Pairs,
    /// The time that readers have seen.
    time_ms: u64,
    history: History,
    /// Batches of which a failure left open whether they happened. They must not show before the next open.
    doubtful: Vec<Vec<Write>>,
    snapshots: Vec<(E::View, Pairs)>,
    transactions: Vec<Begun<E::Transaction>>,
    /// Operations of the disk when the last open was finished.
    opened_at: u64,
}

impl<E: Engine> Session<E> {
    /// Opens a database on `disk`, which must hold a state that `before` allows after the loss of `loss` at `at`.
    pub fn open(disk: SimVfs, seam: Seam, setup: &Setup, before: &History, loss: Loss, at: u64) -> Step<Session<E>> {
        let (session, _) = Self::open_reporting(disk, seam, setup, before, loss, at)?;
        Ok(session)
    }

    /// Like [`Session::open`], with what the open reported.
    pub fn open_reporting(
        disk: SimVfs,
        seam: Seam,
        setup: &Setup,
        before: &History,
        loss: Loss,
        at: u64,
    ) -> Step<(Session<E>, Opened)> {
        let (engine, opened) = E::open(seam(disk.clone()), Path::new(DIR), setup, Create::IfMissing)?;
        let opened_at = disk.ops();
        let now = read_all(&engine.view())?;
        let time_ms = engine.time_ms();
        if let Err(what) = before.explain(&now, loss, at, time_ms) {
            return wrong(format!(
                "after opening, {what}{}",
                opened.dropped.as_ref().map(|d| format!("; reported: {d}")).unwrap_or_default()
            ));
        }
        backups::judge_left::<E>(&disk, setup, &before.backups, at)?;
        let mut history = History::starting_from(now.clone()).numbering_from(before.greatest_number(at));
        history.saw(time_ms, 0);
        let session = Session {
            disk,
            seam,
            setup: setup.clone(),
            engine: Some(engine),
            troubled: false,
            now,
            time_ms,
            history,
            doubtful: Vec::new(),
            snapshots: Vec::new(),
            transactions: Vec::new(),
            opened_at,
        };
        Ok((session, opened))
    }

    /// An empty database on an empty disk.
    pub fn create(seam: Seam, setup: &Setup) -> Step<Session<E>> {
        Self::open(SimVfs::new(), seam, setup, &History::default(), Loss::Power, 0)
    }

    /// The disk.
    pub fn disk(&self) -> &SimVfs {
        &self.disk
    }

    /// What a loss may leave. Batches in doubt come last.
    pub fn history(&self) -> History {
        let mut history = self.history.clone();
        for batch in &self.doubtful {
            history.submit(batch, 0);
        }
        history
    }

    /// What reads must show.
    pub fn expected(&self) -> &Pairs {
        &self.now
    }

    /// Operations of the disk when the last open was finished.
    pub fn opened_at(&self) -> u64 {
        self.opened_at
    }

    /// Does one step and compares.
    pub fn step(&mut self, op: &Op) -> Step {
        let Some(op) = E::adapt(op) else { return Ok(()) };
        let outcome = self.do_step(&op);
        self.troubled |= matches!(outcome, Err(Stop::Refused(_)));
        self.pass_time()?;
        outcome
    }

    /// What has expired since the last step is absent from now on.
    fn pass_time(&mut self) -> Step {
        let Some(engine) = &self.engine else { return Ok(()) };
        let time_ms = engine.time_ms();
        if time_ms < self.time_ms {
            return wrong(format!("time went back from {} to {time_ms}", self.time_ms));
        }
        self.time_ms = time_ms;
        self.history.saw(time_ms, self.disk.ops());
        oracle::expire(&mut self.now, time_ms);
        Ok(())
    }

    /// The open engine.
    fn engine(&mut self) -> Step<&mut E> {
        let closed = || Refusal { kind: "Closed".to_owned(), text: "the last open failed".to_owned() };
        self.engine.as_mut().ok_or_else(|| closed().into())
    }

    fn do_step(&mut self, op: &Op) -> Step {
        match op {
            Op::Commit(batch, level) => self.commit(batch, *level),
            Op::Ingest(first, count, value) => self.ingest(&ops::run(*first, *count, *value)),
            Op::CommitIf(key, value, expect, level) => {
                let present = self.now.contains_key(&ops::key(*key)[..]);
                let holds = present == (*expect == Expect::Present);
                self.commit_if(*key, *value, *expect, *level, holds)
            }
            Op::Begin(reads) => self.begin(reads),
            Op::Finish(number, writes, level) => self.finish(*number, writes, *level),
            Op::Get(id) => {
                let key = ops::key(*id);
                let found = self.engine()?.get(&key)?;
                compare_value(&key, self.now.get(&key[..]), found.as_deref())
            }
            Op::Scan(..) | Op::Count(..) | Op::Walk(_) => {
                let view = self.engine()?.view();
                compare_read(&view, &self.now, op)
            }
            Op::Snapshot => {
                if self.snapshots.len() == MOST_SNAPSHOTS {
                    let (view, pairs) = self.snapshots.remove(0);
                    compare_all(&view, &pairs)?;
                }
                let view = self.engine()?.view();
                self.snapshots.push((view, self.now.clone()));
                Ok(())
            }
            Op::CheckSnapshot(number) if !self.snapshots.is_empty() => {
                let (view, pairs) = &self.snapshots[usize::from(*number) % self.snapshots.len()];
                compare_all(view, pairs)
            }
            Op::DropSnapshot(number) if !self.snapshots.is_empty() => {
                let (view, pairs) = self.snapshots.remove(usize::from(*number) % self.snapshots.len());
                compare_all(&view, &pairs)
            }
            Op::CheckSnapshot(_) | Op::DropSnapshot(_) => Ok(()),
            Op::Freeze => Ok(self.engine()?.freeze()?),
            Op::Jobs(count) => Ok(self.engine()?.jobs(usize::from(*count)).map(drop)?),
            Op::Drain => match self.engine()?.jobs(MOST_JOBS)? {
                MOST_JOBS => wrong(format!("after {MOST_JOBS} jobs there is still background work to do")),
                _ => Ok(()),
            },
            Op::Compact => Ok(self.engine()?.compact()?),
            Op::Backup(key, value) => self.backup(*key, *value),
            Op::Tick(ms) => Ok(self.engine()?.tick(u64::from(*ms))?),
            Op::WrongClock(ms) => self.wrong_clock(*ms),
            Op::Sync => {
                self.engine()?.sync()?;
                self.history.promise_all(Loss::Power, self.disk.ops());
                Ok(())
            }
            Op::Reopen => self.reopen(),
            Op::Die => self.die(),
            Op::Crash(mode, seed) => self.crash(*mode, *seed),
            Op::Check => self.check(),
        }
    }

    fn commit(&mut self, batch: &[Write], level: Durability) -> Step {
        let at = self.disk.ops();
        self.engine()?;
        self.history.submit(batch, at);
        let answer = self.engine()?.commit(batch, level);
        self.settle(batch, level, answer)
    }

    fn ingest(&mut self, puts: &[Write]) -> Step {
        let at = self.disk.ops();
        self.engine()?;
        self.history.submit(puts, at);
        let answer = self.engine()?.ingest(puts);
        self.settle(puts, Durability::Sync, answer)
    }

    fn commit_if(&mut self, id: u16, value: ops::Val, expect: Expect, level: Durability, holds: bool) -> Step {
        let batch = [Write::Put(id, value)];
        let at = self.disk.ops();
        self.engine()?;
        self.history.submit(&batch, at);
        let answer = self.engine()?.commit_if(&ops::key(id), &value.bytes(), expect, level);
        match answer {
            Ok(done) if done != holds => wrong(format!("a put if {expect:?} was done: {done}, must be: {holds}")),
            Ok(false) => {
                self.history.refuse_last();
                Ok(())
            }
            Err(refusal) if !holds => {
                self.history.refuse_last();
                Err(refusal.into())
            }
            answer => self.settle(&batch, level, answer.map(drop)),
        }
    }

    fn begin(&mut self, reads: &[Read]) -> Step {
        if self.transactions.len() == MOST_TRANSACTIONS {
            self.transactions.remove(0);
        }
        let open = self.engine()?.begin()?;
        let found = E::read(&open, reads)?;
        transactions::compare(reads, &found, &self.now).or_else(wrong)?;
        let (reads, sees) = (reads.to_vec(), self.now.clone());
        self.transactions.push(Begun { open, reads, sees, changed: false, touched: false });
        Ok(())
    }

    fn finish(&mut self, number: u8, writes: &[Write], level: Durability) -> Step {
        if self.transactions.is_empty() {
            return Ok(());
        }
        let Begun { open, reads, sees, mut changed, mut touched } =
            self.transactions.remove(usize::from(number) % self.transactions.len());
        let found = E::read(&open, &reads)?;
        transactions::compare(&reads, &found, &sees).or_else(wrong)?;
        let at = self.disk.ops();
        self.engine()?;
        self.history.submit(writes, at);
        changed |= transactions::lapsed(&reads, &sees, self.time_ms);
        let answer = self.engine()?.finish(open, &reads, writes, level);
        // Time may have gone on with the commit, before or after it was judged.
        touched |= transactions::lapsed(&reads, &sees, self.engine()?.time_ms());
        match answer {
            Ok(Ended::Committed) => {
                transactions::judge(Ended::Committed, changed, touched, &reads).or_else(wrong)?;
                self.settle(writes, level, Ok(()))
            }
            Ok(ended) => {
                self.history.refuse_last();
                transactions::judge(ended, changed, touched, &reads).or_else(wrong)
            }
            Err(refusal) => self.settle(writes, level, Err(refusal)),
        }
    }

    /// Writes down what the answer to the batch submitted last means.
    fn settle(&mut self, batch: &[Write], level: Durability, answer: Answer<()>) -> Step {
        match answer {
            Ok(()) => {
                let before: Vec<_> = self.transactions.iter().map(|tx| tx.finds(&self.now)).collect();
                oracle::apply(&mut self.now, batch);
                for (tx, before) in self.transactions.iter_mut().zip(before) {
                    tx.changed |= tx.finds(&self.now) != before;
                    tx.touched |= transactions::meet(&tx.reads, batch);
                }
                // The engine goes on after a failure only where the failed batch left no trace.
                self.doubtful.clear();
                let number = self.engine()?.last_number();
                if number > 0 {
                    self.history.number(number, self.disk.ops()).or_else(wrong)?;
                }
                match level {
                    Durability::Sync => self.history.promise_all(Loss::Power, self.disk.ops()),
                    Durability::Buffered => self.history.promise_all(Loss::Process, self.disk.ops()),
                    Durability::Memory => {}
                }
                Ok(())
            }
            Err(refusal) => {
                self.history.refuse_last();
                // Any other error says that nothing was written: the batch must not show, whatever became of later ones.
                if refusal.kind == "Poisoned" {
                    self.doubtful.push(batch.to_vec());
                }
                Err(refusal.into())
            }
        }
    }

    /// Makes a backup, during which a put is committed that is not in it, and judges it.
    fn backup(&mut self, key: u16, value: ops::Val) -> Step {
        self.engine()?;
        let dir = backups::unused_name(&self.disk, &self.history.backups);
        let number = self.history.backups.len();
        let begun = self.disk.ops();
        self.history.backups.push(Backup { dir: dir.clone(), begun, done: None, pairs: self.now.clone() });
        let batch = [Write::Put(key, value)];
        self.history.submit(&batch, begun);
        let mut committed = None;
        let answer = self.engine()?.backup(Path::new(&dir), &mut |commit| committed = Some(commit(&batch)));
        let committed = match committed {
            Some(answer) => self.settle(&batch, Durability::Sync, answer.map(drop)),
            None => {
                self.history.refuse_last();
                Ok(())
            }
        };
        if answer.is_ok() {
            self.history.backups[number].done = Some(self.disk.ops());
            backups::judge_whole::<E>(&self.disk, &self.setup, &self.history.backups[number], self.now.len() as u64)?;
        }
        committed?;
        Ok(answer?)
    }

    /// Time goes on by a clock that is in doubt, and merges meet it; then it is set back, and what had expired meanwhile is there
    /// again, all of it.
    fn wrong_clock(&mut self, ms: u32) -> Step {
        let time_ms = self.engine()?.time_ms();
        if time_ms == 0 {
            return Ok(());
        }
        self.engine()?.tick_in_doubt(TOLD_APART_MS + u64::from(ms))?;
        let late_ms = self.engine()?.time_ms();
        self.history.saw(late_ms, self.disk.ops());
        let mut seen = self.now.clone();
        oracle::expire(&mut seen, late_ms);
        compare_all(&self.engine()?.view(), &seen)?;
        self.engine()?.freeze()?;
        self.engine()?.jobs(MOST_JOBS)?;
        compare_all(&self.engine()?.view(), &seen)?;
        self.close()?;
        self.history.set_back(time_ms, self.disk.ops());
        self.time_ms = time_ms;
        E::turn_back((self.seam)(self.disk.clone()), Path::new(DIR), &self.setup, time_ms)?;
        self.open_again()?;
        match self.engine()?.time_ms() {
            back if back == time_ms => Ok(()),
            back => wrong(format!("time was {time_ms}, went on to {late_ms}, and was set back to {back}")),
        }
    }

    /// Closes in order and opens again: everything is there, and the open says that nothing was amiss.
    fn reopen(&mut self) -> Step {
        // After a close or an open that failed, the database is as the death of the process leaves it.
        if self.engine.is_none() {
            return self.die();
        }
        self.close()?;
        self.open_again()
    }

    /// Closes in order.
    fn close(&mut self) -> Step {
        let Some(mut engine) = self.engine.take() else { return Ok(()) };
        let snapshots = std::mem::take(&mut self.snapshots);
        self.transactions.clear();
        engine.close()?;
        self.history.promise_all(Loss::Power, self.disk.ops());
        for (view, pairs) in snapshots {
            compare_all(&view, &pairs)?;
        }
        // The lock goes with the engine, so it is dropped before a new one opens.
        drop(engine);
        Ok(())
    }

    /// Opens what was closed in order.
    fn open_again(&mut self) -> Step {
        let (engine, opened) = E::open((self.seam)(self.disk.clone()), Path::new(DIR), &self.setup, Create::Never)?;
        let engine = self.engine.insert(engine);
        self.opened_at = self.disk.ops();
        if !self.troubled && (!opened.clean || opened.dropped.is_some()) {
            return wrong(format!("after an orderly close, open says: {opened:?}"));
        }
        // The end of a process is as late as its clock says.
        oracle::expire(&mut self.now, engine.time_ms());
        compare_all(&engine.view(), &self.now)
    }

    /// The process dies now, the disk stays as it is: what is found there may not be durable yet, but what an open shows
    /// must be.
    fn die(&mut self) -> Step {
        self.engine = None;
        self.snapshots.clear();
        self.transactions.clear();
        let at = self.disk.ops();
        let (engine, _) = E::open((self.seam)(self.disk.clone()), Path::new(DIR), &self.setup, Create::Never)?;
        let now = read_all(&engine.view())?;
        let mut history = self.history();
        match history.explain(&now, Loss::Process, at, engine.time_ms()) {
            Ok(survivors) => history.reopened(survivors, self.disk.ops()),
            Err(what) => return wrong(format!("after the process died, {what}")),
        }
        self.engine = Some(engine);
        self.opened_at = self.disk.ops();
        self.doubtful.clear();
        self.history = history;
        self.now = now;
        Ok(())
    }

    /// Loses power now and opens what is left.
    fn crash(&mut self, mode: CrashMode, seed: u64) -> Step {
        let at = self.disk.ops();
        let image = self.disk.crash_image(at, mode, seed);
        let next = Self::open(image, self.seam, &self.setup, &self.history(), loss_of(mode), at)?;
        *self = next;
        self.check()
    }

    /// Compares everything that reads show, in kept snapshots too.
    pub fn look(&mut self) -> Step {
        compare_all(&self.engine()?.view(), &self.now)?;
        self.snapshots.iter().try_for_each(|(view, pairs)| compare_all(view, pairs))
    }

    /// Compares everything, and lets the engine check its files.
    pub fn check(&mut self) -> Step {
        self.check_beside(|_| false)
    }

    /// Like [`Session::check`]; findings that are `known` are no failure.
    pub fn check_beside(&mut self, known: impl Fn(&str) -> bool) -> Step {
        self.look()?;
        let struck = self.disk.struck();
        let mut findings = self.engine()?.check()?;
        findings.retain(|finding| !known(finding));
        if findings.is_empty() {
            return Ok(());
        }
        let text = format!("check finds: {}", findings.join("; "));
        if self.disk.struck() > struck {
            // A read that fails is a finding, too.
            return Err(Stop::Refused(Refusal { kind: "Io".to_owned(), text }));
        }
        wrong(text)
    }
}

/// Which promises hold after a crash of this kind.
pub fn loss_of(mode: CrashMode) -> Loss {
    if mode == CrashMode::Kept { Loss::Process } else { Loss::Power }
}

/// All pairs, by one scan; the count must agree.
pub fn read_all(view: &impl View) -> Step<Pairs> {
    let pairs = view.scan(Bound::Unbounded, Bound::Unbounded, ops::Direction::Forward, usize::MAX)?;
    let count = pairs.len();
    let map: Pairs = pairs.into_iter().map(|(key, value)| (key.into(), value.into())).collect();
    if map.len() != count {
        return wrong(format!("a scan gave {count} pairs, {} of them distinct", map.len()));
    }
    let counted = view.count(Bound::Unbounded, Bound::Unbounded)?;
    if counted != count as u64 {
        return wrong(format!("the count is {counted}, a scan gave {count} pairs"));
    }
    Ok(map)
}

/// Compares a whole view with a map: scans in both directions, the count, and single keys, absent ones too.
pub fn compare_all(view: &impl View, pairs: &Pairs) -> Step {
    let found = read_all(view)?;
    if found != *pairs {
        return wrong(format!("everything: {}", oracle::difference(pairs, &found)));
    }
    compare_read(view, pairs, &Op::Scan(ops::End::Open, ops::End::Open, ops::Direction::Backward, usize::MAX))?;
    for (key, value) in pairs.iter().step_by(1 + pairs.len() / 40) {
        compare_value(key, Some(value), view.get(key)?.as_deref())?;
        let absent = [key, &b"-"[..]].concat();
        compare_value(&absent, pairs.get(&absent[..]), view.get(&absent)?.as_deref())?;
    }
    Ok(())
}

fn compare_value(key: &[u8], expected: Option<&Arc<[u8]>>, found: Option<&[u8]>) -> Step {
    if expected.map(|value| &value[..]) == found {
        return Ok(());
    }
    let len = |value: Option<&[u8]>| {
        value.map_or("absent".to_owned(), |value| format!("{} bytes {}", value.len(), oracle::show(value)))
    };
    wrong(format!("get {} gave {}, expected {}", oracle::show(key), len(found), len(expected.map(|v| &v[..]))))
}

/// Does one read on a view and compares.
fn compare_read(view: &impl View, pairs: &Pairs, op: &Op) -> Step {
    match op {
        Op::Scan(from, to, way, limit) => {
            let (a, b) = (from.bytes(), to.bytes());
            let (from, to) = (from.bound(&a), to.bound(&b));
            let found = view.scan(from, to, *way, *limit)?;
            let within = oracle::within(pairs, from, to);
            let expected: Vec<_> = match way {
                ops::Direction::Forward => within.take(*limit).collect(),
                ops::Direction::Backward => within.rev().take(*limit).collect(),
            };
            let equal = expected.len() == found.len()
                && expected.iter().zip(&found).all(|((key, value), (k, v))| key[..] == k[..] && value[..] == v[..]);
            if equal {
                return Ok(());
            }
            let keys = |keys: Vec<&[u8]>| keys.iter().map(|key| oracle::show(key)).collect::<Vec<_>>().join(" ");
            let found_keys = keys(found.iter().map(|(key, _)| &key[..]).collect());
            let expected_keys = keys(expected.iter().map(|(key, _)| &key[..]).collect());
            wrong(format!("{op:?} gave [{found_keys}], expected [{expected_keys}]"))
        }
        Op::Count(from, to) => {
            let (a, b) = (from.bytes(), to.bytes());
            let (from, to) = (from.bound(&a), to.bound(&b));
            let found = view.count(from, to)?;
            let expected = oracle::within(pairs, from, to).count() as u64;
            if found == expected { Ok(()) } else { wrong(format!("{op:?} gave {found}, expected {expected}")) }
        }
        Op::Walk(moves) => {
            let Some(places) = view.walk(moves) else { return Ok(()) };
            let places = places?;
            let mut at: Option<Arc<[u8]>> = None;
            for (number, (step, found)) in moves.iter().zip(&places).enumerate() {
                at = expected_move(pairs, at, *step);
                let expected = at.as_ref().and_then(|key| pairs.get_key_value(key));
                let equal = match (expected, found) {
                    (None, None) => true,
                    (Some((key, value)), Some((k, v))) => key[..] == k[..] && value[..] == v[..],
                    _ => false,
                };
                if !equal {
                    let name = |key: Option<&[u8]>| key.map_or("the end".to_owned(), oracle::show);
                    let found = name(found.as_ref().map(|(key, _)| &key[..]));
                    let expected = name(expected.map(|(key, _)| &key[..]));
                    return wrong(format!("move {number} of {moves:?} leads to {found}, expected {expected}"));
                }
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

fn expected_move(pairs: &Pairs, at: Option<Arc<[u8]>>, step: ops::Move) -> Option<Arc<[u8]>> {
    let first_from =
        |from: Bound<&[u8]>| oracle::within(pairs, from, Bound::Unbounded).next().map(|(key, _)| key.clone());
    let last_to =
        |to: Bound<&[u8]>| oracle::within(pairs, Bound::Unbounded, to).next_back().map(|(key, _)| key.clone());
    match step {
        ops::Move::First => first_from(Bound::Unbounded),
        ops::Move::Last => last_to(Bound::Unbounded),
        ops::Move::Seek(id) => first_from(Bound::Included(&ops::key(id))),
        ops::Move::SeekBack(id) => last_to(Bound::Included(&ops::key(id))),
        ops::Move::Next => at.and_then(|key| first_from(Bound::Excluded(&key))),
        ops::Move::Prev => at.and_then(|key| last_to(Bound::Excluded(&key))),
    }
}
