//! [`RawPages`]: the pages of a file one by one, whatever its metas and its tree say: for saving what is left of a damaged
//! file.
//!
//! A page counts if its header states the place where it stands, and its checksum, which is bound to the file, holds. That
//! proves that this page was once written here; whether it still belongs to the newest commit, nobody can say any more.
//!
//! [`read_identity`] tells which file this is, from its metas, if nobody else knows.

use crate::error::{Error, Result};
use crate::file::PageFile;
use crate::id::{FIRST_PAGE, Identity, MAX_PAGE_SIZE, MIN_PAGE_SIZE, PAGE_HEADER_LEN, PageId, PageKind, PageRef};
use crate::meta::{META_LEN, Meta, Slot};
use crate::page;
use halodb_vfs::{FileExt, OpenMode, Vfs};
use std::io;
use std::path::Path;

/// A page file open for reading page by page.
#[derive(Debug)]
pub struct RawPages {
    file: PageFile,
    pages: u64,
}

/// A page or extent that verifies.
#[derive(Clone, Debug)]
pub struct RawPage {
    /// What it says about itself: place, stamp, length.
    pub at: PageRef,
    /// Its kind.
    pub kind: PageKind,
    /// Its level.
    pub level: u8,
    bytes: Vec<u8>,
}

impl RawPage {
    /// All bytes after the header.
    pub fn body(&self) -> &[u8] {
        &self.bytes[PAGE_HEADER_LEN..]
    }
}

impl RawPages {
    /// Opens a file. `identity` must be the file's: its checksums are bound to it. Reads nothing yet.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be opened.
    pub fn open(vfs: &dyn Vfs, path: &Path, identity: Identity) -> Result<RawPages> {
        let failed = |op| move |source| Error::Io { op, path: path.to_path_buf(), source };
        let file = vfs.open(path, OpenMode::Read).map_err(failed("open"))?;
        let pages = file.len().map_err(failed("measure"))? / u64::from(identity.page_size);
        Ok(RawPages { file: PageFile::new(path.to_path_buf(), file, identity), pages })
    }

    /// Whole pages in the file, metas included.
    pub fn len(&self) -> u64 {
        self.pages
    }

    /// Whether the file has no whole page.
    pub fn is_empty(&self) -> bool {
        self.pages == 0
    }

    /// Numbers of the pages that can hold data.
    pub fn data(&self) -> std::ops::Range<u64> {
        FIRST_PAGE..self.pages.max(FIRST_PAGE)
    }

    /// The page or extent that begins at page `id`; `None` if none does that verifies. Its length is believed only as far as
    /// the file reaches.
    ///
    /// # Errors
    /// [`Error::Io`] if the system refuses to read; damage is `None`.
    pub fn page(&self, id: u64) -> Result<Option<RawPage>> {
        let mut head = [0; PAGE_HEADER_LEN];
        match self.file.file.read_exact_at(&mut head, self.file.offset(id)) {
            Ok(()) => {}
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            Err(e) => return Err(self.file.io("read")(e)),
        }
        self.read(PageRef { id: PageId(id), ..page::stated(&head) })
    }

    /// The page or extent that is meant by `at`; `None` if it is not there any more.
    ///
    /// # Errors
    /// As [`RawPages::page`].
    pub fn read(&self, at: PageRef) -> Result<Option<RawPage>> {
        let end = at.id.0.checked_add(u64::from(at.pages));
        if at.id.0 < FIRST_PAGE || at.pages == 0 || end.is_none_or(|end| end > self.pages) {
            return Ok(None);
        }
        match self.file.read_page(at) {
            Ok((header, bytes)) => Ok(Some(RawPage { at, kind: header.kind, level: header.level, bytes })),
            Err(Error::Corrupt { .. }) => Ok(None),
            Err(e) => Err(e),
        }
    }
}

/// The identity that the metas of a page file state, if one of them is valid. The place of the second one depends on the
/// page size, which only the first one states: without it every size is tried.
///
/// # Errors
/// [`Error::Io`] if the file cannot be read.
pub fn read_identity(vfs: &dyn Vfs, path: &Path) -> Result<Option<Identity>> {
    let failed = |op| move |source| Error::Io { op, path: path.to_path_buf(), source };
    let file = vfs.open(path, OpenMode::Read).map_err(failed("open"))?;
    let sizes =
        std::iter::successors(Some(MIN_PAGE_SIZE), |size| Some(size * 2)).take_while(|size| *size <= MAX_PAGE_SIZE);
    for (slot, offset) in std::iter::once((0, 0)).chain(sizes.map(|size| (1, u64::from(size)))) {
        let mut bytes = [0; META_LEN];
        match file.read_exact_at(&mut bytes, offset) {
            Ok(()) => {}
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => continue,
            Err(e) => return Err(failed("read")(e)),
        }
        if let Slot::Valid(meta) = Meta::decode(&bytes, slot)
            && (slot == 0 || u64::from(meta.identity.page_size) == offset)
        {
            return Ok(Some(meta.identity));
        }
    }
    Ok(None)
}
