//! [`Fleeting`]: a file system as files see it that need not survive the process: whatever asks to be made durable is not.
//!
//! The page files of runs (`spill.rs`) are written and read by the same code as those of trees, which synchronises. Of a file that
//! nobody opens again that would cost a write to the disk of what may be gone from memory before the system would have
//! written it. Everything else is passed on: so short writes, full disks and bad pages are met as in any other file.
//!
//! What this file does not do: it removes nothing.

use halodb_vfs::{DirEntry, EntryKind, File, Lock, LockError, Mapping, OpenMode, Vfs};
use std::io;
use std::path::Path;
use std::sync::Arc;

/// See the head of this file.
#[derive(Debug)]
pub(crate) struct Fleeting(pub(crate) Arc<dyn Vfs>);

impl Vfs for Fleeting {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>> {
        Ok(Arc::new(FleetingFile(self.0.open(path, mode)?)))
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.0.create_dir(path)
    }

    fn read_dir(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        self.0.read_dir(path)
    }

    fn kind(&self, path: &Path) -> io::Result<Option<EntryKind>> {
        self.0.kind(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.0.rename(from, to)
    }

    fn exchange(&self, a: &Path, b: &Path) -> io::Result<()> {
        self.0.exchange(a, b)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.0.remove_file(path)
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        self.0.remove_dir(path)
    }

    /// Nothing.
    fn sync_dir(&self, _path: &Path) -> io::Result<()> {
        Ok(())
    }

    fn lock(&self, path: &Path) -> Result<Lock, LockError> {
        self.0.lock(path)
    }
}

#[derive(Debug)]
struct FleetingFile(Arc<dyn File>);

impl File for FleetingFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.0.read_at(buf, offset)
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<usize> {
        self.0.write_at(buf, offset)
    }

    /// Nothing.
    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    /// Nothing.
    fn sync_all(&self) -> io::Result<()> {
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn map(&self, len: u64) -> io::Result<Mapping> {
        self.0.map(len)
    }
}
