//! [`State`]: everything behind a simulated disk's mutex, and the operations on it.
//!
//! Every operation counts its call, changes what the process sees ([`Tree`], [`Memory`]) and records itself in the
//! history. Nothing here decides what is durable: that is derived from the history, when somebody asks.

use super::fault::{Call, Fault, Faults};
use super::medium::Medium;
use super::memory::Memory;
use super::ops::{Inode, Name, Op, ROOT, What};
use super::pages::Pages;
use super::tree::{Place, Tree, errno};
use crate::{DirEntry, EntryKind, LockError, OpenMode};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The greatest offset that a file can have.
const MAX_OFFSET: u64 = i64::MAX as u64;

/// A file that has a name, or is open.
#[derive(Debug)]
struct Live {
    memory: Memory,
    named: bool,
    handles: usize,
}

/// One simulated disk.
#[derive(Debug)]
pub(super) struct State {
    /// The medium before the first recorded operation.
    base: Medium,
    log: Vec<Op>,
    /// The medium where it was last asked for, to continue from there.
    cursor: Option<Medium>,
    tree: Tree,
    files: BTreeMap<Inode, Live>,
    next: u64,
    locks: BTreeSet<Inode>,
    pub(super) faults: Faults,
}

impl State {
    pub(super) fn new(base: Medium) -> Self {
        let mut next = ROOT.0 + 1;
        let mut files = BTreeMap::new();
        for (inode, body) in &base.files {
            next = next.max(inode.0 + 1);
            let memory = Memory::Pages(body.pages.clone());
            files.insert(
                *inode,
                Live {
                    memory,
                    named: true,
                    handles: 0,
                },
            );
        }
        let mut dirs = BTreeMap::new();
        for (inode, names) in &base.dirs {
            next = next.max(inode.0 + 1);
            let present = names
                .iter()
                .filter_map(|(name, slot)| Some((name.clone(), slot.inode?)));
            dirs.insert(*inode, present.collect());
        }
        Self {
            base,
            log: Vec::new(),
            cursor: None,
            tree: Tree::new(dirs),
            files,
            next,
            locks: BTreeSet::new(),
            faults: Faults::default(),
        }
    }

    pub(super) fn ops(&self) -> u64 {
        self.log.len() as u64
    }

    /// The medium after the first `at` operations.
    pub(super) fn medium(&mut self, at: u64) -> &Medium {
        let at = at.min(self.ops());
        let start = self.cursor.take().filter(|medium| medium.at <= at);
        let mut medium = start.unwrap_or_else(|| self.base.clone());
        medium.advance(&self.log, at);
        self.cursor.insert(medium)
    }

    /// Replaces the history by its result.
    pub(super) fn start_from(&mut self, base: Medium) {
        self.base = base;
        self.log = Vec::new();
        self.cursor = None;
    }

    fn new_inode(&mut self) -> Inode {
        self.next += 1;
        Inode(self.next - 1)
    }

    fn live(&mut self, inode: Inode) -> io::Result<&mut Live> {
        self.files.get_mut(&inode).ok_or_else(|| errno(libc::EBADF))
    }

    /// Counts a call that an injected fault can only make fail.
    fn call(&mut self, call: Call) -> io::Result<()> {
        match self.faults.count(call) {
            None => Ok(()),
            Some(fault) => Err(fault.error()),
        }
    }

    /// Counts a transfer of `len` bytes, and says how many of them are transferred.
    fn transfer(&mut self, call: Call, len: usize) -> io::Result<usize> {
        match self.faults.count(call) {
            None => Ok(len),
            // Any number will do, as long as it is not always a multiple of a sector.
            Some(Fault::Short) if len > 1 => Ok(1 + (len - 2) * 5 / 8),
            Some(Fault::Short) => Ok(0),
            Some(fault) => Err(fault.error()),
        }
    }
}

/// Names.
impl State {
    fn create_file(&mut self, name: Name) -> Inode {
        let inode = self.new_inode();
        self.tree.create(&name, inode, What::File);
        let memory = Memory::Pages(Pages::default());
        self.files.insert(
            inode,
            Live {
                memory,
                named: true,
                handles: 0,
            },
        );
        self.log.push(Op::Create {
            name,
            inode,
            what: What::File,
        });
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
        if self
            .files
            .get(&inode)
            .is_some_and(|live| !live.named && live.handles == 0)
        {
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
        self.log.push(Op::Create {
            name,
            inode,
            what: What::Dir,
        });
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
            .map(|(name, inode)| DirEntry {
                name: name.to_string_lossy().into_owned(),
                kind: self.entry_kind(inode),
            })
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
        self.log.push(Op::Rename {
            from: renamed.from,
            to: renamed.to,
            inode: renamed.inode,
        });
        if let Some(replaced) = renamed.replaced {
            self.unlink(replaced);
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
        self.call(Call::SyncDir)?;
        let dir = self.tree.find_dir(path)?;
        self.log.push(Op::SyncDir { dir });
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
            return Err(LockError::Held {
                pid: Some(std::process::id()),
            });
        }
        let pid = format!("{}\n", std::process::id());
        let written = self.write_all(inode, 0, pid.as_bytes());
        if let Err(e) = written.and_then(|()| self.cut(inode, pid.len() as u64)) {
            self.locks.remove(&inode);
            return Err(LockError::Io(e));
        }
        Ok(inode)
    }

    pub(super) fn unlock(&mut self, inode: Inode) {
        self.locks.remove(&inode);
    }
}

/// Contents.
impl State {
    pub(super) fn read_at(
        &mut self,
        inode: Inode,
        buf: &mut [u8],
        offset: u64,
    ) -> io::Result<usize> {
        let n = self.transfer(Call::Read, buf.len())?;
        if offset > MAX_OFFSET {
            return Err(errno(libc::EINVAL));
        }
        self.live(inode)?.memory.read(&mut buf[..n], offset)
    }

    pub(super) fn write_at(
        &mut self,
        inode: Inode,
        writable: bool,
        buf: &[u8],
        offset: u64,
    ) -> io::Result<usize> {
        let n = self.transfer(Call::Write, buf.len())?;
        if offset > MAX_OFFSET {
            return Err(errno(libc::EINVAL));
        }
        if !writable {
            return Err(errno(libc::EBADF));
        }
        if n > 0 {
            if offset + n as u64 > MAX_OFFSET {
                return Err(errno(libc::EFBIG));
            }
            self.write_all(inode, offset, &buf[..n])?;
        }
        Ok(n)
    }

    fn write_all(&mut self, inode: Inode, offset: u64, data: &[u8]) -> io::Result<()> {
        self.live(inode)?.memory.write_all(data, offset)?;
        self.log.push(Op::Write {
            inode,
            offset,
            data: Arc::from(data),
        });
        Ok(())
    }

    pub(super) fn set_len(&mut self, inode: Inode, writable: bool, len: u64) -> io::Result<()> {
        self.call(Call::SetLen)?;
        if !writable || len > MAX_OFFSET {
            return Err(errno(libc::EINVAL));
        }
        self.cut(inode, len)
    }

    fn cut(&mut self, inode: Inode, len: u64) -> io::Result<()> {
        self.live(inode)?.memory.set_len(len)?;
        self.log.push(Op::SetLen { inode, len });
        Ok(())
    }

    pub(super) fn len(&mut self, inode: Inode) -> io::Result<u64> {
        self.call(Call::Len)?;
        self.live(inode)?.memory.len()
    }

    pub(super) fn sync(&mut self, inode: Inode) -> io::Result<()> {
        match self.faults.count(Call::Sync) {
            None => {
                self.log.push(Op::Sync { inode });
                Ok(())
            }
            Some(fault) => {
                if fault == Fault::SyncFailsClean {
                    self.log.push(Op::SyncLost { inode });
                }
                Err(fault.error())
            }
        }
    }

    pub(super) fn map(&mut self, inode: Inode, len: u64) -> io::Result<crate::Mapping> {
        self.call(Call::Map)?;
        self.live(inode)?.memory.map(len)
    }
}

/// Looking and reaching in from outside: nothing here counts as a call.
impl State {
    pub(super) fn all_files(&self) -> io::Result<Vec<(PathBuf, u64)>> {
        let mut found = Vec::new();
        let mut todo = vec![(PathBuf::new(), ROOT)];
        while let Some((path, dir)) = todo.pop() {
            for (name, inode) in self.tree.entries(dir) {
                let path = path.join(name);
                match self.files.get(&inode) {
                    Some(live) => found.push((path, live.memory.len()?)),
                    None => todo.push((path, inode)),
                }
            }
        }
        found.sort();
        Ok(found)
    }

    pub(super) fn contents(&self, path: &Path) -> io::Result<Pages> {
        let inode = self.tree.find(path)?;
        match self.files.get(&inode) {
            Some(live) => live.memory.pages(),
            None => Err(errno(libc::EISDIR)),
        }
    }

    /// Gives a file new contents, durable at once together with its name.
    pub(super) fn plant(&mut self, path: &Path, pages: Pages) -> io::Result<()> {
        let (name, inode) = match self.tree.walk(path)? {
            Place::Named(name, Some(inode)) if self.tree.what(inode) == What::File => (name, inode),
            Place::Named(name, None) => (name.clone(), self.create_file(name)),
            _ => return Err(errno(libc::EISDIR)),
        };
        self.live(inode)?.memory.replace(pages.clone())?;
        self.log.push(Op::Plant { name, inode, pages });
        Ok(())
    }
}
