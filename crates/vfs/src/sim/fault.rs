//! [`Fault`], [`Repeat`], and the schedule that decides which call they strike.
//!
//! The schedule counts calls and nothing else; what a struck call does is the business of the call.

use std::io;

/// What an injected fault does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// The call fails with this `errno` and does nothing: `EIO` for a worn disk, `ENOSPC` for a full one, `EROFS` for
    /// one that the system has set to read-only, `EMFILE` where descriptors run out, `EINTR` for a signal.
    ///
    /// [`crate::FileExt`] repeats transfers that were interrupted, so a sticky `EINTR` on these never ends.
    ///
    /// A synchronisation that fails like this leaves all writes pending: a later one makes them durable.
    Errno(i32),
    /// A read or write transfers only a part: at least one byte of two or more, never all. A transfer of a single byte
    /// transfers nothing, which [`crate::FileExt`] reports as an error. Other calls fail with `EIO`.
    Short,
    /// A synchronisation of a file fails with `EIO`, and the system believes its pages to be clean from then on, as
    /// Linux does: reads still show the writes, later synchronisations succeed, but what was pending becomes durable
    /// only if it is written again. Lengths stay pending in the ordinary way. Other calls, `sync_dir` among them,
    /// fail with `EIO` and do nothing.
    SyncFailsClean,
    /// A synchronisation of a file or directory reports success and does nothing, as a disk does whose cache loses its
    /// contents. An honest one later makes everything durable. Other calls fail with `EIO`.
    SyncLies,
}

impl Fault {
    /// The error with which a call fails that cannot do anything more particular.
    pub(super) fn error(self) -> io::Error {
        io::Error::from_raw_os_error(match self {
            Fault::Errno(code) => code,
            Fault::Short | Fault::SyncFailsClean | Fault::SyncLies => libc::EIO,
        })
    }
}

/// How long an injected fault lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repeat {
    /// It strikes one call.
    Once,
    /// It strikes every call of the same kind from then on.
    Sticky,
}

/// The kinds of fallible calls; a sticky fault stays with the kind that it struck first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Call {
    Open,
    Read,
    Write,
    Sync,
    Len,
    SetLen,
    Map,
    CreateDir,
    ReadDir,
    Kind,
    Rename,
    Exchange,
    RemoveFile,
    RemoveDir,
    SyncDir,
    Lock,
}

/// The schedule of faults of one disk.
#[derive(Debug, Default)]
pub(super) struct Faults {
    calls: u64,
    struck: u64,
    planned: Vec<(u64, Fault, Repeat)>,
    sticky: Vec<(Call, Fault)>,
}

impl Faults {
    pub(super) fn calls(&self) -> u64 {
        self.calls
    }

    pub(super) fn struck(&self) -> u64 {
        self.struck
    }

    pub(super) fn inject(&mut self, call: u64, fault: Fault, repeat: Repeat) {
        self.planned.push((self.calls.saturating_add(call), fault, repeat));
    }

    pub(super) fn heal(&mut self) {
        self.planned.clear();
        self.sticky.clear();
    }

    /// Counts one call and says which fault strikes it, if any.
    pub(super) fn count(&mut self, call: Call) -> Option<Fault> {
        let now = self.calls;
        self.calls += 1;
        let fault = match self.planned.iter().position(|(at, ..)| *at == now) {
            Some(i) => {
                let (_, fault, repeat) = self.planned.swap_remove(i);
                if repeat == Repeat::Sticky {
                    self.sticky.push((call, fault));
                }
                Some(fault)
            }
            None => self.sticky.iter().find(|(kind, _)| *kind == call).map(|(_, fault)| *fault),
        };
        self.struck += u64::from(fault.is_some());
        fault
    }
}
