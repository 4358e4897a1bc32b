//! The hex dumps in the documentation are those of the golden-bytes tests.
//!
//! A fenced block with the info string `hex PATH` equals the file at `PATH`, and every `crates/*/testdata/*.hex` is shown
//! somewhere, so that neither the document nor the test can drift.

use super::{Sources, Violation};

/// Dumps in documents equal their files, and every file is shown.
pub(super) fn hex(sources: &Sources) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut shown = Vec::new();
    for (path, text) in sources.markdown().filter(|(path, _)| path.starts_with("docs/")) {
        for block in blocks(text) {
            shown.push(block.file);
            match sources.text(block.file) {
                None => {
                    found.push(Violation::new(path, block.line, format!("The file {} does not exist.", block.file)))
                }
                Some(file) => found.extend(difference(path, &block, file)),
            }
        }
    }
    for (path, _) in sources.texts() {
        if path.starts_with("crates/")
            && path.contains("/testdata/")
            && path.ends_with(".hex")
            && !shown.contains(&path)
        {
            found.push(Violation::new(
                path,
                1,
                "Show this dump in a page below docs/, in a block with the info string `hex PATH`.",
            ));
        }
    }
    found
}

struct Block<'a> {
    file: &'a str,
    line: usize,
    body: Vec<&'a str>,
}

fn blocks(text: &str) -> Vec<Block<'_>> {
    let mut found = Vec::new();
    let mut lines = text.lines().enumerate();
    while let Some((index, line)) = lines.next() {
        let Some(info) = line.strip_prefix("```") else {
            continue;
        };
        let body = lines.by_ref().map(|(_, line)| line).take_while(|line| !line.starts_with("```")).collect();
        if let Some(file) = info.strip_prefix("hex ") {
            found.push(Block { file: file.trim(), line: index + 1, body });
        }
    }
    found
}

fn difference(path: &str, block: &Block<'_>, file: &str) -> Option<Violation> {
    let mut expected: Vec<&str> = file.split('\n').collect();
    if expected.last() == Some(&"") {
        expected.pop();
    }
    let equal = block.body.iter().zip(&expected).take_while(|(a, b)| a == b).count();
    if equal == block.body.len() && equal == expected.len() {
        return None;
    }
    let what = format!("The dump differs from line {} of {}.", equal + 1, block.file);
    Some(Violation::new(path, block.line + 1 + equal, what))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "crates/a/testdata/x.hex";

    fn check(document: &str, file: &str, expected: &[(&str, usize)]) {
        let found = hex(&Sources::planted(&[("docs/format/a.md", document), (FILE, file)]));
        let found: Vec<(&str, usize)> = found.iter().map(|v| (v.path.as_str(), v.line)).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn an_equal_dump_passes() {
        check("text\n```hex crates/a/testdata/x.hex\n00 01\n02\n```\n", "00 01\n02\n", &[]);
        check("text\n```hex crates/a/testdata/x.hex\n00 01\n02\n```\n", "00 01\n02", &[]);
    }

    #[test]
    fn a_dump_that_drifted_is_found_at_its_line() {
        check("text\n```hex crates/a/testdata/x.hex\n00 01\n03\n```\n", "00 01\n02\n", &[("docs/format/a.md", 4)]);
        check("```hex crates/a/testdata/x.hex\n00\n```\n", "00\n01\n", &[("docs/format/a.md", 3)]);
        check("```hex crates/a/testdata/x.hex\n00 \n```\n", "00\n", &[("docs/format/a.md", 2)]);
    }

    #[test]
    fn a_dump_that_is_shown_nowhere_is_found() {
        check("```text\n00\n```\n", "00\n", &[(FILE, 1)]);
    }

    #[test]
    fn a_dump_of_a_missing_file_is_found() {
        check("```hex crates/a/testdata/x.hex\n00\n```\n```hex no.hex\n```\n", "00\n", &[("docs/format/a.md", 4)]);
    }
}
