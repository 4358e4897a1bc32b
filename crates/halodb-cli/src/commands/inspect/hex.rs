//! A hex dump in which every field begins a line of its own and bears its name:
//!
//! ```text
//! 00014008  05 00 00 00 00 00 00 00                          ........          page id
//! ```

use crate::failure::Result;
use crate::output::Out;
use std::fmt::Write as _;
use std::ops::Range;

/// Bytes in a line.
const WIDTH: usize = 16;

/// Writes `bytes`, which stand at `offset` of their file, in `fields`: ranges of the bytes, ascending. What lies between them is
/// called `between`, what follows the last one `behind`. Lines that repeat the one before are a `*`.
pub(super) fn dump(
    out: &mut Out,
    offset: u64,
    bytes: &[u8],
    fields: &[(Range<usize>, &str)],
    behind: &str,
) -> Result<()> {
    let mut from = 0;
    for (range, name) in fields {
        let (start, end) = (range.start.min(bytes.len()), range.end.min(bytes.len()));
        if start > from {
            field(out, offset, bytes, from..start, "zero")?;
        }
        field(out, offset, bytes, start..end, name)?;
        from = end.max(from);
    }
    field(out, offset, bytes, from..bytes.len(), behind)
}

fn field(out: &mut Out, offset: u64, bytes: &[u8], range: Range<usize>, name: &str) -> Result<()> {
    let mut before: Option<&[u8]> = None;
    let mut starred = false;
    let mut at = range.start;
    while at < range.end {
        let row = &bytes[at..range.end.min(at + WIDTH)];
        if before == Some(row) {
            if !starred {
                out.line("*")?;
            }
            starred = true;
        } else {
            let name = if at == range.start { name } else { "" };
            out.line(line(offset + at as u64, row, name))?;
            starred = false;
        }
        before = Some(row);
        at += row.len();
    }
    Ok(())
}

fn line(offset: u64, row: &[u8], name: &str) -> String {
    let mut hex = String::new();
    let mut text = String::new();
    for &byte in row {
        // Writing to a String cannot fail.
        let _ = write!(hex, "{byte:02x} ");
        text.push(if byte.is_ascii_graphic() || byte == b' ' { byte as char } else { '.' });
    }
    format!("{offset:08x}  {hex:<48} {text:<16}  {name}").trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::testing::written;

    #[test]
    fn every_field_begins_a_line_and_repetitions_are_a_star() {
        let mut bytes = b"HALO\x05\x00\x00\x00".to_vec();
        bytes.resize(8 + 64, 0);
        let dumped = written(false, |out| dump(out, 0x1000, &bytes, &[(0..4, "magic"), (4..8, "number")], "not used"));
        let zeros = "00 ".repeat(16);
        let expected = format!(
            "00001000  48 41 4c 4f {:36} HALO              magic\n\
             00001004  05 00 00 00 {:36} ....              number\n\
             00001008  {zeros} ................  not used\n*\n",
            "", ""
        );
        assert_eq!(String::from_utf8_lossy(&dumped), expected);
    }

    #[test]
    fn fields_beyond_the_bytes_are_left_out_and_gaps_are_zero() {
        let dumped = written(false, |out| dump(out, 0, &[1, 2, 3], &[(0..1, "a"), (2..9, "b"), (20..30, "c")], "x"));
        let text = String::from_utf8_lossy(&dumped).into_owned();
        let names: Vec<&str> = text.lines().filter_map(|line| line.split_whitespace().last()).collect();
        assert_eq!(names, ["a", "zero", "b"]);
    }
}
