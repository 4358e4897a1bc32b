//! [`Builder`]: options for opening, and the opening itself: from settings to running threads.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use halodb_partition::{Create, Entropy, OpenProgress, Opening, PartitionSet};
use halodb_vfs::{OsVfs, Process, Vfs};
use halodb_wal::Durability;

use crate::clock::now_ms;
use crate::config::{Config, Loaded, environment};
use crate::crew::Crew;
use crate::db::{Db, Parts};
use crate::engine::Engine;
use crate::gate::Gate;
use crate::recovery::{Listener, side_by_side};
use crate::settings::Settings;
use crate::space_id::SpaceId;
use crate::trace::event;
use crate::workers::Workers;
use crate::{Error, ErrorKind, Result};

/// Options for opening a database. What is not set here comes from the environment, then from `halodb.toml`, then from
/// the defaults, which are good for most uses. [`config`](crate::config) describes file and environment.
///
/// ```
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("data");
/// use halodb::{Db, Durability};
/// use std::time::Duration;
///
/// let db = Db::builder(&path)
///     .durability(Durability::Memory)
///     .interval(Duration::from_millis(20))
///     .memtable(16 << 20)
///     .open()?;
/// db.put("a", "1")?;
/// db.close()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until `open` is called"]
pub struct Builder {
    path: PathBuf,
    settings: Settings,
    create: Create,
    vfs: Option<Arc<dyn Vfs>>,
    /// What an explicit file and the environment said.
    loaded: Option<Settings>,
    /// Who hears how far the open is.
    listener: Listener,
}

impl Builder {
    pub(crate) fn new(path: &Path) -> Self {
        Builder {
            path: path.to_owned(),
            settings: Settings::default(),
            create: Create::IfMissing,
            vfs: None,
            loaded: None,
            listener: Listener::default(),
        }
    }

    /// Reads `file` instead of `halodb.toml` in the database's directory. What this builder sets still wins, and so
    /// does the environment.
    ///
    /// # Errors
    /// `Config` with everything that is wrong with the file and the environment, each problem with its place and what to
    /// write instead.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let (path, file) = (dir.path().join("data"), dir.path().join("my.toml"));
    /// std::fs::write(&file, "[database]\npartitions = 4\n[memory]\nmemtable = \"16MiB\"\n")?;
    /// # #[cfg(feature = "config")] {
    /// let db = halodb::Db::builder(&path).config_file(&file)?.open()?;
    /// assert_eq!(db.stats().partitions, 4);
    /// # }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn config_file(mut self, file: impl AsRef<Path>) -> Result<Self> {
        self.loaded = Some(Settings::from(&Config::load(Some(file.as_ref()), &self.path, environment())?));
        Ok(self)
    }

    /// Takes a configuration that was read before; no other file or environment is looked at. Its `database.path` is
    /// ignored: the builder has one.
    pub fn config(mut self, loaded: &Loaded) -> Self {
        self.loaded = Some(Settings::from(loaded));
        self
    }

    /// How durable a write is when it is answered, unless it says otherwise itself. Default: [`Durability::Sync`], it
    /// survives a power cut. A weaker level makes single writes about a hundred times faster; see [`Durability`].
    pub fn durability(mut self, durability: Durability) -> Self {
        self.settings.durability = Some(durability);
        self
    }

    /// Number of hash partitions of a new database, 1 to 256. Fixed when the database is created. More partitions are
    /// merged in smaller pieces, and make scans dearer. Default: 1; leave it alone unless you have measured.
    pub fn partitions(mut self, partitions: u32) -> Self {
        self.settings.partitions = Some(partitions);
        self
    }

    /// Page size of a new database in bytes, a power of two from 4096 to 65536. Fixed when the database is created. The
    /// longest key is a quarter of it. Larger pages make scans cheaper and each merge of scattered keys dearer.
    /// Default: 16384.
    pub fn page_size(mut self, bytes: u32) -> Self {
        self.settings.page_size = Some(bytes);
        self
    }

    /// Bytes of all memtables together. More of it means fewer, larger merges, more memory, and a longer replay after a
    /// crash. Default: 64 MiB.
    pub fn memtable(mut self, bytes: u64) -> Self {
        self.settings.memtable_bytes = Some(bytes);
        self
    }

    /// Bytes of live log beyond which the partition with the oldest data is merged. Bounds the time that an open takes
    /// after a crash. Default: 64 MiB.
    pub fn log_limit(mut self, bytes: u64) -> Self {
        self.settings.log_limit_bytes = Some(bytes);
        self
    }

    /// Bytes of a log segment. Default: 16 MiB.
    pub fn segment(mut self, bytes: u64) -> Self {
        self.settings.segment_bytes = Some(bytes);
        self
    }

    /// Bytes of tree pages that a merge writes before it publishes them. Bounds the disk space that a merge needs beside
    /// what is there (about three chunks). Default: 64 MiB.
    pub fn merge_chunk(mut self, bytes: u64) -> Self {
        self.settings.chunk_bytes = Some(bytes);
        self
    }

    /// Threads that merge, 1 to 16: different partitions, or ranges of keys of one. Default: 1.
    pub fn merge_threads(mut self, threads: u32) -> Self {
        self.settings.merge_threads = Some(threads);
        self
    }

    /// Filter bits per key; 0 builds no filters. With 11 bits, 1 in 120 lookups of a missing key reads a leaf in vain.
    /// Applies to leaves written from now on. Default: 11.
    pub fn bits_per_key(mut self, bits: u32) -> Self {
        self.settings.bits_per_key = Some(bits);
        self
    }

    /// Time between writes of the `Memory` level's buffer, 1 ms to 60 s: about what a killed process loses of such
    /// writes. Default: 50 ms.
    pub fn interval(mut self, interval: Duration) -> Self {
        self.settings.interval = Some(interval);
        self
    }

    /// Quiet time after which what is in memory is merged. Default: 10 s.
    pub fn idle(mut self, idle: Duration) -> Self {
        self.settings.idle = Some(idle);
        self
    }

    /// Time between two looks for keys that have expired, to give their room back; what has expired is absent at once in any
    /// case. Default: 1 s.
    pub fn sweep(mut self, every: Duration) -> Self {
        self.settings.sweep = Some(every);
        self
    }

    /// Percent of a page file that must be free for it to be made smaller by itself, once nobody has written to its
    /// partition for the idle time; 0: only when asked ([`Db::compact`]). Default: 50.
    pub fn compact_at(mut self, free_percent: u32) -> Self {
        self.settings.compact_percent = Some(free_percent);
        self
    }

    /// Bytes from which on a batch or transaction is a large one: it goes to the log in pieces, and has a memtable of its
    /// own. For tests that want many of them; leave it alone otherwise. Default: a quarter of [`Builder::memtable`], at least 1 MiB and at
    /// most 32 MiB.
    pub fn large_from(mut self, bytes: u64) -> Self {
        self.settings.large_bytes = Some(bytes);
        self
    }

    /// Bytes of memory that all batches and transactions together may hold which are not committed; a batch that grows beyond it goes on in
    /// files, a transaction is refused with [`Full`](ErrorKind::Full). As much again may be committed and not merged: large commits wait then. For tests that want to
    /// see that; leave it alone otherwise. Default: 32 times [`Builder::memtable`], at least 64 MiB.
    pub fn uncommitted_limit(mut self, bytes: u64) -> Self {
        self.settings.uncommitted_bytes = Some(bytes);
        self
    }

    /// Fails with [`NotFound`](ErrorKind::NotFound) if there is no database, instead of creating one.
    pub fn existing(mut self) -> Self {
        self.create = Create::Never;
        self
    }

    /// Tells how far the open is that follows a crash, after each few MiB of the log: [`OpenProgress`]. Called in the thread that
    /// opens; after an orderly end, when nothing has to be replayed, it hears that at once.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// let db = halodb::Db::builder(dir.path().join("data"))
    ///     .on_progress(|now| eprintln!("{} of {} bytes of the log", now.read_bytes, now.total_bytes))
    ///     .open()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn on_progress(mut self, hear: impl Fn(OpenProgress) + Send + Sync + 'static) -> Self {
        self.listener = Listener::new(hear);
        self
    }

    /// Another file system: for tests, a simulated disk that can lose power ([`SimVfs`](crate::vfs::SimVfs)). Neither
    /// `halodb.toml` nor the environment is looked at then, and the path is taken as it is.
    ///
    /// ```
    /// use halodb::vfs::{SimVfs, sim::CrashMode};
    /// use std::sync::Arc;
    ///
    /// let disk = SimVfs::new();
    /// let db = halodb::Db::builder("data").vfs(Arc::new(disk.clone())).open()?;
    /// db.put("a", "1")?;
    ///
    /// // What a power cut right now would leave: only what was synchronised.
    /// let after = disk.crash_image(disk.ops(), CrashMode::Strict, 1);
    /// let db = halodb::Db::builder("data").vfs(Arc::new(after)).open()?;
    /// assert_eq!(db.get("a")?.as_deref(), Some(&b"1"[..]));
    /// # Ok::<(), halodb::Error>(())
    /// ```
    pub fn vfs(mut self, vfs: Arc<dyn Vfs>) -> Self {
        self.vfs = Some(vfs);
        self
    }

    /// Opens the database, or creates it.
    ///
    /// # Errors
    /// As [`Db::open`]; `InvalidInput` for an option out of range; `Config` for a `halodb.toml` or environment variable
    /// that is wrong, and for a number of partitions or page size that contradicts the existing database: both values
    /// are named.
    pub fn open(self) -> Result<Db> {
        self.open_as(Process::this())
    }

    /// Opens as if by the process `owner`.
    pub(crate) fn open_as(self, owner: Process) -> Result<Db> {
        let mut opening = Opening::default();
        let (vfs, path, found) = match self.vfs {
            Some(vfs) => (vfs, self.path, self.loaded.unwrap_or_default()),
            None => {
                opening.side_by_side = &side_by_side;
                let path = absolute(&self.path)?;
                let found = match self.loaded {
                    Some(loaded) => loaded,
                    None => Settings::from(&Config::load(None, &path, environment())?),
                };
                (Arc::new(OsVfs) as Arc<dyn Vfs>, path, found)
            }
        };
        let resolved = self.settings.over(found).resolve(self.create)?;
        let path: Arc<Path> = path.into();
        let budget_bytes = resolved.options.memtable_bytes.min(resolved.options.log_limit_bytes);
        let crew = Arc::new(Crew::new(resolved.schedule.crew()));
        let mut options = resolved.options;
        options.merge_executor = Arc::clone(&crew) as Arc<dyn halodb_partition::Executor>;
        let (listener, began) = (self.listener, Instant::now());
        let has_begun = AtomicBool::new(false);
        let hear = |now: OpenProgress| {
            if now.records > 0 && !has_begun.swap(true, Ordering::Relaxed) {
                event!(INFO, path = %path.display(), bytes = now.total_bytes, "replaying the log");
            }
            listener.tell(now);
        };
        opening.on_progress = &hear;
        let (set, report) = PartitionSet::open_with(vfs, &path, options, entropy()?, now_ms(), opening)?;
        if report.replayed > 0 {
            let elapsed_ms = began.elapsed().as_millis() as u64;
            event!(
                INFO,
                path = %path.display(), records = report.replayed, bytes = report.read_bytes, elapsed_ms,
                "the log was replayed"
            );
            let _ = elapsed_ms;
        }
        let found_ms = set.time_ms();
        event!(
            INFO,
            path = %path.display(), created = report.created, clean = report.clean, replayed = report.replayed,
            "database open"
        );
        if let Some(dropped) = &report.dropped {
            event!(WARN, path = %path.display(), %dropped, "an unproven tail of the log was dropped");
            let _ = dropped;
        }

        let space = SpaceId::new(SpaceId::DEFAULT, set.stats().page_size);
        let engine = Arc::new(Engine::new(set, Gate::new(Arc::clone(&path)), budget_bytes, found_ms));
        if let Some(doubt) = engine.clock.doubt() {
            let step_ms = doubt.step.as_millis() as u64;
            event!(
                WARN, path = %path.display(), step_ms,
                "the clock is more than a day ahead of the last process: keys expire by it, and what expired meanwhile \
                 stays in the files for a day or until the clock is confirmed"
            );
            let _ = step_ms;
        }
        // What has expired while nobody had it open is gone from the beginning.
        engine.set.keep_time(engine.now_ms())?;
        let workers = Workers::start(&engine, &crew, resolved.schedule)?;
        let durability = resolved.durability;
        Ok(Db::from_parts(Parts { engine, workers, path, space, durability, report, owner }))
    }
}

/// The path as it will still be understood when the program has changed its working directory.
pub(crate) fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path).map_err(|error| match path.as_os_str().is_empty() {
        true => Error::new(ErrorKind::InvalidInput, "the path of the database is empty"),
        false => Error::io(format!("cannot tell where {} is", path.display()), error),
    })
}

/// Random numbers for one open.
pub(crate) fn entropy() -> Result<Entropy> {
    let mut uuid = [0; 16];
    let mut numbers = [0; 16];
    for bytes in [&mut uuid, &mut numbers] {
        getrandom::fill(bytes).map_err(|error| {
            Error::io("the system gave no random numbers", std::io::Error::other(error.to_string()))
        })?;
    }
    let [incarnation, hash_seed] = [0, 8].map(|at| u64::from_le_bytes(std::array::from_fn(|i| numbers[at + i])));
    Ok(Entropy { uuid, incarnation, hash_seed })
}
