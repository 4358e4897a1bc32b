//! `backup` and `restore`: what they say, what they refuse, and with which exit code.

mod common;

use common::{Place, names};
use serde_json::Value;
use std::fs;

/// The lines of a table, without the time, which differs.
fn table(text: &str) -> Vec<String> {
    let lines = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
    lines.filter(|line| !line.starts_with("backup time ms")).collect()
}

#[test]
fn a_backup_is_restored_into_a_new_directory() {
    let place = Place::new();
    place.fill(50, 10);
    let run = place.run(&["backup", "monday"]);
    assert_eq!(run.code, 0, "{run:?}");
    assert_eq!(table(&run.out())[..2], ["backup monday", "keys 50"], "{}", run.out());
    assert_eq!(names(&place.path("monday")), ["BACKUP", "LOCK", "MANIFEST", "p000", "wal"]);

    let run = place.run(&["restore", "monday", "again"]);
    assert_eq!(run.code, 0, "{run:?}");
    assert_eq!(table(&run.out())[..2], ["restored again", "keys 50"], "{}", run.out());
    assert_eq!(names(&place.path("again")), ["LOCK", "MANIFEST", "p000", "wal"]);
    place.run(&["get", "0007", "--db", "again"]).expect(0, "xxxxxxxxxx\n");
    place.run(&["check", "--deep", "--db", "again"]).says("");
    assert_eq!(place.run(&["check", "--deep", "--db", "again"]).code, 0);
    assert_eq!(place.run(&["doctor", "--db", "again"]).code, 0);
}

#[test]
fn programs_get_json() {
    let place = Place::new();
    place.fill(3, 10);
    for arguments in [&["backup", "monday"][..], &["restore", "monday", "--verify"], &["restore", "monday", "again"]] {
        let run = place.run(&[arguments, &["--format", "json"]].concat());
        assert_eq!(run.code, 0, "{run:?}");
        let answer: Value = serde_json::from_str(run.out().trim()).expect("JSON");
        assert_eq!(answer["keys"], 3, "{answer}");
        for name in ["bytes", "seq", "backup_time_ms"] {
            assert!(answer[name].as_u64().is_some_and(|number| number > 0), "{name}: {answer}");
        }
    }
    let run = place.run(&["backup", "monday", "--format", "json"]);
    let answer: Value = serde_json::from_str(run.stderr.trim()).expect("JSON");
    assert_eq!((run.code, &answer["error"]["kind"]), (2, &"invalid_input".into()), "{answer}");
}

#[test]
fn what_is_there_is_replaced_only_if_that_is_said() {
    let place = Place::new();
    place.fill(5, 10);
    place.run(&["backup", "monday"]).says("");
    place.run(&["put", "later", "x"]).expect(0, "OK\n");
    place.run(&["restore", "monday", "data"]).expect(2, "").says("restore BACKUP DIR --yes");
    place.run(&["len"]).expect(0, "6\n");
    assert_eq!(place.run(&["restore", "monday", "data", "--yes"]).code, 0);
    place.run(&["len"]).expect(0, "5\n");
    assert_eq!(names(&place.path("")), ["data", "monday"]);

    fs::create_dir(place.path("letters")).expect("made");
    place.write("letters/to-her", "dear");
    place.run(&["restore", "monday", "letters", "--yes"]).expect(2, "").says("to-her");
    // Commands of a pipe have the database open.
    let run = place.pipe("restore monday data --yes\n");
    assert_eq!(run.code, 5, "{run:?}");
    place.run(&["len"]).expect(0, "5\n");
}

#[test]
fn what_is_no_backup_or_not_whole_any_more_is_refused() {
    let place = Place::new();
    place.fill(50, 10);
    place.run(&["backup", "nowhere/monday"]).expect(3, "");
    assert_eq!(place.run(&["backup", "monday"]).code, 0);
    place.run(&["restore", "data", "again"]).expect(2, "").says("no backup");
    place.run(&["restore", "tuesday", "again"]).expect(2, "").says("tuesday");
    place.run(&["restore", "monday"]).expect(2, "");
    place.run(&["len", "--db", "monday"]).expect(2, "").says("restore it");
    place.run(&["put", "a", "b", "--db", "monday"]).expect(2, "").says("restore it");

    let path = place.path("monday/p000/tree.db");
    let mut bytes = fs::read(&path).expect("the file");
    bytes[40_000] ^= 1;
    fs::write(&path, bytes).expect("written");
    for arguments in [&["restore", "monday", "again"][..], &["restore", "monday", "--verify"]] {
        place.run(arguments).expect(4, "").says("p000/tree.db: at byte 32768");
    }
    assert_eq!(names(&place.path("")), ["data", "monday"]);
}

#[test]
fn shell_and_pipe_back_up_the_open_database() {
    let place = Place::new();
    let run = place.pipe("put a 1\nbackup first\nput a 2\nbackup second\n");
    assert_eq!(run.code, 0, "{run:?}");
    for (backup, value) in [("first", "1\n"), ("second", "2\n")] {
        assert_eq!(place.run(&["restore", backup, &format!("from-{backup}")]).code, 0);
        place.run(&["get", "a", "--db", &format!("from-{backup}")]).expect(0, value);
    }
}
