//! The inspector against databases that are sound, damaged in a place that is known, and damaged anywhere.

use super::*;
use crate::{Batch, Durability, Entropy, Options, PartitionSet};
use halodb_pager::inspect::FREE_LIST;
use halodb_vfs::SimVfs;
use halodb_wal::inspect::{SegmentState, records};

const DIR: &str = "data";
const PAGE: u64 = 4096;

/// A database of one partition whose tree has branches, long values and free pages; closed.
fn database() -> SimVfs {
    let disk = SimVfs::new();
    let entropy = Entropy { uuid: [7; 16], incarnation: 1, hash_seed: 42 };
    let options = Options { partitions: Some(1), page_size: Some(PAGE as u32), ..Options::default() };
    let (set, _) = PartitionSet::open(Arc::new(disk.clone()), Path::new(DIR), options, entropy, 0).expect("created");
    for round in 0..3u32 {
        let mut batch = Batch::new();
        for i in (round..2000).step_by(2) {
            let len = if i % 100 == 0 { 9000 } else { 100 };
            batch.put(format!("key{i:06}").as_bytes(), &vec![round as u8; len]);
        }
        set.commit(&batch, Durability::Sync, 0).expect("committed");
        set.freeze_all().expect("frozen");
        while let Some(job) = set.next_job(0) {
            job.run().expect("merged");
        }
    }
    set.close(0).expect("closed");
    disk
}

fn open(disk: &SimVfs) -> Inspector {
    Inspector::open(Arc::new(disk.clone()), Path::new(DIR)).expect("it is one")
}

#[test]
fn every_page_of_a_sound_file_is_whole_and_has_a_standing() {
    let disk = database();
    let files = open(&disk);
    let metas = files.metas(0).expect("read");
    let meta = metas.relied().expect("one is valid").clone();
    let mut kinds = [0; 256];
    let mut number = 2;
    let mut free = 0;
    while number < metas.file_len / PAGE {
        let page = files.page(0, number).expect("read");
        match page.standing {
            Standing::Referred { at, .. } => {
                assert_eq!(page.verdict, Ok(()), "page {number}");
                let info = page.header.expect("a header");
                assert_eq!(info.at, at);
                assert_eq!(page.bytes.len() as u64, u64::from(at.pages) * PAGE);
                kinds[usize::from(info.kind.0)] += 1;
                for inside in number + 1..number + u64::from(at.pages) {
                    assert_eq!(files.page(0, inside).expect("read").standing, Standing::Inside { first: number });
                }
                number += u64::from(at.pages);
                continue;
            }
            Standing::Free => free += 1,
            Standing::Beyond => assert!(number >= meta.page_count),
            other => panic!("page {number}: {other:?}"),
        }
        number += 1;
    }
    assert_eq!(free, meta.free_pages);
    let count = |kind: halodb_pager::PageKind| kinds[usize::from(kind.0)];
    assert!(count(halodb_btree::LEAF) > 20 && count(halodb_btree::BRANCH) > 0 && count(halodb_btree::FILTER) > 0);
    assert_eq!((count(halodb_btree::OVERFLOW), count(FREE_LIST)), (20, meta.free_list_pages));
}

#[test]
fn a_page_that_was_changed_does_not_verify_and_its_parent_is_still_found() {
    let disk = database();
    let root = open(&disk).metas(0).expect("read").relied().expect("valid").roots[0].page;
    disk.flip_bit("data/p000/tree.db", root.id.0 * PAGE * 8 + 5000).expect("flipped");
    let page = open(&disk).page(0, root.id.0).expect("read");
    assert!(page.verdict.as_ref().is_err_and(|what| what.contains("checksum")), "{:?}", page.verdict);
    assert_eq!(page.standing, Standing::Referred { by: Referrer::Meta, at: root });
    // What only the root leads to is not to be found any more, and the report says why.
    let leaf = (2..root.id.0).find(|number| open(&disk).page(0, *number).expect("read").standing != Standing::Free);
    let standing = open(&disk).page(0, leaf.expect("a page")).expect("read").standing;
    assert_eq!(standing, Standing::Nobody { unread: 1 });
}

#[test]
fn the_meta_that_is_relied_on_is_named_with_the_reason() {
    let disk = database();
    let metas = open(&disk).metas(0).expect("read");
    let relied = metas.relied.expect("one");
    assert!(metas.why.contains("the greater one"), "{}", metas.why);
    assert!(metas.position().is_some_and(|position| position.applied.0 >= 3));
    disk.flip_bit("data/p000/tree.db", (u64::from(relied) * PAGE + 1000) * 8).expect("flipped");
    let metas = open(&disk).metas(0).expect("read");
    assert_eq!(metas.relied, Some(1 - relied));
    assert!(matches!(metas.slots[relied as usize].slot, MetaSlot::Bad(_)), "{:?}", metas.slots[relied as usize]);
    disk.flip_bit("data/p000/tree.db", (u64::from(1 - relied) * PAGE + 1000) * 8).expect("flipped");
    let metas = open(&disk).metas(0).expect("read");
    assert_eq!((metas.relied, metas.why.contains("neither is valid")), (None, true), "{}", metas.why);
    assert_eq!(open(&disk).page(0, 2).expect("read").standing, Standing::NoMeta);
}

#[test]
fn the_log_is_told_segment_by_segment_with_what_its_end_means() {
    let disk = database();
    let files = open(&disk);
    let log = files.log().expect("read");
    let newest = log.segments.iter().find(|segment| Some(segment.number) == log.newest()).expect("a segment");
    let judge = |bytes: &[u8]| {
        let SegmentState::Live(header) = &newest.state else { panic!("{newest:?}") };
        let mut walk = records(bytes, header);
        let stated = walk.by_ref().map(|entry| entry.header.synced).max().unwrap_or(Lsn(0));
        let end = walk.end();
        newest.verdict(&end, stated, log.proven)
    };
    let mut bytes = files.segment_bytes(newest).expect("read");
    assert!(matches!(judge(&bytes), Verdict::Sound(_)), "{:?}", judge(&bytes));
    // The first record was synchronised: the trees' metas say so.
    bytes[512 + 48] ^= 1;
    assert!(matches!(judge(&bytes), Verdict::Damaged(_)), "{:?}", judge(&bytes));
}

#[test]
fn what_is_not_there_is_refused_and_what_is_foreign_is_named() {
    let disk = database();
    let files = open(&disk);
    let kind = |result: Result<PageReport>| result.expect_err("refused").kind();
    assert_eq!(kind(files.page(0, 1)), ErrorKind::InvalidInput);
    assert_eq!(kind(files.page(0, u64::MAX)), ErrorKind::InvalidInput);
    assert_eq!(kind(files.page(1, 2)), ErrorKind::InvalidInput);
    disk.flip_bit("data/MANIFEST", 100).expect("flipped");
    let files = open(&disk);
    assert!(files.doubt().is_some());
    assert_eq!((files.manifest().uuid, files.manifest().page_size), ([7; 16], PAGE as u32));
    let missing = Inspector::open(Arc::new(disk.clone()), Path::new("nowhere")).expect_err("refused");
    assert_eq!(missing.kind(), ErrorKind::NotFound);
}

#[test]
fn segments_of_another_version_or_another_database_are_named() {
    let disk = database();
    let path = open(&disk).log().expect("read").segments[0].path.clone();
    let whole = disk.read_file(&path).expect("read");
    let with = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = whole.clone();
        change(&mut bytes);
        let sum = xxhash_rust::xxh3::xxh3_64(&bytes[..504]);
        bytes[504..512].copy_from_slice(&sum.to_le_bytes());
        disk.write_file(&path, &bytes).expect("written");
        open(&disk).log().expect("read").segments[0].state.clone()
    };
    assert_eq!(with(&|bytes| bytes[8] = 9), SegmentState::OtherVersion(9));
    assert!(matches!(with(&|bytes| bytes[24] ^= 1), SegmentState::Foreign(_)));
    assert!(matches!(with(&|bytes| bytes[16] = 200), SegmentState::Misplaced(_)));
}

#[test]
fn whatever_the_files_hold_there_is_an_answer() {
    let disk = database();
    let paths = ["data/p000/tree.db", "data/wal/0000000001.log", "data/MANIFEST"];
    let whole = paths.map(|path| disk.read_file(path).expect("read"));
    let mut state = 7u64;
    let mut draw = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    for _ in 0..150 {
        let which = draw(paths.len());
        let mut bytes = whole[which].clone();
        // The heads of pages and the metas are few of all bytes, and the most is made of them.
        let page = draw(bytes.len().div_ceil(PAGE as usize)) * PAGE as usize;
        for _ in 0..=draw(4) {
            let at = (page + draw(200)).min(bytes.len() - 1);
            bytes[at] = draw(256) as u8;
        }
        if draw(4) == 0 {
            bytes.truncate(draw(bytes.len()));
        }
        disk.write_file(paths[which], &bytes).expect("written");
        if let Ok(files) = Inspector::open(Arc::new(disk.clone()), Path::new(DIR)) {
            look_at_everything(&files, (page as u64 / PAGE).max(2));
        }
        disk.write_file(paths[which], &whole[which]).expect("written");
    }
}

/// Asks all that can be asked; errors are answers.
fn look_at_everything(files: &Inspector, page: u64) {
    let _ = files.metas(0);
    for number in [2, page, page + 1] {
        let _ = files.page(0, number);
    }
    let Ok(log) = files.log() else { return };
    for segment in &log.segments {
        if let (SegmentState::Live(header), Ok(bytes)) = (&segment.state, files.segment_bytes(segment)) {
            let end = records(&bytes, header).end();
            let _ = segment.verdict(&end, Lsn(0), log.proven);
        }
    }
}
