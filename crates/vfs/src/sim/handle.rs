//! [`SimFile`] and [`SimLock`]: what a process holds of a simulated disk.
//!
//! Both refer to inodes, so they outlive renames and removals of names; dropping them gives the inode back. They do not
//! outlive the process they belong to: [`Access`].

use super::ops::Inode;
use super::state::State;
use crate::{File, Mapping};
use parking_lot::{Mutex, MutexGuard};
use std::fmt;
use std::io;
use std::sync::Arc;

/// One process's access to a disk: it ends with the process's life.
#[derive(Clone)]
pub(super) struct Access {
    pub(super) disk: Arc<Mutex<State>>,
    pub(super) life: u64,
}

impl Access {
    /// The disk, for a call of the process.
    pub(super) fn call(&self) -> io::Result<MutexGuard<'_, State>> {
        let state = self.disk.lock();
        state.check_life(self.life)?;
        Ok(state)
    }
}

/// An open file.
pub(super) struct SimFile {
    access: Access,
    inode: Inode,
    writable: bool,
}

impl SimFile {
    /// Wraps a handle that [`State::open`] has counted.
    pub(super) fn new(access: Access, inode: Inode, writable: bool) -> Self {
        Self { access, inode, writable }
    }
}

impl Drop for SimFile {
    fn drop(&mut self) {
        self.access.disk.lock().close(self.inode);
    }
}

impl fmt::Debug for SimFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimFile").field("inode", &self.inode.0).field("writable", &self.writable).finish()
    }
}

impl File for SimFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.access.call()?.read_at(self.inode, buf, offset)
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<usize> {
        self.access.call()?.write_at(self.inode, self.writable, buf, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.access.call()?.sync(self.inode)
    }

    fn sync_all(&self) -> io::Result<()> {
        self.access.call()?.sync(self.inode)
    }

    fn len(&self) -> io::Result<u64> {
        self.access.call()?.len(self.inode)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.access.call()?.set_len(self.inode, self.writable, len)
    }

    fn map(&self, len: u64) -> io::Result<Mapping> {
        self.access.call()?.map(self.inode, len)
    }
}

/// A held lock.
pub(super) struct SimLock {
    access: Access,
    inode: Inode,
}

impl SimLock {
    /// Wraps a lock that [`State::lock`] has granted.
    pub(super) fn new(access: Access, inode: Inode) -> Self {
        Self { access, inode }
    }
}

impl Drop for SimLock {
    fn drop(&mut self) {
        self.access.disk.lock().unlock(self.access.life, self.inode);
    }
}
