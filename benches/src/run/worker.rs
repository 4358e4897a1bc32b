//! The worker process: one engine, one group, one round, messages on standard output.

use std::io::{self, Write};

use super::{Message, Run, WorkerOptions};
use crate::engine::{Problem, find};
use crate::rows::groups;

/// Runs it. Rows that fail are messages, not errors.
///
/// # Errors
/// An engine or group that is not there, as a sentence.
pub(crate) fn work(options: &WorkerOptions) -> Result<(), String> {
    let kind = find(&options.engine)?;
    let groups = groups();
    let group = groups
        .iter()
        .find(|group| group.name == options.group)
        .ok_or_else(|| format!("there is no group {:?}", options.group))?;
    let mut send = |message: &Message| {
        let line = serde_json::to_string(message).unwrap_or_default();
        let mut out = io::stdout().lock();
        if writeln!(out, "{line}").and_then(|()| out.flush()).is_err() {
            // Nobody listens: the runner is gone, and the work is for nothing.
            std::process::exit(1);
        }
    };
    let mut run = Run::new(options, kind, &group.rows, &mut send);
    let end = match (group.run)(&mut run) {
        Ok(()) => Problem::Failed("the group ended without it".into()),
        Err(Problem::Failed(why)) => Problem::Failed(format!("a row it builds upon failed: {why}")),
        Err(problem) => problem,
    };
    run.give_up(&end);
    Ok(())
}
