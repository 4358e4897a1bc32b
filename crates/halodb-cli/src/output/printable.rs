//! Bytes and numbers for people's eyes. What a terminal would obey instead of show (control characters, escape sequences,
//! text direction marks, bytes that are no UTF-8) becomes `\xNN`. The backslash stays as it is, so this is not an encoding
//! that could be read back: hex, base64 and JSON are.

use std::fmt::Write as _;

/// Bytes as text that is safe to show.
pub(crate) fn printable(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            if is_printable(character) {
                text.push(character);
            } else {
                push_hex(&mut text, character.encode_utf8(&mut [0; 4]).as_bytes());
            }
        }
        push_hex(&mut text, chunk.invalid());
    }
    text
}

/// A number with a comma between thousands: `64,298`.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.char_indices() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn is_printable(character: char) -> bool {
    if character.is_ascii() {
        return !character.is_ascii_control();
    }
    // The standard library knows what `{:?}` must escape. A letter before it keeps combining marks, which are printable.
    let mut pair = String::from("a");
    pair.push(character);
    pair.escape_debug().count() == 2
}

fn push_hex(text: &mut String, bytes: &[u8]) {
    for byte in bytes {
        // Writing to a String cannot fail.
        let _ = write!(text, "\\x{byte:02x}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(bytes: impl AsRef<[u8]>, expected: &str) {
        assert_eq!(printable(bytes.as_ref()), expected);
    }

    #[test]
    fn what_a_terminal_would_obey_is_escaped() {
        check("plain \"text\" \\ é 漢 e\u{301} 😀", "plain \"text\" \\ é 漢 e\u{301} 😀");
        check(b"\x00\xff", "\\x00\\xff");
        check("a\nb\t\u{1b}[31m\x7f", "a\\x0ab\\x09\\x1b[31m\\x7f");
        check("\u{202e}\u{85}", "\\xe2\\x80\\xae\\xc2\\x85");
        check("", "");
    }

    #[test]
    fn thousands_are_separated() {
        let all = [0, 7, 999, 1000, 64_298, 1_000_000].map(grouped);
        assert_eq!(all, ["0", "7", "999", "1,000", "64,298", "1,000,000"]);
    }
}
