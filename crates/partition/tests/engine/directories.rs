//! Directories: what is created, what is refused, who holds the lock.

use crate::*;
use halodb_partition::{Create, ErrorKind};
use halodb_vfs::Vfs;
use halodb_vfs::sim::CrashMode;

fn refusal(disk: &SimVfs, options: Options) -> (ErrorKind, String) {
    let e = try_open(disk, options).expect_err("refused");
    (e.kind(), e.to_string())
}

#[test]
fn a_second_open_is_refused_with_the_holder() {
    let disk = SimVfs::new();
    let set = open(&disk);
    let e = try_open(&disk, tiny()).unwrap_err();
    assert_eq!((e.kind(), e.holder()), (ErrorKind::Locked, Some(std::process::id())));
    drop(set);
    open(&disk);
}

#[test]
fn what_was_fixed_at_creation_is_refused_with_both_values() {
    let disk = SimVfs::new();
    drop(open(&disk));
    let mut options = tiny();
    options.partitions = Some(5);
    let (kind, message) = refusal(&disk, options);
    assert_eq!(kind, ErrorKind::Config);
    assert!(message.contains("partitions is 2") && message.contains('5'), "{message}");
    let mut options = tiny();
    options.page_size = Some(8192);
    let (kind, message) = refusal(&disk, options);
    assert_eq!(kind, ErrorKind::Config);
    assert!(message.contains("4096") && message.contains("8192"), "{message}");
}

#[test]
fn without_leave_to_create_a_missing_database_is_not_found_and_nothing_appears() {
    let disk = SimVfs::new();
    let mut options = tiny();
    options.create = Create::Never;
    assert_eq!(refusal(&disk, options.clone()).0, ErrorKind::NotFound);
    assert_eq!(disk.kind(Path::new(DIR)).unwrap(), None);
    disk.create_dir(Path::new(DIR)).unwrap();
    assert_eq!(refusal(&disk, options).0, ErrorKind::NotFound);
    assert!(disk.read_dir(Path::new(DIR)).unwrap().is_empty());
}

#[test]
fn a_directory_with_other_files_is_no_database_and_stays_as_it_is() {
    let disk = SimVfs::new();
    disk.create_dir(Path::new(DIR)).unwrap();
    disk.write_file(Path::new("db/letter.txt"), b"dear").unwrap();
    let (kind, message) = refusal(&disk, tiny());
    assert_eq!(kind, ErrorKind::NotADatabase);
    assert!(message.contains("letter.txt"), "{message}");
    assert_eq!(disk.read_dir(Path::new(DIR)).unwrap().len(), 1);
}

#[test]
fn folders_that_only_look_like_ours_are_left_alone() {
    let disk = SimVfs::new();
    disk.create_dir(Path::new(DIR)).unwrap();
    disk.create_dir(Path::new("db/wal")).unwrap();
    disk.write_file(Path::new("db/wal/thesis.odt"), b"years of work").unwrap();
    assert_eq!(refusal(&disk, tiny()).0, ErrorKind::NotADatabase);
    assert_eq!(disk.read_file(Path::new("db/wal/thesis.odt")).unwrap(), b"years of work");
}

#[test]
fn data_without_its_manifest_is_refused_and_kept() {
    for merged in [false, true] {
        let disk = SimVfs::new();
        let set = open(&disk);
        put(&set, "k", "v");
        if merged {
            merge_all(&set);
        }
        drop(set);
        let manifest = disk.read_file(Path::new("db/MANIFEST")).unwrap();
        disk.remove_file(Path::new("db/MANIFEST")).unwrap();
        for create in [Create::IfMissing, Create::Never] {
            let mut options = tiny();
            options.create = create;
            assert_eq!(refusal(&disk, options).0, ErrorKind::ManifestMissing);
        }
        disk.write_file(Path::new("db/MANIFEST"), &manifest).unwrap();
        assert_eq!(get(&open(&disk), "k").as_deref(), Some("v"));
    }
}

#[test]
fn a_creation_cut_off_anywhere_is_completed_by_the_next_open() {
    let disk = SimVfs::new();
    drop(open(&disk));
    for at in 0..=disk.ops() {
        for (seed, &mode) in CrashMode::ALL.iter().enumerate() {
            let image = disk.crash_image(at, mode, seed as u64);
            let set = open(&image);
            put(&set, "k", "v");
            assert_eq!(keys(&set.snapshot()), ["k"]);
        }
    }
}

#[test]
fn every_level_of_a_new_path_is_durable() {
    let disk = SimVfs::new();
    let path = Path::new("a/b/c");
    let vfs = Arc::new(disk.clone());
    let (set, _) = PartitionSet::open(vfs, path, tiny(), entropy(), 0).unwrap();
    put(&set, "k", "v");
    let image = disk.crash_image(disk.ops(), CrashMode::Strict, 0);
    let (set, report) = PartitionSet::open(Arc::new(image), path, tiny(), entropy(), 0).unwrap();
    assert!(!report.created);
    assert_eq!(get(&set, "k").as_deref(), Some("v"));
}

#[test]
fn small_files_of_other_people_in_folders_named_like_ours_are_kept() {
    for path in ["db/wal/notes.log", "db/wal/thesis.tmp", "db/wal/0000000001.log", "db/p000/tree.db"] {
        let path = Path::new(path);
        let disk = SimVfs::new();
        disk.create_dir(Path::new(DIR)).unwrap();
        disk.create_dir(path.parent().unwrap()).unwrap();
        disk.write_file(path, b"years of work").unwrap();
        assert!(try_open(&disk, tiny()).is_err(), "{}", path.display());
        assert_eq!(disk.read_file(path).unwrap(), b"years of work");
    }
}

#[test]
fn options_out_of_range_are_refused_before_anything_is_created() {
    let change: [fn(&mut Options); 6] = [
        |o| o.partitions = Some(0),
        |o| o.page_size = Some(5000),
        |o| o.memtable_bytes = 0,
        |o| o.segment_bytes = 1,
        |o| o.segment_bytes = u64::MAX,
        |o| o.first_segment_bytes = 1,
    ];
    for (i, change) in change.into_iter().enumerate() {
        let disk = SimVfs::new();
        let mut options = tiny();
        change(&mut options);
        assert_eq!(refusal(&disk, options).0, ErrorKind::InvalidInput, "change {i}");
        assert_eq!(disk.kind(Path::new(DIR)).unwrap(), None, "change {i}");
    }
}

/// Nobody but the owner of the lock may write the pages that a snapshot reads.
#[test]
fn a_snapshot_that_outlives_its_set_keeps_the_database_locked() {
    let disk = SimVfs::new();
    let set = open(&disk);
    put(&set, "k", "v");
    merge_all(&set);
    let cursor = set.snapshot().cursor();
    drop(set);
    assert_eq!(refusal(&disk, tiny()).0, ErrorKind::Locked);
    drop(cursor);
    open(&disk);
}
