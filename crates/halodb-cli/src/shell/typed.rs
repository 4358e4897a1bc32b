//! A line that is being typed: which word the cursor is at, and what that word would be for the command before it. What may
//! stand there is asked from the one definition of the commands, so a new command is completed without a word here.

use halodb_cli::words::{self, Problem};

/// A line that is being typed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unfinished {
    /// The words before the one at the cursor.
    before: Vec<String>,
    /// The word at the cursor, as far as it is typed.
    pub(super) word: Vec<u8>,
    /// Where it begins.
    pub(super) start: usize,
}

/// What the word at the cursor is.
#[derive(Debug)]
pub(super) enum Spot<'c> {
    /// The name of a command, of the whole program or under another one.
    Command(&'c clap::Command),
    /// An option of a command.
    Option(&'c clap::Command),
    /// An argument: the value of an option, or what stands at its place.
    Argument(&'c clap::Command, &'c clap::Arg),
    /// Nothing that is known.
    Nothing,
}

impl Unfinished {
    /// Looks at a line up to the cursor; `None` if its words cannot be told.
    pub(super) fn of(line: &str) -> Option<Self> {
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

    /// What the word at the cursor is, for the commands of `root`, which must be built.
    pub(super) fn spot<'c>(&self, root: &'c clap::Command) -> Spot<'c> {
        let Some(walk) = self.walk(root) else { return Spot::Nothing };
        if let Some(argument) = walk.open_option {
            return Spot::Argument(walk.command, argument);
        }
        if self.word.starts_with(b"-") && !walk.options_ended {
            return Spot::Option(walk.command);
        }
        if walk.command.has_subcommands() {
            return Spot::Command(walk.command);
        }
        positional(walk.command, walk.positionals).map_or(Spot::Nothing, |found| Spot::Argument(walk.command, found))
    }

    /// The arguments that the command still lacks, counting the word at the cursor as given if anything of it is typed.
    pub(super) fn lacking<'c>(&self, root: &'c clap::Command) -> Vec<&'c clap::Arg> {
        let mut all = self.before.clone();
        if !self.word.is_empty() {
            all.push(String::from_utf8_lossy(&self.word).into_owned());
        }
        let whole = Unfinished { before: all, word: Vec::new(), start: self.start };
        match whole.walk(root) {
            Some(walk) if walk.open_option.is_none() => walk.command.get_positionals().skip(walk.positionals).collect(),
            _ => Vec::new(),
        }
    }

    /// Goes through the words before the cursor; `None` if one of them is no command where one must be.
    fn walk<'c>(&self, root: &'c clap::Command) -> Option<Walk<'c>> {
        let mut walk = Walk { command: root, positionals: 0, open_option: None, options_ended: false };
        for word in &self.before {
            if walk.open_option.take().is_some() {
                continue;
            }
            match word.strip_prefix("--").filter(|_| !walk.options_ended) {
                Some("") => walk.options_ended = true,
                Some(name) => walk.open_option = option(walk.command, name).or_else(|| option(root, name)),
                None if walk.command.has_subcommands() => walk.command = walk.command.find_subcommand(word)?,
                None => walk.positionals += 1,
            }
        }
        Some(walk)
    }
}

/// How far the words before the cursor lead.
struct Walk<'c> {
    command: &'c clap::Command,
    positionals: usize,
    /// The option whose value comes next.
    open_option: Option<&'c clap::Arg>,
    options_ended: bool,
}

/// The option of this name, if a value follows it.
fn option<'c>(command: &'c clap::Command, name: &str) -> Option<&'c clap::Arg> {
    let mut arguments = command.get_arguments();
    arguments.find(|argument| argument.get_long() == Some(name) && argument.get_action().takes_values())
}

/// The argument at a place; the last one may take many.
fn positional(command: &clap::Command, at: usize) -> Option<&clap::Arg> {
    let many = |argument: &&clap::Arg| argument.get_num_args().is_some_and(|number| number.max_values() > 1);
    command.get_positionals().nth(at).or_else(|| command.get_positionals().last().filter(many))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::Line;
    use clap::CommandFactory;

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

    fn root() -> clap::Command {
        let mut root = Line::command();
        root.build();
        root
    }

    #[test]
    fn a_word_is_what_the_definition_says() {
        let root = root();
        let check = |line: &str, expected: &str| {
            let unfinished = Unfinished::of(line).expect(line);
            let spot = match unfinished.spot(&root) {
                Spot::Command(of) => format!("command of {}", of.get_name()),
                Spot::Option(of) => format!("option of {}", of.get_name()),
                Spot::Argument(of, argument) => format!("{} of {}", argument.get_id(), of.get_name()),
                Spot::Nothing => "nothing".into(),
            };
            assert_eq!(spot, expected, "{line}");
        };
        check("ge", "command of halodb");
        check("--format j", "format of halodb");
        check("--format json ge", "command of halodb");
        check("get ", "key of get");
        check("set k", "key of put");
        check("put k ", "value of put");
        check("put k v ", "nothing");
        check("delete a b c", "keys of delete");
        check("list a --li", "option of list");
        check("list --limit 5 ", "prefix of list");
        check("list --limit ", "limit of list");
        check("list --reverse ", "prefix of list");
        check("get k --keyspace ", "keyspace of get");
        check("get -- -", "key of get");
        check("config ", "command of config");
        check("config show --", "option of show");
        check("nonsense ", "nothing");
    }

    #[test]
    fn what_a_command_lacks_is_known() {
        let root = root();
        let check = |line: &str, expected: &[&str]| {
            let lacking = Unfinished::of(line).expect(line).lacking(&root);
            let ids: Vec<&str> = lacking.iter().map(|argument| argument.get_id().as_str()).collect();
            assert_eq!(ids, expected, "{line}");
        };
        check("put", &["key", "value"]);
        check("put ", &["key", "value"]);
        check("put k", &["value"]);
        check("put k --ttl", &[]);
        check("put --ttl 5m k ", &["value"]);
        check("put k v", &[]);
        check("pu", &[]);
        check("len", &[]);
    }
}
