//! [`Working`]: how far long work is, on standard error: a bar with the remaining time on a terminal, nothing elsewhere.

use indicatif::{ProgressBar, ProgressStyle};
use std::io::{self, IsTerminal};
use std::time::Duration;

/// Time between two turns of the sign that something goes on.
const TURN: Duration = Duration::from_millis(120);

/// A bar, or nothing. It disappears when it is dropped.
pub(crate) struct Working(Option<ProgressBar>);

impl Working {
    /// Work of a known amount; `verb` says what goes on.
    pub(crate) fn of(verb: &'static str, total: u64) -> Self {
        Self::new(ProgressBar::new, total, "{msg} {wide_bar} {percent:>3} % {eta} left", verb)
    }

    /// Work of which nobody can say how much it is: the time that has passed is shown.
    pub(crate) fn on(verb: &'static str) -> Self {
        let working = Self::new(|_| ProgressBar::new_spinner(), 0, "{spinner} {msg} {elapsed}", verb);
        if let Some(bar) = &working.0 {
            bar.enable_steady_tick(TURN);
        }
        working
    }

    fn new(make: impl FnOnce(u64) -> ProgressBar, total: u64, template: &str, verb: &'static str) -> Self {
        Working(io::stderr().is_terminal().then(|| {
            let bar = make(total).with_message(verb);
            // The templates are constants; a mistake in one costs the look of the bar only.
            if let Ok(style) = ProgressStyle::with_template(template) {
                bar.set_style(style);
            }
            bar
        }))
    }

    /// So much is done.
    pub(crate) fn at(&self, done: u64) {
        if let Some(bar) = &self.0 {
            bar.set_position(done);
        }
    }

    /// What goes on, with a figure.
    pub(crate) fn say(&self, text: impl FnOnce() -> String) {
        if let Some(bar) = &self.0 {
            bar.set_message(text());
        }
    }

    /// Something else begins: of a known amount, from nothing.
    pub(crate) fn restart(&self, total: u64) {
        if let Some(bar) = &self.0 {
            bar.reset();
            bar.set_length(total);
        }
    }

    /// How much there is to do turned out to be so much.
    pub(crate) fn set_total(&self, total: u64) {
        if let Some(bar) = &self.0 {
            bar.set_length(total);
        }
    }

    /// Whether anybody sees it.
    pub(crate) fn is_shown(&self) -> bool {
        self.0.is_some()
    }
}

impl Drop for Working {
    fn drop(&mut self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}
