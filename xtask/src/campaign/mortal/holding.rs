//! [`HoldingVfs`]: stops a thread inside a chosen call, so that a strike finds the process there: in a recovery, or in a
//! merge, at exactly this write or synchronisation. The other threads go on.

use halodb::vfs::{DirEntry, EntryKind, File, Lock, LockError, Mapping, OpenMode, Vfs};
use std::fmt;
use std::io;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// Which calls are counted. Reads never are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Calls {
    /// All that change something, from the start of the process: the first ones belong to creation or recovery.
    All,
    /// Those that write and synchronise page files, once the database is open: they belong to merges.
    Pages,
}

/// A call to stop in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hold {
    /// Which calls are counted.
    pub calls: Calls,
    /// The number of the call, from 0.
    pub at: u64,
}

impl fmt::Display for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let calls = match self.calls {
            Calls::All => "all",
            Calls::Pages => "pages",
        };
        write!(f, "{calls}:{}", self.at)
    }
}

impl FromStr for Hold {
    type Err = String;

    fn from_str(text: &str) -> Result<Hold, String> {
        let wrong = || format!("{text:?} is not all:NUMBER or pages:NUMBER");
        let (calls, at) = text.split_once(':').ok_or_else(wrong)?;
        let calls = match calls {
            "all" => Calls::All,
            "pages" => Calls::Pages,
            _ => return Err(wrong()),
        };
        Ok(Hold { calls, at: at.parse().map_err(|_| wrong())? })
    }
}

/// The part of a path that makes it a page file.
pub(super) const PAGES: &str = "tree.db";

/// Counts, and stops.
#[derive(Debug)]
pub(super) struct Holder {
    hold: Option<Hold>,
    seen: AtomicU64,
    open: AtomicBool,
    say: fn(),
}

impl Holder {
    /// `say` is called by the thread that stops, each second.
    pub(super) fn new(hold: Option<Hold>, say: fn()) -> Arc<Holder> {
        Arc::new(Holder { hold, seen: AtomicU64::new(0), open: AtomicBool::new(false), say })
    }

    /// The database is open.
    pub(super) fn opened(&self) {
        self.open.store(true, Ordering::Relaxed);
    }

    fn call(&self, is_pages: bool) {
        let Some(hold) = self.hold else { return };
        let counts = match hold.calls {
            Calls::All => true,
            Calls::Pages => is_pages && self.open.load(Ordering::Relaxed),
        };
        if counts && self.seen.fetch_add(1, Ordering::Relaxed) == hold.at {
            // Said again and again: a child whose parent is gone notices by that, even if no other thread gets on.
            loop {
                (self.say)();
                std::thread::sleep(Duration::from_secs(1));
            }
        }
    }
}

/// A [`Vfs`] that passes everything on, and stops in one call for ever.
#[derive(Debug)]
pub(super) struct HoldingVfs {
    inner: Arc<dyn Vfs>,
    holder: Arc<Holder>,
}

impl HoldingVfs {
    pub(super) fn new(inner: Arc<dyn Vfs>, holder: Arc<Holder>) -> HoldingVfs {
        HoldingVfs { inner, holder }
    }
}

#[derive(Debug)]
struct HoldingFile {
    inner: Arc<dyn File>,
    holder: Arc<Holder>,
    is_pages: bool,
}

impl File for HoldingFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.inner.read_at(buf, offset)
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<usize> {
        self.holder.call(self.is_pages);
        self.inner.write_at(buf, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.holder.call(self.is_pages);
        self.inner.sync_data()
    }

    fn sync_all(&self) -> io::Result<()> {
        self.holder.call(self.is_pages);
        self.inner.sync_all()
    }

    fn len(&self) -> io::Result<u64> {
        self.inner.len()
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.holder.call(self.is_pages);
        self.inner.set_len(len)
    }

    fn map(&self, len: u64) -> io::Result<Mapping> {
        self.inner.map(len)
    }
}

impl Vfs for HoldingVfs {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>> {
        let inner = self.inner.open(path, mode)?;
        let is_pages = path.to_string_lossy().contains(PAGES);
        Ok(Arc::new(HoldingFile { inner, holder: Arc::clone(&self.holder), is_pages }))
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.holder.call(false);
        self.inner.create_dir(path)
    }

    fn read_dir(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        self.inner.read_dir(path)
    }

    fn kind(&self, path: &Path) -> io::Result<Option<EntryKind>> {
        self.inner.kind(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.holder.call(false);
        self.inner.rename(from, to)
    }

    fn exchange(&self, a: &Path, b: &Path) -> io::Result<()> {
        self.holder.call(false);
        self.inner.exchange(a, b)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.holder.call(false);
        self.inner.remove_file(path)
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        self.holder.call(false);
        self.inner.remove_dir(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.holder.call(false);
        self.inner.sync_dir(path)
    }

    fn lock(&self, path: &Path) -> Result<Lock, LockError> {
        self.inner.lock(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hold_is_read_back_as_it_was_written() {
        for hold in [Hold { calls: Calls::All, at: 0 }, Hold { calls: Calls::Pages, at: 12 }] {
            assert_eq!(hold.to_string().parse(), Ok(hold));
        }
        assert!("merge:1".parse::<Hold>().is_err());
    }

    #[test]
    fn calls_before_the_one_to_hold_pass() {
        let holder = Holder::new(Some(Hold { calls: Calls::Pages, at: 1 }), || panic!("held"));
        holder.call(true); // not open yet
        holder.opened();
        holder.call(false); // not a page file
        holder.call(true);
        let held = std::thread::spawn(move || holder.call(true)).join();
        assert!(held.is_err());
    }
}
