//! `kill`: real processes on a real disk, killed at random moments; everything they had handed to the system is there.
//!
//! The processes, and what is expected of their databases, are in [`mortal`](super::mortal).

use super::Plan;
use super::guard::{self, Watch};
use super::mortal::{Calls, Died, History, Lie, Moment, Orders, Survives, Victim, compare_copy, copy_dir};
use super::report::{Budget, Failure, Report};
use super::rng::{Rng, derive};
use std::path::Path;
use std::time::Duration;

/// A directory is given up for a new one after at most so many lives, so that young databases are killed too.
const LIVES: u64 = 60;

/// A life and what is looked at after it take no longer than this, unless something hangs.
pub(super) const LONGEST: Duration = Duration::from_secs(120);

/// Runs the campaign; a case is a kill. `program` is this program: it is started with the hidden verb `mortal`.
pub fn run(plan: &Plan, program: &Path) -> Report {
    run_with(plan, program, None)
}

/// As [`run`], with children that lie about what they do: the campaign must notice.
pub fn run_with(plan: &Plan, program: &Path, lie: Option<Lie>) -> Report {
    Budget::new(plan).run("kill", "kills", plan, |budget| {
        while let Some(index) = budget.take() {
            let seed = derive(plan.seed, index);
            if let Err(what) = one_directory(seed, program, lie, budget) {
                // The moments of the kills are not repeatable; what the children write is.
                let reproduce = format!("cargo xtask kill --seed {} --count {}", plan.seed, plan.count);
                budget.fail(Failure { what, reproduce });
            }
        }
    })
}

/// Lives and deaths on one directory.
fn one_directory(seed: u64, program: &Path, lie: Option<Lie>, budget: &Budget) -> Result<(), String> {
    let place = tempfile::tempdir().map_err(|e| format!("cannot make a directory: {e}"))?;
    let dir = place.path().join("data");
    let copy = place.path().join("copy");
    let mut rng = Rng::new(seed);
    let mut history = History::new(seed);
    let mut was_open = false;
    let watch = Watch::new(LONGEST);
    for _ in 0..1 + rng.below(LIVES) {
        if budget.is_spent() {
            break;
        }
        let moment = if lie.is_some() { Moment::draw_worst(&mut rng) } else { Moment::draw(&mut rng) };
        watch.begin(format!("cargo xtask kill (in {}, {moment:?})", place.path().display()));
        let orders = Orders::new(&dir, &history, moment.hold(), lie);
        let outcome = live_and_die(&orders, program, moment)
            .and_then(|died| {
                reached(&died, moment, &mut was_open, budget);
                copy_dir(&dir, &copy).map_err(|e| format!("cannot copy the directory: {e}"))?;
                let compare = || compare_copy(&copy, &mut history, &died, Survives::Buffered);
                guard::caught(compare).unwrap_or_else(Err)
            })
            .and_then(|()| std::fs::remove_dir_all(&copy).map_err(|e| format!("cannot remove the copy: {e}")));
        if let Err(what) = outcome {
            if lie.is_some() {
                return Err(what);
            }
            let kept = place.keep();
            return Err(format!("life {} in {}, {moment:?}: {what}", history.life(), kept.display()));
        }
        budget.add(1);
    }
    Ok(())
}

/// Starts a child and kills it at `moment`.
fn live_and_die(orders: &Orders, program: &Path, moment: Moment) -> Result<Died, String> {
    let mut victim = Victim::start(program, orders, moment)?;
    victim.wait()?;
    let died = victim.kill()?;
    if died.was_killed { Ok(died) } else { Err(format!("the child ended by itself: {}", died.how)) }
}

/// Counts where the strike found the process; `was_open` says that an earlier life had had the database open, and is set.
pub(super) fn reached(died: &Died, moment: Moment, was_open: &mut bool, budget: &Budget) {
    match died.was_open() {
        false => budget.note(if *was_open { "in a recovery" } else { "in a creation" }),
        true if died.was_held() && moment.hold().is_some_and(|hold| hold.calls == Calls::Pages) => {
            budget.note("in a merge");
        }
        true => budget.note("elsewhere"),
    }
    *was_open |= died.was_open();
    budget.note_many("writes acknowledged", died.acknowledged());
}
