//! What a filter costs: building one, and asking it for keys that are there and keys that are not.
//!
//! `cargo bench -p halodb-bloom`. Two sizes: one leaf's worth of keys, whose filter stays in the first cache, and a
//! million, whose filter does not fit into most. Hashes are made before the clock starts: hashing is the caller's.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use halodb_bloom::{Builder, Filter};
use std::hint::black_box;
use std::time::Duration;

const BITS_PER_KEY: u32 = 11;

/// The `n`-th of a sequence of well mixed numbers (splitmix64, by Vigna).
fn mix(n: u64) -> u64 {
    let mut z = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn bloom(c: &mut Criterion) {
    for keys in [80, 1_000_000_u64] {
        let present: Vec<u64> = (0..keys).map(mix).collect();
        let absent: Vec<u64> = (keys..2 * keys).map(mix).collect();
        let build = || {
            let mut builder = Builder::new(BITS_PER_KEY);
            present.iter().for_each(|&hash| builder.insert(hash));
            let mut bytes = Vec::new();
            builder.finish_into(&mut bytes);
            bytes
        };

        let mut group = c.benchmark_group("bloom");
        group.throughput(Throughput::Elements(keys));
        group.bench_function(BenchmarkId::new("insert", keys), |b| b.iter(build));

        let bytes = build();
        let filter = Filter::new(&bytes).expect("a builder writes whole blocks");
        assert!(present.iter().all(|&hash| filter.contains(hash)), "a filter denies none of its keys");
        group.throughput(Throughput::Elements(1));
        for (name, hashes) in [("hit", &present), ("miss", &absent)] {
            let mut asked = hashes.iter().cycle();
            group.bench_function(BenchmarkId::new(name, keys), |b| {
                b.iter(|| filter.contains(black_box(*asked.next().expect("a cycle has no end"))));
            });
        }
        group.finish();
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20).warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1));
    targets = bloom
}
criterion_main!(benches);
