//! Reads the text of a configuration file: TOML, walked against the list of options.
//!
//! The parser recovers from errors of syntax, so that these and wrong values are reported together. Where a line is not
//! even TOML, nothing else is said about that line: what the parser made of it is a guess.
//!
//! The cost grows with the length of the text and of its longest line, whatever is wrong with it: a place is found by
//! its line, and of all that is wrong with the syntax of a line only the first is looked at.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue, Error};

use super::accept::Raw;
use super::excerpt::{Excerpt, Lines};
use super::kind::Fault;
use super::load::{Given, Reading};
use super::loaded::Origin;
use super::options::OPTIONS;
use super::problem::Problem;
use super::setting::{Notation, Setting, quote};
use super::suggest;

/// What the parser says of a text without quotes, and of a missing value.
const UNQUOTED: &str = "string values must be quoted";
/// What it says of a line that is only a key; it then overlooks the next line.
const NO_VALUE: &str = "key with no value";
/// What it says of a section's line without its bracket; it then takes the keys below for those of no section.
const UNCLOSED: &str = "unclosed table";
const DUPLICATE: &str = "duplicate key";

/// Each round uncovers lines overlooked in the one before, about half of what is left.
const MAX_ROUNDS: usize = 20;

pub(super) fn read_text(file: &Path, text: &str) -> Reading {
    let mut syntax = Vec::new();
    let mut readable = text.to_owned();
    let mut rounds_left = MAX_ROUNDS;
    loop {
        let (table, errors) = DeTable::parse_recoverable(&readable);
        if rounds_left > 0
            && let Some(next) = without_misleading_lines(&readable, &errors, &mut syntax)
        {
            drop(table);
            readable = next;
            rounds_left -= 1;
            continue;
        }
        let mut walk = Walk {
            file,
            text,
            lines: Lines::new(text),
            no_toml: BTreeMap::new(),
            unquoted: BTreeMap::new(),
            reading: Reading::default(),
        };
        for error in errors {
            let span = error.span().unwrap_or(text.len()..text.len());
            match text.get(span.clone()) {
                Some(word) if !word.is_empty() && error.message().starts_with(UNQUOTED) => {
                    walk.unquoted.insert(span.start, span);
                }
                word => syntax.push((span, syntax_fault(error.message(), word.unwrap_or("")))),
            }
        }
        walk.syntax(syntax);
        walk.root(table.get_ref());
        return walk.finish();
    }
}

/// The text with those wrong lines turned into spaces after which the parser misunderstood others; all else keeps its
/// place. `None` if there are none.
fn without_misleading_lines(text: &str, errors: &[Error], syntax: &mut Vec<(Range<usize>, Fault)>) -> Option<String> {
    let mut bytes = Vec::new();
    // What was blanked last, and what with the lines below: where one line has many errors, the first did it.
    let (mut blank, mut blank_below) = (0..0, 0..0);
    for error in errors {
        let no_value = error.message().starts_with(NO_VALUE);
        if !no_value && !error.message().starts_with(UNCLOSED) {
            continue;
        }
        let Some(span) = error.span().filter(|span| span.start <= text.len()) else {
            continue;
        };
        if bytes.is_empty() {
            bytes.extend_from_slice(text.as_bytes());
        }
        if no_value {
            if !blank.contains(&span.start) {
                blank = blank_line(&mut bytes, span.start);
            }
        } else if !blank_below.contains(&span.start) {
            // The keys below belong to it: nothing can be said about them.
            blank_below = blank_line(&mut bytes, span.start);
            while blank_below.end < bytes.len() && !begins_section(&bytes[blank_below.end..]) {
                blank_below.end = blank_line(&mut bytes, blank_below.end).end;
            }
            blank = blank_below.clone();
        }
        syntax.push((span, syntax_fault(error.message(), "")));
    }
    // Whole lines were replaced, hence whole characters.
    String::from_utf8(bytes).ok().filter(|next| !next.is_empty() && next != text)
}

/// Blanks the line of an offset; gives the line with its newline.
fn blank_line(bytes: &mut [u8], offset: usize) -> Range<usize> {
    let newline = |byte: &u8| *byte == b'\n';
    let start = bytes[..offset].iter().rposition(newline).map_or(0, |newline| newline + 1);
    let end = bytes[offset..].iter().position(newline).map_or(bytes.len(), |newline| offset + newline);
    bytes[start..end].fill(b' ');
    start..(end + 1).min(bytes.len())
}

/// Whether the first line is one of a section.
fn begins_section(bytes: &[u8]) -> bool {
    let mut line = bytes.iter().take_while(|byte| **byte != b'\n');
    line.find(|byte| !byte.is_ascii_whitespace()) == Some(&b'[')
}

fn syntax_fault(message: &str, word: &str) -> Fault {
    if message.starts_with(UNQUOTED) {
        return Fault { message: "a value is missing after `=`".to_owned(), hint: None };
    }
    if message == DUPLICATE {
        return Fault {
            message: format!("{} stands here for the second time", quote(word)),
            hint: Some("keep one of them, with all its keys below it if it is a section".to_owned()),
        };
    }
    let hint = message.starts_with(NO_VALUE).then(|| "write `KEY = VALUE`".to_owned());
    Fault { message: format!("this is not TOML: {message}"), hint }
}

struct Walk<'t> {
    file: &'t Path,
    text: &'t str,
    lines: Lines<'t>,
    /// The first error of syntax of each line that has one; the others mostly follow from it.
    no_toml: BTreeMap<u32, (Range<usize>, Fault)>,
    /// Texts without quotes, by their start, until a better word is found for them than that.
    unquoted: BTreeMap<usize, Range<usize>>,
    reading: Reading,
}

impl Walk<'_> {
    fn problem(&mut self, span: Range<usize>, message: String, hint: Option<String>) {
        if self.no_toml.contains_key(&self.lines.number(span.start)) {
            return;
        }
        let excerpt = self.lines.excerpt(span);
        self.reading.problems.push(Problem::in_file(self.file, excerpt, Fault { message, hint }));
    }

    fn syntax(&mut self, errors: Vec<(Range<usize>, Fault)>) {
        for (span, fault) in errors {
            let line = self.lines.number(span.start);
            match self.no_toml.get(&line) {
                Some((first, _)) if first.start <= span.start => {}
                _ => drop(self.no_toml.insert(line, (span, fault))),
            }
        }
    }

    fn root(&mut self, table: &DeTable<'_>) {
        for (name, value) in table {
            let section = sections().find(|section| section == name.get_ref());
            match (section, value.get_ref()) {
                (Some(section), DeValue::Table(table)) => self.section(section, table),
                (Some(section), _) => self.problem(
                    name.span(),
                    format!("{} is a section", quote(section)),
                    Some(format!("write [{section}] on a line of its own, and its keys below it")),
                ),
                (None, DeValue::Table(table)) => self.unknown_section(name, table),
                (None, _) => self.outside(name),
            }
        }
    }

    fn unknown_section(&mut self, name: &Spanned<Cow<'_, str>>, table: &DeTable<'_>) {
        let closest = suggest::closest(name.get_ref(), sections());
        let hint = match closest {
            Some(section) => format!("did you mean [{section}]?"),
            None => format!("the sections are {}", list(sections().map(|section| format!("[{section}]")))),
        };
        self.problem(name.span(), format!("there is no section {}", quote(name.get_ref())), Some(hint));
        // What stands in it is checked as if it were the one that was meant.
        if let Some(section) = closest {
            self.section(section, table);
        }
    }

    /// A value before the first section.
    fn outside(&mut self, name: &Spanned<Cow<'_, str>>) {
        let mut owners = OPTIONS.iter().filter(|option| option.key == name.get_ref());
        let hint = match owners.next() {
            Some(option) => format!("it belongs below a line [{}]", option.section),
            None => format!("the sections are {}", list(sections().map(|section| format!("[{section}]")))),
        };
        self.problem(name.span(), format!("the key {} stands in no section", quote(name.get_ref())), Some(hint));
    }

    fn section(&mut self, section: &'static str, table: &DeTable<'_>) {
        for (key, value) in table {
            let known = |option: &super::ConfigOption| option.section == section && option.key == key.get_ref();
            match OPTIONS.iter().position(known) {
                Some(index) => self.value(index, key, value),
                None => self.unknown_key(section, key),
            }
        }
    }

    fn unknown_key(&mut self, section: &str, key: &Spanned<Cow<'_, str>>) {
        let keys = || OPTIONS.iter().filter(|option| option.section == section).map(|option| option.key);
        let elsewhere = OPTIONS.iter().find(|option| option.key == key.get_ref());
        let hint = match (suggest::closest(key.get_ref(), keys()), elsewhere) {
            (Some(closest), _) => format!("did you mean `{closest}`?"),
            (None, Some(option)) => format!("it belongs to [{}]", option.section),
            (None, None) => format!("the keys of [{section}] are {}", list(keys().map(|key| format!("`{key}`")))),
        };
        self.problem(key.span(), format!("there is no key {} in [{section}]", quote(key.get_ref())), Some(hint));
    }

    fn value(&mut self, index: usize, key: &Spanned<Cow<'_, str>>, value: &Spanned<DeValue<'_>>) {
        let option = &OPTIONS[index];
        let mut accepted = option.accept(raw(value.get_ref(), &self.text[value.span()]), Notation::Toml);
        if self.unquoted.remove(&value.span().start).is_some()
            && let Ok(setting) = &accepted
        {
            accepted = Err(Fault {
                message: format!("`{}` must have quotes around its value", option.name()),
                hint: Some(format!("write {}", setting.render(Notation::Toml))),
            });
        }
        match accepted {
            Ok(setting) => {
                let Excerpt { line, column, .. } = self.lines.excerpt(key.span());
                self.reading.given.push(Given {
                    index,
                    setting: self.resolve(setting),
                    origin: Origin::File { file: self.file.to_owned(), line, column },
                    excerpt: Some(self.lines.excerpt(value.span())),
                });
            }
            Err(Fault { message, hint }) => {
                self.reading.faulty.push(index);
                self.problem(value.span(), message, hint);
            }
        }
    }

    /// A relative path in a file is relative to the file.
    fn resolve(&self, setting: Setting) -> Setting {
        match (setting, self.file.parent()) {
            (Setting::Path(path), Some(parent)) => Setting::Path(parent.join(path)),
            (setting, _) => setting,
        }
    }

    /// Adds what is left of the texts without quotes, and the errors of syntax.
    fn finish(mut self) -> Reading {
        for span in std::mem::take(&mut self.unquoted).into_values() {
            let hint = self.text.get(span.clone()).map(|word| format!("write {}", quote(word)));
            self.problem(span, "a text must have quotes around it".to_owned(), hint);
        }
        let Self { file, lines, no_toml, mut reading, .. } = self;
        let problems = no_toml.into_values().map(|(span, fault)| Problem::in_file(file, lines.excerpt(span), fault));
        reading.problems.extend(problems);
        reading
    }
}

/// `written` is the value as it stands in the file.
fn raw<'a>(value: &'a DeValue<'_>, written: &'a str) -> Raw<'a> {
    match value {
        DeValue::String(text) => Raw::Text(text),
        DeValue::Integer(number) => Raw::Number(written, u64::from_str_radix(number.as_str(), number.radix()).ok()),
        DeValue::Float(_) => Raw::Number(written, None),
        DeValue::Boolean(true) => Raw::Other("true"),
        DeValue::Boolean(false) => Raw::Other("false"),
        DeValue::Datetime(_) => Raw::Other("a date"),
        DeValue::Array(_) => Raw::Other("a list"),
        DeValue::Table(_) => Raw::Other("a table"),
    }
}

/// The sections, each once, in their order.
fn sections() -> impl Iterator<Item = &'static str> {
    let mut last = "";
    OPTIONS.iter().map(|option| option.section).filter(move |section| std::mem::replace(&mut last, section) != *section)
}

fn list(names: impl Iterator<Item = String>) -> String {
    names.collect::<Vec<_>>().join(", ")
}
