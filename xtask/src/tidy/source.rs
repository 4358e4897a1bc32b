//! Rules about single Rust files: a header on every door, rooms of a size to teach in one sitting, `unsafe` only where it
//! has an address, nothing left half done.

use super::rust_text::{code_only, has_word};
use super::{Sources, Violation};

/// Longest file; far above what a file should have.
const MAX_LINES: usize = 700;

/// The crates that may hold `unsafe`.
const UNSAFE_CRATES: &[&str] = &["vfs", "pager", "memtable"];

/// And the files outside them: the allocator that counts for the campaigns; in the comparison, a peer whose map is opened
/// that way, and the system's answers about a process.
const UNSAFE_FILES: &[&str] =
    &["xtask/src/campaign/memory.rs", "benches/src/engine/lmdb.rs", "benches/src/run/machine.rs"];

/// Every file says at its beginning what it is.
pub(super) fn headers(sources: &Sources) -> Vec<Violation> {
    let lacks = |text: &str| !text.starts_with("//!");
    sources
        .rust()
        .filter(|(_, text)| lacks(text))
        .map(|(path, _)| {
            Violation::new(
                path,
                1,
                "Begin the file with a `//!` header: what it is, what it owns, what it does not do.",
            )
        })
        .collect()
}

/// No file is longer than [`MAX_LINES`].
pub(super) fn length(sources: &Sources) -> Vec<Violation> {
    let mut found = Vec::new();
    for (path, text) in sources.rust() {
        let lines = text.lines().count();
        if lines > MAX_LINES {
            found.push(Violation::new(
                path,
                lines,
                format!("The file has {lines} lines; split it before it exceeds {MAX_LINES}."),
            ));
        }
    }
    found
}

/// `unsafe` appears in the crates of [`UNSAFE_CRATES`] only.
pub(super) fn unsafe_code(sources: &Sources) -> Vec<Violation> {
    let mut found = Vec::new();
    for (path, text) in sources.rust() {
        if UNSAFE_CRATES.iter().any(|name| path.starts_with(&format!("crates/{name}/"))) || UNSAFE_FILES.contains(&path)
        {
            continue;
        }
        for (number, line) in code_only(text).lines().enumerate() {
            if has_word(line, "unsafe") {
                let allowed = UNSAFE_CRATES.join(", ");
                found.push(Violation::new(path, number + 1, format!("`unsafe` belongs into {allowed} only.")));
            }
        }
    }
    found
}

/// Nothing is left half done: no placeholder macros in code, no reminders in comments.
pub(super) fn markers(sources: &Sources) -> Vec<Violation> {
    // Put together here, so that this file does not contain what it forbids.
    let macros = ["todo", "unimplemented"].map(|name| format!("{name}!"));
    let reminders = [concat!("FIX", "ME"), concat!("XX", "X")];
    let mut found = Vec::new();
    for (path, text) in sources.rust() {
        let code = code_only(text);
        for (number, (line, code)) in text.lines().zip(code.lines()).enumerate() {
            for marker in &macros {
                if code.contains(marker.as_str()) {
                    found.push(Violation::new(
                        path,
                        number + 1,
                        format!("Finish what `{marker}` stands for, or leave it out."),
                    ));
                }
            }
            for marker in reminders {
                if has_word(line, marker) {
                    found.push(Violation::new(
                        path,
                        number + 1,
                        format!("Do what {marker} reminds of, or open an issue."),
                    ));
                }
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(rule: fn(&Sources) -> Vec<Violation>, path: &str, text: &str) -> Vec<usize> {
        rule(&Sources::planted(&[(path, text)])).into_iter().map(|v| v.line).collect()
    }

    #[test]
    fn a_file_without_header_is_found() {
        assert_eq!(lines(headers, "crates/a/src/lib.rs", "use x;\n"), [1]);
        assert_eq!(lines(headers, "crates/a/src/lib.rs", "// no header\n"), [1]);
        assert!(lines(headers, "crates/a/src/lib.rs", "//! A header.\n").is_empty());
    }

    #[test]
    fn files_outside_the_packages_are_not_rust_of_ours() {
        assert!(lines(headers, "docs/example.rs", "use x;\n").is_empty());
    }

    #[test]
    fn a_file_that_is_too_long_is_found() {
        assert_eq!(lines(length, "crates/a/src/lib.rs", &"x\n".repeat(701)), [701]);
        assert!(lines(length, "crates/a/src/lib.rs", &"x\n".repeat(700)).is_empty());
    }

    #[test]
    fn unsafe_code_outside_its_crates_is_found() {
        let text = "// unsafe\n#[expect(unsafe_code)]\nlet s = \"unsafe\";\nunsafe { x }\n";
        assert_eq!(lines(unsafe_code, "crates/wal/src/lib.rs", text), [4]);
        assert!(lines(unsafe_code, "crates/pager/src/lib.rs", text).is_empty());
    }

    #[test]
    fn placeholders_and_reminders_are_found() {
        let placeholder = format!("fn f() {{ {}!() }}\n", "todo");
        assert_eq!(lines(markers, "crates/a/src/lib.rs", &placeholder), [1]);
        assert!(lines(markers, "crates/a/src/lib.rs", &format!("// {placeholder}")).is_empty());
        let reminder = format!("\n// {}: later\n", concat!("FIX", "ME"));
        assert_eq!(lines(markers, "crates/a/src/lib.rs", &reminder), [2]);
    }
}
