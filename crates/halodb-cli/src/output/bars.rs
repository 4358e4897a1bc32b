//! Quantities as characters, for terminals: bars, and lines of them that show a course. What is drawn is drawn in eighths.

/// Eighths of a block that grows to the right; the whole one is at the end.
const RIGHT: [char; 8] = ['▏', '▎', '▍', '▌', '▋', '▊', '▉', '█'];
/// Eighths of a block that grows upwards.
const UP: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// A bar of `width` characters of which `part`, from 0 to 1, is full. Something is never drawn as nothing.
pub(crate) fn bar(part: f64, width: usize) -> String {
    let eighths = width * 8;
    let full = (part.clamp(0.0, 1.0) * eighths as f64).round() as usize;
    let full = if part > 0.0 { full.max(1) } else { full };
    let mut text: String = std::iter::repeat_n(RIGHT[7], full / 8).collect();
    text.extend(full.checked_rem(8).filter(|rest| *rest > 0).map(|rest| RIGHT[rest - 1]));
    let drawn = text.chars().count();
    text.extend(std::iter::repeat_n(' ', width.saturating_sub(drawn)));
    text
}

/// The course of a quantity, each value against the greatest one; nothing is a blank.
pub(crate) fn sparkline(values: impl Iterator<Item = f64> + Clone) -> String {
    let most = values.clone().fold(0.0, f64::max);
    let character = |value: f64| {
        if value <= 0.0 || most <= 0.0 {
            return ' ';
        }
        let step = (value / most * 8.0).ceil() as usize;
        UP[step.clamp(1, 8) - 1]
    };
    values.map(character).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_has_its_width_and_something_is_never_nothing() {
        let check = |part, expected: &str| assert_eq!(bar(part, 4), expected, "{part}");
        check(0.0, "    ");
        check(0.001, "▏   ");
        check(0.5, "██  ");
        check(0.53, "██▏ ");
        check(1.0, "████");
        check(7.0, "████");
        check(f64::NAN, "    ");
    }

    #[test]
    fn a_course_is_drawn_against_its_greatest_value() {
        assert_eq!(sparkline([0.0, 1.0, 4.0, 8.0].into_iter()), " ▁▄█");
        assert_eq!(sparkline([0.0, 0.0].into_iter()), "  ");
        assert_eq!(sparkline(std::iter::empty()), "");
    }
}
