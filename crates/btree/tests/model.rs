//! Random sorted batches, in chunks of random size, whole and divided, against `BTreeMap`.

mod harness;

use halodb_btree::KeyRange;
use harness::{Keys, Model, Rig, Sorted, compare};
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Op {
    Put(u32, usize),
    Run { from: u32, len: u32, step: u32, value: usize },
    Delete(u32),
    DeleteRun { from: u32, len: u32, step: u32 },
    Range(u32, Option<u32>),
    RangePerKey { from: u32, len: u32, step: u32 },
}

const SPACE: u32 = 3000;

fn value_len() -> impl Strategy<Value = usize> {
    prop_oneof![8 => 0usize..60, 2 => 900usize..1100, 1 => 4080usize..4110, 1 => 3000usize..20_000]
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => (0..SPACE, value_len()).prop_map(|(n, len)| Op::Put(n, len)),
        2 => (0..SPACE, 1u32..600, 1u32..6, 0usize..120)
            .prop_map(|(from, len, step, value)| Op::Run { from, len, step, value }),
        4 => (0..SPACE).prop_map(Op::Delete),
        1 => (0..SPACE, 1u32..600, 1u32..6).prop_map(|(from, len, step)| Op::DeleteRun { from, len, step }),
        1 => (0..SPACE, 1u32..200, 1u32..4).prop_map(|(from, len, step)| Op::RangePerKey { from, len, step }),
        1 => (0..SPACE, prop::option::weighted(0.9, 0..SPACE)).prop_map(|(from, to)| Op::Range(from, to)),
    ]
}

#[derive(Clone, Debug)]
struct Round {
    ops: Vec<Op>,
    fill_percent: u32,
    limit_pages: u64,
    parts: usize,
}

fn round() -> impl Strategy<Value = Round> {
    let limit = prop_oneof![Just(u64::MAX), 0u64..40];
    let parts = prop_oneof![2 => Just(1usize), 3 => 2usize..=4, 1 => 5usize..40];
    (prop::collection::vec(op(), 1..12), 50u32..=100, limit, parts)
        .prop_map(|(ops, fill_percent, limit_pages, parts)| Round { ops, fill_percent, limit_pages, parts })
}

fn batch(keys: Keys, ops: &[Op], salt: u8) -> Sorted {
    let mut out = Sorted::default();
    let value = |n: u32, len: usize| (0..len).map(|i| (n as usize + i) as u8 ^ salt).collect::<Vec<u8>>();
    let mut ranges = Vec::new();
    for op in ops {
        match *op {
            Op::Put(n, len) => drop(out.edits.insert(keys.key(n), Some(value(n, len)))),
            Op::Run { from, len, step, value: size } => {
                for n in (from..).step_by(step as usize).take(len as usize) {
                    out.edits.insert(keys.key(n), Some(value(n, size)));
                }
            }
            Op::Delete(n) => drop(out.edits.insert(keys.key(n), None)),
            Op::DeleteRun { from, len, step } => {
                for n in (from..).step_by(step as usize).take(len as usize) {
                    out.edits.insert(keys.key(n), None);
                }
            }
            Op::RangePerKey { from, len, step } => {
                for n in (from..).step_by(step as usize).take(len as usize) {
                    let (a, b) = (keys.key(n), keys.key(n + 1));
                    ranges.push(KeyRange { start: a.clone().min(b.clone()), end: Some(a.max(b)) });
                }
            }
            Op::Range(from, to) => {
                let start = keys.key(from);
                let end = to.map(|to| keys.key(to)).filter(|end| *end != start);
                let (start, end) = match end {
                    Some(end) if end < start => (end, Some(start)),
                    end => (start, end),
                };
                ranges.push(KeyRange { start, end });
            }
        }
    }
    ranges.sort_by(|a, b| a.start.cmp(&b.start));
    for range in ranges {
        let open = out.ranges.last().is_some_and(|last: &KeyRange| last.end.as_ref().is_none_or(|e| *e > range.start));
        if !open {
            out.ranges.push(range);
        }
    }
    out
}

fn run(page_size: u32, filter_bits: u32, keys: Keys, rounds: &[Round]) {
    let mut rig = Rig::new(page_size, filter_bits);
    let mut old = Vec::new();
    for (i, round) in rounds.iter().enumerate() {
        if i % 2 == 0 {
            old.push((rig.tree(), rig.model.clone()));
        }
        rig.parts = round.parts;
        rig.merge(&batch(keys, &round.ops, i as u8), round.fill_percent, round.limit_pages);
    }
    for (tree, model) in &old {
        compare(tree, model);
    }
    drop(old);
    let all = Sorted { ranges: vec![KeyRange { start: vec![], end: None }], ..Sorted::default() };
    rig.merge(&all, 93, u64::MAX);
    assert_eq!(rig.model, Model::new());
}

fn keys() -> impl Strategy<Value = Keys> {
    prop::sample::select(vec![Keys::Numbers, Keys::SharedPrefix, Keys::Extremes, Keys::Longest, Keys::Tall])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 120, ..ProptestConfig::default() })]

    #[test]
    fn any_batches_in_any_chunks_give_what_a_sorted_map_gives(
        page_size in prop::sample::select(vec![4096u32, 16384, 65536]),
        filter_bits in prop::sample::select(vec![0u32, 4, 11]),
        keys in keys(),
        rounds in prop::collection::vec(round(), 1..7),
    ) {
        run(page_size, filter_bits, keys, &rounds);
    }
}
