//! The documents say what the code does: the annotated example, the user's page, the defaults in both.

#![cfg(feature = "config")]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use halodb::config::{Config, options};

fn repository_file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(name)
}

fn read(name: &str) -> String {
    let path = repository_file(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[track_caller]
fn check_same(name: &str, stands: &str, should_stand: &str) {
    for (number, (a, b)) in (1..).zip(stands.lines().zip(should_stand.lines())) {
        assert_eq!(a, b, "{name}: line {number} of the compared part differs from the list of options");
    }
    assert_eq!(stands, should_stand, "{name} differs from the list of options; it should be:\n{should_stand}");
}

/// The part of the user's page that derives from the list of options.
fn reference() -> String {
    let mut text = String::from("| key | default | allowed |\n|---|---|---|\n");
    for option in options() {
        let row = format!("| `{}` | `{}` | {} |\n", option.name(), option.default_value(), option.allowed());
        text += &row;
    }
    let mut section = "";
    for option in options() {
        if option.section() != section {
            section = option.section();
            write!(text, "\n### `[{section}]`\n").expect("a String takes everything");
        }
        write!(text, "\n**`{}`** {}\n{}\n", option.key(), option.what(), option.cost())
            .expect("a String takes everything");
    }
    text
}

#[test]
fn the_annotated_file_is_the_list_of_options() {
    check_same("halodb.toml", &read("halodb.toml"), &Config::annotated_example());
}

#[test]
fn the_users_page_holds_the_list_of_options() {
    let page = read("docs/configuration.md");
    let (_, rest) = page.split_once("<!-- options -->\n").expect("the page has the mark where the options begin");
    let (stands, _) = rest.split_once("<!-- end of options -->\n").expect("and the mark where they end");
    check_same("docs/configuration.md", stands, &reference());
}

#[test]
fn the_annotated_file_sets_nothing_and_with_its_keys_uncommented_sets_the_defaults() {
    let example = Config::annotated_example();
    assert_eq!(Config::check_text("halodb.toml", &example), Ok(Config::default()));

    let is_key =
        |line: &str| line.strip_prefix('#').is_some_and(|line| line.starts_with(|c: char| c.is_ascii_lowercase()));
    let lines = example.lines().map(|line| if is_key(line) { &line[1..] } else { line });
    let uncommented: Vec<&str> = lines.collect();
    assert_eq!(
        uncommented.iter().filter(|line| line.contains(" = ") && !line.starts_with('#')).count(),
        options().len()
    );
    assert_eq!(Config::check_text("halodb.toml", &uncommented.join("\n")), Ok(Config::default()));
}

#[test]
fn the_proposed_defaults_hold() {
    let defaults: Vec<String> =
        options().map(|option| format!("{} = {}", option.name(), option.default_value())).collect();
    let expected = [
        "database.path = \"data\"",
        "database.partitions = 1",
        "database.page_size = \"16KiB\"",
        "memory.memtable = \"64MiB\"",
        "wal.durability = \"sync\"",
        "wal.interval = \"50ms\"",
        "wal.segment = \"16MiB\"",
        "wal.limit = \"64MiB\"",
        "bloom.bits_per_key = 11",
        "merge.threads = 1",
        "merge.chunk = \"64MiB\"",
        "merge.idle = \"10s\"",
        "merge.compact = 50",
        "ttl.sweep = \"1s\"",
        "log.level = \"warn\"",
        "log.format = \"text\"",
    ];
    assert_eq!(defaults, expected);
    Config::default().validate().expect("the defaults are valid");
}

#[test]
fn every_example_of_the_users_page_is_a_valid_file() {
    let page = read("docs/configuration.md");
    let blocks: Vec<&str> =
        page.split("```toml\n").skip(1).map(|rest| rest.split_once("```").expect("a block ends").0).collect();
    assert!(!blocks.is_empty());
    for block in blocks {
        if let Err(errors) = Config::check_text("docs/configuration.md", block) {
            panic!("{errors}");
        }
    }
}

#[test]
fn an_option_is_explained_by_any_of_its_names() {
    let text = Config::explain("wal.durability").expect("there is such an option");
    assert!(text.starts_with("wal.durability = \"sync\"\n  What a write waits for."), "{text}");
    assert!(
        text.ends_with("  allowed: \"memory\", \"buffered\" or \"sync\"\n  environment: HALODB_WAL__DURABILITY\n"),
        "{text}"
    );
    assert_eq!(Config::explain("durability").as_ref(), Ok(&text));
    assert_eq!(Config::explain("HALODB_WAL__DURABILITY").as_ref(), Ok(&text));
    let section = Config::explain("[wal]").expect("there is such a section");
    assert!(section.contains(&text) && section.contains("wal.segment = "), "{section}");
}

#[test]
fn an_unknown_name_is_answered_with_the_nearest_one() {
    let errors = Config::explain("wal.durabilty").expect_err("there is no such option");
    assert_eq!(errors.to_string(), "wal.durabilty: there is no such option\n  hint: did you mean `wal.durability`?\n");
}
