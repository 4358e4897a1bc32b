//! [`Engine`] and [`Reader`]: what every database in the comparison can be asked, and the list of them.
//!
//! One adapter a file. An adapter sets its engine up the way the engine's own documentation recommends for speed, with
//! equal durability and the memory budget it is given, and says so in [`Engine::settings`]. It adds no cache, no
//! buffering and no copy that a user of the engine would not write. What an engine cannot do is a typed
//! [`Problem`], never a slow imitation that is passed off as the engine's own.
//!
//! What is *not* here: what is measured (`rows/`), and the data (`data.rs`).

mod fjall;
mod halodb;
mod lmdb;
mod redb;
#[cfg(feature = "rocksdb")]
mod rocksdb;
mod sled;
#[cfg(feature = "sqlite")]
mod sqlite;
mod tree;

use std::fmt;
use std::path::{Path, PathBuf};

/// What every adapter is opened with.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// An empty directory of its own, or one that the same engine wrote and closed.
    pub(crate) dir: PathBuf,
    /// Memory for caches and write buffers together, in bytes.
    pub(crate) budget_bytes: u64,
}

/// What a write waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Durability {
    /// `fdatasync` or stronger before the answer: survives a power cut.
    Sync,
    /// The engine's cheapest level: no sync at all, though atomic and visible.
    None,
}

/// Why an engine has no answer.
#[derive(Debug)]
pub(crate) enum Problem {
    /// HaloDB will have it, but does not yet: what is missing.
    #[expect(dead_code, reason = "at the moment no row is missing")]
    NotYet(&'static str),
    /// The engine has nothing like it, or no documented way: what is missing.
    Unsupported(&'static str),
    /// It tried and failed, or the answer was wrong.
    Failed(String),
}

/// An answer, or why there is none.
pub(crate) type Result<T> = std::result::Result<T, Problem>;

/// Where the writes of one transaction go.
pub(crate) trait Batch {
    /// Sets a key.
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<()>;
    /// Removes a key; nothing happens if it is absent.
    fn delete(&mut self, key: &[u8]) -> Result<()>;
}

/// Fills a transaction. Called once; keys and values may be reused between calls of the batch, so that a transaction
/// of a million pairs needs no memory beside the engine's own.
pub(crate) type Fill<'a> = &'a mut dyn FnMut(&mut dyn Batch) -> Result<()>;

/// Is shown a key and its value.
pub(crate) type Pairs<'a> = &'a mut dyn FnMut(&[u8], &[u8]);

/// An open database.
pub(crate) trait Engine: Send + Sync {
    /// What was set, and why: one sentence each, printed and kept with the results.
    fn settings(&self) -> Vec<String>;

    /// One atomic transaction, whatever its size. If `fill` fails, nothing is written.
    fn write(&self, durability: Durability, fill: Fill<'_>) -> Result<()>;

    /// Sets one key, in a transaction of its own.
    fn put(&self, key: &[u8], value: &[u8], durability: Durability) -> Result<()> {
        self.write(durability, &mut |batch| batch.put(key, value))
    }

    /// Shows `f` the value of a key as it is now; whether there is one. The way an application reads a single key
    /// beside its writers. For many reads of one moment take a [`reader`](Engine::reader).
    fn get(&self, key: &[u8], f: &mut dyn FnMut(&[u8])) -> Result<bool> {
        self.reader()?.get(key, f)
    }

    /// One transaction of puts in ascending order of keys into an empty database, durable: by the engine's own way of
    /// loading sorted data where its documentation names one.
    fn load_sorted(&self, fill: Fill<'_>) -> Result<()> {
        self.write(Durability::Sync, fill)
    }

    /// A view of this moment: a read transaction or snapshot where there is one. For one thread, and a thread may have
    /// one at a time; it must be gone before the same thread writes.
    fn reader(&self) -> Result<Box<dyn Reader + '_>>;

    /// The exact number of keys, by the fastest exact way the engine has.
    fn len(&self) -> Result<u64>;

    /// Removes the pairs with `from <= key < to` for which `predicate` holds, in one transaction; how many they were.
    fn remove_if(
        &self,
        from: &[u8],
        to: &[u8],
        durability: Durability,
        predicate: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<u64>;

    /// Takes `count` pairs out, first and last key in turn, each asked for without knowing the next, in one transaction
    /// where the engine has transactions that read. Ends early when the database is empty or `go_on` says no; how many
    /// were taken.
    fn pop_ends(
        &self,
        count: u64,
        durability: Durability,
        go_on: &mut dyn FnMut() -> bool,
        f: Pairs<'_>,
    ) -> Result<u64>;

    /// Gives disk space back, as far as the engine can when asked to, and waits for it.
    fn compact(&mut self) -> Result<()>;

    /// Makes everything written so far survive a power cut.
    fn sync(&self) -> Result<()>;

    /// An orderly close: what is in memory is on the disk, and no thread of the engine runs on.
    fn close(self: Box<Self>) -> Result<()>;
}

/// Reads of one moment, by one thread.
pub(crate) trait Reader {
    /// Shows `f` the value of a key; whether there is one.
    fn get(&mut self, key: &[u8], f: &mut dyn FnMut(&[u8])) -> Result<bool>;

    /// Shows `f` the values of those of `keys` that are there, in any order; how many. One after another, unless the
    /// engine has a better way.
    fn multi_get(&mut self, keys: &[&[u8]], f: &mut dyn FnMut(&[u8])) -> Result<usize> {
        let mut found = 0;
        for key in keys {
            found += usize::from(self.get(key, f)?);
        }
        Ok(found)
    }

    /// Shows `f` up to `limit` pairs in key order, from the first key that is not below `from` on; how many.
    fn seek(&mut self, from: &[u8], limit: usize, f: Pairs<'_>) -> Result<usize>;

    /// Shows `f` the pairs whose key begins with `prefix`, in key order, and all pairs for an empty one; how many.
    fn scan(&mut self, prefix: &[u8], f: Pairs<'_>) -> Result<u64>;
}

/// Opens or creates a database.
type Open = fn(&Settings) -> Result<Box<dyn Engine>>;

/// An engine of the comparison.
#[derive(Clone, Copy)]
pub(crate) struct Kind {
    /// Its name on the command line and in the results.
    pub(crate) name: &'static str,
    /// The package it comes from.
    package: &'static str,
    open: Open,
    /// Opens its tree alone, without the database around it. For peers that are nothing but a tree it is the same.
    open_tree: Option<Open>,
}

impl Kind {
    /// The release that is compiled in, and the package if its name is another one.
    pub(crate) fn version(&self) -> String {
        let version = locked(LOCK, self.package).unwrap_or("unknown");
        if self.package == self.name { version.to_owned() } else { format!("{} {version}", self.package) }
    }

    /// Opens or creates a database in `settings.dir`.
    ///
    /// # Errors
    /// What the engine says.
    pub(crate) fn open(&self, settings: &Settings) -> Result<Box<dyn Engine>> {
        (self.open)(settings)
    }

    /// As [`open`](Kind::open), but the tree alone.
    ///
    /// # Errors
    /// What the engine says; [`Problem::Unsupported`] if it has no tree that could be used alone.
    pub(crate) fn open_tree(&self, settings: &Settings) -> Result<Box<dyn Engine>> {
        let open = self.open_tree.ok_or(Problem::Unsupported("a tree that can be used alone"))?;
        open(settings)
    }
}

/// The engines that are compared when nobody says otherwise, HaloDB first.
pub(crate) const DEFAULT: [&str; 5] = ["halodb", "redb", "fjall", "lmdb", "sled"];

/// The engines that are compiled in only on request, with what building them takes.
pub(crate) const OPTIONAL: [(&str, &str); 2] = [
    ("rocksdb", "a C++ compiler, cmake and libclang; on Debian and Ubuntu: apt-get install clang libclang-dev cmake"),
    ("sqlite", "a C compiler; on Debian and Ubuntu: apt-get install gcc"),
];

/// Every engine in this program. `halodb-p2` and `halodb-p4` are HaloDB with two and with four partitions: not peers, and only run by
/// name, to choose the default.
pub(crate) const KINDS: &[Kind] = &[
    Kind { name: "halodb", package: "halodb", open: halodb::open, open_tree: Some(tree::open) },
    Kind { name: "halodb-p2", package: "halodb", open: halodb::open_two, open_tree: None },
    Kind { name: "halodb-p4", package: "halodb", open: halodb::open_four, open_tree: None },
    Kind { name: "redb", package: "redb", open: redb::open, open_tree: Some(redb::open) },
    Kind { name: "fjall", package: "fjall", open: fjall::open, open_tree: None },
    Kind { name: "lmdb", package: "heed", open: lmdb::open, open_tree: Some(lmdb::open) },
    Kind { name: "sled", package: "sled", open: sled::open, open_tree: None },
    #[cfg(feature = "rocksdb")]
    Kind { name: "rocksdb", package: "rocksdb", open: rocksdb::open, open_tree: None },
    #[cfg(feature = "sqlite")]
    Kind { name: "sqlite", package: "rusqlite", open: sqlite::open, open_tree: None },
];

/// What cargo chose, when this was compiled.
const LOCK: &str = include_str!("../../../Cargo.lock");

/// The version of a package in a lock file.
fn locked<'l>(lock: &'l str, package: &str) -> Option<&'l str> {
    let (_, rest) = lock.split_once(&format!("\nname = \"{package}\"\nversion = \""))?;
    Some(rest.split_once('"')?.0)
}

/// The engine called `name`.
///
/// # Errors
/// A sentence that says which there are, and how to get an optional one.
pub(crate) fn find(name: &str) -> std::result::Result<Kind, String> {
    if let Some(kind) = KINDS.iter().find(|kind| kind.name == name) {
        return Ok(*kind);
    }
    if let Some((_, needs)) = OPTIONAL.iter().find(|(optional, _)| *optional == name) {
        return Err(format!(
            "{name} is not in this build: run `cargo xtask bench --compare {name}`. Building it needs {needs}"
        ));
    }
    let known: Vec<_> = KINDS.iter().map(|kind| kind.name).collect();
    Err(format!("there is no engine {name:?}; there are {}", known.join(", ")))
}

/// Bytes of disk that the files below `dir` take: allocated blocks, so that a sparse file counts for what it holds.
///
/// # Errors
/// A directory that cannot be read.
pub(crate) fn disk_bytes(dir: &Path) -> std::io::Result<u64> {
    use std::os::unix::fs::MetadataExt;
    let mut sum = 0;
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        // A file that an engine removes in this moment takes no space.
        let Ok(meta) = entry.metadata() else { continue };
        sum += if meta.is_dir() { disk_bytes(&entry.path())? } else { meta.blocks() * 512 };
    }
    Ok(sum)
}

impl Problem {
    /// A wrong answer.
    pub(crate) fn wrong(what: &str, expected: impl fmt::Display, found: impl fmt::Display) -> Self {
        Problem::Failed(format!("wrong answer: {what}: expected {expected}, found {found}"))
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Problem::NotYet(what) => write!(f, "not yet: {what}"),
            Problem::Unsupported(what) => write!(f, "not supported: {what}"),
            Problem::Failed(why) => write!(f, "failed: {why}"),
        }
    }
}

/// Every engine's errors fail the row. `Problem` is no `Error` itself, so that this covers all of them.
impl<E: std::error::Error> From<E> for Problem {
    fn from(error: E) -> Self {
        let mut text = error.to_string();
        let mut cause = error.source();
        while let Some(next) = cause {
            text = format!("{text}: {next}");
            cause = next.source();
        }
        Problem::Failed(text)
    }
}

/// The first key after all keys that begin with `prefix`; `None` if there is none.
pub(crate) fn prefix_end(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|&byte| byte != u8::MAX)?;
    let mut end = prefix[..=last].to_vec();
    end[last] += 1;
    Some(end)
}

#[cfg(test)]
mod tests;
