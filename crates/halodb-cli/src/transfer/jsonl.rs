//! JSON lines: one object a line.
//!
//! ```text
//! {"key":"user/1","value":"Ada"}           UTF-8
//! {"key_b64":"AP8=","value_b64":"/w=="}    any bytes, decided per field; standard base64 with padding
//! "expires_at_ms":1700000000000            besides: when the key expires, in milliseconds since 1970
//! ```
//!
//! The fields may stand in any order; an empty line is skipped.

use super::records::{Parsed, Record};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use std::borrow::Cow;

/// A line. Strings without escapes are borrowed from it.
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

/// A record, or why the line is none.
pub(crate) fn parse(line: &[u8]) -> Parsed<'_> {
    let record: JsonRecord<'_> = serde_json::from_slice(line).map_err(|error| {
        // Each line is a document of its own for the parser: its line number says nothing.
        let why = error.to_string().replace("at line 1 column", "at column");
        if error.is_data() { why } else { format!("it is not JSON: {why}") }
    })?;
    Ok(Record {
        key: field("key", record.key, record.key_b64)?,
        value: field("value", record.value, record.value_b64)?,
        expires_at_ms: record.expires_at_ms,
    })
}

fn field<'l>(name: &str, text: Option<Text<'l>>, base64: Option<Text<'l>>) -> Result<Cow<'l, [u8]>, String> {
    match (text, base64) {
        (Some(Text(Cow::Borrowed(text))), None) => Ok(Cow::Borrowed(text.as_bytes())),
        (Some(Text(Cow::Owned(text))), None) => Ok(Cow::Owned(text.into_bytes())),
        (None, Some(Text(base64))) => from_base64(name, base64.as_bytes()),
        (None, None) => Err(format!("it has neither `{name}` nor `{name}_b64`")),
        (Some(_), Some(_)) => Err(format!("it has both `{name}` and `{name}_b64`")),
    }
}

/// The bytes of a field `NAME_b64`.
pub(crate) fn from_base64<'l>(name: &str, text: &[u8]) -> Result<Cow<'l, [u8]>, String> {
    let bytes = STANDARD.decode(text).map_err(|error| format!("`{name}_b64` is not standard base64: {error}"))?;
    Ok(Cow::Owned(bytes))
}

#[cfg(test)]
mod tests {
    use crate::transfer::records::testing;
    use crate::transfer::{FileFormat, Header};

    fn check(file: &str, expected: &[(&[u8], &[u8])]) {
        testing::check(FileFormat::Jsonl, Header::Present, file, expected);
    }

    #[test]
    fn json_lines_are_read() {
        check("", &[]);
        check(r#"{"key":"k","value":"v"}"#, &[(b"k", b"v")]);
        check("\u{feff}{\"value\":\"\",\"key\":\"k\"}\r\n\n \t\n", &[(b"k", b"")]);
        check(r#"{"key_b64":"AP8=","value":"\u0000\n"}"#, &[(b"\x00\xff", b"\0\n")]);
        check(r#"{"key":"k","value":"v","expires_at_ms":null}"#, &[(b"k", b"v")]);
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
            testing::check_bad(FileFormat::Jsonl, Header::Present, &format!("{good}{line}\n{good}"), 3, why);
        }
    }
}
