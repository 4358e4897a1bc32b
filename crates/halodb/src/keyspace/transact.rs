//! Beginning transactions, and running closures in them until they meet no conflict.

use std::hash::BuildHasher;
use std::time::Duration;

use super::Keyspace;
use crate::pins::Pins;
use crate::transaction::{Attempt, Conflict};
use crate::{Error, Result, Transaction};

/// How often a closure is run before its conflict is given up on.
const ATTEMPTS: u32 = 64;
/// Attempts that follow without a pause, as most conflicts are over when the other commit is visible.
const UNPAUSED: u32 = 3;
/// Longest pause of the first attempt that has one; it doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_micros(50);
const LONGEST_PAUSE: Duration = Duration::from_millis(10);

impl Keyspace {
    /// Begins a transaction on what is visible now. Its keys are those of this keyspace, unless
    /// [`Transaction::keyspace`] says otherwise.
    ///
    /// # Errors
    /// `Closed`, `NoKeyspace`; `Corrupt` and `Io` from looking whether a named keyspace is there.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let db = halodb::Db::open(dir.path())?;
    /// let mut tx = db.begin()?;
    /// tx.put("a", "1")?;
    /// assert_eq!(db.get("a")?, None);
    /// tx.commit()?;
    /// assert_eq!(db.get("a")?.as_deref(), Some(&b"1"[..]));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn begin(&self) -> Result<Transaction> {
        self.inner.may_pin()?;
        let basis = self.inner.readable()?.basis();
        // Closed in between, the snapshot no longer keeps others from the files.
        self.inner.readable()?;
        let pin = Pins::enter(&self.inner.pins, basis.snapshot().lsn().0);
        pin.label("a transaction".to_owned());
        Transaction::new(self.clone(), basis, pin)
    }

    /// Runs `f` in a transaction and commits it; after a conflict runs it again, so what it does beside reading and writing
    /// through `tx` should do no harm twice. It is given up on, with the error `Conflict`, after 64 conflicts, about a
    /// second of them. An error of `f` rolls back.
    ///
    /// # Errors
    /// Those of `f` and of [`Transaction::commit`].
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let db = halodb::Db::open(dir.path())?;
    /// let visits = db.transaction(|tx| {
    ///     let visits = tx.get("visits")?.and_then(|v| v.first().copied()).unwrap_or(0) + 1;
    ///     tx.put("visits", [visits])?;
    ///     Ok(visits)
    /// })?;
    /// assert_eq!(visits, 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn transaction<T>(&self, f: impl FnMut(&mut Transaction) -> Result<T>) -> Result<T> {
        self.try_transaction(f)
    }

    /// As [`Keyspace::transaction`], for closures with an error type of their own: any error rolls back.
    ///
    /// # Errors
    /// Those of `f`, and those of [`Transaction::commit`] as `E`.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let db = halodb::Db::open(dir.path())?;
    /// #[derive(Debug)]
    /// enum Refused {
    ///     SoldOut,
    ///     Database(halodb::Error),
    /// }
    /// impl From<halodb::Error> for Refused {
    ///     fn from(error: halodb::Error) -> Self {
    ///         Refused::Database(error)
    ///     }
    /// }
    /// let sold = db.try_transaction(|tx| match tx.get("ticket")? {
    ///     Some(_) => Ok(tx.delete("ticket")?),
    ///     None => Err(Refused::SoldOut),
    /// });
    /// assert!(matches!(sold, Err(Refused::SoldOut)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn try_transaction<T, E: From<Error>>(
        &self,
        mut f: impl FnMut(&mut Transaction) -> std::result::Result<T, E>,
    ) -> std::result::Result<T, E> {
        let mut attempts = 0;
        loop {
            let mut tx = self.begin()?;
            let value = f(&mut tx)?;
            match tx.attempt()? {
                Attempt::Committed(_) => return Ok(value),
                Attempt::Conflict(conflict) => {
                    attempts += 1;
                    if attempts == ATTEMPTS {
                        return Err(Error::from(conflict).into());
                    }
                    self.let_pass(conflict, attempts)?;
                }
            }
        }
    }

    /// Waits until what was in the way is visible, and then for a time that makes it unlikely to meet the same again.
    fn let_pass(&self, conflict: Conflict, attempts: u32) -> Result<()> {
        if let Some(lsn) = conflict.with {
            self.inner.writable()?.set.wait_visible(lsn)?;
        }
        if let Some(doublings) = attempts.checked_sub(UNPAUSED) {
            let longest = FIRST_PAUSE.saturating_mul(1 << doublings.min(16)).min(LONGEST_PAUSE);
            // Another part of it each time: two that met once shall not wake together.
            let part = std::hash::RandomState::new().hash_one(attempts) % 256;
            std::thread::sleep(longest * part as u32 / 256);
        }
        Ok(())
    }
}
