//! One key-value pair as text that gives the same bytes back: JSON, hexadecimal, base64, and fields of CSV.
//!
//! ```text
//! {"key":"user/1","value":"Ada"}          both are UTF-8
//! {"key_b64":"AP8=","value":"Ada"}        the key is not: standard base64 with padding, decided per field
//! ```

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::fmt::Write as _;
use std::io::Write as _;

/// Appends a pair, or only a key, as a JSON object on one line.
pub(crate) fn json_record(line: &mut Vec<u8>, key: &[u8], value: Option<&[u8]>, expires_at_ms: Option<u64>) {
    line.push(b'{');
    json_field(line, "key", key);
    if let Some(value) = value {
        line.push(b',');
        json_field(line, "value", value);
    }
    if let Some(ms) = expires_at_ms {
        // Writing to memory cannot fail.
        let _ = write!(line, ",\"expires_at_ms\":{ms}");
    }
    line.push(b'}');
}

/// Bytes in hexadecimal, lower case.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// Bytes in standard base64 with padding.
pub(crate) fn base64_text(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// Appends bytes in standard base64 with padding.
pub(crate) fn push_base64(to: &mut Vec<u8>, bytes: &[u8]) {
    let start = to.len();
    // Four characters for every three bytes begun.
    to.resize(start + bytes.len().div_ceil(3) * 4, b'=');
    // There is room for all of it.
    let _ = STANDARD.encode_slice(bytes, &mut to[start..]);
}

/// Appends a field of a CSV file as RFC 4180 wants it: quoted where a comma, quote or line break would end it.
pub(crate) fn push_csv_field(row: &mut Vec<u8>, field: &[u8]) {
    if !field.iter().any(|byte| matches!(byte, b',' | b'"' | b'\r' | b'\n')) {
        row.extend_from_slice(field);
        return;
    }
    row.push(b'"');
    for part in field.split_inclusive(|byte| *byte == b'"') {
        row.extend_from_slice(part);
        if part.ends_with(b"\"") {
            row.push(b'"');
        }
    }
    row.push(b'"');
}

fn json_field(line: &mut Vec<u8>, name: &str, bytes: &[u8]) {
    line.push(b'"');
    line.extend_from_slice(name.as_bytes());
    match std::str::from_utf8(bytes) {
        Ok(text) => {
            line.extend_from_slice(b"\":");
            // A string always becomes JSON, and memory does not fail.
            let _ = serde_json::to_writer(&mut *line, text);
        }
        Err(_) => {
            line.extend_from_slice(b"_b64\":\"");
            push_base64(line, bytes);
            line.push(b'"');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(key: &[u8], value: Option<&[u8]>, expected: &str) {
        let mut line = Vec::new();
        json_record(&mut line, key, value, None);
        assert_eq!(String::from_utf8(line).unwrap(), expected);
    }

    #[test]
    fn the_form_is_decided_per_field() {
        check(b"k", Some(b"v"), r#"{"key":"k","value":"v"}"#);
        check(b"k", None, r#"{"key":"k"}"#);
        check(b"\x00\xff", Some(b""), r#"{"key_b64":"AP8=","value":""}"#);
        check(b"k", Some(b"\xff"), r#"{"key":"k","value_b64":"/w=="}"#);
        check(b"\"\\\n", Some(b"\x00"), r#"{"key":"\"\\\n","value":"\u0000"}"#);
    }
}
