//! What the tests of the log share: options with small segments, opening on any disk, and a record that is easy to compare.

#![allow(dead_code, reason = "each test file uses a part")]

use halodb_vfs::Vfs;
use halodb_wal::{Error, Known, Lsn, RecordKind, Recovery, Result, Wal, WalOptions};
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub(crate) const UUID: [u8; 16] = *b"0123456789abcdef";
pub(crate) const GAP: u64 = 1 << 32;

pub(crate) fn options() -> WalOptions {
    WalOptions { segment_bytes: 4096, first_segment_bytes: 4096, ..WalOptions::new(UUID, 1) }
}

pub(crate) fn dir() -> PathBuf {
    PathBuf::from("/wal")
}

/// A simulated disk with the directory of the log.
pub(crate) fn disk() -> halodb_vfs::SimVfs {
    let sim = halodb_vfs::SimVfs::new();
    sim.create_dir(&dir()).unwrap();
    sim.sync_dir(Path::new("/")).unwrap();
    sim
}

pub(crate) fn create(vfs: &(impl Vfs + Clone)) -> Wal {
    Wal::create(Arc::new(vfs.clone()), &dir(), options()).unwrap()
}

/// The commits that a recovery handed over.
pub(crate) type Commits = Vec<(u64, Vec<u8>)>;

pub(crate) fn recover_known(vfs: &(impl Vfs + Clone), known: Known) -> Result<(Recovery, Commits)> {
    let mut commits = Vec::new();
    let recovery = Wal::recover(Arc::new(vfs.clone()), &dir(), options(), known, &mut |r| {
        if r.kind == RecordKind::Commit {
            commits.push((r.lsn.0, r.payload.to_vec()));
        }
        Ok::<(), Error>(())
    })?;
    Ok((recovery, commits))
}

pub(crate) fn recover(vfs: &(impl Vfs + Clone)) -> Result<(Recovery, Commits)> {
    recover_known(vfs, Known::default())
}

pub(crate) fn reopen(vfs: &(impl Vfs + Clone)) -> (Wal, Commits) {
    let (recovery, commits) = recover(vfs).unwrap();
    (recovery.into_wal().unwrap(), commits)
}

pub(crate) fn segment(number: u64) -> PathBuf {
    dir().join(halodb_wal::file_name(number))
}

pub(crate) fn read(vfs: &dyn Vfs, path: &Path) -> Vec<u8> {
    use halodb_vfs::FileExt;
    let file = vfs.open(path, halodb_vfs::OpenMode::Read).unwrap();
    let mut bytes = vec![0; file.len().unwrap() as usize];
    file.read_exact_at(&mut bytes, 0).unwrap();
    bytes
}

pub(crate) fn write(vfs: &dyn Vfs, path: &Path, bytes: &[u8]) {
    use halodb_vfs::FileExt;
    let file = vfs.open(path, halodb_vfs::OpenMode::Create).unwrap();
    file.set_len(bytes.len() as u64).unwrap();
    file.write_all_at(bytes, 0).unwrap();
}

pub(crate) fn flip(vfs: &dyn Vfs, path: &Path, offset: u64) {
    let mut bytes = read(vfs, path);
    bytes[offset as usize] ^= 1;
    write(vfs, path, &bytes);
}

/// Offsets of the valid records of a segment, with their headers.
pub(crate) fn records_of(vfs: &dyn Vfs, number: u64) -> Vec<(u64, halodb_wal::RecordHeader)> {
    let bytes = read(vfs, &segment(number));
    let place = halodb_wal::Place::new(&UUID, number);
    let mut at = halodb_wal::RECORDS_START;
    let mut found = Vec::new();
    while let Ok(h) = halodb_wal::RecordHeader::decode(&bytes[at as usize..], place, at)
        && h.kind != RecordKind::Witness
    {
        found.push((at, h));
        at += h.record_len();
    }
    found
}

pub(crate) fn lsn(n: u64) -> Lsn {
    Lsn(n)
}
