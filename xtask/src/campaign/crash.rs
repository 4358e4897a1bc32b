//! `crash`: every moment of a short run is a power loss, and what it leaves is opened, compared, and lost again.
//!
//! A workload runs once on a simulated disk. Then, for every operation that the disk saw, images of what a power loss at
//! that moment could have left are made, in every mode; each is opened, must hold a state that the oracle allows, and
//! must pass a deep check. Then it goes on with a few steps, and power is lost again, at any moment since the image was
//! made, the recovery included; three losses deep.

use super::config::Setup;
use super::engine::{Engine, Partitions};
use super::facade::Facade;
use super::guard::{self, Watch};
use super::ops::{self, Op, Profile};
use super::oracle::{History, Loss};
use super::report::{Budget, Failure, Report};
use super::rng::{Rng, derive, runner};
use super::session::{DIR, Seam, Session, Step, Stop, loss_of};
use super::{Aim, MODES, Plan, mode_name, shrink};
use halodb::vfs::SimVfs;
use halodb::vfs::sim::CrashMode;
use proptest::strategy::{Strategy, ValueTree};
use std::fmt;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Power losses in a row.
const DEPTH: u32 = 3;

/// Moments taken of one workload; of longer ones a sample. Many workloads find more than many moments of few.
const MOST_MOMENTS: u64 = 100;

/// Kinds of loss tried at each moment, each time the next ones in turn.
const MODES_A_MOMENT: usize = 2;

/// Moments taken of one workload when the question is only whether there is a failure.
const FEW_MOMENTS: u64 = 20;

/// Steps of most workloads.
const SHORT: Range<usize> = 1..45;

/// Steps of the others.
const LONG: Range<usize> = 45..400;

/// A chain of losses that takes longer hangs.
const CASE_LIMIT: Duration = Duration::from_secs(60);

/// The first loss of a chain; the later ones follow from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// Operations of the disk that were issued.
    pub at: u64,
    /// What is left of the rest.
    pub mode: CrashMode,
    /// Decides what the mode leaves open, and the rest of the chain.
    pub seed: u64,
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.at, mode_name(self.mode), self.seed)
    }
}

impl std::str::FromStr for Moment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts: Vec<&str> = text.split(':').collect();
        let &[at, mode, seed] = parts.as_slice() else { return Err("write it as AT:MODE:SEED".to_owned()) };
        let number = |text: &str| text.parse().map_err(|_| format!("{text} is no number"));
        Ok(Moment { at: number(at)?, mode: super::mode_named(mode)?, seed: number(seed)? })
    }
}

/// Runs the campaign; a case is an image that was opened and compared.
pub fn run(plan: &Plan, seam: Seam) -> Report {
    Budget::new(plan).run("crash", "images", plan, |budget| {
        let explorer =
            Explorer { seam, watch: &Watch::new(CASE_LIMIT), budget: Some(budget), coverage: Coverage::Sample };
        while let Some(index) = budget.take() {
            if let Err(failure) = explorer.workload(derive(plan.seed, index)) {
                budget.fail(failure);
            }
        }
    })
}

/// Runs one workload, as a reproducing command asks for it: all its images, or the chain that begins at `moment`.
pub fn run_one(plan: &Plan, workload_seed: u64, moment: Option<Moment>, seam: Seam) -> Report {
    let plan = &Plan { threads: 1, count: u64::MAX, ..plan.clone() };
    Budget::new(plan).run("crash", "images", plan, |budget| {
        let explorer =
            Explorer { seam, watch: &Watch::new(CASE_LIMIT), budget: Some(budget), coverage: Coverage::Full };
        let outcome = match moment {
            None => explorer.workload(workload_seed),
            Some(moment) => explorer
                .record(workload_seed, &draw(workload_seed))
                .and_then(|past| explorer.chain(&past, moment))
                .map_err(|what| Failure { what, reproduce: command(workload_seed, Some(moment)) }),
        };
        if let Err(failure) = outcome {
            budget.fail(failure);
        }
    })
}

fn command(workload_seed: u64, moment: Option<Moment>) -> String {
    let image = moment.map(|moment| format!(" --image {moment}")).unwrap_or_default();
    format!("cargo xtask crash --workload {workload_seed}{image}")
}

/// The configuration follows from the seed of the workload.
fn setup_of(seed: u64) -> &'static Setup {
    Setup::number(seed)
}

/// One workload in so many is recorded through the facade, whose threads merge while it writes. Its schedule is its own,
/// so that a failure may need several attempts to show again.
const FACADE_EVERY: u64 = 8;

/// One workload in so many has transactions.
const TRANSACTIONS_EVERY: u64 = 8;

/// Half of the workloads are short, so that every moment of them is taken; the others are long enough for several merges,
/// for pages that are used again, and for logs that are recycled.
fn draw(seed: u64) -> Vec<Op> {
    let len = if (seed >> 16).is_multiple_of(2) { LONG } else { SHORT };
    let profile = match () {
        () if (seed >> 32) % TRANSACTIONS_EVERY == 1 => Profile::TRANSACTIONS,
        () if (seed >> 24).is_multiple_of(3) => Profile::CHURN,
        () => Profile::CRASH,
    };
    let tree = ops::workload(profile.timed(seed), len).new_tree(&mut runner(seed));
    tree.expect("the strategy rejects nothing").current()
}

/// A workload that was run: its disk with all its operations, and its promises.
struct Past {
    disk: SimVfs,
    history: History,
    setup: &'static Setup,
    /// The facade keeps its keys in its own way, so that its images are opened by it, too.
    facade: bool,
}

fn record_engine<E: Engine>(setup: &'static Setup, steps: &[Op], seam: Seam) -> Step<(SimVfs, History)> {
    let mut session = Session::<E>::create(seam, setup)?;
    for step in steps {
        session.step(step)?;
    }
    session.look()?;
    Ok((session.disk().clone(), session.history()))
}

/// Goes through the images of workloads.
struct Explorer<'a> {
    seam: Seam,
    watch: &'a Watch,
    /// Told of every image; `None` while a failure is made smaller.
    budget: Option<&'a Budget>,
    coverage: Coverage,
}

/// How much of a workload is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Coverage {
    /// Some moments, some modes at each.
    Sample,
    /// Every moment, every mode.
    Full,
}

impl Explorer<'_> {
    /// All images of one workload, or as many as the budget has left.
    fn workload(&self, seed: u64) -> Result<(), Failure> {
        let steps = draw(seed);
        let failed = self.explore(seed, &steps);
        self.watch.end();
        let Err((moment, what)) = failed else { return Ok(()) };
        if self.aims_to(Aim::Detect) {
            return Err(Failure { what, reproduce: command(seed, moment) });
        }
        let quiet = Explorer {
            seam: self.seam,
            watch: &Watch::new(Duration::from_secs(600)),
            budget: None,
            coverage: Coverage::Full,
        };
        let smaller = shrink::smallest(&steps, Duration::from_secs(20), |steps| {
            let (moment, what) = quiet.explore(seed, steps).err()?;
            Some(moment.map_or(what.clone(), |moment| format!("{what}\n    at {moment}")))
        });
        let smaller = smaller.map(|(steps, what)| format!("\n  smallest found: {steps:?}\n    {what}"));
        let place = moment.map(|moment| format!(" at {moment}")).unwrap_or_default();
        let what = format!("configuration {}{place}: {what}{}", setup_of(seed).name, smaller.unwrap_or_default());
        Err(Failure { what, reproduce: command(seed, moment) })
    }

    /// Runs the workload without any loss.
    fn record(&self, seed: u64, steps: &[Op]) -> Result<Past, String> {
        let setup = setup_of(seed);
        let run = || {
            let facade = (seed >> 8).is_multiple_of(FACADE_EVERY) && !self.aims_to(Aim::Detect);
            let (disk, history) = if facade {
                record_engine::<Facade>(setup, steps, self.seam)?
            } else {
                record_engine::<Partitions>(setup, steps, self.seam)?
            };
            Ok(Past { disk, history, setup, facade })
        };
        guard::caught(run)?.map_err(|stop: Stop| format!("without any loss, {}", stop.text()))
    }

    fn aims_to(&self, aim: Aim) -> bool {
        self.budget.is_some_and(|budget| budget.aim() == aim)
    }

    /// Goes through the moments of a workload; the error is the first chain that went wrong.
    fn explore(&self, seed: u64, steps: &[Op]) -> Result<(), (Option<Moment>, String)> {
        self.watch.begin(command(seed, None));
        let past = self.record(seed, steps).map_err(|what| (None, what))?;
        let mut rng = Rng::new(seed);
        let last = past.disk.ops();
        // Whether anything is wrong shows sooner in a few moments of many workloads; what is made smaller or repeated
        // is gone through in full.
        let (most, modes) = match self.budget.map(Budget::aim) {
            Some(Aim::Detect) => (FEW_MOMENTS, MODES_A_MOMENT),
            Some(_) if self.coverage == Coverage::Sample => (MOST_MOMENTS, MODES_A_MOMENT),
            _ => (u64::MAX, MODES.len()),
        };
        let stride = 1 + last / most;
        let mut turn = MODES.iter().cycle().skip(rng.below(MODES.len() as u64) as usize);
        let mut at = rng.below(stride);
        while at <= last {
            for &mode in turn.by_ref().take(modes) {
                let moment = Moment { at, mode, seed: rng.draw() };
                self.watch.begin(command(seed, Some(moment)));
                self.chain(&past, moment).map_err(|what| (Some(moment), what))?;
                if self.budget.is_some_and(Budget::is_spent) {
                    return Ok(());
                }
            }
            at += 1 + rng.below(2 * stride - 1);
        }
        Ok(())
    }

    /// One loss after the other, beginning with `first`.
    fn chain(&self, past: &Past, first: Moment) -> Result<(), String> {
        let losses = if past.facade { Self::chain_of_losses::<Facade> } else { Self::chain_of_losses::<Partitions> };
        guard::caught(|| losses(self, past, first)).unwrap_or_else(Err)
    }

    fn chain_of_losses<E: Engine>(&self, past: &Past, first: Moment) -> Result<(), String> {
        let mut rng = Rng::new(first.seed);
        let mut story = Vec::new();
        let mut moment = first;
        let mut disk = past.disk.clone();
        // The promises that hold at `judged_at`; a loss inside a recovery is judged by what held before it.
        let mut history = past.history.clone();
        let (mut loss, mut judged_at) = (loss_of(first.mode), first.at);
        for depth in 1..=DEPTH {
            story.push(moment.to_string());
            let image = disk.crash_image(moment.at, moment.mode, moment.seed);
            if rng.below(3) == 0 {
                self.lose_a_meta::<E>(&image, past.setup, &history, loss, judged_at, &mut rng)
                    .map_err(|stop| format!("loss {depth} ({}): {}", story.join(", "), stop.text()))?;
            }
            let outcome = self.recover_and_go_on::<E>(image.clone(), past.setup, &history, loss, judged_at, &mut rng);
            let (next_history, opened_at) =
                outcome.map_err(|stop| format!("loss {depth} ({}): {}", story.join(", "), stop.text()))?;
            self.budget.inspect(|budget| budget.add(1));
            disk = image;
            moment = Moment { at: rng.below(disk.ops() + 1), mode: rng.pick(MODES), seed: rng.draw() };
            // Half of the further losses fall into the recovery, which is short.
            if rng.below(2) == 0 {
                moment.at = rng.below(opened_at + 1);
            }
            if moment.at >= opened_at {
                history = next_history;
                loss = loss_of(moment.mode);
                judged_at = moment.at;
            } else if depth < DEPTH {
                self.note("inside a recovery");
            }
        }
        Ok(())
    }

    /// Opens an image, checks it, does a few steps; gives the new promises and when the open was finished.
    fn recover_and_go_on<E: Engine>(
        &self,
        image: SimVfs,
        setup: &Setup,
        history: &History,
        loss: Loss,
        at: u64,
        rng: &mut Rng,
    ) -> Step<(History, u64)> {
        let (mut session, opened) = Session::<E>::open_reporting(image, self.seam, setup, history, loss, at)?;
        if opened.dropped.is_some() {
            self.note("tails dropped");
        }
        session.check()?;
        let opened_at = session.opened_at();
        let profile = rng.pick(&[Profile::CRASH, Profile::CHURN]);
        let steps = ops::workload(profile, 1..8).new_tree(&mut runner(rng.draw()));
        let steps = steps.expect("the strategy rejects nothing").current();
        let told =
            |number: usize, stop: Stop| Stop::Wrong(format!("{}, at step {number} of {steps:?} after it", stop.text()));
        for (number, step) in steps.iter().enumerate() {
            session.step(step).map_err(|stop| told(number, stop))?;
        }
        session.check().map_err(|stop| told(steps.len(), stop))?;
        Ok((session.history(), opened_at))
    }

    /// Opens a copy of an image in which one of the two metas of a page file has rotten. Where both were good, the other
    /// one alone must do, because the pages it reaches are not written and the log it needs is not recycled before it is
    /// overwritten.
    fn lose_a_meta<E: Engine>(
        &self,
        image: &SimVfs,
        setup: &Setup,
        history: &History,
        loss: Loss,
        at: u64,
        rng: &mut Rng,
    ) -> Step {
        let copy = image.copy();
        let partition = rng.below(u64::from(setup.partitions)) as u32;
        // Without a MANIFEST there is no database yet.
        if copy.read_file(Path::new(DIR).join("MANIFEST")).is_err() {
            return Ok(());
        }
        let newest = Partitions::newest_of_two_metas(Arc::new(copy.clone()), Path::new(DIR), setup, partition);
        let Some(newest) = newest else { return Ok(()) };
        // Mostly the newest: then the older one must do.
        let slot = u64::from(if rng.below(4) == 0 { 1 - newest } else { newest });
        let path = Path::new(DIR).join(format!("p{partition:03}/tree.db"));
        // A bit of the generation.
        let bit = (slot * u64::from(setup.page_size) + 48) * 8;
        let told = |what: String| Stop::Wrong(format!("without the meta in slot {slot} of {}: {what}", path.display()));
        copy.flip_bit(&path, bit).map_err(|e| told(e.to_string()))?;
        let session = Session::<E>::open(copy, self.seam, setup, history, loss, at);
        // After a clean close it is written again when its file is, and until then it is found.
        let planted = format!("{}@{}: Meta slot", path.display(), slot * u64::from(setup.page_size));
        let checked = session.and_then(|mut session| session.check_beside(|finding| finding.starts_with(&planted)));
        checked.map_err(|stop| told(stop.text()))?;
        self.note("metas lost");
        Ok(())
    }

    fn note(&self, what: &'static str) {
        self.budget.inspect(|budget| budget.note(what));
    }
}
