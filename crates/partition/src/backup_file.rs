//! BACKUP: what a backup is a copy of, and the checksums of its files.
//!
//! ```text
//! offset size  field
//!      0    8  magic "HALOBKUP"
//!      8    4  format version (1)
//!     12    4  length of this file
//!     16   16  uuid of the database
//!     32    8  incarnation that it had
//!     40    8  sequence number: every write up to it is in the backup, none after it
//!     48    8  when it was begun: milliseconds since 1970
//!     56    8  number of keys
//!     64    4  number of files, n
//!     68    4  zero
//!     72  16n  for each file: length 8, xxh3-64 of its contents 8
//!      …    8  xxh3-64 of the bytes before
//! ```
//!
//! The files are, in this order, `MANIFEST`, `wal/0000000001.log`, `p000/tree.db`, `p001/tree.db` and so on. Everything is
//! little-endian. A directory with this file is a backup: it is verified and restored, not opened as a database.
//!
//! What is *not* here: the identity of the copy itself. That is in its MANIFEST, and has an incarnation of its own.

use crate::directory;
use crate::{Error, ErrorKind, MAX_PARTITIONS, Result};
use halodb_vfs::{FileExt, OpenMode, Vfs};
use halodb_wal::Lsn;
use std::io;
use std::path::{Path, PathBuf};
use xxhash_rust::xxh3::xxh3_64;

const MAGIC: &[u8; 8] = b"HALOBKUP";
const FORMAT_VERSION: u32 = 1;

const OFF_VERSION: usize = 8;
const OFF_LENGTH: usize = 12;
const OFF_UUID: usize = 16;
const OFF_INCARNATION: usize = 32;
const OFF_SEQ: usize = 40;
const OFF_TIME: usize = 48;
const OFF_KEYS: usize = 56;
const OFF_COUNT: usize = 64;
const OFF_ZERO: usize = 68;
const OFF_FILES: usize = 72;
const FILE_LEN: usize = 16;
const CHECKSUM_LEN: usize = 8;
/// MANIFEST, log, and at least one page file.
const FEWEST_FILES: usize = 3;
const MOST_FILES: usize = FEWEST_FILES - 1 + MAX_PARTITIONS as usize;
const MAX_LEN: usize = OFF_FILES + MOST_FILES * FILE_LEN + CHECKSUM_LEN;

const _: () = assert!(OFF_UUID + 16 == OFF_INCARNATION && OFF_INCARNATION + 8 == OFF_SEQ && OFF_SEQ + 8 == OFF_TIME);
const _: () = assert!(OFF_TIME + 8 == OFF_KEYS && OFF_KEYS + 8 == OFF_COUNT && OFF_ZERO + 4 == OFF_FILES);

/// Where it is written before it is renamed.
const TEMPORARY_NAME: &str = "BACKUP.tmp";

/// Length and checksum of one file of a backup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seal {
    pub(crate) len: u64,
    pub(crate) sum: u64,
}

/// What a backup holds: the content of its BACKUP file.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BackupReport {
    /// The database that it is a backup of.
    pub uuid: [u8; 16],
    /// Which life of that database.
    pub incarnation: u64,
    /// Every write up to this sequence number is in it, and none after it.
    pub seq: Lsn,
    /// When it was begun, in milliseconds since 1970.
    pub time_ms: u64,
    /// Number of keys.
    pub keys: u64,
    /// One for each file, in the order of [`file_path`].
    pub(crate) seals: Vec<Seal>,
}

/// The path of file number `number` in the backup in `dir`.
pub(crate) fn file_path(dir: &Path, number: usize) -> PathBuf {
    match number {
        0 => dir.join(crate::manifest::NAME),
        1 => directory::wal_dir(dir).join(halodb_wal::file_name(1)),
        _ => directory::tree_path(dir, (number + 1 - FEWEST_FILES) as u32),
    }
}

impl BackupReport {
    /// Bytes of all its files, BACKUP aside.
    pub fn bytes(&self) -> u64 {
        self.seals.iter().fold(0, |sum, seal| sum.saturating_add(seal.len))
    }

    /// Number of page files.
    pub(crate) fn partitions(&self) -> u32 {
        (self.seals.len() + 1 - FEWEST_FILES) as u32
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let len = OFF_FILES + self.seals.len() * FILE_LEN + CHECKSUM_LEN;
        let mut out = vec![0; OFF_FILES];
        let mut put = |at: usize, bytes: &[u8]| out[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, MAGIC);
        put(OFF_VERSION, &FORMAT_VERSION.to_le_bytes());
        put(OFF_LENGTH, &(len as u32).to_le_bytes());
        put(OFF_UUID, &self.uuid);
        put(OFF_INCARNATION, &self.incarnation.to_le_bytes());
        put(OFF_SEQ, &self.seq.0.to_le_bytes());
        put(OFF_TIME, &self.time_ms.to_le_bytes());
        put(OFF_KEYS, &self.keys.to_le_bytes());
        put(OFF_COUNT, &(self.seals.len() as u32).to_le_bytes());
        for seal in &self.seals {
            out.extend_from_slice(&seal.len.to_le_bytes());
            out.extend_from_slice(&seal.sum.to_le_bytes());
        }
        out.extend_from_slice(&xxh3_64(&out).to_le_bytes());
        out
    }

    /// Reads the file's bytes, whatever they are.
    pub(crate) fn decode(bytes: &[u8], path: &Path) -> Result<Self> {
        if bytes.len() < OFF_FILES + CHECKSUM_LEN || &bytes[..MAGIC.len()] != MAGIC {
            return Err(Error::corrupt(path, "at byte 0: this is not the BACKUP file of a HaloDB backup"));
        }
        let u32_at = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("4 bytes"));
        let u64_at = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("8 bytes"));
        let version = u32_at(OFF_VERSION);
        let end = bytes.len() - CHECKSUM_LEN;
        if u64_at(end) != xxh3_64(&bytes[..end]) {
            // A newer format may keep its checksum elsewhere, so its number is believed before the sum is.
            return Err(if version > FORMAT_VERSION {
                let message =
                    format!("{}: format version {version}, this program knows {FORMAT_VERSION}", path.display());
                Error::new(ErrorKind::Version, message)
            } else {
                Error::corrupt(path, format!("bytes 0 to {}: the checksum does not fit", bytes.len()))
            });
        }
        let count = u32_at(OFF_COUNT) as usize;
        let fits =
            (FEWEST_FILES..=MOST_FILES).contains(&count) && bytes.len() == OFF_FILES + count * FILE_LEN + CHECKSUM_LEN;
        if !fits {
            return Err(Error::corrupt(path, format!("at byte {OFF_COUNT}: {count} files in {} bytes", bytes.len())));
        }
        let mut uuid = [0; 16];
        uuid.copy_from_slice(&bytes[OFF_UUID..OFF_INCARNATION]);
        let seal = |i: usize| {
            let at = OFF_FILES + i * FILE_LEN;
            Seal { len: u64_at(at), sum: u64_at(at + 8) }
        };
        let report = BackupReport {
            uuid,
            incarnation: u64_at(OFF_INCARNATION),
            seq: Lsn(u64_at(OFF_SEQ)),
            time_ms: u64_at(OFF_TIME),
            keys: u64_at(OFF_KEYS),
            seals: (0..count).map(seal).collect(),
        };
        if report.encode() != bytes {
            return Err(Error::corrupt(path, "bytes beyond what the format defines"));
        }
        Ok(report)
    }

    /// Reads BACKUP in `dir`; `None` if there is none.
    pub(crate) fn read(vfs: &dyn Vfs, dir: &Path) -> Result<Option<Self>> {
        let path = dir.join(directory::BACKUP);
        let failed = |e| Error::io("read", &path, e);
        let file = match vfs.open(&path, OpenMode::Read) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(Error::io("open", &path, e)),
        };
        // One byte more than the format allows is enough to see that a file is too long.
        let len = file.len().map_err(failed)?.min(MAX_LEN as u64 + 1);
        let mut bytes = vec![0; len as usize];
        file.read_exact_at(&mut bytes, 0).map_err(failed)?;
        Self::decode(&bytes, &path).map(Some)
    }

    /// Writes BACKUP durably: temporary name, sync, rename, sync of the directory.
    pub(crate) fn write(&self, vfs: &dyn Vfs, dir: &Path) -> Result<()> {
        let temporary = dir.join(TEMPORARY_NAME);
        let failed = |e| Error::io("write", &temporary, e);
        let file = vfs.open(&temporary, OpenMode::Create).map_err(failed)?;
        file.set_len(0).map_err(failed)?;
        file.write_all_at(&self.encode(), 0).map_err(failed)?;
        file.sync_all().map_err(failed)?;
        let path = dir.join(directory::BACKUP);
        vfs.rename(&temporary, &path).map_err(|e| Error::io("rename to", &path, e))?;
        vfs.sync_dir(dir).map_err(|e| Error::io("synchronise the directory", dir, e))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> BackupReport {
        let seals = [(96, 7), (8192, 8), (65536, 9), (81920, 10)].map(|(len, sum)| Seal { len, sum });
        BackupReport { uuid: [3; 16], incarnation: 4, seq: Lsn(5), time_ms: 6, keys: 7, seals: seals.to_vec() }
    }

    #[test]
    fn a_report_reads_back_what_was_written() {
        let report = sample();
        assert_eq!(BackupReport::decode(&report.encode(), Path::new("BACKUP")).unwrap(), report);
        assert_eq!((report.partitions(), report.bytes()), (2, 96 + 8192 + 65536 + 81920));
    }

    #[test]
    fn every_flipped_bit_and_every_length_is_refused() {
        let good = sample().encode();
        let refused = |bytes: &[u8]| BackupReport::decode(bytes, Path::new("BACKUP")).is_err();
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(refused(&bad), "bit {bit}");
        }
        (0..good.len()).for_each(|len| assert!(refused(&good[..len]), "length {len}"));
        assert!(refused(&[&good[..], &[0]].concat()));
    }

    #[test]
    fn the_files_are_the_manifest_the_log_and_the_trees() {
        let names: Vec<_> = (0..4).map(|number| file_path(Path::new("b"), number)).collect();
        let expected = ["b/MANIFEST", "b/wal/0000000001.log", "b/p000/tree.db", "b/p001/tree.db"];
        assert_eq!(names, expected.map(PathBuf::from));
    }
}
