//! Writes records in the form of a file; `records` reads them back. It fills memory: whoever calls it writes that out.

use super::{FileFormat, Header, text};
use crate::output::{json_record, push_base64, push_csv_field};
use std::io::Write as _;

/// How a CSV file holds bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    /// As they are.
    Bytes,
    /// In base64, in columns that say so.
    Base64,
}

/// The form of a file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Writer {
    pub(crate) format: FileFormat,
    /// Of CSV.
    pub(crate) header: Header,
    /// Of CSV.
    pub(crate) encoding: Encoding,
    /// CSV has a column for expiries. One that would stay empty is left out.
    pub(crate) with_expiry: bool,
}

impl Writer {
    /// Appends what comes before the first record.
    pub(crate) fn begin(&self, file: &mut Vec<u8>) {
        if self.format != FileFormat::Csv || self.header == Header::Absent {
            return;
        }
        file.extend_from_slice(match self.encoding {
            Encoding::Bytes => b"key,value",
            Encoding::Base64 => b"key_b64,value_b64",
        });
        if self.with_expiry {
            file.extend_from_slice(b",expires_at_ms");
        }
        file.push(b'\n');
    }

    /// Appends a record.
    pub(crate) fn record(&self, file: &mut Vec<u8>, key: &[u8], value: &[u8], expires_at_ms: Option<u64>) {
        match self.format {
            FileFormat::Jsonl => {
                json_record(file, key, Some(value), expires_at_ms);
                file.push(b'\n');
            }
            FileFormat::Text => text::push_record(file, key, value, expires_at_ms),
            FileFormat::Csv => self.row(file, key, value, expires_at_ms),
        }
    }

    fn row(&self, file: &mut Vec<u8>, key: &[u8], value: &[u8], expires_at_ms: Option<u64>) {
        let push = match self.encoding {
            Encoding::Bytes => push_csv_field,
            Encoding::Base64 => push_base64,
        };
        push(file, key);
        file.push(b',');
        push(file, value);
        if self.with_expiry {
            file.push(b',');
            // Writing to memory cannot fail.
            let _ = expires_at_ms.map(|ms| write!(file, "{ms}"));
        }
        file.push(b'\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(writer: Writer, expected: &str) {
        let mut file = Vec::new();
        writer.begin(&mut file);
        writer.record(&mut file, b"a", b"1,\"", Some(1700));
        writer.record(&mut file, b"b", b"\xff", None);
        assert_eq!(String::from_utf8_lossy(&file), expected, "{writer:?}");
    }

    #[test]
    fn records_in_every_form() {
        let jsonl =
            Writer { format: FileFormat::Jsonl, header: Header::Present, encoding: Encoding::Bytes, with_expiry: true };
        check(
            jsonl,
            "{\"key\":\"a\",\"value\":\"1,\\\"\",\"expires_at_ms\":1700}\n{\"key\":\"b\",\"value_b64\":\"/w==\"}\n",
        );
        check(Writer { format: FileFormat::Text, ..jsonl }, "a\t1,\"\t1700\nb\t\\xff\n");
        let csv = Writer { format: FileFormat::Csv, ..jsonl };
        check(csv, "key,value,expires_at_ms\na,\"1,\"\"\",1700\nb,\u{fffd},\n");
        check(Writer { header: Header::Absent, ..csv }, "a,\"1,\"\"\",1700\nb,\u{fffd},\n");
        let base64 = Writer { encoding: Encoding::Base64, with_expiry: false, ..csv };
        check(base64, "key_b64,value_b64\nYQ==,MSwi\nYg==,/w==\n");
    }
}
