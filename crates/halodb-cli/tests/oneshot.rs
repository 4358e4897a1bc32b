//! One-shot commands: what they write, where, and with which exit code.

mod common;

use common::{Place, names};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

#[test]
fn what_is_put_is_there_for_the_next_process() {
    let place = Place::new();
    place.run(&["put", "k", "v"]).expect(0, "OK\n");
    place.run(&["get", "k"]).expect(0, "v\n");
    place.run(&["get", "k", "--raw"]).expect(0, "v");
    place.run(&["set", "k", ""]).expect(0, "OK\n");
    place.run(&["get", "k"]).expect(0, "\n");
    place.run(&["exists", "k"]).expect(0, "true\n");
    place.run(&["len"]).expect(0, "1\n");
    place.run(&["del", "k", "nothing"]).expect(0, "1\n");
    place.run(&["delete", "k"]).expect(0, "0\n");
}

#[test]
fn a_missing_key_is_exit_code_1() {
    let place = Place::new();
    place.run(&["put", "k", "v"]);
    assert_eq!(place.run(&["get", "x"]).expect(1, "").stderr, "(not found)\n");
    assert_eq!(place.run(&["exists", "x"]).expect(1, "false\n").stderr, "");
    let json = place.run(&["get", "x", "--format", "json"]);
    json.expect(1, "null\n").says("\"exit_code\":1");
}

#[test]
fn conditions_that_do_not_hold_are_exit_code_1() {
    let place = Place::new();
    place.run(&["put", "k", "1", "--if-present"]).expect(1, "").says("(not found)");
    place.run(&["put", "k", "1", "--if-absent"]).expect(0, "OK\n");
    place.run(&["put", "k", "2", "--if-absent"]).expect(1, "").says("(exists)");
    place.run(&["put", "k", "3", "--if-present"]).expect(0, "OK\n");
    place.run(&["get", "k"]).expect(0, "3\n");
    place.run(&["put", "k", "4", "--if-present", "--if-absent"]).expect(2, "");
}

#[test]
fn arguments_are_literal_bytes() {
    let place = Place::new();
    let odd = OsStr::from_bytes(b"a\\n\"\xff");
    place.run(&[OsStr::new("put"), odd, odd]).expect(0, "OK\n");
    assert_eq!(place.run(&[OsStr::new("get"), odd]).stdout, b"a\\n\"\xff\n");
    place.run(&["put", "--", "-x", "--y"]).expect(0, "OK\n");
    place.run(&["get", "--", "-x"]).expect(0, "--y\n");
    place.run(&["put", "-5", "-7"]).expect(0, "OK\n");
    place.run(&["get", "-x"]).expect(2, "").says("'-- -x'");
}

#[test]
fn values_come_from_files_and_standard_input_unless_literal() {
    let place = Place::new();
    place.write("file", b"from\0file\n");
    place.run(&["put", "k", "@file"]).expect(0, "OK\n");
    place.run(&["get", "k", "--raw"]).expect(0, "from\0file\n");
    place.feed(&["put", "k", "-"], b"from\nstdin").expect(0, "OK\n");
    place.run(&["get", "k"]).expect(0, "from\nstdin\n");
    place.run(&["put", "k", "@missing"]).expect(3, "").says("--literal");
    place.run(&["put", "k", "@missing", "--literal"]).expect(0, "OK\n");
    place.run(&["get", "k"]).expect(0, "@missing\n");
    place.run(&["put", "k", "--literal", "-"]).expect(0, "OK\n");
    place.run(&["get", "k"]).expect(0, "-\n");
}

#[test]
fn a_value_of_five_mebibytes_goes_in_and_out() {
    let place = Place::new();
    let value: Vec<u8> = (0..5_u32 << 20).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    place.feed(&["put", "large", "-"], &value).expect(0, "OK\n");
    assert_eq!(place.run(&["get", "large", "--raw"]).stdout, value);
}

#[test]
fn illegal_keys_are_exit_code_2() {
    let place = Place::new();
    place.run(&["put", "", "v"]).expect(2, "").says("error: ");
    place.run(&["put", &"k".repeat(5 << 10), "v"]).expect(2, "").says("4096");
    place.run(&["put", &"k".repeat(4096), "v"]).expect(0, "OK\n");
}

#[test]
fn only_writes_create_a_database() {
    let place = Place::new();
    for command in ["list", "len", "stats", "tree", "space", "compact", "check", "export", "scan", "count", "keyspaces"]
    {
        place.run(&[command]).expect(2, "").says("hint: ").says("--db");
    }
    place.run(&["get", "k"]).expect(2, "");
    for command in [&["help"][..], &["version"], &["config", "check"], &["config", "show"], &["quit"]] {
        assert_eq!(place.run(command).code, 0, "{command:?}");
    }
    assert_eq!(names(&place.path("")), Vec::<String>::new());
    place.run(&["--db", "other", "put", "k", "v"]).expect(0, "OK\n");
    assert_eq!(names(&place.path("")), ["other"]);
    place.run(&["get", "k", "--db", "other"]).expect(0, "v\n");
}

#[test]
fn a_directory_that_is_no_database_is_refused_and_left_alone() {
    let place = Place::new();
    std::fs::create_dir(place.path("data")).unwrap();
    place.write("data/letter.txt", "Dear reader");
    place.run(&["put", "k", "v"]).expect(2, "").says("hint: ");
    assert_eq!(names(&place.path("data")), ["letter.txt"]);
}

#[test]
fn usage_mistakes_are_exit_code_2_and_say_what_was_meant() {
    let place = Place::new();
    place.run(&["lst"]).expect(2, "").says("'list'");
    place.run(&["put", "k"]).expect(2, "").says("<VALUE>");
    place.run(&["get", "k", "--frmat", "json"]).expect(2, "").says("--format");
    place.run(&["--bail", "len"]).expect(2, "").says("--bail");
    let json = place.run(&["lst", "--format", "json"]);
    assert!(json.stderr.starts_with("{\"error\":{"), "{}", json.stderr);
    assert_eq!(names(&place.path("")), Vec::<String>::new());
}

#[test]
fn ranges_and_prefixes_are_ordered_and_counted() {
    let place = Place::new();
    for key in ["b", "a/2", "a/1", "c", "a"] {
        place.run(&["put", key, &format!("v-{key}")]);
    }
    place.run(&["list"]).expect(0, "a\na/1\na/2\nb\nc\n");
    place.run(&["ls", "a/", "--values"]).expect(0, "a/1\tv-a/1\na/2\tv-a/2\n");
    place.run(&["keys", "--reverse", "--limit", "2"]).expect(0, "c\nb\n");
    place.run(&["scan", "--from", "a/2", "--to", "c"]).expect(0, "a/2\tv-a/2\nb\tv-b\n");
    place.run(&["scan", "--prefix", "a/", "--reverse", "--limit", "1"]).expect(0, "a/2\tv-a/2\n");
    place.run(&["scan", "--from", "z", "--to", "a"]).expect(0, "");
    place.run(&["count"]).expect(0, "5\n");
    place.run(&["count", "--prefix", "a/"]).expect(0, "2\n");
    place.run(&["count", "--from", "a/2", "--to", "c"]).expect(0, "2\n");
    place.run(&["count", "--from", "z", "--to", "a"]).expect(0, "0\n");
}

#[test]
fn every_format_shows_the_same_pairs() {
    let place = Place::new();
    place.pipe("put a 1\nput \"\\x00\\xff\" \"x,\\\"y\\\"\"\n").expect(0, "OK\nOK\n");
    let check = |format: &str, expected: &str| {
        place.run(&["scan", "--format", format]).expect(0, expected);
    };
    check("json", "[{\"key_b64\":\"AP8=\",\"value\":\"x,\\\"y\\\"\"},{\"key\":\"a\",\"value\":\"1\"}]\n");
    check("jsonl", "{\"key_b64\":\"AP8=\",\"value\":\"x,\\\"y\\\"\"}\n{\"key\":\"a\",\"value\":\"1\"}\n");
    check("hex", "00ff\t782c227922\n61\t31\n");
    check("base64", "AP8=\teCwieSI=\nYQ==\tMQ==\n");
    let csv = place.run(&["scan", "--format", "csv"]);
    assert_eq!(csv.stdout, b"key,value\n\x00\xff,\"x,\"\"y\"\"\"\na,1\n");
    place.run(&["get", "a", "--format", "json"]).expect(0, "{\"key\":\"a\",\"value\":\"1\"}\n");
    place.run(&["len", "--format", "json"]).expect(0, "2\n");
    let put = place.run(&["put", "b", "2", "--format", "json"]);
    assert!(put.out().starts_with("{\"ok\":true,\"seq\":"), "{}", put.out());
}

#[test]
fn clear_needs_yes_off_a_terminal() {
    let place = Place::new();
    place.run(&["put", "k", "v"]);
    place.run(&["clear"]).expect(2, "").says("clear --yes");
    place.run(&["len"]).expect(0, "1\n");
    place.run(&["clear", "--yes"]).expect(0, "OK\n");
    place.run(&["len"]).expect(0, "0\n");
}

#[test]
fn stats_tree_and_check_describe_the_database() {
    let place = Place::new();
    place.fill(500, 200);
    let stats = place.run(&["stats"]);
    assert!(stats.out().contains("keys ") && stats.out().contains("500\n"), "{}", stats.out());
    assert!(place.run(&["stats", "--format", "json"]).out().contains("\"keys\":500"));
    let tree = place.run(&["tree"]);
    assert!(tree.out().contains("level 0 leaves") && tree.out().contains("% full"), "{}", tree.out());
    assert!(!place.run(&["tree", "--depth", "0"]).out().contains("level"));
    assert!(place.run(&["tree", "--format", "json"]).out().starts_with("[{"));
    for check in [&["check"][..], &["check", "--deep"]] {
        assert!(place.run(check).out().starts_with("sound: 500 keys, "), "{}", place.run(check).out());
    }
    assert!(place.run(&["check", "--format", "json"]).out().contains("\"sound\":true"));
}

/// The number behind a name in a line of JSON.
fn number(json: &str, name: &str) -> u64 {
    let rest = json.split_once(&format!("\"{name}\":")).unwrap_or_else(|| panic!("{name} in {json}")).1;
    rest.chars().take_while(char::is_ascii_digit).collect::<String>().parse().unwrap()
}

/// Of a file, or of all files below a directory.
fn length_of(path: &std::path::Path) -> u64 {
    match std::fs::read_dir(path) {
        Ok(entries) => entries.map(|entry| length_of(&entry.unwrap().path())).sum(),
        Err(_) => std::fs::metadata(path).unwrap().len(),
    }
}

#[test]
fn compacting_gives_back_what_was_deleted_and_space_says_where_the_rest_is() {
    let place = Place::new();
    place.fill(3000, 500);
    let tens = (0..3000).step_by(10);
    let deleting = |ten: i32| (1..10).map(|i| format!(" {:04}", ten + i)).collect::<String>();
    place.pipe(tens.map(|ten| format!("delete{}\n", deleting(ten))).collect::<String>());
    place.run(&["len"]).expect(0, "300\n");
    let compacted = place.run(&["compact", "--format", "json"]).out();
    assert!(number(&compacted, "bytes_after") <= number(&compacted, "bytes_before"), "{compacted}");
    place.run(&["len"]).expect(0, "300\n");
    let space = place.run(&["space", "--format", "json"]).out();
    assert_eq!(number(&space, "total_bytes"), length_of(&place.path("data")), "{space}");
    assert!(space.contains("\"snapshots\":[]"), "{space}");
    let text = place.run(&["space"]).out();
    assert!(text.contains("keys and values ") && text.contains("\nall files "), "{text}");
    let csv = place.run(&["space", "--format", "csv"]).out();
    assert!(csv.starts_with("part,partition,bytes\nleaves,0,"), "{csv}");
    assert!(place.run(&["check", "--deep"]).out().starts_with("sound: 300 keys, "));
}

#[test]
fn a_damaged_file_is_exit_code_4_and_named() {
    let place = Place::new();
    place.fill(500, 200);
    let mut damaged = 0;
    for path in files(&place.path("data")) {
        let mut bytes = std::fs::read(&path).unwrap();
        let Some(at) = find(&bytes, &b"x".repeat(150)) else { continue };
        bytes[at] ^= 1;
        std::fs::write(&path, bytes).unwrap();
        damaged += 1;
    }
    assert!(damaged > 0, "the values are nowhere in the files");
    let check = place.run(&["check"]);
    assert_eq!(check.code, 4, "{check:?}");
}

#[test]
fn version_and_help_need_no_database() {
    let place = Place::new();
    place.run(&["version"]).expect(0, concat!("halodb ", env!("CARGO_PKG_VERSION"), "\n"));
    place.run(&["--version"]).expect(0, concat!("halodb ", env!("CARGO_PKG_VERSION"), "\n"));
    for help in [&["help"][..], &["--help"], &["-h"]] {
        let help = place.run(help);
        assert_eq!(help.code, 0);
        for word in ["put", "import", "check", "--db", "--bail"] {
            assert!(help.out().contains(word), "{word} is not in {}", help.out());
        }
    }
    assert!(place.run(&["help", "put"]).out().contains("Example: put"));
    assert!(place.run(&["help", "config", "show"]).out().contains("--origin"));
    place.run(&["help", "lst"]).expect(2, "").says("'list'");
}

#[test]
fn a_closed_output_ends_quietly_with_0() {
    let place = Place::new();
    place.fill(2000, 100);
    let mut child = place.command().arg("scan").spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}

fn files(directory: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if !path.to_string_lossy().contains("/wal/") {
            found.push(path);
        }
    }
    found
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

#[test]
fn keys_live_as_long_as_they_are_told_to() {
    let place = Place::new();
    place.run(&["put", "k", "v", "--ttl", "1h30m"]).expect(0, "OK\n");
    place.run(&["get", "k"]).expect(0, "v\n");
    assert!(place.run(&["ttl", "k"]).out().starts_with("1h29m5"));
    place.run(&["persist", "k"]).expect(0, "OK\n");
    place.run(&["ttl", "k"]).expect(0, "never\n");
    place.run(&["ttl", "k", "--format", "json"]).expect(0, "{\"ttl_ms\":null}\n");
    place.run(&["expire", "k", "0s"]).expect(0, "OK\n");
    place.run(&["get", "k"]).expect(1, "").says("(not found)");
    place.run(&["len"]).expect(0, "0\n");
    for command in [&["ttl", "k"][..], &["persist", "k"], &["expire", "k", "1d"]] {
        place.run(command).expect(1, "").says("(not found)");
    }
    place.run(&["put", "k", "v", "--ttl", "10"]).expect(2, "").says("1h30m");
}

#[test]
fn what_expires_between_two_processes_is_gone_for_the_second() {
    let place = Place::new();
    place.run(&["put", "k", "v", "--ttl", "300ms"]).expect(0, "OK\n");
    place.run(&["put", "long", "v", "--ttl", "1h"]).expect(0, "OK\n");
    std::thread::sleep(std::time::Duration::from_millis(350));
    place.run(&["get", "k"]).expect(1, "");
    place.run(&["list"]).expect(0, "long\n");
    assert!(place.run(&["ttl", "long"]).out().starts_with("59m"), "an orderly end costs no time");
}
