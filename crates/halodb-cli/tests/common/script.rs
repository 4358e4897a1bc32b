//! Runs lines of `sh` in which `halodb` is the built program, and compares what they write with what is expected.

use super::{Place, Run};
use std::os::unix::fs::symlink;
use std::process::{Command, Stdio};
use tempfile::TempDir;

/// A shell that finds the built program under its name.
pub struct Sh {
    bin: TempDir,
}

impl Sh {
    /// Makes the program known as `halodb`.
    pub fn new() -> Self {
        let bin = tempfile::tempdir().expect("a temporary directory");
        symlink(env!("CARGO_BIN_EXE_halodb"), bin.path().join("halodb")).expect("a link");
        Sh { bin }
    }

    /// Runs a line in a directory, with nothing on standard input.
    pub fn run(&self, place: &Place, line: &str) -> Run {
        let path = format!("{}:/usr/local/bin:/usr/bin:/bin", self.bin.path().display());
        let mut command = Command::new("sh");
        command.arg("-c").arg(line).current_dir(place.path("")).env_clear();
        command.env("PATH", path).env("HOME", place.path("")).env("LC_ALL", "C");
        let output = command.stdin(Stdio::null()).output().expect("sh runs");
        Run {
            code: output.status.code().unwrap_or(-1),
            stdout: output.stdout,
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

/// Whether lines are the expected ones: `[..]` fits anything in a line, a line `...` any number of lines.
pub fn matches(expected: &[String], actual: &[String]) -> bool {
    match expected {
        [] => actual.is_empty(),
        [first, rest @ ..] if first == "..." => (0..=actual.len()).any(|skipped| matches(rest, &actual[skipped..])),
        [first, rest @ ..] => match actual {
            [line, others @ ..] => line_matches(first, line) && matches(rest, others),
            [] => false,
        },
    }
}

fn line_matches(expected: &str, line: &str) -> bool {
    let mut parts = expected.split("[..]");
    let Some(mut rest) = parts.next().and_then(|first| line.strip_prefix(first)) else { return false };
    let parts: Vec<&str> = parts.collect();
    let Some((last, between)) = parts.split_last() else { return rest.is_empty() };
    for part in between {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

#[test]
fn masks_fit_what_they_stand_for_and_nothing_else() {
    let check = |expected: &[&str], actual: &[&str], fits: bool| {
        let lines = |lines: &[&str]| lines.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>();
        assert_eq!(matches(&lines(expected), &lines(actual)), fits, "{expected:?} {actual:?}");
    };
    check(&[], &[], true);
    check(&["a"], &["a"], true);
    check(&["a"], &["ab"], false);
    check(&["a[..]c"], &["abc"], true);
    check(&["a[..]c[..]"], &["ac"], true);
    check(&["a[..]c"], &["abd"], false);
    check(&["..."], &[], true);
    check(&["a", "...", "z"], &["a", "b", "c", "z"], true);
    check(&["a", "...", "z"], &["a", "b"], false);
    check(&["a"], &["a", "b"], false);
}
