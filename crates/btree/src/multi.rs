//! Several keys looked up at once.
//!
//! A lookup waits for memory at each level. Sixteen of them go down side by side: at each level all ask for what they read
//! next before the first one reads it: the page below, then the record. So the waiting overlaps, whatever the order of the
//! keys.

use crate::error::Result;
use crate::tree::Tree;
use halodb_pager::PageRef;

/// Lookups that go down together: more than a processor core has requests to memory under way, few enough that what they
/// asked for is still in its first cache when it is read.
const GROUP: usize = 16;

/// Bytes asked for of the record that a lookup likely ends at.
const RECORD_LEN: usize = 256;

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
        let hashed: Vec<(&[u8], u64)> = keys.iter().map(|key| (key.as_ref(), self.hash(key.as_ref()))).collect();
        let mut values = vec![None; keys.len()];
        self.multi_get_hashed(&hashed, |i, value| values[i] = Some(value))?;
        Ok(values)
    }

    /// As [`Tree::multi_get`] with each key's [`Tree::hash`] at hand; `found` is told the number and the value of each key
    /// that is there, in the order of the keys.
    ///
    /// # Errors
    /// As [`Tree::multi_get`]; values that were found before it are told.
    pub fn multi_get_hashed<'t>(&'t self, keys: &[(&[u8], u64)], mut found: impl FnMut(usize, &'t [u8])) -> Result<()> {
        for (group, keys) in keys.chunks(GROUP).enumerate() {
            self.get_group(keys, |i, value| found(group * GROUP + i, value))?;
        }
        Ok(())
    }

    fn get_group<'t>(&'t self, keys: &[(&[u8], u64)], mut found: impl FnMut(usize, &'t [u8])) -> Result<()> {
        let Some((root, top)) = self.top() else { return Ok(()) };
        // Where each key goes on; `None`: a filter denied it.
        let mut pages: [Option<PageRef>; GROUP] = [Some(root); GROUP];
        // For each key the branch above its leaf, the number of the leaf in it, and the leaf.
        let mut above = Vec::with_capacity(if top > 0 { keys.len() } else { 0 });
        for level in (1..=top).rev() {
            for ((key, _), page) in keys.iter().zip(&mut pages) {
                let Some(at) = *page else { continue };
                let branch = self.branch(at, level)?;
                let index = self.decoded(at, branch.find(key))?;
                let child = self.child(at, &branch, index)?;
                *page = Some(child.at);
                if level > 1 {
                    self.prefetch_branch(&child);
                } else {
                    above.push((branch, index, child));
                }
            }
        }
        // A loop of its own: the processor asks for the filters of several keys before it has that of the first.
        for ((branch, index, child), ((_, hash), page)) in above.iter().zip(keys.iter().zip(&mut pages)) {
            if self.denied(branch, *index, child.at, || *hash) {
                *page = None;
            } else {
                self.prefetch_leaf(child);
            }
        }
        for ((key, _), page) in keys.iter().zip(&pages) {
            let Some(at) = *page else { continue };
            let (leaf, proof) = self.proven_leaf(at)?;
            let likely = leaf.layout().offset(self.body_again(proof)?, leaf.likely(key));
            if let Some(offset) = likely {
                self.prefetch_records(at, offset, RECORD_LEN);
            }
        }
        for (i, ((key, _), page)) in keys.iter().zip(pages).enumerate() {
            let Some(at) = page else { continue };
            let leaf = self.leaf(at)?;
            if let (index, true) = self.decoded(at, leaf.search(key))? {
                let record = self.decoded(at, leaf.record(index))?;
                found(i, self.value(at, &record)?);
            }
        }
        Ok(())
    }
}
