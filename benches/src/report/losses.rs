//! What HaloDB loses at: every row in which a peer's median is better, and every row that HaloDB has no figure for.
//!
//! Made from the results alone, so that nothing can be left out of it.

use super::names::{engine, heading, prose, slug};
use super::number;
use super::table::views;
use super::view::{Achieved, Figure, HALODB, shown, unit};
use crate::result::{ResultFile, Unit};
use std::fmt::Write;

/// A row in which peers are ahead.
#[derive(Debug)]
pub(crate) struct Loss<'a> {
    file: &'a ResultFile,
    row: &'a str,
    unit: Unit,
    halodb: Figure,
    /// Who is ahead, by which factor; the best first.
    ahead: Vec<(&'a str, Figure, f64)>,
}

/// A row without a figure of HaloDB's, although a peer has one.
#[derive(Debug)]
pub(crate) struct Missing<'a> {
    file: &'a ResultFile,
    row: &'a str,
    unit: Unit,
    word: &'static str,
    why: String,
    best: (&'a str, Figure),
}

/// How HaloDB stands in one file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Score {
    /// No peer is better.
    pub(crate) first: usize,
    /// A peer is better.
    pub(crate) behind: usize,
    /// HaloDB has no figure, a peer has.
    pub(crate) missing: usize,
}

/// The rows in which a peer's median is better, the worst first.
pub(crate) fn losses(files: &[ResultFile]) -> Vec<Loss<'_>> {
    let mut losses = Vec::new();
    for file in files {
        for view in views(file) {
            let Some(halodb) = view.figure(HALODB) else { continue };
            let factors = view
                .peers()
                .into_iter()
                .map(|(peer, figure)| (peer, figure, view.advantage(figure.median, halodb.median)));
            let ahead: Vec<_> = factors.filter(|(_, _, factor)| *factor > 1.0).collect();
            if !ahead.is_empty() {
                losses.push(Loss { file, row: &view.row.name, unit: view.row.unit, halodb, ahead });
            }
        }
    }
    // Stable: equals keep the order of the page.
    losses.sort_by(|a, b| b.ahead[0].2.total_cmp(&a.ahead[0].2));
    losses
}

/// The rows that HaloDB has no figure for.
pub(crate) fn missing(files: &[ResultFile]) -> Vec<Missing<'_>> {
    let mut missing = Vec::new();
    for file in files {
        for view in views(file) {
            let (Some(&best), None) = (view.peers().first(), view.figure(HALODB)) else { continue };
            let (word, why) = match view.cells.iter().find(|(name, _)| *name == HALODB) {
                Some((_, Achieved::Word(word, why))) => (*word, why.clone()),
                _ => ("not run", String::new()),
            };
            missing.push(Missing { file, row: &view.row.name, unit: view.row.unit, word, why, best });
        }
    }
    missing
}

/// The counts for one file.
pub(crate) fn score(file: &ResultFile) -> Score {
    let files = std::slice::from_ref(file);
    let behind = losses(files).len();
    let compared = views(file).iter().filter(|view| view.ratio().is_some()).count();
    Score { first: compared - behind, behind, missing: missing(files).len() }
}

/// The section's text below its heading, in Markdown.
pub(crate) fn section(files: &[ResultFile]) -> String {
    let mut text = String::new();
    let losses = losses(files);
    if losses.is_empty() {
        text.push_str("In no row of these results is a peer's median better.\n");
    } else {
        text.push_str(
            "Every row in which a peer's median is better, the worst first. \"≈\": the ranges of the rounds touch, so that the \
             order may be chance.\n\n| row | table | HaloDB | best peer | times better | also ahead |\n|---|---|--:|--:|--:|---|\n",
        );
    }
    for loss in &losses {
        let (peer, figure, factor) = loss.ahead[0];
        let doubt = if figure.overlaps(&loss.halodb) { "≈ " } else { "" };
        let others =
            loss.ahead[1..].iter().map(|(peer, _, factor)| format!("{} {}", engine(peer), number::ratio(*factor)));
        writeln!(
            text,
            "| {} | {} | {} {} | {} {} | {doubt}**{}** | {} |",
            prose(loss.row),
            link(loss.file),
            shown(loss.halodb.median, loss.unit),
            unit(loss.unit),
            engine(peer),
            shown(figure.median, loss.unit),
            number::ratio(factor),
            others.collect::<Vec<_>>().join(", ")
        )
        .unwrap_or_default();
    }
    let missing = missing(files);
    if !missing.is_empty() {
        text.push_str("\nRows that HaloDB has no figure for, although a peer has:\n\n| row | table | HaloDB | best peer |\n|---|---|---|--:|\n");
    }
    for row in &missing {
        let why = if row.why.is_empty() { row.word.to_owned() } else { format!("{}: {}", row.word, prose(&row.why)) };
        let (peer, figure) = (engine(row.best.0), shown(row.best.1.median, row.unit));
        writeln!(text, "| {} | {} | {why} | {peer} {figure} {} |", prose(row.row), link(row.file), unit(row.unit))
            .unwrap_or_default();
    }
    text
}

fn link(file: &ResultFile) -> String {
    let heading = heading(file);
    format!("[{heading}](#{})", slug(&heading))
}

#[cfg(test)]
mod tests {
    use super::super::load;
    use super::*;
    use std::path::Path;

    fn files() -> Vec<ResultFile> {
        load::one_commit(&Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/results"), None).unwrap()
    }

    #[test]
    fn losses_come_worst_first_with_all_who_are_ahead() {
        let files = files();
        let losses = losses(&files);
        let factors: Vec<f64> = losses.iter().map(|loss| loss.ahead[0].2).collect();
        assert!(factors.is_sorted_by(|a, b| a >= b) && factors.iter().all(|factor| *factor > 1.0), "{factors:?}");
        let reads = losses.iter().find(|loss| loss.row == "random reads").unwrap();
        assert_eq!(reads.ahead.iter().map(|(peer, ..)| *peer).collect::<Vec<_>>(), ["lmdb", "redb"]);
        assert!((reads.ahead[0].2 - 1_840_000.0 / 548_000.0).abs() < 1e-9);
    }

    #[test]
    fn a_row_where_less_is_better_is_lost_to_who_needs_less() {
        let files = files();
        let losses = losses(&files);
        let cpu = losses.iter().find(|loss| loss.row == "CPU").unwrap();
        assert_eq!(cpu.ahead[0].0, "lmdb");
        assert!(losses.iter().all(|loss| loss.row != "size after compaction"));
    }

    #[test]
    fn rows_without_a_figure_of_ours_are_losses_of_their_own_kind() {
        let files = files();
        let missing = missing(&files);
        assert_eq!(
            missing.iter().map(|row| row.row).collect::<Vec<_>>(),
            ["conditional removal over a range", "pops at both ends"]
        );
        assert_eq!(missing[1].best.0, "lmdb");
    }

    #[test]
    fn every_row_with_a_peer_is_counted_once() {
        for file in files() {
            let Score { first, behind, missing } = score(&file);
            assert_eq!(first + behind + missing, file.rows.len(), "{}", heading(&file));
        }
    }

    #[test]
    fn who_wins_everywhere_is_told_so() {
        let mut files = files();
        for row in files.iter_mut().flat_map(|file| &mut file.rows) {
            row.cells.retain(|name, _| name == "halodb");
        }
        assert!(section(&files).starts_with("In no row"));
    }
}
