//! A place in a text: its line and column, and the line itself with carets under it.
//!
//! Total on any text and any range: offsets are moved to character boundaries, long lines are cropped, control
//! characters never reach the terminal. A place costs no more than its line, and what is kept of it is bounded.

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

/// A text whose lines are known, so that a place costs its line and not all that stands before it.
#[derive(Debug)]
pub(super) struct Lines<'t> {
    text: &'t str,
    /// Where each line begins; the first at 0.
    starts: Vec<usize>,
}

impl<'t> Lines<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        let after_newlines = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at + 1);
        Self { text, starts: std::iter::once(0).chain(after_newlines).collect() }
    }

    /// The number of the line that an offset lies in, from 1. Offsets beyond the end lie in the last line.
    pub(super) fn number(&self, offset: usize) -> u32 {
        self.starts.partition_point(|&start| start <= offset) as u32
    }

    /// The line of a place, with the place marked.
    pub(super) fn excerpt(&self, span: Range<usize>) -> Excerpt {
        let text = self.text;
        let start = text.floor_char_boundary(span.start);
        let line = self.number(start);
        let line_start = self.starts[line as usize - 1];
        let line_end = self.starts.get(line as usize).map_or(text.len(), |next| next - 1);
        let end = text.floor_char_boundary(span.end).clamp(start, line_end);

        // A byte order mark is no column, and the carriage return of a line's end no character of it.
        let mark = line_start == 0 && text.starts_with('\u{feff}');
        let line_start = if mark { line_start + '\u{feff}'.len_utf8() } else { line_start };
        let shown_end = line_start + text[line_start..line_end].trim_end_matches('\r').len();
        let place = start.clamp(line_start, shown_end);
        let before = text[line_start..place].chars().count();
        let carets = text[place..end.clamp(place, shown_end)].chars().take(WIDTH).count();

        let mut shown = String::new();
        let mut indent = String::new();
        let mut from = line_start;
        if text[line_start..shown_end].chars().nth(WIDTH).is_some() && before > BEFORE {
            from = text[line_start..place].char_indices().rev().nth(BEFORE - 1).map_or(from, |(at, _)| line_start + at);
            shown.push('…');
            indent.push(' ');
        }
        let printable = |c: char| if c.is_control() && c != '\t' { '\u{fffd}' } else { c };
        let mut rest = text[from..shown_end].chars();
        shown.extend(rest.by_ref().take(WIDTH).map(printable));
        if rest.next().is_some() {
            shown.push('…');
        }
        indent.extend(text[from..place].chars().map(|c| if c == '\t' { '\t' } else { ' ' }));
        let room = text[place..shown_end].chars().take(WIDTH - text[from..place].chars().count()).count();
        Excerpt { line, column: before as u32 + 1, shown, indent, carets: carets.clamp(1, room.max(1)) }
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
        let excerpt = Lines::new(text).excerpt(span);
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
        check("\u{feff}a = 1", 0..4, 1, 1, "    1 | a = 1\n      | ^\n");
        check("\u{1b}[0m", 1..2, 1, 2, "    1 | \u{fffd}[0m\n      |  ^\n");
    }

    #[test]
    fn a_long_line_is_cropped_around_the_place() {
        let text = format!("{}X{}", "a".repeat(1000), "b".repeat(1000));
        let expected = format!("    1 | …{}X{}…\n      |  {}^\n", "a".repeat(40), "b".repeat(59), " ".repeat(40));
        check(&text, 1000..1001, 1, 1001, &expected);
        let expected = format!("    1 | {}…\n      | {}^\n", "a".repeat(100), " ".repeat(40));
        check(&text, 40..41, 1, 41, &expected);
        let expected = format!("    1 | …{}\n      |  {}^\n", "b".repeat(40), " ".repeat(40));
        check(&text, 2001..2001, 1, 2002, &expected);
        let expected =
            format!("    1 | …{}X{}…\n      |  {}{}\n", "a".repeat(40), "b".repeat(59), " ".repeat(40), "^".repeat(60));
        check(&text, 1000..2001, 1, 1001, &expected);
    }
}
