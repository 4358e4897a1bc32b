//! The rows `ycsb`: workloads A to F on one database, with 2 threads and then with 8.
//!
//! Every operation is a transaction of its own that sees the newest state and is not synchronised. Updates replace the
//! whole value. All workloads meet the same database, one after the other, without a pause and without a reload before
//! E: it has been overwritten then, as a database in use is. A workload ends after its operations or its time.
//!
//! Checked: every value that is read, the order of every scan, after each workload every record that was written (see
//! `ledger`), and the number of records.

use std::time::Duration;

use crate::engine::{Durability, Result};

use super::drive::{Plan, drive};
use super::ledger::{Ledger, Tickets};
use super::newest::Newest;
use super::random::{Random, mix};
use super::record::KEY_BYTES;
use super::target::Target;
use super::workload::{Popular, Step, Workload};
use super::zipf::Zipf;

/// Threads of the rows.
pub(super) const THREADS: [usize; 2] = [2, 8];

/// A database under load.
pub(super) struct Ycsb<'a> {
    target: Target<'a>,
    greatest: [u8; KEY_BYTES],
    zipf: Zipf,
    newest: Newest,
    tickets: Tickets,
    seed: u64,
}

/// What a workload did.
pub(super) struct Outcome {
    /// Operations a second.
    pub(super) rate: f64,
    /// Writes a second among them.
    pub(super) write_rate: f64,
}

/// What one thread works with.
struct Worker {
    value: Vec<u8>,
    ledger: Ledger,
}

impl<'a> Ycsb<'a> {
    /// `target` holds records `0..count`.
    pub(super) fn new(target: Target<'a>, count: u64, seed: u64) -> Ycsb<'a> {
        let greatest = (0..count).map(|record| target.records.key(record)).max().unwrap_or_default();
        let (zipf, newest) = (Zipf::new(count), Newest::after(count));
        Ycsb { target, greatest, zipf, newest, tickets: Tickets::new(), seed }
    }

    /// Runs `workload` as `plan` says, every write with `durability`, and checks what it left.
    pub(super) fn run(&self, workload: &Workload, plan: Plan, durability: Durability) -> Result<Outcome> {
        let stream = mix(self.seed ^ (workload.letter as u64) << 32 ^ plan.threads as u64);
        let prepare = || Ok(Worker { value: Vec::new(), ledger: Ledger::default() });
        let done = drive(plan, prepare, |worker, number| {
            self.operate(workload, &mut Random::nth(stream, number), durability, worker)
        })?;
        let (rate, elapsed) = (done.rate(done.operations), done.elapsed);
        let mut all = Ledger::default();
        for worker in done.threads {
            all.absorb(worker.ledger);
        }
        self.target.expect(&all)?;
        self.target.expect_len(self.newest.count())?;
        Ok(Outcome { rate, write_rate: all.len() as f64 / elapsed.as_secs_f64().max(1e-9) })
    }

    fn operate(
        &self,
        workload: &Workload,
        random: &mut Random,
        durability: Durability,
        worker: &mut Worker,
    ) -> Result<()> {
        let step = workload.step(random);
        if step == Step::Insert {
            let record = self.newest.begin();
            self.write(record, durability, worker)?;
            self.newest.acknowledge(record);
            return Ok(());
        }
        let record = match workload.popular {
            Popular::Scattered => self.zipf.scrambled(random),
            Popular::Newest => self.zipf.latest(self.newest.count() - 1, random),
        };
        match step {
            Step::Scan(limit) => self.target.scan(record, limit, &self.greatest)?,
            Step::Update => self.write(record, durability, worker)?,
            Step::ReadModifyWrite => {
                self.target.read(record)?;
                self.write(record, durability, worker)?;
            }
            Step::Read | Step::Insert => {
                self.target.read(record)?;
            }
        }
        Ok(())
    }

    fn write(&self, record: u64, durability: Durability, worker: &mut Worker) -> Result<()> {
        let version = self.tickets.begin();
        self.target.put(record, version, durability, &mut worker.value)?;
        worker.ledger.acknowledge(&self.tickets, record, version);
        Ok(())
    }
}

/// How much a workload does on `count` records with `threads`, in at most `limit`.
pub(super) fn plan(workload: &Workload, count: u64, threads: usize, limit: Duration) -> Plan {
    Plan { threads, operations: count * workload.operations_per_mille / 1_000, limit }
}
