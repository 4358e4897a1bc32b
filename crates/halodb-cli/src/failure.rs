//! Failures of the program: what they say, to whom, and with which exit code.
//!
//! | code | meaning |
//! |---|---|
//! | 0 | done |
//! | 1 | not found, or a condition did not hold; `doctor`: repairable |
//! | 2 | usage, invalid input, no database or keyspace there, bad import line |
//! | 3 | input or output failed, disk full, database poisoned |
//! | 4 | corruption, unknown format version, findings of `check` and `inspect`, `doctor` with lost data |
//! | 5 | locked by another process |
//! | 6 | conflict or busy |
//! | 8 | configuration |
//! | 130 | interrupted |
//!
//! Every failure becomes one [`Failure`]; nothing else in the program prints an error or chooses an exit code.

use clap::error::{ContextKind, ContextValue};
use halodb::ErrorKind;
use halodb::config::{ConfigErrors, Problem};
use serde_json::{Map, Value, json};
use std::io::{self, Write};
use std::path::Path;

/// Result of this program's functions.
pub(crate) type Result<T> = std::result::Result<T, Failure>;

/// Exit code of the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Code {
    Ok = 0,
    NotFound = 1,
    Usage = 2,
    Io = 3,
    Corrupt = 4,
    Locked = 5,
    Conflict = 6,
    Config = 8,
    Interrupted = 130,
}

/// What each code means, for the program's man page.
pub(crate) const EXIT_CODES: [(Code, &str); 9] = [
    (Code::Ok, "done; also when the reader of standard output has gone"),
    (Code::NotFound, "not found, or a condition or question said no; doctor: repairable"),
    (Code::Usage, "usage, invalid key or value, no database there, not a database, bad import line"),
    (Code::Io, "input or output failed, disk full, database poisoned by an earlier failure"),
    (Code::Corrupt, "corruption, unknown format version, findings of check and inspect, doctor with lost data"),
    (Code::Locked, "locked by another process"),
    (Code::Conflict, "conflict or busy"),
    (Code::Config, "configuration"),
    (Code::Interrupted, "interrupted"),
];

/// What the standard library says about a text that is no number, and what people are told.
const NO_NUMBERS: [(&str, &str); 4] = [
    ("invalid digit found in string", "a whole number is needed, without sign"),
    ("number too large to fit in target type", "the number is too large"),
    ("number too small to fit in target type", "the number is too small"),
    ("cannot parse integer from empty string", "a number is needed"),
];

/// Why a command did not do what it was asked to do.
#[derive(Debug)]
pub(crate) struct Failure {
    /// What the process exits with.
    pub(crate) code: Code,
    /// A word for programs.
    kind: &'static str,
    /// For people; several lines are possible.
    message: String,
    /// What to do next.
    hint: Option<String>,
    /// The process that has the database.
    holder: Option<u32>,
    /// Line of the pipe.
    line: Option<u64>,
    /// Single problems, for programs.
    problems: Vec<Value>,
    style: Style,
}

/// How a failure is shown to people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Style {
    /// `error: …`.
    Error,
    /// The same, and below the first line the place of the mistake.
    Excerpt,
    /// An answer rather than an error: `(not found)`.
    Answer,
    /// The same, and what a program is to read of it is on standard output already.
    Answered,
    /// The message is complete, prefix included.
    Verbatim,
    /// Everything was said already.
    Silent,
    /// Standard output was closed by its reader: no message, no failure.
    Quiet,
}

impl Failure {
    fn new(code: Code, kind: &'static str, message: impl Into<String>, style: Style) -> Self {
        Failure {
            code,
            kind,
            message: message.into(),
            hint: None,
            holder: None,
            line: None,
            problems: Vec::new(),
            style,
        }
    }

    /// The command or its arguments make no sense.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(Code::Usage, "usage", message, Style::Error)
    }

    /// A file that cannot be read or written.
    pub(crate) fn file(doing: &str, path: &Path, error: &io::Error) -> Self {
        let message = format!("cannot {doing} {}: {error}", path.display());
        Self::new(Code::Io, "io", message, Style::Error)
    }

    /// Standard input, output or the terminal failed.
    pub(crate) fn stream(doing: &str, error: &io::Error) -> Self {
        Self::new(Code::Io, "io", format!("cannot {doing}: {error}"), Style::Error)
    }

    /// Standard output failed; that its reader has gone is no failure.
    pub(crate) fn stdout(error: &io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Self::new(Code::Ok, "closed_output", "", Style::Quiet);
        }
        Self::stream("write to standard output", error)
    }

    /// The answer is "no": exit code 1 and a word in brackets.
    pub(crate) fn answer(kind: &'static str, message: &str) -> Self {
        Self::new(Code::NotFound, kind, message, Style::Answer)
    }

    /// The answer is "no", and a program has read more than that on standard output.
    pub(crate) fn answered(kind: &'static str, message: &str) -> Self {
        Self::new(Code::NotFound, kind, message, Style::Answered)
    }

    /// The answer is "no" and was given on standard output: exit code 1 and no message.
    pub(crate) fn silent_no() -> Self {
        Self::new(Code::NotFound, "no", "", Style::Silent)
    }

    /// There is no keyspace of this name.
    pub(crate) fn no_keyspace(name: &str) -> Self {
        Self::new(Code::Usage, "no_keyspace", format!("there is no keyspace `{name}`"), Style::Error)
    }

    /// Files are not what was written.
    pub(crate) fn corrupt(message: impl Into<String>) -> Self {
        Self::new(Code::Corrupt, "corrupt", message, Style::Error)
    }

    /// Ctrl-C.
    pub(crate) fn interrupted(message: impl Into<String>) -> Self {
        Self::new(Code::Interrupted, "interrupted", message, Style::Error)
    }

    /// Ctrl-C where it is the ordinary end: nothing more to say.
    pub(crate) fn ended() -> Self {
        Self::new(Code::Interrupted, "interrupted", "", Style::Silent)
    }

    /// What clap found wrong with the arguments.
    pub(crate) fn arguments(error: &clap::Error) -> Self {
        let text = error.render().to_string().replace("subcommand", "command");
        let text = NO_NUMBERS.iter().fold(text, |text, (said, meant)| text.replace(said, meant));
        let text = text.strip_prefix("error: ").unwrap_or(&text);
        if error.kind() == clap::error::ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
            // What is left of the help: how it is called, and the commands there are.
            let usage = text.find("Usage:").map_or(text, |from| &text[from..]);
            let usage = usage.split("\n\nOptions:").next().unwrap_or(usage);
            return Self::usage(format!("a command is missing\n\n{}", usage.trim_end()));
        }
        if error.kind() == clap::error::ErrorKind::InvalidSubcommand {
            // The usage of "any command" says nothing about the one that was meant.
            let meant = text.split("\n\nUsage:").next().unwrap_or(text);
            let hint = match error.get(ContextKind::InvalidSubcommand) {
                Some(ContextValue::String(name)) if name.chars().any(char::is_uppercase) => {
                    format!("commands are written in small letters: `{}`; `help` lists them", name.to_lowercase())
                }
                _ => "`help` lists the commands".to_owned(),
            };
            return Self::usage(meant.trim_end()).with_hint(hint);
        }
        Self::usage(text.trim_end())
    }

    /// A line of an import file that is no record.
    pub(crate) fn bad_record(line: u64, why: &str) -> Self {
        let message = format!("line {line} of the input is no record: {why}");
        Self::new(Code::Usage, "bad_record", message, Style::Error)
    }

    /// Says which lines of an import file could not be committed.
    pub(crate) fn on_lines(mut self, first: u64, last: u64) -> Self {
        self.message = format!("lines {first} to {last} of the input: {}", self.message);
        self
    }

    /// Says that what was committed before stays.
    pub(crate) fn after_commits(mut self, records: u64) -> Self {
        self.message = match records {
            0 => format!("{}; nothing is committed", self.message),
            1 => format!("{}; 1 record is committed and stays", self.message),
            _ => format!("{}; {records} records are committed and stay", self.message),
        };
        self
    }

    /// Shows the place of the mistake below the message.
    pub(crate) fn with_excerpt(mut self, excerpt: &str) -> Self {
        self.message = format!("{}\n{excerpt}", self.message);
        self.style = Style::Excerpt;
        self
    }

    /// Says what to do next.
    pub(crate) fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Says on which line of the pipe it happened.
    pub(crate) fn on_line(mut self, line: u64) -> Self {
        self.line = Some(line);
        self
    }

    /// Nothing is there where a database or a backup was looked for.
    pub(crate) fn is_missing(&self) -> bool {
        self.kind == "no_database"
    }

    /// Standard output is closed: leave quietly.
    pub(crate) fn is_closed_output(&self) -> bool {
        self.style == Style::Quiet
    }

    /// Whether standard output has its line already.
    pub(crate) fn is_answered(&self) -> bool {
        self.style == Style::Answered
    }

    /// One line for the answer on standard output.
    pub(crate) fn one_line(&self, as_json: bool) -> String {
        if as_json {
            return self.json();
        }
        let text = self.message.split('\n').map(str::trim);
        let text: Vec<&str> = text.take_while(|part| !part.is_empty()).collect();
        match self.style {
            Style::Answer | Style::Answered => text.join(" "),
            Style::Excerpt => format!("ERROR {}", text.first().unwrap_or(&"")),
            _ => format!("ERROR {}", text.join(" ")),
        }
    }

    /// Tells people or programs on standard error. That nobody listens there is no reason to fail.
    pub(crate) fn report(&self, as_json: bool) {
        if matches!(self.style, Style::Silent | Style::Quiet) {
            return;
        }
        let mut text = if as_json { self.json() } else { self.text() };
        text.push('\n');
        let _ = io::stderr().lock().write_all(text.as_bytes());
    }

    fn text(&self) -> String {
        let place = self.line.map(|n| format!("line {n}: ")).unwrap_or_default();
        let mut text = match self.style {
            Style::Error | Style::Excerpt => format!("error: {place}{}", self.message),
            _ => self.message.clone(),
        };
        if let Some(hint) = &self.hint {
            text.push_str("\nhint: ");
            text.push_str(hint);
        }
        text
    }

    fn json(&self) -> String {
        let mut error = Map::new();
        error.insert("kind".into(), json!(self.kind));
        error.insert("message".into(), json!(self.message));
        error.insert("exit_code".into(), json!(self.code as u8));
        let mut optional = |name: &str, value: Option<Value>| {
            if let Some(value) = value {
                error.insert(name.into(), value);
            }
        };
        optional("hint", self.hint.as_ref().map(|hint| json!(hint)));
        optional("holder_pid", self.holder.map(|pid| json!(pid)));
        optional("line", self.line.map(|line| json!(line)));
        if !self.problems.is_empty() {
            error.insert("problems".into(), json!(self.problems));
        }
        json!({ "error": error }).to_string()
    }
}

impl From<halodb::Error> for Failure {
    fn from(error: halodb::Error) -> Self {
        let (code, kind) = classify(error.kind());
        let mut failure = Self::new(code, kind, chain(&error), Style::Error);
        failure.hint = error.hint();
        failure.holder = error.holder();
        failure
    }
}

impl From<ConfigErrors> for Failure {
    /// Each problem begins with its own `FILE:LINE:COLUMN: `, so nothing is put before it.
    fn from(errors: ConfigErrors) -> Self {
        let mut failure = Self::new(Code::Config, "config", errors.to_string().trim_end(), Style::Verbatim);
        failure.problems = errors.iter().map(problem).collect();
        failure
    }
}

fn problem(problem: &Problem) -> Value {
    json!({
        "place": problem.place().to_string(),
        "line": problem.line(),
        "column": problem.column(),
        "message": problem.message(),
        "hint": problem.hint(),
    })
}

/// The exit code and the word for programs of each kind of engine error.
fn classify(kind: ErrorKind) -> (Code, &'static str) {
    match kind {
        ErrorKind::InvalidInput => (Code::Usage, "invalid_input"),
        ErrorKind::NotADatabase => (Code::Usage, "not_a_database"),
        ErrorKind::NotFound => (Code::Usage, "no_database"),
        ErrorKind::NoKeyspace => (Code::Usage, "no_keyspace"),
        ErrorKind::Corrupt => (Code::Corrupt, "corrupt"),
        ErrorKind::ManifestMissing => (Code::Corrupt, "manifest_missing"),
        ErrorKind::Version => (Code::Corrupt, "version"),
        ErrorKind::Lost => (Code::Corrupt, "lost"),
        ErrorKind::Io => (Code::Io, "io"),
        ErrorKind::Full => (Code::Io, "full"),
        ErrorKind::Poisoned => (Code::Io, "poisoned"),
        ErrorKind::Closed => (Code::Io, "closed"),
        ErrorKind::Clock => (Code::Io, "clock"),
        ErrorKind::Forked => (Code::Usage, "forked"),
        ErrorKind::Locked => (Code::Locked, "locked"),
        ErrorKind::Conflict => (Code::Conflict, "conflict"),
        ErrorKind::Busy => (Code::Conflict, "busy"),
        ErrorKind::TooOld => (Code::Usage, "too_old"),
        ErrorKind::Config => (Code::Config, "config"),
        ErrorKind::Cancelled => (Code::Interrupted, "interrupted"),
        _ => (Code::Io, "other"),
    }
}

/// The message and its causes, without saying anything twice.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_closed_output_is_no_failure() {
        let failure = Failure::stdout(&io::Error::from(io::ErrorKind::BrokenPipe));
        assert_eq!(failure.code, Code::Ok);
        assert!(failure.is_closed_output());
        let failure = Failure::stdout(&io::Error::from(io::ErrorKind::StorageFull));
        assert_eq!(failure.code, Code::Io);
    }

    #[test]
    fn the_one_line_answer_is_one_line() {
        let failure = Failure::usage("first\n  second\n\nUsage: put").on_line(3);
        assert_eq!(failure.one_line(false), "ERROR first second");
        assert!(!failure.one_line(true).contains('\n'));
        assert_eq!(Failure::answer("exists", "(exists)").one_line(false), "(exists)");
    }

    /// The codes of the table in the manual, with what it says about each.
    fn manual() -> Vec<(u8, String)> {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/cli.md");
        let text = std::fs::read_to_string(path).expect("the manual");
        let (_, table) = text.split_once("## Exit codes").expect("its table");
        let rows = table.lines().filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |")?.split_once(" | "));
        rows.filter_map(|(code, meaning)| Some((code.parse().ok()?, meaning.to_owned()))).collect()
    }

    #[test]
    fn the_manual_lists_these_codes_and_one_that_is_kept_for_later() {
        let mut codes: Vec<u8> = EXIT_CODES.iter().map(|(code, _)| *code as u8).collect();
        codes.insert(codes.len() - 2, 7);
        let manual = manual();
        assert_eq!(manual.iter().map(|(code, _)| *code).collect::<Vec<_>>(), codes);
        assert!(manual.iter().any(|(code, meaning)| *code == 7 && meaning.starts_with("not used")), "{manual:?}");
    }

    #[test]
    fn a_conflict_and_a_database_that_is_busy_are_code_6() {
        let dir = tempfile::tempdir().expect("a directory");
        let small =
            halodb::Db::builder(dir.path().join("data")).memtable(64 << 10).durability(halodb::Durability::Memory);
        let db = small.open().expect("it opens");
        db.put("k", "1").expect("written");
        let mut late = db.begin().expect("begun");
        late.get("k").and_then(|_| late.put("other", "")).expect("read and written");
        db.put("k", "2").expect("written");
        let conflict = Failure::from(late.commit().expect_err("somebody else wrote it"));
        assert_eq!((conflict.code, conflict.kind), (Code::Conflict, "conflict"));
        assert!(conflict.text().contains("nothing of it was done\nhint: "), "{}", conflict.text());

        let mut held = Vec::new();
        let busy = loop {
            assert!(held.len() < 1000, "never busy");
            for i in 0..32u8 {
                db.put([i], [0; 1000]).expect("written");
            }
            let snapshot = db.snapshot();
            match snapshot.get("k") {
                Ok(_) => held.push(snapshot),
                Err(error) => break Failure::from(error),
            }
        };
        assert_eq!((busy.code, busy.kind), (Code::Conflict, "busy"));
        let json: Value = serde_json::from_str(&busy.json()).expect("JSON");
        assert!(json["error"]["exit_code"] == 6 && json["error"]["hint"].is_string(), "{json}");
    }

    #[test]
    fn people_get_line_and_hint_and_programs_get_json() {
        let failure = Failure::usage("bad").with_hint("do better").on_line(7);
        assert_eq!(failure.text(), "error: line 7: bad\nhint: do better");
        let json: Value = serde_json::from_str(&failure.json()).unwrap();
        assert_eq!(json["error"]["exit_code"], 2);
        assert_eq!(json["error"]["line"], 7);
        assert_eq!(json["error"]["kind"], "usage");
    }
}
