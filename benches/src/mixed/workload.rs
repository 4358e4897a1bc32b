//! The six core workloads of YCSB: what share of operations does what, and to which records.
//!
//! ```text
//!        read  update  insert  scan  read-modify-write   records
//!   A     50     50                                      zipfian, scrambled
//!   B     95      5                                      zipfian, scrambled
//!   C    100                                             zipfian, scrambled
//!   D     95              5                              latest
//!   E                     5     95                       zipfian, scrambled; 1 to 100 records in key order
//!   F     50                            50               zipfian, scrambled
//! ```
//!
//! This file decides; `ycsb` does.

use super::random::Random;

/// The longest scan of workload E.
const LONGEST_SCAN: u64 = 100;

/// What one operation does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Reads one record.
    Read,
    /// Replaces the value of one record.
    Update,
    /// Adds a record.
    Insert,
    /// Reads as many records in key order.
    Scan(usize),
    /// Reads one record, then replaces its value.
    ReadModifyWrite,
}

/// One workload.
#[derive(Clone, Copy, Debug)]
pub(super) struct Workload {
    /// Its letter.
    pub(super) letter: char,
    /// Percent of the operations that only read.
    reads: u64,
    /// What those do.
    reading: fn(&mut Random) -> Step,
    /// What the others do.
    writing: Step,
    /// Whether the newest records are the popular ones.
    pub(super) popular: Popular,
    /// Operations for each 1,000 records: chosen so that the workload takes a second or two on a fast engine.
    pub(super) operations_per_mille: u64,
}

/// Which records are met most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Popular {
    /// A few, anywhere.
    Scattered,
    /// The newest.
    Newest,
}

/// A to F, in the order that YCSB recommends for one database: what only overwrites comes before what inserts.
pub(super) const WORKLOADS: [Workload; 6] = [
    Workload { operations_per_mille: 500, ..plain('A', 50, Step::Update) },
    Workload { operations_per_mille: 1_000, ..plain('B', 95, Step::Update) },
    Workload { operations_per_mille: 2_000, ..plain('C', 100, Step::Update) },
    Workload { operations_per_mille: 500, ..plain('F', 50, Step::ReadModifyWrite) },
    Workload { operations_per_mille: 1_000, popular: Popular::Newest, ..plain('D', 95, Step::Insert) },
    Workload { operations_per_mille: 300, reading: scan, ..plain('E', 95, Step::Insert) },
];

const fn plain(letter: char, reads: u64, writing: Step) -> Workload {
    Workload { letter, reads, reading: read, writing, popular: Popular::Scattered, operations_per_mille: 0 }
}

fn read(_: &mut Random) -> Step {
    Step::Read
}

fn scan(random: &mut Random) -> Step {
    Step::Scan(1 + random.below(LONGEST_SCAN) as usize)
}

impl Workload {
    /// What the operation that draws from `random` does.
    pub(super) fn step(&self, random: &mut Random) -> Step {
        if random.below(100) < self.reads { (self.reading)(random) } else { self.writing }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_workload_keeps_its_shares() {
        for workload in WORKLOADS {
            let mut random = Random::new(5);
            let steps: Vec<Step> = (0..100_000).map(|_| workload.step(&mut random)).collect();
            let share = |wanted: fn(&Step) -> bool| steps.iter().filter(|step| wanted(step)).count() as f64 / 1_000.0;
            let reads = share(|step| matches!(step, Step::Read));
            let scans = share(|step| matches!(step, Step::Scan(1..=100)));
            let writes = share(|step| matches!(step, Step::Update | Step::Insert | Step::ReadModifyWrite));
            let expected = match workload.letter {
                'A' | 'F' => (50.0, 0.0, 50.0),
                'B' | 'D' => (95.0, 0.0, 5.0),
                'C' => (100.0, 0.0, 0.0),
                _ => (0.0, 95.0, 5.0),
            };
            for (found, expected) in [(reads, expected.0), (scans, expected.1), (writes, expected.2)] {
                assert!((found - expected).abs() < 1.0, "{}: {reads} {scans} {writes}", workload.letter);
            }
        }
    }

    #[test]
    fn only_the_workload_of_the_newest_records_reads_them() {
        let newest: Vec<char> = WORKLOADS.iter().filter(|w| w.popular == Popular::Newest).map(|w| w.letter).collect();
        assert_eq!(newest, ['D']);
    }
}
