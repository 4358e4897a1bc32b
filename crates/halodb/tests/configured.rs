//! Opening with a file: which one is read, what wins, and how mistakes are reported.
#![cfg(feature = "config")]

use halodb::{Db, Durability, ErrorKind};

#[test]
fn the_file_in_the_directory_is_read_and_the_builder_wins() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("halodb.toml"), "[database]\npartitions = 3\npage_size = \"8KiB\"\n").unwrap();
    let db = Db::open(dir.path()).unwrap();
    assert_eq!((db.stats().partitions, db.stats().page_size), (3, 8192));
    drop(db);

    let other = tempfile::tempdir().unwrap();
    std::fs::write(other.path().join("halodb.toml"), "[database]\npartitions = 3\n").unwrap();
    let db = Db::builder(other.path()).partitions(5).open().unwrap();
    assert_eq!(db.stats().partitions, 5);
    db.close().unwrap();
    let error = Db::open(other.path()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config, "the file contradicts the database: {error}");
    assert!(error.config_errors().is_none() && error.hint().is_some());
}

#[test]
fn an_explicit_file_stands_in_for_the_one_in_the_directory() {
    let dir = tempfile::tempdir().unwrap();
    let (data, file) = (dir.path().join("data"), dir.path().join("my.toml"));
    std::fs::create_dir(&data).unwrap();
    std::fs::write(data.join("halodb.toml"), "[nonsense]\n").unwrap();
    std::fs::write(&file, "[database]\npartitions = 1\n[wal]\ndurability = \"buffered\"\n").unwrap();
    let db = Db::builder(&data).config_file(&file).unwrap().open().unwrap();
    assert_eq!(db.stats().partitions, 1);
    let syncs = db.stats().wal.syncs;
    db.put("a", "1").unwrap();
    assert_eq!(db.stats().wal.syncs, syncs, "a buffered write is not synchronised");
}

#[test]
fn all_mistakes_of_a_file_are_reported_at_once_with_their_places() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("halodb.toml");
    std::fs::write(&file, "[wal]\nsegment = 16\ndurabilty = \"sync\"\n[merge]\nthreads = 0\n").unwrap();
    let error = Db::open(dir.path()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert_eq!(error.config_errors().expect("problems").iter().count(), 3);
    let text = error.to_string();
    assert!(text.starts_with(&format!("{}:2:", file.display())), "{text}");
    assert!(!text.ends_with('\n') && text.contains(":3:") && text.contains(":5:"), "{text}");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "nothing was created");

    let error = Db::builder(dir.path().join("data")).config_file(dir.path().join("none.toml")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.to_string().contains("none.toml"), "{error}");
}

#[test]
fn defaults_of_files_do_not_contradict_a_database_created_otherwise() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("data");
    drop(Db::builder(&path).partitions(4).page_size(4096).open().unwrap());
    std::fs::write(path.join("halodb.toml"), "[wal]\ndurability = \"memory\"\n").unwrap();
    let db = Db::builder(&path).durability(Durability::Sync).open().unwrap();
    assert_eq!((db.stats().partitions, db.stats().page_size), (4, 4096));
}
