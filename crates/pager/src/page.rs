//! The header of a page or extent, and the checksum over it.
//!
//! ```text
//! offset  size
//!      0     8  checksum   xxh3-64 of bytes 8 to the end of the page, or of the whole extent
//!      8     8  id         the page's own number
//!     16     8  stamp      open epoch (upper 24 bits), generation (lower 40)
//!     24     1  kind       250 to 255 are the pager's
//!     25     1  level      the layer above chooses
//!     26     2  zero
//!     28     4  pages      1, or the length of the extent
//!     32        body       the rest of the page or extent; what is not used is zero
//! ```
//!
//! The checksum is seeded with a value derived from the file's identity, so that a page of another file, or of this
//! file before a restore, does not verify here. Id and stamp catch what a checksum cannot: a write that went to another
//! place, and a write that never arrived.
//!
//! This file knows bytes, not files: reading and comparing with what the parent expects is done elsewhere.

use crate::bytes::{put, u16_at, u32_at, u64_at};
use crate::id::{Identity, PAGE_HEADER_LEN, PageId, PageKind, PageRef, Stamp};
use halodb_vfs::mutant;
use xxhash_rust::xxh3::{Xxh3, xxh3_64, xxh3_64_with_seed};

const CHECKSUM: usize = 0;
pub(crate) const CHECKSUM_LEN: usize = 8;
const ID: usize = CHECKSUM + CHECKSUM_LEN;
const STAMP: usize = ID + 8;
const KIND: usize = STAMP + 8;
const LEVEL: usize = KIND + 1;
const ZERO: usize = LEVEL + 1;
const PAGES: usize = ZERO + 2;
const _: () = assert!(PAGES + 4 == PAGE_HEADER_LEN);

/// What a header states, its checksum aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) at: PageRef,
    pub(crate) kind: PageKind,
    pub(crate) level: u8,
}

impl Header {
    /// The stored form with a checksum of zero.
    pub(crate) fn encode(&self) -> [u8; PAGE_HEADER_LEN] {
        let mut out = [0; PAGE_HEADER_LEN];
        put(&mut out, ID, &self.at.id.0.to_le_bytes());
        put(&mut out, STAMP, &self.at.stamp.raw().to_le_bytes());
        out[KIND] = self.kind.0;
        out[LEVEL] = self.level;
        put(&mut out, PAGES, &self.at.pages.to_le_bytes());
        out
    }

    /// Reads the first [`PAGE_HEADER_LEN`] bytes of a page: what it says about itself.
    pub(crate) fn read(page: &[u8]) -> Result<Header, String> {
        let Some(head) = page.get(..PAGE_HEADER_LEN) else {
            return Err(format!("a page of {} bytes has no room for a header", page.len()));
        };
        let at = PageRef {
            id: PageId(u64_at(head, ID)),
            stamp: Stamp::from_raw(u64_at(head, STAMP)),
            pages: u32_at(head, PAGES),
        };
        if u16_at(head, ZERO) != 0 {
            return Err(format!("reserved bytes in the header of page {} are not zero", at.id.0));
        }
        Ok(Header { at, kind: PageKind(head[KIND]), level: head[LEVEL] })
    }

    /// As [`Header::read`], compared with what the page's parent says about it.
    pub(crate) fn decode(page: &[u8], expect: PageRef) -> Result<Header, String> {
        let header = Header::read(page)?;
        let at = header.at;
        if at.id != expect.id && !mutant("pager.ignore-page-id") {
            return Err(format!("page {} is here instead of page {} (a misdirected write)", at.id.0, expect.id.0));
        }
        if at.stamp != expect.stamp && !mutant("pager.ignore-stamp") {
            return Err(format!(
                "page {} was written in epoch {} generation {}, its parent means epoch {} generation {} (a lost write)",
                at.id.0,
                at.stamp.epoch(),
                at.stamp.generation(),
                expect.stamp.epoch(),
                expect.stamp.generation()
            ));
        }
        if at.pages != expect.pages {
            return Err(format!("page {} begins {} pages, its parent says {}", at.id.0, at.pages, expect.pages));
        }
        Ok(header)
    }
}

/// Whether [`Header::decode`] would accept the page: what is asked of every page at every touch, and therefore without
/// a message and without a header in between.
#[inline]
pub(crate) fn states(page: &[u8], expect: PageRef) -> bool {
    let Some(head) = page.first_chunk::<PAGE_HEADER_LEN>() else { return false };
    u64_at(head, ID) == expect.id.0
        && u64_at(head, STAMP) == expect.stamp.raw()
        && u16_at(head, ZERO) == 0
        && u32_at(head, PAGES) == expect.pages
}

/// What the header of an unknown page states about itself; nothing of it is checked.
pub(crate) fn stated(head: &[u8; PAGE_HEADER_LEN]) -> PageRef {
    PageRef { id: PageId(u64_at(head, ID)), stamp: Stamp::from_raw(u64_at(head, STAMP)), pages: u32_at(head, PAGES) }
}

/// Kind of a page whose header was compared before.
#[inline]
pub(crate) fn kind_of(page: &[u8]) -> PageKind {
    PageKind(page[KIND])
}

/// Level of a page whose header was compared before.
#[inline]
pub(crate) fn level_of(page: &[u8]) -> u8 {
    page[LEVEL]
}

/// The seed of all page checksums of a file.
pub(crate) fn seed_of(identity: &Identity) -> u64 {
    let mut bytes = [0; 28];
    put(&mut bytes, 0, &identity.uuid);
    put(&mut bytes, 16, &identity.incarnation.to_le_bytes());
    put(&mut bytes, 24, &identity.file_id.to_le_bytes());
    xxh3_64(&bytes)
}

/// Puts the checksum into a complete page or extent.
pub(crate) fn seal(seed: u64, image: &mut [u8]) {
    let sum = xxh3_64_with_seed(&image[CHECKSUM_LEN..], seed);
    put(image, CHECKSUM, &sum.to_le_bytes());
}

/// Whether the checksum in a complete page or extent is that of the rest.
pub(crate) fn is_sealed(seed: u64, image: &[u8]) -> bool {
    image
        .split_first_chunk::<CHECKSUM_LEN>()
        .is_some_and(|(stored, rest)| u64::from_le_bytes(*stored) == xxh3_64_with_seed(rest, seed))
}

/// The checksum of a page or extent that arrives in pieces.
pub(crate) struct Summer {
    state: Xxh3,
    stored: [u8; CHECKSUM_LEN],
    seen: usize,
}

impl Summer {
    pub(crate) fn new(seed: u64) -> Self {
        Summer { state: Xxh3::with_seed(seed), stored: [0; CHECKSUM_LEN], seen: 0 }
    }

    /// The next bytes, the stored checksum included.
    pub(crate) fn update(&mut self, mut piece: &[u8]) {
        while self.seen < CHECKSUM_LEN && !piece.is_empty() {
            self.stored[self.seen] = piece[0];
            self.seen += 1;
            piece = &piece[1..];
        }
        self.state.update(piece);
    }

    /// What was computed.
    pub(crate) fn computed(&self) -> u64 {
        self.state.digest()
    }

    /// Compares with the first eight bytes.
    pub(crate) fn verify(&self) -> Result<(), String> {
        let (stored, computed) = (u64::from_le_bytes(self.stored), self.computed());
        if stored == computed {
            return Ok(());
        }
        Err(format!("its checksum is {computed:016x}, stored is {stored:016x}"))
    }
}
