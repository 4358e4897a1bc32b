//! [`Error`]: what went wrong, in a form that says what the caller can do about it.
//!
//! The layers below each have an error type of their own; here they become one kind, one sentence and the chain of
//! causes. Nothing is translated twice: the sentence of the layer that saw the failure is kept as it is.

use halodb_vfs::LockError;
use std::fmt;
use std::io;
use std::path::Path;

/// Result of this crate's calls.
pub type Result<T> = std::result::Result<T, Error>;

/// What kind of failure an [`Error`] is: what the caller can do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The caller's key, value, range or option is out of range. Nothing was done.
    InvalidInput,
    /// The directory holds something, but no database.
    NotADatabase,
    /// The database does not exist and was not to be created.
    NotFound,
    /// Bytes on disk are not what was written.
    Corrupt,
    /// The system refused a call.
    Io,
    /// Another process (or another handle of this one) has it open.
    Locked,
    /// An earlier write or sync failed; reopen. The outcome of writes in flight is unknown until then.
    Poisoned,
    /// Memory is full until a merge has made room: run jobs, then try again.
    Stalled,
    /// No disk space for the log. Nothing was done.
    Full,
    /// Batches and transactions that are not committed hold as much memory as they may: write smaller ones, or fewer at a time.
    /// What was to be added was not.
    Memory,
    /// The sequence number lies in a gap that a crash left.
    Lost,
    /// What was asked for is gone.
    TooOld,
    /// Files of a database are there, but no MANIFEST.
    ManifestMissing,
    /// A format version this program does not know.
    Version,
    /// The options contradict what the database was created with; both values are named.
    Config,
    /// The database is closed.
    Closed,
    /// The caller asked for an end. Nothing was changed.
    Cancelled,
}

type Cause = Box<dyn std::error::Error + Send + Sync>;

/// A failure: its kind, a sentence with path and numbers, and the chain of causes.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    message: String,
    cause: Option<Cause>,
    holder: Option<u32>,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), cause: None, holder: None }
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::InvalidInput, message)
    }

    pub(crate) fn corrupt(path: &Path, what: impl fmt::Display) -> Self {
        Self::new(ErrorKind::Corrupt, format!("{}: {what}", path.display()))
    }

    pub(crate) fn io(op: &str, path: &Path, source: io::Error) -> Self {
        let message = format!("cannot {op} {}: {source}", path.display());
        Self { kind: ErrorKind::Io, message, cause: Some(Box::new(source)), holder: None }
    }

    /// `cause`: the sentence of the failure, with call, file and reason.
    pub(crate) fn poisoned(cause: Option<&str>) -> Self {
        let because = cause.map(|cause| format!(" ({cause})")).unwrap_or_default();
        let message = format!(
            "an earlier write or sync failed{because}, so nothing more is written; close and reopen the database to \
             learn which of the last writes survived"
        );
        Self::new(ErrorKind::Poisoned, message)
    }

    pub(crate) fn closed() -> Self {
        Self::new(ErrorKind::Closed, "the database is closed")
    }

    fn wrap(kind: ErrorKind, e: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self { kind, message: e.to_string(), cause: Some(Box::new(e)), holder: None }
    }

    /// What kind of failure it is.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// For [`ErrorKind::Locked`]: the process that has the database open, if the lock file states it.
    pub fn holder(&self) -> Option<u32> {
        self.holder
    }

    pub(crate) fn from_lock(dir: &Path, e: LockError) -> Self {
        match e {
            LockError::Held { pid } => {
                let who = match pid {
                    Some(pid) if pid == std::process::id() => format!("this process (pid {pid})"),
                    Some(pid) => format!("process {pid}"),
                    None => "another process".to_string(),
                };
                let message = format!("the database {} is already open in {who}", dir.display());
                Self { kind: ErrorKind::Locked, message, cause: None, holder: pid }
            }
            LockError::Io(e) => Self::io("lock", &dir.join("LOCK"), e),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {
    // The message already is the wrapped error's sentence, so the chain goes on with what caused *that*.
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        let cause: &(dyn std::error::Error + 'static) = self.cause.as_deref()?;
        if cause.is::<io::Error>() { Some(cause) } else { cause.source() }
    }
}

impl From<halodb_pager::Error> for Error {
    fn from(e: halodb_pager::Error) -> Self {
        use halodb_pager::Error as E;
        let kind = match &e {
            E::Io { .. } => ErrorKind::Io,
            E::Corrupt { .. } | E::Mismatch { .. } | E::NotAPageFile { .. } => ErrorKind::Corrupt,
            E::Version { .. } => ErrorKind::Version,
            E::Poisoned => return Self::poisoned(None),
            _ => ErrorKind::InvalidInput,
        };
        Self::wrap(kind, e)
    }
}

impl From<halodb_btree::Error> for Error {
    fn from(e: halodb_btree::Error) -> Self {
        use halodb_btree::Error as E;
        match e {
            E::Pager(e) => e.into(),
            E::Corrupt { .. } => Self::wrap(ErrorKind::Corrupt, e),
            _ => Self::wrap(ErrorKind::InvalidInput, e),
        }
    }
}

impl From<halodb_wal::Error> for Error {
    fn from(e: halodb_wal::Error) -> Self {
        use halodb_wal::Error as E;
        let kind = match &e {
            E::Io { .. } => ErrorKind::Io,
            E::Corrupt { .. } | E::Mismatch { .. } => ErrorKind::Corrupt,
            E::Version { .. } => ErrorKind::Version,
            E::Full { .. } => ErrorKind::Full,
            E::Poisoned => return Self::poisoned(None),
            E::Lost(_) => ErrorKind::Lost,
            E::TooOld { .. } => ErrorKind::TooOld,
            _ => ErrorKind::InvalidInput,
        };
        Self::wrap(kind, e)
    }
}
