//! One small history, told to every engine of this build: adapters differ, answers must not.

use super::*;

fn engine(kind: &Kind) -> (tempfile::TempDir, Box<dyn Engine>) {
    let dir = tempfile::tempdir().unwrap();
    let settings = Settings { dir: dir.path().to_owned(), budget_bytes: 256 << 20 };
    let engine = kind.open(&settings).unwrap_or_else(|e| panic!("{}: {e}", kind.name));
    (dir, engine)
}

fn load(engine: &dyn Engine) {
    let fill = &mut |batch: &mut dyn Batch| {
        (0..100).try_for_each(|i| batch.put(format!("key/{i:03}").as_bytes(), format!("value {i}").as_bytes()))
    };
    engine.write(Durability::Sync, fill).unwrap();
}

fn scan(engine: &dyn Engine, prefix: &str) -> Vec<String> {
    let mut keys = Vec::new();
    let found = engine
        .reader()
        .unwrap()
        .scan(prefix.as_bytes(), &mut |key, _| keys.push(String::from_utf8(key.to_vec()).unwrap()))
        .unwrap();
    assert_eq!(found, keys.len() as u64);
    keys
}

#[test]
fn every_engine_gives_back_what_was_put() {
    for kind in KINDS {
        let (_dir, engine) = engine(kind);
        load(&*engine);
        engine.put(b"key/007", b"other", Durability::None).unwrap();
        engine.put(b"last", b"", Durability::Sync).unwrap();
        engine.write(Durability::None, &mut |batch| batch.delete(b"key/000")).unwrap();
        engine.sync().unwrap();
        assert_eq!(engine.len().unwrap(), 100, "{}", kind.name);
        let mut seen = Vec::new();
        let mut reader = engine.reader().unwrap();
        assert!(reader.get(b"key/007", &mut |value| seen.extend_from_slice(value)).unwrap());
        assert!(!reader.get(b"key/000", &mut |_| panic!("it was removed")).unwrap());
        assert_eq!(seen, b"other", "{}", kind.name);
        drop(reader);
        assert!(engine.get(b"last", &mut |value| assert!(value.is_empty())).unwrap(), "{}", kind.name);
        assert!(!engine.settings().is_empty());
        engine.close().unwrap();
    }
}

#[test]
fn every_engine_seeks_and_scans_in_key_order() {
    for kind in KINDS {
        let (_dir, engine) = engine(kind);
        load(&*engine);
        let mut seen = Vec::new();
        let mut reader = engine.reader().unwrap();
        let found = reader.seek(b"key/0105", 3, &mut |key, _| seen.push(key.to_vec())).unwrap();
        assert_eq!((found, &seen[0][..], &seen[2][..]), (3, &b"key/011"[..], &b"key/013"[..]), "{}", kind.name);
        assert_eq!(reader.seek(b"key/098", 10, &mut |_, _| ()).unwrap(), 2, "{}", kind.name);
        drop(reader);
        assert_eq!(scan(&*engine, "").len(), 100, "{}", kind.name);
        let tens: Vec<_> = (10..20).map(|i| format!("key/0{i}")).collect();
        assert_eq!(scan(&*engine, "key/01"), tens, "{}", kind.name);
        engine.close().unwrap();
    }
}

#[test]
fn a_database_holds_what_was_synced_after_a_close_and_open() {
    for kind in KINDS {
        let (dir, engine) = engine(kind);
        load(&*engine);
        engine.close().unwrap();
        let engine = kind.open(&Settings { dir: dir.path().to_owned(), budget_bytes: 256 << 20 }).unwrap();
        assert_eq!(engine.len().unwrap(), 100, "{}", kind.name);
        engine.close().unwrap();
    }
}

#[test]
fn sorted_loads_removals_pops_and_compaction_agree_where_they_are_there() {
    for kind in KINDS {
        let (dir, mut engine) = engine(kind);
        let fill =
            &mut |batch: &mut dyn Batch| (0..100).try_for_each(|i| batch.put(format!("{i:03}").as_bytes(), b"v"));
        engine.load_sorted(fill).unwrap();
        assert_eq!(engine.len().unwrap(), 100, "{}", kind.name);
        let mut odd = |key: &[u8], _: &[u8]| key[2] % 2 == 1;
        match engine.remove_if(b"010", b"020", Durability::Sync, &mut odd) {
            Ok(removed) => assert_eq!((removed, engine.len().unwrap()), (5, 95), "{}", kind.name),
            Err(Problem::NotYet(_) | Problem::Unsupported(_)) => {}
            Err(e) => panic!("{}: {e}", kind.name),
        }
        let mut popped = Vec::new();
        match engine.pop_ends(4, Durability::Sync, &mut || true, &mut |key, _| popped.push(key.to_vec())) {
            Ok(count) => {
                assert_eq!(count, 4, "{}", kind.name);
                assert_eq!(popped, [b"000", b"099", b"001", b"098"], "{}", kind.name);
                assert_eq!(engine.len().unwrap(), 91, "{}", kind.name);
            }
            Err(Problem::NotYet(_) | Problem::Unsupported(_)) => {}
            Err(e) => panic!("{}: {e}", kind.name),
        }
        let before = engine.len().unwrap();
        match engine.compact() {
            Ok(()) | Err(Problem::NotYet(_) | Problem::Unsupported(_)) => {}
            Err(e) => panic!("{}: {e}", kind.name),
        }
        assert_eq!(engine.len().unwrap(), before, "{}", kind.name);
        assert!(disk_bytes(dir.path()).unwrap() > 0);
        engine.close().unwrap();
    }
}

#[test]
fn a_transaction_whose_filling_fails_writes_nothing() {
    for kind in KINDS {
        let (_dir, engine) = engine(kind);
        let fill = &mut |batch: &mut dyn Batch| {
            batch.put(b"a", b"1")?;
            Err(Problem::Failed("on purpose".into()))
        };
        assert!(engine.write(Durability::Sync, fill).is_err(), "{}", kind.name);
        assert_eq!(engine.len().unwrap(), 0, "{}", kind.name);
        engine.close().unwrap();
    }
}

#[test]
fn the_end_of_a_prefix_is_the_first_key_behind_it() {
    assert_eq!(prefix_end(b"ab"), Some(b"ac".to_vec()));
    assert_eq!(prefix_end(b"a\xff"), Some(b"b".to_vec()));
    assert_eq!(prefix_end(b"\xff"), None);
}

#[test]
fn an_unknown_engine_is_told_from_one_that_is_not_built_in() {
    assert!(find("halodb").is_ok());
    assert!(find("nothing").err().unwrap().contains("there are halodb"));
    #[cfg(not(feature = "rocksdb"))]
    assert!(find("rocksdb").err().unwrap().contains("--compare rocksdb"));
}

#[test]
fn versions_are_those_that_cargo_locked() {
    let lock =
        "[[package]]\nname = \"redb-derive\"\nversion = \"1\"\n\n[[package]]\nname = \"redb\"\nversion = \"4.5.0\"\n";
    assert_eq!(locked(lock, "redb"), Some("4.5.0"));
    assert_eq!(locked(lock, "none"), None);
    assert!(KINDS.iter().all(|kind| !kind.version().contains("unknown")));
    assert!(find("lmdb").is_ok_and(|kind| kind.version().starts_with("heed ")));
}
