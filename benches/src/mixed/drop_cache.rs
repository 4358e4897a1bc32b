//! Drops files from the page cache, so that whoever reads them next pays for it, and is charged for the memory.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use rustix::fs::{Advice, fadvise};

/// Drops every file below `dir`. Pages that were not written yet are written first.
pub(super) fn drop_cache(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            drop_cache(&entry.path())?;
        } else if entry.file_type()?.is_file() {
            let file = File::open(entry.path())?;
            file.sync_all()?;
            fadvise(&file, 0, None, Advice::DontNeed)?;
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
