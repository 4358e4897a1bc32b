//! A single-file ordered store: one tree in one page file, every batch a commit.
//!
//! For programs that want the tree by itself. There is no log: each [`Store::apply`] writes the touched leaves and the
//! branches above them, and synchronises twice, so batches should be large. Within a database the tree is used through
//! [`crate::merge`] instead.
//!
//! User area of the meta pages: 12 bytes `halodb-store`, u32 version 1, u64 hash seed, u32 filter bits per key.

use crate::batch::Batch;
use crate::bytes::{u32_at, u64_at};
use crate::error::{Error, Result};
use crate::merge::{Build, Edits, KeyRange, merge};
use crate::shrink::Shrink;
use crate::tree::{Tree, TreeOptions};
use crate::{Cursor, Depth};
use halodb_pager::{Access, Finding, Identity, PageSet, Pager};
use halodb_vfs::Vfs;
use std::path::Path;
use std::sync::Arc;

const MAGIC: &[u8; 12] = b"halodb-store";
const VERSION_AT: usize = 12;
const SEED_AT: usize = 16;
const BITS_AT: usize = 24;
const USER_LEN: usize = 28;
const VERSION: u32 = 1;
/// All stores have one identity: nothing but the file is there to be mixed up with another.
const UUID: [u8; 16] = *b"halodb-btree-one";
/// Batches are merged into pages filled so far: room for later changes without rewriting neighbours.
const FILL_PERCENT: u32 = 93;
/// The first batch of a store is likely a bulk load.
const BULK_FILL_PERCENT: u32 = 100;

/// What a new store is like; all of it is fixed at creation.
#[derive(Clone, Copy, Debug)]
pub struct StoreOptions {
    /// Bytes per page: a power of two from 4096 to 65536 (default 16384). Larger pages hold longer keys and scan
    /// faster, and cost more per small batch.
    pub page_size: u32,
    /// Filter bits per key, 0 (none) to 64 (default 11).
    pub filter_bits_per_key: u32,
    /// Seed of the keys' hashes (default 0). Give a random one if keys come from people who wish you ill.
    pub hash_seed: u64,
}

impl Default for StoreOptions {
    fn default() -> Self {
        StoreOptions { page_size: 16_384, filter_bits_per_key: 11, hash_seed: 0 }
    }
}

/// A single-file ordered store.
///
/// ```
/// use halodb_btree::{Batch, Store, StoreOptions};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("fruit.store");
/// let vfs = std::sync::Arc::new(halodb_vfs::OsVfs);
/// let store = Store::create(vfs, &path, StoreOptions::default())?;
/// let mut batch = Batch::new();
/// batch.put("apple", "red").put("plum", "blue");
/// store.apply(&batch)?;
/// assert_eq!(store.get(b"plum")?, Some(b"blue".to_vec()));
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Store {
    pager: Pager,
    options: TreeOptions,
}

impl Store {
    /// Creates a store in a new file.
    ///
    /// # Errors
    /// [`Error::Pager`] if the file exists or cannot be made, [`Error::Invalid`] for options out of range.
    pub fn create(vfs: Arc<dyn Vfs>, path: &Path, options: StoreOptions) -> Result<Store> {
        let tree = TreeOptions { hash_seed: options.hash_seed, filter_bits_per_key: options.filter_bits_per_key };
        let mut user = [0; USER_LEN];
        user[..VERSION_AT].copy_from_slice(MAGIC);
        user[VERSION_AT..SEED_AT].copy_from_slice(&VERSION.to_le_bytes());
        user[SEED_AT..BITS_AT].copy_from_slice(&tree.hash_seed.to_le_bytes());
        user[BITS_AT..].copy_from_slice(&tree.filter_bits_per_key.to_le_bytes());
        if tree.filter_bits_per_key > 64 {
            return Err(Error::Invalid(format!(
                "{} filter bits per key; at most 64 are possible",
                tree.filter_bits_per_key
            )));
        }
        let pager = Pager::create(vfs, path, identity(options.page_size), &user)?;
        Ok(Store { pager, options: tree })
    }

    /// Opens a store; `page_size` must be the one it was created with.
    ///
    /// # Errors
    /// [`Error::Pager`] if the file is none of this kind or page size, or damaged.
    pub fn open(vfs: Arc<dyn Vfs>, path: &Path, page_size: u32) -> Result<Store> {
        let pager = Pager::open(vfs, path, &identity(page_size), Access::ReadWrite)?;
        let snapshot = pager.snapshot();
        let options = decode_user(snapshot.user()).ok_or_else(|| Error::Corrupt {
            path: path.to_path_buf(),
            offset: 0,
            what: "the user area of the meta page is not that of a store of version 1".to_string(),
        })?;
        Ok(Store { pager, options })
    }

    /// The newest version, for reading; it stays as it is however often the store changes. Drop it when done: the
    /// pages it holds are not reused before.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if the root is none of a tree.
    pub fn tree(&self) -> Result<Tree> {
        Tree::open(self.pager.snapshot(), 0, self.options)
    }

    /// The value of a key, copied. [`Store::tree`] and [`Tree::get`] read without a copy.
    ///
    /// # Errors
    /// As [`Tree::get`].
    pub fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        Ok(self.tree()?.get(key)?.map(<[u8]>::to_vec))
    }

    /// A cursor over the newest version.
    ///
    /// # Errors
    /// As [`Store::tree`].
    pub fn cursor(&self) -> Result<Cursor> {
        Ok(self.tree()?.cursor())
    }

    /// Applies a batch, durable when this returns, and gives the new version. Waits for other threads' batches.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a key or value that is too long or an empty key: nothing is changed then. Otherwise as
    /// the page file says; after a failed synchronisation the store must be opened again.
    pub fn apply(&self, batch: &Batch) -> Result<Tree> {
        self.commit(&batch.ranges(), &mut batch.edits())
    }

    /// Applies a stream of edits in ascending order of keys, as one batch that is never in memory as a whole. The first
    /// batch of a store is its bulk build: pages filled to the brim, written one after another.
    ///
    /// # Errors
    /// As [`Store::apply`], and [`Error::Invalid`] for edits out of order.
    pub fn apply_sorted(&self, edits: &mut dyn Edits) -> Result<Tree> {
        self.commit(&[], edits)
    }

    /// Fills an empty store with the pairs that `fill` gives, in ascending order of keys, as one batch: durable when this returns.
    /// A pair is not kept longer than the few pages it waits for, so there may be more of them than memory. If `fill` fails, the
    /// store stays empty.
    ///
    /// Pages are filled to the brim, and written one after another. Other threads' batches wait meanwhile.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the store is not empty, or if a pair was refused; what `fill` says; otherwise as
    /// [`Store::apply`].
    ///
    /// ```
    /// # use halodb_btree::{Store, StoreOptions};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let disk = std::sync::Arc::new(halodb_vfs::SimVfs::new());
    /// # let store = Store::create(disk, "squares".as_ref(), StoreOptions::default())?;
    /// let tree = store.build(|build| (0..50_000u64).try_for_each(|n| build.put(&n.to_be_bytes(), &(n * n).to_be_bytes())))?;
    /// assert_eq!(tree.get(&300u64.to_be_bytes())?, Some(&90_000u64.to_be_bytes()[..]));
    /// # Ok(()) }
    /// ```
    pub fn build<E: From<Error>>(
        &self,
        fill: impl FnOnce(&mut Build<'_, '_>) -> std::result::Result<(), E>,
    ) -> std::result::Result<Tree, E> {
        let mut txn = self.pager.begin().map_err(Error::from)?;
        let base = self.tree()?;
        if !base.is_empty() {
            let what = format!("a build into a store of {} keys; it has to be empty", base.len());
            return Err(Error::Invalid(what).into());
        }
        let mut build = Build::new(&mut txn, &base, BULK_FILL_PERCENT);
        fill(&mut build)?;
        let Some(root) = build.finish()? else { return Ok(base) };
        let snapshot = txn.commit(&[root], base.snapshot().user()).map_err(Error::from)?;
        Ok(Tree::open(snapshot, 0, self.options)?)
    }

    fn commit(&self, ranges: &[KeyRange], edits: &mut dyn Edits) -> Result<Tree> {
        let mut txn = self.pager.begin()?;
        let base = self.tree()?;
        let fill = if base.is_empty() { BULK_FILL_PERCENT } else { FILL_PERCENT };
        let merged = merge(&mut txn, &base, ranges, edits, fill, u64::MAX)?;
        if merged.root == base.root() {
            return Ok(base);
        }
        let roots: Vec<_> = merged.root.into_iter().collect();
        let snapshot = txn.commit(&roots, base.snapshot().user())?;
        Tree::open(snapshot, 0, self.options)
    }

    /// Brings the file down to what lives in it: packs leaves that have room, moves pages towards the beginning, and cuts
    /// the end off. Returns the bytes won. Writes up to twice the size of the tree; the file grows by a sixteenth at most
    /// meanwhile. Other threads may read, and their batches go in between; pages that they still read stay.
    ///
    /// # Errors
    /// As [`Store::apply`]; what was done up to the error stays done, and no entry is lost.
    ///
    /// ```
    /// # use halodb_btree::{Batch, Store, StoreOptions};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let disk = std::sync::Arc::new(halodb_vfs::SimVfs::new());
    /// # let store = Store::create(disk, "numbers".as_ref(), StoreOptions::default())?;
    /// # let mut batch = Batch::new();
    /// # (0..9000u32).for_each(|n| drop(batch.put(n.to_be_bytes(), [7; 100])));
    /// # store.apply(&batch)?;
    /// store.apply(Batch::new().delete_range(100u32.to_be_bytes(), None))?;
    /// assert!(store.compact()? > 500_000);
    /// # Ok(()) }
    /// ```
    pub fn compact(&self) -> Result<u64> {
        let before = self.pager.stats();
        let chunk_pages = (before.pages / 16).clamp(16, 4096);
        let mut shrink = Shrink::new(Shrink::TIGHT);
        while !shrink.is_done() {
            shrink.step(&self.pager, self.options, chunk_pages)?;
        }
        Ok(before.file_bytes.saturating_sub(self.pager.stats().file_bytes))
    }

    /// Checks the newest version and that every page of the file is accounted for exactly once.
    ///
    /// # Errors
    /// [`Error::Pager`] if the stored free list cannot be read.
    pub fn check(&self, depth: Depth) -> Result<Vec<Finding>> {
        let tree = self.tree()?;
        let mut pages = PageSet::default();
        let mut findings = tree.check(depth, &mut pages)?;
        findings.extend(tree.snapshot().check_accounting(&pages)?);
        Ok(findings)
    }

    /// The options that [`Store::tree`] reads with.
    pub fn tree_options(&self) -> TreeOptions {
        self.options
    }

    /// The page file, for its figures and upkeep.
    pub fn pager(&self) -> &Pager {
        &self.pager
    }
}

fn identity(page_size: u32) -> Identity {
    Identity { uuid: UUID, incarnation: 0, file_id: 0, page_size }
}

fn decode_user(user: &[u8]) -> Option<TreeOptions> {
    if user.len() != USER_LEN || !user.starts_with(MAGIC) || u32_at(user, VERSION_AT)? != VERSION {
        return None;
    }
    let options = TreeOptions { hash_seed: u64_at(user, SEED_AT)?, filter_bits_per_key: u32_at(user, BITS_AT)? };
    (options.filter_bits_per_key <= 64).then_some(options)
}
