//! The floor that everything durable stands on: what the file system takes for the calls that HaloDB makes.
//!
//! `cargo bench -p halodb-vfs`. 200 bytes, the size of a small commit: handed to the system, and synchronised, in a file
//! that was written before (as the log's segments are) and in one that grows. A disk drifts within minutes, and beside other
//! writers: measure it next to whatever is to be compared with it. The files lie in the build directory.

use criterion::{Criterion, criterion_group, criterion_main};
use halodb_vfs::{File, FileExt, OpenMode, OsVfs, Vfs};
use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

const RECORD: [u8; 200] = [7; 200];
const WRITTEN: u64 = 16 << 20;

fn written_file(dir: &Path, name: &str) -> Arc<dyn File> {
    let file = OsVfs.open(&dir.join(name), OpenMode::CreateNew).expect("a new file");
    file.write_all_at(&vec![1; WRITTEN as usize], 0).expect("room on the disk");
    file.sync_all().expect("a working disk");
    file
}

fn vfs(c: &mut Criterion) {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
    let mut group = c.benchmark_group("vfs");

    let file = written_file(dir.path(), "overwritten");
    let mut at = (0..WRITTEN - RECORD.len() as u64).step_by(RECORD.len()).cycle();
    let mut at = move || at.next().expect("a cycle has no end");
    group.bench_function("write 200 B", |b| b.iter(|| file.write_all_at(&RECORD, at()).expect("a write")));
    group.bench_function("write 200 B, sync_data", |b| {
        b.iter(|| {
            file.write_all_at(&RECORD, at()).expect("a write");
            file.sync_data().expect("a sync");
        });
    });

    let growing = OsVfs.open(&dir.path().join("growing"), OpenMode::CreateNew).expect("a new file");
    let mut end = 0;
    group.bench_function("write 200 B, sync_data, growing file", |b| {
        b.iter(|| {
            growing.write_all_at(&RECORD, end).expect("a write");
            growing.sync_data().expect("a sync");
            end += RECORD.len() as u64;
        });
    });

    let mut page = [0; 4096];
    group.bench_function("read 4 KiB, cached", |b| {
        b.iter(|| {
            file.read_exact_at(&mut page, at() & !4095).expect("a read");
            black_box(page[0])
        });
    });
    group.bench_function("map 16 MiB", |b| b.iter(|| file.map(WRITTEN).expect("a mapping")));
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20).warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1));
    targets = vfs
}
criterion_main!(benches);
