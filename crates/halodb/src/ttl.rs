//! [`Ttl`] and [`TtlState`]: how long a key is to live, and how long it will.
//!
//! Expiries are absolute in the engine, in milliseconds since 1970; what is relative becomes absolute when the write is made.
//! This file does not read a clock.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How long a key is to live. From the moment it expires on it is absent, for every read at once and for good: gets, scans,
/// counts, conditions. A snapshot keeps the time at which it was taken.
///
/// ```
/// # let dir = tempfile::tempdir()?;
/// # let db = halodb::Db::open(dir.path())?;
/// use halodb::{Ttl, TtlState, WriteOptions};
/// use std::time::Duration;
/// let session = WriteOptions::new().ttl(Ttl::After(Duration::from_secs(600)));
/// db.put_with("session/7", "Ada", &session)?;
/// assert!(matches!(db.ttl("session/7")?, TtlState::In(left) if left <= Duration::from_secs(600)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ttl {
    /// For ever: an expiry that the key had is gone.
    #[default]
    Never,
    /// For so long from now on, to the millisecond. Zero: the key is gone at once.
    After(Duration),
    /// Until a time by the machine's clock. In the past: the key is gone at once.
    At(SystemTime),
    /// As long as the value before was to: a new value with the expiry of the old one. A key that is absent lives for ever.
    Keep,
}

/// How long a key will live; see [`Keyspace::ttl`](crate::Keyspace::ttl).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TtlState {
    /// The key is absent.
    Missing,
    /// It does not expire.
    Never,
    /// It expires after so long.
    In(Duration),
}

impl Ttl {
    /// The expiry as the engine takes it, 0 for none, of a write at `now_ms`; `None`: that of the value before.
    pub(crate) fn expires_at_ms(self, now_ms: u64) -> Option<u64> {
        match self {
            Ttl::Never => Some(0),
            // Rounded up: a time to live of half a millisecond is not none at all.
            Ttl::After(time) => Some(now_ms.saturating_add(millis(time.saturating_add(LESS_THAN_MS))).max(1)),
            Ttl::At(time) => Some(time.duration_since(UNIX_EPOCH).map_or(1, |since| millis(since).max(1))),
            Ttl::Keep => None,
        }
    }
}

const LESS_THAN_MS: Duration = Duration::from_nanos(999_999);

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_relative_becomes_absolute_and_nothing_overflows() {
        let at = |ttl: Ttl| ttl.expires_at_ms(1000);
        assert_eq!(at(Ttl::Never), Some(0));
        assert_eq!(at(Ttl::Keep), None);
        assert_eq!(at(Ttl::After(Duration::from_secs(2))), Some(3000));
        assert_eq!(at(Ttl::After(Duration::from_nanos(1))), Some(1001));
        assert_eq!(at(Ttl::After(Duration::ZERO)), Some(1000));
        assert_eq!(at(Ttl::After(Duration::MAX)), Some(u64::MAX));
        assert_eq!(at(Ttl::At(UNIX_EPOCH + Duration::from_millis(1500))), Some(1500));
        assert_eq!(at(Ttl::At(UNIX_EPOCH)), Some(1), "in the past, not never");
        assert_eq!(at(Ttl::At(UNIX_EPOCH - Duration::from_secs(9))), Some(1));
        assert_eq!(Ttl::After(Duration::ZERO).expires_at_ms(0), Some(1));
    }
}
