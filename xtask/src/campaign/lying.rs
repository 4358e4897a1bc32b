//! [`LyingVfs`]: a disk that says "synchronised" and does nothing, so that the campaigns can be seen to fail.
//!
//! A campaign that finds no loss on this disk proves nothing about any other.

use halodb::vfs::{DirEntry, EntryKind, File, Lock, LockError, Mapping, OpenMode, Vfs};
use std::io;
use std::path::Path;
use std::sync::Arc;

/// What the disk claims to have done and has not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lie {
    /// Contents of files whose name contains this text were synchronised.
    Contents(&'static str),
    /// Names were synchronised.
    Names,
}

/// A [`Vfs`] that passes everything on but some synchronisations.
#[derive(Debug)]
pub struct LyingVfs {
    inner: Arc<dyn Vfs>,
    lie: Lie,
}

impl LyingVfs {
    /// Lies about what `inner` would have done.
    pub fn new(inner: Arc<dyn Vfs>, lie: Lie) -> LyingVfs {
        LyingVfs { inner, lie }
    }
}

#[derive(Debug)]
struct LyingFile {
    inner: Arc<dyn File>,
}

impl File for LyingFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.inner.read_at(buf, offset)
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<usize> {
        self.inner.write_at(buf, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn sync_all(&self) -> io::Result<()> {
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        self.inner.len()
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.inner.set_len(len)
    }

    fn map(&self, len: u64) -> io::Result<Mapping> {
        self.inner.map(len)
    }
}

impl Vfs for LyingVfs {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>> {
        let inner = self.inner.open(path, mode)?;
        match self.lie {
            Lie::Contents(part) if path.to_string_lossy().contains(part) => Ok(Arc::new(LyingFile { inner })),
            _ => Ok(inner),
        }
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.inner.create_dir(path)
    }

    fn read_dir(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        self.inner.read_dir(path)
    }

    fn kind(&self, path: &Path) -> io::Result<Option<EntryKind>> {
        self.inner.kind(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.inner.rename(from, to)
    }

    fn exchange(&self, a: &Path, b: &Path) -> io::Result<()> {
        self.inner.exchange(a, b)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.inner.remove_file(path)
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        self.inner.remove_dir(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        if self.lie == Lie::Names { Ok(()) } else { self.inner.sync_dir(path) }
    }

    fn lock(&self, path: &Path) -> Result<Lock, LockError> {
        self.inner.lock(path)
    }
}
