//! `compact`: brings the files down to what lives in them, with a bar on a terminal.

use super::table::{Table, Unit};
use crate::failure::Result;
use crate::output::Format;
use crate::session::Session;
use crate::signals;
use indicatif::{ProgressBar, ProgressStyle};
use std::io::{self, IsTerminal};
use std::ops::ControlFlow;

/// Steps of the bar.
const STEPS: f64 = 1000.0;

/// `compact`: what was won. Ctrl-C ends it early; what was won by then stays.
pub(crate) fn compact(session: &mut Session, format: Format) -> Result<()> {
    let bar = io::stderr().is_terminal().then(bar);
    let won = session.db()?.compact_with(|done| {
        if let Some(bar) = &bar {
            bar.set_position((done * STEPS) as u64);
        }
        if signals::interrupted() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    if let Some(bar) = &bar {
        bar.finish_and_clear();
    }
    let won = won?;
    Table::default()
        .number("bytes_before", won.bytes_before, Unit::Bytes)
        .number("bytes_after", won.bytes_after, Unit::Bytes)
        .number("bytes_won", won.won_bytes(), Unit::Bytes)
        .number("pages_written", won.pages_written, Unit::Count)
        .number("partitions_held_back", won.held_back, Unit::Count)
        .write(&mut session.out, format)?;
    signals::check()
}

fn bar() -> ProgressBar {
    let bar = ProgressBar::new(STEPS as u64).with_message("compacting");
    // The template is a constant; a mistake in it costs the look of the bar only.
    match ProgressStyle::with_template("{msg} {wide_bar} {percent:>3} % {eta} left") {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}
