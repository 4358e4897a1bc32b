//! [`Snapshot`] and [`Page`]: reading one committed version of the file.
//!
//! The promise on which the mapped reads rest, and which this crate keeps: **a page that a live snapshot or a findable
//! meta reaches is never written**, and the file is never cut below the pages of a live version. A version registers its
//! generation before anybody can hold it, and leaves the register when the last clone is gone; the writer reuses a freed
//! page only when no registered generation lies in the page's life.
//!
//! A page is verified at the first touch, then taken from the mapping. A page that is not in memory is read by a system call
//! for that, so that what the disk says is a typed error; one that is in memory, as the system says, is verified where it lies. What
//! the mapping cannot report is an I/O error when the kernel evicts such a page and reads it again: the process is killed
//! (`SIGBUS`).

use crate::error::{Error, Result};
use crate::id::{PAGE_HEADER_LEN, PageKind, PageRef, Root, Stamp};
use crate::meta::Meta;
use crate::page::{self, Header};
use crate::prefetch::prefetch;
use crate::shared::Shared;
use crate::verified::Verified;
use halodb_vfs::Mapping;
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// One committed version of the file, pinned. Clones are cheap and pin the same version.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # use halodb_pager::{Identity, PageKind, Pager, Root};
/// # let dir = tempfile::tempdir()?;
/// # let identity = Identity { uuid: [1; 16], incarnation: 1, file_id: 0, page_size: 4096 };
/// # let pager = Pager::create(std::sync::Arc::new(halodb_vfs::OsVfs), &dir.path().join("p"), identity, b"")?;
/// let mut txn = pager.begin()?;
/// let at = txn.alloc(1)?;
/// txn.write(at, PageKind(1), 0, b"hello")?;
/// let snapshot = txn.commit(&[Root { page: at, tag: [0; 16] }], b"")?;
///
/// let page = snapshot.page(snapshot.roots()[0].page)?;
/// assert!(page.body().starts_with(b"hello\0"));
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Snapshot {
    version: Arc<Version>,
}

/// What a commit published. Registered in [`Shared::live`] as long as it exists.
pub(crate) struct Version {
    /// No other version in this process has it, of this file or another: what a [`Proof`] is bound to.
    serial: u64,
    shared: Arc<Shared>,
    meta: Meta,
    mapping: Arc<Mapping>,
    verified: Verified,
    /// The version that this one is another look at: that one is registered, as long as this one lives.
    looks_at: Option<Arc<Version>>,
}

/// The next version's serial number.
static SERIAL: AtomicU64 = AtomicU64::new(0);

impl Version {
    pub(crate) fn new(shared: &Arc<Shared>, meta: Meta, mapping: Arc<Mapping>, verified: Verified) -> Arc<Self> {
        shared.live.lock().insert(meta.generation, meta.page_count);
        let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
        Arc::new(Version { serial, shared: shared.clone(), meta, mapping, verified, looks_at: None })
    }

    /// The same version, none of whose pages counts as verified.
    fn unverified(this: &Arc<Self>) -> Arc<Self> {
        let mut verified = Verified::default();
        verified.grow(this.meta.page_count);
        Arc::new(Version {
            serial: SERIAL.fetch_add(1, Ordering::Relaxed),
            shared: this.shared.clone(),
            meta: this.meta.clone(),
            mapping: this.mapping.clone(),
            verified,
            looks_at: Some(this.clone()),
        })
    }
}

impl Drop for Version {
    fn drop(&mut self) {
        if self.looks_at.is_none() {
            self.shared.live.lock().remove(&self.meta.generation);
        }
    }
}

impl Snapshot {
    pub(crate) fn of(version: Arc<Version>) -> Self {
        Snapshot { version }
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.version.shared
    }

    /// The same version as if the file had just been opened: each page is verified again at its first touch, as the file has it
    /// now. For whoever must not hand on what went bad since somebody else looked at it. Costs a bit per page.
    #[must_use]
    pub fn unverified(&self) -> Snapshot {
        Snapshot::of(Version::unverified(&self.version))
    }

    #[inline]
    pub(crate) fn meta(&self) -> &Meta {
        &self.version.meta
    }

    /// Its generation.
    pub fn generation(&self) -> u64 {
        self.meta().generation
    }
    /// Its stamp: no page of this version is younger.
    pub fn stamp(&self) -> Stamp {
        self.meta().stamp()
    }
    /// Its roots.
    pub fn roots(&self) -> &[Root] {
        &self.meta().roots
    }
    /// Its user area.
    pub fn user(&self) -> &[u8] {
        &self.meta().user
    }
    /// Pages in the file, metas included.
    pub fn page_count(&self) -> u64 {
        self.meta().page_count
    }
    /// Bytes per page.
    #[inline]
    pub fn page_size(&self) -> u32 {
        self.meta().identity.page_size
    }
    /// The file's path, for messages.
    pub fn path(&self) -> &Path {
        &self.shared().file.path
    }

    /// A page or extent of this version, verified (bounds, checksum, id, stamp, extent length) at the first touch after
    /// open. Later touches cost a few comparisons and no system call.
    ///
    /// `at` must be reachable from this version's roots: what a root or a page of this version states.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if the reference lies outside this version, or the page is not the one it means;
    /// [`Error::Io`] if the first touch cannot read it.
    #[inline(always)]
    pub fn page(&self, at: PageRef) -> Result<Page<'_>> {
        let version = &*self.version;
        if let Some(admitted) = self.admit(at)
            && version.verified.get(at.id.0)
            && let Some(bytes) = self.bytes(admitted)
            && page::states(bytes, at)
        {
            return Ok(Page { bytes, proof: Proof(admitted) });
        }
        self.first_touch(at)
    }

    /// [`Snapshot::page`] for a page that is not verified yet, or is not the one that is meant.
    #[cold]
    #[inline(never)]
    fn first_touch(&self, at: PageRef) -> Result<Page<'_>> {
        let version = &*self.version;
        let file = &version.shared.file;
        let admitted = self.admits(at)?;
        if !version.verified.get(at.id.0) {
            if !self.is_sound_in_memory(admitted) {
                file.verify(at)?;
            }
            version.verified.set(at.id.0);
        }
        let bytes =
            self.bytes(admitted).ok_or_else(|| file.corrupt(at.id.0, "the page lies outside the mapped range"))?;
        // An extent verified under another length, or a reference to an earlier writing of this page, ends here.
        Header::decode(bytes, at).map_err(|what| file.corrupt(at.id.0, what))?;
        Ok(Page { bytes, proof: Proof(admitted) })
    }

    /// Whether the page is in memory, and good there: then there is nothing to read, and nothing to copy. In all other cases, a bad
    /// page included, whoever asks reads the page and says what is wrong. That the system evicts a page between the question
    /// and the look, and cannot read it again, is as likely as that between a read and the look.
    fn is_sound_in_memory(&self, admitted: Admitted) -> bool {
        let at = admitted.at;
        self.bytes(admitted).is_some_and(|bytes| {
            self.version.mapping.is_resident(self.shared().file.offset(at.id.0), bytes.len())
                && self.shared().file.is_sound(at, bytes)
        })
    }

    /// A page that this version gave before, for a bounds check. A proof from another version is worth nothing: then
    /// this is [`Snapshot::page`].
    ///
    /// # Errors
    /// None for a proof of this version, otherwise as [`Snapshot::page`].
    #[inline]
    pub fn page_again(&self, proof: Proof) -> Result<Page<'_>> {
        match self.bytes(proof.0) {
            Some(bytes) => Ok(Page { bytes, proof }),
            None => self.page(proof.0.at),
        }
    }

    /// Begins to load the first `len` bytes of a page, one page at most, into the processor's cache, so that a read soon
    /// after waits less. A hint: it checks nothing, brings nothing in from the disk, and for a reference to nowhere does
    /// nothing.
    #[inline]
    pub fn prefetch(&self, at: PageRef, len: usize) {
        let offset = at.id.0.checked_mul(u64::from(self.page_size()));
        if let Some(address) = offset.and_then(|offset| self.version.mapping.address(offset)) {
            prefetch(address, len.min(self.page_size() as usize));
        }
    }

    /// As [`Snapshot::prefetch`] for the `len` bytes from `from` on, as far as they lie in the page; `from` counts from its
    /// header on.
    #[inline]
    pub fn prefetch_part(&self, at: PageRef, from: usize, len: usize) {
        let page_size = self.page_size() as usize;
        let offset = at.id.0.checked_mul(page_size as u64).and_then(|offset| offset.checked_add(from as u64));
        if let Some(address) = offset.and_then(|offset| self.version.mapping.address(offset)) {
            prefetch(address, len.min(page_size.saturating_sub(from)));
        }
    }

    /// The mapped bytes of an extent that this version admits; `None` if it was another version that did, or if the
    /// mapping does not reach so far.
    #[inline]
    #[expect(unsafe_code, reason = "the pager promises that pages of a live version do not change")]
    fn bytes(&self, admitted: Admitted) -> Option<&[u8]> {
        let version = &*self.version;
        if admitted.version != version.serial {
            return None;
        }
        let page_size = u64::from(self.page_size());
        let len = usize::try_from(u64::from(admitted.at.pages) * page_size).ok()?;
        // SAFETY: the extent lies within this version's page count (`admit` compared it), and the file is at least that
        // long when a version is made and is not cut while the version is registered. Its pages are reachable from this
        // version, so the writer does not touch them as long as the version is registered, and the slice borrows the
        // snapshot that keeps it so.
        unsafe { version.mapping.slice(admitted.at.id.0 * page_size, len) }
    }

    /// The way to every [`Admitted`].
    #[inline]
    fn admit(&self, at: PageRef) -> Option<Admitted> {
        self.meta().may_hold(at).then_some(Admitted { version: self.version.serial, at })
    }

    /// Reads a page or extent again from the disk and verifies it, whether or not that was done before. Costs the read.
    ///
    /// # Errors
    /// As [`Snapshot::page`].
    pub fn verify(&self, at: PageRef) -> Result<()> {
        self.admits(at)?;
        self.shared().file.verify(at)
    }

    fn admits(&self, at: PageRef) -> Result<Admitted> {
        self.admit(at).ok_or_else(|| self.refused(at))
    }

    #[cold]
    fn refused(&self, at: PageRef) -> Error {
        let what = self.meta().admits(at).err().unwrap_or_default();
        self.shared().file.corrupt(at.id.0, what)
    }
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot")
            .field("path", &self.path())
            .field("generation", &self.generation())
            .field("page_count", &self.page_count())
            .field("roots", &self.roots())
            .finish_non_exhaustive()
    }
}

/// A verified page (or extent) of a snapshot.
#[derive(Clone, Copy)]
pub struct Page<'a> {
    bytes: &'a [u8],
    proof: Proof,
}

/// Remembers that a version gave a page, for [`Snapshot::page_again`]; what a cursor keeps instead of a borrow.
#[derive(Clone, Copy, Debug)]
pub struct Proof(Admitted);

/// A reference that lies within the version with this serial number.
#[derive(Clone, Copy, Debug)]
struct Admitted {
    version: u64,
    at: PageRef,
}

impl Proof {
    /// The page.
    #[inline]
    pub fn at(&self) -> PageRef {
        self.0.at
    }
}

impl<'a> Page<'a> {
    /// What to keep in order to have this page again cheaply.
    #[inline]
    pub fn proof(&self) -> Proof {
        self.proof
    }
    /// Its kind.
    #[inline]
    pub fn kind(&self) -> PageKind {
        page::kind_of(self.bytes)
    }
    /// A byte the layer above chose when writing (the tree: the level).
    #[inline]
    pub fn level(&self) -> u8 {
        page::level_of(self.bytes)
    }
    /// All bytes after the header: what was written, then zeros.
    #[inline]
    pub fn body(&self) -> &'a [u8] {
        &self.bytes[PAGE_HEADER_LEN..]
    }
}

impl fmt::Debug for Page<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Page")
            .field("kind", &self.kind())
            .field("level", &self.level())
            .field("body_len", &self.body().len())
            .finish()
    }
}
