//! Axes: from values to pixels, and where the marks stand. Logarithmic for figures that differ by orders of magnitude,
//! linear for time.
//!
//! An axis draws nothing.

/// An axis over `low..=high` on `from..=to` pixels.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Axis {
    kind: Kind,
    low: f64,
    high: f64,
    from: f64,
    to: f64,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Log,
    Linear,
}

impl Axis {
    /// A logarithmic axis of whole decades around the values; those that are not above zero are left to the lower end.
    pub(crate) fn log(values: impl Iterator<Item = f64> + Clone, from: f64, to: f64) -> Axis {
        let positive = values.filter(|v| v.is_finite() && *v > 0.0);
        let smallest = positive.clone().fold(f64::INFINITY, f64::min);
        let largest = positive.fold(f64::NEG_INFINITY, f64::max);
        let (smallest, largest) = if smallest <= largest { (smallest, largest) } else { (1.0, 1.0) };
        // A bar keeps a visible stump even if its value is the smallest of all.
        let low = (smallest / 1.3).log10().floor();
        let high = largest.log10().ceil().max(low + 1.0);
        Axis { kind: Kind::Log, low, high, from, to }
    }

    /// A linear axis from zero to the first mark at or above `largest`.
    pub(crate) fn linear(largest: f64, from: f64, to: f64) -> Axis {
        let largest = if largest.is_finite() && largest > 0.0 { largest } else { 1.0 };
        let step = step(largest);
        Axis { kind: Kind::Linear, low: 0.0, high: (largest / step - 1e-9).ceil() * step, from, to }
    }

    /// The pixel of `value`, held inside the axis.
    pub(crate) fn at(&self, value: f64) -> f64 {
        let position = match self.kind {
            Kind::Linear => value,
            Kind::Log if value > 0.0 => value.log10(),
            Kind::Log => self.low,
        };
        let share = ((position - self.low) / (self.high - self.low)).clamp(0.0, 1.0);
        self.from + share * (self.to - self.from)
    }

    /// The values of the marks, ascending.
    pub(crate) fn marks(&self) -> Vec<f64> {
        match self.kind {
            // A decade or two get marks between; more than nine get every second one only.
            Kind::Log => {
                let decades = (self.high - self.low) as i32;
                let between: &[f64] = if decades <= 2 { &[1.0, 2.0, 5.0] } else { &[1.0] };
                let powers = (0..=decades).step_by(if decades > 9 { 2 } else { 1 });
                let marks = powers.flat_map(|i| between.iter().map(move |part| (i, part)));
                let marks = marks.filter(|(i, part)| *i < decades || **part == 1.0);
                marks.map(|(i, part)| part * 10f64.powf(self.low + f64::from(i))).collect()
            }
            Kind::Linear => {
                let step = step(self.high);
                (0..=(self.high / step).round() as i32).map(|i| f64::from(i) * step).collect()
            }
        }
    }
}

/// 1, 2 or 5 times a power of ten, so that four to eight marks cover `largest`.
fn step(largest: f64) -> f64 {
    let power = 10f64.powf((largest / 4.0).log10().floor());
    let rest = largest / 4.0 / power;
    power
        * if rest >= 5.0 {
            5.0
        } else if rest >= 2.0 {
            2.0
        } else {
            1.0
        }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_axis_holds_whole_decades_and_leaves_room_below_the_smallest() {
        let axis = Axis::log([100.0, 5_000.0].into_iter(), 0.0, 300.0);
        assert_eq!(axis.marks(), [10.0, 100.0, 1_000.0, 10_000.0]);
        assert_eq!(Axis::log([2.0, 9.0].into_iter(), 0.0, 1.0).marks(), [1.0, 2.0, 5.0, 10.0]);
        assert_eq!(axis.at(100.0), 100.0);
        assert_eq!(axis.at(0.0), 0.0);
        assert_eq!(axis.at(1e9), 300.0);
    }

    #[test]
    fn a_log_axis_without_values_is_still_an_axis() {
        let axis = Axis::log([0.0, f64::NAN].into_iter(), 0.0, 100.0);
        assert!(axis.marks().len() >= 2);
        assert!(axis.at(1.0).is_finite());
    }

    #[test]
    fn a_linear_axis_ends_at_a_round_number() {
        let axis = Axis::linear(238_000.0, 100.0, 0.0);
        assert_eq!(axis.marks().last(), Some(&250_000.0));
        assert_eq!(axis.at(0.0), 100.0);
        assert_eq!(axis.at(250_000.0), 0.0);
        assert_eq!(Axis::linear(60.0, 0.0, 1.0).marks(), [0.0, 10.0, 20.0, 30.0, 40.0, 50.0, 60.0]);
        assert_eq!(Axis::linear(0.0, 0.0, 1.0).marks().first(), Some(&0.0));
    }
}
