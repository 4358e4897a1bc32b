//! A value of any option, and how it is written.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use super::units::{render_duration, render_size};

/// The value of an option, whatever its type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Setting {
    Path(PathBuf),
    Integer(u32),
    Size(u64),
    Duration(Duration),
    Choice(&'static str),
}

/// Where a value is written: texts have quotes in a file and none in the environment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Notation {
    Toml,
    Bare,
}

impl Setting {
    pub(super) fn render(&self, notation: Notation) -> String {
        let text = match self {
            Self::Integer(number) => return number.to_string(),
            Self::Path(path) => path.to_string_lossy().into_owned(),
            Self::Size(bytes) => render_size(*bytes),
            Self::Duration(duration) => render_duration(*duration),
            Self::Choice(name) => (*name).to_owned(),
        };
        match notation {
            Notation::Toml => quote(&text),
            Notation::Bare => text,
        }
    }
}

/// As a TOML string. Also used to print what a user wrote: nothing in it can reach the terminal as a control character.
pub(super) fn quote(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            c if c.is_control() => write!(quoted, "\\u{:04X}", u32::from(c)).expect("a String takes everything"),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_escaped_the_way_toml_reads_them() {
        assert_eq!(quote("a\"b\\c\n\t\u{1b}[0m é"), r#""a\"b\\c\n\t\u001B[0m é""#);
    }
}
