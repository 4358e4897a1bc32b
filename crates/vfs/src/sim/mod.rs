//! [`SimVfs`]: a disk in memory that loses power, tears writes and fails on request.
//!
//! # Power loss
//!
//! A simulated disk behaves like a real one and writes down every operation that changes it or makes something
//! durable. [`SimVfs::crash_image`] then answers, for any moment of that history, what a power loss at that moment could
//! have left: a new disk, on which the program under test is started again. Contents and names are durable apart from
//! each other, as POSIX has it:
//!
//! | made durable by | what |
//! |---|---|
//! | [`crate::File::sync_data`], [`crate::File::sync_all`] | earlier writes to the file, its length; not its name |
//! | [`crate::Vfs::sync_dir`] | earlier creations, renames and removals in that directory; no contents |
//!
//! Whatever was not made durable may survive or not: see [`CrashMode`]. The exact model:
//!
//! - A file ends up sector by sector in one of the states that the system's cache had since the last synchronisation. No
//!   sector mixes an older state with a newer one, except in [`CrashMode::Garbage`]; sectors know nothing of each other.
//! - Its length has a history of its own, of which some prefix survives; in [`CrashMode::Ordered`] a write that arrived up
//!   to some sector has made the file as long. Cutting a file takes the bytes along; bytes that should be there by the
//!   length, and are not, read as zeros.
//! - A change of names survives whole or not at all, and not without the earlier changes of the same names.
//!
//! [`CrashMode::Random`] reaches almost all of this, each other mode a part of it.
//!
//! # Faults
//!
//! [`SimVfs::inject`] makes a call fail that is named by its number: run a scenario once, read [`SimVfs::calls`], and run
//! it again that many times with a fault at each index.
//!
//! # Example
//!
//! ```
//! use halodb_vfs::sim::CrashMode;
//! use halodb_vfs::{FileExt, OpenMode, SimVfs, Vfs};
//! use std::path::Path;
//!
//! let disk = SimVfs::new();
//! let file = disk.open(Path::new("log"), OpenMode::Create)?;
//! disk.sync_dir(Path::new(""))?;
//! file.write_all_at(b"kept", 0)?;
//! file.sync_data()?;
//! file.write_all_at(b"lost", 4)?;
//!
//! let after = disk.crash_image(disk.ops(), CrashMode::Strict, 0);
//! assert_eq!(after.read_file("log")?, b"kept");
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! What it does not simulate: time, links, permissions, two processes at a time, a disk that is full by itself (inject
//! `ENOSPC`).

mod adversary;
mod body;
mod contents;
mod fault;
mod handle;
mod image;
mod medium;
mod memory;
mod names;
mod ops;
mod order;
mod outside;
mod pages;
mod rng;
mod state;
mod tear;
mod tree;

pub use fault::{Fault, Repeat};
pub use image::CrashMode;

use crate::{DirEntry, EntryKind, File, Lock, LockError, OpenMode, Vfs};
use handle::{Access, SimFile, SimLock};
use medium::Medium;
use ops::What;
use pages::Pages;
use parking_lot::Mutex;
use state::State;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A simulated disk. Clones share it.
///
/// Paths are compared component by component: `/a/b`, `a/b` and `./a//b` are the same; the empty path is the root
/// directory. One mutex guards the whole disk; nothing else is locked while it is held.
///
/// Memory: the contents, once more for files that were mapped, and every byte written since the disk was made or
/// [`SimVfs::forget_history`] was called. Holes are free.
#[derive(Clone)]
pub struct SimVfs {
    access: Access,
}

impl Default for SimVfs {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for SimVfs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.access.disk.lock();
        let (ops, calls) = (state.ops(), state.faults.calls());
        f.debug_struct("SimVfs").field("ops", &ops).field("calls", &calls).finish_non_exhaustive()
    }
}

/// Making disks, and images of them.
impl SimVfs {
    /// An empty disk.
    pub fn new() -> Self {
        Self::from_medium(Medium::empty())
    }

    fn from_medium(medium: Medium) -> Self {
        let disk = Arc::new(Mutex::new(State::new(medium)));
        Self { access: Access { disk, life: 0 } }
    }

    /// The number of operations recorded so far (writes, length changes, name changes, syncs: whatever a crash can fall
    /// between). It starts from 0 in a new disk, a crash image included.
    pub fn ops(&self) -> u64 {
        self.access.disk.lock().ops()
    }

    /// The disk as a power loss right after operation number `at` (counted from 0: that many operations were issued)
    /// would leave it, in a new, independent disk. `seed` decides what `mode` leaves open; equal arguments give equal
    /// images. An `at` beyond [`SimVfs::ops`] means all of them.
    ///
    /// In the image everything is durable, its history is empty, nothing is locked, no fault is planned. Handles and
    /// locks of this disk go on working on this disk.
    ///
    /// Cost: that of the operations since the last image if `at` does not fall, else of all operations; plus a
    /// reference count per 4 KiB of contents.
    pub fn crash_image(&self, at: u64, mode: CrashMode, seed: u64) -> SimVfs {
        let medium = self.access.disk.lock().medium(at).clone();
        Self::from_medium(image::crash(&medium, mode, seed))
    }

    /// The disk as every process sees it now, as a new, independent disk: an image of kind [`CrashMode::Kept`].
    pub fn copy(&self) -> SimVfs {
        self.crash_image(u64::MAX, CrashMode::Kept, 0)
    }

    /// Makes everything durable and forgets the history, so that [`SimVfs::ops`] starts from 0 again. Long runs call
    /// this to bound the memory; open handles and locks stay valid.
    pub fn forget_history(&self) {
        let mut state = self.access.disk.lock();
        let base = image::crash(state.medium(u64::MAX), CrashMode::Kept, 0);
        state.start_from(base);
    }
}

/// Death of the process.
impl SimVfs {
    /// The process dies and another one starts, while the machine and its cache live on: `kill -9`.
    ///
    /// Returns the new process's access to the same disk. It reads everything that was written, but what was not
    /// synchronised is as little durable as before: a later power loss may still take it. All locks are released. Every
    /// call through older clones and handles fails with `ESTALE`, uncounted, so that threads left over from the
    /// dead process do no harm; looking from outside works through any clone.
    pub fn restart_process(&self) -> SimVfs {
        let life = self.access.disk.lock().next_life();
        let disk = Arc::clone(&self.access.disk);
        SimVfs { access: Access { disk, life } }
    }
}

/// Faults.
impl SimVfs {
    /// Makes the call number `call` from now (counting every fallible call, reads included, from 0) fail; from then on
    /// all calls of that kind if `repeat` is [`Repeat::Sticky`]. Several faults may be planned at a time.
    ///
    /// A "kind" is one method of [`Vfs`] or [`File`]; `sync_data` and `sync_all` are the same kind.
    pub fn inject(&self, call: u64, fault: Fault, repeat: Repeat) {
        self.access.disk.lock().faults.inject(call, fault, repeat);
    }

    /// Removes injected faults that have not struck, or strike still.
    pub fn heal(&self) {
        self.access.disk.lock().faults.heal();
    }

    /// The number of fallible calls so far, reads included: the index space of [`SimVfs::inject`].
    pub fn calls(&self) -> u64 {
        self.access.disk.lock().faults.calls()
    }

    /// The number of calls that an injected fault has struck so far.
    pub fn struck(&self) -> u64 {
        self.access.disk.lock().faults.struck()
    }
}

/// Looking and reaching in from outside. These are no calls of a program: they are not counted, and no fault strikes.
impl SimVfs {
    /// All files and their lengths in bytes, sorted by path; paths are relative to the root.
    ///
    /// # Errors
    /// Only if the operating system does not say how long a mapped file is.
    pub fn files(&self) -> io::Result<Vec<(PathBuf, u64)>> {
        self.access.disk.lock().all_files()
    }

    /// The contents of a file, as a process would read them now.
    ///
    /// # Errors
    /// Those of opening the file.
    pub fn read_file(&self, path: impl AsRef<Path>) -> io::Result<Vec<u8>> {
        let pages = self.access.disk.lock().contents(path.as_ref())?;
        let mut bytes = vec![0; pages.len() as usize];
        pages.read(&mut bytes, 0);
        Ok(bytes)
    }

    /// Gives a file exactly these contents, as rot or a foreign hand would; creates it if it is missing. Contents and
    /// name are durable at once. Counts as an operation (two if the file is new).
    ///
    /// Making a file shorter that is mapped kills a process that reads the missing part, as it does on a real disk.
    ///
    /// # Errors
    /// `ENOENT` or `ENOTDIR` if the directory is not there, `EISDIR` if the path names one.
    pub fn write_file(&self, path: impl AsRef<Path>, bytes: &[u8]) -> io::Result<()> {
        self.access.disk.lock().plant(path.as_ref(), Pages::from_bytes(bytes))
    }

    /// Inverts one bit of a file: bit `bit % 8` (0 is the least) of byte `bit / 8`. Durable at once.
    ///
    /// # Errors
    /// Those of opening the file; `EINVAL` if it is too short.
    pub fn flip_bit(&self, path: impl AsRef<Path>, bit: u64) -> io::Result<()> {
        let mut state = self.access.disk.lock();
        let mut pages = state.contents(path.as_ref())?;
        let mut byte = [0];
        if pages.read(&mut byte, bit / 8) == 0 {
            return Err(tree::errno(libc::EINVAL));
        }
        pages.store(&[byte[0] ^ 1 << (bit % 8)], bit / 8);
        state.plant(path.as_ref(), pages)
    }
}

impl Vfs for SimVfs {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>> {
        let inode = self.access.call()?.open(path, mode)?;
        Ok(Arc::new(SimFile::new(self.access.clone(), inode, mode != OpenMode::Read)))
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.access.call()?.create_dir(path)
    }

    fn read_dir(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        self.access.call()?.read_dir(path)
    }

    fn kind(&self, path: &Path) -> io::Result<Option<EntryKind>> {
        self.access.call()?.kind(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.access.call()?.rename(from, to)
    }

    fn exchange(&self, a: &Path, b: &Path) -> io::Result<()> {
        self.access.call()?.exchange(a, b)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.access.call()?.remove(path, What::File)
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        self.access.call()?.remove(path, What::Dir)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.access.call()?.sync_dir(path)
    }

    fn lock(&self, path: &Path) -> Result<Lock, LockError> {
        let inode = self.access.call()?.lock(path)?;
        Ok(Lock::new(SimLock::new(self.access.clone(), inode)))
    }
}
