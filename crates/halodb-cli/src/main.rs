//! The program `halodb`: one definition of every command, three ways to give them.
//!
//! ```text
//!   argv ──────────────┐
//!   shell (terminal) ──┼── words ── args ── commands ── halodb::Db
//!   pipe (stdin) ──────┘                       │
//!                                   output (stdout), failure (stderr, exit code)
//! ```
//!
//! It knows no file format of the database and takes no decision about durability: it asks the library.

#![forbid(unsafe_code)]

mod args;
mod commands;
mod dates;
mod durations;
mod failure;
mod help;
mod input;
mod logging;
mod oneshot;
mod opening;
mod output;
mod pipe;
mod place;
mod session;
mod shell;
mod signals;
mod transfer;

use args::Program;
use failure::{Code, Failure, Result};
use place::Place;
use session::{Front, Session};
use std::process::ExitCode;

fn main() -> ExitCode {
    signals::install();
    let arguments: Vec<_> = std::env::args_os().collect();
    let program = match help::parse_program(&arguments) {
        Ok(program) => program,
        Err(code) => return ExitCode::from(code as u8),
    };
    let format = program.format;
    let code = run(program).unwrap_or_else(|failure| {
        failure.report(format.unwrap_or_default().is_json());
        failure.code
    });
    ExitCode::from(code as u8)
}

/// Runs the program; the exit code of what it reported itself.
fn run(program: Program) -> Result<Code> {
    let stdin = input::Stdin::open().map_err(|e| Failure::stream("open standard input", &e))?;
    let front = match (&program.command, stdin.terminal) {
        (Some(_), _) => Front::OneShot,
        (None, true) => Front::Shell,
        (None, false) => Front::Pipe,
    };
    if program.bail && front != Front::Pipe {
        return Err(Failure::usage("--bail is for commands from a pipe"));
    }
    let place = Place::new(program.db, program.config);
    let mut session = Session::new(place, front, program.format, stdin)?;
    session.go_to(program.keyspace);
    match program.command {
        Some(command) => oneshot::run(session, &command),
        None if front == Front::Shell => shell::run(session),
        None => pipe::run(session, program.bail),
    }
}
