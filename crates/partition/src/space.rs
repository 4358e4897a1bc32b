//! [`Space`]: where every byte of the database's files is, and what holds back the ones that could be used again.
//!
//! The numbers of a page file are taken while no merge runs on it, so they add up to its length exactly; those of
//! different files are of slightly different moments. Who the readers are that pin pages, this crate does not know.

use crate::set::{PartitionSet, Shared};
use crate::{Error, Result, directory};
use halodb_vfs::{EntryKind, OpenMode, Vfs};
use std::path::{Path, PathBuf};

/// Where every byte is.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Space {
    /// One for each partition's page file.
    pub partitions: Vec<PartitionSpace>,
    /// The log.
    pub log: LogSpace,
    /// All other files below the database's directory.
    pub others: Vec<OtherFile>,
    /// Bytes of runs: files without a name, of writes that found no room in memory, until they are merged and nobody reads them.
    pub runs: u64,
}

/// A page file, in bytes: the fields but the first three add up to `file_bytes`.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct PartitionSpace {
    /// The partition's number.
    pub partition: u32,
    /// Its page file.
    pub path: PathBuf,
    /// Length of the file.
    pub file_bytes: u64,
    /// The two metas.
    pub metas: u64,
    /// Leaves: keys and values.
    pub leaves: u64,
    /// Branches: the way to the leaves.
    pub branches: u64,
    /// Filters.
    pub filters: u64,
    /// Values above a quarter page, in extents.
    pub values: u64,
    /// The list of free pages.
    pub free_list: u64,
    /// Free, the next merge may write there.
    pub free: u64,
    /// Given up, but a meta that a crash could leave still reaches it; free after the next merges.
    pub settling: u64,
    /// Given up, but an open snapshot or iterator still reads it.
    pub pinned: u64,
    /// Allocated behind the last page, for growth.
    pub ahead: u64,
    /// Versions of the file that snapshots and iterators hold, the newest not counted; not bytes.
    pub pinned_versions: u64,
    /// Memory that the partition's memtables take; not in the file.
    pub memtable_bytes: u64,
}

/// The log's files, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LogSpace {
    /// Length of all its files.
    pub file_bytes: u64,
    /// What the next open would read if the process died now.
    pub needed: u64,
    /// The rest: segments made ready, the unused part of the newest, and what is about to be recycled.
    pub spare: u64,
}

/// Another file of the directory: the MANIFEST, the LOCK, the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OtherFile {
    /// Where it is.
    pub path: PathBuf,
    /// Length of the file.
    pub file_bytes: u64,
}

impl PartitionSpace {
    /// What holds data, and the way to it.
    pub fn live(&self) -> u64 {
        self.metas + self.leaves + self.branches + self.filters + self.values + self.free_list
    }

    /// What a compaction could give back, if nobody pinned it.
    pub fn reclaimable(&self) -> u64 {
        self.free + self.settling + self.pinned + self.ahead
    }
}

impl Space {
    /// Length of all files, those without a name included.
    pub fn total(&self) -> u64 {
        let pages: u64 = self.partitions.iter().map(|part| part.file_bytes).sum();
        let others: u64 = self.others.iter().map(|file| file.file_bytes).sum();
        pages + self.log.file_bytes + others + self.runs
    }
}

impl PartitionSet {
    /// Where every byte is. Reads all branches of the trees; waits for a merge that is under way.
    ///
    /// # Errors
    /// `Corrupt` or `Io` if a page or a directory cannot be read.
    pub fn space(&self) -> Result<Space> {
        let shared = &*self.shared;
        let mut space = Space { runs: shared.spill.bytes(), ..Space::default() };
        for partition in 0..shared.partitions.len() {
            space.partitions.push(shared.partition_space(partition)?);
        }
        let wal = directory::wal_dir(&shared.dir);
        let mut files = Vec::new();
        list(&*shared.vfs, &shared.dir, &mut files)?;
        for file in files {
            if file.path.starts_with(&wal) {
                space.log.file_bytes += file.file_bytes;
            } else if !space.partitions.iter().any(|part| part.path == file.path) {
                space.others.push(file);
            }
        }
        space.log.needed = shared.wal.live_bytes().min(space.log.file_bytes);
        space.log.spare = space.log.file_bytes - space.log.needed;
        Ok(space)
    }
}

impl Shared {
    fn partition_space(&self, partition: usize) -> Result<PartitionSpace> {
        let part = &self.partitions[partition];
        let _quiet = part.quiet.lock();
        let version = self.versions.load().parts[partition].clone();
        let usage = version.tree.usage()?;
        let stats = part.pager.stats();
        let page = u64::from(stats.page_size);
        let metas = stats.pages - stats.used() - stats.free - stats.pending - stats.free_list;
        Ok(PartitionSpace {
            partition: partition as u32,
            path: version.tree.snapshot().path().to_path_buf(),
            file_bytes: stats.file_bytes,
            metas: metas * page,
            leaves: usage.leaves * page,
            branches: usage.branches * page,
            filters: usage.filters.saturating_mul(page),
            values: usage.values.saturating_mul(page),
            free_list: stats.free_list * page,
            free: stats.free * page,
            settling: (stats.pending - stats.pinned) * page,
            pinned: stats.pinned * page,
            ahead: stats.file_bytes - stats.pages * page,
            pinned_versions: stats.pinned_versions,
            memtable_bytes: version.layers().map(|layer| layer.table.size_bytes()).sum(),
        })
    }
}

/// All files below a directory with their lengths. One that goes away meanwhile is left out.
fn list(vfs: &dyn Vfs, dir: &Path, files: &mut Vec<OtherFile>) -> Result<()> {
    for entry in vfs.read_dir(dir).map_err(|e| Error::io("list", dir, e))? {
        let path = dir.join(&entry.name);
        match entry.kind {
            EntryKind::Other => {}
            EntryKind::Dir => list(vfs, &path, files)?,
            EntryKind::File => match vfs.open(&path, OpenMode::Read).and_then(|file| file.len()) {
                Ok(file_bytes) => files.push(OtherFile { path, file_bytes }),
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
                Err(e) => return Err(Error::io("measure", &path, e)),
            },
        }
    }
    Ok(())
}
