//! Keyspaces of a database: opening, creating, listing and dropping them.
//!
//! Changes of the catalogue go one after another under [`Open::changing`]; a process has its database alone, so that is
//! enough. What was opened is remembered by name, so that opening it again costs a look into a map.

use std::collections::HashMap;
use std::sync::Arc;

use halodb_partition::Expect;
use parking_lot::{Mutex, RwLock};

use super::Db;
use crate::catalogue;
use crate::keyspace::Member;
use crate::{Error, ErrorKind, Keyspace, Result};

/// The keyspaces that were opened and not dropped.
#[derive(Debug, Default)]
pub(super) struct Open {
    /// Held while the catalogue is read and changed.
    changing: Mutex<()>,
    members: RwLock<HashMap<Box<str>, Arc<Member>>>,
}

impl Db {
    /// The keyspace with this name; it is created if there is none. The name has 1 to 255 bytes of text without control
    /// characters; `default` is the keyspace that the `Db` itself is.
    ///
    /// Creating one is a write, as durable as the database was opened for; opening one again costs a look into a map.
    ///
    /// # Errors
    /// `InvalidInput` for the name, and those of [`Keyspace::get`] and [`Keyspace::put`].
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let db = halodb::Db::open(dir.path())?;
    /// let (users, visits) = (db.keyspace("users")?, db.keyspace("visits")?);
    /// db.batch().put_in(&users, "ada", "Ada Lovelace").put_in(&visits, "ada", "1").commit()?; // both or none
    /// assert_eq!(users.len()? + visits.len()?, 2);
    /// assert_eq!(db.len()?, 0);
    /// assert_eq!(db.keyspaces()?, ["default", "users", "visits"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn keyspace(&self, name: impl AsRef<str>) -> Result<Keyspace> {
        let name = name.as_ref();
        if let Some(found) = self.find_keyspace(name)? {
            return Ok(found);
        }
        let _changing = self.inner.open.changing.lock();
        if let Some(found) = self.find_keyspace(name)? {
            return Ok(found);
        }
        let number = catalogue::next(&self.inner.view()?, self.id)?;
        let batch = catalogue::creation(name, number, self.id.sibling(number));
        let absent = (&*catalogue::key_of(name), Expect::Absent);
        if self.inner.commit_if(&batch, &[], Some(absent), self.inner.durability)?.is_none() {
            let dir = self.inner.path.display();
            let what = format!("the catalogue of the database in {dir} was changed by somebody else");
            return Err(Error::new(ErrorKind::Conflict, what));
        }
        Ok(self.remember(name, number))
    }

    /// The keyspace with this name, if there is one.
    ///
    /// # Errors
    /// `InvalidInput` for the name, and those of [`Keyspace::get`].
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let db = halodb::Db::open(dir.path())?;
    /// assert!(db.find_keyspace("users")?.is_none());
    /// db.keyspace("users")?;
    /// assert!(db.find_keyspace("users")?.is_some());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn find_keyspace(&self, name: impl AsRef<str>) -> Result<Option<Keyspace>> {
        let name = name.as_ref();
        if name == Keyspace::DEFAULT {
            return Ok(Some(self.keys.clone()));
        }
        catalogue::check_name(name)?;
        // A closed database is not asked.
        let view = self.inner.view()?;
        if let Some(member) = self.inner.open.members.read().get(name) {
            return Ok(Some(self.handle(member)));
        }
        let Some(number) = catalogue::find(&view, name)? else { return Ok(None) };
        drop(view);
        // Between the look and now it may have been dropped.
        let mut members = self.inner.open.members.write();
        if let Some(member) = members.get(name) {
            return Ok(Some(self.handle(member)));
        }
        if catalogue::find(&self.inner.view()?, name)? != Some(number) {
            return Ok(None);
        }
        let member = members.entry(name.into()).or_insert(self.member_of(name, number));
        Ok(Some(self.handle(member)))
    }

    /// Names of all keyspaces that are there, in order; `default` is always among them. Costs a scan over the catalogue.
    ///
    /// # Errors
    /// As [`Keyspace::get`].
    pub fn keyspaces(&self) -> Result<Vec<String>> {
        let mut names = catalogue::names(self.inner.view()?)?;
        let at = names.partition_point(|name| name.as_str() < Keyspace::DEFAULT);
        names.insert(at, Keyspace::DEFAULT.to_owned());
        Ok(names)
    }

    /// Removes a keyspace with everything in it, in one step; whether there was one. One small record in the log, however
    /// much there is; space is returned by the merges that follow.
    ///
    /// Handles of it answer `NoKeyspace` from then on, and a write that is under way is made before, and removed, or refused.
    /// Snapshots taken before still show what was there. A keyspace made later under the same name is another one, and empty.
    ///
    /// # Errors
    /// `InvalidInput` for `default`, which is always there ([`Keyspace::clear`] empties it), and those of
    /// [`Keyspace::put`].
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let db = halodb::Db::open(dir.path())?;
    /// let cache = db.keyspace("cache")?;
    /// cache.put("page", "…")?;
    /// assert!(db.drop_keyspace("cache")?);
    /// assert!(!db.drop_keyspace("cache")?);
    /// assert_eq!(cache.put("page", "…").unwrap_err().kind(), halodb::ErrorKind::NoKeyspace);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn drop_keyspace(&self, name: impl AsRef<str>) -> Result<bool> {
        let name = name.as_ref();
        if name == Keyspace::DEFAULT {
            let what = "the default keyspace cannot be dropped; `clear` empties it";
            return Err(Error::new(ErrorKind::InvalidInput, what));
        }
        self.inner.owned()?;
        let _changing = self.inner.open.changing.lock();
        let Some(found) = self.find_keyspace(name)? else { return Ok(false) };
        let Some(member) = found.member() else { return Ok(false) };
        let batch = catalogue::removal(name, found.id);
        found.commit(&batch, self.inner.durability)?;
        let mut members = self.inner.open.members.write();
        members.remove(name);
        member.mark_dropped();
        Ok(true)
    }

    fn remember(&self, name: &str, number: u32) -> Keyspace {
        let mut members = self.inner.open.members.write();
        let member = members.entry(name.into()).or_insert(self.member_of(name, number));
        self.handle(member)
    }

    fn member_of(&self, name: &str, number: u32) -> Arc<Member> {
        Arc::new(Member::new(name, number, catalogue::entry_of(self.id.sibling(number))))
    }

    fn handle(&self, member: &Arc<Member>) -> Keyspace {
        let id = self.id.sibling(member.number);
        Keyspace::new(Arc::clone(&self.inner), id, Some(Arc::clone(member)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use halodb_partition::Batch;
    use halodb_vfs::SimVfs;

    /// A database salvaged from a damaged one may have lost any part of its catalogue.
    #[test]
    fn a_number_that_is_in_use_is_not_given_out_even_if_the_catalogue_has_forgotten_it() {
        let db = Db::builder("data").vfs(Arc::new(SimVfs::new())).open().expect("it opens");
        let numbers = ["a", "b", "c"].map(|name| {
            let keyspace = db.keyspace(name).expect("it is created");
            keyspace.put("k", name).expect("a put succeeds");
            keyspace.member().expect("it is named").number
        });
        assert_eq!(numbers, [2, 3, 4]);
        db.keyspace("a").and_then(|a| a.clear()).expect("a clear succeeds");
        let mut batch = Batch::new();
        batch.delete(catalogue::NEXT);
        batch.delete(&catalogue::key_of("b"));
        batch.delete(&catalogue::entry_of(db.id.sibling(3)));
        db.inner.commit(&batch, &[], db.inner.durability).expect("a commit succeeds");
        let new = db.keyspace("new").expect("it is created");
        assert_eq!(new.member().expect("it is named").number, 5, "2 has a name, 3 has keys, 4 has both");
        assert!(new.is_empty().expect("a read succeeds"));
    }
}
