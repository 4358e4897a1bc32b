//! The corners, one small case each.

use std::sync::Arc;

use std::hash::{DefaultHasher, Hasher};

use halodb_memtable::{Entry, Found, Memtable, Pool};

fn value(text: &str) -> Entry<'_> {
    Entry::Value(text.as_bytes())
}

fn hash(key: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(key);
    hasher.finish()
}

fn insert(table: &Memtable, key: &[u8], seq: u64, entry: Entry<'_>) {
    table.insert(hash(key), key, seq, entry);
}

fn get<'a>(table: &'a Memtable, key: &[u8], at: u64) -> Option<Found<'a>> {
    table.get(hash(key), key, at)
}

/// `expected` is `SEQ=VALUE`, `SEQ deleted` or `nothing`.
#[track_caller]
fn check(found: Option<Found<'_>>, expected: &str) {
    let got = match found {
        None => "nothing".to_owned(),
        Some(Found { seq, entry: Entry::Tombstone }) => format!("{seq} deleted"),
        Some(Found { seq, entry: Entry::Value(value) }) => format!("{seq}={}", String::from_utf8_lossy(value)),
        Some(Found { seq, entry: Entry::Expiring(value, at_ms) }) => {
            format!("{seq}={} until {at_ms}", String::from_utf8_lossy(value))
        }
    };
    assert_eq!(got, expected);
}

#[test]
fn a_range_delete_hides_older_versions_and_spares_its_own_batch() {
    let table = Memtable::new();
    insert(&table, b"k", 4, value("old"));
    table.delete_range(b"a", Some(b"z"), 5);
    check(get(&table, b"k", 4), "4=old");
    check(get(&table, b"k", 5), "5 deleted");
    insert(&table, b"k", 5, value("same batch"));
    check(get(&table, b"k", 5), "5=same batch");
    insert(&table, b"k", 6, value("new"));
    check(get(&table, b"k", 5), "5=same batch");
    check(get(&table, b"k", 6), "6=new");
}

#[test]
fn a_range_delete_is_a_tombstone_for_keys_the_table_does_not_hold() {
    let table = Memtable::new();
    table.delete_range(b"b", Some(b"d"), 3);
    table.delete_range(b"c", None, 2);
    check(get(&table, b"a", 9), "nothing");
    check(get(&table, b"b", 9), "3 deleted");
    check(get(&table, b"c", 9), "3 deleted");
    check(get(&table, b"c", 2), "2 deleted");
    check(get(&table, b"c", 1), "nothing");
    check(get(&table, b"d", 9), "2 deleted");
    check(table.newest(hash(b"zz"), b"zz"), "2 deleted");
    check(table.newest(hash(b""), b""), "nothing");
}

#[test]
fn a_range_that_ends_before_it_begins_leaves_no_trace() {
    let table = Memtable::new();
    table.delete_range(b"k", Some(b"k"), 3);
    table.delete_range(b"k", Some(b"a"), 4);
    check(table.newest(hash(b"k"), b"k"), "nothing");
    assert!(table.is_empty());
    assert_eq!((table.size_bytes(), table.versions(), table.last_seq()), (0, 0, 0));
}

#[test]
fn a_cursor_gives_own_keys_only_and_counts_range_deletes_on_them() {
    let table = Arc::new(Memtable::new());
    insert(&table, b"a", 1, value("1"));
    insert(&table, b"c", 1, value("1"));
    table.delete_range(b"b", None, 2);
    let mut cursor = table.cursor(9);
    cursor.seek_first();
    assert_eq!(cursor.key(), Some(b"a".as_slice()));
    check(cursor.found(), "1=1");
    cursor.next();
    assert_eq!(cursor.key(), Some(b"c".as_slice()));
    check(cursor.found(), "2 deleted");
    cursor.next();
    assert_eq!((cursor.key(), cursor.found()), (None, None));
    cursor.prev();
    assert_eq!(cursor.key(), None, "past the end there is no key to step back from");
    cursor.seek_back(b"bbb");
    assert_eq!(cursor.key(), Some(b"a".as_slice()));
}

#[test]
fn a_cursor_steps_over_younger_keys_and_versions_both_ways() {
    for younger in [1_u64, 255, 3000] {
        let table = Arc::new(Memtable::new());
        insert(&table, b"a", 1, value("first"));
        insert(&table, b"c", 1, value("last"));
        for n in 0..younger {
            insert(&table, format!("b{n:05}").as_bytes(), 2 + n, value("younger"));
            insert(&table, b"c", 2 + n, Entry::Tombstone);
        }
        let mut cursor = table.cursor(1);
        cursor.seek(b"b");
        check(cursor.found(), "1=last");
        cursor.prev();
        check(cursor.found(), "1=first");
        cursor.next();
        assert_eq!(cursor.key(), Some(b"c".as_slice()), "{younger} younger keys forward");
        cursor.next();
        assert_eq!(cursor.key(), None);
    }
}

#[test]
fn a_cursor_keeps_its_table_and_a_value_outlives_both() {
    let table = Arc::new(Memtable::new());
    insert(&table, b"k", 1, value("v"));
    insert(&table, b"l", 2, Entry::Tombstone);
    assert!(table.get_shared(hash(b"l"), b"l", 2).is_some_and(|(seq, value)| seq == 2 && value.is_none()));
    assert!(table.get_shared(hash(b"l"), b"l", 1).is_none());
    let (seq, shared) = table.get_shared(hash(b"k"), b"k", 1).expect("it was written");
    let mut cursor = table.cursor(1);
    drop(table);
    cursor.seek_first();
    check(cursor.found(), "1=v");
    let value = cursor.value().expect("it is no tombstone");
    drop(cursor);
    assert_eq!((seq, shared.as_deref(), &*value), (1, Some(b"v".as_slice()), b"v".as_slice()));
}

#[test]
fn a_shared_value_is_hidden_by_a_younger_range_delete() {
    let table = Memtable::new();
    insert(&table, b"k", 1, value("v"));
    table.delete_range(b"a", None, 2);
    assert!(table.get_shared(hash(b"k"), b"k", 2).is_some_and(|(seq, value)| seq == 2 && value.is_none()));
    assert!(table.get_shared(hash(b"k"), b"k", 1).is_some_and(|(_, value)| value.as_deref() == Some(b"v")));
}

#[test]
fn a_table_grows_and_its_memory_serves_the_next_one() {
    let pool = Arc::new(Pool::new(64 << 20));
    for _ in 0..3 {
        let kept = pool.bytes();
        let table = Arc::new(Memtable::with_pool(pool.clone()));
        for n in 0..30_000_u64 {
            insert(
                &table,
                format!("{:08}", n * 7919 % 30_000).as_bytes(),
                n,
                value("something to fill the chunks with"),
            );
        }
        for n in 0..30_000_u64 {
            let key = format!("{:08}", n * 7919 % 30_000);
            check(get(&table, key.as_bytes(), n), &format!("{n}=something to fill the chunks with"));
            check(table.newest(hash(&n.to_le_bytes()), &n.to_le_bytes()), "nothing");
        }
        assert!(kept == 0 || pool.bytes() < kept / 2, "{} of {kept} bytes are left", pool.bytes());
        let mut cursor = table.cursor(u64::MAX);
        cursor.seek_first();
        for n in 0..30_000 {
            assert_eq!(cursor.key(), Some(format!("{n:08}").as_bytes()));
            cursor.next();
        }
        assert_eq!(cursor.key(), None);
        drop((table, cursor));
        assert!(pool.bytes() > 1 << 20);
    }
    pool.clear();
    assert_eq!(pool.bytes(), 0);
}

#[test]
fn large_values_and_keys_lie_beside_small_ones() {
    let table = Memtable::new();
    for (seq, len) in [0, 70_000, 5_000_000, 3, 262_144, 300_000].into_iter().enumerate() {
        let large = vec![seq as u8; len];
        insert(&table, &large, seq as u64, Entry::Value(&large));
        insert(&table, format!("{seq}").as_bytes(), seq as u64, value("small"));
        assert_eq!(get(&table, &large, 9).and_then(|found| found.entry.value()), Some(&large[..]));
    }
    for seq in 0..6 {
        check(get(&table, format!("{seq}").as_bytes(), 9), &format!("{seq}=small"));
    }
}

#[test]
fn there_is_room_for_4_gib() {
    assert!(Memtable::new().has_room(4 << 30));
    assert!(!Memtable::new().has_room(64 << 30));
}

#[test]
fn the_empty_key_and_the_empty_value_are_ordinary() {
    let table = Memtable::new();
    insert(&table, b"", 1, value(""));
    check(get(&table, b"", 1), "1=");
    check(get(&table, b"", 0), "nothing");
}

#[test]
fn debug_output_does_not_print_the_content() {
    let table = Memtable::new();
    insert(&table, b"secret", 7, value("v"));
    assert_eq!(format!("{table:?}"), "Memtable { versions: 1, size_bytes: 59, last_seq: 7, .. }");
}

#[test]
fn writes_without_a_number_have_the_one_that_the_table_is_sealed_with() {
    let table = Arc::new(Memtable::new());
    insert(&table, b"a", 0, value("1"));
    insert(&table, b"a", 0, value("2"));
    insert(&table, b"b", 0, Entry::Tombstone);
    assert_eq!(table.last_seq(), 0);
    let mut told = Vec::new();
    table.writes(|key, entry| {
        told.push((key.to_vec(), entry.value().map(<[u8]>::to_vec)));
        told.len() < 3
    });
    let write = |key: &str, value: Option<&str>| (key.as_bytes().to_vec(), value.map(|v| v.as_bytes().to_vec()));
    assert_eq!(told, [write("a", Some("1")), write("a", Some("2")), write("b", None)]);

    table.delete_range(b"a", None, 7);
    table.seal(7);
    assert_eq!(table.last_seq(), 7);
    check(get(&table, b"a", 6), "nothing");
    check(get(&table, b"a", 7), "7=2");
    check(get(&table, b"b", 9), "7 deleted");
    check(get(&table, b"c", 7), "7 deleted");
    let mut cursor = table.cursor(6);
    cursor.seek_first();
    assert_eq!(cursor.key(), None);
    let mut cursor = table.cursor(7);
    cursor.seek_first();
    assert_eq!(cursor.found().map(|found| found.seq), Some(7));
}
