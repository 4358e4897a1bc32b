//! The corners, one small case each.

use std::sync::Arc;

use halodb_memtable::{Entry, Found, Memtable};

fn value(text: &str) -> Entry {
    Entry::Value(text.as_bytes().into())
}

/// `expected` is `SEQ=VALUE`, `SEQ deleted` or `nothing`.
#[track_caller]
fn check(found: Option<Found>, expected: &str) {
    let got = match found {
        None => "nothing".to_owned(),
        Some(Found { seq, entry: Entry::Tombstone }) => format!("{seq} deleted"),
        Some(Found { seq, entry: Entry::Value(value) }) => format!("{seq}={}", String::from_utf8_lossy(&value)),
    };
    assert_eq!(got, expected);
}

#[test]
fn a_range_delete_hides_older_versions_and_spares_its_own_batch() {
    let table = Memtable::new();
    table.insert(b"k", 4, value("old"));
    table.delete_range(b"a", Some(b"z"), 5);
    check(table.get(b"k", 4), "4=old");
    check(table.get(b"k", 5), "5 deleted");
    table.insert(b"k", 5, value("same batch"));
    check(table.get(b"k", 5), "5=same batch");
    table.insert(b"k", 6, value("new"));
    check(table.get(b"k", 5), "5=same batch");
    check(table.get(b"k", 6), "6=new");
}

#[test]
fn a_range_delete_is_a_tombstone_for_keys_the_table_does_not_hold() {
    let table = Memtable::new();
    table.delete_range(b"b", Some(b"d"), 3);
    table.delete_range(b"c", None, 2);
    check(table.get(b"a", 9), "nothing");
    check(table.get(b"b", 9), "3 deleted");
    check(table.get(b"c", 9), "3 deleted");
    check(table.get(b"c", 2), "2 deleted");
    check(table.get(b"c", 1), "nothing");
    check(table.get(b"d", 9), "2 deleted");
    check(table.newest(b"zz"), "2 deleted");
    check(table.newest(b""), "nothing");
}

#[test]
fn a_range_that_ends_before_it_begins_leaves_no_trace() {
    let table = Memtable::new();
    table.delete_range(b"k", Some(b"k"), 3);
    table.delete_range(b"k", Some(b"a"), 4);
    check(table.newest(b"k"), "nothing");
    assert!(table.is_empty());
    assert_eq!((table.size_bytes(), table.versions(), table.last_seq()), (0, 0, 0));
}

#[test]
fn a_cursor_gives_own_keys_only_and_counts_range_deletes_on_them() {
    let table = Arc::new(Memtable::new());
    table.insert(b"a", 1, value("1"));
    table.insert(b"c", 1, value("1"));
    table.delete_range(b"b", None, 2);
    let mut cursor = table.cursor(9);
    cursor.seek_first();
    assert_eq!(cursor.key(), Some(b"a".as_slice()));
    check(cursor.found().cloned(), "1=1");
    cursor.next();
    assert_eq!(cursor.key(), Some(b"c".as_slice()));
    check(cursor.found().cloned(), "2 deleted");
    cursor.next();
    assert_eq!((cursor.key(), cursor.found()), (None, None));
    cursor.prev();
    assert_eq!(cursor.key(), None, "past the end there is no key to step back from");
    cursor.seek_back(b"bbb");
    assert_eq!(cursor.key(), Some(b"a".as_slice()));
}

#[test]
fn a_cursor_steps_over_more_younger_keys_than_it_looks_at_under_one_lock() {
    for younger in [255_u64, 256, 257, 511, 512, 513, 3000] {
        let table = Arc::new(Memtable::new());
        table.insert(b"a", 1, value("first"));
        for n in 0..younger {
            table.insert(format!("b{n:05}").as_bytes(), 2 + n, value("younger"));
        }
        let mut cursor = table.cursor(1);
        cursor.seek(b"b");
        assert_eq!(cursor.key(), None, "{younger} younger keys and no other");

        table.insert(b"c", 1, value("last"));
        cursor.seek_first();
        cursor.next();
        assert_eq!(cursor.key(), Some(b"c".as_slice()), "{younger} younger keys forward");
        cursor.prev();
        assert_eq!(cursor.key(), Some(b"a".as_slice()), "{younger} younger keys backward");
    }
}

#[test]
fn a_cursor_keeps_its_table_and_a_value_outlives_both() {
    let table = Arc::new(Memtable::new());
    table.insert(b"k", 1, value("v"));
    let mut cursor = table.cursor(1);
    drop(table);
    cursor.seek_first();
    let found = cursor.found().cloned();
    drop(cursor);
    check(found, "1=v");
}

#[test]
fn the_empty_key_and_the_empty_value_are_ordinary() {
    let table = Memtable::new();
    table.insert(b"", 1, value(""));
    check(table.get(b"", 1), "1=");
    check(table.get(b"", 0), "nothing");
}

#[test]
fn debug_output_does_not_print_the_content() {
    let table = Memtable::new();
    table.insert(b"secret", 7, value("v"));
    assert_eq!(format!("{table:?}"), "Memtable { versions: 1, size_bytes: 151, last_seq: 7, .. }");
}
