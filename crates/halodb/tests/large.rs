//! Batches and transactions above the threshold, and sorted input: what a program sees of them.

use halodb::vfs::{SimVfs, sim::CrashMode};
use halodb::{Db, Durability, ErrorKind, Result};
use std::sync::Arc;

fn open(disk: &SimVfs) -> Db {
    let builder = Db::builder("data").vfs(Arc::new(disk.clone())).page_size(4096);
    builder.memtable(64 << 10).segment(16 << 10).log_limit(64 << 10).large_from(500).open().expect("it opens")
}

fn row(i: u32) -> String {
    format!("row/{i:04}")
}

/// What a loss of power leaves of what was answered.
fn after_a_loss_of_power(disk: &SimVfs) -> Db {
    open(&disk.crash_image(disk.ops(), CrashMode::Strict, 1))
}

#[test]
fn a_batch_that_grows_beyond_the_threshold_says_the_same_as_a_small_one() -> Result<()> {
    let disk = SimVfs::new();
    let db = open(&disk);
    let users = db.keyspace("users")?;
    db.batch().put(row(3), "old").put(row(990), "old").commit()?;
    let mut batch = db.batch().put(row(1), "first");
    for i in 0..900 {
        batch = batch.put(row(i), "new");
    }
    // Takes what is there, and what the batch itself has put.
    batch = batch.delete_range(row(100)..).put(row(500), "late").delete(row(2)).put_in(&users, "ada", "1");
    assert_eq!(batch.len(), 905);
    assert!(batch.len_bytes() > 900 * 11 && !batch.is_empty());
    let commit = batch.commit()?;
    assert_eq!(commit.seq, db.last_seq());
    for db in [&db, &after_a_loss_of_power(&disk)] {
        assert_eq!(db.len()?, 100, "rows 0 to 99 without 2, and 500");
        assert_eq!((db.get(row(2))?, db.get(row(990))?, db.get(row(101))?), (None, None, None));
        assert_eq!(db.get(row(500))?.as_deref(), Some(&b"late"[..]));
        assert_eq!(db.get(row(1))?.as_deref(), Some(&b"new"[..]));
        assert_eq!(db.keyspace("users")?.get("ada")?.as_deref(), Some(&b"1"[..]));
    }
    db.flush()?;
    assert_eq!(db.len()?, 100);
    db.close()
}

#[test]
fn an_illegal_write_in_a_large_batch_is_reported_by_its_commit_and_nothing_is_written() -> Result<()> {
    let db = open(&SimVfs::new());
    let mut batch = db.batch();
    for i in 0..100 {
        batch = batch.put(row(i), "v");
    }
    let error = batch.put("", "v").commit().expect_err("an empty key");
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert_eq!(db.len()?, 0);
    Ok(())
}

#[test]
fn a_large_batch_to_a_keyspace_that_was_dropped_is_refused() -> Result<()> {
    let db = open(&SimVfs::new());
    let users = db.keyspace("users")?;
    let mut batch = users.batch();
    for i in 0..100 {
        batch = batch.put(row(i), "v");
    }
    db.drop_keyspace("users")?;
    assert_eq!(batch.commit().expect_err("it is gone").kind(), ErrorKind::NoKeyspace);
    Ok(())
}

#[test]
fn a_large_transaction_sees_its_own_writes_is_validated_and_survives() -> Result<()> {
    let disk = SimVfs::new();
    let db = open(&disk);
    db.put("read", "1")?;
    let fill = |tx: &mut halodb::Transaction| -> Result<()> {
        tx.get("read")?;
        (0..300).try_for_each(|i| tx.put(row(i), "v"))?;
        assert_eq!(tx.delete_range(row(200)..row(250))?, 50);
        tx.put(row(210), "again")?;
        assert_eq!(tx.len()?, 252);
        Ok(())
    };
    let mut refused = db.begin()?;
    fill(&mut refused)?;
    db.put("read", "2")?;
    assert_eq!(refused.commit().expect_err("what it read was written").kind(), ErrorKind::Conflict);
    assert_eq!(db.len()?, 1);
    let mut tx = db.begin()?;
    fill(&mut tx)?;
    let other = db.begin()?;
    assert_eq!(other.get(row(7))?, None);
    let mut other = other;
    other.put("other", "1")?;
    tx.commit()?;
    assert_eq!(other.commit().expect_err("a row that it did not find is there").kind(), ErrorKind::Conflict);
    for db in [&db, &after_a_loss_of_power(&disk)] {
        assert_eq!(db.len()?, 252);
        assert_eq!(db.get(row(210))?.as_deref(), Some(&b"again"[..]));
    }
    Ok(())
}

#[test]
fn large_batches_one_after_another_wait_for_merges_and_all_are_there() -> Result<()> {
    let disk = SimVfs::new();
    let db = open(&disk);
    for round in 0..40u32 {
        let mut batch = db.batch().durability(Durability::Buffered);
        for i in 0..200 {
            batch = batch.put(row(round * 100 + i), format!("{round} {}", "x".repeat(100)));
        }
        batch.commit()?;
    }
    assert_eq!(db.len()?, 4100);
    db.close()?;
    drop(db);
    let db = open(&disk);
    assert_eq!(db.len()?, 4100);
    assert!(db.get(row(4050))?.expect("the last one").starts_with(b"39 "));
    Ok(())
}

#[test]
fn sorted_input_is_there_whole_or_refused_whole() -> Result<()> {
    let disk = SimVfs::new();
    let db = open(&disk);
    let pairs = |n: u32| (0..n).map(|i| (row(i), "v"));
    let commit = db.ingest_sorted(pairs(1000))?;
    assert_eq!((db.len()?, commit.seq), (1000, db.last_seq()));
    assert_eq!(after_a_loss_of_power(&disk).len()?, 1000);
    let users = db.keyspace("users")?;
    let refused = |pairs: Vec<(String, &str)>| users.ingest_sorted(pairs).expect_err("refused");
    let late = |key: &str| pairs(700).chain([(key.to_owned(), "v")]).collect();
    for (error, words) in [
        (refused(late(&row(699))), "pair 700: the key \"row/0699\" does not lie above the one before it, \"row/0699\""),
        (refused(late("a")), "pair 700: the key \"a\" does not lie above"),
        (refused(vec![(String::new(), "v")]), "pair 0: "),
    ] {
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().contains(words), "{error}");
    }
    assert!(users.is_empty()?);
    assert_eq!(db.ingest_sorted(pairs(0))?.seq, db.last_seq());
    Ok(())
}

/// As [`open`], with so many bytes for all that is not committed.
fn open_with_memory(disk: &SimVfs, bytes: u64) -> Db {
    let builder = Db::builder("data").vfs(Arc::new(disk.clone())).page_size(4096).memtable(64 << 10);
    builder.large_from(500).uncommitted_limit(bytes).open().expect("it opens")
}

fn assert_no_memory(error: &halodb::Error) {
    assert_eq!(error.kind(), ErrorKind::Full, "{error:?}");
    assert!(error.to_string().contains("of the 50000 bytes"), "{error}");
    assert!(error.hint().is_some_and(|hint| hint.contains("memory.memtable") && !hint.contains("disk")), "{error:?}");
}

#[test]
fn a_batch_that_outgrows_the_memory_goes_on_in_files_and_is_there_whole() -> Result<()> {
    let disk = SimVfs::new();
    let db = open_with_memory(&disk, 50_000);
    let (mut batch, mut other) = (db.batch(), db.batch());
    for i in 0..2000 {
        batch = batch.put(row(i), [7; 100]);
        other = other.put(row(i + 1000), [8; 100]);
    }
    assert!(batch.len_bytes() > 200_000 && other.len_bytes() > 200_000);
    assert!(db.space()?.runs > 100_000, "{} bytes were spilled", db.space()?.runs);
    batch.commit()?;
    // While it is merged: each key once, and in order.
    assert_eq!(db.len()?, 2000);
    assert_eq!(db.iter().collect::<Result<Vec<_>>>()?.len(), 2000);
    other.commit()?;
    db.ingest_sorted((0..1500).map(|i| (format!("sorted/{i:04}"), [9; 100])))?;
    for db in [&db, &after_a_loss_of_power(&disk)] {
        assert_eq!(db.len()?, 4500);
        assert_eq!(db.get(row(999))?.as_deref(), Some(&[7; 100][..]));
        assert_eq!(db.get(row(1000))?.as_deref(), Some(&[8; 100][..]));
        db.flush()?;
        assert_eq!((db.len()?, db.space()?.runs), (4500, 0));
    }
    Ok(())
}

#[test]
fn a_transaction_that_outgrows_the_memory_refuses_the_write_and_commits_what_it_had() -> Result<()> {
    let disk = SimVfs::new();
    let db = open_with_memory(&disk, 50_000);
    let mut tx = db.begin()?;
    let mut kept = 0;
    let refused = loop {
        match tx.put(row(kept), [7; 100]) {
            Ok(()) => kept += 1,
            Err(error) => break error,
        }
        assert!(kept < 2000, "200,000 bytes were kept");
    };
    assert_no_memory(&refused);
    assert!(kept > 100, "{kept} were kept");
    // Room that one transaction has is not another one's.
    let mut other = db.begin()?;
    let refused = (0..2000).find_map(|i| other.put(row(i), [8; 100]).err()).expect("it is refused");
    assert_no_memory(&refused);
    drop(other);
    assert_eq!(tx.len()?, u64::from(kept));
    tx.commit()?;
    for db in [&db, &after_a_loss_of_power(&disk)] {
        assert_eq!(db.len()?, u64::from(kept));
    }
    // What was committed, and what was given up, is given back.
    db.transaction(|tx| (0..200).try_for_each(|i| tx.put(row(i), [9; 100])))?;
    assert_eq!(db.get(row(199))?.as_deref(), Some(&[9; 100][..]));
    Ok(())
}

#[test]
fn large_commits_wait_while_those_before_them_hold_the_memory() -> Result<()> {
    let disk = SimVfs::new();
    let db = open_with_memory(&disk, 50_000);
    for round in 0..20u32 {
        let mut batch = db.batch();
        for i in 0..150 {
            batch = batch.put(row(round * 150 + i), [round as u8; 100]);
        }
        batch.commit()?;
    }
    assert_eq!(db.len()?, 3000);
    db.close()?;
    assert_eq!(after_a_loss_of_power(&disk).len()?, 3000);
    Ok(())
}
