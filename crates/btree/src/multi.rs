//! Several keys looked up at once.
//!
//! A lookup waits for memory at each level. Sixteen of them go down side by side: at each level all ask for what they read
//! next before the first one reads it: the page below, then the record. So the waiting overlaps, whatever the order of the
//! keys.

use crate::descent::{RECORD_LEN, begin_search};
use crate::error::Result;
use crate::expiry::Expiry;
use crate::guess::{self, BRANCHES, Guess};
use crate::recent;
use crate::tree::Tree;
use halodb_pager::{PageId, PageRef, Stamp};

/// Lookups that go down together: more than a processor core has requests to memory under way, few enough that what they
/// asked for is still in its first cache when it is read.
const GROUP: usize = 16;

impl Tree {
    /// The values of several keys, in their order, borrowed from the mapping.
    ///
    /// Keys may come in any order, and more than once.
    ///
    /// # Errors
    /// As [`Tree::get`]: one page on the way of one key that cannot be trusted fails all of them.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use halodb_btree::{Batch, Store, StoreOptions};
    /// # let dir = tempfile::tempdir()?;
    /// # let vfs = std::sync::Arc::new(halodb_vfs::OsVfs);
    /// let store = Store::create(vfs, &dir.path().join("fruit"), StoreOptions::default())?;
    /// let mut batch = Batch::new();
    /// batch.put("apple", "green");
    /// batch.put("plum", "blue");
    /// let tree = store.apply(&batch)?;
    /// assert_eq!(tree.multi_get(&["plum", "pear", "apple"])?, [Some(&b"blue"[..]), None, Some(b"green")]);
    /// # Ok(()) }
    /// ```
    pub fn multi_get(&self, keys: &[impl AsRef<[u8]>]) -> Result<Vec<Option<&[u8]>>> {
        let mut values = vec![None; keys.len()];
        for (keys, values) in keys.chunks(GROUP).zip(values.chunks_mut(GROUP)) {
            let hash = |key: &_| self.hash(AsRef::as_ref(key));
            self.get_group(keys, |key| key.as_ref(), hash, |i, value, _| values[i] = Some(value))?;
        }
        Ok(values)
    }

    /// As [`Tree::multi_get`] with each key's [`Tree::hash`] at hand; `found` is told the number, the value and the expiry of
    /// each key that is there, in the order of the keys.
    ///
    /// # Errors
    /// As [`Tree::multi_get`]; values that were found before it are told.
    pub fn multi_get_hashed<'t>(
        &'t self,
        keys: &[(&[u8], u64)],
        mut found: impl FnMut(usize, &'t [u8], Expiry),
    ) -> Result<()> {
        for (group, keys) in keys.chunks(GROUP).enumerate() {
            let found = |i, value, expiry| found(group * GROUP + i, value, expiry);
            self.get_group(keys, |(key, _)| key, |(_, hash)| *hash, found)?;
        }
        Ok(())
    }

    /// [`GROUP`] keys at most.
    fn get_group<'t, K>(
        &'t self,
        keys: &[K],
        key_of: impl Fn(&K) -> &[u8],
        hash_of: impl Fn(&K) -> u64,
        mut found: impl FnMut(usize, &'t [u8], Expiry),
    ) -> Result<()> {
        let Some((root, top)) = self.top() else { return Ok(()) };
        let mut lanes = [Lane { at: root, ..Lane::default() }; GROUP];
        for level in (1..=top).rev() {
            for lane in &lanes[..keys.len()] {
                let branch = self.branch(lane.at, level)?;
                if let Some(near) = guess::trusted(&BRANCHES, lane.guess.map(|guess| branch.near(guess))) {
                    self.prefetch_children(lane.at, &branch, near);
                }
            }
            for (key, lane) in keys.iter().zip(&mut lanes) {
                let branch = self.branch(lane.at, level)?;
                let key = key_of(key);
                let index = self.find_child(lane.at, &branch, key, lane.guess)?;
                let child = self.decoded(lane.at, branch.child(index))?;
                let guess = branch.guess(index, key);
                *lane = Lane {
                    at: child.at,
                    entries: child.entries,
                    guess,
                    filters: branch.filter(),
                    index,
                    is_denied: false,
                };
                if level > 1 {
                    self.prefetch_branch(&child);
                }
            }
        }
        if top > 0 {
            let filters_pay = recent::filters_pay();
            // A loop of its own: the processor asks for the filters of several keys before it has that of the first.
            for (key, lane) in keys.iter().zip(&mut lanes) {
                if filters_pay && self.denied(lane.filters, lane.index, lane.at, || hash_of(key)) {
                    recent::note(false);
                    lane.is_denied = true;
                } else {
                    self.prefetch_leaf(lane.at, lane.entries, lane.guess);
                }
            }
        }
        for (key, lane) in keys.iter().zip(&mut lanes).filter(|(_, lane)| !lane.is_denied) {
            let leaf = self.leaf(lane.at)?;
            match begin_search(&leaf, key_of(key), lane.guess) {
                Ok((_, low)) => {
                    lane.index = low;
                    if let Some(offset) = leaf.offset(low) {
                        self.prefetch_records(lane.at, offset, RECORD_LEN);
                    }
                }
                Err(_) => {
                    recent::note(false);
                    lane.is_denied = true;
                }
            }
        }
        for (i, (key, lane)) in keys.iter().zip(&lanes).enumerate().filter(|(_, (_, lane))| !lane.is_denied) {
            let leaf = self.leaf(lane.at)?;
            let suffix = key_of(key).get(leaf.prefix().len()..).unwrap_or_default();
            let (index, is_there) = self.decoded(lane.at, leaf.search_tied(suffix, lane.index))?;
            recent::note(is_there);
            if is_there {
                let record = self.decoded(lane.at, leaf.record(index))?;
                let expiry = self.decoded(lane.at, leaf.expiry(index))?;
                found(i, self.value(lane.at, &record)?, expiry);
            }
        }
        Ok(())
    }
}

/// How far one of the lookups has come. Small, and nothing that was parsed: to move that about costs more than to parse it again.
#[derive(Clone, Copy)]
struct Lane {
    /// The page that comes next.
    at: PageRef,
    /// Entries below it.
    entries: u64,
    /// Where in it the key is to be expected.
    guess: Option<Guess>,
    /// Where the filters of the leaves below the last branch are.
    filters: Option<PageRef>,
    /// The page's number in that branch; in its leaf, the first entry with the key's head or above.
    index: usize,
    /// The key is not there.
    is_denied: bool,
}

impl Default for Lane {
    fn default() -> Self {
        let at = PageRef { id: PageId(0), stamp: Stamp::from_raw(0), pages: 1 };
        Lane { at, entries: 0, guess: None, filters: None, index: 0, is_denied: false }
    }
}
