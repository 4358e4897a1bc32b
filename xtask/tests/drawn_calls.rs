//! `docs/testing/calls.md` says who draws which call: it names every public method that writes, and nothing else, and what it
//! says about each is so.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The types whose methods are listed.
const TYPES: [&str; 4] = ["Db", "Keyspace", "Batch", "Transaction"];

/// Their methods that write nothing. A new method stands here or in the table.
const READS: [&str; 44] = [
    "Db::builder",
    "Db::check",
    "Db::check_with",
    "Db::clock_doubt",
    "Db::find_keyspace",
    "Db::keyspaces",
    "Db::last_seq",
    "Db::open",
    "Db::open_report",
    "Db::path",
    "Db::shape",
    "Db::space",
    "Db::stats",
    "Keyspace::contains",
    "Keyspace::count",
    "Keyspace::count_prefix",
    "Keyspace::first",
    "Keyspace::get",
    "Keyspace::get_with",
    "Keyspace::is_empty",
    "Keyspace::iter",
    "Keyspace::last",
    "Keyspace::len",
    "Keyspace::multi_get",
    "Keyspace::name",
    "Keyspace::nth",
    "Keyspace::prefix",
    "Keyspace::range",
    "Keyspace::rank",
    "Keyspace::scan",
    "Keyspace::scan_prefix",
    "Keyspace::snapshot",
    "Keyspace::ttl",
    "Batch::is_empty",
    "Batch::len",
    "Batch::len_bytes",
    "Transaction::contains",
    "Transaction::get",
    "Transaction::get_with",
    "Transaction::multi_get",
    "Transaction::seq",
    "Transaction::rank",
    "Transaction::nth",
    "Transaction::ttl",
];

/// Those of a transaction's that look at ranges.
const RANGE_READS: [&str; 9] = ["iter", "range", "prefix", "first", "last", "len", "is_empty", "count", "count_prefix"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

fn sources(dir: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(dir).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(fs::read_to_string(&path).expect("a file"));
        }
    }
}

/// The public methods of the types, as `Type::method`.
fn methods() -> BTreeSet<String> {
    let (mut texts, mut found) = (Vec::new(), BTreeSet::new());
    sources(&root().join("crates/halodb/src"), &mut texts);
    for text in &texts {
        let mut of = None;
        for line in text.lines() {
            if let Some(head) = line.strip_prefix("impl ") {
                of = TYPES.iter().find(|name| head.split([' ', '<']).next() == Some(name) && !head.contains(" for "));
            }
            let name = line.strip_prefix("    pub fn ").and_then(|rest| rest.split(['(', '<']).next());
            if let (Some(of), Some(name)) = (of, name) {
                found.insert(format!("{of}::{name}"));
            }
        }
    }
    found
}

/// The rows of the table: the call, and where it is drawn or tested.
fn table() -> Vec<(String, String)> {
    let text = read("docs/testing/calls.md");
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` | "));
    rows.map(|(call, rest)| {
        let place = rest.split(" | ").next().unwrap_or_default();
        (call.to_owned(), place.trim_matches('`').to_owned())
    })
    .collect()
}

#[test]
fn every_method_that_writes_is_in_the_table_once_and_nothing_else_is() {
    let reads = READS.iter().map(|name| (*name).to_owned());
    let reads: BTreeSet<String> = reads.chain(RANGE_READS.map(|name| format!("Transaction::{name}"))).collect();
    let listed: Vec<String> = table().into_iter().map(|(call, _)| call).collect();
    let once: BTreeSet<String> = listed.iter().cloned().collect();
    assert_eq!(once.len(), listed.len(), "a call has two rows");
    let all = methods();
    assert!(all.len() > 90, "{all:?}");
    let writes: BTreeSet<String> = all.difference(&reads).cloned().collect();
    assert_eq!(once, writes, "docs/testing/calls.md, or the reads in this file, and the methods of the library");
    assert!(reads.is_subset(&all), "no longer there: {:?}", reads.difference(&all).collect::<Vec<_>>());
}

#[test]
fn each_call_is_made_where_the_table_says() {
    let facade = read("xtask/src/campaign/facade.rs") + &read("xtask/src/campaign/facade/ways.rs");
    for (call, place) in table() {
        let (_, name) = call.split_once("::").expect("a type and a method");
        let text = match place.as_str() {
            "facade" => facade.clone(),
            file => read(&format!("crates/halodb/tests/{file}")),
        };
        let is_made = [".", "::"]
            .iter()
            .any(|before| text.contains(&format!("{before}{name}(")) || text.contains(&format!("{before}{name}::<")));
        assert!(is_made, "{call} is nowhere called in {place}");
    }
}
