//! Keyspaces through power cuts, failing disks and many operations in a row: a keyspace is there whole or not at all, and
//! never with keys of an earlier one.

mod common;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use common::stored::assert_no_strays;
use common::{assert_sound, on, tiny};
use halodb::vfs::SimVfs;
use halodb::vfs::sim::{CrashMode, Fault, Repeat};
use halodb::{Db, Durability, ErrorKind, Keyspace, Snapshot};
use proptest::prelude::*;

/// Every keyspace by its name, the default one among them.
type Model = BTreeMap<String, BTreeMap<String, String>>;

fn contents(keyspace: &Keyspace) -> BTreeMap<String, String> {
    let own = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("text");
    let pairs = keyspace.iter().map(|pair| pair.expect("a scan succeeds"));
    let pairs: BTreeMap<_, _> = pairs.map(|(key, value)| (own(&key), own(&value))).collect();
    assert_eq!(keyspace.len().expect("a count succeeds"), pairs.len() as u64);
    pairs
}

fn everything(db: &Db) -> Model {
    let names = db.keyspaces().expect("a list succeeds");
    names
        .into_iter()
        .map(|name| {
            let found = db.find_keyspace(&name).expect("it opens").expect("it is listed");
            let pairs = contents(&found);
            (name, pairs)
        })
        .collect()
}

fn empty() -> Model {
    Model::from([(Keyspace::DEFAULT.to_owned(), BTreeMap::new())])
}

/// One write.
#[derive(Clone, Debug)]
enum Step {
    Make(u8),
    Drop(u8),
    Clear(u8),
    Put(u8, u8, usize),
    Delete(u8, u8),
    /// A put in each of two, if they are there.
    Both(u8, u8, u8),
}

fn name(number: u8) -> String {
    if number == 0 { Keyspace::DEFAULT.to_owned() } else { format!("keyspace {number}") }
}

/// Does the step to the database and, if that succeeds, to the model.
fn apply(db: &Db, model: &mut Model, at: usize, step: &Step) -> halodb::Result<()> {
    let find = |number: u8| db.find_keyspace(name(number));
    let value = |len: usize| format!("{at} {}", "v".repeat(len));
    match *step {
        Step::Make(number) => {
            db.keyspace(name(number))?;
            model.entry(name(number)).or_default();
        }
        Step::Drop(0) => {}
        Step::Drop(number) => {
            let there = db.drop_keyspace(name(number))?;
            assert_eq!(model.remove(&name(number)).is_some(), there);
        }
        Step::Clear(number) => {
            if let Some(keyspace) = find(number)? {
                keyspace.clear()?;
                model.insert(name(number), BTreeMap::new());
            }
        }
        Step::Put(number, key, len) => {
            if let Some(keyspace) = find(number)? {
                let key = format!("k{key}");
                keyspace.put(&key, value(len))?;
                model.get_mut(&name(number)).expect("it was found").insert(key, value(len));
            }
        }
        Step::Delete(number, key) => {
            if let Some(keyspace) = find(number)? {
                let key = format!("k{key}");
                let there = keyspace.delete(&key)?;
                let pairs = model.get_mut(&name(number)).expect("it was found");
                assert_eq!(pairs.remove(&key).is_some(), there);
            }
        }
        Step::Both(a, b, key) => {
            if let (Some(one), Some(two)) = (find(a)?, find(b)?) {
                let key = format!("k{key}");
                one.batch().put(&key, value(1)).put_in(&two, &key, value(1)).commit()?;
                for number in [a, b] {
                    model.get_mut(&name(number)).expect("it was found").insert(key.clone(), value(1));
                }
            }
        }
    }
    Ok(())
}

fn step() -> impl Strategy<Value = Step> {
    let number = || 0u8..5;
    prop_oneof![
        4 => number().prop_map(Step::Make),
        2 => number().prop_map(Step::Drop),
        1 => number().prop_map(Step::Clear),
        12 => (number(), any::<u8>(), 0usize..400).prop_map(|(n, key, len)| Step::Put(n, key % 20, len)),
        4 => (number(), any::<u8>()).prop_map(|(n, key)| Step::Delete(n, key % 20)),
        3 => (number(), number(), any::<u8>()).prop_map(|(a, b, key)| Step::Both(a, b, key % 20)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16 * common::scale(), max_shrink_iters: 300, ..ProptestConfig::default() })]

    #[test]
    fn keyspaces_answer_as_maps_of_maps_through_merges_and_opens(
        steps in prop::collection::vec(step(), 1..250),
        merges in any::<u64>(),
    ) {
        let disk = SimVfs::new();
        let open = || tiny(on(&disk)).memtable(8 << 10).durability(Durability::Memory).open().unwrap();
        let (mut db, mut model) = (open(), empty());
        let mut held: Vec<(Snapshot, Model)> = Vec::new();
        for (at, step) in steps.iter().enumerate() {
            apply(&db, &mut model, at, step).unwrap();
            match (merges >> (at % 60)) & 15 {
                1 => db.flush().unwrap(),
                2 => held.push((db.snapshot(), model.clone())),
                3 if at % 7 == 0 => {
                    check_held(&db, &mut held);
                    db.close().unwrap();
                    drop(db);
                    db = open();
                }
                _ => {}
            }
        }
        check_held(&db, &mut held);
        assert_eq!(everything(&db), model);
        db.flush().unwrap();
        assert_eq!(everything(&db), model);
        assert_sound(&db);
        db.close().unwrap();
        drop(db);
        assert_no_strays(&disk);
    }
}

/// What snapshots show of the keyspaces that are still there under the number that they had.
fn check_held(db: &Db, held: &mut Vec<(Snapshot, Model)>) {
    for (snapshot, model) in held.drain(..) {
        for name in db.keyspaces().unwrap() {
            let keyspace = db.find_keyspace(&name).unwrap().unwrap();
            match snapshot.keyspace(&keyspace) {
                Ok(then) => assert_eq!(then.len().unwrap(), model[&name].len() as u64),
                // It was made, or made again, since.
                Err(error) => assert_eq!(error.kind(), ErrorKind::NoKeyspace),
            }
        }
    }
}

/// Keyspaces are made, filled, cleared, dropped and made again; the power is cut at any operation of the disk. What is there
/// is what was acknowledged, perhaps with the write in flight; no key is under a number of no keyspace; and what is made
/// afterwards is empty.
#[test]
fn a_power_cut_leaves_a_keyspace_whole_or_gone_and_never_with_the_keys_of_another() {
    let disk = SimVfs::new();
    let db = tiny(on(&disk)).open().unwrap();
    let mut model = empty();
    let mut history = vec![(disk.ops(), model.clone())];
    for at in 0..360usize {
        let step = match at % 18 {
            0 => Step::Make(1 + (at / 18 % 3) as u8),
            9 => Step::Drop(1 + (at / 18 % 3) as u8),
            10 => Step::Make(1 + (at / 18 % 3) as u8),
            17 if at % 4 == 1 => Step::Clear(1),
            13 => Step::Both(1, 2, at as u8 % 7),
            _ => Step::Put((at % 4) as u8, at as u8 % 11, at % 200),
        };
        apply(&db, &mut model, at, &step).unwrap();
        history.push((disk.ops(), model.clone()));
        if at % 50 == 49 {
            db.flush().unwrap();
        }
    }
    let last = disk.ops();
    let mut seed = 0;
    for cut in (history[0].0..last).step_by((last as usize / (120 * common::scale() as usize)).max(1)) {
        seed += 1;
        let mode = CrashMode::ALL[seed as usize % CrashMode::ALL.len()];
        let image = disk.crash_image(cut, mode, seed);
        let again = tiny(on(&image)).open().unwrap();
        let found = everything(&again);
        let acknowledged = history.iter().rposition(|(ops, _)| *ops <= cut).unwrap();
        let possible = history[acknowledged..].iter().take(2).any(|(_, state)| *state == found);
        assert!(possible, "cut at {cut} ({mode:?}, seed {seed}) after write {acknowledged}: {found:?}");
        assert_sound(&again);
        let new = again.keyspace("new").unwrap();
        assert!(new.is_empty().unwrap(), "cut at {cut} ({mode:?}, seed {seed}): a new keyspace has keys");
        new.put("k", "v").unwrap();
        again.close().unwrap();
        drop((again, new));
        assert_no_strays(&image);
    }
}

/// One scenario, run once to count its calls to the disk, and then with a fault at many of them.
#[test]
fn a_fault_at_any_call_leaves_a_keyspace_whole_or_gone() {
    let scenario = |disk: &SimVfs, known: &mut Vec<Model>| -> halodb::Result<()> {
        let db = tiny(on(disk)).open()?;
        let mut model = empty();
        known.push(model.clone());
        for at in 0..48usize {
            let step = match at % 12 {
                0 => Step::Make(1 + (at / 12 % 2) as u8),
                10 => Step::Drop(1 + (at / 24) as u8),
                11 => Step::Make(1 + (at / 24) as u8),
                5 => Step::Both(1, 2, 3),
                _ => Step::Put((at % 3) as u8, at as u8, 300),
            };
            let mut next = model.clone();
            let done = apply(&db, &mut next, at, &step);
            if done.is_err() {
                // It may have happened, and what the model made of it then is not known here: do it to the model alone.
                known.push(expected(&model, at, &step));
                return done;
            }
            model = next;
            known.clear();
            known.push(model.clone());
            if at % 16 == 15 {
                db.flush()?;
            }
        }
        db.close()
    };
    let disk = SimVfs::new();
    scenario(&disk, &mut Vec::new()).unwrap();
    let calls = disk.calls();
    let step = (calls / u64::from(90 * common::scale())).max(1);
    for (run, call) in (0..calls).step_by(step as usize).enumerate() {
        let (fault, repeat) = match run % 4 {
            0 => (Fault::Errno(5), Repeat::Once),
            1 => (Fault::Errno(28), Repeat::Sticky),
            2 => (Fault::Short, Repeat::Once),
            _ => (Fault::SyncFailsClean, Repeat::Once),
        };
        let disk = SimVfs::new();
        disk.inject(call, fault, repeat);
        let (mut known, begun) = (Vec::new(), Instant::now());
        let result = scenario(&disk, &mut known);
        assert!(begun.elapsed() < Duration::from_secs(30), "call {call}, {fault:?}");
        if let Err(error) = &result {
            let kind = error.kind();
            assert!(!matches!(kind, ErrorKind::InvalidInput | ErrorKind::NoKeyspace), "call {call}: {error:?}");
        }
        disk.heal();
        let after = if run % 2 == 0 { disk } else { disk.crash_image(disk.ops(), CrashMode::Strict, call) };
        let db = tiny(on(&after)).open().unwrap_or_else(|e| panic!("call {call}, {fault:?}: {e:?}"));
        let found = everything(&db);
        // Before the first open was through nothing was known, and nothing is there.
        let possible = known.contains(&found) || known.is_empty() && found == empty();
        assert!(possible, "call {call}, {fault:?}: {found:?}");
        assert!(db.keyspace("new").unwrap().is_empty().unwrap());
        assert_sound(&db);
        db.close().unwrap();
        drop(db);
        assert_no_strays(&after);
    }
}

/// What a step makes of a model.
fn expected(before: &Model, at: usize, step: &Step) -> Model {
    let disk = SimVfs::new();
    let db = on(&disk).durability(Durability::Memory).open().unwrap();
    for (name, pairs) in before {
        let keyspace = db.keyspace(name).unwrap();
        for (key, value) in pairs {
            keyspace.put(key, value).unwrap();
        }
    }
    let mut model = before.clone();
    apply(&db, &mut model, at, step).unwrap();
    model
}
