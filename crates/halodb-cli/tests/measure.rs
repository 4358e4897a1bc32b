//! `bench`, `stats --watch`, `tree`, `completions` and what `cargo xtask dist` lets the program write.

mod common;

use common::{Place, names};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use std::process::Command;
use std::time::{Duration, Instant};

#[test]
fn a_bench_measures_beside_the_database_and_leaves_nothing() {
    let place = Place::new();
    place.run(&["put", "k", "v"]).expect(0, "OK\n");
    let run = place.run(&["bench", "--records", "300", "--value-size", "50", "--threads", "2", "--format", "json"]);
    assert_eq!(run.code, 0, "{run:?}");
    let report: Value = serde_json::from_str(run.out().trim()).expect("JSON");
    let rows = report["rows"].as_array().expect("rows");
    let row = |name: &str| rows.iter().find(|row| row["name"] == name).unwrap_or_else(|| panic!("no {name}: {report}"));
    for name in
        ["put, durable", "put, durable, 2 threads", "put, buffered", "get", "get, 2 threads", "get of a missing key"]
    {
        let count = row(name)["count"].as_u64().expect("a number");
        assert!(
            (count == 300 || name.starts_with("get"))
                && row(name)["per_second"].as_f64().is_some_and(|rate| rate > 0.0),
            "{report}"
        );
        assert!(row(name)["p50_us"].as_f64() <= row(name)["p99_us"].as_f64(), "{report}");
    }
    assert!(row("disk: fdatasync of 4 KiB")["count"].as_u64().is_some_and(|count| count > 0));
    assert_eq!(row("put in batches of 300, durable")["count"], 300);
    assert_eq!(row("scan, per pair")["count"], 300);
    assert_eq!((&report["raw_bytes"], report["tree_bytes"].as_u64() > Some(300 * 66)), (&Value::from(300 * 66), true));
    assert_eq!(names(&place.path("")), ["data"]);
    place.run(&["len"]).expect(0, "1\n");
    place.run(&["bench", "--dir", "nowhere"]).expect(3, "").says("nowhere");
}

#[test]
fn a_bench_that_is_interrupted_removes_its_directory() {
    let place = Place::new();
    let child = place.command().args(["bench", "--records", "1000000000"]).spawn().expect("it starts");
    let begun = Instant::now();
    while !names(&place.path("")).iter().any(|name| name.starts_with("halodb-bench-")) {
        assert!(begun.elapsed() < Duration::from_secs(60), "it never began");
        std::thread::sleep(Duration::from_millis(10));
    }
    std::thread::sleep(Duration::from_millis(300));
    kill(Pid::from_raw(i32::try_from(child.id()).expect("a process id")), Signal::SIGINT).expect("sent");
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(130), "{output:?}");
    assert_eq!(names(&place.path("")), Vec::<String>::new());
}

#[test]
fn a_watch_writes_a_line_for_each_interval_and_ends_with_ctrl_c() {
    let place = Place::new();
    place.run(&["put", "k", "v"]).expect(0, "OK\n");
    let run = place.run(&["stats", "--watch", "0.1", "--times", "2", "--format", "jsonl"]);
    assert_eq!((run.code, run.out().lines().count()), (0, 2), "{run:?}");
    for line in run.out().lines() {
        let look: Value = serde_json::from_str(line).expect("JSON");
        assert!(look["commits_per_second"].is_number() && look["memtable_bytes"].is_number(), "{line}");
    }
    let text = place.run(&["stats", "--watch", "0.1", "--times", "1"]).out();
    assert!(text.contains("commits") && text.contains("/s") && !text.contains('\x1b'), "{text}");
    place.run(&["stats", "--watch", "0"]).expect(2, "");
    place.run(&["stats", "--times", "3"]).expect(2, "");

    let child = place.command().args(["stats", "--watch"]).spawn().expect("it starts");
    std::thread::sleep(Duration::from_millis(1500));
    kill(Pid::from_raw(i32::try_from(child.id()).expect("a process id")), Signal::SIGINT).expect("sent");
    let output = child.wait_with_output().expect("it ends");
    assert_eq!((output.status.code(), output.stderr.len()), (Some(130), 0), "{output:?}");
}

#[test]
fn the_tree_of_one_partition_is_shown_alone() {
    let place = Place::new();
    std::fs::write(place.path("two.toml"), "[database]\npartitions = 2\n").expect("written");
    place.run(&["--config", "two.toml", "--db", "data", "put", "a", "1"]).expect(0, "OK\n");
    place.fill(500, 100);
    let text = place.run(&["tree", "--partition", "0"]).out();
    assert!(text.contains("partition 0: ") && !text.contains("partition 1: "), "{text}");
    assert!(text.contains("root") && text.contains("└ level 0 leaves") && text.contains("% full"), "{text}");
    assert_eq!(place.run(&["tree", "--depth", "1"]).out().matches("level ").count(), 2);
    place.run(&["tree", "--partition", "7"]).expect(2, "").says("there is no partition 7");
}

#[test]
fn completions_and_man_pages_name_every_command() {
    let place = Place::new();
    for shell in ["bash", "zsh", "fish"] {
        let text = place.run(&["completions", shell]).out();
        for command in ["put", "delete-prefix", "inspect", "completions"] {
            assert!(text.contains(command), "{command} is not in the completions for {shell}");
        }
        assert!(!text.contains("generate"), "what is hidden is offered for {shell}");
    }
    place.run(&["completions", "cmd"]).expect(2, "").says("bash");
    place.run(&["generate", "dist"]).expect(0, "dist/man\ndist/completions\n");
    let pages = names(&place.path("dist/man"));
    for page in ["halodb.1", "halodb-put.1", "halodb-inspect.1", "halodb-inspect-page.1"] {
        assert!(pages.iter().any(|name| name == page), "{page} is not in {pages:?}");
    }
    let page = std::fs::read_to_string(place.path("dist/man/halodb-put.1")).expect("a page");
    assert!(page.starts_with(".") || page.contains(".TH"), "{page}");
    assert!(page.contains("if\\-absent") && page.contains(".SH EXAMPLES\n.nf\nhalodb put user/1"), "{page}");
    let program = std::fs::read_to_string(place.path("dist/man/halodb.1")).expect("a page");
    assert!(program.contains(".SH EXIT STATUS") && program.contains("halodb\\-put(1)"), "{program}");
    let completions = names(&place.path("dist/completions"));
    assert!(completions.iter().any(|name| name == "halodb.bash"), "{completions:?}");
    // Where there is a bash, it must understand its file.
    if let Ok(status) = Command::new("bash").arg("-n").arg(place.path("dist/completions/halodb.bash")).status() {
        assert!(status.success());
    }
    assert!(!place.run(&["help"]).out().contains("generate"));
    assert_eq!(names(&place.path("")), ["dist"]);
}
