//! The calls of [`State`] that concern names: open, rename, remove, list, lock.
//!
//! Each checks everything before it changes anything, records what it did, and leaves durability to the history.

use super::fault::{Call, Fault};
use super::memory::Memory;
use super::ops::{Inode, Name, Op, What};
use super::pages::Pages;
use super::state::{Live, State};
use super::tree::{Place, errno};
use crate::{DirEntry, EntryKind, LockError, OpenMode};
use std::io;
use std::path::Path;

impl State {
    pub(super) fn create_file(&mut self, name: Name) -> Inode {
        let inode = self.new_inode();
        self.tree.create(&name, inode, What::File);
        let memory = Memory::Pages(Pages::default());
        self.files.insert(inode, Live { memory, named: true, handles: 0 });
        self.log.push(Op::Create { name, inode, what: What::File });
        inode
    }

    /// Takes a handle of the file; [`State::close`] gives it back.
    pub(super) fn open(&mut self, path: &Path, mode: OpenMode) -> io::Result<Inode> {
        self.call(Call::Open)?;
        let inode = match self.tree.walk(path)? {
            Place::Unnamed(_) if mode == OpenMode::CreateNew => return Err(errno(libc::EEXIST)),
            Place::Unnamed(_) => return Err(errno(libc::EISDIR)),
            Place::Named(_, Some(_)) if mode == OpenMode::CreateNew => {
                return Err(errno(libc::EEXIST));
            }
            Place::Named(_, Some(inode)) if self.tree.what(inode) == What::Dir => {
                return Err(errno(libc::EISDIR));
            }
            Place::Named(_, Some(inode)) => inode,
            Place::Named(name, None) if matches!(mode, OpenMode::Create | OpenMode::CreateNew) => {
                self.create_file(name)
            }
            Place::Named(_, None) => return Err(errno(libc::ENOENT)),
        };
        self.live(inode)?.handles += 1;
        Ok(inode)
    }

    pub(super) fn close(&mut self, inode: Inode) {
        if let Some(live) = self.files.get_mut(&inode) {
            live.handles -= 1;
        }
        self.forget_if_unused(inode);
    }

    fn unlink(&mut self, inode: Inode) {
        if let Some(live) = self.files.get_mut(&inode) {
            live.named = false;
        }
        self.forget_if_unused(inode);
    }

    fn forget_if_unused(&mut self, inode: Inode) {
        if self.files.get(&inode).is_some_and(|live| !live.named && live.handles == 0) {
            self.files.remove(&inode);
        }
    }

    pub(super) fn create_dir(&mut self, path: &Path) -> io::Result<()> {
        self.call(Call::CreateDir)?;
        let Place::Named(name, None) = self.tree.walk(path)? else {
            return Err(errno(libc::EEXIST));
        };
        let inode = self.new_inode();
        self.tree.create(&name, inode, What::Dir);
        self.log.push(Op::Create { name, inode, what: What::Dir });
        Ok(())
    }

    fn entry_kind(&self, inode: Inode) -> EntryKind {
        match self.tree.what(inode) {
            What::File => EntryKind::File,
            What::Dir => EntryKind::Dir,
        }
    }

    pub(super) fn read_dir(&mut self, path: &Path) -> io::Result<Vec<DirEntry>> {
        self.call(Call::ReadDir)?;
        let dir = self.tree.find_dir(path)?;
        let entries = self.tree.entries(dir);
        let mut entries: Vec<DirEntry> = entries
            .map(|(name, inode)| DirEntry { name: name.to_string_lossy().into_owned(), kind: self.entry_kind(inode) })
            .collect();
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    pub(super) fn kind(&mut self, path: &Path) -> io::Result<Option<EntryKind>> {
        self.call(Call::Kind)?;
        match self.tree.find(path) {
            Ok(inode) => Ok(Some(self.entry_kind(inode))),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e),
        }
    }

    pub(super) fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        self.call(Call::Rename)?;
        let Some(renamed) = self.tree.rename(from, to)? else {
            return Ok(());
        };
        self.log.push(Op::Rename { from: renamed.from, to: renamed.to, inode: renamed.inode });
        if let Some(replaced) = renamed.replaced {
            self.unlink(replaced);
        }
        Ok(())
    }

    pub(super) fn exchange(&mut self, a: &Path, b: &Path) -> io::Result<()> {
        self.call(Call::Exchange)?;
        if let Some((a, b)) = self.tree.exchange(a, b)? {
            self.log.push(Op::Exchange { a, b });
        }
        Ok(())
    }

    pub(super) fn remove(&mut self, path: &Path, what: What) -> io::Result<()> {
        self.call(match what {
            What::File => Call::RemoveFile,
            What::Dir => Call::RemoveDir,
        })?;
        let (name, inode) = self.tree.remove(path, what)?;
        self.log.push(Op::Remove { name });
        self.unlink(inode);
        Ok(())
    }

    pub(super) fn sync_dir(&mut self, path: &Path) -> io::Result<()> {
        let fault = self.faults.count(Call::SyncDir);
        let dir = self.tree.find_dir(path)?;
        match fault {
            None => self.log.push(Op::SyncDir { dir }),
            Some(Fault::SyncLies) => {}
            Some(fault) => return Err(fault.error()),
        }
        Ok(())
    }

    /// Locks a file; [`State::unlock`] undoes it.
    pub(super) fn lock(&mut self, path: &Path) -> Result<Inode, LockError> {
        self.call(Call::Lock)?;
        let inode = match self.tree.walk(path)? {
            Place::Named(_, Some(inode)) if self.tree.what(inode) == What::File => inode,
            Place::Named(name, None) => self.create_file(name),
            _ => return Err(LockError::Io(errno(libc::EISDIR))),
        };
        if !self.locks.insert(inode) {
            return Err(LockError::Held { pid: Some(std::process::id()) });
        }
        let pid = format!("{}\n", std::process::id());
        let written = self.write_all(inode, 0, pid.as_bytes());
        if let Err(e) = written.and_then(|()| self.cut(inode, pid.len() as u64)) {
            self.locks.remove(&inode);
            return Err(LockError::Io(e));
        }
        Ok(inode)
    }

    /// Releases a lock, unless its process died and took it along.
    pub(super) fn unlock(&mut self, life: u64, inode: Inode) {
        if self.check_life(life).is_ok() {
            self.locks.remove(&inode);
        }
    }
}
