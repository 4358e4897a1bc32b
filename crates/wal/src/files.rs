//! Segment files on the disk: list, read, prepare, write. The only room that names temporary files.
//!
//! A segment gets its name only when all its bytes are on the disk: temporary name → zeros → fsync → rename → directory
//! sync. So a file with a segment's name that is shorter than its header says was cut by somebody else.

use crate::segment::{self, RECORDS_START, SegmentHeader};
use crate::{Error, Result};
use halodb_vfs::{EntryKind, File, FileExt, OpenMode, Vfs, mutant};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const TEMPORARY: &str = "prepare.tmp";
/// Bytes of zeros per write while a segment is prepared. The system may keep what one write brings as one piece of its cache,
/// and look at all blocks of the piece whenever a record is written into it later: longer ones make commits dearer that are only
/// handed to the system, shorter ones the preparation.
const PIECE: usize = 64 << 10;

/// A prepared segment file: on the disk under its name, not begun.
#[derive(Debug)]
pub(crate) struct Spare {
    pub(crate) number: u64,
    pub(crate) len: u64,
    pub(crate) file: Arc<dyn File>,
}

/// The numbers of all segment files in `dir`, ascending.
pub(crate) fn list(vfs: &dyn Vfs, dir: &Path) -> Result<Vec<u64>> {
    let entries = vfs.read_dir(dir).map_err(Error::io("list", dir))?;
    let mut numbers: Vec<u64> = entries
        .iter()
        .filter(|e| e.kind == EntryKind::File)
        .filter_map(|e| segment::parse_file_name(&e.name))
        .collect();
    numbers.sort_unstable();
    Ok(numbers)
}

/// Reads at most `len` bytes from the start of a file; fewer if it is shorter. Allocates no more than the file holds.
pub(crate) fn read_start(file: &dyn File, path: &Path, len: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    read_start_into(file, path, len, &mut bytes)?;
    Ok(bytes)
}

/// As [`read_start`], in the place of what a buffer held.
fn read_start_into(file: &dyn File, path: &Path, len: u64, bytes: &mut Vec<u8>) -> Result<()> {
    let len = len.min(file.len().map_err(Error::io("measure", path))?);
    let len = usize::try_from(len).map_err(|_| Error::Invalid(format!("{} is too large to read", path.display())))?;
    match bytes.is_empty() {
        // Zeroed by the system, where it is large.
        true => *bytes = vec![0; len],
        false => bytes.resize(len, 0),
    }
    file.read_exact_at(bytes, 0).map_err(Error::io("read", path))
}

/// Reads the live segment that `header` describes, whole.
pub(crate) fn read_segment(vfs: &dyn Vfs, path: &Path, header: &SegmentHeader) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    read_segment_into(vfs, path, header, &mut bytes)?;
    Ok(bytes)
}

/// As [`read_segment`], in the place of what a buffer held: fresh memory costs as much as the reading.
pub(crate) fn read_segment_into(vfs: &dyn Vfs, path: &Path, header: &SegmentHeader, bytes: &mut Vec<u8>) -> Result<()> {
    let file = vfs.open(path, OpenMode::Read).map_err(Error::io("open", path))?;
    read_start_into(&*file, path, header.segment_len, bytes)?;
    if (bytes.len() as u64) < header.segment_len {
        let what = format!("the file has {} bytes, its header says {}", bytes.len(), header.segment_len);
        return Err(Error::corrupt(path, bytes.len() as u64, what));
    }
    Ok(())
}

/// A step of [`prepare`] that failed.
#[derive(Debug)]
pub(crate) enum PrepareError {
    /// Before the file had its name: nothing changed, it may be tried again.
    Before(Error),
    /// The directory could not be synchronised: nothing is known about the name.
    Sync(Error),
}

impl From<PrepareError> for Error {
    fn from(e: PrepareError) -> Self {
        match e {
            PrepareError::Before(e) | PrepareError::Sync(e) => e,
        }
    }
}

/// Makes a segment file of `len` zeros, begun with `header` if there is one, durable under the name of `number`. A file
/// of that name is replaced.
pub(crate) fn prepare(
    vfs: &dyn Vfs,
    dir: &Path,
    number: u64,
    len: u64,
    header: Option<&SegmentHeader>,
) -> std::result::Result<Spare, PrepareError> {
    let temporary = dir.join(TEMPORARY);
    let path = segment::path_of(dir, number);
    let made = write_zeros(vfs, &temporary, len, header)
        .and_then(|file| vfs.rename(&temporary, &path).map_err(Error::space("rename", &temporary)).map(|()| file));
    let file = match made {
        Ok(file) => file,
        Err(e) => {
            // Best effort: the next preparation removes it first.
            let _ = vfs.remove_file(&temporary);
            return Err(PrepareError::Before(e));
        }
    };
    vfs.sync_dir(dir).map_err(Error::io("synchronise", dir)).map_err(PrepareError::Sync)?;
    Ok(Spare { number, len, file })
}

fn write_zeros(vfs: &dyn Vfs, path: &Path, len: u64, header: Option<&SegmentHeader>) -> Result<Arc<dyn File>> {
    match vfs.remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(Error::io("remove", path)(e)),
        _ => {}
    }
    let file = vfs.open(path, OpenMode::CreateNew).map_err(Error::space("create", path))?;
    let mut piece = vec![0; PIECE.min(len as usize)];
    if let Some(header) = header {
        let encoded = header.encode();
        piece[..encoded.len()].copy_from_slice(&encoded);
    }
    let mut at = 0;
    while at < len {
        let n = piece.len().min((len - at) as usize);
        file.write_all_at(&piece[..n], at).map_err(Error::space("write", path))?;
        if at == 0 {
            piece[..n.min(RECORDS_START as usize)].fill(0);
        }
        at += n as u64;
    }
    file.sync_all().map_err(Error::space("synchronise", path))?;
    Ok(file)
}

/// Begins a prepared segment: writes its header, and zeros where its first record will stand, and synchronises both.
///
/// The zeros are for the eye of recovery only: old bytes of a recycled segment never verify, but they would look like a
/// dropped record.
pub(crate) fn begin(file: &dyn File, path: &Path, header: &SegmentHeader) -> Result<()> {
    let mut bytes = header.encode().to_vec();
    bytes.resize(RECORDS_START as usize + crate::record::HEADER_LEN, 0);
    write_identical(file, &bytes, 0).map_err(Error::io("write", path))?;
    file.sync_data().map_err(Error::io("synchronise", path))
}

/// Writes all of `bytes` at `offset`. What a short write left is repeated at its place; an error is answered by writing
/// the rest once more, identical bytes at the same offset, and given up if that fails too.
pub(crate) fn write_identical(file: &dyn File, bytes: &[u8], offset: u64) -> io::Result<()> {
    let mut done = 0;
    let mut retried = false;
    while done < bytes.len() {
        match file.write_at(&bytes[done..], offset + done as u64) {
            // A planted fault takes a short write for a whole one.
            Ok(n) if n > 0 => done += if mutant("wal.ignore-short-write") { bytes.len() } else { n },
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            _ if !retried => retried = true,
            Ok(_) => {
                return Err(io::Error::new(io::ErrorKind::WriteZero, "the file takes no more bytes"));
            }
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

/// Opens an existing segment file for writing.
pub(crate) fn open_rw(vfs: &dyn Vfs, dir: &Path, number: u64) -> Result<(Arc<dyn File>, PathBuf)> {
    let path = segment::path_of(dir, number);
    let file = vfs.open(&path, OpenMode::ReadWrite).map_err(Error::io("open", &path))?;
    Ok((file, path))
}
