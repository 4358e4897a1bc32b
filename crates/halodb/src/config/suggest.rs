//! "Did you mean …?": the nearest of a few names.

/// The name that differs least from `text`, if it differs by little: at most a third of its letters, and one in any case.
pub(super) fn closest<'a>(text: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let text = text.to_lowercase();
    names
        .map(|name| (distance(&text, name), name))
        .filter(|(distance, name)| *distance <= (name.chars().count() / 3).max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// Insertions, deletions, replacements and swaps of neighbours that turn `a` into `b` (optimal string alignment, after
/// Damerau 1964). Long input is cut off: it is far from every name anyway.
fn distance(a: &str, b: &str) -> usize {
    const LONGEST: usize = 64;
    let a: Vec<char> = a.chars().take(LONGEST).collect();
    let b: Vec<char> = b.chars().take(LONGEST).collect();
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 0..a.len() {
        let mut row = vec![i + 1];
        for j in 0..b.len() {
            let replaced = last[j] + usize::from(a[i] != b[j]);
            let mut least = replaced.min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && a[i] == b[j - 1] && a[i - 1] == b[j] {
                least = least.min(before[j - 1] + 1);
            }
            row.push(least);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Option<&str>) {
        let names = ["durability", "interval", "segment", "limit", "wal", "off", "sync"];
        assert_eq!(closest(text, names.into_iter()), expected);
    }

    #[test]
    fn a_name_is_suggested_when_little_differs() {
        check("durabilty", Some("durability"));
        check("DURABILITY", Some("durability"));
        check("intreval", Some("interval"));
        check("segments", Some("segment"));
        check("wall", Some("wal"));
        check("synk", Some("sync"));
        check("snyc", Some("sync"));
        check("of", Some("off"));
        check("speed", None);
        check("", None);
        check(&"w".repeat(100_000), None);
    }

    #[test]
    fn distance_counts_edits() {
        for (a, b, expected) in [("", "", 0), ("", "abc", 3), ("abc", "acb", 1), ("kitten", "sitting", 3)] {
            assert_eq!(distance(a, b), expected, "{a} {b}");
            assert_eq!(distance(b, a), expected, "{b} {a}");
        }
    }
}
