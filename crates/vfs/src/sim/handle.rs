//! [`SimFile`] and [`SimLock`]: what a process holds of a simulated disk.
//!
//! Both refer to inodes, so they outlive renames and removals of names; dropping them gives the inode back.

use super::ops::Inode;
use super::state::State;
use crate::{File, Mapping};
use parking_lot::Mutex;
use std::fmt;
use std::io;
use std::sync::Arc;

/// An open file.
pub(super) struct SimFile {
    disk: Arc<Mutex<State>>,
    inode: Inode,
    writable: bool,
}

impl SimFile {
    /// Wraps a handle that [`State::open`] has counted.
    pub(super) fn new(disk: Arc<Mutex<State>>, inode: Inode, writable: bool) -> Self {
        Self {
            disk,
            inode,
            writable,
        }
    }
}

impl Drop for SimFile {
    fn drop(&mut self) {
        self.disk.lock().close(self.inode);
    }
}

impl fmt::Debug for SimFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimFile")
            .field("inode", &self.inode.0)
            .field("writable", &self.writable)
            .finish()
    }
}

impl File for SimFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.disk.lock().read_at(self.inode, buf, offset)
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<usize> {
        self.disk
            .lock()
            .write_at(self.inode, self.writable, buf, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.disk.lock().sync(self.inode)
    }

    fn sync_all(&self) -> io::Result<()> {
        self.disk.lock().sync(self.inode)
    }

    fn len(&self) -> io::Result<u64> {
        self.disk.lock().len(self.inode)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.disk.lock().set_len(self.inode, self.writable, len)
    }

    fn map(&self, len: u64) -> io::Result<Mapping> {
        self.disk.lock().map(self.inode, len)
    }
}

/// A held lock.
pub(super) struct SimLock {
    disk: Arc<Mutex<State>>,
    inode: Inode,
}

impl SimLock {
    /// Wraps a lock that [`State::lock`] has granted.
    pub(super) fn new(disk: Arc<Mutex<State>>, inode: Inode) -> Self {
        Self { disk, inode }
    }
}

impl Drop for SimLock {
    fn drop(&mut self) {
        self.disk.lock().unlock(self.inode);
    }
}
