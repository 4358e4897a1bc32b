//! How far the run is: a bar on a terminal, plain lines elsewhere, on standard error either way.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// The display.
pub(crate) struct Progress {
    bar: Option<ProgressBar>,
    total: u64,
    done: u64,
    what: String,
    since: Instant,
}

impl Progress {
    /// For `total` worker processes.
    pub(crate) fn new(total: u64) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new(total);
            let style = "{bar:24} {pos}/{len}  {elapsed_precise}, {eta_precise} left  {wide_msg}";
            bar.set_style(ProgressStyle::with_template(style).unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar.enable_steady_tick(Duration::from_millis(500));
            bar
        });
        Progress { bar, total, done: 0, what: String::new(), since: Instant::now() }
    }

    /// A worker begins.
    pub(crate) fn begin(&mut self, what: String) {
        if let Some(bar) = &self.bar {
            bar.set_message(what.clone());
        }
        self.what = what;
        self.since = Instant::now();
    }

    /// It is at a row.
    pub(crate) fn row(&self, row: &str) {
        if let Some(bar) = &self.bar {
            bar.set_message(format!("{}: {row}", self.what));
        }
    }

    /// Something to say that stays on the screen.
    pub(crate) fn line(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.println(text),
            None => eprintln!("{text}"),
        }
    }

    /// The worker has ended.
    pub(crate) fn end(&mut self) {
        self.done += 1;
        match &self.bar {
            Some(bar) => bar.inc(1),
            None => {
                let seconds = self.since.elapsed().as_secs_f64();
                eprintln!("[{}/{}] {}: {seconds:.1} s", self.done, self.total, self.what);
            }
        }
    }

    /// Nothing more comes.
    pub(crate) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
