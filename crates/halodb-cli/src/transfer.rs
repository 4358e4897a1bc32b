//! Files of records: `import` and `export`. Here is what both share; the records of a file are read by `records`.

mod export;
mod import;
mod progress;
mod records;

pub(crate) use export::export;
pub(crate) use import::{import, readable};

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
}

impl FileFormat {
    /// What was asked for, else what the extension says, else jsonl.
    fn choose(asked: Option<Format>, path: &Path) -> Result<Self> {
        match asked {
            Some(Format::Jsonl) => Ok(FileFormat::Jsonl),
            Some(Format::Csv) => Ok(FileFormat::Csv),
            Some(_) => {
                Err(Failure::usage("files of records are jsonl or csv").with_hint("use --format jsonl or --format csv"))
            }
            None if path.extension().is_some_and(|e| e.eq_ignore_ascii_case("csv")) => Ok(FileFormat::Csv),
            None => Ok(FileFormat::Jsonl),
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
        assert_eq!(choose(Some(Format::Jsonl), "a.csv"), Some(FileFormat::Jsonl));
        assert_eq!(choose(Some(Format::Csv), "-"), Some(FileFormat::Csv));
        assert_eq!(choose(Some(Format::Hex), "-"), None);
    }
}
