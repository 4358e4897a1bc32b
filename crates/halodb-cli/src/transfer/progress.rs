//! How far an import or export is: a bar with rate and remaining time on a terminal, a line every second elsewhere.

use indicatif::{ProgressBar, ProgressStyle};
use std::io::{self, IsTerminal};
use std::time::{Duration, Instant};

/// Time between two lines off a terminal.
const INTERVAL: Duration = Duration::from_secs(1);

/// Shows progress on standard error.
pub(crate) struct Progress {
    bar: Option<ProgressBar>,
    verb: &'static str,
    last: Instant,
}

impl Progress {
    /// Begins. `total` is in the unit of `position` in [`Progress::at`]; without it there is no remaining time.
    pub(crate) fn new(verb: &'static str, total: Option<u64>) -> Self {
        let bar = io::stderr().is_terminal().then(|| {
            let (bar, template) = match total {
                Some(total) => (ProgressBar::new(total), "{msg} {wide_bar} {percent:>3} % {eta} left"),
                None => (ProgressBar::new_spinner(), "{spinner} {msg} {elapsed}"),
            };
            // The templates are constants; a mistake in one costs the look of the bar only.
            if let Ok(style) = ProgressStyle::with_template(template) {
                bar.set_style(style);
            }
            bar
        });
        Progress { bar, verb, last: Instant::now() }
    }

    /// Tells how many records are done and how far that is. `verb` is past tense: what it says is true.
    pub(crate) fn at(&mut self, records: u64, position: u64) {
        if let Some(bar) = &self.bar {
            let seconds = bar.elapsed().as_secs_f64();
            let rate = if seconds > 0.0 { (records as f64 / seconds) as u64 } else { 0 };
            bar.set_message(format!("{} {records} ({rate}/s)", self.verb));
            bar.set_position(position);
        } else if self.last.elapsed() >= INTERVAL {
            self.last = Instant::now();
            eprintln!("{} {records}", self.verb);
        }
    }

    /// Ends: removes the bar and says the final number.
    pub(crate) fn finish(self, records: u64) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        eprintln!("{} {records}", self.verb);
    }
}
