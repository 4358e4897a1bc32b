//! [`Error`]: the one failure type of this crate.
//!
//! It is opaque so that the engine may change beneath it: a kind to branch on, a sentence with numbers and path to
//! print, a hint that says what to do next (`hint.rs` has the texts), and the chain of causes. A failure of the engine
//! is wrapped and not retold. It does *not* carry data of the caller: keys and values never end up in a log file
//! through an error.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

use halodb_partition as engine;
use halodb_vfs::Process;

use crate::config::ConfigErrors;

/// Result of this crate's calls.
pub type Result<T> = std::result::Result<T, Error>;

/// What kind of failure an [`Error`] is: what the caller can do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A key, value, range or option is out of range. Nothing was done.
    InvalidInput,
    /// The directory holds something, but no database.
    NotADatabase,
    /// There is no database, and none was to be created.
    NotFound,
    /// The keyspace is not there: it was dropped, or not created yet. Nothing was done.
    NoKeyspace,
    /// Bytes on disk are not what was written.
    Corrupt,
    /// The system refused a call; the cause is an [`std::io::Error`] in the chain.
    Io,
    /// Another process, or another handle of this one, has the database open.
    Locked,
    /// An earlier write, sync or background thread failed. Reads go on; writes need the database to be opened again, and
    /// the outcome of those in flight is unknown until then.
    Poisoned,
    /// Somebody else changed what this operation relied on.
    Conflict,
    /// A resource is used up for the moment.
    Busy,
    /// No disk space for the log, or no memory for batches and transactions that are not committed. Nothing was done.
    Full,
    /// The sequence number did not survive a crash.
    Lost,
    /// What was asked for has been recycled.
    TooOld,
    /// Files of a database are there, but no MANIFEST.
    ManifestMissing,
    /// A format version that this version of the library does not know.
    Version,
    /// The configuration is wrong, or contradicts what the database was created with.
    Config,
    /// The database was closed.
    Closed,
    /// The database was opened by the process that this one was forked from.
    Forked,
    /// The clock of the machine made a step of more than a day, and a write with an expiry rests on it. Nothing was done.
    Clock,
    /// The caller asked for an end of what was being done. Nothing was changed.
    Cancelled,
}

/// A failure: ask [`kind`](Error::kind), [`hint`](Error::hint), [`is_retryable`](Error::is_retryable) and
/// [`source`](StdError::source).
///
/// ```
/// use halodb::{Db, ErrorKind};
/// # let dir = tempfile::tempdir()?;
/// let error = Db::builder(dir.path().join("none")).existing().open().unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::NotFound);
/// assert!(!error.is_retryable());
/// println!("{error}\nhint: {}", error.hint().unwrap_or_default());
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Error(Box<Repr>);

struct Repr {
    kind: ErrorKind,
    /// `None`: the cause's own sentence stands for this error.
    message: Option<String>,
    /// What to do next, where the kind alone does not say it.
    hint: Option<String>,
    cause: Option<Cause>,
}

/// What an error wraps. Engine errors are shared, because one failed merge may fail many writers.
enum Cause {
    Engine(Arc<engine::Error>),
    Io(io::Error),
    Config(ConfigErrors),
}

impl Cause {
    fn as_error(&self) -> &(dyn StdError + 'static) {
        match self {
            Cause::Engine(error) => &**error,
            Cause::Io(error) => error,
            Cause::Config(errors) => errors,
        }
    }
}

impl Error {
    /// What kind of failure this is.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Whether the same call may succeed later without anything else being changed in the program.
    ///
    /// True for [`Busy`](ErrorKind::Busy), [`Conflict`](ErrorKind::Conflict), [`Full`](ErrorKind::Full) and
    /// [`Locked`](ErrorKind::Locked), and for [`Io`](ErrorKind::Io) when the cause is a lack of space or of file
    /// descriptors, or an interrupted call.
    pub fn is_retryable(&self) -> bool {
        match self.0.kind {
            ErrorKind::Busy | ErrorKind::Conflict | ErrorKind::Full | ErrorKind::Locked => true,
            ErrorKind::Io => self.io_cause().is_some_and(passes),
            _ => false,
        }
    }

    /// For [`Locked`](ErrorKind::Locked): the process id of the holder, if its lock file states one.
    pub fn holder(&self) -> Option<u32> {
        match &self.0.cause {
            Some(Cause::Engine(error)) => error.holder(),
            _ => None,
        }
    }

    /// For [`Config`](ErrorKind::Config): what is wrong with the file and the environment, one by one. `None` if the
    /// configuration is well-formed and contradicts the database.
    pub fn config_errors(&self) -> Option<&ConfigErrors> {
        match &self.0.cause {
            Some(Cause::Config(errors)) => Some(errors),
            _ => None,
        }
    }

    /// What to do next, as a sentence, if there is something to do.
    pub fn hint(&self) -> Option<String> {
        self.0.hint.clone().or_else(|| crate::hint::hint(self))
    }

    /// The first [`io::Error`] in the chain of causes.
    pub(crate) fn io_cause(&self) -> Option<&io::Error> {
        let mut next = self.0.cause.as_ref().map(Cause::as_error);
        while let Some(error) = next {
            if let Some(found) = error.downcast_ref::<io::Error>() {
                return Some(found);
            }
            next = error.source();
        }
        None
    }

    /// A failure that this crate itself found.
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Error(Box::new(Repr { kind, message: Some(message.into()), hint: None, cause: None }))
    }

    /// The same with a hint of its own.
    pub(crate) fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    /// A failure of a call to the system.
    pub(crate) fn io(message: impl Into<String>, cause: io::Error) -> Self {
        Error(Box::new(Repr {
            kind: ErrorKind::Io,
            message: Some(message.into()),
            hint: None,
            cause: Some(Cause::Io(cause)),
        }))
    }

    /// A write that waited for a background job, and the job failed.
    pub(crate) fn stalled_by(cause: &Arc<engine::Error>) -> Self {
        Error(Box::new(Repr {
            kind: kind_of(cause.kind()),
            message: Some(
                "memory is full of writes that could not be merged into the trees; this write was not made".to_owned(),
            ),
            hint: None,
            cause: Some(Cause::Engine(Arc::clone(cause))),
        }))
    }

    /// A merge that the caller asked for failed.
    pub(crate) fn unmerged(cause: &Arc<engine::Error>) -> Self {
        let kind = kind_of(cause.kind());
        Error(Box::new(Repr { kind, message: None, hint: None, cause: Some(Cause::Engine(Arc::clone(cause))) }))
    }

    /// The error of a child of the process that `what` belongs to.
    #[cold]
    pub(crate) fn forked(what: impl fmt::Display, opened_by: Process) -> Self {
        let (owner, process) = (opened_by.id(), halodb_vfs::process_id());
        Self::new(
            ErrorKind::Forked,
            format!("{what} was opened by process {owner}; process {process} was forked from it"),
        )
    }

    /// The database in `path` was closed.
    pub(crate) fn closed(path: &Path) -> Self {
        Self::new(ErrorKind::Closed, format!("the database in {} was closed", path.display()))
    }
}

impl From<engine::Error> for Error {
    fn from(error: engine::Error) -> Self {
        let kind = kind_of(error.kind());
        // To the caller it is one kind with a full disk: something is used up. What to do about it is another thing.
        let hint = (error.kind() == engine::ErrorKind::Memory).then(|| crate::hint::MEMORY.to_owned());
        Error(Box::new(Repr { kind, message: None, hint, cause: Some(Cause::Engine(Arc::new(error))) }))
    }
}

impl From<ConfigErrors> for Error {
    fn from(errors: ConfigErrors) -> Self {
        let message = errors.to_string().trim_end().to_owned();
        Error(Box::new(Repr {
            kind: ErrorKind::Config,
            message: Some(message),
            hint: None,
            cause: Some(Cause::Config(errors)),
        }))
    }
}

/// The facade's name for an engine's kind.
fn kind_of(kind: engine::ErrorKind) -> ErrorKind {
    use engine::ErrorKind as From;
    match kind {
        From::InvalidInput => ErrorKind::InvalidInput,
        From::NotADatabase => ErrorKind::NotADatabase,
        From::NotFound => ErrorKind::NotFound,
        From::Corrupt => ErrorKind::Corrupt,
        From::Io => ErrorKind::Io,
        From::Locked => ErrorKind::Locked,
        From::Poisoned => ErrorKind::Poisoned,
        From::Stalled => ErrorKind::Busy,
        From::Full | From::Memory => ErrorKind::Full,
        From::Lost => ErrorKind::Lost,
        From::TooOld => ErrorKind::TooOld,
        From::ManifestMissing => ErrorKind::ManifestMissing,
        From::Version => ErrorKind::Version,
        From::Config => ErrorKind::Config,
        From::Closed => ErrorKind::Closed,
        From::Cancelled => ErrorKind::Cancelled,
        // A kind that the engine has and this crate has no name for yet is at least a failed call.
        _ => ErrorKind::Io,
    }
}

/// Whether a system error can pass by itself: no space, no quota, too many open files, interrupted.
pub(crate) fn passes(error: &io::Error) -> bool {
    /// `ENFILE` and `EMFILE`, the same number on Linux and macOS, have no [`io::ErrorKind`].
    const TOO_MANY_FILES: [i32; 2] = [23, 24];
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::Interrupted)
        || error.raw_os_error().is_some_and(|code| TOO_MANY_FILES.contains(&code))
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.0.message, &self.0.cause) {
            (Some(message), _) => f.write_str(message),
            (None, Some(cause)) => fmt::Display::fmt(cause.as_error(), f),
            (None, None) => write!(f, "{:?}", self.0.kind),
        }
    }
}

impl fmt::Debug for Error {
    /// The kind, the sentence and all causes: what `unwrap` prints ought to be enough to act on.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {self}", self.0.kind)?;
        let mut next = self.source();
        while let Some(error) = next {
            write!(f, "; because: {error}")?;
            next = error.source();
        }
        Ok(())
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        // A cause whose sentence already stands for this error is not shown a second time.
        match self.0.cause.as_ref()? {
            Cause::Config(_) => None,
            cause if self.0.message.is_none() => cause.as_error().source(),
            cause => Some(cause.as_error()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_one_pointer_and_crosses_threads() {
        fn assert<T: Send + Sync + 'static>() {}
        assert::<Error>();
        assert_eq!(size_of::<Error>(), size_of::<usize>());
    }

    #[test]
    fn the_cause_of_a_system_error_is_in_the_chain_and_decides_whether_to_retry() {
        for (raw, retryable) in [(28, true), (24, true), (23, true), (4, true), (5, false), (13, false)] {
            let error = Error::io("cannot start a thread", io::Error::from_raw_os_error(raw));
            assert_eq!(error.kind(), ErrorKind::Io);
            assert_eq!(error.is_retryable(), retryable, "errno {raw}");
            let source = error.source().and_then(|e| e.downcast_ref::<io::Error>()).expect("a cause");
            assert_eq!(source.raw_os_error(), Some(raw));
        }
    }

    #[test]
    fn every_kind_has_a_sentence_a_hint_or_a_reason_for_none_and_says_whether_to_try_again() {
        /// Whether the call may succeed later, and whether there is something to do about it. A kind that is not listed does not
        /// compile.
        fn expected(kind: ErrorKind) -> (bool, bool) {
            match kind {
                ErrorKind::Busy | ErrorKind::Conflict | ErrorKind::Full | ErrorKind::Locked => (true, true),
                // The sentence of the first says all, the second was asked for, and the third depends on its cause.
                ErrorKind::InvalidInput | ErrorKind::Cancelled | ErrorKind::Io => (false, false),
                ErrorKind::NotADatabase | ErrorKind::NotFound | ErrorKind::NoKeyspace => (false, true),
                ErrorKind::Corrupt | ErrorKind::Poisoned | ErrorKind::Lost | ErrorKind::TooOld => (false, true),
                ErrorKind::ManifestMissing | ErrorKind::Version | ErrorKind::Config => (false, true),
                ErrorKind::Closed | ErrorKind::Forked | ErrorKind::Clock => (false, true),
            }
        }
        const ALL: [ErrorKind; 20] = [
            ErrorKind::InvalidInput,
            ErrorKind::NotADatabase,
            ErrorKind::NotFound,
            ErrorKind::NoKeyspace,
            ErrorKind::Corrupt,
            ErrorKind::Io,
            ErrorKind::Locked,
            ErrorKind::Poisoned,
            ErrorKind::Conflict,
            ErrorKind::Busy,
            ErrorKind::Full,
            ErrorKind::Lost,
            ErrorKind::TooOld,
            ErrorKind::ManifestMissing,
            ErrorKind::Version,
            ErrorKind::Config,
            ErrorKind::Closed,
            ErrorKind::Forked,
            ErrorKind::Clock,
            ErrorKind::Cancelled,
        ];
        for kind in ALL {
            let error = Error::new(kind, "it failed");
            assert_eq!((error.kind(), error.to_string()), (kind, "it failed".to_owned()));
            assert_eq!((error.is_retryable(), error.hint().is_some()), expected(kind), "{kind:?}");
            assert!(error.source().is_none(), "{kind:?} was found here");
            assert_eq!(format!("{error:?}"), format!("{kind:?}: it failed"));
            // The same as the cause of another one.
            let cause = io::Error::other(error);
            let outer = Error::io("cannot go on", cause);
            assert_eq!((outer.kind(), outer.is_retryable()), (ErrorKind::Io, false));
            let source = outer.source().expect("a cause").to_string();
            assert_eq!((source.as_str(), outer.to_string().as_str()), ("it failed", "cannot go on"));
        }
    }

    #[test]
    fn debug_shows_kind_sentence_and_causes() {
        let error = Error::io("cannot start a thread", io::Error::other("no more"));
        assert_eq!(format!("{error:?}"), "Io: cannot start a thread; because: no more");
    }
}
