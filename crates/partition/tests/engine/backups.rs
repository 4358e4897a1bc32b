//! Backup and restore: what is in them, what is refused, and that others go on meanwhile.

use crate::{DIR, all, assert_sound, commit, entropy, get, merge_all, open, put, settle, tiny, try_open};
use halodb_partition::{
    BackupReport, Batch, CopyStep, Error, ErrorKind, Existing, PartitionSet, RestoreReport, Result, restore, verify,
};
use halodb_vfs::{OpenMode, SimVfs, Vfs};
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

pub(crate) const BACKUP: &str = "nightly";
pub(crate) const AGAIN: &str = "again";

pub(crate) fn back_up(set: &PartitionSet) -> Result<BackupReport> {
    set.backup(Path::new(BACKUP), 77, 1_700_000_000_000, &mut |_| ControlFlow::Continue(()))
}

pub(crate) fn restore_to(disk: &SimVfs, dir: &str, existing: Existing) -> Result<RestoreReport> {
    let disk = Arc::new(disk.clone());
    let go_on = &mut |_| ControlFlow::Continue(());
    restore(disk, Path::new(BACKUP), Path::new(dir), existing, tiny(), 78, 0, go_on)
}

pub(crate) fn open_at(disk: &SimVfs, dir: &str) -> Result<PartitionSet> {
    Ok(PartitionSet::open(Arc::new(disk.clone()), Path::new(dir), tiny(), entropy(), 0)?.0)
}

pub(crate) type Pairs = Vec<(String, String)>;

/// The pairs of a database that is opened for it and closed.
pub(crate) fn pairs_at(disk: &SimVfs, dir: &str) -> Result<Pairs> {
    let set = open_at(disk, dir)?;
    assert_sound(&set);
    let pairs = all(&set.snapshot());
    set.close(0)?;
    Ok(pairs)
}

/// Trees, frozen and active memtables, range deletes and values of several pages.
pub(crate) fn fill(set: &PartitionSet) {
    for i in 0..400 {
        put(set, &format!("{i:04}"), &"v".repeat(i % 90));
    }
    put(set, "large", &"L".repeat(20_000));
    merge_all(set);
    let mut batch = Batch::new();
    batch.delete_range(b"0100", Some(b"0200"));
    batch.delete(b"0007");
    batch.put(b"0150", b"again");
    batch.put(b"large in memory", &[b'M'; 9_000]);
    commit(set, &batch);
    set.freeze_all().expect("open");
    put(set, "0008", "newest");
}

fn exists(disk: &SimVfs, path: &str) -> bool {
    disk.kind(Path::new(path)).expect("a sound disk").is_some()
}

pub(crate) fn kind_of<T>(result: Result<T>) -> ErrorKind {
    result.map(drop).expect_err("it is refused").kind()
}

#[test]
fn a_restored_backup_is_the_snapshot_it_was_made_of() {
    let disk = SimVfs::new();
    let set = open(&disk);
    fill(&set);
    let expected = all(&set.snapshot());
    let report = back_up(&set).expect("a sound disk");
    assert_eq!((report.keys, report.seq), (expected.len() as u64, set.visible()));
    assert_eq!((report.uuid, report.incarnation, report.time_ms), (entropy().uuid, 1, 1_700_000_000_000));
    assert_eq!(disk.files().unwrap().iter().filter(|(path, _)| path.starts_with("nightly.unfinished")).count(), 0);

    let restored = restore_to(&disk, AGAIN, Existing::Refuse).expect("a sound backup");
    assert_eq!((restored.keys, &restored.backup), (report.keys, &report));
    let (again, opened) = PartitionSet::open(Arc::new(disk.clone()), Path::new(AGAIN), tiny(), entropy(), 0).unwrap();
    assert!(opened.clean && opened.replayed == 0, "{opened:?}");
    assert_eq!(again.manifest().incarnation, 78);
    assert_eq!(again.manifest().uuid, entropy().uuid);
    assert_eq!(all(&again.snapshot()), expected);
    assert_sound(&again);
    let mut batch = Batch::new();
    batch.put(b"new", b"write");
    let seq = commit(&again, &batch);
    assert!(seq > report.seq.0 + (1 << 32), "numbers of the copy are none that the source may have given out: {seq}");
    assert_eq!(get(&set, "new"), None);
}

#[test]
fn a_backup_is_packed_full_and_its_log_is_empty() {
    let disk = SimVfs::new();
    let set = open(&disk);
    for round in 0..5 {
        for i in 0..600 {
            put(&set, &format!("{:05}", i * 7 % 600 + round), &"v".repeat(60));
        }
        merge_all(&set);
    }
    back_up(&set).expect("a sound disk");
    let bytes = |dir: &str| -> u64 {
        let files = disk.files().unwrap();
        files.iter().filter(|(path, _)| path.starts_with(dir) && path.ends_with("tree.db")).map(|(_, len)| len).sum()
    };
    assert!(bytes(BACKUP) < bytes(DIR), "{} of {}", bytes(BACKUP), bytes(DIR));
    assert_eq!(disk.read_file("nightly/wal/0000000001.log").unwrap().len(), 8192);
    let go_on = &mut |_| ControlFlow::Continue(());
    assert_eq!(verify(&(Arc::new(disk.clone()) as Arc<dyn Vfs>), Path::new(BACKUP), go_on).unwrap().keys, 604);
}

#[test]
fn writes_and_merges_during_a_backup_are_not_in_it() {
    let disk = SimVfs::new();
    let set = open(&disk);
    fill(&set);
    let expected = all(&set.snapshot());
    let mut round = 0;
    let report = set.backup(Path::new(BACKUP), 77, 0, &mut |_| {
        round += 1;
        for i in 0..60 {
            put(&set, &format!("{:04}", (i * 17 + round) % 500), &format!("written during the backup {round}"));
        }
        let mut batch = Batch::new();
        batch.delete_range(b"0300", Some(b"0320"));
        commit(&set, &batch);
        merge_all(&set);
        ControlFlow::Continue(())
    });
    assert_eq!(report.expect("a sound disk").keys, expected.len() as u64);
    assert!(round > 4);
    restore_to(&disk, AGAIN, Existing::Refuse).expect("a sound backup");
    assert_eq!(pairs_at(&disk, AGAIN).unwrap(), expected);
    assert_sound(&set);
}

#[test]
fn an_empty_database_and_one_of_many_chunks_come_back() {
    let disk = SimVfs::new();
    let set = open(&disk);
    back_up(&set).expect("a sound disk");
    restore_to(&disk, AGAIN, Existing::Refuse).expect("a sound backup");
    assert_eq!(pairs_at(&disk, AGAIN).unwrap(), []);
}

#[test]
fn a_cancelled_backup_or_restore_leaves_nothing_behind() {
    let disk = SimVfs::new();
    let set = open(&disk);
    fill(&set);
    let mut asked = 0;
    loop {
        let mut calls = 0;
        let result = set.backup(Path::new(BACKUP), 77, 0, &mut |_| {
            calls += 1;
            if calls > asked { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        let Err(e) = result else { break };
        assert_eq!(e.kind(), ErrorKind::Cancelled);
        assert!(!exists(&disk, BACKUP) && !exists(&disk, "nightly.unfinished"), "after {asked} reports");
        asked += 1;
    }
    assert!(asked > 3, "{asked}");
    let vfs: Arc<dyn Vfs> = Arc::new(disk.clone());
    for step in [CopyStep::Verify, CopyStep::Copy, CopyStep::Check] {
        let stop = &mut |p: halodb_partition::CopyProgress| {
            if p.step == step { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let (from, to) = (Path::new(BACKUP), Path::new(AGAIN));
        let result = restore(vfs.clone(), from, to, Existing::Refuse, tiny(), 1, 0, stop);
        assert_eq!(kind_of(result), ErrorKind::Cancelled, "{step:?}");
        assert!(!exists(&disk, AGAIN) && !exists(&disk, "again.unfinished"), "{step:?}");
    }
}

#[test]
fn a_directory_that_holds_something_is_not_taken() {
    let disk = SimVfs::new();
    let set = open(&disk);
    fill(&set);
    disk.create_dir(Path::new(BACKUP)).unwrap();
    disk.write_file("nightly/diary", b"mine").unwrap();
    assert_eq!(kind_of(back_up(&set)), ErrorKind::InvalidInput);
    disk.remove_file(Path::new("nightly/diary")).unwrap();
    back_up(&set).expect("an empty directory is taken");
    assert_eq!(kind_of(back_up(&set)), ErrorKind::InvalidInput);

    for inside in ["db/copy", "db"] {
        let result = set.backup(Path::new(inside), 1, 0, &mut |_| ControlFlow::Continue(()));
        assert_eq!(kind_of(result), ErrorKind::InvalidInput, "{inside}");
    }
    for to in [BACKUP, "nightly/x", DIR] {
        assert_eq!(kind_of(restore_to(&disk, to, Existing::Refuse)), ErrorKind::InvalidInput, "{to}");
    }
    assert_eq!(kind_of(restore_to(&disk, DIR, Existing::Replace)), ErrorKind::Locked);
    disk.create_dir(Path::new("letters")).unwrap();
    disk.write_file("letters/to-her", b"dear").unwrap();
    assert_eq!(kind_of(restore_to(&disk, "letters", Existing::Replace)), ErrorKind::InvalidInput);
    assert_eq!(disk.read_file("letters/to-her").unwrap(), b"dear");
}

#[test]
fn what_an_earlier_attempt_left_is_recognised_and_what_is_not_is_left_alone() {
    let disk = SimVfs::new();
    let set = open(&disk);
    fill(&set);
    // The process dies in the middle.
    let before = disk.ops();
    back_up(&set).expect("a sound disk");
    let middle = (before + disk.ops()) / 2;
    let middle = disk.crash_image(middle, halodb_vfs::sim::CrashMode::Kept, 0);
    assert!(exists(&middle, "nightly.unfinished/UNFINISHED") && !exists(&middle, BACKUP));
    assert_eq!(kind_of(open_at(&middle, "nightly.unfinished")), ErrorKind::NotADatabase);
    let set = open(&middle);
    back_up(&set).expect("the next attempt takes over");
    restore_to(&middle, AGAIN, Existing::Refuse).expect("a sound backup");

    for (name, kind) in [("diary", ErrorKind::InvalidInput), ("MANIFEST", ErrorKind::InvalidInput)] {
        let disk = SimVfs::new();
        let set = open(&disk);
        disk.create_dir(Path::new("nightly.unfinished")).unwrap();
        disk.write_file(format!("nightly.unfinished/{name}"), b"mine").unwrap();
        assert_eq!(kind_of(back_up(&set)), kind, "{name}");
        assert_eq!(disk.read_file(format!("nightly.unfinished/{name}")).unwrap(), b"mine");
    }
    let disk = SimVfs::new();
    let set = open(&disk);
    disk.create_dir(Path::new("nightly.unfinished")).unwrap();
    let held = disk.lock(Path::new("nightly.unfinished/LOCK")).unwrap();
    assert_eq!(kind_of(back_up(&set)), ErrorKind::Locked);
    drop(held);
    back_up(&set).expect("nobody writes there any more");
}

#[test]
fn a_backup_is_not_opened_as_a_database_and_a_database_is_not_restored() {
    let disk = SimVfs::new();
    let set = open(&disk);
    fill(&set);
    back_up(&set).expect("a sound disk");
    let before = disk.files().unwrap();
    let refused: Error = open_at(&disk, BACKUP).expect_err("refused");
    assert_eq!(refused.kind(), ErrorKind::NotADatabase);
    assert!(refused.to_string().contains("restore"), "{refused}");
    assert_eq!(disk.files().unwrap(), before, "nothing was changed");
    let vfs: Arc<dyn Vfs> = Arc::new(disk.clone());
    let restored = |from: &str| {
        let go_on = &mut |_| ControlFlow::Continue(());
        restore(vfs.clone(), Path::new(from), Path::new(AGAIN), Existing::Refuse, tiny(), 1, 0, go_on)
    };
    assert_eq!(kind_of(restored(DIR)), ErrorKind::NotADatabase);
    assert_eq!(kind_of(restored("nowhere")), ErrorKind::NotFound);
    assert_eq!(kind_of(restored("nightly/MANIFEST")), ErrorKind::NotADatabase);
    // Whoever takes BACKUP away has a database, with the identity of the backup.
    disk.remove_file(Path::new("nightly/BACKUP")).unwrap();
    assert_eq!(pairs_at(&disk, BACKUP).unwrap(), all(&set.snapshot()));
}

#[test]
fn a_page_that_went_bad_in_the_cache_is_found_and_not_copied() {
    let disk = SimVfs::new();
    let set = open(&disk);
    fill(&set);
    merge_all(&set);
    let expected = all(&set.snapshot());
    let tree = "db/p000/tree.db";
    let page = (2..20).find(|page| {
        let copy = disk.copy();
        copy.flip_bit(tree, (page * 4096 + 200) * 8).unwrap();
        try_open(&copy, tiny())
            .is_ok_and(|(set, _)| !set.check(halodb_partition::Depth::Deep).unwrap().findings.is_empty())
    });
    let page = page.expect("a page in use");
    disk.flip_bit(tree, (page * 4096 + 200) * 8).unwrap();
    let e = back_up(&set).expect_err("a bad page");
    assert_eq!(e.kind(), ErrorKind::Corrupt);
    assert!(e.to_string().contains("tree.db"), "{e}");
    assert!(!exists(&disk, BACKUP) && !exists(&disk, "nightly.unfinished"));
    disk.flip_bit(tree, (page * 4096 + 200) * 8).unwrap();
    assert_eq!(all(&set.snapshot()), expected);
}

#[test]
fn every_file_of_a_backup_is_verified_before_anything_is_restored() {
    let disk = SimVfs::new();
    let set = open(&disk);
    fill(&set);
    back_up(&set).expect("a sound disk");
    let files = disk.files().unwrap().into_iter().filter(|(path, _)| path.starts_with(BACKUP));
    let files: Vec<_> = files.filter(|(path, _)| !path.ends_with("LOCK")).collect();
    assert_eq!(files.len(), 5, "{files:?}");
    for (path, len) in &files {
        let name = path.file_name().unwrap().to_str().unwrap();
        for bit in (0..len * 8).step_by((*len as usize / 25 * 8).max(8) + 1) {
            let bad = disk.copy();
            bad.flip_bit(path, bit).unwrap();
            let e = restore_to(&bad, AGAIN, Existing::Refuse).expect_err("refused");
            assert!(matches!(e.kind(), ErrorKind::Corrupt | ErrorKind::Version), "{}: {e}", path.display());
            let says_where = e.to_string().contains("byte") || e.kind() == ErrorKind::Version;
            assert!(e.to_string().contains(name) && says_where, "{}: {e}", path.display());
            assert!(!exists(&bad, AGAIN) && !exists(&bad, "again.unfinished"));
        }
        let bad = disk.copy();
        let short = bad.read_file(path).unwrap()[..*len as usize - 1].to_vec();
        bad.write_file(path, &short).unwrap();
        assert_eq!(kind_of(restore_to(&bad, AGAIN, Existing::Refuse)), ErrorKind::Corrupt, "{}", path.display());
        let bad = disk.copy();
        bad.remove_file(path).unwrap();
        assert!(restore_to(&bad, AGAIN, Existing::Refuse).is_err(), "{}", path.display());
    }
}

#[test]
fn a_database_is_replaced_and_keeps_its_configuration() {
    let disk = SimVfs::new();
    let set = open(&disk);
    fill(&set);
    let expected = all(&set.snapshot());
    back_up(&set).expect("a sound disk");
    put(&set, "later", "lost by the restore");
    settle(&set);
    set.close(0).unwrap();
    drop(set);
    disk.write_file("db/halodb.toml", b"# mine\n").unwrap();
    let report = restore_to(&disk, DIR, Existing::Replace).expect("nobody has it open");
    assert_eq!(report.left, None);
    assert!(!exists(&disk, "db.unfinished"));
    assert_eq!(pairs_at(&disk, DIR).unwrap(), expected);
    assert_eq!(disk.read_file("db/halodb.toml").unwrap(), b"# mine\n");
    disk.open(Path::new("db/LOCK"), OpenMode::Read).expect("it was opened for its check");
}
