//! Nothing in the repository names the machine it was made on, or the host that a package came from.
//!
//! `Cargo.lock` is left out: cargo writes the registry's name into it. The patterns are put together from halves, so that
//! this file does not contain what it forbids.

use super::{Sources, Violation};

const PATTERNS: &[&str] = &[
    concat!("/wo", "rk/"),
    concat!("/ro", "ot/"),
    concat!("/ho", "me/"),
    concat!("shared/", "design"),
    concat!("crates", ".io"),
    concat!("static.", "rust-lang"),
    concat!("index.", "crates"),
    concat!("py", "pi.org"),
    concat!("npm", "js.org"),
    concat!("deb.", "debian"),
];

/// No tracked text names a machine's folders or a registry's host.
pub(super) fn privacy(sources: &Sources) -> Vec<Violation> {
    let mut found = Vec::new();
    for (path, text) in sources.texts().filter(|(path, _)| !path.ends_with("Cargo.lock")) {
        for (index, line) in text.lines().enumerate() {
            for pattern in PATTERNS.iter().filter(|pattern| names(line, pattern)) {
                let what = format!("Leave {pattern} out: it names a machine or a registry.");
                found.push(Violation::new(path, index + 1, what));
            }
        }
    }
    found
}

/// Whether `line` holds `pattern`, and not as the middle of a longer path.
fn names(line: &str, pattern: &str) -> bool {
    line.match_indices(pattern).any(|(at, _)| !line[..at].ends_with(char::is_alphanumeric))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(path: &str, text: &str, expected: &[usize]) {
        let found = privacy(&Sources::planted(&[(path, text)]));
        assert_eq!(found.iter().map(|v| v.line).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn every_pattern_is_found() {
        for pattern in PATTERNS {
            check("docs/a.md", &format!("fine\nsee {pattern}x\n"), &[2]);
        }
    }

    #[test]
    fn the_lock_file_is_cargos_business() {
        check("Cargo.lock", concat!("crates", ".io"), &[]);
    }

    #[test]
    fn ordinary_text_passes() {
        check("docs/a.md", "the worker's crates are in a registry; see net/work/x", &[5; 0]);
    }
}
