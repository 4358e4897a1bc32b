//! What campaigns demand of backups: a finished one is restored to what the database held when it was begun, and is refused
//! when a bit of it is wrong; one that a loss met is absent, recognised as unfinished, or whole.
//!
//! Backups are judged on copies of the disk, so that judging leaves no trace in the history of the run.

use super::config::Setup;
use super::engine::{Engine, Refusal};
use super::oracle::Pairs;
use super::rng::Rng;
use super::session::{Step, Stop, compare_all};
use halodb::partition::{Create, ErrorKind, Existing, restore};
use halodb::vfs::{SimVfs, Vfs};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A backup that was begun. Moments are operation numbers of the simulated disk.
#[derive(Clone, Debug)]
pub struct Backup {
    /// Its directory.
    pub dir: String,
    /// When it was begun.
    pub begun: u64,
    /// When it was reported to be whole and durable.
    pub done: Option<u64>,
    /// What it must hold.
    pub pairs: Pairs,
}

/// Where backups are restored for being judged.
const RESTORED: &str = "restored";

/// A backup that was whole and durable so many operations ago does not change any more.
const SETTLED: u64 = 16;

/// A directory that no backup of this disk has, nor had one of those that were begun: of which of two a loss leaves something could
/// not be told. What an unfinished one left may be beside it.
pub fn unused_name(disk: &SimVfs, begun: &[Backup]) -> String {
    let files = disk.files().unwrap_or_default();
    let is_used = |dir: &String| {
        files.iter().any(|(path, _)| path.starts_with(dir)) || begun.iter().any(|backup| backup.dir == *dir)
    };
    (0..).map(|number| format!("backup-{number}")).find(|dir| !is_used(dir)).unwrap_or_default()
}

fn wrong<T>(backup: &Backup, what: impl std::fmt::Display) -> Step<T> {
    Err(Stop::Wrong(format!("{}: {what}", backup.dir)))
}

fn restored(disk: &SimVfs, setup: &Setup, backup: &Backup) -> halodb::partition::Result<()> {
    let go_on = &mut |_| ControlFlow::Continue(());
    let (from, to) = (Path::new(&backup.dir), Path::new(RESTORED));
    let options = setup.options(Create::Never);
    restore(Arc::new(disk.clone()), from, to, Existing::Refuse, options, 79, 0, go_on).map(drop)
}

/// Restores a copy of a backup that was reported to be whole, and compares it; then damages one.
///
/// # Errors
/// What is wrong with it.
pub fn judge_whole<E: Engine>(disk: &SimVfs, setup: &Setup, backup: &Backup, seed: u64) -> Step {
    let copy = disk.copy();
    if let Err(e) = restored(&copy, setup, backup) {
        return wrong(backup, format!("it is not restored: {}", Refusal::from(e)));
    }
    let (engine, _) = E::open(Arc::new(copy), Path::new(RESTORED), setup, Create::Never)?;
    if let Err(stop) = compare_all(&engine.view(), &backup.pairs) {
        return wrong(backup, format!("restored, {}", stop.text()));
    }
    drop(engine);
    judge_damaged(disk, setup, backup, seed)
}

/// A backup of which a bit is wrong is refused.
fn judge_damaged(disk: &SimVfs, setup: &Setup, backup: &Backup, seed: u64) -> Step {
    let copy = disk.copy();
    let mut rng = Rng::new(seed ^ backup.begun);
    let files = copy.files().unwrap_or_default();
    let is_sealed = |path: &PathBuf| path.starts_with(&backup.dir) && !path.ends_with("LOCK");
    let files: Vec<_> = files.into_iter().filter(|(path, len)| is_sealed(path) && *len > 0).collect();
    if files.is_empty() {
        return wrong(backup, "it holds no files");
    }
    let (path, len) = &files[rng.below(files.len() as u64) as usize];
    let bit = rng.below(len * 8);
    if let Err(e) = copy.flip_bit(path, bit) {
        return wrong(backup, e);
    }
    match restored(&copy, setup, backup) {
        Err(e) if matches!(e.kind(), ErrorKind::Corrupt | ErrorKind::Version) => Ok(()),
        Err(e) => wrong(backup, format!("with bit {bit} of {} wrong: {}", path.display(), Refusal::from(e))),
        Ok(()) => wrong(backup, format!("it was restored though bit {bit} of {} is wrong", path.display())),
    }
}

/// Judges what a loss at `at` left of backups: absent, recognised, or whole; one that had been reported, whole.
///
/// # Errors
/// What is wrong.
pub fn judge_left<E: Engine>(disk: &SimVfs, setup: &Setup, backups: &[Backup], at: u64) -> Step {
    let met = |backup: &&Backup| backup.begun <= at && backup.done.is_none_or(|done| at <= done + SETTLED);
    for backup in backups.iter().filter(met) {
        let copy = disk.copy();
        let unfinished = format!("{}.unfinished", backup.dir);
        let mark = Path::new(&unfinished).join("UNFINISHED");
        if copy.kind(&mark).is_ok_and(|kind| kind.is_some())
            && let Ok(_opened) = E::open(Arc::new(copy.clone()), Path::new(&unfinished), setup, Create::IfMissing)
        {
            return wrong(backup, "what is unfinished opens as a database");
        }
        let is_there = copy.kind(Path::new(&backup.dir)).is_ok_and(|kind| kind.is_some());
        let is_due = backup.done.is_some_and(|done| done <= at);
        if is_due && !is_there {
            return wrong(backup, "it was reported to be durable, and is gone");
        }
        if is_there {
            judge_whole::<E>(&copy, setup, backup, at)?;
        }
    }
    Ok(())
}
