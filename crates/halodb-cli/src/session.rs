//! What a command works on: the open database, standard input and output, the form of answers. The same for all three
//! fronts; what differs between them (prompts, limits) is asked from [`Front`].

use crate::args::{Command, Line, LineParser};
use crate::commands::{self, Flow};
use crate::failure::{Code, Failure, Result};
use crate::input::Stdin;
use crate::output::{Format, Out};
use crate::place::Place;
use halodb::{Db, Keyspace, Transaction};
use halodb_cli::words::{self, Word};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

/// Where commands come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Front {
    /// The program's arguments.
    OneShot,
    /// Lines of standard input, which is no terminal.
    Pipe,
    /// Lines typed on a terminal.
    Shell,
}

/// Everything a command may use.
pub(crate) struct Session {
    /// Where the database and its configuration are.
    pub(crate) place: Place,
    /// Where commands come from.
    pub(crate) front: Front,
    /// `--format` of the program, if given.
    pub(crate) format: Option<Format>,
    /// Standard input.
    pub(crate) stdin: Stdin,
    /// Standard output.
    pub(crate) out: Out,
    /// The transaction that is open.
    pub(crate) transaction: Option<Transaction>,
    db: Option<Db>,
    parser: Option<LineParser>,
    /// Name of the keyspace that commands are about; `None`: the default one.
    keyspace: Option<String>,
    /// The same for the command at hand, if it names one.
    at_hand: Option<String>,
}

impl Session {
    /// A session without an open database.
    pub(crate) fn new(place: Place, front: Front, format: Option<Format>, stdin: Stdin) -> Result<Self> {
        let (transaction, db, parser, keyspace, at_hand) = (None, None, None, None, None);
        Ok(Session { place, front, format, stdin, out: Out::stdout()?, transaction, db, parser, keyspace, at_hand })
    }

    /// From now on commands are about this keyspace.
    pub(crate) fn go_to(&mut self, keyspace: Option<String>) {
        self.keyspace = keyspace.filter(|name| name != Keyspace::DEFAULT);
    }

    /// Goes back to the default keyspace, if the session is in this one.
    pub(crate) fn leave(&mut self, keyspace: &str) {
        self.keyspace.take_if(|name| name == keyspace);
    }

    /// Name of the keyspace that commands are about; `None`: the default one.
    pub(crate) fn keyspace(&self) -> Option<&str> {
        self.at_hand.as_deref().or(self.keyspace.as_deref())
    }

    /// The keyspace that commands are about, for reading: it must be there.
    pub(crate) fn reading(&self) -> Result<Keyspace> {
        let db = self.db()?;
        match self.keyspace() {
            None => Ok(Keyspace::clone(&db)),
            Some(name) => db.find_keyspace(name)?.ok_or_else(|| {
                Failure::no_keyspace(name).with_hint("`keyspaces` lists those that are there; writes create one")
            }),
        }
    }

    /// The keyspace that commands are about, for writing: it is created if there is none.
    pub(crate) fn writing(&self) -> Result<Keyspace> {
        let db = self.db()?;
        match self.keyspace() {
            None => Ok(Keyspace::clone(&db)),
            Some(name) => Ok(db.keyspace(name)?),
        }
    }

    /// Opens a database that must be there.
    pub(crate) fn open_existing(&mut self) -> Result<()> {
        self.db = Some(self.place.open_existing()?);
        Ok(())
    }

    /// Opens the database, creating it if there is none.
    pub(crate) fn open_or_create(&mut self) -> Result<()> {
        self.db = Some(self.place.open_or_create()?);
        Ok(())
    }

    /// The open database.
    pub(crate) fn db(&self) -> Result<Db> {
        let closed = || Failure::usage("no database is open");
        self.db.clone().ok_or_else(closed)
    }

    /// Runs a line of the shell or the pipe.
    pub(crate) fn run_line(&mut self, line: &[u8]) -> Result<Flow> {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let words =
            words::split(line).map_err(|error| Failure::usage(error.message()).with_excerpt(&error.caret(line)))?;
        if words.first().is_none_or(is_comment) {
            return Ok(Flow::Continue);
        }
        let doubtful = doubtful(&words);
        let mut parsed = self.parse(words)?;
        mark_quoted_value(&mut parsed.command, &doubtful);
        let format = parsed.format.or(self.format);
        let explicit = match &parsed.command {
            // The form of a file is not that of the session's answers.
            Command::Import(_) | Command::Export(_) => parsed.format,
            _ => format,
        };
        self.at_hand = parsed.keyspace;
        let done = commands::run(self, &parsed.command, explicit);
        self.at_hand = None;
        done
    }

    /// Whether answers and errors are JSON.
    pub(crate) fn speaks_json(&self) -> bool {
        self.format.unwrap_or_default().is_json()
    }

    /// Writes out what is buffered and closes the database. The first thing that went wrong decides the exit code.
    pub(crate) fn close(mut self, result: Result<()>) -> Result<Code> {
        let as_json = self.speaks_json();
        let flushed = self.out.flush();
        self.out.abandon();
        if self.transaction.take().is_some() {
            eprintln!("(the open transaction was rolled back)");
        }
        // What could not be written once is not reported twice.
        let result = result.and(flushed);
        let closed = match self.db.take() {
            Some(db) => db.close().map_err(Failure::from),
            None => Ok(()),
        };
        let mut code = Code::Ok;
        for failure in [result, closed].into_iter().filter_map(Result::err) {
            failure.report(as_json);
            if code == Code::Ok {
                code = failure.code;
            }
        }
        Ok(code)
    }

    /// Takes the words, because a value may be large.
    fn parse(&mut self, words: Vec<Word>) -> Result<Line> {
        let arguments = words.into_iter().map(|word| OsString::from_vec(word.bytes));
        let parser = self.parser.get_or_insert_with(LineParser::new);
        parser.parse(arguments.collect()).map_err(|error| Failure::arguments(&error))
    }
}

/// The command that a line names, even if the rest of it is wrong.
pub(crate) fn command_name(line: &[u8]) -> Option<String> {
    let words = words::split(line).unwrap_or_else(|error| error.before);
    let mut words = words.into_iter().map(|word| word.bytes);
    loop {
        let word = words.next()?;
        if word == b"--format" || word == b"--keyspace" {
            words.next();
        } else if !word.starts_with(b"-") {
            return String::from_utf8(word).ok();
        }
    }
}

/// The bytes of an argument.
pub(crate) fn bytes(argument: &OsStr) -> &[u8] {
    argument.as_bytes()
}

fn is_comment(word: &Word) -> bool {
    !word.quoted && word.bytes.first() == Some(&b'#')
}

/// The words that would name a file or standard input if they were values.
fn doubtful(words: &[Word]) -> Vec<Word> {
    words.iter().filter(|word| word.bytes == b"-" || word.bytes.starts_with(b"@")).cloned().collect()
}

/// A quoted value is data: it names no file and not standard input. VALUE follows KEY, so of equal words it is the last.
fn mark_quoted_value(command: &mut Command, doubtful: &[Word]) {
    if let Command::Put(put) = command {
        let value = bytes(&put.value);
        let word = doubtful.iter().rev().find(|word| word.bytes == value);
        put.literal |= word.is_some_and(|word| word.quoted);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_is_known_even_if_the_line_is_wrong() {
        let name = |line: &str| command_name(line.as_bytes());
        assert_eq!(name("put k \"open").as_deref(), Some("put"));
        assert_eq!(name("--format json put k").as_deref(), Some("put"));
        assert_eq!(name("--keyspace get put k").as_deref(), Some("put"));
        assert_eq!(name("  'set' k").as_deref(), Some("set"));
        assert_eq!(name("\"open"), None);
        assert_eq!(name(""), None);
    }

    #[test]
    fn quoted_values_are_literal() {
        let check = |line: &str, expected: bool| {
            let words = words::split(line.as_bytes()).unwrap();
            let arguments = words.iter().map(|w| OsString::from_vec(w.bytes.clone()));
            let mut parsed = LineParser::new().parse(arguments.collect()).unwrap();
            mark_quoted_value(&mut parsed.command, &doubtful(&words));
            let Command::Put(put) = parsed.command else {
                panic!("put expected");
            };
            assert_eq!(put.literal, expected, "{line}");
        };
        check("put k @file", false);
        check("put k '@file'", true);
        check("put k \"-\" --if-absent", true);
        check("put '@x' @x", false);
        check("put @x '@x'", true);
        check("put k - --literal", true);
    }
}
