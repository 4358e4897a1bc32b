//! What the engine costs without threads of its own: lookups with an empty and with a filled memtable above the tree, and
//! a merge of a memtable into it.
//!
//! `cargo bench -p halodb-partition`. 500,000 pairs of 24 + 150 bytes in the trees of two partitions; the filled memtables
//! hold 100,000 newer pairs. `get tree` asks for keys that are in the trees, so with filled memtables it pays for missing
//! there first; `get memtable` asks for keys that are in both. `merge` carries 50,000 random new pairs over, log
//! and pages synchronised, and is given per pair.

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use halodb_partition::{Batch, Durability, Entropy, Options, PartitionSet, Snapshot};
use halodb_vfs::OsVfs;
use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

const PAIRS: u64 = 500_000;
const IN_MEMORY: u64 = 100_000;
const MERGED: u64 = 50_000;
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

/// Nothing is merged unless a benchmark merges it: the memtables have room for all.
fn create(dir: &Path) -> PartitionSet {
    let mut options = Options::default();
    options.memtable_bytes = 1 << 30;
    options.log_limit_bytes = 2 << 30;
    let entropy = Entropy { uuid: [7; 16], incarnation: 1, hash_seed: 42 };
    PartitionSet::open(Arc::new(OsVfs), dir, options, entropy, 0).expect("a new database").0
}

fn load(set: &PartitionSet, numbers: std::ops::Range<u64>) {
    for first in numbers.clone().step_by(1_000) {
        let mut batch = Batch::new();
        for n in first..(first + 1_000).min(numbers.end) {
            batch.put(&key(n), &VALUE);
        }
        set.commit(&batch, Durability::Memory, 0).expect("a commit");
    }
}

fn merge(set: &PartitionSet) {
    set.freeze_all().expect("a frozen memtable");
    while let Some(job) = set.next_job(0) {
        job.run().expect("a merge");
    }
}

fn gets(c: &mut Criterion, set: &PartitionSet, memtables: &str) {
    // In another order than that of the keys, and than that of their making.
    let keys = |from: u64, count: u64| -> Vec<Key> { (0..100_000).map(|n| key(from + mix(n) % count)).collect() };
    let trees = keys(IN_MEMORY, PAIRS - IN_MEMORY);
    let (both, absent) = (keys(0, IN_MEMORY), keys(10 * PAIRS, PAIRS));
    let mut group = c.benchmark_group(format!("{memtables} memtables"));
    group.throughput(Throughput::Elements(1));
    for (name, keys, there) in
        [("get tree", &trees, true), ("get memtable", &both, true), ("get absent", &absent, false)]
    {
        let mut next = keys.iter().cycle();
        group.bench_function(name, |b| {
            b.iter(|| {
                let key = next.next().expect("a cycle has no end");
                let first = set.get_with(key, |value| black_box(value[0])).expect("a good database");
                assert_eq!(first.is_some(), there);
            });
        });
    }
    let mut next = trees.iter().cycle();
    let snapshot: Snapshot = set.snapshot();
    group.bench_function("get tree, one snapshot", |b| {
        b.iter(|| {
            let key = next.next().expect("a cycle has no end");
            snapshot.get_with(key, |value| black_box(value[0])).expect("a good database")
        });
    });
    let mut next = absent.iter().cycle();
    group.bench_function("seek+10", |b| {
        b.iter(|| {
            let mut cursor = snapshot.cursor();
            cursor.seek(next.next().expect("a cycle has no end")).expect("a good database");
            for _ in 0..10 {
                black_box((cursor.key(), cursor.value().expect("a good database")));
                cursor.next().expect("a good database");
            }
        });
    });
    group.finish();
}

fn partition(c: &mut Criterion) {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
    let set = create(&dir.path().join("data"));
    load(&set, 0..PAIRS);
    merge(&set);
    gets(c, &set, "empty");
    load(&set, 0..IN_MEMORY);
    gets(c, &set, "filled");
    merge(&set);

    let mut next = PAIRS;
    let mut group = c.benchmark_group("merge");
    group.throughput(Throughput::Elements(MERGED));
    group.bench_function(BenchmarkId::new("random pairs", MERGED), |b| {
        b.iter_batched(
            || {
                load(&set, next..next + MERGED);
                next += MERGED;
            },
            |()| merge(&set),
            BatchSize::PerIteration,
        );
    });
    group.finish();
    set.close(0).expect("an orderly close");
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(10).warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1));
    targets = partition
}
criterion_main!(benches);
