//! Writes that depend on what is there: alone against a map, by many threads at once, through power cuts and faults.

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use common::{assert_sound, memory, on, tiny};
use halodb::vfs::SimVfs;
use halodb::vfs::sim::{CrashMode, Fault, Repeat};
use halodb::{Cas, Db, Durability, ErrorKind, Keyspace, Value};
use proptest::prelude::*;

type Model = BTreeMap<Vec<u8>, Vec<u8>>;

#[derive(Clone, Debug)]
enum Act {
    Put(u8, u8),
    Insert(u8, u8),
    Remove(u8),
    Swap(u8, Option<u8>, Option<u8>),
    Append(u8, u8),
    Increment(u8, i64),
    PopFirst,
    PopLast,
    DeleteRange(Bound<u8>, Bound<u8>),
    DeletePrefix(u8),
    Batch(u8, u8, u8),
}

fn key(number: u8) -> Vec<u8> {
    format!("k{:02}", number % 24).into_bytes()
}

fn value(number: u8) -> Vec<u8> {
    format!("{number}{}", "v".repeat(usize::from(number % 4) * 60)).into_bytes()
}

fn range(from: &Bound<u8>, to: &Bound<u8>) -> (Bound<Vec<u8>>, Bound<Vec<u8>>) {
    (from.map(key), to.map(key))
}

fn set(model: &mut Model, key: Vec<u8>, value: Option<Vec<u8>>) {
    match value {
        Some(value) => model.insert(key, value),
        None => model.remove(&key),
    };
}

/// Removes a range from the model; how many keys there were.
fn take(model: &mut Model, range: &impl std::ops::RangeBounds<Vec<u8>>) -> u64 {
    let before = model.len();
    model.retain(|key, _| !range.contains(key));
    (before - model.len()) as u64
}

/// Does it to the keyspace and, if that succeeds, to the model; the answers must agree.
fn apply(keyspace: &Keyspace, model: &mut Model, act: &Act) -> halodb::Result<()> {
    let own = |value: Option<Value>| value.map(|value| value.to_vec());
    match act {
        Act::Put(k, v) => {
            keyspace.put(key(*k), value(*v))?;
            model.insert(key(*k), value(*v));
        }
        Act::Insert(k, v) => {
            let old = own(keyspace.insert(key(*k), value(*v))?);
            assert_eq!(old, model.insert(key(*k), value(*v)));
        }
        Act::Remove(k) => assert_eq!(own(keyspace.remove(key(*k))?), model.remove(&key(*k))),
        Act::Swap(k, expected, new) => {
            // Half of the time what is there is expected.
            let expected = if k % 2 == 0 { model.get(&key(*k)).cloned() } else { expected.map(value) };
            let new = new.map(value);
            let done = keyspace.compare_and_swap(key(*k), expected.as_deref(), new.as_deref())?;
            let current = model.get(&key(*k)).cloned();
            match done {
                Cas::Swapped => {
                    assert_eq!(current, expected);
                    set(model, key(*k), new);
                }
                Cas::Mismatch { current: found } => {
                    assert_eq!(own(found), current);
                    assert_ne!(current, expected);
                }
            }
        }
        Act::Append(k, v) => {
            let f = |old: Option<&[u8]>| match v % 4 {
                0 => None,
                1 => old.map(<[u8]>::to_vec),
                _ => Some([old.unwrap_or_default(), b"+"].concat()),
            };
            let update = keyspace.update(key(*k), f)?;
            let before = model.get(&key(*k)).cloned();
            let after = f(before.as_deref());
            assert_eq!((own(update.before), own(update.after)), (before, after.clone()));
            set(model, key(*k), after);
        }
        Act::Increment(k, by) => {
            let old = model.get(&key(*k)).map(|old| String::from_utf8(old.clone()).unwrap());
            let old = old.map_or(Some(0), |old| old.parse::<i64>().ok());
            match keyspace.increment(key(*k), *by) {
                Ok(sum) => {
                    assert_eq!(Some(sum), old.and_then(|old| old.checked_add(*by)));
                    model.insert(key(*k), sum.to_string().into_bytes());
                }
                Err(error) if error.kind() == ErrorKind::InvalidInput => {
                    assert_eq!(old.and_then(|old| old.checked_add(*by)), None, "{error}");
                }
                Err(error) => return Err(error),
            }
        }
        Act::PopFirst | Act::PopLast => {
            let is_first = matches!(act, Act::PopFirst);
            let popped = if is_first { keyspace.pop_first()? } else { keyspace.pop_last()? };
            let expected = if is_first { model.pop_first() } else { model.pop_last() };
            assert_eq!(popped.map(|(key, value)| (key.to_vec(), value.to_vec())), expected);
        }
        Act::DeleteRange(from, to) => {
            let range = range(from, to);
            let count = keyspace.delete_range(range.clone())?;
            assert_eq!(count, take(model, &range));
        }
        Act::DeletePrefix(digit) => {
            let prefix = format!("k{}", digit % 3);
            let end = format!("k{}", digit % 3 + 1);
            let count = keyspace.delete_prefix(&prefix)?;
            assert_eq!(count, take(model, &(prefix.into_bytes()..end.into_bytes())));
        }
        Act::Batch(from, to, k) => {
            let range = range(&Bound::Included(*from), &Bound::Excluded(*to));
            keyspace.batch().put(key(*from), "gone").delete_range(range.clone()).put(key(*k), "new").commit()?;
            model.insert(key(*from), b"gone".to_vec());
            take(model, &range);
            model.insert(key(*k), b"new".to_vec());
        }
    }
    Ok(())
}

fn bound() -> impl Strategy<Value = Bound<u8>> {
    prop_oneof![
        3 => any::<u8>().prop_map(Bound::Included),
        3 => any::<u8>().prop_map(Bound::Excluded),
        1 => Just(Bound::Unbounded),
    ]
}

fn act() -> impl Strategy<Value = Act> {
    let byte = any::<u8>;
    let wish = || prop::option::weighted(0.7, 0u8..9);
    prop_oneof![
        4 => (byte(), byte()).prop_map(|(k, v)| Act::Put(k, v)),
        4 => (byte(), byte()).prop_map(|(k, v)| Act::Insert(k, v)),
        3 => byte().prop_map(Act::Remove),
        4 => (byte(), wish(), wish()).prop_map(|(k, a, b)| Act::Swap(k, a, b)),
        3 => (byte(), byte()).prop_map(|(k, v)| Act::Append(k, v)),
        4 => (byte(), prop_oneof![-9i64..9, Just(i64::MAX), Just(i64::MIN)]).prop_map(|(k, by)| Act::Increment(k, by)),
        1 => Just(Act::PopFirst),
        1 => Just(Act::PopLast),
        2 => (bound(), bound()).prop_map(|(a, b)| Act::DeleteRange(a, b)),
        1 => byte().prop_map(Act::DeletePrefix),
        1 => (byte(), byte(), byte()).prop_map(|(a, b, k)| Act::Batch(a, b, k)),
    ]
}

fn contents(keyspace: &Keyspace) -> Model {
    let pairs = keyspace.iter().map(|pair| pair.expect("a scan succeeds"));
    let pairs: Model = pairs.map(|(key, value)| (key.to_vec(), value.to_vec())).collect();
    assert_eq!(keyspace.len().expect("a count succeeds"), pairs.len() as u64);
    pairs
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24 * common::scale(), max_shrink_iters: 400, ..ProptestConfig::default() })]

    #[test]
    fn every_answer_is_what_a_map_gives(acts in prop::collection::vec((act(), any::<bool>()), 1..200), merges in any::<u64>()) {
        let disk = SimVfs::new();
        let db = tiny(on(&disk)).memtable(8 << 10).durability(Durability::Memory).open().unwrap();
        let named = db.keyspace("named").unwrap();
        let mut models = [Model::new(), Model::new()];
        for (at, (act, in_named)) in acts.iter().enumerate() {
            let keyspace: &Keyspace = if *in_named { &named } else { &db };
            apply(keyspace, &mut models[usize::from(*in_named)], act).unwrap();
            if (merges >> (at % 61)) & 7 == 1 {
                db.flush().unwrap();
            }
        }
        assert_eq!([contents(&db), contents(&named)], models);
        assert_sound(&db);
    }
}

#[test]
fn a_handle_of_a_dropped_keyspace_is_refused_by_every_call() {
    let (_disk, db) = memory();
    let old = db.keyspace("old").unwrap();
    old.put("k", "1").unwrap();
    db.drop_keyspace("old").unwrap();
    let refused = [
        old.insert("k", "1").err(),
        old.remove("k").err(),
        old.compare_and_swap("k", None, Some(b"1")).err(),
        old.update("k", |_| None).err(),
        old.increment("k", 1).err(),
        old.pop_first().err(),
        old.pop_last().err(),
        old.delete_range("a"..).err(),
        old.delete_range("b".."a").err(),
        old.delete_prefix("k").err(),
        old.batch().delete_range("a"..).commit().err(),
    ];
    for (i, error) in refused.into_iter().enumerate() {
        assert_eq!(error.unwrap_or_else(|| panic!("call {i} is refused")).kind(), ErrorKind::NoKeyspace, "call {i}");
    }
}

#[test]
fn illegal_keys_and_values_are_refused_before_anything_is_written() {
    let (_disk, db) = memory();
    let before = db.last_seq();
    for key in [&b""[..], &[b'k'; 4097]] {
        let refused = [
            db.insert(key, "v").err(),
            db.remove(key).err(),
            db.compare_and_swap(key, None, None).err(),
            db.update(key, |_| panic!("not asked")).err(),
            db.increment(key, 1).err(),
        ];
        assert!(refused.iter().all(|error| error.as_ref().is_some_and(|e| e.kind() == ErrorKind::InvalidInput)));
    }
    assert_eq!(db.last_seq(), before);
}

#[test]
fn the_closure_of_an_update_may_use_the_database_and_even_close_it() {
    let (_disk, db) = memory();
    db.put("other", "1").unwrap();
    let update = db.update("k", |_| db.get("other").unwrap().map(|value| value.to_vec())).unwrap();
    assert_eq!(update.after.as_deref(), Some(&b"1"[..]));
    let mut rounds = 0;
    let update = db.update("k", |old| {
        rounds += 1;
        if rounds == 1 {
            db.put("k", "between").unwrap();
        }
        Some([old.unwrap(), b"!"].concat())
    });
    assert_eq!(update.unwrap().before.as_deref(), Some(&b"between"[..]));
    assert_eq!(rounds, 2, "it ran again, because the key was written meanwhile");
    let error = db.update("k", |_| {
        db.close().unwrap();
        None
    });
    assert_eq!(error.unwrap_err().kind(), ErrorKind::Closed);
}

/// At both levels, because at `Sync` whole groups are in flight between a number and its visibility.
#[test]
fn increments_by_many_threads_add_up_exactly_and_every_sum_is_given_once() {
    for level in [Durability::Sync, Durability::Memory] {
        let disk = SimVfs::new();
        let db = tiny(on(&disk)).memtable(8 << 10).durability(level).open().unwrap();
        let counters = [db.keyspace("named").unwrap(), Keyspace::clone(&db)];
        let sums = Mutex::new(BTreeSet::new());
        let rounds = 400 * common::scale() as usize;
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for round in 0..rounds {
                        let which = round % 2;
                        let sum = counters[which].increment("counter", 1).unwrap();
                        assert!(sums.lock().unwrap().insert((which, sum)), "{sum} was given twice");
                    }
                });
            }
        });
        for counter in &counters {
            assert_eq!(counter.get("counter").unwrap().as_deref(), Some((rounds * 2).to_string().as_bytes()));
        }
        assert_eq!(sums.into_inner().unwrap().len(), rounds * 4);
    }
}

#[test]
fn of_many_threads_each_key_is_popped_by_exactly_one() {
    for level in [Durability::Sync, Durability::Memory] {
        let disk = SimVfs::new();
        let db = tiny(on(&disk)).memtable(8 << 10).durability(level).open().unwrap();
        let queue = db.keyspace("queue").unwrap();
        common::put_all_in(&db.keyspace("a neighbour").unwrap(), &["a", "z"]);
        let total = 600 * common::scale();
        let popped = Mutex::new(Vec::new());
        let filled = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for number in 0..3 {
                let (queue, popped, filled) = (&queue, &popped, &filled);
                scope.spawn(move || {
                    loop {
                        // Asked before, so that what was put before is not missed.
                        let is_all = filled.load(Ordering::Acquire);
                        let pair = if number == 0 { queue.pop_last() } else { queue.pop_first() };
                        match pair.unwrap() {
                            Some((key, value)) => {
                                assert_eq!(key[..], value[..]);
                                popped.lock().unwrap().push(key.to_vec());
                            }
                            None if is_all => return,
                            None => std::thread::yield_now(),
                        }
                    }
                });
            }
            for i in 0..total {
                let key = format!("{:05}", i * 7919 % total);
                queue.put(&key, &key).unwrap();
            }
            filled.store(true, Ordering::Release);
        });
        let popped = popped.into_inner().unwrap();
        assert_eq!(popped.len(), total as usize);
        assert_eq!(popped.into_iter().collect::<BTreeSet<_>>().len(), total as usize);
        assert!(queue.is_empty().unwrap());
        assert_eq!(db.keyspace("a neighbour").unwrap().len().unwrap(), 2);
    }
}

/// The end is remembered from one pop to the next; what is put beyond it meanwhile must be found all the same.
#[test]
fn a_pop_finds_what_was_put_beyond_the_one_before() {
    let (_disk, db) = common::memory();
    let jobs = db.keyspace("jobs").unwrap();
    let put = |keys: &[&str]| common::put_all_in(&jobs, keys);
    let first = || jobs.pop_first().unwrap().map(|(key, _)| String::from_utf8(key.to_vec()).unwrap());
    let last = || jobs.pop_last().unwrap().map(|(key, _)| String::from_utf8(key.to_vec()).unwrap());
    put(&["c", "d", "e", "f"]);
    assert_eq!((first().as_deref(), last().as_deref()), (Some("c"), Some("f")));
    put(&["a", "b", "g"]);
    assert_eq!((first().as_deref(), last().as_deref()), (Some("a"), Some("g")));
    // What was popped, and is put again.
    put(&["a"]);
    assert_eq!((first().as_deref(), first().as_deref()), (Some("a"), Some("b")));
    db.flush().unwrap();
    put(&["0"]);
    db.flush().unwrap();
    assert_eq!((first().as_deref(), last().as_deref()), (Some("0"), Some("e")));
    assert_eq!((first().as_deref(), first(), last()), (Some("d"), None, None));
    // An end that was found empty.
    put(&["x"]);
    assert_eq!((last().as_deref(), first()), (Some("x"), None));
    put(&["y", "z"]);
    jobs.delete("y").unwrap();
    assert_eq!((first().as_deref(), last()), (Some("z"), None));
    jobs.batch().put("m", "").put("n", "").commit().unwrap();
    jobs.delete_range("m"..="m").unwrap();
    db.transaction(|tx| tx.keyspace(&jobs)?.put("k", "")).unwrap();
    assert_eq!((first().as_deref(), first().as_deref(), first()), (Some("k"), Some("n"), None));
}

#[test]
fn a_pop_does_not_step_over_all_that_was_popped_before() {
    let (_disk, db) = common::memory();
    let pops = 4000;
    let batch = (0..pops).fold(db.batch(), |batch, i| batch.put(format!("{i:06}"), ""));
    batch.durability(Durability::Memory).commit().unwrap();
    let begun = std::time::Instant::now();
    let shortest = |count: u32| {
        let time = |_| {
            let begun = std::time::Instant::now();
            assert!(db.pop_first().unwrap().is_some());
            begun.elapsed()
        };
        (0..count).map(time).min().expect("one at least")
    };
    let early = shortest(100);
    (0..pops - 200).for_each(|_| assert!(db.pop_first().unwrap().is_some()));
    let late = shortest(100);
    assert!(late < 20 * early, "{early:?} at first, {late:?} at last, {:?} in all", begun.elapsed());
    assert!(db.is_empty().unwrap());
}

#[test]
fn a_change_that_others_always_prevent_is_given_up_on() {
    let (_disk, db) = common::memory();
    let mut calls = 0u32;
    let error = db
        .update("k", |_| {
            calls += 1;
            db.put("k", calls.to_string()).unwrap();
            Some(b"mine".to_vec())
        })
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict, "{error:?}");
    assert!(error.is_retryable() && error.hint().is_some());
    assert_eq!((calls, db.get("k").unwrap().as_deref()), (256, Some(&b"256"[..])));
}

/// Each key is put once, so each is removed once: by a range delete that counted it, or it is still there.
#[test]
fn range_deletes_count_every_key_once_while_others_write() {
    for level in [Durability::Sync, Durability::Memory] {
        let disk = SimVfs::new();
        let db = tiny(on(&disk)).memtable(16 << 10).durability(level).open().unwrap();
        let (removed, running) = (AtomicU64::new(0), AtomicU64::new(3));
        let puts = 300 * u64::from(common::scale());
        std::thread::scope(|scope| {
            for writer in 0..3 {
                let (db, running) = (&db, &running);
                scope.spawn(move || {
                    for i in 0..puts {
                        db.put(format!("{}/{writer}/{i}", i % 5), "v").unwrap();
                    }
                    running.fetch_sub(1, Ordering::Release);
                });
            }
            let (db, removed, running) = (&db, &removed, &running);
            scope.spawn(move || {
                let mut round = 0;
                while running.load(Ordering::Acquire) > 0 {
                    round += 1;
                    let count = if round % 3 == 0 {
                        std::thread::sleep(Duration::from_millis(1));
                        db.delete_range("1".."3").unwrap()
                    } else {
                        db.delete_prefix(format!("{}/", round % 5)).unwrap()
                    };
                    removed.fetch_add(count, Ordering::Relaxed);
                    if round % 40 == 0 {
                        db.flush().unwrap();
                    }
                }
            });
        });
        assert_eq!(removed.load(Ordering::Relaxed) + db.len().unwrap(), 3 * puts, "{level:?}");
    }
}

#[test]
fn removing_nothing_writes_nothing_and_few_and_many_keys_are_counted_alike() {
    let (_disk, db) = memory();
    let before = db.last_seq();
    assert_eq!(db.delete_prefix("k").unwrap(), 0);
    assert_eq!(db.last_seq(), before);
    for number in [1, 15, 16, 17, 40] {
        let keys: Vec<String> = (0..number).map(|i| format!("k{i:02}")).collect();
        for merged in [false, true] {
            common::put_all(&db, &keys.iter().map(String::as_str).collect::<Vec<_>>());
            db.put("l", "beside").unwrap();
            if merged {
                db.flush().unwrap();
            }
            let old = db.snapshot();
            assert_eq!(db.delete_prefix("k").unwrap(), number);
            assert_eq!((old.len().unwrap(), db.len().unwrap()), (number + 1, 1));
            db.put("k00", "again").unwrap();
            assert_eq!(db.len().unwrap(), 2, "what is put later is there");
            assert_eq!(db.delete_range("k".."l").unwrap(), 1);
        }
    }
}

#[test]
fn of_many_threads_that_swap_from_the_same_value_one_wins_each_round() {
    let (_disk, db) = memory();
    let wins = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut current: Option<Vec<u8>> = None;
                for _ in 0..100 {
                    let next = match &current {
                        None => 1,
                        Some(text) => std::str::from_utf8(text).unwrap().parse::<u64>().unwrap() + 1,
                    };
                    let next = next.to_string().into_bytes();
                    match db.compare_and_swap("k", current.as_deref(), Some(&next)).unwrap() {
                        Cas::Swapped => {
                            wins.fetch_add(1, Ordering::Relaxed);
                            current = Some(next);
                        }
                        Cas::Mismatch { current: found } => current = found.map(|found| found.to_vec()),
                    }
                }
            });
        }
    });
    let last = db.get("k").unwrap().expect("somebody won");
    assert_eq!(&last[..], wins.into_inner().to_string().as_bytes());
}

/// Acts that all write something, in an order that meets merges.
fn script(at: usize) -> Act {
    let at8 = at as u8;
    match at % 9 {
        0 => Act::Insert(at8, at8),
        1 => Act::Increment(100, 1),
        2 => Act::Swap(at8 & !1, None, Some(at8)),
        3 => Act::Append(at8, 2),
        4 if at.is_multiple_of(4) => Act::PopFirst,
        5 if at.is_multiple_of(4) => Act::PopLast,
        6 => Act::Remove(at8),
        7 if at.is_multiple_of(5) => Act::DeleteRange(Bound::Included(at8 % 20), Bound::Excluded(at8 % 20 + 3)),
        _ => Act::Put(at8, at8),
    }
}

#[test]
fn a_power_cut_takes_back_no_answer() {
    let disk = SimVfs::new();
    let db: Db = tiny(on(&disk)).open().unwrap();
    let mut model = Model::new();
    let mut history = vec![(disk.ops(), model.clone())];
    for at in 0..300 {
        apply(&db, &mut model, &script(at)).unwrap();
        history.push((disk.ops(), model.clone()));
        if at % 70 == 69 {
            db.flush().unwrap();
        }
    }
    let last = disk.ops();
    let mut seed = 0;
    for cut in (history[0].0..last).step_by((last as usize / (100 * common::scale() as usize)).max(1)) {
        seed += 1;
        let mode = CrashMode::ALL[seed as usize % CrashMode::ALL.len()];
        let again = tiny(on(&disk.crash_image(cut, mode, seed))).open().unwrap();
        let found = contents(&again);
        let acknowledged = history.iter().rposition(|(ops, _)| *ops <= cut).unwrap();
        let possible = history[acknowledged..].iter().take(2).any(|(_, state)| *state == found);
        assert!(possible, "cut at {cut} ({mode:?}, seed {seed}) after act {acknowledged}: {found:?}");
        assert_sound(&again);
    }
}

#[test]
fn a_fault_at_any_call_leaves_the_state_before_or_after() {
    let scenario = |disk: &SimVfs, model: &mut Model, failed: &mut Option<Act>| -> halodb::Result<()> {
        let db = tiny(on(disk)).open()?;
        for at in 0..54 {
            *failed = Some(script(at));
            apply(&db, model, &script(at))?;
            *failed = None;
            if at % 20 == 19 {
                db.flush()?;
            }
        }
        db.close()
    };
    let disk = SimVfs::new();
    scenario(&disk, &mut Model::new(), &mut None).unwrap();
    let calls = disk.calls();
    let step = (calls / u64::from(80 * common::scale())).max(1);
    for (run, call) in (0..calls).step_by(step as usize).enumerate() {
        let (fault, repeat) = match run % 4 {
            0 => (Fault::Errno(5), Repeat::Once),
            1 => (Fault::Errno(28), Repeat::Sticky),
            2 => (Fault::Short, Repeat::Once),
            _ => (Fault::SyncFailsClean, Repeat::Once),
        };
        let disk = SimVfs::new();
        disk.inject(call, fault, repeat);
        let (mut model, mut failed, begun) = (Model::new(), None, Instant::now());
        let result = scenario(&disk, &mut model, &mut failed);
        assert!(begun.elapsed() < Duration::from_secs(30), "call {call}, {fault:?}");
        disk.heal();
        let after = if run % 2 == 0 { disk } else { disk.crash_image(disk.ops(), CrashMode::Strict, call) };
        let db = tiny(on(&after)).open().unwrap_or_else(|e| panic!("call {call}, {fault:?}: {e:?}"));
        let found = contents(&db);
        let with_it = failed.map(|act| {
            let (_disk, other) = memory();
            let batch = model.iter().fold(other.batch(), |batch, (key, value)| batch.put(key, value));
            batch.commit().unwrap();
            let mut next = model.clone();
            apply(&other, &mut next, &act).unwrap();
            next
        });
        assert!(found == model || Some(&found) == with_it.as_ref(), "call {call}, {fault:?}: {result:?}, {found:?}");
        assert_sound(&db);
    }
}
