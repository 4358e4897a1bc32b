//! The exit codes, each from a cause of its own. 6 is missing: a single process with a single thread meets no conflict; and 7
//! is for a server.

mod common;

use common::Place;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::io::{BufRead, BufReader, Write};

#[test]
fn each_cause_has_its_code() {
    let place = Place::new();
    place.fill(50, 100);
    let check = |code: i32, arguments: &[&str]| {
        let run = place.run(arguments);
        assert_eq!(run.code, code, "{arguments:?}: {run:?}");
        let json = place.run(&[arguments, &["--format", "json"]].concat());
        assert_eq!(json.code, code, "{arguments:?}: {json:?}");
        if code > 1 {
            assert!(json.stderr.contains(&format!("\"exit_code\":{code}")), "{}", json.stderr);
        }
    };
    check(0, &["get", "0001"]);
    check(1, &["get", "nothing"]);
    check(1, &["exists", "nothing"]);
    check(1, &["cas", "0001", "another", "new"]);
    check(2, &["get"]);
    check(2, &["get", "k", "--db", "nowhere"]);
    check(2, &["put", "", "v"]);
    check(3, &["put", "k", "@missing"]);
    check(8, &["config", "explain", "nonsense"]);
    place.write("data/halodb.toml", "[nonsense]\n");
    check(8, &["get", "0001"]);
    fs::remove_file(place.path("data/halodb.toml")).expect("removed");
    fs::remove_file(place.path("data/MANIFEST")).expect("removed");
    check(4, &["get", "0001"]);
    check(1, &["doctor"]);
}

#[test]
fn a_database_that_another_process_has_is_code_5() {
    let place = Place::new();
    let mut holder = place.command().spawn().expect("the program starts");
    let mut to = holder.stdin.take().expect("its input");
    let mut from = BufReader::new(holder.stdout.take().expect("its output")).lines();
    writeln!(to, "len").expect("written");
    assert_eq!(from.next().expect("an answer").expect("a line"), "0");
    let run = place.run(&["len"]);
    run.expect(5, "").says(&format!("{}", holder.id())).says("hint: ");
    drop(to);
    assert_eq!(holder.wait().expect("it ends").code(), Some(0));
}

#[test]
fn a_signal_ends_what_is_running_with_code_130_and_what_was_told_is_there() {
    let place = Place::new();
    let mut child = place.command().args(["import", "--batch", "1"]).spawn().expect("the program starts");
    let mut to = child.stdin.take().expect("its input");
    writeln!(to, "{{\"key\":\"a\",\"value\":\"1\"}}").expect("written");
    let mut told = BufReader::new(child.stderr.take().expect("its messages")).lines();
    assert_eq!(told.next().expect("a line").expect("text"), "committed 1");
    kill(Pid::from_raw(child.id() as i32), Signal::SIGINT).expect("sent");
    let rest: Vec<String> = told.map_while(Result::ok).collect();
    assert_eq!(child.wait().expect("it ends").code(), Some(130), "{rest:?}");
    assert!(rest.iter().any(|line| line.contains("interrupted; 1 record is committed and stays")), "{rest:?}");
    drop(to);
    place.run(&["list"]).expect(0, "a\n");
}
