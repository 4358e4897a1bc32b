//! One key-value pair as text that gives the same bytes back: JSON, hexadecimal, base64.
//!
//! ```text
//! {"key":"user/1","value":"Ada"}          both are UTF-8
//! {"key_b64":"AP8=","value":"Ada"}        the key is not: standard base64 with padding, decided per field
//! ```

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::fmt::Write as _;

/// Appends a pair, or only a key, as a JSON object on one line.
pub(crate) fn json_record(line: &mut Vec<u8>, key: &[u8], value: Option<&[u8]>, expires_at_ms: Option<u64>) {
    line.push(b'{');
    json_field(line, "key", key);
    if let Some(value) = value {
        line.push(b',');
        json_field(line, "value", value);
    }
    if let Some(ms) = expires_at_ms {
        line.extend_from_slice(format!(",\"expires_at_ms\":{ms}").as_bytes());
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
            line.extend_from_slice(base64_text(bytes).as_bytes());
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
