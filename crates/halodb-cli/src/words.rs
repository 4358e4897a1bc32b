//! Words of a line: how the shell and the pipe cut what was typed into arguments.
//!
//! ```text
//! line    = { blank } { word blank { blank } } [ word ]      blank = space or tab
//! word    = part { part }                                    parts side by side make one word: --from="a b"
//! part    = '"' { escape | byte } '"'                        escapes apply: \n \t \\ \" \xNN
//!         | "'" { byte } "'"                                 everything is literal
//!         | byte { byte }                                    everything is literal, the backslash too
//! ```
//!
//! Words are bytes, not text. `""` is the empty word. An escape that is not in the list is an error, not a guess, because a
//! guess would store something else than was meant. This file knows no command and reads no input.
//!
//! ```
//! use halodb_cli::words::{quote, split};
//!
//! let line = format!("put user/1 {}", quote(b"Ada \"the first\"\n"));
//! let words = split(line.as_bytes()).unwrap();
//! assert_eq!(words[2].bytes, b"Ada \"the first\"\n");
//! assert!(words[2].quoted && !words[1].quoted);
//! ```

use std::fmt::Write as _;

/// One word of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    /// What it stands for, quotes and escapes resolved.
    pub bytes: Vec<u8>,
    /// Some part of it was quoted: then it is data, never the name of a file.
    pub quoted: bool,
    /// Where it begins in the line.
    pub start: usize,
}

/// Why a line has no words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SplitError {
    /// What is wrong.
    pub problem: Problem,
    /// Where, in bytes from the beginning of the line.
    pub offset: usize,
    /// The words before the mistake.
    pub before: Vec<Word>,
    /// Where the word with the mistake begins.
    pub start: usize,
}

/// What can be wrong with a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Problem {
    /// The quote at the offset is never closed: more input could close it.
    UnclosedQuote,
    /// A backslash in double quotes followed by something without a meaning.
    UnknownEscape,
    /// `\x` without two hexadecimal digits.
    BadHex,
}

impl SplitError {
    /// Whether the line may go on with the next one: a quote is open, and not in the first word, which names a command
    /// and is more likely a slip of the finger. What follows is joined to the line with a newline between.
    pub fn goes_on(&self) -> bool {
        self.problem == Problem::UnclosedQuote && !self.before.is_empty()
    }

    /// The problem as a sentence.
    pub fn message(&self) -> &'static str {
        match self.problem {
            Problem::UnclosedQuote => "this quote is never closed",
            Problem::UnknownEscape => "unknown escape: in double quotes there are \\n \\t \\\\ \\\" and \\xNN",
            Problem::BadHex => "\\x wants two hexadecimal digits",
        }
    }

    /// The `line` that was split, shortened around the mistake, and under it a caret that points to it: two lines of
    /// printable ASCII.
    pub fn caret(&self, line: &[u8]) -> String {
        const AROUND: usize = 30;
        let start = self.offset.saturating_sub(AROUND);
        let end = line.len().min(self.offset.saturating_add(AROUND));
        let mut shown = String::new();
        let mut column = 0;
        if start > 0 {
            shown.push_str("...");
        }
        for (at, &byte) in line.iter().enumerate().take(end).skip(start) {
            if at == self.offset {
                column = shown.len();
            }
            // One column per byte keeps the caret in place whatever the bytes are.
            shown.push(match byte {
                b' '..=b'~' => char::from(byte),
                _ => '?',
            });
        }
        if end < line.len() {
            shown.push_str("...");
        }
        format!("  {shown}\n  {:column$}^", "")
    }
}

/// Cuts a line (without its newline) into words. Takes time and memory in proportion to the line.
///
/// # Errors
/// What is wrong with the line, where, and the words before that.
pub fn split(line: &[u8]) -> Result<Vec<Word>, SplitError> {
    let mut words = Vec::new();
    let mut at = 0;
    loop {
        while line.get(at).is_some_and(|b| is_blank(*b)) {
            at += 1;
        }
        if at >= line.len() {
            return Ok(words);
        }
        let start = at;
        match word(line, &mut at) {
            Ok(word) => words.push(word),
            Err((problem, offset)) => {
                return Err(SplitError { problem, offset, before: words, start });
            }
        }
    }
}

/// Writes bytes as one word that [`split`] reads back as the same bytes.
pub fn quote(bytes: &[u8]) -> String {
    if !bytes.is_empty() && bytes.iter().all(|b| is_plain(*b)) {
        return bytes.iter().map(|b| char::from(*b)).collect();
    }
    let mut text = String::with_capacity(bytes.len() + 2);
    text.push('"');
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            match character {
                '\n' => text.push_str("\\n"),
                '\t' => text.push_str("\\t"),
                '\\' => text.push_str("\\\\"),
                '"' => text.push_str("\\\""),
                c if c.is_control() => push_hex(&mut text, c.encode_utf8(&mut [0; 4]).as_bytes()),
                c => text.push(c),
            }
        }
        push_hex(&mut text, chunk.invalid());
    }
    text.push('"');
    text
}

fn word(line: &[u8], at: &mut usize) -> Result<Word, (Problem, usize)> {
    let mut word = Word { bytes: Vec::new(), quoted: false, start: *at };
    while let Some(&byte) = line.get(*at) {
        match byte {
            b'"' => double_quoted(line, at, &mut word.bytes)?,
            b'\'' => single_quoted(line, at, &mut word.bytes)?,
            b if is_blank(b) => break,
            b => {
                word.bytes.push(b);
                *at += 1;
                continue;
            }
        }
        word.quoted = true;
    }
    Ok(word)
}

fn single_quoted(line: &[u8], at: &mut usize, out: &mut Vec<u8>) -> Result<(), (Problem, usize)> {
    let opening = *at;
    let rest = &line[opening + 1..];
    let Some(length) = rest.iter().position(|b| *b == b'\'') else {
        return Err((Problem::UnclosedQuote, opening));
    };
    out.extend_from_slice(&rest[..length]);
    *at = opening + 1 + length + 1;
    Ok(())
}

fn double_quoted(line: &[u8], at: &mut usize, out: &mut Vec<u8>) -> Result<(), (Problem, usize)> {
    let opening = *at;
    let mut i = opening + 1;
    loop {
        match line.get(i) {
            None => return Err((Problem::UnclosedQuote, opening)),
            Some(b'"') => {
                *at = i + 1;
                return Ok(());
            }
            Some(b'\\') => i = escape(line, i, opening, out)?,
            Some(&byte) => {
                out.push(byte);
                i += 1;
            }
        }
    }
}

/// Resolves the escape whose backslash is at `backslash`; where the next byte is.
fn escape(line: &[u8], backslash: usize, opening: usize, out: &mut Vec<u8>) -> Result<usize, (Problem, usize)> {
    let byte = match line.get(backslash + 1) {
        None => return Err((Problem::UnclosedQuote, opening)),
        Some(b'n') => b'\n',
        Some(b't') => b'\t',
        Some(b'\\') => b'\\',
        Some(b'"') => b'"',
        Some(b'x') => {
            let digit =
                |i: usize| line.get(i).and_then(|b| char::from(*b).to_digit(16)).ok_or((Problem::BadHex, backslash));
            out.push((digit(backslash + 2)? * 16 + digit(backslash + 3)?) as u8);
            return Ok(backslash + 4);
        }
        Some(_) => return Err((Problem::UnknownEscape, backslash)),
    };
    out.push(byte);
    Ok(backslash + 2)
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

/// Bytes that mean themselves at any place of an unquoted word.
fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'.' | b'_' | b':' | b'+' | b',' | b'=' | b'%' | b'-')
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
    use proptest::prelude::*;

    fn check(line: &str, expected: &[&str]) {
        let words = split(line.as_bytes()).expect(line);
        let bytes: Vec<&[u8]> = words.iter().map(|w| w.bytes.as_slice()).collect();
        let expected: Vec<&[u8]> = expected.iter().map(|w| w.as_bytes()).collect();
        assert_eq!(bytes, expected, "{line}");
    }

    fn check_error(line: &str, problem: Problem, offset: usize) {
        let error = split(line.as_bytes()).expect_err(line);
        assert_eq!((error.problem, error.offset), (problem, offset), "{line}");
    }

    #[test]
    fn blanks_separate_and_quotes_group() {
        check("", &[]);
        check("  \t ", &[]);
        check("get k", &["get", "k"]);
        check("  put\ta  b ", &["put", "a", "b"]);
        check(r#"put k """#, &["put", "k", ""]);
        check("put k ''", &["put", "k", ""]);
        check(r#"put "a b" 'c d'"#, &["put", "a b", "c d"]);
        check(r#"scan --prefix="a b"'c'd"#, &["scan", "--prefix=a bcd"]);
    }

    #[test]
    fn only_double_quotes_know_escapes() {
        check(r#""\n\t\\\"\x41""#, &["\n\t\\\"A"]);
        check(r"'\n\x41'", &[r"\n\x41"]);
        check(r"a\n \ \x", &[r"a\n", r"\", r"\x"]);
        assert_eq!(split(br#""\x00\xff""#).unwrap()[0].bytes, b"\x00\xff");
        assert_eq!(split(b"\x00\xff").unwrap()[0].bytes, b"\x00\xff");
    }

    #[test]
    fn mistakes_point_to_their_byte() {
        check_error(r#"put k "abc"#, Problem::UnclosedQuote, 6);
        check_error("put k 'abc", Problem::UnclosedQuote, 6);
        check_error(r#"""""#, Problem::UnclosedQuote, 2);
        check_error(r#""\"#, Problem::UnclosedQuote, 0);
        check_error(r#"x "a\q""#, Problem::UnknownEscape, 4);
        check_error(r#""\x4""#, Problem::BadHex, 1);
        check_error(r#""\xgg""#, Problem::BadHex, 1);
    }

    #[test]
    fn the_caret_stands_under_the_mistake() {
        let line = br#"put k "abc"#;
        assert_eq!(split(line).unwrap_err().caret(line), "  put k \"abc\n        ^");
        let line = [&[b'x'; 100][..], b" \"", &[b'y'; 100][..]].concat();
        let caret = split(&line).unwrap_err().caret(&line);
        let (text, mark) = caret.split_once('\n').unwrap();
        assert_eq!(text.as_bytes()[mark.len() - 1], b'"');
        assert!(text.len() < 80);
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_splitter_panic(line: Vec<u8>) {
            if let Err(error) = split(&line) {
                prop_assert!(error.offset < line.len());
                error.caret(&line);
            }
        }

        #[test]
        fn lines_of_quotes_and_escapes_do_not_panic(line in r#"[ a"'\\xn0]{0,40}"#) {
            let _ = split(line.as_bytes());
        }

        #[test]
        fn a_quoted_word_reads_back_as_the_same_bytes(words: Vec<Vec<u8>>) {
            let line: Vec<String> = words.iter().map(|w| quote(w)).collect();
            let read = split(line.join(" ").as_bytes()).unwrap();
            prop_assert_eq!(read.into_iter().map(|w| w.bytes).collect::<Vec<_>>(), words);
        }
    }
}
