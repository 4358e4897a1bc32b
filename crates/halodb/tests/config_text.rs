//! The text of a configuration file: what is accepted, and the exact words for what is not.

#![cfg(feature = "config")]

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use halodb::Durability;
use halodb::config::{Config, ConfigErrors, LogFormat, LogLevel, Place};
use proptest::prelude::*;

fn errors_of(text: &str) -> ConfigErrors {
    Config::check_text("h.toml", text).expect_err("the text is wrong")
}

/// All that is printed for a text that is wrong.
#[track_caller]
fn check(text: &str, expected: &str) {
    assert_eq!(errors_of(text).to_string(), expected);
}

/// Place, message and hint of the single problem with one line below a section.
#[track_caller]
fn check_line(section: &str, line: &str, column: u32, message: &str, hint: Option<&str>) {
    let errors = errors_of(&format!("[{section}]\n{line}\n"));
    let problems: Vec<_> = errors.iter().collect();
    assert_eq!(problems.len(), 1, "{errors}");
    assert_eq!((problems[0].message(), problems[0].hint()), (message, hint));
    let place = Place::File { file: PathBuf::from("h.toml"), line: 2, column };
    assert_eq!(problems[0].place(), &place, "{errors}");
}

#[test]
fn a_whole_file_is_read() {
    let text = r#"
        [database]
        path = "/srv/db"
        partitions = 4
        page_size = "4KiB"
        [memory]
        memtable = "1GiB"
        [wal]
        durability = "memory"
        interval = "200ms"
        segment = "64KiB"
        limit = "128KiB"
        [bloom]
        bits_per_key = 0
        [merge]
        threads = 0x2
        chunk = "1MiB"
        idle = "1h"
        [log]
        level = "trace"
        format = "json"
    "#;
    let config = Config::check_text("h.toml", text).expect("the text is right");
    assert_eq!(config.database.path, Path::new("/srv/db"));
    assert_eq!((config.database.partitions, config.database.page_size), (4, 4096));
    assert_eq!(config.memory.memtable, 1 << 30);
    assert_eq!((config.wal.durability, config.wal.interval), (Durability::Memory, Duration::from_millis(200)));
    assert_eq!((config.wal.segment, config.wal.limit), (64 << 10, 128 << 10));
    assert_eq!(config.bloom.bits_per_key, 0);
    assert_eq!((config.merge.threads, config.merge.chunk), (2, 1 << 20));
    assert_eq!(config.merge.idle, Duration::from_secs(3600));
    assert_eq!((config.log.level, config.log.format), (LogLevel::Trace, LogFormat::Json));
}

#[test]
fn an_empty_file_is_the_defaults() {
    for text in ["", "\n", "# nothing\n", "\u{feff}", "[wal]\n", "[wal]\r\n[log]\r\n"] {
        assert_eq!(Config::check_text("h.toml", text), Ok(Config::default()), "{text:?}");
    }
}

#[test]
fn dotted_keys_and_inline_tables_are_toml_too() {
    for text in ["wal.interval = \"1s\"", "wal = { interval = \"1s\" }", "\"wal\".'interval' = '1s'"] {
        let config = Config::check_text("h.toml", text).expect("the text is right");
        assert_eq!(config.wal.interval, Duration::from_secs(1), "{text:?}");
    }
}

#[test]
fn three_mistakes_are_shown_at_once() {
    check(
        "[wal]\ndurability = \"synk\"\nsegment = 16\nlimt = \"64MiB\"\n",
        r#"h.toml:2:14: `wal.durability` must be "memory", "buffered" or "sync", not "synk"
    2 | durability = "synk"
      |              ^^^^^^
  hint: did you mean "sync"?
h.toml:3:11: `wal.segment` must be a size, not the bare number 16
    3 | segment = 16
      |           ^^
  hint: write "16MiB"
h.toml:4:1: there is no key "limt" in [wal]
    4 | limt = "64MiB"
      | ^^^^
  hint: did you mean `limit`?
"#,
    );
}

#[test]
fn mistakes_of_spelling_and_of_syntax_are_shown_together() {
    check(
        "level = \"info\"\n[wall]\ninterval = 50\n\n[merge]\nthreads\nidle = 10 s\n[log\nlevel = 3\n",
        r#"h.toml:1:1: the key "level" stands in no section
    1 | level = "info"
      | ^^^^^
  hint: it belongs below a line [log]
h.toml:2:2: there is no section "wall"
    2 | [wall]
      |  ^^^^
  hint: did you mean [wal]?
h.toml:3:12: `wal.interval` must be a duration, not the bare number 50
    3 | interval = 50
      |            ^^
  hint: write "50ms"
h.toml:6:8: this is not TOML: key with no value, expected `=`
    6 | threads
      |        ^
  hint: write `KEY = VALUE`
h.toml:7:8: `merge.idle` must be a duration, not "10 s"
    7 | idle = 10 s
      |        ^^^^
  hint: write "10s"
h.toml:8:5: this is not TOML: unclosed table, expected `]`
    8 | [log
      |     ^
"#,
    );
}

#[test]
fn a_size_needs_a_whole_number_and_a_binary_unit() {
    let not = |what: &str| format!("`memory.memtable` must be a size, not {what}");
    check_line("memory", "memtable = 64", 12, &not("the bare number 64"), Some("write \"64MiB\""));
    check_line("memory", "memtable = 67108864", 12, &not("the bare number 67108864"), Some("write \"64MiB\""));
    check_line("memory", "memtable = 1e9", 12, &not("the bare number 1e9"), Some("for example \"64MiB\""));
    check_line("memory", "memtable = -1", 12, &not("the bare number -1"), Some("for example \"64MiB\""));
    check_line("memory", "memtable = \"64\"", 12, &not("\"64\", which has no unit"), Some("write \"64MiB\""));
    check_line("memory", "memtable = \"64MB\"", 12, &not("\"64MB\""), Some("write \"64MiB\""));
    check_line("memory", "memtable = \"1.5 GiB\"", 12, &not("\"1.5 GiB\""), Some("write \"1536MiB\""));
    check_line(
        "memory",
        "memtable = 64MiB",
        12,
        "`memory.memtable` must have quotes around its value",
        Some("write \"64MiB\""),
    );
    check_line("memory", "memtable = true", 12, &not("true"), Some("for example \"64MiB\""));
    check_line("memory", "memtable = [\"64MiB\"]", 12, &not("a list"), Some("for example \"64MiB\""));
    check_line("memory", "memtable = \"\"", 12, &not("\"\""), Some("for example \"64MiB\""));
    check_line(
        "memory",
        "memtable = \"9999999999999GiB\"",
        12,
        &not("\"9999999999999GiB\""),
        Some("for example \"64MiB\""),
    );
}

#[test]
fn a_duration_needs_a_whole_number_and_a_unit() {
    let not = |what: &str| format!("`merge.idle` must be a duration, not {what}");
    check_line("merge", "idle = 10", 8, &not("the bare number 10"), Some("write \"10s\""));
    check_line("merge", "idle = 0.5", 8, &not("the bare number 0.5"), Some("write \"500ms\""));
    check_line("merge", "idle = \"10\"", 8, &not("\"10\", which has no unit"), Some("write \"10s\""));
    check_line("merge", "idle = \"1.5 sec\"", 8, &not("\"1.5 sec\""), Some("write \"1500ms\""));
    check_line("merge", "idle = 07:32:00", 8, &not("a date"), Some("for example \"10s\""));
}

#[test]
fn a_number_and_a_name_are_not_confused() {
    check_line(
        "bloom",
        "bits_per_key = \"11\"",
        16,
        "`bloom.bits_per_key` must be a whole number, not the text \"11\"",
        Some("write 11, without quotes"),
    );
    check_line(
        "bloom",
        "bits_per_key = \"x\"",
        16,
        "`bloom.bits_per_key` must be a whole number, not the text \"x\"",
        Some("for example 11"),
    );
    check_line("bloom", "bits_per_key = 1.5", 16, "`bloom.bits_per_key` must be 0 to 32, not 1.5", None);
    check_line(
        "log",
        "level = 3",
        9,
        "`log.level` must be \"off\", \"error\", \"warn\", \"info\", \"debug\" or \"trace\", not 3",
        None,
    );
    check_line(
        "log",
        "format = JSON",
        10,
        "`log.format` must be \"text\" or \"json\", not \"JSON\"",
        Some("did you mean \"json\"?"),
    );
    check_line("database", "path = 7", 8, "`database.path` must be a path, not the bare number 7", Some("write \"7\""));
    check_line("database", "path = ''", 8, "`database.path` must not be empty", None);
}

#[test]
fn values_out_of_range_name_the_range_and_the_nearest_value() {
    let nearest = |value: &str| format!("the nearest allowed value is {value}");
    check_line("database", "partitions = 0", 14, "`database.partitions` must be 1 to 256, not 0", Some(&nearest("1")));
    check_line(
        "database",
        "partitions = 257",
        14,
        "`database.partitions` must be 1 to 256, not 257",
        Some(&nearest("256")),
    );
    check_line("database", "partitions = -1", 14, "`database.partitions` must be 1 to 256, not -1", None);
    check_line(
        "database",
        "partitions = 99999999999999999999",
        14,
        "`database.partitions` must be 1 to 256, not 99999999999999999999",
        None,
    );
    check_line("bloom", "bits_per_key = 33", 16, "`bloom.bits_per_key` must be 0 to 32, not 33", Some(&nearest("32")));
    check_line(
        "wal",
        "segment = \"2GiB\"",
        11,
        "`wal.segment` must be \"64KiB\" to \"1GiB\", not \"2GiB\"",
        Some(&nearest("\"1GiB\"")),
    );
    check_line(
        "wal",
        "interval = \"0s\"",
        12,
        "`wal.interval` must be \"1ms\" to \"1m\", not \"0ms\"",
        Some(&nearest("\"1ms\"")),
    );
    check_line(
        "database",
        "page_size = \"12KiB\"",
        13,
        "`database.page_size` must be a power of two, not \"12KiB\"",
        Some("the nearest allowed values are \"8KiB\" and \"16KiB\""),
    );
    check_line(
        "database",
        "page_size = \"128KiB\"",
        13,
        "`database.page_size` must be \"4KiB\" to \"64KiB\", a power of two, not \"128KiB\"",
        Some(&nearest("\"64KiB\"")),
    );
    check_line(
        "database",
        "page_size = 4096",
        13,
        "`database.page_size` must be a size, not the bare number 4096",
        Some("write \"4KiB\""),
    );
    check_line(
        "database",
        "page_size = 8",
        13,
        "`database.page_size` must be a size, not the bare number 8",
        Some("write \"8KiB\""),
    );
}

#[test]
fn names_that_do_not_exist_are_answered_with_the_nearest() {
    check_line("wal", "durabilty = 1", 1, "there is no key \"durabilty\" in [wal]", Some("did you mean `durability`?"));
    check_line(
        "memory",
        "durability = 1",
        1,
        "there is no key \"durability\" in [memory]",
        Some("it belongs to [wal]"),
    );
    check_line(
        "bloom",
        "speed = 1",
        1,
        "there is no key \"speed\" in [bloom]",
        Some("the keys of [bloom] are `bits_per_key`"),
    );
    check_line(
        "bloom",
        "\"\\u001b[31m\" = 1",
        1,
        "there is no key \"\\u001B[31m\" in [bloom]",
        Some("the keys of [bloom] are `bits_per_key`"),
    );
    check(
        "[zzz]\n",
        "h.toml:1:2: there is no section \"zzz\"\n    1 | [zzz]\n      |  ^^^\n  hint: the sections are [database], [memory], [wal], [bloom], [merge], [ttl], [log]\n",
    );
    check(
        "wal = 1\n",
        "h.toml:1:1: \"wal\" is a section\n    1 | wal = 1\n      | ^^^\n  hint: write [wal] on a line of its own, and its keys below it\n",
    );
    check(
        "[[log]]\n",
        "h.toml:1:3: \"log\" is a section\n    1 | [[log]]\n      |   ^^^\n  hint: write [log] on a line of its own, and its keys below it\n",
    );
    check(
        "[wal.limit]\n",
        "h.toml:1:1: `wal.limit` must be a size, not a table\n    1 | [wal.limit]\n      | ^^^^^^^^^^^\n  hint: for example \"64MiB\"\n",
    );
}

#[test]
fn what_is_not_toml_is_shown_at_its_place() {
    check(
        "[wal]\ninterval =\n",
        "h.toml:2:11: a value is missing after `=`\n    2 | interval =\n      |           ^\n",
    );
    check(
        "[wal]\n[log]\n[wal]\n",
        "h.toml:3:2: \"wal\" stands here for the second time\n    3 | [wal]\n      |  ^^^\n  hint: keep one of them, with all its keys below it if it is a section\n",
    );
    check(
        "[log]\nlevel = \"warn\n",
        "h.toml:2:14: this is not TOML: invalid basic string, expected `\"`\n    2 | level = \"warn\n      |              ^\n",
    );
    check(
        "x = a[\n",
        "h.toml:1:6: this is not TOML: unexpected key or value, expected newline, `#`\n    1 | x = a[\n      |      ^\n",
    );
}

#[test]
fn values_that_contradict_each_other_are_reported_at_the_later_one() {
    let hint = "  hint: set `wal.limit` to \"32MiB\" or more, or `wal.segment` to \"10MiB\" or less\n";
    check(
        "[wal]\nlimit = \"20MiB\"\n",
        &format!(
            "h.toml:2:9: `wal.limit` is \"20MiB\", less than two segments of \"16MiB\" each\n    2 | limit = \"20MiB\"\n      |         ^^^^^^^\n{hint}"
        ),
    );
    check(
        "[wal]\nlimit = \"20MiB\"\nsegment = \"16MiB\"\n",
        &format!(
            "h.toml:3:11: `wal.limit` is \"20MiB\", less than two segments of \"16MiB\" each\n    3 | segment = \"16MiB\"\n      |           ^^^^^^^\n{hint}"
        ),
    );
    let faulty = errors_of("[wal]\nsegment = \"64MiB\"\nlimit = \"200MB\"\n");
    assert_eq!(faulty.iter().count(), 1, "a value that is wrong anyway contradicts nothing: {faulty}");
}

#[test]
fn a_relative_path_is_relative_to_the_file() {
    let path = |file: &str, text: &str| Config::check_text(file, text).expect("the text is right").database.path;
    assert_eq!(path("/etc/halo/h.toml", "database.path = \"db\""), Path::new("/etc/halo/db"));
    assert_eq!(path("conf/h.toml", "database.path = \"../db\""), Path::new("conf/../db"));
    assert_eq!(path("h.toml", "database.path = \"db\""), Path::new("db"));
    assert_eq!(path("/etc/h.toml", "database.path = \"/srv/db\""), Path::new("/srv/db"));
}

#[test]
fn a_problem_gives_its_parts_to_programs() {
    let errors = errors_of("[wal]\n  durability = \"synk\"\n");
    let problem = errors.iter().next().expect("there is one");
    assert_eq!(problem.file(), Some(Path::new("h.toml")));
    assert_eq!((problem.line(), problem.column()), (Some(2), Some(16)));
    assert_eq!(problem.message(), "`wal.durability` must be \"memory\", \"buffered\" or \"sync\", not \"synk\"");
    assert_eq!(problem.hint(), Some("did you mean \"sync\"?"));
}

/// A fuzzer found a file of 64 KiB, the most that is read, that took seconds: every error was given its place by counting
/// from the beginning of the text, or of its only line.
#[test]
fn the_largest_file_is_answered_soon_whatever_is_wrong_with_it() {
    let most = 64 << 10;
    let filled = |text: &str| text.repeat(most / text.len());
    let keys = |count: u32| (0..count).map(|n| format!("k{n}=1,")).collect::<String>();
    let texts = [
        filled("\r"),
        filled("="),
        filled("=\n"),
        filled("a\n"),
        filled("[x\n"),
        format!("[x{}", "\n".repeat(most - 2)),
        format!("a={{{}", filled("b,")),
        format!("wal={{{}", keys(7_000)),
        format!("wal={{{}}}", keys(7_000)),
    ];
    for text in texts {
        let started = Instant::now();
        let shown = errors_of(&text).to_string();
        let elapsed = started.elapsed();
        // A quarter of a second for all of them together; it was seven seconds for one.
        assert!(elapsed < Duration::from_secs(5), "{elapsed:?} for {} bytes of {:?}…", text.len(), &text[..12]);
        assert!(shown.len() < 100 * text.len(), "{} bytes say what is wrong with {:?}…", shown.len(), &text[..12]);
    }
}

/// Pieces of which some texts are nearly right.
fn text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => prop::sample::select(vec![
            "[wal]", "[log]", "[[wal]]", "[", "]", "\n", "\n", "\n", "\r\n", " ", "\t", "=", "=", ".", ",", "#", "\"", "'", "\"\"\"",
            "durability", "interval", "limit", "wal", "log", "level", "path", "database", "partitions", "\"64MiB\"", "\"10s\"", "10",
            "1e999", "0x", "-", "true", "1979-05-27", "{", "}", "\u{feff}", "é", "\u{1f600}", "\0", "\u{1b}", "\\", "\\u",
        ]).prop_map(str::to_owned),
        1 => any::<char>().prop_map(|c| c.to_string()),
    ];
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    // A failure is kept as a test of its own, with its story, not as a seed in a file.
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 4000, ..ProptestConfig::default() })]

    #[test]
    fn any_text_gives_a_configuration_or_problems_with_places_inside_it(text in text()) {
        if let Err(errors) = Config::check_text("h.toml", &text) {
            let lines = text.split('\n').count() as u32;
            let mut last = (0, 0);
            for problem in &errors {
                let place = (problem.line().unwrap_or(0), problem.column().unwrap_or(0));
                prop_assert!((1..=lines).contains(&place.0) && place.1 >= 1, "{:?}", problem);
                prop_assert!(place >= last, "in the order of their places");
                last = place;
                prop_assert!(!problem.message().contains(|c: char| c.is_control()), "{:?}", problem);
                let prefix = format!("h.toml:{}:{}: ", place.0, place.1);
                prop_assert!(problem.to_string().starts_with(&prefix));
            }
            prop_assert!(last > (0, 0), "at least one problem");
        }
    }

    #[test]
    fn a_shown_configuration_is_read_back_the_same(
        partitions in 1_u32..=256,
        page in 12_u32..=16,
        memtable in (64_u64 << 10)..=(64 << 30),
        segment in (64_u64 << 10)..=(1 << 30),
        interval_ms in 1_u64..=60_000,
        path in "[^\u{fffd}]{1,20}",
    ) {
        let mut loaded = halodb::config::Loaded::default();
        loaded.change(|config| {
            config.database.partitions = partitions;
            config.database.page_size = 1 << page;
            config.database.path = path.into();
            config.memory.memtable = memtable;
            config.wal.segment = segment;
            config.wal.limit = 2 * segment;
            config.wal.interval = Duration::from_millis(interval_ms);
        }).expect("all in their bounds");
        for shown in [loaded.show(), loaded.show_origins()] {
            prop_assert_eq!(&Config::check_text("h.toml", &shown), &Ok(loaded.config().clone()), "{}", shown);
        }
    }
}
