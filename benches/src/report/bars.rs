//! The plot of one result file: for each row a bar for each engine, on a logarithmic scale. Rows of one unit share a
//! panel with its axis.
//!
//! A bar ends at the median. On a logarithmic scale the length of a single bar means nothing; the distance between two
//! ends is their ratio.

use super::names::{color, engine, heading};
use super::number;
use super::scale::Axis;
use super::svg::{Anchor, Drawing, width_of};
use super::table::views;
use super::view::{Achieved, View, in_unit, shown, unit};
use crate::result::{Better, ResultFile, Unit};

const WIDTH: f64 = 860.0;
/// Where the rows' names begin, the engines' names end, the bars begin and end.
const NAME: f64 = 12.0;
const ENGINE: f64 = 254.0;
const FROM: f64 = 260.0;
const TO: f64 = 780.0;
/// One bar with its distance to the next, and the bar alone.
const PITCH: f64 = 13.0;
const BAR: f64 = 10.0;
/// Around a row, above a panel, above all.
const GAP: f64 = 10.0;
const PANEL: f64 = 50.0;
const HEAD: f64 = 34.0;

/// The plot as SVG; `None` if there is no figure to draw.
pub(crate) fn plot(file: &ResultFile) -> Option<String> {
    let panels = panels(views(file));
    if panels.is_empty() {
        return None;
    }
    let height = |panel: &Panel<'_>| PANEL + panel.rows.iter().map(row_height).sum::<f64>();
    let total = HEAD + panels.iter().map(height).sum::<f64>() + GAP;
    let title = heading(file);
    let mut drawing = Drawing::new(WIDTH, total, &title);
    drawing.text("ink title", NAME, 24.0, Anchor::Start, &title);
    let mut top = HEAD;
    for panel in &panels {
        draw(&mut drawing, panel, top);
        top += height(panel);
    }
    Some(drawing.finish())
}

/// Rows that share an axis.
struct Panel<'a> {
    unit: Unit,
    better: Better,
    rows: Vec<View<'a>>,
}

/// The rows with at least one figure, by unit and direction, in the order of their first row.
fn panels(views: Vec<View<'_>>) -> Vec<Panel<'_>> {
    let mut panels: Vec<Panel<'_>> = Vec::new();
    for view in views.into_iter().filter(|view| view.best().is_some()) {
        let (unit, better) = (view.row.unit, view.row.better);
        match panels.iter_mut().find(|panel| panel.unit == unit && panel.better == better) {
            Some(panel) => panel.rows.push(view),
            None => panels.push(Panel { unit, better, rows: vec![view] }),
        }
    }
    panels
}

fn row_height(view: &View<'_>) -> f64 {
    let lines = wrapped(&view.row.name).len().max(bars(view).count());
    lines as f64 * PITCH + GAP
}

/// The engines that took part, with what they achieved.
fn bars<'a>(view: &'a View<'_>) -> impl Iterator<Item = (&'a str, &'a Achieved)> {
    view.cells.iter().filter(|(_, cell)| *cell != Achieved::Absent).map(|(name, cell)| (*name, cell))
}

fn draw(drawing: &mut Drawing, panel: &Panel<'_>, top: f64) {
    let medians = panel.rows.iter().flat_map(|view| &view.cells).filter_map(|(_, cell)| match cell {
        Achieved::Figure(figure) => Some(in_unit(figure.median, panel.unit)),
        _ => None,
    });
    let medians: Vec<f64> = medians.collect();
    let axis = Axis::log(medians.iter().copied(), FROM, TO);
    let direction = match panel.better {
        Better::Higher => "more is better",
        Better::Lower => "less is better",
    };
    drawing.text("dim strong", NAME, top + 38.0, Anchor::Start, &format!("{}, {direction}", unit(panel.unit)));
    let bottom = top + PANEL + panel.rows.iter().map(row_height).sum::<f64>() - GAP / 2.0;
    for mark in axis.marks() {
        let x = axis.at(mark);
        drawing.line("grid", (x, top + PANEL - 6.0), (x, bottom));
        drawing.text("dim", x, top + 38.0, Anchor::Middle, &number::mark(mark));
    }
    let mut y = top + PANEL;
    for view in &panel.rows {
        row(drawing, view, &axis, y);
        y += row_height(view);
        drawing.line("grid", (NAME, y - GAP / 2.0), (WIDTH - NAME, y - GAP / 2.0));
    }
}

fn row(drawing: &mut Drawing, view: &View<'_>, axis: &Axis, top: f64) {
    for (index, line) in wrapped(&view.row.name).iter().enumerate() {
        drawing.text("ink strong", NAME, top + 9.0 + index as f64 * PITCH, Anchor::Start, line);
    }
    for (index, (name, cell)) in bars(view).enumerate() {
        let y = top + index as f64 * PITCH;
        drawing.text("dim", ENGINE, y + 9.0, Anchor::End, engine(name));
        match cell {
            Achieved::Figure(figure) => {
                let (end, value) =
                    (axis.at(in_unit(figure.median, view.row.unit)), shown(figure.median, view.row.unit));
                let hint = format!("{}, {}: {value} {}", view.row.name, engine(name), unit(view.row.unit));
                drawing.bar(FROM, y, end - FROM, BAR, color(name), &hint);
                let class = if Some(figure.median) == view.best() { "ink strong" } else { "ink" };
                drawing.text(class, end + 5.0, y + 9.0, Anchor::Start, &value);
            }
            Achieved::Word(word, _) => drawing.text("dim", FROM + 5.0, y + 9.0, Anchor::Start, word),
            Achieved::Absent => {}
        }
    }
}

/// `name` in lines that fit before the engines' names.
fn wrapped(name: &str) -> Vec<String> {
    let room = ENGINE - NAME - 62.0;
    let mut lines: Vec<String> = Vec::new();
    for word in name.split_whitespace() {
        match lines.last_mut() {
            Some(line) if width_of(line) + width_of(word) + 3.6 <= room => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::super::load;
    use super::super::svg::tests::assert_well_formed;
    use super::*;
    use std::path::Path;

    fn file() -> ResultFile {
        load::one_commit(&Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/results"), None).unwrap().remove(0)
    }

    #[test]
    fn the_plot_is_well_formed_and_holds_every_row_and_word() {
        let file = file();
        let svg = plot(&file).unwrap();
        assert_well_formed(&svg);
        for word in ["random reads", "not yet", "failed", "1.84 M", "MiB, less is better"] {
            assert!(svg.contains(word), "{word} is missing");
        }
    }

    #[test]
    fn rows_share_a_panel_by_unit_and_direction() {
        let file = file();
        let panels = panels(views(&file));
        let units: Vec<Unit> = panels.iter().map(|panel| panel.unit).collect();
        assert_eq!(units, [Unit::OpsPerSecond, Unit::Micros, Unit::Bytes, Unit::Seconds]);
    }

    #[test]
    fn without_figures_there_is_no_plot() {
        let mut file = file();
        file.rows.iter_mut().for_each(|row| row.cells.clear());
        assert_eq!(plot(&file), None);
    }

    #[test]
    fn long_names_are_wrapped_between_words() {
        let lines = wrapped("short range reads (seek + 10), eight threads at a time");
        assert!(lines.len() > 1 && lines.iter().all(|line| width_of(line) < 200.0), "{lines:?}");
        assert_eq!(lines.join(" "), "short range reads (seek + 10), eight threads at a time");
    }
}
