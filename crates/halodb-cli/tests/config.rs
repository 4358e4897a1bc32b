//! The configuration on the command line.

mod common;

use common::{Place, names};

#[test]
fn all_mistakes_are_reported_with_their_places() {
    let place = Place::new();
    place.write("bad.toml", "[wal]\nsegment = 16\ndurabilty = \"sync\"\n[merge]\nthreads = 0\n");
    for command in [&["config", "check"][..], &["put", "k", "v"], &["config", "show"]] {
        let mut arguments = vec!["--config", "bad.toml"];
        arguments.extend(command);
        let run = place.run(&arguments);
        run.expect(8, "").says("bad.toml:2:").says("bad.toml:3:").says("bad.toml:5:").says("^").says("durability");
        assert!(run.stderr.starts_with("bad.toml:2:"), "{}", run.stderr);
    }
    let json = place.run(&["--config", "bad.toml", "--format", "json", "config", "check"]);
    json.expect(8, "").says("\"line\":5");
    assert_eq!(names(&place.path("")), ["bad.toml"]);
}

#[test]
fn each_value_says_where_it_comes_from() {
    let place = Place::new();
    place.write("good.toml", "[wal]\nlimit = \"32MiB\"\n");
    let output = place
        .command()
        .args(["config", "show", "--origin", "--config", "good.toml"])
        .env("HALODB_MERGE__IDLE", "3s")
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let line = |key: &str| text.lines().find(|line| line.starts_with(key)).unwrap_or_default().to_owned();
    assert!(line("limit").contains("32MiB") && line("limit").contains("good.toml:2"), "{text}");
    assert!(line("idle").contains("3s") && line("idle").contains("HALODB_MERGE__IDLE"), "{text}");
    assert!(line("durability").contains("sync") && line("durability").contains("default"), "{text}");
    place.run(&["config", "check", "--config", "good.toml"]).expect(0, "good.toml: no mistakes\n");
}

#[test]
fn the_example_has_no_mistakes_and_is_not_written_over() {
    let place = Place::new();
    let text = place.run(&["config", "init"]);
    assert!(text.out().contains("[wal]"), "{}", text.out());
    assert_eq!(place.run(&["config", "init", "new.toml"]).code, 0);
    assert_eq!(std::fs::read(place.path("new.toml")).unwrap(), text.stdout);
    place.run(&["config", "init", "new.toml"]).expect(2, "").says("already");
    place.run(&["--config", "new.toml", "config", "check"]).expect(0, "new.toml: no mistakes\n");
}

#[test]
fn one_key_is_explained() {
    let place = Place::new();
    let run = place.run(&["config", "explain", "wal.durability"]);
    assert!(run.code == 0 && run.out().contains("sync"), "{}", run.out());
    place.run(&["config", "explain", "wal.durabilty"]).expect(8, "").says("durability");
}

#[test]
fn the_configuration_decides_directory_and_page_size() {
    let place = Place::new();
    place.write("h.toml", "[database]\npath = \"elsewhere\"\npage_size = \"4KiB\"\npartitions = 1\n");
    place.run(&["--config", "h.toml", "put", "k", "v"]).expect(0, "OK\n");
    assert_eq!(names(&place.path("")), ["elsewhere", "h.toml"]);
    let stats = place.run(&["--db", "elsewhere", "stats", "--format", "json"]).out();
    assert!(stats.contains("\"page_size\":4096") && stats.contains("\"partitions\":1,"), "{stats}");
    place.write("other.toml", "[database]\npartitions = 4\n");
    place.run(&["--config", "other.toml", "--db", "elsewhere", "len"]).expect(8, "").says("4").says("1");
}

#[test]
fn the_file_in_the_directory_counts_and_the_one_here_does_not() {
    let place = Place::new();
    place.write("halodb.toml", "[nonsense]\n");
    place.run(&["put", "k", "v"]).expect(0, "OK\n");
    place.write("data/halodb.toml", "[nonsense]\n");
    place.run(&["get", "k"]).expect(8, "").says("data/halodb.toml:1:");
}
