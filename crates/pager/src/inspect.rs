//! Looking at single pages as bytes, without a [`crate::Pager`]: for tools that examine a file which does not open, and
//! for tests that show every decoder to be total.
//!
//! The functions are those by which the pager itself reads; they take bytes that come from anywhere and answer with a
//! value or with a clause that says which rule the bytes break. Nothing here reads a file, and nothing here decides
//! whether a page is the one that its parent means.
//!
//! ```
//! use halodb_pager::inspect::{self, MetaSlot};
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # use halodb_pager::{Identity, Pager};
//! # let disk = halodb_vfs::SimVfs::new();
//! # let identity = Identity { uuid: [7; 16], incarnation: 1, file_id: 0, page_size: 4096 };
//! # Pager::create(std::sync::Arc::new(disk.clone()), "pages".as_ref(), identity, b"hello")?;
//! let bytes = disk.read_file("pages")?;
//! let MetaSlot::Valid(meta) = inspect::meta(&bytes[..inspect::META_LEN], 0) else { panic!("slot 0 is damaged") };
//! assert_eq!((meta.generation, &meta.user[..]), (0, &b"hello"[..]));
//! # Ok(()) }
//! ```

use crate::freelist::Decoder;
use crate::id::{Identity, PageKind, PageRef, Root};
use crate::meta::{Meta, Slot};
use crate::page::{Header, Summer, seed_of};
use std::ops::Range;

pub use crate::meta::META_LEN;

/// The kind of a page of the stored free list.
pub const FREE_LIST: PageKind = PageKind::FREE_LIST;

/// Where a field lies in what it belongs to, and its name in `docs/format`.
pub type Field = (Range<usize>, &'static str);

/// The fields of a page's header.
pub const PAGE_FIELDS: [Field; 7] = [
    (0..8, "checksum"),
    (8..16, "page id"),
    (16..24, "stamp"),
    (24..25, "kind"),
    (25..26, "level"),
    (26..28, "zero"),
    (28..crate::PAGE_HEADER_LEN, "pages"),
];

/// The fields at the beginning of the body of a page of the free list; its extents follow.
pub const FREE_LIST_FIELDS: [Field; 4] = [
    (0..8, "next page of the list"),
    (8..16, "its stamp"),
    (16..20, "extents in this page"),
    (20..24, "bytes that they take"),
];

/// The fields of a meta.
pub const META_FIELDS: [Field; 20] = [
    (0..8, "magic"),
    (8..12, "format version"),
    (12..16, "page size"),
    (16..32, "uuid"),
    (32..40, "incarnation"),
    (40..44, "file id"),
    (44..48, "slot"),
    (48..56, "generation"),
    (56..60, "open epoch"),
    (60..64, "root count"),
    (64..72, "page count"),
    (72..80, "first page of the free list"),
    (80..88, "its stamp"),
    (88..96, "pages of the free list"),
    (96..104, "pages that the free list names"),
    (104..108, "length of the user area"),
    (128..640, "roots"),
    (640..1664, "user area"),
    (1664..4088, "zero"),
    (4088..META_LEN, "checksum"),
];

/// What a meta slot holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MetaSlot {
    /// A meta that holds in itself; whether it belongs to this database remains to be compared.
    Valid(MetaInfo),
    /// A complete meta of a format version that this program does not know.
    OtherVersion(u32),
    /// Something without the magic bytes.
    NoMagic,
    /// A meta that is damaged, or was written halfway: a clause.
    Bad(String),
}

/// What a valid meta states.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetaInfo {
    /// Whose file it is.
    pub identity: Identity,
    /// Number of the commit.
    pub generation: u64,
    /// Number of the open that wrote it.
    pub epoch: u32,
    /// Pages in use, metas included.
    pub page_count: u64,
    /// First page of the stored free list.
    pub free_list: Option<PageRef>,
    /// Pages of the stored free list.
    pub free_list_pages: u64,
    /// Pages that the free list names.
    pub free_pages: u64,
    /// The roots.
    pub roots: Vec<Root>,
    /// The user area.
    pub user: Vec<u8>,
}

/// Reads the first [`META_LEN`] bytes of meta slot 0 or 1; fewer bytes are [`MetaSlot::Bad`].
pub fn meta(bytes: &[u8], slot: u32) -> MetaSlot {
    let Some(bytes) = bytes.first_chunk::<META_LEN>() else {
        return MetaSlot::Bad(format!("{} bytes are not the {META_LEN} of a meta", bytes.len()));
    };
    match Meta::decode(bytes, slot) {
        Slot::Valid(meta) => MetaSlot::Valid(MetaInfo {
            identity: meta.identity,
            generation: meta.generation,
            epoch: meta.epoch,
            page_count: meta.page_count,
            free_list: meta.list,
            free_list_pages: meta.list_pages,
            free_pages: meta.free_pages,
            roots: meta.roots,
            user: meta.user,
        }),
        Slot::OtherVersion(version) => MetaSlot::OtherVersion(version),
        Slot::NoMagic => MetaSlot::NoMagic,
        Slot::Bad(what) => MetaSlot::Bad(what),
        Slot::Missing => MetaSlot::Bad("it is missing".into()),
    }
}

/// What the header of a page or extent states.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageInfo {
    /// Number, stamp and length.
    pub at: PageRef,
    /// The kind: 250 to 255 are the pager's.
    pub kind: PageKind,
    /// A byte that the layer above chose.
    pub level: u8,
}

/// Reads a page's header, at least [`crate::PAGE_HEADER_LEN`] bytes; the checksum is not looked at.
///
/// # Errors
/// A clause.
pub fn page_header(bytes: &[u8]) -> Result<PageInfo, String> {
    Header::read(bytes).map(|Header { at, kind, level }| PageInfo { at, kind, level })
}

/// Reads a whole page, or a whole extent of as many pages as its header states, and compares its checksum.
///
/// # Errors
/// A clause.
pub fn page(bytes: &[u8], identity: &Identity) -> Result<PageInfo, String> {
    let info = page_header(bytes)?;
    let stated = u64::from(info.at.pages) * u64::from(identity.page_size);
    if stated != bytes.len() as u64 {
        return Err(format!("{} bytes of a page or extent of {stated} bytes", bytes.len()));
    }
    let mut summer = Summer::new(seed_of(identity));
    summer.update(bytes);
    summer.verify().map(|()| info)
}

/// What pages of a stored free list say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FreeListInfo {
    /// Free pages as (first page, number of pages), ascending and disjoint.
    pub extents: Vec<(u64, u64)>,
    /// Number of free pages.
    pub free_pages: u64,
    /// The page after the last one given.
    pub next: Option<PageRef>,
}

/// Reads the bodies (what follows the page headers) of the first pages of a free list, in their order, for a file of
/// `page_count` pages. Costs no more memory than sixteen times the bodies.
///
/// # Errors
/// A clause.
pub fn free_list<'a>(bodies: impl IntoIterator<Item = &'a [u8]>, page_count: u64) -> Result<FreeListInfo, String> {
    let mut decoder = Decoder::new(page_count);
    let mut next = None;
    for body in bodies {
        next = decoder.page(body)?;
    }
    let (extents, free_pages) = decoder.finish();
    Ok(FreeListInfo { extents, free_pages, next })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{PageId, Stamp};
    use crate::page::seal;

    const IDENTITY: Identity = Identity { uuid: [3; 16], incarnation: 4, file_id: 5, page_size: 4096 };

    #[test]
    fn a_page_that_is_whole_is_told_from_one_that_is_not() {
        let at = PageRef { id: PageId(5), stamp: Stamp::new(1, 2), pages: 2 };
        let mut image = Header { at, kind: PageKind(3), level: 1 }.encode().to_vec();
        image.resize(2 * 4096, 7);
        seal(seed_of(&IDENTITY), &mut image);
        assert_eq!(page(&image, &IDENTITY), Ok(PageInfo { at, kind: PageKind(3), level: 1 }));
        let check = |bytes: &[u8], expected: &str| {
            let what = page(bytes, &IDENTITY).unwrap_err();
            assert!(what.contains(expected), "{what}");
        };
        check(&image[..4096], "of a page or extent of 8192 bytes");
        check(&image[..31], "no room for a header");
        check(&[], "no room for a header");
        image[5000] ^= 1;
        check(&image, "checksum");
        image[26] = 1;
        check(&image, "reserved bytes");
        assert!(page(&image[..4096], &Identity { file_id: 6, ..IDENTITY }).is_err());
    }

    #[test]
    fn fields_stand_one_behind_the_other() {
        let check = |fields: &[Field], len: usize| {
            assert!(fields.windows(2).all(|pair| pair[0].0.end <= pair[1].0.start), "{fields:?}");
            assert_eq!((fields[0].0.start, fields[fields.len() - 1].0.end), (0, len));
        };
        check(&PAGE_FIELDS, crate::PAGE_HEADER_LEN);
        check(&META_FIELDS, META_LEN);
    }

    #[test]
    fn a_short_meta_is_damage() {
        assert!(matches!(meta(&[0; META_LEN - 1], 0), MetaSlot::Bad(_)));
        assert_eq!(meta(&[0; META_LEN], 0), MetaSlot::NoMagic);
    }
}
