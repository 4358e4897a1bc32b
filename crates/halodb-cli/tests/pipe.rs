//! Commands from standard input, as another program would drive them.

mod common;

use common::Place;
use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;

#[test]
fn commands_are_answered_in_order() {
    let place = Place::new();
    let run = place.pipe("put a 1\nput b 2\n\n# a comment\nget a\nlist\ncount\ndelete a b c\nlen\n");
    run.expect(0, "OK\nOK\n1\na\nb\n2\n2\n0\n");
    assert_eq!(run.stderr, "");
}

#[test]
fn words_are_quoted_and_bytes() {
    let place = Place::new();
    let mut lines = br#"put "a b" 'c "d" \n'
put "\x00\xff" ""
put k\n x\y
get "a b"
get "\x00\xff"
get k\n
"#
    .to_vec();
    lines.extend_from_slice(b"put \xfe\xff raw\nget \"\\xfe\\xff\"\nput crlf v\r\nget crlf\n");
    place.pipe(lines).expect(0, "OK\nOK\nOK\nc \"d\" \\n\n\nx\\y\nOK\nraw\nOK\nv\n");
}

#[test]
fn quoted_values_name_no_files() {
    let place = Place::new();
    place.write("file", "content");
    let run = place.pipe("put a @file\nput b '@file'\nput c \"-\"\nscan\nput d -\nrest\nof input");
    run.expect(0, "OK\nOK\nOK\na\tcontent\nb\t@file\nc\t-\nOK\n");
    place.run(&["get", "d"]).expect(0, "rest\nof input\n");
}

#[test]
fn the_exit_code_is_that_of_the_last_command_that_failed() {
    let place = Place::new();
    place.pipe("get x\nput k v\n").expect(1, "OK\n").says("(not found)");
    place.pipe("get x\nlst\nlen\n").expect(2, "1\n").says("line 2").says("'list'");
    place.pipe("lst\nget x\nlen\n").expect(1, "1\n");
    place.pipe("get x\nquit\nlst\n").expect(1, "");
    place.feed(&["--bail"], b"len\nlst\nlen\n").expect(2, "1\n");
    place.feed(&["--bail"], b"len\nlen\n").expect(0, "1\n1\n");
}

#[test]
fn put_and_delete_write_one_line_even_when_they_fail() {
    let place = Place::new();
    let lines = "put k v\nput k\nput \"\" v\nput k \"open\nput k v --if-absent\nput x v --if-present\n\
                 delete\ndel 'open\ndel \"\"\nset k v --nonsense\ndelete k\n";
    let run = place.pipe(lines);
    let out = run.out();
    let answers: Vec<&str> = out.lines().collect();
    assert_eq!(answers.len(), 11, "{out}");
    assert_eq!((answers[0], answers[4], answers[5], answers[10]), ("OK", "(exists)", "(not found)", "1"));
    for at in [1, 2, 3, 6, 7, 9] {
        assert!(answers[at].starts_with("ERROR "), "{}: {}", at + 1, answers[at]);
    }
    let run = place.feed(&["--format", "json"], lines.as_bytes());
    assert_eq!(run.out().lines().count(), 11, "{}", run.out());
    assert!(run.out().lines().nth(1).unwrap().starts_with("{\"error\":"), "{}", run.out());
}

#[test]
fn every_command_that_writes_answers_with_one_line_in_each_form() {
    let place = Place::new();
    let lines = "cas k --absent 1\ncas k 2 3\ncas x 1 2\nexpire x 1h\npersist x\nexpire k 1h\nincr w\nput w word\nincr w\n\
                 delete-range\ndelete-prefix \"\"\ndrop none\nclear --nonsense\ncommit\nbegin\ncas k 2 3\nput k 1\nrollback\nclear\n";
    let text = place.pipe(lines).out();
    let answers: Vec<&str> = text.lines().collect();
    assert_eq!(answers.len(), 19, "{text}");
    assert_eq!(answers[..6], ["OK", "(another value)", "(not found)", "(not found)", "(not found)", "OK"]);
    let json = place.feed(&["--format", "json"], lines.as_bytes()).out();
    assert_eq!(json.lines().count(), 19, "{json}");
    for line in json.lines() {
        assert!(serde_json::from_str::<serde_json::Value>(line).is_ok(), "{line} is no JSON");
    }
    assert_eq!(json.lines().nth(1), Some("{\"key\":\"k\",\"value\":\"1\"}"));
}

#[test]
fn an_unclosed_quote_is_shown_with_a_caret() {
    let place = Place::new();
    let run = place.pipe("get \"abc\nlen\n");
    run.expect(2, "0\n");
    assert_eq!(run.stderr, "error: line 1: this quote is never closed\n  get \"abc\n      ^\n");
}

#[test]
fn another_program_can_drive_it() {
    let place = Place::new();
    let mut child = place.command().stderr(Stdio::inherit()).spawn().unwrap();
    let mut to = child.stdin.take().unwrap();
    let mut from = BufReader::new(child.stdout.take().unwrap()).lines();
    for i in 0..20 {
        // Nothing more is sent until the answer is there: a missing flush would wait for ever.
        writeln!(to, "put key{i} value{i}").unwrap();
        assert_eq!(from.next().unwrap().unwrap(), "OK");
        writeln!(to, "get key{i}").unwrap();
        assert_eq!(from.next().unwrap().unwrap(), format!("value{i}"));
    }
    write!(to, "len\ncount --prefix key1\n").unwrap();
    assert_eq!(from.next().unwrap().unwrap(), "20");
    assert_eq!(from.next().unwrap().unwrap(), "11");
    drop(to);
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn the_database_is_locked_before_input_is_read() {
    let place = Place::new();
    let mut child = place.command().spawn().unwrap();
    let mut to = child.stdin.take().unwrap();
    let mut from = BufReader::new(child.stdout.take().unwrap()).lines();
    writeln!(to, "len").unwrap();
    assert_eq!(from.next().unwrap().unwrap(), "0");
    let pid = child.id().to_string();
    place.run(&["len"]).expect(5, "").says(&pid);
    let json = place.run(&["put", "k", "v", "--format", "json"]);
    json.expect(5, "").says(&format!("\"holder_pid\":{pid}"));
    place.pipe("len\n").expect(5, "");
    drop(to);
    assert_eq!(child.wait().unwrap().code(), Some(0));
    place.run(&["len"]).expect(0, "0\n");
}

#[test]
fn a_line_may_be_long() {
    let place = Place::new();
    let value = "0123456789abcdef".repeat(1 << 18);
    place.pipe(format!("put k {value}\nput k2 \"{value}\"\n")).expect(0, "OK\nOK\n");
    place.run(&["get", "k"]).expect(0, &format!("{value}\n"));
    place.run(&["get", "k2"]).expect(0, &format!("{value}\n"));
}

#[test]
fn clear_and_import_work_inside_a_pipe() {
    let place = Place::new();
    let run = place.pipe("put k v\nclear\nlen\nimport -\n{\"key\":\"a\",\"value\":\"1\"}\n");
    run.expect(0, "OK\nOK\n0\n").says("committed 1");
    place.run(&["scan"]).expect(0, "a\t1\n");
}

#[test]
fn each_line_may_choose_its_format() {
    let place = Place::new();
    let run = place.feed(&["--format", "hex"], b"put a b\nget a\n--format json get a\nget --format text a\n");
    run.expect(0, "OK\n62\n{\"key\":\"a\",\"value\":\"b\"}\nb\n");
    place.pipe("get a --db other\n").expect(2, "").says("--db");
}

#[test]
fn a_pipe_creates_the_database_even_if_it_says_nothing() {
    let place = Place::new();
    place.pipe("").expect(0, "");
    place.run(&["len"]).expect(0, "0\n");
}
