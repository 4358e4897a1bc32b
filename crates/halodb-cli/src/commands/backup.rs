//! `backup` and `restore`: copies of the whole database, with a bar on a terminal.

use super::clear;
use super::table::{Table, Unit, bytes_for_people};
use crate::args::{Backup, Restore};
use crate::failure::{Failure, Result};
use crate::output::{Format, Working, grouped};
use crate::session::{Front, Session};
use crate::signals;
use halodb::{BackupReport, CopyProgress, CopyStep};
use std::io::{self, IsTerminal};
use std::ops::ControlFlow;
use std::path::Path;
use std::time::{Duration, Instant};

/// Time between two lines off a terminal.
const INTERVAL: Duration = Duration::from_secs(1);

/// `backup DIR`.
pub(crate) fn backup(session: &mut Session, backup: &Backup, format: Format) -> Result<()> {
    let mut bar = Bar::new();
    let report = session.db()?.backup_with(&backup.dir, |progress| bar.show(progress));
    drop(bar);
    let table = Table::default().text("backup", backup.dir.display().to_string());
    contents(table, &report?).write(&mut session.out, format)
}

/// `restore BACKUP DIR [--yes]`, `restore BACKUP --verify`.
pub(crate) fn restore(session: &mut Session, restore: &Restore, format: Format) -> Result<()> {
    let mut request = halodb::Restore::new(&restore.backup);
    let mut bar = Bar::new();
    let Some(dir) = &restore.dir else {
        let report = request.verify(|progress| bar.show(progress));
        drop(bar);
        let table = Table::default().text("verified", restore.backup.display().to_string());
        return contents(table, &report?).write(&mut session.out, format);
    };
    if is_taken(dir) {
        if !restore.yes {
            confirm(session, dir)?;
        }
        request = request.replace_existing();
    }
    let report = request.to_with(dir, |progress| bar.show(progress));
    drop(bar);
    let report = report?;
    if let Some(left) = &report.left {
        eprintln!("the database that was replaced could not be removed: it is in {}", left.display());
    }
    Table::default()
        .text("restored", dir.display().to_string())
        .number("keys", report.keys, Unit::Count)
        .number("bytes", report.bytes, Unit::Bytes)
        .number("seq", report.backup.seq.0, Unit::Count)
        .number("backup_time_ms", report.backup.time_ms, Unit::Moment)
        .write(&mut session.out, format)
}

/// What a backup says about itself.
fn contents(table: Table, report: &BackupReport) -> Table {
    table
        .number("keys", report.keys, Unit::Count)
        .number("bytes", report.bytes(), Unit::Bytes)
        .number("seq", report.seq.0, Unit::Count)
        .number("backup_time_ms", report.time_ms, Unit::Moment)
}

/// What to do where there is no backup to restore from.
pub(crate) fn advise(failure: Failure) -> Failure {
    if failure.is_missing() { failure.with_hint("name the directory that `backup` wrote") } else { failure }
}

/// Whether the directory holds anything.
fn is_taken(dir: &Path) -> bool {
    std::fs::read_dir(dir).is_ok_and(|mut entries| entries.next().is_some())
}

/// Asks on the terminal.
fn confirm(session: &mut Session, dir: &Path) -> Result<()> {
    let dir = dir.display();
    if session.front == Front::Pipe || !session.stdin.terminal || !io::stderr().is_terminal() {
        return Err(Failure::usage(format!("{dir} is there already, and not empty")).with_hint(
            "say `restore BACKUP DIR --yes` if the database in it is to be replaced, or name a new directory",
        ));
    }
    clear::ask(session, &format!("Replace the database in {dir}?"), "(nothing was restored)")
}

/// How far it is: a bar with rate and remaining time on a terminal, a line every second elsewhere.
struct Bar {
    bar: Working,
    step: Option<CopyStep>,
    began: Instant,
    last: Instant,
}

impl Bar {
    fn new() -> Self {
        Bar { bar: Working::of("beginning", 1), step: None, began: Instant::now(), last: Instant::now() }
    }

    /// Shows it, and says whether to go on: not after Ctrl-C.
    fn show(&mut self, progress: CopyProgress) -> ControlFlow<()> {
        if signals::interrupted() {
            return ControlFlow::Break(());
        }
        if self.step != Some(progress.step) {
            self.step = Some(progress.step);
            self.began = Instant::now();
            self.bar.restart(progress.total);
        }
        if self.bar.is_shown() {
            self.bar.say(|| sentence(progress, self.began.elapsed()));
            self.bar.at(progress.done);
        } else if self.last.elapsed() >= INTERVAL {
            self.last = Instant::now();
            eprintln!("{}", sentence(progress, self.began.elapsed()));
        }
        ControlFlow::Continue(())
    }
}

fn sentence(progress: CopyProgress, elapsed: Duration) -> String {
    let seconds = elapsed.as_secs_f64();
    let rate = if seconds > 0.0 { (progress.done as f64 / seconds) as u64 } else { 0 };
    let bytes = |verb: &str| format!("{verb} {} ({}/s)", bytes_for_people(progress.done), bytes_for_people(rate));
    match progress.step {
        CopyStep::Verify => bytes("verified"),
        CopyStep::Copy => format!("copied {} keys ({}/s)", grouped(progress.done), grouped(rate)),
        CopyStep::Seal => bytes("sealed"),
        _ => "checking".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_says_what_is_done_and_how_fast() {
        let check = |step, done, expected: &str| {
            let progress = CopyProgress::new(step, done, 1 << 30);
            assert_eq!(sentence(progress, Duration::from_secs(2)), expected);
        };
        check(CopyStep::Copy, 12_345, "copied 12,345 keys (6,172/s)");
        check(CopyStep::Verify, 3 << 20, "verified 3.0 MiB (1.5 MiB/s)");
        check(CopyStep::Seal, 2048, "sealed 2.0 KiB (1.0 KiB/s)");
        check(CopyStep::Check, 0, "checking");
    }
}
