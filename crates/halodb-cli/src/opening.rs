//! How far the opening of a database is that was not closed in order: a bar on a terminal, if it takes longer than a moment.

use crate::commands::bytes_for_people;
use halodb::OpenProgress;
use indicatif::{ProgressBar, ProgressFinish, ProgressStyle};
use std::io::{self, IsTerminal};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// What takes no longer is not told.
const MOMENT: Duration = Duration::from_millis(500);

/// What is to be told how far it is.
pub(crate) fn bar() -> impl Fn(OpenProgress) + Send + Sync {
    let began = Instant::now();
    let shown = Mutex::new(None);
    move |now| {
        let mut shown = shown.lock().unwrap_or_else(PoisonError::into_inner);
        if now.read_bytes == now.total_bytes {
            // The bar goes with it.
            *shown = None;
        } else if shown.is_some() || (began.elapsed() >= MOMENT && io::stderr().is_terminal()) {
            let bar = shown.get_or_insert_with(|| new_bar(now.total_bytes));
            bar.set_message(format!("replaying the log: {}", bytes_for_people(now.read_bytes)));
            bar.set_position(now.read_bytes);
        }
    }
}

fn new_bar(total: u64) -> ProgressBar {
    let bar = ProgressBar::new(total).with_finish(ProgressFinish::AndClear);
    // The template is a constant; a mistake in it costs the look of the bar only.
    match ProgressStyle::with_template("{msg} {wide_bar} {percent:>3} % {eta} left") {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}
