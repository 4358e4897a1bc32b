//! What a test does to a disk from outside: looking at files, planting contents. Nothing here counts as a call.

use super::ops::{Op, ROOT, What};
use super::pages::Pages;
use super::state::State;
use super::tree::{Place, errno};
use std::io;
use std::path::{Path, PathBuf};

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
