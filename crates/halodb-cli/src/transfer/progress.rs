//! How far an import or export is: a bar with rate and remaining time on a terminal, a line every second elsewhere.

use crate::output::grouped;
use indicatif::{ProgressBar, ProgressStyle};
use std::io::{self, IsTerminal};
use std::time::{Duration, Instant};

/// Time between two lines off a terminal.
const INTERVAL: Duration = Duration::from_secs(1);

/// Shows progress on standard error.
pub(crate) struct Progress {
    bar: Option<ProgressBar>,
    verb: &'static str,
    began: Instant,
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
        let now = Instant::now();
        Progress { bar, verb, began: now, last: now }
    }

    /// Tells how many records are done and how far that is. `verb` is past tense: what it says is true.
    pub(crate) fn at(&mut self, records: u64, position: u64) {
        if let Some(bar) = &self.bar {
            bar.set_message(sentence(self.verb, records, self.began.elapsed()));
            bar.set_position(position);
        } else if self.last.elapsed() >= INTERVAL {
            self.last = Instant::now();
            eprintln!("{} {records}", self.verb);
        }
    }

    /// Ends: removes the bar and says the final number, to people with time and rate.
    pub(crate) fn finish(self, records: u64) {
        let Some(bar) = &self.bar else {
            eprintln!("{} {records}", self.verb);
            return;
        };
        bar.finish_and_clear();
        let elapsed = self.began.elapsed();
        eprintln!("{} in {:.1} s", sentence(self.verb, records, elapsed), elapsed.as_secs_f64());
    }
}

fn sentence(verb: &str, records: u64, elapsed: Duration) -> String {
    let seconds = elapsed.as_secs_f64();
    let rate = if seconds > 0.0 { (records as f64 / seconds) as u64 } else { 0 };
    format!("{verb} {} records ({}/s)", grouped(records), grouped(rate))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_are_told_how_many_and_how_fast() {
        let check = |records, ms, expected: &str| {
            assert_eq!(sentence("committed", records, Duration::from_millis(ms)), expected);
        };
        check(64_298, 500, "committed 64,298 records (128,596/s)");
        check(7, 0, "committed 7 records (0/s)");
    }
}
