//! Writes that look at what is there, while other writes have their number and wait for the disk: they count what is in flight,
//! follow it into one group, and give no answer that a failing disk could take back.

mod common;

use std::sync::Arc;
use std::thread::sleep;
use std::time::Duration;

use common::held_disk::HeldDisk;
use halodb::{Cas, Db, ErrorKind, Result};

/// Long enough for threads to come as far as they can.
const A_WHILE: Duration = Duration::from_millis(150);

fn open(disk: &HeldDisk) -> Db {
    // No tick and no merge synchronises anything meanwhile.
    let long = Duration::from_secs(60);
    let builder = Db::builder(common::PATH).vfs(Arc::new(disk.clone())).page_size(4096);
    builder.interval(long).idle(long).open().unwrap()
}

/// Runs `first` until it waits for the disk, then `second`, which must not be answered before the disk goes on.
fn behind<A: Send, B: Send>(
    disk: &HeldDisk,
    first: impl FnOnce() -> A + Send,
    second: impl FnOnce() -> B + Send,
    go_on: impl FnOnce(),
) -> (A, B) {
    disk.hold();
    std::thread::scope(|scope| {
        let first = scope.spawn(first);
        disk.until_somebody_waits();
        let second = scope.spawn(second);
        sleep(A_WHILE);
        let was_early = second.is_finished();
        go_on();
        let answers = (first.join().unwrap(), second.join().unwrap());
        assert!(!was_early, "an answer rested on what was not durable");
        answers
    })
}

#[test]
fn changes_of_one_key_follow_each_other_into_one_group() {
    const THREADS: i64 = 8;
    let disk = HeldDisk::default();
    let db = open(&disk);
    disk.hold();
    let mut before = 0;
    let sums = std::thread::scope(|scope| {
        let first = scope.spawn(|| db.increment("k", 1).unwrap());
        disk.until_somebody_waits();
        let others: Vec<_> = (0..THREADS).map(|_| scope.spawn(|| db.increment("k", 1).unwrap())).collect();
        sleep(A_WHILE);
        before = disk.syncs();
        disk.release();
        let mut sums: Vec<i64> = others.into_iter().map(|other| other.join().unwrap()).collect();
        sums.push(first.join().unwrap());
        sums
    });
    let mut sorted = sums;
    sorted.sort_unstable();
    assert!(sorted.into_iter().eq(1..=THREADS + 1));
    // The first group, the one of all others, and room for threads that were late.
    let syncs = disk.syncs() - before;
    assert!(syncs <= 5, "{syncs} synchronisations for {THREADS} changes behind one in flight");
}

#[test]
fn a_range_delete_counts_the_keys_in_flight() {
    let disk = HeldDisk::default();
    let db = open(&disk);
    db.put("there before", "").unwrap();
    let put = || db.batch().put("in flight 1", "").put("in flight 2", "").commit();
    let (put, removed) = behind(&disk, put, || db.delete_range("a"..), || disk.release());
    put.unwrap();
    assert_eq!(removed.unwrap(), 3);
    assert!(db.is_empty().unwrap());
}

#[test]
fn what_a_swap_does_not_find_is_told_when_it_is_durable() {
    let disk = HeldDisk::default();
    let db = open(&disk);
    let swap = || db.compare_and_swap("k", None, Some(b"mine"));
    let (put, swapped) = behind(&disk, || db.put("k", "theirs"), swap, || disk.release());
    put.unwrap();
    match swapped.unwrap() {
        Cas::Mismatch { current } => assert_eq!(current.as_deref(), Some(&b"theirs"[..])),
        Cas::Swapped => panic!("there was a value in flight"),
    }
}

#[test]
fn an_answer_that_rests_on_a_write_which_fails_is_an_error() {
    let acts: [fn(&Db) -> Result<()>; 6] = [
        |db| db.compare_and_swap("k", None, Some(b"mine")).map(drop),
        |db| db.remove("absent").map(drop),
        |db| db.update("k", |old| old.map(<[u8]>::to_vec)).map(drop),
        |db| db.increment("k", 1).map(drop),
        |db| db.find_keyspace("q")?.map_or(Ok(()), |q| q.pop_first().map(drop)),
        |db| db.insert("k", "mine").map(drop),
    ];
    for (i, act) in acts.into_iter().enumerate() {
        let disk = HeldDisk::default();
        let db = open(&disk);
        db.keyspace("q").unwrap();
        let (put, answer) = behind(&disk, || db.put("k", "text"), || act(&db), || disk.fail());
        assert_eq!(put.unwrap_err().kind(), ErrorKind::Poisoned);
        assert_eq!(answer.expect_err("the outcome is not known").kind(), ErrorKind::Poisoned, "act {i}");
        assert_eq!(db.get("k").unwrap(), None, "what failed is never seen");
    }
}

#[test]
fn a_second_pop_of_the_last_key_is_answered_when_the_first_is_durable() {
    let disk = HeldDisk::default();
    let db = open(&disk);
    db.put("only", "1").unwrap();
    let (first, second) = behind(&disk, || db.pop_first(), || db.pop_last(), || disk.release());
    assert_eq!(first.unwrap().expect("a pair").0, b"only");
    assert!(second.unwrap().is_none());
}

#[test]
fn a_write_into_a_keyspace_whose_drop_is_in_flight_is_refused_when_that_is_durable() {
    let disk = HeldDisk::default();
    let db = open(&disk);
    let users = db.keyspace("users").unwrap();
    users.put("1", "Ada").unwrap();
    for act in [(|users| users.put("2", "").map(drop)) as fn(&halodb::Keyspace) -> Result<()>, |users| {
        users.increment("n", 1).map(drop)
    }] {
        let users = db.keyspace("users").unwrap();
        let (dropped, answer) = behind(&disk, || db.drop_keyspace("users"), || act(&users), || disk.release());
        assert!(dropped.unwrap());
        assert_eq!(answer.unwrap_err().kind(), ErrorKind::NoKeyspace);
    }
}
