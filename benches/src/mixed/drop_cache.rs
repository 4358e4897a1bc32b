//! Drops files from the page cache, so that whoever reads them next pays for it, and is charged for the memory.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::path::Path;

/// Drops every file below `dir`. Pages that were not written yet are written first.
#[expect(unsafe_code, reason = "the standard library cannot advise the system about a file")]
pub(super) fn drop_cache(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            drop_cache(&entry.path())?;
        } else if entry.file_type()?.is_file() {
            let file = File::open(entry.path())?;
            file.sync_all()?;
            // SAFETY: the descriptor is open for the whole call, which reads and writes no memory of this process.
            let code = unsafe { libc::posix_fadvise(file.as_raw_fd(), 0, 0, libc::POSIX_FADV_DONTNEED) };
            if code != 0 {
                return Err(io::Error::from_raw_os_error(code));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_all_levels_can_be_dropped_and_read_again() {
        let dir = tempfile::tempdir().expect("a directory");
        fs::create_dir(dir.path().join("inner")).expect("a directory");
        fs::write(dir.path().join("inner/file"), [7; 9_000]).expect("a file");
        drop_cache(dir.path()).expect("dropped");
        assert_eq!(fs::read(dir.path().join("inner/file")).expect("a file"), [7; 9_000]);
    }
}
