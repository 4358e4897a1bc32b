//! Comma-separated values, as RFC 4180 says, of any bytes.
//!
//! ```text
//! key,value                    the header, in either order
//! user/1,"Ada, or ""A."""      a field in quotes may hold commas, quotes (doubled) and line breaks
//! key,value,expires_at_ms      with a third column: milliseconds since 1970, or empty
//! key_b64,value_b64            with these names a column is in standard base64 with padding
//! ```
//!
//! Lines end with LF or CR LF; an empty line is skipped. A quote inside an unquoted field is an ordinary byte. A quoted field
//! that is never closed is an error, not a field that reaches to the end of the file: what follows would be lost in it.

use super::Header;
use super::jsonl::from_base64;
use super::records::{Lines, Parsed, Record};
use crate::input::MAX_LINE;
use std::borrow::Cow;
use std::io;
use std::ops::ControlFlow;

/// Reads the rows of a file.
pub(crate) struct Csv {
    columns: Option<Columns>,
    row: Row,
}

impl Csv {
    /// A reader of a file with or without a header.
    pub(crate) fn new(header: Header) -> Self {
        let columns = match header {
            Header::Present => None,
            Header::Absent => Some(Columns::without_header()),
        };
        Csv { columns, row: Row::default() }
    }

    /// Calls `each` for every row after the header, with the line it begins on.
    pub(crate) fn for_each(
        mut self,
        lines: &mut Lines<'_>,
        mut each: impl FnMut(u64, Parsed<'_>) -> ControlFlow<()>,
    ) -> io::Result<()> {
        while lines.next()? {
            if lines.is_blank() {
                continue;
            }
            let line = lines.number;
            let whole = self.row.read(lines)?;
            let Some(columns) = &self.columns else {
                self.columns = Some(whole.ok().and_then(|()| Columns::of(&self.row)).ok_or_else(no_header)?);
                continue;
            };
            if each(line, whole.and_then(|()| columns.record(&self.row))).is_break() {
                break;
            }
        }
        Ok(())
    }
}

fn no_header() -> io::Error {
    let message = "the first line of a CSV file must be the header key,value; if the file has none, say --no-header";
    io::Error::new(io::ErrorKind::InvalidData, message)
}

/// The fields of one row, without their quotes.
#[derive(Default)]
struct Row {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Row {
    fn len(&self) -> usize {
        self.ends.len()
    }

    fn field(&self, at: usize) -> &[u8] {
        let start = if at == 0 { 0 } else { self.ends[at - 1] };
        &self.bytes[start..self.ends[at]]
    }

    fn fields(&self) -> impl Iterator<Item = &[u8]> {
        (0..self.len()).map(|at| self.field(at))
    }

    /// Takes the row that begins with the line at hand; a line break in quotes takes more lines. The inner error: why it is
    /// no row.
    fn read(&mut self, lines: &mut Lines<'_>) -> io::Result<Result<(), String>> {
        self.bytes.clear();
        self.ends.clear();
        let mut at = 0;
        loop {
            if lines.text.get(at) == Some(&b'"') {
                at += 1;
                if !self.quoted(lines, &mut at)? {
                    return Ok(Err("a quoted field is never closed".into()));
                }
                self.ends.push(self.bytes.len());
                match lines.text.get(at..) {
                    None | Some(b"" | b"\r") => return Ok(Ok(())),
                    Some([b',', ..]) => at += 1,
                    Some(_) => {
                        let number = self.ends.len();
                        return Ok(Err(format!("field {number}: a quote inside a quoted field must be doubled")));
                    }
                }
            } else {
                let rest = &lines.text[at..];
                let comma = rest.iter().position(|byte| *byte == b',');
                let field = match comma {
                    Some(length) => &rest[..length],
                    None => rest.strip_suffix(b"\r").unwrap_or(rest),
                };
                self.bytes.extend_from_slice(field);
                self.ends.push(self.bytes.len());
                match comma {
                    Some(length) => at += length + 1,
                    None => return Ok(Ok(())),
                }
            }
        }
    }

    /// Takes a field whose opening quote is before `at`, and goes behind its closing quote; false if there is none.
    fn quoted(&mut self, lines: &mut Lines<'_>, at: &mut usize) -> io::Result<bool> {
        loop {
            let rest = &lines.text[*at..];
            let Some(length) = rest.iter().position(|byte| *byte == b'"') else {
                self.bytes.extend_from_slice(rest);
                self.bytes.push(b'\n');
                if self.bytes.len() as u64 > MAX_LINE {
                    let message = format!("a row is longer than {MAX_LINE} bytes: is a quote never closed?");
                    return Err(io::Error::new(io::ErrorKind::InvalidData, message));
                }
                if !lines.next()? {
                    return Ok(false);
                }
                *at = 0;
                continue;
            };
            self.bytes.extend_from_slice(&rest[..length]);
            *at += length + 1;
            if lines.text.get(*at) != Some(&b'"') {
                return Ok(true);
            }
            self.bytes.push(b'"');
            *at += 1;
        }
    }
}

/// Where a field is and how it is written.
#[derive(Clone, Copy, Debug)]
struct Column {
    at: usize,
    base64: bool,
}

/// Which column holds what.
#[derive(Debug)]
struct Columns {
    key: Column,
    value: Column,
    expires: Option<usize>,
    /// How many fields a row has, at least and at most.
    fields: (usize, usize),
}

impl Columns {
    /// Key, value, and perhaps expiry.
    fn without_header() -> Self {
        let column = |at| Column { at, base64: false };
        Columns { key: column(0), value: column(1), expires: Some(2), fields: (2, 3) }
    }

    /// What a header says; `None`: it is none.
    fn of(header: &Row) -> Option<Self> {
        let position = |name: &[u8]| header.fields().position(|field| field.trim_ascii() == name);
        let column = |plain: &[u8], base64: &[u8]| match (position(plain), position(base64)) {
            (Some(at), None) => Some(Column { at, base64: false }),
            (None, Some(at)) => Some(Column { at, base64: true }),
            _ => None,
        };
        let key = column(b"key", b"key_b64")?;
        let value = column(b"value", b"value_b64")?;
        let expires = position(b"expires_at_ms");
        let all = 2 + usize::from(expires.is_some());
        (header.len() == all).then_some(Columns { key, value, expires, fields: (all, all) })
    }

    fn record<'l>(&self, row: &'l Row) -> Parsed<'l> {
        let (least, most) = self.fields;
        if row.len() < least || row.len() > most {
            let there = row.len();
            let wanted = if least == most { format!("{least}") } else { format!("{least} or {most}") };
            return Err(format!("it has {there} fields instead of {wanted}"));
        }
        let expires = self.expires.filter(|at| *at < row.len()).map(|at| row.field(at));
        Ok(Record {
            key: field("key", self.key, row)?,
            value: field("value", self.value, row)?,
            expires_at_ms: expires.filter(|field| !field.is_empty()).map(expiry).transpose()?,
        })
    }
}

fn field<'l>(name: &str, column: Column, row: &'l Row) -> Result<Cow<'l, [u8]>, String> {
    let field = row.field(column.at);
    if column.base64 { from_base64(name, field) } else { Ok(Cow::Borrowed(field)) }
}

/// Milliseconds since 1970.
pub(crate) fn expiry(field: &[u8]) -> Result<u64, String> {
    let number = std::str::from_utf8(field).ok().and_then(|text| text.parse().ok());
    number.ok_or_else(|| "`expires_at_ms` is no number of milliseconds since 1970".into())
}

#[cfg(test)]
mod tests {
    use crate::transfer::records::testing;
    use crate::transfer::{FileFormat, Header};

    fn check(file: &str, expected: &[(&[u8], &[u8])]) {
        testing::check(FileFormat::Csv, Header::Present, file, expected);
    }

    fn check_bad(file: &str, line: u64, why: &str) {
        testing::check_bad(FileFormat::Csv, Header::Present, file, line, why);
    }

    #[test]
    fn rows_are_read() {
        check("", &[]);
        check("key,value\n", &[]);
        check("key,value\na,\"1,\"\"2\"\"\"\r\n", &[(b"a", b"1,\"2\"")]);
        check("value,key,expires_at_ms\nv,k,\n", &[(b"k", b"v")]);
        check("key,value\n\"a\nb\",", &[(b"a\nb", b"")]);
        check("\u{feff}key,value\r\n\r\n\na,b\"c\n", &[(b"a", b"b\"c")]);
        check("key,value\n\"a\r\n\n\"\"b\",\"\"\r\nc,d", &[(b"a\r\n\n\"b", b""), (b"c", b"d")]);
        check("value_b64,key\nAP8=,k\n", &[(b"k", b"\x00\xff")]);
    }

    #[test]
    fn without_a_header_the_first_row_is_data() {
        let check = |file: &str, expected: &[(&[u8], &[u8])]| {
            testing::check(FileFormat::Csv, Header::Absent, file, expected);
        };
        check("", &[]);
        check("a,1\nb,2,\n", &[(b"a", b"1"), (b"b", b"2")]);
        check("key,value\n", &[(b"key", b"value")]);
        check("\u{feff}a,1\n", &[("\u{feff}a".as_bytes(), b"1")]);
        testing::check_bad(FileFormat::Csv, Header::Absent, "a\n", 1, "1 fields instead of 2 or 3");
        testing::check_bad(FileFormat::Csv, Header::Absent, "a,1,2,3\n", 1, "4 fields");
    }

    #[test]
    fn bad_rows_are_named() {
        check_bad("key,value\na,1\nb\nc,2\n", 3, "1 fields instead of 2");
        check_bad("key,value\n\"a\nb\",1\nb,1,2\n", 4, "3 fields");
        check_bad("key,value,expires_at_ms\na,1,soon\n", 2, "expires_at_ms");
        check_bad("key,value\na,1\nb,\"2\nc,3\n", 3, "never closed");
        check_bad("key,value\n\"a\" ,1\nc,3\n", 2, "field 1");
        check_bad("key_b64,value\na,1\n", 2, "base64");
        for file in ["a,1\n", "key,key\n", "key,key_b64,value\n", "key,value,more\n", "\"key,value\n"] {
            assert!(testing::read(file.as_bytes(), FileFormat::Csv, Header::Present).is_err(), "{file}");
        }
    }
}
