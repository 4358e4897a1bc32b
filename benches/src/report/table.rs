//! One result file as a table: a line for each row, a column for each engine, the best in bold, HaloDB's ratio to the
//! best peer at the end; below it, why cells hold a word instead of a figure.

use super::names::{engine, prose};
use super::number;
use super::view::{Achieved, Figure, View, shown, unit};
use crate::result::{Better, ResultFile, Unit};
use std::fmt::Write;

/// The views of a file's rows.
pub(crate) fn views(file: &ResultFile) -> Vec<View<'_>> {
    file.rows.iter().map(|row| View::of(row, file.engines.iter().map(|engine| engine.name.as_str()))).collect()
}

/// The table and its notes, in Markdown.
pub(crate) fn table(file: &ResultFile) -> String {
    let mut text = String::from("| row | unit |");
    for one in &file.engines {
        write!(text, " {} |", engine(&one.name)).unwrap_or_default();
    }
    text.push_str(" HaloDB to the best peer |\n|---|---|");
    text.push_str(&"--:|".repeat(file.engines.len() + 1));
    text.push('\n');
    let mut notes = Vec::new();
    for view in views(file) {
        line(&mut text, &view, &mut notes);
    }
    if !notes.is_empty() {
        text.push('\n');
    }
    for (index, note) in notes.iter().enumerate() {
        // A break at the end of each, because together they are one paragraph.
        let end = if index + 1 < notes.len() { "\\" } else { "" };
        writeln!(text, "<sup>{}</sup> {note}{end}", index + 1).unwrap_or_default();
    }
    text
}

fn line(text: &mut String, view: &View<'_>, notes: &mut Vec<String>) {
    let arrow = match view.row.better {
        Better::Higher => "",
        Better::Lower => " ↓",
    };
    write!(text, "| {} | {}{arrow} |", prose(&view.row.name), unit(view.row.unit)).unwrap_or_default();
    let best = view.best();
    for (_, cell) in &view.cells {
        let words = match cell {
            Achieved::Figure(figure) if Some(figure.median) == best => figure_text(figure, view.row.unit, "**"),
            Achieved::Figure(figure) => figure_text(figure, view.row.unit, ""),
            Achieved::Absent => "–".to_owned(),
            Achieved::Word(word, why) => format!("{word} <sup>{}</sup>", noted(notes, why)),
        };
        write!(text, " {words} |").unwrap_or_default();
    }
    match (view.ratio(), view.peers().first()) {
        (Some(ratio), Some((peer, _))) => writeln!(text, " {} ({}) |", number::ratio(ratio), engine(peer)),
        _ => writeln!(text, " – |"),
    }
    .unwrap_or_default();
}

/// The number of the note that says `why`; the same reason is said once.
fn noted(notes: &mut Vec<String>, why: &str) -> usize {
    let why = prose(why);
    match notes.iter().position(|note| *note == why) {
        Some(index) => index + 1,
        None => {
            notes.push(why);
            notes.len()
        }
    }
}

fn figure_text(figure: &Figure, unit: Unit, mark: &str) -> String {
    let median = shown(figure.median, unit);
    match figure.spread() {
        Some(spread) => format!("{mark}{median}{mark} <sub>{}</sub>", number::percent(spread)),
        None => format!("{mark}{median}{mark}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::{Bound, Cell, Row};

    fn row(better: Better, unit: Unit, cells: &[(&str, Cell)]) -> Row {
        let cells = cells.iter().map(|(name, cell)| ((*name).to_owned(), cell.clone())).collect();
        Row { name: "row".into(), unit, better, bound: Bound::Cpu, cells }
    }

    fn check(row: &Row, expected: &str) {
        let mut text = String::new();
        line(&mut text, &View::of(row, ["halodb", "redb", "lmdb"].into_iter()), &mut Vec::new());
        assert_eq!(text.trim_end(), expected);
    }

    #[test]
    fn the_best_is_bold_and_the_ratio_is_to_the_best_peer() {
        let values = |value: f64| Cell::Values(vec![value]);
        let cells = [("halodb", values(50_000.0)), ("redb", values(100_000.0)), ("lmdb", values(80_000.0))];
        check(
            &row(Better::Higher, Unit::OpsPerSecond, &cells),
            "| row | op/s | 50.0 k | **100 k** | 80.0 k | 0.50 (redb) |",
        );
        check(
            &row(Better::Lower, Unit::Micros, &cells),
            "| row | µs ↓ | **50,000** | 100,000 | 80,000 | 1.60 (LMDB) |",
        );
    }

    #[test]
    fn rounds_give_a_spread_and_missing_figures_a_word() {
        let cells = [
            ("halodb", Cell::NotYet("transactions".into())),
            ("redb", Cell::Values(vec![90.0, 100.0, 110.0])),
            ("lmdb", Cell::Failed("wrong sum".into())),
        ];
        check(
            &row(Better::Higher, Unit::OpsPerSecond, &cells),
            "| row | op/s | not yet <sup>1</sup> | **100** <sub>20 %</sub> | failed <sup>2</sup> | – |",
        );
        let cells = [("halodb", Cell::Values(vec![])), ("redb", Cell::Skipped("none".into()))];
        check(&row(Better::Higher, Unit::Bytes, &cells), "| row | MiB | – | skipped <sup>1</sup> | – | – |");
    }
}
