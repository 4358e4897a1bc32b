//! [`Unfinished`]: a directory beside the one that is wanted, in which a backup or a restored database is made, and the step
//! in which it gets its name.
//!
//! ```text
//! nightly.unfinished/     beside `nightly`, on the same file system
//!   LOCK                  held by the process that writes here; states its process id
//!   UNFINISHED            the mark; renamed to FINISHED at the end
//!   …                     what is being made
//! ```
//!
//! The mark is durable before anything else is there, and changes when everything else is durable. While it says UNFINISHED
//! the directory is neither opened as a database nor taken for a backup, whatever else it holds. What a process leaves
//! that dies is recognised by its name and the marks, and removed by the next one that makes the same thing.
//!
//! This file does not know what is being made.

use crate::directory::{self, FINISHED, UNFINISHED};
use crate::{Error, ErrorKind, Result, manifest};
use halodb_vfs::{EntryKind, Lock, LockError, OpenMode, Vfs, mutant};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What follows the name of the directory that is wanted.
const SUFFIX: &str = ".unfinished";

/// What to do with what is in the way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Existing {
    /// Nothing is done if the directory exists and is not empty.
    #[default]
    Refuse,
    /// A database that is there, and that nobody has open, is replaced in one step.
    Replace,
}

/// See the head of this file.
pub(crate) struct Unfinished {
    vfs: Arc<dyn Vfs>,
    target: PathBuf,
    parent: PathBuf,
    dir: PathBuf,
    lock: Arc<Lock>,
    /// Held while there is a database to be replaced.
    replaced: Option<Lock>,
}

impl Unfinished {
    /// Makes the directory, or takes over and empties what was left of an earlier attempt.
    pub(crate) fn begin(vfs: &Arc<dyn Vfs>, target: &Path, existing: Existing) -> Result<Self> {
        let Some(name) = target.file_name() else {
            return Err(Error::invalid(format!("{} does not name a new directory", target.display())));
        };
        let parent = target.parent().unwrap_or(Path::new("")).to_owned();
        let replaced = look_at_target(&**vfs, target, existing)?;
        let mut name = name.to_owned();
        name.push(SUFFIX);
        // A planted fault makes everything where it is to be in the end.
        let in_place = mutant("partition.backup-in-place");
        let dir = if in_place { target.to_owned() } else { target.with_file_name(name) };
        match vfs.kind(&dir).map_err(|e| Error::io("look at", &dir, e))? {
            None => vfs.create_dir(&dir).map_err(|e| Error::io("create", &dir, e))?,
            Some(EntryKind::Dir) => refuse_unknown(&**vfs, &dir)?,
            Some(_) => return Err(in_the_way(&dir, "it is not a directory")),
        }
        let lock = vfs.lock(&dir.join(directory::LOCK)).map_err(|e| match e {
            LockError::Held { pid } => {
                let who = pid.map_or("another process".to_owned(), |pid| format!("process {pid}"));
                Error::new(ErrorKind::Locked, format!("{who} is writing to {}", dir.display()))
            }
            LockError::Io(e) => Error::io("lock", &dir.join(directory::LOCK), e),
        })?;
        // Before the lock was had, another process may have come to its end there.
        refuse_unknown(&**vfs, &dir)?;
        let this = Self { vfs: vfs.clone(), target: target.to_owned(), parent, dir, lock: Arc::new(lock), replaced };
        if let Err(e) = this.mark().and_then(|()| clear(&**vfs, &this.dir)) {
            this.abandon();
            return Err(e);
        }
        if in_place {
            vfs.remove_file(&this.dir.join(UNFINISHED)).map_err(|e| Error::io("remove the mark in", &this.dir, e))?;
        }
        Ok(this)
    }

    /// Where to make it.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// The lock of that directory, which is that of the database made in it.
    pub(crate) fn lock(&self) -> Arc<Lock> {
        self.lock.clone()
    }

    /// Makes the mark, durable with the name of the directory.
    fn mark(&self) -> Result<()> {
        let path = self.dir.join(UNFINISHED);
        let file = self.vfs.open(&path, OpenMode::Create).map_err(|e| Error::io("create", &path, e))?;
        file.sync_all().map_err(|e| Error::io("synchronise", &path, e))?;
        self.sync(&self.dir)?;
        self.sync(&self.parent)
    }

    fn sync(&self, dir: &Path) -> Result<()> {
        self.vfs.sync_dir(dir).map_err(|e| Error::io("synchronise the directory", dir, e))
    }

    /// Gives up what was made, as far as that is possible: what stays is recognised later.
    pub(crate) fn abandon(self) {
        if self.dir != self.target {
            let _ = remove(&*self.vfs, &self.dir);
        }
    }

    /// Gives what was made its name; everything in it is durable but the names in the directory itself. Says where something
    /// is left that could not be removed: the database that was replaced.
    ///
    /// A loss of power leaves the old state or the new one, each whole.
    pub(crate) fn finish(self) -> Result<Option<PathBuf>> {
        if self.dir == self.target {
            return Ok(None);
        }
        let (unfinished, finished) = (self.dir.join(UNFINISHED), self.dir.join(FINISHED));
        let ready = || {
            self.sync(&self.dir)?;
            self.vfs.rename(&unfinished, &finished).map_err(|e| Error::io("rename", &unfinished, e))?;
            self.sync(&self.dir)
        };
        // Whoever comes next empties the directory, finished or not.
        if let Err(e) = ready() {
            self.abandon();
            return Err(e);
        }
        let left = if self.replaced.is_some() { self.replace()? } else { self.give_name()? };
        // Here it means nothing, so it need not go at once.
        let _ = self.vfs.remove_file(&self.target.join(FINISHED));
        Ok(left)
    }

    fn give_name(&self) -> Result<Option<PathBuf>> {
        if let Err(e) = self.vfs.rename(&self.dir, &self.target) {
            let _ = remove(&*self.vfs, &self.dir);
            return Err(Error::io("rename to", &self.target, e));
        }
        self.sync(&self.parent)?;
        Ok(None)
    }

    fn replace(&self) -> Result<Option<PathBuf>> {
        // Nothing is removed after a failure: it may have been done all the same, and then that is the old database.
        self.vfs.exchange(&self.dir, &self.target).map_err(|e| self.not_exchanged(e))?;
        self.sync(&self.parent)?;
        // From here on the old one is not needed. Without its MANIFEST it is nothing that could be opened.
        let manifest = self.dir.join(manifest::NAME);
        let removed = || {
            match self.vfs.remove_file(&manifest) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(Error::io("remove", &manifest, e)),
                _ => {}
            }
            self.sync(&self.dir)?;
            remove(&*self.vfs, &self.dir)
        };
        Ok(removed().err().map(|_| self.dir.clone()))
    }

    fn not_exchanged(&self, e: io::Error) -> Error {
        let made = self.dir.display();
        let target = self.target.display();
        Error::io(
            &format!(
                "let {made}, which is whole, change places with {target}, which was not changed: do it by hand, or name a new directory;"
            ),
            &self.target,
            e,
        )
    }
}

/// Judges what is where the new directory is to be; gives the lock of the database that is to be replaced.
fn look_at_target(vfs: &dyn Vfs, target: &Path, existing: Existing) -> Result<Option<Lock>> {
    match vfs.kind(target).map_err(|e| Error::io("look at", target, e))? {
        None => return Ok(None),
        Some(EntryKind::Dir) => {}
        Some(_) => return Err(Error::invalid(format!("{} is there already, and no directory", target.display()))),
    }
    let entries = vfs.read_dir(target).map_err(|e| Error::io("list", target, e))?;
    if entries.is_empty() {
        return Ok(None);
    }
    if existing == Existing::Refuse {
        let what = "is there already, and not empty: name a new directory";
        return Err(Error::invalid(format!("{} {what}", target.display())));
    }
    if let Some(other) = entries.iter().find(|e| !directory::is_ours(&e.name) && e.name != FINISHED) {
        let what = format!("it holds {}, which is no part of a database", other.name);
        return Err(Error::invalid(format!("{} is not replaced: {what}", target.display())));
    }
    let lock = vfs.lock(&target.join(directory::LOCK)).map_err(|e| Error::from_lock(target, e))?;
    Ok(Some(lock))
}

fn in_the_way(dir: &Path, what: &str) -> Error {
    Error::invalid(format!("{} is in the way: {what}; move it away or remove it", dir.display()))
}

/// Refuses to take over a directory that is not what an earlier attempt left.
fn refuse_unknown(vfs: &dyn Vfs, dir: &Path) -> Result<()> {
    let entries = vfs.read_dir(dir).map_err(|e| Error::io("list", dir, e))?;
    let has = |name: &str| entries.iter().any(|e| e.name == name);
    if let Some(other) = entries.iter().find(|e| !directory::is_ours(&e.name) && !directory::is_of_backup(&e.name)) {
        return Err(in_the_way(dir, &format!("it holds {}", other.name)));
    }
    if has(manifest::NAME) && ![UNFINISHED, FINISHED, directory::BACKUP].into_iter().any(has) {
        return Err(in_the_way(dir, "it holds a whole database, perhaps one that was replaced"));
    }
    Ok(())
}

/// Removes everything of a database or a backup but the lock and the mark.
fn clear(vfs: &dyn Vfs, dir: &Path) -> Result<()> {
    let list = |dir: &Path| vfs.read_dir(dir).map_err(|e| Error::io("list", dir, e));
    let unlink = |path: &Path| vfs.remove_file(path).map_err(|e| Error::io("remove", path, e));
    for entry in list(dir)?.iter().filter(|e| !matches!(e.name.as_str(), UNFINISHED | directory::LOCK)) {
        let path = dir.join(&entry.name);
        if entry.kind != EntryKind::Dir {
            unlink(&path)?;
            continue;
        }
        list(&path)?.iter().try_for_each(|file| unlink(&path.join(&file.name)))?;
        vfs.remove_dir(&path).map_err(|e| Error::io("remove", &path, e))?;
    }
    Ok(())
}

/// Removes a directory that nobody needs, the mark after what it speaks of, and the lock last, so that no other process
/// begins there before.
fn remove(vfs: &dyn Vfs, dir: &Path) -> Result<()> {
    clear(vfs, dir)?;
    for name in [UNFINISHED, directory::LOCK] {
        let path = dir.join(name);
        match vfs.remove_file(&path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(Error::io("remove", &path, e)),
            _ => {}
        }
    }
    vfs.remove_dir(dir).map_err(|e| Error::io("remove", dir, e))
}
