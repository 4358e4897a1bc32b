//! The rules of the interface, one at a time: what is refused, what the numbers say, when pages and bytes come back.

mod harness;

use halodb_pager::{
    Access, Error, Identity, MAX_USER_LEN, PageId, PageKind, PageRef, PageSet, Pager, Root, Snapshot, Stamp, WriteTxn,
};
use halodb_vfs::{OsVfs, SimVfs};
use harness::script::{Step, World};
use harness::{Edit, IDENTITY, commit, directory, read};
use std::path::Path;
use std::sync::Arc;

const PATH: &str = "p";

fn new() -> (SimVfs, Pager) {
    let disk = SimVfs::new();
    let pager = Pager::create(Arc::new(disk.clone()), Path::new(PATH), IDENTITY, &0u64.to_le_bytes()).unwrap();
    (disk, pager)
}

fn open(disk: &SimVfs, access: Access) -> Pager {
    Pager::open(Arc::new(disk.clone()), Path::new(PATH), &IDENTITY, access).unwrap()
}

fn refused<T: std::fmt::Debug>(result: halodb_pager::Result<T>, expected: &str) {
    match result {
        Err(Error::Invalid(what)) => assert!(what.contains(expected), "{what}"),
        other => panic!("expected a refusal with {expected:?}, got {other:?}"),
    }
}

#[test]
fn handles_can_be_shared_and_sent() {
    fn shared<T: Send + Sync>() {}
    fn sent<T: Send>() {}
    shared::<Pager>();
    shared::<Snapshot>();
    sent::<WriteTxn<'_>>();
}

#[test]
fn a_name_that_is_taken_is_not_overwritten() {
    let (disk, pager) = new();
    commit(&pager, &[Edit::Add(1)], 1).unwrap();
    let before = disk.read_file(PATH).unwrap();
    let again = Pager::create(Arc::new(disk.clone()), Path::new(PATH), IDENTITY, b"");
    assert!(matches!(again, Err(Error::Io { op: "create", .. })));
    assert_eq!(disk.read_file(PATH).unwrap(), before);
    assert_eq!(disk.files().unwrap().len(), 1, "no temporary file is left");
}

#[test]
fn impossible_sizes_are_refused() {
    let create = |page_size| {
        let identity = Identity { page_size, ..IDENTITY };
        Pager::create(Arc::new(SimVfs::new()), Path::new(PATH), identity, b"").map(|_| ())
    };
    for page_size in [0, 512, 4095, 4097, 12288, 131_072] {
        refused(create(page_size), "page size");
    }
    create(65536).unwrap();
    let long = vec![0; MAX_USER_LEN + 1];
    refused(Pager::create(Arc::new(SimVfs::new()), Path::new(PATH), IDENTITY, &long), "user area");
    let (_, pager) = new();
    refused(pager.republish(Some(&long)), "user area");
    refused(pager.begin().unwrap().commit(&[], &long), "user area");
    refused(pager.begin().unwrap().alloc(0), "0 pages");
}

#[test]
fn reading_only_never_writes() {
    let (disk, pager) = new();
    commit(&pager, &[Edit::Add(1)], 1).unwrap();
    drop(pager);
    let ops = disk.ops();
    let pager = open(&disk, Access::ReadOnly);
    read(&pager.snapshot()).unwrap();
    refused(pager.begin(), "reading only");
    refused(pager.secure(), "reading only");
    refused(pager.republish(None), "reading only");
    refused(pager.truncate_tail(), "reading only");
    drop(pager);
    let pager = open(&disk, Access::ReadWrite);
    read(&pager.snapshot()).unwrap();
    drop(pager);
    assert_eq!(disk.ops(), ops, "an open for writing does not write either, until it is asked to");
}

#[test]
fn securing_raises_the_epoch_in_both_slots_once() {
    let (disk, pager) = new();
    commit(&pager, &[Edit::Add(1)], 1).unwrap();
    drop(pager);
    for (opens, expected) in [(1, 1), (2, 2)] {
        let pager = open(&disk, Access::ReadWrite);
        assert_eq!(pager.stats().epoch, expected - 1, "open {opens}");
        pager.secure().unwrap();
        let ops = disk.ops();
        pager.secure().unwrap();
        drop(pager.begin().unwrap());
        assert_eq!(disk.ops(), ops);
        let (slot, generation) = (pager.opened().slot, pager.stats().generation);
        assert_eq!(pager.stats().epoch, expected);
        drop(pager);

        // Either slot alone tells the new epoch.
        assert_eq!(open(&disk, Access::ReadOnly).opened().slot, slot, "the chosen slot is written last");
        for bad in 0..2u64 {
            let copy = disk.copy();
            copy.flip_bit(PATH, bad * 4096 * 8 + 99).unwrap();
            let stats = open(&copy, Access::ReadOnly).stats();
            assert_eq!(stats.epoch, expected);
            assert_eq!(stats.generation, if bad == u64::from(slot) { generation - 1 } else { generation });
        }
    }
}

#[test]
fn no_stamp_is_used_twice_even_if_a_transaction_is_dropped() {
    let (disk, pager) = new();
    let mut seen = std::collections::HashSet::new();
    let mut stamp = |pager: &Pager| {
        let mut txn = pager.begin().unwrap();
        let at = txn.alloc(1).unwrap();
        txn.write(at, PageKind(1), 0, b"x").unwrap();
        assert!(seen.insert(at.stamp), "{at:?}");
        at.stamp
    };
    let first = stamp(&pager);
    let second = stamp(&pager);
    assert!(second.generation() > first.generation());
    commit(&pager, &[Edit::Add(1)], 1).unwrap();
    stamp(&pager);
    drop(pager);
    let pager = open(&disk, Access::ReadWrite);
    assert!(stamp(&pager).epoch() > first.epoch());
}

#[test]
fn a_freed_page_is_reused_two_commits_later_or_after_a_republish() {
    let (_disk, pager) = new();
    let write = |free: Option<PageRef>| {
        let mut txn = pager.begin().unwrap();
        let at = txn.alloc(1).unwrap();
        txn.write(at, PageKind(1), 0, b"x").unwrap();
        if let Some(at) = free {
            txn.free(at);
        }
        txn.commit(&[Root { page: at, tag: [0; 16] }], b"").unwrap();
        at
    };
    let a = write(None);
    let b = write(Some(a)); // freed here: the meta before still reaches it
    let c = write(Some(b));
    assert_ne!(c.id, a.id);
    let d = write(Some(c)); // now both metas are past it
    assert_eq!(d.id, a.id);
    pager.republish(None).unwrap();
    let e = write(Some(d));
    assert!(e.id == b.id || e.id == c.id, "after a republish what the last commit freed is free");
}

#[test]
fn what_a_transaction_may_not_do_is_refused_and_changes_nothing() {
    let (_disk, pager) = new();
    commit(&pager, &[Edit::Add(1), Edit::Add(2)], 1).unwrap();
    let snapshot = pager.snapshot();
    let before = (pager.stats(), read(&snapshot).unwrap());
    let root = snapshot.roots()[0].page;
    let user = 1u64.to_le_bytes();
    let check = |what: &mut dyn FnMut(&mut WriteTxn<'_>) -> Vec<Root>, expected: &str| {
        let mut txn = pager.begin().unwrap();
        let roots = what(&mut txn);
        refused(txn.commit(&roots, &user), expected);
    };
    let as_root = |page| vec![Root { page, tag: [0; 16] }];
    check(
        &mut |txn| {
            txn.free(root);
            as_root(root)
        },
        " a root",
    );
    check(
        &mut |txn| {
            txn.free(root);
            txn.free(root);
            vec![]
        },
        "given up twice",
    );
    check(
        &mut |txn| {
            txn.free(PageRef { id: PageId(1), ..root });
            vec![]
        },
        "from page 1",
    );
    check(
        &mut |txn| {
            txn.free(PageRef { id: PageId(1 << 60), ..root });
            vec![]
        },
        "was given up",
    );
    check(
        &mut |txn| {
            txn.free(PageRef { pages: u32::MAX, ..root });
            vec![]
        },
        "was given up",
    );
    check(
        &mut |txn| {
            let s = txn.stamp();
            txn.free(PageRef { stamp: s, ..root });
            vec![]
        },
        "never taken",
    );
    check(
        &mut |txn| {
            let at = txn.alloc(1).unwrap();
            as_root(at)
        },
        " a root",
    );
    check(
        &mut |txn| {
            let at = txn.alloc(2).unwrap();
            txn.write(at, PageKind(1), 0, b"").unwrap();
            as_root(at)
        },
        " a root",
    );
    check(&mut |_| vec![Root { page: root, tag: [0; 16] }; 17], "17 roots");
    check(&mut |_| as_root(PageRef { stamp: Stamp::new(0, 99), ..root }), " a root");

    let mut txn = pager.begin().unwrap();
    let at = txn.alloc(1).unwrap();
    refused(txn.write(root, PageKind(1), 0, b""), "not taken");
    refused(txn.write(at, PageKind(250), 0, b""), "belongs to the pager");
    refused(txn.write(PageRef { pages: 2, ..at }, PageKind(1), 0, b""), "not taken");
    refused(txn.write(at, PageKind(1), 0, &vec![0; txn.body_len() + 1]), "a body of");
    txn.write(at, PageKind(1), 0, &vec![1; txn.body_len()]).unwrap();
    refused(txn.write(at, PageKind(1), 0, b""), "written before");
    drop(txn);
    assert_eq!((pager.stats(), read(&pager.snapshot()).unwrap()), before);
}

#[test]
fn pages_taken_and_not_kept_are_free_again() {
    let (_disk, pager) = new();
    let mut txn = pager.begin().unwrap();
    let unwritten = txn.alloc(3).unwrap();
    let scrapped = txn.alloc(2).unwrap();
    let kept = txn.alloc(1).unwrap();
    txn.write(scrapped, PageKind(1), 0, b"").unwrap();
    txn.free(scrapped);
    txn.write(kept, PageKind(1), 0, b"").unwrap();
    assert_eq!(txn.allocated(), 4);
    let snapshot = txn.commit(&[Root { page: kept, tag: [0; 16] }], b"").unwrap();
    let mut reachable = PageSet::default();
    reachable.insert(kept);
    assert_eq!(snapshot.check_accounting(&reachable).unwrap(), []);
    let stats = pager.stats();
    assert_eq!((stats.used(), stats.pages, stats.free + stats.free_list), (1, 8, 5));
    assert_eq!(unwritten.id.0, 2);
}

#[test]
fn accounting_finds_what_is_lost_doubled_and_outside() {
    let (_disk, pager) = new();
    let (snapshot, _) = commit(&pager, &[Edit::Add(1), Edit::Add(1)], 1).unwrap();
    let (root, entries) = harness::directory(&snapshot).unwrap();
    let refs: Vec<PageRef> = entries.iter().map(|(at, _)| *at).chain(root).collect();
    let check = |refs: &[PageRef], expected: &[&str]| {
        let mut set = PageSet::default();
        for at in refs {
            assert!(set.insert(*at));
        }
        let found = snapshot.check_accounting(&set).unwrap();
        assert_eq!(found.len(), expected.len(), "{found:?}");
        for (finding, part) in found.iter().zip(expected) {
            assert!(finding.what.contains(part), "{finding:?}");
        }
    };
    check(&refs, &[]);
    check(&refs[1..], &["neither reachable nor free"]);
    let meta = PageRef { id: PageId(1), ..refs[0] };
    check(&[&refs[..], &[meta]].concat(), &["Page 1 is reachable and also a meta page"]);
    let outside = PageRef { id: PageId(snapshot.page_count()), ..refs[0] };
    check(&[&refs[..], &[outside]].concat(), &["in a file of"]);
}

#[test]
fn a_reference_out_of_the_version_is_an_error_before_any_address_is_formed() {
    let (_disk, pager) = new();
    let (snapshot, _) = commit(&pager, &[Edit::Add(1)], 1).unwrap();
    let root = snapshot.roots()[0].page;
    let check = |at: PageRef| {
        assert!(matches!(snapshot.page(at), Err(Error::Corrupt { .. })), "{at:?}");
        assert!(matches!(snapshot.verify(at), Err(Error::Corrupt { .. })), "{at:?}");
    };
    snapshot.page(root).unwrap();
    check(PageRef { id: PageId(0), ..root });
    check(PageRef { id: PageId(snapshot.page_count()), ..root });
    check(PageRef { id: PageId(u64::MAX), ..root });
    check(PageRef { pages: 0, ..root });
    check(PageRef { pages: 2, ..root });
    check(PageRef { pages: u32::MAX, ..root });
    check(PageRef { stamp: Stamp::new(0, root.stamp.generation() + 1), ..root });
    check(PageRef { stamp: Stamp::new(1, root.stamp.generation()), ..root });
    check(PageRef { stamp: Stamp::new(0, 0), ..root });
}

#[test]
fn a_proof_counts_in_the_version_that_gave_it_and_nowhere_else() {
    let (_disk, pager) = new();
    let (first, _) = commit(&pager, &[Edit::Add(1), Edit::Add(3)], 1).unwrap();
    let pages: Vec<PageRef> = directory(&first).unwrap().1.iter().map(|(at, _)| *at).collect();
    let proofs: Vec<_> = pages.iter().map(|at| first.page(*at).unwrap().proof()).collect();
    let bodies: Vec<Vec<u8>> = pages.iter().map(|at| first.page(*at).unwrap().body().to_vec()).collect();
    for ((proof, at), body) in proofs.iter().zip(&pages).zip(&bodies) {
        assert_eq!(proof.at(), *at);
        assert_eq!(first.page_again(*proof).unwrap().body(), body);
        assert_eq!(first.clone().page_again(*proof).unwrap().body(), body);
    }

    // A later version that still has the pages proves them anew.
    let (second, _) = commit(&pager, &[Edit::Add(1)], 2).unwrap();
    assert_eq!(second.page_again(proofs[1]).unwrap().body(), bodies[1]);

    // A version in which the place was written again refuses what the proof means.
    drop((first, second));
    let mut newest = None;
    for number in 3..9 {
        newest = Some(commit(&pager, &[Edit::Replace(0), Edit::Replace(1)], number).unwrap().0);
    }
    let newest = newest.unwrap();
    let live = directory(&newest).unwrap().1;
    assert!(live.iter().any(|(at, _)| pages.iter().any(|old| old.id == at.id)), "no page was reused");
    let stale = pages.iter().position(|old| live.iter().any(|(at, _)| at.id == old.id)).unwrap();
    assert!(matches!(newest.page_again(proofs[stale]), Err(Error::Corrupt { .. })));

    // So does a version of another file that happens to have the same generation.
    let (_other_disk, other) = new();
    let snapshot = other.snapshot();
    assert!(matches!(snapshot.page_again(proofs[0]), Err(Error::Corrupt { .. })));
}

#[test]
fn prefetching_is_a_hint_that_any_reference_may_give() {
    let (_disk, pager) = new();
    let (snapshot, state) = commit(&pager, &[Edit::Add(1)], 1).unwrap();
    let root = snapshot.roots()[0].page;
    for id in [root.id.0, 0, snapshot.page_count(), 1 << 40, u64::MAX] {
        for len in [0, 1, 4096, usize::MAX] {
            snapshot.prefetch(PageRef { id: PageId(id), ..root }, len);
        }
    }
    assert_eq!(read(&snapshot).unwrap(), state);
}

#[test]
fn the_free_tail_goes_back_to_the_file_system() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(PATH);
    let mut world = World::create(Arc::new(OsVfs), &path, IDENTITY).unwrap();
    world.step(&Step::Commit(vec![Edit::Add(1)]), 1).unwrap();
    world.step(&Step::Commit(vec![Edit::Add(1000), Edit::Add(1000)]), 2).unwrap();
    world.step(&Step::Snapshot, 0).unwrap();
    world.step(&Step::Commit(vec![Edit::Remove(2), Edit::Remove(1)]), 3).unwrap();
    for i in 0..4 {
        world.step(&Step::Commit(vec![Edit::Replace(0)]), 4 + i).unwrap();
        assert_eq!(world.pager.truncate_tail().unwrap(), 0, "a snapshot needs the pages");
    }
    world.check().unwrap();
    assert_eq!(world.pager.stats().pinned_versions, 1);
    world.step(&Step::Drop(0), 0).unwrap();
    // What stood behind the extents moves down first; then the page count shrinks, in one meta and in the other.
    let before = std::fs::metadata(&path).unwrap().len();
    let (mut cut, mut older) = (0, world.pager.snapshot().page_count());
    for i in 0..6 {
        world.step(&Step::Commit(vec![Edit::Replace(0)]), 10 + i).unwrap();
        let newest = world.pager.snapshot().page_count();
        cut += world.pager.truncate_tail().unwrap();
        let needed = newest.max(older) * u64::from(IDENTITY.page_size);
        assert!(std::fs::metadata(&path).unwrap().len() >= needed, "a meta still states the old page count");
        older = newest;
    }
    assert!(cut > 7_000_000, "{cut}");
    assert_eq!(std::fs::metadata(&path).unwrap().len(), before - cut);
    assert_eq!(world.pager.truncate_tail().unwrap(), 0);
    world.check().unwrap();
    world.step(&Step::Reopen, 0).unwrap();
    world.step(&Step::Commit(vec![Edit::Add(100)]), 12).unwrap();
    world.check().unwrap();
}

/// The pages at the end are free in the pinned version, but it may still check a reference against its page count.
#[test]
fn the_file_is_not_cut_below_the_pages_of_a_pinned_version() {
    let disk = SimVfs::new();
    let mut world = World::create(Arc::new(disk.clone()), Path::new(PATH), IDENTITY).unwrap();
    world.step(&Step::Commit(vec![Edit::Add(1), Edit::Add(1000)]), 1).unwrap();
    world.step(&Step::Commit(vec![Edit::Remove(1)]), 2).unwrap();
    let pinned = (0..9).find_map(|i| {
        let before = world.pager.snapshot();
        world.step(&Step::Commit(vec![Edit::Replace(0)]), 3 + i).unwrap();
        (world.pager.snapshot().page_count() + 900 < before.page_count()).then_some(before)
    });
    let pinned = pinned.expect("the page count shrinks within nine commits");
    world.step(&Step::Republish, 0).unwrap();
    assert_eq!(world.pager.truncate_tail().unwrap(), 0);
    drop(pinned);
    assert!(world.pager.truncate_tail().unwrap() > 3_000_000);
    world.check().unwrap();
}

#[test]
fn a_large_extent_is_one_slice_and_survives_a_reopen() {
    let (disk, pager) = new();
    let body: Vec<u8> = (0..9_000_001u32).map(|i| (i ^ (i >> 8)) as u8).collect();
    let mut txn = pager.begin().unwrap();
    let small = txn.alloc(1).unwrap();
    let large = txn.alloc(2200).unwrap();
    txn.write(small, PageKind(1), 0, b"root").unwrap();
    txn.write(large, PageKind(3), 7, &body).unwrap();
    txn.commit(&[Root { page: small, tag: [0; 16] }], b"").unwrap();
    for pager in [pager, open(&disk, Access::ReadOnly)] {
        let snapshot = pager.snapshot();
        let page = snapshot.page(large).unwrap();
        assert_eq!((page.kind(), page.level()), (PageKind(3), 7));
        assert!(page.body()[..body.len()] == body && page.body()[body.len()..].iter().all(|b| *b == 0));
        assert!(snapshot.page(PageRef { pages: 2199, ..large }).is_err());
    }
}

/// Every second of many pages is given up: the list takes several pages, and a reopened file finds them all.
#[test]
fn a_scattered_free_list_of_several_pages_comes_back() {
    let (disk, pager) = new();
    let mut txn = pager.begin().unwrap();
    let pages: Vec<PageRef> = (0..8_000).map(|_| txn.alloc(1).unwrap()).collect();
    for at in &pages {
        txn.write(*at, PageKind(1), 0, b"").unwrap();
    }
    let root = vec![Root { page: pages[0], tag: [0; 16] }];
    txn.commit(&root, b"").unwrap();
    let mut txn = pager.begin().unwrap();
    let mut kept = PageSet::default();
    for (i, at) in pages.iter().enumerate() {
        if i % 2 == 0 {
            kept.insert(*at);
        } else {
            txn.free(*at);
        }
    }
    txn.commit(&root, b"").unwrap();
    assert!(pager.stats().free_list >= 2);
    drop(pager);

    let pager = open(&disk, Access::ReadWrite);
    assert_eq!(pager.snapshot().check_accounting(&kept).unwrap(), []);
    let mut txn = pager.begin().unwrap();
    let mut taken: Vec<u64> = (0..4_000).map(|_| txn.alloc(1).unwrap().id.0).collect();
    assert_eq!(taken[..10], [3, 5, 7, 9, 11, 13, 15, 17, 19, 21], "lowest address first");
    assert!(taken.is_sorted());
    taken.retain(|id| *id < 8_000);
    assert_eq!(taken.len(), 3_999);
    drop(txn);
    let snapshot = pager.begin().unwrap().commit(&root, b"").unwrap();
    assert_eq!(snapshot.check_accounting(&kept).unwrap(), []);
}

#[test]
fn trimming_leaves_the_last_page_needed_and_nothing_behind_it() {
    let disk = SimVfs::new();
    let mut world = World::create(Arc::new(disk.clone()), Path::new(PATH), IDENTITY).unwrap();
    world.step(&Step::Commit([[Edit::Add(300); 1], [Edit::Add(1); 1]].concat()), 1).unwrap();
    world.step(&Step::Commit([[Edit::Remove(0); 1], [Edit::Add(7); 1]].concat()), 2).unwrap();
    world.step(&Step::Snapshot, 0).unwrap();
    let pinned = world.pager.snapshot().page_count();
    for i in 0..3 {
        world.step(&Step::Republish, 0).unwrap();
        world.step(&Step::Commit(vec![Edit::Lower(0), Edit::Lower(1)]), 3 + i).unwrap();
    }
    world.step(&Step::Republish, 0).unwrap();
    world.pager.trim().unwrap();
    let len = || disk.read_file(PATH).unwrap().len() as u64;
    assert_eq!(len(), pinned * 4096, "a snapshot may look at any page of its version");
    world.check().unwrap();
    world.step(&Step::Drop(0), 0).unwrap();
    for i in 0..3 {
        world.step(&Step::Commit(vec![]), 7 + i).unwrap();
        world.step(&Step::Republish, 0).unwrap();
    }
    assert!(world.pager.trim().unwrap() > 280 * 4096);
    let pages = world.pager.stats().pages;
    assert!(pages <= 16, "{pages} pages");
    assert_eq!(len(), pages * 4096);
    world.step(&Step::Reopen, 0).unwrap();
    world.step(&Step::Commit(vec![Edit::Add(40)]), 9).unwrap();
    world.check().unwrap();
}

/// Ten pages are pinned; a thousand others come and go meanwhile, and are used again and again.
#[test]
fn a_long_reader_holds_back_only_what_it_can_see() {
    let (_disk, pager) = new();
    commit(&pager, &[Edit::Add(1); 10], 1).unwrap();
    let reader = pager.snapshot();
    let seen = read(&reader).unwrap();
    let mut most = 0;
    for round in 0..100 {
        let edits: Vec<Edit> = (0..10).map(Edit::Replace).collect();
        commit(&pager, &edits, round + 2).unwrap();
        most = most.max(pager.stats().pages);
    }
    // The reader's ten and its root, the newest ten, and those of the commits that a crash may still find.
    assert!(most <= 11 + 4 * 13, "{most} pages");
    let stats = pager.stats();
    assert!((11..=13).contains(&stats.pinned), "{stats:?}");
    assert_eq!(read(&reader).unwrap(), seen);
    drop(reader);
    assert_eq!(pager.stats().pinned, 0);
}

/// Single pages and extents come in turns and lie in different places; each place is written in one piece.
#[test]
fn pages_that_come_in_any_order_are_written_in_large_pieces() {
    let (disk, pager) = new();
    let first = {
        let mut txn = pager.begin().unwrap();
        let pages: Vec<PageRef> = (0..400).map(|_| txn.alloc(1).unwrap()).collect();
        // Every second page becomes a hole: for the single pages of the next transaction, and too short for its extents.
        pages.iter().for_each(|at| txn.write(*at, PageKind(1), 0, b"x").unwrap());
        let root = Root { page: pages[399], tag: [0; 16] };
        txn.commit(&[root], b"").unwrap();
        let mut txn = pager.begin().unwrap();
        pages.iter().step_by(2).for_each(|at| txn.free(*at));
        txn.commit(&[root], b"").unwrap();
        pager.republish(None).unwrap();
        pages
    };
    let mut txn = pager.begin().unwrap();
    let before = disk.calls();
    let mut written = Vec::new();
    for _ in 0..100 {
        for pages in [1, 3] {
            let at = txn.alloc(pages).unwrap();
            txn.write(at, PageKind(2), 0, &at.id.0.to_le_bytes()).unwrap();
            written.push(at);
        }
    }
    txn.commit(&[Root { page: first[399], tag: [0; 16] }], b"").unwrap();
    let calls = disk.calls() - before;
    // 100 holes of one page each cannot be joined; the 300 pages of the extents, at the end of the file, can.
    assert!(calls <= 100 + 8, "{calls} calls");
    let snapshot = pager.snapshot();
    for at in written {
        assert!(snapshot.page(at).unwrap().body().starts_with(&at.id.0.to_le_bytes()));
    }
}

#[test]
fn a_small_file_stays_small() {
    let (disk, pager) = new();
    for i in 0..30 {
        commit(&pager, &[Edit::Add(1), Edit::Replace(i)], i as u64 + 1).unwrap();
    }
    let len = disk.read_file(PATH).unwrap().len();
    assert!(len <= 256 << 10, "{len} bytes");
}

/// Readers keep their version while a writer in another thread goes on, and a second writer waits for the first.
#[test]
fn readers_and_writers_in_threads_do_not_disturb_each_other() {
    let dir = tempfile::tempdir().unwrap();
    let pager = Pager::create(Arc::new(OsVfs), &dir.path().join(PATH), IDENTITY, &0u64.to_le_bytes()).unwrap();
    std::thread::scope(|scope| {
        for t in 0..2u64 {
            let pager = &pager;
            scope.spawn(move || {
                for i in 0..40 {
                    let mut txn = pager.begin().unwrap();
                    let base = pager.snapshot();
                    let edits = [Edit::Add(1), Edit::Replace(i), Edit::Remove(i * 7)];
                    let (roots, state) = harness::edit(&mut txn, &base, &edits, t * 1000 + i as u64 + 1).unwrap();
                    txn.commit(&roots, &state.number.to_le_bytes()).unwrap();
                }
            });
            scope.spawn(move || {
                let mut last = 0;
                for _ in 0..60 {
                    let snapshot = pager.snapshot();
                    let first = read(&snapshot).unwrap();
                    std::thread::yield_now();
                    assert_eq!(read(&snapshot).unwrap(), first);
                    assert!(first.number >= last);
                    last = first.number;
                }
            });
        }
    });
    assert_eq!(read(&pager.snapshot()).unwrap().number, 80);
    drop(pager.begin().unwrap());
    assert_eq!(pager.stats().pinned_versions, 0);
}
