//! `crash`: every moment of a short run is a power loss, and what it leaves is opened, compared, and lost again.
//!
//! A workload runs once on a simulated disk. Then, for every operation that the disk saw, images of what a power loss at
//! that moment could have left are made, in every mode; each is opened, must hold a state that the oracle allows, and
//! must pass a deep check. Then it goes on with a few steps, and power is lost again, at any moment since the image was
//! made, the recovery included; three losses deep.

use super::config::Setup;
use super::engine::{Engine, Facade, Partitions};
use super::guard::{self, Watch};
use super::ops::{self, Op, Profile};
use super::oracle::{History, Loss};
use super::report::{Budget, Failure, Report};
use super::rng::{Rng, derive, runner};
use super::session::{Seam, Session, Step, Stop, loss_of};
use super::{MODES, Plan, mode_name, shrink};
use halodb::vfs::SimVfs;
use halodb::vfs::sim::CrashMode;
use proptest::strategy::{Strategy, ValueTree};
use std::fmt;
use std::ops::Range;
use std::time::Duration;

/// Power losses in a row.
const DEPTH: u32 = 3;

/// Moments taken of one workload; of longer ones a sample.
const MOST_MOMENTS: u64 = 300;

/// Steps of most workloads.
const SHORT: Range<usize> = 1..45;

/// Steps of the others.
const LONG: Range<usize> = 45..400;

/// Images of random kinds are made with so many seeds each.
const SEEDS: u64 = 2;

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
        let explorer = Explorer { seam, watch: &Watch::new(CASE_LIMIT), budget: Some(budget) };
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
        let explorer = Explorer { seam, watch: &Watch::new(CASE_LIMIT), budget: Some(budget) };
        let outcome = match moment {
            None => explorer.workload(workload_seed),
            Some(moment) => record(workload_seed, &draw(workload_seed), seam)
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
/// so that a failure may need several attempts to show again; the images are always opened by the partitions.
const FACADE_EVERY: u64 = 8;

/// Most workloads are short, so that every moment of them is taken; some are long enough for logs to be recycled.
fn draw(seed: u64) -> Vec<Op> {
    let len = if (seed >> 16).is_multiple_of(5) { LONG } else { SHORT };
    let tree = ops::workload(Profile::CRASH, len).new_tree(&mut runner(seed));
    tree.expect("the strategy rejects nothing").current()
}

/// A workload that was run: its disk with all its operations, and its promises.
struct Past {
    disk: SimVfs,
    history: History,
    setup: &'static Setup,
}

/// Runs the workload without any loss.
fn record(seed: u64, steps: &[Op], seam: Seam) -> Result<Past, String> {
    let setup = setup_of(seed);
    let run = || {
        let facade = (seed >> 8).is_multiple_of(FACADE_EVERY);
        if facade {
            record_engine::<Facade>(setup, steps, seam)
        } else {
            record_engine::<Partitions>(setup, steps, seam)
        }
    };
    guard::caught(run)?.map_err(|stop| format!("without any loss, {}", stop.text()))
}

fn record_engine<E: Engine>(setup: &'static Setup, steps: &[Op], seam: Seam) -> Step<Past> {
    let mut session = Session::<E>::create(seam, setup)?;
    for step in steps {
        session.step(step)?;
    }
    Ok(Past { disk: session.disk().clone(), history: session.history(), setup })
}

/// Goes through the images of workloads.
struct Explorer<'a> {
    seam: Seam,
    watch: &'a Watch,
    /// Told of every image; `None` while a failure is made smaller.
    budget: Option<&'a Budget>,
}

impl Explorer<'_> {
    /// All images of one workload, or as many as the budget has left.
    fn workload(&self, seed: u64) -> Result<(), Failure> {
        let steps = draw(seed);
        let failed = self.explore(seed, &steps);
        self.watch.end();
        let Err((moment, what)) = failed else { return Ok(()) };
        let quiet = Explorer { seam: self.seam, watch: &Watch::new(Duration::from_secs(600)), budget: None };
        let smaller = shrink::smallest(&steps, Duration::from_secs(20), |steps| {
            let (moment, what) = quiet.explore(seed, steps).err()?;
            Some(moment.map_or(what.clone(), |moment| format!("{what}\n    at {moment}")))
        });
        let smaller = smaller.map(|(steps, what)| format!("\n  smallest found: {steps:?}\n    {what}"));
        let place = moment.map(|moment| format!(" at {moment}")).unwrap_or_default();
        let what = format!("configuration {}{place}: {what}{}", setup_of(seed).name, smaller.unwrap_or_default());
        Err(Failure { what, reproduce: command(seed, moment) })
    }

    /// Goes through the moments of a workload; the error is the first chain that went wrong.
    fn explore(&self, seed: u64, steps: &[Op]) -> Result<(), (Option<Moment>, String)> {
        self.watch.begin(command(seed, None));
        let past = record(seed, steps, self.seam).map_err(|what| (None, what))?;
        let mut rng = Rng::new(seed);
        let last = past.disk.ops();
        let stride = 1 + last / MOST_MOMENTS;
        let mut at = rng.below(stride);
        while at <= last {
            for &mode in MODES {
                let seeds = if matches!(mode, CrashMode::Strict | CrashMode::Kept) { 1 } else { SEEDS };
                for _ in 0..seeds {
                    let moment = Moment { at, mode, seed: rng.draw() };
                    self.watch.begin(command(seed, Some(moment)));
                    self.chain(&past, moment).map_err(|what| (Some(moment), what))?;
                    if self.budget.is_some_and(Budget::is_spent) {
                        return Ok(());
                    }
                }
            }
            at += 1 + rng.below(2 * stride - 1);
        }
        Ok(())
    }

    /// One loss after the other, beginning with `first`.
    fn chain(&self, past: &Past, first: Moment) -> Result<(), String> {
        guard::caught(|| self.chain_of_losses(past, first)).unwrap_or_else(Err)
    }

    fn chain_of_losses(&self, past: &Past, first: Moment) -> Result<(), String> {
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
            let outcome = self.recover_and_go_on(image.clone(), past.setup, &history, loss, judged_at, &mut rng);
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
    fn recover_and_go_on(
        &self,
        image: SimVfs,
        setup: &Setup,
        history: &History,
        loss: Loss,
        at: u64,
        rng: &mut Rng,
    ) -> Step<(History, u64)> {
        let (mut session, opened) = Session::<Partitions>::open_reporting(image, self.seam, setup, history, loss, at)?;
        if opened.dropped.is_some() {
            self.note("tails dropped");
        }
        session.check()?;
        let opened_at = session.opened_at();
        let steps = ops::workload(Profile::CRASH, 1..8).new_tree(&mut runner(rng.draw()));
        let steps = steps.expect("the strategy rejects nothing").current();
        let told =
            |number: usize, stop: Stop| Stop::Wrong(format!("{}, at step {number} of {steps:?} after it", stop.text()));
        for (number, step) in steps.iter().enumerate() {
            session.step(step).map_err(|stop| told(number, stop))?;
        }
        session.check().map_err(|stop| told(steps.len(), stop))?;
        Ok((session.history(), opened_at))
    }

    fn note(&self, what: &'static str) {
        self.budget.inspect(|budget| budget.note(what));
    }
}
