//! Plain text: key, TAB, value, one record a line, as `cut`, `sort`, `awk` and a person with an editor understand it.
//!
//! ```text
//! user/1 TAB Ada                     every byte stands for itself, but these:
//! \\ \t \n \r \xNN                   backslash, tab, newline, carriage return, any byte
//! user/1 TAB Ada TAB 1700000000000   with a third field: when the key expires, in milliseconds since 1970
//! ```
//!
//! Written are escapes for those four, for other control characters and for bytes that are no UTF-8; so a written file is
//! UTF-8, and each line is one record. An empty line is skipped; CR LF ends a line too.

use super::csv::expiry;
use super::records::{BYTE_ORDER_MARK, Parsed, Record};
use std::borrow::Cow;
use std::io::Write as _;

/// A record, or why the line is none.
pub(crate) fn parse(line: &[u8]) -> Parsed<'_> {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let mut fields = line.split(|byte| *byte == b'\t');
    let (Some(key), Some(value)) = (fields.next(), fields.next()) else {
        return Err("it has no tab between key and value".into());
    };
    let expires_at_ms = fields.next().map(expiry).transpose()?;
    if fields.next().is_some() {
        return Err("it has more than three fields: a tab in a value is written \\t".into());
    }
    Ok(Record { key: unescape(key)?, value: unescape(value)?, expires_at_ms })
}

fn unescape(field: &[u8]) -> Result<Cow<'_, [u8]>, String> {
    let mut parts = field.split(|byte| *byte == b'\\');
    let Some(first) = parts.next().filter(|first| first.len() < field.len()) else {
        return Ok(Cow::Borrowed(field));
    };
    let mut bytes = Vec::with_capacity(field.len());
    bytes.extend_from_slice(first);
    while let Some(part) = parts.next() {
        let rest = match part {
            // Nothing stands between this backslash and the next one, which it escapes.
            [] => {
                bytes.push(b'\\');
                parts.next().ok_or("it ends with a single backslash, which is written \\\\")?
            }
            [b't', rest @ ..] => push(&mut bytes, b'\t', rest),
            [b'n', rest @ ..] => push(&mut bytes, b'\n', rest),
            [b'r', rest @ ..] => push(&mut bytes, b'\r', rest),
            [b'x', high, low, rest @ ..] => match (digit(*high), digit(*low)) {
                (Some(high), Some(low)) => push(&mut bytes, high * 16 + low, rest),
                _ => return Err("\\x wants two hexadecimal digits".into()),
            },
            [b'x', ..] => return Err("\\x wants two hexadecimal digits".into()),
            [other, ..] => {
                let other = char::from(*other).escape_default();
                return Err(format!("\\{other} is no escape: there are \\\\ \\t \\n \\r \\xNN"));
            }
        };
        bytes.extend_from_slice(rest);
    }
    Ok(Cow::Owned(bytes))
}

fn push<'r>(bytes: &mut Vec<u8>, byte: u8, rest: &'r [u8]) -> &'r [u8] {
    bytes.push(byte);
    rest
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).map(|digit| digit as u8)
}

/// Appends a line.
pub(crate) fn push_record(file: &mut Vec<u8>, key: &[u8], value: &[u8], expires_at_ms: Option<u64>) {
    // At the beginning of a file it would be taken for a byte order mark.
    let key = match key.strip_prefix(BYTE_ORDER_MARK) {
        Some(rest) => {
            push_hex(file, BYTE_ORDER_MARK);
            rest
        }
        None => key,
    };
    push_field(file, key);
    file.push(b'\t');
    push_field(file, value);
    if let Some(ms) = expires_at_ms {
        // Writing to memory cannot fail.
        let _ = write!(file, "\t{ms}");
    }
    file.push(b'\n');
}

fn push_field(file: &mut Vec<u8>, field: &[u8]) {
    for chunk in field.utf8_chunks() {
        let mut rest = chunk.valid().as_bytes();
        while let Some(length) = rest.iter().position(|byte| byte.is_ascii_control() || *byte == b'\\') {
            file.extend_from_slice(&rest[..length]);
            match rest[length] {
                b'\\' => file.extend_from_slice(b"\\\\"),
                b'\t' => file.extend_from_slice(b"\\t"),
                b'\n' => file.extend_from_slice(b"\\n"),
                b'\r' => file.extend_from_slice(b"\\r"),
                other => push_hex(file, &[other]),
            }
            rest = &rest[length + 1..];
        }
        file.extend_from_slice(rest);
        push_hex(file, chunk.invalid());
    }
}

fn push_hex(file: &mut Vec<u8>, bytes: &[u8]) {
    for byte in bytes {
        // Writing to memory cannot fail.
        let _ = write!(file, "\\x{byte:02x}");
    }
}

#[cfg(test)]
mod tests {
    use super::push_record;
    use crate::transfer::records::testing;
    use crate::transfer::{FileFormat, Header};

    fn check(file: &str, expected: &[(&[u8], &[u8])]) {
        testing::check(FileFormat::Text, Header::Present, file, expected);
    }

    #[test]
    fn lines_are_read_with_their_escapes() {
        check("", &[]);
        check("\na\t1\r\n\n", &[(b"a", b"1")]);
        check("user/1\t{\"a\": 1}", &[(b"user/1", b"{\"a\": 1}")]);
        check(r"a\tb	\\n\n\r\x00\xfF\\", &[(b"a\tb", b"\\n\n\r\x00\xff\\")]);
        check("a\t", &[(b"a", b"")]);
        check("a\t1\t1700000000000\n \t\n", &[(b"a", b"1"), (b" ", b"")]);
    }

    #[test]
    fn bad_lines_are_named() {
        for (line, why) in [
            ("a", "no tab"),
            ("a b", "no tab"),
            ("a\tb\tc", "expires_at_ms"),
            ("a\tb\t1\t2", "three fields"),
            ("a\\\tb", "single backslash"),
            (r"a	\q", r"\q is no escape"),
            (r"a	\x4", "two hexadecimal"),
            (r"a	\xgg", "two hexadecimal"),
        ] {
            testing::check_bad(FileFormat::Text, Header::Present, &format!("x\ty\n{line}\n"), 2, why);
        }
    }

    #[test]
    fn what_is_written_is_one_line_of_utf8() {
        let mut file = Vec::new();
        push_record(&mut file, b"a\tb", "é\\\n\r\0\u{1b}".as_bytes(), Some(7));
        push_record(&mut file, "\u{feff}k".as_bytes(), b"\xff", None);
        let expected = "a\\tb\té\\\\\\n\\r\\x00\\x1b\t7\n\\xef\\xbb\\xbfk\t\\xff\n";
        assert_eq!(String::from_utf8(file).unwrap(), expected);
    }
}
