//! What the shell does while a line is typed: completes commands, options, keyspaces, keys and names of files, hints at the
//! arguments that are missing, and lets a line with an open quote go on in the next one.

use super::switches;
use super::typed::{Spot, Unfinished};
use crate::args::Line;
use crate::help;
use clap::CommandFactory;
use halodb::{Db, Keyspace};
use halodb_cli::words::{self, quote};
use rustyline::Context;
use rustyline::completion::{Completer, Pair};
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use std::borrow::Cow;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Keys offered at once.
const KEYS: usize = 200;

/// The helper of the line editor.
pub(super) struct Assistant {
    db: Db,
    /// Where keys are looked up; `None`: that keyspace is gone.
    keyspace: Option<Keyspace>,
    root: clap::Command,
    colour: bool,
}

impl Assistant {
    /// An assistant that offers keys of the default keyspace of `db`.
    pub(super) fn new(db: Db) -> Self {
        let mut root = Line::command();
        root.build();
        let colour = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Assistant { keyspace: Some(Keyspace::clone(&db)), db, root, colour }
    }

    /// From now on keys of this keyspace are offered; `None`: of the default one.
    pub(super) fn go_to(&mut self, keyspace: Option<&str>) {
        let name = keyspace.unwrap_or(Keyspace::DEFAULT);
        // An error shows itself when a command runs.
        self.keyspace = self.db.find_keyspace(name).ok().flatten();
    }

    fn candidates(&self, line: &str, unfinished: &Unfinished) -> Vec<String> {
        let word = unfinished.word.as_slice();
        if line.trim_start().starts_with('\\') {
            return after_a_backslash(line, word);
        }
        match unfinished.spot(&self.root) {
            Spot::Command(of) if of.get_name() == self.root.get_name() => beginning(help::command_names(), word),
            Spot::Command(of) => beginning(of.get_subcommands().map(|command| command.get_name().to_owned()), word),
            Spot::Option(of) => beginning(long_options(of), word),
            Spot::Argument(of, argument) => self.values(of.get_name(), argument, word),
            Spot::Nothing => Vec::new(),
        }
    }

    /// What an argument may be. The names are those of the fields in `args`: equal things have equal names there.
    fn values(&self, command: &str, argument: &clap::Arg, word: &[u8]) -> Vec<String> {
        match (argument.get_id().as_str(), command, word) {
            ("key", "explain", _) => Vec::new(),
            ("key" | "keys" | "prefix" | "from" | "to", ..) => self.keys(word),
            ("keyspace", ..) | ("name", "use" | "drop", _) => self.keyspaces(word),
            ("command", "help", _) => beginning(help::command_names(), word),
            ("path" | "dir" | "backup" | "salvage" | "file", ..) => {
                paths(word).iter().map(|path| quote(path)).collect()
            }
            ("value", "put", [b'@', path @ ..]) => {
                // In quotes it would be a value and name no file.
                let named = paths(path).into_iter().filter(|path| quote(path).as_bytes() == path);
                named.map(|path| format!("@{}", String::from_utf8_lossy(&path))).collect()
            }
            _ => {
                let known = argument.get_possible_values();
                beginning(known.iter().map(|value| value.get_name().to_owned()), word)
            }
        }
    }

    /// Keys that begin with what is typed. An error shows itself when the command runs; here it offers nothing.
    fn keys(&self, prefix: &[u8]) -> Vec<String> {
        let pairs = self.keyspace.iter().flat_map(|keyspace| keyspace.prefix(prefix)).take(KEYS);
        pairs.map_while(Result::ok).map(|(key, _)| quote(&key)).collect()
    }

    fn keyspaces(&self, prefix: &[u8]) -> Vec<String> {
        let names = self.db.keyspaces().unwrap_or_default().into_iter();
        names.filter(|name| name.as_bytes().starts_with(prefix)).map(|name| quote(name.as_bytes())).collect()
    }

    /// The arguments that the command on the line still needs.
    fn missing_arguments(&self, line: &str) -> Option<String> {
        let names = Unfinished::of(line)?.lacking(&self.root).into_iter().map(|argument| {
            let name = argument.get_value_names().map_or_else(String::new, |names| names.join(" "));
            if argument.is_required_set() { name } else { format!("[{name}]") }
        });
        let names: Vec<String> = names.collect();
        let blank = if line.ends_with(' ') { "" } else { " " };
        (!names.is_empty()).then(|| format!("{blank}{}", names.join(" ")))
    }
}

/// Switches of the shell, and what they take.
fn after_a_backslash(line: &str, word: &[u8]) -> Vec<String> {
    match line.split_whitespace().next() {
        Some("\\format") if !word.starts_with(b"\\") => beginning(switches::format_names(), word),
        Some("\\timing") if !word.starts_with(b"\\") => beginning(["on", "off"].map(str::to_owned), word),
        _ => beginning(switches::NAMES.map(str::to_owned), word),
    }
}

/// The names that begin with what is typed, each with the blank that comes next.
fn beginning(names: impl IntoIterator<Item = String>, word: &[u8]) -> Vec<String> {
    let fitting = names.into_iter().filter(|name| name.as_bytes().starts_with(word));
    fitting.map(|name| format!("{name} ")).collect()
}

fn long_options(command: &clap::Command) -> Vec<String> {
    let longs = command.get_arguments().filter_map(clap::Arg::get_long);
    longs.map(|long| format!("--{long}")).collect()
}

/// Files and directories whose path begins with what is typed. What cannot be read offers nothing.
fn paths(typed: &[u8]) -> Vec<Vec<u8>> {
    let cut = typed.iter().rposition(|byte| *byte == b'/').map_or(0, |at| at + 1);
    let (directory, beginning) = typed.split_at(cut);
    let place = if directory.is_empty() { Path::new(".") } else { Path::new(OsStr::from_bytes(directory)) };
    let mut found = Vec::new();
    for entry in std::fs::read_dir(place).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let hidden = name.as_bytes().starts_with(b".") && beginning.is_empty();
        if hidden || !name.as_bytes().starts_with(beginning) {
            continue;
        }
        let end: &[u8] = if entry.path().is_dir() { b"/" } else { b"" };
        found.push([directory, name.as_bytes(), end].concat());
    }
    found.sort();
    found
}

impl Completer for Assistant {
    type Candidate = Pair;

    fn complete(&self, line: &str, pos: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<Pair>)> {
        let Some(typed) = line.get(..pos) else { return Ok((pos, Vec::new())) };
        let Some(unfinished) = Unfinished::of(typed) else { return Ok((pos, Vec::new())) };
        let candidates = self.candidates(typed, &unfinished).into_iter();
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
