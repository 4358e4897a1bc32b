//! [`FullDisk`]: a simulated disk that can be full: it refuses new space and lets everything else go on. It can also be slow
//! when a tree is synchronised.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

use halodb::vfs::{DirEntry, EntryKind, File, Lock, LockError, Mapping, OpenMode, SimVfs, Vfs};

/// What finds no space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Full {
    /// Nothing: there is space.
    No = 0,
    /// Pages of trees, beyond the two metas that are always there.
    Trees = 1,
    /// New files and longer files of the log.
    Log = 2,
}

const NO_SPACE: i32 = 28;

/// A simulated disk and its state. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct FullDisk {
    pub(crate) disk: SimVfs,
    full: Arc<AtomicU8>,
    tree_sync_ms: Arc<AtomicU64>,
}

impl FullDisk {
    /// How long each synchronisation of a tree takes from now on.
    pub(crate) fn set_tree_sync_ms(&self, ms: u64) {
        self.tree_sync_ms.store(ms, Ordering::SeqCst);
    }

    pub(crate) fn set(&self, full: Full) {
        self.full.store(full as u8, Ordering::SeqCst);
    }
}

fn refuse_if(full: bool) -> io::Result<()> {
    if full { Err(io::Error::from_raw_os_error(NO_SPACE)) } else { Ok(()) }
}

#[derive(Debug)]
struct FullFile {
    file: Arc<dyn File>,
    /// The state in which this file gets no space.
    when: Full,
    full: Arc<AtomicU8>,
    tree_sync_ms: Arc<AtomicU64>,
}

impl FullFile {
    fn is_full(&self) -> bool {
        self.full.load(Ordering::SeqCst) == self.when as u8
    }
}

/// Two metas of the smallest page size, which these tests use.
const METAS_LEN: u64 = 2 * 4096;

impl File for FullFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(buf, offset)
    }
    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<usize> {
        let there = match self.when {
            Full::Trees => METAS_LEN,
            _ => self.file.len()?,
        };
        refuse_if(self.is_full() && offset + buf.len() as u64 > there)?;
        self.file.write_at(buf, offset)
    }
    fn sync_data(&self) -> io::Result<()> {
        if self.when == Full::Trees {
            std::thread::sleep(Duration::from_millis(self.tree_sync_ms.load(Ordering::SeqCst)));
        }
        self.file.sync_data()
    }
    fn sync_all(&self) -> io::Result<()> {
        self.file.sync_all()
    }
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        refuse_if(self.is_full() && len > self.file.len()?)?;
        self.file.set_len(len)
    }
    fn map(&self, len: u64) -> io::Result<Mapping> {
        self.file.map(len)
    }
}

impl Vfs for FullDisk {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>> {
        let when = if path.ends_with("tree.db") { Full::Trees } else { Full::Log };
        let new = matches!(mode, OpenMode::Create | OpenMode::CreateNew) && self.disk.kind(path)?.is_none();
        refuse_if(new && self.full.load(Ordering::SeqCst) == when as u8)?;
        let file = self.disk.open(path, mode)?;
        let (full, tree_sync_ms) = (Arc::clone(&self.full), Arc::clone(&self.tree_sync_ms));
        Ok(Arc::new(FullFile { file, when, full, tree_sync_ms }))
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
    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.disk.remove_file(path)
    }
    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        self.disk.remove_dir(path)
    }
    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.disk.sync_dir(path)
    }
    fn lock(&self, path: &Path) -> Result<Lock, LockError> {
        self.disk.lock(path)
    }
}
