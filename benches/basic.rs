//! What one operation costs through `Db`: puts at each level of durability, gets of present and absent keys, scans.
//!
//! Run with `cargo bench -p halodb-benches`. A put with `Sync` measures the disk more than the database; measure the
//! disk beside it. This is no comparison with other engines.

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use halodb::{Db, Durability, WriteOptions};
use std::hint::black_box;

/// Keys in the database that is read.
const KEYS: u64 = 100_000;

/// Pairs of one scan.
const SCAN: u64 = 1_000;

/// Keys in an order that is not theirs.
fn key(number: u64) -> [u8; 16] {
    let mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut key = [0; 16];
    key[..8].copy_from_slice(&mixed.swap_bytes().to_le_bytes());
    key[8..].copy_from_slice(&number.to_le_bytes());
    key
}

fn puts(c: &mut Criterion) {
    let mut group = c.benchmark_group("put");
    group.throughput(Throughput::Elements(1));
    for level in [Durability::Memory, Durability::Buffered, Durability::Sync] {
        let dir = tempfile::tempdir().expect("a directory");
        let db = Db::open(dir.path().join("data")).expect("a new database");
        let mut options = WriteOptions::default();
        options.durability = Some(level);
        let mut number = 0;
        group.bench_function(format!("{level:?}"), |b| {
            b.iter_batched(
                || {
                    number += 1;
                    key(number)
                },
                |key| db.put_with(key, [7; 100], &options).expect("a put"),
                BatchSize::SmallInput,
            );
        });
        db.close().expect("an orderly close");
    }
    group.finish();
}

fn reads(c: &mut Criterion) {
    let dir = tempfile::tempdir().expect("a directory");
    let db = Db::open(dir.path().join("data")).expect("a new database");
    for first in (0..KEYS).step_by(1_000) {
        let batch = (first..first + 1_000).fold(db.batch(), |batch, number| batch.put(key(number), [7; 100]));
        batch.commit().expect("a batch");
    }
    db.flush().expect("a merge");
    let mut number = 0;
    let mut group = c.benchmark_group("read");
    group.throughput(Throughput::Elements(1));
    group.bench_function("get, present", |b| {
        b.iter(|| {
            number = (number + 7_919) % KEYS;
            db.get_with(key(number), |value| black_box(value.len())).expect("a get")
        });
    });
    group.bench_function("get, absent", |b| {
        b.iter(|| {
            number = (number + 7_919) % KEYS;
            db.get_with(key(KEYS + number), |value| black_box(value.len())).expect("a get")
        });
    });
    group.throughput(Throughput::Elements(SCAN));
    group.bench_function("scan", |b| {
        b.iter(|| {
            number = (number + 7_919) % KEYS;
            db.range(key(number)..)
                .take(SCAN as usize)
                .map(|pair| pair.map_or(0, |(_, value)| value.len()))
                .sum::<usize>()
        });
    });
    group.finish();
    db.close().expect("an orderly close");
}

criterion_group!(benches, puts, reads);
criterion_main!(benches);
