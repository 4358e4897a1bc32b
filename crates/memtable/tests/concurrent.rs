//! Readers beside the writer: each sees exactly its snapshot.

use std::hash::{DefaultHasher, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use halodb_memtable::{Entry, Memtable, Pool};

const KEYS: u64 = 40;
const BATCHES: u64 = 1500;

fn key(n: u64) -> [u8; 8] {
    format!("{n:08}").into_bytes().try_into().expect("eight digits")
}

fn hash(key: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(key);
    hasher.finish()
}

fn insert(table: &Memtable, key: &[u8], seq: u64, entry: Entry<'_>) {
    table.insert(hash(key), key, seq, entry);
}

/// Each batch writes every key again with its number, so that a snapshot is right if and only if all keys carry its own
/// number; some batches begin by deleting everything. Between the keys, others appear that only later snapshots may see.
fn write_batch(table: &Memtable, seq: u64) {
    insert(table, &key(seq % KEYS * 100 + 1 + seq / KEYS), seq, Entry::Tombstone);
    for n in 0..KEYS {
        insert(table, &key(n * 100), seq, Entry::Value(&seq.to_le_bytes()));
    }
    if seq.is_multiple_of(100) {
        table.delete_range(b"0", Some(b"9"), seq);
    }
}

fn check_snapshot(table: &Arc<Memtable>, at: u64) {
    let n = at * 7 % KEYS;
    let found = table.get(hash(&key(n * 100)), &key(n * 100), at).expect("every batch writes every key");
    assert_eq!((found.seq, found.entry), (at, Entry::Value(&at.to_le_bytes())));

    let mut forward = Vec::new();
    let mut cursor = table.cursor(at);
    cursor.seek_first();
    while let Some(key) = cursor.key() {
        let found = cursor.found().expect("a cursor on a key has a version");
        if found.entry != Entry::Tombstone {
            assert_eq!((found.seq, found.entry), (at, Entry::Value(&at.to_le_bytes())));
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

/// Different keys all the time: the index splits, chunks turn over and runs are merged under the readers' hands. A reader
/// knows of every key up to the number it has seen, and of none beyond that it may ask for.
#[test]
fn readers_find_every_key_that_was_published_while_the_table_grows() {
    const WRITES: u64 = 120_000;
    let spread = |n: u64| n.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes();
    let pool = Arc::new(Pool::new(64 << 20));
    for _ in 0..2 {
        let table = Arc::new(Memtable::with_pool(pool.clone()));
        let visible = AtomicU64::new(0);
        thread::scope(|scope| {
            for reader in 0..3_u64 {
                let (table, visible) = (&table, &visible);
                scope.spawn(move || {
                    let mut turn = reader;
                    loop {
                        let at = visible.load(Ordering::Acquire);
                        for _ in 0..200 {
                            turn = turn.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                            let n = (turn >> 33) % WRITES + 1;
                            let found =
                                table.get(hash(&spread(n)), &spread(n), at).map(|found| (found.seq, found.entry));
                            assert_eq!(found, (n <= at).then_some((n, Entry::Value(&n.to_le_bytes()))), "{n} at {at}");
                        }
                        if reader == 0 && at > 0 {
                            let mut cursor = table.cursor(at);
                            let mut last = None;
                            for _ in 0..100 {
                                let n = turn % at + 1;
                                cursor.seek(&spread(n));
                                assert_eq!(cursor.found().map(|found| found.seq), Some(n));
                                cursor.next();
                                let next = cursor.key().map(<[u8]>::to_vec);
                                assert!(next.as_deref().is_none_or(|next| next > &spread(n)[..]));
                                last = last.max(next);
                                turn = turn.rotate_left(7) ^ 0x55;
                            }
                            if let Some(last) = last {
                                cursor.seek_back(&last);
                                assert_eq!(cursor.key(), Some(&last[..]));
                            }
                        }
                        if at == WRITES {
                            break;
                        }
                    }
                });
            }
            for n in 1..=WRITES {
                insert(&table, &spread(n), n, Entry::Value(&n.to_le_bytes()));
                visible.store(n, Ordering::Release);
            }
        });
        let mut cursor = table.cursor(u64::MAX);
        cursor.seek_first();
        let mut keys = 0;
        while cursor.key().is_some() {
            keys += 1;
            cursor.next();
        }
        assert_eq!(keys, WRITES);
    }
}

/// Two threads that write at once do so one after the other.
#[test]
fn writers_exclude_each_other() {
    let table = Memtable::new();
    thread::scope(|scope| {
        for writer in 0..2_u64 {
            let table = &table;
            scope.spawn(move || {
                for n in 0..20_000 {
                    let key = key(n * 2 + writer);
                    insert(table, &key, n, Entry::Value(&key));
                }
            });
        }
    });
    assert_eq!(table.versions(), 40_000);
    assert!(
        (0..40_000)
            .map(key)
            .all(|key| { table.newest(hash(&key), &key).is_some_and(|found| found.entry == Entry::Value(&key)) })
    );
}
