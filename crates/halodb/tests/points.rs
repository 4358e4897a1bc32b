//! Puts, gets, deletes, conditions and batches through the public interface.

mod common;

use common::{memory, put_all, text};
use halodb::{Condition, Durability, ErrorKind, WriteOptions};

#[test]
fn what_was_put_is_read_back_until_it_is_deleted() {
    let (_disk, db) = memory();
    assert_eq!(text(&db, "a"), None);
    db.put("a", "1").unwrap();
    assert_eq!(text(&db, "a").as_deref(), Some("1"));
    db.put("a", "2").unwrap();
    assert_eq!(text(&db, "a").as_deref(), Some("2"));
    assert!(db.delete("a").unwrap());
    assert!(!db.delete("a").unwrap());
    assert!(!db.contains("a").unwrap());
}

#[test]
fn any_bytes_are_a_key_and_any_bytes_are_a_value() {
    let (_disk, db) = memory();
    let keys: [&[u8]; 7] = [b"\x00", b"\xff", b"\x00\xff", b"\xff\xff\xff", b"\x01", b"\x02", b"\n"];
    for key in keys {
        db.put(key, key).unwrap();
    }
    for key in keys {
        assert_eq!(db.get(key).unwrap().as_deref(), Some(key));
    }
    let mut sorted = keys.to_vec();
    sorted.sort();
    let found: Vec<_> = db.iter().keys().map(|key| key.unwrap().to_vec()).collect();
    assert_eq!(found, sorted);
}

#[test]
fn the_empty_value_is_a_value() {
    let (_disk, db) = memory();
    db.put("a", "").unwrap();
    assert_eq!(text(&db, "a").as_deref(), Some(""));
    db.flush().unwrap();
    assert_eq!(text(&db, "a").as_deref(), Some(""));
    assert!(db.contains("a").unwrap());
    assert_eq!(db.first().unwrap().map(|(_, value)| value.len()), Some(0));
}

#[test]
fn illegal_keys_are_refused_by_every_call_before_anything_is_written() {
    let (_disk, db) = memory();
    let before = db.last_seq();
    let long = vec![b'k'; 4097];
    for key in [&b""[..], &long] {
        let once = WriteOptions::new().condition(Condition::IfAbsent);
        let refused = [
            db.get(key).err(),
            db.get_with(key, |_| ()).err(),
            db.contains(key).err(),
            db.put(key, "v").err(),
            db.put_with(key, "v", &once).err(),
            db.delete(key).err(),
            db.batch().put("legal", "v").put(key, "v").commit().err(),
            db.batch().delete(key).put("legal", "v").commit().err(),
            db.snapshot().get(key).err(),
        ];
        for error in refused {
            let error = error.expect("refused");
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
            assert!(error.to_string().contains("4096"), "{error}");
        }
    }
    assert_eq!(db.last_seq(), before);
    assert!(db.is_empty().unwrap());
    db.put(&long[..4096], "v").unwrap();
    assert!(db.contains(&long[..4096]).unwrap());
}

#[test]
fn a_value_of_five_megabytes_is_read_back_from_memory_and_from_the_tree() {
    let (disk, db) = memory();
    let value: Vec<u8> = (0..5 << 20).map(|i: u32| (i.wrapping_mul(2_654_435_761) >> 8) as u8).collect();
    db.put("large", &value).unwrap();
    assert_eq!(db.get("large").unwrap().as_deref(), Some(&value[..]));
    db.flush().unwrap();
    assert_eq!(db.get_with("large", |bytes| bytes == value).unwrap(), Some(true));
    db.close().unwrap();
    let db = common::on(&disk).open().unwrap();
    assert_eq!(db.get("large").unwrap().as_deref(), Some(&value[..]));
    common::assert_sound(&db);
}

#[test]
fn a_condition_decides_whether_a_put_applies() {
    let (_disk, db) = memory();
    let absent = WriteOptions::new().condition(Condition::IfAbsent);
    let present = WriteOptions::new().condition(Condition::IfPresent);
    assert_eq!(db.put_with("a", "1", &present).unwrap(), None);
    assert!(db.put_with("a", "1", &absent).unwrap().is_some());
    assert_eq!(db.put_with("a", "2", &absent).unwrap(), None);
    assert!(db.put_with("a", "3", &present).unwrap().is_some());
    assert_eq!(text(&db, "a").as_deref(), Some("3"));
    assert!(db.put_with("a", "4", &WriteOptions::default()).unwrap().is_some());

    db.flush().unwrap();
    assert_eq!(db.put_with("a", "5", &absent).unwrap(), None);
    db.delete("a").unwrap();
    assert!(db.put_with("a", "6", &absent).unwrap().is_some());
    assert_eq!(text(&db, "a").as_deref(), Some("6"));
}

#[test]
fn of_two_threads_that_put_if_absent_exactly_one_wins() {
    let (_disk, db) = memory();
    let once = WriteOptions::new().condition(Condition::IfAbsent).durability(Durability::Memory);
    for round in 0..200 {
        let key = format!("leader/{round}");
        let wins: usize = std::thread::scope(|scope| {
            let racers = [0, 1].map(|racer| {
                let (db, key) = (&db, &key);
                scope.spawn(move || db.put_with(key, format!("{racer}"), &once).unwrap().is_some())
            });
            racers.map(|racer| usize::from(racer.join().unwrap())).iter().sum()
        });
        assert_eq!(wins, 1, "{key}");
    }
}

#[test]
fn of_several_writes_of_a_batch_to_one_key_the_last_counts() {
    let (_disk, db) = memory();
    db.put("gone", "v").unwrap();
    let batch = db.batch().put("a", "1").delete("a").put("a", "2").put("b", "1").delete("b").delete("gone");
    assert!(!batch.is_empty() && batch.len() > 2 && batch.len_bytes() > 4);
    batch.commit().unwrap();
    assert_eq!(common::keys(db.iter()), ["a"]);
    assert_eq!(text(&db, "a").as_deref(), Some("2"));
}

#[test]
fn an_empty_batch_is_answered_with_the_last_number() {
    let (_disk, db) = memory();
    let last = db.put("a", "1").unwrap();
    assert!(db.batch().is_empty());
    assert_eq!(db.batch().commit().unwrap(), last);
}

#[test]
fn sequence_numbers_grow_and_last_seq_covers_every_finished_write() {
    let (_disk, db) = memory();
    let mut last = 0;
    for i in 0..20 {
        let seq = db.put("a", format!("{i}")).unwrap().seq;
        assert!(seq > last && db.last_seq() >= seq);
        last = seq;
    }
    db.delete("a").unwrap();
    assert!(db.last_seq() > last);
    db.wait_durable(db.last_seq()).unwrap();
}

#[test]
fn clear_removes_everything_whether_merged_or_not_and_leaves_a_usable_database() {
    let (disk, db) = memory();
    put_all(&db, &["a", "b"]);
    db.flush().unwrap();
    put_all(&db, &["b", "c", "\u{ff}"]);
    let before = db.snapshot();
    db.clear().unwrap();
    assert_eq!((db.len().unwrap(), db.is_empty().unwrap()), (0, true));
    assert_eq!(common::keys(db.iter()), [""; 0]);
    assert_eq!(before.len().unwrap(), 4);
    put_all(&db, &["b"]);
    db.flush().unwrap();
    assert_eq!(common::keys(db.iter()), ["b"]);
    assert_eq!(before.len().unwrap(), 4);
    drop((before, db));
    assert_eq!(common::on(&disk).open().unwrap().len().unwrap(), 1);
}

#[test]
fn counts_are_exact_before_between_and_after_merges() {
    let (_disk, db) = memory();
    let batch = (0..100).fold(db.batch(), |batch, i| batch.put(format!("k{i:03}"), "v"));
    batch.commit().unwrap();
    db.flush().unwrap();
    for i in (0..100).step_by(2) {
        db.delete(format!("k{i:03}")).unwrap();
    }
    for i in 90..110 {
        db.put(format!("k{i:03}"), "w").unwrap();
    }
    let expected = |from: usize, to: usize| {
        (from..to).filter(|i| (90..110).contains(i) || (*i < 100 && i % 2 == 1)).count() as u64
    };
    for _ in 0..2 {
        assert_eq!(db.len().unwrap(), expected(0, 110));
        assert_eq!(db.count("k010".."k095").unwrap(), expected(10, 95));
        assert_eq!(db.count("k010"..="k095").unwrap(), expected(10, 96));
        assert_eq!(db.count_prefix("k09").unwrap(), expected(90, 100));
        assert_eq!(db.count_prefix("").unwrap(), expected(0, 110));
        assert_eq!(db.count("k2"..).unwrap(), 0);
        assert_eq!(db.count("k095".."k010").unwrap(), 0);
        assert_eq!(db.iter().count() as u64, expected(0, 110));
        db.flush().unwrap();
    }
}

#[test]
fn the_database_and_all_it_gives_out_cross_threads() {
    fn sends<T: Send + 'static>() {}
    fn shares<T: Sync>() {}
    sends::<halodb::Db>();
    shares::<halodb::Db>();
    sends::<halodb::Snapshot>();
    shares::<halodb::Snapshot>();
    sends::<halodb::Iter>();
    sends::<halodb::Keys>();
    sends::<halodb::Values>();
    sends::<halodb::Batch>();
    sends::<halodb::Key>();
    shares::<halodb::Key>();
    sends::<halodb::Value>();
    shares::<halodb::Value>();
    sends::<halodb::Builder>();
    sends::<halodb::Error>();
    shares::<halodb::Error>();
}
