//! Writing on conditions, and for a time, in a transaction; and how long keys will live as it leaves them.
//!
//! A transaction has one time, that of its snapshot, and what it sees does not expire meanwhile. What it sets itself becomes
//! absolute when it is set; if that has passed already, the key is removed.

use std::time::Duration;

use halodb_partition::Life;

use super::Transaction;
use super::own::Did;
use crate::space_id::check_value;
use crate::{Condition, Error, ErrorKind, Result, Ttl, TtlState, WriteOptions};

impl Transaction {
    /// Sets a key for a time and under a condition; whether the condition holds. A condition, and [`Ttl::Keep`], count as
    /// reading the key. The time begins now, not with the commit.
    ///
    /// # Errors
    /// As [`Transaction::put`]; `InvalidInput` for options with a durability, as a transaction has one for all it writes
    /// ([`Transaction::set_durability`]); those of [`Transaction::get`].
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let db = halodb::Db::open(dir.path())?;
    /// use halodb::{Condition, Ttl, TtlState, WriteOptions};
    /// use std::time::Duration;
    /// let lease = WriteOptions::new().condition(Condition::IfAbsent).ttl(Ttl::After(Duration::from_secs(30)));
    /// let is_mine = db.transaction(|tx| {
    ///     let is_mine = tx.put_with("leader", "node 1", &lease)?;
    ///     assert!(!tx.put_with("leader", "node 2", &lease)?);
    ///     Ok(is_mine)
    /// })?;
    /// assert!(is_mine && matches!(db.ttl("leader")?, TtlState::In(_)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn put_with(&mut self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>, options: &WriteOptions) -> Result<bool> {
        let (stored, value) = (self.space.encode(key.as_ref())?, value.as_ref());
        check_value(value)?;
        if options.durability.is_some() {
            let what = "a write of a transaction has no durability of its own; use set_durability";
            return Err(Error::new(ErrorKind::InvalidInput, what));
        }
        let holds = match options.condition {
            Condition::Always => true,
            Condition::IfAbsent => !self.contains(key)?,
            Condition::IfPresent => self.contains(key)?,
        };
        if holds {
            self.set_for(stored.as_bytes(), value, options.ttl)?;
        }
        Ok(holds)
    }

    /// Lets a key live so long from now on; whether it is there. Counts as reading the key. [`Ttl::Never`] takes an expiry away.
    ///
    /// # Errors
    /// As [`Transaction::get`] and [`Transaction::put`].
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let db = halodb::Db::open(dir.path())?;
    /// use halodb::Ttl;
    /// use std::time::Duration;
    /// db.put("session", "Ada")?;
    /// let is_there = db.transaction(|tx| tx.expire("session", Ttl::After(Duration::ZERO)))?;
    /// assert!(is_there && !db.contains("session")?);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn expire(&mut self, key: impl AsRef<[u8]>, ttl: Ttl) -> Result<bool> {
        let stored = self.space.encode(key.as_ref())?;
        let Some(value) = self.get(key)? else { return Ok(false) };
        self.set_for(stored.as_bytes(), &value, ttl)?;
        Ok(true)
    }

    /// How long a key will live from the time of the transaction on; as it has left it. Counts as reading the key.
    ///
    /// # Errors
    /// As [`Transaction::get`].
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let db = halodb::Db::open(dir.path())?;
    /// use halodb::TtlState;
    /// let mut tx = db.begin()?;
    /// tx.put("a", "1")?;
    /// assert_eq!((tx.ttl("a")?, tx.ttl("b")?), (TtlState::Never, TtlState::Missing));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn ttl(&self, key: impl AsRef<[u8]>) -> Result<TtlState> {
        let stored = self.space.encode(key.as_ref())?;
        let now_ms = match self.view()?.now_ms() {
            // Nothing that expires was committed before it began: there was no time.
            0 => self.keys.inner.engine.now_ms(),
            now_ms => now_ms,
        };
        Ok(match self.expiry_of(stored.as_bytes())? {
            None => TtlState::Missing,
            Some(0) => TtlState::Never,
            Some(at_ms) => TtlState::In(Duration::from_millis(at_ms.saturating_sub(now_ms))),
        })
    }

    /// When a key expires, in milliseconds, as the transaction has left it; 0: never; `None`: it is absent. Counts as reading it.
    pub(super) fn expiry_of(&self, stored: &[u8]) -> Result<Option<u64>> {
        match self.own.did(stored) {
            Did::Set(set) => Ok(Some(set.expires_at_ms)),
            Did::Removed => Ok(None),
            Did::Nothing => {
                self.reads.add_key(stored);
                Ok(match self.view()?.life(stored)? {
                    Life::Absent => None,
                    Life::Forever => Some(0),
                    Life::Until(at_ms) => Some(at_ms),
                })
            }
        }
    }

    fn set_for(&mut self, stored: &[u8], value: &[u8], ttl: Ttl) -> Result<()> {
        let now_ms = self.keys.inner.engine.now_ms();
        let at_ms = match ttl.expires_at_ms(now_ms) {
            Some(at_ms) => at_ms,
            // What the transaction sees has not expired to it, however long it takes.
            None => {
                let at_ms = self.expiry_of(stored)?.unwrap_or(0);
                return self.own.set(stored, value, at_ms);
            }
        };
        if at_ms != 0 && at_ms <= now_ms { self.own.remove(stored) } else { self.own.set(stored, value, at_ms) }
    }
}
