//! The session in the repository's README is replayed, and so are those in the program's own pages: every command in them is
//! run, by `sh` or typed into the shell, and must write what stands below it. So they cannot go stale.

mod common;

use common::Place;
use common::script::{Sh, matches};
use common::terminal::Terminal;
use std::fs;
use std::path::Path;

/// The first prompt of the shell.
const PROMPT: &str = "halodb> ";

/// The lines of the ```console blocks of a section.
fn session(section: &str) -> Vec<String> {
    let blocks = section.split("```console\n").skip(1);
    blocks.flat_map(|block| block.split("```").next().unwrap_or_default().lines().map(str::to_owned)).collect()
}

/// The prompt that a line begins with, which names keyspace and transaction, and what is typed behind it.
fn typed(line: &str) -> Option<(&str, &str)> {
    let (prompt, rest) = line.split_at(line.find("> ")? + 2);
    let named = prompt.strip_prefix("halodb")?;
    (!named.trim_end().contains(' ')).then_some((prompt, rest))
}

/// Takes the lines up to the next command.
fn output(lines: &[String]) -> &[String] {
    let end = lines.iter().position(|line| line.starts_with("$ ") || typed(line).is_some());
    &lines[..end.unwrap_or(lines.len())]
}

/// Replays what is typed into the shell, up to its end; how many lines that were. On a dumb terminal the shell writes
/// nothing but prompts and answers.
fn converse(place: &Place, lines: &[String]) -> usize {
    let mut terminal = Terminal::with(place, &[], &[("TERM", "dumb")]);
    let lines_of = |screen: &str, prompt: &str| {
        let text = screen.strip_suffix(prompt).expect("it ends with the prompt").replace("\r\n", "\n");
        text.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    let greeting = output(lines);
    let seen = lines_of(&terminal.until(PROMPT), PROMPT);
    assert!(matches(greeting, &seen), "{greeting:?} is written, and this is the greeting: {seen:?}");
    let mut at = greeting.len();
    while let Some((_, command)) = lines.get(at).and_then(|line| typed(line)) {
        terminal.types(&format!("{command}\n"));
        // The terminal shows what is typed.
        terminal.until(&format!("{command}\r\n"));
        let expected = output(&lines[at + 1..]);
        at += 1 + expected.len();
        let Some((prompt, _)) = lines.get(at).and_then(|line| typed(line)) else {
            assert_eq!((command, expected.len()), ("quit", 0), "a session ends with quit");
            break;
        };
        let seen = lines_of(&terminal.until(prompt), prompt);
        assert!(matches(expected, &seen), "{command}: {expected:?} is written, and this is the answer: {seen:?}");
    }
    assert_eq!(terminal.exit_code(), Some(0));
    at
}

/// A page of the repository.
fn page(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)).expect("the page")
}

/// Replays the lines of a session; how many commands there were.
fn replay(lines: &[String]) -> usize {
    let (place, sh) = (Place::new(), Sh::new());
    let (mut at, mut commands) = (0, 0);
    while at < lines.len() {
        let command = lines[at].strip_prefix("$ ").unwrap_or_else(|| panic!("no command: {}", lines[at]));
        at += 1;
        commands += 1;
        if command == "halodb" {
            at += converse(&place, &lines[at..]);
            continue;
        }
        let expected = output(&lines[at..]);
        at += expected.len();
        // How the program is built is another matter: `halodb` is the one that is built already.
        if command.starts_with("alias halodb=") {
            continue;
        }
        let run = sh.run(&place, &format!("({command}) 2>&1"));
        let seen: Vec<String> = run.out().lines().map(str::to_owned).collect();
        assert!(matches(expected, &seen), "{command}: {expected:?} is written, and this is the answer: {seen:?}");
    }
    commands
}

#[test]
fn the_session_in_the_readme_is_what_happens() {
    let text = page("README.md");
    let (_, section) = text.split_once("\n## A session\n").expect("the section");
    let commands = replay(&session(section.split("\n## ").next().unwrap_or_default()));
    assert!(commands >= 5, "{commands} commands in the session");
}

#[test]
fn the_sessions_in_the_pages_of_the_program_are_what_happens() {
    for path in ["docs/cli.md", "crates/halodb-cli/README.md"] {
        let commands = replay(&session(&page(path)));
        assert!(commands >= 3, "{path}: {commands} commands in the session");
    }
}
