//! The rows catch engines that lie: a map in memory, honest or with one fault, under every kind of load.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::engine::{Batch, Durability, Engine, Fill, Pairs, Problem, Reader, Result};

use super::drive::Plan;
use super::large::Large;
use super::open::expect_all;
use super::record::Records;
use super::sustained;
use super::target::Target;
use super::workload::{WORKLOADS, Workload};
use super::ycsb::Ycsb;

const COUNT: u64 = 2_000;

/// What an engine does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    /// Forgets every 500th single write that it acknowledges.
    Forgets,
    /// Answers every 500th look-up with another record's value.
    Confuses,
}

struct Map {
    pairs: Mutex<BTreeMap<Vec<u8>, Vec<u8>>>,
    calls: AtomicU64,
    fault: Fault,
}

impl Map {
    fn new(fault: Fault) -> Map {
        Map { pairs: Mutex::default(), calls: AtomicU64::new(0), fault }
    }

    fn pairs(&self) -> MutexGuard<'_, BTreeMap<Vec<u8>, Vec<u8>>> {
        self.pairs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether this is the call in which `fault` strikes.
    fn strikes(&self, fault: Fault) -> bool {
        self.fault == fault && self.calls.fetch_add(1, Ordering::Relaxed) % 500 == 499
    }
}

struct Writes<'a>(MutexGuard<'a, BTreeMap<Vec<u8>, Vec<u8>>>);

impl Batch for Writes<'_> {
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        self.0.insert(key.to_vec(), value.to_vec());
        Ok(())
    }

    fn delete(&mut self, key: &[u8]) -> Result<()> {
        self.0.remove(key);
        Ok(())
    }
}

impl Engine for Map {
    fn settings(&self) -> Vec<String> {
        Vec::new()
    }

    fn write(&self, _: Durability, fill: Fill<'_>) -> Result<()> {
        fill(&mut Writes(self.pairs()))
    }

    fn put(&self, key: &[u8], value: &[u8], _: Durability) -> Result<()> {
        if !self.strikes(Fault::Forgets) {
            self.pairs().insert(key.to_vec(), value.to_vec());
        }
        Ok(())
    }

    fn get(&self, key: &[u8], f: &mut dyn FnMut(&[u8])) -> Result<bool> {
        let pairs = self.pairs();
        let found = if self.strikes(Fault::Confuses) { pairs.values().next() } else { pairs.get(key) };
        Ok(found.map(|value| f(value)).is_some())
    }

    fn reader(&self) -> Result<Box<dyn Reader + '_>> {
        Ok(Box::new(Reads(self)))
    }

    fn len(&self) -> Result<u64> {
        Ok(self.pairs().len() as u64)
    }

    fn remove_if(&self, _: &[u8], _: &[u8], _: Durability, _: &mut dyn FnMut(&[u8], &[u8]) -> bool) -> Result<u64> {
        Err(Problem::Unsupported("not needed here"))
    }

    fn pop_ends(&self, _: u64, _: Durability, _: &mut dyn FnMut() -> bool, _: Pairs<'_>) -> Result<u64> {
        Err(Problem::Unsupported("not needed here"))
    }

    fn compact(&mut self) -> Result<()> {
        Ok(())
    }

    fn sync(&self) -> Result<()> {
        Ok(())
    }

    fn close(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}

struct Reads<'a>(&'a Map);

impl Reader for Reads<'_> {
    fn get(&mut self, key: &[u8], f: &mut dyn FnMut(&[u8])) -> Result<bool> {
        self.0.get(key, f)
    }

    fn seek(&mut self, from: &[u8], limit: usize, f: Pairs<'_>) -> Result<usize> {
        let pairs = self.0.pairs();
        Ok(pairs.range(from.to_vec()..).take(limit).map(|(key, value)| f(key, value)).count())
    }

    fn scan(&mut self, prefix: &[u8], f: Pairs<'_>) -> Result<u64> {
        Ok(self.seek(prefix, usize::MAX, f)? as u64)
    }
}

fn workload(letter: char) -> Workload {
    *WORKLOADS.iter().find(|workload| workload.letter == letter).expect("a workload of YCSB")
}

/// Loads a map with `fault` and runs workload `letter` on it.
fn ycsb(letter: char, fault: Fault) -> Result<f64> {
    let map = Map::new(fault);
    let target = Target { engine: &map, records: Records::new(1) };
    target.load(COUNT)?;
    let plan = Plan { threads: 4, operations: 5_000, limit: Duration::from_secs(60) };
    Ok(Ycsb::new(target, COUNT, 1).run(&workload(letter), plan, Durability::None)?.rate)
}

#[test]
fn every_workload_accepts_an_honest_engine() {
    for letter in "ABCDEF".chars() {
        match ycsb(letter, Fault::None) {
            Ok(rate) => assert!(rate > 0.0, "{letter}"),
            Err(problem) => panic!("{letter}: {problem}"),
        }
    }
}

#[test]
fn a_forgotten_update_or_insert_fails_its_workload() {
    for letter in "AF".chars() {
        let problem = ycsb(letter, Fault::Forgets).expect_err("a lost write");
        assert!(problem.to_string().contains("wrong answer"), "{letter}: {problem}");
    }
    // One insert in twenty: too few for the 500th call, so every write counts here.
    let map = Map::new(Fault::Forgets);
    let target = Target { engine: &map, records: Records::new(1) };
    assert!(sustained::run(target, 1_000, Duration::from_secs(60), 1).is_err());
}

#[test]
fn a_value_of_another_record_fails_every_workload_that_reads() {
    for letter in "ABCDF".chars() {
        let problem = ycsb(letter, Fault::Confuses).expect_err("a wrong value");
        assert!(problem.to_string().contains("wrong answer"), "{letter}: {problem}");
    }
}

#[test]
fn updates_that_nobody_reads_back_inside_the_row_are_read_back_after_it() {
    let map = Map::new(Fault::Forgets);
    let target = Target { engine: &map, records: Records::new(1) };
    target.load(10).expect("a load");
    let plan = Plan { threads: 1, operations: 2_000, limit: Duration::from_secs(60) };
    // Ten records are written again and again: only the last write of each can be missed.
    let ycsb = Ycsb::new(target, 10, 1);
    assert!((0..50).any(|_| ycsb.run(&workload('A'), plan, Durability::None).is_err()));
}

#[test]
fn the_latencies_of_an_insertion_count_every_insert() {
    let map = Map::new(Fault::None);
    let target = Target { engine: &map, records: Records::new(1) };
    let Ok(done) = sustained::run(target, 1_000, Duration::from_secs(60), 1) else { panic!("an honest engine failed") };
    assert_eq!((done.records, done.latency.total()), (1_000, 1_000));
    let Ok(cut) =
        sustained::run(Target { engine: &Map::new(Fault::None), ..target }, u64::MAX, Duration::from_millis(30), 1)
    else {
        panic!("an honest engine failed")
    };
    assert!(cut.records > 0 && cut.elapsed >= Duration::from_millis(30));
}

#[test]
fn a_large_value_that_comes_back_changed_fails() {
    let map = Map::new(Fault::None);
    let Ok((large, _)) = Large::write(&map, 3, 1) else { panic!("an honest engine failed") };
    assert!(large.read(6, 1).is_ok());
    for value in map.pairs().values_mut() {
        value[500_000] ^= 1;
    }
    assert!(large.read(6, 1).is_err());
}

#[test]
fn a_scan_that_ends_too_early_is_noticed() {
    let map = Map::new(Fault::None);
    let target = Target { engine: &map, records: Records::new(1) };
    target.load(100).expect("a load");
    let greatest = (0..100).map(|record| target.records.key(record)).max().unwrap_or_default();
    assert!(target.scan(0, 1, &greatest).is_ok());
    assert!(target.scan(0, 100, &greatest).is_ok());
    assert!(target.scan(0, 100, &[u8::MAX; 24]).is_err());
}

#[test]
fn a_database_with_a_record_too_few_or_too_many_or_changed_is_not_the_one_that_was_written() {
    let map = Map::new(Fault::None);
    let target = Target { engine: &map, records: Records::new(1) };
    target.load(100).expect("a load");
    assert!(expect_all(&map, target.records, 100).is_ok());
    assert!(expect_all(&map, target.records, 99).is_err());
    assert!(expect_all(&map, target.records, 101).is_err());
    target.put(7, 1, Durability::None, &mut Vec::new()).expect("an update");
    assert!(expect_all(&map, target.records, 100).is_err());
}
