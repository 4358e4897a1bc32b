//! `clear`: deletes everything. People are asked, one-shot programs must say `--yes`, and a pipe means what it says.

use super::keys;
use crate::args::Clear;
use crate::failure::{Failure, Result};
use crate::input;
use crate::output::{Format, grouped};
use crate::session::{Front, Session};
use std::io::{self, BufRead, IsTerminal, Write};

/// `clear [--yes]`.
pub(crate) fn clear(session: &mut Session, clear: &Clear, format: Format) -> Result<()> {
    let db = session.db()?;
    if !clear.yes && session.front != Front::Pipe {
        confirm(session, db.len()?)?;
    }
    let commit = db.clear()?;
    keys::done(session, commit, format)
}

/// Asks on the terminal.
fn confirm(session: &mut Session, keys: u64) -> Result<()> {
    if !session.stdin.terminal || !io::stderr().is_terminal() {
        return Err(Failure::usage("clear deletes every key of the database")
            .with_hint("say `clear --yes` if that is what you want"));
    }
    session.out.flush()?;
    let mut stderr = io::stderr().lock();
    let asked = write!(stderr, "Delete all {} keys? [y/N] ", grouped(keys));
    asked.and_then(|()| stderr.flush()).map_err(|e| Failure::stream("ask", &e))?;
    let mut answer = String::new();
    let read = session.stdin.lock().read_line(&mut answer);
    read.map_err(|e| input::failure("read the answer", &e))?;
    match answer.trim() {
        "y" | "Y" | "yes" | "Yes" => Ok(()),
        _ => Err(Failure::answer("declined", "(nothing was deleted)")),
    }
}
