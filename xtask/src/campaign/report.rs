//! What a campaign has to say at its end, the budget that it works through, and the ledger of recorded runs.

use super::{Aim, Plan};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A case that went wrong.
#[derive(Clone, Debug)]
pub struct Failure {
    /// What was seen, for people; may have several lines.
    pub what: String,
    /// One command that does it again.
    pub reproduce: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FAILURE: {}\n  reproduce: {}", self.what, self.reproduce)
    }
}

/// A finished campaign.
#[derive(Clone, Debug)]
pub struct Report {
    /// Name of the campaign.
    pub campaign: Cow<'static, str>,
    /// What is counted.
    pub unit: &'static str,
    /// The plan's seed.
    pub seed: u64,
    /// Cases done.
    pub count: u64,
    /// Cases that went wrong.
    pub failures: Vec<Failure>,
    /// How long it took.
    pub elapsed: Duration,
    /// What else is worth a word.
    pub notes: String,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.elapsed.as_secs_f64();
        let rate = self.count as f64 / seconds.max(0.001);
        let Report { campaign, unit, seed, count, failures, notes, .. } = self;
        write!(f, "{campaign}: {count} {unit}, {} failures, seed {seed}, {seconds:.1} s, {rate:.0}/s", failures.len())?;
        if notes.is_empty() { Ok(()) } else { write!(f, ", {notes}") }
    }
}

/// A campaign stops after so many failures: they are probably one.
const MOST_FAILURES: usize = 5;

/// The work left to do, shared by a campaign's threads.
#[derive(Debug)]
pub struct Budget {
    started: Instant,
    until: Option<Instant>,
    aim: Aim,
    target: u64,
    done: AtomicU64,
    next: AtomicU64,
    failures: Mutex<Vec<Failure>>,
    notes: Mutex<BTreeMap<&'static str, u64>>,
}

impl Budget {
    /// The budget of a plan.
    pub fn new(plan: &Plan) -> Budget {
        let started = Instant::now();
        Budget {
            started,
            until: plan.time_s.map(|s| started + Duration::from_secs(s)),
            aim: plan.aim,
            target: plan.count,
            done: AtomicU64::new(0),
            next: AtomicU64::new(0),
            failures: Mutex::default(),
            notes: Mutex::default(),
        }
    }

    /// Whether the work is done, the time is over, or enough went wrong.
    pub fn is_spent(&self) -> bool {
        self.done.load(Ordering::Relaxed) >= self.target
            || self.until.is_some_and(|until| Instant::now() >= until)
            || self.failures().len() >= if self.aim == Aim::Detect { 1 } else { MOST_FAILURES }
    }

    /// What the plan is for.
    pub fn aim(&self) -> Aim {
        self.aim
    }

    /// A number that no other caller gets, from 0; `None` if the budget is spent.
    pub fn take(&self) -> Option<u64> {
        (!self.is_spent()).then(|| self.next.fetch_add(1, Ordering::Relaxed))
    }

    /// So many cases were done.
    pub fn add(&self, cases: u64) {
        self.done.fetch_add(cases, Ordering::Relaxed);
    }

    /// How many cases were done.
    pub fn done(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }

    /// A case went wrong; told at once, because the campaign may run for hours.
    pub fn fail(&self, failure: Failure) {
        eprintln!("{failure}");
        self.failures().push(failure);
    }

    /// Counts something that shows what the cases reached: a campaign that never gets there proves nothing.
    pub fn note(&self, what: &'static str) {
        self.note_many(what, 1);
    }

    /// Like [`Budget::note`], for `count` of them at once.
    pub fn note_many(&self, what: &'static str, count: u64) {
        *self.notes.lock().unwrap_or_else(PoisonError::into_inner).entry(what).or_default() += count;
    }

    fn failures(&self) -> std::sync::MutexGuard<'_, Vec<Failure>> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `work` on every thread of the plan, and reports when all are done.
    pub fn run(self, campaign: &'static str, unit: &'static str, plan: &Plan, work: impl Fn(&Budget) + Sync) -> Report {
        std::thread::scope(|scope| {
            for _ in 0..plan.threads.max(1) {
                scope.spawn(|| work(&self));
            }
        });
        let notes = self.notes.into_inner().unwrap_or_else(PoisonError::into_inner);
        Report {
            campaign: campaign.into(),
            unit,
            seed: plan.seed,
            count: self.done.into_inner(),
            failures: self.failures.into_inner().unwrap_or_else(PoisonError::into_inner),
            elapsed: self.started.elapsed(),
            notes: notes.iter().map(|(what, count)| format!("{what} {count}")).collect::<Vec<_>>().join(", "),
        }
    }
}

/// Appends a run to the ledger: one JSON object a line.
///
/// # Errors
/// Those of writing the file.
pub fn record(root: &Path, report: &Report) -> io::Result<()> {
    let line = ledger_line(report, &commit(root), &today());
    let mut file = OpenOptions::new().create(true).append(true).open(root.join("docs/testing/ledger.jsonl"))?;
    file.write_all(line.as_bytes())
}

fn ledger_line(report: &Report, commit: &str, date: &str) -> String {
    let Report { campaign, unit, seed, count, failures, elapsed, .. } = report;
    format!(
        "{{\"date\":\"{date}\",\"commit\":\"{commit}\",\"campaign\":\"{campaign}\",\"seed\":{seed},\"count\":{count},\"unit\":\"{unit}\",\"failures\":{},\"seconds\":{}}}\n",
        failures.len(),
        elapsed.as_secs()
    )
}

/// The commit that was run, marked if the working tree differs from it.
fn commit(root: &Path) -> String {
    let git = |args: &[&str]| {
        let output = Command::new("git").current_dir(root).args(args).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let changed = git(&["status", "--porcelain", "--untracked-files=no", "--", ".", ":!docs/testing"])
        .is_none_or(|text| !text.is_empty());
    let hash = git(&["rev-parse", "--short=12", "HEAD"]).unwrap_or_else(|| "unknown".to_owned());
    if changed { format!("{hash}+changes") } else { hash }
}

fn today() -> String {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
    date_of((seconds / 86_400) as i64)
}

/// The Gregorian date so many days after 1970-01-01 (Hinnant, "chrono-compatible low-level date algorithms").
fn date_of(days: i64) -> String {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        Report {
            campaign: "crash".into(),
            unit: "images",
            seed: 7,
            count: 20,
            failures: Vec::new(),
            elapsed: Duration::from_secs(2),
            notes: String::new(),
        }
    }

    #[test]
    fn the_summary_is_one_line() {
        assert_eq!(report().to_string(), "crash: 20 images, 0 failures, seed 7, 2.0 s, 10/s");
    }

    #[test]
    fn a_ledger_line_has_what_a_quoted_figure_needs() {
        let line = ledger_line(&report(), "abc", "2030-01-02");
        let expected = r#"{"date":"2030-01-02","commit":"abc","campaign":"crash","seed":7,"count":20,"unit":"images","failures":0,"seconds":2}"#;
        assert_eq!(line.trim_end(), expected);
    }

    #[test]
    fn dates_are_gregorian() {
        assert_eq!(date_of(0), "1970-01-01");
        assert_eq!(date_of(11_016), "2000-02-29");
        assert_eq!(date_of(20_454), "2026-01-01");
        assert_eq!(date_of(20_453), "2025-12-31");
    }

    #[test]
    fn a_budget_is_spent_when_its_cases_are_done() {
        let budget = Budget::new(&Plan::small(1, 2));
        assert_eq!((budget.take(), budget.take()), (Some(0), Some(1)));
        budget.add(2);
        assert_eq!(budget.take(), None);
    }
}
