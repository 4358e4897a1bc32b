//! A limit on the memory of one process, page cache included: a control group of its own (version 2).
//!
//! The group is made beside the group of this process, or in it, wherever the memory controller is already handed down
//! (`cgroup.subtree_control`); nothing that exists is changed. It is removed when it is dropped, and what a killed run
//! left behind is removed by the next one: the system removes only groups without processes.
//!
//! Where this is not possible the reason is returned as text, for a row that is skipped visibly.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Names of our groups begin so.
const PREFIX: &str = "halodb-bench-";

/// Where control groups of version 2 are found: alone, and beside those of version 1.
const MOUNTS: [&str; 2] = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"];

/// A control group with a limit.
#[derive(Debug)]
pub(super) struct Group {
    dir: PathBuf,
}

impl Group {
    /// A group whose processes may have `limit_bytes` of memory, and no swap.
    ///
    /// # Errors
    ///
    /// Why this machine or this user cannot have one.
    pub(super) fn new(limit_bytes: u64) -> Result<Group, String> {
        let own =
            fs::read_to_string("/proc/self/cgroup").map_err(|e| format!("/proc/self/cgroup cannot be read: {e}"))?;
        let mount = MOUNTS.iter().map(Path::new).find(|mount| mount.join("cgroup.controllers").exists());
        let mount = mount.ok_or("control groups of version 2 are not mounted")?;
        Group::beside(mount, &own, limit_bytes)
    }

    /// `own` is the text of `/proc/self/cgroup`.
    fn beside(mount: &Path, own: &str, limit_bytes: u64) -> Result<Group, String> {
        let path = own.lines().find_map(|line| line.strip_prefix("0::/"));
        let path = path.ok_or("this process is in no control group of version 2")?;
        let own = mount.join(path);
        let parent =
            own.ancestors().take_while(|dir| dir.starts_with(mount)).take(2).find(|dir| hands_memory_down(dir));
        let parent = parent.ok_or_else(|| {
            format!("the memory controller is not handed down to children of {} or of its parent", own.display())
        })?;
        remove_left_behind(parent);
        let dir = parent.join(format!("{PREFIX}{}", std::process::id()));
        fs::create_dir(&dir).map_err(|e| format!("no control group can be made in {}: {e}", parent.display()))?;
        let group = Group { dir };
        group.set("memory.max", limit_bytes)?;
        // Kernels without swap accounting have no such file; then there is nothing to forbid.
        if group.dir.join("memory.swap.max").exists() {
            group.set("memory.swap.max", 0)?;
        }
        Ok(group)
    }

    /// The file that takes the number of a process to put it into this group.
    pub(super) fn processes(&self) -> PathBuf {
        self.dir.join("cgroup.procs")
    }

    fn set(&self, file: &str, value: u64) -> Result<(), String> {
        let file = self.dir.join(file);
        fs::write(&file, value.to_string()).map_err(|e| format!("{} cannot be set: {e}", file.display()))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // If a process is still in it, the next run removes it.
        let _ = fs::remove_dir(&self.dir);
    }
}

/// Puts this process into the group whose `processes` file is given.
pub(super) fn join(processes: &Path) -> io::Result<()> {
    fs::write(processes, std::process::id().to_string())
}

fn hands_memory_down(dir: &Path) -> bool {
    fs::read_to_string(dir.join("cgroup.subtree_control"))
        .is_ok_and(|list| list.split_whitespace().any(|c| c == "memory"))
}

/// Removes the groups of runs that were killed.
fn remove_left_behind(parent: &Path) {
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(PREFIX) {
            // A group in use refuses.
            let _ = fs::remove_dir(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A directory like a mounted hierarchy, with one group `slice/own`; `memory` names who hands memory down.
    fn hierarchy(memory: &str) -> tempfile::TempDir {
        let mount = tempfile::tempdir().expect("a directory");
        for dir in ["", "slice", "slice/own"] {
            fs::create_dir_all(mount.path().join(dir)).expect("a group");
            let list = if dir == memory { "cpu memory\n" } else { "cpu\n" };
            fs::write(mount.path().join(dir).join("cgroup.subtree_control"), list).expect("a file");
        }
        mount
    }

    #[test]
    fn the_group_is_made_beside_the_own_one_with_its_limit() {
        let mount = hierarchy("slice");
        let group = Group::beside(mount.path(), "1:name=x:/\n0::/slice/own\n", 1 << 25).expect("a group");
        assert_eq!(group.dir.parent(), Some(mount.path().join("slice").as_path()));
        assert_eq!(fs::read_to_string(group.dir.join("memory.max")).expect("a limit"), (1 << 25).to_string());
        join(&group.processes()).expect("a process that joins");
        assert_eq!(fs::read_to_string(group.processes()).expect("a list"), std::process::id().to_string());
    }

    #[test]
    fn no_group_is_made_where_memory_is_not_handed_down() {
        for memory in ["", "nobody"] {
            let mount = hierarchy(memory);
            let refused = Group::beside(mount.path(), "0::/slice/own\n", 1 << 25).expect_err("no memory controller");
            assert!(refused.contains("memory controller"), "{refused}");
        }
        let refused = Group::beside(hierarchy("slice").path(), "4:memory:/slice/own\n", 1 << 25);
        assert!(refused.is_err_and(|why| why.contains("version 2")));
    }

    #[test]
    fn groups_left_behind_are_removed_and_others_stay() {
        let mount = hierarchy("slice");
        fs::create_dir(mount.path().join("slice/halodb-bench-1")).expect("a group left behind");
        let group = Group::beside(mount.path(), "0::/slice/own", 1).expect("a group");
        assert!(!mount.path().join("slice/halodb-bench-1").exists());
        assert!(mount.path().join("slice/own").exists());
        drop(group);
    }
}
