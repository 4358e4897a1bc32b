//! [`Op`]: the history of a simulated disk, one entry for each thing that a power loss can fall between.
//!
//! Reads leave no entry. The entries hold inodes, not paths: a file keeps its identity when it is renamed.

use super::pages::Pages;
use std::ffi::OsString;
use std::sync::Arc;

/// The identity of a file or directory; never used twice on one disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Inode(pub(super) u64);

/// The root directory.
pub(super) const ROOT: Inode = Inode(0);

/// A name in a directory.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Name {
    pub(super) dir: Inode,
    pub(super) name: OsString,
}

/// What a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    File,
    Dir,
}

/// One operation of the history.
#[derive(Clone, Debug)]
pub(super) enum Op {
    /// A new, empty file or directory under a new name.
    Create { name: Name, inode: Inode, what: What },
    /// `inode` changes its name; whatever had the new one is replaced.
    Rename { from: Name, to: Name, inode: Inode },
    /// Two names change their meanings; with each of them what it stands for from now on.
    Exchange { a: (Name, Inode), b: (Name, Inode) },
    /// A name of a file or empty directory goes.
    Remove { name: Name },
    /// Bytes are written.
    Write { inode: Inode, offset: u64, data: Arc<[u8]> },
    /// The length changes.
    SetLen { inode: Inode, len: u64 },
    /// The file was synchronised.
    Sync { inode: Inode },
    /// Synchronising failed, and the system took the file's pages for clean: [`super::Fault::SyncFailsClean`].
    SyncLost { inode: Inode },
    /// The names in the directory were synchronised.
    SyncDir { dir: Inode },
    /// A test replaced the contents from outside: durable at once.
    Plant { name: Name, inode: Inode, pages: Pages },
}
