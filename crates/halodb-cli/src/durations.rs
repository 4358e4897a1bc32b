//! Times to live as people write them: `10m`, `1h30m`, `500ms`; and as they are shown, in the same form.
//!
//! ```text
//! duration  := part+        the units from the greatest to the smallest, each once at most
//! part      := digits unit
//! unit      := d | h | m | s | ms
//! ```

use std::time::Duration;

/// Units with their milliseconds, the greatest first.
const UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];

/// Reads a duration.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is no duration: write it like 10m, 1h30m or 500ms (d, h, m, s, ms)");
    let mut rest = text;
    let mut units = UNITS.iter();
    let mut total = 0u64;
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let number: u64 = rest[..digits].parse().map_err(|_| wrong())?;
        rest = &rest[digits..];
        let letters = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_alphabetic()).len();
        let unit = &rest[..letters];
        rest = &rest[letters..];
        // Goes on behind the unit before: each comes once, and in order.
        let (_, ms) = units.find(|(name, _)| *name == unit).ok_or_else(wrong)?;
        let part = number.checked_mul(*ms).ok_or_else(wrong)?;
        total = total.checked_add(part).ok_or_else(wrong)?;
    }
    if text.is_empty() { Err(wrong()) } else { Ok(Duration::from_millis(total)) }
}

/// Writes a duration, to the millisecond.
pub(crate) fn show(time: Duration) -> String {
    let mut rest = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let mut text = String::new();
    for (name, ms) in UNITS {
        if rest >= ms {
            text.push_str(&format!("{}{name}", rest / ms));
            rest %= ms;
        }
    }
    if text.is_empty() { "0ms".into() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check(text: &str, ms: Option<u64>) {
        assert_eq!(parse(text).ok(), ms.map(Duration::from_millis), "{text:?}");
    }

    #[test]
    fn durations_have_units_in_order() {
        check("10m", Some(600_000));
        check("1h30m", Some(5_400_000));
        check("0s", Some(0));
        check("2d3h4m5s6ms", Some(183_845_006));
        check("500ms", Some(500));
        for wrong in ["", "10", "m", "30m1h", "1m1m", "1.5h", "-1s", "1 m", "10x", "99999999999999999999s", "9e9d", "é"]
        {
            check(wrong, None);
        }
        check("300000000000d", None);
    }

    proptest! {
        #[test]
        fn what_is_shown_reads_back(ms: u64) {
            prop_assert_eq!(parse(&show(Duration::from_millis(ms))), Ok(Duration::from_millis(ms)));
        }

        #[test]
        fn any_text_is_a_duration_or_refused(text: String) {
            let _ = parse(&text);
        }
    }
}
