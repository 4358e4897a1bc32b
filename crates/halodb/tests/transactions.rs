//! Transactions: what they see, what they meet, and how they end.

mod common;

use common::{memory, on, put_all, text, tiny};
use halodb::vfs::SimVfs;
use halodb::vfs::sim::CrashMode;
use halodb::{Condition, Durability, Error, ErrorKind, Key, Result, Ttl, TtlState, Value, WriteOptions};
use std::time::Duration;

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
fn what_a_transaction_sets_for_a_time_lives_so_long() {
    let (_disk, db) = memory();
    let hour = WriteOptions::new().ttl(Ttl::After(Duration::from_secs(3600)));
    let left = |state: TtlState| matches!(state, TtlState::In(left) if left > Duration::from_secs(3500));
    db.put("old", "for ever").unwrap();
    let mut tx = db.begin().unwrap();
    assert!(tx.put_with("new", "7", &hour).unwrap());
    assert!(left(tx.ttl("new").unwrap()));
    assert_eq!(tx.increment("new", 1).unwrap(), 8);
    assert!(left(tx.ttl("new").unwrap()), "an expiry stays");
    assert!(tx.put_with("new", "9", &WriteOptions::new().ttl(Ttl::Keep)).unwrap());
    assert!(tx.expire("old", Ttl::After(Duration::from_secs(3600))).unwrap());
    assert!(!tx.expire("never", Ttl::Never).unwrap());
    assert!(!tx.put_with("old", "x", &WriteOptions::new().condition(Condition::IfAbsent)).unwrap());
    assert!(!tx.put_with("never", "x", &WriteOptions::new().condition(Condition::IfPresent)).unwrap());
    let durable = WriteOptions::new().durability(Durability::Sync);
    assert_eq!(tx.put_with("k", "v", &durable).unwrap_err().kind(), ErrorKind::InvalidInput);
    tx.put("gone", "1").unwrap();
    assert!(tx.expire("gone", Ttl::After(Duration::ZERO)).unwrap());
    assert_eq!((tx.get("gone").unwrap(), tx.ttl("gone").unwrap()), (None, TtlState::Missing));
    tx.commit().unwrap();
    assert_eq!(common::keys(db.iter()), ["new", "old"]);
    assert!(left(db.ttl("new").unwrap()) && left(db.ttl("old").unwrap()));
    assert_eq!(text(&db, "new").as_deref(), Some("9"));
    db.transaction(|tx| tx.put("new", "10")).unwrap();
    assert_eq!(db.ttl("new").unwrap(), TtlState::Never, "a put without a time is for ever");
}

#[test]
fn what_expires_before_the_commit_is_a_conflict_and_never_a_change_of_what_is_seen() {
    let (_disk, db) = memory();
    db.put_with("lease", "mine", &WriteOptions::new().ttl(Ttl::After(Duration::from_millis(50)))).unwrap();
    let mut tx = db.begin().unwrap();
    assert_eq!(value(tx.get("lease").unwrap()).as_deref(), Some("mine"));
    while db.contains("lease").unwrap() {
        std::thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(value(tx.get("lease").unwrap()).as_deref(), Some("mine"), "its time stands still");
    assert_eq!((tx.len().unwrap(), tx.rank("m").unwrap()), (1, 1));
    tx.put("done", "by the holder").unwrap();
    assert_conflict(tx.commit());
}

#[test]
fn keys_are_found_by_their_place_among_own_writes() {
    let (_disk, db) = memory();
    put_all(&db, &["b", "d", "f", "h"]);
    let mut tx = db.begin().unwrap();
    tx.put("a", "").unwrap();
    tx.delete("b").unwrap();
    tx.put("c", "").unwrap();
    tx.put("d", "again").unwrap();
    assert_eq!(tx.delete_range("g".."i").unwrap(), 1);
    tx.put("g", "").unwrap();
    let all = ["a", "c", "d", "f", "g"];
    for (i, key) in all.iter().enumerate() {
        assert_eq!(tx.nth(i as u64).unwrap().expect("a key").0, key.as_bytes());
        assert_eq!(tx.rank(key).unwrap(), i as u64);
    }
    assert_eq!((tx.nth(5).unwrap(), tx.rank("z").unwrap()), (None, 5));
    let found = tx.multi_get(["g", "h", "b", "f", "d"]).unwrap();
    assert_eq!(
        found.into_iter().map(value).collect::<Vec<_>>(),
        [Some(""), None, None, Some("v"), Some("again")].map(|v| v.map(str::to_owned))
    );
}

#[test]
fn a_place_that_was_looked_up_conflicts_with_what_comes_before_it() {
    let (_disk, db) = memory();
    put_all(&db, &["b", "d"]);
    let check = |write: &str, conflicts: bool| {
        let mut tx = db.begin().unwrap();
        assert_eq!(tx.nth(1).unwrap().expect("two keys").0, b"d");
        tx.put("mark", "").unwrap();
        db.put(write, "").unwrap();
        let answer = tx.commit();
        assert!(db.delete(write).unwrap());
        assert_eq!(answer.is_err(), conflicts, "{write}: {answer:?}");
        db.delete("mark").unwrap();
    };
    check("a", true);
    check("c", true);
    check("e", false);
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
