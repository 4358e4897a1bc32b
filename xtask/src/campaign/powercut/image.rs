//! [`Image`] and [`Mounted`]: a file system in a file, and its mount that can lose power.

use super::lab::{Lab, run};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

/// A file system and how it is mounted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileSystem {
    /// ext4 as it is by default: data before the metadata that point to it.
    Ext4,
    /// ext4 that orders nothing.
    Ext4Writeback,
    /// ext4 that journals data, too.
    Ext4Journal,
    /// XFS as it is by default.
    Xfs,
}

impl FileSystem {
    /// All of them.
    pub const ALL: [FileSystem; 4] =
        [FileSystem::Ext4, FileSystem::Ext4Writeback, FileSystem::Ext4Journal, FileSystem::Xfs];

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            FileSystem::Ext4 => "ext4",
            FileSystem::Ext4Writeback => "ext4-writeback",
            FileSystem::Ext4Journal => "ext4-journal",
            FileSystem::Xfs => "xfs",
        }
    }

    /// The name of the campaign on it.
    pub(super) fn campaign(self) -> &'static str {
        match self {
            FileSystem::Ext4 => "powercut ext4",
            FileSystem::Ext4Writeback => "powercut ext4-writeback",
            FileSystem::Ext4Journal => "powercut ext4-journal",
            FileSystem::Xfs => "powercut xfs",
        }
    }

    /// The program that makes it.
    pub(super) fn mkfs(self) -> &'static str {
        if self == FileSystem::Xfs { "mkfs.xfs" } else { "mkfs.ext4" }
    }

    fn options(self) -> &'static str {
        match self {
            FileSystem::Ext4 => "loop,data=ordered",
            FileSystem::Ext4Writeback => "loop,data=writeback",
            FileSystem::Ext4Journal => "loop,data=journal",
            FileSystem::Xfs => "loop",
        }
    }

    /// XFS refuses to be smaller than 300 MB. The file is sparse.
    fn len_bytes(self) -> u64 {
        if self == FileSystem::Xfs { 320 << 20 } else { 96 << 20 }
    }
}

/// Some of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileSystems(pub Vec<FileSystem>);

impl FromStr for FileSystems {
    type Err = String;

    fn from_str(text: &str) -> Result<FileSystems, String> {
        let chosen = FileSystem::ALL.into_iter().filter(|fs| text == "all" || text == fs.name()).collect::<Vec<_>>();
        let names = || FileSystem::ALL.map(FileSystem::name).join(", ");
        if chosen.is_empty() { Err(format!("choose one of {}, or all", names())) } else { Ok(FileSystems(chosen)) }
    }
}

/// A formatted image in a directory of its own, which goes with it.
#[derive(Debug)]
pub(super) struct Image {
    place: PathBuf,
    fs: FileSystem,
}

impl Image {
    /// Makes and formats it.
    pub(super) fn new(lab: &Lab, name: &str, fs: FileSystem) -> Result<Image, String> {
        let place = lab.path().join(name);
        let image = Image { place, fs };
        let cannot = |e: std::io::Error| format!("cannot make {}: {e}", image.file().display());
        std::fs::create_dir_all(image.mount_point()).map_err(cannot)?;
        let file = std::fs::File::create(image.file()).map_err(cannot)?;
        file.set_len(fs.len_bytes()).map_err(cannot)?;
        run(fs.mkfs(), &["-q".as_ref(), image.file().as_ref()])?;
        Ok(image)
    }

    /// The directory around it.
    pub(super) fn place(&self) -> &Path {
        &self.place
    }

    fn file(&self) -> PathBuf {
        self.place.join("image")
    }

    fn mount_point(&self) -> PathBuf {
        self.place.join("mount")
    }

    /// Mounts it, which replays its journal if the power had gone.
    pub(super) fn mount(&self) -> Result<Mounted, String> {
        let point = self.mount_point();
        run("mount", &["-o".as_ref(), self.fs.options().as_ref(), self.file().as_ref(), point.as_ref()])?;
        Ok(Mounted { point: Some(point) })
    }

    /// Whether it can be mounted at all.
    pub(super) fn try_mount(&self) -> Result<(), String> {
        self.mount()?.unmount()
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        // What cannot be removed is left to the janitor.
        let _ = std::fs::remove_dir_all(&self.place);
    }
}

/// A mounted image.
#[derive(Debug)]
pub(super) struct Mounted {
    point: Option<PathBuf>,
}

impl Mounted {
    /// The root of the file system.
    pub(super) fn path(&self) -> &Path {
        self.point.as_deref().unwrap_or(Path::new(""))
    }

    /// The power goes: nothing reaches the image any more, the journal neither.
    pub(super) fn cut_power(&self) -> Result<(), String> {
        // -x: also for file systems that are not XFS. Without -f the log is not flushed.
        run("xfs_io", &["-x".as_ref(), "-c".as_ref(), "shutdown".as_ref(), self.path().as_ref()])
    }

    /// Unmounts it, and frees the loop device.
    pub(super) fn unmount(mut self) -> Result<(), String> {
        self.point.take().map_or(Ok(()), |point| unmount(&point))
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        if let Some(point) = self.point.take() {
            // Only after a failure, which is told; the janitor tries again.
            let _ = unmount(&point);
        }
    }
}

/// Unmounts, with some patience: the kernel lets go of a killed process's files a little later.
pub(super) fn unmount(point: &Path) -> Result<(), String> {
    let mut outcome = Ok(());
    for _ in 0..50 {
        outcome = run("umount", &[point.as_ref()]);
        if outcome.is_ok() {
            break;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_system_is_chosen_by_its_name() {
        for fs in FileSystem::ALL {
            assert_eq!(fs.name().parse(), Ok(FileSystems(vec![fs])));
        }
        assert_eq!("all".parse(), Ok(FileSystems(FileSystem::ALL.to_vec())));
        assert!("btrfs".parse::<FileSystems>().is_err());
    }
}
