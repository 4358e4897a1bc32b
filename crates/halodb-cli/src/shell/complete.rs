//! What the shell does while a line is typed: completes commands, options, keyspaces and keys, hints at the arguments that are
//! missing, and lets a line with an open quote go on in the next one.

use crate::args::Line;
use crate::help;
use clap::CommandFactory;
use halodb::{Db, Keyspace};
use halodb_cli::words::{self, Problem, quote};
use rustyline::Context;
use rustyline::completion::{Completer, Pair};
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use std::borrow::Cow;

/// Keys offered at once.
const KEYS: usize = 200;
/// Commands whose arguments are keys.
const TAKE_KEYS: [&str; 20] = [
    "put",
    "set",
    "get",
    "mget",
    "delete",
    "del",
    "exists",
    "expire",
    "ttl",
    "persist",
    "incr",
    "cas",
    "list",
    "ls",
    "keys",
    "scan",
    "count",
    "rank",
    "delete-prefix",
    "export",
];
/// Commands whose arguments are keyspaces.
const TAKE_KEYSPACES: [&str; 2] = ["use", "drop"];

/// The helper of the line editor.
pub(super) struct Assistant {
    db: Db,
    /// Where keys are looked up; `None`: that keyspace is gone.
    keyspace: Option<Keyspace>,
    commands: Vec<String>,
    root: clap::Command,
    colour: bool,
}

impl Assistant {
    /// An assistant that offers keys of the default keyspace of `db`.
    pub(super) fn new(db: Db) -> Self {
        let mut root = Line::command();
        root.build();
        Assistant {
            keyspace: Some(Keyspace::clone(&db)),
            db,
            commands: help::command_names(),
            root,
            colour: std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()),
        }
    }

    /// From now on keys of this keyspace are offered; `None`: of the default one.
    pub(super) fn go_to(&mut self, keyspace: Option<&str>) {
        let name = keyspace.unwrap_or(Keyspace::DEFAULT);
        // An error shows itself when a command runs.
        self.keyspace = self.db.find_keyspace(name).ok().flatten();
    }

    fn candidates(&self, unfinished: &Unfinished) -> Vec<String> {
        match unfinished.before.first() {
            None => {
                let known = self.commands.iter().map(String::as_str);
                starting_with(known, &unfinished.word).map(|name| format!("{name} ")).collect()
            }
            Some(command) if unfinished.word.starts_with(b"-") => {
                let options = self.options(command);
                starting_with(options.iter().map(String::as_str), &unfinished.word)
                    .map(|name| format!("{name} "))
                    .collect()
            }
            Some(command) if TAKE_KEYS.contains(&command.as_str()) => self.keys(&unfinished.word),
            Some(command) if TAKE_KEYSPACES.contains(&command.as_str()) => {
                let names = self.db.keyspaces().unwrap_or_default();
                starting_with(names.iter().map(String::as_str), &unfinished.word)
                    .map(|name| quote(name.as_bytes()))
                    .collect()
            }
            Some(command) if command == "help" => {
                let known = self.commands.iter().map(String::as_str);
                starting_with(known, &unfinished.word).map(str::to_owned).collect()
            }
            Some(command) if command == "config" => {
                let under = self.root.find_subcommand("config").into_iter();
                let names: Vec<&str> =
                    under.flat_map(|config| config.get_subcommands().map(clap::Command::get_name)).collect();
                starting_with(names.into_iter(), &unfinished.word).map(|name| format!("{name} ")).collect()
            }
            Some(_) => Vec::new(),
        }
    }

    fn options(&self, command: &str) -> Vec<String> {
        let arguments = self.root.find_subcommand(command).into_iter().flat_map(clap::Command::get_arguments);
        arguments.filter_map(|argument| argument.get_long()).map(|long| format!("--{long}")).collect()
    }

    /// Keys that begin with what is typed. An error shows itself when the command runs; here it offers nothing.
    fn keys(&self, prefix: &[u8]) -> Vec<String> {
        let pairs = self.keyspace.iter().flat_map(|keyspace| keyspace.prefix(prefix)).take(KEYS);
        pairs.map_while(Result::ok).map(|(key, _)| quote(&key)).collect()
    }

    /// The arguments of the command that the line consists of.
    fn missing_arguments(&self, line: &str) -> Option<String> {
        let name = line.strip_suffix(' ').unwrap_or(line);
        let command = self.root.find_subcommand(name.trim_start())?;
        let names = command.get_positionals().map(|argument| {
            let name = argument.get_value_names().map_or_else(String::new, |names| names.join(" "));
            if argument.is_required_set() { name } else { format!("[{name}]") }
        });
        let names: Vec<String> = names.collect();
        let blank = if line.ends_with(' ') { "" } else { " " };
        (!names.is_empty()).then(|| format!("{blank}{}", names.join(" ")))
    }
}

/// A line that is being typed.
#[derive(Debug, PartialEq, Eq)]
struct Unfinished {
    /// The words before the one at the cursor.
    before: Vec<String>,
    /// The word at the cursor, as far as it is typed.
    word: Vec<u8>,
    /// Where it begins.
    start: usize,
}

impl Unfinished {
    fn of(line: &str) -> Option<Self> {
        let (mut words, start) = match words::split(line.as_bytes()) {
            Ok(words) => (words, line.len()),
            Err(error) if error.problem == Problem::UnclosedQuote => {
                // Closing the quote makes a word of what is typed.
                let mark = line.get(error.offset..=error.offset)?;
                let closed = format!("{line}{mark}");
                let words = words::split(closed.as_bytes()).ok()?;
                (words, error.start)
            }
            Err(_) => return None,
        };
        let at_word = start < line.len() || !line.ends_with([' ', '\t']);
        let (word, start) = match words.last() {
            Some(_) if at_word => words.pop().map(|word| (word.bytes, word.start))?,
            _ => (Vec::new(), line.len()),
        };
        let before = words.into_iter().map(|word| String::from_utf8_lossy(&word.bytes).into_owned());
        Some(Unfinished { before: before.collect(), word, start })
    }
}

fn starting_with<'n>(names: impl Iterator<Item = &'n str>, word: &[u8]) -> impl Iterator<Item = &'n str> {
    names.filter(move |name| name.as_bytes().starts_with(word))
}

impl Completer for Assistant {
    type Candidate = Pair;

    fn complete(&self, line: &str, pos: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<Pair>)> {
        let Some(unfinished) = line.get(..pos).and_then(Unfinished::of) else {
            return Ok((pos, Vec::new()));
        };
        let candidates = self.candidates(&unfinished).into_iter();
        let pairs = candidates.map(|text| Pair { display: text.trim_end().to_owned(), replacement: text });
        Ok((unfinished.start, pairs.collect()))
    }
}

impl Hinter for Assistant {
    type Hint = String;

    /// Hints are told from typed text by their colour only, so without colour there are none.
    fn hint(&self, line: &str, pos: usize, _: &Context<'_>) -> Option<String> {
        (self.colour && pos == line.len()).then(|| self.missing_arguments(line))?
    }
}

impl Highlighter for Assistant {
    fn highlight_hint<'h>(&self, hint: &'h str) -> Cow<'h, str> {
        Cow::Owned(format!("\x1b[2m{hint}\x1b[0m"))
    }
}

impl Validator for Assistant {
    fn validate(&self, context: &mut ValidationContext<'_>) -> rustyline::Result<ValidationResult> {
        match words::split(context.input().as_bytes()) {
            Err(error) if error.goes_on() => Ok(ValidationResult::Incomplete),
            _ => Ok(ValidationResult::Valid(None)),
        }
    }
}

impl rustyline::Helper for Assistant {}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &str, before: &[&str], word: &[u8], start: usize) {
        let before = before.iter().map(|word| (*word).to_owned()).collect();
        assert_eq!(Unfinished::of(line), Some(Unfinished { before, word: word.to_vec(), start }), "{line}");
    }

    #[test]
    fn the_word_at_the_cursor_is_found_inside_quotes_too() {
        check("", &[], b"", 0);
        check("ge", &[], b"ge", 0);
        check("get ", &["get"], b"", 4);
        check("get us", &["get"], b"us", 4);
        check("get \"a b", &["get"], b"a b", 4);
        check("get 'a b ", &["get"], b"a b ", 4);
        check("get \"\\x00\\xff", &["get"], b"\x00\xff", 4);
        check("delete a \"b\"", &["delete", "a"], b"b", 9);
        assert_eq!(Unfinished::of("get \"\\q"), None);
    }
}
