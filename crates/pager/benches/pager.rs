//! What a commit costs, by the pages in it, and what it costs to look at a page.
//!
//! `cargo bench -p halodb-pager`. A commit is two synchronisations (pages, meta): compare it with twice what
//! `cargo bench -p halodb-vfs` says of one. `page` asks for pages of a 64 MiB file in random order and reads a byte of each.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use halodb_pager::{Identity, PageKind, PageRef, Pager, Root};
use halodb_vfs::OsVfs;
use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

const PAGE_SIZE: u32 = 16 << 10;
const PAGES_READ: u64 = 4096;
const KIND: PageKind = PageKind(1);

/// The `n`-th of a sequence of well mixed numbers (splitmix64, by Vigna).
fn mix(n: u64) -> u64 {
    let mut z = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn create(dir: &Path, name: &str) -> Pager {
    let identity = Identity { uuid: [7; 16], incarnation: 1, file_id: 0, page_size: PAGE_SIZE };
    Pager::create(Arc::new(OsVfs), &dir.join(name), identity, b"").expect("a new file")
}

/// Commits `pages` new pages in the place of the ones before.
fn replace(pager: &Pager, before: &mut Vec<PageRef>, pages: u64) {
    let mut txn = pager.begin().expect("the only writer");
    before.drain(..).for_each(|page| txn.free(page));
    let body = vec![7; txn.body_len()];
    for _ in 0..pages {
        let page = txn.alloc(1).expect("room on the disk");
        txn.write(page, KIND, 0, &body).expect("a page");
        before.push(page);
    }
    let root = Root { page: before[0], tag: [0; 16] };
    txn.commit(&[root], b"").expect("a commit");
}

fn commits(c: &mut Criterion) {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
    let mut group = c.benchmark_group("commit");
    for pages in [1, 16, 256] {
        let pager = create(dir.path(), &format!("{pages}"));
        let mut live = Vec::new();
        group.throughput(Throughput::Bytes(pages * u64::from(PAGE_SIZE)));
        group.bench_function(BenchmarkId::new("pages", pages), |b| b.iter(|| replace(&pager, &mut live, pages)));
    }
    group.finish();
}

fn reads(c: &mut Criterion) {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
    let pager = create(dir.path(), "read");
    let mut pages = Vec::new();
    replace(&pager, &mut pages, PAGES_READ);
    let snapshot = pager.snapshot();
    let mut n = 0;
    let mut any = || {
        n += 1;
        pages[(mix(n) % PAGES_READ) as usize]
    };

    let mut group = c.benchmark_group("page");
    group.throughput(Throughput::Elements(1));
    let byte = |at| black_box(snapshot.page(at).expect("a good page").body()[0]);
    group.bench_function("the same", |b| b.iter(|| byte(pages[0])));
    group.bench_function("random of 64 MiB", |b| b.iter(|| byte(any())));
    group.throughput(Throughput::Bytes(u64::from(PAGE_SIZE)));
    group.bench_function("verify the checksum", |b| b.iter(|| snapshot.verify(any()).expect("a good page")));
    group.throughput(Throughput::Elements(1));
    group.bench_function("pin a snapshot", |b| b.iter(|| pager.snapshot()));
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(10).warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1));
    targets = commits, reads
}
criterion_main!(benches);
