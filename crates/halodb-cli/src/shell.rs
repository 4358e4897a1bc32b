//! The shell: commands typed on a terminal, with history, completion and hints. The database is opened and locked before
//! the first prompt. Ctrl-C stops a running command, Ctrl-D leaves.

mod complete;
mod history;
mod switches;
mod typed;

use crate::commands::Flow;
use crate::failure::{Code, Failure, Result};
use crate::output::grouped;
use crate::session::Session;
use crate::signals;
use complete::Assistant;
use halodb::Db;
use rustyline::error::ReadlineError;
use rustyline::history::FileHistory;
use rustyline::{Behavior, CompletionType, Config, Editor};
use std::path::{Path, PathBuf};
use std::time::Instant;
use switches::Switch;

type Reader = Editor<Assistant, FileHistory>;

/// Runs the shell until its user leaves.
pub(crate) fn run(mut session: Session) -> Result<Code> {
    signals::enter_shell();
    session.open_or_create()?;
    let result = session.db().and_then(|db| converse(&mut session, &db));
    session.close(result)
}

fn converse(session: &mut Session, db: &Db) -> Result<()> {
    let mut reader = reader(db, session.out.terminal).map_err(|e| terminal_failure(&e))?;
    let history = history::path();
    history::load(&mut reader, history.as_deref());
    greet(db)?;
    let mut timing = false;
    loop {
        let place = session.keyspace().map(str::to_owned);
        if let Some(assistant) = reader.helper_mut() {
            assistant.go_to(place.as_deref());
        }
        let open = if session.transaction.is_some() { "*" } else { "" };
        let prompt = place.map_or_else(|| format!("halodb{open}> "), |name| format!("halodb:{name}{open}> "));
        let line = match reader.readline(&prompt) {
            Ok(line) => line,
            Err(ReadlineError::Interrupted) => continue,
            Err(ReadlineError::Eof) => return Ok(()),
            Err(error) => return Err(terminal_failure(&error)),
        };
        history::remember(&mut reader, history.as_deref(), &line);
        signals::reset();
        if let Some(switch) = Switch::of(&line) {
            match switch {
                Ok(switch) => turn(switch, session, &mut timing)?,
                Err(failure) => failure.report(session.speaks_json()),
            }
            continue;
        }
        let begun = Instant::now();
        let done = session.run_line(line.as_bytes());
        session.out.flush()?;
        match done {
            Ok(Flow::Quit) => return Ok(()),
            Ok(Flow::Continue) => {}
            Err(failure) if failure.is_closed_output() => return Err(failure),
            Err(failure) => failure.report(session.speaks_json()),
        }
        if timing {
            eprintln!("{:.3} ms", begun.elapsed().as_secs_f64() * 1e3);
        }
    }
}

fn reader(db: &Db, output_is_terminal: bool) -> rustyline::Result<Reader> {
    // The prompt is no result: it must not end up in the file that collects the results.
    let behavior = if output_is_terminal { Behavior::Stdio } else { Behavior::PreferTerm };
    let config = Config::builder()
        .behavior(behavior)
        .completion_type(CompletionType::List)
        .completion_prompt_limit(100)
        .history_ignore_space(true)
        .max_history_size(10_000)?
        .build();
    let mut reader = Editor::with_config(config)?;
    reader.set_helper(Some(Assistant::new(db.clone())));
    Ok(reader)
}

fn greet(db: &Db) -> Result<()> {
    let version = env!("CARGO_PKG_VERSION");
    let keys = grouped(db.len()?);
    let created = if db.open_report().created { ", just created" } else { "" };
    eprintln!("HaloDB {version}, {}: {keys} keys{created}", from_here(db.path()).display());
    eprintln!("`help` lists the commands, `quit` or Ctrl-D leaves.");
    Ok(())
}

/// A path as people here would write it.
fn from_here(path: &Path) -> PathBuf {
    let here = std::env::current_dir().ok();
    let below = here.and_then(|here| path.strip_prefix(here).ok().map(|below| Path::new(".").join(below)));
    below.unwrap_or_else(|| path.to_path_buf())
}

/// Does what a switch says, and tells how it stands now.
fn turn(switch: Switch, session: &mut Session, timing: &mut bool) -> Result<()> {
    match switch {
        Switch::Timing(wanted) => {
            *timing = wanted.unwrap_or(!*timing);
            eprintln!("timing is {}", if *timing { "on" } else { "off" });
        }
        Switch::Format(wanted) => {
            session.format = wanted.or(session.format);
            eprintln!("the format is {}", switches::format_name(session.format.unwrap_or_default()));
        }
        Switch::Help => {
            session.out.line(switches::help())?;
            session.out.flush()?;
        }
    }
    Ok(())
}

fn terminal_failure(error: &ReadlineError) -> Failure {
    Failure::stream("read from the terminal", &std::io::Error::other(error.to_string()))
}
