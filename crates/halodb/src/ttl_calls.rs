//! What can be asked and said about the time that keys have to live: `ttl`, `expire`, and puts that keep an expiry.
//!
//! What depends on the value before is read, and committed if nobody has written to the key since; else it begins again
//! (`keyspace/revise.rs`).

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use halodb_partition::{self as partition, Durability, Life};
use halodb_vfs::mutant;

use crate::keyspace::revise::{Wish, setting};
use crate::space_id::check_value;
use crate::ttl::{Ttl, TtlState};
use crate::{Commit, Condition, Keyspace, Result, Snapshot};

impl Keyspace {
    /// How long a key will live. Costs as [`Keyspace::get`] without the copy.
    ///
    /// # Errors
    /// As [`Keyspace::get`].
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let db = halodb::Db::open(dir.path())?;
    /// use halodb::TtlState;
    /// db.put("k", "v")?;
    /// assert_eq!(db.ttl("k")?, TtlState::Never);
    /// assert_eq!(db.ttl("another")?, TtlState::Missing);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn ttl(&self, key: impl AsRef<[u8]>) -> Result<TtlState> {
        let key = self.id.encode(key.as_ref())?;
        state(&self.view()?, key.as_bytes())
    }

    /// Lets a key live so long from now on, as durable as the database was opened for; whether it was there.
    /// [`Ttl::Never`] takes an expiry away. Writes the value anew: costs as [`Keyspace::put`], and a lookup.
    ///
    /// # Errors
    /// As [`Keyspace::put`], and `Corrupt`.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let db = halodb::Db::open(dir.path())?;
    /// use halodb::Ttl;
    /// use std::time::Duration;
    /// db.put("k", "v")?;
    /// assert!(db.expire("k", Ttl::After(Duration::ZERO))?);
    /// assert_eq!(db.get("k")?, None);
    /// assert!(!db.expire("k", Ttl::Never)?, "what has expired does not come back");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn expire(&self, key: impl AsRef<[u8]>, ttl: Ttl) -> Result<bool> {
        let key = self.id.encode(key.as_ref())?;
        let key = key.as_bytes();
        let (was_there, _) = self.revise_at(self.inner.durability, |newest, reads| {
            reads.add_key(key);
            let mut batch = partition::Batch::new();
            let Some(at_ms) = ttl.expires_at_ms(self.inner.engine.now_ms()) else {
                return Ok(Wish::Keep(newest.life(key)? != Life::Absent));
            };
            let found = newest.get_with(key, |value| batch.put_until(key, value, at_ms))?;
            Ok(if found.is_some() { Wish::Write(batch, true) } else { Wish::Keep(false) })
        })?;
        Ok(was_there)
    }

    /// A put that keeps the expiry of the value before; `None` if the condition does not hold.
    pub(crate) fn put_keeping(
        &self,
        key: &[u8],
        value: &[u8],
        condition: Condition,
        level: Durability,
    ) -> Result<Option<Commit>> {
        check_value(value)?;
        let key = self.id.encode(key)?;
        let ((), lsn) = self.revise_at(level, |newest, reads| {
            reads.add_key(key.as_bytes());
            // A planted fault forgets how long the key was to live.
            let life = match newest.life(key.as_bytes())? {
                Life::Until(_) if mutant("halodb.keep-forgets-expiry") => Life::Forever,
                life => life,
            };
            let holds = match condition {
                Condition::Always => true,
                Condition::IfAbsent => life == Life::Absent,
                Condition::IfPresent => life != Life::Absent,
            };
            Ok(if holds { Wish::Write(setting(&key, Some(value), life), ()) } else { Wish::Keep(()) })
        })?;
        Ok(lsn.map(|lsn| Commit { seq: lsn.0 }))
    }
}

impl Snapshot {
    /// How long a key will live from the time of the snapshot on, which stands still.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let db = halodb::Db::open(dir.path())?;
    /// use halodb::TtlState;
    /// db.put("k", "v")?;
    /// assert_eq!(db.snapshot().ttl("k")?, TtlState::Never);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`Snapshot::get`].
    pub fn ttl(&self, key: impl AsRef<[u8]>) -> Result<TtlState> {
        let key = self.space().encode(key.as_ref())?;
        state(self.view()?, key.as_bytes())
    }

    /// Whether any key of the database was ever written with an expiry. Cheap: nothing is read.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let db = halodb::Db::open(dir.path())?;
    /// use halodb::Ttl;
    /// use std::time::Duration;
    /// assert!(!db.snapshot().has_time());
    /// db.batch().put_ttl("k", "v", Ttl::After(Duration::from_secs(9))).commit()?;
    /// assert!(db.snapshot().has_time());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn has_time(&self) -> bool {
        self.view().is_ok_and(|view| view.now_ms() != 0)
    }

    /// When a key expires by the machine's clock; `None` if it does not, or is absent.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let db = halodb::Db::open(dir.path())?;
    /// use halodb::Ttl;
    /// use std::time::{Duration, SystemTime};
    /// let at = SystemTime::UNIX_EPOCH + Duration::from_secs(4_000_000_000);
    /// db.batch().put_ttl("k", "v", Ttl::At(at)).commit()?;
    /// assert_eq!(db.snapshot().expires_at("k")?, Some(at));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`Snapshot::get`].
    pub fn expires_at(&self, key: impl AsRef<[u8]>) -> Result<Option<SystemTime>> {
        let (key, view) = (self.space().encode(key.as_ref())?, self.view()?);
        // Nothing with an expiry was ever written: nothing to look for.
        if view.now_ms() == 0 {
            return Ok(None);
        }
        Ok(match view.life(key.as_bytes())? {
            Life::Until(at_ms) => UNIX_EPOCH.checked_add(Duration::from_millis(at_ms)),
            Life::Absent | Life::Forever => None,
        })
    }
}

fn state(snapshot: &partition::Snapshot, key: &[u8]) -> Result<TtlState> {
    Ok(match snapshot.life(key)? {
        Life::Absent => TtlState::Missing,
        Life::Forever => TtlState::Never,
        Life::Until(at_ms) => TtlState::In(Duration::from_millis(at_ms.saturating_sub(snapshot.now_ms()))),
    })
}
