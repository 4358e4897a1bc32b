//! MANIFEST: what a database *is*, fixed when it was created.
//!
//! ```text
//! offset size  field
//!      0    8  magic "HALOMANI"
//!      8    4  format version (1)
//!     12    4  length of this structure, 96
//!     16   16  uuid of the database
//!     32    8  incarnation: drawn anew when a backup is restored
//!     40    4  number of partitions
//!     44    4  partitioner: 1 = xxh3-64 of the key, mixed and scaled
//!     48    8  hash seed
//!     56    4  page size in bytes
//!     60    4  set of page files: 0 = `pNNN/tree.db`
//!     64    8  feature bits; one that is not known refuses the open (none so far)
//!     72   16  zero
//!     88    8  xxh3-64 of the bytes before
//! ```
//!
//! All numbers are little-endian. The file is written last when a database is created, under a temporary name, and
//! renamed: a directory with a MANIFEST is a whole database. It is never changed afterwards.

use crate::{Error, ErrorKind, Result};
use halodb_vfs::{FileExt, OpenMode, Vfs};
use std::io;
use std::path::Path;
use xxhash_rust::xxh3::xxh3_64;

const MAGIC: &[u8; 8] = b"HALOMANI";
const FORMAT_VERSION: u32 = 1;
const PARTITIONER_XXH3: u32 = 1;
const FILE_SET: u32 = 0;

const OFF_VERSION: usize = 8;
const OFF_LENGTH: usize = 12;
const OFF_UUID: usize = 16;
const OFF_INCARNATION: usize = 32;
const OFF_PARTITIONS: usize = 40;
const OFF_PARTITIONER: usize = 44;
const OFF_SEED: usize = 48;
const OFF_PAGE_SIZE: usize = 56;
const OFF_FILE_SET: usize = 60;
const OFF_FEATURES: usize = 64;
const OFF_RESERVED: usize = 72;
const OFF_CHECKSUM: usize = 88;
/// Length of the file in bytes.
pub(crate) const LEN: usize = 96;

const _: () = assert!(OFF_UUID + 16 == OFF_INCARNATION && OFF_INCARNATION + 8 == OFF_PARTITIONS);
const _: () = assert!(OFF_SEED + 8 == OFF_PAGE_SIZE && OFF_FEATURES + 8 == OFF_RESERVED);
const _: () = assert!(OFF_RESERVED + 16 == OFF_CHECKSUM && OFF_CHECKSUM + 8 == LEN);

/// The file's name in the database directory.
pub(crate) const NAME: &str = "MANIFEST";
/// Where it is written before it is renamed.
pub(crate) const TEMPORARY_NAME: &str = "MANIFEST.tmp";

/// The identity of a database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// Names the database.
    pub uuid: [u8; 16],
    /// Names this life of it.
    pub incarnation: u64,
    /// Number of partitions.
    pub partitions: u32,
    /// Seed of the keys' hash.
    pub hash_seed: u64,
    /// Bytes per page.
    pub page_size: u32,
}

impl Manifest {
    /// The file's bytes.
    pub fn encode(&self) -> [u8; LEN] {
        let mut out = [0u8; LEN];
        let mut put = |at: usize, bytes: &[u8]| out[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, MAGIC);
        put(OFF_VERSION, &FORMAT_VERSION.to_le_bytes());
        put(OFF_LENGTH, &(LEN as u32).to_le_bytes());
        put(OFF_UUID, &self.uuid);
        put(OFF_INCARNATION, &self.incarnation.to_le_bytes());
        put(OFF_PARTITIONS, &self.partitions.to_le_bytes());
        put(OFF_PARTITIONER, &PARTITIONER_XXH3.to_le_bytes());
        put(OFF_SEED, &self.hash_seed.to_le_bytes());
        put(OFF_PAGE_SIZE, &self.page_size.to_le_bytes());
        put(OFF_FILE_SET, &FILE_SET.to_le_bytes());
        let checksum = xxh3_64(&out[..OFF_CHECKSUM]);
        out[OFF_CHECKSUM..].copy_from_slice(&checksum.to_le_bytes());
        out
    }

    /// Reads the file's bytes; `path` is for messages.
    ///
    /// # Errors
    /// `NotADatabase` without the magic, `Version` for a newer format, `Corrupt` for everything else.
    pub fn decode(bytes: &[u8], path: &Path) -> Result<Manifest> {
        if bytes.len() < MAGIC.len() || &bytes[..MAGIC.len()] != MAGIC {
            let message = format!("{} is not the MANIFEST of a HaloDB database", path.display());
            // An emptied or overwritten file and somebody else's file look alike; the directory decides nothing here.
            return Err(Error::new(ErrorKind::NotADatabase, message));
        }
        if bytes.len() < LEN {
            return Err(Error::corrupt(path, format!("{} bytes long, {LEN} expected", bytes.len())));
        }
        let version = u32_at(bytes, OFF_VERSION);
        let checksum = u64_at(bytes, OFF_CHECKSUM);
        if checksum != xxh3_64(&bytes[..OFF_CHECKSUM]) {
            // A newer format may keep its checksum elsewhere, so its number is believed before the sum is.
            return Err(if version > FORMAT_VERSION {
                newer(path, version)
            } else {
                Error::corrupt(path, "bad checksum")
            });
        }
        if version != FORMAT_VERSION {
            return Err(newer(path, version));
        }
        let features = u64_at(bytes, OFF_FEATURES);
        if features != 0 {
            let message = format!("{}: needs features {features:#x} that this program lacks", path.display());
            return Err(Error::new(ErrorKind::Version, message));
        }
        let partitioner = u32_at(bytes, OFF_PARTITIONER);
        let file_set = u32_at(bytes, OFF_FILE_SET);
        if partitioner != PARTITIONER_XXH3 || file_set != FILE_SET {
            let what = format!("partitioner {partitioner} and file set {file_set}: only 1 and 0 are known");
            return Err(Error::new(ErrorKind::Version, format!("{}: {what}", path.display())));
        }
        let manifest = Manifest {
            uuid: bytes[OFF_UUID..OFF_INCARNATION].try_into().expect("16 bytes"),
            incarnation: u64_at(bytes, OFF_INCARNATION),
            partitions: u32_at(bytes, OFF_PARTITIONS),
            hash_seed: u64_at(bytes, OFF_SEED),
            page_size: u32_at(bytes, OFF_PAGE_SIZE),
        };
        let options = crate::Options {
            partitions: Some(manifest.partitions),
            page_size: Some(manifest.page_size),
            ..Default::default()
        };
        options.validate().map_err(|e| Error::corrupt(path, e))?;
        if bytes.len() != LEN || bytes != manifest.encode() {
            return Err(Error::corrupt(path, "bytes beyond what the format defines"));
        }
        Ok(manifest)
    }

    /// Reads the manifest of `dir`; `None` if there is none.
    pub(crate) fn read(vfs: &dyn Vfs, dir: &Path) -> Result<Option<Manifest>> {
        let path = dir.join(NAME);
        let file = match vfs.open(&path, OpenMode::Read) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(Error::io("open", &path, e)),
        };
        let len = file.len().map_err(|e| Error::io("read", &path, e))?;
        // One byte more than the format needs is enough to see that a file is too long.
        let mut bytes = vec![0u8; len.min(LEN as u64 + 1) as usize];
        file.read_exact_at(&mut bytes, 0).map_err(|e| Error::io("read", &path, e))?;
        Self::decode(&bytes, &path).map(Some)
    }

    /// Writes the manifest durably: temporary name, sync, rename, sync of the directory.
    pub(crate) fn write(&self, vfs: &dyn Vfs, dir: &Path) -> Result<()> {
        let temporary = dir.join(TEMPORARY_NAME);
        let failed = |e| Error::io("write", &temporary, e);
        let file = vfs.open(&temporary, OpenMode::Create).map_err(failed)?;
        file.set_len(0).map_err(failed)?;
        file.write_all_at(&self.encode(), 0).map_err(failed)?;
        file.sync_all().map_err(failed)?;
        let path = dir.join(NAME);
        vfs.rename(&temporary, &path).map_err(|e| Error::io("rename to", &path, e))?;
        vfs.sync_dir(dir).map_err(|e| Error::io("synchronise the directory", dir, e))
    }
}

fn newer(path: &Path, version: u32) -> Error {
    let message = format!("{}: format version {version}, this program knows {FORMAT_VERSION}", path.display());
    Error::new(ErrorKind::Version, message)
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("4 bytes"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("8 bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Manifest {
        Manifest {
            uuid: *b"sixteen bytes id",
            incarnation: 7,
            partitions: 2,
            hash_seed: 0x0123_4567_89ab_cdef,
            page_size: 16384,
        }
    }

    #[test]
    fn a_manifest_reads_back_what_was_written() {
        assert_eq!(Manifest::decode(&sample().encode(), Path::new("M")).unwrap(), sample());
    }

    #[test]
    fn every_flipped_bit_and_every_length_is_refused() {
        let good = sample().encode();
        for bit in 0..LEN * 8 {
            let mut bad = good;
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(Manifest::decode(&bad, Path::new("M")).is_err(), "bit {bit}");
        }
        for len in 0..LEN {
            assert!(Manifest::decode(&good[..len], Path::new("M")).is_err(), "length {len}");
        }
        let mut long = good.to_vec();
        long.push(0);
        assert!(Manifest::decode(&long, Path::new("M")).is_err());
    }

    #[test]
    fn a_newer_format_is_named_even_if_its_checksum_is_elsewhere() {
        let mut newer = sample().encode();
        newer[OFF_VERSION] = 9;
        let e = Manifest::decode(&newer, Path::new("M")).unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Version);
        assert!(e.to_string().contains("version 9"), "{e}");
    }
}
