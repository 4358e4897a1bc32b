//! The shell's own lines, which begin with a backslash: they change how the shell shows things and are no commands, so
//! neither pipe nor program arguments know them.
//!
//! | line | does |
//! |---|---|
//! | `\timing [on\|off]` | whether the time of each command is told |
//! | `\format [FORMAT]` | the form of answers and errors, as `--format` of the program |
//! | `\?` | this list |

use crate::failure::{Failure, Result};
use crate::output::Format;
use clap::ValueEnum;

/// Their names, for completion.
pub(super) const NAMES: [&str; 3] = ["\\format", "\\timing", "\\?"];

/// What a backslash line asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Switch {
    /// Time each command; `None`: the other way round.
    Timing(Option<bool>),
    /// The form of answers; `None`: only tell it.
    Format(Option<Format>),
    /// List the switches.
    Help,
}

impl Switch {
    /// Reads a line; `None`: it is no switch.
    pub(super) fn of(line: &str) -> Option<Result<Self>> {
        let line = line.trim();
        line.starts_with('\\').then(|| Self::parse(line))
    }

    fn parse(line: &str) -> Result<Self> {
        let mut words = line.split_whitespace();
        let (name, argument, more) = (words.next().unwrap_or_default(), words.next(), words.next());
        match (name, argument, more) {
            ("\\timing", None, _) => Ok(Switch::Timing(None)),
            ("\\timing", Some("on"), None) => Ok(Switch::Timing(Some(true))),
            ("\\timing", Some("off"), None) => Ok(Switch::Timing(Some(false))),
            ("\\timing", ..) => Err(wrong("\\timing takes on or off, or nothing to switch over")),
            ("\\format", None, _) => Ok(Switch::Format(None)),
            ("\\format", Some(word), None) => match Format::from_str(word, false) {
                Ok(format) => Ok(Switch::Format(Some(format))),
                Err(_) => Err(wrong(&format!("`{word}` is no format: there are {}", format_names().join(", ")))),
            },
            ("\\format", ..) => Err(wrong("\\format takes one format, or nothing to tell which one is in force")),
            ("\\?" | "\\help", None, _) => Ok(Switch::Help),
            _ => Err(wrong(&format!("`{name}` is no switch of the shell"))),
        }
    }
}

fn wrong(message: &str) -> Failure {
    Failure::usage(message).with_hint("`\\?` lists the switches, `help` the commands")
}

/// The words of `--format`.
pub(super) fn format_names() -> Vec<String> {
    let values = Format::value_variants().iter().filter_map(ValueEnum::to_possible_value);
    values.map(|value| value.get_name().to_owned()).collect()
}

/// The word of one format.
pub(super) fn format_name(format: Format) -> String {
    format.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
}

/// The list for people.
pub(super) fn help() -> String {
    let formats = format_names().join(", ");
    format!(
        "\\timing [on|off]  tell the time of each command, or switch over\n\
         \\format [FORMAT]  the form of answers ({formats}), or tell it\n\
         \\?                this list; `help` lists the commands"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &str, expected: Option<Switch>) {
        assert_eq!(Switch::of(line).map(std::result::Result::ok), Some(expected), "{line}");
    }

    #[test]
    fn switches_are_told_from_commands_and_from_mistakes() {
        check("\\timing", Some(Switch::Timing(None)));
        check(" \\timing on ", Some(Switch::Timing(Some(true))));
        check("\\timing off", Some(Switch::Timing(Some(false))));
        check("\\timing perhaps", None);
        check("\\timing on off", None);
        check("\\format", Some(Switch::Format(None)));
        check("\\format json", Some(Switch::Format(Some(Format::Json))));
        check("\\format xml", None);
        check("\\?", Some(Switch::Help));
        check("\\tming", None);
        assert!(Switch::of("get \\timing").is_none());
        assert!(Switch::of("").is_none());
    }

    #[test]
    fn every_switch_is_in_the_list() {
        assert!(NAMES.iter().all(|name| help().contains(name)));
    }
}
