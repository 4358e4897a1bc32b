//! [`Tree`]: the names that a running process sees, and the errors that a real file system has for them.
//!
//! Every check is made before anything changes, in the order in which Linux makes it, so that the simulated disk
//! fails with the same `errno` as the real one.

use super::ops::{Inode, Name, ROOT, What};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::path::{Component, Path};

/// The longest name of a directory entry, in bytes.
const NAME_MAX: usize = 255;

/// Directories and their entries; whatever is no directory is a file.
#[derive(Clone, Debug)]
pub(super) struct Tree {
    dirs: BTreeMap<Inode, BTreeMap<OsString, Inode>>,
}

/// Where a path leads.
#[derive(Debug)]
pub(super) enum Place {
    /// A directory that the path does not name: the root, or a path that ends in `..`.
    Unnamed(Inode),
    /// An entry of a directory, whether it exists or not.
    Named(Name, Option<Inode>),
}

pub(super) fn errno(code: i32) -> io::Error {
    io::Error::from_raw_os_error(code)
}

impl Tree {
    pub(super) fn new(dirs: BTreeMap<Inode, BTreeMap<OsString, Inode>>) -> Self {
        Self { dirs }
    }

    pub(super) fn what(&self, inode: Inode) -> What {
        if self.dirs.contains_key(&inode) { What::Dir } else { What::File }
    }

    pub(super) fn entries(&self, dir: Inode) -> impl Iterator<Item = (&OsString, Inode)> {
        self.dirs.get(&dir).into_iter().flatten().map(|(name, inode)| (name, *inode))
    }

    /// Follows a path, component by component, from the root.
    pub(super) fn walk(&self, path: &Path) -> io::Result<Place> {
        let mut above = vec![ROOT];
        let mut components = path.components().peekable();
        while let Some(component) = components.next() {
            let here = above[above.len() - 1];
            match component {
                Component::Prefix(_) | Component::RootDir | Component::CurDir => {}
                Component::ParentDir => {
                    if above.len() > 1 {
                        above.pop();
                    }
                }
                Component::Normal(name) => {
                    if name.len() > NAME_MAX {
                        return Err(errno(libc::ENAMETOOLONG));
                    }
                    let found = self.dirs[&here].get(name).copied();
                    if components.peek().is_none() {
                        return Ok(Place::Named(Name { dir: here, name: name.to_owned() }, found));
                    }
                    let inode = found.ok_or_else(|| errno(libc::ENOENT))?;
                    if self.what(inode) == What::File {
                        return Err(errno(libc::ENOTDIR));
                    }
                    above.push(inode);
                }
            }
        }
        Ok(Place::Unnamed(above[above.len() - 1]))
    }

    /// What a path names.
    pub(super) fn find(&self, path: &Path) -> io::Result<Inode> {
        match self.walk(path)? {
            Place::Unnamed(inode) | Place::Named(_, Some(inode)) => Ok(inode),
            Place::Named(_, None) => Err(errno(libc::ENOENT)),
        }
    }

    /// The directory that a path names.
    pub(super) fn find_dir(&self, path: &Path) -> io::Result<Inode> {
        let inode = self.find(path)?;
        match self.what(inode) {
            What::Dir => Ok(inode),
            What::File => Err(errno(libc::ENOTDIR)),
        }
    }

    /// Enters a new file or directory under a name that [`Tree::walk`] found to be free.
    pub(super) fn create(&mut self, name: &Name, inode: Inode, what: What) {
        if what == What::Dir {
            self.dirs.insert(inode, BTreeMap::new());
        }
        self.dirs.entry(name.dir).or_default().insert(name.name.clone(), inode);
    }

    /// Renames; `None` if both names mean the same already.
    pub(super) fn rename(&mut self, from: &Path, to: &Path) -> io::Result<Option<Renamed>> {
        let (from, to) = (self.walk(from)?, self.walk(to)?);
        let (Place::Named(from, inode), Place::Named(to, target)) = (from, to) else {
            return Err(errno(libc::EBUSY));
        };
        let inode = inode.ok_or_else(|| errno(libc::ENOENT))?;
        if self.contains(inode, to.dir) {
            return Err(errno(libc::EINVAL));
        }
        if let Some(target) = target {
            if target != inode && self.contains(target, from.dir) {
                return Err(errno(libc::ENOTEMPTY));
            }
            if target == inode {
                return Ok(None);
            }
            match (self.what(inode), self.what(target)) {
                (What::File, What::Dir) => return Err(errno(libc::EISDIR)),
                (What::Dir, What::File) => return Err(errno(libc::ENOTDIR)),
                (What::Dir, What::Dir) if self.entries(target).next().is_some() => {
                    return Err(errno(libc::ENOTEMPTY));
                }
                _ => {}
            }
            self.dirs.remove(&target);
        }
        self.dirs.entry(from.dir).or_default().remove(&from.name);
        self.dirs.entry(to.dir).or_default().insert(to.name.clone(), inode);
        Ok(Some(Renamed { from, to, inode, replaced: target }))
    }

    /// Lets two names change places, and says what each of them stands for now; `None` if both mean the same already.
    #[expect(clippy::type_complexity, reason = "two names, each with what it stands for")]
    pub(super) fn exchange(&mut self, a: &Path, b: &Path) -> io::Result<Option<((Name, Inode), (Name, Inode))>> {
        let (a, b) = (self.walk(a)?, self.walk(b)?);
        let (Place::Named(a, of_a), Place::Named(b, of_b)) = (a, b) else {
            return Err(errno(libc::EBUSY));
        };
        let (Some(of_a), Some(of_b)) = (of_a, of_b) else { return Err(errno(libc::ENOENT)) };
        if self.contains(of_a, b.dir) || self.contains(of_b, a.dir) {
            return Err(errno(libc::EINVAL));
        }
        if of_a == of_b {
            return Ok(None);
        }
        self.dirs.entry(a.dir).or_default().insert(a.name.clone(), of_b);
        self.dirs.entry(b.dir).or_default().insert(b.name.clone(), of_a);
        Ok(Some(((a, of_b), (b, of_a))))
    }

    /// Removes the name of a file or of an empty directory.
    pub(super) fn remove(&mut self, path: &Path, what: What) -> io::Result<(Name, Inode)> {
        let Place::Named(name, inode) = self.walk(path)? else {
            return Err(errno(if what == What::Dir { libc::EBUSY } else { libc::EISDIR }));
        };
        let inode = inode.ok_or_else(|| errno(libc::ENOENT))?;
        match (what, self.what(inode)) {
            (What::File, What::Dir) => return Err(errno(libc::EISDIR)),
            (What::Dir, What::File) => return Err(errno(libc::ENOTDIR)),
            (What::Dir, What::Dir) if self.entries(inode).next().is_some() => {
                return Err(errno(libc::ENOTEMPTY));
            }
            _ => {}
        }
        self.dirs.remove(&inode);
        self.dirs.entry(name.dir).or_default().remove(&name.name);
        Ok((name, inode))
    }

    /// Whether `dir` is `top` or lies somewhere below it.
    fn contains(&self, top: Inode, dir: Inode) -> bool {
        top == dir || self.entries(top).any(|(_, inode)| self.contains(inode, dir))
    }
}

/// A rename that took place.
#[derive(Debug)]
pub(super) struct Renamed {
    pub(super) from: Name,
    pub(super) to: Name,
    pub(super) inode: Inode,
    pub(super) replaced: Option<Inode>,
}
