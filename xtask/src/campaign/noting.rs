//! [`noting`]: a disk that writes down which of its calls were synchronisations, of files and of directories, so that
//! faults can be aimed at them: they are few, and a failed one does the most harm.

use halodb::vfs::{DirEntry, EntryKind, File, Lock, LockError, Mapping, OpenMode, SimVfs, Vfs};
use std::cell::RefCell;
use std::io;
use std::path::Path;
use std::sync::Arc;

thread_local! {
    static SYNCS: RefCell<Vec<u64>> = const { RefCell::new(Vec::new()) };
}

/// The disk as it is; what it notes is given by [`noted`] on the same thread.
pub fn noting(disk: SimVfs) -> Arc<dyn Vfs> {
    Arc::new(NotingVfs { disk })
}

/// The numbers of the calls, as [`SimVfs::inject`] counts them, that synchronised a file or a directory since the last time.
pub fn noted() -> Vec<u64> {
    SYNCS.with(|syncs| std::mem::take(&mut *syncs.borrow_mut()))
}

#[derive(Debug)]
struct NotingVfs {
    disk: SimVfs,
}

#[derive(Debug)]
struct NotingFile {
    disk: SimVfs,
    inner: Arc<dyn File>,
}

fn note(disk: &SimVfs) {
    SYNCS.with(|syncs| syncs.borrow_mut().push(disk.calls()));
}

impl File for NotingFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.inner.read_at(buf, offset)
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<usize> {
        self.inner.write_at(buf, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        note(&self.disk);
        self.inner.sync_data()
    }

    fn sync_all(&self) -> io::Result<()> {
        note(&self.disk);
        self.inner.sync_all()
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

impl Vfs for NotingVfs {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>> {
        let inner = self.disk.open(path, mode)?;
        Ok(Arc::new(NotingFile { disk: self.disk.clone(), inner }))
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.disk.create_dir(path)
    }

    fn read_dir(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        self.disk.read_dir(path)
    }

    fn kind(&self, path: &Path) -> io::Result<Option<EntryKind>> {
        self.disk.kind(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.rename(from, to)
    }

    fn exchange(&self, a: &Path, b: &Path) -> io::Result<()> {
        self.disk.exchange(a, b)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.disk.remove_file(path)
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        self.disk.remove_dir(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        note(&self.disk);
        self.disk.sync_dir(path)
    }

    fn lock(&self, path: &Path) -> Result<Lock, LockError> {
        self.disk.lock(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_are_those_at_which_a_fault_strikes_the_synchronisation() {
        let disk = SimVfs::new();
        let file = noting(disk.clone()).open(Path::new("f"), OpenMode::Create).unwrap();
        file.write_at(b"x", 0).unwrap();
        file.sync_data().unwrap();
        noting(disk.clone()).sync_dir(Path::new("")).unwrap();
        assert_eq!(noted(), [2, 3]);
        assert!(noted().is_empty());
    }
}
