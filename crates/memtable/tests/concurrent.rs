//! Readers beside the writer: each sees exactly its snapshot.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use halodb_memtable::{Entry, Memtable};

const KEYS: u64 = 40;
const BATCHES: u64 = 1500;

fn key(n: u64) -> [u8; 8] {
    format!("{n:08}").into_bytes().try_into().expect("eight digits")
}

fn value(seq: u64) -> Entry {
    Entry::Value(seq.to_le_bytes().as_slice().into())
}

/// Each batch writes every key again with its number, so that a snapshot is right if and only if all keys carry its own
/// number; some batches begin by deleting everything. Between the keys, others appear that only later snapshots may see.
fn write_batch(table: &Memtable, seq: u64) {
    table.insert(&key(seq % KEYS * 100 + 1 + seq / KEYS), seq, Entry::Tombstone);
    for n in 0..KEYS {
        table.insert(&key(n * 100), seq, value(seq));
    }
    if seq.is_multiple_of(100) {
        table.delete_range(b"0", Some(b"9"), seq);
    }
}

fn check_snapshot(table: &Arc<Memtable>, at: u64) {
    let n = at * 7 % KEYS;
    let found = table.get(&key(n * 100), at).expect("every batch writes every key");
    assert_eq!((found.seq, found.entry), (at, value(at)));

    let mut forward = Vec::new();
    let mut cursor = table.cursor(at);
    cursor.seek_first();
    while let Some(key) = cursor.key() {
        let found = cursor.found().expect("a cursor on a key has a version");
        if found.entry != Entry::Tombstone {
            assert_eq!((found.seq, &found.entry), (at, &value(at)));
            forward.push(key.to_vec());
        }
        cursor.next();
    }
    assert_eq!(forward.len() as u64, KEYS);

    let mut backward = Vec::new();
    cursor.seek_last();
    while let Some(key) = cursor.key() {
        if cursor.found().is_some_and(|found| found.entry != Entry::Tombstone) {
            backward.push(key.to_vec());
        }
        cursor.prev();
    }
    backward.reverse();
    assert_eq!(forward, backward);
}

#[test]
fn readers_see_whole_batches_and_nothing_younger_while_a_writer_works() {
    let table = Arc::new(Memtable::new());
    let visible = AtomicU64::new(0);
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let mut old = None;
                loop {
                    let at = visible.load(Ordering::Acquire);
                    if at > 0 {
                        check_snapshot(&table, at);
                        check_snapshot(&table, *old.get_or_insert(at));
                    }
                    if at == BATCHES {
                        break;
                    }
                }
            });
        }
        for seq in 1..=BATCHES {
            write_batch(&table, seq);
            visible.store(seq, Ordering::Release);
        }
    });
    assert_eq!(table.last_seq(), BATCHES);
    assert_eq!(table.versions(), BATCHES * (KEYS + 1) + BATCHES / 100);
}
