//! The layers of `docs/architecture.md` as a table, compared with what each `Cargo.toml` says.
//!
//! The manifests are read line by line: a dependency on another package of the workspace is a line (or a table header)
//! that begins with its name. That is how this workspace writes them, and it needs no parser.

use super::{Sources, Violation};

/// Folder, package, and the packages that its `[dependencies]` may name.
const LAYERS: &[(&str, &str, &[&str])] = &[
    ("crates/vfs", "halodb-vfs", &[]),
    ("crates/pager", "halodb-pager", &["halodb-vfs"]),
    ("crates/bloom", "halodb-bloom", &[]),
    ("crates/btree", "halodb-btree", &["halodb-pager", "halodb-bloom", "halodb-vfs"]),
    ("crates/wal", "halodb-wal", &["halodb-vfs"]),
    ("crates/memtable", "halodb-memtable", &[]),
    ("crates/partition", "halodb-partition", ENGINE),
    ("crates/halodb", "halodb", FACADE),
    ("crates/halodb-cli", "halodb-cli", &["halodb"]),
    ("fuzz", "halodb-fuzz", &["halodb", "halodb-cli"]),
    ("xtask", "xtask", &["halodb", "halodb-fuzz"]),
    ("benches", "halodb-benches", &["halodb"]),
];

/// What the engine stands on.
const ENGINE: &[&str] =
    &["halodb-vfs", "halodb-pager", "halodb-btree", "halodb-wal", "halodb-bloom", "halodb-memtable"];

/// The facade uses the engine, and names the others to re-export them.
const FACADE: &[&str] = &[
    "halodb-partition",
    "halodb-vfs",
    "halodb-pager",
    "halodb-btree",
    "halodb-wal",
    "halodb-bloom",
    "halodb-memtable",
];

/// Any package may use the simulated disk in its tests.
const DEV_EVERYWHERE: &[&str] = &["halodb-vfs"];

/// A dependency as a manifest names it.
struct Named<'a> {
    line: usize,
    name: &'a str,
    dev: bool,
}

/// Every package uses only what lies below it.
pub(super) fn layers(sources: &Sources) -> Vec<Violation> {
    let mut found = Vec::new();
    for name in sources.crates() {
        let folder = format!("crates/{name}");
        if !LAYERS.iter().any(|(known, _, _)| *known == folder) {
            let what =
                format!("Enter {folder} into the table of layers: docs/architecture.md and xtask/src/tidy/layers.rs.");
            found.push(Violation::new(format!("{folder}/Cargo.toml"), 1, what));
        }
    }
    for (folder, package, may_use) in LAYERS {
        let path = format!("{folder}/Cargo.toml");
        let Some(text) = sources.text(&path) else {
            continue;
        };
        for named in internal_dependencies(text) {
            let allowed = may_use.contains(&named.name)
                || (named.dev && (DEV_EVERYWHERE.contains(&named.name) || named.name == *package));
            if !allowed {
                let what = format!("{package} may not use {}: it lies beside or above it.", named.name);
                found.push(Violation::new(&path, named.line, what));
            }
        }
    }
    found
}

/// The workspace's own packages that a manifest depends on.
fn internal_dependencies(manifest: &str) -> Vec<Named<'_>> {
    let mut found = Vec::new();
    let mut section = "";
    for (index, line) in manifest.lines().enumerate() {
        let line = line.trim();
        if let Some(header) = line.strip_prefix('[') {
            section = header.trim_end_matches(']');
            let (table, name) = section.rsplit_once('.').unwrap_or((section, ""));
            if table.ends_with("dependencies") && is_internal(name) {
                found.push(Named { line: index + 1, name, dev: table.ends_with("dev-dependencies") });
            }
        } else if section.ends_with("dependencies") {
            let name = line.split(['.', '=', ' ']).next().unwrap_or("");
            if is_internal(name) {
                found.push(Named { line: index + 1, name, dev: section.ends_with("dev-dependencies") });
            }
        }
    }
    found
}

fn is_internal(name: &str) -> bool {
    LAYERS.iter().any(|(_, package, _)| *package == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(folder: &str, manifest: &str, expected: &[usize]) {
        let path = format!("{folder}/Cargo.toml");
        let found = layers(&Sources::planted(&[(&path, manifest)]));
        assert_eq!(found.iter().map(|v| v.line).collect::<Vec<_>>(), expected, "{found:?}");
    }

    #[test]
    fn an_upward_dependency_is_found() {
        check("crates/pager", "[dependencies]\nhalodb-vfs.workspace = true\nhalodb-btree.workspace = true\n", &[3]);
        check("crates/bloom", "[dependencies]\nhalodb-vfs = { workspace = true }\n", &[2]);
        check("crates/wal", "[dependencies.halodb-pager]\nworkspace = true\n", &[1]);
        check("crates/halodb-cli", "[dependencies]\nhalodb.workspace = true\nhalodb-wal.workspace = true\n", &[3]);
        check("crates/vfs", "[target.'cfg(unix)'.dependencies]\nhalodb = \"0.1\"\n", &[2]);
        check("crates/vfs", "[build-dependencies]\nhalodb = \"0.1\"\n", &[2]);
    }

    #[test]
    fn the_table_allows_what_lies_below() {
        check(
            "crates/btree",
            "[dependencies]\nhalodb-pager.workspace = true\nhalodb-bloom.workspace = true\nlibc = \"0.2\"\n",
            &[],
        );
    }

    #[test]
    fn tests_may_use_the_simulated_disk_and_nothing_else() {
        check("crates/bloom", "[dev-dependencies]\nhalodb-vfs.workspace = true\n", &[]);
        check("crates/bloom", "[dev-dependencies]\nhalodb-wal.workspace = true\n", &[2]);
    }

    #[test]
    fn a_crate_that_the_table_does_not_know_is_found() {
        check("crates/utils", "[dependencies]\n", &[1]);
    }
}
