//! [`Settings`]: what can be set about a database, each value perhaps not set, from several sources laid over each other.
//!
//! This file turns them into what the engine and the threads take. What a value means, its default and its range are
//! the engine's business, except where no engine sees it: threads and intervals.

use std::time::Duration;

use halodb_partition::{self as partition, Create};
use halodb_wal::Durability;

use crate::config::{Loaded, Origin};
use crate::workers::{Schedule, look_every};
use crate::{Error, ErrorKind, Result};

/// Values that somebody set.
#[derive(Clone, Debug, Default)]
pub(crate) struct Settings {
    pub(crate) durability: Option<Durability>,
    pub(crate) partitions: Option<u32>,
    pub(crate) page_size: Option<u32>,
    pub(crate) memtable_bytes: Option<u64>,
    pub(crate) log_limit_bytes: Option<u64>,
    pub(crate) segment_bytes: Option<u64>,
    pub(crate) chunk_bytes: Option<u64>,
    pub(crate) merge_threads: Option<u32>,
    pub(crate) bits_per_key: Option<u32>,
    pub(crate) interval: Option<Duration>,
    pub(crate) idle: Option<Duration>,
    pub(crate) compact_percent: Option<u32>,
    pub(crate) sweep: Option<Duration>,
    /// Only from the builder: for tests.
    pub(crate) large_bytes: Option<u64>,
    /// As before.
    pub(crate) uncommitted_bytes: Option<u64>,
}

/// What a database is opened with.
#[derive(Debug)]
pub(crate) struct Resolved {
    pub(crate) options: partition::Options,
    pub(crate) durability: Durability,
    pub(crate) schedule: Schedule,
}

/// Greatest number of merge threads.
const MAX_MERGE_THREADS: u32 = 16;

/// Time between two writes of the `Memory` level's buffer, unless set.
pub(crate) const DEFAULT_INTERVAL: Duration = Duration::from_millis(50);

/// Threads that merge, unless set.
pub(crate) const DEFAULT_MERGE_THREADS: u32 = 1;

impl From<&Loaded> for Settings {
    /// What files and environment say. The values that are fixed at creation are taken only if somebody set them: their
    /// defaults must not contradict a database that was created otherwise.
    fn from(loaded: &Loaded) -> Self {
        let config = loaded.config();
        let is_set = |name: &str| loaded.origin(name).is_some_and(|origin| *origin != Origin::Default);
        Settings {
            durability: Some(config.wal.durability),
            partitions: is_set("database.partitions").then_some(config.database.partitions),
            page_size: is_set("database.page_size").then_some(config.database.page_size),
            memtable_bytes: Some(config.memory.memtable),
            log_limit_bytes: Some(config.wal.limit),
            segment_bytes: Some(config.wal.segment),
            chunk_bytes: Some(config.merge.chunk),
            merge_threads: Some(config.merge.threads),
            bits_per_key: Some(config.bloom.bits_per_key),
            interval: Some(config.wal.interval),
            idle: Some(config.merge.idle),
            compact_percent: Some(config.merge.compact),
            sweep: Some(config.ttl.sweep),
            large_bytes: None,
            uncommitted_bytes: None,
        }
    }
}

impl Settings {
    /// These values, and where they are not set, those of `below`.
    pub(crate) fn over(self, below: Settings) -> Self {
        Settings {
            durability: self.durability.or(below.durability),
            partitions: self.partitions.or(below.partitions),
            page_size: self.page_size.or(below.page_size),
            memtable_bytes: self.memtable_bytes.or(below.memtable_bytes),
            log_limit_bytes: self.log_limit_bytes.or(below.log_limit_bytes),
            segment_bytes: self.segment_bytes.or(below.segment_bytes),
            chunk_bytes: self.chunk_bytes.or(below.chunk_bytes),
            merge_threads: self.merge_threads.or(below.merge_threads),
            bits_per_key: self.bits_per_key.or(below.bits_per_key),
            interval: self.interval.or(below.interval),
            idle: self.idle.or(below.idle),
            compact_percent: self.compact_percent.or(below.compact_percent),
            sweep: self.sweep.or(below.sweep),
            large_bytes: self.large_bytes.or(below.large_bytes),
            uncommitted_bytes: self.uncommitted_bytes.or(below.uncommitted_bytes),
        }
    }

    /// Fills in defaults and checks what the engine does not see.
    ///
    /// # Errors
    /// `InvalidInput` with value and limits.
    pub(crate) fn resolve(&self, create: Create) -> Result<Resolved> {
        let mut options = partition::Options::default();
        options.partitions = self.partitions;
        options.page_size = self.page_size;
        options.create = create;
        options.large_bytes = self.large_bytes;
        options.uncommitted_bytes = self.uncommitted_bytes;
        set(&mut options.memtable_bytes, self.memtable_bytes);
        set(&mut options.log_limit_bytes, self.log_limit_bytes);
        set(&mut options.segment_bytes, self.segment_bytes);
        set(&mut options.chunk_bytes, self.chunk_bytes);
        set(&mut options.filter_bits_per_key, self.bits_per_key);
        set(&mut options.compact_free_percent, self.compact_percent);
        set(&mut options.idle_ms, self.idle.map(|idle| u64::try_from(idle.as_millis()).unwrap_or(u64::MAX)));
        set(&mut options.sweep_ms, self.sweep.map(|sweep| u64::try_from(sweep.as_millis()).unwrap_or(u64::MAX).max(1)));
        options.first_segment_bytes = options.first_segment_bytes.min(options.segment_bytes);

        let merge_threads = self.merge_threads.unwrap_or(DEFAULT_MERGE_THREADS);
        if !(1..=MAX_MERGE_THREADS).contains(&merge_threads) {
            return Err(out_of_range(format!("{merge_threads} merge threads: 1 to {MAX_MERGE_THREADS} are possible")));
        }
        let interval = self.interval.unwrap_or(DEFAULT_INTERVAL);
        if !(Duration::from_millis(1)..=Duration::from_secs(60)).contains(&interval) {
            return Err(out_of_range(format!("an interval of {interval:?}: 1 ms to 60 s are possible")));
        }
        // Sweeps come with time alone as well.
        let look_every = look_every(Duration::from_millis(options.idle_ms.min(options.sweep_ms.saturating_mul(4))));
        Ok(Resolved {
            options,
            durability: self.durability.unwrap_or_default(),
            schedule: Schedule { merge_threads, interval, look_every },
        })
    }
}

fn set<T>(field: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *field = value;
    }
}

fn out_of_range(message: String) -> Error {
    Error::new(ErrorKind::InvalidInput, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_and_intervals_out_of_range_are_named() {
        for (settings, expected) in [
            (Settings { merge_threads: Some(0), ..Settings::default() }, "0 merge threads: 1 to 16 are possible"),
            (
                Settings { interval: Some(Duration::ZERO), ..Settings::default() },
                "an interval of 0ns: 1 ms to 60 s are possible",
            ),
        ] {
            let error = settings.resolve(Create::Never).unwrap_err();
            assert_eq!((error.kind(), error.to_string().as_str()), (ErrorKind::InvalidInput, expected));
        }
    }

    #[test]
    fn what_is_not_set_is_the_engines_default() {
        let ours = Settings::default().resolve(Create::IfMissing).expect("defaults are legal");
        assert_eq!(format!("{:?}", ours.options), format!("{:?}", partition::Options::default()));
        assert_eq!(ours.durability, Durability::Sync);
    }

    #[test]
    fn the_defaults_of_files_and_of_the_engine_are_the_same() {
        let ours = Settings::default().resolve(Create::IfMissing).expect("defaults are legal");
        let files = Settings::from(&Loaded::default()).resolve(Create::IfMissing).expect("defaults are legal");
        assert_eq!(format!("{ours:?}"), format!("{files:?}"));
        let fixed = crate::config::Config::default().database;
        assert_eq!((fixed.partitions, fixed.page_size), (1, 16384));
    }

    #[test]
    fn the_first_segment_is_never_longer_than_the_others() {
        let small = Settings { segment_bytes: Some(64 << 10), ..Settings::default() };
        let options = small.resolve(Create::IfMissing).expect("legal").options;
        assert_eq!((options.segment_bytes, options.first_segment_bytes), (64 << 10, 64 << 10));
    }
}
