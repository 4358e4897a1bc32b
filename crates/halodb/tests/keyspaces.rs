//! Keyspaces through the public interface: names, separation, batches and snapshots across them, dropping.

mod common;

use common::stored::{assert_no_strays, keys_by_number};
use common::{assert_sound, keys, memory, on, tiny};
use halodb::vfs::SimVfs;
use halodb::{Condition, Db, Durability, ErrorKind, Keyspace, WriteOptions};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// The value of a key as text.
fn text(keyspace: &Keyspace, key: &str) -> Option<String> {
    let value = keyspace.get(key).expect("a read succeeds")?;
    Some(String::from_utf8(value.to_vec()).expect("text"))
}

#[test]
fn the_same_key_in_two_keyspaces_is_two_keys() {
    let (_disk, db) = memory();
    let (a, b) = (db.keyspace("a").unwrap(), db.keyspace("b").unwrap());
    for (keyspace, value) in [(&a, "1"), (&b, "2"), (&db, "3")] {
        keyspace.put("k", value).unwrap();
    }
    let values = || [&a, &b, &db].map(|keyspace| text(keyspace, "k"));
    assert_eq!(values(), ["1", "2", "3"].map(|value| Some(value.to_owned())));
    db.flush().unwrap();
    assert_eq!(values(), ["1", "2", "3"].map(|value| Some(value.to_owned())));
    assert!(a.delete("k").unwrap());
    assert_eq!(values(), [None, Some("2".to_owned()), Some("3".to_owned())]);
    b.clear().unwrap();
    assert_eq!(values(), [None, None, Some("3".to_owned())]);
}

#[test]
fn every_read_sees_its_own_keyspace_only() {
    let (_disk, db) = memory();
    let (a, b) = (db.keyspace("a").unwrap(), db.keyspace("b").unwrap());
    for keyspace in [&db, &a, &b] {
        common::put_all_in(keyspace, &["k1", "k2", "k3"]);
    }
    b.put("k0", "").unwrap();
    b.put([0xff; 9], "").unwrap();
    db.delete("k2").unwrap();
    for merged in [false, true] {
        if merged {
            db.flush().unwrap();
        }
        assert_eq!(keys(a.iter()), ["k1", "k2", "k3"]);
        assert_eq!(a.iter().rev().count(), 3);
        assert_eq!(a.first().unwrap().unwrap().0, b"k1");
        assert_eq!(a.last().unwrap().unwrap().0, b"k3");
        assert_eq!(a.range("k2"..).count(), 2);
        assert_eq!(a.prefix("").count(), 3);
        assert_eq!([&db, &a, &b].map(|keyspace| keyspace.len().unwrap()), [2, 3, 5]);
        assert_eq!([&db, &a, &b].map(|keyspace| keyspace.rank("k3").unwrap()), [1, 2, 3]);
        assert_eq!(a.nth(2).unwrap().unwrap().0, b"k3");
        assert!(a.nth(3).unwrap().is_none());
        assert_eq!(a.count("k1".."k3").unwrap(), 2);
        let found = db.multi_get(["k1", "k2"]).unwrap();
        assert!(found[0].is_some() && found[1].is_none());
    }
}

#[test]
fn a_keyspace_is_made_once_and_found_again() {
    let (disk, db) = memory();
    assert!(db.find_keyspace("users").unwrap().is_none());
    assert_eq!(db.keyspaces().unwrap(), ["default"]);
    db.keyspace("users").unwrap().put("1", "Ada").unwrap();
    let before = db.last_seq();
    assert_eq!(text(&db.keyspace("users").unwrap(), "1").as_deref(), Some("Ada"));
    assert_eq!(db.last_seq(), before, "opening it again writes nothing");
    db.keyspace("aaa").unwrap();
    assert_eq!(db.keyspaces().unwrap(), ["aaa", "default", "users"]);
    assert_eq!(db.keyspace("default").unwrap().name(), "default");
    db.put("k", "v").unwrap();
    assert!(db.keyspace("default").unwrap().contains("k").unwrap());
    db.close().unwrap();
    drop(db);

    let db = on(&disk).open().unwrap();
    assert_eq!(text(&db.find_keyspace("users").unwrap().unwrap(), "1").as_deref(), Some("Ada"));
    assert_eq!(db.keyspaces().unwrap(), ["aaa", "default", "users"]);
}

#[test]
fn wrong_names_are_refused_by_every_call() {
    let (_disk, db) = memory();
    for name in ["", "a\tb", &*"n".repeat(256)] {
        for error in [db.keyspace(name).err(), db.find_keyspace(name).err(), db.drop_keyspace(name).err()] {
            assert_eq!(error.expect("refused").kind(), ErrorKind::InvalidInput);
        }
    }
    assert_eq!(db.drop_keyspace("default").unwrap_err().kind(), ErrorKind::InvalidInput);
    db.keyspace("n".repeat(255)).unwrap().put("k", "v").unwrap();
}

#[test]
fn limits_of_keys_are_those_of_the_default_keyspace() {
    let disk = SimVfs::new();
    let db = tiny(on(&disk)).open().unwrap();
    let users = db.keyspace("users").unwrap();
    users.put([7; 1024], "v").unwrap();
    for key in [&[][..], &[7; 1025]] {
        let error = users.put(key, "v").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().contains("1024"), "{error}");
    }
}

#[test]
fn several_hundred_keyspaces_keep_apart_also_with_ids_of_two_bytes() {
    let disk = SimVfs::new();
    let open = || tiny(on(&disk)).durability(Durability::Memory).open().unwrap();
    let db = open();
    let names: Vec<String> = (0..300).map(|i| format!("ks{i:03}")).collect();
    for name in &names {
        let keyspace = db.keyspace(name).unwrap();
        keyspace.put("name", name).unwrap();
        keyspace.put([0xff; 3], name).unwrap();
    }
    for name in names.iter().step_by(3) {
        assert!(db.drop_keyspace(name).unwrap());
    }
    let check = |db: &Db| {
        assert_eq!(db.keyspaces().unwrap().len(), 201);
        for (i, name) in names.iter().enumerate() {
            let found = db.find_keyspace(name).unwrap();
            assert_eq!(found.is_none(), i % 3 == 0, "{name}");
            if let Some(found) = found {
                assert_eq!(found.len().unwrap(), 2);
                assert_eq!(text(&found, "name").as_ref(), Some(name));
                assert_eq!(found.iter().count(), 2);
            }
        }
    };
    check(&db);
    db.flush().unwrap();
    check(&db);
    db.close().unwrap();
    drop(db);
    let db = open();
    check(&db);
    assert_sound(&db);
    db.close().unwrap();
    drop(db);
    assert_no_strays(&disk);
    assert!(keys_by_number(&disk).0.contains_key(&300), "numbers beyond those of one byte were used");
}

#[test]
fn a_dropped_keyspace_is_gone_for_its_handles_and_one_of_the_same_name_is_new() {
    let (disk, db) = memory();
    let old = db.keyspace("cache").unwrap();
    let clone = old.clone();
    common::put_all_in(&old, &["a", "b"]);
    let before = old.snapshot();
    let whole = db.snapshot();
    assert!(db.drop_keyspace("cache").unwrap());
    assert!(!db.drop_keyspace("cache").unwrap());
    assert_eq!(db.keyspaces().unwrap(), ["default"]);
    assert_eq!(before.len().unwrap(), 2, "a snapshot shows its moment");
    assert_eq!(whole.keyspace(&old).unwrap().len().unwrap(), 2);

    let new = db.keyspace("cache").unwrap();
    new.put("c", "3").unwrap();
    let present = WriteOptions::new().condition(Condition::IfPresent);
    for old in [&old, &clone] {
        let refused = [
            old.get("a").err(),
            old.contains("a").err(),
            old.multi_get(["a"]).err(),
            old.len().err(),
            old.first().err(),
            old.iter().next().and_then(Result::err),
            old.scan::<&str>(..).next().err(),
            old.snapshot().get("a").err(),
            old.put("a", "1").err(),
            old.put_with("a", "1", &present).err(),
            old.delete("a").err(),
            old.clear().err(),
            old.batch().put("a", "1").commit().err(),
            db.batch().put("x", "1").put_in(old, "a", "1").commit().err(),
            db.batch().delete_in(old, "a").commit().err(),
            db.snapshot().keyspace(old).err(),
        ];
        for (i, error) in refused.into_iter().enumerate() {
            let error = error.unwrap_or_else(|| panic!("call {i} is refused"));
            assert_eq!(error.kind(), ErrorKind::NoKeyspace, "call {i}: {error:?}");
            assert!(error.hint().is_some() && !error.is_retryable());
        }
    }
    assert_eq!(keys(new.iter()), ["c"]);
    assert!(!db.contains("x").unwrap(), "a refused batch writes nothing");
    assert_eq!(whole.keyspace(&new).unwrap_err().kind(), ErrorKind::NoKeyspace, "it was not there yet");
    drop((before, whole));
    db.close().unwrap();
    assert_eq!(new.get("c").unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(db.keyspaces().unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(db.keyspace("cache").unwrap_err().kind(), ErrorKind::Closed);
    drop((db, old, clone, new));
    assert_no_strays(&disk);
}

#[test]
fn a_batch_over_keyspaces_applies_whole_and_a_snapshot_shows_them_at_one_moment() {
    let (_disk, db) = memory();
    let (a, b) = (db.keyspace("a").unwrap(), db.keyspace("b").unwrap());
    a.batch().put("k", "1").put_in(&b, "k", "2").put_in(&db, "k", "3").commit().unwrap();
    let snapshot = b.snapshot();
    db.batch().delete("k").delete_in(&a, "k").put_in(&b, "k", "4").commit().unwrap();
    let at = |keyspace: &Keyspace| {
        let there = snapshot.keyspace(keyspace).unwrap();
        assert_eq!(there.seq(), snapshot.seq());
        there.get("k").unwrap().map(|value| String::from_utf8(value.to_vec()).unwrap())
    };
    assert_eq!([at(&a), at(&b), at(&db)], ["1", "2", "3"].map(|value| Some(value.to_owned())));
    assert_eq!([text(&a, "k"), text(&b, "k"), text(&db, "k")], [None, Some("4".to_owned()), None]);
}

#[test]
fn a_keyspace_of_another_database_is_refused() {
    let ((_, one), (_, two)) = (memory(), memory());
    let users = two.keyspace("users").unwrap();
    one.keyspace("users").unwrap();
    for foreign in [&users, &two] {
        let error = one.batch().put("a", "1").put_in(foreign, "b", "2").commit().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
        assert_eq!(one.snapshot().keyspace(foreign).unwrap_err().kind(), ErrorKind::InvalidInput);
    }
    assert!(one.is_empty().unwrap() && two.is_empty().unwrap());
}

/// Writers who hold a handle while another thread drops the keyspace and makes it anew: a write is there, was removed by the
/// drop, or is refused. One that came after the drop would leave keys of no keyspace.
#[test]
fn no_write_gets_into_a_keyspace_after_it_was_dropped() {
    let disk = SimVfs::new();
    let db = tiny(on(&disk)).durability(Durability::Memory).open().unwrap();
    let (stop, refused) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for writer in 0..3 {
            let (db, stop, refused) = (&db, &stop, &refused);
            scope.spawn(move || {
                let mut i = 0;
                while !stop.load(Ordering::Acquire) {
                    let keyspace = db.keyspace("busy").unwrap();
                    for _ in 0..50 {
                        i += 1;
                        let key = format!("{writer}/{i}");
                        let done = match i % 3 {
                            0 => db.batch().put("batches", &key).put_in(&keyspace, &key, "v").commit().map(drop),
                            1 => keyspace.put(&key, "v").map(drop),
                            _ => keyspace.delete(format!("{writer}/{}", i - 1)).map(drop),
                        };
                        if let Err(error) = done {
                            assert_eq!(error.kind(), ErrorKind::NoKeyspace, "{error:?}");
                            refused.fetch_add(1, Ordering::Relaxed);
                            break;
                        }
                    }
                }
            });
        }
        // Until the two have met often enough.
        while refused.load(Ordering::Relaxed) < u64::from(100 * common::scale()) {
            db.keyspace("busy").unwrap();
            assert!(db.drop_keyspace("busy").unwrap());
            std::thread::sleep(std::time::Duration::from_micros(200));
        }
        stop.store(true, Ordering::Release);
    });
    db.drop_keyspace("busy").unwrap();
    db.close().unwrap();
    drop(db);
    assert_no_strays(&disk);
    assert!(keys_by_number(&disk).1.is_empty());
}

#[test]
fn a_keyspace_that_many_threads_ask_for_is_made_once() {
    let (_disk, db) = memory();
    std::thread::scope(|scope| {
        for writer in 0..4 {
            let db = &db;
            scope.spawn(move || {
                for i in 0..30 {
                    db.keyspace(format!("ks{i}")).unwrap().put(format!("{writer}"), "").unwrap();
                }
            });
        }
    });
    for i in 0..30 {
        assert_eq!(db.keyspace(format!("ks{i}")).unwrap().len().unwrap(), 4);
    }
    assert_eq!(db.keyspaces().unwrap().len(), 31);
}
