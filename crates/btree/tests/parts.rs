//! Merges divided by ranges of keys: the same entries as undivided ones, leaves as full, pages given up once.

mod harness;

use halodb_btree::{Change, Edits, Error, Executor, InTurn, KeyRange, MergePart, Task, Tree, merge_parts};
use harness::{Keys, Rig, Sorted, VecEdits, merge_divided};
use std::num::NonZeroUsize;
use std::sync::Mutex;

fn puts(ns: impl Iterator<Item = u32>, len: usize) -> Sorted {
    let edits = ns.map(|n| (Keys::Numbers.key(n), Some(vec![n as u8; len]))).collect();
    Sorted { edits, ..Sorted::default() }
}

fn deletes(ns: impl Iterator<Item = u32>) -> Sorted {
    Sorted { edits: ns.map(|n| (Keys::Numbers.key(n), None)).collect(), ..Sorted::default() }
}

/// Number of leaves, and how full they are, in per cent.
fn leaves(tree: &Tree) -> (u64, u64) {
    let shape = tree.shape().unwrap();
    let leaves = shape.last().unwrap();
    (leaves.pages, leaves.used_bytes * 100 / leaves.capacity_bytes)
}

/// Numbers in a random order (splitmix64, by Vigna).
fn mix(n: u64) -> u64 {
    let mut z = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z ^ (z >> 27)
}

#[test]
fn a_divided_bulk_build_fills_its_leaves() {
    for (fill, least) in [(100, 95), (93, 90)] {
        for parts in 2..=4 {
            let (mut whole, mut divided) = (Rig::new(4096, 11), Rig::new(4096, 11));
            divided.parts = parts;
            whole.merge(&puts(0..20_000, 100), fill, u64::MAX);
            divided.merge(&puts(0..20_000, 100), fill, u64::MAX);
            let ((one, _), (other, full)) = (leaves(&whole.tree()), leaves(&divided.tree()));
            assert!(full >= least, "{parts} parts: {full} %");
            assert!(other <= one + parts as u64, "{parts} parts: {other} leaves, undivided {one}");
        }
    }
}

/// The seams of many small merges lie anywhere: if each left a poor leaf, there would be many.
#[test]
fn seams_leave_no_run_of_poor_leaves() {
    let fill_after = |parts: usize| {
        let mut rig = Rig::new(4096, 11);
        rig.merge(&puts((0..6000).map(|n| n * 2), 100), 93, u64::MAX);
        rig.parts = parts;
        for round in 0..30 {
            let some = |n: u64| mix(round * 1000 + n) as u32 % 6000;
            rig.merge(&deletes((0..150).map(|n| some(n) * 2)), 93, u64::MAX);
            rig.merge(&puts((150..240).map(|n| some(n) * 2 + 1), 100), 93, u64::MAX);
        }
        leaves(&rig.tree())
    };
    let (whole, fill) = fill_after(1);
    for parts in [2, 4, 16] {
        let (divided, fill_divided) = fill_after(parts);
        assert!(fill_divided + 2 >= fill, "{parts} parts: {fill_divided} %, undivided {fill} %");
        assert!(divided <= whole + whole / 33, "{parts} parts: {divided} leaves, undivided {whole}");
    }
}

#[test]
fn a_divided_batch_that_changes_nothing_keeps_the_root() {
    let mut rig = Rig::new(4096, 11);
    rig.merge(&puts(0..4000, 100), 93, u64::MAX);
    let base = rig.tree();
    for batch in [puts((0..4000).step_by(7), 100), deletes(4000..5000), Sorted::default()] {
        let mut txn = rig.pager.begin().unwrap();
        let mut edits = VecEdits { edits: batch.edits.into_iter().collect(), at: 0 };
        let merged = merge_divided(&mut txn, &base, &batch.ranges, &mut edits, 93, u64::MAX, 3).unwrap();
        assert_eq!((merged.root, merged.pages_written, merged.pages_freed), (base.root(), 0, 0));
        assert_eq!((merged.merged_up_to, txn.allocated()), (None, 0));
    }
}

#[test]
fn a_range_over_several_parts_is_unlinked_in_each() {
    let mut rig = Rig::new(4096, 11);
    rig.parts = 4;
    rig.merge(&puts(0..20_000, 100), 93, u64::MAX);
    let (pages, _) = leaves(&rig.tree());
    let mut batch = puts((0..20_000).step_by(500), 3);
    batch.ranges = vec![KeyRange { start: Keys::Numbers.key(700), end: Some(Keys::Numbers.key(19_200)) }];
    let base = rig.tree();
    let merged = {
        let mut edits = VecEdits { edits: batch.edits.clone().into_iter().collect(), at: 0 };
        let mut txn = rig.pager.begin().unwrap();
        merge_divided(&mut txn, &base, &batch.ranges, &mut edits, 93, u64::MAX, 4).unwrap()
    };
    assert!(merged.pages_freed > pages * 8 / 10, "{merged:?}, {pages} leaves");
    assert!(merged.pages_written < 60, "{merged:?}");
    drop(base);
    rig.merge(&batch, 93, u64::MAX);
}

#[test]
fn a_part_that_reaches_its_limit_ends_the_chunk() {
    let mut rig = Rig::new(4096, 11);
    rig.merge(&puts(0..20_000, 100), 93, u64::MAX);
    rig.parts = 4;
    let chunks = rig.merge(&puts(0..20_000, 99), 93, 80);
    assert!((8..80).contains(&chunks), "{chunks} chunks");
}

/// Runs tasks in threads, the last one first.
#[derive(Debug)]
struct Threads;

impl Executor for Threads {
    fn width(&self) -> NonZeroUsize {
        NonZeroUsize::MIN
    }
    fn run(&self, tasks: Vec<Task<'_>>) {
        std::thread::scope(|scope| {
            for task in tasks.into_iter().rev() {
                scope.spawn(task);
            }
        });
    }
}

#[test]
fn parts_in_threads_give_what_parts_in_turn_give() {
    let mut rig = Rig::new(4096, 11);
    rig.merge(&puts((0..40_000).step_by(3), 150), 93, u64::MAX);
    for round in 0..6 {
        let batch = match round % 2 {
            0 => puts((round..40_000).step_by(2), 60 + round as usize),
            _ => deletes((round..40_000).step_by(3)),
        };
        let base = rig.tree();
        let all: Vec<_> = batch.edits.clone().into_iter().collect();
        let share = all.len().div_ceil(4);
        let mut streams: Vec<_> = all.chunks(share).map(|part| VecEdits { edits: part.to_vec(), at: 0 }).collect();
        let start = |i: usize| if i == 0 { Vec::new() } else { all[i * share].0.clone() };
        let parts = streams.iter_mut().enumerate().map(|(i, edits)| MergePart { start: start(i), edits }).collect();
        let mut txn = rig.pager.begin().unwrap();
        let merged = merge_parts(&mut txn, &base, &[], parts, 93, u64::MAX, &Threads).unwrap();
        assert_eq!((txn.allocated(), &merged.merged_up_to), (merged.pages_written, &None));
        txn.commit(&merged.root.into_iter().collect::<Vec<_>>(), b"").unwrap();
        batch.apply_up_to(&mut rig.model, None);
        rig.compare();
    }
}

/// Loses every second task.
#[derive(Debug)]
struct Lazy(Mutex<u32>);

impl Executor for Lazy {
    fn width(&self) -> NonZeroUsize {
        NonZeroUsize::MIN
    }
    fn run(&self, tasks: Vec<Task<'_>>) {
        for task in tasks {
            let mut count = self.0.lock().unwrap();
            *count += 1;
            if *count % 2 == 1 {
                task();
            }
        }
    }
}

#[test]
fn parts_that_cannot_be_are_refused_and_change_nothing() {
    let mut rig = Rig::new(4096, 11);
    rig.merge(&puts(0..1000, 50), 93, u64::MAX);
    let key = |n| Keys::Numbers.key(n);
    let put = |n| VecEdits { edits: vec![(key(n), Some(vec![1]))], at: 0 };
    let refused = |starts: &[Vec<u8>], mut streams: Vec<VecEdits>, executor: &dyn Executor| {
        let parts = streams.iter_mut().zip(starts);
        let parts = parts.map(|(edits, start)| MergePart { start: start.clone(), edits }).collect();
        let mut txn = rig.pager.begin().unwrap();
        match merge_parts(&mut txn, &rig.tree(), &[], parts, 93, u64::MAX, executor) {
            Err(Error::Invalid(what)) => what,
            other => panic!("{other:?}"),
        }
    };
    let in_turn = InTurn(NonZeroUsize::MIN);
    let order = "the parts of a merge do not begin at the first key, or do not ascend";
    assert_eq!(refused(&[], vec![], &in_turn), order);
    assert_eq!(refused(&[key(5)], vec![put(5)], &in_turn), order);
    assert_eq!(refused(&[vec![], key(5), key(5)], vec![put(1), put(5), put(6)], &in_turn), order);
    let behind = "an edit behind the part it is given with";
    assert_eq!(refused(&[vec![], key(5)], vec![put(5), put(6)], &in_turn), behind);
    let before = "an edit before the part it is given with";
    assert_eq!(refused(&[vec![], key(5)], vec![put(1), put(4)], &in_turn), before);
    let undone = "a part of the merge was not run";
    assert_eq!(refused(&[vec![], key(5)], vec![put(1), put(6)], &Lazy(Mutex::new(0))), undone);
    rig.compare();
}

/// Goes back: the merge of its part fails.
struct OutOfOrder(bool);

impl Edits for OutOfOrder {
    fn current(&self) -> Option<(&[u8], Change<'_>)> {
        Some((if self.0 { b"a" } else { b"b" }, Change::put(b"x")))
    }
    fn advance(&mut self) {
        self.0 = true;
    }
}

#[test]
fn after_a_part_that_fails_the_others_leave_nothing_behind() {
    let mut rig = Rig::new(4096, 11);
    rig.merge(&puts(0..5000, 100), 93, u64::MAX);
    let before = rig.pager.stats();
    {
        let mut good = VecEdits { edits: puts(100..4000, 99).edits.into_iter().collect(), at: 0 };
        let mut bad = OutOfOrder(false);
        let mut txn = rig.pager.begin().unwrap();
        let parts = vec![
            MergePart { start: vec![], edits: &mut good },
            MergePart { start: Keys::Numbers.key(4000), edits: &mut bad },
        ];
        let in_turn = InTurn(NonZeroUsize::MIN);
        assert!(merge_parts(&mut txn, &rig.tree(), &[], parts, 93, u64::MAX, &in_turn).is_err());
    }
    assert_eq!(rig.pager.stats().free, before.free);
    rig.merge(&deletes((0..5000).step_by(3)), 93, u64::MAX);
}
