//! What to do next about each kind of failure, in one or two sentences.
//!
//! A hint names only what exists: no command or method that this version does not have.

use std::io;

use crate::{Error, ErrorKind};

/// Where batches and transactions have used up the memory for what is not committed.
pub(crate) const MEMORY: &str = "commit in smaller pieces, or fewer of them at a time; or open the database with a larger `memory.memtable`: \
     32 times that is the limit";

/// The hint for `error`, if there is something that its reader can do.
pub(crate) fn hint(error: &Error) -> Option<String> {
    let text = match error.kind() {
        // The sentence itself names the value and the limit.
        ErrorKind::InvalidInput => return None,
        // It was asked for.
        ErrorKind::Cancelled => return None,
        ErrorKind::NotADatabase => {
            "choose a directory that is empty or does not exist yet, or one that holds a database"
        }
        ErrorKind::NotFound => "check the path, or open without `existing` to create a database there",
        ErrorKind::NoKeyspace => "create a keyspace of this name (again); what a dropped one held is gone",
        ErrorKind::Corrupt => {
            "stop writing and copy the whole directory as it is before anything else; \
             `halodb check` on the copy names all that is wrong; what cannot be read must come from an older copy"
        }
        ErrorKind::Io => return error.io_cause().and_then(io_hint),
        ErrorKind::Locked => {
            return Some(match error.holder() {
                Some(pid) if pid == std::process::id() => {
                    "this process has it open already: clone that `Db`, or close it first".to_owned()
                }
                Some(pid) => format!("stop process {pid} or open another directory"),
                None => "stop the process that has it open, or open another directory".to_owned(),
            });
        }
        ErrorKind::Poisoned => {
            "close the database and open it again once the cause is gone: every write that was acknowledged as durable \
             is there then, and those in flight may or may not be"
        }
        ErrorKind::Conflict => "begin the transaction again: it reads what is there now",
        ErrorKind::Busy => "try again",
        ErrorKind::Full => "free disk space and try again: nothing was written",
        ErrorKind::Lost => "read the data again and repeat the write if it is still wanted",
        ErrorKind::TooOld => "start again from the oldest that is there",
        ErrorKind::ManifestMissing => {
            "put the MANIFEST back from a copy of this directory; creating a new database here would hide the old one"
        }
        ErrorKind::Version => "open it with the version of HaloDB that wrote it, or a newer one",
        // Each problem of a file or of the environment carries its own hint.
        ErrorKind::Config if error.config_errors().is_some() => return None,
        ErrorKind::Config => "correct the values named, or leave them out to take what the database was created with",
        ErrorKind::Closed => "open the database again",
        ErrorKind::Clock => {
            "set the machine's clock right; if it is right already, call `Db::confirm_clock`, or open the database again"
        }
        ErrorKind::Forked => "open the database in this process, after the process that has it open has closed it",
    };
    Some(text.to_owned())
}

/// What to do about a refused system call.
fn io_hint(error: &io::Error) -> Option<String> {
    let text = match error.kind() {
        io::ErrorKind::StorageFull => "free disk space and try again",
        io::ErrorKind::QuotaExceeded => "free disk space or raise the quota, then try again",
        io::ErrorKind::PermissionDenied => "give this user the right to read and write the directory and its files",
        io::ErrorKind::ReadOnlyFilesystem => "put the database on a file system that can be written",
        _ if crate::error::passes(error) => "raise the limit of open files (`ulimit -n`) or try again",
        _ => return None,
    };
    Some(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_but_invalid_input_and_unknown_io_says_what_to_do() {
        let kinds = [
            ErrorKind::NotADatabase,
            ErrorKind::NotFound,
            ErrorKind::NoKeyspace,
            ErrorKind::Corrupt,
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
        ];
        for kind in kinds {
            let hint = Error::new(kind, "it failed").hint().unwrap_or_else(|| panic!("{kind:?} has no hint"));
            assert!(!hint.ends_with('.') && !hint.contains("  "), "{hint}");
        }
        assert_eq!(Error::new(ErrorKind::InvalidInput, "the key is empty").hint(), None);
    }

    #[test]
    fn a_full_disk_under_a_file_is_recognised_in_the_chain() {
        let error = Error::io("cannot write", io::Error::from_raw_os_error(28));
        assert_eq!(error.hint().as_deref(), Some("free disk space and try again"));
        let error = Error::io("cannot open", io::Error::from_raw_os_error(24));
        assert!(error.hint().is_some_and(|h| h.contains("ulimit")));
    }
}
