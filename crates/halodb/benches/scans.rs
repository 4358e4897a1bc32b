//! What scans, groups of lookups and counts cost through `Db`, with everything merged and with a good part unmerged.
//!
//! `cargo bench -p halodb --bench scans`. Two partitions, 500,000 pairs of 24 + 150 bytes merged; `unmerged` has 100,000 newer
//! pairs beside them in memory, of which 50,000 take the place of merged ones. A scan of ten begins at a random key.
//! `through db` takes a snapshot for each scan; `writing` puts a new pair between one scan and the next, so that the memtables have
//! something to sort each time.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use halodb::{Db, Durability, WriteOptions};
use std::hint::black_box;
use std::time::Duration;

const PAIRS: u64 = 500_000;
const UNMERGED: u64 = 100_000;
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

fn load(db: &Db, numbers: std::ops::Range<u64>) {
    for first in numbers.step_by(BATCH as usize) {
        let batch = (first..first + BATCH).fold(db.batch(), |batch, n| batch.put(key(n), VALUE));
        batch.durability(Durability::Memory).commit().expect("a batch");
    }
}

fn scans(c: &mut Criterion, db: &Db, state: &str) {
    let keys = |from: u64, count: u64| -> Vec<Key> { (0..100_000).map(|n| key(from + mix(n) % count)).collect() };
    let (present, absent) = (keys(0, PAIRS), keys(10 * PAIRS, PAIRS));
    let mut group = c.benchmark_group(state);
    group.throughput(Throughput::Elements(1));
    let snapshot = db.snapshot();
    let mut next = absent.iter().cycle();
    group.bench_function("seek+10", |b| {
        b.iter(|| {
            let from = next.next().expect("a cycle has no end");
            for pair in snapshot.range::<&[u8]>(&from[..]..).take(10) {
                black_box(pair.expect("a pair"));
            }
        });
    });
    group.bench_function("seek+10, lent", |b| {
        b.iter(|| {
            let mut scan = snapshot.scan::<&[u8]>(&next.next().expect("a cycle has no end")[..]..);
            for _ in 0..10 {
                black_box(scan.next().expect("a good database"));
            }
        });
    });
    group.bench_function("seek+10, lent by one scan", |b| {
        let mut scan = snapshot.scan::<&[u8]>(..);
        b.iter(|| {
            scan.seek(next.next().expect("a cycle has no end"));
            for _ in 0..10 {
                black_box(scan.next().expect("a good database"));
            }
        });
    });
    group.bench_function("seek+10 through db", |b| {
        b.iter(|| {
            let from = next.next().expect("a cycle has no end");
            for pair in db.range::<&[u8]>(&from[..]..).take(10) {
                black_box(pair.expect("a pair"));
            }
        });
    });
    group.bench_function("prefix", |b| {
        b.iter(|| {
            let from = next.next().expect("a cycle has no end");
            for pair in snapshot.prefix(&from[..2]) {
                black_box(pair.expect("a pair"));
            }
        });
    });
    group.bench_function("len", |b| b.iter(|| black_box(db.len().expect("a count"))));
    let mut next = present.iter().cycle();
    group.bench_function("get", |b| {
        b.iter(|| {
            let key = next.next().expect("a cycle has no end");
            db.get_with(key, |value| black_box(value[0])).expect("a get").expect("it is there")
        });
    });
    let mut next = present.chunks_exact(16).cycle();
    group.throughput(Throughput::Elements(16));
    group.bench_function("multi_get of 16", |b| {
        b.iter(|| black_box(snapshot.multi_get(next.next().expect("a cycle has no end")).expect("a good database")));
    });
    group.bench_function("multi_get_with of 16", |b| {
        b.iter(|| {
            let keys = next.next().expect("a cycle has no end");
            snapshot.multi_get_with(keys, |_, value| _ = black_box(value[0])).expect("a good database");
        });
    });
    group.throughput(Throughput::Elements(1));
    group.bench_function("nth", |b| {
        let mut i = 0;
        b.iter(|| {
            i = (i + 77_773) % PAIRS;
            black_box(snapshot.nth(i).expect("a good database").expect("there are so many"))
        });
    });
    let mut next = absent.iter().cycle();
    group.bench_function("get absent", |b| {
        b.iter(|| {
            let key = next.next().expect("a cycle has no end");
            db.get_with(key, |value| black_box(value[0])).expect("a get")
        });
    });
    let count = db.len().expect("a count");
    group.throughput(Throughput::Elements(count));
    group.bench_function("scan all", |b| {
        b.iter(|| assert_eq!(snapshot.iter().filter(Result::is_ok).count(), count as usize));
    });
    group.bench_function("scan all, lent", |b| {
        b.iter(|| {
            let mut seen = 0;
            let mut scan = snapshot.scan::<&[u8]>(..);
            while let Some((_, value)) = scan.next().expect("a good database") {
                seen += value.len();
            }
            assert_eq!(seen, count as usize * VALUE.len());
        });
    });
    group.finish();
}

fn writing(c: &mut Criterion, db: &Db) {
    let absent: Vec<Key> = (0..100_000).map(|n| key(10 * PAIRS + mix(n) % PAIRS)).collect();
    let fast = WriteOptions::new().durability(Durability::Memory);
    let mut next = absent.iter().cycle();
    let mut group = c.benchmark_group("writing");
    group.throughput(Throughput::Elements(1));
    group.bench_function("put", |b| {
        b.iter(|| db.put_with(next.next().expect("a cycle has no end"), VALUE, &fast).expect("a put"));
    });
    group.bench_function("put, then seek+10 through db", |b| {
        b.iter(|| {
            let from = next.next().expect("a cycle has no end");
            db.put_with(from, VALUE, &fast).expect("a put");
            for pair in db.range::<&[u8]>(&from[..]..).take(10) {
                black_box(pair.expect("a pair"));
            }
        });
    });
    group.finish();
}

fn all(c: &mut Criterion) {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
    let db = Db::builder(dir.path().join("data"))
        .partitions(2)
        .memtable(512 << 20)
        .log_limit(1 << 30)
        .idle(Duration::from_secs(3600))
        .open()
        .expect("a new database");
    load(&db, 0..PAIRS);
    db.flush().expect("a merge");
    scans(c, &db, "merged");
    load(&db, PAIRS - UNMERGED / 2..PAIRS + UNMERGED / 2);
    scans(c, &db, "unmerged");
    writing(c, &db);
    db.close().expect("an orderly close");
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(10).warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1));
    targets = all
}
criterion_main!(benches);
