//! [`Keyspace`]: the handle of one keyspace, and what all its calls go through: whether it is still there.
//!
//! A [`Db`](crate::Db) is the handle of the default keyspace, so every method on data is here and nowhere else: `read.rs`,
//! `write.rs`, `range.rs`, `revise.rs`, `ends.rs`, `transact.rs`.
//!
//! Membership. A keyspace may be dropped while others write to it. Every write to a named keyspace therefore carries the
//! condition that its entry in the catalogue is present, which the engine judges in the section in which the write gets its
//! number: a write is before the drop, which then removes it, or it is refused. Reads look at a flag that the drop sets
//! before it returns. The default keyspace cannot be dropped, and pays for none of this.

mod ends;
mod lens;
mod range;
mod read;
pub(crate) mod revise;
mod transact;
mod write;

pub(crate) use ends::Edges;
pub(crate) use lens::Lens;
pub(crate) use range::half_open;

pub(crate) use revise::sum;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use halodb_partition::{self as partition, Durability, Expect, Lsn};

use crate::db::Inner;
use crate::short::Short;
use crate::space_id::SpaceId;
use crate::{Commit, Error, ErrorKind, Result};

/// A named, ordered set of keys of its own in a database: the same key in two keyspaces is two keys. A [`Db`](crate::Db) is
/// the keyspace `default`, and has all these methods.
///
/// Clones are handles of the same keyspace, for any number of threads. A handle keeps the database open, as a clone of the
/// `Db` does.
///
/// Atomicity, snapshots and durability are those of the whole database: a [`Batch`](crate::Batch) may write to several
/// keyspaces, and a [`Snapshot`](crate::Snapshot) shows all of them at one moment. Once a keyspace is
/// [dropped](crate::Db::drop_keyspace), its handles answer [`NoKeyspace`](ErrorKind::NoKeyspace), also if one of the same
/// name is made later.
///
/// Cost: a few bytes in memory for each that was opened; a write to a named keyspace also looks up whether it is still there.
///
/// ```
/// # let dir = tempfile::tempdir()?;
/// # let db = halodb::Db::open(dir.path())?;
/// let users = db.keyspace("users")?;
/// users.put("1", "Ada")?;
/// assert_eq!(users.get("1")?.as_deref(), Some(&b"Ada"[..]));
/// assert_eq!(db.get("1")?, None, "the default keyspace has keys of its own");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Keyspace {
    pub(crate) inner: Arc<Inner>,
    pub(crate) id: SpaceId,
    /// `None`: the default one, which is always there.
    member: Option<Arc<Member>>,
}

/// A named keyspace that is there, or was: shared by all its handles.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) name: Box<str>,
    pub(crate) number: u32,
    /// Stored key of the entry that the catalogue has for the id while the keyspace is there.
    pub(crate) entry: Short,
    dropped: AtomicBool,
}

impl Member {
    pub(crate) fn new(name: &str, number: u32, entry: Short) -> Self {
        Member { name: name.into(), number, entry, dropped: AtomicBool::new(false) }
    }

    /// From now on its handles say that it is gone.
    pub(crate) fn mark_dropped(&self) {
        self.dropped.store(true, Ordering::Release);
    }

    /// The error for a keyspace that was dropped.
    pub(crate) fn gone(&self) -> Error {
        Error::new(ErrorKind::NoKeyspace, format!("the keyspace `{}` was dropped", self.name))
    }

    fn check(&self) -> Result<()> {
        if self.dropped.load(Ordering::Acquire) { Err(self.gone()) } else { Ok(()) }
    }
}

impl Keyspace {
    /// The name of the keyspace that a `Db` is.
    pub const DEFAULT: &'static str = "default";

    pub(crate) fn new(inner: Arc<Inner>, id: SpaceId, member: Option<Arc<Member>>) -> Self {
        Keyspace { inner, id, member }
    }

    /// Its name.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let db = halodb::Db::open(dir.path())?;
    /// assert_eq!(db.keyspace("users")?.name(), "users");
    /// assert_eq!(db.name(), "default");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn name(&self) -> &str {
        self.member().map_or(Self::DEFAULT, |member| &member.name)
    }

    /// What says that it is there; `None`: it always is.
    pub(crate) fn member(&self) -> Option<&Arc<Member>> {
        self.member.as_ref()
    }

    /// Whether the other one belongs to the same open database.
    pub(crate) fn shares_database_with(&self, other: &Keyspace) -> Result<()> {
        if Arc::ptr_eq(&self.inner, &other.inner) {
            return Ok(());
        }
        let (name, dir) = (other.name(), self.inner.path.display());
        Err(Error::new(
            ErrorKind::InvalidInput,
            format!("the keyspace `{name}` is one of another database than {dir}, or of an earlier open"),
        ))
    }

    /// What is visible now.
    pub(crate) fn view(&self) -> Result<partition::Snapshot> {
        if let Some(member) = &self.member {
            member.check()?;
        }
        self.inner.view()
    }

    /// What is visible now, for whoever may keep it: an iterator, a snapshot.
    pub(crate) fn view_to_keep(&self) -> Result<partition::Snapshot> {
        if let Some(member) = &self.member {
            member.check()?;
        }
        self.inner.view_to_keep()
    }

    /// Commits a batch of stored keys of this keyspace.
    pub(crate) fn commit(&self, batch: &partition::Batch, level: Durability) -> Result<Commit> {
        let members = self.member.as_slice();
        self.inner.commit(batch, members, level)
    }

    /// As [`Keyspace::commit`], if a condition on a stored key holds; `None` if it does not, and nothing was written.
    pub(crate) fn commit_if(
        &self,
        batch: &partition::Batch,
        condition: (&[u8], Expect),
        level: Durability,
    ) -> Result<Option<Lsn>> {
        self.inner.commit_if(batch, self.member.as_slice(), Some(condition), level)
    }
}

impl fmt::Debug for Keyspace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keyspace").field("name", &self.name()).field("path", &self.inner.path).finish_non_exhaustive()
    }
}
