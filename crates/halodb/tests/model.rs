//! Random operations against a `BTreeMap`, under several configurations: the same answers, whatever is merged when.

mod common;

use std::collections::BTreeMap;
use std::ops::Bound;

use common::{assert_sound, on, tiny};
use halodb::vfs::SimVfs;
use halodb::{Builder, Condition, Db, Durability, Snapshot, WriteOptions};
use proptest::prelude::*;

type Model = BTreeMap<Vec<u8>, Vec<u8>>;

#[derive(Clone, Debug)]
enum Op {
    Put(Vec<u8>, usize),
    PutIf(Vec<u8>, usize, bool),
    Delete(Vec<u8>),
    Batch(Vec<(Vec<u8>, Option<usize>)>),
    Clear,
    Flush,
    Snapshot,
    Scan(Bound<Vec<u8>>, Bound<Vec<u8>>, u32),
    Prefix(Vec<u8>),
    Reopen,
}

/// Few different keys, so that they meet; some share prefixes, some are high.
fn key() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        8 => (0u8..60).prop_map(|i| format!("k{i:02}").into_bytes()),
        2 => proptest::collection::vec(prop_oneof![Just(0u8), Just(1), Just(b'k'), Just(0xff)], 1..4),
        1 => (0usize..3, 0u8..3).prop_map(|(n, last)| [vec![b'l'; 100 + n], vec![last]].concat()),
    ]
}

fn bound() -> impl Strategy<Value = Bound<Vec<u8>>> {
    prop_oneof![
        2 => key().prop_map(Bound::Included),
        2 => key().prop_map(Bound::Excluded),
        1 => Just(Bound::Unbounded),
    ]
}

fn len() -> impl Strategy<Value = usize> {
    prop_oneof![6 => 0usize..40, 2 => 200usize..900, 1 => 3000usize..9000]
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        12 => (key(), len()).prop_map(|(k, n)| Op::Put(k, n)),
        3 => (key(), len(), any::<bool>()).prop_map(|(k, n, absent)| Op::PutIf(k, n, absent)),
        5 => key().prop_map(Op::Delete),
        4 => proptest::collection::vec((key(), proptest::option::weighted(0.7, len())), 0..12).prop_map(Op::Batch),
        1 => Just(Op::Clear),
        3 => Just(Op::Flush),
        2 => Just(Op::Snapshot),
        4 => (bound(), bound(), any::<u32>()).prop_map(|(a, b, steps)| Op::Scan(a, b, steps)),
        2 => proptest::collection::vec(prop_oneof![Just(b'k'), Just(b'1'), Just(0xffu8)], 0..3).prop_map(Op::Prefix),
        1 => Just(Op::Reopen),
    ]
}

fn value(i: usize, len: usize) -> Vec<u8> {
    (0..len).map(|at| (i * 31 + at) as u8).collect()
}

fn in_range<'m>(model: &'m Model, from: &Bound<Vec<u8>>, to: &Bound<Vec<u8>>) -> Vec<(&'m Vec<u8>, &'m Vec<u8>)> {
    let range = (from.clone(), to.clone());
    model.iter().filter(|(k, _)| std::ops::RangeBounds::<Vec<u8>>::contains(&range, *k)).collect()
}

/// Walks over a range from both ends as the bits of `steps` say.
fn check_scan(view: &Snapshot, model: &Model, from: &Bound<Vec<u8>>, to: &Bound<Vec<u8>>, mut steps: u32) {
    let mut expected = std::collections::VecDeque::from(in_range(model, from, to));
    assert_eq!(view.count((from.clone(), to.clone())).unwrap(), expected.len() as u64);
    let mut pairs = view.range((from.clone(), to.clone()));
    loop {
        let (found, wanted) = if steps & 1 == 0 {
            (pairs.next(), expected.pop_front())
        } else {
            (pairs.next_back(), expected.pop_back())
        };
        steps = steps.rotate_right(1);
        let found = found.map(|pair| pair.unwrap());
        assert_eq!(found.as_ref().map(|(k, v)| (&k[..], &v[..])), wanted.map(|(k, v)| (&k[..], &v[..])));
        if found.is_none() {
            return;
        }
    }
}

/// Lent pairs from both ends, begun again in between.
fn check_lent(view: &Snapshot, model: &Model) {
    let mut scan = view.scan::<Vec<u8>>(..);
    let own = |pair: Option<(&[u8], &[u8])>| pair.map(|(k, v)| (k.to_vec(), v.to_vec()));
    let mut expected = model.iter().map(|(k, v)| (k.clone(), v.clone()));
    assert_eq!(own(scan.next().unwrap()), expected.next());
    assert_eq!(own(scan.next_back().unwrap()), expected.next_back());
    let mut middle = scan.next().unwrap().map(|(k, _)| k.to_vec());
    while let Some(from) = middle.take() {
        scan.seek(&from);
        for expected in model.range(from.clone()..).take(5) {
            assert_eq!(scan.next().unwrap(), Some((&expected.0[..], &expected.1[..])));
        }
        middle = scan.next().unwrap().map(|(k, _)| k.to_vec());
    }
    let first = view.prefix("k1").next().map(Result::unwrap);
    let lent = first.as_ref().map(|(key, value)| (&key[..], &value[..]));
    assert_eq!(view.scan_prefix("k1").next().unwrap(), lent);
}

/// Some keys that are there and some that are not, one of them twice.
fn check_many(view: &Snapshot, model: &Model) {
    let keys: Vec<Vec<u8>> = (0..70u8).map(|i| format!("k{:02}", u32::from(i) * 37 % 61).into_bytes()).collect();
    let values = view.multi_get(&keys).unwrap();
    let found: Vec<Option<&[u8]>> = values.iter().map(|value| value.as_deref()).collect();
    let expected: Vec<Option<&[u8]>> = keys.iter().map(|key| model.get(key).map(Vec::as_slice)).collect();
    assert_eq!(found, expected);
    let mut lent = vec![None; keys.len()];
    view.multi_get_with(&keys, |i, value| lent[i] = Some(value.to_vec())).unwrap();
    assert!(lent.iter().map(Option::as_deref).eq(expected));
}

fn check_all(view: &Snapshot, model: &Model) {
    check_lent(view, model);
    check_many(view, model);
    check_scan(view, model, &Bound::Unbounded, &Bound::Unbounded, 0);
    assert_eq!(view.len().unwrap(), model.len() as u64);
    let step = (model.len() / 7).max(1);
    for (i, (key, value)) in model.iter().enumerate().step_by(step) {
        let pair = view.nth(i as u64).unwrap();
        assert_eq!(pair.as_ref().map(|(k, v)| (&k[..], &v[..])), Some((&key[..], &value[..])));
        assert_eq!(view.rank(key).unwrap(), i as u64);
        assert_eq!(view.rank([&key[..], &[0]].concat()).unwrap(), i as u64 + 1);
    }
    assert!(view.nth(model.len() as u64).unwrap().is_none());
    assert_eq!(view.is_empty().unwrap(), model.is_empty());
}

fn run(configure: impl Fn(Builder) -> Builder, ops: &[Op]) {
    let disk = SimVfs::new();
    let open = || configure(on(&disk)).open().unwrap();
    let mut db: Db = open();
    let mut model = Model::new();
    let mut snapshots: Vec<(Snapshot, Model)> = Vec::new();
    for (i, op) in ops.iter().enumerate() {
        match op {
            Op::Put(key, len) => {
                db.put(key, value(i, *len)).unwrap();
                model.insert(key.clone(), value(i, *len));
            }
            Op::PutIf(key, len, absent) => {
                let condition = if *absent { Condition::IfAbsent } else { Condition::IfPresent };
                let options = WriteOptions::new().condition(condition).durability(Durability::Memory);
                let done = db.put_with(key, value(i, *len), &options).unwrap().is_some();
                assert_eq!(done, model.contains_key(key) != *absent);
                if done {
                    model.insert(key.clone(), value(i, *len));
                }
            }
            Op::Delete(key) => assert_eq!(db.delete(key).unwrap(), model.remove(key).is_some()),
            Op::Batch(writes) => {
                let mut batch = db.batch();
                for (key, len) in writes {
                    match len {
                        Some(len) => {
                            batch = batch.put(key, value(i, *len));
                            model.insert(key.clone(), value(i, *len));
                        }
                        None => {
                            batch = batch.delete(key);
                            model.remove(key);
                        }
                    }
                }
                batch.commit().unwrap();
            }
            Op::Clear => {
                db.clear().unwrap();
                model.clear();
            }
            Op::Flush => db.flush().unwrap(),
            Op::Snapshot => snapshots.push((db.snapshot(), model.clone())),
            Op::Scan(from, to, steps) => check_scan(&db.snapshot(), &model, from, to, *steps),
            Op::Prefix(prefix) => {
                let expected = model.keys().filter(|key| key.starts_with(prefix)).count();
                assert_eq!(db.prefix(prefix).count(), expected);
                assert_eq!(db.count_prefix(prefix).unwrap(), expected as u64);
            }
            Op::Reopen => {
                db.close().unwrap();
                // Snapshots go on reading, but keep the files from being opened again.
                for (view, model) in snapshots.drain(..) {
                    check_all(&view, &model);
                }
                db = open();
            }
        }
        if let Op::Put(key, _) | Op::PutIf(key, ..) | Op::Delete(key) = op {
            assert_eq!(db.get(key).unwrap().as_deref(), model.get(key).map(Vec::as_slice));
        }
    }
    for (view, model) in &snapshots {
        check_all(view, model);
    }
    check_all(&db.snapshot(), &model);
    db.flush().unwrap();
    check_all(&db.snapshot(), &model);
    assert_sound(&db);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24 * common::scale(), max_shrink_iters: 400, ..ProptestConfig::default() })]

    #[test]
    fn one_partition_with_defaults_answers_as_a_map(ops in proptest::collection::vec(op(), 1..120)) {
        run(|builder| builder.partitions(1), &ops);
    }

    #[test]
    fn tiny_memtables_chunks_and_logs_answer_as_a_map(ops in proptest::collection::vec(op(), 1..160)) {
        run(|builder| tiny(builder).memtable(8 << 10).durability(Durability::Memory), &ops);
    }

    #[test]
    fn many_partitions_without_filters_answer_as_a_map(ops in proptest::collection::vec(op(), 1..120)) {
        run(|builder| tiny(builder).partitions(7).bits_per_key(0).merge_threads(2), &ops);
    }
}
