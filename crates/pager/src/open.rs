//! Creating a page file, and opening one: which meta counts, and what the stored free list says.
//!
//! Opening writes nothing. It chooses the newest valid meta; that one slot is damaged is legal, because a crash while it
//! was overwritten leaves it so. Whether falling back to the older one loses anything is for the layer above to decide:
//! [`Opened`] says what was found.

use crate::error::{Error, Result};
use crate::extents::ExtentSet;
use crate::file::PageFile;
use crate::freelist::{self, Decoder};
use crate::id::{Access, FIRST_PAGE, Identity, MAX_USER_LEN, PAGE_HEADER_LEN, PageKind, PageRef};
use crate::meta::{self, FORMAT_VERSION, META_LEN, Meta, Slot};
use halodb_vfs::{File, FileExt, OpenMode, Vfs};
use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What [`crate::Pager::open`] found in the two meta slots.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Opened {
    /// Generation of the meta that was chosen.
    pub generation: u64,
    /// Its slot: 0 or 1.
    pub slot: u32,
    /// The other slot.
    pub other: OtherSlot,
}

/// The meta slot that was not chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OtherSlot {
    /// It holds an older meta (or, in a new file, the same).
    Valid {
        /// The older generation.
        generation: u64,
    },
    /// It holds no valid meta: a crash while it was written, or damage.
    Bad {
        /// What is wrong, as a clause.
        what: String,
    },
}

/// The metas of a file that was opened.
pub(crate) struct Chosen {
    pub(crate) meta: Meta,
    pub(crate) slot: u32,
    pub(crate) other: std::result::Result<Meta, String>,
}

impl Chosen {
    pub(crate) fn report(&self) -> Opened {
        let other = match &self.other {
            Ok(meta) => OtherSlot::Valid { generation: meta.generation },
            Err(what) => OtherSlot::Bad { what: what.clone() },
        };
        Opened { generation: self.meta.generation, slot: self.slot, other }
    }
}

/// Makes the file under a temporary name, complete and synchronised, and gives it its name.
pub(crate) fn create(vfs: &dyn Vfs, path: &Path, identity: Identity, user: &[u8]) -> Result<(PageFile, Meta)> {
    let failed = |op: &'static str| move |source| Error::Io { op, path: path.to_path_buf(), source };
    if !meta::is_page_size(identity.page_size) {
        return Err(Error::Invalid(format!(
            "a page size of {} bytes: it must be a power of two from 4,096 to 65,536",
            identity.page_size
        )));
    }
    check_user(user)?;
    if vfs.kind(path).map_err(failed("look for"))?.is_some() {
        return Err(failed("create")(io::Error::from(io::ErrorKind::AlreadyExists)));
    }
    let meta = Meta {
        identity,
        generation: 0,
        epoch: 0,
        page_count: FIRST_PAGE,
        list: None,
        list_pages: 0,
        free_pages: 0,
        roots: Vec::new(),
        user: user.to_vec(),
    };
    let temporary = temporary_name(path);
    let written = write_new(vfs, &temporary, &meta).map_err(failed("create"));
    let file = written.inspect_err(|_| {
        // A left-over does no harm: the next attempt overwrites it.
        let _ = vfs.remove_file(&temporary);
    })?;
    vfs.rename(&temporary, path).map_err(failed("rename"))?;
    vfs.sync_dir(path.parent().unwrap_or(Path::new(""))).map_err(failed("sync the directory of"))?;
    Ok((PageFile::new(path.to_path_buf(), file, identity), meta))
}

fn temporary_name(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(".new");
    path.with_file_name(name)
}

fn write_new(vfs: &dyn Vfs, temporary: &Path, meta: &Meta) -> io::Result<Arc<dyn File>> {
    let page_size = u64::from(meta.identity.page_size);
    let file = vfs.open(temporary, OpenMode::Create)?;
    file.set_len(0)?;
    file.set_len(FIRST_PAGE * page_size)?;
    for slot in 0..2 {
        file.write_all_at(&meta.encode(slot), u64::from(slot) * page_size)?;
    }
    file.sync_all()?;
    Ok(file)
}

pub(crate) fn check_user(user: &[u8]) -> Result<()> {
    if user.len() > MAX_USER_LEN {
        return Err(Error::Invalid(format!("a user area of {} bytes: at most {MAX_USER_LEN} fit", user.len())));
    }
    Ok(())
}

/// Opens the file and chooses its meta.
pub(crate) fn open(vfs: &dyn Vfs, path: &Path, expect: &Identity, access: Access) -> Result<(PageFile, Chosen)> {
    if !meta::is_page_size(expect.page_size) {
        return Err(Error::Invalid(format!("a page size of {} bytes is impossible", expect.page_size)));
    }
    let mode = match access {
        Access::ReadOnly => OpenMode::Read,
        Access::ReadWrite => OpenMode::ReadWrite,
    };
    let file = vfs.open(path, mode).map_err(|source| Error::Io { op: "open", path: path.to_path_buf(), source })?;
    let file = PageFile::new(path.to_path_buf(), file, *expect);
    let slots = [read_slot(&file, 0)?, read_slot(&file, 1)?];
    let chosen = choose(&file, slots)?;
    Ok((file, chosen))
}

fn read_slot(file: &PageFile, slot: u32) -> Result<Slot> {
    Ok(match file.read_slot(slot)? {
        Some(bytes) => Meta::decode(&bytes, slot),
        None => Slot::Missing,
    })
}

fn choose(file: &PageFile, slots: [Slot; 2]) -> Result<Chosen> {
    let path = || file.path.clone();
    for slot in &slots {
        match slot {
            Slot::OtherVersion(found) => {
                return Err(Error::Version { path: path(), found: *found, supported: FORMAT_VERSION });
            }
            Slot::Valid(meta) => check_identity(file, &meta.identity)?,
            Slot::NoMagic | Slot::Missing | Slot::Bad(_) => {}
        }
    }
    let why = |slot: &Slot| match slot {
        Slot::Bad(what) => what.clone(),
        Slot::Missing => format!("the file ends before its {META_LEN} bytes"),
        _ => "it does not begin with HALOPAGE".to_string(),
    };
    let [first, second] = slots;
    match (first, second) {
        (Slot::Valid(a), Slot::Valid(b)) => {
            if a.generation == b.generation && a != b {
                return Err(file.corrupt(0, format!("both metas are of generation {}, and differ", a.generation)));
            }
            Ok(if a.generation >= b.generation {
                Chosen { meta: a, slot: 0, other: Ok(b) }
            } else {
                Chosen { meta: b, slot: 1, other: Ok(a) }
            })
        }
        (Slot::Valid(meta), other) => Ok(Chosen { meta, slot: 0, other: Err(why(&other)) }),
        (other, Slot::Valid(meta)) => Ok(Chosen { meta, slot: 1, other: Err(why(&other)) }),
        (a, b) if matches!(a, Slot::Bad(_)) || matches!(b, Slot::Bad(_)) => {
            Err(file.corrupt(0, format!("no meta is valid. Slot 0: {}. Slot 1: {}", why(&a), why(&b))))
        }
        _ => Err(Error::NotAPageFile { path: path() }),
    }
}

fn check_identity(file: &PageFile, found: &Identity) -> Result<()> {
    let expect = &file.identity;
    let what = if found.page_size != expect.page_size {
        format!("its pages have {} bytes, expected are {}", found.page_size, expect.page_size)
    } else if found.uuid != expect.uuid {
        format!("it is of database {}, expected is {}", hex(&found.uuid), hex(&expect.uuid))
    } else if found.incarnation != expect.incarnation {
        format!("it is of incarnation {:016x}, expected is {:016x}", found.incarnation, expect.incarnation)
    } else if found.file_id != expect.file_id {
        format!("it is file {} of its database, expected is file {}", found.file_id, expect.file_id)
    } else {
        return Ok(());
    };
    Err(Error::Mismatch { path: file.path.clone(), what })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// The length of the file, which must hold all pages that the meta states.
pub(crate) fn check_len(file: &PageFile, meta: &Meta) -> Result<u64> {
    let len = file.file.len().map_err(file.io("measure"))?;
    let needed = meta.page_count * file.page_size();
    if len < needed {
        let what = format!("it has {len} bytes, its meta states {} pages ({needed} bytes)", meta.page_count);
        return Err(Error::Corrupt { path: file.path.clone(), offset: len, what });
    }
    Ok(len)
}

/// A stored free list.
pub(crate) struct StoredList {
    /// What it names: ascending, disjoint, not touching.
    pub(crate) extents: Vec<(u64, u64)>,
    /// The pages that it is stored in.
    pub(crate) pages: Vec<PageRef>,
}

/// Reads the free list of a commit from the disk. Total: a chain that loops, leaves the file or contradicts the meta is
/// [`Error::Corrupt`].
pub(crate) fn load_list(file: &PageFile, meta: &Meta) -> Result<StoredList> {
    let mut pages: Vec<PageRef> = Vec::new();
    let mut seen = BTreeSet::new();
    let mut decoder = Decoder::new(meta.page_count);
    let mut next = meta.list;
    let mut from = 0;
    while let Some(at) = next {
        meta.admits(at).map_err(|what| file.corrupt(from, format!("the free list holds {what}")))?;
        if !seen.insert(at.id) {
            return Err(file.corrupt(from, format!("the free list comes back to page {}", at.id.0)));
        }
        if pages.len() as u64 >= meta.list_pages {
            return Err(file.corrupt(from, format!("the free list has more than {} pages", meta.list_pages)));
        }
        let (header, bytes) = file.read_page(at)?;
        if header.kind != PageKind::FREE_LIST {
            return Err(file.corrupt(at.id.0, format!("a page of kind {} in the free list", header.kind.0)));
        }
        pages.push(at);
        next = decoder.page(&bytes[PAGE_HEADER_LEN..]).map_err(|what| file.corrupt(at.id.0, what))?;
        from = at.id.0;
    }
    let (extents, free_pages) = decoder.finish();
    if pages.len() as u64 != meta.list_pages || free_pages != meta.free_pages {
        let what = format!(
            "the free list has {} pages naming {free_pages} free ones, its meta states {} and {}",
            pages.len(),
            meta.list_pages,
            meta.free_pages
        );
        return Err(file.corrupt(from, what));
    }
    if let Some(at) = pages.iter().find(|at| freelist::contains(&extents, at.id.0)) {
        return Err(file.corrupt(at.id.0, "the free list names one of its own pages as free"));
    }
    Ok(StoredList { extents, pages })
}

/// The free pages as the set from which the writer takes.
pub(crate) fn free_set(list: &StoredList) -> ExtentSet {
    let mut free = ExtentSet::default();
    for &(start, len) in &list.extents {
        free.insert(start, len);
    }
    free
}
