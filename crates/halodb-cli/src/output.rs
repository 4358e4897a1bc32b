//! Standard output and the forms results take on it.
//!
//! | format | keys and values | one value (`get`) | tables (`stats`) |
//! |---|---|---|---|
//! | text | `KEY TAB VALUE`; unprintable bytes as `\xNN` on a terminal, raw elsewhere | the value | aligned |
//! | json | one array of objects | one object | one object |
//! | jsonl | one object a line | one object | one object |
//! | csv | header `key,value`, quoted as RFC 4180 says | header and one row | name and value |
//! | hex, base64 | `KEY TAB VALUE`, both encoded | the value, encoded | as text |
//!
//! Numbers (`len`, `count`, `delete`) are one bare decimal number in every format.

mod bars;
mod printable;
mod record;
mod rows;
mod working;

pub(crate) use bars::{bar, sparkline};
pub(crate) use printable::{grouped, printable};
pub(crate) use record::{base64_text, hex, json_record, push_base64, push_csv_field};
pub(crate) use rows::{Columns, Rows};
pub(crate) use working::Working;

use crate::failure::{Failure, Result};
use std::fs::File;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

/// Form of results. The variants have no documentation of their own, so that help lists them in one line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    #[default]
    Text,
    Json,
    Jsonl,
    Csv,
    Hex,
    Base64,
}

impl Format {
    /// Errors and answers are read by a program that reads JSON.
    pub(crate) fn is_json(self) -> bool {
        matches!(self, Format::Json | Format::Jsonl)
    }
}

/// Standard output, or a file in its place, buffered until [`Out::flush`].
pub(crate) struct Out {
    writer: BufWriter<Box<dyn Write>>,
    /// It is a terminal: people read it.
    pub(crate) terminal: bool,
    /// The file, if it is one: errors name it.
    path: Option<PathBuf>,
}

impl Out {
    /// The process's standard output.
    pub(crate) fn stdout() -> Result<Self> {
        let stdout = io::stdout();
        // A descriptor of our own, because std's would flush at every newline.
        let file = stdout.as_fd().try_clone_to_owned();
        let file = File::from(file.map_err(|e| Failure::stdout(&e))?);
        Ok(Self::new(Box::new(file), stdout.is_terminal()))
    }

    fn new(writer: Box<dyn Write>, terminal: bool) -> Self {
        let writer = BufWriter::with_capacity(64 << 10, writer);
        Out { writer, terminal, path: None }
    }

    /// A file, or what packs one.
    pub(crate) fn file(file: impl Write + 'static, path: &Path) -> Self {
        let mut out = Self::new(Box::new(file), false);
        out.path = Some(path.to_path_buf());
        out
    }

    /// Writes bytes as they are.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> Result<()> {
        let written = self.writer.write_all(bytes);
        written.map_err(|e| self.failure(&e))
    }

    /// Writes text and a newline.
    pub(crate) fn line(&mut self, text: impl AsRef<[u8]>) -> Result<()> {
        self.bytes(text.as_ref())?;
        self.bytes(b"\n")
    }

    /// Makes everything written so far visible to the reader.
    pub(crate) fn flush(&mut self) -> Result<()> {
        let flushed = self.writer.flush();
        flushed.map_err(|e| self.failure(&e))
    }

    /// Forgets what could not be written, so that dropping does not try again.
    pub(crate) fn abandon(self) {
        let _ = self.writer.into_parts();
    }

    fn failure(&self, error: &io::Error) -> Failure {
        match &self.path {
            Some(path) => Failure::file("write", path, error),
            None => Failure::stdout(error),
        }
    }

    /// Writes one value in a format.
    pub(crate) fn value(&mut self, key: &[u8], value: &[u8], format: Format) -> Result<()> {
        match format {
            Format::Text if self.terminal => self.line(printable(value)),
            Format::Text => self.line(value),
            Format::Hex => self.line(hex(value)),
            Format::Base64 => self.line(base64_text(value)),
            Format::Json | Format::Jsonl => {
                let mut line = Vec::new();
                json_record(&mut line, key, Some(value), None);
                self.line(line)
            }
            Format::Csv => {
                let mut rows = Rows::new(self, format, Columns::Pairs)?;
                rows.row(key, value)?;
                rows.finish()
            }
        }
    }
}

#[cfg(test)]
pub(crate) mod testing {
    use super::*;
    use std::sync::{Arc, Mutex};

    /// Collects what is written.
    #[derive(Clone, Default)]
    pub(crate) struct Sink(Arc<Mutex<Vec<u8>>>);

    impl Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Runs `write` on an output and returns what arrived.
    pub(crate) fn written(terminal: bool, write: impl FnOnce(&mut Out) -> Result<()>) -> Vec<u8> {
        let sink = Sink::default();
        let mut out = Out::new(Box::new(sink.clone()), terminal);
        write(&mut out).unwrap();
        out.flush().unwrap();
        let bytes = sink.0.lock().unwrap();
        bytes.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(terminal: bool, value: &[u8], format: Format, expected: &str) {
        let written = testing::written(terminal, |out| out.value(b"k", value, format));
        assert_eq!(String::from_utf8_lossy(&written), expected, "{format:?}");
    }

    #[test]
    fn one_value_in_every_format() {
        check(false, b"a\tb", Format::Text, "a\tb\n");
        check(true, b"a\tb\xff", Format::Text, "a\\x09b\\xff\n");
        check(false, b"\x00\xff", Format::Hex, "00ff\n");
        check(false, b"\x00\xff", Format::Base64, "AP8=\n");
        check(false, b"v", Format::Json, "{\"key\":\"k\",\"value\":\"v\"}\n");
        check(false, b"\xff", Format::Jsonl, "{\"key\":\"k\",\"value_b64\":\"/w==\"}\n");
        check(false, b"a,\"b\"", Format::Csv, "key,value\nk,\"a,\"\"b\"\"\"\n");
        check(false, b"", Format::Text, "\n");
    }
}
