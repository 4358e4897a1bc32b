//! [`Error`]: why a call of the log failed, and what the caller can do about it.

use crate::Lsn;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// Result of this crate's calls.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a call failed.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The system refused a call. Nothing that was answered is lost; the call may be repeated.
    Io {
        /// Verb.
        op: &'static str,
        /// File.
        path: PathBuf,
        /// Cause.
        source: io::Error,
    },
    /// A record or segment that was proven synced is bad or missing.
    Corrupt {
        /// File.
        path: PathBuf,
        /// Offset in bytes.
        offset: u64,
        /// A clause.
        what: String,
    },
    /// Segments of another database or incarnation: both values named.
    Mismatch {
        /// File.
        path: PathBuf,
        /// Both values.
        what: String,
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
    /// No space for the next segment. No LSN was assigned; nothing is lost; try again when there is space.
    Full {
        /// Cause.
        source: io::Error,
    },
    /// A write or sync failed: the outcome of commits in flight is unknown until the log is opened again.
    Poisoned,
    /// The LSN asked for was never given to a surviving record: it lies in a gap left by a crash.
    Lost(Lsn),
    /// The records asked for were recycled.
    TooOld {
        /// Asked for.
        asked: Lsn,
        /// Oldest there.
        oldest: Lsn,
    },
    /// The caller's payload or options are out of range: a clause.
    Invalid(String),
}

impl Error {
    /// Turns the error of a system call into [`Error::Io`], for use with `map_err`.
    pub(crate) fn io<'a>(op: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> Error + 'a {
        move |source| Error::Io { op, path: path.to_owned(), source }
    }

    /// Like [`Error::io`] where the call needs space: [`Error::Full`] if that is what was missing.
    pub(crate) fn space<'a>(op: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> Error + 'a {
        move |source| match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Error::Full { source },
            _ => Error::Io { op, path: path.to_owned(), source },
        }
    }

    pub(crate) fn corrupt(path: &Path, offset: u64, what: impl Into<String>) -> Error {
        Error::Corrupt { path: path.to_owned(), offset, what: what.into() }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Io { op, path, source } => write!(f, "cannot {op} {}: {source}", path.display()),
            Error::Corrupt { path, offset, what } => write!(
                f,
                "the log is corrupt at byte {offset} of {}: {what}; restore a backup, or let a repair decide what to give up",
                path.display()
            ),
            Error::Mismatch { path, what } => write!(
                f,
                "{} belongs to another log: {what}; put the right files in place",
                path.display()
            ),
            Error::Version { path, found, supported } => write!(
                f,
                "{} has format version {found}, this program knows {supported}; use a newer program",
                path.display()
            ),
            Error::Full { source } => {
                write!(f, "no space for the next log segment ({source}); free some and try again, nothing is lost")
            }
            Error::Poisoned => f.write_str(
                "a write or sync of the log failed: whether the commits in flight survive is unknown; open the log again",
            ),
            Error::Lost(lsn) => write!(f, "LSN {lsn} did not survive a crash"),
            Error::TooOld { asked, oldest } => {
                write!(f, "the log no longer holds LSN {asked}; the oldest it can give is {oldest}")
            }
            Error::Invalid(what) => f.write_str(what),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Io { source, .. } | Error::Full { source } => Some(source),
            _ => None,
        }
    }
}
