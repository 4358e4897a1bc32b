//! `isolation`: what concurrent threads see of each other: recorded histories that are checked for linearizability,
//! transactions that are checked for serializability, and bank transfers whose sum must never change.
//!
//! Of four cases one is a bank, one is of transactions, two are histories. The scripts of a case follow from its seed; how the threads
//! meet does not, so a failure shows the whole history, and the command that repeats a case runs it many times.
//!
//! [`history`] is what is recorded, [`recorder`] makes it, [`checker`] judges it, [`target`] stands between recorder and
//! database and can plant a flaw there; [`serial`] does all of this for transactions; [`bank`] is the rest.

pub mod bank;
pub mod checker;
pub mod history;
pub mod recorder;
pub mod serial;
pub mod target;

use super::Plan;
use super::config::Setup;
use super::engine::Refusal;
use super::guard::{self, Watch};
use super::report::{Budget, Failure, Report};
use super::rng::derive;
use bank::Guard;
use halodb::Db;
use halodb::partition::Create;
use halodb::vfs::{OsVfs, SimVfs, Vfs};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use target::Flaw;

/// One case in so many is a bank, and as many are of transactions.
const BANK_EVERY: u64 = 4;

/// One case in so many runs on real files.
const FILES_EVERY: u64 = 3;

/// Runs the campaign; a case is a history.
pub fn run(plan: &Plan) -> Report {
    cases(plan, |budget| budget.take().map(|index| derive(plan.seed, index)))
}

/// Runs the history of one seed again and again, as a reproducing command asks for it: its threads meet anew each time.
pub fn run_one(plan: &Plan, seed: u64) -> Report {
    cases(plan, |budget| budget.take().map(|_| seed))
}

fn cases(plan: &Plan, next: impl Fn(&Budget) -> Option<u64> + Sync) -> Report {
    // A case has threads of its own: several cases at a time would only make their threads meet less.
    let plan = Plan { threads: 1, ..plan.clone() };
    Budget::new(&plan).run("isolation", "histories", &plan, |budget| {
        let watch = Watch::new(Duration::from_secs(120));
        while let Some(seed) = next(budget) {
            let reproduce = format!("cargo xtask isolation --history {seed} --count 200");
            watch.begin(reproduce.clone());
            if let Err(what) = guard::caught(|| case(seed, budget)).unwrap_or_else(Err) {
                budget.fail(Failure { what, reproduce });
            }
            budget.add(1);
            watch.end();
        }
    })
}

fn case(seed: u64, budget: &Budget) -> Result<(), String> {
    let setup = Setup::number(seed);
    on_a_disk(seed, |open| {
        if (seed >> 8).is_multiple_of(BANK_EVERY) {
            let guard = [Guard::Mutexes, Guard::Keys, Guard::Transactions][(seed >> 16) as usize % 3];
            let reached = bank::run(seed, guard, open).map_err(|e| format!("bank, guarded by {guard:?}: {e}"))?;
            budget.note_many("transfers", reached.transfers);
            budget.note_many("sums", reached.snapshots);
        } else if (seed >> 8) % BANK_EVERY == 1 {
            let reached = serial::history(seed, serial::Flaw::None, open).map_err(|e| format!("transactions: {e}"))?;
            budget.note_many("transactions", reached.committed);
            budget.note_many("conflicts", reached.conflicts);
        } else {
            let reached = recorder::history(seed, Flaw::None, open)?;
            budget.note_many("operations", reached.events);
            budget.note_many("overlapping", reached.overlapping);
            budget.note_many("reopened", reached.reopened);
        }
        Ok(())
    })
    .map_err(|what: String| format!("configuration {}: {what}", setup.name))
}

/// Hands `work` a way to open one database: on a simulated disk, or on real files.
///
/// # Errors
/// Those of `work`, and that of making a directory.
pub fn on_a_disk<T>(
    seed: u64,
    work: impl FnOnce(&dyn Fn() -> Result<Db, Refusal>) -> Result<T, String>,
) -> Result<T, String> {
    let setup = Setup::number(seed);
    let open = |disk: &Arc<dyn Vfs>, dir: &Path| Ok(setup.builder(disk.clone(), dir, Create::IfMissing).open()?);
    if (seed >> 24).is_multiple_of(FILES_EVERY) {
        let place = tempfile::tempdir().map_err(|e| format!("cannot make a directory: {e}"))?;
        let (disk, dir): (Arc<dyn Vfs>, _) = (Arc::new(OsVfs), place.path().join("data"));
        work(&|| open(&disk, &dir))
    } else {
        let disk: Arc<dyn Vfs> = Arc::new(SimVfs::new());
        work(&|| open(&disk, Path::new("data")))
    }
}
