//! The one list of keys. A new key is a field, its default, and a row of `OPTIONS`; everything else derives from them.
//!
//! Only keys that do something are here.

use std::path::PathBuf;
use std::time::Duration;

use halodb_wal::Durability;

use super::kind::{Field, Kind};
use super::units::{GIB, KIB, MIB};

/// Everything that can be configured, with safe defaults.
///
/// ```
/// use halodb::config::Config;
///
/// let mut config = Config::default();
/// config.memory.memtable = 256 << 20;
/// config.validate().unwrap();
/// config.wal.limit = 1 << 20;
/// assert!(config.validate().unwrap_err().to_string().starts_with("wal.limit: "));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// `[database]`
    pub database: Database,
    /// `[memory]`
    pub memory: Memory,
    /// `[wal]`
    pub wal: Wal,
    /// `[bloom]`
    pub bloom: Bloom,
    /// `[merge]`
    pub merge: Merge,
    /// `[ttl]`
    pub ttl: Ttl,
    /// `[log]`
    pub log: Log,
}

/// `[database]`: where it is, and what is fixed when it is created.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Database {
    /// Directory of the database.
    pub path: PathBuf,
    /// Hash partitions of a new database.
    pub partitions: u32,
    /// Page size of a new database, in bytes.
    pub page_size: u32,
}

impl Default for Database {
    fn default() -> Self {
        Self { path: PathBuf::from("data"), partitions: 1, page_size: 16 << 10 }
    }
}

/// `[memory]`
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Memory {
    /// Bytes of all memtables together.
    pub memtable: u64,
}

impl Default for Memory {
    fn default() -> Self {
        Self { memtable: 64 * MIB }
    }
}

/// `[wal]`: the write-ahead log.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Wal {
    /// What a write waits for.
    pub durability: Durability,
    /// Time between two writes of the `Memory` level's buffer.
    pub interval: Duration,
    /// Bytes of a log segment.
    pub segment: u64,
    /// Bytes of log that is still needed, beyond which a merge is due.
    pub limit: u64,
}

impl Default for Wal {
    fn default() -> Self {
        Self { durability: Durability::Sync, interval: Duration::from_millis(50), segment: 16 * MIB, limit: 64 * MIB }
    }
}

/// `[bloom]`: the filters in front of leaves.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Bloom {
    /// Filter bits for each key; 0 for no filters.
    pub bits_per_key: u32,
}

impl Default for Bloom {
    fn default() -> Self {
        Self { bits_per_key: 11 }
    }
}

/// `[merge]`: carrying memtables into the trees.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Merge {
    /// Threads that merge.
    pub threads: u32,
    /// Bytes of tree pages written before they are published.
    pub chunk: u64,
    /// Time without a write after which a memtable is merged.
    pub idle: Duration,
    /// Percent of a page file that must be free for it to be compacted by itself; 0: never.
    pub compact: u32,
}

impl Default for Merge {
    fn default() -> Self {
        Self { threads: 1, chunk: 64 * MIB, idle: Duration::from_secs(10), compact: 50 }
    }
}

/// `[ttl]`: keys that expire.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Ttl {
    /// Time between two looks for what has expired and can be taken out of the trees.
    pub sweep: Duration,
}

impl Default for Ttl {
    fn default() -> Self {
        Self { sweep: Duration::from_secs(1) }
    }
}

/// `[log]`: messages for people, on standard error.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Log {
    /// The least important messages shown.
    pub level: LogLevel,
    /// How they are written.
    pub format: LogFormat,
}

impl Default for Log {
    fn default() -> Self {
        Self { level: LogLevel::Warn, format: LogFormat::Text }
    }
}

/// The least important messages that are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// None at all.
    Off,
    /// What failed.
    Error,
    /// And what should be looked at.
    Warn,
    /// And what happened.
    Info,
    /// And why.
    Debug,
    /// And every step.
    Trace,
}

/// How messages are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// Lines for people.
    Text,
    /// One JSON object a line.
    Json,
}

/// One key of the configuration.
#[derive(Debug)]
pub struct ConfigOption {
    pub(super) section: &'static str,
    pub(super) key: &'static str,
    pub(super) kind: Kind,
    /// What it is and when to change it: whole sentences.
    pub(super) what: &'static str,
    /// What another value costs: whole sentences.
    pub(super) cost: &'static str,
}

/// All keys, in the order of the annotated file.
pub fn options() -> impl ExactSizeIterator<Item = &'static ConfigOption> {
    OPTIONS.iter()
}

/// The field of a key in [`Config`].
macro_rules! field {
    ($section:ident.$key:ident) => {
        Field { get: |config| &config.$section.$key, get_mut: |config| &mut config.$section.$key }
    };
}

/// A choice between names, each standing for a value of the field.
macro_rules! choice {
    ($section:ident.$key:ident: $type:ident, $($text:literal => $variant:ident),+ $(,)?) => {
        Kind::Choice {
            names: &[$($text),+],
            get: |config| match config.$section.$key { $($type::$variant => $text),+ },
            set: |config, name| match name {
                $($text => config.$section.$key = $type::$variant,)+
                other => unreachable!("{other:?} was checked against the names"),
            },
        }
    };
}

pub(super) static OPTIONS: &[ConfigOption] = &[
    ConfigOption {
        section: "database",
        key: "path",
        kind: Kind::Path { field: field!(database.path) },
        what: "Directory of the database, created when missing. A relative path is relative to the file it stands in. \
               Only for a file given by --config: the file inside a database's directory cannot move it.",
        cost: "Choose a local disk: locks and syncs of network file systems are not to be trusted.",
    },
    ConfigOption {
        section: "database",
        key: "partitions",
        kind: Kind::Integer { min: 1, max: 256, field: field!(database.partitions) },
        what: "Hash partitions, each with a memtable and a tree of its own. Fixed when the database is created.",
        cost: "More of them merge in smaller pieces, but a scan has to read all of them side by side: with two a seek takes \
               twice as long. Threads share the work within one partition, too.",
    },
    ConfigOption {
        section: "database",
        key: "page_size",
        kind: Kind::PowerOfTwo { min: 4 << 10, max: 64 << 10, field: field!(database.page_size) },
        what: "Bytes of a page of the tree, the unit of reading. Fixed when the database is created. A key may have a quarter \
               of it at most.",
        cost: "Larger pages make scans and loading a little faster, and each random read and small merge dearer.",
    },
    ConfigOption {
        section: "memory",
        key: "memtable",
        kind: Kind::Size { min: 64 * KIB, max: 64 * GIB, field: field!(memory.memtable) },
        what: "Memory for writes that are not in the trees yet, all partitions together. When it fills, merges begin.",
        cost: "A larger one merges less often and writes less to the disk in all, takes that much memory, and, if wal.limit \
               grows with it, makes opening after a crash longer.",
    },
    ConfigOption {
        section: "wal",
        key: "durability",
        kind: choice!(wal.durability: Durability,
            "memory" => Memory,
            "buffered" => Buffered,
            "sync" => Sync,
        ),
        what: "What a write waits for. memory: this process; a crash of it may lose the last interval. buffered: the operating \
               system; a power loss may lose the last seconds. sync: the disk; nothing acknowledged is lost.",
        cost: "sync waits for the disk at each commit (writers share one wait); the others lose the newest writes in a crash, \
               never older ones and never half of one.",
    },
    ConfigOption {
        section: "wal",
        key: "interval",
        kind: Kind::Duration {
            min: Duration::from_millis(1),
            max: Duration::from_secs(60),
            field: field!(wal.interval),
        },
        what: "Time between two writes of the buffer that holds commits of the level memory.",
        cost: "A longer one loses more in a crash of the process; a shorter one writes more often. No effect on the other levels.",
    },
    ConfigOption {
        section: "wal",
        key: "segment",
        kind: Kind::Size { min: 64 * KIB, max: GIB, field: field!(wal.segment) },
        what: "Bytes of one file of the log. Files are recycled whole. The first one of a new database is smaller.",
        cost: "Larger ones hold disk space longer; smaller ones mean more file changes.",
    },
    ConfigOption {
        section: "wal",
        key: "limit",
        kind: Kind::Size { min: 128 * KIB, max: 256 * GIB, field: field!(wal.limit) },
        what: "Bytes of log that the trees do not have yet, beyond which a merge is due whatever the memtables hold. At least \
               two segments.",
        cost: "A larger one takes disk space and makes opening after a crash longer.",
    },
    ConfigOption {
        section: "bloom",
        key: "bits_per_key",
        kind: Kind::Integer { min: 0, max: 32, field: field!(bloom.bits_per_key) },
        what: "Filter bits for each key: a read of a missing key is mostly answered without reading the leaf. 0: no filters. \
               Holds for leaves written from then on.",
        cost: "8 bits let 3.3 % of the missing keys through, 11 bits 0.8 %, 16 bits 0.1 %. Each bit costs an eighth of a byte \
               a key.",
    },
    ConfigOption {
        section: "merge",
        key: "threads",
        kind: Kind::Integer { min: 1, max: 16, field: field!(merge.threads) },
        what: "Threads that carry memtables into the trees: different partitions, or ranges of keys of one.",
        cost: "Each takes a core while it merges. Raise it only when writers wait for merges.",
    },
    ConfigOption {
        section: "merge",
        key: "chunk",
        kind: Kind::Size { min: MIB, max: GIB, field: field!(merge.chunk) },
        what: "Bytes of tree pages a merge writes before it publishes them. A small tree uses smaller chunks by itself.",
        cost: "A merge takes up to about three chunks of extra disk space; smaller chunks sync more often.",
    },
    ConfigOption {
        section: "merge",
        key: "idle",
        kind: Kind::Duration {
            min: Duration::from_millis(10),
            max: Duration::from_secs(24 * 3600),
            field: field!(merge.idle),
        },
        what: "Time without a write after which what is in memory is merged, so that the next opening has little to replay.",
        cost: "A shorter one writes small merges for a database that is written now and then.",
    },
    ConfigOption {
        section: "merge",
        key: "compact",
        kind: Kind::Integer { min: 0, max: 100, field: field!(merge.compact) },
        what: "Percent of a page file that must be free for it to be made smaller by itself, once nobody has written to its \
               partition for merge.idle. 0: only when asked (`halodb compact`).",
        cost: "A smaller one gives disk space back sooner and writes more for it.",
    },
    ConfigOption {
        section: "ttl",
        key: "sweep",
        kind: Kind::Duration {
            min: Duration::from_millis(10),
            max: Duration::from_secs(24 * 3600),
            field: field!(ttl.sweep),
        },
        what: "Time between two looks for keys that have expired, to give their room back. An expired key is absent at once in \
               any case. A database without such keys is not looked at.",
        cost: "A shorter one rewrites the same leaves more often, up to about 16 MiB per interval. With a longer one counts read \
               the leaves that hold expired keys until they are swept.",
    },
    ConfigOption {
        section: "log",
        key: "level",
        kind: choice!(log.level: LogLevel,
            "off" => Off,
            "error" => Error,
            "warn" => Warn,
            "info" => Info,
            "debug" => Debug,
            "trace" => Trace,
        ),
        what: "The least important messages shown, on standard error.",
        cost: "debug and trace cost time.",
    },
    ConfigOption {
        section: "log",
        key: "format",
        kind: choice!(log.format: LogFormat,
            "text" => Text,
            "json" => Json,
        ),
        what: "How messages are written: lines for people, or one JSON object a line.",
        cost: "json is for programs that collect messages.",
    },
];
