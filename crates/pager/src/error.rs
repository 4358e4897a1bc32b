//! [`Error`]: why a call failed, and what the caller can do about it. It does not decide whether to go on: poisoning is
//! the writer's business.

use std::fmt;
use std::path::PathBuf;

/// Result of this crate's calls.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a call failed.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The system refused a call. `op` is a verb ("read", "write", "sync", "open" …).
    Io {
        /// Verb.
        op: &'static str,
        /// File.
        path: PathBuf,
        /// Cause.
        source: std::io::Error,
    },
    /// Bytes on disk are not what was written there.
    Corrupt {
        /// File.
        path: PathBuf,
        /// Offset in bytes.
        offset: u64,
        /// What is wrong, as a clause.
        what: String,
    },
    /// The file is of another database, partition, page size …: both values named in `what`.
    Mismatch {
        /// File.
        path: PathBuf,
        /// Both values.
        what: String,
    },
    /// Not a page file at all.
    NotAPageFile {
        /// File.
        path: PathBuf,
    },
    /// A format version this program does not know.
    Version {
        /// File.
        path: PathBuf,
        /// Found.
        found: u32,
        /// Known.
        supported: u32,
    },
    /// An earlier sync or meta write failed: this handle writes no more. Reopen.
    Poisoned,
    /// The caller asked for something impossible (a size out of range, writing with `ReadOnly`): a clause.
    Invalid(String),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Io { op, path, source } => write!(f, "cannot {op} {}: {source}", path.display()),
            Error::Corrupt { path, offset, what } => {
                write!(f, "{} is damaged at byte {offset}: {what}", path.display())
            }
            Error::Mismatch { path, what } => write!(f, "{} does not belong here: {what}", path.display()),
            Error::NotAPageFile { path } => write!(f, "{} is not a HaloDB page file", path.display()),
            Error::Version { path, found, supported } => write!(
                f,
                "{} has format version {found}; this program knows version {supported}: use the program that wrote it",
                path.display()
            ),
            Error::Poisoned => f.write_str(
                "an earlier sync or meta write of this page file failed, so it is no longer written: close it and open it again",
            ),
            Error::Invalid(what) => f.write_str(what),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Io { source, .. } => Some(source),
            _ => None,
        }
    }
}
