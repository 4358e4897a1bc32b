//! `powercut`: the power goes on a real file system, again and again; everything that was acknowledged as synchronised
//! is there.
//!
//! An image file is formatted and mounted through a loop device. A child writes to a database on it, and acknowledges
//! through a pipe, so that the acknowledgements live outside. At a random moment the file system is shut down without
//! flushing its log (`xfs_io -x -c shutdown`, the GOINGDOWN ioctl that ext4 knows as well): from then on nothing reaches
//! the image, and what the page cache held is gone. The child is killed, the image unmounted and mounted again, which
//! replays the journal; a copy of the directory is opened and compared. The next life begins on the image, so its
//! recovery works on what the cut left, and is itself cut.
//!
//! What this cannot do: tear sectors, reorder what was handed to the device, or lose a device's own cache. The simulated
//! disk of [`crash`](super::crash) does that. The processes, and what is expected, are in [`mortal`](super::mortal).

mod image;
mod lab;

pub use image::{FileSystem, FileSystems};
pub use lab::{janitor, missing};

use super::guard::{self, Watch};
use super::mortal::{Died, History, Lie, Moment, Orders, Survives, Victim, compare_copy, copy_dir};
use super::report::{Budget, Failure, Report};
use super::rng::{Rng, derive};
use super::{Plan, kill};
use image::Image;
use lab::Lab;
use std::path::Path;

/// An image is given up for a new one after at most so many cuts, so that young databases are cut too.
const LIVES: u64 = 60;

/// A lie for the self-test: its name, and the cuts that there are to notice it.
type Proof = (&'static str, Lie, u64);

/// Commits are acknowledged as synchronised and are not.
const COMMITS: Proof = ("unsynced commits", Lie::Buffered, 60);

/// Page files are not synchronised. It takes a log segment that is recycled for them before anything is lost.
const PAGES: Proof = ("unsynced pages", Lie::Pages, 100);

/// The lies that can be noticed on a file system. Where data are journalled, synchronising any file synchronises all, so
/// the log's synchronisation does for the pages, too.
fn proofs(fs: FileSystem) -> &'static [Proof] {
    if fs == FileSystem::Ext4Journal { &[COMMITS] } else { &[COMMITS, PAGES] }
}

/// Why there is no report.
#[derive(Clone, Debug)]
pub enum NotRun {
    /// This machine or user cannot; a sentence about what is missing.
    Skipped(String),
    /// It should have worked.
    Failed(String),
}

/// Runs the campaign on one file system; a case is a cut. `program` is this program: it is started with the hidden verbs
/// `mortal` and `powercut-janitor`.
///
/// # Errors
/// There could be no campaign.
pub fn run(plan: &Plan, program: &Path, fs: FileSystem) -> Result<Report, NotRun> {
    if let Some(what) = missing(fs) {
        return Err(NotRun::Skipped(what));
    }
    let lab = Lab::new(program).map_err(NotRun::Failed)?;
    let first = Image::new(&lab, "first", fs).map_err(NotRun::Failed)?;
    first.try_mount().map_err(|e| NotRun::Skipped(format!("this machine does not mount {}: {e}", fs.name())))?;
    drop(first);

    let mut noticed = Vec::new();
    for &(name, lie, cuts) in proofs(fs) {
        let cuts = notices(&lab, program, fs, plan.seed, lie, cuts).map_err(NotRun::Failed)?;
        noticed.push(format!("{name} noticed at cut {cuts}"));
    }
    let mut report = Budget::new(plan).run(fs.campaign(), "cuts", plan, |budget| {
        while let Some(index) = budget.take() {
            let case = Case { lab: &lab, program, fs, seed: derive(plan.seed, index), lie: None, budget };
            if let Err(Trouble::Wrong(what) | Trouble::Cannot(what)) = case.one_image(index) {
                // The moments of the cuts are not repeatable; what the children write is.
                let reproduce =
                    format!("cargo xtask powercut --fs {} --seed {} --count {}", fs.name(), plan.seed, plan.count);
                budget.fail(Failure { what, reproduce });
            }
        }
    });
    let notes = std::mem::take(&mut report.notes);
    report.notes = format!("{notes}{}self-test: {}", if notes.is_empty() { "" } else { ", " }, noticed.join(", "));
    Ok(report)
}

/// The number of the cut at which a lie is noticed.
///
/// # Errors
/// It is not: then the campaign proves nothing.
fn notices(lab: &Lab, program: &Path, fs: FileSystem, seed: u64, lie: Lie, cuts: u64) -> Result<u64, String> {
    let budget = Budget::new(&Plan::small(seed, cuts));
    while let Some(index) = budget.take() {
        let case = Case { lab, program, fs, seed: derive(seed, index), lie: Some(lie), budget: &budget };
        match case.one_image(index) {
            Ok(()) => {}
            Err(Trouble::Wrong(_)) => return Ok(budget.done() + 1),
            Err(Trouble::Cannot(what)) => return Err(what),
        }
    }
    Err(format!("the self-test failed: {cuts} cuts did not show that a child lies ({lie:?})"))
}

/// Why a case ends early.
enum Trouble {
    /// The database is not as it must be.
    Wrong(String),
    /// The campaign cannot do its work.
    Cannot(String),
}

impl From<String> for Trouble {
    fn from(what: String) -> Self {
        Trouble::Cannot(what)
    }
}

/// Lives on one image.
struct Case<'a> {
    lab: &'a Lab,
    program: &'a Path,
    fs: FileSystem,
    seed: u64,
    lie: Option<Lie>,
    budget: &'a Budget,
}

impl Case<'_> {
    fn one_image(&self, index: u64) -> Result<(), Trouble> {
        let kind = if self.lie.is_some() { "lie" } else { "case" };
        let image = Image::new(self.lab, &format!("{kind}{index}"), self.fs)?;
        let copy = image.place().join("copy");
        let mut rng = Rng::new(self.seed);
        let mut history = History::new(self.seed);
        let mut was_open = false;
        let watch = Watch::new(kill::LONGEST);
        for _ in 0..1 + rng.below(LIVES) {
            if self.budget.is_spent() {
                break;
            }
            let moment = if self.lie.is_some() { Moment::draw_worst(&mut rng) } else { Moment::draw(&mut rng) };
            watch.begin(format!("cargo xtask powercut --fs {} ({moment:?})", self.fs.name()));
            let died = self.live_and_lose_power(&image, &history, moment)?;
            kill::reached(&died, moment, &mut was_open, self.budget);
            let mounted = image.mount()?;
            let data = mounted.path().join("data");
            copy_dir(&data, &copy).map_err(|e| format!("cannot copy the directory: {e}"))?;
            let compare = || compare_copy(&copy, &mut history, &died, Survives::SyncOnly);
            if let Err(what) = guard::caught(compare).unwrap_or_else(Err) {
                let kept = if self.lie.is_none() { keep(&data, &died)? } else { String::new() };
                let (fs, life) = (self.fs.name(), history.life());
                return Err(Trouble::Wrong(format!("{fs}, life {life}, {moment:?}: {what}{kept}")));
            }
            std::fs::remove_dir_all(&copy).map_err(|e| format!("cannot remove the copy: {e}"))?;
            mounted.unmount()?;
            self.budget.add(1);
        }
        Ok(())
    }

    /// A child writes until the power goes.
    fn live_and_lose_power(&self, image: &Image, history: &History, moment: Moment) -> Result<Died, Trouble> {
        let mounted = image.mount()?;
        let orders = Orders::new(&mounted.path().join("data"), history, moment.hold(), self.lie);
        let mut victim = Victim::start(self.program, &orders, moment)?;
        victim.wait().map_err(Trouble::Wrong)?;
        mounted.cut_power()?;
        // It may have ended by itself by now: the disk is gone. What it had been told before counts.
        let died = victim.kill()?;
        mounted.unmount()?;
        Ok(died)
    }
}

/// Puts what the cut left, and what had been acknowledged, where it survives the campaign.
fn keep(data: &Path, died: &Died) -> Result<String, String> {
    let cannot = |e: std::io::Error| format!("cannot keep what was found: {e}");
    let place = tempfile::Builder::new().prefix("powercut-found-").tempdir().map_err(cannot)?.keep();
    copy_dir(data, &place.join("data")).map_err(cannot)?;
    let words: String = died.words.iter().map(|word| format!("{word}\n")).collect();
    std::fs::write(place.join("said.txt"), words).map_err(cannot)?;
    Ok(format!("; kept in {}", place.display()))
}
