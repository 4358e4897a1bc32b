//! What can be asked and said about the time that keys have to live: `ttl`, `expire`, and puts that keep an expiry.
//!
//! What depends on the value before is read, and committed if nobody has written to the key since; else it begins again.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use halodb_partition::{self as partition, Durability, Life, Lsn, ReadSet, Validated};

use crate::engine::Engine;
use crate::ttl::{Ttl, TtlState};
use crate::{Condition, Db, Result, Snapshot};

impl Db {
    /// How long a key will live. Costs as [`Db::get`](Db::get) without the copy.
    ///
    /// # Errors
    /// As [`Db::get`].
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let db = halodb::Db::open(dir.path())?;
    /// use halodb::{Ttl, TtlState};
    /// db.put("k", "v")?;
    /// assert_eq!(db.ttl("k")?, TtlState::Never);
    /// assert_eq!(db.ttl("another")?, TtlState::Missing);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn ttl(&self, key: impl AsRef<[u8]>) -> Result<TtlState> {
        let key = self.keyspace().encode(key.as_ref())?;
        state(&self.view()?, key.as_bytes())
    }

    /// Lets a key live so long from now on, as durable as the database was opened for; whether it was there.
    /// [`Ttl::Never`] takes an expiry away. Writes the value anew: costs as [`Db::put`], and a lookup.
    ///
    /// # Errors
    /// As [`Db::put`].
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
        let key = self.keyspace().encode(key.as_ref())?;
        let key = key.as_bytes();
        let level = self.default_durability();
        self.with_engine(|engine| {
            let committed = engine.replace(key, level, |snapshot, batch| {
                let life = snapshot.life(key)?;
                let Some(at_ms) = ttl.expires_at_ms(engine.now_ms()) else { return Ok(false) };
                if life == Life::Absent {
                    return Ok(false);
                }
                snapshot.get_with(key, |value| batch.put_until(key, value, at_ms))?;
                Ok(true)
            })?;
            match (committed, ttl) {
                (Some(_), _) => Ok(true),
                // Nothing is to be changed.
                (None, Ttl::Keep) => Ok(engine.snapshot().life(key)? != Life::Absent),
                (None, _) => Ok(false),
            }
        })
    }

    /// A put that keeps the expiry of the value before; `None` if the condition does not hold.
    pub(crate) fn put_keeping(
        &self,
        key: &[u8],
        value: &[u8],
        condition: Condition,
        level: Durability,
    ) -> Result<Option<Lsn>> {
        self.with_engine(|engine| {
            engine.replace(key, level, |snapshot, batch| {
                let life = snapshot.life(key)?;
                let holds = match condition {
                    Condition::Always => true,
                    Condition::IfAbsent => life == Life::Absent,
                    Condition::IfPresent => life != Life::Absent,
                };
                let at_ms = if let Life::Until(at_ms) = life { at_ms } else { 0 };
                if holds {
                    batch.put_until(key, value, at_ms);
                }
                Ok(holds)
            })
        })
    }
}

impl Snapshot {
    /// How long a key will live from the time of the snapshot on, which stands still.
    ///
    /// # Errors
    /// As [`Snapshot::get`].
    pub fn ttl(&self, key: impl AsRef<[u8]>) -> Result<TtlState> {
        let key = self.space().encode(key.as_ref())?;
        state(self.view()?, key.as_bytes())
    }

    /// Whether any key was ever written with an expiry. Cheap: nothing is read.
    pub fn has_time(&self) -> bool {
        self.view().is_ok_and(|view| view.now_ms() != 0)
    }

    /// When a key expires by the machine's clock; `None` if it does not, or is absent.
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

impl Engine {
    /// Commits what `make` puts into a batch from what it reads of one key, if nobody has written to the key meanwhile; else
    /// it is asked again. `None` if it says that there is nothing to commit.
    fn replace(
        &self,
        key: &[u8],
        level: Durability,
        mut make: impl FnMut(&partition::Snapshot, &mut partition::Batch) -> Result<bool>,
    ) -> Result<Option<Lsn>> {
        let mut reads = ReadSet::new();
        reads.add_key(key);
        loop {
            self.pass_time();
            let basis = self.set.basis();
            let mut batch = partition::Batch::new();
            if !make(basis.snapshot(), &mut batch)? {
                return Ok(None);
            }
            let commit = || self.set.commit_validated(&batch, basis.snapshot(), &reads, level, self.now_ms());
            match self.gate.when_room(commit)? {
                Validated::Committed(lsn) => {
                    self.announce(&batch);
                    return Ok(Some(lsn));
                }
                Validated::Conflict(lsn) => self.set.wait_visible(lsn)?,
                Validated::TooOld => {}
            }
        }
    }
}
