//! Random lives against a plain vector: the log gives back what was put in, whatever it went through.

mod common;
use common::*;
use halodb_vfs::SimVfs;
use halodb_vfs::sim::CrashMode;
use halodb_wal::{Durability, Error, Known, Lsn, RecordKind, Wal, WalOptions};
use proptest::prelude::*;
use std::sync::Arc;

#[derive(Clone, Debug)]
enum Op {
    Append(usize, Durability),
    Sync,
    Flush,
    Idle,
    Recycle(u8),
    MakeRoom,
    ReadFrom(u8),
    Close,
    Kill,
    PowerLoss(u64),
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let level = prop_oneof![Just(Durability::Memory), Just(Durability::Buffered), Just(Durability::Sync)];
    let size = prop_oneof![10 => 0..300_usize, 3 => 300..3000_usize, 1 => 3000..20_000_usize];
    let op = prop_oneof![
        20 => (size, level).prop_map(|(size, level)| Op::Append(size, level)),
        2 => Just(Op::Sync),
        2 => Just(Op::Flush),
        2 => Just(Op::Idle),
        2 => any::<u8>().prop_map(Op::Recycle),
        1 => Just(Op::MakeRoom),
        2 => any::<u8>().prop_map(Op::ReadFrom),
        1 => Just(Op::Close),
        1 => Just(Op::Kill),
        1 => any::<u64>().prop_map(Op::PowerLoss),
    ];
    proptest::collection::vec(op, 1..80)
}

struct Model {
    sim: SimVfs,
    options: WalOptions,
    wal: Wal,
    /// Every commit that is in the log, in order.
    commits: Commits,
    applied: u64,
    /// Greatest LSN that was ever answered.
    answered: u64,
}

impl Model {
    fn new(segment_bytes: u64) -> Self {
        let sim = disk();
        let options = WalOptions { segment_bytes, first_segment_bytes: 4096, buffer_bytes: 2000, ..options() };
        let wal = Wal::create(Arc::new(sim.clone()), &dir(), options.clone()).unwrap();
        Self { sim, options, wal, commits: Vec::new(), applied: 0, answered: 0 }
    }

    fn apply(&mut self, op: &Op) {
        match *op {
            Op::Append(size, level) => {
                let payload = vec![self.commits.len() as u8; size];
                let lsn = self.wal.append(payload.clone(), 0, level).unwrap();
                assert!(lsn.0 > self.answered);
                self.answered = lsn.0;
                self.commits.push((lsn.0, payload));
            }
            Op::Sync => {
                assert_eq!(self.wal.sync().unwrap(), self.wal.appended());
            }
            Op::Flush => {
                self.wal.flush().unwrap();
                assert_eq!(self.wal.written(), self.wal.appended());
            }
            Op::Idle => {
                self.wal.idle(0).unwrap();
            }
            Op::Recycle(part) => {
                self.applied = self.applied.max((u128::from(self.wal.synced().0) * u128::from(part) / 256) as u64);
                // No number of a gap: what was applied is a record.
                let at = self.commits.iter().rev().find(|c| c.0 <= self.applied);
                self.applied = at.map_or(0, |c| c.0).min(self.wal.synced().0);
                self.wal.recycle(Lsn(self.applied + 1)).unwrap();
            }
            Op::MakeRoom => self.wal.make_room(0).unwrap(),
            Op::ReadFrom(part) => self.read_from(part),
            Op::Close => {
                self.wal.close(0).unwrap();
                let sim = self.sim.copy();
                self.reopen(sim, true, u64::MAX);
            }
            Op::Kill => {
                let written = self.wal.written().0;
                let sim = self.sim.copy();
                self.reopen(sim, false, written);
            }
            Op::PowerLoss(seed) => {
                let synced = self.wal.synced().0;
                let sim = self.sim.crash_image(u64::MAX, CrashMode::Random, seed);
                self.reopen(sim, false, synced);
            }
        }
        assert!(self.wal.settled() <= self.wal.appended() && self.wal.synced() <= self.wal.written());
    }

    fn read_from(&self, part: u8) {
        let from = self.commits.get(self.commits.len() * usize::from(part) / 256).map_or(1, |c| c.0);
        let mut seen = Commits::new();
        let read = self.wal.read_from(Lsn(from), &mut |r| {
            if r.kind == RecordKind::Commit {
                seen.push((r.lsn.0, r.payload.to_vec()));
            }
            true
        });
        match read {
            Ok(()) => {
                let written = self.wal.written().0;
                let expected = self.commits.iter().filter(|c| (from..=written).contains(&c.0));
                assert!(seen.iter().eq(expected));
            }
            Err(Error::TooOld { .. }) => assert!(from <= self.applied),
            Err(e) => panic!("{e}"),
        }
    }

    fn reopen(&mut self, sim: SimVfs, clean: bool, at_least: u64) {
        let known = Known { applied_min: Lsn(self.applied), applied_max: Lsn(self.applied), synced: Lsn(self.applied) };
        let mut seen = Commits::new();
        let mut last = 0;
        let recovery = Wal::recover(Arc::new(sim.clone()), &dir(), self.options.clone(), known, &mut |r| {
            assert!(r.lsn.0 > last);
            last = r.lsn.0;
            if r.kind == RecordKind::Commit {
                seen.push((r.lsn.0, r.payload.to_vec()));
            }
            Ok::<(), Error>(())
        })
        .unwrap();
        assert!(!clean || recovery.clean());
        let last = recovery.last().0;
        assert!(self.commits.iter().all(|c| c.0 <= last || c.0 > at_least));
        self.commits.retain(|c| c.0 <= last);
        assert!(seen.iter().eq(self.commits.iter().filter(|c| c.0 > self.applied)));
        self.wal = recovery.into_wal().unwrap();
        self.sim = sim;
        assert_eq!(self.wal.check().unwrap(), []);
        // A gap holds no record, and every record's number is durable.
        for (lsn, _) in self.commits.iter().rev().take(3) {
            self.wal.wait_durable(Lsn(*lsn)).unwrap();
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn a_log_gives_back_what_was_put_in(ops in ops(), segment_bytes in prop_oneof![Just(4096_u64), Just(8192), Just(65536)]) {
        let mut model = Model::new(segment_bytes);
        for op in &ops {
            model.apply(op);
        }
        model.apply(&Op::ReadFrom(0));
        model.apply(&Op::Close);
    }
}
