//! `clear`: deletes everything in a keyspace. People are asked, one-shot programs must say `--yes`, and a pipe means what it
//! says. So it is with `drop`, which asks here, too.

use super::keys;
use crate::args::Clear;
use crate::failure::{Failure, Result};
use crate::input;
use crate::output::{Format, grouped};
use crate::session::{Front, Session};
use std::io::{self, BufRead, IsTerminal, Write};

/// `clear [--yes]`.
pub(crate) fn clear(session: &mut Session, clear: &Clear, format: Format) -> Result<()> {
    let keyspace = session.writing()?;
    if !clear.yes && session.front != Front::Pipe {
        let (count, place) = (grouped(keyspace.len()?), place(session));
        confirm(
            session,
            "clear",
            &format!("clear deletes every key{place}"),
            &format!("Delete all {count} keys{place}?"),
        )?;
    }
    let commit = keyspace.clear()?;
    keys::done(session, commit, format)
}

/// The keyspace at hand in a sentence; nothing if it is the default one.
fn place(session: &Session) -> String {
    session.keyspace().map_or_else(String::new, |name| format!(" of the keyspace `{name}`"))
}

/// Asks on the terminal. Where nobody can be asked, the refusal says what the command does.
pub(super) fn confirm(session: &mut Session, command: &str, does: &str, question: &str) -> Result<()> {
    if !session.stdin.terminal || !io::stderr().is_terminal() {
        return Err(Failure::usage(does).with_hint(format!("say `{command} --yes` if that is what you want")));
    }
    ask(session, question, "(nothing was deleted)")
}

/// Asks; anything but yes is answered with `declined`.
pub(super) fn ask(session: &mut Session, question: &str, declined: &str) -> Result<()> {
    session.out.flush()?;
    let mut stderr = io::stderr().lock();
    let asked = write!(stderr, "{question} [y/N] ");
    asked.and_then(|()| stderr.flush()).map_err(|e| Failure::stream("ask", &e))?;
    let mut answer = String::new();
    let read = session.stdin.lock().read_line(&mut answer);
    read.map_err(|e| input::failure("read the answer", &e))?;
    match answer.trim() {
        "y" | "Y" | "yes" | "Yes" => Ok(()),
        _ => Err(Failure::answer("declined", declined)),
    }
}
