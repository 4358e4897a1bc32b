//! Writing what depends on what is there: read, decide, and commit if nothing of what was read was written meanwhile;
//! otherwise again.
//!
//! Every attempt begins with the newest state, visible or not (`halodb_partition::PartitionSet::newest`), so that changes of
//! one key by many threads follow each other into one group of the log, instead of each waiting for the disk before the
//! next may look. An answer that needs no commit waits until what it rests on is visible, and as durable as a write would
//! have been.
//!
//! Nothing is locked while a user's closure runs. The keyspace's entry in the catalogue is part of what was read.

use std::hash::BuildHasher;
use std::time::Duration;

use halodb_partition::{self as partition, Durability, Life, Lsn, ReadSet, Validated};

use super::Keyspace;
use crate::space_id::{EncodedKey, check_value};
use crate::{Cas, Error, ErrorKind, Result, Update, Value};

/// What one attempt wants.
pub(crate) enum Wish<T> {
    /// To commit these writes and to answer.
    Write(partition::Batch, T),
    /// To answer and to write nothing.
    Keep(T),
}

/// How often a change is tried that others keep preventing.
const ATTEMPTS: u32 = 256;
/// Attempts that follow without a pause: with many threads at one key, each fails because another one succeeds.
const UNPAUSED: u32 = 64;
const LONGEST_PAUSE: Duration = Duration::from_millis(1);

impl Keyspace {
    /// Sets a key; the value that it had before, if it was there. No other write comes between.
    ///
    /// # Errors
    /// As [`Keyspace::put`], and `Corrupt`. `Conflict` if others wrote the key 256 times, each time between the look at it and
    /// the write; nothing was done.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let db = halodb::Db::open(dir.path())?;
    /// assert_eq!(db.insert("k", "1")?, None);
    /// assert_eq!(db.insert("k", "2")?.as_deref(), Some(&b"1"[..]));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn insert(&self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Result<Option<Value>> {
        let value = value.as_ref();
        check_value(value)?;
        self.revise_key(key.as_ref(), |key, old, _| Ok(Wish::Write(setting(key, Some(value), Life::Forever), old)))
    }

    /// Removes a key; the value that it had, if it was there. Nothing is written if it was not.
    ///
    /// # Errors
    /// As [`Keyspace::insert`].
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let db = halodb::Db::open(dir.path())?;
    /// db.put("k", "1")?;
    /// assert_eq!(db.remove("k")?.as_deref(), Some(&b"1"[..]));
    /// assert_eq!(db.remove("k")?, None);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn remove(&self, key: impl AsRef<[u8]>) -> Result<Option<Value>> {
        self.revise_key(key.as_ref(), |key, old, _| {
            Ok(if old.is_some() { Wish::Write(setting(key, None, Life::Absent), old) } else { Wish::Keep(old) })
        })
    }

    /// Sets a key to `new` if its value is `expected`; `None` stands for "absent" in both. No other write comes between.
    ///
    /// # Errors
    /// As [`Keyspace::insert`]. That the value is another one is no error, but [`Cas::Mismatch`].
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let db = halodb::Db::open(dir.path())?;
    /// use halodb::Cas;
    /// assert_eq!(db.compare_and_swap("owner", None, Some(b"node 1"))?, Cas::Swapped);
    /// match db.compare_and_swap("owner", None, Some(b"node 2"))? {
    ///     Cas::Swapped => unreachable!("there is an owner"),
    ///     Cas::Mismatch { current } => assert_eq!(current.as_deref(), Some(&b"node 1"[..])),
    /// }
    /// assert_eq!(db.compare_and_swap("owner", Some(b"node 1"), None)?, Cas::Swapped);
    /// assert!(!db.contains("owner")?);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn compare_and_swap(&self, key: impl AsRef<[u8]>, expected: Option<&[u8]>, new: Option<&[u8]>) -> Result<Cas> {
        check_value(new.unwrap_or_default())?;
        self.revise_key(key.as_ref(), |key, current, _| {
            Ok(match (current.as_deref() == expected, expected == new) {
                (false, _) => Wish::Keep(Cas::Mismatch { current }),
                (true, true) => Wish::Keep(Cas::Swapped),
                (true, false) => Wish::Write(setting(key, new, Life::Forever), Cas::Swapped),
            })
        })
    }

    /// Sets a key to what `f` makes of its value; `None` stands for "absent" on both sides, and giving back what was there
    /// writes nothing. An expiry that the key has stays.
    ///
    /// `f` runs again if somebody else wrote the key meanwhile, up to 256 times, so it should be quick and only compute. It may be shown values
    /// that other threads are just writing. Nothing is locked while it runs.
    ///
    /// # Errors
    /// As [`Keyspace::insert`].
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let db = halodb::Db::open(dir.path())?;
    /// let append = |old: Option<&[u8]>| Some([old.unwrap_or_default(), b"x"].concat());
    /// db.update("log", append)?;
    /// let update = db.update("log", append)?;
    /// assert_eq!(update.before.as_deref(), Some(&b"x"[..]));
    /// assert_eq!(update.after.as_deref(), Some(&b"xx"[..]));
    /// assert_eq!(db.update("log", |_| None)?.after, None); // removes it
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn update(&self, key: impl AsRef<[u8]>, mut f: impl FnMut(Option<&[u8]>) -> Option<Vec<u8>>) -> Result<Update> {
        self.revise_key(key.as_ref(), |key, before, life| {
            let new = f(before.as_deref());
            check_value(new.as_deref().unwrap_or_default())?;
            let is_same = before.as_deref() == new.as_deref();
            let after = new.as_deref().map(Value::from);
            let update = Update { before, after };
            Ok(if is_same { Wish::Keep(update) } else { Wish::Write(setting(key, new.as_deref(), life), update) })
        })
    }

    /// Adds `by` to the number that a key holds, and gives the sum; an absent key holds 0. The number is stored as decimal
    /// text, so that it reads the same in every tool. An expiry that the key has stays.
    ///
    /// # Errors
    /// `InvalidInput` if the value is no decimal number from -2^63 to 2^63 - 1, or the sum is none; nothing was written then.
    /// Those of [`Keyspace::insert`].
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let db = halodb::Db::open(dir.path())?;
    /// assert_eq!(db.increment("visits", 1)?, 1);
    /// assert_eq!(db.increment("visits", 41)?, 42);
    /// assert_eq!(db.get("visits")?.as_deref(), Some(&b"42"[..]));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn increment(&self, key: impl AsRef<[u8]>, by: i64) -> Result<i64> {
        self.revise_key(key.as_ref(), |key, old, life| {
            Ok(match sum(old.as_deref(), by) {
                Ok(sum) => Wish::Write(setting(key, Some(sum.to_string().as_bytes()), life), Ok(sum)),
                Err(error) => Wish::Keep(Err(error)),
            })
        })?
    }

    /// [`Keyspace::revise`] of one key.
    fn revise_key<T>(
        &self,
        key: &[u8],
        mut decide: impl FnMut(&EncodedKey, Option<Value>, Life) -> Result<Wish<T>>,
    ) -> Result<T> {
        let key = self.id.encode(key)?;
        self.revise(|newest, reads| {
            reads.add_key(key.as_bytes());
            let old = newest.get(key.as_bytes())?;
            // Where nothing ever expires there is no time, and nothing to look up once more.
            let life = if newest.now_ms() == 0 { Life::Forever } else { newest.life(key.as_bytes())? };
            decide(&key, old, life)
        })
    }

    /// Lets `decide` look at the newest state until nobody wrote what it read before its wish was fulfilled.
    pub(super) fn revise<T>(
        &self,
        decide: impl FnMut(&partition::Snapshot, &mut ReadSet) -> Result<Wish<T>>,
    ) -> Result<T> {
        Ok(self.revise_at(self.inner.durability, decide)?.0)
    }

    /// As [`Keyspace::revise`] with a durability of its own, and the number of the commit, if there was one.
    pub(crate) fn revise_at<T>(
        &self,
        level: Durability,
        mut decide: impl FnMut(&partition::Snapshot, &mut ReadSet) -> Result<Wish<T>>,
    ) -> Result<(T, Option<Lsn>)> {
        for attempts in 1.. {
            // Entered only for the look and for the commit: the closure may use the database, and others may close it.
            let newest = self.inner.writable()?.newest();
            let mut reads = ReadSet::new();
            if let Some(member) = self.member() {
                reads.add_key(&member.entry);
                if newest.get_with(&member.entry, |_| ())?.is_none() {
                    self.inner.writable()?.set.wait_settled(newest.lsn(), level)?;
                    return Err(member.gone());
                }
            }
            match decide(&newest, &mut reads)? {
                Wish::Keep(answer) => {
                    self.inner.writable()?.set.wait_settled(newest.lsn(), level)?;
                    return Ok((answer, None));
                }
                Wish::Write(batch, answer) => {
                    let done = self.inner.writable()?.commit_validated(&batch, &newest, &reads, level)?;
                    if let Validated::Committed(lsn) = done {
                        return Ok((answer, Some(lsn)));
                    }
                }
            }
            if attempts == ATTEMPTS {
                break;
            }
            if attempts > UNPAUSED {
                // Another part of it each time: two that met once shall not wake together.
                let part = std::hash::RandomState::new().hash_one(attempts) % 256;
                std::thread::sleep(LONGEST_PAUSE * part as u32 / 256);
            }
        }
        Err(Error::new(
            ErrorKind::Conflict,
            format!(
                "others wrote what this change rests on {ATTEMPTS} times, each time before it was made; nothing of it was done"
            ),
        ))
    }
}

/// The write that sets a key for as long as it is to live, or removes it.
pub(crate) fn setting(key: &EncodedKey, value: Option<&[u8]>, life: Life) -> partition::Batch {
    let mut batch = partition::Batch::new();
    match value {
        Some(value) => batch.put_until(key.as_bytes(), value, if let Life::Until(at_ms) = life { at_ms } else { 0 }),
        None => batch.delete(key.as_bytes()),
    }
    batch
}

/// The sum of a number as decimal text and another one; of an absent one: of 0.
///
/// # Errors
/// `InvalidInput` if the value is no number, or the sum does not fit.
pub(crate) fn sum(old: Option<&[u8]>, by: i64) -> Result<i64> {
    let old = match old {
        None => 0,
        Some(bytes) => std::str::from_utf8(bytes).ok().and_then(|text| text.parse::<i64>().ok()).ok_or_else(|| {
            let len = bytes.len();
            Error::new(
                ErrorKind::InvalidInput,
                format!("the value, of {len} bytes, is no decimal number from -2^63 to 2^63 - 1; it was left as it is"),
            )
        })?,
    };
    old.checked_add(by).ok_or_else(|| {
        Error::new(
            ErrorKind::InvalidInput,
            format!("{old} and {by} add up to more than 64 bits hold; the value was left as it is"),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_decimal_text_of_64_bits() {
        let check = |old: Option<&str>, by, expected: std::result::Result<i64, &str>| {
            let found = sum(old.map(str::as_bytes), by);
            match expected {
                Ok(number) => assert_eq!(found.expect("a sum"), number),
                Err(part) => assert!(found.unwrap_err().to_string().contains(part), "{old:?} + {by}"),
            }
        };
        check(None, -3, Ok(-3));
        check(Some("40"), 2, Ok(42));
        check(Some("-9223372036854775808"), 1, Ok(-9223372036854775807));
        check(Some("9223372036854775807"), 1, Err("add up"));
        check(Some("-9223372036854775808"), -1, Err("add up"));
        for text in ["", " 1", "1.5", "0x10", "9223372036854775808", "one"] {
            check(Some(text), 1, Err("no decimal number"));
        }
    }
}
