//! One command from the program's arguments: opens what it needs, runs it, closes.

use crate::args::{Command, Needs};
use crate::commands;
use crate::failure::{Code, Result};
use crate::session::Session;
use crate::transfer;

/// Runs one command.
pub(crate) fn run(mut session: Session, command: &Command) -> Result<Code> {
    if let Command::Import(import) = command {
        transfer::possible(import, session.format)?;
    }
    let opened = match command.needs() {
        Needs::Nothing => Ok(()),
        Needs::Existing => session.open_existing(),
        Needs::Created => session.open_or_create(),
    };
    opened?;
    let format = session.format;
    let result = commands::run(&mut session, command, format).map(drop);
    session.close(result)
}
