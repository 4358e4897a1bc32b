//! [`code_only`]: Rust text with comments and literals blanked, so that a rule that looks for a word finds code only.
//!
//! This is not a parser: it knows just enough of the lexical grammar (nested block comments, raw strings, byte strings,
//! characters as against lifetimes) to tell code from everything else. Lines keep their numbers.

/// Replaces every character of comments, string and character literals by a blank; line ends stay.
pub(super) fn code_only(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let end = literal_end(&chars, at);
        if end == at {
            out.push(chars[at]);
            at += 1;
        } else {
            out.extend(chars[at..end].iter().map(|&c| if c == '\n' { '\n' } else { ' ' }));
            at = end;
        }
    }
    out
}

/// The end of the comment or literal that begins at `at`; `at` itself if none does.
fn literal_end(chars: &[char], at: usize) -> usize {
    let next = chars.get(at + 1).copied();
    match chars[at] {
        '/' if next == Some('/') => (at..chars.len()).find(|&i| chars[i] == '\n').unwrap_or(chars.len()),
        '/' if next == Some('*') => block_comment_end(chars, at),
        '"' => quoted_end(chars, at + 1, '"'),
        '\'' => char_end(chars, at),
        'r' | 'b' | 'c' if at == 0 || !is_word(chars[at - 1]) => prefixed_end(chars, at),
        _ => at,
    }
}

fn block_comment_end(chars: &[char], at: usize) -> usize {
    let mut depth = 0;
    let mut i = at;
    while i < chars.len() {
        match (chars[i], chars.get(i + 1)) {
            ('/', Some('*')) => {
                depth += 1;
                i += 2;
            }
            ('*', Some('/')) => {
                depth -= 1;
                i += 2;
                if depth == 0 {
                    return i;
                }
            }
            _ => i += 1,
        }
    }
    chars.len()
}

fn quoted_end(chars: &[char], mut i: usize, quote: char) -> usize {
    while i < chars.len() {
        match chars[i] {
            '\\' => i += 2,
            c if c == quote => return i + 1,
            _ => i += 1,
        }
    }
    chars.len()
}

/// `'a'` and `'\n'` are characters, `'a` is a lifetime.
fn char_end(chars: &[char], at: usize) -> usize {
    match (chars.get(at + 1), chars.get(at + 2)) {
        (Some('\\'), _) => quoted_end(chars, at + 1, '\''),
        (Some(_), Some('\'')) => at + 3,
        _ => at,
    }
}

/// Strings with a prefix: `r"…"`, `br#"…"#`, `b"…"`, `c"…"`, and `b'…'`.
fn prefixed_end(chars: &[char], at: usize) -> usize {
    let mut i = at;
    let mut raw = false;
    while i < chars.len() && i - at < 2 && matches!(chars[i], 'r' | 'b' | 'c') {
        raw |= chars[i] == 'r';
        i += 1;
    }
    let hashes = if raw { chars[i..].iter().take_while(|&&c| c == '#').count() } else { 0 };
    i += hashes;
    match chars.get(i) {
        Some('"') if raw => {
            let closes = |i: usize| chars[i] == '"' && (1..=hashes).all(|h| chars.get(i + h) == Some(&'#'));
            (i + 1..chars.len()).find(|&i| closes(i)).map_or(chars.len(), |i| i + 1 + hashes)
        }
        Some('"') => quoted_end(chars, i + 1, '"'),
        Some('\'') if !raw => quoted_end(chars, i + 1, '\''),
        _ => at,
    }
}

/// Whether a character can be part of an identifier.
pub(super) fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Whether `line` holds `word` with no identifier character directly before or after it.
pub(super) fn has_word(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        !line[..at].chars().next_back().is_some_and(is_word)
            && !line[at + word.len()..].chars().next().is_some_and(is_word)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        assert_eq!(code_only(text), expected, "{text}");
    }

    #[test]
    fn comments_and_literals_become_blanks() {
        check("a // b\nc", "a     \nc");
        check("a /* /* b */ */ c", "a               c");
        check("f(\"x\\\"y\") + 1", "f(      ) + 1");
        check("r\"a\\\" b", "      b");
        check("r#\"a\"b\"# c", "         c");
        check("b\"ab\" b'c' x", "           x");
        check("'a' '\\'' &'a str", "         &'a str");
        check("for_r \"x\"", "for_r    ");
        check("\"open", "     ");
    }

    #[test]
    fn a_word_is_found_only_whole() {
        assert!(has_word("unsafe {", "unsafe"));
        assert!(!has_word("unsafe_code", "unsafe"));
        assert!(!has_word("is_unsafe", "unsafe"));
        assert!(has_word("unsafely unsafe", "unsafe"));
    }
}
