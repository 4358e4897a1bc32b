//! `stats --watch`: what changes, interval by interval. On a terminal a table in place with the course of each quantity; elsewhere
//! one line for each interval, so that a program, or a file, can follow it.
//!
//! Counters are those of this process since the open, so a rate is a difference of two looks by the time between them.

use super::table::bytes_for_people;
use crate::args::Stats as Arguments;
use crate::failure::{Failure, Result};
use crate::output::{Format, Out, grouped, sparkline};
use crate::session::Session;
use crate::signals;
use halodb::Stats;
use serde_json::{Map, Value, json};
use std::collections::VecDeque;
use std::thread;
use std::time::{Duration, Instant};

/// Intervals whose course is shown: with what stands before it, a line has 78 characters.
const COURSE: usize = 46;
/// Lets lines be cut off at the right edge of the terminal, or be continued: a line of two would spoil the drawing over.
const CUT: &[u8] = b"\x1b[?7l";
const CONTINUE: &[u8] = b"\x1b[?7h";
/// How often Ctrl-C is looked for.
const NAP: Duration = Duration::from_millis(20);

/// What a quantity is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// A counter: its rate is shown.
    Rate,
    /// A counter of bytes.
    ByteRate,
    /// As it is.
    Level,
    /// Bytes as they are.
    Bytes,
}

/// Name and kind of a quantity, and where it is found.
type Quantity = (&'static str, Kind, fn(&Stats) -> u64);

/// The quantities in the order in which they are shown.
const QUANTITIES: [Quantity; 11] = [
    ("commits", Kind::Rate, |stats| stats.commits),
    ("log_records", Kind::Rate, |stats| stats.wal.records),
    ("log_bytes", Kind::ByteRate, |stats| stats.wal.bytes),
    ("log_syncs", Kind::Rate, |stats| stats.wal.syncs),
    ("merges", Kind::Rate, |stats| stats.merges),
    ("sweeps", Kind::Rate, |stats| stats.sweeps),
    ("stalls", Kind::Rate, |stats| stats.stalls),
    ("slowed_us", Kind::Rate, |stats| stats.slowed_us),
    ("memtable_bytes", Kind::Bytes, |stats| stats.memtable_bytes),
    ("tree_keys", Kind::Level, |stats| stats.tree_keys),
    ("free_pages", Kind::Level, |stats| stats.free_pages),
];

impl Kind {
    /// The value of an interval of so many seconds.
    fn value(self, before: u64, now: u64, seconds: f64) -> f64 {
        match self {
            Kind::Rate | Kind::ByteRate => now.saturating_sub(before) as f64 / seconds.max(1e-9),
            Kind::Level | Kind::Bytes => now as f64,
        }
    }

    fn show(self, value: f64) -> String {
        let whole = value.round() as u64;
        match self {
            Kind::Rate if value > 0.0 && value < 10.0 => format!("{value:.1}/s"),
            Kind::Rate => format!("{}/s", grouped(whole)),
            Kind::ByteRate => format!("{}/s", bytes_for_people(whole)),
            Kind::Level => grouped(whole),
            Kind::Bytes => bytes_for_people(whole),
        }
    }

    /// The name for programs: a rate says so.
    fn name(self, name: &str) -> String {
        match self {
            Kind::Rate | Kind::ByteRate => format!("{name}_per_second"),
            Kind::Level | Kind::Bytes => name.to_owned(),
        }
    }
}

/// `stats --watch [SECONDS] [--times N]`.
pub(super) fn watch(session: &mut Session, arguments: &Arguments, format: Format) -> Result<()> {
    let db = session.db()?;
    let interval = arguments.watch.unwrap_or(Duration::from_secs(1));
    let out = &mut session.out;
    let mut shown = Shown::default();
    let (mut before, mut looked) = (db.stats(), Instant::now());
    for number in 0..arguments.times.unwrap_or(u64::MAX) {
        nap(looked + interval)?;
        let (now, at) = (db.stats(), Instant::now());
        let seconds = at.duration_since(looked).as_secs_f64();
        let values = QUANTITIES.map(|(_, kind, of)| kind.value(of(&before), of(&now), seconds));
        match format {
            _ if format.is_json() => out.line(as_json(&values).to_string())?,
            Format::Csv => csv(out, number, &values)?,
            _ if out.terminal => shown.draw(out, &values, seconds)?,
            _ => line(out, number, &values)?,
        }
        out.flush()?;
        (before, looked) = (now, at);
    }
    Ok(())
}

/// Waits; Ctrl-C ends the watch.
fn nap(until: Instant) -> Result<()> {
    while let Some(left) = until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
        if signals::interrupted() {
            return Err(Failure::ended());
        }
        thread::sleep(left.min(NAP));
    }
    Ok(())
}

/// What stands on the terminal.
#[derive(Default)]
struct Shown {
    courses: VecDeque<[f64; QUANTITIES.len()]>,
}

impl Shown {
    fn draw(&mut self, out: &mut Out, values: &[f64; QUANTITIES.len()], seconds: f64) -> Result<()> {
        if self.courses.is_empty() {
            out.line(format!("every {seconds:.1} s; Ctrl-C ends"))?;
        } else {
            // Back to the first quantity, which is drawn over.
            out.bytes(format!("\x1b[{}A", QUANTITIES.len()).as_bytes())?;
        }
        if self.courses.len() == COURSE {
            self.courses.pop_front();
        }
        self.courses.push_back(*values);
        out.bytes(CUT)?;
        for (i, (name, kind, _)) in QUANTITIES.iter().enumerate() {
            let course = sparkline(self.courses.iter().map(|values| values[i]));
            let name = name.replace('_', " ");
            out.line(format!("{name:<16}{:>14}  {course}\x1b[K", kind.show(values[i])))?;
        }
        out.bytes(CONTINUE)
    }
}

/// Columns for a file that people read: a header every now and then.
fn line(out: &mut Out, number: u64, values: &[f64; QUANTITIES.len()]) -> Result<()> {
    let width = |name: &str| name.len().max(11) + 2;
    if number.is_multiple_of(20) {
        let header: String = QUANTITIES.iter().map(|(name, ..)| format!("{name:>w$}", w = width(name))).collect();
        out.line(header)?;
    }
    let row = QUANTITIES.iter().zip(values);
    out.line(
        row.map(|((name, kind, _), value)| format!("{:>w$}", kind.show(*value), w = width(name))).collect::<String>(),
    )
}

fn csv(out: &mut Out, number: u64, values: &[f64; QUANTITIES.len()]) -> Result<()> {
    if number == 0 {
        let names: Vec<String> = QUANTITIES.iter().map(|(name, kind, _)| kind.name(name)).collect();
        out.line(names.join(","))?;
    }
    let row: Vec<String> = values.iter().map(|value| rounded(*value).to_string()).collect();
    out.line(row.join(","))
}

fn as_json(values: &[f64; QUANTITIES.len()]) -> Value {
    let pairs = QUANTITIES.iter().zip(values).map(|((name, kind, _), value)| (kind.name(name), json!(rounded(*value))));
    Value::Object(pairs.collect::<Map<String, Value>>())
}

/// To the tenth.
fn rounded(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::testing::written;

    #[test]
    fn counters_become_rates_and_levels_stay() {
        assert_eq!(Kind::Rate.value(100, 150, 2.0), 25.0);
        assert_eq!(Kind::Rate.value(100, 90, 2.0), 0.0);
        assert_eq!(Kind::Level.value(100, 150, 2.0), 150.0);
        assert_eq!(Kind::Rate.show(2.54), "2.5/s");
        assert_eq!(Kind::Rate.show(25_000.4), "25,000/s");
        assert_eq!(Kind::ByteRate.show(2048.0), "2.0 KiB/s");
        assert_eq!(Kind::Level.show(1234.0), "1,234");
    }

    #[test]
    fn a_terminal_is_drawn_over_and_shows_the_course() {
        let text = String::from_utf8(written(true, |out| {
            let mut shown = Shown::default();
            shown.draw(out, &[1.0; QUANTITIES.len()], 1.0)?;
            shown.draw(out, &[8.0; QUANTITIES.len()], 1.0)
        }))
        .unwrap();
        assert!(text.contains("▁█") && text.contains(&format!("\x1b[{}A", QUANTITIES.len())), "{text}");
        assert_eq!(text.matches("commits").count(), 2);
    }

    #[test]
    fn programs_get_names_that_say_what_a_number_is() {
        let values = [1.26; QUANTITIES.len()];
        assert_eq!(as_json(&values)["commits_per_second"], 1.3);
        assert_eq!(as_json(&values)["tree_keys"], 1.3);
        let text =
            String::from_utf8(written(false, |out| csv(out, 0, &values).and_then(|()| csv(out, 1, &values)))).unwrap();
        assert_eq!(text.lines().count(), 3);
    }
}
