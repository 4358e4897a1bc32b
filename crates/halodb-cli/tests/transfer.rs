//! Import and export: nothing is lost, bad lines are named, what is committed stays.

mod common;

use common::{Place, names};
use std::io::{BufRead, BufReader, Write};

const FILE: &str = r#"{"key":"b","value":"2"}
{"key_b64":"AP8=","value_b64":"/wA="}
{"key":"a","value":""}
{"value":"tab\tnew\nline \"q\" é","key":"quote\"\\"}
"#;

const SORTED: &str = r#"{"key_b64":"AP8=","value_b64":"/wA="}
{"key":"a","value":""}
{"key":"b","value":"2"}
{"key":"quote\"\\","value":"tab\tnew\nline \"q\" é"}
"#;

#[test]
fn export_gives_back_what_was_imported_sorted() {
    let place = Place::new();
    place.feed(&["import"], FILE.as_bytes()).expect(0, "").says("committed 4\n");
    place.run(&["export"]).expect(0, SORTED);
    for name in ["out.jsonl", "out.csv"] {
        place.run(&["export", name]).expect(0, "").says("exported 4");
        place.run(&["--db", name.trim_start_matches("out."), "import", name]).expect(0, "");
        place.run(&["--db", name.trim_start_matches("out."), "export", "-"]).expect(0, SORTED);
    }
    assert_eq!(names(&place.path("")), ["csv", "data", "jsonl", "out.csv", "out.jsonl"]);
}

#[test]
fn the_option_names_the_form_of_the_file() {
    let place = Place::new();
    place.feed(&["import", "--format", "csv"], b"key,value\na,\"1\n\"\n").expect(0, "").says("committed 1");
    place.run(&["export", "--format", "csv"]).expect(0, "key,value\na,\"1\n\"\n");
    place.run(&["export", "--format", "hex"]).expect(2, "").says("jsonl");
    place.feed(&["import", "--format", "csv"], b"a,1\n").expect(2, "").says("header");
    place.feed(&["import"], b"\x1f\x8b\x08\x00").expect(2, "").says("zcat");
}

#[test]
fn a_bad_line_is_named_and_what_was_before_it_stays() {
    let place = Place::new();
    let lines: String = (0..2500).map(|i| format!("{{\"key\":\"k{i:04}\",\"value\":\"v\"}}\n")).collect();
    let file = format!("{lines}{{\"key\":\"x\"\n{{\"key\":\"y\",\"value\":\"\"}}\n");
    let run = place.feed(&["import"], file.as_bytes());
    run.expect(2, "").says("line 2501").says("2500 records are committed").says("committed 2500\n");
    place.run(&["len"]).expect(0, "2500\n");
    let run = place.feed(&["import", "--skip-bad"], file.as_bytes());
    run.expect(0, "").says("committed 2501\n").says("skipped 1").says("line 2501");
    place.run(&["len"]).expect(0, "2501\n");
}

#[test]
fn records_that_would_lose_something_are_refused() {
    let place = Place::new();
    let check = |line: &str, why: &str| {
        place.feed(&["import"], line.as_bytes()).expect(2, "").says("line 1").says(why);
    };
    check(r#"{"key":"k","value":"v","expires_at_ms":"tomorrow"}"#, "expected u64");
    check(r#"{"key":"k","value":"v","ttl":5}"#, "ttl");
    check(r#"{"key":"","value":"v"}"#, "empty");
    check(r#"{"key":"k","value":{"a":1}}"#, "string");
    check(&format!("{{\"key\":\"{}\",\"value\":\"\"}}", "k".repeat(5000)), "4096");
    place.run(&["len"]).expect(0, "0\n");
}

#[test]
fn a_file_that_is_not_there_creates_no_database() {
    let place = Place::new();
    place.run(&["import", "missing.jsonl"]).expect(3, "").says("missing.jsonl");
    place.run(&["import", "."]).expect(3, "");
    assert_eq!(names(&place.path("")), Vec::<String>::new());
    place.run(&["put", "k", "v"]);
    place.run(&["export", "no/such/dir.jsonl"]).expect(3, "").says("no/such");
}

#[test]
fn an_empty_input_is_an_empty_import() {
    let place = Place::new();
    place.run(&["import"]).expect(0, "").says("committed 0");
    place.run(&["export"]).expect(0, "");
    place.run(&["export", "--format", "csv"]).expect(0, "key,value\n");
}

#[test]
fn after_a_kill_a_prefix_of_at_least_the_last_number_told_is_there() {
    let place = Place::new();
    let mut child = place.command().args(["import", "--batch", "10"]).spawn().unwrap();
    let mut to = child.stdin.take().unwrap();
    let writer = std::thread::spawn(move || {
        // Ends when the reader is killed.
        for i in 0_u64.. {
            if writeln!(to, "{{\"key\":\"{i:012}\",\"value\":\"{i}\"}}").is_err() {
                break;
            }
        }
    });
    let mut told = BufReader::new(child.stderr.take().unwrap()).lines();
    let line = told.next().unwrap().unwrap();
    let told: u64 = line.strip_prefix("committed ").expect(&line).parse().unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    writer.join().unwrap();

    let list = place.run(&["list"]);
    assert_eq!((list.code, list.stderr.as_str()), (0, ""));
    let keys = list.out();
    let keys: Vec<u64> = keys.lines().map(|key| key.parse().unwrap()).collect();
    assert!(told > 0 && keys.len() as u64 >= told, "{} keys, {told} told", keys.len());
    assert!(keys.iter().copied().eq(0..keys.len() as u64), "the keys are no prefix of the input");
    assert!(place.run(&["check", "--deep"]).out().starts_with("sound: "));
}

#[test]
fn a_large_import_keeps_order_of_equal_keys() {
    let place = Place::new();
    let lines: String = (0..5000).map(|i| format!("{{\"key\":\"k{}\",\"value\":\"{i}\"}}\n", i % 7)).collect();
    place.feed(&["import", "--batch", "3"], lines.as_bytes()).expect(0, "").says("committed 5000");
    place.run(&["get", "k0"]).expect(0, "4998\n");
    place.run(&["len"]).expect(0, "7\n");
}

#[test]
fn expiries_go_through_a_file_and_back() {
    let place = Place::new();
    place.feed(&["import"], br#"{"key":"gone","value":"v","expires_at_ms":1700000000000}"#).expect(0, "");
    place.run(&["len"]).expect(0, "0\n");
    place.run(&["put", "a", "1"]).expect(0, "OK\n");
    place.run(&["put", "b", "2", "--ttl", "365d"]).expect(0, "OK\n");
    for (format, beginning) in
        [("jsonl", "{\"key\":\"a\",\"value\":\"1\"}\n"), ("csv", "key,value,expires_at_ms\na,1,\n")]
    {
        let file = place.run(&["export", "--format", format]).out().to_owned();
        assert!(file.starts_with(beginning), "{file}");
        let ttl = place.run(&["ttl", "b"]).out().to_owned();
        assert!(ttl.starts_with("364d"), "{ttl}");
        place.run(&["clear", "--yes"]).expect(0, "OK\n");
        place.feed(&["import", "--format", format], file.as_bytes()).expect(0, "");
        assert_eq!(place.run(&["export", "--format", format]).out(), file);
        assert!(place.run(&["ttl", "b"]).out().starts_with("364d"));
        place.run(&["ttl", "a"]).expect(0, "never\n");
    }
}
