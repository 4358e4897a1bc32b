//! The error of this crate and how a malformed page body becomes one.
//!
//! Decoders of page bodies know neither file nor page: they answer with a [`Decoded`], whose error is a clause. The
//! tree, which knows where the page is, turns it into [`Error::Corrupt`].

use halodb_pager as pager;
use std::fmt;
use std::path::PathBuf;

/// Result of this crate's calls.
pub type Result<T> = std::result::Result<T, Error>;

/// What a decoder of a page body answers: the value, or a clause saying which rule the bytes break.
pub(crate) type Decoded<T> = std::result::Result<T, &'static str>;

/// Why a call failed.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// From the page file, corruption included.
    Pager(pager::Error),
    /// A page whose checksum holds but whose content breaks the tree's rules.
    Corrupt {
        /// The file.
        path: PathBuf,
        /// Offset of the page in the file, in bytes.
        offset: u64,
        /// What is wrong, as a clause.
        what: String,
    },
    /// Key empty or too long, value too long, edits out of order …: a clause. The caller's input is at fault; nothing
    /// was changed, and the write transaction should be dropped.
    Invalid(String),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Pager(e) => write!(f, "{e}"),
            Error::Corrupt { path, offset, what } => write!(
                f,
                "{}: the tree page at offset {offset} is corrupt: {what}; run a check of the file and restore it from a backup",
                path.display()
            ),
            Error::Invalid(what) => write!(f, "invalid argument: {what}"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            // `Display` already prints the pager's message, so the chain goes on with the pager's own source.
            Error::Pager(e) => e.source(),
            Error::Corrupt { .. } | Error::Invalid(_) => None,
        }
    }
}

impl From<pager::Error> for Error {
    fn from(e: pager::Error) -> Self {
        Error::Pager(e)
    }
}
