//! Numbers as people read them: three significant digits, `k` and `M` for rates, MiB for sizes.
//!
//! Rounding goes through the decimal text of the number, so that the same number gives the same characters everywhere.
//! Nothing here knows what a row or an engine is.

/// `value` with three significant digits and commas between thousands: `1,030`, `96.5`, `0.0123`. A whole number below
/// 1,000 stays whole.
pub(crate) fn plain(value: f64) -> String {
    let Some((rounded, exponent)) = rounded(value) else { return odd(value) };
    if rounded.fract() == 0.0 && (value.fract() == 0.0 || exponent >= 2) {
        return grouped(rounded);
    }
    decimals(rounded, exponent)
}

/// A rate: `912`, `1.23 k`, `45.6 M`.
pub(crate) fn rate(value: f64) -> String {
    let Some((rounded, exponent)) = rounded(value) else { return odd(value) };
    let (letter, power) = match exponent {
        ..3 => return plain(value),
        3..6 => ("k", 3),
        6..9 => ("M", 6),
        _ => ("G", 9),
    };
    format!("{} {letter}", decimals(rounded / 10f64.powi(power), exponent - power))
}

/// A mark of an axis, as short as it can be: `0.1`, `250 k`, `1 M`.
pub(crate) fn mark(value: f64) -> String {
    let text = rate(value);
    let (figure, letter) = text.split_once(' ').map_or((text.as_str(), ""), |(figure, letter)| (figure, letter));
    let short = if figure.contains('.') { figure.trim_end_matches('0').trim_end_matches('.') } else { figure };
    if letter.is_empty() { short.to_owned() } else { format!("{short} {letter}") }
}

/// A ratio, with two decimals around one: `0.0085`, `0.85`, `3.20`, `12.5`, `140`; `∞` if the divisor was nothing.
pub(crate) fn ratio(value: f64) -> String {
    match rounded(value) {
        None => odd(value),
        Some((_, exponent @ ..-1)) => format!("{value:.*}", usize::try_from(1 - exponent).unwrap_or(0)),
        Some((_, -1)) => format!("{value:.2}"),
        Some((rounded, exponent @ 0..2)) => decimals(rounded, exponent),
        Some((rounded, _)) => grouped(rounded),
    }
}

/// A share as a whole percentage; one decimal below one percent.
pub(crate) fn percent(share: f64) -> String {
    let hundred = share * 100.0;
    if hundred != 0.0 && hundred.abs() < 0.95 { format!("{hundred:.1} %") } else { format!("{hundred:.0} %") }
}

/// The number with three significant digits and its decimal exponent; `None` for zero and what is not finite.
fn rounded(value: f64) -> Option<(f64, i32)> {
    if value == 0.0 || !value.is_finite() {
        return None;
    }
    let text = format!("{value:.2e}");
    let (_, exponent) = text.split_once('e')?;
    Some((text.parse().ok()?, exponent.parse().ok()?))
}

fn odd(value: f64) -> String {
    let text = if value == 0.0 {
        "0"
    } else if value.is_nan() {
        "?"
    } else if value > 0.0 {
        "∞"
    } else {
        "-∞"
    };
    text.to_owned()
}

fn decimals(value: f64, exponent: i32) -> String {
    let places = usize::try_from(2 - exponent).unwrap_or(0);
    format!("{value:.places$}")
}

fn grouped(whole: f64) -> String {
    let digits = format!("{:.0}", whole.abs());
    let mut text = String::new();
    if whole < 0.0 {
        text.push('-');
    }
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_numbers_have_three_significant_digits() {
        for (value, expected) in [
            (0.0, "0"),
            (3.0, "3"),
            (42.0, "42"),
            (2.71428, "2.71"),
            (96.54, "96.5"),
            (999.6, "1,000"),
            (1027.9, "1,030"),
            (0.012345, "0.0123"),
            (0.999_9, "1.00"),
            (123_456.0, "123,000"),
            (1_234_567.0, "1,230,000"),
            (-12.34, "-12.3"),
            (f64::INFINITY, "∞"),
            (f64::NAN, "?"),
        ] {
            assert_eq!(plain(value), expected, "{value}");
        }
    }

    #[test]
    fn rates_carry_the_letter_that_keeps_them_short() {
        for (value, expected) in [
            (5.5, "5.50"),
            (912.0, "912"),
            (912.4, "912"),
            (999.4, "999"),
            (999.6, "1.00 k"),
            (1_234.0, "1.23 k"),
            (45_678.0, "45.7 k"),
            (576_123.0, "576 k"),
            (999_600.0, "1.00 M"),
            (2_400_000.0, "2.40 M"),
            (1.5e9, "1.50 G"),
        ] {
            assert_eq!(rate(value), expected, "{value}");
        }
    }

    #[test]
    fn marks_carry_no_digit_too_many() {
        for (value, expected) in [
            (0.0, "0"),
            (0.1, "0.1"),
            (10.0, "10"),
            (1_000.0, "1 k"),
            (250_000.0, "250 k"),
            (1.5e6, "1.5 M"),
            (1e7, "10 M"),
        ] {
            assert_eq!(mark(value), expected, "{value}");
        }
    }

    #[test]
    fn ratios_have_two_decimals_while_they_are_small() {
        for (value, expected) in [
            (0.004, "0.0040"),
            (0.0852, "0.085"),
            (0.0994, "0.099"),
            (0.853, "0.85"),
            (1.0, "1.00"),
            (3.2, "3.20"),
            (12.5, "12.5"),
            (1399.0, "1,400"),
        ] {
            assert_eq!(ratio(value), expected, "{value}");
        }
    }

    #[test]
    fn percentages_are_whole_unless_tiny() {
        assert_eq!(percent(0.0), "0 %");
        assert_eq!(percent(0.004), "0.4 %");
        assert_eq!(percent(0.034), "3 %");
        assert_eq!(percent(1.2), "120 %");
    }
}
