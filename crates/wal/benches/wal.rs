//! What a record in the log costs, by how durable it is and how many threads write.
//!
//! `cargo bench -p halodb-wal`. Records of 200 bytes. The time is one commit's share of the whole: with sixteen threads and
//! `Sync`, the time of a synchronisation divided by the size of the group. Compare `Sync` from one thread with
//! `cargo bench -p halodb-vfs`. `append` is the section alone, without waiting for any durability.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use halodb_vfs::OsVfs;
use halodb_wal::{Durability, Lsn, Payload, Wal, WalOptions};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

const RECORD: [u8; 200] = [7; 200];

fn create(dir: &Path) -> Wal {
    Wal::create(Arc::new(OsVfs), dir, WalOptions::new([7; 16], 1)).expect("a new log")
}

/// Nothing is kept: segments are recycled as in a database whose merges keep up.
fn recycle(wal: &Wal) {
    wal.recycle(Lsn(wal.settled().0 + 1)).expect("a recycled segment");
}

/// The time that `threads` threads need for `each` commits each. Their start is not counted.
fn commits(wal: &Wal, level: Durability, threads: u64, each: u64) -> Duration {
    let ready = std::sync::Barrier::new(threads as usize + 1);
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..threads)
            .map(|_| {
                scope.spawn(|| {
                    ready.wait();
                    for n in 0..each {
                        wal.append(RECORD.to_vec(), 0, level).expect("a commit");
                        if n % 4096 == 4095 {
                            recycle(wal);
                        }
                    }
                })
            })
            .collect();
        ready.wait();
        let start = Instant::now();
        writers.into_iter().for_each(|writer| writer.join().expect("a writer does not panic"));
        start.elapsed()
    })
}

fn wal(c: &mut Criterion) {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
    let log = create(dir.path());
    let mut group = c.benchmark_group("wal");
    group.throughput(Throughput::Elements(1));
    let mut appended = 0_u64;
    group.bench_function("append", |b| {
        b.iter(|| {
            let payload = Payload::new(RECORD.to_vec());
            let mut section = log.sequence();
            while !section.fits(&payload) {
                drop(section);
                log.make_room(payload.record_len()).expect("room");
                section = log.sequence();
            }
            section.append(payload, 0, Durability::Memory).expect("a record");
            drop(section);
            appended += 1;
            // The buffer belongs to the cost: somebody has to write it.
            if appended.is_multiple_of(4096) {
                log.flush().expect("a write");
                recycle(&log);
            }
        });
    });
    for level in [Durability::Memory, Durability::Buffered, Durability::Sync] {
        for threads in [1, 4, 16] {
            group.bench_function(BenchmarkId::new(format!("commit {level:?}"), threads), |b| {
                b.iter_custom(|commits_in_all| {
                    let each = commits_in_all.div_ceil(threads);
                    commits(&log, level, threads, each).mul_f64(commits_in_all as f64 / (each * threads) as f64)
                });
            });
        }
    }
    group.finish();
    log.close(0).expect("an orderly close");
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(10).warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1));
    targets = wal
}
criterion_main!(benches);
