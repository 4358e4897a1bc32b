//! What the real file system answers where the systems differ, or where one would not expect it.

use halodb_vfs::{EntryKind, FileExt, OpenMode, OsVfs, Vfs};
use std::os::unix::fs::symlink;
use std::path::Path;

#[test]
fn a_listing_is_sorted_and_names_links_as_other() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["b", "a", "c"] {
        OsVfs.open(&dir.path().join(name), OpenMode::CreateNew).unwrap();
    }
    OsVfs.create_dir(&dir.path().join("d")).unwrap();
    symlink("a", dir.path().join("link")).unwrap();
    symlink("nowhere", dir.path().join("dangling")).unwrap();
    let entries = OsVfs.read_dir(dir.path()).unwrap();
    let found: Vec<_> = entries.iter().map(|e| (e.name.as_str(), e.kind)).collect();
    use EntryKind::{Dir, File, Other};
    assert_eq!(found, [("a", File), ("b", File), ("c", File), ("d", Dir), ("dangling", Other), ("link", Other)]);
}

#[test]
fn the_kind_of_a_path_follows_links() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    OsVfs.create_dir(&at("d")).unwrap();
    symlink("d", at("link")).unwrap();
    symlink("nowhere", at("dangling")).unwrap();
    assert_eq!(OsVfs.kind(&at("link")).unwrap(), Some(EntryKind::Dir));
    assert_eq!(OsVfs.kind(&at("dangling")).unwrap(), None);
    assert_eq!(OsVfs.kind(Path::new("/dev/null")).unwrap(), Some(EntryKind::Other));
}

#[test]
fn the_empty_path_is_the_current_directory() {
    assert_eq!(OsVfs.kind(Path::new("")).unwrap(), Some(EntryKind::Dir));
    OsVfs.sync_dir(Path::new("")).unwrap();
    assert_eq!(OsVfs.read_dir(Path::new("")).unwrap(), OsVfs.read_dir(Path::new(".")).unwrap());
}

#[test]
fn synchronising_a_file_as_a_directory_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("f");
    OsVfs.open(&path, OpenMode::CreateNew).unwrap();
    assert_eq!(OsVfs.sync_dir(&path).unwrap_err().raw_os_error(), Some(libc::ENOTDIR));
}

#[test]
fn create_keeps_what_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("f");
    OsVfs.open(&path, OpenMode::CreateNew).unwrap().write_all_at(b"kept", 0).unwrap();
    let file = OsVfs.open(&path, OpenMode::Create).unwrap();
    assert_eq!((file.len().unwrap(), file.is_empty().unwrap()), (4, false));
}
