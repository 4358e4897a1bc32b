//! The plain values that name things in a page file: [`PageId`], [`Stamp`], [`PageRef`], [`Root`], [`Identity`].
//!
//! Invariant: a stamp is handed out once in the life of a file, so a page id with a stamp names one writing of one page.
//! Nothing here touches a file.

/// Smallest page size in bytes; a page size is a power of two from here to [`MAX_PAGE_SIZE`].
pub const MIN_PAGE_SIZE: u32 = 4096;
/// Largest page size in bytes; see [`MIN_PAGE_SIZE`].
pub const MAX_PAGE_SIZE: u32 = 65536;
/// Bytes of the header that begins every page (or extent); the rest is the body.
pub const PAGE_HEADER_LEN: usize = 32;
/// Greatest length of the user area of a meta page, in bytes.
pub const MAX_USER_LEN: usize = 1024;
/// Greatest number of roots in a meta page.
pub const MAX_ROOTS: usize = 16;

/// The first page that can hold data: 0 and 1 are the meta slots.
pub(crate) const FIRST_PAGE: u64 = 2;
/// Greatest generation that a stamp can hold.
pub(crate) const MAX_GENERATION: u64 = (1 << GENERATION_BITS) - 1;
/// Greatest open epoch that a stamp can hold.
pub(crate) const MAX_EPOCH: u32 = (1 << 24) - 1;

const GENERATION_BITS: u32 = 40;

/// The number of a page in its file; page 0 and 1 are the meta slots, so no data page has a number below 2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PageId(pub u64);

/// When a page was written: open epoch (upper 24 bits) and generation of the commit (lower 40). Never used twice in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Stamp(u64);

impl Stamp {
    /// From its parts; bits that do not fit their part are cut off.
    #[inline]
    pub fn new(epoch: u32, generation: u64) -> Self {
        Stamp((u64::from(epoch) << GENERATION_BITS) | (generation & MAX_GENERATION))
    }
    /// From its stored form.
    #[inline]
    pub fn from_raw(raw: u64) -> Self {
        Stamp(raw)
    }
    /// The stored form.
    #[inline]
    pub fn raw(self) -> u64 {
        self.0
    }
    /// The open epoch.
    #[inline]
    pub fn epoch(self) -> u32 {
        (self.0 >> GENERATION_BITS) as u32
    }
    /// The generation.
    #[inline]
    pub fn generation(self) -> u64 {
        self.0 & MAX_GENERATION
    }
}

/// Where a page or extent is and which writing of it is meant: what a parent stores about a child.
///
/// `pages` is 1 for an ordinary page, more for an extent of consecutive pages with one header at its beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PageRef {
    /// First page.
    pub id: PageId,
    /// Stamp in its header.
    pub stamp: Stamp,
    /// Number of consecutive pages.
    pub pages: u32,
}

/// What an upper layer finds its data by; the pager stores up to [`MAX_ROOTS`] of them and interprets only `page`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Root {
    /// The root page (an ordinary page).
    pub page: PageRef,
    /// Whatever the layer above needs beside it (the tree: height and number of entries).
    pub tag: [u8; 16],
}

/// What makes this file this file; checked at open, refused with both values named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The database.
    pub uuid: [u8; 16],
    /// Drawn anew when a backup is restored.
    pub incarnation: u64,
    /// Which file of the database (the partition's number).
    pub file_id: u32,
    /// Bytes per page.
    pub page_size: u32,
}

/// Whether [`crate::Pager::open`] may write later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Never writes.
    ReadOnly,
    /// May write.
    ReadWrite,
}

/// The kind of a page, in its header. The pager owns 250 to 255; below, the layer above chooses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageKind(pub u8);

impl PageKind {
    /// A page of the stored free list.
    pub(crate) const FREE_LIST: PageKind = PageKind(250);
    /// The first kind that belongs to the pager.
    pub(crate) const FIRST_OWN: u8 = 250;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_gives_back_its_parts() {
        let check = |epoch, generation| {
            let s = Stamp::from_raw(Stamp::new(epoch, generation).raw());
            assert_eq!((s.epoch(), s.generation()), (epoch, generation));
        };
        check(0, 0);
        check(0, MAX_GENERATION);
        check(MAX_EPOCH, 0);
        check(MAX_EPOCH, MAX_GENERATION);
        check(7, 123_456_789);
    }
}
