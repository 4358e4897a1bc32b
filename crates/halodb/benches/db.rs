//! What one operation costs through `Db`, by the number of partitions: reads, scans, writes at each level, batches.
//!
//! `cargo bench -p halodb`. 500,000 pairs of 24 + 150 bytes, merged, then read at random; the writes go to new random keys,
//! merges running beside them as they do in life. A write with `Sync` measures the disk more than the database: look at
//! `cargo bench -p halodb-vfs` of the same minute. How HaloDB compares with other engines is another matter: see
//! `cargo xtask bench`.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use halodb::{Db, Durability, WriteOptions};
use std::hint::black_box;
use std::time::Duration;

const PAIRS: u64 = 500_000;
const BATCH: u64 = 1_000;
const VALUE: [u8; 150] = [7; 150];

type Key = [u8; 24];

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

fn write_batch(db: &Db, first: u64, level: Durability) {
    let batch = (first..first + BATCH).fold(db.batch(), |batch, n| batch.put(key(n), VALUE));
    batch.durability(level).commit().expect("a batch");
}

fn reads(c: &mut Criterion, db: &Db, partitions: u32) {
    // In another order than that of the keys, and than that of their making.
    let keys = |from: u64| -> Vec<Key> { (0..100_000).map(|n| key(from + mix(n) % PAIRS)).collect() };
    let (present, absent) = (keys(0), keys(10 * PAIRS));
    let mut group = c.benchmark_group("read");
    group.throughput(Throughput::Elements(1));
    for (name, keys, there) in [("get", &present, true), ("get absent", &absent, false)] {
        let mut next = keys.iter().cycle();
        group.bench_function(BenchmarkId::new(name, partitions), |b| {
            b.iter(|| {
                let key = next.next().expect("a cycle has no end");
                let first = db.get_with(key, |value| black_box(value[0])).expect("a get");
                assert_eq!(first.is_some(), there);
            });
        });
    }
    let snapshot = db.snapshot();
    let mut next = present.iter().cycle();
    group.bench_function(BenchmarkId::new("get of a snapshot", partitions), |b| {
        b.iter(|| {
            let key = next.next().expect("a cycle has no end");
            snapshot.get_with(key, |value| black_box(value[0])).expect("a get")
        });
    });
    let mut next = absent.iter().cycle();
    group.bench_function(BenchmarkId::new("seek+10", partitions), |b| {
        b.iter(|| {
            let from = next.next().expect("a cycle has no end");
            for pair in snapshot.range::<&[u8]>(&from[..]..).take(10) {
                black_box(pair.expect("a pair"));
            }
        });
    });
    group.throughput(Throughput::Elements(PAIRS));
    group.bench_function(BenchmarkId::new("scan all", partitions), |b| {
        b.iter(|| assert_eq!(snapshot.iter().filter(Result::is_ok).count(), PAIRS as usize));
    });
    group.finish();
}

fn writes(c: &mut Criterion, db: &Db, partitions: u32) {
    let mut next = PAIRS;
    let mut group = c.benchmark_group("write");
    group.throughput(Throughput::Elements(1));
    for level in [Durability::Memory, Durability::Buffered, Durability::Sync] {
        let options = WriteOptions::new().durability(level);
        group.bench_function(BenchmarkId::new(format!("put {level:?}"), partitions), |b| {
            b.iter(|| {
                next += 1;
                db.put_with(key(next), VALUE, &options).expect("a put")
            });
        });
    }
    // As `put Memory`, and a look whether the keyspace is still there.
    let named = db.keyspace("named").expect("a keyspace");
    let options = WriteOptions::new().durability(Durability::Memory);
    group.bench_function(BenchmarkId::new("put Memory in a named keyspace", partitions), |b| {
        b.iter(|| {
            next += 1;
            named.put_with(key(next), VALUE, &options).expect("a put")
        });
    });
    group.throughput(Throughput::Elements(BATCH));
    for level in [Durability::Memory, Durability::Sync] {
        group.bench_function(BenchmarkId::new(format!("batch {level:?}"), partitions), |b| {
            b.iter(|| {
                next += BATCH;
                write_batch(db, next, level);
            });
        });
    }
    group.finish();
}

fn db(c: &mut Criterion) {
    for partitions in [1, 2, 4] {
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
        let db = Db::builder(dir.path().join("data")).partitions(partitions).open().expect("a new database");
        (0..PAIRS).step_by(BATCH as usize).for_each(|first| write_batch(&db, first, Durability::Memory));
        db.flush().expect("a merge");
        reads(c, &db, partitions);
        writes(c, &db, partitions);
        db.close().expect("an orderly close");
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(10).warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1));
    targets = db
}
criterion_main!(benches);
