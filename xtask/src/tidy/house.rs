//! What every package has: a README that says when not to use it, and for each crate that stands alone an example.

use super::{Sources, Violation};

/// Crates that are useful without the others, and show it.
const ALONE: &[&str] = &["vfs", "pager", "btree", "wal", "bloom", "memtable"];

/// Crates have READMEs; those that stand alone have an example program.
pub(super) fn house(sources: &Sources) -> Vec<Violation> {
    let mut found = Vec::new();
    for name in sources.crates() {
        let readme = format!("crates/{name}/README.md");
        if sources.text(&readme).is_none_or(|text| text.trim().is_empty()) {
            found.push(Violation::new(
                readme,
                1,
                "Write the README: what the crate is, when not to use it, an example, its limits.",
            ));
        }
        let examples = format!("crates/{name}/examples");
        if ALONE.contains(&name) && !has_rust_below(sources, &examples) {
            found.push(Violation::new(examples, 1, "Add an example program that uses only this crate."));
        }
    }
    found
}

fn has_rust_below(sources: &Sources, dir: &str) -> bool {
    sources.rust().any(|(path, _)| path.strip_prefix(dir).is_some_and(|rest| rest.starts_with('/')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_readme_or_example_is_found() {
        let found = house(&Sources::planted(&[("crates/wal/src/lib.rs", "")]));
        assert_eq!(
            found.iter().map(|v| v.path.as_str()).collect::<Vec<_>>(),
            ["crates/wal/README.md", "crates/wal/examples"]
        );
    }

    #[test]
    fn a_complete_crate_passes() {
        let files = [("crates/wal/README.md", "A log."), ("crates/wal/examples/queue.rs", "//! A queue.")];
        assert_eq!(house(&Sources::planted(&files)), []);
    }
}
