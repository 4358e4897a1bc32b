//! What the table costs at the size it has in a database, beside the plainest thing that could stand in its place.
//!
//! `cargo bench -p halodb-memtable`. 350,000 entries of 24 + 150 bytes, keys in random order: about what 64 MiB of
//! memtable hold. The rival is a `RwLock<BTreeMap>` without versions, so it does less. `insert` builds a whole table and
//! is given per entry; that includes the growth from empty, and keys and values that are allocated, not the freeing.

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use halodb_memtable::{Entry, Memtable};
use parking_lot::RwLock;
use std::collections::BTreeMap;
use std::hint::black_box;
use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

const ENTRIES: u64 = 350_000;
const VALUE: [u8; 150] = [7; 150];

type Key = [u8; 24];
type Map = RwLock<BTreeMap<Box<[u8]>, Box<[u8]>>>;

/// The `n`-th of a sequence of well mixed numbers (splitmix64, by Vigna).
fn mix(n: u64) -> u64 {
    let mut z = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The `n`-th key: random bytes, the same in every run.
fn key(n: u64) -> Key {
    let mut key = [0; 24];
    for (part, word) in key.chunks_exact_mut(8).zip(3 * n..) {
        part.copy_from_slice(&mix(word).to_le_bytes());
    }
    key
}

/// As the engine hashes.
fn hash(key: &Key) -> u64 {
    xxhash_rust::xxh3::xxh3_64_with_seed(key, 7)
}

fn fill_table(keys: &[Key]) -> Memtable {
    let table = Memtable::new();
    for (key, seq) in keys.iter().zip(1..) {
        table.insert(hash(key), key, seq, Entry::Value(&VALUE));
    }
    table
}

fn fill_map(keys: &[Key]) -> Map {
    let map = Map::default();
    for key in keys {
        map.write().insert(key.as_slice().into(), VALUE.as_slice().into());
    }
    map
}

fn inserts(c: &mut Criterion) {
    let keys: Vec<Key> = (0..ENTRIES).map(key).collect();
    let mut group = c.benchmark_group("insert");
    group.throughput(Throughput::Elements(ENTRIES));
    // The table is given back to criterion, which drops it with the clock stopped.
    group.bench_function("memtable", |b| b.iter_batched(|| (), |()| fill_table(&keys), BatchSize::PerIteration));
    group.bench_function("btreemap", |b| b.iter_batched(|| (), |()| fill_map(&keys), BatchSize::PerIteration));
    group.finish();
}

fn reads(c: &mut Criterion) {
    let keys: Vec<Key> = (0..ENTRIES).map(key).collect();
    let absent: Vec<Key> = (ENTRIES..2 * ENTRIES).map(key).collect();
    // Asked for in another order than that of their insertion, or the allocator's order would help.
    let asked = |keys: &[Key]| -> Vec<Key> { (0..ENTRIES).map(|n| keys[(mix(n) % ENTRIES) as usize]).collect() };
    let (hits, misses) = (asked(&keys), asked(&absent));
    let table = Arc::new(fill_table(&keys));
    let map = fill_map(&keys);

    for (name, keys, there) in [("hit", &hits, true), ("miss", &misses, false)] {
        let mut group = c.benchmark_group(name);
        group.throughput(Throughput::Elements(1));
        let mut next = keys.iter().cycle();
        group.bench_function("memtable", |b| {
            b.iter(|| {
                let key = next.next().expect("a cycle has no end");
                let found = table.get(hash(key), key, u64::MAX);
                assert_eq!(black_box(found).is_some(), there);
            });
        });
        group.bench_function("btreemap", |b| {
            b.iter(|| {
                let map = map.read();
                let found = map.get(next.next().expect("a cycle has no end").as_slice());
                assert_eq!(black_box(found).is_some(), there);
            });
        });
        group.finish();
    }

    let mut group = c.benchmark_group("seek+10");
    group.throughput(Throughput::Elements(1));
    let mut next = misses.iter().cycle();
    group.bench_function("memtable", |b| {
        let mut cursor = table.cursor(u64::MAX);
        b.iter(|| {
            cursor.seek(next.next().expect("a cycle has no end"));
            for _ in 0..10 {
                black_box((cursor.key(), cursor.found()));
                cursor.next();
            }
        });
    });
    group.bench_function("btreemap", |b| {
        b.iter(|| {
            let from = next.next().expect("a cycle has no end").as_slice();
            for pair in map.read().range::<[u8], _>((Bound::Included(from), Bound::Unbounded)).take(10) {
                black_box(pair);
            }
        });
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(10).warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1));
    targets = inserts, reads
}
criterion_main!(benches);
