//! [`OsVfs`]: the real file system, on Linux and macOS.
//!
//! Each call is one system call, or the few that make both systems answer alike. What it does not do: it knows no
//! `O_DIRECT`, preallocates nothing, and does not try a failed synchronisation again.

use crate::flock::FileLock;
use crate::mapping::Residency;
use crate::{DirEntry, EntryKind, File, Lock, LockError, Mapping, OpenMode, Vfs};
use memmap2::MmapOptions;
use std::ffi::CString;
use std::fs::{self, OpenOptions};
use std::io;
#[cfg(target_os = "linux")]
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;

/// The operating system's file system.
#[derive(Clone, Copy, Debug, Default)]
pub struct OsVfs;

/// An open file of the operating system.
#[derive(Debug)]
pub(crate) struct OsFile(fs::File);

impl OsFile {
    pub(crate) fn new(file: fs::File) -> Self {
        Self(file)
    }

    /// Whether it is open for writing.
    #[cfg(target_os = "linux")]
    #[expect(unsafe_code, reason = "a system call without pointers")]
    fn may_write(&self) -> bool {
        // SAFETY: the descriptor is open as long as `self`, and no memory is handed over.
        let flags = unsafe { libc::fcntl(self.0.as_raw_fd(), libc::F_GETFL) };
        flags >= 0 && flags & libc::O_ACCMODE != libc::O_RDONLY
    }

    #[cfg(not(target_os = "linux"))]
    fn may_write(&self) -> bool {
        false
    }
}

/// Repeats a call that a signal has interrupted. The other calls in this file are repeated by std.
fn retry<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

impl File for OsFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        retry(|| self.0.read_at(buf, offset))
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<usize> {
        retry(|| self.0.write_at(buf, offset))
    }

    // On macOS std issues F_FULLFSYNC for both.
    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn sync_all(&self) -> io::Result<()> {
        self.0.sync_all()
    }

    /// `sync_file_range` without any of its flags to wait: those would take errors of earlier writes away from the next
    /// `fdatasync`, this one only hands pages to the disk's queue. PostgreSQL and RocksDB (`bytes_per_sync`) do the same.
    #[cfg(target_os = "linux")]
    #[expect(unsafe_code, reason = "a system call without pointers")]
    fn begin_writing(&self, offset: u64, len: u64) {
        let (Ok(offset), Ok(len)) = (offset.try_into(), len.try_into()) else { return };
        // SAFETY: the descriptor is open as long as `self`, and no memory is handed over.
        unsafe { libc::sync_file_range(self.0.as_raw_fd(), offset, len, libc::SYNC_FILE_RANGE_WRITE) };
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        // Where the system would answer with a number, std answers without one.
        if i64::try_from(len).is_err() {
            return Err(io::Error::from_raw_os_error(libc::EINVAL));
        }
        self.0.set_len(len)
    }

    fn map(&self, len: u64) -> io::Result<Mapping> {
        let len = usize::try_from(len).map_err(|_| io::Error::from(io::ErrorKind::OutOfMemory))?;
        let raw = MmapOptions::new().len(len).map_raw_read_only(&self.0)?;
        Ok(Mapping::new(raw, if self.may_write() { Residency::Told } else { Residency::Unknown }))
    }
}

/// The empty path is the parent of a plain relative name: the current directory.
fn dir_path(path: &Path) -> &Path {
    if path.as_os_str().is_empty() { Path::new(".") } else { path }
}

fn kind_of(t: fs::FileType) -> EntryKind {
    if t.is_file() {
        EntryKind::File
    } else if t.is_dir() {
        EntryKind::Dir
    } else {
        EntryKind::Other
    }
}

impl Vfs for OsVfs {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>> {
        let mut options = OpenOptions::new();
        options.read(true);
        match mode {
            OpenMode::Read => {}
            OpenMode::ReadWrite => {
                options.write(true);
            }
            OpenMode::Create => {
                options.write(true).create(true).truncate(false);
            }
            OpenMode::CreateNew => {
                options.write(true).create_new(true);
            }
        }
        let file = options.open(path)?;
        // The other modes are refused by the system: a directory opens for reading only, and then reads nothing.
        if mode == OpenMode::Read && file.metadata()?.is_dir() {
            return Err(io::Error::from_raw_os_error(libc::EISDIR));
        }
        Ok(Arc::new(OsFile(file)))
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        fs::create_dir(path)
    }

    fn read_dir(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(dir_path(path))? {
            let entry = entry?;
            let kind = match entry.file_type() {
                Ok(t) => kind_of(t),
                // Some file systems have to be asked a second time, and somebody was faster.
                Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
                Err(e) => return Err(e),
            };
            entries.push(DirEntry { name: entry.file_name().to_string_lossy().into_owned(), kind });
        }
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    fn kind(&self, path: &Path) -> io::Result<Option<EntryKind>> {
        match fs::metadata(dir_path(path)) {
            Ok(m) => Ok(Some(kind_of(m.file_type()))),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e),
        }
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    #[expect(unsafe_code, reason = "a system call that std does not have, with two C strings")]
    fn exchange(&self, a: &Path, b: &Path) -> io::Result<()> {
        let name = |path: &Path| CString::new(path.as_os_str().as_bytes()).map_err(io::Error::from);
        let (a, b) = (name(a)?, name(b)?);
        // SAFETY: both pointers are to C strings that live until the call returns.
        #[cfg(target_os = "linux")]
        let done =
            unsafe { libc::renameat2(libc::AT_FDCWD, a.as_ptr(), libc::AT_FDCWD, b.as_ptr(), libc::RENAME_EXCHANGE) };
        // SAFETY: both pointers are to C strings that live until the call returns.
        #[cfg(target_os = "macos")]
        let done = unsafe { libc::renamex_np(a.as_ptr(), b.as_ptr(), libc::RENAME_SWAP) };
        if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        fs::remove_dir(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        let mut options = OpenOptions::new();
        options.read(true).custom_flags(libc::O_DIRECTORY);
        options.open(dir_path(path))?.sync_all()
    }

    fn lock(&self, path: &Path) -> Result<Lock, LockError> {
        Ok(Lock::new(FileLock::take(path)?))
    }
}
