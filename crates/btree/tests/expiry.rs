//! Expiries against a sorted map: each entry's own, and the least of every leaf and branch.

mod harness;

use halodb_btree::inspect::{BranchPage, LeafPage};
use halodb_btree::{BRANCH, Batch, Depth, Expiry, LEAF, Store, StoreOptions, Tree, TreeOptions};
use halodb_pager::{Finding, PageRef, PageSet, Root};
use halodb_vfs::SimVfs;
use harness::Keys;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

/// Value and expiry in milliseconds.
type Model = BTreeMap<Vec<u8>, (Vec<u8>, u64)>;

const OPTIONS: StoreOptions = StoreOptions { page_size: 4096, filter_bits_per_key: 11, hash_seed: 42 };

fn store() -> Store {
    Store::create(Arc::new(SimVfs::new()), Path::new("s"), OPTIONS).unwrap()
}

/// The first of some expiries in milliseconds; 0: never.
fn least(all: impl Iterator<Item = u64>) -> u64 {
    all.filter(|ms| *ms > 0).min().unwrap_or(0)
}

/// The least expiry below a page, each page's own statement held against what is below it.
fn descend(tree: &Tree, model: &Model, at: PageRef, seen: &mut usize) -> u64 {
    let page = tree.snapshot().page(at).unwrap();
    if page.level() == 0 {
        let leaf = LeafPage::parse(page.body()).unwrap();
        let expiries = (0..leaf.len()).map(|i| {
            let ms = leaf.expiry(i).unwrap().ms();
            assert_eq!(ms, model[&leaf.key(i).unwrap()].1);
            ms
        });
        let least = least(expiries);
        assert_eq!(leaf.least_expiry().unwrap().ms(), least);
        *seen += leaf.len();
        return least;
    }
    let branch = BranchPage::parse(page.body()).unwrap();
    let below = (0..branch.len()).map(|i| {
        let child = branch.child(i).unwrap();
        let least = descend(tree, model, child.at, seen);
        assert_eq!(child.expiry.ms(), least, "child {i} of page {}", at.id.0);
        least
    });
    let least = least(below);
    assert_eq!(branch.least_expiry().unwrap().ms(), least);
    least
}

fn compare(store: &Store, model: &Model) {
    let tree = store.tree().unwrap();
    assert_eq!(store.check(Depth::Deep).unwrap(), []);
    let all = least(model.values().map(|(_, ms)| *ms));
    assert_eq!(tree.least_expiry().unwrap().ms(), all);
    let mut seen = 0;
    if let Some(root) = tree.root() {
        assert_eq!(descend(&tree, model, root.page, &mut seen), all);
    }
    assert_eq!(seen, model.len());
    let mut cursor = tree.cursor();
    assert_eq!(cursor.expiry(), None);
    cursor.seek_first().unwrap();
    for (key, (value, ms)) in model {
        let expiry = Expiry::at_ms(*ms);
        assert_eq!((cursor.key(), cursor.expiry()), (Some(&key[..]), Some(expiry)));
        assert!(tree.get_with_expiry(key, tree.hash(key)).unwrap() == Some((&value[..], expiry)));
        cursor.next().unwrap();
    }
    assert_eq!(cursor.expiry(), None);
    assert_eq!(tree.get_with_expiry(b"no such key", tree.hash(b"no such key")).unwrap(), None);
    let mut rescued = Model::new();
    let found = tree.rescue(&mut PageSet::default(), &mut |key, value, expiry| {
        rescued.insert(key.to_vec(), (value.to_vec(), expiry.ms()));
        ControlFlow::Continue(())
    });
    assert!(found.lost.is_empty() && rescued == *model);
}

#[derive(Clone, Debug)]
enum Op {
    Put { from: u32, count: u32, len: usize, ms: u64, apart: u64 },
    Delete { from: u32, count: u32 },
    DeleteRange(u32, u32),
}

fn op() -> impl Strategy<Value = Op> {
    let len = prop_oneof![4 => Just(40usize), 3 => 0usize..120, 1 => 900usize..6000];
    let ms = prop_oneof![3 => Just(0u64), 4 => 1_700_000_000_000u64..1_700_000_100_000, 1 => any::<u64>()];
    let apart = prop_oneof![Just(0u64), 1u64..5, Just(3_600_000)];
    prop_oneof![
        5 => (0u32..2000, 1u32..300, len, ms, apart)
            .prop_map(|(from, count, len, ms, apart)| Op::Put { from, count, len, ms, apart }),
        2 => (0u32..2000, 1u32..300).prop_map(|(from, count)| Op::Delete { from, count }),
        1 => (0u32..2000, 0u32..900).prop_map(|(from, count)| Op::DeleteRange(from, from + count)),
    ]
}

/// Applies operations to a batch and to the model.
fn apply(ops: &[Op], keys: Keys, model: &mut Model) -> Batch {
    let mut batch = Batch::new();
    for op in ops {
        match *op {
            Op::Put { from, count, len, ms, apart } => {
                for i in 0..count {
                    let ms = if ms == 0 { 0 } else { ms.saturating_add(u64::from(i) * apart) };
                    let (key, value) = (keys.key(from + i), vec![i as u8; len]);
                    batch.put_until(key.clone(), value.clone(), Expiry::at_ms(ms));
                    model.insert(key, (value, ms));
                }
            }
            Op::Delete { from, count } => (from..from + count).for_each(|n| {
                batch.delete(keys.key(n));
                model.remove(&keys.key(n));
            }),
            Op::DeleteRange(from, to) => {
                let (from, to) = (keys.key(from), keys.key(to));
                batch.delete_range(from.clone(), Some(to.clone()));
                model.retain(|key, _| *key < from || *key >= to);
            }
        }
    }
    batch
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn any_batches_leave_every_expiry_and_every_least_one_exact(
        keys in prop::sample::select(vec![Keys::Numbers, Keys::SharedPrefix, Keys::Extremes]),
        batches in prop::collection::vec(prop::collection::vec(op(), 1..6), 1..6),
    ) {
        let store = store();
        let mut model = Model::new();
        for ops in &batches {
            store.apply(&apply(ops, keys, &mut model)).unwrap();
            compare(&store, &model);
        }
    }
}

#[test]
fn another_expiry_of_the_same_value_is_a_change_and_the_same_is_none() {
    let store = store();
    let put = |ms| {
        let mut batch = Batch::new();
        batch.put_until("key", "value", Expiry::at_ms(ms)).put("other", "never");
        store.apply(&batch).unwrap()
    };
    let first = put(5).root();
    assert_eq!(put(5).root(), first);
    let second = put(6);
    assert_ne!(second.root(), first);
    assert_eq!(second.get_with_expiry(b"key", second.hash(b"key")).unwrap(), Some((&b"value"[..], Expiry::at_ms(6))));
    assert_eq!(put(0).least_expiry().unwrap(), Expiry::NEVER);
}

#[test]
fn a_value_in_an_extent_expires_too() {
    let store = store();
    let mut batch = Batch::new();
    batch.put_until("long", vec![1; 9000], Expiry::at_ms(77)).put("short", "never");
    let tree = store.apply(&batch).unwrap();
    assert_eq!(tree.get_with_expiry(b"long", tree.hash(b"long")).unwrap(), Some((&[1; 9000][..], Expiry::at_ms(77))));
    assert_eq!(tree.least_expiry().unwrap(), Expiry::at_ms(77));
}

fn numbers(expiry: impl Fn(u32) -> u64) -> (Store, Model) {
    let store = store();
    let (mut batch, mut model) = (Batch::new(), Model::new());
    for n in 0..1000 {
        batch.put_until(Keys::Numbers.key(n), vec![7; 100], Expiry::at_ms(expiry(n)));
        model.insert(Keys::Numbers.key(n), (vec![7; 100], expiry(n)));
    }
    store.apply(&batch).unwrap();
    (store, model)
}

#[test]
fn where_nothing_expires_nothing_is_stored_of_it() {
    let used = |store: &Store| store.tree().unwrap().shape().unwrap().iter().map(|l| l.used_bytes).collect::<Vec<_>>();
    let (never, model) = numbers(|_| 0);
    compare(&never, &model);
    let (one, model) = numbers(|n| u64::from(n == 500));
    compare(&one, &model);
    let (two, model) = numbers(|n| if n == 0 { 1 } else { 1 << 30 });
    compare(&two, &model);
    let children = never.tree().unwrap().shape().unwrap()[0].entries;
    // One byte per child, and eight for the least one.
    assert_eq!(used(&one)[0], used(&never)[0] + children + 8);
    // The first leaf states distances of four bytes, the others one byte each; so does the branch, of four.
    assert!(used(&two)[1] < used(&never)[1] + 1000 + 40 * 8 + 40 * 4, "{:?} {:?}", used(&two), used(&never));
}

/// What a check says of a tree whose root page was changed.
fn findings_after(store: &Store, change: impl Fn(&mut Vec<u8>)) -> Vec<Finding> {
    let tree = store.tree().unwrap();
    let root = tree.root().unwrap();
    let page = tree.snapshot().page(root.page).unwrap();
    let mut body = page.body().to_vec();
    change(&mut body);
    let mut txn = store.pager().begin().unwrap();
    let at = txn.alloc(1).unwrap();
    let kind = if page.level() == 0 { LEAF } else { BRANCH };
    txn.write(at, kind, page.level(), &body).unwrap();
    txn.free(root.page);
    let snapshot = txn.commit(&[Root { page: at, tag: root.tag }], tree.snapshot().user()).unwrap();
    let options = TreeOptions { hash_seed: OPTIONS.hash_seed, filter_bits_per_key: OPTIONS.filter_bits_per_key };
    Tree::open(snapshot, 0, options).unwrap().check(Depth::Quick, &mut PageSet::default()).unwrap()
}

#[test]
fn a_check_finds_least_expiries_that_are_not_true() {
    let find = |body: &[u8], ms: u64| body.windows(8).position(|bytes| bytes == ms.to_le_bytes()).unwrap();
    let (branches, _) = numbers(|n| 0x1122_3344_5566 + u64::from(n % 50));
    assert_eq!(findings_after(&branches, |_| {}), []);
    let leaf = store();
    let mut batch = Batch::new();
    batch.put_until("a", "1", Expiry::at_ms(0x1122_3344_5566)).put("b", "2");
    leaf.apply(&batch).unwrap();
    for (store, found) in [(&branches, "the least expiry of child"), (&leaf, "least expiry is not true")] {
        // Of every item, and of one.
        let changed = findings_after(store, |body| {
            let at = find(body, 0x1122_3344_5566) + 8;
            body[at] += 1;
        });
        assert!(changed.iter().any(|finding| finding.what.contains(found)), "{changed:?}");
        let zero = findings_after(store, |body| {
            let at = (0..body.len() - 8).find(|at| body[at + 2..at + 6] == [0x44, 0x33, 0x22, 0x11]).unwrap();
            body[at..at + 8].fill(0);
        });
        assert!(!zero.is_empty());
    }
}
