//! The meta page: what a page file is, and where the newest commit begins.
//!
//! There are two slots, in page 0 and page 1. Each holds 4,096 bytes, whatever the page size; the rest of the page is
//! zero and never read.
//!
//! ```text
//! offset  size
//!      0     8  magic            "HALOPAGE"
//!      8     4  format version   1
//!     12     4  page size        4,096 to 65,536, a power of two
//!     16    16  uuid             of the database
//!     32     8  incarnation      drawn anew by a restore
//!     40     4  file id          the partition's number
//!     44     4  slot             0 or 1: a copy in the wrong slot is no meta
//!     48     8  generation       one more, at least, with every meta written
//!     56     4  open epoch       one more with every open for writing
//!     60     4  root count       at most 16
//!     64     8  page count       pages in use, metas included; the file may be longer
//!     72     8  free list        first page of the stored free list, 0: none
//!     80     8  free list stamp
//!     88     8  list pages       pages of the stored free list
//!     96     8  free pages       pages that the free list names
//!    104     4  user length      at most 1,024
//!    108    20  zero
//!    128   512  roots            16 × { page id 8, stamp 8, tag 16 }, unused ones zero
//!    640  1024  user area        belongs to the layer above, unused bytes zero
//!   1664  2424  zero
//!   4088     8  checksum         xxh3-64 of bytes 0 to 4,087
//! ```
//!
//! The checksum is not seeded: a meta of another file must be recognisable, so that the refusal can name both
//! identities. Magic, version and checksum keep their places in all future versions, so that a newer file is told from
//! a damaged one.
//!
//! This file decides whether one slot is valid. Which of two valid slots counts is decided at open.

use crate::bytes::{put, u32_at, u64_at};
use crate::id::{
    FIRST_PAGE, Identity, MAX_EPOCH, MAX_GENERATION, MAX_PAGE_SIZE, MAX_ROOTS, MAX_USER_LEN, MIN_PAGE_SIZE, PageId,
    PageRef, Root, Stamp,
};
use halodb_vfs::mutant;
use xxhash_rust::xxh3::xxh3_64;

/// Bytes of a meta slot that are used, whatever the page size.
pub const META_LEN: usize = 4096;
/// The format that this program writes.
pub(crate) const FORMAT_VERSION: u32 = 1;

const MAGIC_BYTES: [u8; 8] = *b"HALOPAGE";

const MAGIC: usize = 0;
const VERSION: usize = MAGIC + 8;
const PAGE_SIZE: usize = VERSION + 4;
const UUID: usize = PAGE_SIZE + 4;
const INCARNATION: usize = UUID + 16;
const FILE_ID: usize = INCARNATION + 8;
const SLOT: usize = FILE_ID + 4;
const GENERATION: usize = SLOT + 4;
const EPOCH: usize = GENERATION + 8;
const ROOT_COUNT: usize = EPOCH + 4;
const PAGE_COUNT: usize = ROOT_COUNT + 4;
const LIST_ID: usize = PAGE_COUNT + 8;
const LIST_STAMP: usize = LIST_ID + 8;
const LIST_PAGES: usize = LIST_STAMP + 8;
const FREE_PAGES: usize = LIST_PAGES + 8;
const USER_LEN: usize = FREE_PAGES + 8;
const ZERO_1: usize = USER_LEN + 4;
const ROOTS: usize = ZERO_1 + 20;
const ROOT_LEN: usize = 32;
const USER: usize = ROOTS + ROOT_LEN * MAX_ROOTS;
const ZERO_2: usize = USER + MAX_USER_LEN;
const CHECKSUM: usize = META_LEN - 8;
const _: () = assert!(ROOTS == 128 && USER == 640 && ZERO_2 == 1664 && ZERO_2 < CHECKSUM);

/// The content of a meta page, its slot aside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Meta {
    pub(crate) identity: Identity,
    pub(crate) generation: u64,
    pub(crate) epoch: u32,
    pub(crate) page_count: u64,
    /// First page of the stored free list.
    pub(crate) list: Option<PageRef>,
    pub(crate) list_pages: u64,
    pub(crate) free_pages: u64,
    pub(crate) roots: Vec<Root>,
    pub(crate) user: Vec<u8>,
}

/// What is in a slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Slot {
    /// A meta that holds in itself; whose file it is remains to be compared.
    Valid(Meta),
    /// A complete meta of another format version.
    OtherVersion(u32),
    /// Something without the magic bytes.
    NoMagic,
    /// The file ends before it.
    Missing,
    /// A meta that was damaged, or was written halfway: a clause.
    Bad(String),
}

impl Meta {
    /// The stored form for one of the slots.
    pub(crate) fn encode(&self, slot: u32) -> [u8; META_LEN] {
        let mut out = [0; META_LEN];
        put(&mut out, MAGIC, &MAGIC_BYTES);
        put(&mut out, VERSION, &FORMAT_VERSION.to_le_bytes());
        put(&mut out, PAGE_SIZE, &self.identity.page_size.to_le_bytes());
        put(&mut out, UUID, &self.identity.uuid);
        put(&mut out, INCARNATION, &self.identity.incarnation.to_le_bytes());
        put(&mut out, FILE_ID, &self.identity.file_id.to_le_bytes());
        put(&mut out, SLOT, &slot.to_le_bytes());
        put(&mut out, GENERATION, &self.generation.to_le_bytes());
        put(&mut out, EPOCH, &self.epoch.to_le_bytes());
        put(&mut out, ROOT_COUNT, &(self.roots.len() as u32).to_le_bytes());
        put(&mut out, PAGE_COUNT, &self.page_count.to_le_bytes());
        if let Some(list) = self.list {
            put(&mut out, LIST_ID, &list.id.0.to_le_bytes());
            put(&mut out, LIST_STAMP, &list.stamp.raw().to_le_bytes());
        }
        put(&mut out, LIST_PAGES, &self.list_pages.to_le_bytes());
        put(&mut out, FREE_PAGES, &self.free_pages.to_le_bytes());
        put(&mut out, USER_LEN, &(self.user.len() as u32).to_le_bytes());
        for (i, root) in self.roots.iter().enumerate() {
            let at = ROOTS + i * ROOT_LEN;
            put(&mut out, at, &root.page.id.0.to_le_bytes());
            put(&mut out, at + 8, &root.page.stamp.raw().to_le_bytes());
            put(&mut out, at + 16, &root.tag);
        }
        put(&mut out, USER, &self.user);
        let sum = xxh3_64(&out[..CHECKSUM]);
        put(&mut out, CHECKSUM, &sum.to_le_bytes());
        out
    }

    /// Reads a slot that is there. Total: any bytes give an answer.
    pub(crate) fn decode(bytes: &[u8; META_LEN], slot: u32) -> Slot {
        if bytes[MAGIC..VERSION] != MAGIC_BYTES {
            return Slot::NoMagic;
        }
        let (stored, computed) = (u64_at(bytes, CHECKSUM), xxh3_64(&bytes[..CHECKSUM]));
        if stored != computed && !mutant("pager.ignore-meta-checksum") {
            return Slot::Bad(format!("its checksum is {computed:016x}, stored is {stored:016x}"));
        }
        let version = u32_at(bytes, VERSION);
        if version != FORMAT_VERSION {
            return Slot::OtherVersion(version);
        }
        match decode_body(bytes, slot) {
            Ok(meta) => Slot::Valid(meta),
            Err(what) => Slot::Bad(what),
        }
    }

    /// The stamp of everything written for this meta.
    #[inline]
    pub(crate) fn stamp(&self) -> Stamp {
        Stamp::new(self.epoch, self.generation)
    }

    /// Whether a page or extent can belong to this commit: inside the file, not younger than the commit.
    pub(crate) fn admits(&self, at: PageRef) -> Result<(), String> {
        admits(self.page_count, self.stamp(), at)
    }

    /// As [`Meta::admits`] without saying why not.
    #[inline]
    pub(crate) fn may_hold(&self, at: PageRef) -> bool {
        within(self.page_count, at) && not_younger(self.stamp(), at)
    }
}

/// Whether a page or extent lies among the data pages of a file of `page_count` pages.
#[inline]
fn within(page_count: u64, at: PageRef) -> bool {
    let end = at.id.0.checked_add(u64::from(at.pages));
    at.id.0 >= FIRST_PAGE && at.pages > 0 && end.is_some_and(|end| end <= page_count)
}

/// Whether a page can have been written by a commit with the stamp `newest` or one before it.
#[inline]
fn not_younger(newest: Stamp, at: PageRef) -> bool {
    at.stamp.epoch() <= newest.epoch() && at.stamp.generation() <= newest.generation()
}

/// See [`Meta::admits`].
pub(crate) fn admits(page_count: u64, newest: Stamp, at: PageRef) -> Result<(), String> {
    if !within(page_count, at) {
        return Err(format!(
            "a reference to {} pages from page {} in a file whose data pages are {FIRST_PAGE} to {}",
            at.pages,
            at.id.0,
            page_count - 1
        ));
    }
    if !not_younger(newest, at) {
        return Err(format!(
            "a reference to page {} of epoch {} generation {} in a commit of epoch {} generation {}",
            at.id.0,
            at.stamp.epoch(),
            at.stamp.generation(),
            newest.epoch(),
            newest.generation()
        ));
    }
    Ok(())
}

/// Whether a page size is one that a file can have.
pub(crate) fn is_page_size(size: u32) -> bool {
    size.is_power_of_two() && (MIN_PAGE_SIZE..=MAX_PAGE_SIZE).contains(&size)
}

fn decode_body(bytes: &[u8; META_LEN], slot: u32) -> Result<Meta, String> {
    let demand = |holds: bool, what: &str| if holds { Ok(()) } else { Err(what.to_string()) };
    let is_zero = |from: usize, to: usize| bytes[from..to].iter().all(|b| *b == 0);

    let stated = u32_at(bytes, SLOT);
    if stated != slot {
        return Err(format!("the meta of slot {stated} is in slot {slot}"));
    }
    let mut uuid = [0; 16];
    uuid.copy_from_slice(&bytes[UUID..INCARNATION]);
    let identity = Identity {
        uuid,
        incarnation: u64_at(bytes, INCARNATION),
        file_id: u32_at(bytes, FILE_ID),
        page_size: u32_at(bytes, PAGE_SIZE),
    };
    demand(is_page_size(identity.page_size), "its page size is not a power of two between 4,096 and 65,536")?;
    let root_count = u32_at(bytes, ROOT_COUNT) as usize;
    let user_len = u32_at(bytes, USER_LEN) as usize;
    demand(root_count <= MAX_ROOTS, "it states more than 16 roots")?;
    demand(user_len <= MAX_USER_LEN, "it states more than 1,024 user bytes")?;
    demand(is_zero(ZERO_1, ROOTS) && is_zero(ZERO_2, CHECKSUM), "reserved bytes are not zero")?;
    demand(is_zero(ROOTS + root_count * ROOT_LEN, USER), "unused roots are not zero")?;
    demand(is_zero(USER + user_len, ZERO_2), "unused user bytes are not zero")?;

    let page_at =
        |at: usize| PageRef { id: PageId(u64_at(bytes, at)), stamp: Stamp::from_raw(u64_at(bytes, at + 8)), pages: 1 };
    let list = page_at(LIST_ID);
    let roots = (0..root_count)
        .map(|i| {
            let at = ROOTS + i * ROOT_LEN;
            let mut tag = [0; 16];
            tag.copy_from_slice(&bytes[at + 16..at + ROOT_LEN]);
            Root { page: page_at(at), tag }
        })
        .collect();
    let meta = Meta {
        identity,
        generation: u64_at(bytes, GENERATION),
        epoch: u32_at(bytes, EPOCH),
        page_count: u64_at(bytes, PAGE_COUNT),
        list: (list.id.0 != 0).then_some(list),
        list_pages: u64_at(bytes, LIST_PAGES),
        free_pages: u64_at(bytes, FREE_PAGES),
        roots,
        user: bytes[USER..USER + user_len].to_vec(),
    };
    demand(meta.generation <= MAX_GENERATION, "its generation exceeds 40 bits")?;
    demand(meta.epoch <= MAX_EPOCH, "its epoch exceeds 24 bits")?;
    demand(
        meta.page_count >= FIRST_PAGE && meta.page_count <= i64::MAX as u64 / u64::from(identity.page_size),
        "its page count is impossible",
    )?;
    let counted = meta.free_pages.checked_add(meta.list_pages);
    demand(
        counted.is_some_and(|n| n <= meta.page_count - FIRST_PAGE),
        "it states more free pages than the file has pages",
    )?;
    match meta.list {
        Some(list) => {
            demand(meta.list_pages > 0, "it has a free list of no page")?;
            meta.admits(list)?;
        }
        None => demand(
            list.stamp.raw() == 0 && meta.list_pages == 0 && meta.free_pages == 0,
            "it states free pages but has no free list",
        )?,
    }
    for root in &meta.roots {
        meta.admits(root.page)?;
    }
    Ok(meta)
}
