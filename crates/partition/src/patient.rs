//! [`Patient`]: a database that may be damaged, with everything of it open for reading that can be opened.
//!
//! What it is, the MANIFEST says; if that is gone, the metas of the page files and the headers of the log's segments do,
//! all but the seed that spreads keys over partitions. Nothing is written here. What is wrong goes into the [`Diagnosis`].

use crate::checkpoint::Checkpoint;
use crate::directory;
use crate::doctor::{Ailment, Diagnosis, Health};
use crate::manifest::{self, Manifest};
use crate::routing::Router;
use crate::{Error, ErrorKind, Result};
use halodb_btree::{Tree, TreeOptions};
use halodb_pager::{Access, Identity, OtherSlot, Pager};
use halodb_vfs::{EntryKind, FileExt, Lock, LockError, OpenMode, Vfs};
use halodb_wal::{NoSegment, SegmentHeader};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub(crate) struct Patient {
    pub(crate) vfs: Arc<dyn Vfs>,
    pub(crate) dir: PathBuf,
    /// What is known of the manifest; the hash seed is 0 if only `router` would know it.
    pub(crate) manifest: Manifest,
    /// How keys are spread, if the MANIFEST says it.
    pub(crate) router: Option<Router>,
    pub(crate) parts: Vec<Part>,
    /// Nobody else writes as long as it is held.
    _lock: Option<Lock>,
}

/// One page file.
pub(crate) struct Part {
    pub(crate) path: PathBuf,
    pub(crate) identity: Identity,
    /// The file, if one of its metas is valid and its root is one.
    pub(crate) open: Option<OpenPart>,
}

pub(crate) struct OpenPart {
    pub(crate) pager: Pager,
    pub(crate) tree: Tree,
    pub(crate) checkpoint: Checkpoint,
}

impl Patient {
    /// Opens what can be opened.
    ///
    /// # Errors
    /// `NotFound` and `NotADatabase` if there is nothing to look at, `Locked` if somebody has it open, `Version` for a
    /// newer format, `Io`; `Corrupt` if nothing tells any more which database this is.
    pub(crate) fn open(vfs: Arc<dyn Vfs>, dir: &Path, report: &mut Diagnosis) -> Result<Patient> {
        match vfs.kind(dir).map_err(|e| Error::io("look at", dir, e))? {
            Some(EntryKind::Dir) => {}
            Some(_) => return Err(directory::no_directory(dir)),
            None => return Err(directory::missing(dir)),
        }
        directory::refuse_foreign(&*vfs, dir, crate::Create::Never)?;
        let lock = lock(&*vfs, dir, report)?;
        let (manifest, doubt) = read_manifest(&*vfs, dir)?;
        let router = doubt.is_none().then_some(Router { seed: manifest.hash_seed, partitions: manifest.partitions });
        if let Some(what) = doubt {
            report.ailments.push(Ailment {
                path: dir.join(manifest::NAME),
                offset: None,
                what: format!("The MANIFEST cannot be read: {what}."),
                health: Health::Repairable,
                remedy: "Put the MANIFEST back from a copy of this database, or salvage into a new one.",
            });
            report.notes.push(format!(
                "Without the MANIFEST, identity, page size and the number of partitions ({}) are taken from the other \
                 files; that no page file with a greater number is missing, and that each key lies in its partition, \
                 cannot be proven.",
                manifest.partitions
            ));
        }
        let mut patient = Patient { vfs, dir: dir.to_path_buf(), manifest, router, parts: Vec::new(), _lock: lock };
        for partition in 0..patient.manifest.partitions {
            let part = patient.part(partition, report);
            patient.parts.push(part);
        }
        Ok(patient)
    }

    fn part(&self, partition: u32, report: &mut Diagnosis) -> Part {
        let path = directory::tree_path(&self.dir, partition);
        let identity = directory::identity(&self.manifest, partition);
        let open = self.open_part(&path, &identity, report);
        let open = open
            .map_err(|e| {
                report.ailments.push(Ailment {
                    path: path.clone(),
                    offset: None,
                    what: format!("The page file cannot be opened: {e}."),
                    health: Health::Lost,
                    remedy: "Put the file back from a copy of this database, or salvage what its pages hold.",
                });
            })
            .ok();
        Part { path, identity, open }
    }

    fn open_part(&self, path: &Path, identity: &Identity, report: &mut Diagnosis) -> Result<OpenPart> {
        let pager = Pager::open(self.vfs.clone(), path, identity, Access::ReadOnly)?;
        let snapshot = pager.snapshot();
        let checkpoint = Checkpoint::decode(snapshot.user(), path)?;
        // Filter bits matter to a writer only.
        let tree = Tree::open(snapshot, 0, TreeOptions { hash_seed: self.manifest.hash_seed, filter_bits_per_key: 0 })?;
        if let OtherSlot::Bad { what } = &pager.opened().other {
            report.ailments.push(Ailment {
                path: path.to_path_buf(),
                offset: Some(u64::from(1 - pager.opened().slot) * u64::from(identity.page_size)),
                what: format!("One of the two metas is not valid: {what}."),
                health: Health::Repairable,
                remedy: "A crash while it was written leaves it so. Open the database: its next merge writes it again.",
            });
        }
        Ok(OpenPart { pager, tree, checkpoint })
    }

    /// The positions of all trees in the log, if all are known.
    pub(crate) fn checkpoints(&self) -> Option<Vec<Checkpoint>> {
        self.parts.iter().map(|part| part.open.as_ref().map(|open| open.checkpoint)).collect()
    }
}

/// Keeps others from writing, where that is possible without changing anything: a LOCK that is not there is not made.
fn lock(vfs: &dyn Vfs, dir: &Path, report: &mut Diagnosis) -> Result<Option<Lock>> {
    let path = dir.join(directory::LOCK);
    let why = match vfs.kind(&path) {
        Ok(Some(_)) => match vfs.lock(&path) {
            Ok(lock) => return Ok(Some(lock)),
            Err(e @ LockError::Held { .. }) => return Err(Error::from_lock(dir, e)),
            Err(LockError::Io(e)) => e.to_string(),
        },
        Ok(None) => "there is no LOCK".to_owned(),
        Err(e) => e.to_string(),
    };
    report
        .notes
        .push(format!("The lock was not taken ({why}): if a process writes to these files now, this report is void."));
    Ok(None)
}

/// The MANIFEST; or, if it cannot be read, what the other files say about the database, and why it cannot.
///
/// # Errors
/// `Version`, `Io`; `Corrupt` if nothing tells any more which database this is.
pub(crate) fn read_manifest(vfs: &dyn Vfs, dir: &Path) -> Result<(Manifest, Option<String>)> {
    let doubt = match Manifest::read(vfs, dir) {
        Ok(Some(manifest)) => return Ok((manifest, None)),
        Ok(None) => "it is missing".to_owned(),
        Err(e) if matches!(e.kind(), ErrorKind::Corrupt | ErrorKind::NotADatabase) => e.to_string(),
        Err(e) => return Err(e),
    };
    Ok((without_manifest(vfs, dir)?, Some(doubt)))
}

/// What the other files say about the database: identity from the first that states one, partitions by their folders.
fn without_manifest(vfs: &dyn Vfs, dir: &Path) -> Result<Manifest> {
    let entries = vfs.read_dir(dir).map_err(|e| Error::io("list", dir, e))?;
    let partitions = entries
        .iter()
        .filter_map(|entry| entry.name.strip_prefix('p')?.parse::<u32>().ok())
        .filter(|number| *number < crate::MAX_PARTITIONS)
        .map(|number| number + 1)
        .max()
        .unwrap_or(0);
    let metas = (0..partitions).find_map(|number| {
        let path = directory::tree_path(dir, number);
        halodb_pager::read_identity(vfs, &path).ok().flatten()
    });
    let segment = || segment_identity(vfs, &directory::wal_dir(dir));
    let (uuid, incarnation, page_size) = match metas {
        Some(identity) => (identity.uuid, identity.incarnation, identity.page_size),
        None => match segment() {
            Some(header) => (header.uuid, header.incarnation, halodb_pager::MIN_PAGE_SIZE),
            None => {
                let what = "neither the MANIFEST nor any page file or log segment says which database this is";
                return Err(Error::corrupt(dir, what));
            }
        },
    };
    Ok(Manifest { uuid, incarnation, partitions, hash_seed: 0, page_size })
}

fn segment_identity(vfs: &dyn Vfs, wal: &Path) -> Option<SegmentHeader> {
    let names = vfs.read_dir(wal).ok()?;
    names.iter().filter(|entry| halodb_wal::parse_file_name(&entry.name).is_some()).find_map(|entry| {
        let file = vfs.open(&wal.join(&entry.name), OpenMode::Read).ok()?;
        let mut bytes = [0; halodb_wal::SEGMENT_HEADER_LEN];
        let read: io::Result<()> = file.read_exact_at(&mut bytes, 0);
        let header: std::result::Result<SegmentHeader, NoSegment> = SegmentHeader::decode(&bytes);
        read.ok().and(header.ok())
    })
}
