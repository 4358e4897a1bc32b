//! Man pages: one for the program and one for each command. The common sections are `clap_mangen`'s; the examples of the help become
//! a section of their own, and the program's page has the exit codes.

use crate::failure::EXIT_CODES;
use clap_mangen::Man;
use std::fs;
use std::io::{self, Write};
use std::path::Path;

/// Writes the page of a command into `dir`, and those of the commands below it. The command must have been built.
pub(super) fn pages(dir: &Path, command: &clap::Command) -> io::Result<()> {
    let below = || command.get_subcommands().filter(|command| !command.is_hide_set());
    below().try_for_each(|command| pages(dir, command))?;
    let name = command.get_display_name().unwrap_or_else(|| command.get_name());
    let mut text = Vec::new();
    page(command, name, &mut text)?;
    fs::write(dir.join(format!("{name}.1")), text)
}

fn page(command: &clap::Command, name: &str, out: &mut Vec<u8>) -> io::Result<()> {
    let source = concat!("halodb ", env!("CARGO_PKG_VERSION"));
    let man = Man::new(command.clone()).source(source).manual("HaloDB");
    man.render_title(out)?;
    man.render_name_section(out)?;
    man.render_synopsis_section(out)?;
    man.render_description_section(out)?;
    let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    let Help { examples, rest } = Help::of(&help);
    paragraph(out, &rest)?;
    if command.get_arguments().any(|argument| !argument.is_hide_set()) {
        man.render_options_section(out)?;
    }
    let below: Vec<&clap::Command> = command.get_subcommands().filter(|command| !command.is_hide_set()).collect();
    if !below.is_empty() {
        writeln!(out, ".SH COMMANDS")?;
    }
    for command in below {
        let page = command.get_display_name().unwrap_or_else(|| command.get_name());
        let about = command.get_about().map(ToString::to_string).unwrap_or_default();
        writeln!(out, ".TP\n{}(1)\n{}", escape(page), escape(&about))?;
    }
    if !examples.is_empty() {
        writeln!(out, ".SH EXAMPLES\n.nf")?;
        // Examples are lines of the shell; outside of it the program's name stands before them.
        for example in examples {
            let program = if example.contains("halodb") { "" } else { "halodb " };
            writeln!(out, "{}", escape(&format!("{program}{example}")))?;
        }
        writeln!(out, ".fi")?;
    }
    if name == super::NAME {
        writeln!(out, ".SH EXIT STATUS")?;
        EXIT_CODES.iter().try_for_each(|(code, what)| writeln!(out, ".TP\n{}\n{}", *code as u8, escape(what)))
    } else {
        writeln!(out, ".SH SEE ALSO\nhalodb(1), which has the exit codes")
    }
}

fn paragraph(out: &mut Vec<u8>, lines: &[&str]) -> io::Result<()> {
    if lines.is_empty() {
        return Ok(());
    }
    writeln!(out, ".PP")?;
    lines.iter().try_for_each(|line| writeln!(out, "{}", escape(line)))
}

/// What stands behind the options in the help of a command.
#[derive(Debug, Default, PartialEq, Eq)]
struct Help<'h> {
    examples: Vec<&'h str>,
    rest: Vec<&'h str>,
}

impl<'h> Help<'h> {
    /// `Example: ` begins the examples; they go on in lines that begin with blanks.
    fn of(text: &'h str) -> Self {
        let mut help = Help::default();
        let mut inside = false;
        for line in text.lines() {
            let first = line.strip_prefix("Example: ");
            inside = first.is_some() || inside && line.starts_with(' ');
            if inside {
                help.examples.push(first.unwrap_or(line).trim());
            } else {
                help.rest.push(line);
            }
        }
        help
    }
}

/// Text that roff shows as it is.
fn escape(text: &str) -> String {
    let escaped = text.replace('\\', "\\e").replace('-', "\\-").replace('\'', "\\(aq");
    if escaped.starts_with('.') { format!("\\&{escaped}") } else { escaped }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn examples_are_told_from_what_follows_them() {
        let help = Help::of("Example: list user/\n         list --reverse\nOn a terminal it stops.\n");
        let expected = Help { examples: vec!["list user/", "list --reverse"], rest: vec!["On a terminal it stops."] };
        assert_eq!(help, expected);
        assert_eq!(Help::of(""), Help::default());
    }

    #[test]
    fn what_roff_would_obey_is_shown() {
        assert_eq!(escape(".x --y 'z' \\n"), "\\&.x \\-\\-y \\(aqz\\(aq \\en");
    }
}
