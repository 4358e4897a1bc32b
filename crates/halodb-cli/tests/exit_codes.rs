//! The exit codes, row by row as the manual lists them, each from causes of its own. 6 is tested beside its errors
//! (`src/failure.rs`): commands that come one after another meet no conflict; and 7 is kept for a server.

mod common;

use common::Place;
use common::script::Sh;
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
    check(1, &["put", "0001", "v", "--if-absent"]);
    check(1, &["put", "nothing", "v", "--if-present"]);
    check(1, &["mget", "0001", "nothing"]);
    check(2, &["get"]);
    check(2, &["list", "--limit", "many"]);
    check(2, &["get", "k", "--db", "nowhere"]);
    check(2, &["len", "--keyspace", "nowhere"]);
    check(2, &["put", "", "v"]);
    check(2, &["put", &"k".repeat(4097), "v"]);
    place.write("file", "Dear reader");
    check(2, &["put", "k", "v", "--db", "file"]);
    place.write("bad.jsonl", "{\"key\":\"a\",\"value\":\"1\"}\n{\"key\":7}\n");
    assert_eq!(place.run(&["import", "bad.jsonl", "--db", "imported"]).code, 2);
    check(2, &["restore", "nowhere", "new"]);
    check(3, &["put", "k", "@missing"]);
    assert_eq!(place.run(&["import", "missing.jsonl"]).code, 3);
    assert_eq!(place.run(&["export", "no/such/directory/file.jsonl"]).code, 3);
    check(3, &["put", "k", "v", "--db", "/proc/new"]);
    check(8, &["config", "explain", "nonsense"]);
    place.write("data/halodb.toml", "[nonsense]\n");
    check(8, &["get", "0001"]);
    fs::remove_file(place.path("data/halodb.toml")).expect("removed");
    check(8, &["len", "--config", "missing.toml"]);
    let manifest = fs::read(place.path("data/MANIFEST")).expect("the MANIFEST");
    let mut newer = manifest.clone();
    newer[8] = 9;
    place.write("data/MANIFEST", newer);
    check(4, &["get", "0001"]);
    place.run(&["get", "0001"]).says("format version 9");
    fs::remove_file(place.path("data/MANIFEST")).expect("removed");
    check(4, &["get", "0001"]);
    check(1, &["doctor"]);
    place.write("data/MANIFEST", manifest);
    check(0, &["get", "0001"]);
    check(0, &["doctor"]);
    // What a leaf holds: the open finds nothing, whoever reads it does.
    let tree = place.path("data/p000/tree.db");
    let mut bytes = fs::read(&tree).expect("the page file");
    let at = bytes.windows(50).rposition(|window| window == [b'x'; 50]).expect("a value");
    bytes[at] ^= 1;
    fs::write(&tree, bytes).expect("written");
    for command in ["check", "doctor"] {
        let run = place.run(&[command]);
        assert_eq!(run.code, 4, "{run:?}");
    }
}

#[test]
fn a_reader_that_has_gone_is_code_0_and_an_output_that_is_full_code_3() {
    let place = Place::new();
    place.fill(3000, 100);
    let sh = Sh::new();
    for command in ["scan", "export", "list", "help", "completions bash"] {
        let run = sh.run(&place, &format!("{{ halodb {command}; echo $? >&2; }} | true"));
        assert_eq!(run.stderr.lines().last(), Some("0"), "{command}: {run:?}");
    }
    for command in ["len", "scan", "export", "list", "stats", "help", "version", "config show", "inspect meta"] {
        let run = sh.run(&place, &format!("halodb {command} > /dev/full"));
        run.expect(3, "").says("cannot write to standard output");
    }
    sh.run(&place, "echo 'put a 1' | halodb > /dev/full").expect(3, "");
}

#[test]
fn a_disk_that_is_full_is_code_3_and_what_was_acknowledged_stays() {
    let place = Place::new();
    place.write("value", vec![b'x'; 600 << 10]);
    let lines: String = (0..60).map(|i| format!("put {i:02} @value\n")).collect();
    place.write("lines", lines);
    // No file may grow beyond a few MiB, less than a segment of the log has: that ends the log as a full disk does.
    let run = Sh::new().run(&place, "trap '' XFSZ; ulimit -f 8192; halodb < lines");
    let done = run.out().lines().filter(|line| *line == "OK").count();
    assert!(done > 0 && done < 60, "{run:?}");
    assert_eq!(run.code, 3, "{run:?}");
    run.says("File too large");
    let found: usize = place.run(&["len"]).out().trim().parse().expect("a number");
    assert!(found >= done, "{found} keys are there, {done} were acknowledged");
    assert_eq!(place.run(&["check"]).code, 0);
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
