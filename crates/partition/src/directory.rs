//! The layout of a database directory, and how it comes into being.
//!
//! ```text
//! data/
//!   LOCK                  held exclusively while open; states the holder's process id
//!   MANIFEST              identity; written last
//!   wal/0000000001.log …  the commit log
//!   p000/tree.db …        one page file per partition
//!   p000/run-….tmp        writes that found no room in memory; loses its name at once, and is of no use afterwards
//!   halodb.toml           optional; belongs to the user
//! ```
//!
//! Creation is crash-safe: everything but the MANIFEST is a *skeleton*, and an untouched skeleton without a MANIFEST is
//! removed and made again. Files that hold data without a MANIFEST are never touched: that is `ManifestMissing`.

use crate::checkpoint::Checkpoint;
use crate::manifest::{self, Manifest};
use crate::options::{Create, Entropy, Options};
use crate::{Error, ErrorKind, Result};
use halodb_pager::{Identity, Pager};
use halodb_vfs::{DirEntry, EntryKind, FileExt, OpenMode, Vfs, mutant};
use halodb_wal::{NoSegment, SegmentHeader, Wal, WalOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub(crate) const LOCK: &str = "LOCK";
/// What a backup is, and the checksums of its files: a directory with it is no database to work in.
pub(crate) const BACKUP: &str = "BACKUP";
/// The mark of a directory in which something is being made: whatever else it holds is not whole.
pub(crate) const UNFINISHED: &str = "UNFINISHED";
/// What becomes of that mark when everything is whole, until the directory has its name. In its place it means nothing.
pub(crate) const FINISHED: &str = "FINISHED";
pub(crate) const CONFIG: &str = "halodb.toml";
const WAL: &str = "wal";
const TREE: &str = "tree.db";
/// A page file has this behind its name until it is whole.
const NEW_SUFFIX: &str = ".new";
const RUN_PREFIX: &str = "run-";
const RUN_SUFFIX: &str = ".tmp";
/// Where the log prepares a segment before it gives it its name.
const WAL_TEMPORARY: &str = "prepare.tmp";

pub(crate) fn wal_dir(dir: &Path) -> PathBuf {
    dir.join(WAL)
}

pub(crate) fn tree_path(dir: &Path, partition: u32) -> PathBuf {
    dir.join(format!("p{partition:03}")).join(TREE)
}

/// Where a run has its name, for a moment (`spill.rs`).
pub(crate) fn run_path(dir: &Path, partition: u32, number: u64) -> PathBuf {
    tree_path(dir, partition).with_file_name(format!("{RUN_PREFIX}{number:06}{RUN_SUFFIX}"))
}

/// Whether a file beside a tree is one of a run, of which a crash took the owner.
pub(crate) fn is_run(name: &str) -> bool {
    name.starts_with(RUN_PREFIX) && name.trim_end_matches(NEW_SUFFIX).ends_with(RUN_SUFFIX)
}

pub(crate) fn identity(manifest: &Manifest, partition: u32) -> Identity {
    Identity {
        uuid: manifest.uuid,
        incarnation: manifest.incarnation,
        file_id: partition,
        page_size: manifest.page_size,
    }
}

pub(crate) fn wal_options(manifest: &Manifest, options: &Options) -> WalOptions {
    WalOptions {
        uuid: manifest.uuid,
        incarnation: manifest.incarnation,
        segment_bytes: options.segment_bytes,
        first_segment_bytes: options.first_segment_bytes.min(options.segment_bytes),
        buffer_bytes: WAL_BUFFER_BYTES,
    }
}

/// Bytes that commits below `Sync` may leave in the log's buffer before one of them writes it.
const WAL_BUFFER_BYTES: usize = 4 << 20;

/// Makes sure that the directory is there.
///
/// Each level that is created is made durable in its parent before the next one is. So of what a process leaves that dies
/// in between, only the deepest level can be in the cache only, and that one is made durable before anything is put in.
pub(crate) fn ensure_dir(vfs: &dyn Vfs, dir: &Path, create: Create) -> Result<()> {
    match vfs.kind(dir).map_err(|e| Error::io("look at", dir, e))? {
        Some(EntryKind::Dir) => return Ok(()),
        Some(_) => return Err(no_directory(dir)),
        None if create == Create::Never => return Err(missing(dir)),
        None => {}
    }
    let parent = dir.parent().unwrap_or(Path::new(""));
    if !parent.as_os_str().is_empty() {
        ensure_dir(vfs, parent, create)?;
        secure_name(vfs, parent)?;
    }
    match vfs.create_dir(dir) {
        Ok(()) => {}
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
        Err(e) => return Err(Error::io("create", dir, e)),
    }
    vfs.sync_dir(parent).map_err(|e| Error::io("synchronise the directory", parent, e))
}

/// Makes the names of the database durable: that of the MANIFEST, and its own. Whoever created them may have died before
/// that, and what is acknowledged under a name that a loss of power takes is lost.
pub(crate) fn secure_names(vfs: &dyn Vfs, dir: &Path) -> Result<()> {
    vfs.sync_dir(dir).map_err(|e| Error::io("synchronise the directory", dir, e))?;
    secure_name(vfs, dir)
}

/// Makes the name of a directory that was found durable in its parent.
fn secure_name(vfs: &dyn Vfs, dir: &Path) -> Result<()> {
    let Some(parent) = dir.parent() else { return Ok(()) };
    match vfs.sync_dir(parent) {
        // Nobody with these rights has created names there.
        Err(e) if e.kind() == io::ErrorKind::PermissionDenied => Ok(()),
        synced => synced.map_err(|e| Error::io("synchronise the directory", parent, e)),
    }
}

pub(crate) fn missing(dir: &Path) -> Error {
    Error::new(ErrorKind::NotFound, format!("there is no database in {}", dir.display()))
}

pub(crate) fn no_directory(dir: &Path) -> Error {
    Error::new(ErrorKind::NotADatabase, format!("{} is not a directory", dir.display()))
}

/// Whether a directory without a MANIFEST may become a database. Called before anything is written, the lock included.
pub(crate) fn refuse_foreign(vfs: &dyn Vfs, dir: &Path, create: Create) -> Result<()> {
    let entries = vfs.read_dir(dir).map_err(|e| Error::io("list", dir, e))?;
    if let Some(entry) = entries.iter().find(|e| matches!(e.name.as_str(), BACKUP | UNFINISHED)) {
        let what = if entry.name == BACKUP {
            "a backup, which stays as it is: restore it into another directory and open that"
        } else {
            "an unfinished backup or restore, of no use but to the process that writes it"
        };
        return Err(Error::new(ErrorKind::NotADatabase, format!("{} is {what}", dir.display())));
    }
    if entries.iter().any(|e| e.name == manifest::NAME) {
        return Ok(());
    }
    if let Some(other) = entries.iter().find(|e| !is_ours_but_manifest(&e.name)) {
        let message = format!("{} is not a HaloDB database: it holds {:?} and no MANIFEST", dir.display(), other.name);
        return Err(Error::new(ErrorKind::NotADatabase, message));
    }
    if create == Create::Never && !entries.iter().any(|e| e.name == WAL || is_partition(&e.name)) {
        return Err(missing(dir));
    }
    Ok(())
}

fn is_partition(name: &str) -> bool {
    name.len() == 4 && name.starts_with('p') && name[1..].bytes().all(|b| b.is_ascii_digit())
}

/// Whether a database has an entry of that name, its MANIFEST aside.
fn is_ours_but_manifest(name: &str) -> bool {
    matches!(name, LOCK | WAL | manifest::TEMPORARY_NAME | CONFIG) || is_partition(name)
}

/// Whether a database has an entry of that name.
pub(crate) fn is_ours(name: &str) -> bool {
    name == manifest::NAME || is_ours_but_manifest(name)
}

/// Whether a backup, finished or not, has an entry of that name beside those of a database.
pub(crate) fn is_of_backup(name: &str) -> bool {
    matches!(name, UNFINISHED | FINISHED) || name.starts_with(BACKUP)
}

fn list(vfs: &dyn Vfs, dir: &Path) -> Result<Vec<DirEntry>> {
    vfs.read_dir(dir).map_err(|e| Error::io("list", dir, e))
}

/// The folders that hold log and trees.
fn folders(vfs: &dyn Vfs, dir: &Path) -> Result<Vec<String>> {
    let names = list(vfs, dir)?.into_iter().map(|e| e.name);
    Ok(names.filter(|name| name == WAL || is_partition(name)).collect())
}

/// Refuses a directory without a MANIFEST in which anything was ever written, or that holds somebody else's files.
pub(crate) fn refuse_written(vfs: &dyn Vfs, dir: &Path) -> Result<()> {
    for folder in folders(vfs, dir)? {
        let path = dir.join(&folder);
        for file in list(vfs, &path)? {
            let touched = match skeleton_file(&folder, &file.name) {
                SkeletonFile::Log => has_records(vfs, &path.join(&file.name))?,
                SkeletonFile::Tree => halodb_pager::is_written(vfs, &path.join(&file.name))?,
                SkeletonFile::Temporary => false,
                SkeletonFile::Foreign => {
                    let message = format!(
                        "{} is not a HaloDB database: it holds {}/{} and no MANIFEST",
                        dir.display(),
                        folder,
                        file.name
                    );
                    return Err(Error::new(ErrorKind::NotADatabase, message));
                }
            };
            if touched {
                let message = format!(
                    "{} holds data in {}/{} but its MANIFEST is missing; put the MANIFEST back, nothing was changed",
                    dir.display(),
                    folder,
                    file.name
                );
                return Err(Error::new(ErrorKind::ManifestMissing, message));
            }
        }
    }
    Ok(())
}

/// Removes an untouched skeleton; whatever is refused is left as it was.
fn clear_skeleton(vfs: &dyn Vfs, dir: &Path) -> Result<()> {
    refuse_written(vfs, dir)?;
    for folder in folders(vfs, dir)? {
        let path = dir.join(&folder);
        for file in list(vfs, &path)? {
            let file = path.join(&file.name);
            vfs.remove_file(&file).map_err(|e| Error::io("remove", &file, e))?;
        }
        vfs.remove_dir(&path).map_err(|e| Error::io("remove", &path, e))?;
    }
    Ok(())
}

/// Creates everything, the MANIFEST last; durable when it returns.
pub(crate) fn create(vfs: &Arc<dyn Vfs>, dir: &Path, options: &Options, entropy: Entropy) -> Result<(Manifest, Wal)> {
    let manifest = Manifest {
        uuid: entropy.uuid,
        incarnation: entropy.incarnation,
        partitions: options.partitions_or_default(),
        hash_seed: entropy.hash_seed,
        page_size: options.page_size_or_default(),
    };
    clear_skeleton(&**vfs, dir)?;
    // A planted fault says that there is a database before there is one.
    if mutant("partition.manifest-first") {
        manifest.write(&**vfs, dir)?;
    }
    let make = |path: &Path| vfs.create_dir(path).map_err(|e| Error::io("create", path, e));
    for partition in 0..manifest.partitions {
        let path = tree_path(dir, partition);
        make(path.parent().expect("a tree lies in a folder of its own"))?;
        Pager::create(vfs.clone(), &path, identity(&manifest, partition), &Checkpoint::default().encode())?;
    }
    let wal = wal_dir(dir);
    make(&wal)?;
    let wal = Wal::create(vfs.clone(), &wal, wal_options(&manifest, options))?;
    vfs.sync_dir(dir).map_err(|e| Error::io("synchronise the directory", dir, e))?;
    manifest.write(&**vfs, dir)?;
    Ok((manifest, wal))
}

/// Refuses options that contradict what the database was created with.
pub(crate) fn refuse_contradiction(manifest: &Manifest, options: &Options, dir: &Path) -> Result<()> {
    let contradicts = |what: &str, asked: Option<u32>, is: u32| match asked {
        Some(asked) if asked != is => Err(Error::new(
            ErrorKind::Config,
            format!(
                "{}: {what} is {is} since the database was created, and {asked} is configured; leave {what} out or set it to {is}",
                dir.display()
            ),
        )),
        _ => Ok(()),
    };
    contradicts("partitions", options.partitions, manifest.partitions)?;
    contradicts("page_size", options.page_size, manifest.page_size)
}

/// What a file in a folder of a directory without a MANIFEST may be.
enum SkeletonFile {
    Log,
    Tree,
    Temporary,
    Foreign,
}

fn skeleton_file(folder: &str, name: &str) -> SkeletonFile {
    match folder {
        WAL if halodb_wal::parse_file_name(name).is_some() => SkeletonFile::Log,
        WAL if name == WAL_TEMPORARY => SkeletonFile::Temporary,
        WAL => SkeletonFile::Foreign,
        _ if name == TREE => SkeletonFile::Tree,
        _ if name == format!("{TREE}{NEW_SUFFIX}") || is_run(name) => SkeletonFile::Temporary,
        _ => SkeletonFile::Foreign,
    }
}

/// Whether a log segment is anything but a new one: a header of ours, or zeros in its place, and zeros behind it. What is
/// not understood counts as written: it is not thrown away.
fn has_records(vfs: &dyn Vfs, path: &Path) -> Result<bool> {
    let failed = |e| Error::io("read", path, e);
    let file = vfs.open(path, OpenMode::Read).map_err(failed)?;
    let len = file.len().map_err(failed)?;
    // A segment gets its name when it has its length.
    if len < halodb_wal::RECORDS_START {
        return Ok(true);
    }
    let mut header = [0u8; halodb_wal::SEGMENT_HEADER_LEN];
    file.read_exact_at(&mut header, 0).map_err(failed)?;
    if !matches!(SegmentHeader::decode(&header), Ok(_) | Err(NoSegment::Empty)) {
        return Ok(true);
    }
    let mut piece = vec![0u8; 64 << 10];
    let mut at = halodb_wal::RECORDS_START;
    while at < len {
        let take = (len - at).min(piece.len() as u64) as usize;
        file.read_exact_at(&mut piece[..take], at).map_err(failed)?;
        if piece[..take].iter().any(|&b| b != 0) {
            return Ok(true);
        }
        at += take as u64;
    }
    Ok(false)
}
