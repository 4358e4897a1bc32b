//! Many keys, or keys and values, written one after the other while they are read: nothing is collected.

use super::{Format, Out, base64_text, hex, json_record, printable, push_csv_field};
use crate::failure::Result;

/// What a row shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Columns {
    /// Only keys.
    Keys,
    /// Keys and values.
    Pairs,
}

/// Writes rows in one format. [`Rows::finish`] completes the form.
pub(crate) struct Rows<'o> {
    out: &'o mut Out,
    format: Format,
    columns: Columns,
    written: u64,
    buffer: Vec<u8>,
}

impl<'o> Rows<'o> {
    /// Begins the rows: bracket or header.
    pub(crate) fn new(out: &'o mut Out, format: Format, columns: Columns) -> Result<Self> {
        match (format, columns) {
            (Format::Json, _) => out.bytes(b"[")?,
            (Format::Csv, Columns::Keys) => out.line("key")?,
            (Format::Csv, Columns::Pairs) => out.line("key,value")?,
            _ => {}
        }
        Ok(Rows { out, format, columns, written: 0, buffer: Vec::new() })
    }

    /// Rows written so far.
    pub(crate) fn written(&self) -> u64 {
        self.written
    }

    /// Writes one row; the value is left out if only keys are shown.
    pub(crate) fn row(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        let value = (self.columns != Columns::Keys).then_some(value);
        self.buffer.clear();
        match self.format {
            Format::Text if self.out.terminal => self.fields(key, value, |b| printable(b).into_bytes()),
            Format::Text => self.fields(key, value, <[u8]>::to_vec),
            Format::Hex => self.fields(key, value, |b| hex(b).into_bytes()),
            Format::Base64 => self.fields(key, value, |b| base64_text(b).into_bytes()),
            Format::Csv => self.csv(key, value),
            Format::Jsonl => json_record(&mut self.buffer, key, value, None),
            Format::Json => {
                if self.written > 0 {
                    self.buffer.push(b',');
                }
                json_record(&mut self.buffer, key, value, None);
            }
        }
        if self.format != Format::Json {
            self.buffer.push(b'\n');
        }
        self.written += 1;
        self.out.bytes(&self.buffer)
    }

    /// Ends the rows: bracket.
    pub(crate) fn finish(self) -> Result<()> {
        if self.format == Format::Json {
            self.out.line("]")?;
        }
        Ok(())
    }

    fn fields(&mut self, key: &[u8], value: Option<&[u8]>, encode: impl Fn(&[u8]) -> Vec<u8>) {
        self.buffer.extend(encode(key));
        if let Some(value) = value {
            self.buffer.push(b'\t');
            self.buffer.extend(encode(value));
        }
    }

    fn csv(&mut self, key: &[u8], value: Option<&[u8]>) {
        push_csv_field(&mut self.buffer, key);
        if let Some(value) = value {
            self.buffer.push(b',');
            push_csv_field(&mut self.buffer, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::testing::written;

    fn check(format: Format, columns: Columns, expected: &str) {
        let bytes = written(false, |out| {
            let mut rows = Rows::new(out, format, columns)?;
            rows.row(b"a", b"1\n")?;
            rows.row(b"b,", b"")?;
            rows.finish()
        });
        assert_eq!(String::from_utf8_lossy(&bytes), expected, "{format:?}");
    }

    #[test]
    fn rows_in_every_format() {
        check(Format::Text, Columns::Pairs, "a\t1\n\nb,\t\n");
        check(Format::Text, Columns::Keys, "a\nb,\n");
        check(Format::Hex, Columns::Pairs, "61\t310a\n622c\t\n");
        check(Format::Base64, Columns::Keys, "YQ==\nYiw=\n");
        check(Format::Csv, Columns::Pairs, "key,value\na,\"1\n\"\n\"b,\",\n");
        check(Format::Csv, Columns::Keys, "key\na\n\"b,\"\n");
        check(Format::Json, Columns::Pairs, "[{\"key\":\"a\",\"value\":\"1\\n\"},{\"key\":\"b,\",\"value\":\"\"}]\n");
        check(Format::Jsonl, Columns::Keys, "{\"key\":\"a\"}\n{\"key\":\"b,\"}\n");
    }

    #[test]
    fn no_rows_are_an_empty_answer_of_the_right_form() {
        let none = |format| written(false, |out| Rows::new(out, format, Columns::Keys)?.finish());
        assert_eq!(none(Format::Json), b"[]\n");
        assert_eq!(none(Format::Text), b"");
        assert_eq!(none(Format::Csv), b"key\n");
    }
}
