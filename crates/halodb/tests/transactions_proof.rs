//! Transactions under proof: committed ones could have run one after the other, whoever else wrote, wherever the power was cut,
//! and whatever call of the disk failed.

mod common;

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use common::{assert_sound, on, text, tiny};
use halodb::vfs::SimVfs;
use halodb::vfs::sim::{CrashMode, Fault, Repeat};
use halodb::{Condition, Db, Durability, ErrorKind, Result, Transaction, Ttl, TtlState, Value, WriteOptions};
use proptest::prelude::*;

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
    MultiGet([u8; 3]),
    Rank(u8),
    Nth(u64),
    /// With a time to live that no test lives to see the end of; the value says so.
    PutFor(u8),
    PutIfAbsent(u8),
    /// 0: absent, 1: for ever, 2: for a time.
    Ttl(u8),
    /// So many from the front and from the back, as bits say.
    Pop(u8, usize),
    /// Of a range, those whose value is even.
    DeleteIf(u8, u8),
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
        1 => (k(), k(), k()).prop_map(|(a, b, c)| Act::MultiGet([a, b, c])),
        1 => k().prop_map(Act::Rank),
        2 => (0u64..12).prop_map(Act::Nth),
        2 => k().prop_map(Act::PutFor),
        1 => k().prop_map(Act::PutIfAbsent),
        1 => k().prop_map(Act::Ttl),
        2 => (any::<u8>(), 1usize..6).prop_map(|(bits, count)| Act::Pop(bits, count)),
        1 => (k(), k()).prop_map(|(from, to)| Act::DeleteIf(from, to)),
    ]
}

/// What values end with that have a time to live.
const FOR_A_TIME: &[u8] = b"for a time";

fn timed(stamp: u32) -> Vec<u8> {
    [&stamp.to_le_bytes(), FOR_A_TIME].concat()
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
        Act::MultiGet(keys) => {
            let pair = |key: &u8| model.get(&name(*key)).map(|value| (name(*key), value.clone()));
            Answer::Pairs(keys.iter().map(pair).collect())
        }
        Act::Rank(key) => Answer::Number(model.range(..name(key)).count() as u64),
        Act::Nth(i) => {
            Answer::Pairs(vec![model.iter().nth(i as usize).map(|(key, value)| (key.clone(), value.clone()))])
        }
        Act::PutFor(key) => {
            model.insert(name(key), timed(stamp));
            Answer::Was(true)
        }
        Act::PutIfAbsent(key) => {
            let is_absent = !model.contains_key(&name(key));
            if is_absent {
                model.insert(name(key), stamp.to_le_bytes().to_vec());
            }
            Answer::Was(is_absent)
        }
        Act::Ttl(key) => Answer::Number(match model.get(&name(key)) {
            None => 0,
            Some(value) if !value.ends_with(FOR_A_TIME) => 1,
            Some(_) => 2,
        }),
        Act::Pop(bits, count) => Answer::Pairs(
            (0..count).map(|i| if bits >> i & 1 == 0 { model.pop_first() } else { model.pop_last() }).collect(),
        ),
        Act::DeleteIf(from, to) => {
            let is_even = |(_, value): &(_, &Vec<u8>)| value[0].is_multiple_of(2);
            let gone: Vec<_> = model.range(range(from, to)).filter(is_even).map(|(key, _)| key.clone()).collect();
            gone.iter().for_each(|key| _ = model.remove(key));
            Answer::Number(gone.len() as u64)
        }
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
        Act::MultiGet(keys) => {
            let values = tx.multi_get(keys.map(name))?;
            Answer::Pairs(keys.iter().zip(values).map(|(key, value)| Some((name(*key), own(value?)))).collect())
        }
        Act::Rank(key) => Answer::Number(tx.rank(name(key))?),
        Act::Nth(i) => Answer::Pairs(vec![tx.nth(i)?.map(|(key, value)| (key.to_vec(), own(value)))]),
        Act::PutFor(key) => {
            let hour = WriteOptions::new().ttl(Ttl::After(Duration::from_secs(3600)));
            Answer::Was(tx.put_with(name(key), timed(stamp), &hour)?)
        }
        Act::PutIfAbsent(key) => {
            let new = WriteOptions::new().condition(Condition::IfAbsent);
            Answer::Was(tx.put_with(name(key), stamp.to_le_bytes(), &new)?)
        }
        Act::Ttl(key) => Answer::Number(match tx.ttl(name(key))? {
            TtlState::Missing => 0,
            TtlState::Never => 1,
            TtlState::In(_) => 2,
        }),
        Act::Pop(bits, count) => {
            let mut pop = |i: usize| if bits >> i & 1 == 0 { tx.pop_first() } else { tx.pop_last() };
            let pairs: Vec<_> = (0..count).map(&mut pop).collect::<Result<_>>()?;
            Answer::Pairs(pairs.into_iter().map(|pair| pair.map(|(key, value)| (key.to_vec(), own(value)))).collect())
        }
        Act::DeleteIf(from, to) => {
            Answer::Number(tx.delete_if(name(from)..name(to), |_, value| value[0].is_multiple_of(2))?)
        }
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
                        // Others may conflict with whatever it touched, although it changed nothing in the end.
                        let reads = |act: &Act| match act {
                            Act::Get(_) | Act::Scan(..) | Act::Count(..) => true,
                            Act::MultiGet(_) | Act::Rank(_) | Act::Nth(_) | Act::Ttl(_) => true,
                            Act::Put(_) | Act::PutFor(_) | Act::PutIfAbsent(_) => false,
                            Act::Delete(_) | Act::DeleteRange(..) | Act::Clear => false,
                            Act::Pop(..) | Act::DeleteIf(..) => false,
                        };
                        changes += usize::from(!acts.iter().all(|(act, ..)| reads(act)));
                        // One that wrote nothing is true as of its beginning.
                        if sees != base || acts.iter().any(|(act, ..)| matches!(act, Act::Clear)) {
                            let answers = acts.iter().map(|(.., answer)| answer);
                            assert!(again.iter().eq(answers), "no serial order: {acts:#?} at its commit: {again:#?}");
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

// A queue: jobs are taken from both ends and out of the middle, and what was taken is counted in the same transaction.

const JOBS: u64 = 300;

fn fill_queue(db: &Db) -> Result<()> {
    let jobs = db.keyspace("jobs")?;
    (0..JOBS).fold(jobs.batch(), |batch, i| batch.put(format!("{i:03}"), [b'j'; 40])).commit().map(drop)
}

fn take_jobs(db: &Db, number: u64) -> Result<()> {
    let jobs = db.keyspace("jobs")?;
    db.transaction(|tx| {
        let mut taken = tx.get("taken")?.map_or(0, |taken| balance(Some(taken)) as u64);
        {
            let mut queue = tx.keyspace(&jobs)?;
            taken += u64::from(queue.pop_first()?.is_some()) + u64::from(queue.pop_last()?.is_some());
            if number % 8 == 3 {
                taken += queue.delete_if("100".."200", |key, _| u64::from(key[2]) % 10 == number / 8)?;
            }
        }
        tx.put("taken", taken.to_string())?;
        tx.put("rounds", (number + 1).to_string())
    })
}

#[track_caller]
fn assert_none_is_lost(db: &Db, what: &str) -> u64 {
    let Some(jobs) = db.find_keyspace("jobs").unwrap() else { return 0 };
    let number = |key: &str| text(db, key).map_or(0, |count| count.parse::<u64>().unwrap());
    let left = jobs.len().unwrap();
    assert!(
        left == 0 && number("rounds") == 0 || left + number("taken") == JOBS,
        "{what}: {left} left, {}",
        number("taken")
    );
    assert_sound(db);
    number("rounds")
}

#[test]
fn a_power_cut_at_any_moment_loses_no_job_of_a_queue_and_gives_none_twice() {
    let disk = SimVfs::new();
    let db = tiny(on(&disk)).open().unwrap();
    fill_queue(&db).unwrap();
    let mut acknowledged = vec![disk.ops()];
    for number in 0..60 {
        take_jobs(&db, number).unwrap();
        acknowledged.push(disk.ops());
        if number % 25 == 24 {
            db.flush().unwrap();
        }
    }
    let last = disk.ops();
    let step = (last as usize / (40 * common::scale() as usize)).max(1);
    for (seed, cut) in (1..).zip((acknowledged[0]..last).step_by(step)) {
        let mode = CrashMode::ALL[seed as usize % CrashMode::ALL.len()];
        let again = tiny(on(&disk.crash_image(cut, mode, seed))).open().unwrap();
        let rounds = assert_none_is_lost(&again, "after a power cut");
        let least = acknowledged.iter().rposition(|ops| *ops <= cut).unwrap() as u64;
        assert!(
            (least..=least + 1).contains(&rounds),
            "{rounds} of {least} acknowledged, cut at {cut} ({mode:?}, {seed})"
        );
        take_jobs(&again, rounds).unwrap();
        assert_none_is_lost(&again, "gone on with");
    }
}

#[test]
fn a_fault_at_any_call_loses_no_job_of_a_queue() {
    let scenario = |disk: &SimVfs, acknowledged: &mut u64| -> Result<()> {
        let db = tiny(on(disk)).open()?;
        fill_queue(&db)?;
        for number in 0..30 {
            take_jobs(&db, number)?;
            *acknowledged = number + 1;
            if number % 12 == 11 {
                db.flush()?;
            }
        }
        db.close()
    };
    let disk = SimVfs::new();
    scenario(&disk, &mut 0).unwrap();
    let calls = disk.calls();
    let step = (calls / u64::from(40 * common::scale())).max(1);
    for (run, call) in (0..calls).step_by(step as usize).enumerate() {
        let fault = [Fault::Errno(5), Fault::Errno(28), Fault::Short, Fault::SyncFailsClean][run % 4];
        let disk = SimVfs::new();
        disk.inject(call, fault, Repeat::Once);
        let mut acknowledged = 0;
        let _ = scenario(&disk, &mut acknowledged);
        disk.heal();
        let after = if run % 2 == 0 { disk } else { disk.crash_image(disk.ops(), CrashMode::Strict, call) };
        let db = tiny(on(&after)).open().unwrap_or_else(|e| panic!("call {call}, {fault:?}: {e:?}"));
        let rounds = assert_none_is_lost(&db, "after a fault");
        assert!(rounds >= acknowledged, "call {call}, {fault:?}: {rounds} of {acknowledged} acknowledged");
    }
}

#[test]
fn many_pops_are_a_range_and_leave_what_others_and_the_transaction_itself_put_there() {
    let disk = SimVfs::new();
    let db = tiny(on(&disk)).memtable(32 << 20).log_limit(64 << 20).idle(Duration::from_secs(600));
    let db = db.durability(Durability::Memory).open().unwrap();
    let name = |i: u32| format!("{i:06}");
    const ALL: u32 = 60_000;
    const POPPED: u32 = 20_000;
    for first in (0..ALL).step_by(1000) {
        (first..first + 1000).fold(db.batch(), |batch, i| batch.put(name(i), "job")).commit().unwrap();
    }
    let versions_before = db.stats().memtable_versions;
    db.transaction(|tx| {
        for i in 0..POPPED {
            assert_eq!(tx.pop_first()?.expect("there are more").0, name(i).as_bytes());
            assert_eq!(tx.pop_last()?.expect("there are more").0, name(ALL - 1 - i).as_bytes());
        }
        // A key in front of all and one within what was popped; one of them goes again.
        tx.put("", "").unwrap_err();
        tx.put("000000", "new")?;
        tx.put(name(100), "put back")?;
        assert_eq!(tx.len()?, u64::from(ALL - 2 * POPPED) + 2);
        let (key, value) = tx.pop_first()?.expect("the new one");
        assert_eq!((&key[..], &value[..]), (&b"000000"[..], &b"new"[..]));
        assert_eq!(tx.first()?.expect("one").0, name(100).as_bytes());
        assert_eq!(tx.get(name(99))?, None);
        Ok(())
    })
    .unwrap();
    assert_eq!(db.stats().memtable_versions - versions_before, 3, "two ranges and a key");
    let expected = u64::from(ALL - 2 * POPPED) + 1;
    let check = |db: &Db| {
        assert_eq!(db.len().unwrap(), expected);
        assert_eq!(db.first().unwrap().expect("one").0, name(100).as_bytes());
        assert_eq!(db.last().unwrap().expect("one").0, name(ALL - 1 - POPPED).as_bytes());
        assert_eq!(db.iter().count() as u64, expected);
        assert_sound(db);
    };
    check(&db);
    db.flush().unwrap();
    check(&db);
    // Somebody who puts a job where this one has read meets a conflict, and no job is lost.
    let mut tx = db.begin().unwrap();
    assert!(tx.pop_first().unwrap().is_some());
    db.put(name(50), "late").unwrap();
    assert_eq!(tx.commit().unwrap_err().kind(), ErrorKind::Conflict);
    assert_eq!(db.first().unwrap().expect("one").0, name(50).as_bytes());
}
