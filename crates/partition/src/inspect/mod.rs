//! [`Inspector`]: looks at the files of a database as bytes, without opening it: whole or damaged, closed or in use.
//!
//! What it gives is what the formats say, with a verdict beside: which meta an open would rely on and why, whether a page
//! verifies and who refers to it, which segments the log consists of. Damage is an answer, not an error. Nothing is written,
//! and no lock is taken: of a database that a process writes to meanwhile, what is read may be of two moments, and something
//! that is just being written may look damaged. Whoever looks again sees it whole.
//!
//! What is absent: what pages and records *hold*. `halodb_btree::inspect` and `halodb_wal::inspect` read that from the bytes
//! given here. Rooms: `standing` searches for whoever refers to a page, `log` looks at segments.

mod log;
mod standing;

pub use log::{LogReport, SegmentReport, Verdict};
pub use standing::{Referrer, Standing};

use crate::checkpoint::Checkpoint;
use crate::directory;
use crate::manifest::{self, Manifest};
use crate::patient;
use crate::{Create, Error, ErrorKind, Result};
use halodb_pager::inspect::{self, META_LEN, MetaInfo, MetaSlot, PageInfo};
use halodb_pager::{Identity, PAGE_HEADER_LEN};
use halodb_vfs::{EntryKind, File, FileExt, OpenMode, Vfs};
use halodb_wal::Lsn;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A database as files.
///
/// ```
/// use halodb_partition::{Entropy, Inspector, Options, PartitionSet, Standing};
/// use std::{path::Path, sync::Arc};
///
/// # fn main() -> halodb_partition::Result<()> {
/// let disk = Arc::new(halodb_vfs::SimVfs::new());
/// let entropy = Entropy { uuid: [7; 16], incarnation: 1, hash_seed: 42 };
/// let (set, _) = PartitionSet::open(disk.clone(), Path::new("data"), Options::default(), entropy, 0)?;
/// // The database is open, and stays so.
/// let files = Inspector::open(disk, Path::new("data"))?;
/// let metas = files.metas(0)?;
/// assert_eq!(metas.relied, Some(0));
/// assert_eq!(files.log()?.segments.len(), 1);
/// # set.close(0)
/// # }
/// ```
#[derive(Debug)]
pub struct Inspector {
    vfs: Arc<dyn Vfs>,
    dir: PathBuf,
    manifest: Manifest,
    doubt: Option<String>,
}

/// The two metas of a page file.
#[derive(Clone, Debug)]
pub struct Metas {
    /// The page file.
    pub path: PathBuf,
    /// Its length in bytes.
    pub file_len: u64,
    /// What the slots hold.
    pub slots: [SlotReport; 2],
    /// The slot that an open relies on.
    pub relied: Option<u32>,
    /// Why that one, or why none: a sentence.
    pub why: String,
}

/// What one meta slot holds.
#[derive(Clone, Debug)]
pub struct SlotReport {
    /// Its place in the file.
    pub offset: u64,
    /// Its bytes; fewer than a meta has if the file ends before.
    pub bytes: Vec<u8>,
    /// What they are.
    pub slot: MetaSlot,
    /// Why a meta that is valid does not belong to this file: a clause.
    pub foreign: Option<String>,
    /// How far the tree is in the log, if the user area says it.
    pub checkpoint: Option<Position>,
}

/// How far a tree is in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// The tree has everything up to this LSN.
    pub applied: Lsn,
    /// The log was known synchronised up to this LSN.
    pub synced: Lsn,
    /// Time mark in milliseconds; 0: there is none.
    pub mark_ms: u64,
}

/// A page, or an extent.
#[derive(Clone, Debug)]
pub struct PageReport {
    /// The page file.
    pub path: PathBuf,
    /// Number of the page.
    pub number: u64,
    /// Its place in the file.
    pub offset: u64,
    /// Its bytes; of an extent all, if it is one that begins here.
    pub bytes: Vec<u8>,
    /// What its header says, or why that cannot be read.
    pub header: std::result::Result<PageInfo, String>,
    /// Whether it verifies: its checksum, its place and its length.
    pub verdict: std::result::Result<(), String>,
    /// Who refers to it.
    pub standing: Standing,
}

impl Inspector {
    /// Finds out which database is in `dir`, a backup included. Reads the MANIFEST; if that is damaged, the other files tell.
    ///
    /// # Errors
    /// `NotFound`, `NotADatabase`, `Version`, `Io`; `Corrupt` only if nothing tells any more which database this is.
    pub fn open(vfs: Arc<dyn Vfs>, dir: &Path) -> Result<Inspector> {
        match vfs.kind(dir).map_err(|e| Error::io("look at", dir, e))? {
            Some(EntryKind::Dir) => {}
            Some(_) => return Err(directory::no_directory(dir)),
            None => return Err(directory::missing(dir)),
        }
        let entries = vfs.read_dir(dir).map_err(|e| Error::io("list", dir, e))?;
        if !entries.iter().any(|entry| entry.name == manifest::NAME) {
            directory::refuse_foreign(&*vfs, dir, Create::Never)?;
        }
        let (manifest, doubt) = patient::read_manifest(&*vfs, dir)?;
        Ok(Inspector { vfs, dir: dir.to_path_buf(), manifest, doubt })
    }

    /// What the database is.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Why the MANIFEST cannot be read, as a clause: then [`Inspector::manifest`] is what the other files tell.
    pub fn doubt(&self) -> Option<&str> {
        self.doubt.as_deref()
    }

    /// The metas of a partition's page file.
    ///
    /// # Errors
    /// `InvalidInput` if there is no such partition, `Io`.
    pub fn metas(&self, partition: u32) -> Result<Metas> {
        let (path, file, identity) = self.page_file(partition)?;
        let file_len = file.len().map_err(|e| Error::io("measure", &path, e))?;
        let read = |slot: u32| {
            let offset = u64::from(slot) * u64::from(identity.page_size);
            let bytes = read_at_most(&*file, offset, META_LEN as u64, file_len);
            bytes.map(|bytes| slot_report(slot, offset, bytes, &identity)).map_err(|e| Error::io("read", &path, e))
        };
        let slots = [read(0)?, read(1)?];
        let (relied, why) = choose(&slots, file_len);
        Ok(Metas { path, file_len, slots, relied, why })
    }

    /// Page `number` of a partition's page file, or the extent that begins there, and who refers to it. That search reads the
    /// branches of the tree; for the extent of a long value, the leaves that have such values, too.
    ///
    /// # Errors
    /// `InvalidInput` for a page that the file does not have, and for the metas; `Io`.
    pub fn page(&self, partition: u32, number: u64) -> Result<PageReport> {
        let (path, file, identity) = self.page_file(partition)?;
        let file_len = file.len().map_err(|e| Error::io("measure", &path, e))?;
        let page_size = u64::from(identity.page_size);
        let pages = file_len.div_ceil(page_size);
        if number < 2 {
            return Err(Error::invalid(format!("page {number} holds a meta: `inspect meta` shows it")));
        }
        if number >= pages {
            let last = pages.saturating_sub(1);
            return Err(Error::invalid(format!("{} has no page {number}: its last one is {last}", path.display())));
        }
        let offset = number * page_size;
        let read = |len| read_at_most(&*file, offset, len, file_len).map_err(|e| Error::io("read", &path, e));
        let mut bytes = read(page_size)?;
        let header = inspect::page_header(&bytes);
        // An extent is read whole only if it says that it belongs here, and as far as the file goes.
        if let Some(info) = header.as_ref().ok().filter(|info| info.at.id.0 == number && info.at.pages > 1) {
            bytes = read(u64::from(info.at.pages).min(pages - number) * page_size)?;
        }
        let verdict = inspect::page(&bytes, &identity).and_then(|info| match info.at.id.0 {
            id if id == number => Ok(()),
            id => Err(format!("page {id} is here instead of page {number} (a misdirected write)")),
        });
        let meta = self.metas(partition)?.into_relied();
        let standing = standing::find(&*self.vfs, &path, identity, meta.as_ref(), number)?;
        Ok(PageReport { path, number, offset, bytes, header, verdict, standing })
    }

    /// Path, file and identity of a partition's page file.
    fn page_file(&self, partition: u32) -> Result<(PathBuf, Arc<dyn File>, Identity)> {
        let partitions = self.manifest.partitions;
        if partition >= partitions {
            let has = match partitions {
                1 => "the database has only partition 0".to_owned(),
                n => format!("the database has the partitions 0 to {}", n.saturating_sub(1)),
            };
            return Err(Error::invalid(format!("there is no partition {partition}: {has}")));
        }
        let path = directory::tree_path(&self.dir, partition);
        let file = self.vfs.open(&path, OpenMode::Read).map_err(|e| Error::io("open", &path, e))?;
        Ok((path, file, directory::identity(&self.manifest, partition)))
    }
}

impl Metas {
    /// The meta that an open relies on.
    pub fn relied(&self) -> Option<&MetaInfo> {
        match &self.slots.get(self.relied? as usize)?.slot {
            MetaSlot::Valid(meta) => Some(meta),
            _ => None,
        }
    }

    fn into_relied(self) -> Option<MetaInfo> {
        self.relied().cloned()
    }

    /// How far the tree is in the log, as the meta says that an open relies on.
    pub fn position(&self) -> Option<Position> {
        self.slots.get(self.relied? as usize)?.checkpoint
    }
}

impl PageReport {
    /// What follows the header.
    pub fn body(&self) -> &[u8] {
        self.bytes.get(PAGE_HEADER_LEN..).unwrap_or_default()
    }
}

/// At most `len` bytes from `offset` on, fewer if the file ends before.
fn read_at_most(file: &dyn File, offset: u64, len: u64, file_len: u64) -> std::io::Result<Vec<u8>> {
    let len = len.min(file_len.saturating_sub(offset));
    let mut bytes = vec![0; usize::try_from(len).unwrap_or(0)];
    match file.read_exact_at(&mut bytes, offset) {
        // Somebody cut the file off meanwhile.
        Err(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => Ok(Vec::new()),
        read => read.map(|()| bytes),
    }
}

fn slot_report(number: u32, offset: u64, bytes: Vec<u8>, identity: &Identity) -> SlotReport {
    let slot = inspect::meta(&bytes, number);
    let (foreign, checkpoint) = match &slot {
        MetaSlot::Valid(meta) => {
            let position = Checkpoint::decode(&meta.user, Path::new("")).ok();
            let position = position.map(|c| Position { applied: c.applied, synced: c.synced, mark_ms: c.mark_ms });
            (foreign(&meta.identity, identity), position)
        }
        _ => (None, None),
    };
    SlotReport { offset, bytes, slot, foreign, checkpoint }
}

/// Why a meta belongs to another file.
fn foreign(found: &Identity, expect: &Identity) -> Option<String> {
    let differs = [
        (found.uuid != expect.uuid, "the uuid is that of another database"),
        (found.incarnation != expect.incarnation, "the incarnation is another one: the file is from before a restore"),
        (found.file_id != expect.file_id, "the file id is that of another partition"),
        (found.page_size != expect.page_size, "the page size is not that of the MANIFEST"),
    ];
    differs.into_iter().find(|(differs, _)| *differs).map(|(_, what)| what.to_owned())
}

/// The slot that an open relies on, and why: the rules are those of `docs/format/meta.md`.
fn choose(slots: &[SlotReport; 2], file_len: u64) -> (Option<u32>, String) {
    if slots.iter().any(|slot| matches!(slot.slot, MetaSlot::OtherVersion(_))) {
        return (None, "None: an open refuses the file, because another version of the program wrote it.".into());
    }
    if let Some(what) = slots.iter().find_map(|slot| slot.foreign.as_deref()) {
        return (None, format!("None: an open refuses the file, because {what}."));
    }
    let valid = |slot: &SlotReport| match &slot.slot {
        MetaSlot::Valid(meta) => Some(meta.clone()),
        _ => None,
    };
    let (slot, why) = match (valid(&slots[0]), valid(&slots[1])) {
        (Some(a), Some(b)) if a.generation == b.generation && a != b => {
            return (None, "None: an open refuses the file, because both are of one generation, and differ.".into());
        }
        (Some(a), Some(b)) if a.generation == b.generation => (0, "Both hold the same.".to_owned()),
        (Some(a), Some(b)) => {
            let (slot, more, less) = if a.generation > b.generation {
                (0, a.generation, b.generation)
            } else {
                (1, b.generation, a.generation)
            };
            (slot, format!("Both are valid, and its generation is the greater one: {more} after {less}."))
        }
        (Some(_), None) => (0, "The other one is not valid: a crash while it was written, or damage.".to_owned()),
        (None, Some(_)) => (1, "The other one is not valid: a crash while it was written, or damage.".to_owned()),
        (None, None) => return (None, "None: an open refuses the file, because neither is valid.".into()),
    };
    let needed = valid(&slots[slot as usize]).map(|meta| (meta.page_count, u64::from(meta.identity.page_size)));
    match needed {
        Some((pages, size)) if pages.saturating_mul(size) > file_len => {
            let what = format!("it has {file_len} bytes and slot {slot} states {pages} pages of {size}");
            (None, format!("None: an open refuses the file, because {what}."))
        }
        _ => (Some(slot), why),
    }
}

/// Whether an error says that something is wrong with what is there, and not with looking at it.
pub(crate) fn is_damage(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Version)
}

#[cfg(test)]
mod tests;
