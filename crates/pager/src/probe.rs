//! Looking at a page file whose identity is not known: was anything ever committed to it?
//!
//! The layer above asks this of files that a half-finished creation may have left; it decides nothing else.

use crate::error::{Error, Result};
use crate::id::MIN_PAGE_SIZE;
use crate::meta::{META_LEN, Meta, Slot};
use halodb_vfs::{FileExt, OpenMode, Vfs};
use std::path::Path;

/// Whether a page file was ever committed to since [`crate::Pager::create`]. A file in which no fresh meta can be
/// recognised counts as written: what is not understood is not thrown away.
///
/// # Errors
/// [`Error::Io`] if the file cannot be read.
pub fn is_written(vfs: &dyn Vfs, path: &Path) -> Result<bool> {
    let failed = |source| Error::Io { op: "read", path: path.to_path_buf(), source };
    let file = vfs.open(path, OpenMode::Read).map_err(failed)?;
    let len = file.len().map_err(failed)?;
    let mut meta = [0u8; META_LEN];
    if len < META_LEN as u64 {
        return Ok(len > 0);
    }
    file.read_exact_at(&mut meta, 0).map_err(failed)?;
    let Slot::Valid(first) = Meta::decode(&meta, 0) else { return Ok(true) };
    let page_size = u64::from(first.identity.page_size.max(MIN_PAGE_SIZE));
    if len < page_size + META_LEN as u64 {
        return Ok(true);
    }
    file.read_exact_at(&mut meta, page_size).map_err(failed)?;
    let Slot::Valid(second) = Meta::decode(&meta, 1) else { return Ok(true) };
    Ok(first.generation > 0 || second.generation > 0)
}
