//! What every command writes, word for word, as text and as JSON: sessions in `golden/*.txt`, run by `sh` against the built
//! program.
//!
//! ```text
//! # put and get                   a heading: the lines below it run in a new, empty directory
//! $ halodb get nobody             a command, then
//! Ada                             its standard output,
//! ! (not found)                   its standard error,
//! ? 1                             and its exit code, unless that is 0
//! ```
//!
//! `[..]` stands for anything on a line, `...` on a line of its own for any number of lines. An output that does not end
//! with a newline is followed by `% no newline`, and `DIR` stands for the directory. Lines before the first heading explain the file.
//!
//! `HALODB_GOLDEN=write cargo test -p halodb-cli --test golden` writes down what the program says now, where that differs;
//! read the difference before you commit it.

mod common;

use common::Place;
use common::script::{Sh, matches};
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

/// A command and what it is to write.
struct Step {
    command: String,
    expected: Vec<String>,
}

fn directory() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

fn files() -> Vec<PathBuf> {
    let entries = fs::read_dir(directory()).expect("tests/golden");
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    files
}

/// What a command writes, in the form of these files.
fn run(sh: &Sh, place: &Place, command: &str) -> Vec<String> {
    let run = sh.run(place, command);
    let here = place.path("").display().to_string();
    let named = |text: &str| text.replace(here.trim_end_matches('/'), "DIR");
    let out = named(&run.out());
    let mut lines: Vec<String> = out.lines().map(str::to_owned).collect();
    if !out.is_empty() && !out.ends_with('\n') {
        lines.push("% no newline".into());
    }
    lines.extend(named(&run.stderr).lines().map(|line| format!("! {line}").trim_end().to_owned()));
    if run.code != 0 {
        lines.push(format!("? {}", run.code));
    }
    lines
}

/// Runs the sessions of a file; the file as it should be, and what differs.
fn replay(text: &str, sh: &Sh) -> (String, String) {
    let (mut renewed, mut differences) = (String::new(), String::new());
    let mut place = None;
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        let Some(command) = line.strip_prefix("$ ") else {
            if line.starts_with("# ") {
                place = Some(Place::new());
            }
            // Writing to a String cannot fail.
            let _ = writeln!(renewed, "{line}");
            continue;
        };
        let mut step = Step { command: command.to_owned(), expected: Vec::new() };
        let ends = |line: &&str| line.starts_with("$ ") || line.starts_with("# ");
        while let Some(line) = lines.next_if(|line| !ends(line)) {
            step.expected.push(line.to_owned());
        }
        // Blank lines before the next heading belong to nobody.
        let blank = step.expected.iter().rev().take_while(|line| line.is_empty()).count();
        step.expected.truncate(step.expected.len() - blank);
        let actual = run(sh, place.as_ref().expect("a heading comes first"), &step.command);
        let fits = matches(&step.expected, &actual);
        if !fits {
            let (command, expected, actual) = (&step.command, step.expected.join("\n"), actual.join("\n"));
            let _ = writeln!(differences, "$ {command}\n--- expected\n{expected}\n--- is\n{actual}\n");
        }
        let kept = if fits { &step.expected } else { &actual };
        let _ = writeln!(renewed, "$ {}", step.command);
        for line in kept.iter().map(String::as_str).chain(std::iter::repeat_n("", blank)) {
            let _ = writeln!(renewed, "{line}");
        }
    }
    (renewed, differences)
}

#[test]
fn every_command_writes_what_is_written_down() {
    let sh = Sh::new();
    let mut all = String::new();
    for path in files() {
        let text = fs::read_to_string(&path).expect("a file");
        let (renewed, differences) = replay(&text, &sh);
        if std::env::var("HALODB_GOLDEN").is_ok_and(|wanted| wanted == "write") {
            fs::write(&path, renewed).expect("written");
        } else if !differences.is_empty() {
            let _ = writeln!(all, "{}:\n{differences}", path.display());
        }
    }
    assert!(all.is_empty(), "{all}");
}

#[test]
fn every_command_is_in_a_session_as_text_and_as_json() {
    let text: String = files().iter().map(|path| fs::read_to_string(path).expect("a file")).collect();
    let commands: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("$ ")).collect();
    let place = Place::new();
    for name in common::command_names(&place) {
        let uses = |command: &&&str| command.split([' ', '\'']).any(|word| word.split("\\n").any(|part| part == name));
        assert!(commands.iter().any(|command| uses(&command)), "{name} is in no session");
        // These write nothing, or text that is for people.
        if ![
            "use",
            "help",
            "version",
            "quit",
            "restore",
            "begin",
            "rollback",
            "drop",
            "import",
            "export",
            "completions",
        ]
        .contains(&name.as_str())
        {
            let as_json = |command: &&&str| uses(command) && command.contains("--format json");
            assert!(commands.iter().any(|command| as_json(&command)), "{name} is in no session with JSON");
        }
    }
}
