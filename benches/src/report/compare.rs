//! Two runs of the same rows: do their *ratios* agree? Figures may drift with the machine, ratios should not.
//!
//! Looked at are rows that computing decides, in the groups, scales and budgets that both runs have. Two ratios agree if
//! the larger is at most a tenth above the smaller.

use super::names::{engine, heading};
use super::number;
use super::table::views;
use super::view::{HALODB, View};
use crate::result::{Bound, ResultFile};
use std::fmt::Write;

/// How far apart agreeing ratios may be.
const TOLERANCE: f64 = 0.10;

/// Ratios that agree, of all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Tally {
    agree: usize,
    all: usize,
}

impl Tally {
    fn count(&mut self, apart: f64) {
        self.all += 1;
        if apart.abs() <= TOLERANCE {
            self.agree += 1;
        }
    }

    fn text(self, what: &str) -> String {
        let share = if self.all == 0 { 1.0 } else { self.agree as f64 / self.all as f64 };
        format!(
            "{} of {} {what} agree within {} ({})",
            self.agree,
            self.all,
            number::percent(TOLERANCE),
            number::percent(share)
        )
    }
}

/// For each row the ratio of HaloDB to the best peer and to every peer in both runs; at the end, how many agree.
///
/// # Errors
/// A sentence if the runs have no such row in common.
pub(crate) fn compare(first: &[ResultFile], second: &[ResultFile]) -> Result<String, String> {
    let mut text = String::new();
    let (mut rows, mut ratios) = (Tally::default(), Tally::default());
    for a in first {
        let same = |b: &&ResultFile| (&a.group, &a.scale, &a.budget) == (&b.group, &b.scale, &b.budget);
        if let Some(b) = second.iter().find(same) {
            one(&mut text, a, b, &mut rows, &mut ratios);
        }
    }
    if rows.all == 0 {
        return Err(
            "the two runs have no row in common that computing decides and that HaloDB and a peer have figures for"
                .to_owned(),
        );
    }
    writeln!(text, "{}; {}", rows.text("rows"), ratios.text("ratios to single peers")).unwrap_or_default();
    Ok(text)
}

fn one(text: &mut String, a: &ResultFile, b: &ResultFile, rows: &mut Tally, ratios: &mut Tally) {
    writeln!(text, "{}", heading(a)).unwrap_or_default();
    for file in [a, b] {
        let commit: String = file.commit.chars().take(12).collect();
        writeln!(text, "  {commit}, {}, {} rounds: {}", file.date, file.rounds, file.command).unwrap_or_default();
    }
    writeln!(text, "HaloDB's ratio to each peer in the first and the second run, and how far they are apart")
        .unwrap_or_default();
    let mut lines: Vec<Vec<String>> = vec![vec!["row".into(), "best peer".into()]];
    let peers: Vec<&str> = a.engines.iter().map(|engine| engine.name.as_str()).filter(|name| *name != HALODB).collect();
    lines[0].extend(peers.iter().map(|peer| engine(peer).to_owned()));
    let second = views(b);
    for first in views(a).iter().filter(|view| view.row.bound == Bound::Cpu) {
        let Some(second) = second.iter().find(|view| view.row.name == first.row.name) else { continue };
        let Some(best) = pair(first.ratio(), second.ratio(), rows) else { continue };
        let mut line = vec![first.row.name.clone(), best];
        line.extend(peers.iter().map(|peer| to_peer(first, second, peer, ratios)));
        lines.push(line);
    }
    aligned(text, &lines);
    text.push('\n');
}

fn to_peer(first: &View<'_>, second: &View<'_>, peer: &str, ratios: &mut Tally) -> String {
    pair(first.ratio_to(peer), second.ratio_to(peer), ratios).unwrap_or_else(|| "–".to_owned())
}

/// `0.72 0.70 -2.9 %`; counts it. `None` if one of them is missing.
fn pair(a: Option<f64>, b: Option<f64>, tally: &mut Tally) -> Option<String> {
    let (a, b) = (a?, b?);
    let apart = apart(a, b);
    tally.count(apart);
    let mark = if apart.abs() > TOLERANCE { " !" } else { "" };
    Some(format!("{} {} {:+.1} %{mark}", number::ratio(a), number::ratio(b), apart * 100.0))
}

/// By how much the larger exceeds the smaller; negative if the second is the smaller.
fn apart(a: f64, b: f64) -> f64 {
    if a == b {
        0.0
    } else if b > a {
        b / a - 1.0
    } else {
        1.0 - a / b
    }
}

/// Columns as wide as their widest entry.
fn aligned(text: &mut String, lines: &[Vec<String>]) {
    let columns = lines.first().map_or(0, Vec::len);
    let widths: Vec<usize> = (0..columns)
        .map(|column| {
            lines.iter().filter_map(|line| line.get(column)).map(|entry| entry.chars().count()).max().unwrap_or(0)
        })
        .collect();
    for line in lines {
        let padded: Vec<String> = line.iter().zip(&widths).map(|(entry, &width)| format!("{entry:<width$}")).collect();
        writeln!(text, "  {}", padded.join("  ").trim_end()).unwrap_or_default();
    }
}

#[cfg(test)]
mod tests {
    use super::super::load;
    use super::*;
    use std::path::Path;

    fn run(commit: &str) -> Vec<ResultFile> {
        load::one_commit(&Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/results"), Some(commit)).unwrap()
    }

    #[test]
    fn a_run_agrees_with_itself() {
        let files = run("2222");
        let text = compare(&files, &files).unwrap();
        assert!(text.ends_with("agree within 10 % (100 %)\n"), "{text}");
        assert!(!text.contains('!'), "{text}");
    }

    #[test]
    fn a_ratio_that_moved_by_more_than_a_tenth_is_marked_and_counted() {
        let files = run("1111");
        let mut faster = files.clone();
        let row = faster[0].rows.iter_mut().find(|row| row.name == "random reads").unwrap();
        let crate::result::Cell::Values(values) = row.cells.get_mut(HALODB).unwrap() else { panic!("no figure") };
        values.iter_mut().for_each(|value| *value *= 1.2);
        let text = compare(&files, &faster).unwrap();
        let line = text.lines().find(|line| line.contains("random reads")).unwrap();
        assert_eq!(line.matches("+20.0 % !").count(), 4, "{line}");
        // Five rows are decided by computing and have HaloDB's figure.
        assert!(text.contains("4 of 5 rows agree within 10 % (80 %)"), "{text}");
    }

    #[test]
    fn a_difference_is_as_large_upward_as_downward() {
        assert!((apart(1.0, 1.1) + apart(1.1, 1.0)).abs() < 1e-12);
        assert_eq!(apart(0.5, 0.5), 0.0);
        assert_eq!(apart(f64::INFINITY, f64::INFINITY), 0.0);
        assert!(apart(0.0, 1.0).is_infinite());
    }

    #[test]
    fn rows_that_the_disk_decides_are_left_out() {
        let files = run("2222");
        assert!(!compare(&files, &files).unwrap().contains("durable"));
    }

    #[test]
    fn runs_without_a_common_row_are_refused() {
        let files = run("2222");
        assert!(compare(&files[..1], &files[2..]).unwrap_err().contains("no row in common"));
    }
}
