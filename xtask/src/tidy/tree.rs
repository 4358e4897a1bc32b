//! [`Sources`]: the repository's files as a map from path to bytes, so that rules are pure and tests need no disk.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::process::Command;

/// The files that the rules look at. Paths are relative to the root and use `/`.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    files: BTreeMap<String, Vec<u8>>,
}

impl Sources {
    /// Reads the files below `root` that git tracks, or would track at the next `git add`. Where `root` is no git
    /// checkout (a source archive), every file counts that does not lie in `target` or in a hidden directory.
    ///
    /// # Errors
    /// Those of listing directories and reading files.
    pub fn read(root: &Path) -> io::Result<Sources> {
        let mut paths = Vec::new();
        if !git_files(root, &mut paths) {
            walk(root, "", &mut paths)?;
        }
        let mut files = BTreeMap::new();
        for path in paths {
            match std::fs::read(root.join(&path)) {
                Ok(bytes) => drop(files.insert(path, bytes)),
                // Tracked, but removed in the working tree: the next commit will not have it.
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                Err(e) => return Err(io::Error::new(e.kind(), format!("cannot read {path}: {e}"))),
            }
        }
        Ok(Sources { files })
    }

    /// Sources made up in memory.
    pub fn planted(files: &[(&str, &str)]) -> Sources {
        let files = files.iter().map(|(path, text)| ((*path).to_owned(), text.as_bytes().to_vec())).collect();
        Sources { files }
    }

    /// The text of one file; `None` if it is not there or is not UTF-8.
    pub fn text(&self, path: &str) -> Option<&str> {
        std::str::from_utf8(self.files.get(path)?).ok()
    }

    /// Whether `path` is a file, or a directory that holds one.
    pub fn exists(&self, path: &str) -> bool {
        if path.is_empty() || self.files.contains_key(path) {
            return true;
        }
        let dir = format!("{}/", path.trim_end_matches('/'));
        self.files.range(dir.clone()..).next().is_some_and(|(first, _)| first.starts_with(&dir))
    }

    /// All text files in order of path.
    pub fn texts(&self) -> impl Iterator<Item = (&str, &str)> {
        self.files.iter().filter_map(|(path, bytes)| Some((path.as_str(), std::str::from_utf8(bytes).ok()?)))
    }

    /// The Rust files of the workspace's packages.
    pub fn rust(&self) -> impl Iterator<Item = (&str, &str)> {
        self.texts().filter(|(path, _)| {
            path.ends_with(".rs") && ["crates/", "xtask/", "benches/"].iter().any(|dir| path.starts_with(dir))
        })
    }

    /// The Markdown files.
    pub fn markdown(&self) -> impl Iterator<Item = (&str, &str)> {
        self.texts().filter(|(path, _)| path.ends_with(".md"))
    }

    /// The folders directly below `crates/`, by their short names.
    pub fn crates(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self
            .files
            .keys()
            .filter_map(|p| p.strip_prefix("crates/")?.split_once('/'))
            .map(|(name, _)| name)
            .collect();
        names.dedup();
        names
    }
}

fn git_files(root: &Path, paths: &mut Vec<String>) -> bool {
    let listed = Command::new("git")
        .current_dir(root)
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .output();
    let Ok(listed) = listed else { return false };
    if !listed.status.success() {
        return false;
    }
    let text = String::from_utf8_lossy(&listed.stdout);
    paths.extend(text.split('\0').filter(|p| !p.is_empty()).map(str::to_owned));
    !paths.is_empty()
}

fn walk(root: &Path, below: &str, paths: &mut Vec<String>) -> io::Result<()> {
    for entry in std::fs::read_dir(root.join(below))? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = if below.is_empty() { name.clone() } else { format!("{below}/{name}") };
        if entry.file_type()?.is_dir() {
            if name != "target" && name != ".git" {
                walk(root, &path, paths)?;
            }
        } else {
            paths.push(path);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_exists_when_a_file_lies_in_it() {
        let sources = Sources::planted(&[("docs/a.md", ""), ("docs-old", "")]);
        assert!(sources.exists("docs"));
        assert!(sources.exists("docs/"));
        assert!(sources.exists("docs/a.md"));
        assert!(!sources.exists("doc"));
        assert!(!sources.exists("docs/b.md"));
    }

    #[test]
    fn without_git_every_file_outside_target_is_read() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("target/debug")).unwrap();
        std::fs::create_dir_all(dir.path().join("docs")).unwrap();
        std::fs::write(dir.path().join("target/debug/x.md"), "no").unwrap();
        std::fs::write(dir.path().join("docs/x.md"), "yes").unwrap();
        let mut paths = Vec::new();
        walk(dir.path(), "", &mut paths).unwrap();
        assert_eq!(paths, ["docs/x.md"]);
    }
}
