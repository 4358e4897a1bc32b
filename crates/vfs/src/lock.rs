//! [`Lock`]: the proof that this process alone has a database open.

use std::any::Any;
use std::fmt;
use std::io;

/// An exclusive lock, held until it is dropped.
pub struct Lock {
    _held: Box<dyn Any + Send + Sync>,
}

impl Lock {
    /// Wraps whatever an implementation keeps alive while the lock is held.
    pub fn new(held: impl Any + Send + Sync) -> Self {
        Self { _held: Box::new(held) }
    }
}

impl fmt::Debug for Lock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Lock")
    }
}

/// Why a lock was not had.
#[derive(Debug)]
pub enum LockError {
    /// Somebody has it: the process id that the lock file states, if it states one.
    Held {
        /// The holder's process id.
        pid: Option<u32>,
    },
    /// The lock file could not be opened, locked or written.
    Io(io::Error),
}

impl fmt::Display for LockError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LockError::Held { pid: Some(pid) } => write!(f, "held by process {pid}"),
            LockError::Held { pid: None } => f.write_str("held by another process"),
            LockError::Io(e) => write!(f, "cannot lock: {e}"),
        }
    }
}

impl std::error::Error for LockError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            LockError::Held { .. } => None,
            LockError::Io(e) => Some(e),
        }
    }
}

impl From<io::Error> for LockError {
    fn from(e: io::Error) -> Self {
        LockError::Io(e)
    }
}
