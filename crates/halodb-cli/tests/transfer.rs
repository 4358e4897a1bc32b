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
    let files = ["out.csv", "out.csv.gz", "out.jsonl", "out.jsonl.gz", "out.tsv"];
    for name in files {
        place.run(&["export", name]).expect(0, "").says("exported 4");
        let copy = format!("db-of-{name}");
        place.run(&["--db", &copy, "import", name]).expect(0, "").says("committed 4\n");
        place.run(&["--db", &copy, "export", "-"]).expect(0, SORTED);
    }
    let mut there = vec!["data".to_owned()];
    there.extend(files.iter().map(|name| format!("db-of-{name}")));
    there.extend(files.map(str::to_owned));
    assert_eq!(names(&place.path("")), there);
}

#[test]
fn gzip_is_unpacked_wherever_it_comes_from_and_other_kinds_are_named() {
    let place = Place::new();
    place.feed(&["import"], FILE.as_bytes()).expect(0, "");
    place.run(&["export", "out.jsonl.gz"]).expect(0, "");
    let packed = std::fs::read(place.path("out.jsonl.gz")).unwrap();
    assert_eq!(packed[..2], [0x1f, 0x8b]);
    place.feed(&["--db", "copy", "import", "-"], &packed).expect(0, "").says("committed 4\n");
    place.run(&["--db", "copy", "export"]).expect(0, SORTED);
    place.write("cut.jsonl.gz", &packed[..packed.len() - 9]);
    let cut = place.run(&["--db", "other", "import", "cut.jsonl.gz"]);
    cut.expect(2, "").says("damaged or cut off").says("committed");
    place.write("new.csv.zst", b"\x28\xb5\x2f\xfd\x04\x00");
    let refused = place.run(&["import", "new.csv.zst"]);
    refused.expect(2, "").says("Zstd").says("zstdcat new.csv.zst | halodb import --format csv -");
    place.feed(&["import"], b"BZh91AY&SY rest").expect(2, "").says("bzcat FILE | halodb import -");
    place.run(&["export", "out.jsonl.xz"]).expect(2, "").says(".gz").says("halodb export --format jsonl | ");
    assert!(!names(&place.path("")).contains(&"out.jsonl.xz".to_owned()));
}

#[test]
fn a_quote_that_is_never_closed_swallows_no_rows() {
    let place = Place::new();
    let run = place.feed(&["import", "--format", "csv"], b"key,value\na,1\nb,\"2\nc,3\n");
    run.expect(2, "").says("line 3").says("never closed").says("1 record is committed and stays");
    place.run(&["list"]).expect(0, "a\n");
}

#[test]
fn the_option_names_the_form_of_the_file() {
    let place = Place::new();
    place.feed(&["import", "--format", "csv"], b"key,value\na,\"1\n\"\n").expect(0, "").says("committed 1");
    place.run(&["export", "--format", "csv"]).expect(0, "key,value\na,\"1\n\"\n");
    place.run(&["export", "--format", "hex"]).expect(2, "").says("jsonl");
    place.run(&["export", "--no-header"]).expect(2, "").says("--format csv");
    place.run(&["export", "--base64", "--format", "text"]).expect(2, "").says("--base64");
    place.run(&["import", "--no-header"]).expect(2, "").says("--format csv");
    place.run(&["export", "--format", "csv", "--no-header"]).expect(0, "a,\"1\n\"\n");
    place.run(&["export", "--format", "csv", "--base64"]).expect(0, "key_b64,value_b64\nYQ==,MQo=\n");
    place.run(&["export", "--format", "text"]).expect(0, "a\t1\\n\n");
    place.feed(&["import", "--format", "csv", "--no-header"], b"b,2\n").expect(0, "").says("committed 1");
    place.feed(&["import", "--format", "csv"], b"value_b64,key\nAP8=,c\n").expect(0, "").says("committed 1");
    place.feed(&["import", "--format", "text"], b"d\t\\x00\\t\n").expect(0, "").says("committed 1");
    place.run(&["scan", "--format", "hex"]).expect(0, "61\t310a\n62\t32\n63\t00ff\n64\t0009\n");
    place.feed(&["import", "--format", "csv"], b"a,1\n").expect(2, "").says("header");
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
    for (format, beginning) in [
        ("jsonl", "{\"key\":\"a\",\"value\":\"1\"}\n"),
        ("csv", "key,value,expires_at_ms\na,1,\n"),
        ("text", "a\t1\nb\t2\t"),
    ] {
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
