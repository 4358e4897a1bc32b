//! Records of a file: bytes to keys and values, one after the other, with the line of each.
//!
//! ```text
//! jsonl   {"key":"user/1","value":"Ada"}           UTF-8
//!         {"key_b64":"AP8=","value_b64":"/w=="}    any bytes, decided per field; standard base64 with padding
//!         "expires_at_ms":1700000000000            besides: when the key expires, in milliseconds since 1970
//!         an empty line is skipped
//! csv     key,value                                the header, in either order
//!         user/1,"Ada, or ""A."""                  RFC 4180; any bytes
//!         key,value,expires_at_ms                  with a third column: a number, or empty
//! ```
//!
//! Unknown fields are refused: what they say would be lost. This file neither opens files nor knows the database.

use super::FileFormat;
use crate::input::read_line;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use std::borrow::Cow;
use std::io::{self, BufRead};
use std::ops::ControlFlow;

/// A key and its value.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Record<'l> {
    pub(crate) key: Cow<'l, [u8]>,
    pub(crate) value: Cow<'l, [u8]>,
    /// When it expires, in milliseconds since 1970.
    pub(crate) expires_at_ms: Option<u64>,
}

/// Where a record stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// Line it begins on, from 1.
    pub(crate) line: u64,
    /// Bytes read up to its end.
    pub(crate) bytes: u64,
}

/// Calls `each` for every record, or for what stands where one should be, until it breaks.
///
/// # Errors
/// What the reader says; `InvalidData` for a CSV file without the right header and for compressed input.
pub(crate) fn for_each(
    mut reader: impl BufRead,
    format: FileFormat,
    each: impl FnMut(Place, Result<Record<'_>, String>) -> ControlFlow<()>,
) -> io::Result<()> {
    if reader.fill_buf()?.starts_with(&[0x1f, 0x8b]) {
        return Err(invalid("this is gzip: unpack it on the way, as in `zcat FILE | halodb import -`"));
    }
    match format {
        FileFormat::Jsonl => jsonl(reader, each),
        FileFormat::Csv => csv(reader, each),
    }
}

fn jsonl(
    mut reader: impl BufRead,
    mut each: impl FnMut(Place, Result<Record<'_>, String>) -> ControlFlow<()>,
) -> io::Result<()> {
    let mut place = Place { line: 0, bytes: 0 };
    let mut line = Vec::new();
    while read_line(&mut reader, &mut line)? {
        place.line += 1;
        place.bytes += line.len() as u64 + 1;
        let mut text = line.as_slice();
        if place.line == 1 {
            text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
        }
        if text.trim_ascii().is_empty() {
            continue;
        }
        if each(place, parse_json(text)).is_break() {
            break;
        }
    }
    Ok(())
}

/// A line of a jsonl file. Strings without escapes are borrowed from the line.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct JsonRecord<'l> {
    #[serde(borrow)]
    key: Option<Text<'l>>,
    #[serde(borrow)]
    key_b64: Option<Text<'l>>,
    #[serde(borrow)]
    value: Option<Text<'l>>,
    #[serde(borrow)]
    value_b64: Option<Text<'l>>,
    expires_at_ms: Option<u64>,
}

/// serde borrows a `Cow` only if it is not inside an `Option`; inside a struct of its own it does.
#[derive(Deserialize)]
struct Text<'l>(#[serde(borrow)] Cow<'l, str>);

fn parse_json(line: &[u8]) -> Result<Record<'_>, String> {
    let record: JsonRecord<'_> = serde_json::from_slice(line).map_err(|error| {
        // Each line is a document of its own for the parser: its line number says nothing.
        error.to_string().replace("at line 1 column", "at column")
    })?;
    Ok(Record {
        key: json_field("key", record.key, record.key_b64)?,
        value: json_field("value", record.value, record.value_b64)?,
        expires_at_ms: record.expires_at_ms,
    })
}

fn json_field<'l>(name: &str, text: Option<Text<'l>>, base64: Option<Text<'l>>) -> Result<Cow<'l, [u8]>, String> {
    match (text, base64) {
        (Some(Text(Cow::Borrowed(text))), None) => Ok(Cow::Borrowed(text.as_bytes())),
        (Some(Text(Cow::Owned(text))), None) => Ok(Cow::Owned(text.into_bytes())),
        (None, Some(Text(base64))) => STANDARD
            .decode(base64.as_bytes())
            .map(Cow::Owned)
            .map_err(|error| format!("`{name}_b64` is not standard base64: {error}")),
        (None, None) => Err(format!("it has neither `{name}` nor `{name}_b64`")),
        (Some(_), Some(_)) => Err(format!("it has both `{name}` and `{name}_b64`")),
    }
}

fn csv(
    reader: impl BufRead,
    mut each: impl FnMut(Place, Result<Record<'_>, String>) -> ControlFlow<()>,
) -> io::Result<()> {
    let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(reader);
    let mut row = csv::ByteRecord::new();
    if !reader.read_byte_record(&mut row).map_err(io_error)? {
        return Ok(());
    }
    let columns = CsvColumns::of(&row)?;
    loop {
        let read = reader.read_byte_record(&mut row).map_err(io_error)?;
        if !read {
            return Ok(());
        }
        let place = Place { line: row.position().map_or(0, csv::Position::line), bytes: reader.position().byte() };
        if each(place, columns.record(&row)).is_break() {
            return Ok(());
        }
    }
}

/// Which column holds what.
struct CsvColumns {
    all: usize,
    key: usize,
    value: usize,
    expires: Option<usize>,
}

impl CsvColumns {
    fn of(header: &csv::ByteRecord) -> io::Result<Self> {
        let position = |name: &str| header.iter().position(|field| field == name.as_bytes());
        let expires = position("expires_at_ms");
        let all = header.len();
        match (position("key"), position("value")) {
            (Some(key), Some(value)) if all == 2 + usize::from(expires.is_some()) => {
                Ok(CsvColumns { all, key, value, expires })
            }
            _ => Err(invalid("the first line of a CSV file must be the header key,value")),
        }
    }

    fn record<'l>(&self, row: &'l csv::ByteRecord) -> Result<Record<'l>, String> {
        if row.len() != self.all {
            let (there, wanted) = (row.len(), self.all);
            return Err(format!("it has {there} fields and the header {wanted}"));
        }
        let expires = self.expires.map(|column| &row[column]).filter(|field| !field.is_empty());
        let number = |field: &[u8]| std::str::from_utf8(field).ok()?.parse().ok();
        let expires_at_ms = match expires {
            None => None,
            Some(field) => Some(number(field).ok_or("`expires_at_ms` is no number of milliseconds since 1970")?),
        };
        Ok(Record { key: Cow::Borrowed(&row[self.key]), value: Cow::Borrowed(&row[self.value]), expires_at_ms })
    }
}

fn invalid(message: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, message)
}

fn io_error(error: csv::Error) -> io::Error {
    io::Error::from(error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::{Columns, Format, Rows, testing::written};
    use proptest::prelude::*;

    type Pairs = Vec<(Vec<u8>, Vec<u8>)>;

    fn read(file: &[u8], format: FileFormat) -> (Pairs, Vec<(u64, String)>) {
        let (mut good, mut bad) = (Vec::new(), Vec::new());
        for_each(file, format, |place, record| {
            match record {
                Ok(record) => good.push((record.key.into_owned(), record.value.into_owned())),
                Err(why) => bad.push((place.line, why)),
            }
            ControlFlow::Continue(())
        })
        .unwrap();
        (good, bad)
    }

    fn check(format: FileFormat, file: &str, expected: &[(&[u8], &[u8])]) {
        let (good, bad) = read(file.as_bytes(), format);
        let expected: Pairs = expected.iter().map(|(k, v)| (k.to_vec(), v.to_vec())).collect();
        assert_eq!((good, bad), (expected, Vec::new()), "{file}");
    }

    fn check_bad(format: FileFormat, file: &str, line: u64, why: &str) {
        let (_, bad) = read(file.as_bytes(), format);
        assert_eq!(bad.len(), 1, "{file}");
        assert!(bad[0].0 == line && bad[0].1.contains(why), "{file}: {bad:?}");
    }

    #[test]
    fn json_lines_are_read() {
        let json = FileFormat::Jsonl;
        check(json, "", &[]);
        check(json, r#"{"key":"k","value":"v"}"#, &[(b"k", b"v")]);
        check(json, "\u{feff}{\"value\":\"\",\"key\":\"k\"}\r\n\n", &[(b"k", b"")]);
        check(json, r#"{"key_b64":"AP8=","value":"\u0000\n"}"#, &[(b"\x00\xff", b"\0\n")]);
        check(json, r#"{"key":"k","value":"v","expires_at_ms":null}"#, &[(b"k", b"v")]);
    }

    #[test]
    fn bad_json_lines_are_named() {
        let good = "{\"key\":\"k\",\"value\":\"v\"}\n\n";
        for (line, why) in [
            ("{\"key\":\"k\"", "EOF"),
            ("[1]", "invalid type"),
            ("{\"key\":\"k\"}", "neither `value` nor `value_b64`"),
            ("{\"key\":\"k\",\"value\":5}", "invalid type"),
            ("{\"key\":\"k\",\"key_b64\":\"aw==\",\"value\":\"\"}", "both `key`"),
            ("{\"key\":\"k\",\"value_b64\":\"aw\"}", "base64"),
            ("{\"key\":\"k\",\"value\":\"v\",\"ttl\":5}", "unknown field `ttl`"),
            ("{\"key\":\"k\",\"value\":\"v\",\"key\":\"x\"}", "duplicate field"),
            ("{\"key\":\"k\",\"value\":\"v\",\"expires_at_ms\":-1}", "u64"),
            ("{\"key\":\"k\",\"value\":\"v\"} x", "trailing"),
        ] {
            check_bad(FileFormat::Jsonl, &format!("{good}{line}\n{good}"), 3, why);
        }
    }

    #[test]
    fn csv_rows_are_read() {
        let csv = FileFormat::Csv;
        check(csv, "", &[]);
        check(csv, "key,value\n", &[]);
        check(csv, "key,value\na,\"1,\"\"2\"\"\"\r\n", &[(b"a", b"1,\"2\"")]);
        check(csv, "value,key,expires_at_ms\nv,k,\n", &[(b"k", b"v")]);
        check(csv, "key,value\n\"a\nb\",", &[(b"a\nb", b"")]);
    }

    #[test]
    fn bad_csv_rows_are_named() {
        let csv = FileFormat::Csv;
        check_bad(csv, "key,value\na,1\nb\nc,2\n", 3, "1 fields");
        check_bad(csv, "key,value\n\"a\nb\",1\nb,1,2\n", 4, "3 fields");
        check_bad(csv, "key,value,expires_at_ms\na,1,soon\n", 2, "expires_at_ms");
        let each = |_: Place, _: Result<Record<'_>, String>| ControlFlow::Continue(());
        assert!(for_each(&b"a,1\n"[..], csv, each).is_err());
        assert!(for_each(&b"\x1f\x8b\x08"[..], FileFormat::Jsonl, each).is_err());
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(pairs: Vec<(Vec<u8>, Vec<u8>)>) {
            for (format, file_format) in [(Format::Jsonl, FileFormat::Jsonl), (Format::Csv, FileFormat::Csv)] {
                let file = written(false, |out| {
                    let mut rows = Rows::new(out, format, Columns::Pairs)?;
                    for (key, value) in &pairs {
                        rows.row(key, value)?;
                    }
                    rows.finish()
                });
                prop_assert_eq!(read(&file, file_format), (pairs.clone(), Vec::new()));
            }
        }

        #[test]
        fn no_file_makes_the_reader_panic(file: Vec<u8>) {
            for format in [FileFormat::Jsonl, FileFormat::Csv] {
                let _ = for_each(file.as_slice(), format, |_, _| ControlFlow::Continue(()));
            }
        }
    }
}
