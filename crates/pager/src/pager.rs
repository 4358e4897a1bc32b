//! [`Pager`]: a page file open in this process; opening, securing, meta-only commits, cutting the tail.
//!
//! Who may write is arranged by [`crate::shared::Desk`]; what a transaction does is in `txn.rs` and `commit.rs`. The
//! pager does not know what a page means, starts no thread, and reads no clock.

use crate::error::{Error, Result};
use crate::extents::ExtentSet;
use crate::file::PageFile;
use crate::growth;
use crate::id::{Access, FIRST_PAGE, Identity, MAX_EPOCH, MAX_GENERATION, PageId};
use crate::meta::Meta;
use crate::open::{self, Opened, OtherSlot};
use crate::pending::Pending;
use crate::shared::{Desk, Held, Shared, Writer};
use crate::slots::{Findable, Slots};
use crate::snapshot::{Snapshot, Version};
use crate::stats::PagerStats;
use crate::txn::WriteTxn;
use crate::verified::Verified;
use halodb_vfs::{Vfs, mutant};
use parking_lot::{Mutex, RwLock};
use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

/// A page file open in this process. One writer at a time, any number of snapshots.
///
/// ```
/// use halodb_pager::{Access, Identity, PageKind, Pager, Root};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let dir = tempfile::tempdir()?;
/// let path = dir.path().join("pages");
/// let vfs = std::sync::Arc::new(halodb_vfs::OsVfs);
/// let identity = Identity { uuid: [7; 16], incarnation: 1, file_id: 0, page_size: 4096 };
///
/// let pager = Pager::create(vfs.clone(), &path, identity, b"nothing yet")?;
/// let mut txn = pager.begin()?;
/// let at = txn.alloc(1)?;
/// txn.write(at, PageKind(1), 0, b"durable")?;
/// txn.commit(&[Root { page: at, tag: [0; 16] }], b"one page")?;
/// drop(pager);
///
/// let pager = Pager::open(vfs, &path, &identity, Access::ReadOnly)?;
/// let snapshot = pager.snapshot();
/// assert_eq!(snapshot.user(), b"one page");
/// assert!(snapshot.page(snapshot.roots()[0].page)?.body().starts_with(b"durable"));
/// # Ok(()) }
/// ```
pub struct Pager {
    shared: Arc<Shared>,
    newest: RwLock<Arc<Version>>,
    opened: Opened,
}

impl Pager {
    /// Creates the file under a temporary name, synchronises it, renames it to `path` and synchronises the directory.
    /// Both meta slots hold generation 0, no root and `user`.
    ///
    /// # Errors
    /// [`Error::Io`] of kind `AlreadyExists` if `path` names something; [`Error::Invalid`] for an impossible page size
    /// or user area. After an error of the rename or the directory's sync the file may be there or not.
    pub fn create(vfs: Arc<dyn Vfs>, path: &Path, identity: Identity, user: &[u8]) -> Result<Pager> {
        let (file, meta) = open::create(&*vfs, path, identity, user)?;
        let findable = Findable::of(&meta);
        let slots = Slots::new([Some(findable.clone()), Some(findable)], 0);
        let opened = Opened { generation: 0, slot: 0, other: OtherSlot::Valid { generation: 0 } };
        let mut writer = idle_writer(&file, meta)?;
        // What was just written and synchronised needs no second writing.
        writer.secured = true;
        Ok(Pager::assemble(file, Access::ReadWrite, slots, writer, opened))
    }

    /// Opens an existing file. Reads both metas, chooses the newest valid one, loads the free list; writes nothing.
    /// With [`Access::ReadOnly`] the free list is left alone, so that a file whose list is damaged can still be read.
    ///
    /// # Errors
    /// [`Error::NotAPageFile`], [`Error::Version`], [`Error::Mismatch`] if it is another file than the expected one;
    /// [`Error::Corrupt`] if no meta is valid, the file is shorter than its meta says, or the free list is damaged.
    pub fn open(vfs: Arc<dyn Vfs>, path: &Path, expect: &Identity, access: Access) -> Result<Pager> {
        let (file, chosen) = open::open(&*vfs, path, expect, access)?;
        let opened = chosen.report();
        let older = chosen.other.as_ref().ok().map(Findable::of);
        let newest = Some(Findable::of(&chosen.meta));
        let slots = match chosen.slot {
            0 => Slots::new([newest, older], 0),
            _ => Slots::new([older, newest], 1),
        };
        let mut writer = idle_writer(&file, chosen.meta)?;
        if access == Access::ReadWrite {
            let list = open::load_list(&file, &writer.meta)?;
            writer.free = open::free_set(&list);
            writer.list = list.pages;
        }
        Ok(Pager::assemble(file, access, slots, writer, opened))
    }

    fn assemble(file: PageFile, access: Access, slots: Slots, writer: Writer, opened: Opened) -> Pager {
        let meta = writer.meta.clone();
        let (mapping, verified) = (writer.mapping.clone(), writer.verified.clone());
        let live = Mutex::new(BTreeMap::new());
        let shared = Arc::new(Shared { file, access, live, slots: Mutex::new(slots), desk: Desk::new(writer) });
        let newest = RwLock::new(Version::new(&shared, meta, mapping, verified));
        Pager { shared, newest, opened }
    }

    /// What the open found in the meta slots: whether it had to fall back to the older one is for the caller to judge.
    pub fn opened(&self) -> &Opened {
        &self.opened
    }

    /// Rewrites the chosen meta with the open epoch incremented: to the other slot, synced, then to its own, synced.
    /// Must happen before the first page write after an open (then all pages that meta does not reach are free);
    /// [`Pager::begin`] does it if nobody did. Does nothing the second time.
    ///
    /// What was read at open may exist in the page cache only, left by a process that died between writing and
    /// synchronising. So the chosen meta is first written again as it is: only then may the other slot be overwritten.
    ///
    /// # Errors
    /// A failure poisons. [`Error::Invalid`] with [`Access::ReadOnly`].
    pub fn secure(&self) -> Result<()> {
        self.writer().map(|_| ())
    }

    /// The newest committed version, pinned until dropped.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot::of(self.newest.read().clone())
    }

    /// Starts the (only) write transaction; waits for another thread's to end. A second one in the same thread would
    /// wait for ever.
    ///
    /// # Errors
    /// [`Error::Poisoned`]; [`Error::Invalid`] with [`Access::ReadOnly`]; those of [`Pager::secure`].
    pub fn begin(&self) -> Result<WriteTxn<'_>> {
        let mut held = self.writer()?;
        if held.next_generation > MAX_GENERATION {
            return Err(Error::Invalid("the generations of this file are used up".into()));
        }
        self.shared.settle(&mut held);
        Ok(WriteTxn::new(self, held))
    }

    /// Writes the current roots with another `user` area (or the same: `None`) to the slot not relied on, synced:
    /// one generation further, no page written. After it the meta before the current one is no longer findable.
    ///
    /// # Errors
    /// A failed write or sync poisons. Otherwise as [`Pager::begin`].
    pub fn republish(&self, user: Option<&[u8]>) -> Result<()> {
        if mutant("pager.republish-nothing") {
            return Ok(());
        }
        open::check_user(user.unwrap_or_default())?;
        let mut held = self.writer()?;
        let mut meta = held.meta.clone();
        if let Some(user) = user {
            meta.user = user.to_vec();
        }
        self.advance(&mut held, meta, 1)
    }

    /// The user areas of all findable metas: those that a crash now could leave in either slot.
    pub fn findable_users(&self) -> Vec<Vec<u8>> {
        self.shared.slots.lock().findable().map(|f| f.user.clone()).collect()
    }

    /// Whether an earlier sync or meta write failed, so that nothing more is written. Waits for a running transaction.
    pub fn is_poisoned(&self) -> bool {
        self.shared.take_writer().poisoned
    }

    /// The identity of the file.
    pub fn identity(&self) -> &Identity {
        &self.shared.file.identity
    }

    /// Plain numbers; while a transaction runs, those of its beginning.
    pub fn stats(&self) -> PagerStats {
        self.shared.stats()
    }

    /// The longest run of pages that may be taken now, the lowest one of several, and its length in pages. Waits for a running
    /// transaction; looks at every free run.
    pub fn longest_free_run(&self) -> Option<(PageId, u64)> {
        let (start, len) = self.shared.take_writer().free.longest()?;
        Some((PageId(start), len))
    }

    /// The lowest run of pages that may be taken now, and its length. Waits for a running transaction.
    pub fn lowest_free_run(&self) -> Option<(PageId, u64)> {
        let (start, len) = self.shared.take_writer().free.iter().next()?;
        Some((PageId(start), len))
    }

    /// Cuts the free tail off the file where no findable meta and no snapshot needs it; returns bytes returned.
    ///
    /// Commits make the page count smaller when the last pages are free; this returns the space to the file system. A
    /// tail smaller than one growth step stays, so that the file does not shrink and grow in turns.
    ///
    /// # Errors
    /// As [`Pager::begin`]; a failed cut changes nothing.
    pub fn truncate_tail(&self) -> Result<u64> {
        self.cut(growth::shrunk)
    }

    /// As [`Pager::truncate_tail`], to the last page that is needed, whatever the growth step: for a file that is not
    /// expected to grow soon.
    ///
    /// # Errors
    /// As [`Pager::truncate_tail`].
    pub fn trim(&self) -> Result<u64> {
        self.cut(|needed, len| (needed < len).then_some(needed))
    }

    /// Cuts the file to the length that `target` chooses, given the needed one and the present one.
    fn cut(&self, target: impl FnOnce(u64, u64) -> Option<u64>) -> Result<u64> {
        let mut held = self.writer()?;
        let needed = {
            let in_metas = self.shared.slots.lock().pages();
            let pinned = self.shared.live.lock().values().copied().max().unwrap_or(0);
            // A planted fault forgets the older meta, and the readers.
            let needed = if mutant("pager.cut-early") { held.meta.page_count } else { in_metas.max(pinned) };
            needed * self.shared.file.page_size()
        };
        let Some(len) = target(needed, held.file_len) else {
            return Ok(0);
        };
        self.shared.file.file.set_len(len).map_err(self.shared.file.io("cut"))?;
        let returned = held.file_len - len;
        held.file_len = len;
        Ok(returned)
    }

    /// Becomes the writer of a file that is safe to write.
    fn writer(&self) -> Result<Held<'_>> {
        if self.shared.access == Access::ReadOnly {
            return Err(Error::Invalid(format!("{} is open for reading only", self.shared.file.path.display())));
        }
        let mut held = self.shared.take_writer();
        if held.poisoned {
            return Err(Error::Poisoned);
        }
        if !held.secured && !mutant("pager.trust-meta") {
            self.secure_now(&mut held)?;
        }
        Ok(held)
    }

    fn secure_now(&self, held: &mut Held<'_>) -> Result<()> {
        let mut meta = held.meta.clone();
        if meta.epoch >= MAX_EPOCH {
            return Err(Error::Invalid("the open epochs of this file are used up".into()));
        }
        let relied = self.shared.slots.lock().relied();
        held.poisoned = true;
        if !mutant("pager.secure-without-rewrite") {
            self.shared.file.write_slot(relied, &meta)?;
        }
        held.poisoned = false;
        meta.epoch += 1;
        self.advance(held, meta, 2)?;
        held.secured = true;
        Ok(())
    }

    /// Writes `meta` that many times, each a generation further, each to the slot not relied on; then it is the newest.
    fn advance(&self, held: &mut Held<'_>, mut meta: Meta, times: u64) -> Result<()> {
        if held.next_generation + times > MAX_GENERATION {
            return Err(Error::Invalid("the generations of this file are used up".into()));
        }
        held.poisoned = true;
        for _ in 0..times {
            meta.generation = held.next_generation;
            held.next_generation += 1;
            self.shared.put_meta(&meta)?;
        }
        held.poisoned = false;
        held.meta = meta;
        self.publish(held);
        Ok(())
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.shared
    }

    /// Makes the writer's commit the version that snapshots get.
    pub(crate) fn publish(&self, writer: &Writer) -> Snapshot {
        let meta = writer.meta.clone();
        let version = Version::new(&self.shared, meta, writer.mapping.clone(), writer.verified.clone());
        let before = std::mem::replace(&mut *self.newest.write(), version.clone());
        // Its last reference may be this one; it leaves the register outside the lock.
        drop(before);
        Snapshot::of(version)
    }
}

impl fmt::Debug for Pager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pager")
            .field("path", &self.shared.file.path)
            .field("identity", &self.shared.file.identity)
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}

/// The writer's state right after a file was created or opened, without a free list.
fn idle_writer(file: &PageFile, meta: Meta) -> Result<Writer> {
    debug_assert!(meta.page_count >= FIRST_PAGE);
    let file_len = open::check_len(file, &meta)?;
    let mapping = file.map(meta.page_count * file.page_size())?;
    let mut verified = Verified::default();
    verified.grow(meta.page_count);
    Ok(Writer {
        next_generation: meta.generation + 1,
        secured: false,
        poisoned: false,
        free: ExtentSet::default(),
        pending: Pending::default(),
        list: Vec::new(),
        file_len,
        mapping,
        verified,
        meta,
    })
}
