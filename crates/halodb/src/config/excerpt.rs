//! A place in a text: its line and column, and the line itself with carets under it.
//!
//! Total on any text and any range: offsets are moved to character boundaries, long lines are cropped, control
//! characters never reach the terminal.

use std::fmt;
use std::ops::Range;

/// Characters of a line that are shown; of longer lines, those around the place.
const WIDTH: usize = 100;
/// Characters shown before the place in a line that is cropped.
const BEFORE: usize = 40;

/// One line of a text with a part of it marked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Excerpt {
    /// From 1.
    pub(super) line: u32,
    /// From 1, in characters.
    pub(super) column: u32,
    shown: String,
    indent: String,
    carets: usize,
}

impl Excerpt {
    pub(super) fn new(text: &str, span: Range<usize>) -> Self {
        let start = text.floor_char_boundary(span.start);
        let line_start = text[..start].rfind('\n').map_or(0, |newline| newline + 1);
        let line_end = text[start..].find('\n').map_or(text.len(), |newline| start + newline);
        let end = text.floor_char_boundary(span.end).clamp(start, line_end);

        // A byte order mark is no column.
        let line_text = &text[line_start..line_end];
        let mark = if line_start == 0 && line_text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
        let before = text[(line_start + mark).min(start)..start].chars().count();
        let chars: Vec<char> = line_text[mark..].trim_end_matches('\r').chars().collect();
        let before = before.min(chars.len());
        let carets = text[start..end].trim_end_matches('\r').chars().count();

        let from = if chars.len() > WIDTH { before.saturating_sub(BEFORE) } else { 0 };
        let to = chars.len().min(from + WIDTH);
        let mut shown = String::new();
        let mut indent = String::new();
        if from > 0 {
            shown.push('…');
            indent.push(' ');
        }
        shown.extend(chars[from..to].iter().map(|&c| if c.is_control() && c != '\t' { '\u{fffd}' } else { c }));
        indent.extend(chars[from..before].iter().map(|&c| if c == '\t' { '\t' } else { ' ' }));
        if to < chars.len() {
            shown.push('…');
        }
        Self {
            line: text[..line_start].bytes().filter(|&byte| byte == b'\n').count() as u32 + 1,
            column: before as u32 + 1,
            shown,
            indent,
            carets: carets.clamp(1, (to - before).max(1)),
        }
    }
}

/// Two lines: the text with its number, and the carets under it.
impl fmt::Display for Excerpt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:>5} | {}", self.line, self.shown)?;
        writeln!(f, "      | {}{}", self.indent, "^".repeat(self.carets))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, span: Range<usize>, line: u32, column: u32, expected: &str) {
        let excerpt = Excerpt::new(text, span);
        assert_eq!((excerpt.line, excerpt.column), (line, column));
        assert_eq!(excerpt.to_string(), expected);
    }

    #[test]
    fn the_carets_stand_under_the_place() {
        check("a\nbc = de\n", 7..9, 2, 6, "    2 | bc = de\n      |      ^^\n");
        check("a\nbc", 2..2, 2, 1, "    2 | bc\n      | ^\n");
        check("abc", 3..3, 1, 4, "    1 | abc\n      |    ^\n");
        check("", 0..0, 1, 1, "    1 | \n      | ^\n");
        check("a\n", 2..2, 2, 1, "    2 | \n      | ^\n");
        check("a\r\nb", 0..3, 1, 1, "    1 | a\n      | ^\n");
        check("abc\ndef", 1..6, 1, 2, "    1 | abc\n      |  ^^\n");
    }

    #[test]
    fn columns_count_characters_and_tabs_stay_tabs() {
        check("\té = 1", 6..7, 1, 6, "    1 | \té = 1\n      | \t    ^\n");
        check("\u{feff}a = 1", 7..8, 1, 5, "    1 | a = 1\n      |     ^\n");
        check("é", 1..9, 1, 1, "    1 | é\n      | ^\n");
        check("\u{1b}[0m", 1..2, 1, 2, "    1 | \u{fffd}[0m\n      |  ^\n");
    }

    #[test]
    fn a_long_line_is_cropped_around_the_place() {
        let text = format!("{}X{}", "a".repeat(1000), "b".repeat(1000));
        let expected = format!("    1 | …{}X{}…\n      |  {}^\n", "a".repeat(40), "b".repeat(59), " ".repeat(40));
        check(&text, 1000..1001, 1, 1001, &expected);
    }
}
