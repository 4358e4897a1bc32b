//! [`Memory`]: what a running process sees of a simulated file, before any power loss.
//!
//! Contents stay in shared [`Pages`] until somebody maps the file. From then on they live in an anonymous file of the
//! operating system, so that mappings are real ones: they show later writes, reserve addresses beyond the end, and
//! raise the same `SIGBUS` there. A file that is never mapped costs no descriptor.

use super::pages::Pages;
use crate::{FileExt as _, Mapping, os};
use std::io;

/// The present contents of one file.
#[derive(Debug)]
pub(super) enum Memory {
    /// Not mapped so far.
    Pages(Pages),
    /// Mapped at least once.
    Mapped(os::OsFile),
}

impl Memory {
    pub(super) fn len(&self) -> io::Result<u64> {
        match self {
            Memory::Pages(pages) => Ok(pages.len()),
            Memory::Mapped(file) => crate::File::len(file),
        }
    }

    pub(super) fn read(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        match self {
            Memory::Pages(pages) => Ok(pages.read(buf, offset)),
            Memory::Mapped(file) => crate::File::read_at(file, buf, offset),
        }
    }

    pub(super) fn write_all(&mut self, data: &[u8], offset: u64) -> io::Result<()> {
        match self {
            Memory::Pages(pages) => {
                pages.write(data, offset);
                Ok(())
            }
            Memory::Mapped(file) => file.write_all_at(data, offset),
        }
    }

    pub(super) fn set_len(&mut self, len: u64) -> io::Result<()> {
        match self {
            Memory::Pages(pages) => {
                pages.set_len_to(len);
                Ok(())
            }
            Memory::Mapped(file) => crate::File::set_len(file, len),
        }
    }

    /// A copy of the contents; cheap as long as the file was never mapped.
    pub(super) fn pages(&self) -> io::Result<Pages> {
        match self {
            Memory::Pages(pages) => Ok(pages.clone()),
            Memory::Mapped(file) => {
                let mut bytes = vec![0; crate::File::len(file)? as usize];
                file.read_exact_at(&mut bytes, 0)?;
                Ok(Pages::from_bytes(&bytes))
            }
        }
    }

    pub(super) fn replace(&mut self, new: Pages) -> io::Result<()> {
        match self {
            Memory::Pages(pages) => *pages = new,
            Memory::Mapped(file) => {
                let mut bytes = vec![0; new.len() as usize];
                new.read(&mut bytes, 0);
                file.write_all_at(&bytes, 0)?;
                crate::File::set_len(file, new.len())?;
            }
        }
        Ok(())
    }

    pub(super) fn map(&mut self, len: u64) -> io::Result<Mapping> {
        if let Memory::Pages(pages) = self {
            let file = os::OsFile::new(anonymous_file()?);
            for (offset, bytes) in pages.runs() {
                file.write_all_at(bytes, offset)?;
            }
            crate::File::set_len(&file, pages.len())?;
            *self = Memory::Mapped(file);
        }
        match self {
            Memory::Pages(_) => unreachable!("the contents were moved just above"),
            Memory::Mapped(file) => Ok(crate::File::map(file, len)?.without_residency()),
        }
    }
}

/// A file without a name that lives in memory.
#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "std has no memfd")]
fn anonymous_file() -> io::Result<std::fs::File> {
    use std::os::fd::FromRawFd;
    // SAFETY: the name is a C string that lives for ever; the flags are valid ones.
    let fd = unsafe { libc::memfd_create(c"halodb-sim".as_ptr(), libc::MFD_CLOEXEC) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor is new, and nobody else knows it.
    Ok(unsafe { std::fs::File::from_raw_fd(fd) })
}

/// A temporary file whose name is removed at once.
#[cfg(not(target_os = "linux"))]
fn anonymous_file() -> io::Result<std::fs::File> {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let path = std::env::temp_dir().join(format!("halodb-sim-{}-{number}", std::process::id()));
    let file = std::fs::OpenOptions::new().read(true).write(true).create_new(true).open(&path)?;
    std::fs::remove_file(&path)?;
    Ok(file)
}
