//! Reading: layers, snapshots, cursors, counts.

use crate::*;
use std::ops::Bound::{Excluded, Included, Unbounded};

#[test]
fn a_newer_layer_hides_an_older_one() {
    let disk = SimVfs::new();
    let set = open(&disk);
    put(&set, "k", "tree");
    put(&set, "only in the tree", "x");
    merge_all(&set);
    put(&set, "k", "frozen");
    set.freeze_all().unwrap();
    assert_eq!(get(&set, "k").as_deref(), Some("frozen"));
    put(&set, "k", "active");
    assert_eq!(get(&set, "k").as_deref(), Some("active"));
    assert_eq!(get(&set, "only in the tree").as_deref(), Some("x"));
    assert_eq!(all(&set.snapshot()).len(), 2);
    settle(&set);
    merge_all(&set);
    assert_eq!(get(&set, "k").as_deref(), Some("active"));
    assert_sound(&set);
}

#[test]
fn a_snapshot_shows_its_moment_through_writes_and_merges() {
    let disk = SimVfs::new();
    let set = open(&disk);
    for i in 0..500 {
        put(&set, &format!("k{i:03}"), "old");
    }
    let before = set.snapshot();
    for i in 0..500 {
        put(&set, &format!("k{i:03}"), "new");
    }
    put(&set, "late", "new");
    merge_all(&set);
    let pairs = all(&before);
    assert_eq!(pairs.len(), 500);
    assert!(pairs.iter().all(|(_, value)| value == "old"));
    assert!(all(&set.snapshot()).iter().all(|(_, value)| value == "new"));
    drop(set);
    assert_eq!(all(&before).len(), 500, "a snapshot outlives its set");
}

#[test]
fn cursors_of_a_snapshot_for_scans_begin_anew_and_do_not_disturb_each_other() {
    let disk = SimVfs::new();
    let set = open(&disk);
    for i in 0..100 {
        put(&set, &format!("k{i:02}"), "tree");
    }
    merge_all(&set);
    put(&set, "k50", "memory");
    let snapshot = set.snapshot().for_scans();
    let mut first = snapshot.cursor();
    first.seek(b"k49").unwrap();
    let mut second = snapshot.cursor();
    second.seek_last().unwrap();
    drop(first);
    put(&set, "k505", "later");
    let mut third = snapshot.clone().cursor();
    assert_eq!(third.key(), None, "on no key before the first move");
    third.next().unwrap();
    assert_eq!(third.key(), None);
    third.seek_back(b"k50x").unwrap();
    assert_eq!((third.key(), third.value().unwrap()), (Some(&b"k50"[..]), Some(&b"memory"[..])));
    assert_eq!(second.key(), Some(&b"k99"[..]));
    drop((second, third));
    assert_eq!(all(&snapshot).len(), 100);
    assert_eq!(all(&set.snapshot().for_scans()).len(), 101);
}

#[test]
fn a_range_delete_hides_all_layers_below_it_and_nothing_written_later() {
    let disk = SimVfs::new();
    let set = open(&disk);
    for key in ["a", "b1", "b2", "c"] {
        put(&set, key, "tree");
    }
    merge_all(&set);
    put(&set, "b3", "frozen");
    set.freeze_all().unwrap();
    put(&set, "b4", "active");
    let mut batch = Batch::new();
    batch.delete_range(b"b", Some(b"c"));
    batch.put(b"b5", b"same batch");
    commit(&set, &batch);
    put(&set, "b2", "again");
    let expected = ["a", "b2", "b5", "c"];
    assert_eq!(keys(&set.snapshot()), expected);
    assert_eq!(get(&set, "b1"), None);
    assert_eq!(set.snapshot().count(Included(b"b"), Excluded(b"c")).unwrap(), 2);
    settle(&set);
    assert_eq!(keys(&set.snapshot()), expected);
    merge_all(&set);
    assert_eq!(keys(&set.snapshot()), expected);
    assert_eq!(set.stats().tree_keys, 4);
    assert_sound(&set);
}

#[test]
fn clearing_everything_leaves_nothing_and_frees_the_pages() {
    let disk = SimVfs::new();
    let set = open(&disk);
    for i in 0..2000 {
        put(&set, &format!("{i:05}"), "some value that takes a little room");
    }
    let mut batch = Batch::new();
    batch.delete_range(b"", None);
    commit(&set, &batch);
    assert_eq!(all(&set.snapshot()), []);
    merge_all(&set);
    assert_eq!(all(&set.snapshot()), []);
    assert_eq!(set.stats().tree_keys, 0);
    assert_sound(&set);
    put(&set, "after", "1");
    assert_eq!(keys(&set.snapshot()), ["after"]);
}

#[test]
fn a_cursor_turns_round_anywhere() {
    let disk = SimVfs::new();
    let set = open(&disk);
    for i in 0..60 {
        put(&set, &format!("{i:02}"), "v");
        if i % 20 == 10 {
            merge_all(&set);
        }
        if i % 20 == 15 {
            set.freeze_all().unwrap();
        }
    }
    let snapshot = set.snapshot();
    let mut cursor = snapshot.cursor();
    for i in 1..59 {
        cursor.seek(format!("{i:02}").as_bytes()).unwrap();
        cursor.prev().unwrap();
        assert_eq!(cursor.key(), Some(format!("{:02}", i - 1).as_bytes()));
        cursor.next().unwrap();
        cursor.next().unwrap();
        assert_eq!(cursor.key(), Some(format!("{:02}", i + 1).as_bytes()));
    }
    cursor.seek(b"99").unwrap();
    assert_eq!(cursor.key(), None);
    cursor.seek_back(b"99").unwrap();
    assert_eq!(cursor.key(), Some(&b"59"[..]));
}

#[test]
fn counts_follow_bounds() {
    let disk = SimVfs::new();
    let set = open(&disk);
    for key in ["a", "b", "c"] {
        put(&set, key, "v");
    }
    merge_all(&set);
    for key in ["bb", "d"] {
        put(&set, key, "v");
    }
    let snapshot = set.snapshot();
    let count = |from: std::ops::Bound<&[u8]>, to| snapshot.count(from, to).unwrap();
    assert_eq!(count(Unbounded, Unbounded), 5);
    assert_eq!(count(Included(b"b"), Excluded(b"c")), 2);
    assert_eq!(count(Excluded(b"b"), Included(b"c")), 2);
    assert_eq!(count(Included(b"c"), Excluded(b"b")), 0);
    assert_eq!(count(Included(b"b"), Excluded(b"b")), 0);
    assert_eq!(count(Included(b"b"), Included(b"b")), 1);
}
