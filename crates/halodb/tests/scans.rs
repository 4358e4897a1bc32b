//! Iterators from both ends, prefixes, seeks; snapshots that stay as they are.

mod common;

use std::ops::Bound;

use common::{keys, memory, on, put_all, tiny};
use halodb::vfs::SimVfs;
use halodb::{Db, Durability, ErrorKind, Result};

fn letters() -> (SimVfs, Db) {
    let (disk, db) = memory();
    put_all(&db, &["a", "c", "e"]);
    db.flush().unwrap();
    put_all(&db, &["b", "d", "f"]);
    (disk, db)
}

#[test]
fn a_scan_is_in_key_order_whatever_lies_in_memory_or_in_trees() {
    let (_disk, db) = letters();
    assert_eq!(keys(db.iter()), ["a", "b", "c", "d", "e", "f"]);
    let backwards: Vec<_> = db.iter().rev().map(|pair| pair.unwrap().0.to_vec()).collect();
    assert_eq!(backwards, [b"f", b"e", b"d", b"c", b"b", b"a"]);
    assert_eq!(db.first().unwrap().unwrap().0, b"a");
    assert_eq!(db.last().unwrap().unwrap().0, b"f");
}

#[test]
fn the_ends_of_an_iterator_meet_and_give_every_pair_once() {
    let (_disk, db) = letters();
    // Every pattern of six steps from the front (bit 0) and the back (bit 1).
    for pattern in 0..64u32 {
        let mut pairs = db.iter();
        let mut expected: std::collections::VecDeque<_> = "abcdef".bytes().collect();
        for step in 0..6 {
            let (found, wanted) = match pattern >> step & 1 {
                0 => (pairs.next(), expected.pop_front()),
                _ => (pairs.next_back(), expected.pop_back()),
            };
            assert_eq!(found.map(|pair| pair.unwrap().0[0]), wanted, "pattern {pattern:06b}, step {step}");
        }
        assert!(pairs.next().is_none() && pairs.next_back().is_none(), "pattern {pattern:06b}");
    }
}

#[test]
fn the_ends_of_a_scan_meet_and_lend_every_pair_once() {
    let (_disk, db) = letters();
    for pattern in 0..64u32 {
        let mut scan = db.scan("a"..="f");
        let mut expected: std::collections::VecDeque<_> = "abcdef".bytes().collect();
        for step in 0..6 {
            let (found, wanted) = match pattern >> step & 1 {
                0 => (scan.next().unwrap(), expected.pop_front()),
                _ => (scan.next_back().unwrap(), expected.pop_back()),
            };
            assert_eq!(found.map(|(key, _)| key[0]), wanted, "pattern {pattern:06b}, step {step}");
        }
        assert_eq!(scan.next().unwrap(), None, "pattern {pattern:06b}");
        assert_eq!(scan.next_back().unwrap(), None, "pattern {pattern:06b}");
        scan.seek("e");
        assert_eq!(scan.next_back().unwrap().map(|(key, _)| key[0]), Some(b'f'), "begun again");
        assert_eq!(scan.next().unwrap().map(|(key, _)| key[0]), Some(b'e'));
        assert_eq!(scan.next().unwrap(), None);
    }
}

#[test]
fn a_scan_turns_at_keys_of_any_prefix() {
    let (_disk, db) = memory();
    // Keys at hand that share much, then little, then nothing but a byte; some of them in the trees, some in memory, some in both.
    let mut names: Vec<String> =
        (0..300).map(|i| format!("{}{i:03}", ["common/prefix/", "common/", "d"][i / 100])).collect();
    names.sort();
    for (i, name) in names.iter().enumerate().filter(|(i, _)| i % 3 > 0) {
        db.put(name, [i as u8]).unwrap();
    }
    db.flush().unwrap();
    for (i, name) in names.iter().enumerate().filter(|(i, _)| i % 3 < 2) {
        db.put(name, [i as u8]).unwrap();
    }
    let (mut front, mut back) = (db.scan::<&str>(..), db.scan::<&str>(..));
    for (i, name) in names.iter().enumerate() {
        assert_eq!(front.next().unwrap(), Some((name.as_bytes(), &[i as u8][..])));
    }
    for (i, name) in names.iter().enumerate().rev() {
        assert_eq!(back.next_back().unwrap(), Some((name.as_bytes(), &[i as u8][..])));
    }
    assert_eq!((front.next().unwrap(), back.next_back().unwrap()), (None, None));
}

#[test]
fn a_range_takes_its_bounds_as_they_are_meant() {
    let (_disk, db) = letters();
    let check = |from: Bound<&str>, to: Bound<&str>, expected: &str| {
        let found = keys(db.range::<&str>((from, to))).concat();
        assert_eq!(found, expected, "{from:?} {to:?}");
        let mut backwards = db.range::<&str>((from, to)).rev().map(|pair| pair.unwrap().0[0]).collect::<Vec<_>>();
        backwards.reverse();
        assert_eq!(backwards, expected.as_bytes(), "{from:?} {to:?} backwards");
        assert_eq!(db.count::<&str>((from, to)).unwrap(), expected.len() as u64, "{from:?} {to:?} counted");
    };
    use Bound::{Excluded, Included, Unbounded};
    check(Unbounded, Unbounded, "abcdef");
    check(Included("b"), Excluded("e"), "bcd");
    check(Included("b"), Included("e"), "bcde");
    check(Excluded("b"), Excluded("e"), "cd");
    check(Excluded("b"), Included("b"), "");
    check(Included("b"), Included("b"), "b");
    check(Included("bb"), Unbounded, "cdef");
    check(Excluded("bb"), Included("ee"), "cde");
    check(Unbounded, Excluded("a"), "");
    check(Excluded("f"), Unbounded, "");
    check(Included("e"), Excluded("b"), "");
    check(Included(""), Included(""), "");
    check(Excluded(""), Unbounded, "abcdef");
}

#[test]
fn a_prefix_of_high_bytes_has_an_end() {
    let (_disk, db) = memory();
    let keys: [&[u8]; 6] = [b"a", b"\xfe\xff", b"\xff", b"\xff\x00", b"\xff\xff", b"\xff\xff\xff"];
    keys.iter().fold(db.batch(), |batch, key| batch.put(key, "v")).commit().unwrap();
    for (prefix, expected) in [(&b""[..], 6), (b"\xff", 4), (b"\xff\xff", 2), (b"\xfe", 1), (b"\xff\xff\xff\xff", 0)] {
        assert_eq!(db.prefix(prefix).count(), expected, "{prefix:?}");
        assert_eq!(db.prefix(prefix).rev().count(), expected, "{prefix:?} backwards");
        assert_eq!(db.count_prefix(prefix).unwrap(), expected as u64, "{prefix:?} counted");
    }
}

#[test]
fn a_seek_begins_again_within_the_range() {
    let (_disk, db) = letters();
    let mut pairs = db.range("b".."f");
    let next = |pairs: &mut halodb::Iter| pairs.next().map(|pair| pair.unwrap().0[0] as char);
    assert_eq!(next(&mut pairs), Some('b'));
    pairs.seek("d");
    assert_eq!(next(&mut pairs), Some('d'));
    pairs.seek("a");
    assert_eq!(next(&mut pairs), Some('b'), "a seek does not leave the range");
    assert_eq!(pairs.next_back().unwrap().unwrap().0, b"e");
    pairs.seek("cc");
    assert_eq!(keys(pairs), ["d", "e"]);
    let mut pairs = db.range("b".."f");
    pairs.seek("x");
    assert!(pairs.next().is_none() && pairs.next_back().is_none());
    pairs.seek("e");
    assert_eq!(next(&mut pairs), Some('e'), "an exhausted iterator can be sought again");
}

#[test]
fn keys_and_values_follow_their_iterator() {
    let (_disk, db) = memory();
    db.batch().put("a", "1").put("b", "2").put("c", "3").commit().unwrap();
    let values: Vec<_> = db.range("b"..).values().map(|value| value.unwrap().to_vec()).collect();
    assert_eq!(values, [b"2", b"3"]);
    let mut pairs = db.iter();
    pairs.next();
    let last: Vec<_> = pairs.keys().rev().map(|key| key.unwrap().to_vec()).collect();
    assert_eq!(last, [b"c", b"b"]);
}

#[test]
fn a_snapshot_stays_while_everything_around_it_changes() {
    let disk = SimVfs::new();
    let db = tiny(on(&disk)).durability(Durability::Memory).open().unwrap();
    for i in 0..500 {
        db.put(format!("k{i:04}"), "old").unwrap();
    }
    let before = db.snapshot();
    let seq = before.seq();
    let mut running = before.range("k01".."k04");
    let first = running.next().unwrap().unwrap();
    for round in 0..5 {
        for i in (0..1000).step_by(3) {
            db.put(format!("k{i:04}"), format!("{round} {}", "new".repeat(20))).unwrap();
        }
        for i in (0..500).step_by(5) {
            db.delete(format!("k{i:04}")).unwrap();
        }
        db.flush().unwrap();
        if round == 2 {
            db.clear().unwrap();
        }
    }
    assert!(db.stats().merges > 5);
    assert_eq!(before.seq(), seq);
    assert_eq!(before.len().unwrap(), 500);
    assert_eq!(before.iter().count(), 500);
    assert!(before.iter().values().all(|value| *value.unwrap() == *b"old"));
    assert_eq!(before.count("k0100".."k0200").unwrap(), 100);
    assert_eq!(before.get("k0000").unwrap().as_deref(), Some(&b"old"[..]));
    assert_eq!(first.0, b"k0100");
    assert_eq!(running.count(), 299);
}

#[test]
fn snapshots_and_iterators_outlive_their_database() {
    let (_disk, db) = letters();
    let snapshot = db.snapshot();
    let mut pairs = db.iter();
    assert_eq!(pairs.next().unwrap().unwrap().0, b"a");
    db.close().unwrap();
    drop(db);
    assert_eq!(pairs.next_back().unwrap().unwrap().0, b"f");
    assert_eq!(keys(pairs), ["b", "c", "d", "e"]);
    assert_eq!(snapshot.len().unwrap(), 6);
    assert!(snapshot.contains("c").unwrap());
    assert_eq!(keys(snapshot.prefix("d")), ["d"]);
}

#[test]
fn an_iterator_of_a_closed_database_gives_its_error_once() {
    let (_disk, db) = letters();
    db.close().unwrap();
    let mut pairs = db.iter();
    assert_eq!(pairs.next().unwrap().unwrap_err().kind(), ErrorKind::Closed);
    assert!(pairs.next().is_none() && pairs.next_back().is_none());
    assert_eq!(db.prefix("a").collect::<Result<Vec<_>>>().unwrap_err().kind(), ErrorKind::Closed);
    let mut scan = db.scan_prefix("a");
    assert_eq!(scan.next().unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(scan.next().unwrap(), None);
    assert_eq!(db.multi_get(["a"]).unwrap_err().kind(), ErrorKind::Closed);
}
