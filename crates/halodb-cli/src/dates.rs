//! Moments as people write them: `2026-11-22 07:30:05 UTC`, from milliseconds since 1970.
//!
//! The civil calendar from a count of days: Howard Hinnant, "chrono-compatible low-level date algorithms".

/// A moment in UTC, to the second.
pub(crate) fn show(ms: u64) -> String {
    let seconds = ms / 1000;
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    // Years are counted from March on, so that the day that comes and goes is the last of one; from 1 March of year 0 to 1970 it
    // is so many days. An era has 400 years.
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + 400 * era + u64::from(month <= 2);
    let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_have_dates() {
        let check = |ms, expected: &str| assert_eq!(show(ms), expected);
        check(0, "1970-01-01 00:00:00 UTC");
        check(951_782_399_999, "2000-02-28 23:59:59 UTC");
        check(951_782_400_000, "2000-02-29 00:00:00 UTC");
        check(1_700_000_000_000, "2023-11-14 22:13:20 UTC");
        check(4_107_542_400_000, "2100-03-01 00:00:00 UTC");
        assert!(show(u64::MAX).ends_with(" UTC"));
    }
}
