//! A row as the report sees it: each engine's median and spread instead of its values, who is best, and HaloDB's ratio
//! to the best peer.
//!
//! A ratio above one always says that HaloDB is ahead, whether more or less is better in that row. Nothing here formats.

use super::number;
use crate::result::{Better, Cell, Row, Unit};

/// The engine that this is all about.
pub(crate) const HALODB: &str = "halodb";

/// What one engine achieved in one row.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Achieved {
    /// A figure from one or more rounds.
    Figure(Figure),
    /// A word instead of a figure, and why.
    Word(&'static str, String),
    /// The engine did not take part.
    Absent,
}

/// The median of the rounds and the ends of their range.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Figure {
    /// The middle value; the mean of the two middle ones if their number is even.
    pub(crate) median: f64,
    /// The least value.
    pub(crate) min: f64,
    /// The greatest value.
    pub(crate) max: f64,
    /// How many values.
    pub(crate) rounds: usize,
}

impl Figure {
    /// Of values that are finite; `None` without any.
    pub(crate) fn of(values: &[f64]) -> Option<Figure> {
        let mut sorted: Vec<f64> = values.iter().copied().filter(|v| v.is_finite()).collect();
        sorted.sort_by(f64::total_cmp);
        let (min, max) = (*sorted.first()?, *sorted.last()?);
        let middle = sorted.len() / 2;
        let median = if sorted.len().is_multiple_of(2) {
            f64::midpoint(sorted[middle - 1], sorted[middle])
        } else {
            sorted[middle]
        };
        Some(Figure { median, min, max, rounds: sorted.len() })
    }

    /// `(max − min) / median`; `None` for a single value, which has no spread.
    pub(crate) fn spread(&self) -> Option<f64> {
        match self.rounds {
            0 | 1 => None,
            _ if self.max == self.min => Some(0.0),
            _ => Some((self.max - self.min) / self.median),
        }
    }

    /// Whether the ranges touch, so that the order of the medians may be chance.
    pub(crate) fn overlaps(&self, other: &Figure) -> bool {
        self.rounds > 1 && other.rounds > 1 && self.min <= other.max && other.min <= self.max
    }
}

/// A row with all engines.
#[derive(Clone, Debug)]
pub(crate) struct View<'a> {
    /// The row as it was recorded.
    pub(crate) row: &'a Row,
    /// What each engine achieved, in the order of the run's engines.
    pub(crate) cells: Vec<(&'a str, Achieved)>,
}

impl<'a> View<'a> {
    /// The row for these engines.
    pub(crate) fn of(row: &'a Row, engines: impl Iterator<Item = &'a str>) -> View<'a> {
        View { row, cells: engines.map(|engine| (engine, achieved(row.cells.get(engine)))).collect() }
    }

    /// The figure of one engine.
    pub(crate) fn figure(&self, engine: &str) -> Option<Figure> {
        self.cells.iter().find(|(name, _)| *name == engine).and_then(|(_, cell)| match cell {
            Achieved::Figure(figure) => Some(*figure),
            _ => None,
        })
    }

    /// The best median of all.
    pub(crate) fn best(&self) -> Option<f64> {
        self.figures().map(|(_, figure)| figure.median).reduce(|a, b| if self.is_better(b, a) { b } else { a })
    }

    /// The peers with figures, best first; equals in the order of the engines.
    pub(crate) fn peers(&self) -> Vec<(&'a str, Figure)> {
        let mut peers: Vec<_> = self.figures().filter(|(name, _)| *name != HALODB).collect();
        peers.sort_by(|(_, a), (_, b)| match self.row.better {
            Better::Higher => b.median.total_cmp(&a.median),
            Better::Lower => a.median.total_cmp(&b.median),
        });
        peers
    }

    /// How many times better HaloDB is than `peer`: below one, it is worse.
    pub(crate) fn ratio_to(&self, peer: &str) -> Option<f64> {
        Some(self.advantage(self.figure(HALODB)?.median, self.figure(peer)?.median))
    }

    /// The ratio to the best peer.
    pub(crate) fn ratio(&self) -> Option<f64> {
        self.ratio_to(self.peers().first()?.0)
    }

    /// How many times better `a` is than `b`. Nothing against nothing is even.
    pub(crate) fn advantage(&self, a: f64, b: f64) -> f64 {
        match self.row.better {
            _ if a == b => 1.0,
            Better::Higher => a / b,
            Better::Lower => b / a,
        }
    }

    fn is_better(&self, a: f64, b: f64) -> bool {
        match self.row.better {
            Better::Higher => a > b,
            Better::Lower => a < b,
        }
    }

    fn figures(&self) -> impl Iterator<Item = (&'a str, Figure)> {
        self.cells.iter().filter_map(|(name, cell)| match cell {
            Achieved::Figure(figure) => Some((*name, *figure)),
            _ => None,
        })
    }
}

fn achieved(cell: Option<&Cell>) -> Achieved {
    match cell {
        None => Achieved::Absent,
        Some(Cell::NotYet(why)) => Achieved::Word("not yet", why.clone()),
        Some(Cell::Failed(why)) => Achieved::Word("failed", why.clone()),
        Some(Cell::Skipped(why)) => Achieved::Word("skipped", why.clone()),
        Some(Cell::Values(values)) => Figure::of(values).map_or(Achieved::Absent, Achieved::Figure),
    }
}

/// A value in the unit that [`unit()`] names: sizes are recorded in bytes and shown in MiB.
pub(crate) fn in_unit(value: f64, unit: Unit) -> f64 {
    match unit {
        Unit::Bytes => value / f64::from(1 << 20),
        Unit::OpsPerSecond | Unit::Millis | Unit::Seconds | Unit::Micros => value,
    }
}

/// A median as text, without its unit.
pub(crate) fn shown(value: f64, unit: Unit) -> String {
    match unit {
        Unit::OpsPerSecond => number::rate(value),
        Unit::Bytes | Unit::Millis | Unit::Seconds | Unit::Micros => number::plain(in_unit(value, unit)),
    }
}

/// The unit in which [`shown`] gives values.
pub(crate) fn unit(unit: Unit) -> &'static str {
    match unit {
        Unit::OpsPerSecond => "op/s",
        Unit::Bytes => "MiB",
        Unit::Millis => "ms",
        Unit::Seconds => "s",
        Unit::Micros => "µs",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::Bound;

    fn check(better: Better, cells: &[(&str, &[f64])], best: f64, ratio: Option<f64>) {
        let cells = cells.iter().map(|(name, values)| ((*name).to_owned(), Cell::Values(values.to_vec()))).collect();
        let row = Row { name: "row".into(), unit: Unit::OpsPerSecond, better, bound: Bound::Cpu, cells };
        let view = View::of(&row, ["halodb", "redb", "lmdb"].into_iter());
        assert_eq!(view.best(), Some(best));
        assert_eq!(view.ratio(), ratio);
    }

    #[test]
    fn a_ratio_above_one_means_that_halodb_is_ahead() {
        let cells: [(&str, &[f64]); 3] = [("halodb", &[20.0]), ("redb", &[10.0]), ("lmdb", &[5.0])];
        check(Better::Higher, &cells, 20.0, Some(2.0));
        check(Better::Lower, &cells, 5.0, Some(0.25));
    }

    #[test]
    fn without_a_peer_or_without_halodb_there_is_no_ratio() {
        check(Better::Higher, &[("halodb", &[20.0])], 20.0, None);
        check(Better::Higher, &[("redb", &[20.0])], 20.0, None);
    }

    #[test]
    fn nothing_against_nothing_is_even_and_something_against_nothing_is_lost() {
        check(Better::Lower, &[("halodb", &[0.0]), ("redb", &[0.0])], 0.0, Some(1.0));
        check(Better::Lower, &[("halodb", &[3.0]), ("redb", &[0.0])], 0.0, Some(0.0));
    }

    #[test]
    fn the_median_is_the_middle_and_the_spread_is_relative_to_it() {
        let three = Figure::of(&[300.0, 100.0, 200.0]).unwrap();
        assert_eq!((three.median, three.spread()), (200.0, Some(1.0)));
        let two = Figure::of(&[1.0, 2.0]).unwrap();
        assert_eq!(two.median, 1.5);
        assert_eq!(Figure::of(&[7.0]).unwrap().spread(), None);
        assert_eq!(Figure::of(&[f64::NAN]), None);
    }

    #[test]
    fn ranges_that_touch_overlap_and_single_values_have_no_range() {
        let of = |values: &[f64]| Figure::of(values).unwrap();
        assert!(of(&[1.0, 3.0]).overlaps(&of(&[3.0, 4.0])));
        assert!(!of(&[1.0, 2.0]).overlaps(&of(&[3.0, 4.0])));
        assert!(!of(&[1.0]).overlaps(&of(&[1.0, 2.0])));
    }
}
