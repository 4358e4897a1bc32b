//! A clock in doubt: what is to be known, and how it is confirmed.

use super::Db;
use crate::{ClockDoubt, Result};

impl Db {
    /// Why the time by which keys expire may be wrong; `None` if nothing speaks against it.
    ///
    /// The clock of the machine went forward by more than a day at once. While the database is open that is not followed:
    /// keys expire as if it had not happened, nothing that has expired is dropped from the files, and writes with an expiry fail
    /// with [`Clock`](crate::ErrorKind::Clock), until the clock is set back, or confirmed ([`Db::confirm_clock`]). An open
    /// follows it, as the database may have rested for so long; but what expired in the meantime stays in the files for a
    /// day, or until it is confirmed: so that [`turn_back`](crate::turn_back) can undo it.
    pub fn clock_doubt(&self) -> Option<ClockDoubt> {
        self.inner.engine.clock.doubt()
    }

    /// Says that the clock of the machine is right. From now on keys expire by it, and what has expired is dropped. Does
    /// nothing if there is no doubt.
    ///
    /// # Errors
    /// `Poisoned`, `Closed`, `Forked`.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let db = halodb::Db::open(dir.path())?;
    /// if let Some(doubt) = db.clock_doubt() {
    ///     eprintln!("the clock went forward by {:?}", doubt.step);
    ///     db.confirm_clock()?;
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn confirm_clock(&self) -> Result<()> {
        self.inner.writable()?.confirm_clock()
    }
}
