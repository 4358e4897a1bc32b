//! Pages that are not what they should be: rotten bytes on the disk, and bodies that verify but are nonsense.
//!
//! Whatever is there, every call ends with an answer or an error.

mod harness;

use halodb_btree::{BRANCH, Depth, FILTER, LEAF, OVERFLOW, Store, StoreOptions, Tree, TreeOptions, merge};
use halodb_btree::{Batch, Change, Edits};
use halodb_pager::{Identity, PageKind, PageSet, Pager, Root};
use halodb_vfs::SimVfs;
use harness::{Keys, Rig, Sorted, VecEdits};
use proptest::prelude::*;
use std::ops::Bound;
use std::path::Path;
use std::sync::Arc;

const OPTIONS: TreeOptions = TreeOptions { hash_seed: 42, filter_bits_per_key: 11 };

/// Calls everything; corrupt pages may lead a cursor over the same leaf again and again, so steps are limited.
fn use_in_every_way(pager: &Pager, tree: &Tree) {
    for n in [0, 7, 500, 1500, 2999] {
        let key = Keys::Numbers.key(n);
        let _ = tree.get(&key);
        let _ = tree.rank(&key);
        let _ = tree.count(Bound::Excluded(&key), Bound::Unbounded);
        let _ = tree.nth(u64::from(n));
        let mut cursor = tree.cursor();
        let moves = [cursor.seek(&key).is_ok(), cursor.seek_back(&key).is_ok()];
        let _ = (moves, cursor.value());
    }
    let mut cursor = tree.cursor();
    let mut steps = cursor.seek_first().is_ok().then_some(5000);
    while let (Some(left), true) = (steps, cursor.key().is_some()) {
        let _ = cursor.value();
        steps = cursor.next().ok().and_then(|()| if left > 0 { Some(left - 1) } else { None });
    }
    let mut steps = cursor.seek_last().is_ok().then_some(5000);
    while let (Some(left), true) = (steps, cursor.key().is_some()) {
        steps = cursor.prev().ok().and_then(|()| if left > 0 { Some(left - 1) } else { None });
    }
    let _ = tree.shape();
    let _ = tree.check(Depth::Deep, &mut PageSet::default());
    let edits = (0..3000).step_by(170).map(|n| (Keys::Numbers.key(n), (n % 3 > 0).then(|| vec![n as u8; n as usize])));
    let mut edits = VecEdits { edits: edits.collect(), at: 0 };
    let gone = halodb_btree::KeyRange { start: Keys::Numbers.key(600), end: Some(Keys::Numbers.key(2100)) };
    if let Ok(mut txn) = pager.begin()
        && let Ok(merged) = merge(&mut txn, tree, &[gone], &mut edits, 93, 20)
    {
        let roots: Vec<Root> = merged.root.into_iter().collect();
        let _ = txn.commit(&roots, b"");
    }
}

#[derive(Clone, Debug)]
struct Change8 {
    at: prop::sample::Index,
    near: bool,
    to: u8,
}

fn changes() -> impl Strategy<Value = Vec<Change8>> {
    let change = (any::<prop::sample::Index>(), any::<bool>(), prop_oneof![Just(0u8), Just(1), Just(255), any::<u8>()]);
    prop::collection::vec(change.prop_map(|(at, near, to)| Change8 { at, near, to }), 1..20)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    #[test]
    fn a_root_page_of_nonsense_that_verifies_gives_errors_and_no_panic(
        changes in changes(),
        level in 0u8..4,
        height in 0u8..6,
        of_many_levels: bool,
    ) {
        let mut rig = Rig::new(4096, 11);
        let n = if of_many_levels { 3000 } else { 20 };
        let edits = (0..n).map(|n| (Keys::Numbers.key(n), Some(vec![1; if n % 50 == 0 { 2000 } else { 30 }])));
        rig.merge(&Sorted { edits: edits.collect(), ..Sorted::default() }, 93, u64::MAX);
        let tree = rig.tree();
        let root = tree.root().unwrap();
        let page = tree.snapshot().page(root.page).unwrap();
        let mut body = page.body().to_vec();
        for change in &changes {
            let at = change.at.index(if change.near { 80 } else { body.len() });
            body[at] = change.to;
        }
        let mut txn = rig.pager.begin().unwrap();
        let at = txn.alloc(1).unwrap();
        let (kind, level) = if level == 3 { (page.kind(), page.level()) } else { ([LEAF, BRANCH, BRANCH][level as usize], level) };
        txn.write(at, kind, level, &body).unwrap();
        txn.free(root.page);
        let mut tag = root.tag;
        tag[8] = if height < 4 { page.level() + 1 } else { height };
        txn.commit(&[Root { page: at, tag }], b"").unwrap();
        if let Ok(tree) = Tree::open(rig.pager.snapshot(), 0, OPTIONS) {
            use_in_every_way(&rig.pager, &tree);
        }
    }

    #[test]
    fn rotten_bytes_are_found_and_never_answered_as_data(flips in prop::collection::vec(any::<prop::sample::Index>(), 1..4)) {
        let disk = SimVfs::new();
        let options = StoreOptions { page_size: 4096, ..StoreOptions::default() };
        let mut batch = Batch::new();
        for n in 0..1500 {
            batch.put(Keys::Numbers.key(n), vec![n as u8; if n % 100 == 0 { 3000 } else { 40 }]);
        }
        let path = Path::new("s");
        let store = Store::create(Arc::new(disk.clone()), path, options).unwrap();
        let tree = store.apply(&batch).unwrap();
        let mut pages = PageSet::default();
        tree.check(Depth::Deep, &mut pages).unwrap();
        let end = tree.snapshot().page_count();
        drop((tree, store));
        for flip in &flips {
            disk.flip_bit("s", (2 * 4096 * 8 + flip.index((end as usize - 2) * 4096 * 8)) as u64).unwrap();
        }
        if let Ok(store) = Store::open(Arc::new(disk.clone()), path, 4096) {
            let tree = store.tree().unwrap();
            let mut errors = 0;
            for n in 0..1500 {
                match tree.get(&Keys::Numbers.key(n)) {
                    Ok(value) => prop_assert!(value.is_some_and(|v| v.iter().all(|&b| b == n as u8))),
                    Err(_) => errors += 1,
                }
            }
            let findings = store.check(Depth::Deep);
            prop_assert!(errors == 0 || findings.is_err() || findings.is_ok_and(|f| !f.is_empty()));
            use_in_every_way(store.pager(), &tree);
        }
    }
}

/// Puts a changed copy of the root page in its place.
fn with_root(rig: &mut Rig, height: Option<u8>, change: impl FnOnce(&mut [u8])) -> halodb_btree::Result<Tree> {
    let tree = rig.tree();
    let root = tree.root().unwrap();
    let page = tree.snapshot().page(root.page).unwrap();
    let (kind, level, mut body) = (page.kind(), page.level(), page.body().to_vec());
    change(&mut body);
    let mut txn = rig.pager.begin().unwrap();
    let at = txn.alloc(1).unwrap();
    txn.write(at, kind, level, &body).unwrap();
    txn.free(root.page);
    let mut tag = root.tag;
    tag[8] = height.unwrap_or(tag[8]);
    txn.commit(&[Root { page: at, tag }], b"").unwrap();
    Tree::open(rig.pager.snapshot(), 0, OPTIONS)
}

fn rig_of(n: u32) -> Rig {
    let mut rig = Rig::new(4096, 11);
    let edits = (0..n).map(|n| (Keys::Numbers.key(n), Some(vec![1; 100])));
    rig.merge(&Sorted { edits: edits.collect(), ..Sorted::default() }, 93, u64::MAX);
    rig
}

#[test]
fn a_leaf_that_a_branch_names_again_and_again_is_gone_through_once() {
    let mut rig = rig_of(1000);
    let tree = with_root(&mut rig, None, |body| {
        let word = |at: usize| usize::from(u16::from_le_bytes([body[at], body[at + 1]]));
        let (children, prefix) = (word(0), word(2));
        let first = 32 + prefix.next_multiple_of(8) + 8 * (children - 1);
        for child in 1..children {
            body.copy_within(first..first + 16, first + 24 * child);
        }
    });
    let tree = tree.unwrap();
    let mut cursor = tree.cursor();
    cursor.seek_first().unwrap();
    let mut steps = 0;
    let end = loop {
        match cursor.next() {
            Ok(()) if cursor.key().is_some() => steps += 1,
            end => break end,
        }
    };
    assert!(end.is_err() && cursor.key().is_none() && steps < 100, "{end:?} after {steps} steps");
    cursor.seek_last().unwrap();
    assert!((0..100).any(|_| cursor.prev().is_err()));
}

#[test]
fn a_tree_higher_than_any_is_refused() {
    for height in [0, 65, 255] {
        assert!(with_root(&mut rig_of(1), Some(height), |_| ()).is_err(), "{height} levels");
    }
}

#[test]
fn an_absent_key_costs_no_look_at_its_leaf() {
    let disk = SimVfs::new();
    let identity = Identity { uuid: [1; 16], incarnation: 1, file_id: 0, page_size: 4096 };
    let open = || Pager::open(Arc::new(disk.clone()), Path::new("p"), &identity, halodb_pager::Access::ReadWrite);
    let pager = Pager::create(Arc::new(disk.clone()), Path::new("p"), identity, b"").unwrap();
    let mut edits =
        VecEdits { edits: (0..1000).map(|n| (Keys::Numbers.key(2 * n), Some(vec![0; 50]))).collect(), at: 0 };
    let mut txn = pager.begin().unwrap();
    let empty = Tree::open(pager.snapshot(), 0, OPTIONS).unwrap();
    let root = merge(&mut txn, &empty, &[], &mut edits, 93, u64::MAX).unwrap().root.unwrap();
    let snapshot = txn.commit(&[root], b"").unwrap();
    let leaves = kinds(&snapshot, LEAF);
    assert!(leaves.len() > 10 && !kinds(&snapshot, FILTER).is_empty() && kinds(&snapshot, OVERFLOW).is_empty());
    drop((snapshot, empty));
    drop(pager);
    for leaf in leaves {
        disk.flip_bit("p", (leaf * 4096 + 100) * 8).unwrap();
    }
    let pager = open().unwrap();
    let tree = Tree::open(pager.snapshot(), 0, OPTIONS).unwrap();
    let absent = (0..1000).map(|n| tree.get(&Keys::Numbers.key(2 * n + 1)));
    let denied = absent.filter(|found| matches!(found, Ok(None))).count();
    assert!(denied > 970, "only {denied} of 1000 absent keys were denied without their leaf");
    assert!((0..1000).all(|n| tree.get(&Keys::Numbers.key(2 * n)).is_err()), "a rotten leaf gave an answer");
}

/// The pages of one kind, found by their headers.
fn kinds(snapshot: &halodb_pager::Snapshot, kind: PageKind) -> Vec<u64> {
    let root = snapshot.roots()[0].page;
    let stamp = root.stamp;
    let page = |id| halodb_pager::PageRef { id: halodb_pager::PageId(id), stamp, pages: 1 };
    let is = |id: &u64| snapshot.page(page(*id)).is_ok_and(|page| page.kind() == kind);
    let filter = |id: &u64| {
        (1..20).any(|pages| snapshot.page(halodb_pager::PageRef { pages, ..page(*id) }).is_ok_and(|p| p.kind() == kind))
    };
    (2..snapshot.page_count()).filter(|id| if kind == LEAF { is(id) } else { filter(id) }).collect()
}

/// A stream whose edits are out of order only later on.
struct Late(u32);
impl Edits for Late {
    fn current(&self) -> Option<(&[u8], Change<'_>)> {
        let key: &[u8] = match self.0 {
            0 => b"a",
            1 => b"c",
            2 => b"b",
            _ => return None,
        };
        Some((key, Change::put(b"")))
    }
    fn advance(&mut self) {
        self.0 += 1;
    }
}

#[test]
fn edits_that_fall_back_later_on_are_refused() {
    let rig = Rig::new(4096, 0);
    let mut txn = rig.pager.begin().unwrap();
    assert!(merge(&mut txn, &rig.tree(), &[], &mut Late(0), 93, u64::MAX).is_err());
}
