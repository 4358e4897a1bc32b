//! What the tree costs at each page size: point lookups, seeks, scans, merges, and building it at once.
//!
//! `cargo bench -p halodb-btree`. 1,000,000 pairs of 24 + 150 bytes, random keys, in the page cache. `get` and `seek+10` go to
//! random places, so they are mostly waiting for memory. `merge` puts 1,000 random new pairs into the tree; it includes the
//! two synchronisations of a commit, and its pages are mostly other ones than the last merge's. `build` is given per
//! pair, from a batch that is sorted already.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use halodb_btree::{Batch, Store, StoreOptions, Tree};
use halodb_vfs::OsVfs;
use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

const PAIRS: u64 = 1_000_000;
const BUILT: u64 = 100_000;
const MERGED: u64 = 1_000;
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

fn batch(numbers: std::ops::Range<u64>) -> Batch {
    let mut batch = Batch::new();
    for n in numbers {
        batch.put(key(n), VALUE);
    }
    batch
}

fn create(dir: &Path, name: &str, page_size: u32) -> Store {
    let options = StoreOptions { page_size, ..StoreOptions::default() };
    Store::create(Arc::new(OsVfs), &dir.join(name), options).expect("a new file")
}

fn reads(c: &mut Criterion, tree: &Tree, page: &str) {
    // In another order than that of the keys, and than that of their making.
    let keys = |from: u64| -> Vec<Key> { (0..100_000).map(|n| key(from + mix(n) % PAIRS)).collect() };
    let (present, absent) = (keys(0), keys(PAIRS));

    let mut group = c.benchmark_group("get");
    group.throughput(Throughput::Elements(1));
    for (name, keys, there) in [("hit", &present, true), ("miss", &absent, false)] {
        let mut next = keys.iter().cycle();
        group.bench_function(BenchmarkId::new(name, page), |b| {
            b.iter(|| {
                let value = tree.get(next.next().expect("a cycle has no end")).expect("a good tree");
                assert_eq!(value.map(|value| black_box(value[0])).is_some(), there);
            });
        });
    }
    group.finish();

    let mut cursor = tree.cursor();
    let mut group = c.benchmark_group("cursor");
    for pairs in [1, 10] {
        let mut next = absent.iter().cycle();
        group.throughput(Throughput::Elements(1));
        group.bench_function(BenchmarkId::new(format!("seek+{pairs}"), page), |b| {
            b.iter(|| {
                cursor.seek(next.next().expect("a cycle has no end")).expect("a good tree");
                for step in 0..pairs {
                    if step > 0 {
                        cursor.next().expect("a good tree");
                    }
                    black_box((cursor.key(), cursor.value().expect("a good tree")));
                }
            });
        });
    }
    group.throughput(Throughput::Elements(PAIRS));
    group.bench_function(BenchmarkId::new("scan all", page), |b| {
        b.iter(|| {
            let mut seen = 0;
            cursor.seek_first().expect("a good tree");
            while let (Some(_), Some(value)) = (cursor.key(), cursor.value().expect("a good tree")) {
                seen += value.len();
                cursor.next().expect("a good tree");
            }
            assert_eq!(seen, PAIRS as usize * VALUE.len());
        });
    });
    group.finish();
}

fn writes(c: &mut Criterion, store: &Store, dir: &Path, page: &str, page_size: u32) {
    let mut group = c.benchmark_group("write");
    let mut next = 2 * PAIRS;
    group.throughput(Throughput::Elements(MERGED));
    group.bench_function(BenchmarkId::new("merge 1000", page), |b| {
        b.iter_with_setup(
            || {
                next += MERGED;
                batch(next - MERGED..next)
            },
            |batch| store.apply(&batch).expect("a merge"),
        );
    });
    let all = batch(0..BUILT);
    let mut file = 0;
    group.throughput(Throughput::Elements(BUILT));
    group.bench_function(BenchmarkId::new("build", page), |b| {
        b.iter_with_setup(
            || {
                file += 1;
                create(dir, &format!("build {page} {file}"), page_size)
            },
            |store| store.apply(&all).expect("a build"),
        );
    });
    group.finish();
}

fn btree(c: &mut Criterion) {
    let all = batch(0..PAIRS);
    for kib in [4, 8, 16, 32] {
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
        let page = format!("{kib} KiB");
        let store = create(dir.path(), "tree", kib << 10);
        let tree = store.apply(&all).expect("a build");
        reads(c, &tree, &page);
        drop(tree);
        writes(c, &store, dir.path(), &page, kib << 10);
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(10).warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1));
    targets = btree
}
criterion_main!(benches);
