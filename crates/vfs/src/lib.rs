//! The seam between HaloDB and the operating system.
//!
//! Everything that the engine does to a disk goes through two small traits: [`Vfs`] (names: open, rename, remove,
//! synchronise a directory, lock) and [`File`] (bytes: read, write, synchronise, map). Two implementations stand
//! behind them: [`OsVfs`], the real file system, and [`SimVfs`], a disk in memory that forgets what was not
//! synchronised, tears writes and fails on request.
//!
//! What this crate does *not* do: it buffers nothing, retries nothing but interrupted calls, and has no opinion about
//! formats. Whether a write is durable is the caller's business; this crate only says precisely what each call
//! promises.
//!
//! Lock order: the two mutexes in here, the table of locked files and the state of a simulated disk, are leaves. None of
//! them is held while another lock is taken or foreign code runs, so callers may hold any lock of theirs.
//!
//! ```
//! use halodb_vfs::{FileExt, OpenMode, SimVfs, Vfs};
//! use std::path::Path;
//!
//! /// Replaces a file so that after a power loss it is the old one or the new one.
//! fn replace(vfs: &dyn Vfs, dir: &Path, name: &str, bytes: &[u8]) -> std::io::Result<()> {
//!     let temporary = dir.join("replace.tmp");
//!     let file = vfs.open(&temporary, OpenMode::Create)?;
//!     file.set_len(0)?;
//!     file.write_all_at(bytes, 0)?;
//!     file.sync_all()?;
//!     vfs.rename(&temporary, &dir.join(name))?;
//!     vfs.sync_dir(dir)
//! }
//!
//! let disk = SimVfs::new();
//! replace(&disk, Path::new(""), "settings", b"colour = blue")?;
//! assert_eq!(disk.read_file("settings")?, b"colour = blue");
//! # Ok::<(), std::io::Error>(())
//! ```

#[cfg(not(any(target_os = "linux", target_os = "macos")))]
compile_error!(
    "halodb-vfs knows what fsync, flock and mmap promise on Linux and macOS only; it would be guessing on this system"
);

mod file;
mod flock;
mod lock;
mod mapping;
mod mutant;
mod os;
mod process;
#[cfg(any(loom, shuttle))]
pub mod scheduled;
pub mod sim;

pub use file::{File, FileExt};
pub use lock::{Lock, LockError};
pub use mapping::Mapping;
pub use mutant::mutant;
#[cfg(halodb_mutants)]
pub use mutant::mutant_reached;
pub use os::OsVfs;
pub use process::{Process, process_id};
pub use sim::SimVfs;

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

/// How [`Vfs::open`] treats a file that is there, or is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenMode {
    /// Existing file, reading only.
    Read,
    /// Existing file, reading and writing.
    ReadWrite,
    /// Reading and writing; created empty if missing. The new name is durable only after [`Vfs::sync_dir`].
    Create,
    /// Reading and writing; an error of kind `AlreadyExists` if the file is there.
    CreateNew,
}

/// What kind of thing a directory entry names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryKind {
    /// A regular file.
    File,
    /// A directory.
    Dir,
    /// Anything else: a link, a socket, a device.
    Other,
}

/// One entry of a directory, as [`Vfs::read_dir`] lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirEntry {
    /// The name without its directory. Names that are not UTF-8 are shown lossily.
    pub name: String,
    /// What it names.
    pub kind: EntryKind,
}

/// A file system: names and what they stand for.
///
/// Durability: the effect of `open` with creation, `create_dir`, `rename`, `exchange` and the removals survives a power loss only
/// after [`Vfs::sync_dir`] on the directory that holds the name (for a rename over two directories: both).
///
/// Paths are passed on as they are; [`SimVfs`] takes any absolute or relative path and compares it component by
/// component.
pub trait Vfs: Send + Sync + fmt::Debug + 'static {
    /// Opens a file.
    ///
    /// # Errors
    /// Those of `open(2)`.
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>>;

    /// Creates one directory; its parent must exist. `AlreadyExists` if the name is taken.
    fn create_dir(&self, path: &Path) -> io::Result<()>;

    /// The entries of a directory, sorted by name, without `.` and `..`.
    fn read_dir(&self, path: &Path) -> io::Result<Vec<DirEntry>>;

    /// What `path` names, following links; `None` if nothing has that name.
    fn kind(&self, path: &Path) -> io::Result<Option<EntryKind>>;

    /// Gives a file or directory another name, atomically replacing a file of that name.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Lets two names, of files or directories, change places in one step: nobody ever sees one of them missing.
    ///
    /// # Errors
    /// Those of `renameat2(2)` with `RENAME_EXCHANGE`; `EINVAL`, `ENOSYS` or `ENOTSUP` where the file system cannot do it.
    fn exchange(&self, a: &Path, b: &Path) -> io::Result<()>;

    /// Removes a file's name. Its space is returned when nobody has it open or mapped.
    fn remove_file(&self, path: &Path) -> io::Result<()>;

    /// Removes an empty directory.
    fn remove_dir(&self, path: &Path) -> io::Result<()>;

    /// Makes all earlier changes to the names in a directory durable.
    ///
    /// # Errors
    /// After a failure nothing is known about any of those names.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;

    /// Takes the exclusive advisory lock on the file `path` (created if missing), and writes this process's id into it.
    ///
    /// The lock is released when the [`Lock`] is dropped or the process dies; the file stays. A second lock of the same
    /// file, by this process or another one, fails at once.
    ///
    /// # Errors
    /// [`LockError::Held`] with the holder's process id where the file states it.
    fn lock(&self, path: &Path) -> Result<Lock, LockError>;
}

/// The examples in the README are tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}
