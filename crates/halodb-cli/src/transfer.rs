//! Files of records: `import` and `export`. Here is what both share: which form a file has, and what its name says about
//! it. `records` reads records and `writer` writes them; `jsonl`, `csv` and `text` hold the three forms, `packed` what is
//! compressed.

mod csv;
mod export;
mod import;
mod jsonl;
mod packed;
mod progress;
mod records;
mod text;
mod writer;

pub(crate) use export::export;
pub(crate) use import::{import, possible};

use crate::failure::{Failure, Result};
use crate::output::Format;
use std::path::Path;

/// Form of a file of records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FileFormat {
    /// `{"key":…,"value":…}`, one a line.
    Jsonl,
    /// Header `key,value`, then rows.
    Csv,
    /// `KEY TAB VALUE`, one a line, with escapes.
    Text,
}

impl FileFormat {
    /// All of them.
    #[cfg(test)]
    const ALL: [FileFormat; 3] = [FileFormat::Jsonl, FileFormat::Csv, FileFormat::Text];

    /// What was asked for, else what the extension says, else jsonl.
    fn choose(asked: Option<Format>, path: &Path) -> Result<Self> {
        match asked {
            Some(Format::Jsonl) => Ok(FileFormat::Jsonl),
            Some(Format::Csv) => Ok(FileFormat::Csv),
            Some(Format::Text) => Ok(FileFormat::Text),
            Some(_) => Err(Failure::usage("files of records are jsonl, csv or text")
                .with_hint("use --format jsonl, --format csv or --format text")),
            None => Ok(Self::of_name(path)),
        }
    }

    /// What the extension says; that of compression does not count.
    fn of_name(path: &Path) -> Self {
        let inner = match packed::Kind::of_name(path) {
            Some(_) => path.file_stem().map_or(path, Path::new),
            None => path,
        };
        match inner.extension() {
            Some(e) if e.eq_ignore_ascii_case("csv") => FileFormat::Csv,
            Some(e) if e.eq_ignore_ascii_case("tsv") => FileFormat::Text,
            _ => FileFormat::Jsonl,
        }
    }

    /// The word of `--format`.
    fn name(self) -> &'static str {
        match self {
            FileFormat::Jsonl => "jsonl",
            FileFormat::Csv => "csv",
            FileFormat::Text => "text",
        }
    }
}

/// Whether the first line of a CSV file names the columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Header {
    /// It does.
    Present,
    /// There is none: key, value and perhaps expiry, in this order.
    Absent,
}

impl Header {
    /// As `--no-header` says, which has a meaning for CSV only.
    fn choose(absent: bool, format: FileFormat) -> Result<Self> {
        match (absent, format) {
            (false, _) => Ok(Header::Present),
            (true, FileFormat::Csv) => Ok(Header::Absent),
            (true, other) => {
                Err(Failure::usage(format!("--no-header is for CSV files, and this one is {}", other.name()))
                    .with_hint("say --format csv as well, or leave --no-header out"))
            }
        }
    }
}

fn is_stdio(path: &Path) -> bool {
    path.as_os_str() == "-"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_option_beats_the_extension() {
        let choose = |asked, path: &str| FileFormat::choose(asked, Path::new(path)).ok();
        assert_eq!(choose(None, "-"), Some(FileFormat::Jsonl));
        assert_eq!(choose(None, "a.CSV"), Some(FileFormat::Csv));
        assert_eq!(choose(None, "a.txt"), Some(FileFormat::Jsonl));
        assert_eq!(choose(None, "a.tsv"), Some(FileFormat::Text));
        assert_eq!(choose(None, "a.csv.gz"), Some(FileFormat::Csv));
        assert_eq!(choose(None, "dir.csv/a.gz"), Some(FileFormat::Jsonl));
        assert_eq!(choose(Some(Format::Jsonl), "a.csv"), Some(FileFormat::Jsonl));
        assert_eq!(choose(Some(Format::Csv), "-"), Some(FileFormat::Csv));
        assert_eq!(choose(Some(Format::Text), "a.csv"), Some(FileFormat::Text));
        assert_eq!(choose(Some(Format::Hex), "-"), None);
    }

    #[test]
    fn only_csv_has_headers() {
        assert_eq!(Header::choose(true, FileFormat::Csv).ok(), Some(Header::Absent));
        assert_eq!(Header::choose(false, FileFormat::Jsonl).ok(), Some(Header::Present));
        assert!(Header::choose(true, FileFormat::Jsonl).is_err());
    }
}
