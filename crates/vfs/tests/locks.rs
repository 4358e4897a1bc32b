//! Locks: one holder at a time, whoever asks; released by dropping and by death.

use halodb_vfs::{Lock, LockError, OsVfs, SimVfs, Vfs};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

const CHILD_LOCKS: &str = "HALODB_VFS_TEST_LOCK";

fn holder(result: Result<Lock, LockError>) -> Option<u32> {
    match result {
        Err(LockError::Held { pid }) => pid,
        other => panic!("expected it to be held: {other:?}"),
    }
}

fn check_one_process(vfs: &dyn Vfs, path: &Path) {
    let own = std::process::id();
    let lock = vfs.lock(path).unwrap();
    assert_eq!(holder(vfs.lock(path)), Some(own));
    assert_eq!(holder(vfs.lock(path)), Some(own), "asking released it");
    drop(lock);
    drop(vfs.lock(path).unwrap());
    // The file stays, and states who was last.
    let file = vfs.open(path, halodb_vfs::OpenMode::Read).unwrap();
    let mut line = [0; 32];
    let n = file.read_at(&mut line, 0).unwrap();
    assert_eq!(std::str::from_utf8(&line[..n]).unwrap(), format!("{own}\n"));
}

#[test]
fn a_second_lock_in_the_same_process_is_refused_with_its_own_pid() {
    let dir = tempfile::tempdir().unwrap();
    check_one_process(&OsVfs, &dir.path().join("LOCK"));
    check_one_process(&SimVfs::new(), Path::new("LOCK"));
}

#[test]
fn another_name_of_the_same_file_is_the_same_lock() {
    let dir = tempfile::tempdir().unwrap();
    let (a, b) = (dir.path().join("a"), dir.path().join("b"));
    let _lock = OsVfs.lock(&a).unwrap();
    std::fs::hard_link(&a, &b).unwrap();
    assert_eq!(holder(OsVfs.lock(&b)), Some(std::process::id()));
}

#[test]
fn different_files_are_different_locks() {
    let dir = tempfile::tempdir().unwrap();
    let _a = OsVfs.lock(&dir.path().join("a")).unwrap();
    let _b = OsVfs.lock(&dir.path().join("b")).unwrap();
}

#[test]
fn a_left_over_lock_file_means_nothing_whatever_it_says() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("LOCK");
    for contents in ["", "1\n", "no number at all, and rather long", "\u{fe}"] {
        std::fs::write(&path, contents).unwrap();
        drop(OsVfs.lock(&path).unwrap());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), format!("{}\n", std::process::id()));
    }
}

#[test]
fn what_cannot_be_opened_is_an_io_error_and_locks_nothing() {
    let dir = tempfile::tempdir().unwrap();
    for path in [dir.path().to_path_buf(), dir.path().join("missing/LOCK")] {
        assert!(matches!(OsVfs.lock(&path), Err(LockError::Io(_))));
    }
    let sim = SimVfs::new();
    for path in ["", "missing/LOCK"] {
        assert!(matches!(sim.lock(Path::new(path)), Err(LockError::Io(_))));
    }
}

/// Not a test of its own: what the child process of the next tests does.
#[test]
fn child_that_locks() {
    let Some(path) = std::env::var_os(CHILD_LOCKS) else {
        return;
    };
    let _lock = OsVfs.lock(Path::new(&path)).unwrap();
    println!("\nlocked");
    // Until the parent kills this process or closes the pipe.
    let _ = std::io::stdin().lines().count();
}

fn spawn_holder(path: &Path) -> Child {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["child_that_locks", "--exact", "--nocapture"])
        .env(CHILD_LOCKS, path)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let output = BufReader::new(child.stdout.take().unwrap());
    let locked = output.lines().map_while(Result::ok).any(|line| line == "locked");
    assert!(locked, "the child did not lock");
    child
}

#[test]
fn a_lock_of_another_process_is_refused_with_that_process_id_and_ends_with_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("LOCK");
    let mut child = spawn_holder(&path);
    assert_eq!(holder(OsVfs.lock(&path)), Some(child.id()));
    child.kill().unwrap();
    child.wait().unwrap();
    drop(OsVfs.lock(&path).unwrap());
}

#[test]
fn a_holder_whose_file_says_nothing_sensible_is_still_a_holder() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("LOCK");
    let mut child = spawn_holder(&path);
    for contents in ["", "nobody", "-1\n", "99999999999999999999\n"] {
        std::fs::write(&path, contents).unwrap();
        assert_eq!(holder(OsVfs.lock(&path)), None);
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn an_error_says_who_holds_the_lock_and_keeps_its_source() {
    let held = LockError::Held { pid: Some(42) };
    assert_eq!(held.to_string(), "held by process 42");
    let io = LockError::from(std::io::Error::from_raw_os_error(libc::EROFS));
    assert!(std::error::Error::source(&io).is_some());
}
