//! Files that shrink: nothing changes but the file's length, whatever the tree looks like, who reads, and what fails.

mod harness;

use halodb_btree::{Batch, CompactGoal, Depth, KeyRange, Shrink, Store, StoreOptions, Tree, compact};
use halodb_pager::PageId;
use halodb_vfs::SimVfs;
use halodb_vfs::sim::{CrashMode, Fault, Repeat};
use harness::{Keys, Model, Rig, Sorted, compare};
use proptest::prelude::*;
use std::path::Path;
use std::sync::Arc;

const PATH: &str = "one.store";
const OPTIONS: StoreOptions = StoreOptions { page_size: 4096, filter_bits_per_key: 11, hash_seed: 5 };

fn shrink(rig: &Rig, chunk_pages: u64) -> Shrink {
    let mut shrink = Shrink::new(Shrink::TIGHT);
    let mut steps = 0;
    while !shrink.is_done() {
        shrink.step(&rig.pager, rig.options, chunk_pages).unwrap();
        steps += 1;
        assert!(steps < 100_000, "{shrink:?} does not end");
    }
    shrink
}

fn puts(keys: impl Iterator<Item = u32>, len: usize) -> Sorted {
    let edits = keys.map(|n| (Keys::Numbers.key(n), Some(vec![n as u8; len]))).collect();
    Sorted { edits, ..Sorted::default() }
}

fn deletes(keys: impl Iterator<Item = u32>) -> Sorted {
    Sorted { edits: keys.map(|n| (Keys::Numbers.key(n), None)).collect(), ..Sorted::default() }
}

/// Pages of a file that holds the same entries, built at once; and how many the shrunk one may have: leaves packed to 97 %.
fn fresh_pages(rig: &Rig) -> (u64, u64) {
    let mut fresh = Rig::new(rig.pager.identity().page_size, rig.options.filter_bits_per_key);
    let edits = rig.model.iter().map(|(k, v)| (k.clone(), Some(v.clone()))).collect();
    fresh.merge(&Sorted { edits, ..Sorted::default() }, 100, u64::MAX);
    let pages = fresh.pager.stats().pages;
    (pages, pages + pages / 33 + 4)
}

#[test]
fn after_deleting_every_second_key_bit_by_bit_the_file_is_as_small_as_a_new_one() {
    for page_size in [4096, 16384] {
        let mut rig = Rig::new(page_size, 11);
        rig.merge(&puts(0..30_000, 150), 93, u64::MAX);
        // In small batches, so that leaves become half empty and stay where they are.
        for from in 0..100 {
            rig.merge(&deletes((from..30_000).step_by(200)), 93, u64::MAX);
        }
        let before = rig.pager.stats();
        let shrunk = shrink(&rig, 64).so_far();
        rig.compare();
        let after = rig.pager.stats();
        let (fresh, most) = fresh_pages(&rig);
        assert!(after.pages <= most, "{} pages, a new file has {fresh}; {shrunk:?}", after.pages);
        assert_eq!(after.file_bytes, after.pages * u64::from(page_size), "nothing lies ahead of the pages");
        assert_eq!(shrunk.bytes_cut, before.file_bytes - after.file_bytes);
        assert!(shrunk.pages_written <= 3 * before.pages, "{shrunk:?} of {} pages", before.pages);
        // Once more: there is little to do, and nothing is undone.
        let again = shrink(&rig, 64).so_far();
        assert!(again.pages_written <= after.pages / 4, "{again:?}");
        assert!(rig.pager.stats().pages <= after.pages, "{again:?}");
    }
}

#[test]
fn a_file_never_grows_by_more_than_a_chunk_while_it_shrinks() {
    let mut rig = Rig::new(4096, 11);
    rig.merge(&puts(0..20_000, 150), 70, u64::MAX);
    rig.merge(&Sorted::default(), 93, u64::MAX);
    shrink(&rig, 8);
    // Nothing is free now, and all leaves can be packed tighter after this.
    rig.merge(&deletes((0..20_000).step_by(3)), 60, u64::MAX);
    let chunk = 40;
    let limit = rig.pager.stats().pages + chunk + 12;
    let mut shrink = Shrink::new(Shrink::TIGHT);
    while !shrink.is_done() {
        shrink.step(&rig.pager, rig.options, chunk).unwrap();
        let stats = rig.pager.stats();
        assert!(stats.pages <= limit, "{} pages, at most {limit} are wanted: {shrink:?}", stats.pages);
        let progress = shrink.progress(&rig.tree()).unwrap();
        assert!((0.0..=1.0).contains(&progress), "{progress}");
    }
    assert_eq!(shrink.so_far().held_back, 0);
    rig.compare();
}

#[test]
fn a_reader_keeps_what_it_reads_and_the_file_does_not_grow_by_it() {
    let mut rig = Rig::new(4096, 11);
    rig.merge(&puts(0..10_000, 150), 93, u64::MAX);
    rig.merge(&deletes((0..10_000).step_by(2)), 50, u64::MAX);
    let (reader, model) = (rig.tree(), rig.model.clone());
    let before = rig.pager.stats().pages;
    shrink(&rig, 32);
    let pinned = rig.pager.stats();
    assert!(pinned.pages <= before + 64, "{} pages of {before}", pinned.pages);
    compare(&reader, &model);
    rig.compare();
    drop(reader);
    let shrunk = shrink(&rig, 32).so_far();
    let (after, (fresh, most)) = (rig.pager.stats(), fresh_pages(&rig));
    assert!(after.pages <= most, "{after:?}, a new file has {fresh}; {shrunk:?}");
    rig.compare();
}

/// Long values of many sizes: an extent needs free pages side by side, which single pages have to leave first.
#[test]
fn extents_find_room_among_single_pages() {
    let mut rig = Rig::new(4096, 11);
    for n in 0..600 {
        // A long value, then short ones around it.
        let mut batch = puts((n * 20)..(n * 20 + 20), 200);
        batch.edits.insert(Keys::Numbers.key(n * 20), Some(vec![n as u8; 2_000 + 400 * (n as usize % 50)]));
        rig.merge(&batch, 93, u64::MAX);
    }
    // Three of four long values go, and a third of the others.
    rig.merge(&deletes((0..600).filter(|n| n % 4 != 3).map(|n| n * 20)), 93, u64::MAX);
    rig.merge(&deletes((0..12_000).filter(|n| n % 20 != 0 && n % 3 == 0)), 93, u64::MAX);
    let before = rig.pager.stats();
    let shrunk = shrink(&rig, 64).so_far();
    rig.compare();
    let (after, (fresh, _)) = (rig.pager.stats(), fresh_pages(&rig));
    assert!(after.pages <= fresh + fresh / 20 + 8, "{before:?}\n{after:?}\n{fresh} in a new file; {shrunk:?}");
}

/// A long value cannot move by less than its length. So gaps were left before such values, each shorter than they are.
#[test]
fn gaps_shorter_than_the_values_behind_them_are_closed() {
    let (mut free, mut held) = (0, 0);
    for seed in 0..8 {
        let random = |n: u32, most: u32| n.wrapping_add(seed * 7919).wrapping_mul(2_654_435_761) / 7 % most;
        let mut rig = Rig::new(4096, 11);
        for round in 0..30 {
            let mut batch = puts((0..30).map(|n| random(round * 100 + n, 2000)), 200);
            for n in 0..3 {
                let len = 5000 + random(round * 50 + n, 40_000) as usize;
                batch.edits.insert(Keys::Numbers.key(random(round * 9 + n, 2000)), Some(vec![n as u8; len]));
            }
            rig.merge(&batch, 93, u64::MAX);
        }
        rig.merge(&deletes((0..2000).filter(|n| random(*n, 5) < 2)), 93, u64::MAX);
        let before = rig.pager.stats();
        let shrunk = shrink(&rig, 64).so_far();
        rig.compare();
        let after = rig.pager.stats();
        let holding = after.pages - after.free - after.pending;
        // Where more than 32 pages would have to be written for one that is won, it is left.
        assert!(after.pages <= holding + 4 + holding / 16, "seed {seed}: {before:?}\n{after:?}\n{shrunk:?}");
        (free, held) = (free + after.pages - holding, held + holding);
        assert_eq!(after.file_bytes, after.pages * 4096);
        let again = shrink(&rig, 64).so_far();
        assert!(rig.pager.stats().pages <= after.pages, "seed {seed}: {again:?}");
        assert!(again.pages_written <= after.pages / 2, "seed {seed}: {again:?} of {} pages", after.pages);
        rig.compare();
    }
    assert!(free * 100 <= held * 3, "{free} pages are free beside {held}");
}

#[test]
fn a_walk_that_finds_nothing_to_do_writes_nothing() {
    let mut rig = Rig::new(4096, 11);
    rig.merge(&puts(0..5_000, 100), 100, u64::MAX);
    shrink(&rig, 64);
    let base = rig.tree();
    let mut txn = rig.pager.begin().unwrap();
    let goal = CompactGoal { end: PageId(0), rewritten_per_won: 32 };
    let done = compact(&mut txn, &base, goal, b"", 64).unwrap();
    assert_eq!((done.root, done.resume, done.pages_written, done.pages_freed), (base.root(), None, 0, 0));
}

#[test]
fn an_empty_tree_shrinks_to_a_few_pages() {
    let mut rig = Rig::new(4096, 0);
    shrink(&rig, 64);
    rig.merge(&puts(0..5_000, 100), 100, u64::MAX);
    rig.merge(&Sorted { ranges: vec![KeyRange { start: vec![], end: None }], ..Sorted::default() }, 93, u64::MAX);
    shrink(&rig, 64);
    assert!(rig.pager.stats().file_bytes <= 6 * 4096, "{:?}", rig.pager.stats());
    rig.compare();
}

#[derive(Clone, Debug)]
enum Op {
    Put { from: u32, len: u32, step: u32, size: usize },
    Delete { from: u32, len: u32, step: u32 },
    Range(u32, u32),
    Compact { end: u64, rewritten_per_won: usize, limit: u64 },
    Shrink(u64),
    Pin,
}

fn op() -> impl Strategy<Value = Op> {
    let size = prop_oneof![6 => 0usize..200, 2 => 900usize..1100, 1 => 3000usize..20_000];
    prop_oneof![
        4 => (0u32..3000, 1u32..400, 1u32..9, size).prop_map(|(from, len, step, size)| Op::Put { from, len, step, size }),
        4 => (0u32..3000, 1u32..400, 1u32..9).prop_map(|(from, len, step)| Op::Delete { from, len, step }),
        1 => (0u32..3000, 0u32..3000).prop_map(|(a, b)| Op::Range(a.min(b), a.max(b))),
        2 => (0u64..400, 0usize..40, 0u64..60)
            .prop_map(|(end, rewritten_per_won, limit)| Op::Compact { end, rewritten_per_won, limit }),
        2 => (1u64..80).prop_map(Op::Shrink),
        1 => Just(Op::Pin),
    ]
}

fn run(page_size: u32, filter_bits: u32, keys: Keys, ops: &[Op]) {
    let mut rig = Rig::new(page_size, filter_bits);
    let mut pinned: Vec<(Tree, Model)> = Vec::new();
    for op in ops {
        let mut batch = Sorted::default();
        match *op {
            Op::Put { from, len, step, size } => {
                let ids = (from..).step_by(step as usize).take(len as usize);
                batch.edits = ids.map(|n| (keys.key(n), Some(vec![(n % 251) as u8; size]))).collect();
            }
            Op::Delete { from, len, step } => {
                batch.edits = (from..).step_by(step as usize).take(len as usize).map(|n| (keys.key(n), None)).collect();
            }
            Op::Range(from, to) => {
                let (from, to) = (keys.key(from), keys.key(to));
                batch.ranges = vec![KeyRange { start: from.clone().min(to.clone()), end: Some(from.max(to)) }];
            }
            Op::Compact { end, rewritten_per_won, limit } => {
                let goal = CompactGoal { end: PageId(end), rewritten_per_won };
                let mut from = Vec::new();
                loop {
                    let base = rig.tree();
                    let mut txn = rig.pager.begin().unwrap();
                    let done = compact(&mut txn, &base, goal, &from, limit).unwrap();
                    assert_eq!(txn.allocated(), done.pages_written);
                    let roots: Vec<_> = done.root.into_iter().collect();
                    txn.commit(&roots, b"").unwrap();
                    let Some(next) = done.resume else { break };
                    assert!(next > from, "no progress beyond {from:?}");
                    from = next;
                }
                rig.compare();
                continue;
            }
            Op::Shrink(chunk) => {
                shrink(&rig, chunk);
                rig.compare();
                continue;
            }
            Op::Pin => {
                pinned.push((rig.tree(), rig.model.clone()));
                if pinned.len() > 2 {
                    pinned.remove(0);
                }
                continue;
            }
        }
        rig.merge(&batch, 93, u64::MAX);
        for (tree, model) in &pinned {
            compare(tree, model);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 80, ..ProptestConfig::default() })]

    #[test]
    fn moving_and_packing_changes_no_entry_of_any_version(
        page_size in prop::sample::select(vec![4096u32, 16384]),
        filter_bits in prop::sample::select(vec![0u32, 11]),
        keys in prop::sample::select(vec![Keys::Numbers, Keys::SharedPrefix, Keys::Extremes, Keys::Longest, Keys::Tall]),
        ops in prop::collection::vec(op(), 1..12),
    ) {
        run(page_size, filter_bits, keys, &ops);
    }
}

fn open(disk: &SimVfs) -> Store {
    Store::open(Arc::new(disk.clone()), Path::new(PATH), OPTIONS.page_size).unwrap()
}

/// A store of a few levels with long values among short ones, two thirds of it deleted.
fn sparse(disk: &SimVfs) -> (Store, Model) {
    let store = Store::create(Arc::new(disk.clone()), Path::new(PATH), OPTIONS).unwrap();
    let key = |n: u32| Keys::SharedPrefix.key(n);
    let (mut batch, mut model) = (Batch::new(), Model::new());
    for n in 0..1500 {
        let value = vec![n as u8; if n % 97 == 0 { 9000 } else { 60 + n as usize % 50 }];
        batch.put(key(n), value.clone());
        model.insert(key(n), value);
    }
    store.apply(&batch).unwrap();
    let mut batch = Batch::new();
    for n in (0..1500).filter(|n| n % 3 != 0 || (300..500).contains(n)) {
        batch.delete(key(n));
        model.remove(&key(n));
    }
    store.apply(&batch).unwrap();
    (store, model)
}

fn holds(store: &Store, model: &Model, context: &str) {
    compare(&store.tree().unwrap(), model);
    assert_eq!(store.check(Depth::Deep).unwrap(), [], "{context}");
}

#[test]
fn a_power_loss_at_any_moment_of_compacting_loses_nothing() {
    let disk = SimVfs::new();
    let (store, mut model) = sparse(&disk);
    let begin = disk.ops();
    let won = store.compact().unwrap();
    assert!(won > 50_000, "{won}");
    holds(&store, &model, "at the end");
    let reader = store.tree().unwrap();
    store.apply(Batch::new().put("last", "one")).unwrap();
    compare(&reader, &model);
    let before_last = model.clone();
    model.insert(b"last".to_vec(), b"one".to_vec());
    for at in begin..=disk.ops() {
        for (seed, &mode) in (0..).zip(CrashMode::ALL) {
            let context = format!("operation {at}, {mode:?}");
            let image = disk.crash_image(at, mode, seed + at);
            let store = open(&image);
            let newest = if store.get(b"last").unwrap().is_some() { &model } else { &before_last };
            holds(&store, newest, &context);
            // And it goes on from there: one kind of loss at each moment.
            if at % CrashMode::ALL.len() as u64 == seed {
                store.compact().unwrap();
                holds(&store, newest, &context);
            }
        }
    }
}

/// A store in which no value may move: each gap is shorter than every value behind it.
fn interlocked(disk: &SimVfs) -> (Store, Model) {
    let store = Store::create(Arc::new(disk.clone()), Path::new(PATH), OPTIONS).unwrap();
    let (mut batch, mut gone, mut model) = (Batch::new(), Batch::new(), Model::new());
    for n in 0..16 {
        let (key, value) = (Keys::Numbers.key(n), vec![n as u8; if n % 2 == 0 { 15_000 } else { 7_000 }]);
        batch.put(key.clone(), value.clone());
        match n % 2 {
            0 => drop(model.insert(key, value)),
            _ => drop(gone.delete(key)),
        }
    }
    store.apply(&batch).unwrap();
    store.apply(&gone).unwrap();
    (store, model)
}

#[test]
fn values_make_way_for_themselves_and_a_power_loss_meanwhile_loses_nothing() {
    let disk = SimVfs::new();
    let (store, model) = interlocked(&disk);
    let begin = disk.ops();
    store.compact().unwrap();
    let stats = store.pager().stats();
    assert!(stats.free + stats.pending <= 4, "{stats:?}");
    holds(&store, &model, "at the end");
    for at in begin..=disk.ops() {
        for (seed, &mode) in (0..).zip(CrashMode::ALL) {
            let context = format!("operation {at}, {mode:?}");
            let store = open(&disk.crash_image(at, mode, seed + at));
            holds(&store, &model, &context);
            store.compact().unwrap();
            holds(&store, &model, &context);
            let stats = store.pager().stats();
            assert!(stats.free + stats.pending <= 4, "{context}: {stats:?}");
        }
    }
}

#[test]
fn a_fault_while_values_make_way_loses_nothing() {
    let calls = {
        let disk = SimVfs::new();
        let (store, _) = interlocked(&disk);
        let before = disk.calls();
        store.compact().unwrap();
        disk.calls() - before
    };
    let mut struck = 0;
    for call in 0..calls {
        for fault in [Fault::Errno(5), Fault::Errno(28), Fault::SyncFailsClean] {
            let disk = SimVfs::new();
            let (store, model) = interlocked(&disk);
            disk.inject(call, fault, Repeat::Once);
            let context = format!("call {call}, {fault:?}");
            struck += u64::from(store.compact().is_err());
            disk.heal();
            compare(&store.tree().unwrap(), &model);
            drop(store);
            let store = open(&disk);
            holds(&store, &model, &context);
            store.compact().unwrap();
            holds(&store, &model, &context);
        }
    }
    assert!(struck > calls, "only {struck} faults over {calls} calls came to an error");
}

#[test]
fn a_fault_at_any_call_of_compacting_loses_nothing() {
    let calls = {
        let disk = SimVfs::new();
        let (store, _) = sparse(&disk);
        let before = disk.calls();
        store.compact().unwrap();
        disk.calls() - before
    };
    let mut struck = 0;
    for call in 0..calls {
        for fault in [Fault::Errno(5), Fault::Errno(28), Fault::SyncFailsClean] {
            let disk = SimVfs::new();
            let (store, model) = sparse(&disk);
            disk.inject(call, fault, Repeat::Once);
            let context = format!("call {call}, {fault:?}");
            struck += u64::from(store.compact().is_err());
            disk.heal();
            compare(&store.tree().unwrap(), &model);
            if !store.pager().is_poisoned() {
                store.compact().unwrap();
                holds(&store, &model, &context);
            }
            drop(store);
            let store = open(&disk);
            holds(&store, &model, &context);
            store.compact().unwrap();
            holds(&store, &model, &context);
        }
    }
    assert!(struck > calls, "only {struck} faults over {calls} calls came to an error");
}
