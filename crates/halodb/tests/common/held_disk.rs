//! [`HeldDisk`]: a simulated disk on which a synchronisation of the log can be held up, and then succeed or fail: so that
//! tests have a group of commits in flight for as long as they want.

use std::io;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use halodb::vfs::{DirEntry, EntryKind, File, Lock, LockError, Mapping, OpenMode, SimVfs, Vfs};

/// What becomes of synchronisations of the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Free,
    Held,
    Failing,
}

#[derive(Debug, Default)]
struct Shared {
    state: State,
    waiting: u32,
    syncs: u32,
}

/// A simulated disk and its state. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct HeldDisk {
    pub(crate) disk: SimVfs,
    shared: Arc<(Mutex<Shared>, Condvar)>,
}

impl HeldDisk {
    /// From now on synchronisations of the log wait.
    pub(crate) fn hold(&self) {
        self.set(State::Held);
    }

    /// Lets them go on.
    pub(crate) fn release(&self) {
        self.set(State::Free);
    }

    /// Lets them go on to fail, and all that follow.
    pub(crate) fn fail(&self) {
        self.set(State::Failing);
    }

    /// Synchronisations of the log that were done.
    pub(crate) fn syncs(&self) -> u32 {
        self.shared.0.lock().unwrap().syncs
    }

    /// Waits until somebody waits.
    pub(crate) fn until_somebody_waits(&self) {
        let (shared, changed) = &*self.shared;
        let guard = shared.lock().unwrap();
        let (_guard, timeout) =
            changed.wait_timeout_while(guard, Duration::from_secs(20), |shared| shared.waiting == 0).unwrap();
        assert!(!timeout.timed_out(), "nobody synchronises the log");
    }

    fn set(&self, state: State) {
        self.shared.0.lock().unwrap().state = state;
        self.shared.1.notify_all();
    }
}

#[derive(Debug)]
struct HeldFile {
    file: Arc<dyn File>,
    /// `None`: no file of the log.
    shared: Option<Arc<(Mutex<Shared>, Condvar)>>,
}

impl HeldFile {
    fn pass(&self) -> io::Result<()> {
        let Some(shared) = &self.shared else { return Ok(()) };
        let (shared, changed) = &**shared;
        let mut guard = shared.lock().unwrap();
        guard.waiting += 1;
        changed.notify_all();
        let mut guard = changed.wait_while(guard, |shared| shared.state == State::Held).unwrap();
        guard.waiting -= 1;
        guard.syncs += 1;
        if guard.state == State::Failing { Err(io::Error::from_raw_os_error(5)) } else { Ok(()) }
    }
}

impl File for HeldFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(buf, offset)
    }
    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<usize> {
        self.file.write_at(buf, offset)
    }
    fn sync_data(&self) -> io::Result<()> {
        self.pass()?;
        self.file.sync_data()
    }
    fn sync_all(&self) -> io::Result<()> {
        self.pass()?;
        self.file.sync_all()
    }
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }
    fn map(&self, len: u64) -> io::Result<Mapping> {
        self.file.map(len)
    }
}

impl Vfs for HeldDisk {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>> {
        // A segment is opened under the name that it has while it is prepared.
        let is_log = path.parent().is_some_and(|parent| parent.ends_with("wal"));
        let shared = is_log.then(|| Arc::clone(&self.shared));
        Ok(Arc::new(HeldFile { file: self.disk.open(path, mode)?, shared }))
    }
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.disk.create_dir(path)
    }
    fn read_dir(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        self.disk.read_dir(path)
    }
    fn kind(&self, path: &Path) -> io::Result<Option<EntryKind>> {
        self.disk.kind(path)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.rename(from, to)
    }
    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.disk.remove_file(path)
    }
    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        self.disk.remove_dir(path)
    }
    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.disk.sync_dir(path)
    }
    fn lock(&self, path: &Path) -> Result<Lock, LockError> {
        self.disk.lock(path)
    }
}
