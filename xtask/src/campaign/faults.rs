//! `faults`: one call of a short run fails, once or for good, with every error there is; nothing promised is lost.
//!
//! A workload runs once to learn how many calls it makes. Then it runs again for each call, with a fault at that call.
//! What the engine refuses with a typed error is fine; a wrong answer, a panic or a hang is not. At the end the disk is
//! healed and left as the death of the process would leave it, and as a power loss would; both must hold what was
//! promised.

use super::config::Setup;
use super::engine::Partitions;
use super::guard::{self, Watch};
use super::noting::{noted, noting};
use super::ops::{self, Op, Profile, Val, Write};
use super::oracle::{History, Loss};
use super::report::{Budget, Failure, Report};
use super::rng::{Rng, derive, runner};
use super::session::{Session, Step, Stop, honest, loss_of};
use super::{Aim, MODES, Plan, shrink};
use halodb::Durability;
use halodb::vfs::SimVfs;
use halodb::vfs::sim::{CrashMode, Fault, Repeat};
use proptest::strategy::{Strategy, ValueTree};
use std::fmt;
use std::time::Duration;

/// The faults, with their names on the command line, and how long they may last.
const FAULTS: &[(&str, Fault, &[Repeat])] = &[
    ("eio", Fault::Errno(libc::EIO), ONCE_OR_STICKY),
    ("enospc", Fault::Errno(libc::ENOSPC), ONCE_OR_STICKY),
    ("emfile", Fault::Errno(libc::EMFILE), ONCE_OR_STICKY),
    ("erofs", Fault::Errno(libc::EROFS), ONCE_OR_STICKY),
    // A transfer that was interrupted is repeated until it is not; any other call that was is one that failed.
    ("eintr", Fault::Errno(libc::EINTR), &[Repeat::Once]),
    ("short", Fault::Short, ONCE_OR_STICKY),
    ("syncfailsclean", Fault::SyncFailsClean, ONCE_OR_STICKY),
];

const ONCE_OR_STICKY: &[Repeat] = &[Repeat::Once, Repeat::Sticky];

/// Calls taken of one workload when the question is only whether there is a failure.
const FEW_CALLS: u64 = 40;

/// Steps of a workload.
const STEPS: std::ops::Range<usize> = 1..40;

/// A run that takes longer hangs.
const CASE_LIMIT: Duration = Duration::from_secs(30);

/// A fault at a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Strike {
    /// Number of the call since the disk was made.
    pub call: u64,
    /// What happens to it.
    pub fault: Fault,
    /// For how long.
    pub repeat: Repeat,
}

impl fmt::Display for Strike {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = FAULTS.iter().find(|(_, fault, _)| *fault == self.fault).map_or("unknown", |(name, ..)| name);
        let repeat = if self.repeat == Repeat::Once { "once" } else { "sticky" };
        write!(f, "{}:{name}:{repeat}", self.call)
    }
}

impl std::str::FromStr for Strike {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts: Vec<&str> = text.split(':').collect();
        let &[call, fault, repeat] = parts.as_slice() else {
            return Err("write it as CALL:FAULT:once|sticky".to_owned());
        };
        let call = call.parse().map_err(|_| format!("{call} is no number"))?;
        let &(name, fault, lasting) = FAULTS.iter().find(|(name, ..)| *name == fault).ok_or_else(|| {
            format!("the faults are {}", FAULTS.iter().map(|(name, ..)| *name).collect::<Vec<_>>().join(", "))
        })?;
        let repeat = match repeat {
            "once" => Repeat::Once,
            "sticky" => Repeat::Sticky,
            other => return Err(format!("{other} is neither once nor sticky")),
        };
        if !lasting.contains(&repeat) {
            return Err(format!("{name} passes: write {call}:{name}:once"));
        }
        Ok(Strike { call, fault, repeat })
    }
}

/// Runs the campaign; a case is a run with one fault.
pub fn run(plan: &Plan) -> Report {
    Budget::new(plan).run("faults", "faults", plan, |budget| {
        let watch = Watch::new(CASE_LIMIT);
        while let Some(index) = budget.take() {
            let seed = derive(plan.seed, index);
            let done = |cases| {
                budget.add(cases);
                budget.is_spent()
            };
            if let Err(failure) = workload(seed, &watch, budget, &done) {
                budget.fail(failure);
            }
        }
    })
}

/// Runs all faults of one workload, as a reproducing command asks for it.
pub fn run_workload(plan: &Plan, workload_seed: u64) -> Report {
    Budget::new(plan).run("faults", "faults", &Plan { threads: 1, ..plan.clone() }, |budget| {
        let watch = Watch::new(CASE_LIMIT);
        let outcome = workload(workload_seed, &watch, budget, &|cases| {
            budget.add(cases);
            false
        });
        if let Err(failure) = outcome {
            budget.fail(failure);
        }
    })
}

/// Runs one fault of one workload, as a reproducing command asks for it.
pub fn run_one(plan: &Plan, workload_seed: u64, strike: Strike) -> Report {
    Budget::new(plan).run("faults", "faults", &Plan { threads: 1, ..plan.clone() }, |budget| {
        match case(Setup::number(workload_seed), &draw(workload_seed), strike) {
            Ok(fate) => {
                budget.note(fate.name());
                budget.add(1);
            }
            Err(what) => budget.fail(Failure { what, reproduce: command(workload_seed, Some(strike)) }),
        }
    })
}

fn command(workload_seed: u64, strike: Option<Strike>) -> String {
    let strike = strike.map(|strike| format!(" --fault {strike}")).unwrap_or_default();
    format!("cargo xtask faults --workload {workload_seed}{strike}")
}

/// One workload in four ends with a process that finds everything closed in order, and whose first commit needs a new
/// segment. If that fails it leaves no record, so that the next one takes the files for closed in order as well.
fn draw(seed: u64) -> Vec<Op> {
    let transactions = if (seed >> 32) % TRANSACTIONS_EVERY == 1 { 300 } else { 0 };
    let tree =
        ops::workload(Profile { transactions, ..Profile::FAULTS }.timed(seed), STEPS).new_tree(&mut runner(seed));
    let mut steps = tree.expect("the strategy rejects nothing").current();
    if has_quiet_end(seed) {
        steps.extend(quiet_end());
    }
    steps
}

/// One workload in so many has transactions.
const TRANSACTIONS_EVERY: u64 = 8;

fn has_quiet_end(seed: u64) -> bool {
    (seed >> 20) % 4 == 3
}

fn quiet_end() -> [Op; 2] {
    [Op::Reopen, filler(0, MOST_OF_A_SEGMENT)]
}

/// Bytes of a value that leave little of the small configurations' segments.
const MOST_OF_A_SEGMENT: u32 = 6_000;

/// A durable commit of so many bytes.
fn filler(key: u16, len: u32) -> Op {
    Op::Commit(vec![Write::Put(key, Val { len, fill: 1 })], Durability::Sync)
}

/// All faults of one workload, in an order that a short campaign samples fairly.
fn workload(seed: u64, watch: &Watch, budget: &Budget, done: &dyn Fn(u64) -> bool) -> Result<(), Failure> {
    let setup = Setup::number(seed);
    let steps = draw(seed);
    watch.begin(command(seed, None));
    let (calls, syncs) = calls_of(setup, &steps)
        .map_err(|what| Failure { what: format!("without any fault, {what}"), reproduce: command(seed, None) })?;
    // The quiet end is short, and its calls matter.
    let quiet_from = match steps.strip_suffix(&quiet_end()) {
        Some(busy) if has_quiet_end(seed) => calls_of(setup, busy).map_or(calls, |(calls, _)| calls),
        _ => calls,
    };
    let mut rng = Rng::new(seed);
    for call in 0..calls {
        // Whether anything is wrong shows sooner at a few calls of many workloads, every second one a synchronisation.
        let is_sync = syncs.binary_search(&call).is_ok();
        let alike = if is_sync { syncs.len() as u64 } else { calls };
        if budget.aim() == Aim::Detect && rng.below(alike) >= FEW_CALLS / 2 && !(is_sync && call >= quiet_from) {
            continue;
        }
        // Two of the thirteen kinds at each call; the next workload has others.
        for _ in 0..2 {
            let (_, fault, lasting) = rng.pick(FAULTS);
            let mut strike = Strike { call, fault, repeat: rng.pick(lasting) };
            if is_sync && rng.below(2) == 0 {
                // A synchronisation that fails and is forgotten is the worst of them.
                strike = Strike { fault: Fault::SyncFailsClean, repeat: rng.pick(ONCE_OR_STICKY), ..strike };
            }
            watch.begin(command(seed, Some(strike)));
            let outcome = case(setup, &steps, strike);
            if let Ok(fate) = outcome {
                budget.note(fate.name());
            }
            if let Err(what) = outcome {
                watch.end();
                if budget.aim() == Aim::Detect {
                    return Err(Failure { what, reproduce: command(seed, Some(strike)) });
                }
                let smaller =
                    shrink::smallest(&steps, Duration::from_secs(20), |steps| fails_anywhere(setup, steps, strike));
                let smaller = smaller
                    .map(|(steps, what)| format!("\n  smallest found: {steps:?}\n    {what}"))
                    .unwrap_or_default();
                let what = format!("configuration {}, fault {strike}: {what}{smaller}", setup.name);
                return Err(Failure { what, reproduce: command(seed, Some(strike)) });
            }
            if done(1) {
                watch.end();
                return Ok(());
            }
        }
    }
    watch.end();
    Ok(())
}

/// Whether this kind of fault breaks a workload at any call; for shrinking, where call numbers move.
fn fails_anywhere(setup: &Setup, steps: &[Op], strike: Strike) -> Option<String> {
    let (calls, _) = calls_of(setup, steps).ok()?;
    (0..calls).find_map(|call| {
        let strike = Strike { call, ..strike };
        case(setup, steps, strike).err().map(|what| format!("{what}\n    at {strike}"))
    })
}

/// The number of calls that a workload makes when nothing fails, and which of them synchronise something.
fn calls_of(setup: &Setup, steps: &[Op]) -> Result<(u64, Vec<u64>), String> {
    let run = || {
        noted();
        let mut session = Session::<Partitions>::create(noting, setup)?;
        for step in steps {
            session.step(step)?;
        }
        Ok((session.disk().calls(), noted()))
    };
    guard::caught(run)?.map_err(|stop: Stop| stop.text())
}

/// What a fault led to, all of it allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// No call was refused: the fault was dealt with, or hit nothing.
    Unnoticed,
    /// A call was refused, and the engine went on.
    Refused,
    /// The engine poisoned itself.
    Poisoned,
}

impl Fate {
    fn name(self) -> &'static str {
        match self {
            Fate::Unnoticed => "unnoticed",
            Fate::Refused => "refused",
            Fate::Poisoned => "poisoned",
        }
    }
}

fn case(setup: &Setup, steps: &[Op], strike: Strike) -> Result<Fate, String> {
    guard::caught(|| struck_run(setup, steps, strike)).unwrap_or_else(Err)
}

fn struck_run(setup: &Setup, steps: &[Op], strike: Strike) -> Result<Fate, String> {
    let mut fate = Fate::Unnoticed;
    let mut rng = Rng::new(strike.call);
    let disk = SimVfs::new();
    disk.inject(strike.call, strike.fault, strike.repeat);
    // Moments after which things may be the worse for the fault.
    let mut suspect = Vec::new();
    let mut moments = Vec::new();
    let history = match Session::<Partitions>::open(disk.clone(), honest, setup, &History::default(), Loss::Power, 0) {
        Ok(mut session) => {
            for (number, step) in steps.iter().enumerate() {
                let before = disk.ops();
                tolerate(session.step(step), &disk, &mut fate)
                    .map_err(|what| format!("step {number}, {step:?}: {what}"))?;
                if disk.struck() > 0 && suspect.is_empty() {
                    suspect.push(before);
                }
            }
            // What failed must not show, however long ago.
            tolerate(session.look(), &disk, &mut fate).map_err(|what| format!("at the end: {what}"))?;
            disk.heal();
            if fate == Fate::Poisoned || rng.below(if fate == Fate::Refused { 2 } else { 8 }) == 0 {
                suspect.push(disk.ops());
                let life = next_life(&mut session, &mut rng);
                let life = life.map_err(|stop| format!("in the next life, {}", stop.text()))?;
                suspect.push(life.merging);
                moments = life.moments(&mut rng);
            } else if rng.below(2) == 0 {
                // What failed is tried again.
                suspect.push(disk.ops());
                for step in [Op::Freeze, Op::Drain, Op::Check] {
                    tolerate(session.step(&step), &disk, &mut fate)
                        .map_err(|what| format!("after the fault, {step:?}: {what}"))?;
                }
            }
            session.history()
        }
        Err(stop) => {
            tolerate(Err(stop), &disk, &mut fate).map_err(|what| format!("creating: {what}"))?;
            disk.heal();
            History::default()
        }
    };
    let last = disk.ops();
    moments.extend([(last, CrashMode::Kept), (last, CrashMode::Strict), (last, CrashMode::Random)]);
    for since in suspect {
        moments.extend((0..6).map(|_| ((since + rng.below(24)).min(last), rng.pick(MODES))));
    }
    for (at, mode) in moments {
        let image = disk.crash_image(at, mode, rng.draw());
        let told = |stop: Stop| format!("on the healed disk, {mode:?} at {at}: {}", stop.text());
        let mut session =
            Session::<Partitions>::open(image, honest, setup, &history, loss_of(mode), at).map_err(told)?;
        session.check().map_err(told)?;
    }
    Ok(fate)
}

/// What the process did that came after the one with the fault: moments of its disk.
struct NextLife {
    /// When it began to open the database.
    began: u64,
    /// When each of its steps was done, the open first.
    done: Vec<u64>,
    /// When it began to merge.
    merging: u64,
}

/// Operations at the end of a recovery, and at the beginning of a first merge, that are all taken: in them the log's
/// surviving tail and the metas of each partition are written again, which takes six for a partition.
const RECOVERY: u64 = 40;
const FIRST_MERGE: u64 = 12;

impl NextLife {
    /// Moments, and what the power leaves. What the dead process could not synchronise is lost with what was built on it, which
    /// shows where all that is pending goes; what overwrites the only proof of it shows where that is torn.
    fn moments(&self, rng: &mut Rng) -> Vec<(u64, CrashMode)> {
        let mut moments: Vec<_> = self.done.iter().map(|&at| (at, CrashMode::Strict)).collect();
        let opened = self.done[0];
        let recovery = self.began.max(opened.saturating_sub(RECOVERY))..opened;
        let securing = recovery.chain(self.merging..self.merging + FIRST_MERGE);
        for at in securing {
            moments.push((at, rng.pick(&[CrashMode::Garbage, CrashMode::Random])));
        }
        moments
    }
}

/// The process dies, and the next one finds in the cache what may never have reached the disk: after a failed
/// synchronisation it stays there, as if it were durable. It works on for a while, often with a commit that goes into
/// whatever segment was prepared before, and merges, and nothing is refused any more.
fn next_life(session: &mut Session<Partitions>, rng: &mut Rng) -> Step<NextLife> {
    let began = session.disk().ops();
    session.step(&Op::Die)?;
    let mut done = vec![session.disk().ops()];
    let mut steps = ops::workload(Profile::FAULTS, 1..6)
        .new_tree(&mut runner(rng.draw()))
        .expect("the strategy rejects nothing")
        .current();
    if rng.below(2) == 0 {
        steps.insert(0, filler(0, rng.pick(&[100, MOST_OF_A_SEGMENT])));
    }
    for step in steps {
        session.step(&step)?;
        done.push(session.disk().ops());
    }
    let merging = session.disk().ops();
    session.step(&Op::Freeze)?;
    session.step(&Op::Drain)?;
    Ok(NextLife { began, done, merging })
}

/// A refusal is fine once the fault has struck; a wrong answer never is.
fn tolerate(outcome: Step, disk: &SimVfs, fate: &mut Fate) -> Result<(), String> {
    match outcome {
        Ok(()) => Ok(()),
        Err(Stop::Refused(refusal)) if disk.struck() > 0 => {
            if refusal.kind == "Poisoned" {
                *fate = Fate::Poisoned;
            } else if *fate == Fate::Unnoticed {
                *fate = Fate::Refused;
            }
            Ok(())
        }
        Err(stop) => Err(stop.text()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_is_read_as_it_is_written() {
        for &(name, fault, lasting) in FAULTS {
            for &repeat in lasting {
                let strike = Strike { call: 7, fault, repeat };
                assert_eq!(strike.to_string().parse(), Ok(strike), "{name}");
            }
        }
    }

    #[test]
    fn a_fault_that_passes_is_refused_for_good() {
        assert_eq!("7:eintr:sticky".parse::<Strike>(), Err("eintr passes: write 7:eintr:once".to_owned()));
        assert!("7:esomething:once".parse::<Strike>().unwrap_err().contains("erofs"));
    }
}
