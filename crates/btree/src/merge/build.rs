//! [`Build`]: the bulk build, for whoever has pairs to give instead of a stream to be asked.
//!
//! A [`super::merge`] asks its edits one after another, so whoever makes pairs as it goes would have to keep all of them first. Here
//! each pair goes straight into the leaf that is being filled; what is held is a few pages per level. The pages that come out are those
//! of a merge into an empty tree. There is no old tree here, and nothing to delete.

use super::input::check_entry;
use super::output::Output;
use crate::error::{Error, Result};
use crate::expiry::Expiry;
use crate::page::max_key_len;
use crate::tree::Tree;
use halodb_pager::{Root, WriteTxn};

/// Takes the pairs of a [`crate::Store::build`], in ascending order of keys.
pub struct Build<'o, 'p> {
    output: Output<'o, 'p>,
    max_key_len: usize,
    /// What was refused: the tree would lack it.
    refused: Option<String>,
}

impl std::fmt::Debug for Build<'_, '_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Build").field("refused", &self.refused).finish_non_exhaustive()
    }
}

impl<'o, 'p> Build<'o, 'p> {
    /// Into `txn`, whose base must be `base`, a tree of no page.
    pub(crate) fn new(txn: &'o mut WriteTxn<'p>, base: &'o Tree, fill_percent: u32) -> Build<'o, 'p> {
        let max_key_len = max_key_len(base.snapshot().page_size());
        let mut output = Output::new(txn, base, fill_percent);
        output.begin_leaf(&[]);
        Build { output, max_key_len, refused: None }
    }

    /// Adds a pair whose key is above all before. Costs copying it once or twice, and its share of writing the pages.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a key that is not above the one before, empty or too long, and for a value that is too long;
    /// otherwise what writing pages says. After an error nothing of the build is kept.
    pub fn put(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        self.put_until(key, value, Expiry::NEVER)
    }

    /// As [`Build::put`], of a pair that expires.
    ///
    /// # Errors
    /// As [`Build::put`].
    pub fn put_until(&mut self, key: &[u8], value: &[u8], expiry: Expiry) -> Result<()> {
        let put = check_entry(key, value.len(), self.max_key_len)
            .and_then(|()| self.output.push_new(None, key, value, expiry));
        if let Err(error) = &put {
            self.refused.get_or_insert_with(|| error.to_string());
        }
        put
    }

    /// Writes what waits, and gives the root to commit; none without any pair.
    pub(crate) fn finish(self) -> Result<Option<Root>> {
        match self.refused {
            Some(what) => Err(Error::Invalid(format!("a build of which a pair was refused: {what}"))),
            None => Ok(self.output.finish()?.0),
        }
    }
}
