//! [`Scratch`]: the directory in which is measured, and the file by which the bare disk is.

use crate::failure::{Failure, Result};
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Bytes of the block that is written over and over.
const BLOCK: usize = 4096;

/// A directory that is removed with everything in it.
pub(super) struct Scratch {
    path: PathBuf,
    removed: bool,
}

impl Scratch {
    /// Makes a directory of a new name in `parent`.
    pub(super) fn make(parent: &Path) -> Result<Self> {
        let path = parent.join(format!("halodb-bench-{}", std::process::id()));
        fs::create_dir(&path).map_err(|error| Failure::file("create", &path, &error))?;
        Ok(Scratch { path, removed: false })
    }

    /// The directory.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// A file of one block, written and synchronised: writing it again changes no length.
    pub(super) fn block_file(&self) -> Result<File> {
        let path = self.path.join("block");
        let made = File::create_new(&path).and_then(|file| {
            file.write_all_at(&[1; BLOCK], 0)?;
            file.sync_all()?;
            Ok(file)
        });
        made.map_err(|error| Failure::file("write", &path, &error))
    }

    /// Removes it and says so if that fails.
    pub(super) fn remove(mut self) -> Result<()> {
        self.removed = true;
        fs::remove_dir_all(&self.path).map_err(|error| Failure::file("remove", &self.path, &error))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if !self.removed {
            // After a panic: what cannot be removed is left, and its name says what it is.
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

/// Writes the block once more and waits until the disk has it.
pub(super) fn synchronise(file: &File, number: u64) -> Result<()> {
    let written = file.write_all_at(&[number as u8; BLOCK], 0).and_then(|()| file.sync_data());
    written.map_err(|error| Failure::stream("synchronise a block", &error))
}
