//! [`FileLock`]: an advisory lock on a real file.
//!
//! Format of a lock file: the holder's process id in decimal and a line feed. It informs, and decides nothing: the lock
//! is `flock`'s, which the system releases with the process, so a left-over file means nothing and is never removed.
//!
//! Lock order: the table `HELD` is a leaf. No other mutex is taken while it is locked, and nobody calls out of it.

use crate::{LockError, Process};
use parking_lot::Mutex;
use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

/// The files that this process has locked, by device and inode. `flock` binds a lock to an open file description, so it
/// refuses a second one in this process too; but where it is emulated (NFS), it does not, and closing another
/// descriptor of the file would even release the lock. The table is therefore asked before the file is opened. In front
/// stands the process: a forked child has the table of its parent, and none of the locks.
static HELD: Mutex<BTreeSet<(u32, u64, u64)>> = Mutex::new(BTreeSet::new());

/// A locked file; the lock ends when this is dropped.
pub(crate) struct FileLock {
    file: fs::File,
    inode: (u64, u64),
    taken_by: Process,
}

impl FileLock {
    /// Locks `path`, which is created if missing.
    pub(crate) fn take(path: &Path) -> Result<FileLock, LockError> {
        let taken_by = Process::this();
        let mut held = HELD.lock();
        match fs::metadata(path) {
            Ok(meta) if held.contains(&(taken_by.id(), meta.dev(), meta.ino())) => {
                return Err(LockError::Held { pid: Some(taken_by.id()) });
            }
            _ => {}
        }
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => {
                return Err(LockError::Held { pid: read_pid(&file) });
            }
            Err(fs::TryLockError::Error(e)) => return Err(LockError::Io(e)),
        }
        let meta = file.metadata()?;
        write_pid(&file)?;
        let inode = (meta.dev(), meta.ino());
        held.insert((taken_by.id(), inode.0, inode.1));
        Ok(FileLock { file, inode, taken_by })
    }
}

impl Drop for FileLock {
    fn drop(&mut self) {
        if !self.taken_by.is_this() {
            // The lock belongs to the file description, which a forked child shares: it is its parent's to release.
            return;
        }
        let mut held = HELD.lock();
        // Closing alone would leave the lock to a forked child that still has the descriptor.
        let _ = self.file.unlock();
        held.remove(&(self.taken_by.id(), self.inode.0, self.inode.1));
    }
}

/// Overwrites first and cuts then: a full disk has room for what replaces an older id.
fn write_pid(file: &fs::File) -> io::Result<()> {
    let line = format!("{}\n", std::process::id());
    file.write_all_at(line.as_bytes(), 0)?;
    file.set_len(line.len() as u64)
}

/// The process id in the first line, if there is one.
fn read_pid(file: &fs::File) -> Option<u32> {
    let mut buf = [0; 16];
    let n = file.read_at(&mut buf, 0).ok()?;
    std::str::from_utf8(&buf[..n]).ok()?.lines().next()?.parse().ok()
}
