//! Transactions: what they see, what they meet, and that committed ones could have run one after the other.

mod common;

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use common::{assert_sound, memory, on, put_all, text, tiny};
use halodb::vfs::SimVfs;
use halodb::vfs::sim::{CrashMode, Fault, Repeat};
use halodb::{Db, Durability, Error, ErrorKind, Key, Result, Transaction, Value, WriteOptions};
use proptest::prelude::*;

fn keys(pairs: impl Iterator<Item = Result<(Key, Value)>>) -> Vec<String> {
    pairs.map(|pair| String::from_utf8(pair.unwrap().0.to_vec()).unwrap()).collect()
}

fn value(value: Option<Value>) -> Option<String> {
    value.map(|value| String::from_utf8(value.to_vec()).unwrap())
}

#[track_caller]
fn assert_conflict(result: Result<impl std::fmt::Debug>) -> Error {
    let error = result.expect_err("a conflict");
    assert_eq!(error.kind(), ErrorKind::Conflict, "{error:?}");
    assert!(error.is_retryable() && error.hint().is_some());
    error
}

#[test]
fn a_transaction_sees_its_own_writes_and_nobody_else_does() {
    let (_disk, db) = memory();
    put_all(&db, &["a", "c", "e"]);
    let mut tx = db.begin().unwrap();
    tx.put("b", "mine").unwrap();
    tx.put("c", "mine").unwrap();
    assert!(tx.delete("e").unwrap());
    assert!(!tx.delete("e").unwrap() && !tx.delete("never").unwrap());
    assert_eq!((value(tx.get("b").unwrap()), value(tx.get("c").unwrap())), (Some("mine".into()), Some("mine".into())));
    assert_eq!(tx.get_with("c", <[u8]>::len).unwrap(), Some(4));
    assert!(!tx.contains("e").unwrap());
    assert_eq!(keys(tx.iter()), ["a", "b", "c"]);
    assert_eq!(keys(tx.iter().rev()), ["c", "b", "a"]);
    assert_eq!(keys(tx.range("b"..)), ["b", "c"]);
    assert_eq!(keys(tx.prefix("e")), [""; 0]);
    assert_eq!((tx.len().unwrap(), tx.count("b"..="c").unwrap(), tx.count_prefix("e").unwrap()), (3, 2, 0));
    assert_eq!(tx.first().unwrap().unwrap().0, b"a");
    assert_eq!(tx.last().unwrap().unwrap().0, b"c");
    assert_eq!(common::keys(db.iter()), ["a", "c", "e"]);
    let seq = tx.commit().unwrap().seq;
    assert_eq!(seq, db.last_seq());
    assert_eq!(common::keys(db.iter()), ["a", "b", "c"]);
}

#[test]
fn a_transaction_that_is_dropped_or_rolled_back_leaves_nothing() {
    let (_disk, db) = memory();
    let records = db.stats().wal.records;
    let mut tx = db.begin().unwrap();
    tx.put("a", "1").unwrap();
    drop(tx);
    let mut tx = db.begin().unwrap();
    tx.put("a", "1").unwrap();
    tx.rollback();
    assert_eq!((db.len().unwrap(), db.stats().wal.records), (0, records));
    assert!(db.space().unwrap().snapshots.is_empty());
    let tx = db.begin().unwrap();
    assert_eq!(db.space().unwrap().snapshots[0].label.as_deref(), Some("a transaction"));
    drop(tx);
}

#[test]
fn write_skew_is_a_conflict() {
    let (_disk, db) = memory();
    put_all(&db, &["alice", "bob"]);
    let (mut first, mut second) = (db.begin().unwrap(), db.begin().unwrap());
    for tx in [&first, &second] {
        assert!(tx.contains("alice").unwrap() && tx.contains("bob").unwrap());
    }
    first.delete("alice").unwrap();
    second.delete("bob").unwrap();
    first.commit().unwrap();
    let error = assert_conflict(second.commit());
    assert!(error.to_string().contains(&format!("commit {}", db.last_seq())), "{error}");
    assert_eq!(db.stats().conflicts, 1);
    assert!(db.contains("bob").unwrap());
}

#[test]
fn a_phantom_is_a_conflict() {
    let (_disk, db) = memory();
    put_all(&db, &["task/1", "task/2"]);
    let mut tx = db.begin().unwrap();
    let count = tx.prefix("task/").count();
    tx.put("tasks", count.to_string()).unwrap();
    db.put("task/3", "v").unwrap();
    assert_conflict(tx.commit());
    // By its count, and by clearing it.
    for clears in [false, true] {
        let mut tx = db.begin().unwrap();
        tx.put("tasks", tx.count_prefix("task/").unwrap().to_string()).unwrap();
        if clears {
            db.clear().unwrap()
        } else {
            db.put("task/4", "v").unwrap()
        };
        assert_conflict(tx.commit());
    }
}

#[test]
fn a_lost_update_and_a_key_that_came_are_conflicts_and_a_blind_write_is_none() {
    let (_disk, db) = memory();
    let begin = |key: &str| {
        let tx = db.begin().unwrap();
        tx.get(key).unwrap();
        tx
    };
    let mut tx = begin("counter");
    db.put("counter", "1").unwrap();
    tx.put("counter", "1").unwrap();
    assert_conflict(tx.commit());
    let mut tx = begin("counter");
    db.delete("counter").unwrap();
    tx.put("other", "1").unwrap();
    assert_conflict(tx.commit());
    let mut tx = db.begin().unwrap();
    tx.put("counter", "mine").unwrap();
    db.put("counter", "theirs").unwrap();
    tx.commit().unwrap();
    assert_eq!(text(&db, "counter").as_deref(), Some("mine"));
}

#[test]
fn a_transaction_that_writes_nothing_meets_no_conflict() {
    let (_disk, db) = memory();
    db.put("a", "1").unwrap();
    let tx = db.begin().unwrap();
    assert_eq!(value(tx.get("a").unwrap()).as_deref(), Some("1"));
    db.put("a", "2").unwrap();
    assert_eq!(value(tx.get("a").unwrap()).as_deref(), Some("1"));
    let seq = tx.seq();
    assert_eq!(tx.commit().unwrap().seq, seq);
    assert_eq!(db.stats().conflicts, 0);
}

#[test]
fn a_scan_has_read_what_it_went_over_and_not_what_lies_beyond() {
    let (_disk, db) = memory();
    put_all(&db, &["b", "d", "f", "h"]);
    for (written, is_refused) in [("a", true), ("c", true), ("d", true), ("e", false), ("g", false), ("i", true)] {
        let mut tx = db.begin().unwrap();
        let mut pairs = tx.iter();
        assert_eq!(pairs.next().unwrap().unwrap().0, b"b");
        assert_eq!(pairs.next().unwrap().unwrap().0, b"d");
        assert_eq!(pairs.next_back().unwrap().unwrap().0, b"h");
        drop(pairs);
        tx.put("z", "1").unwrap();
        db.put(written, "theirs").unwrap();
        match is_refused {
            true => _ = assert_conflict(tx.commit()),
            false => _ = tx.commit().unwrap(),
        }
        db.clear().unwrap();
        put_all(&db, &["b", "d", "f", "h"]);
    }
    // What is its own it has not read from anybody.
    let mut tx = db.begin().unwrap();
    tx.put("x", "1").unwrap();
    assert!(tx.contains("x").unwrap() && tx.get("x").unwrap().is_some());
    db.put("x", "theirs").unwrap();
    tx.commit().unwrap();
}

/// Once it was forgotten that it had been there at all, and what somebody else had put meanwhile stayed.
#[test]
fn a_key_that_a_transaction_sets_and_removes_is_gone_whatever_others_did_to_it() {
    let (_disk, db) = memory();
    let mut tx = db.begin().unwrap();
    tx.put("k", "mine").unwrap();
    assert!(tx.delete("k").unwrap());
    assert_eq!(tx.len().unwrap(), 0);
    drop(tx);
    let mut tx = db.begin().unwrap();
    tx.put("k", "mine").unwrap();
    assert!(tx.delete("k").unwrap());
    tx.put("other", "mine").unwrap();
    db.put("k", "theirs").unwrap();
    tx.commit().unwrap();
    assert_eq!(common::keys(db.iter()), ["other"]);
}

#[test]
fn numbers_are_added_to_as_outside_of_a_transaction() {
    let (_disk, db) = memory();
    db.increment("n", 5).unwrap();
    let sum = db.transaction(|tx| {
        tx.increment("n", 2)?;
        tx.increment("n", -10)
    });
    assert_eq!((sum.unwrap(), text(&db, "n").as_deref()), (-3, Some("-3")));
    db.put("n", "no number").unwrap();
    assert_eq!(db.transaction(|tx| tx.increment("n", 1)).unwrap_err().kind(), ErrorKind::InvalidInput);
}

#[test]
fn ranges_are_removed_with_what_was_written_before_and_not_with_what_comes_later() {
    let (_disk, db) = memory();
    put_all(&db, &["a", "b", "c", "d"]);
    let mut tx = db.begin().unwrap();
    tx.put("bb", "1").unwrap();
    assert_eq!(tx.delete_range("b".."d").unwrap(), 3);
    tx.put("c", "again").unwrap();
    assert_eq!(keys(tx.iter()), ["a", "c", "d"]);
    assert_eq!(keys(tx.iter().rev()), ["d", "c", "a"]);
    assert_eq!((tx.len().unwrap(), tx.count("b".."d").unwrap()), (3, 1));
    assert_eq!(tx.delete_prefix("d").unwrap(), 1);
    tx.commit().unwrap();
    assert_eq!(common::keys(db.iter()), ["a", "c"]);
    let mut tx = db.begin().unwrap();
    tx.clear();
    assert!(tx.is_empty().unwrap());
    tx.put("new", "1").unwrap();
    tx.commit().unwrap();
    assert_eq!(common::keys(db.iter()), ["new"]);
}

#[test]
fn clearing_without_looking_conflicts_with_nobody() {
    let (_disk, db) = memory();
    put_all(&db, &["a"]);
    let mut tx = db.begin().unwrap();
    tx.clear();
    db.put("b", "theirs").unwrap();
    tx.commit().unwrap();
    assert!(db.is_empty().unwrap());
}

#[test]
fn a_closure_is_run_again_after_a_conflict_and_given_up_on_at_last() {
    let (_disk, db) = memory();
    let mut runs = 0;
    let seen = db.transaction(|tx| {
        runs += 1;
        let seen = value(tx.get("k")?);
        if runs < 3 {
            db.put("k", runs.to_string())?;
        }
        tx.put("seen", "1")?;
        Ok(seen)
    });
    assert_eq!((runs, seen.unwrap().as_deref()), (3, Some("2")));
    assert_eq!(db.stats().conflicts, 2);
    let mut runs = 0;
    let given_up = db.transaction(|tx| {
        runs += 1;
        tx.get("k")?;
        db.put_with("k", "again", &WriteOptions::new().durability(Durability::Memory))?;
        tx.put("seen", "2")
    });
    assert_conflict(given_up);
    assert_eq!(runs, 64);
    assert_eq!(text(&db, "seen").as_deref(), Some("1"));
}

#[test]
fn an_error_of_the_closure_rolls_back_and_comes_through() {
    #[derive(Debug)]
    enum Refused {
        ByMe(u32),
        ByTheDatabase(ErrorKind),
    }
    impl From<Error> for Refused {
        fn from(error: Error) -> Self {
            Refused::ByTheDatabase(error.kind())
        }
    }
    let (_disk, db) = memory();
    let refused = db.try_transaction(|tx| {
        tx.put("a", "1")?;
        Err::<(), _>(Refused::ByMe(7))
    });
    assert!(matches!(refused, Err(Refused::ByMe(7))));
    let refused = db.try_transaction(|tx| Ok::<_, Refused>(tx.put("", "1")?));
    assert!(matches!(refused, Err(Refused::ByTheDatabase(ErrorKind::InvalidInput))));
    assert!(db.is_empty().unwrap());
}

#[test]
fn a_closed_database_begins_and_commits_no_transaction_and_those_begun_go_on_reading() {
    let (_disk, db) = memory();
    db.put("a", "1").unwrap();
    let mut tx = db.begin().unwrap();
    tx.put("b", "2").unwrap();
    db.close().unwrap();
    assert_eq!(db.begin().unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(keys(tx.iter()), ["a", "b"]);
    assert_eq!(tx.commit().unwrap_err().kind(), ErrorKind::Closed);
}

#[test]
fn a_transaction_keeps_the_database_that_it_came_from() {
    let (disk, db) = memory();
    let mut tx = db.begin().unwrap();
    drop(db);
    tx.put("a", "1").unwrap();
    tx.commit().unwrap();
    let db = on(&disk).open().unwrap();
    assert!(db.open_report().clean && db.contains("a").unwrap());
}

#[test]
fn a_transaction_is_as_durable_as_it_asks_for() {
    let disk = SimVfs::new();
    let db = tiny(on(&disk)).interval(std::time::Duration::from_secs(60)).durability(Durability::Memory);
    let db = db.open().unwrap();
    for (level, survives) in [(Durability::Memory, false), (Durability::Sync, true)] {
        let mut tx = db.begin().unwrap();
        tx.set_durability(level);
        tx.put("k", "v").unwrap();
        tx.commit().unwrap();
        let again = tiny(on(&disk.crash_image(disk.ops(), CrashMode::Strict, 0))).open().unwrap();
        assert_eq!(again.contains("k").unwrap(), survives, "{level:?}");
    }
}

// Against a model: whatever a committed transaction was answered, it would have been answered at its commit as well.

type Model = BTreeMap<Vec<u8>, Vec<u8>>;

#[derive(Clone, Debug)]
enum Act {
    Get(u8),
    Put(u8),
    Delete(u8),
    DeleteRange(u8, u8),
    Clear,
    /// Steps from the front and from the back, as bits say, so many.
    Scan(u8, u8, u8, usize),
    Count(u8, u8),
}

#[derive(Clone, Debug)]
enum Op {
    Begin,
    Act(usize, Act),
    Commit(usize),
    Drop(usize),
    Plain(Act),
    Flush,
}

fn act() -> impl Strategy<Value = Act> {
    let k = || 0u8..20;
    prop_oneof![
        4 => k().prop_map(Act::Get),
        5 => k().prop_map(Act::Put),
        3 => k().prop_map(Act::Delete),
        1 => (k(), k()).prop_map(|(from, to)| Act::DeleteRange(from, to)),
        1 => Just(Act::Clear),
        4 => (k(), k(), any::<u8>(), 0usize..12).prop_map(|(a, b, bits, steps)| Act::Scan(a, b, bits, steps)),
        1 => (k(), k()).prop_map(|(from, to)| Act::Count(from, to)),
    ]
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        3 => Just(Op::Begin),
        14 => (any::<usize>(), act()).prop_map(|(which, act)| Op::Act(which, act)),
        3 => any::<usize>().prop_map(Op::Commit),
        1 => any::<usize>().prop_map(Op::Drop),
        3 => act().prop_map(Op::Plain),
        1 => Just(Op::Flush),
    ]
}

fn name(key: u8) -> Vec<u8> {
    format!("key {key:02}").into_bytes()
}

/// Answers, comparable.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Answer {
    Value(Option<Vec<u8>>),
    Was(bool),
    Number(u64),
    Pairs(Vec<Option<(Vec<u8>, Vec<u8>)>>),
}

fn steps<P>(mut pairs: impl DoubleEndedIterator<Item = P>, bits: u8, steps: usize) -> Vec<Option<P>> {
    (0..steps).map(|i| if bits >> (i % 8) & 1 == 0 { pairs.next() } else { pairs.next_back() }).collect()
}

fn in_model(model: &mut Model, act: &Act, stamp: u32) -> Answer {
    let range = |from: u8, to: u8| (Bound::Included(name(from)), Bound::Excluded(name(to.max(from))));
    match *act {
        Act::Get(key) => Answer::Value(model.get(&name(key)).cloned()),
        Act::Put(key) => {
            model.insert(name(key), stamp.to_le_bytes().to_vec());
            Answer::Was(true)
        }
        Act::Delete(key) => Answer::Was(model.remove(&name(key)).is_some()),
        Act::DeleteRange(from, to) => {
            let gone: Vec<_> = model.range(range(from, to)).map(|(key, _)| key.clone()).collect();
            gone.iter().for_each(|key| _ = model.remove(key));
            Answer::Number(gone.len() as u64)
        }
        Act::Clear => {
            model.clear();
            Answer::Was(true)
        }
        Act::Scan(from, to, bits, count) => {
            let pairs = model.range(range(from, to)).map(|(key, value)| (key.clone(), value.clone()));
            Answer::Pairs(steps(pairs, bits, count))
        }
        Act::Count(from, to) => Answer::Number(model.range(range(from, to)).count() as u64),
    }
}

fn in_transaction(tx: &mut Transaction, act: &Act, stamp: u32) -> Result<Answer> {
    let own = |value: Value| value.to_vec();
    Ok(match *act {
        Act::Get(key) => Answer::Value(tx.get(name(key))?.map(own)),
        Act::Put(key) => {
            tx.put(name(key), stamp.to_le_bytes())?;
            Answer::Was(true)
        }
        Act::Delete(key) => Answer::Was(tx.delete(name(key))?),
        Act::DeleteRange(from, to) => Answer::Number(tx.delete_range(name(from)..name(to))?),
        Act::Clear => {
            tx.clear();
            Answer::Was(true)
        }
        Act::Scan(from, to, bits, count) => {
            let pairs = tx.range(name(from)..name(to)).map(|pair| pair.map(|(k, v)| (k.to_vec(), v.to_vec())));
            let pairs: Vec<_> = steps(pairs, bits, count).into_iter().map(Option::transpose).collect::<Result<_>>()?;
            Answer::Pairs(pairs)
        }
        Act::Count(from, to) => Answer::Number(tx.count(name(from)..name(to))?),
    })
}

/// An open transaction: what it sees, and everything it was answered.
struct Opened {
    tx: Transaction,
    base: Model,
    sees: Model,
    acts: Vec<(Act, u32, Answer)>,
    /// The model had changed so often when it began.
    changes: usize,
}

fn run(db: &Db, ops: &[Op]) {
    let mut model = Model::new();
    let mut open: Vec<Opened> = Vec::new();
    let (mut changes, mut committed) = (0, 0);
    for (stamp, op) in (1u32..).zip(ops) {
        match op {
            Op::Begin => {
                let tx = db.begin().unwrap();
                let (base, sees) = (model.clone(), model.clone());
                open.push(Opened { tx, base, sees, acts: Vec::new(), changes });
            }
            Op::Act(which, act) if !open.is_empty() => {
                let which = which % open.len();
                let Opened { tx, sees, acts, .. } = &mut open[which];
                let expected = in_model(sees, act, stamp);
                assert_eq!(in_transaction(tx, act, stamp).unwrap(), expected, "{act:?}");
                acts.push((act.clone(), stamp, expected));
            }
            Op::Commit(which) if !open.is_empty() => {
                let Opened { tx, base, sees, acts, changes: began } = open.swap_remove(which % open.len());
                match tx.commit() {
                    Ok(_) => {
                        committed += 1;
                        let mut after = model.clone();
                        let again: Vec<_> = acts.iter().map(|(act, at, _)| in_model(&mut after, act, *at)).collect();
                        // One that wrote nothing is true as of its beginning.
                        if sees != base || acts.iter().any(|(act, ..)| matches!(act, Act::Clear)) {
                            let answers = acts.iter().map(|(.., answer)| answer);
                            assert!(again.iter().eq(answers), "no serial order: {acts:#?} at its commit: {again:#?}");
                            changes += 1;
                            model = after;
                        }
                    }
                    Err(error) => {
                        assert_eq!(error.kind(), ErrorKind::Conflict, "{error:?}");
                        assert!(changes > began, "a conflict with nobody");
                    }
                }
                assert!(db.iter().map(|pair| pair.unwrap()).map(|(k, v)| (k.to_vec(), v.to_vec())).eq(model.clone()));
            }
            Op::Drop(which) if !open.is_empty() => drop(open.swap_remove(which % open.len())),
            Op::Plain(act) => {
                let expected = in_model(&mut model, act, stamp);
                let answer = db.transaction(|tx| in_transaction(tx, act, stamp));
                assert_eq!(answer.unwrap(), expected, "nobody writes meanwhile");
                changes += 1;
            }
            Op::Flush => db.flush().unwrap(),
            Op::Act(..) | Op::Commit(_) | Op::Drop(_) => {}
        }
    }
    drop(open);
    assert_eq!(db.stats().evidence_bytes, 0, "after {committed} commits");
    assert_sound(db);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150 * common::scale(), max_shrink_iters: 800, ..ProptestConfig::default() })]

    #[test]
    fn committed_transactions_could_have_run_one_after_the_other(ops in proptest::collection::vec(op(), 1..140)) {
        let disk = SimVfs::new();
        run(&tiny(on(&disk)).memtable(8 << 10).durability(Durability::Memory).open().unwrap(), &ops);
    }
}

// A bank: money moves between accounts, and the sum never changes.

const ACCOUNTS: u64 = 8;

fn account(number: u64) -> String {
    format!("account/{number}")
}

fn found_bank(db: &Db) -> Result<()> {
    (0..ACCOUNTS).fold(db.batch(), |batch, i| batch.put(account(i), "100")).commit().map(drop)
}

fn balance(value: Option<Value>) -> i64 {
    std::str::from_utf8(&value.expect("an account")).unwrap().parse().unwrap()
}

/// Moves money as the number says. Every fourth also writes down what there is in all, by a scan.
fn transfer(tx: &mut Transaction, number: u64) -> Result<()> {
    let (from, to) = (number * 7 % ACCOUNTS, (number * 11 + 1) % ACCOUNTS);
    if from == to {
        return tx.put("idle", number.to_string());
    }
    let (a, b) = (balance(tx.get(account(from))?), balance(tx.get(account(to))?));
    let amount = number as i64 % 40;
    tx.put(account(from), format!("{:>width$}", a - amount, width = 8).trim())?;
    tx.put(account(to), (b + amount).to_string())?;
    if number.is_multiple_of(4) {
        let mut sum = 0;
        for pair in tx.prefix("account/") {
            sum += balance(Some(pair?.1));
        }
        tx.put("sum", sum.to_string())?;
    }
    Ok(())
}

#[track_caller]
fn assert_balanced(db: &Db, what: &str) {
    let snapshot = db.snapshot();
    let sum: i64 = snapshot.prefix("account/").map(|pair| balance(Some(pair.unwrap().1))).sum();
    let accounts = snapshot.count_prefix("account/").unwrap() as i64;
    assert!(accounts == 0 || sum == 100 * ACCOUNTS as i64, "{what}: {sum} in {accounts} accounts");
    if let Some(noted) = snapshot.get("sum").unwrap() {
        assert_eq!(balance(Some(noted)), 100 * ACCOUNTS as i64, "{what}: a transaction saw another sum");
    }
}

#[test]
fn threads_move_money_while_memtables_are_merged_and_no_sum_is_ever_wrong() {
    let disk = SimVfs::new();
    let db = tiny(on(&disk)).memtable(16 << 10).merge_threads(2).durability(Durability::Buffered).open().unwrap();
    found_bank(&db).unwrap();
    let (over, attempts) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut written = 0u64;
            while !over.load(Ordering::Acquire) {
                written += 1;
                db.put(format!("filling/{:03}", written % 300), [b'f'; 300]).unwrap();
                assert_balanced(&db, "while money moves");
            }
        });
        let threads: Vec<_> = (0..3u64)
            .map(|thread| {
                let (db, attempts) = (&db, &attempts);
                scope.spawn(move || {
                    for i in 0..250 {
                        let done = db.transaction(|tx| {
                            attempts.fetch_add(1, Ordering::Relaxed);
                            tx.set_durability(
                                [Durability::Memory, Durability::Buffered, Durability::Sync][i as usize % 3],
                            );
                            let count = tx.get("count")?.map_or(0, |count| balance(Some(count)));
                            tx.put("count", (count + 1).to_string())?;
                            transfer(tx, i * 3 + thread)
                        });
                        done.unwrap();
                    }
                })
            })
            .collect();
        let results: Vec<_> = threads.into_iter().map(|thread| thread.join()).collect();
        over.store(true, Ordering::Release);
        assert!(results.iter().all(|result| result.is_ok()));
    });
    let (attempts, stats) = (attempts.into_inner(), db.stats());
    println!("{attempts} attempts, {} conflicts, {} merges", stats.conflicts, stats.merges);
    assert_eq!(attempts - stats.conflicts, 750);
    assert_eq!(text(&db, "count").as_deref(), Some("750"), "no update is lost");
    assert!(stats.merges > 5);
    assert_balanced(&db, "at the end");
    assert_sound(&db);
}

#[test]
fn a_power_cut_at_any_moment_leaves_whole_transactions_and_all_that_were_acknowledged() {
    let disk = SimVfs::new();
    let db = tiny(on(&disk)).open().unwrap();
    found_bank(&db).unwrap();
    let mut acknowledged = vec![disk.ops()];
    for i in 0..150u64 {
        db.transaction(|tx| {
            tx.put("count", (i + 1).to_string())?;
            tx.put(format!("filling/{:02}", i % 40), [b'f'; 400])?;
            transfer(tx, i)
        })
        .unwrap();
        acknowledged.push(disk.ops());
        if i % 40 == 39 {
            db.flush().unwrap();
        }
    }
    let last = disk.ops();
    for (seed, cut) in
        (1..).zip((acknowledged[0]..last).step_by((last as usize / (80 * common::scale() as usize)).max(1)))
    {
        let mode = CrashMode::ALL[seed as usize % CrashMode::ALL.len()];
        let again = tiny(on(&disk.crash_image(cut, mode, seed))).open().unwrap();
        assert_balanced(&again, "after a power cut");
        let least = acknowledged.iter().rposition(|ops| *ops <= cut).unwrap() as u64;
        let count = text(&again, "count").map_or(0, |count| count.parse::<u64>().unwrap());
        assert!(
            (least..=least + 1).contains(&count),
            "{count} of {least} acknowledged, cut at {cut} ({mode:?}, {seed})"
        );
        again.transaction(|tx| transfer(tx, 1)).unwrap();
        assert_sound(&again);
    }
}

#[test]
fn a_fault_at_any_call_refuses_whole_transactions_and_loses_none_that_was_acknowledged() {
    let scenario = |disk: &SimVfs, acknowledged: &mut u64| -> Result<()> {
        let db = tiny(on(disk)).open()?;
        found_bank(&db)?;
        for i in 0..50u64 {
            db.transaction(|tx| {
                tx.put("count", (i + 1).to_string())?;
                tx.put(format!("filling/{:02}", i % 40), [b'f'; 600])?;
                transfer(tx, i)
            })?;
            *acknowledged = i + 1;
            if i % 20 == 19 {
                db.flush()?;
            }
        }
        db.close()
    };
    let disk = SimVfs::new();
    scenario(&disk, &mut 0).unwrap();
    let calls = disk.calls();
    let step = (calls / u64::from(60 * common::scale())).max(1);
    for (run, call) in (0..calls).step_by(step as usize).enumerate() {
        let (fault, repeat) = match run % 4 {
            0 => (Fault::Errno(5), Repeat::Once),
            1 => (Fault::Errno(28), Repeat::Sticky),
            2 => (Fault::Short, Repeat::Once),
            _ => (Fault::SyncFailsClean, Repeat::Once),
        };
        let disk = SimVfs::new();
        disk.inject(call, fault, repeat);
        let mut acknowledged = 0;
        if let Err(error) = scenario(&disk, &mut acknowledged) {
            let odd = [ErrorKind::InvalidInput, ErrorKind::Conflict, ErrorKind::Closed];
            assert!(!odd.contains(&error.kind()), "call {call}: {error:?}");
        }
        disk.heal();
        let after = if run % 2 == 0 { disk } else { disk.crash_image(disk.ops(), CrashMode::Strict, call) };
        let db = tiny(on(&after)).open().unwrap_or_else(|e| panic!("call {call}, {fault:?}: {e:?}"));
        assert_balanced(&db, "after a fault");
        let count = text(&db, "count").map_or(0, |count| count.parse::<u64>().unwrap());
        assert!(count >= acknowledged, "call {call}, {fault:?}: {count} of {acknowledged} acknowledged");
        assert_sound(&db);
    }
}

#[test]
fn one_transaction_writes_to_several_keyspaces_and_a_dropped_one_is_a_conflict() {
    let (_disk, db) = memory();
    let (users, log) = (db.keyspace("users").unwrap(), db.keyspace("log").unwrap());
    let mut tx = users.begin().unwrap();
    tx.put("1", "Ada").unwrap();
    {
        let mut log = tx.keyspace(&log).unwrap();
        log.put("a", "users/1").unwrap();
        assert_eq!(keys(log.iter()), ["a"]);
        log.keyspace(&db).unwrap().put("all", "1").unwrap();
        assert_eq!(log.len().unwrap(), 1);
    }
    assert_eq!(keys(tx.iter()), ["1"]);
    assert!(users.is_empty().unwrap() && log.is_empty().unwrap() && db.is_empty().unwrap());
    tx.commit().unwrap();
    assert_eq!([users.len().unwrap(), log.len().unwrap(), db.len().unwrap()], [1, 1, 1]);

    let mut tx = db.begin().unwrap();
    tx.keyspace(&users).unwrap().clear();
    tx.keyspace(&log).unwrap().put("b", "cleared").unwrap();
    tx.commit().unwrap();
    assert_eq!([users.len().unwrap(), log.len().unwrap(), db.len().unwrap()], [0, 2, 1]);

    let mut tx = db.begin().unwrap();
    tx.keyspace(&users).unwrap().put("2", "Grace").unwrap();
    db.drop_keyspace("users").unwrap();
    assert_conflict(tx.commit());
    assert_eq!(db.begin().unwrap().keyspace(&users).unwrap_err().kind(), ErrorKind::NoKeyspace);
    assert_eq!(users.begin().unwrap_err().kind(), ErrorKind::NoKeyspace);
    let gone = db.transaction(|tx| tx.keyspace(&users)?.put("2", "Grace"));
    assert_eq!(gone.unwrap_err().kind(), ErrorKind::NoKeyspace);
    let (_disk, other) = memory();
    let foreign = other.keyspace("log").unwrap();
    assert_eq!(db.begin().unwrap().keyspace(&foreign).unwrap_err().kind(), ErrorKind::InvalidInput);
}
