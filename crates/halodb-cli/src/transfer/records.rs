//! Records of a file: bytes to keys and values, one after the other, with the line of each. The forms themselves are drawn
//! in `jsonl`, `csv` and `text`.
//!
//! Unknown fields are refused: what they say would be lost. This file neither opens files nor knows the database.

use super::csv::Csv;
use super::{FileFormat, Header, jsonl, text};
use crate::input::append_line;
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

/// What stands where a record should be: one, or why it is none.
pub(crate) type Parsed<'l> = Result<Record<'l>, String>;

/// Calls `each` for every record, or for what stands where one should be, with the line it begins on (from 1), until it
/// breaks. A byte order mark before the first line is passed over, but for a CSV file without a header, which is data from
/// its first byte on.
///
/// # Errors
/// What the reader says; `InvalidData` for a CSV file without the right header.
pub(crate) fn for_each(
    reader: &mut dyn BufRead,
    format: FileFormat,
    header: Header,
    mut each: impl FnMut(u64, Parsed<'_>) -> ControlFlow<()>,
) -> io::Result<()> {
    if header == Header::Present && reader.fill_buf()?.starts_with(BYTE_ORDER_MARK) {
        reader.consume(BYTE_ORDER_MARK.len());
    }
    let mut lines = Lines::new(reader);
    let parse = match format {
        FileFormat::Csv => return Csv::new(header).for_each(&mut lines, each),
        FileFormat::Jsonl => jsonl::parse,
        FileFormat::Text => text::parse,
    };
    while lines.next()? {
        // Blanks mean nothing in JSON, and are a key in plain text.
        if lines.is_blank() || (format == FileFormat::Jsonl && lines.text.trim_ascii().is_empty()) {
            continue;
        }
        if each(lines.number, parse(&lines.text)).is_break() {
            break;
        }
    }
    Ok(())
}

/// U+FEFF in UTF-8.
pub(crate) const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// The lines of a file, one at a time.
pub(crate) struct Lines<'r> {
    reader: &'r mut dyn BufRead,
    /// The line, without its newline.
    pub(crate) text: Vec<u8>,
    /// Its number, from 1.
    pub(crate) number: u64,
}

impl<'r> Lines<'r> {
    /// Lines of a reader.
    fn new(reader: &'r mut dyn BufRead) -> Self {
        Lines { reader, text: Vec::new(), number: 0 }
    }

    /// Whether there is nothing on the line.
    pub(crate) fn is_blank(&self) -> bool {
        matches!(self.text.as_slice(), b"" | b"\r")
    }

    /// Goes to the next line; false at the end.
    ///
    /// # Errors
    /// What the reader says; `InvalidData` for a line that is too long.
    pub(crate) fn next(&mut self) -> io::Result<bool> {
        self.text.clear();
        let found = append_line(&mut self.reader, &mut self.text)?;
        self.number += u64::from(found);
        Ok(found)
    }
}

#[cfg(test)]
pub(crate) mod testing {
    use super::*;

    /// Keys and values.
    pub(crate) type Pairs = Vec<(Vec<u8>, Vec<u8>)>;

    /// The records of a file, and the lines that are none.
    pub(crate) fn read(file: &[u8], format: FileFormat, header: Header) -> io::Result<(Pairs, Vec<(u64, String)>)> {
        let (mut good, mut bad) = (Vec::new(), Vec::new());
        let mut reader = file;
        for_each(&mut reader, format, header, |line, record| {
            match record {
                Ok(record) => good.push((record.key.into_owned(), record.value.into_owned())),
                Err(why) => bad.push((line, why)),
            }
            ControlFlow::Continue(())
        })?;
        Ok((good, bad))
    }

    /// Asserts what a file holds.
    #[track_caller]
    pub(crate) fn check(format: FileFormat, header: Header, file: &str, expected: &[(&[u8], &[u8])]) {
        let expected: Pairs = expected.iter().map(|(k, v)| (k.to_vec(), v.to_vec())).collect();
        assert_eq!(read(file.as_bytes(), format, header).unwrap(), (expected, Vec::new()), "{file}");
    }

    /// Asserts that one line is no record.
    #[track_caller]
    pub(crate) fn check_bad(format: FileFormat, header: Header, file: &str, line: u64, why: &str) {
        let (_, bad) = read(file.as_bytes(), format, header).unwrap();
        assert_eq!(bad.len(), 1, "{file}: {bad:?}");
        assert!(bad[0].0 == line && bad[0].1.contains(why), "{file}: {bad:?}");
    }
}

#[cfg(test)]
mod tests {
    use super::testing::read;
    use super::*;
    use crate::transfer::writer::{Encoding, Writer};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_written_is_read_back(
            pairs in prop::collection::vec((prop::collection::vec(awkward(), 1..6), prop::collection::vec(awkward(), 0..9)), 0..5),
        ) {
            let pairs: testing::Pairs = pairs.into_iter().map(|(key, value)| (key.concat(), value.concat())).collect();
            for format in FileFormat::ALL {
                for (header, encoding) in
                    [(Header::Present, Encoding::Bytes), (Header::Present, Encoding::Base64), (Header::Absent, Encoding::Bytes)]
                {
                    let writer = Writer { format, header, encoding, with_expiry: false };
                    let mut file = Vec::new();
                    writer.begin(&mut file);
                    pairs.iter().for_each(|(key, value)| writer.record(&mut file, key, value, None));
                    prop_assert_eq!(read(&file, format, header).unwrap(), (pairs.clone(), Vec::new()), "{:?}", writer);
                }
            }
        }

        #[test]
        fn no_file_makes_the_reader_panic(file: Vec<u8>) {
            for format in FileFormat::ALL {
                for header in [Header::Present, Header::Absent] {
                    let _ = read(&file, format, header);
                }
            }
        }
    }

    /// What has a meaning in one of the forms, or is no UTF-8.
    fn awkward() -> impl Strategy<Value = Vec<u8>> {
        let known: [&[u8]; 12] =
            [b"\"", b",", b"\t", b"\n", b"\r", b"\\", b"\\x41", b"\xef\xbb\xbf", b"\xff", b"\0", b" ", "é".as_bytes()];
        prop_oneof![prop::sample::select(known.map(<[u8]>::to_vec).to_vec()), prop::collection::vec(any::<u8>(), 1..4)]
    }
}
