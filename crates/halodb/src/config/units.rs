//! Sizes and durations as text: a whole number and a unit, `64MiB`, `200ms`. Strict to read, lenient to guess what was
//! meant when a suggestion is due.

use std::time::Duration;

pub(super) const KIB: u64 = 1 << 10;
pub(super) const MIB: u64 = 1 << 20;
pub(super) const GIB: u64 = 1 << 30;

const SIZE_UNITS: [(&str, u64); 4] = [("GiB", GIB), ("MiB", MIB), ("KiB", KIB), ("B", 1)];

const DURATION_UNITS_MS: [(&str, u64); 4] = [("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// Bytes of `64MiB` and the like; nothing else is accepted.
pub(super) fn parse_size(text: &str) -> Option<u64> {
    parse(text, &SIZE_UNITS)
}

/// The duration `200ms` and the like; nothing else is accepted.
pub(super) fn parse_duration(text: &str) -> Option<Duration> {
    parse(text, &DURATION_UNITS_MS).map(Duration::from_millis)
}

fn parse(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let (_, factor) = units.iter().find(|(name, _)| *name == unit)?;
    number.parse::<u64>().ok()?.checked_mul(*factor)
}

/// In the largest unit that leaves no rest; `parse_size` reads it back.
pub(super) fn render_size(bytes: u64) -> String {
    render(bytes, &SIZE_UNITS)
}

/// In the largest unit that leaves no rest; `parse_duration` reads it back if it is a whole number of milliseconds.
pub(super) fn render_duration(duration: Duration) -> String {
    match u64::try_from(duration.as_nanos() / 1_000_000) {
        Ok(ms) if Duration::from_millis(ms) == duration => render(ms, &DURATION_UNITS_MS),
        _ => format!("{}ms", duration.as_secs_f64() * 1e3),
    }
}

fn render(number: u64, units: &[(&str, u64)]) -> String {
    let (unit, factor) = units
        .iter()
        .find(|(_, factor)| number >= *factor && number.is_multiple_of(*factor))
        .unwrap_or(&units[units.len() - 1]);
    format!("{}{unit}", number / factor)
}

/// What someone may have meant by `64 mb`, `64M` or `1.5GiB`. `None` without a number and a known unit.
pub(super) fn guess_size(text: &str) -> Option<u64> {
    guess(text, |unit| match unit {
        "b" | "byte" | "bytes" => Some(1),
        "k" | "kb" | "kib" => Some(KIB),
        "m" | "mb" | "mib" => Some(MIB),
        "g" | "gb" | "gib" => Some(GIB),
        "t" | "tb" | "tib" => Some(GIB << 10),
        _ => None,
    })
}

/// What someone may have meant by `10 sec` or `1.5s`.
pub(super) fn guess_duration(text: &str) -> Option<Duration> {
    let ms = guess(text, |unit| match unit {
        "ms" | "msec" | "millis" | "milliseconds" => Some(1),
        "s" | "sec" | "secs" | "second" | "seconds" => Some(1_000),
        "m" | "min" | "mins" | "minute" | "minutes" => Some(60_000),
        "h" | "hr" | "hour" | "hours" => Some(3_600_000),
        "d" | "day" | "days" => Some(24 * 3_600_000),
        _ => None,
    });
    ms.map(Duration::from_millis)
}

fn guess(text: &str, factor_of: impl Fn(&str) -> Option<u64>) -> Option<u64> {
    let text = text.trim().replace('_', "");
    let digits = text.bytes().take_while(|byte| byte.is_ascii_digit() || *byte == b'.').count();
    let (number, unit) = text.split_at(digits);
    let factor = factor_of(unit.trim().to_ascii_lowercase().as_str())?;
    if let Ok(whole) = number.parse::<u64>() {
        return whole.checked_mul(factor);
    }
    let product = number.parse::<f64>().ok()? * factor as f64;
    // Beyond 2^53 a fraction is not exact any more; no configured number is that large.
    (product.fract() == 0.0 && (0.0..9e15).contains(&product)).then_some(product as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_size(text: &str, strict: Option<u64>, guess: Option<u64>) {
        assert_eq!(parse_size(text), strict, "{text:?} strictly");
        assert_eq!(guess_size(text), guess, "{text:?} guessed");
    }

    #[test]
    fn a_size_is_a_whole_number_and_a_binary_unit() {
        check_size("0B", Some(0), Some(0));
        check_size("1B", Some(1), Some(1));
        check_size("64KiB", Some(64 << 10), Some(64 << 10));
        check_size("64MiB", Some(64 << 20), Some(64 << 20));
        check_size("2GiB", Some(2 << 30), Some(2 << 30));
        check_size("64", None, None);
        check_size("64MB", None, Some(64 << 20));
        check_size("64 MiB", None, Some(64 << 20));
        check_size("64m", None, Some(64 << 20));
        check_size("1_024KiB", None, Some(1 << 20));
        check_size("1.5GiB", None, Some(3 << 29));
        check_size("0.3B", None, None);
        check_size("-1MiB", None, None);
        check_size("MiB", None, None);
        check_size("", None, None);
        check_size("1.2.3MiB", None, None);
        check_size("99999999999999999999GiB", None, None);
        check_size("18446744073709551615GiB", None, None);
        check_size("64µB", None, None);
    }

    #[track_caller]
    fn check_duration(text: &str, strict_ms: Option<u64>, guess_ms: Option<u64>) {
        assert_eq!(parse_duration(text), strict_ms.map(Duration::from_millis), "{text:?} strictly");
        assert_eq!(guess_duration(text), guess_ms.map(Duration::from_millis), "{text:?} guessed");
    }

    #[test]
    fn a_duration_is_a_whole_number_and_a_unit() {
        check_duration("200ms", Some(200), Some(200));
        check_duration("10s", Some(10_000), Some(10_000));
        check_duration("5m", Some(300_000), Some(300_000));
        check_duration("1h", Some(3_600_000), Some(3_600_000));
        check_duration("1.5s", None, Some(1500));
        check_duration("10 seconds", None, Some(10_000));
        check_duration("2 Min", None, Some(120_000));
        check_duration("10", None, None);
        check_duration("10us", None, None);
    }

    #[test]
    fn what_is_rendered_is_read_back() {
        for bytes in [0, 1, 1023, 1024, 1025, 16 << 10, 64 << 20, (64 << 20) + 1, 1 << 30, u64::MAX] {
            assert_eq!(parse_size(&render_size(bytes)), Some(bytes));
        }
        for ms in [0, 1, 50, 999, 1000, 1001, 60_000, 90_000, 3_600_000, 86_400_000] {
            let duration = Duration::from_millis(ms);
            assert_eq!(parse_duration(&render_duration(duration)), Some(duration));
        }
        assert_eq!(render_size(64 << 20), "64MiB");
        assert_eq!(render_duration(Duration::from_secs(90)), "90s");
        assert_eq!(render_duration(Duration::from_micros(1500)), "1.5ms");
    }
}
