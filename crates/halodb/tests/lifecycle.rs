//! Opening, closing, and opening again.

mod common;

use common::{assert_sound, memory, on, put_all, text, tiny};
use halodb::vfs::SimVfs;
use halodb::{Db, Depth, Durability, ErrorKind};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

#[test]
fn what_was_closed_in_order_is_there_again_with_nothing_to_replay() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("data");
    let db = Db::open(&path).unwrap();
    assert!(db.open_report().created);
    put_all(&db, &["a", "b"]);
    db.close().unwrap();

    let db = Db::open(&path).unwrap();
    let report = db.open_report();
    assert!(!report.created && report.clean && report.replayed == 0 && report.dropped.is_none(), "{report:?}");
    assert_eq!(db.len().unwrap(), 2);
    assert_sound(&db);
}

/// What a process leaves that is killed now.
fn copy_dir(from: &std::path::Path, to: &std::path::Path) {
    std::fs::create_dir(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        match entry.file_type().unwrap().is_dir() {
            true => copy_dir(&entry.path(), &to.join(entry.file_name())),
            false => drop(std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap()),
        }
    }
}

#[test]
fn the_open_after_a_kill_replays_everything_and_tells_how_far_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let (path, killed) = (dir.path().join("data"), dir.path().join("killed"));
    let db = Db::builder(&path).partitions(4).durability(Durability::Memory).open().unwrap();
    for i in 0..20_000u32 {
        db.put((i % 9000).to_le_bytes(), i.to_string()).unwrap();
    }
    db.sync().unwrap();
    copy_dir(&path, &killed);
    let heard = Arc::new(Mutex::new(Vec::new()));
    let telling = Arc::clone(&heard);
    let again = Db::builder(&killed).on_progress(move |now| telling.lock().unwrap().push(now)).open().unwrap();
    assert_eq!(again.open_report().replayed, 20_000);
    assert!(again.iter().map(Result::unwrap).eq(db.iter().map(Result::unwrap)));
    let last = *heard.lock().unwrap().last().expect("heard of");
    assert_eq!((last.read_bytes, last.records), (last.total_bytes, 20_000));
    assert_sound(&again);
}

#[test]
fn the_last_clone_dropped_closes_in_order() {
    let (disk, db) = memory();
    let clone = db.clone();
    let pairs = db.iter();
    drop(db);
    clone.put("a", "1").unwrap();
    drop(clone);
    drop(pairs);
    let db = on(&disk).open().unwrap();
    assert!(db.open_report().clean);
    assert_eq!(text(&db, "a").as_deref(), Some("1"));
}

#[test]
fn a_closed_database_answers_closed_and_closing_again_does_nothing() {
    let (_disk, db) = memory();
    let clone = db.clone();
    let batch = db.batch().put("b", "2");
    db.put("a", "1").unwrap();
    db.close().unwrap();
    clone.close().unwrap();
    db.close().unwrap();
    let refused = [
        clone.get("a").err(),
        clone.contains("a").err(),
        clone.put("a", "2").err(),
        clone.delete("a").err(),
        clone.clear().err(),
        clone.len().err(),
        clone.is_empty().err(),
        clone.first().err(),
        clone.count("a"..).err(),
        clone.snapshot().get("a").err(),
        clone.sync().err(),
        clone.wait_durable(1).err(),
        clone.flush().err(),
        clone.shape().err(),
        clone.check(Depth::Quick).err(),
        batch.commit().err(),
    ];
    for error in refused {
        let error = error.expect("refused");
        assert_eq!(error.kind(), ErrorKind::Closed, "{error}");
        assert!(error.hint().is_some());
    }
    assert!(db.last_seq() > 0);
    assert_eq!(db.stats().commits, 1);
}

#[test]
fn a_closed_database_can_be_opened_again_while_clones_live() {
    let (disk, db) = memory();
    db.put("a", "1").unwrap();
    let clone = db.clone();
    db.close().unwrap();
    let again = on(&disk).open().unwrap();
    again.put("a", "2").unwrap();
    assert_eq!(clone.get("a").unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(text(&again, "a").as_deref(), Some("2"));
    drop(clone);
    assert_eq!(on(&disk).open().unwrap_err().kind(), ErrorKind::Locked);
}

/// The pages that a snapshot shows are free for whoever opens the files next and does not know of it.
#[test]
fn while_a_snapshot_lives_its_files_are_not_opened_again() {
    let (disk, db) = memory();
    db.put("a", "1").unwrap();
    db.flush().unwrap();
    let snapshot = db.snapshot();
    let pairs = snapshot.iter();
    db.close().unwrap();
    drop(db);
    assert_eq!(on(&disk).open().unwrap_err().kind(), ErrorKind::Locked);
    assert_eq!(snapshot.get("a").unwrap().as_deref(), Some(&b"1"[..]));
    drop(snapshot);
    assert_eq!(on(&disk).open().unwrap_err().kind(), ErrorKind::Locked);
    assert_eq!(pairs.count(), 1);
    let db = on(&disk).open().unwrap();
    assert_eq!(db.len().unwrap(), 1);
}

#[test]
fn a_second_open_is_refused_and_names_the_holder() {
    let dir = tempfile::tempdir().unwrap();
    let db = Db::open(dir.path()).unwrap();
    let error = Db::open(dir.path()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Locked);
    assert_eq!(error.holder(), Some(std::process::id()));
    assert!(error.is_retryable());
    assert!(error.to_string().contains(&std::process::id().to_string()), "{error}");
    assert!(error.hint().unwrap().contains("this process"));
    db.put("a", "1").unwrap();
    drop(db);
    assert_eq!(Db::open(dir.path()).unwrap().len().unwrap(), 1);
}

#[test]
fn a_missing_database_is_not_created_when_it_must_exist() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("none");
    let error = Db::builder(&path).existing().open().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.to_string().contains("none"), "{error}");
    assert!(!path.exists());
    let error = Db::builder("").open().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
}

#[test]
fn a_directory_of_something_else_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("letter.txt"), "dear …").unwrap();
    let error = Db::open(dir.path()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotADatabase);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    let file = dir.path().join("letter.txt");
    let error = Db::open(&file).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::NotADatabase | ErrorKind::Io), "{error:?}");
}

#[test]
fn options_that_contradict_the_database_are_refused_with_both_values() {
    let disk = SimVfs::new();
    let db = on(&disk).partitions(4).page_size(8192).open().unwrap();
    assert_eq!((db.stats().partitions, db.stats().page_size), (4, 8192));
    db.put(vec![b'k'; 2048], "v").unwrap();
    let error = db.put(vec![b'k'; 2049], "v").unwrap_err();
    assert!(error.to_string().contains("2049") && error.to_string().contains("2048"), "{error}");
    drop(db);

    let error = on(&disk).partitions(2).open().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.to_string().contains('4') && error.to_string().contains('2'), "{error}");
    let error = on(&disk).page_size(16384).open().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.to_string().contains("8192") && error.to_string().contains("16384"), "{error}");
    let db = on(&disk).partitions(4).page_size(8192).open().unwrap();
    assert_eq!(db.len().unwrap(), 1);
}

#[test]
fn options_out_of_range_are_refused() {
    for builder in [
        Db::builder("data").partitions(0),
        Db::builder("data").partitions(257),
        Db::builder("data").page_size(5000),
        Db::builder("data").memtable(0),
        Db::builder("data").merge_threads(0),
        Db::builder("data").interval(Duration::ZERO),
        Db::builder("data").bits_per_key(1000),
    ] {
        let disk = SimVfs::new();
        let error = builder.vfs(std::sync::Arc::new(disk)).open().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
    }
}

#[test]
fn a_relative_path_is_kept_as_an_absolute_one() {
    let dir = tempfile::tempdir_in(".").unwrap();
    let relative = std::path::Path::new(dir.path().file_name().unwrap()).join("data");
    let db = Db::open(&relative).unwrap();
    assert!(db.path().is_absolute() && db.path().ends_with(&relative));
}

#[test]
fn an_idle_database_merges_by_itself() {
    let disk = SimVfs::new();
    let db = tiny(on(&disk)).open().unwrap();
    put_all(&db, &["a", "b", "c"]);
    let begun = Instant::now();
    while db.stats().memtable_versions > 0 {
        assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", db.stats());
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(db.stats().tree_keys, 3);
    assert_eq!(db.shape().unwrap().iter().map(|shape| shape.keys).sum::<u64>(), 3);
}

#[test]
fn full_memtables_and_a_full_log_are_merged_while_writers_go_on() {
    let disk = SimVfs::new();
    let db = tiny(on(&disk)).durability(Durability::Memory).open().unwrap();
    for i in 0..5000u32 {
        db.put(format!("k{:05}", i * 7919 % 10_000), [b'x'; 100]).unwrap();
    }
    let stats = db.stats();
    assert!(stats.merges > 5, "{stats:?}");
    assert!(stats.memtable_bytes < 128 << 10, "{stats:?}");
    db.flush().unwrap();
    assert_eq!(db.stats().memtable_versions, 0);
    assert!(db.stats().log_live_bytes < 1 << 20, "{:?}", db.stats());
    assert_eq!(db.len().unwrap(), 5000);
    assert_sound(&db);
}
