//! Help: everything here is derived from the definitions in `args`; only the grouping is said here.

use crate::args::{Help, Line, LineParser, Program};
use crate::failure::{Code, Failure, Result};
use crate::session::{Front, Session};
use clap::error::ErrorKind;
use clap::{CommandFactory, FromArgMatches};
use std::ffi::OsString;
use std::fmt::Write as _;

/// The commands in the order and the groups in which they are shown.
const GROUPS: [(&str, &[&str]); 7] = [
    ("Keys", &["put", "get", "mget", "delete", "exists", "incr", "cas", "expire", "ttl", "persist"]),
    ("Many keys", &["list", "scan", "count", "len", "nth", "rank", "delete-range", "delete-prefix", "clear"]),
    ("Keyspaces", &["use", "keyspaces", "drop"]),
    ("Transactions", &["begin", "commit", "rollback"]),
    ("Files", &["import", "export", "backup", "restore"]),
    ("Care", &["stats", "tree", "space", "compact", "check", "doctor", "inspect", "config"]),
    ("Other", &["bench", "completions", "help", "version", "quit"]),
];

/// How words are written in shell and pipe.
const WORDS: &str = r#"Words are separated by blanks. "..." knows \n \t \\ \" \xNN, '...' is literal, "" is empty.
-- ends the options. A value @FILE is read from the file, - from standard input; quoted, both are plain values."#;

/// Parses the program's arguments. What is wrong with them, or the help asked for, is printed here.
pub(crate) fn parse_program(arguments: &[OsString]) -> std::result::Result<Program, Code> {
    let mut command = program();
    let parsed = command.try_get_matches_from_mut(arguments);
    let parsed = parsed.and_then(|matches| Program::from_arg_matches(&matches));
    parsed.map_err(|error| {
        let is_help = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
        if is_help {
            // A reader who has left needs no help.
            let _ = error.print();
            return Code::Ok;
        }
        Failure::arguments(&error).report(asks_for_json(arguments));
        Code::Usage
    })
}

/// The command `help`.
pub(crate) fn command(session: &mut Session, wanted: &Help) -> Result<()> {
    let mut root = match session.front {
        Front::OneShot => program(),
        Front::Pipe | Front::Shell => Line::command(),
    };
    root.build();
    let text = match wanted.command.as_slice() {
        [] if session.front == Front::OneShot => root.render_help().to_string(),
        [] => format!("{}\n{WORDS}", overview(&root)),
        names => explain(&mut root, names)?,
    };
    session.out.line(text.trim_end())
}

/// Names of all commands, aliases included, for completion.
pub(crate) fn command_names() -> Vec<String> {
    let root = Line::command();
    let names = root
        .get_subcommands()
        .filter(|command| !command.is_hide_set())
        .flat_map(|command| std::iter::once(command.get_name()).chain(command.get_visible_aliases()));
    let mut names: Vec<String> = names.map(str::to_owned).collect();
    names.sort();
    names
}

fn program() -> clap::Command {
    let root = Program::command();
    let groups = overview(&root).replace('{', "(").replace('}', ")");
    root.help_template(format!(
        "{{about}}\n\n{{usage-heading}} {{usage}}\n\n{groups}\nOptions:\n{{options}}{{after-help}}"
    ))
}

/// All commands, one line each.
fn overview(root: &clap::Command) -> String {
    let mut text = String::new();
    for (group, names) in GROUPS {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{group}:");
        for command in names.iter().filter_map(|name| root.find_subcommand(name)) {
            let about = command.get_about().map(ToString::to_string).unwrap_or_default();
            let aliases: Vec<&str> = command.get_visible_aliases().collect();
            let aliases = match aliases.as_slice() {
                [] => String::new(),
                aliases => format!(" (also: {})", aliases.join(", ")),
            };
            let _ = writeln!(text, "  {:<13} {about}{aliases}", command.get_name());
        }
    }
    text
}

/// Usage, options and an example of one command, or of a command under `config`.
fn explain(root: &mut clap::Command, names: &[String]) -> Result<String> {
    let mut command = root;
    for name in names {
        let Some(found) = command.find_subcommand_mut(name) else {
            return Err(unknown(names));
        };
        command = found;
    }
    Ok(command.render_help().to_string())
}

/// The mistake as clap would name it, with what may have been meant.
fn unknown(names: &[String]) -> Failure {
    let words = names.iter().map(OsString::from).collect();
    match LineParser::new().parse(words) {
        Err(error) if error.kind() == ErrorKind::InvalidSubcommand => Failure::arguments(&error),
        _ => {
            Failure::usage(format!("there is no command `{}`", names.join(" "))).with_hint("`help` lists the commands")
        }
    }
}

/// Whether `--format json` or `jsonl` is among arguments that could not be parsed.
fn asks_for_json(arguments: &[OsString]) -> bool {
    let words: Vec<_> = arguments.iter().map(|word| word.to_string_lossy()).collect();
    let separate = words.windows(2).any(|pair| pair[0] == "--format" && pair[1].starts_with("json"));
    separate || words.iter().any(|word| word.starts_with("--format=json"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_is_in_exactly_one_group() {
        let mut grouped: Vec<&str> = GROUPS.iter().flat_map(|(_, names)| *names).copied().collect();
        grouped.sort_unstable();
        let root = Line::command();
        let shown = root.get_subcommands().filter(|command| !command.is_hide_set());
        let mut all: Vec<&str> = shown.map(clap::Command::get_name).collect();
        all.sort_unstable();
        assert_eq!(grouped, all);
    }

    #[test]
    fn every_command_has_an_example() {
        for command in Line::command().get_subcommands() {
            let help = command.clone().render_help().to_string();
            assert!(help.contains("Example: "), "{}", command.get_name());
        }
    }

    #[test]
    fn help_for_an_unknown_command_says_what_may_have_been_meant() {
        let failure = explain(&mut Line::command(), &["gte".into()]).unwrap_err();
        assert!(failure.one_line(false).contains("'gte'"));
    }
}
