//! [`seam`]: a disk that does what the engine asks but for one thing, chosen by the mutant's name.
//!
//! This stands for an engine that leaves a call out or makes two in the wrong order, without a line in the engine's
//! code. Files are told apart by their paths, writes of metas and segment headers by their place in the file.

use halodb::vfs::{DirEntry, EntryKind, File, FileExt, Lock, LockError, Mapping, OpenMode, SimVfs, Vfs};
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

static CHOSEN: OnceLock<Option<Slip>> = OnceLock::new();
static REACHED: AtomicU64 = AtomicU64::new(0);

/// Chooses the mutant for this process; names that do not begin with `disk.` leave the disk as it is.
pub fn choose(name: &str) {
    let _ = CHOSEN.set(SLIPS.iter().find(|(known, _)| *known == name).map(|(_, slip)| *slip));
}

/// How often the chosen slip was made.
pub fn reached() -> u64 {
    REACHED.load(Ordering::Relaxed)
}

/// The disk as the chosen mutant sees it.
pub fn seam(disk: SimVfs) -> Arc<dyn Vfs> {
    match CHOSEN.get().copied().flatten() {
        None => Arc::new(disk),
        Some(slip) => Arc::new(SlippingVfs { inner: Arc::new(disk), slip }),
    }
}

/// What is not done, or done too late.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Slip {
    /// `sync_data` of files whose name ends so, after writes of this kind.
    Data(&'static str, Kind),
    /// `sync_all` of files whose path ends so: they are new and get their name next.
    New(&'static str),
    /// `sync_dir` of directories whose path ends so (a digit stands for any).
    Names(&'static str),
    /// Writes of this kind to files whose name ends so are held back until after the next write of another kind, or
    /// after the next synchronisation.
    Late(&'static str, Kind),
}

/// Kinds of writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// The first sector of a segment, or one of the two metas of a page file.
    Head,
    /// Records or pages.
    Body,
}

const LOG: &str = ".log";
const TREE: &str = "tree.db";

const SLIPS: &[(&str, Slip)] = &[
    ("disk.skip-log-sync", Slip::Data(LOG, Kind::Body)),
    ("disk.skip-log-header-sync", Slip::Data(LOG, Kind::Head)),
    ("disk.skip-prepared-sync", Slip::New("prepare.tmp")),
    ("disk.skip-log-dir-sync", Slip::Names("wal")),
    ("disk.log-after-sync", Slip::Late(LOG, Kind::Body)),
    ("disk.skip-data-sync", Slip::Data(TREE, Kind::Body)),
    ("disk.skip-meta-sync", Slip::Data(TREE, Kind::Head)),
    ("disk.meta-before-pages", Slip::Late(TREE, Kind::Body)),
    ("disk.skip-tree-sync", Slip::New("tree.db.new")),
    ("disk.skip-partition-dir-sync", Slip::Names("p000")),
    ("disk.skip-manifest-sync", Slip::New("MANIFEST.tmp")),
    ("disk.skip-database-dir-sync", Slip::Names("data")),
    ("disk.skip-parent-dir-sync", Slip::Names("")),
];

fn slipped() {
    REACHED.fetch_add(1, Ordering::Relaxed);
}

/// The file's name as it is in use: a segment and a page file are opened under the names of their preparation.
fn is(path: &Path, ending: &str) -> bool {
    let text = path.to_string_lossy();
    text.ends_with(ending)
        || (ending == LOG && text.ends_with("prepare.tmp"))
        || (ending == TREE && text.ends_with("tree.db.new"))
}

fn is_dir(path: &Path, name: &str) -> bool {
    match (path.file_name().map(|n| n.to_string_lossy()), name) {
        (None, "") => true,
        (Some(found), "p000") => found.len() == 4 && found.starts_with('p'),
        (Some(found), name) => found == name,
        (None, _) => false,
    }
}

#[derive(Debug)]
struct SlippingVfs {
    inner: Arc<dyn Vfs>,
    slip: Slip,
}

#[derive(Debug)]
struct SlippingFile {
    inner: Arc<dyn File>,
    slip: Slip,
    is_log: bool,
    /// What was written last.
    last: Mutex<Kind>,
    /// Writes held back.
    late: Mutex<Vec<(u64, Vec<u8>)>>,
}

impl SlippingFile {
    fn kind(&self, buf: &[u8], offset: u64) -> Kind {
        let is_head = if self.is_log {
            offset == 0
        } else {
            // The second slot is the second page, whatever the page size; a meta is 4096 bytes and says what it is.
            buf.len() == 4096 && buf.starts_with(b"HALOPAGE")
        };
        if is_head { Kind::Head } else { Kind::Body }
    }

    fn hand_over_late(&self) -> io::Result<()> {
        let late = std::mem::take(&mut *self.late.lock().unwrap_or_else(PoisonError::into_inner));
        for (offset, bytes) in late {
            slipped();
            self.inner.write_all_at(&bytes, offset)?;
        }
        Ok(())
    }
}

impl File for SlippingFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.inner.read_at(buf, offset)
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<usize> {
        let kind = self.kind(buf, offset);
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = kind;
        if matches!(self.slip, Slip::Late(_, late) if late == kind) {
            self.late.lock().unwrap_or_else(PoisonError::into_inner).push((offset, buf.to_vec()));
            return Ok(buf.len());
        }
        let written = self.inner.write_at(buf, offset)?;
        self.hand_over_late()?;
        Ok(written)
    }

    fn sync_data(&self) -> io::Result<()> {
        let last = *self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(self.slip, Slip::Data(_, kind) if kind == last) {
            slipped();
            return Ok(());
        }
        self.inner.sync_data()?;
        // A page file's late writes wait for the meta, the log's only for the synchronisation.
        if self.is_log { self.hand_over_late() } else { Ok(()) }
    }

    fn sync_all(&self) -> io::Result<()> {
        if matches!(self.slip, Slip::New(_)) {
            slipped();
            return Ok(());
        }
        self.hand_over_late()?;
        self.inner.sync_all()
    }

    fn len(&self) -> io::Result<u64> {
        self.inner.len()
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.inner.set_len(len)
    }

    fn map(&self, len: u64) -> io::Result<Mapping> {
        self.inner.map(len)
    }
}

impl Vfs for SlippingVfs {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>> {
        let inner = self.inner.open(path, mode)?;
        let concerned = match self.slip {
            Slip::Data(ending, _) | Slip::Late(ending, _) => is(path, ending),
            Slip::New(ending) => path.to_string_lossy().ends_with(ending),
            Slip::Names(_) => false,
        };
        if !concerned {
            return Ok(inner);
        }
        let (last, late) = (Mutex::new(Kind::Body), Mutex::default());
        Ok(Arc::new(SlippingFile { inner, slip: self.slip, is_log: is(path, LOG), last, late }))
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.inner.create_dir(path)
    }

    fn read_dir(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        self.inner.read_dir(path)
    }

    fn kind(&self, path: &Path) -> io::Result<Option<EntryKind>> {
        self.inner.kind(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.inner.rename(from, to)
    }

    fn exchange(&self, a: &Path, b: &Path) -> io::Result<()> {
        self.inner.exchange(a, b)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.inner.remove_file(path)
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        self.inner.remove_dir(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        if matches!(self.slip, Slip::Names(name) if is_dir(path, name)) {
            slipped();
            return Ok(());
        }
        self.inner.sync_dir(path)
    }

    fn lock(&self, path: &Path) -> Result<Lock, LockError> {
        self.inner.lock(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::campaign::mutants::catalogue;

    #[test]
    fn every_disk_mutant_of_the_catalogue_slips_somewhere() {
        let listed = catalogue::ALL.iter().map(|m| m.name).filter(|name| name.starts_with("disk."));
        assert!(listed.eq(SLIPS.iter().map(|(name, _)| *name)));
    }

    #[test]
    fn directories_are_told_apart() {
        let check = |path: &str, name: &str, expected| assert_eq!(is_dir(Path::new(path), name), expected, "{path}");
        check("", "", true);
        check("data", "", false);
        check("data", "data", true);
        check("data/p001", "p000", true);
        check("data/wal", "p000", false);
        check("data/wal", "wal", true);
    }
}
