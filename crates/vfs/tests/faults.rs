//! Injected faults strike at exactly their index, and do exactly what they say.

use halodb_vfs::sim::{CrashMode, Fault, Repeat};
use halodb_vfs::{File, FileExt, LockError, OpenMode, SimVfs, Vfs};
use std::io;
use std::path::Path;
use std::sync::Arc;

fn disk_with(bytes: &[u8]) -> (SimVfs, Arc<dyn File>) {
    let disk = SimVfs::new();
    disk.write_file("a", bytes).unwrap();
    let file = disk.open(Path::new("a"), OpenMode::ReadWrite).unwrap();
    (disk, file)
}

fn code<T>(result: io::Result<T>) -> Option<i32> {
    result.err().and_then(|e| e.raw_os_error())
}

/// One call of each kind, in a fixed order; the results as `errno`.
fn every_call(disk: &SimVfs, file: &Arc<dyn File>) -> Vec<Option<i32>> {
    let (a, b, d) = (Path::new("a"), Path::new("b"), Path::new("d"));
    vec![
        code(disk.open(b, OpenMode::Create)),
        code(file.read_at(&mut [0], 0)),
        code(file.write_at(b"x", 0)),
        code(file.set_len(1)),
        code(file.len()),
        code(file.sync_data()),
        code(file.sync_all()),
        code(file.map(4096)),
        code(disk.create_dir(d)),
        code(disk.read_dir(Path::new(""))),
        code(disk.kind(a)),
        code(disk.sync_dir(Path::new(""))),
        code(disk.rename(a, b)),
        code(disk.remove_file(b)),
        code(disk.remove_dir(d)),
        match disk.lock(Path::new("LOCK")) {
            Err(LockError::Io(e)) => e.raw_os_error(),
            Err(LockError::Held { .. }) => panic!("nobody holds it"),
            Ok(_) => None,
        },
    ]
}

#[test]
fn a_fault_strikes_the_call_with_its_number_and_no_other() {
    let (disk, file) = disk_with(b"x");
    let before = disk.calls();
    let count = every_call(&disk, &file).len();
    assert_eq!(disk.calls() - before, count as u64);
    for struck in 0..count {
        let (disk, file) = disk_with(b"x");
        disk.inject(struck as u64, Fault::Errno(libc::EDQUOT), Repeat::Once);
        let hits: Vec<usize> = every_call(&disk, &file)
            .iter()
            .enumerate()
            .filter_map(|(i, e)| (*e == Some(libc::EDQUOT)).then_some(i))
            .collect();
        assert_eq!(hits, [struck]);
        assert_eq!(disk.struck(), 1);
    }
}

#[test]
fn a_struck_call_does_nothing() {
    for struck in 0..16 {
        let (disk, file) = disk_with(b"x");
        let _ = every_call(&disk, &file);
        let without = disk.ops();
        let (disk, file) = disk_with(b"x");
        disk.inject(struck, Fault::Errno(libc::EIO), Repeat::Sticky);
        let _ = every_call(&disk, &file);
        assert!(disk.ops() <= without);
    }
    let (disk, file) = disk_with(b"x");
    disk.inject(0, Fault::Errno(libc::ENOSPC), Repeat::Once);
    let ops = disk.ops();
    assert_eq!(code(file.write_at(b"yyy", 0)), Some(libc::ENOSPC));
    assert_eq!((disk.ops(), disk.read_file("a").unwrap()), (ops, b"x".to_vec()));
}

#[test]
fn a_sticky_fault_stays_with_its_kind_until_healed() {
    let (disk, file) = disk_with(b"x");
    disk.inject(1, Fault::Errno(libc::ENOSPC), Repeat::Sticky);
    file.write_all_at(b"1", 0).unwrap();
    for _ in 0..3 {
        assert_eq!(code(file.write_at(b"2", 0)), Some(libc::ENOSPC));
        file.sync_data().unwrap();
        assert_eq!(file.read_at(&mut [0], 0).unwrap(), 1);
    }
    assert_eq!(disk.struck(), 3);
    disk.heal();
    file.write_all_at(b"3", 0).unwrap();
    assert_eq!(disk.struck(), 3);
}

#[test]
fn healing_forgets_faults_that_have_not_struck() {
    let (disk, file) = disk_with(b"x");
    disk.inject(0, Fault::Errno(libc::EIO), Repeat::Sticky);
    disk.heal();
    file.sync_data().unwrap();
    assert_eq!(disk.struck(), 0);
}

#[test]
fn short_transfers_move_a_part_and_whole_transfers_get_by() {
    for len in [2, 3, 511, 512, 4096, 8192] {
        let (disk, file) = disk_with(&vec![b'o'; len]);
        disk.inject(0, Fault::Short, Repeat::Once);
        let n = file.read_at(&mut vec![0; len], 0).unwrap();
        assert!(0 < n && n < len);
        disk.inject(0, Fault::Short, Repeat::Once);
        let n = file.write_at(&vec![b'n'; len], 0).unwrap();
        assert!(0 < n && n < len);
        assert_eq!(disk.read_file("a").unwrap().iter().filter(|b| **b == b'n').count(), n);
        disk.inject(0, Fault::Short, Repeat::Once);
        file.write_all_at(&vec![b'n'; len], 0).unwrap();
        assert_eq!(disk.read_file("a").unwrap(), vec![b'n'; len]);
    }
}

#[test]
fn sticky_short_transfers_end_in_an_error() {
    let (disk, file) = disk_with(&[0; 4096]);
    disk.inject(0, Fault::Short, Repeat::Sticky);
    let e = file.read_exact_at(&mut [0; 4096], 0).unwrap_err();
    assert_eq!(e.kind(), io::ErrorKind::UnexpectedEof);
    disk.heal();
    disk.inject(0, Fault::Short, Repeat::Sticky);
    let e = file.write_all_at(&[1; 4096], 0).unwrap_err();
    assert_eq!(e.kind(), io::ErrorKind::WriteZero);
}

fn survives(disk: &SimVfs, mode: CrashMode) -> Vec<u8> {
    disk.crash_image(disk.ops(), mode, 0).read_file("a").unwrap()
}

#[test]
fn after_an_ordinary_failure_the_next_sync_makes_the_writes_durable() {
    let (disk, file) = disk_with(b"o");
    file.write_all_at(b"n", 0).unwrap();
    disk.inject(0, Fault::Errno(libc::EIO), Repeat::Once);
    assert!(file.sync_data().is_err());
    assert_eq!(survives(&disk, CrashMode::Strict), b"o");
    file.sync_data().unwrap();
    assert_eq!(survives(&disk, CrashMode::Strict), b"n");
}

#[test]
fn after_a_sync_that_fails_clean_later_ones_succeed_and_save_nothing() {
    let (disk, file) = disk_with(b"o");
    file.write_all_at(b"n", 0).unwrap();
    disk.inject(0, Fault::SyncFailsClean, Repeat::Once);
    assert_eq!(code(file.sync_data()), Some(libc::EIO));
    file.sync_data().unwrap();
    file.sync_all().unwrap();
    assert_eq!(disk.read_file("a").unwrap(), b"n");
    assert_eq!(survives(&disk, CrashMode::Strict), b"o");
    assert_eq!(survives(&disk, CrashMode::Kept), b"n");
    // Either may be found, as nobody knows what the failed call has written.
    let found = |mode| -> std::collections::BTreeSet<_> {
        (0..100).map(|seed| disk.crash_image(disk.ops(), mode, seed).read_file("a").unwrap()).collect()
    };
    assert_eq!(found(CrashMode::Random).len(), 2);
    assert_eq!(found(CrashMode::Prefix).len(), 2);
    // Written again, it is durable.
    file.write_all_at(b"n", 0).unwrap();
    file.sync_data().unwrap();
    assert_eq!(survives(&disk, CrashMode::Strict), b"n");
}

#[test]
fn what_a_failed_sync_lost_stays_lost_in_the_sectors_that_are_not_written_again() {
    let (disk, file) = disk_with(&[b'o'; 1536]);
    file.write_all_at(&[b'n'; 1536], 0).unwrap();
    disk.inject(0, Fault::SyncFailsClean, Repeat::Once);
    assert!(file.sync_data().is_err());
    file.write_all_at(b"2", 600).unwrap();
    file.set_len(1400).unwrap();
    file.sync_data().unwrap();
    let mut expected = vec![b'o'; 512];
    expected.extend([b'n'; 512]);
    expected.extend([b'o'; 1400 - 1024]);
    expected[600] = b'2';
    assert_eq!(survives(&disk, CrashMode::Strict), expected);
    assert_eq!(survives(&disk, CrashMode::Kept), disk.read_file("a").unwrap());
}

#[test]
fn bytes_that_a_failed_sync_lost_do_not_come_back_after_a_cut() {
    let (disk, file) = disk_with(b"");
    file.write_all_at(&[b'n'; 2000], 0).unwrap();
    disk.inject(0, Fault::SyncFailsClean, Repeat::Once);
    assert!(file.sync_data().is_err());
    file.set_len(100).unwrap();
    file.set_len(2000).unwrap();
    file.sync_data().unwrap();
    let mut now = vec![b'n'; 100];
    now.resize(2000, 0);
    assert_eq!(survives(&disk, CrashMode::Kept), now);
    assert_eq!(survives(&disk, CrashMode::Strict), vec![0; 2000]);
}

#[test]
fn a_sync_that_lies_reports_success_and_an_honest_one_later_saves_everything() {
    let (disk, file) = disk_with(b"o");
    file.write_all_at(b"n", 0).unwrap();
    disk.inject(0, Fault::SyncLies, Repeat::Once);
    file.sync_data().unwrap();
    assert_eq!((disk.struck(), survives(&disk, CrashMode::Strict)), (1, b"o".to_vec()));
    file.sync_data().unwrap();
    assert_eq!(survives(&disk, CrashMode::Strict), b"n");
    // The same for names.
    disk.rename(Path::new("a"), Path::new("b")).unwrap();
    disk.inject(0, Fault::SyncLies, Repeat::Once);
    disk.sync_dir(Path::new("")).unwrap();
    assert_eq!(survives(&disk, CrashMode::Strict), b"n");
    disk.sync_dir(Path::new("")).unwrap();
    assert!(disk.crash_image(disk.ops(), CrashMode::Strict, 0).read_file("b").is_ok());
}
