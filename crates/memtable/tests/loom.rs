//! Publishing under every schedule: loom runs each model again and again, until each order in which its threads can meet
//! (with a bounded number of preemptions) and each value that an atomic load may see was there.
//!
//! The files of the crate are compiled here once more, with another `sync`: loom's atomics, sub-tables of two slots, so that
//! a few keys split several of them, and marks, by which loom sees who writes and reads which record. A read of a record
//! that was not published to the reader is a failure. Built only by `cargo xtask loom`, which sums the lines
//! `schedules NAME N`.

#![cfg(loom)]
#![allow(dead_code, unreachable_pub, reason = "the models do not use all of the crate")]

#[path = "../src/arena.rs"]
mod arena;
#[path = "../src/cursor.rs"]
mod cursor;
#[path = "../src/entry.rs"]
mod entry;
#[path = "../src/index.rs"]
mod index;
#[path = "../src/list.rs"]
mod list;
#[path = "../src/order.rs"]
mod order;
#[path = "../src/pool.rs"]
mod pool;
#[path = "../src/ranges.rs"]
mod ranges;
#[path = "../src/record.rs"]
mod record;
#[path = "../src/run.rs"]
mod run;
#[path = "../src/since.rs"]
mod since;
#[path = "../src/size.rs"]
mod size;
#[path = "../src/table.rs"]
mod table;
#[path = "../src/tally.rs"]
mod tally;
#[path = "../src/timed.rs"]
mod timed;

/// What the crate's own `sync` is to the library.
mod sync {
    pub(crate) use halodb_vfs::mutant;
    pub(crate) use halodb_vfs::scheduled::{AtomicU64, Mutex, MutexGuard};
    use loom::cell::UnsafeCell;
    use std::collections::HashMap;
    use std::sync::{Arc, PoisonError};

    pub(crate) const SLOT_BITS: u32 = 1;

    /// A cell for each record, in its place: loom says when a read of one does not come after its write.
    #[derive(Default)]
    pub(crate) struct Marks(std::sync::Mutex<HashMap<u32, Arc<UnsafeCell<()>>>>);

    impl Marks {
        fn cell(&self, position: u32) -> Arc<UnsafeCell<()>> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(position).or_default().clone()
        }

        pub(crate) fn write(&self, position: u32) {
            self.cell(position).with_mut(|_| ());
        }

        pub(crate) fn read(&self, position: u32) {
            self.cell(position).with(|_| ());
        }
    }
}

use entry::Entry;
use loom::thread;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use sync::AtomicU64 as Number;
use table::Memtable;

/// Runs `model` on an empty table under every schedule with at most `preemptions` preemptions. `LOOM_MAX_PREEMPTIONS` and
/// `LOOM_MAX_DURATION` (seconds) say otherwise.
fn explore(name: &str, preemptions: usize, model: fn(Arc<Memtable>)) {
    let schedules = Arc::new(AtomicU64::new(0));
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = builder.preemption_bound.or(Some(preemptions));
    builder.max_branches = 50_000;
    let counted = schedules.clone();
    builder.check(move || {
        counted.fetch_add(1, Ordering::Relaxed);
        model(Arc::new(Memtable::new()));
    });
    println!("schedules memtable::{name} {}", schedules.load(Ordering::Relaxed));
}

/// The upper bits choose the sub-table: these are all in different ones once the table has grown.
fn hash(n: u64) -> u64 {
    n << 61 | n << 32
}

fn insert(table: &Memtable, n: u64, seq: u64) {
    table.insert(hash(n), &[n as u8], seq, Entry::Value(&[seq as u8]));
}

fn seen(table: &Memtable, n: u64, at: u64) -> Option<u64> {
    let found = table.get(hash(n), &[n as u8], at)?;
    assert_eq!(found.entry, Entry::Value(&[found.seq as u8]));
    Some(found.seq)
}

#[test]
fn a_reader_who_was_told_of_nothing_sees_whole_records_or_none() {
    explore("publish", 3, |table| {
        let writer = {
            let table = table.clone();
            thread::spawn(move || {
                insert(&table, 1, 1);
                insert(&table, 1, 2);
            })
        };
        let first = seen(&table, 1, u64::MAX);
        let second = seen(&table, 1, u64::MAX);
        assert!(first <= second, "{first:?}, then {second:?}");
        writer.join().unwrap();
        assert_eq!((seen(&table, 1, 1), seen(&table, 1, 2)), (Some(1), Some(2)));
    });
}

#[test]
fn a_key_is_found_while_sub_tables_split_and_are_used_again() {
    explore("split", 2, |table| {
        insert(&table, 0, 1);
        insert(&table, 5, 1);
        let writer = {
            let table = table.clone();
            thread::spawn(move || {
                for n in [1, 2, 3, 4] {
                    insert(&table, n, 2);
                }
            })
        };
        for n in [0, 5, 0] {
            assert_eq!(seen(&table, n, 1), Some(1), "{n} was there before");
        }
        writer.join().unwrap();
        assert!((1..5).all(|n| seen(&table, n, 2) == Some(2)));
    });
}

#[test]
fn what_was_published_by_a_number_is_found_by_hash_and_in_order() {
    explore("number", 2, |table| {
        let visible = Arc::new(Number::new(0));
        let writer = {
            let (table, visible) = (table.clone(), visible.clone());
            thread::spawn(move || {
                for seq in 1..=2 {
                    insert(&table, seq, seq);
                    insert(&table, 7, seq);
                    visible.store(seq, Ordering::Release);
                }
            })
        };
        let at = visible.load(Ordering::Acquire);
        for n in 1..=2 {
            assert_eq!(seen(&table, n, at), (n <= at).then_some(n));
        }
        let mut cursor = table.cursor(at);
        cursor.seek_first();
        let mut keys = Vec::new();
        while let (Some(key), Some(found)) = (cursor.key(), cursor.found()) {
            keys.push((u64::from(key[0]), found.seq));
            cursor.next();
        }
        let expected = [vec![], vec![(1, 1), (7, 1)], vec![(1, 1), (2, 2), (7, 2)]];
        assert_eq!(keys, expected[at as usize]);
        writer.join().unwrap();
    });
}
