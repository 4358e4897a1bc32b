//! [`Lab`]: the directory in which images live, what must be installed, and cleaning up after any end.
//!
//! Mounts outlive the process that made them. So a *janitor*, a second process in a group of its own, waits for the end
//! of a pipe that only the campaign holds: it ends when the campaign does, however it does (Ctrl-C, a panic, SIGKILL).
//! Then the janitor unmounts what is mounted inside the directory and removes it. What a janitor could not clean up, a
//! later campaign does.

use super::image::{self, FileSystem};
use std::ffi::OsStr;
use std::io::Read;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Directories are called this, the process id of their campaign, and something random.
const PREFIX: &str = "halodb-powercut-";

/// What this machine or user lacks, as a sentence with the remedy; `None` if a campaign can be tried.
pub fn missing(fs: FileSystem) -> Option<String> {
    let is_there = |program: &str| {
        Command::new(program).arg("-V").stdin(Stdio::null()).output().is_ok_and(|output| output.status.success())
    };
    if !cfg!(target_os = "linux") {
        return Some("Linux is needed, its loop devices and shutdown ioctl".to_owned());
    }
    if !is_root() {
        return Some("the rights to mount are missing; run it as root: sudo -E cargo xtask powercut".to_owned());
    }
    let tools = [("xfs_io", "xfsprogs"), ("mount", "mount"), ("umount", "mount")];
    let mkfs = (fs.mkfs(), if fs == FileSystem::Xfs { "xfsprogs" } else { "e2fsprogs" });
    let lacking = tools.iter().chain([&mkfs]).find(|(program, _)| !is_there(program));
    if let Some((program, package)) = lacking {
        return Some(format!(
            "the program {program} is missing; it is in the package {package}: apt-get install {package}"
        ));
    }
    let has_loop = Path::new("/dev/loop-control").exists();
    (!has_loop).then(|| "there is no /dev/loop-control; load the module: modprobe loop".to_owned())
}

fn is_root() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let effective = status.lines().find_map(|line| line.strip_prefix("Uid:")?.split_whitespace().nth(1));
    effective == Some("0")
}

/// Runs a program that says something only when it fails.
pub(super) fn run(program: &str, args: &[&OsStr]) -> Result<(), String> {
    let command = || {
        let words = args.iter().map(|arg| arg.to_string_lossy());
        [program.into()].into_iter().chain(words).collect::<Vec<_>>().join(" ")
    };
    let output = Command::new(program)
        .args(args)
        .stdin(Stdio::null())
        .output()
        .map_err(|e| format!("cannot run {}: {e}", command()))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{}: {}: {}", command(), output.status, String::from_utf8_lossy(&output.stderr).trim()))
}

/// A directory for images, and the process that will clean it up.
#[derive(Debug)]
pub(super) struct Lab {
    path: PathBuf,
    janitor: Child,
}

impl Lab {
    /// Cleans up after campaigns that are gone, and makes a directory.
    pub(super) fn new(program: &Path) -> Result<Lab, String> {
        let around = std::env::temp_dir();
        for left in leftovers(&around)? {
            eprintln!("powercut: cleaning up after an earlier run: {}", left.display());
            clean(&left)?;
        }
        let cannot = |e: std::io::Error| format!("cannot make a directory: {e}");
        let prefix = format!("{PREFIX}{}-", std::process::id());
        let path = tempfile::Builder::new().prefix(&prefix).tempdir_in(&around).map_err(cannot)?.keep();
        let janitor = Command::new(program)
            .arg("powercut-janitor")
            .arg(&path)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .process_group(0)
            .spawn()
            .map_err(|e| format!("cannot start {}: {e}", program.display()))?;
        Ok(Lab { path, janitor })
    }

    /// The directory.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        drop(self.janitor.stdin.take());
        if !self.janitor.wait().is_ok_and(|status| status.success()) {
            eprintln!("powercut: {} could not be cleaned up", self.path.display());
        }
    }
}

/// The process that cleans up: waits for the end of its input, then for the children of the campaign to let go.
///
/// # Errors
/// What could not be removed.
pub fn janitor(path: &Path) -> Result<(), String> {
    if owner(path).is_none() {
        return Err(format!("{} is no directory of a powercut campaign", path.display()));
    }
    // An error is an end as well.
    let _ = std::io::stdin().lock().read_to_end(&mut Vec::new());
    clean(path)
}

/// Unmounts everything inside, then removes it. Tries again for some seconds: a process of the campaign may outlive it for
/// a moment, and one of them may be a `mount`.
fn clean(path: &Path) -> Result<(), String> {
    let mut outcome = Ok(());
    for _ in 0..40 {
        outcome = clean_once(path);
        if outcome.is_ok() {
            break;
        }
        std::thread::sleep(Duration::from_millis(250));
    }
    outcome
}

fn clean_once(path: &Path) -> Result<(), String> {
    for point in mounts_inside(path)? {
        if image::unmount(&point).is_err() {
            // Something still uses it. Out of sight now, gone when the last user is.
            run("umount", &["--lazy".as_ref(), point.as_ref()])?;
        }
    }
    match std::fs::remove_dir_all(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(format!("cannot remove {}: {e}", path.display())),
        _ => Ok(()),
    }
}

/// Mount points inside a directory, the last mounted first.
fn mounts_inside(path: &Path) -> Result<Vec<PathBuf>, String> {
    let text = std::fs::read_to_string("/proc/mounts").map_err(|e| format!("cannot read /proc/mounts: {e}"))?;
    let points = text.lines().filter_map(|line| line.split(' ').nth(1)).map(PathBuf::from);
    let mut inside: Vec<PathBuf> = points.filter(|point| point.starts_with(path)).collect();
    inside.reverse();
    Ok(inside)
}

/// Directories of campaigns whose process is gone.
fn leftovers(around: &Path) -> Result<Vec<PathBuf>, String> {
    let entries = std::fs::read_dir(around).map_err(|e| format!("cannot read {}: {e}", around.display()))?;
    let paths = entries.flatten().map(|entry| entry.path());
    let is_gone = |path: &PathBuf| owner(path).is_some_and(|pid| !Path::new("/proc").join(pid.to_string()).exists());
    Ok(paths.filter(is_gone).collect())
}

/// The process id in a directory's name.
fn owner(path: &Path) -> Option<u32> {
    path.file_name()?.to_str()?.strip_prefix(PREFIX)?.split_once('-')?.0.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_directories_of_campaigns_have_an_owner() {
        assert_eq!(owner(Path::new("/tmp/halodb-powercut-123-abc")), Some(123));
        for name in ["/tmp", "/", "/tmp/halodb-powercut-abc", "/tmp/halodb-powercut-x-abc", "/tmp/other-1-2"] {
            assert_eq!(owner(Path::new(name)), None, "{name}");
        }
    }

    #[test]
    fn a_directory_of_a_living_campaign_is_left_alone() {
        let around = tempfile::tempdir().unwrap();
        let make = |pid: u32| {
            let path = around.path().join(format!("{PREFIX}{pid}-x"));
            std::fs::create_dir(&path).unwrap();
            path
        };
        make(std::process::id());
        let gone = make(u32::MAX);
        assert_eq!(leftovers(around.path()).unwrap(), [gone]);
    }

    #[test]
    fn a_failing_program_is_quoted() {
        let what = run("ls", &["/does/not/exist".as_ref()]).unwrap_err();
        assert!(what.starts_with("ls /does/not/exist: exit status: ") && what.contains("No such file"), "{what}");
        assert!(run("no-such-program", &[]).unwrap_err().contains("cannot run"));
    }
}
