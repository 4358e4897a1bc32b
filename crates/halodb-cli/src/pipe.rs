//! Commands from standard input, one a line, answered in order, so that another program can drive this one: answers are
//! flushed whenever there is nothing more to read at once. The database is opened and locked before the first line is read.
//!
//! Commands that write keys (`put`, `delete`, `incr`, `cas`, …) answer with exactly one line on standard output, also when they
//! fail, so that a program which counts lines never waits for one that does not come.

use crate::commands::Flow;
use crate::failure::{Code, Failure, Result};
use crate::input::read_line;
use crate::session::{Session, command_name};
use crate::signals;

/// Runs the lines; the exit code is that of the last one that failed.
pub(crate) fn run(mut session: Session, bail: bool) -> Result<Code> {
    session.open_or_create()?;
    let mut last = Code::Ok;
    let result = run_lines(&mut session, bail, &mut last);
    let closed = session.close(result)?;
    Ok(if closed == Code::Ok { last } else { closed })
}

fn run_lines(session: &mut Session, bail: bool, last: &mut Code) -> Result<()> {
    let as_json = session.speaks_json();
    let mut line = Vec::new();
    for number in 1.. {
        if !session.stdin.has_line() {
            session.out.flush()?;
        }
        let read = read_line(&mut *session.stdin.lock(), &mut line);
        if !read.map_err(|e| Failure::stream("read commands", &e))? {
            break;
        }
        match session.run_line(&line) {
            Ok(Flow::Continue) => {}
            Ok(Flow::Quit) => break,
            Err(failure) if failure.is_closed_output() || failure.code == Code::Interrupted => {
                return Err(failure);
            }
            Err(failure) => {
                let failure = failure.on_line(number);
                if answers_with_one_line(&line) && !failure.is_answered() {
                    session.out.line(failure.one_line(as_json))?;
                }
                // What was answered before must not appear after the error.
                session.out.flush()?;
                failure.report(as_json);
                *last = failure.code;
                if bail {
                    break;
                }
            }
        }
        signals::check()?;
    }
    Ok(())
}

fn answers_with_one_line(line: &[u8]) -> bool {
    const WRITES: [&str; 15] = [
        "put",
        "set",
        "delete",
        "del",
        "incr",
        "cas",
        "expire",
        "persist",
        "delete-range",
        "delete-prefix",
        "clear",
        "drop",
        "begin",
        "commit",
        "rollback",
    ];
    command_name(line).is_some_and(|name| WRITES.contains(&name.as_str()))
}
