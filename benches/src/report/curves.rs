//! The plots of a load over time: operations in each second, and latency by percentile. A pair for each row that has
//! curves.
//!
//! Of an engine's rounds the one with the middle rate is drawn, in both plots: a mean of rounds would hide a stall.

use super::names::{color, engine, heading};
use super::number;
use super::scale::Axis;
use super::svg::{Anchor, Drawing, width_of};
use crate::result::{Curve, ResultFile};

const WIDTH: f64 = 860.0;
const HEIGHT: f64 = 380.0;
const LEFT: f64 = 66.0;
const RIGHT: f64 = 834.0;
const TOP: f64 = 70.0;
const BOTTOM: f64 = 332.0;

/// More seconds than this are drawn as means of neighbours.
const POINTS: usize = 300;

/// What to draw of one row.
#[derive(Debug)]
pub(crate) struct Curves<'a> {
    /// The row's name.
    pub(crate) row: &'a str,
    file: &'a ResultFile,
    /// One round of each engine, in the order of the engines.
    rounds: Vec<&'a Curve>,
}

/// The rows of `file` that have curves.
pub(crate) fn of(file: &ResultFile) -> Vec<Curves<'_>> {
    let mut rows: Vec<&str> = Vec::new();
    for curve in &file.curves {
        if !rows.contains(&curve.row.as_str()) {
            rows.push(&curve.row);
        }
    }
    let rounds = |row: &str| file.engines.iter().filter_map(|engine| middle(file, row, &engine.name)).collect();
    rows.into_iter()
        .map(|row| Curves { row, file, rounds: rounds(row) })
        .filter(|curves| !curves.rounds.is_empty())
        .collect()
}

/// The round of an engine with the middle rate; the lower of two.
fn middle<'a>(file: &'a ResultFile, row: &str, engine: &str) -> Option<&'a Curve> {
    let mut rounds: Vec<&Curve> =
        file.curves.iter().filter(|curve| curve.row == row && curve.engine == engine).collect();
    rounds.sort_by(|a, b| mean(&a.per_second).total_cmp(&mean(&b.per_second)));
    rounds.get(rounds.len().saturating_sub(1) / 2).copied()
}

fn mean(values: &[f64]) -> f64 {
    if values.is_empty() { 0.0 } else { values.iter().sum::<f64>() / values.len() as f64 }
}

impl Curves<'_> {
    /// Operations a second over time; `None` if no engine has any.
    pub(crate) fn throughput(&self) -> Option<String> {
        let longest = self.rounds.iter().map(|round| round.per_second.len()).max().filter(|seconds| *seconds > 0)?;
        let largest = self.rounds.iter().flat_map(|round| &round.per_second).copied().fold(0.0, f64::max);
        let (x, y) = (Axis::linear(longest as f64, LEFT, RIGHT), Axis::linear(largest, BOTTOM, TOP));
        let mut drawing = self.sheet("throughput over time");
        for mark in y.marks() {
            horizontal(&mut drawing, y.at(mark), &number::mark(mark));
        }
        for mark in x.marks() {
            vertical(&mut drawing, x.at(mark), &number::mark(mark));
        }
        self.frame(&mut drawing, "op/s", "seconds since the start");
        for round in self.rounds.iter().filter(|round| !round.per_second.is_empty()) {
            let points: Vec<_> = thinned(&round.per_second).map(|(second, rate)| (x.at(second), y.at(rate))).collect();
            drawing.curve(&points, color(&round.engine), engine(&round.engine));
        }
        Some(drawing.finish())
    }

    /// Latency by percentile, both axes logarithmic; `None` if no engine has any.
    pub(crate) fn latency(&self) -> Option<String> {
        let points = self.rounds.iter().flat_map(|round| &round.latency_us);
        let nines =
            points.clone().map(|(percentile, _)| *percentile).filter(|p| *p < 100.0).map(position).fold(0.0, f64::max);
        points.clone().next()?;
        let y = Axis::log(points.clone().map(|(_, us)| *us), BOTTOM, TOP);
        // The maximum has no place on a scale of nines; it gets one after the last.
        let end = nines + 0.6;
        let x = |percentile: f64| LEFT + position(percentile).min(end) / end * (RIGHT - LEFT);
        let mut drawing = self.sheet("latency by percentile");
        for mark in y.marks() {
            horizontal(&mut drawing, y.at(mark), &number::mark(mark));
        }
        let mut percentiles: Vec<f64> = points.map(|(percentile, _)| *percentile).filter(|p| *p > 0.0).collect();
        percentiles.sort_by(f64::total_cmp);
        percentiles.dedup();
        let mut free_from = 0.0;
        for percentile in percentiles {
            let words = if percentile >= 100.0 { "max".to_owned() } else { format!("p{percentile}") };
            // Marks that would run into each other are left out.
            let half = width_of(&words) / 2.0;
            let at = x(percentile);
            if at - half > free_from {
                vertical(&mut drawing, at, &words);
                free_from = at + half + 4.0;
            }
        }
        self.frame(&mut drawing, "µs", "percentile");
        for round in self.rounds.iter().filter(|round| !round.latency_us.is_empty()) {
            let points: Vec<_> = round.latency_us.iter().map(|(percentile, us)| (x(*percentile), y.at(*us))).collect();
            drawing.curve(&points, color(&round.engine), engine(&round.engine));
        }
        Some(drawing.finish())
    }

    /// A sheet with title and legend.
    fn sheet(&self, what: &str) -> Drawing {
        let title = format!("{}: {what}", self.row);
        let mut drawing = Drawing::new(WIDTH, HEIGHT, &format!("{title} ({})", heading(self.file)));
        drawing.text("ink title", 12.0, 24.0, Anchor::Start, &title);
        let mut x = LEFT;
        for round in &self.rounds {
            let name = engine(&round.engine);
            drawing.bar(x, 38.0, 12.0, 10.0, color(&round.engine), name);
            drawing.text("ink", x + 17.0, 47.0, Anchor::Start, name);
            x += 17.0 + width_of(name) + 18.0;
        }
        drawing
    }

    fn frame(&self, drawing: &mut Drawing, upward: &str, rightward: &str) {
        drawing.line("axis", (LEFT, BOTTOM), (RIGHT, BOTTOM));
        drawing.text("dim strong", LEFT - 6.0, TOP - 12.0, Anchor::End, upward);
        drawing.text("dim strong", f64::midpoint(LEFT, RIGHT), BOTTOM + 36.0, Anchor::Middle, rightward);
    }
}

fn horizontal(drawing: &mut Drawing, y: f64, words: &str) {
    drawing.line("grid", (LEFT, y), (RIGHT, y));
    drawing.text("dim", LEFT - 6.0, y + 4.0, Anchor::End, words);
}

fn vertical(drawing: &mut Drawing, x: f64, words: &str) {
    drawing.line("grid", (x, TOP), (x, BOTTOM));
    drawing.text("dim", x, BOTTOM + 16.0, Anchor::Middle, words);
}

/// A percentile's place on a scale of nines: 90 at 1, 99 at 2, 99.9 at 3; 100 nowhere.
fn position(percentile: f64) -> f64 {
    -(1.0 - percentile / 100.0).max(0.0).log10()
}

/// Seconds and rates, at most [`POINTS`] of them. A rate stands at the middle of its second.
fn thinned(per_second: &[f64]) -> impl Iterator<Item = (f64, f64)> {
    let size = per_second.len().div_ceil(POINTS).max(1);
    per_second
        .chunks(size)
        .enumerate()
        .map(move |(index, chunk)| ((index * size) as f64 + chunk.len() as f64 / 2.0, mean(chunk)))
}

#[cfg(test)]
mod tests {
    use super::super::load;
    use super::super::svg::tests::assert_well_formed;
    use super::*;
    use std::path::Path;

    fn file() -> ResultFile {
        load::one_commit(&Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/results"), None).unwrap().remove(2)
    }

    #[test]
    fn each_row_with_curves_gets_two_plots_with_all_engines() {
        let file = file();
        let curves = of(&file);
        assert_eq!(curves.len(), 1);
        for svg in [curves[0].throughput().unwrap(), curves[0].latency().unwrap()] {
            assert_well_formed(&svg);
            assert_eq!(svg.matches("<polyline").count(), 4);
            assert!(svg.contains(">HaloDB</text>"));
        }
        assert!(curves[0].latency().unwrap().contains(">p99.99</text>"));
    }

    #[test]
    fn the_round_with_the_middle_rate_is_drawn() {
        let file = file();
        let mut means: Vec<f64> =
            file.curves.iter().filter(|c| c.engine == "redb").map(|c| mean(&c.per_second)).collect();
        means.sort_by(f64::total_cmp);
        let drawn = middle(&file, "random insert", "redb").unwrap();
        assert_eq!(mean(&drawn.per_second), means[1]);
        assert!(middle(&file, "random insert", "nobody").is_none());
    }

    #[test]
    fn curves_without_points_draw_nothing() {
        let mut file = file();
        for curve in &mut file.curves {
            curve.per_second.clear();
            curve.latency_us.clear();
        }
        let curves = of(&file);
        assert_eq!((curves[0].throughput(), curves[0].latency()), (None, None));
    }

    #[test]
    fn a_long_load_is_drawn_as_means_of_neighbours() {
        let seconds = vec![10.0; 3_600];
        let points: Vec<_> = thinned(&seconds).collect();
        assert_eq!(points.len(), POINTS);
        assert_eq!(points[0], (6.0, 10.0));
    }

    #[test]
    fn each_nine_takes_the_same_room() {
        assert!((position(99.0) - 2.0).abs() < 1e-9 && (position(99.99) - 4.0).abs() < 1e-9);
        assert!(position(100.0).is_infinite());
    }
}
